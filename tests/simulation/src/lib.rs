//! Many users, operators and faults at once, on the real components, in the host under seeded time, order,
//! randomness and faults, on a real Redis. After every step the store is read as a whole and must hold what is
//! promised: nothing is given twice, nothing is lost, no budget is passed, and whatever was acknowledged is
//! there. After the faults have stopped, everything that is due is done by the calls of the schedule.
//!
//! - [`plan`]: what a seed runs, and what shrinking takes away from it
//! - [`run`](mod@run): one schedule: set up, act, come to rest
//! - [`world`]: what the clients of a schedule share; a step of a client
//! - [`story`]: what happened, step by step
//! - [`books`]: the store as a whole
//! - [`corruption`]: records made unreadable
//! - [`lives`]: every kind of record, and how long it lives
//! - [`functions`]: what a function adds: its actions, and what must hold
//! - [`weeks`]: what is over is collected, and nothing of it acts again
//! - [`shrink`]: a failing schedule made small
//! - [`many`]: many schedules, some at once
//! - [`long_run`]: many days of a shop, in which only clocks are wrong: whether the store stays as large as it is
//!
//! A function joins by one entry in [`functions::FUNCTIONS`] and one file beside it.
//!
//! # A schedule
//!
//! A seed draws the functions, actions and faults that are in play, and how often each comes: a *plan*. Clients act
//! on a few users in four partitions. The store is read past the app, and each function checks what must hold of it
//! and what was acknowledged to its clients. Then the faults stop, late effects happen, and the calls of the
//! schedule must finish everything that is due within a minute: no reservation is held, no debt is open, no packet
//! is unclosed. What is left of budgets can be given to the last cent, and reconciliation finds nothing.
//!
//! One record of a user may be made unreadable, of another version, or absent. Then no request for another user and
//! no settlement notices it. A seed that failed once stays in `seeds.txt`, which CI runs. `defects.toml` has a
//! deliberate fault for each kind of promise, and the seed that finds it.

pub mod books;
pub mod corruption;
pub mod functions;
pub mod lives;
pub mod long_run;
pub mod many;
pub mod plan;
pub mod run;
pub mod shrink;
pub mod story;
pub mod weeks;
pub mod world;

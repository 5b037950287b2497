//! What every function shares and nothing does I/O in: ids, money, time, order numbers, partitions,
//! coded errors, and the transaction that the binding commits.
//!
//! In reading order:
//! - [`error`]: an error that a caller can act on names a code and the field at fault
//! - [`ids`]: 64-bit ids, which JSON carries as strings
//! - [`integer`]: numbers that JSON carries as strings, too
//! - [`money`], [`time`]: minor units with a currency; unix milliseconds
//! - [`order_number`]: the number under which an operation acts at most once
//! - [`partition`]: which partition owns a user, and the place inside it
//! - [`transaction`]: guards, writes and reads on the records of one partition
//! - [`answers`]: what stands in a store's answers
//! - [`due`]: an index of what is to be done at a moment
//! - [`day_lists`]: which users had to do with something on a day
//! - [`life`]: how long each kind of record lives
//! - [`schema`](self): how all these look on the wire, in native builds alone
//! - [`paid`]: the rule "is this user new?", which more than one function needs
//!
//! Nothing here reads a clock, a random number or a store: those arrive as values.

pub mod answers;
pub mod day_lists;
pub mod due;
pub mod error;
pub mod ids;
pub mod integer;
pub mod life;
pub mod money;
pub mod order_number;
pub mod paid;
pub mod partition;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
pub mod time;
pub mod transaction;

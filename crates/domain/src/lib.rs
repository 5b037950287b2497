//! What every function shares, without I/O: ids, money, time, order numbers, partitions, coded errors,
//! and the transaction that the binding commits.
//!
//! In reading order:
//! - [`error`]: an error that a caller can act on names a code and the field at fault
//! - [`ids`]: 64-bit ids, which JSON carries as strings
//! - [`integer`]: numbers that JSON carries as strings, too
//! - [`money`], [`time`]: minor units with a currency; unix milliseconds
//! - [`order_number`]: the number under which an operation acts at most once
//! - [`digest`]: of what callers choose
//! - [`partition`]: which partition owns a user, and the place inside it
//! - [`transaction`]: guards, writes and reads on the records of one partition
//! - [`answers`]: reading a store's answers
//! - [`due`]: an index of work by the time at which it is due
//! - [`day_lists`]: the users whose records changed on a day
//! - [`life`]: how long each kind of record lives
//! - [`paid`]: the rule "is this user new?", which more than one function needs
//!
//! Nothing here reads a clock, a random number or a store: those arrive as values.

pub mod answers;
pub mod day_lists;
pub mod digest;
pub mod due;
pub mod error;
pub mod ids;
pub mod integer;
pub mod life;
pub mod money;
pub mod order_number;
pub mod paid;
pub mod partition;
pub mod time;
pub mod transaction;

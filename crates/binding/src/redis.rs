//! The back end on Redis.

use thiserror::Error;

/// Opens connections.
pub trait Connector {
    /// A connection whose commands are multiplexed.
    type Connection: Connection;

    /// Opens a connection to `address`, a URL as `redis://host:port`.
    fn connect(&self, address: &str) -> impl Future<Output = Result<Self::Connection, Failure>>;
}

/// A connection: one command after the other, without waiting for answers in between.
pub trait Connection {
    /// Runs a command. Nested arrays arrive flat.
    fn execute(
        &self,
        command: &str,
        arguments: Vec<Argument>,
    ) -> impl Future<Output = Result<Vec<Reply>, Failure>>;
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A decimal integer.
    Integer(i64),
    /// Any bytes.
    Bytes(Vec<u8>),
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A status line.
    Status(String),
    /// An integer.
    Integer(i64),
    /// Any bytes.
    Bytes(Vec<u8>),
}

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The port's own time-out; the command may still take effect later.
    #[error("no answer in time")]
    TimedOut,
    /// The server's or the connection's error, as the runtime words it.
    #[error("{0}")]
    Failed(String),
}

//! The ports of the redis back end: connections of `spin:redis`, with a time-out of our own, because
//! Spin has none and a stopped server would hang the request.

use std::pin::pin;

use binding::redis::{Argument, Connection, Connector, Failure, Reply};
use futures::future::{Either, select};
use spin_sdk::redis::{self, RedisParameter, RedisResult};
use spin_sdk::wasip3::clocks::monotonic_clock;

/// How often a request looks whether the connection that another one opens is there: a connection on
/// the same machine takes less, one across a data centre a little more.
const PAUSE_NS: u64 = 1_000_000;

/// Opens connections.
pub struct Opener {
    /// After this time an answer counts as missing.
    pub timeout_ms: u64,
}

/// An open connection.
pub struct Opened {
    connection: redis::Connection,
    timeout_ms: u64,
}

impl Connector for Opener {
    type Connection = Opened;

    async fn connect(&self, address: &str) -> Result<Opened, Failure> {
        let timeout_ms = self.timeout_ms;
        let connection = within(timeout_ms, redis::Connection::open(address)).await?;
        Ok(Opened { connection, timeout_ms })
    }

    async fn pause(&self) {
        monotonic_clock::wait_for(PAUSE_NS).await;
    }
}

impl Connection for Opened {
    async fn execute(
        &self,
        command: &str,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Reply>, Failure> {
        let arguments = arguments.into_iter().map(|argument| match argument {
            Argument::Integer(value) => RedisParameter::Int64(value),
            Argument::Bytes(bytes) => RedisParameter::Binary(bytes),
        });
        let replies = within(self.timeout_ms, self.connection.execute(command, arguments)).await?;
        let replies = replies.into_iter().map(|reply| match reply {
            RedisResult::Nil => Reply::Nil,
            RedisResult::Status(text) => Reply::Status(text),
            RedisResult::Int64(value) => Reply::Integer(value),
            RedisResult::Binary(bytes) => Reply::Bytes(bytes),
        });
        Ok(replies.collect())
    }
}

/// What `answer` gives, if it does so in time; what is given up may still take effect later.
async fn within<T>(
    timeout_ms: u64,
    answer: impl Future<Output = Result<T, redis::Error>>,
) -> Result<T, Failure> {
    let timer = monotonic_clock::wait_for(timeout_ms.saturating_mul(1_000_000));
    match select(pin!(answer), pin!(timer)).await {
        Either::Left((result, _)) => result.map_err(|error| Failure::Failed(text(error))),
        Either::Right(((), _)) => Err(Failure::TimedOut),
    }
}

fn text(error: redis::Error) -> String {
    match error {
        redis::Error::InvalidAddress => "the address is wrong or not allowed".into(),
        redis::Error::TooManyConnections => "there are too many connections".into(),
        redis::Error::TypeError => "a value has another type".into(),
        redis::Error::Other(text) => text,
    }
}

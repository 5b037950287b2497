//! The Redis port on the crate that Spin's host uses, with answers as Spin gives them: nested arrays
//! flat, errors as texts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use binding::redis::{Argument, Connection, Connector, Failure, Reply};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Client, Cmd, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::timeout;

/// Opens connections, and counts them.
#[derive(Debug)]
pub struct NativeConnector {
    timeout: Duration,
    opened: AtomicU32,
}

/// A connection with a time-out for each command.
#[derive(Debug)]
pub struct NativeConnection {
    connection: MultiplexedConnection,
    timeout: Duration,
}

impl NativeConnector {
    /// Gives every opening and every command this time.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, opened: AtomicU32::new(0) }
    }

    /// How many connections it was asked for.
    pub fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Default for NativeConnector {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Connector for &NativeConnector {
    type Connection = NativeConnection;

    async fn connect(&self, address: &str) -> Result<NativeConnection, Failure> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let client = Client::open(address).map_err(failed)?;
        let connection = timeout(self.timeout, client.get_multiplexed_async_connection());
        let connection = connection.await.map_err(|_| Failure::TimedOut)?.map_err(failed)?;
        Ok(NativeConnection { connection, timeout: self.timeout })
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Connection for NativeConnection {
    async fn execute(
        &self,
        command: &str,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Reply>, Failure> {
        let mut packed = Cmd::new();
        packed.arg(command);
        for argument in &arguments {
            match argument {
                Argument::Integer(integer) => packed.arg(integer),
                Argument::Bytes(bytes) => packed.arg(bytes),
            };
        }
        let mut connection = self.connection.clone();
        let answer = timeout(self.timeout, connection.req_packed_command(&packed));
        let value = answer.await.map_err(|_| Failure::TimedOut)?.map_err(failed)?;
        let mut replies = Vec::new();
        flatten(value, &mut replies).map_err(failed)?;
        Ok(replies)
    }
}

fn failed(error: RedisError) -> Failure {
    Failure::Failed(error.to_string())
}

fn flatten(value: Value, replies: &mut Vec<Reply>) -> RedisResult<()> {
    match value.extract_error()? {
        Value::Nil => replies.push(Reply::Nil),
        Value::Int(integer) => replies.push(Reply::Integer(integer)),
        Value::BulkString(bytes) => replies.push(Reply::Bytes(bytes)),
        Value::SimpleString(text) => replies.push(Reply::Status(text)),
        Value::Okay => replies.push(Reply::Status("OK".to_owned())),
        Value::Array(values) | Value::Set(values) => {
            for value in values {
                flatten(value, replies)?;
            }
        }
        _ => return Err((ErrorKind::TypeError, "unsupported return type").into()),
    }
    Ok(())
}

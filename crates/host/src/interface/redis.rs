//! `spin:redis` outbound: the redis crate that Spin uses too, so that errors have the same words.
//! Each `open` makes a connection; commands on one connection are multiplexed; nothing times out
//! and nothing reconnects by itself.

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, Value};
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::spin::redis::redis::{
    Connection, Error, Host, HostConnection, HostConnectionWithStore, Payload, RedisParameter,
    RedisResult,
};
use crate::call::Call;
use crate::calls::{Broken, Outcome};
use crate::hosts;
use crate::instance::Instance;
use crate::key_value::RESULT_BYTES_MAX;

/// The system's number for a refused connection, on Linux, so that the text is the one a guest sees
/// there.
const CONNECTION_REFUSED: i32 = 111;

type Own = HasSelf<Instance>;

impl Host for Instance {}

impl HostConnection for Instance {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.connections.remove(connection.rep());
        Ok(())
    }
}

impl Broken for Error {
    fn broken(call: Call) -> Option<Self> {
        let error = match call {
            Call::RedisOpen => std::io::Error::from_raw_os_error(CONNECTION_REFUSED),
            _ => std::io::ErrorKind::BrokenPipe.into(),
        };
        Some(other(RedisError::from(error)))
    }
}

impl<T: Send> HostConnectionWithStore<T> for Own {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> Outcome<Resource<Connection>, Error> {
        let (shared, component) = accessor.with(|mut access| {
            let instance = access.get();
            (instance.shared.clone(), instance.component.clone())
        });
        if !hosts::allows(&component.hosts, &address) {
            shared.log.line(&format!(
                "component {}: a Redis address is not in allowed_outbound_hosts",
                component.id
            ));
            return Ok(Err(Error::InvalidAddress));
        }
        // The address may hold a password, so the trace does not show it.
        let connect = move || {
            let address = address.clone();
            async move { Ok(connect(&address).await) }
        };
        let opened = shared.gate.pass(Call::RedisOpen, String::new, connect).await?;
        Ok(opened.and_then(|connection| {
            accessor
                .with(|mut access| access.get().connections.push(connection))
                .map(Resource::new_own)
                .ok_or(Error::TooManyConnections)
        }))
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Payload,
    ) -> Outcome<(), Error> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(payload);
        query(accessor, connection, command).await
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Outcome<Option<Payload>, Error> {
        let mut command = redis::cmd("GET");
        command.arg(key);
        let value: Outcome<Option<Payload>, Error> = query(accessor, connection, command).await;
        value.map(|result| {
            result.and_then(|value| {
                let length = value.as_ref().map_or(0, Vec::len);
                check_size(size_of::<Option<Payload>>() + length)?;
                Ok(value)
            })
        })
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Payload,
    ) -> Outcome<(), Error> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value);
        query(accessor, connection, command).await
    }

    async fn incr(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Outcome<i64, Error> {
        let mut command = redis::cmd("INCRBY");
        command.arg(key).arg(1);
        query(accessor, connection, command).await
    }

    async fn del(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Outcome<u32, Error> {
        let mut command = redis::cmd("DEL");
        command.arg(keys);
        query(accessor, connection, command).await
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Outcome<u32, Error> {
        let mut command = redis::cmd("SADD");
        command.arg(key).arg(values);
        // The one function for which Spin tells the wrong type from other errors.
        let told = |error: RedisError| match error.kind() {
            ErrorKind::TypeError => Error::TypeError,
            _ => other(error),
        };
        let call = Call::RedisCommand;
        let command = move || command.clone();
        run(accessor, connection, call, String::new(), command, told).await
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Outcome<Vec<String>, Error> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(key);
        query(accessor, connection, command).await
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Outcome<u32, Error> {
        let mut command = redis::cmd("SREM");
        command.arg(key).arg(values);
        query(accessor, connection, command).await
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Outcome<Vec<RedisResult>, Error> {
        let arguments = arguments.into_iter().map(|argument| match argument {
            RedisParameter::Int64(value) => value.to_string().into_bytes(),
            RedisParameter::Binary(value) => value,
        });
        let arguments = arguments.collect::<Vec<_>>();
        let server_clock = accessor.with(|mut access| access.get().shared.server_clock.clone());
        let name = command.clone();
        // A server reads its clock when the command takes effect.
        let cmd = move || match server_clock.script(&name, &arguments) {
            Some(command) => command,
            None => {
                let mut command = redis::cmd(&name);
                command.arg(&arguments);
                command
            }
        };
        let call = Call::RedisExecute;
        let results = run::<_, Flat>(accessor, connection, call, command, cmd, other);
        Ok(results.await?.and_then(|Flat(results)| {
            let bytes = results.iter().map(result_size).sum::<usize>();
            check_size(size_of::<Vec<RedisResult>>() + bytes)?;
            Ok(results)
        }))
    }
}

async fn connect(address: &str) -> Result<MultiplexedConnection, Error> {
    // Spin leaves Nagle's algorithm on; on a multiplexed connection it delays every second command.
    let config =
        AsyncConnectionConfig::new().set_tcp_settings(TcpSettings::default().set_nodelay(true));
    redis::Client::open(address)
        .map_err(|_| Error::InvalidAddress)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(other)
}

/// One of the functions that are named after a command.
async fn query<T: Send, R: FromRedisValue + Send + 'static>(
    accessor: &Accessor<T, Own>,
    connection: Resource<Connection>,
    command: Cmd,
) -> Outcome<R, Error> {
    let call = Call::RedisCommand;
    run(accessor, connection, call, String::new(), move || command.clone(), other).await
}

async fn run<T: Send, R: FromRedisValue + Send + 'static>(
    accessor: &Accessor<T, Own>,
    connection: Resource<Connection>,
    call: Call,
    detail: String,
    command: impl Fn() -> Cmd + Send + 'static,
    told: fn(RedisError) -> Error,
) -> Outcome<R, Error> {
    let (shared, connection) = accessor.with(|mut access| {
        let instance = access.get();
        let connection = instance.connections.get(connection.rep()).cloned();
        (instance.shared.clone(), connection)
    });
    let Some(connection) = connection else {
        return Ok(Err(Error::Other("could not find connection for resource".into())));
    };
    let effect = move || {
        let (command, mut connection) = (command(), connection.clone());
        async move { Ok(command.query_async::<R>(&mut connection).await.map_err(told)) }
    };
    shared.gate.pass(call, || detail, effect).await
}

fn other(error: RedisError) -> Error {
    Error::Other(error.to_string())
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > RESULT_BYTES_MAX {
        return Err(Error::Other(format!(
            "query result exceeds limit of {RESULT_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn result_size(result: &RedisResult) -> usize {
    size_of::<RedisResult>()
        + match result {
            RedisResult::Nil | RedisResult::Int64(_) => 0,
            RedisResult::Binary(bytes) => bytes.len(),
            RedisResult::Status(text) => text.len(),
        }
}

/// A reply as the guest gets it: nested arrays flattened, other aggregates refused.
struct Flat(Vec<RedisResult>);

impl FromRedisValue for Flat {
    fn from_redis_value(value: &Value) -> redis::RedisResult<Self> {
        let mut results = Vec::new();
        flatten(value, &mut results)?;
        Ok(Self(results))
    }
}

fn flatten(value: &Value, results: &mut Vec<RedisResult>) -> redis::RedisResult<()> {
    let refused = |what: &str| {
        Err(RedisError::from((
            ErrorKind::TypeError,
            "Could not convert Redis response",
            what.to_owned(),
        )))
    };
    results.push(match value {
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(*number),
        Value::BulkString(bytes) => RedisResult::Binary(bytes.clone()),
        Value::SimpleString(text) => RedisResult::Status(text.clone()),
        Value::Okay => RedisResult::Status("OK".into()),
        Value::Double(number) => RedisResult::Binary(number.to_string().into_bytes()),
        Value::Boolean(value) => RedisResult::Int64(i64::from(*value)),
        Value::BigNumber(number) => RedisResult::Binary(number.to_string().into_bytes()),
        Value::Array(values) | Value::Set(values) => {
            return values.iter().try_for_each(|value| flatten(value, results));
        }
        Value::Map(_) => return refused("Redis Map type is not supported"),
        Value::Attribute { .. } => return refused("Redis Attribute type is not supported"),
        Value::VerbatimString { .. } => {
            return refused("Redis string with format attribute is not supported");
        }
        Value::Push { .. } => return refused("Redis Pub/Sub types are not supported"),
        Value::ServerError(error) => {
            return Err(RedisError::from((
                ErrorKind::ResponseError,
                "Server error",
                format!("{error:?}"),
            )));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_flattened_as_spin_does() {
        let reply = Value::Array(vec![
            Value::Int(1),
            Value::Array(vec![Value::Nil, Value::BulkString(vec![0, 255])]),
            Value::Okay,
            Value::Array(vec![]),
            Value::Boolean(true),
            Value::Double(0.5),
        ]);
        let Flat(results) = Flat::from_redis_value(&reply).expect("all can be flattened");
        let shown =
            results.iter().map(|result| format!("{result:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            shown.replace("RedisResult::", ""),
            "Int64(1) Nil Binary([0, 255]) Status(\"OK\") Int64(1) Binary([48, 46, 53])"
        );
    }

    #[test]
    fn a_map_is_refused() {
        let error = Flat::from_redis_value(&Value::Map(vec![])).err();
        assert_eq!(
            error.map(|error| error.to_string()),
            Some(
                "Could not convert Redis response - TypeError: Redis Map type is not supported"
                    .into()
            )
        );
    }

    #[test]
    fn injected_errors_have_the_words_of_a_broken_connection() {
        let text = |call| match Error::broken(call) {
            Some(Error::Other(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(text(Call::RedisExecute), "broken pipe");
        assert_eq!(text(Call::RedisOpen), "Connection refused (os error 111)");
    }
}

//! What a commit sends to Redis, recorded: so that a native server and a bare component can send
//! exactly the same.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::issue as native;
use anyhow::{Context, Result, bail, ensure};
use binding::Binding;
use binding::redis::{Argument, Connection, Connector, Failure, Redis, Reply};
use coupons::context::Templates;
use domain::ids::UserId;
use domain::paid::PaidMark;
use domain::partition::Partitions;
use domain::transaction::{INTEGER_MAX, Transaction};
use end_to_end::redis_port::{NativeConnection, NativeConnector};

/// What goes before all keys, as in `spin.toml`.
const KEY_PREFIX: &str = "hb";
/// As in `spin.toml`.
const STAGE: &str = "live";

/// A command and its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// `EVALSHA`.
    pub name: String,
    /// Script, keys and arguments of the script.
    pub arguments: Vec<Argument>,
}

impl Command {
    /// The command of the check of a user; afterwards the server knows the script.
    ///
    /// # Errors
    /// The store's.
    pub async fn of_check(address: &str, user: u64) -> Result<Self> {
        let recorder = Recorder::default();
        let partitions = Partitions::default();
        let redis = Redis::new(&recorder, vec![address.to_owned()], KEY_PREFIX, STAGE, partitions);
        let mark = PaidMark::of(UserId(user), partitions);
        let transaction = Transaction { reads: vec![mark.read()], ..Transaction::default() };
        // The first one may send the script itself.
        for _ in 0..2 {
            redis.commit(mark.partition(), &transaction).await?;
        }
        recorder.last()
    }

    /// The command of an issue from a lease, changed so that it commits as often as it is sent: the
    /// order has to be there instead of absent, and every bound on an integer holds. It is as long,
    /// looks at as much and writes as much.
    ///
    /// # Errors
    /// The store's, or the issue was refused.
    pub async fn of_issue(address: &str, user: u64) -> Result<Self> {
        let recorder = Recorder::default();
        let partitions = Partitions::default();
        let redis = Redis::new(&recorder, vec![address.to_owned()], KEY_PREFIX, STAGE, partitions);
        let templates = Templates::default();
        // The first one takes the lease.
        for number in ["first", "n"] {
            let issued = native::issue(&redis, &templates, &native::claim(user, number)?).await;
            ensure!(issued.is_ok(), "{issued:?}");
        }
        let mut command = recorder.last()?;
        let Some(Argument::Integer(keys)) = command.arguments.get(1) else {
            bail!("the script has a number of keys")
        };
        let counts = 2 + usize::try_from(*keys)?;
        let Some(Argument::Integer(guards)) = command.arguments.get(counts) else {
            bail!("the script has a number of guards")
        };
        let (first, guards) = (counts + 3, usize::try_from(*guards)?);
        for guard in command.arguments[first..first + 4 * guards].chunks_mut(4) {
            let [name, _, _, bound] = guard else { bail!("a guard has four arguments") };
            match name {
                Argument::Bytes(name) if name == b"absent" => *name = b"present".to_vec(),
                Argument::Bytes(name) if name == b"at-most" => {
                    *bound = Argument::Integer(INTEGER_MAX);
                }
                Argument::Bytes(name) if name == b"at-least" => {
                    *bound = Argument::Integer(-INTEGER_MAX);
                }
                _ => {}
            }
        }
        Ok(command)
    }

    /// The arguments in the form that the bare component reads: between spaces, `i` and a decimal
    /// integer, or `b` and bytes in hexadecimal.
    pub fn to_variable(&self) -> String {
        let mut text = String::new();
        for argument in &self.arguments {
            let space = if text.is_empty() { "" } else { " " };
            text += space;
            match argument {
                Argument::Integer(integer) => text += &format!("i{integer}"),
                Argument::Bytes(bytes) => {
                    text.push('b');
                    for byte in bytes {
                        // Writing into a string cannot fail.
                        let _infallible = write!(text, "{byte:02x}");
                    }
                }
            }
        }
        text
    }
}

/// Connections to real servers that keep what was sent.
#[derive(Debug, Default)]
pub struct Recorder {
    connector: NativeConnector,
    executed: Arc<Mutex<Vec<Command>>>,
}

/// One of its connections.
#[derive(Debug)]
pub struct Recorded {
    connection: NativeConnection,
    executed: Arc<Mutex<Vec<Command>>>,
}

impl Recorder {
    /// How many commands there were.
    pub fn executed(&self) -> usize {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The last command.
    ///
    /// # Errors
    /// There was none, or it sent the script itself.
    pub fn last(&self) -> Result<Command> {
        let executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        let command = executed.last().context("a commit sends a command")?;
        ensure!(command.name == "EVALSHA", "the script is run by its name");
        Ok(command.clone())
    }
}

impl Connector for &Recorder {
    type Connection = Recorded;

    async fn connect(&self, address: &str) -> Result<Recorded, Failure> {
        let connection = (&self.connector).connect(address).await?;
        Ok(Recorded { connection, executed: Arc::clone(&self.executed) })
    }

    async fn pause(&self) {
        (&self.connector).pause().await;
    }
}

impl Connection for Recorded {
    async fn execute(
        &self,
        command: &str,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Reply>, Failure> {
        let recorded = Command { name: command.to_owned(), arguments: arguments.clone() };
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
        self.connection.execute(command, arguments).await
    }
}

//! The back end on Redis 7, Valkey and what managed services make of them.
//!
//! - [`script`]: a transaction as one run of one Lua script, `transaction.lua`
//! - [`id_set`]: where an id lies, so that it takes few bytes
//! - [`nodes`]: connections, and which node has a slot ([`cluster`])
//! - [`error`]: what an error says about the transaction
//! - [`durability`]: what a server says of how it keeps data
//!
//! Keys are `{prefix}:{stage}:{<partition>}:<kind><record>`: the partition, in literal braces, is the
//! hash tag, so that a partition lies in one slot.
//!
//! A transaction is `EVALSHA`, and `EVAL` after `NOSCRIPT`; it needs no modules and no `FUNCTION LOAD`. Redis does
//! not roll a script back, so the script checks everything first and writes afterwards. An ordered set is a sorted
//! set whose scores are all 0. An instance has one connection, which its concurrent requests share. On a cluster
//! the binding follows `MOVED` and `ASK`.

use domain::partition::{Partition, Partitions};
use domain::transaction::{CommitError, Outcome, Transaction};
use thiserror::Error;

use crate::Binding;
use error::{Verdict, verdict};
use nodes::Nodes;
use script::Call;

mod cluster;
pub mod durability;
mod error;
mod id_set;
mod nodes;
mod script;
mod shared;

/// Attempts of one commit: two for a broken connection, and a redirection or two, each of which may
/// meet a node that has just gone.
const ATTEMPTS_MAX: u32 = 6;

/// Opens connections.
pub trait Connector {
    /// A connection whose commands are multiplexed.
    type Connection: Connection;

    /// Opens a connection to `address`, a URL as `redis://host:port`.
    fn connect(&self, address: &str) -> impl Future<Output = Result<Self::Connection, Failure>>;

    /// Waits for about a millisecond, so that another task can go on.
    fn pause(&self) -> impl Future<Output = ()>;
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

/// A store on Redis. Keep one for the life of an instance: it keeps its connections, and concurrent
/// commits share them.
pub struct Redis<C: Connector> {
    nodes: Nodes<C>,
    /// What all keys begin with, but for the hash tag.
    prefix: String,
    partitions: Partitions,
}

/// Why an attempt has no answer.
enum Problem {
    /// There was no connection to send it on.
    NotOpened(Failure),
    /// It was sent, and nothing is known.
    Lost(Failure),
    /// The server answered with an error.
    Answered(Verdict, String),
}

/// Where an attempt goes.
struct Target {
    address: String,
    /// The slot is on its way there.
    asking: bool,
}

impl<C: Connector> Redis<C> {
    /// A store whose keys begin with `{prefix}:{stage}:`. One address is one server, several are
    /// nodes of a cluster.
    pub fn new(
        connector: C,
        addresses: Vec<String>,
        prefix: &str,
        stage: &str,
        partitions: Partitions,
    ) -> Self {
        let nodes = Nodes::new(connector, addresses);
        Self { nodes, prefix: format!("{prefix}:{stage}:"), partitions }
    }

    /// What a server says of itself in its answer to `INFO`: the one that has this key, or a part of it.
    ///
    /// # Errors
    /// It does not answer, or does not say.
    pub async fn info(&self, key: &str) -> Result<String, Failure> {
        let address = self.nodes.address(key).await?;
        let connection = self.nodes.connection(&address).await?;
        let replies = connection.execute("INFO", Vec::new()).await;
        match replies.inspect_err(|_| self.nodes.forget(&address, &connection))?.into_iter().next()
        {
            Some(Reply::Bytes(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Some(Reply::Status(text)) => Ok(text),
            _ => Err(Failure::Failed("the server says nothing of itself".to_owned())),
        }
    }

    /// Runs a call where its slot is, following the slot and replacing a broken connection.
    async fn run(&self, call: Call<'_>) -> Result<Vec<Reply>, CommitError> {
        // What an earlier attempt left open stays open, whatever the later ones say.
        let mut lost = None;
        let unavailable = |lost: Option<String>, text: String| match lost {
            None => CommitError::Unavailable(text),
            Some(lost) => CommitError::Unknown(lost),
        };
        let (mut learnt_again, mut target) = (false, None);
        for _ in 0..ATTEMPTS_MAX {
            let Target { address, asking } = match target.take() {
                Some(target) => target,
                None => match self.nodes.address(call.prefix).await {
                    Ok(address) => Target { address, asking: false },
                    Err(failure) => return Err(unavailable(lost, failure.to_string())),
                },
            };
            let problem = match self.attempt(&address, asking, call).await {
                Ok(replies) => return Ok(replies),
                Err(problem) => problem,
            };
            match problem {
                Problem::NotOpened(failure) => {
                    // With nobody else to ask this would be the same attempt again.
                    if learnt_again || self.nodes.is_single(&address) {
                        return Err(unavailable(lost, failure.to_string()));
                    }
                    learnt_again = true;
                    self.nodes.forget_slots();
                }
                Problem::Lost(failure @ Failure::Failed(_)) if lost.is_none() => {
                    lost = Some(failure.to_string());
                }
                Problem::Lost(failure) => return Err(CommitError::Unknown(failure.to_string())),
                Problem::Answered(Verdict::Moved(to), _) => {
                    let address = cluster::redirected(&address, &to.endpoint);
                    let _learnt = self.nodes.set_moved(to.slot, &address).await;
                    target = Some(Target { address, asking: false });
                }
                Problem::Answered(Verdict::Ask(to), _) => {
                    let address = cluster::redirected(&address, &to.endpoint);
                    target = Some(Target { address, asking: true });
                }
                Problem::Answered(Verdict::Unusable, text) => {
                    return Err(CommitError::Unreadable(text));
                }
                Problem::Answered(Verdict::Refused | Verdict::NoScript, text) => {
                    return Err(unavailable(lost, text));
                }
                Problem::Answered(Verdict::Failed | Verdict::Broken, text) => {
                    return Err(CommitError::Unknown(text));
                }
            }
        }
        Err(unavailable(lost, "the slot did not stay anywhere".to_owned()))
    }

    async fn attempt(
        &self,
        address: &str,
        asking: bool,
        call: Call<'_>,
    ) -> Result<Vec<Reply>, Problem> {
        if asking {
            // Between `ASKING` and its command nobody else's may slip in.
            let own = self.nodes.own_connection(address).await.map_err(Problem::NotOpened)?;
            return evaluate(&own, asking, call).await;
        }
        let connection = self.nodes.connection(address).await.map_err(Problem::NotOpened)?;
        let result = evaluate(&*connection, asking, call).await;
        if let Err(Problem::Lost(_)) = result {
            self.nodes.forget(address, &connection);
        }
        result
    }
}

/// Runs the script by its name, and sends it where the server does not know it yet.
async fn evaluate<C: Connection>(
    connection: &C,
    asking: bool,
    call: Call<'_>,
) -> Result<Vec<Reply>, Problem> {
    let by_name = call.arguments(script::SHA1);
    match command(connection, asking, "EVALSHA", by_name).await {
        Err(Problem::Answered(Verdict::NoScript, _)) => {
            command(connection, asking, "EVAL", call.arguments(script::SOURCE)).await
        }
        result => result,
    }
}

async fn command<C: Connection>(
    connection: &C,
    asking: bool,
    name: &str,
    arguments: Vec<Argument>,
) -> Result<Vec<Reply>, Problem> {
    if asking {
        connection.execute("ASKING", Vec::new()).await.map_err(Problem::NotOpened)?;
    }
    match connection.execute(name, arguments).await {
        Ok(replies) => Ok(replies),
        Err(Failure::TimedOut) => Err(Problem::Lost(Failure::TimedOut)),
        Err(Failure::Failed(text)) => match verdict(&text) {
            Verdict::Broken => Err(Problem::Lost(Failure::Failed(text))),
            verdict => Err(Problem::Answered(verdict, text)),
        },
    }
}

impl<C: Connector> Binding for Redis<C> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let prefix = format!("{}{{{partition}}}:", self.prefix);
        let call = Call { prefix: &prefix, partitions: self.partitions, transaction };
        let replies = self.run(call).await.map_err(|error| match error {
            // What only reads has not happened, whatever became of it.
            CommitError::Unknown(text) if transaction.is_read_only() => {
                CommitError::Unavailable(text)
            }
            error => error,
        })?;
        match script::decode(transaction, replies) {
            Some(outcome) => Ok(outcome?),
            None if transaction.is_read_only() => {
                Err(CommitError::Unreadable("a record holds something else".to_owned()))
            }
            None => Err(CommitError::Unknown("the answer is not the script's".to_owned())),
        }
    }
}

//! A component of the tests: commits whatever transaction it is given, with the store that functions
//! use, and answers with the outcome. So the conformance suite runs through a component, Spin's
//! imports and the host.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::transaction::{CommitError, Invalid, Outcome, Transaction};
use edge::route::Verb;
use edge::store::Binding as _;
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};
use serde::{Deserialize, Serialize};

/// What to commit, and where.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// In whose partition.
    pub home: Home,
    /// What.
    pub transaction: Transaction,
}

/// What decides the partition.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// The user of this id.
    User(u64),
    /// The configuration record of this key.
    Configuration(String),
}

/// How it ended.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Committed {
    /// [`Ok`].
    Outcome(Outcome),
    /// [`CommitError::Unavailable`].
    Unavailable(String),
    /// [`CommitError::Unknown`].
    Unknown(String),
    /// [`CommitError::Invalid`].
    Invalid(Invalid),
    /// [`CommitError::Unusable`].
    Unusable(String),
    /// [`CommitError::Unreadable`].
    Unreadable(String),
}

impl Home {
    fn partition(&self, partitions: Partitions) -> Partition {
        match self {
            Self::User(user) => partitions.locate(UserId(*user)).partition,
            Self::Configuration(key) => partitions.of_configuration(key),
        }
    }
}

impl From<Result<Outcome, CommitError>> for Committed {
    fn from(result: Result<Outcome, CommitError>) -> Self {
        match result {
            Ok(outcome) => Self::Outcome(outcome),
            Err(CommitError::Unavailable(text)) => Self::Unavailable(text),
            Err(CommitError::Unknown(text)) => Self::Unknown(text),
            Err(CommitError::Invalid(invalid)) => Self::Invalid(invalid),
            Err(CommitError::Unusable(text)) => Self::Unusable(text),
            Err(CommitError::Unreadable(text) | CommitError::Newer(text)) => Self::Unreadable(text),
        }
    }
}

impl From<Committed> for Result<Outcome, CommitError> {
    fn from(committed: Committed) -> Self {
        match committed {
            Committed::Outcome(outcome) => Ok(outcome),
            Committed::Unavailable(text) => Err(CommitError::Unavailable(text)),
            Committed::Unknown(text) => Err(CommitError::Unknown(text)),
            Committed::Invalid(invalid) => Err(CommitError::Invalid(invalid)),
            Committed::Unusable(text) => Err(CommitError::Unusable(text)),
            Committed::Unreadable(text) => Err(CommitError::Unreadable(text)),
        }
    }
}

const ROUTES: &[Route<()>] =
    &[Route { verb: Verb::Post, path: "/commit", access: Access::Open, operation: () }];

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

async fn answer((): (), call: &Call, _: &mut Stages) -> Result<Answer, Problem> {
    let Commit { home, transaction } = call.json()?;
    let store = edge::store::open(&call.config).await?;
    let partition = home.partition(call.config.partitions);
    Answer::json(&Committed::from(store.commit(partition, &transaction).await))
}

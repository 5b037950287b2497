//! What is put off on a busy night: how tokens are posted, and how far back statements go. A switch, for all
//! users.
//!
//! A token whose posting fails when it is given stays in the queue. The limit on statements leaves their first two
//! screens; only a page beyond these reads the switch.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::transaction::{CommitError, Field, Read, Value, Write};
use serde::{Deserialize, Serialize};
use store::{Record, codec};

use crate::context::Context;
use crate::records;

const MODE: &str = "mode";
const STATEMENTS: &str = "statements";

/// How tokens are posted. Whatever it is, who withdraws has theirs posted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// By settlement, in batches.
    #[default]
    Queued,
    /// From so many cents on when they are given; by settlement below, and where that failed.
    LargeAtOnce(i64),
    /// Not now: settlement posts what was given meanwhile once this is over.
    Off,
}

impl Record for Mode {
    const NAME: &'static str = "the mode of posting";
}

impl Mode {
    /// Whether a token of so many cents is posted when it is given.
    pub fn is_at_once(self, cents: i64) -> bool {
        matches!(self, Self::LargeAtOnce(least) if cents >= least)
    }
}

/// How far back statements go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statements {
    /// To the first entry.
    #[default]
    All,
    /// Two screens: what nearly everybody looks at, and is read at once.
    FirstScreens,
}

impl Statements {
    fn value(self) -> Value {
        Value::Integer(self as i64)
    }

    fn of(value: Option<&Value>) -> Result<Self, CommitError> {
        match integer(value)? {
            0 => Ok(Self::All),
            1 => Ok(Self::FirstScreens),
            _ => Err(unexpected()),
        }
    }
}

/// What is switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// How tokens are posted.
    pub mode: Mode,
    /// How far back statements go.
    pub statements: Statements,
}

/// The switches as they are now.
///
/// # Errors
/// The store's.
pub async fn read<B: Binding>(context: &Context<'_, B>) -> Result<Switches, CommitError> {
    let read = Read::Fields(records::posting(), [MODE, STATEMENTS].map(Field::from).to_vec());
    let home = records::home_of_posting(context.partitions);
    let answers = context.read(home, vec![read]).await?;
    let [mode, statements] = fields(answers.first())? else { return Err(unexpected()) };
    Ok(Switches {
        mode: mode.as_ref().map_or(Ok(Mode::default()), codec::decode)?,
        statements: Statements::of(statements.as_ref())?,
    })
}

/// Switches: whoever grants knows of it within half a second.
///
/// # Errors
/// The store's.
pub async fn switch<B: Binding>(
    context: &Context<'_, B>,
    switches: Switches,
) -> Result<(), CommitError> {
    let Switches { mode, statements } = switches;
    let values = [(MODE, codec::encode(&mode)), (STATEMENTS, statements.value())];
    let set = |(name, value): (&str, Value)| Write::Set(records::posting(), name.into(), value);
    context.write(records::home_of_posting(context.partitions), values.map(set)).await
}

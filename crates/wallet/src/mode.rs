//! How tokens are posted: a switch, for all users.

use binding::Binding;
use domain::answers::fields;
use domain::transaction::{CommitError, Read, Transaction, Write};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::entry::{decoded, encoded};
use crate::records;

/// The first byte of a mode. Another one means another encoding.
const ENCODING: u8 = 1;
const MODE: &str = "mode";

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

impl Mode {
    /// Whether a token of so many cents is posted when it is given.
    pub fn is_at_once(self, cents: i64) -> bool {
        matches!(self, Self::LargeAtOnce(least) if cents >= least)
    }
}

/// The mode as it is now.
///
/// # Errors
/// The store's.
pub async fn read<B: Binding>(context: &Context<'_, B>) -> Result<Mode, CommitError> {
    let read = Read::Fields(records::posting(), vec![MODE.into()]);
    let home = records::home_of_posting(context.partitions);
    let answers = context.read(home, vec![read]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    value.map_or(Ok(Mode::default()), |value| decoded(value, ENCODING, "the mode of posting"))
}

/// Switches: whoever grants knows of it within half a second.
///
/// # Errors
/// The store's.
pub async fn switch<B: Binding>(context: &Context<'_, B>, mode: Mode) -> Result<(), CommitError> {
    let write = Write::Set(records::posting(), MODE.into(), encoded(&mode, ENCODING));
    let transaction = Transaction { writes: vec![write], ..Transaction::default() };
    context.commit(records::home_of_posting(context.partitions), transaction).await?;
    Ok(())
}

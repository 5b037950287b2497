//! Heads: what is known of an activity without its keys, in one field that is changed as a whole.

use domain::answers::{fields, unexpected};
use domain::error::InvalidInput;
use domain::time::UnixMillis;
use domain::transaction::{
    CommitError, Guard, Outcome, Read, Transaction, VALUE_BYTES_MAX, Value, Write,
};
use edge::store::Binding;
use pricing::activity::Activity;

use crate::context::Context;
use crate::records::{self, Head, Retired, Version};
use crate::refusal::Failure;

/// A head as it was read.
pub struct Found {
    /// As the store keeps it.
    pub value: Option<Value>,
    /// The head; an empty one where there is none.
    pub head: Head,
}

/// Reads the head of an activity from the store.
///
/// # Errors
/// The store's.
pub async fn find<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Found, CommitError> {
    let read = Read::Fields(records::heads(), vec![id.into()]);
    let answers = context.read_all(vec![(context.shelf_of(id), read)]).await?;
    let [value] = fields(answers.first())? else { return Err(unexpected()) };
    let head = value.as_ref().map(records::decode).transpose()?.unwrap_or_default();
    Ok(Found { value: value.clone(), head })
}

/// Puts a changed head in the place of the one that was found, and writes something beside it; `false`
/// where somebody else was first.
///
/// # Errors
/// `too_large`; the store's.
pub async fn replace<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    mut head: Head,
    mut writes: Vec<Write>,
) -> Result<bool, Failure> {
    head.changes += 1;
    head.changed_at = context.now.0;
    let value = records::encode(&head);
    if matches!(&value, Value::Bytes(bytes) if bytes.len() > VALUE_BYTES_MAX) {
        let detail = format!("with its versions must have at most {VALUE_BYTES_MAX} bytes");
        return Err(InvalidInput::new("too_large", "dimensions", detail).into());
    }
    let (record, field) = (records::heads(), id.into());
    let guard = match &found.value {
        Some(before) => Guard::FieldEquals(record.clone(), field, before.clone()),
        None => Guard::FieldAbsent(record.clone(), field),
    };
    writes.push(Write::Set(record, id.into(), value));
    let (before, after) = (found.head.retires_since(), head.retires_since());
    let gone = before.filter(|_| before != after);
    writes.extend(gone.map(|at| records::RETIRING.remove(at, id.as_bytes())));
    writes.extend(after.map(|at| records::RETIRING.add(at, id.as_bytes())));
    let transaction = Transaction { guards: vec![guard], writes, ..Transaction::default() };
    let outcome = context.commit(context.shelf_of(id), transaction).await?;
    context.catalogue.outdate();
    Ok(matches!(outcome, Outcome::Committed(_)))
}

impl Head {
    /// The versions there are.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        [&self.live, &self.draft, &self.staged].into_iter().flatten()
    }

    /// Since when the first key set is to be retired, which is where the activity stands in
    /// [`records::RETIRING`]; `None` where there is none.
    pub fn retires_since(&self) -> Option<UnixMillis> {
        self.retired.first().map(|retired| UnixMillis(retired.since))
    }

    /// Parts with a version, and with its key set where no other one has it; what is to be written
    /// beside the head.
    pub fn retire(&mut self, id: &str, version: Option<Version>, now_ms: i64) -> Option<Write> {
        let Version { version, set, parts, .. } = version?;
        if self.versions().any(|other| other.set == set) {
            return Some(Write::Unset(records::definitions(id), records::number(version)));
        }
        self.retired.push(Retired { set, version, parts, since: now_ms });
        None
    }
}

/// The definition of a version of a head that was just read.
///
/// # Errors
/// The store's; `Unavailable` where the definition has gone since.
pub async fn definition<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: u64,
) -> Result<Activity, CommitError> {
    // The head was changed since it was read: asking again finds what it is now.
    let gone = || CommitError::Unavailable("a definition that has just gone".into());
    stored_definition(context, id, version).await?.ok_or_else(gone)
}

/// The definition of a version, if it is there.
///
/// # Errors
/// The store's.
pub async fn stored_definition<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: u64,
) -> Result<Option<Activity>, CommitError> {
    let read = Read::Fields(records::definitions(id), vec![records::number(version)]);
    let answers = context.read_all(vec![(context.shelf_of(id), read)]).await?;
    let broken = || CommitError::Unreadable("the definition of an activity cannot be read".into());
    let json = match fields(answers.first())? {
        [Some(Value::Bytes(json))] => json,
        [None] => return Ok(None),
        _ => return Err(broken()),
    };
    edge::json::stored(json).map(Some).ok_or_else(broken)
}

//! Heads: what is known of an activity without its keys, in one field that is changed as a whole.

use domain::answers::{fields, unexpected};
use domain::error::InvalidInput;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Read, VALUE_BYTES_MAX, Value, Write};
use pricing::activity::Activity;
use purchases::activities::listed;
use store::attempts::{attempts, lost};
use store::sealed::Kind;
use store::{Binding, Plan, Versioned, codec};

use crate::context::Context;
use crate::records::{self, Definition, Head, Retired, Version};
use crate::refusal::{Failure, Refusal};

/// A head as it was read.
pub struct Found {
    /// As the store keeps it.
    pub value: Option<Value>,
    /// The head; an empty one where there is none.
    pub head: Head,
}

/// Where the head of an activity lies.
pub fn place<B: Binding>(context: &Context<'_, B>, id: &str) -> Versioned<Head> {
    Versioned::new(context.shelf_of(id), records::heads(), id)
}

/// Reads the head of an activity from the store.
///
/// # Errors
/// The store's.
pub async fn find<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Found, CommitError> {
    let seen = place(context, id).find(context).await?;
    Ok(Found { value: seen.stored, head: seen.record.unwrap_or_default() })
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
    let value = codec::encode(&head);
    if matches!(&value, Value::Bytes(bytes) if bytes.len() > VALUE_BYTES_MAX) {
        let detail = format!("with its versions must have at most {VALUE_BYTES_MAX} bytes");
        return Err(InvalidInput::new("too_large", "dimensions", detail).into());
    }
    let place = place(context, id);
    writes.push(Write::Set(place.map.clone(), place.field.clone(), value));
    writes.extend(entries(id, &found.head, &head));
    let mut plan = Plan::new();
    plan.demand(Why::Changed, place.unchanged(found.value.as_ref()));
    if found.value.is_none() {
        plan.demand(Why::Sealed, Kind::Activity.demand_unused(id, context.partitions));
        // Nothing is of an activity that is not listed.
        plan.write(Write::AddMember(listed(), id.into()));
    }
    plan.write_all(writes);
    let decided = context.commit(place.partition, plan).await?;
    context.catalogue.outdate();
    match decided {
        Ok(_) => Ok(true),
        Err(refused) if refused.why == Why::Sealed => Err(Refusal::Sealed.into()),
        Err(_) => Ok(false),
    }
}

/// Why a head is not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is not what was found.
    Changed,
    /// There is none, because the activity is sealed to its end.
    Sealed,
}

/// What changes with a head in the indexes that follow from it.
pub fn entries(id: &str, before: &Head, after: &Head) -> Vec<Write> {
    let mut writes = Vec::new();
    for (index, was, is) in [
        (records::RETIRING, before.retires_since(), after.retires_since()),
        (records::OVER, before.over_since(), after.over_since()),
        (records::SEALED, before.sealing_at(), after.sealing_at()),
    ] {
        writes.extend(was.filter(|_| was != is).map(|at| index.remove(at, id.as_bytes())));
        writes.extend(is.map(|at| index.add(at, id.as_bytes())));
    }
    writes
}

/// Takes the entry of an activity that has come to stand for nothing out of its index. Where the head is changed at this
/// moment, whoever changes it writes its entries.
///
/// # Errors
/// The store's.
pub async fn forget_entry<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    entry: Write,
) -> Result<(), CommitError> {
    let place = place(context, id);
    let mut stale = Plan::new();
    stale.demand((), place.unchanged(found.value.as_ref())).write(entry);
    context.commit(place.partition, stale).await.map(drop)
}

/// What is tried until nobody else publishes in between.
const PUBLISHING: &str = "publish";

/// As [`attempts`], of what others who publish may overtake.
///
/// # Errors
/// `published_meanwhile` where every attempt lost; those of an attempt.
pub async fn publishing<T>(
    attempt: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    match attempts(PUBLISHING, attempt).await {
        Err(Failure::Store(error)) if error == lost(PUBLISHING) => {
            Err(Refusal::PublishedMeanwhile.into())
        }
        result => result,
    }
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

    /// Whether somebody tries its draft.
    fn is_tried(&self) -> bool {
        self.rollout.percent > 0 || !self.rollout.users.is_empty()
    }

    /// When the last window of a version ends by which anybody buys, or when it was changed, if that is later.
    pub fn ends_at(&self) -> UnixMillis {
        let tried = self.draft.iter().filter(|_| self.is_tried());
        let ends = self.live.iter().chain(tried).map(|version| version.activity.until.0);
        UnixMillis(ends.fold(self.changed_at, i64::max))
    }

    /// Since when something of it is over, which is where the activity stands in [`records::OVER`]: a draft that nobody
    /// tries, since it was changed; or all of it. `None` where it is sealed, or not there.
    pub fn over_since(&self) -> Option<UnixMillis> {
        let is_there = self.changes > 0 && self.sealed.is_none();
        let waits = self.draft.is_some() && !self.is_tried();
        is_there.then(|| if waits { UnixMillis(self.changed_at) } else { self.ends_at() })
    }

    /// From when on the next step of sealing may be done, which is where the activity stands in [`records::SEALED`].
    pub fn sealing_at(&self) -> Option<UnixMillis> {
        self.sealed.as_ref().map(|sealed| UnixMillis(sealed.next))
    }

    /// Refuses what an activity that is sealed cannot have any more.
    ///
    /// # Errors
    /// `sealed`.
    pub fn check_open(&self) -> Result<(), Refusal> {
        if self.sealed.is_some() { Err(Refusal::Sealed) } else { Ok(()) }
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

/// The definition of a version of a head that was found.
///
/// # Errors
/// The store's; `Unreadable` where it is missing, and `Unavailable` where it has gone since.
pub async fn definition<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    version: u64,
) -> Result<Activity, CommitError> {
    if let Some(definition) = stored_definition(context, id, version).await? {
        return Ok(definition);
    }
    check_changed(context, id, found, version).await?;
    // Asking again finds what the head is now.
    Err(CommitError::Unavailable("a definition that has just gone".into()))
}

/// Looks at a head again that names a version without a definition.
///
/// # Errors
/// `Unreadable` where the head is what was found: the definition was lost. The store's.
pub async fn check_changed<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    version: u64,
) -> Result<(), CommitError> {
    if find(context, id).await?.value != found.value {
        return Ok(());
    }
    let missing = format!("version {version} of activity {id} has no definition");
    Err(CommitError::Unreadable(missing))
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
    let [value] = fields(answers.first())? else { return Err(unexpected()) };
    let definition: Option<Definition<Activity>> = value.as_ref().map(codec::decode).transpose()?;
    Ok(definition.map(|Definition(activity)| activity))
}

//! Publishing: drafts, versions, and who sees them.
//!
//! A version is written down first, then its keys go into the index, and only then is it live: a change of
//! one record, so that everybody sees the whole of it or nothing. What is interrupted is done again by who
//! asks again. Key sets that no version needs any more are taken out of the index later, when nobody reads
//! by them any more.
//!
//! A mention in the index carries the *key set* of its version. A reader takes a mention only if the live version
//! has that key set, so nobody sees half of an activity, whatever crashes when. A version that names the same
//! products keeps the key set, and is live in one commit. A key set that no version needs leaves the index five
//! seconds later at the earliest, when no instance can still read by it ([`crate::retire`]). Of two readings of a
//! head, the one with fewer changes is the older one and is never taken.
//!
//! A draft is a version beside the live one, and is in the index too: that is how both are evaluated for one cart.
//! The users who try drafts are chosen by a hash of their id, the same for all activities.

use domain::answers::{fields, unexpected};
use domain::digest;
use domain::error::InvalidInput;
use domain::transaction::{Answer, CommitError, Guard, Read, Value, Write};
use pricing::activity::{Activity, KeyKind};
use store::{Binding, Plan, Versioned, codec};

use crate::context::Context;
use crate::heads::{self, Found, definition, find, publishing, replace};
use crate::index::{self, Change, named_keys};
use crate::records::{self, Archived, Definition, Head, Rollout, SkuPart, Version};
use crate::refusal::{Failure, Refusal};
use crate::retire;
use crate::selectors::{LIST_MASK, Selectors, without_products};

/// Bytes of a definition in JSON: with 16 bytes a key some thousands of keys. More SKUs are sent as a list.
const DEFINITION_BYTES_MAX: usize = 60_000;

/// Which version of an activity is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that holds.
    Live,
    /// The one that is tried.
    Draft,
}

/// A version, and what there is beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub version: u64,
    /// What was published.
    pub definition: Activity,
    /// The version of the draft, where there is one.
    pub draft: Option<u64>,
    /// For whom the draft holds.
    pub rollout: Rollout,
    /// Parts of its list of SKUs that are in the index, and all of them.
    pub parts: (u64, u32),
    /// Key sets that are still to be taken out of the index.
    pub retiring: usize,
}

/// Saves a valid activity: as a draft, or to be live at once. The same again is the same version.
///
/// # Errors
/// `too_large`, `too_many_activities`, `published_meanwhile`, `sealed`; `incomplete` where it has a list of SKUs and
/// is not saved as a draft; the store's.
pub async fn save<B: Binding>(
    context: &Context<'_, B>,
    activity: &Activity,
    which: Which,
) -> Result<u64, Failure> {
    let id = &activity.id;
    // Types without maps and floats: nothing that JSON could refuse.
    let json = serde_json::to_vec(activity).unwrap_or_default();
    if json.len() > DEFINITION_BYTES_MAX {
        let detail =
            format!("must have at most {DEFINITION_BYTES_MAX} bytes; send SKUs as a sku_list");
        return Err(InvalidInput::new("too_large", "dimensions.products", detail).into());
    }
    let digest = digest::digest(&json);
    publishing(async || {
        let found = find(context, id).await?;
        found.head.check_open()?;
        if let Some(live) = &found.head.live
            && which == Which::Live
            && live.digest == digest
        {
            return Ok(Some(live.version));
        }
        let place = |head: &Head| match which {
            Which::Live => head.staged.clone(),
            Which::Draft => head.draft.clone(),
        };
        if let Some(saved) = place(&found.head).filter(|saved| saved.digest == digest) {
            if !saved.indexed {
                add_keys(context, activity, saved.set).await?;
            } else if which == Which::Draft {
                return Ok(Some(saved.version));
            }
            return finish(context, id, &found, saved, which).await;
        }
        let mut head = found.head.clone();
        let version = next_version(&head, activity, digest, &json);
        if which == Which::Live {
            // Parts are sent to drafts: nothing begins that could not be ended.
            check_complete(context, id, &version).await?;
        }
        head.last = version.version;
        let number = records::number(version.version);
        let definition = codec::encode(&Definition(activity));
        let mut writes = vec![Write::Set(records::definitions(id), number, definition)];
        let place = match which {
            Which::Live => &mut head.staged,
            Which::Draft => &mut head.draft,
        };
        let set = version.set;
        let before = place.replace(version);
        // Who tries drafts does not see half of one: another draft is rolled out when it is whole.
        let is_whole = |other: &Option<Version>| other.as_ref().is_some_and(|one| one.set == set);
        if which == Which::Draft && !is_whole(&before) && !is_whole(&head.live) {
            head.rollout = Rollout::default();
        }
        writes.extend(head.retire(id, before, context.now.0));
        replace(context, id, &found, head, writes).await?;
        Ok(None)
    })
    .await
}

/// A further version. It has the key set of another one that names the same products.
fn next_version(head: &Head, activity: &Activity, digest: u64, json: &[u8]) -> Version {
    let products = &activity.dimensions.products;
    // Beside it stands nothing that could make two of them alike.
    let hash = digest::digest(&serde_json::to_vec(products).unwrap_or_else(|_| json.to_vec()));
    let version = head.last + 1;
    let same = head.versions().find(|other| other.products == hash);
    Version {
        version,
        digest,
        set: same.map_or(version, |same| same.set),
        products: hash,
        indexed: same.is_some_and(|same| same.indexed),
        parts: products.sku_list.as_ref().map_or(0, |list| list.parts),
        selectors: Selectors::of(products),
        activity: without_products(activity),
    }
}

/// Puts the keys that an activity names itself into the index.
async fn add_keys<B: Binding>(
    context: &Context<'_, B>,
    activity: &Activity,
    set: u64,
) -> Result<(), Failure> {
    let keys = named_keys(activity);
    index::change(context, &activity.id, set, &keys, Change::Add).await
}

/// Marks a version as indexed; one that is to be live becomes so. `None` where somebody else was first.
async fn finish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    mut saved: Version,
    which: Which,
) -> Result<Option<u64>, Failure> {
    let mut head = found.head.clone();
    let version = saved.version;
    saved.indexed = true;
    let mut writes = Vec::new();
    match which {
        Which::Draft => head.draft = Some(saved),
        Which::Live => {
            check_complete(context, id, &saved).await?;
            head.staged = None;
            let before = head.live.replace(saved);
            writes.extend(head.retire(id, before, context.now.0));
        }
    }
    let replaced = replace(context, id, found, head, writes).await?;
    Ok(replaced.then_some(version))
}

/// Parts of a version's list that are in the index.
async fn received<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: &Version,
) -> Result<u64, CommitError> {
    if version.parts == 0 {
        return Ok(0);
    }
    let read = Read::Size(records::listed(id, version.set));
    match context.read_all(vec![(context.shelf_of(id), read)]).await?.first() {
        Some(Answer::Size(size)) => Ok(*size),
        _ => Err(unexpected()),
    }
}

async fn check_complete<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: &Version,
) -> Result<(), Failure> {
    let received = received(context, id, version).await?;
    if received < u64::from(version.parts) {
        return Err(Refusal::Incomplete(received, version.parts).into());
    }
    Ok(())
}

/// Makes a draft live. Doing it again changes nothing.
///
/// # Errors
/// `unknown_draft`, `not_the_draft`, `incomplete`, `published_meanwhile`, `sealed`; the store's.
pub async fn publish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: u64,
) -> Result<(), Failure> {
    publishing(async || {
        let found = find(context, id).await?;
        found.head.check_open()?;
        if found.head.live.as_ref().is_some_and(|live| live.version == version) {
            retire::clean(context, id).await?;
            return Ok(Some(()));
        }
        let mut head = found.head.clone();
        let mut draft = head.draft.take().ok_or(Refusal::UnknownDraft)?;
        if draft.version != version {
            return Err(Refusal::NotTheDraft.into());
        }
        check_complete(context, id, &draft).await?;
        if !draft.indexed {
            let definition = definition(context, id, &found, version).await?;
            add_keys(context, &definition, draft.set).await?;
            draft.indexed = true;
        }
        head.rollout = Rollout::default();
        let before = head.live.replace(draft);
        let writes = head.retire(id, before, context.now.0).into_iter().collect();
        Ok(replace(context, id, &found, head, writes).await?.then_some(()))
    })
    .await
}

/// Says for whom a draft holds.
///
/// # Errors
/// `unknown_draft`, `incomplete`, `published_meanwhile`, `sealed`; the store's.
pub async fn roll_out<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    rollout: &Rollout,
) -> Result<u64, Failure> {
    publishing(async || {
        let found = find(context, id).await?;
        found.head.check_open()?;
        let draft = found.head.draft.as_ref().ok_or(Refusal::UnknownDraft)?;
        check_complete(context, id, draft).await?;
        let (version, mut head) = (draft.version, found.head.clone());
        if head.rollout == *rollout && draft.indexed {
            return Ok(Some(version));
        }
        if !draft.indexed {
            add_keys(context, &definition(context, id, &found, version).await?, draft.set).await?;
            head.draft = Some(Version { indexed: true, ..draft.clone() });
        }
        head.rollout = rollout.clone();
        Ok(replace(context, id, &found, head, vec![]).await?.then_some(version))
    })
    .await
}

/// Takes an activity, or its draft, away. Doing it again changes nothing.
///
/// # Errors
/// `published_meanwhile`; the store's.
pub async fn withdraw<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    which: Which,
) -> Result<(), Failure> {
    publishing(async || {
        let found = find(context, id).await?;
        let mut head = found.head.clone();
        let mut gone = match which {
            Which::Live => vec![head.live.take(), head.staged.take()],
            Which::Draft => vec![head.draft.take()],
        };
        gone.retain(Option::is_some);
        if gone.is_empty() {
            retire::clean(context, id).await?;
            return Ok(Some(()));
        }
        if which == Which::Draft {
            head.rollout = Rollout::default();
        }
        let retire = |version| head.retire(id, version, context.now.0);
        let writes = gone.into_iter().filter_map(retire).collect();
        Ok(replace(context, id, &found, head, writes).await?.then_some(()))
    })
    .await
}

/// Why a part is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is there.
    Known,
    /// The head is not what it was.
    Changed,
}

/// Sends a part of the list of SKUs of a draft; how many parts are in the index then, and how many there
/// will be. The same part again changes nothing.
///
/// # Errors
/// `unknown_draft`, `unknown_part`, `part_differs`, `too_many_activities`, `published_meanwhile`, `sealed`; the
/// store's.
pub async fn add_part<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    part: u32,
    skus: &[String],
) -> Result<(u64, u32), Failure> {
    let shelf = context.shelf_of(id);
    let found = find(context, id).await?;
    found.head.check_open()?;
    let draft = found.head.draft.as_ref().ok_or(Refusal::UnknownDraft)?;
    if !(1..=draft.parts).contains(&part) {
        return Err(Refusal::UnknownPart.into());
    }
    let (list, listed) = (records::list(id, draft.set), records::listed(id, draft.set));
    let field = records::number(part.into());
    let sent = SkuPart(skus.iter().map(String::as_str).collect());
    let mut plan = Plan::new();
    plan.demand(Why::Known, Guard::FieldAbsent(list.clone(), field.clone()));
    // Parts of a draft that is gone would stay for ever.
    plan.demand(Why::Changed, heads::place(context, id).unchanged(found.value.as_ref()));
    plan.write(Write::Set(list, field.clone(), codec::encode(&sent)));
    plan.read(Read::Fields(listed.clone(), vec![field.clone()]));
    let answers = match context.commit(shelf, plan).await? {
        Ok(answers) => answers,
        Err(refused) => match refused.why {
            Why::Changed => return Err(Refusal::PublishedMeanwhile.into()),
            Why::Known => {
                let stored: Option<SkuPart<'_>> =
                    refused.field()?.map(codec::decode).transpose()?;
                if stored != Some(sent) {
                    return Err(Refusal::PartDiffers.into());
                }
                refused.reads
            }
        },
    };
    if fields(answers.first())? == [None] {
        let key = |sku: &String| (records::key(KeyKind::Sku, sku), LIST_MASK);
        let keys: Vec<_> = skus.iter().map(key).collect();
        index::change(context, id, draft.set, &keys, Change::Add).await?;
        let mut plan = Plan::new();
        // A mark of a draft that is gone would stay for ever.
        plan.demand((), heads::place(context, id).unchanged(found.value.as_ref()));
        plan.write(Write::Set(listed, field, Value::Integer(1)));
        if context.commit(shelf, plan).await?.is_err() {
            return Err(Refusal::PublishedMeanwhile.into());
        }
    }
    Ok((received(context, id, draft).await?, draft.parts))
}

/// What is left of an activity that is sealed, as long as that is kept.
///
/// # Errors
/// The store's.
pub async fn find_sealed<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Archived>, CommitError> {
    let archive = Versioned::<Archived>::new(context.shelf_of(id), records::archive(), id);
    let reads = vec![heads::place(context, id).read(), archive.read()];
    let answers = context.read(context.shelf_of(id), reads).await?;
    let head = heads::place(context, id).answered(answers.first())?.record;
    let sealed = head.and_then(|head| head.sealed).map(|sealed| sealed.was);
    Ok(sealed.or(archive.answered(answers.get(1))?.record))
}

/// What was published, or is being tried.
///
/// # Errors
/// `unknown_activity`, `unknown_draft`; the store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    which: Which,
) -> Result<Published, Failure> {
    let found = find(context, id).await?;
    let head = &found.head;
    let version = match which {
        Which::Live => head.live.as_ref().ok_or(Refusal::UnknownActivity("activity".into()))?,
        Which::Draft => head.draft.as_ref().ok_or(Refusal::UnknownDraft)?,
    };
    Ok(Published {
        version: version.version,
        definition: definition(context, id, &found, version.version).await?,
        draft: head.draft.as_ref().map(|draft| draft.version),
        rollout: head.rollout.clone(),
        parts: (received(context, id, version).await?, version.parts),
        retiring: head.retired.len(),
    })
}

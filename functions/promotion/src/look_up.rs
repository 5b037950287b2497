//! Asking the store what the catalogue does not know.
//!
//! A cart's keys are looked up in the index, all at once; then the activities that it mentions, those
//! that are not known yet. After that an instance answers for the same keys without the store, until
//! what it knows is too old. Cost grows with the cart, and not with how many activities there are.

use std::rc::Rc;

use domain::answers::unexpected;
use domain::transaction::{Answer, CommitError, Field, MapKey, READ_FIELDS_MAX, Read, Value};
use pricing::cart::Line;
use store::Binding;

use crate::catalogue::{Candidate, Numbers, View, collect, mentioned_slots, missing_keys};
use crate::context::Context;
use crate::records::{self, Head, SHELVES};

/// Passes of one request: each lost one saw something change.
const PASSES_MAX: u32 = 32;

/// The activities that name something in these lines, in a view.
///
/// # Errors
/// The store's.
pub async fn candidates<B: Binding>(
    context: &Context<'_, B>,
    lines: &[Line<'_>],
    view: View,
) -> Result<Vec<Candidate>, CommitError> {
    let numbers = context.catalogue.known.borrow_mut().numbers(lines);
    for _ in 0..PASSES_MAX {
        let epoch = context.catalogue.known.borrow().epoch;
        look_up_keys(context, lines, &numbers).await?;
        let slots = mentioned_slots(&context.catalogue.known.borrow(), &numbers);
        look_up_heads(context, &slots).await?;
        let known = context.catalogue.known.borrow();
        if known.epoch == epoch {
            return Ok(collect(&known, &numbers, view));
        }
    }
    let detail = format!("activities changed {PASSES_MAX} times while they were read");
    Err(CommitError::Unavailable(detail))
}

/// The head of one activity, as it was a moment ago.
///
/// # Errors
/// The store's.
pub async fn head<B: Binding>(
    context: &Context<'_, B>,
    activity: &str,
) -> Result<Option<Rc<Head>>, CommitError> {
    let slot = context.catalogue.known.borrow_mut().slot(activity);
    look_up_heads(context, &[slot]).await?;
    let known = context.catalogue.known.borrow();
    Ok(known.slots.get(slot as usize).and_then(|slot| slot.head.clone()))
}

/// Looks up the keys that are not known, all at once.
async fn look_up_keys<B: Binding>(
    context: &Context<'_, B>,
    lines: &[Line<'_>],
    numbers: &Numbers,
) -> Result<(), CommitError> {
    let (missing, epoch) = {
        let mut known = context.catalogue.known.borrow_mut();
        (missing_keys(&mut known, lines, numbers), known.epoch)
    };
    if missing.is_empty() {
        return Ok(());
    }
    {
        let (mut known, now) = (context.catalogue.known.borrow_mut(), context.now.0);
        known.since = Some(known.since.map_or(now, |since| since.min(now)));
    }
    let values = read_fields(context, &records::index(), missing).await?;
    let mut known = context.catalogue.known.borrow_mut();
    if known.epoch != epoch {
        return Ok(());
    }
    for (number, value) in values {
        let mentioned = known.mentioned(value.as_ref())?;
        known.keys[number as usize].mentioned = Some(mentioned);
    }
    Ok(())
}

/// Reads fields of the record that every shelf has, each from the shelf of its name.
async fn read_fields<B: Binding, T>(
    context: &Context<'_, B>,
    record: &MapKey,
    named: Vec<(String, T)>,
) -> Result<Vec<(T, Option<Value>)>, CommitError> {
    let mut shelves: [(Vec<Field>, Vec<T>); SHELVES as usize] = Default::default();
    for (name, what) in named {
        let (fields, asked) = &mut shelves[records::shelf_of(&name) as usize];
        fields.push(Field(name.into_bytes()));
        asked.push(what);
    }
    let (mut reads, mut asked) = (Vec::new(), Vec::new());
    for (shelf, (mut fields, what)) in (0..).zip(shelves) {
        asked.extend(what);
        while !fields.is_empty() {
            let rest = fields.split_off(fields.len().min(READ_FIELDS_MAX as usize));
            reads.push((context.shelf(shelf), Read::Fields(record.clone(), fields)));
            fields = rest;
        }
    }
    let mut values = Vec::with_capacity(asked.len());
    for answer in context.read_all(reads).await? {
        let Answer::Fields(fields) = answer else { return Err(unexpected()) };
        values.extend(fields);
    }
    Ok(asked.into_iter().zip(values).collect())
}

/// Looks up the heads that are not fresh, all at once.
async fn look_up_heads<B: Binding>(
    context: &Context<'_, B>,
    slots: &[u32],
) -> Result<(), CommitError> {
    let named: Vec<(String, u32)> = {
        let known = context.catalogue.known.borrow();
        let slots = slots.iter().filter_map(|slot| Some((known.slots.get(*slot as usize)?, *slot)));
        let stale = slots.filter(|(known, _)| !known.is_fresh);
        stale.map(|(known, slot)| (known.activity.to_string(), slot)).collect()
    };
    if named.is_empty() {
        return Ok(());
    }
    let values = read_fields(context, &records::heads(), named).await?;
    let mut known = context.catalogue.known.borrow_mut();
    let mut is_news = false;
    for (slot, value) in values {
        is_news |= known.set_head(slot, value.as_ref(), context.now.0)?;
    }
    if is_news {
        // Keys that were read before the head may lack what it has; those that are read now do not.
        known.forget_mentions();
    }
    Ok(())
}

//! The activities that name something in a cart: what the index and the heads say, as they were at most
//! half a second ago.
//!
//! A cart's keys are looked up in the index, all at once; then the activities that it mentions, those
//! that are not known yet. After that an instance answers for the same keys without the store, until
//! what it knows is too old. Cost grows with the cart, and not with how many activities there are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use domain::answers::fields;
use domain::ids::UserId;
use domain::partition::mix;
use domain::transaction::{CommitError, Field, Read, Value};
use edge::store::Binding;
use foldhash::fast::FixedState;
use pricing::activity::{Activity, KeyKind};
use pricing::cart::Line;
use pricing::considered::Considered;

use crate::context::Context;
use crate::records::{self, Head, Mention, SHELVES, Version};

/// Keys that an instance remembers: carts of some thousand lines. Beyond it forgets all of them.
const KEYS_MAX: usize = 20_000;
/// Activities that an instance remembers.
const ACTIVITIES_MAX: usize = 8_192;
/// How long ago a head must have begun to change for keys that were read since to be taken as they are:
/// longer than any request, and whatever is late of one.
const SETTLED_MS: i64 = 120_000;
/// Passes of one request: each lost one saw something change, or be forgotten.
const PASSES_MAX: u32 = 32;
/// Fields of one read.
const FIELDS_MAX: usize = 1_000;

/// Seeded, because keys come from outside: whoever knew the seed could make all of them collide.
type Map<V> = HashMap<Box<str>, V, FixedState>;

/// What was read a moment ago. Whoever keeps one renews it with the configuration, which is at most
/// 500 ms old.
#[derive(Debug)]
pub struct Catalogue(RefCell<Known>);

#[derive(Debug)]
struct Known {
    /// Of each kind the keys that were looked up, with what mentions them.
    keys: [Map<Rc<[Mentioned]>>; KeyKind::COUNT],
    /// What mentions everything.
    everything: Option<Rc<[Mentioned]>>,
    slots: Vec<Slot>,
    slot_of: Map<u32>,
    seed: u64,
    /// Changes when something is forgotten: what was being read until then is of no use.
    epoch: u64,
    /// Before any of the keys was read, in unix milliseconds.
    since: Option<i64>,
}

/// An activity that was mentioned.
#[derive(Clone, Debug)]
struct Slot {
    activity: Box<str>,
    head: Option<Rc<Head>>,
    /// Whether the head was read for this catalogue, and not for the one before.
    is_fresh: bool,
}

/// As [`Mention`], with the activity's slot.
#[derive(Clone, Copy, Debug)]
struct Mentioned {
    slot: u32,
    set: u64,
    mask: u64,
}

/// From whose point of view versions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What holds for this user: a draft, where they are among those who try it.
    Of(Option<UserId>),
    /// What is live.
    Live,
    /// Drafts, and what is live where there is none.
    Draft,
}

impl Head {
    /// The version that holds in a view.
    pub fn version(&self, view: View) -> Option<(&Version, bool)> {
        let live = || self.live.as_ref().map(|version| (version, false));
        let draft = || self.draft.as_ref().map(|version| (version, true));
        match view {
            View::Live => live(),
            View::Draft => draft().or_else(live),
            View::Of(None) => live(),
            View::Of(Some(user)) if self.rollout.holds_for(user) => draft().or_else(live),
            View::Of(Some(_)) => live(),
        }
    }
}

impl records::Rollout {
    /// Whether a user tries drafts: the same users at 5 % are among those at 10 %, for all activities.
    pub fn holds_for(&self, user: UserId) -> bool {
        mix(user.0) % 100 < u64::from(self.percent) || self.users.binary_search(&user.0).is_ok()
    }
}

/// An activity that names something in a cart.
#[derive(Debug)]
pub struct Candidate {
    head: Rc<Head>,
    is_draft: bool,
    selected: Vec<bool>,
}

impl Candidate {
    /// The activity, without its products.
    pub fn activity(&self) -> Option<&Activity> {
        let version = if self.is_draft { &self.head.draft } else { &self.head.live };
        version.as_ref().map(|version| &version.activity)
    }

    /// Whether it selects a line, by its place in the cart.
    pub fn selected(&self) -> &[bool] {
        &self.selected
    }

    /// As an evaluation takes it.
    pub fn considered(&self) -> Option<Considered<'_>> {
        let activity = self.activity()?;
        Some(Considered { activity, selected: Some(self.selected.clone()) })
    }
}

impl Catalogue {
    /// One that knows nothing. The seed is a random number.
    pub fn new(seed: u64) -> Self {
        let keys = [(); KeyKind::COUNT].map(|()| map(seed));
        let slot_of = map(seed);
        let (everything, slots, epoch, since) = (None, Vec::new(), 0, None);
        Self(RefCell::new(Known { keys, everything, slots, slot_of, seed, epoch, since }))
    }

    /// One that knows nothing but how far activities had come: an older version, read from a replica
    /// that is behind, does not come back.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let known = self.0.borrow();
        let renewed = Self::new(known.seed);
        renewed.0.borrow_mut().epoch = known.epoch + 1;
        if known.slots.len() < ACTIVITIES_MAX {
            let mut new = renewed.0.borrow_mut();
            new.slots.clone_from(&known.slots);
            new.slots.iter_mut().for_each(|slot| slot.is_fresh = false);
            new.slot_of.clone_from(&known.slot_of);
        }
        renewed
    }

    /// Forgets the keys where they have become too many. Tells what has changed when something is
    /// forgotten afterwards.
    fn make_room(&self) -> u64 {
        let mut known = self.0.borrow_mut();
        if known.keys.iter().map(HashMap::len).sum::<usize>() > KEYS_MAX {
            known.forget_keys();
        }
        known.epoch
    }

    /// Forgets all, because something has changed.
    pub fn forget(&self) {
        let renewed = self.renewed();
        self.0.swap(&renewed.0);
    }
}

fn map<V>(seed: u64) -> Map<V> {
    HashMap::with_hasher(FixedState::with_seed(seed))
}

impl Known {
    fn slot(&mut self, activity: &str) -> u32 {
        if let Some(slot) = self.slot_of.get(activity) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { activity: activity.into(), head: None, is_fresh: false });
        self.slot_of.insert(activity.into(), slot);
        slot
    }

    fn mentioned(&mut self, value: Option<&Value>) -> Result<Rc<[Mentioned]>, CommitError> {
        let Some(value) = value else { return Ok(Rc::new([])) };
        let mentions: Vec<Mention<'_>> = records::decode(value)?;
        let resolve = |one: &Mention<'_>| Mentioned {
            slot: self.slot(one.activity),
            set: one.set,
            mask: one.mask,
        };
        Ok(mentions.iter().map(resolve).collect())
    }

    fn forget_keys(&mut self) {
        self.keys.iter_mut().for_each(HashMap::clear);
        self.everything = None;
        self.epoch += 1;
        self.since = None;
    }

    /// A head that was read; whether it may have changed after keys were read. One that is older than
    /// what was known before does not replace it.
    fn set_head(&mut self, slot: u32, value: Option<&Value>) -> Result<bool, CommitError> {
        let head: Option<Head> = value.map(records::decode).transpose()?;
        let mut is_news = false;
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            let changes = |head: &Head| head.changes;
            // One that was known before keys were read is older than they are.
            let differs = head.as_ref().map(changes) != slot.head.as_deref().map(changes);
            let settled =
                |head: &Head| self.since.is_none_or(|at| head.changed_at + SETTLED_MS < at);
            is_news = differs && !head.as_ref().is_none_or(settled);
            if head.as_ref().map(changes) >= slot.head.as_deref().map(changes) {
                slot.head = head.map(Rc::new);
            }
            slot.is_fresh = true;
        }
        Ok(is_news)
    }

    fn mentions_of<'a>(
        &'a self,
        lines: &'a [Line<'_>],
    ) -> impl Iterator<Item = (usize, KeyKind, &'a Rc<[Mentioned]>)> {
        lines.iter().enumerate().flat_map(move |(place, line)| {
            KeyKind::ALL.into_iter().filter_map(move |kind| {
                let mentioned = self.keys[kind as usize].get(line.key(kind))?;
                Some((place, kind, mentioned))
            })
        })
    }
}

/// The activities that name something in these lines, in a view.
///
/// # Errors
/// The store's.
pub async fn candidates<B: Binding>(
    context: &Context<'_, B>,
    lines: &[Line<'_>],
    view: View,
) -> Result<Vec<Candidate>, CommitError> {
    for _ in 0..PASSES_MAX {
        let epoch = context.catalogue.make_room();
        look_up_keys(context, lines).await?;
        let slots = mentioned_slots(context.catalogue, lines);
        look_up_heads(context, &slots).await?;
        let known = context.catalogue.0.borrow();
        if known.epoch == epoch {
            return Ok(collect(&known, lines, view));
        }
    }
    Err(changing())
}

fn changing() -> CommitError {
    CommitError::Unavailable(format!("activities changed {PASSES_MAX} times while they were read"))
}

/// The head of one activity, as it was a moment ago.
///
/// # Errors
/// The store's.
pub async fn head<B: Binding>(
    context: &Context<'_, B>,
    activity: &str,
) -> Result<Option<Rc<Head>>, CommitError> {
    for _ in 0..PASSES_MAX {
        let slot = context.catalogue.0.borrow_mut().slot(activity);
        look_up_heads(context, &[slot]).await?;
        let mut known = context.catalogue.0.borrow_mut();
        let slot = known.slot(activity) as usize;
        if let Some(slot) = known.slots.get(slot).filter(|slot| slot.is_fresh) {
            return Ok(slot.head.clone());
        }
    }
    Err(changing())
}

/// Looks up the keys that are not known, all at once.
async fn look_up_keys<B: Binding>(
    context: &Context<'_, B>,
    lines: &[Line<'_>],
) -> Result<(), CommitError> {
    let mut missing: Vec<Option<(KeyKind, &str)>> = Vec::new();
    let epoch;
    {
        let mut known = context.catalogue.0.borrow_mut();
        epoch = known.epoch;
        let now = context.now.0;
        known.since = Some(known.since.map_or(now, |since| since.min(now)));
        for line in lines {
            for kind in KeyKind::ALL {
                let key = line.key(kind);
                if !key.is_empty() && !known.keys[kind as usize].contains_key(key) {
                    missing.push(Some((kind, key)));
                }
            }
        }
        if known.everything.is_none() {
            missing.push(None);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    missing.sort_unstable_by_key(|one| one.map(|(kind, key)| (kind as usize, key)));
    missing.dedup();
    let name = |one: &Option<(KeyKind, &str)>| match one {
        Some((kind, key)) => records::key(*kind, key),
        None => records::everything(),
    };
    let named: Vec<(String, _)> = missing.into_iter().map(|one| (name(&one), one)).collect();
    let values = read_fields(context, &records::index(), &named).await?;
    let mut known = context.catalogue.0.borrow_mut();
    if known.epoch != epoch {
        return Ok(());
    }
    for (one, value) in values {
        let mentioned = known.mentioned(value.as_ref())?;
        match one {
            Some((kind, key)) => drop(known.keys[kind as usize].insert(key.into(), mentioned)),
            None => known.everything = Some(mentioned),
        }
    }
    Ok(())
}

/// Reads fields of the record that every shelf has, each from the shelf of its name.
async fn read_fields<B: Binding, T: Copy>(
    context: &Context<'_, B>,
    record: &domain::transaction::MapKey,
    named: &[(String, T)],
) -> Result<Vec<(T, Option<Value>)>, CommitError> {
    let mut shelves: [Vec<(&str, T)>; SHELVES as usize] = [(); SHELVES as usize].map(|()| vec![]);
    for (name, what) in named {
        shelves[records::shelf_of(name) as usize].push((name, *what));
    }
    let mut reads = Vec::new();
    let mut asked = Vec::with_capacity(named.len());
    for (shelf, names) in (0..).zip(&shelves) {
        for chunk in names.chunks(FIELDS_MAX) {
            let fields = chunk.iter().map(|(name, _)| Field::from(*name)).collect();
            reads.push((context.shelf(shelf), Read::Fields(record.clone(), fields)));
            asked.extend(chunk.iter().map(|(_, what)| *what));
        }
    }
    let mut values = Vec::with_capacity(asked.len());
    for answer in context.read_all(&reads).await? {
        values.extend(fields(Some(&answer))?.iter().cloned());
    }
    Ok(asked.into_iter().zip(values).collect())
}

/// The slots of what mentions these lines, each once.
fn mentioned_slots(catalogue: &Catalogue, lines: &[Line<'_>]) -> Vec<u32> {
    let known = catalogue.0.borrow();
    let mut is_mentioned = vec![false; known.slots.len()];
    let everything = known.everything.iter().flat_map(|mentioned| mentioned.iter());
    let keys = known.mentions_of(lines).flat_map(|(_, _, mentioned)| mentioned.iter());
    everything.chain(keys).for_each(|one| is_mentioned[one.slot as usize] = true);
    let slots = (0..).zip(is_mentioned).filter(|(_, is_mentioned)| *is_mentioned);
    slots.map(|(slot, _)| slot).collect()
}

/// Looks up the heads that are not fresh, all at once.
async fn look_up_heads<B: Binding>(
    context: &Context<'_, B>,
    slots: &[u32],
) -> Result<(), CommitError> {
    let epoch;
    let named: Vec<(String, u32)> = {
        let known = context.catalogue.0.borrow();
        epoch = known.epoch;
        let slots = slots.iter().filter_map(|slot| Some((known.slots.get(*slot as usize)?, *slot)));
        let stale = slots.filter(|(known, _)| !known.is_fresh);
        stale.map(|(known, slot)| (known.activity.to_string(), slot)).collect()
    };
    if named.is_empty() {
        return Ok(());
    }
    let values = read_fields(context, &records::heads(), &named).await?;
    let mut known = context.catalogue.0.borrow_mut();
    if known.epoch != epoch {
        return Ok(());
    }
    let mut is_news = false;
    for (slot, value) in values {
        is_news |= known.set_head(slot, value.as_ref())?;
    }
    if is_news {
        // Keys that were read before the head may lack what it has; those that are read now do not.
        known.forget_keys();
    }
    Ok(())
}

/// What a cart's keys say about one activity.
struct Row<'a> {
    head: &'a Rc<Head>,
    version: &'a Version,
    is_draft: bool,
    /// Whether anything includes a line.
    is_candidate: bool,
    /// The masks of the keys, line after line, within a line by kind.
    masks: Vec<u64>,
}

fn collect<'a>(known: &'a Known, lines: &'a [Line<'_>], view: View) -> Vec<Candidate> {
    const NONE: usize = usize::MAX;
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut row_of: Vec<Option<usize>> = vec![None; known.slots.len()];
    let mut row = |rows: &mut Vec<Row<'a>>, one: &Mentioned| {
        let row = *row_of[one.slot as usize].get_or_insert_with(|| {
            let head = known.slots[one.slot as usize].head.as_ref();
            let version = head.and_then(|head| Some((head, head.version(view)?)));
            let Some((head, (version, is_draft))) = version else { return NONE };
            let masks = vec![0; lines.len() * KeyKind::COUNT];
            rows.push(Row { head, version, is_draft, is_candidate: false, masks });
            rows.len() - 1
        });
        // A mention of another version's key set says nothing about this one.
        (row != NONE && rows[row].version.set == one.set).then_some(row)
    };
    for one in known.everything.iter().flat_map(|mentioned| mentioned.iter()) {
        if let Some(row) = row(&mut rows, one) {
            rows[row].is_candidate = true;
        }
    }
    for (place, kind, mentioned) in known.mentions_of(lines) {
        for one in mentioned.iter() {
            if let Some(row) = row(&mut rows, one) {
                let row = &mut rows[row];
                row.is_candidate |= row.version.selectors.include & one.mask != 0;
                row.masks[place * KeyKind::COUNT + kind as usize] = one.mask;
            }
        }
    }
    let candidate = |row: Row<'_>| {
        let of_lines = row.masks.chunks(KeyKind::COUNT);
        let select = |masks: &[u64]| row.version.selectors.select(masks.iter().copied());
        let selected = of_lines.map(select).collect();
        Candidate { head: Rc::clone(row.head), is_draft: row.is_draft, selected }
    };
    rows.into_iter().filter(|row| row.is_candidate).map(candidate).collect()
}

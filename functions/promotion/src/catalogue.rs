//! The activities that name something in a cart: what the index and the heads say, as they were at most
//! half a second ago.
//!
//! Keys and activities have numbers here, so that a cart's keys are found once, and what the activities
//! select follows from bits. [`crate::look_up`] fills it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use domain::ids::UserId;
use domain::partition::mix;
use domain::transaction::{CommitError, Value};
use foldhash::fast::FixedState;
use pricing::activity::{Activity, KeyKind};
use pricing::cart::Line;
use pricing::considered::Considered;
use store::codec;

use crate::records::{self, Head, Mention, Mentions, Version};

/// Keys that an instance remembers: carts of some thousand lines. Beyond it forgets all of them.
const KEYS_MAX: usize = 20_000;
/// Activities that an instance remembers.
const ACTIVITIES_MAX: usize = 8_192;

/// How long ago a head must have begun to change for keys that were read since to be taken as they are:
/// longer than any request, and whatever is late of one.
const SETTLED_MS: i64 = 120_000;
/// How long ago a known head must have changed for one that is not there to be gone, and not one that a replica which is
/// behind does not have yet, whatever clocks say.
const GONE_MS: i64 = 60 * 60_000;

/// Seeded, because keys come from outside: whoever knew the seed could make all of them collide.
type Map<V> = HashMap<Box<str>, V, FixedState>;

/// What was read a moment ago. Whoever keeps one renews it with the configuration, which is at most
/// 500 ms old. What it has given out a number for stays where it is until then.
#[derive(Debug)]
pub struct Catalogue {
    pub(crate) known: RefCell<Known>,
    is_outdated: Cell<bool>,
}

#[derive(Debug)]
pub(crate) struct Known {
    /// Of each kind the numbers of the keys that were looked up.
    numbers: [Map<u32>; KeyKind::COUNT],
    /// The keys by number; the first one is everything.
    pub keys: Vec<Key>,
    pub slots: Vec<Slot>,
    slot_of: Map<u32>,
    seed: u64,
    requests: u64,
    /// Changes when keys are forgotten: what was being read until then is of no use.
    pub epoch: u64,
    /// Before any of the keys was read, in unix milliseconds.
    pub since: Option<i64>,
}

/// A key that was looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    /// What mentions it, where that was read.
    pub mentioned: Option<Rc<[Mentioned]>>,
    /// The last request that asked the store.
    asked_by: u64,
}

/// The number of everything.
const EVERYTHING: u32 = 0;
/// No key: a line's that is not known.
const NO_KEY: u32 = u32::MAX;

/// The keys of a cart's lines as numbers: line after line, within a line by kind.
pub(crate) type Numbers = Vec<u32>;

/// An activity that was mentioned.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub activity: Box<str>,
    pub head: Option<Rc<Head>>,
    /// Whether the head was read for this catalogue, and not for the one before.
    pub is_fresh: bool,
}

/// As [`Mention`], with the activity's slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mentioned {
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
        let known = Known {
            numbers: [(); KeyKind::COUNT].map(|()| map(seed)),
            keys: vec![Key::default()],
            slots: Vec::new(),
            slot_of: map(seed),
            seed,
            requests: 0,
            epoch: 0,
            since: None,
        };
        Self { known: RefCell::new(known), is_outdated: Cell::new(false) }
    }

    /// One that knows nothing but how far activities had come: an older version, read from a replica
    /// that is behind, does not come back.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let known = self.known.borrow();
        let renewed = Self::new(known.seed);
        if known.slots.len() < ACTIVITIES_MAX {
            let mut new = renewed.known.borrow_mut();
            new.slots.clone_from(&known.slots);
            new.slots.iter_mut().for_each(|slot| slot.is_fresh = false);
            new.slot_of.clone_from(&known.slot_of);
        }
        renewed
    }

    /// Says that something has changed: whoever keeps it renews it before the next request.
    pub fn outdate(&self) {
        self.is_outdated.set(true);
    }

    /// Whether it has to be renewed.
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.get() || self.known.borrow().keys.len() > KEYS_MAX
    }
}

fn map<V>(seed: u64) -> Map<V> {
    HashMap::with_hasher(FixedState::with_seed(seed))
}

impl Known {
    pub fn slot(&mut self, activity: &str) -> u32 {
        if let Some(slot) = self.slot_of.get(activity) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { activity: activity.into(), head: None, is_fresh: false });
        self.slot_of.insert(activity.into(), slot);
        slot
    }

    pub fn mentioned(&mut self, value: Option<&Value>) -> Result<Rc<[Mentioned]>, CommitError> {
        let Some(value) = value else { return Ok(Rc::new([])) };
        let Mentions(mentions) = codec::decode(value)?;
        let resolve = |one: &Mention<'_>| Mentioned {
            slot: self.slot(one.activity),
            set: one.set,
            mask: one.mask,
        };
        Ok(mentions.iter().map(resolve).collect())
    }

    /// Forgets what mentions the keys; their numbers stay.
    pub fn forget_mentions(&mut self) {
        self.keys.iter_mut().for_each(|key| key.mentioned = None);
        self.epoch += 1;
        self.since = None;
    }

    /// A head that was read now; whether it may have changed after keys were read. One that is older than
    /// what was known before does not replace it. One that is gone does, where the known one has not just come: it goes
    /// when the activity is sealed to its end, days after its last change.
    pub fn set_head(
        &mut self,
        slot: u32,
        value: Option<&Value>,
        now_ms: i64,
    ) -> Result<bool, CommitError> {
        let head: Option<Head> = value.map(codec::decode).transpose()?;
        let mut is_news = false;
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            let changes = |head: &Head| head.changes;
            // One that was known before keys were read is older than they are.
            let differs = head.as_ref().map(changes) != slot.head.as_deref().map(changes);
            let settled =
                |head: &Head| self.since.is_none_or(|at| head.changed_at + SETTLED_MS < at);
            is_news = differs && !head.as_ref().is_none_or(settled);
            let may_be_gone = |known: &Head| known.changed_at + GONE_MS < now_ms;
            let is_gone = head.is_none() && slot.head.as_deref().is_some_and(may_be_gone);
            if is_gone || head.as_ref().map(changes) >= slot.head.as_deref().map(changes) {
                slot.head = head.map(Rc::new);
            }
            slot.is_fresh = true;
        }
        Ok(is_news)
    }

    /// The keys of lines as numbers.
    pub fn numbers(&mut self, lines: &[Line<'_>]) -> Numbers {
        let mut numbers = Vec::with_capacity(lines.len() * KeyKind::COUNT);
        for line in lines {
            for kind in KeyKind::ALL {
                let key = line.key(kind);
                if key.is_empty() {
                    numbers.push(NO_KEY);
                    continue;
                }
                let of_kind = &mut self.numbers[kind as usize];
                let number = of_kind.get(key).copied().unwrap_or_else(|| {
                    let number = u32::try_from(self.keys.len()).unwrap_or(NO_KEY);
                    self.keys.push(Key::default());
                    of_kind.insert(key.into(), number);
                    number
                });
                numbers.push(number);
            }
        }
        numbers
    }

    /// What mentions the key of a number.
    fn mentions(&self, number: u32) -> &[Mentioned] {
        let key = self.keys.get(number as usize);
        key.and_then(|key| key.mentioned.as_deref()).unwrap_or_default()
    }
}

/// The keys of these lines that were not read, each once: the index's fields and their numbers.
pub(crate) fn missing_keys(
    known: &mut Known,
    lines: &[Line<'_>],
    numbers: &Numbers,
) -> Vec<(String, u32)> {
    known.requests += 1;
    let request = known.requests;
    let mut missing = Vec::new();
    if known.keys[EVERYTHING as usize].mentioned.is_none() {
        missing.push((records::everything(), EVERYTHING));
    }
    for (line, numbers) in lines.iter().zip(numbers.chunks(KeyKind::COUNT)) {
        for (kind, number) in KeyKind::ALL.into_iter().zip(numbers) {
            let Some(key) = known.keys.get_mut(*number as usize) else { continue };
            if key.mentioned.is_none() && key.asked_by != request {
                key.asked_by = request;
                missing.push((records::key(kind, line.key(kind)), *number));
            }
        }
    }
    missing
}

/// The slots of what mentions these keys, each once.
pub(crate) fn mentioned_slots(known: &Known, numbers: &Numbers) -> Vec<u32> {
    let mut is_mentioned = vec![false; known.slots.len()];
    for number in [EVERYTHING].iter().chain(numbers) {
        for one in known.mentions(*number) {
            is_mentioned[one.slot as usize] = true;
        }
    }
    let slots = (0..).zip(is_mentioned).filter(|(_, is_mentioned)| *is_mentioned);
    slots.map(|(slot, _)| slot).collect()
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

pub(crate) fn collect<'a>(known: &'a Known, numbers: &Numbers, view: View) -> Vec<Candidate> {
    const NONE: usize = usize::MAX;
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut row_of: Vec<Option<usize>> = vec![None; known.slots.len()];
    let mut row = |rows: &mut Vec<Row<'a>>, one: &Mentioned| {
        let row = *row_of[one.slot as usize].get_or_insert_with(|| {
            let head = known.slots[one.slot as usize].head.as_ref();
            let version = head.and_then(|head| Some((head, head.version(view)?)));
            let Some((head, (version, is_draft))) = version else { return NONE };
            let masks = vec![0; numbers.len()];
            rows.push(Row { head, version, is_draft, is_candidate: false, masks });
            rows.len() - 1
        });
        // A mention of another version's key set says nothing about this one.
        (row != NONE && rows[row].version.set == one.set).then_some(row)
    };
    for one in known.mentions(EVERYTHING) {
        if let Some(row) = row(&mut rows, one) {
            rows[row].is_candidate = true;
        }
    }
    for (place, number) in numbers.iter().enumerate() {
        for one in known.mentions(*number) {
            if let Some(row) = row(&mut rows, one) {
                let row = &mut rows[row];
                row.is_candidate |= row.version.selectors.include & one.mask != 0;
                row.masks[place] = one.mask;
            }
        }
    }
    let candidate = |row: Row<'_>| {
        let selected = row.version.selectors.select(&row.masks);
        Candidate { head: Rc::clone(row.head), is_draft: row.is_draft, selected }
    };
    rows.into_iter().filter(|row| row.is_candidate).map(candidate).collect()
}

//! What is known of orders, from their clients' answers, and when in the order of events.

use std::collections::BTreeMap;

use purchases::order::{Purchase, State};
use serde_json::{Value, json};

use crate::world::{Kept, NUMBERS_DAYS};

/// An activity, a unit or nothing, and how often.
pub type Use = (&'static str, &'static str, u32);

/// A user and an order number.
pub type Name = (u64, String);

/// Uses as requests and answers have them.
pub fn as_json(uses: &[Use]) -> Value {
    let one = |(activity, key, uses): &Use| {
        let mut one = json!({"activity": activity, "uses": uses});
        if !key.is_empty() {
            one["key"] = json!(key);
        }
        one
    };
    uses.iter().map(one).collect()
}

/// What was acknowledged of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Nothing,
    Taken,
    /// Somebody tried to give it back, and may do so late.
    GivingBack,
    GivenBack,
}

/// When somebody asks for an order, and when it was ordered, if its number has a time: the first time counts.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// By a clock that is right.
    pub now_ms: u64,
    /// What belongs to the number.
    pub ordered_at: Option<u64>,
}

/// An order that somebody asked for. What it is, it became at a moment that counts up.
#[derive(Clone, Debug)]
struct Order {
    uses: Vec<Use>,
    tried: u64,
    /// When it was first tried, by the clock, and when it was ordered, if its number has a time.
    tried_ms: u64,
    ordered_at: Option<u64>,
    taken: Option<u64>,
    giving_back: Option<u64>,
    given_back: Option<u64>,
}

impl Order {
    fn known(&self) -> Known {
        match self {
            Self { given_back: Some(_), .. } => Known::GivenBack,
            Self { giving_back: Some(_), .. } => Known::GivingBack,
            Self { taken: Some(_), .. } => Known::Taken,
            _ => Known::Nothing,
        }
    }

    fn count(&self, (id, unit): (&str, &str)) -> u32 {
        let of = self.uses.iter().filter(|(activity, key, _)| (*activity, *key) == (id, unit));
        of.map(|(_, _, uses)| uses).sum()
    }
}

/// Every order that somebody asked for.
#[derive(Debug, Default)]
pub struct Orders {
    now: u64,
    orders: BTreeMap<Name, Order>,
    /// As the store had them last, and whether they are there no more.
    seen: BTreeMap<Name, (Purchase, bool)>,
}

impl Orders {
    /// This moment: what becomes known later is later.
    pub fn now(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn order(&mut self, name: &Name) -> &mut Order {
        self.orders.get_mut(name).unwrap_or_else(|| panic!("{name:?} was never tried"))
    }

    fn try_order(&mut self, name: &Name, uses: &[Use], when: When) -> &mut Order {
        let tried = self.now();
        let When { now_ms: tried_ms, ordered_at } = when;
        let uses = || uses.to_vec();
        let order = || Order {
            uses: uses(),
            tried,
            tried_ms,
            ordered_at,
            taken: None,
            giving_back: None,
            given_back: None,
        };
        self.orders.entry(name.clone()).or_insert_with(order)
    }

    /// When an order was ordered, if it has a time; it is asked for with that time for good.
    pub fn ordered_at(&self, name: &Name) -> Option<u64> {
        self.orders.get(name).and_then(|order| order.ordered_at)
    }

    /// Whether an order may be kept no more.
    pub fn may_be_gone(&self, name: &Name, kept: Kept) -> bool {
        let since_ms = |order: &Order| {
            order.ordered_at.map_or(order.tried_ms, |ordered_at| ordered_at.min(order.tried_ms))
        };
        let order = self.orders.get(name);
        order.is_some_and(|order| kept.may_be_gone(since_ms(order), NUMBERS_DAYS))
    }

    /// Looks at the orders that are in the store: those that are gone were over for long enough, and never come back.
    ///
    /// # Panics
    /// That does not hold.
    pub fn look(&mut self, now: &BTreeMap<Name, Purchase>, kept: Kept) {
        for (name, (was, is_gone)) in &mut self.seen {
            match now.get(name) {
                Some(after) => {
                    assert!(!*is_gone, "{name:?} is there again: {was:?}, then {after:?}");
                    was.clone_from(after);
                }
                None if *is_gone => {}
                None => {
                    let began_ms = u64::try_from(was.at).expect("a time");
                    let may_be =
                        was.under_way_since().is_none() && kept.may_be_gone(began_ms, NUMBERS_DAYS);
                    assert!(may_be, "{name:?} was forgotten: {was:?}");
                    *is_gone = true;
                }
            }
        }
        for (name, purchase) in now {
            self.seen.entry(name.clone()).or_insert_with(|| (purchase.clone(), false));
        }
    }

    /// An order that was there and is gone, as it was.
    pub fn gone(&self, name: &Name) -> Option<&Purchase> {
        self.seen.get(name).filter(|(_, is_gone)| *is_gone).map(|(was, _)| was)
    }

    /// How many orders are gone.
    pub fn gone_count(&self) -> u64 {
        self.seen.values().filter(|(_, is_gone)| *is_gone).count() as u64
    }

    /// Whether an order that is gone has what it asked for, for good.
    pub fn has_for_good(&self, name: &Name) -> bool {
        self.gone(name).is_some_and(|was| matches!(was.state, State::Taken | State::Kept(_)))
    }

    /// Somebody is about to take an order; what is known of it before.
    pub fn try_take(&mut self, name: &Name, uses: &[Use], when: When) -> Known {
        self.try_order(name, uses, when).known()
    }

    /// It was acknowledged.
    pub fn took(&mut self, name: &Name) {
        let now = self.now();
        self.order(name).taken.get_or_insert(now);
    }

    /// Somebody is about to give an order back; what is known of it before.
    pub fn try_give_back(&mut self, name: &Name, uses: &[Use], when: When) -> Known {
        let now = self.now();
        let order = self.try_order(name, uses, when);
        let before = order.known();
        order.giving_back.get_or_insert(now);
        before
    }

    /// It was acknowledged.
    pub fn gave_back(&mut self, name: &Name) {
        let now = self.now();
        self.order(name).given_back.get_or_insert(now);
    }

    /// What is known of an order.
    pub fn known(&self, name: &Name) -> Known {
        self.orders.get(name).map_or(Known::Nothing, Order::known)
    }

    /// When an order was first asked for.
    pub fn tried(&mut self, name: &Name) -> u64 {
        self.order(name).tried
    }

    /// What an order asks for; nothing where nobody asked for it.
    pub fn uses(&self, name: &Name) -> Option<&[Use]> {
        self.orders.get(name).map(|order| order.uses.as_slice())
    }

    /// All orders, what they ask for, and what is known of them.
    pub fn all(&self) -> Vec<(Name, Vec<Use>, Known)> {
        let one =
            |(name, order): (&Name, &Order)| (name.clone(), order.uses.clone(), order.known());
        self.orders.iter().map(one).collect()
    }

    /// The most that may have been used at any moment since then, of a user or of all, without one order.
    pub fn used_at_most(
        &self,
        unit: (&str, &str),
        user: Option<u64>,
        since: u64,
        without: Option<&Name>,
    ) -> u32 {
        let counts = |(name, order): &(&Name, &Order)| {
            let is_gone = order.given_back.is_some_and(|at| at < since);
            user.is_none_or(|user| user == name.0) && without != Some(*name) && !is_gone
        };
        self.orders.iter().filter(counts).map(|(_, order)| order.count(unit)).sum()
    }

    /// What was used for certain at every moment since then, of a user or of all.
    pub fn used_at_least(&self, unit: (&str, &str), user: Option<u64>, since: u64) -> u32 {
        let counts = |(name, order): &(&Name, &Order)| {
            let is_taken = order.taken.is_some_and(|at| at < since) && order.giving_back.is_none();
            user.is_none_or(|user| user == name.0) && is_taken
        };
        self.orders.iter().filter(counts).map(|(_, order)| order.count(unit)).sum()
    }
}

//! What is known of users' money: what was acknowledged, and what may have happened or may happen yet.

use std::collections::BTreeMap;

/// Cents of one movement: at least, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// What was acknowledged.
    pub least: i64,
    /// What may be.
    pub most: i64,
}

/// What a user may have, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    given: (i64, i64),
    taken: (i64, i64),
}

impl Bounds {
    /// The balances that a view may show that was asked for when these bounds held and answered when
    /// those did. What is acknowledged meanwhile was so before.
    pub fn until(&self, after: &Self) -> std::ops::RangeInclusive<i64> {
        self.given.0 - after.taken.1..=after.given.1 - self.taken.0
    }
}

/// By user and name.
type Movements = BTreeMap<(u64, String), Range>;

/// A packet that somebody tried to send.
#[derive(Clone, Debug)]
struct Refund {
    sender: u64,
    total: i64,
    /// From when on it may have expired.
    from_ms: u64,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Model {
    given: Movements,
    taken: Movements,
    refunds: BTreeMap<String, Refund>,
    /// The tokens that clients hold, by user and number.
    tokens: BTreeMap<(u64, String), String>,
}

fn try_one(of: &mut Movements, user: u64, name: &str, most: i64) {
    of.entry((user, name.to_owned())).or_insert(Range { least: 0, most });
}

/// # Panics
/// It was another amount before.
fn learn(of: &mut Movements, user: u64, name: &str, cents: i64) {
    let range = of.get_mut(&(user, name.to_owned())).expect("somebody tried");
    let fits = (range.least..=range.most).contains(&cents);
    assert!(fits, "{user} {name}: {cents} of {range:?}");
    *range = Range { least: cents, most: cents };
}

impl Model {
    /// Somebody tries to give a user at most so much.
    pub fn try_giving(&mut self, user: u64, name: &str, most: i64) {
        try_one(&mut self.given, user, name, most);
    }

    /// So much was given, for good.
    pub fn gave(&mut self, user: u64, name: &str, cents: i64) {
        learn(&mut self.given, user, name, cents);
    }

    /// Nothing was given, and nothing is late.
    pub fn did_not_give(&mut self, user: u64, name: &str) {
        self.given.remove(&(user, name.to_owned()));
    }

    /// Whether so much was given for certain.
    pub fn given(&self, user: u64, name: &str) -> Option<i64> {
        let range = self.given.get(&(user, name.to_owned()))?;
        (range.least > 0).then_some(range.least)
    }

    /// A token came with it: always the same.
    ///
    /// # Panics
    /// It is another one.
    pub fn hold(&mut self, user: u64, name: &str, token: String) {
        let before = self.tokens.entry((user, name.to_owned())).or_insert_with(|| token.clone());
        assert_eq!(*before, token, "{user} {name}");
    }

    /// The tokens of a user.
    pub fn tokens(&self, user: u64) -> Vec<String> {
        let of_user =
            |(key, token): (&(u64, String), &String)| (key.0 == user).then(|| token.clone());
        self.tokens.iter().filter_map(of_user).collect()
    }

    /// Somebody tries to take so much from a user.
    pub fn try_taking(&mut self, user: u64, name: &str, most: i64) {
        try_one(&mut self.taken, user, name, most);
    }

    /// So much was taken, for good.
    pub fn took(&mut self, user: u64, name: &str, cents: i64) {
        learn(&mut self.taken, user, name, cents);
    }

    /// Whether so much was taken for certain.
    pub fn taken(&self, user: u64, name: &str) -> Option<i64> {
        let range = self.taken.get(&(user, name.to_owned()))?;
        (range.least > 0).then_some(range.least)
    }

    /// A packet may come back from a moment on.
    pub fn may_come_back(&mut self, packet: &str, sender: u64, total: i64, from_ms: u64) {
        let refund = Refund { sender, total, from_ms };
        self.refunds.entry(packet.to_owned()).or_insert(refund);
    }

    /// What a user may have at a moment.
    pub fn bounds(&self, user: u64, now_ms: u64) -> Bounds {
        let sum = |of: &Movements| {
            let ranges = of.range((user, String::new())..(user + 1, String::new()));
            let add = |sum: (i64, i64), range: &Range| (sum.0 + range.least, sum.1 + range.most);
            ranges.map(|(_, range)| range).fold((0, 0), add)
        };
        let mut bounds = Bounds { given: sum(&self.given), taken: sum(&self.taken) };
        let back = |refund: &&Refund| refund.sender == user && refund.from_ms <= now_ms;
        bounds.given.1 +=
            self.refunds.values().filter(back).map(|refund| refund.total).sum::<i64>();
        bounds
    }

    /// What was acknowledged: user, number, cents.
    pub fn acknowledged(&self) -> Vec<(u64, String, i64)> {
        let certain = |((user, name), range): (&(u64, String), &Range)| {
            let is_number = !name.starts_with("void ");
            (range.least > 0 && is_number).then(|| (*user, name.clone(), range.least))
        };
        self.given.iter().filter_map(certain).collect()
    }

    /// What was acknowledged as taken: user, name, cents.
    pub fn acknowledged_taken(&self) -> Vec<(u64, String, i64)> {
        let certain = |((user, name), range): (&(u64, String), &Range)| {
            (range.least > 0).then(|| (*user, name.clone(), range.least))
        };
        self.taken.iter().filter_map(certain).collect()
    }
}

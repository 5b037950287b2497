//! What is known of users' money and of packets: what was acknowledged, and what may have happened or may
//! happen yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use wallet::packet::{self, Funding, Kind, Payment};

use super::packets::Found;

/// How long a packet can be opened.
pub const LIFE_MS: u64 = packet::LIFE_MS as u64;
/// After this an order that nobody has paid for may be forgotten.
const UNPAID_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Before the name of what a withdrawal that is voided gives back.
const BACK: &str = "void ";
/// Before the name of a packet that takes from a balance.
const SENT: &str = "packet ";

/// Cents of one movement: at least, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// What was acknowledged.
    least: i64,
    /// What may be.
    most: i64,
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
    pub fn until(&self, after: &Self) -> RangeInclusive<i64> {
        self.given.0 - after.taken.1..=after.given.1 - self.taken.0
    }

    /// The balances that the user may have now.
    pub fn now(&self) -> RangeInclusive<i64> {
        self.until(self)
    }
}

/// By user and name.
type Movements = BTreeMap<(u64, String), Range>;

/// A packet that somebody tried to send.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sends it.
    pub sender: u64,
    /// Under which number.
    pub number: String,
    /// Cents.
    pub total: i64,
    /// Parts.
    pub count: u32,
    /// Whether all parts are the same.
    pub is_equal: bool,
    /// Whether a payment is its money, or the sender's balance.
    pub by_payment: bool,
    /// When it was ordered, if its number has a time.
    pub ordered_at: Option<u64>,
    /// When it was first tried.
    pub tried_ms: u64,
    /// When it was acknowledged.
    pub sent_ms: Option<u64>,
    /// When somebody first told that it was paid for.
    pub pay_tried_ms: Option<u64>,
    /// Whether it may have been forgotten then, so that the money goes back at once.
    pub may_be_late: bool,
    /// When that was acknowledged.
    pub paid_ms: Option<u64>,
    /// By which payment, as far as it was acknowledged.
    pub paid_by: Option<Payment>,
    /// Somebody was told that it has expired.
    pub is_expired: bool,
    /// Somebody was told that nothing is left in it.
    pub is_finished: bool,
}

impl Packet {
    /// Whether somebody may have been able to open it.
    pub fn may_be_open(&self) -> bool {
        !self.by_payment || self.pay_tried_ms.is_some()
    }

    /// When its time is over at the earliest, if clocks are right.
    pub fn end_ms(&self) -> Option<u64> {
        let from = if self.by_payment { self.pay_tried_ms } else { Some(self.tried_ms) };
        from.map(|from| if self.may_be_late { from } else { from + LIFE_MS })
    }

    /// Whether its time may be over by any clock.
    pub fn may_be_over(&self, now_ms: u64, skew_ms: u64) -> bool {
        self.end_ms().is_some_and(|end| now_ms + skew_ms >= end)
    }

    /// Whether its time is over by every clock.
    pub fn is_over(&self, now_ms: u64, skew_ms: u64) -> bool {
        let by = if self.by_payment { self.paid_ms } else { self.sent_ms };
        by.is_some_and(|by| now_ms >= by + LIFE_MS + skew_ms)
    }

    /// Whether it must be known: it was sent, and nothing lets it be forgotten.
    pub fn is_there(&self, now_ms: u64, skew_ms: u64) -> bool {
        let may_be_forgotten = self.by_payment && now_ms + skew_ms >= self.tried_ms + UNPAID_MS;
        self.paid_ms.is_some() || (self.sent_ms.is_some() && !may_be_forgotten)
    }

    /// The store has what was asked for, and what was acknowledged.
    ///
    /// # Panics
    /// It has not.
    pub fn check_found(&self, name: &str, found: &Found) {
        let order = &found.order;
        let kind = if self.is_equal { Kind::Equal } else { Kind::Random };
        let funding = if self.by_payment { Funding::Payment } else { Funding::Balance };
        let expected = (self.total, self.count, kind, funding);
        assert_eq!((order.total, order.count, order.kind, order.funding), expected, "{name}");
        assert!(self.may_be_open() || found.is_unpaid(), "{name}: {self:?}: {found:?}");
        assert!(self.paid_ms.is_none() || !found.is_unpaid(), "{name}: {self:?}: {found:?}");
        if self.is_finished {
            assert!(found.is_finished(), "{name}: {found:?}");
        }
    }
}

/// What comes back of a packet.
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
    packets: BTreeMap<String, Packet>,
    /// Packets as the store had them last.
    found: BTreeMap<String, Found>,
    /// Packets of which a refund was seen.
    refunded: BTreeSet<String>,
    /// Payments of which somebody was told that there is no use for them, by the names of their records: the packet,
    /// and whether an operator may have decided.
    unapplied: BTreeMap<String, (String, bool)>,
}

fn try_one(of: &mut Movements, user: u64, name: &str, most: i64) {
    of.entry((user, name.to_owned())).or_insert(Range { least: 0, most });
}

fn learn(of: &mut Movements, user: u64, name: &str, cents: i64) {
    let range = of.get_mut(&(user, name.to_owned())).expect("somebody tried");
    let fits = (range.least..=range.most).contains(&cents);
    assert!(fits, "{user} {name}: {cents} of {range:?}");
    *range = Range { least: cents, most: cents };
}

fn certain(of: &Movements, user: u64, name: &str) -> Option<i64> {
    let range = of.get(&(user, name.to_owned()))?;
    (range.least > 0).then_some(range.least)
}

fn all_certain(of: &Movements) -> impl Iterator<Item = (u64, &str, i64)> {
    let of = of.iter().filter(|(_, range)| range.least > 0);
    of.map(|((user, name), range)| (*user, name.as_str(), range.least))
}

/// What a withdrawal that is voided gives back.
pub fn back(number: &str) -> String {
    format!("{BACK}{number}")
}

/// What a packet takes from its sender.
fn sent(packet: &str) -> String {
    format!("{SENT}{packet}")
}

impl Model {
    /// Somebody tries to give a user at most so much.
    pub fn try_giving(&mut self, user: u64, name: &str, most: i64) {
        try_one(&mut self.given, user, name, most);
    }

    /// So much was given, for good.
    ///
    /// # Panics
    /// It was another amount before.
    pub fn gave(&mut self, user: u64, name: &str, cents: i64) {
        learn(&mut self.given, user, name, cents);
    }

    /// Nothing was given, and nothing is late.
    pub fn did_not_give(&mut self, user: u64, name: &str) {
        self.given.remove(&(user, name.to_owned()));
    }

    /// Nothing can be given any more under a name, whether somebody tried or not.
    ///
    /// # Panics
    /// Something was.
    pub fn cannot_give(&mut self, user: u64, name: &str) {
        self.try_giving(user, name, 0);
        self.gave(user, name, 0);
    }

    /// How much was given for certain.
    pub fn given(&self, user: u64, name: &str) -> Option<i64> {
        certain(&self.given, user, name)
    }

    /// Whether somebody tried.
    pub fn was_tried(&self, user: u64, name: &str) -> bool {
        self.given.contains_key(&(user, name.to_owned()))
    }

    /// Who was given how much for certain under a name.
    pub fn all_given(&self, name: &str) -> Vec<(u64, i64)> {
        let of_name = all_certain(&self.given).filter(|(_, of, _)| *of == name);
        of_name.map(|(user, _, cents)| (user, cents)).collect()
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
    ///
    /// # Panics
    /// It was another amount before.
    pub fn took(&mut self, user: u64, name: &str, cents: i64) {
        learn(&mut self.taken, user, name, cents);
    }

    /// How much was taken for certain.
    pub fn taken(&self, user: u64, name: &str) -> Option<i64> {
        certain(&self.taken, user, name)
    }

    /// Somebody tries to send a packet; of one that was tried before the earlier attempt counts.
    pub fn try_sending(&mut self, name: &str, packet: Packet, skew_ms: u64) {
        if !packet.by_payment {
            let from_ms = packet.tried_ms + LIFE_MS - skew_ms;
            self.try_taking(packet.sender, &sent(name), packet.total);
            self.may_come_back(name, &packet, from_ms);
        }
        self.packets.entry(name.to_owned()).or_insert(packet);
    }

    /// A packet was sent, for good.
    ///
    /// # Panics
    /// The sender paid another amount before.
    pub fn sent(&mut self, name: &str, now_ms: u64) {
        let packet = self.packets.get_mut(name).expect("somebody tried");
        packet.sent_ms.get_or_insert(now_ms);
        if !packet.by_payment {
            let Packet { sender, total, .. } = *packet;
            self.took(sender, &sent(name), total);
        }
    }

    /// A packet was not sent, and nothing is late.
    pub fn did_not_send(&mut self, name: &str) {
        if let Some(packet) = self.packets.get(name) {
            self.taken.remove(&(packet.sender, sent(name)));
            self.refunds.remove(name);
        }
    }

    /// Somebody tells that a packet was paid for.
    pub fn try_paying(&mut self, name: &str, now_ms: u64, skew_ms: u64) {
        let packet = self.packets.get_mut(name).expect("somebody tried");
        packet.pay_tried_ms.get_or_insert(now_ms);
        packet.may_be_late |= now_ms + skew_ms >= packet.tried_ms + UNPAID_MS;
        let packet = packet.clone();
        let life_ms = if packet.may_be_late { 0 } else { LIFE_MS };
        self.may_come_back(name, &packet, now_ms + life_ms - skew_ms);
    }

    /// That was acknowledged; whether for the first time.
    ///
    /// # Panics
    /// The packet has another payment.
    pub fn paid(&mut self, name: &str, payment: &Payment, now_ms: u64) -> bool {
        if self.may_be_decided(&payment.record_name(name)) {
            return false;
        }
        let packet = self.packets.get_mut(name).expect("somebody tried");
        assert!(packet.by_payment, "{packet:?}");
        let is_first = packet.paid_ms.is_none();
        packet.paid_ms.get_or_insert(now_ms);
        // One without a number may be any.
        if *payment != Payment::NONE {
            let paid_by = packet.paid_by.get_or_insert_with(|| payment.clone());
            assert_eq!(paid_by, payment, "{name} is paid for twice");
        }
        is_first
    }

    /// Somebody was told that there is no use for a payment.
    ///
    /// # Panics
    /// The packet has it.
    pub fn told_unapplied(&mut self, name: &str, payment: &Payment) {
        let packet = &self.packets[name];
        assert_ne!(packet.paid_by.as_ref(), Some(payment), "{packet:?}");
        assert!(*payment != Payment::NONE || !packet.by_payment, "{packet:?}");
        let record = payment.record_name(name);
        self.unapplied.entry(record).or_insert_with(|| (name.to_owned(), false));
    }

    /// Somebody was told that a payment came too late.
    pub fn told_too_late(&mut self, name: &str, payment: &Payment) {
        let record = payment.record_name(name);
        self.unapplied.entry(record).or_insert_with(|| (name.to_owned(), false));
    }

    /// Payments of which somebody was told that there is no use for them.
    pub fn unapplied(&self) -> Vec<String> {
        self.unapplied.keys().cloned().collect()
    }

    /// Whether an operator may have decided about a payment.
    pub fn may_be_decided(&self, record: &str) -> bool {
        self.unapplied.get(record).is_some_and(|(_, may_be)| *may_be)
    }

    /// An operator decides about one of them: perhaps the sender is credited.
    pub fn try_deciding(&mut self, record: &str, now_ms: u64) {
        let unapplied = self.unapplied.get_mut(record).expect("it is unapplied");
        unapplied.1 = true;
        let packet = self.packets[&unapplied.0].clone();
        self.may_come_back(record, &packet, now_ms);
    }

    fn may_come_back(&mut self, name: &str, packet: &Packet, from_ms: u64) {
        let refund = Refund { sender: packet.sender, total: packet.total, from_ms };
        let known = self.refunds.entry(name.to_owned()).or_insert(refund);
        known.from_ms = known.from_ms.min(from_ms);
    }

    /// Packets that somebody tried to send.
    pub fn packets(&self) -> &BTreeMap<String, Packet> {
        &self.packets
    }

    /// A packet.
    ///
    /// # Panics
    /// Nobody tried to send it.
    pub fn packet(&self, name: &str) -> Packet {
        self.packets[name].clone()
    }

    /// Somebody was told that a packet has expired, and the store has this of it now.
    ///
    /// # Panics
    /// It can still be opened.
    pub fn told_expired(&mut self, name: &str, found: Option<Found>) {
        let is_ended = found.as_ref().is_some_and(Found::has_ended);
        assert!(is_ended, "{name} is told to have expired: {found:?}");
        self.packets.get_mut(name).expect("somebody tried").is_expired = true;
        self.see(name, found.expect("it has ended"));
    }

    /// Somebody was told that nothing is left in a packet.
    pub fn told_finished(&mut self, name: &str) {
        self.packets.get_mut(name).expect("somebody tried").is_finished = true;
    }

    /// The store has this of its packets now.
    ///
    /// # Panics
    /// A packet went back to what it was, was opened after its end, or is gone.
    pub fn see_packets(&mut self, found: BTreeMap<String, Found>) {
        for (name, before) in &self.found {
            let is_there = found.contains_key(name) || before.is_unpaid();
            assert!(is_there, "{name} is gone: {before:?}");
        }
        for (name, found) in found {
            self.see(&name, found);
        }
    }

    fn see(&mut self, name: &str, found: Found) {
        if let Some(before) = self.found.get(name) {
            before.check_next(name, &found);
        }
        self.found.insert(name.to_owned(), found);
    }

    /// A refund of a packet is there; whether it was not before.
    pub fn see_refund(&mut self, name: &str) -> bool {
        self.refunded.insert(name.to_owned())
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

    /// What was acknowledged as given: user, number, cents.
    pub fn acknowledged(&self) -> Vec<(u64, String, i64)> {
        let numbers = all_certain(&self.given).filter(|(_, name, _)| !name.starts_with(BACK));
        numbers.map(|(user, name, cents)| (user, name.to_owned(), cents)).collect()
    }

    /// Withdrawals that were acknowledged: user, number, cents.
    pub fn acknowledged_withdrawals(&self) -> Vec<(u64, String, i64)> {
        let numbers = all_certain(&self.taken).filter(|(_, name, _)| !name.starts_with(SENT));
        numbers.map(|(user, name, cents)| (user, name.to_owned(), cents)).collect()
    }
}

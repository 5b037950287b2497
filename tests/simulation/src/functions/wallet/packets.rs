//! What must hold of packets in the store at any moment.

use std::collections::BTreeMap;

use end_to_end::dump::integer;
use wallet::packet::{self, Funding, Order, Payment};
use wallet::records;

use super::books::{Wallets, items, of_users, sum, text};
use super::ledger::Ledger;
use crate::books::Books;
use crate::world::{DAY_MS, Kept, NUMBERS_DAYS};

/// So long after it was sent a payment still credits the sender.
const CREDITED_DAYS: u64 = 30;
/// States of packets, in their order.
const UNPAID: i64 = 0;
const OPEN: i64 = 1;
const CLOSING: i64 = 2;
const CLOSED: i64 = 3;
/// An operator is to decide about the payment.
const WAITING: i64 = 4;

/// What the store has of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was asked for.
    pub order: Order,
    /// Its state, by number.
    state: i64,
    /// Until when it can be opened, once it can.
    until_ms: i64,
    /// Who took how much.
    openings: BTreeMap<u64, i64>,
    /// Cents that nobody took.
    left: i64,
    /// Cents that came back to the sender.
    refund: Option<i64>,
    /// When it was closed, or 0.
    closed_ms: i64,
    /// Whether it is a payment that came late, or for which there was no use: one part, which nobody opens.
    is_late: bool,
}

impl Found {
    /// Whether nobody can open it any more, because its time is over.
    pub fn has_ended(&self) -> bool {
        self.state >= CLOSING
    }

    /// Whether nothing is in it any more.
    pub fn is_closed(&self) -> bool {
        self.state == CLOSED
    }

    /// Whether an operator is to decide about it.
    pub fn waits(&self) -> bool {
        self.state == WAITING
    }

    /// Until when it can be opened, once it can.
    pub fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// Whether it may be forgotten: it was closed for long enough; where it is a packet, and no payment for which there was
    /// no use, it was also sent so long ago that nobody is credited for it any more.
    pub fn may_be_gone(&self, name: &str, kept: Kept) -> bool {
        let ms = |at: i64| u64::try_from(at).expect("a time");
        let is_payment = Payment::of_record_name(name).is_some();
        let credited_ms = if is_payment { 0 } else { ms(self.order.at) + CREDITED_DAYS * DAY_MS };
        let over_ms = ms(self.closed_ms).max(ms(self.until_ms)).max(credited_ms);
        self.is_closed() && kept.may_be_gone(over_ms, NUMBERS_DAYS)
    }

    /// Whether nobody has paid for it.
    pub fn is_unpaid(&self) -> bool {
        self.state == UNPAID
    }

    /// Whether its payment moved money.
    pub fn is_paid_in(&self) -> bool {
        if self.is_late {
            self.until_ms != 0
        } else {
            self.order.funding == Funding::Payment && !self.is_unpaid()
        }
    }

    /// Whether a payment was given back elsewhere.
    fn is_dropped(&self) -> bool {
        self.is_late && self.state == CLOSED && self.until_ms == 0
    }

    /// States in the order in which they follow each other.
    fn rank(&self) -> i64 {
        if self.state == WAITING { OPEN } else { self.state }
    }

    /// Whether somebody has each part.
    pub fn is_finished(&self) -> bool {
        self.openings.len() == self.order.count as usize
    }

    /// Whether something of it came back.
    pub fn is_refunded(&self) -> bool {
        self.refund.is_some()
    }

    /// What comes later fits: nothing that was decided is undone, and nobody opens what has ended.
    ///
    /// # Panics
    /// It does not.
    pub fn check_next(&self, name: &str, next: &Self) {
        assert_eq!(self.order, next.order, "{name}");
        assert!(self.rank() <= next.rank(), "{name}: {self:?}, then {next:?}");
        let is_kept = |(user, cents): (&u64, &i64)| next.openings.get(user) == Some(cents);
        assert!(self.openings.iter().all(is_kept), "{name}: {self:?}, then {next:?}");
        if !self.is_unpaid() && self.state != WAITING {
            assert_eq!(self.until_ms, next.until_ms, "{name}");
        }
        if self.has_ended() {
            let (before, after) = (&self.openings, &next.openings);
            assert_eq!(before, after, "{name} was opened after its end");
        }
        let is_kept = self.refund.is_none() || self.refund == next.refund;
        assert!(is_kept, "{name}: {self:?}, then {next:?}");
    }
}

/// A packet as it is, whether it is right or not.
///
/// # Panics
/// It cannot be read.
pub fn found(books: &Books, packet: &str, wallets: &Wallets) -> Option<Found> {
    let home = records::home_of_packet(books.partitions(), packet).to_string();
    let record = books.record(&home, &format!("mp{packet}"));
    let order = Order::decode(record.get(&b"d"[..])?).expect("an order");
    let openings = books.record(&home, &format!("mr{packet}"));
    let opening = |field: &Vec<u8>| {
        let user = text(field);
        (user.parse().expect("a user"), integer(openings, &user))
    };
    let sender = wallets.get(&order.sender);
    Some(Found {
        state: integer(record, "s"),
        until_ms: integer(record, "x"),
        openings: openings.keys().map(opening).collect(),
        left: sum(books.record(&home, &format!("mc{packet}"))),
        refund: sender.and_then(|wallet| wallet.given(&packet::refund_number(packet))),
        closed_ms: integer(record, "c"),
        is_late: record.contains_key(&b"l"[..]),
        order,
    })
}

/// All packets, in each of which nothing is missing and nothing too much; and all that was sent is one. With those that are
/// forgotten, as they were.
///
/// # Panics
/// That does not hold.
pub fn packets(
    books: &Books,
    wallets: &Wallets,
    ledger: &mut Ledger,
    kept: Kept,
) -> BTreeMap<String, Found> {
    let mut there = BTreeMap::new();
    for (home, name) in books.records().keys() {
        let Some(name) = name.strip_prefix("mp").filter(|name| name.contains('.')) else {
            continue;
        };
        let is_home = records::home_of_packet(books.partitions(), name).to_string() == *home;
        assert!(is_home, "{name} is in {home}");
        let Some(found) = found(books, name, wallets) else {
            check_without_order(books, home, name);
            continue;
        };
        check_packet(books, name, &found, wallets);
        there.insert(name.to_owned(), found);
    }
    let there = ledger.packets(there, kept);
    for (user, wallet) in wallets {
        for number in wallet.sent.keys() {
            let unsent = of_users(books, &books.home(*user), records::UNSENT);
            let mark = (wallet.orders[number].at, *user, number.clone());
            let is_there = there.contains_key(&format!("{user}.{number}"));
            assert!(is_there || unsent.contains(&mark), "{user}.{number} is nowhere");
        }
    }
    there
}

/// A payment for a packet that is forgotten says nothing of the packet, and moves nothing.
fn check_without_order(books: &Books, home: &str, name: &str) {
    let record = books.record(home, &format!("mp{name}"));
    let state = integer(record, "s");
    let is_payment = Payment::of_record_name(name).is_some();
    assert!(is_payment && [WAITING, CLOSED].contains(&state), "{name}: {record:?}");
    assert!(!record.contains_key(&b"x"[..]), "{name} moved something: {record:?}");
    assert!(books.record(home, &format!("mc{name}")).is_empty(), "{name} has parts");
}

fn check_packet(books: &Books, name: &str, found: &Found, wallets: &Wallets) {
    let home = records::home_of_packet(books.partitions(), name).to_string();
    let of_payment = Payment::of_record_name(name).map(|(_, packet)| packet);
    let (sender, number) = packet::sender_of(of_payment.unwrap_or(name)).expect("a packet's name");
    let Found { order, openings, left, refund, .. } = found;
    let wallet = wallets.get(&sender.0).expect("the sender has ordered it");
    assert_eq!(wallet.orders.get(number.as_str()), Some(order), "{name}");
    let sent = wallet.sent.get(number.as_str());
    let by_sender = (order.funding == Funding::Balance).then_some(&order.total);
    assert_eq!(sent, by_sender, "{name} was paid for");
    let parts = books.record(&home, &format!("mc{name}"));
    let times = books.record(&home, &format!("mt{name}"));
    assert_eq!(openings.len(), times.len(), "{name}");
    if found.is_unpaid() {
        let is_untouched = parts.is_empty() && openings.is_empty() && refund.is_none();
        let is_right = order.funding == Funding::Payment && found.until_ms == 0;
        assert!(is_untouched && is_right, "{name}: {found:?}");
        return;
    }
    assert_eq!(left + openings.values().sum::<i64>(), order.total, "{name}");
    let count = if found.is_late { 1 } else { order.count as usize };
    assert_eq!(parts.len() + openings.len(), count, "{name}");
    let owed = of_users(books, &home, records::OWED);
    for (user, expected) in openings {
        let paid = wallets.get(user);
        let paid = paid.and_then(|wallet| wallet.given(&packet::opening_number(name)));
        let at = integer(times, &user.to_string());
        let is_owed = owed.contains(&(at, *user, name.to_owned()));
        let is_paid = paid == Some(*expected) || (paid.is_none() && is_owed);
        assert!(is_paid, "{name} {user}: {paid:?}");
    }
    // What can be opened, or is on its way to be closed, is found when its time is over.
    let ends = items(books, &home, records::ENDS);
    let is_listed = ends.contains(&(found.until_ms, name.as_bytes().to_vec()));
    let waits = items(books, &home, records::UNAPPLIED);
    let waits = waits.iter().any(|(_, waiting)| waiting == name.as_bytes());
    assert_eq!(waits, found.state == WAITING, "{name}: {found:?}");
    let is_found = is_listed || waits || found.state == CLOSED;
    assert!(is_found, "{name} is not among the packets that end");
    match found.state {
        WAITING => assert_eq!(*refund, None, "{name}"),
        CLOSED if found.is_dropped() => assert_eq!(*refund, None, "{name}"),
        OPEN => assert_eq!(*refund, None, "{name}"),
        CLOSING => assert!(refund.is_none() || *refund == Some(*left), "{name}"),
        CLOSED => assert_eq!(refund.unwrap_or(0), *left, "{name}"),
        state => panic!("{name}: {state}"),
    }
}

//! What the store ever had of wallets. What is carried or forgotten counts on: what is there and what is gone add up to the
//! accounts. What is gone was over for long enough, and never comes back.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::UserId;
use domain::transaction::Value;
use end_to_end::dump::integer;
use store::codec::decode;
use wallet::carried::Carried;
use wallet::entry::{Entry, What};
use wallet::packet::{self, Order};
use wallet::records;
use wallet::token::Token;
use wallet::withdraw::{State, Withdrawal};

use super::books::text;
use super::packets::Found;
use crate::books::Books;
use crate::world::{Kept, NUMBERS_DAYS};

/// Entries are kept for so many days.
const ENTRIES_DAYS: u64 = store::retention::Retention::LEAST.entries_days as u64;
/// What a sender asked for is kept for so many days more than a number.
const SENT_DAYS: u64 = 30 + NUMBERS_DAYS;

/// Something as it was at the last look at which it was there.
#[derive(Clone, Debug)]
pub struct Last<T> {
    /// What it was.
    pub was: T,
    /// Whether it is there no more.
    pub is_gone: bool,
}

/// By user and number.
type Numbers<T> = BTreeMap<(u64, String), Last<T>>;

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By user and sequence number.
    entries: BTreeMap<u64, Vec<Entry>>,
    withdrawals: Numbers<Withdrawal>,
    orders: Numbers<Order>,
    packets: BTreeMap<String, Last<Found>>,
}

fn ms(at: i64) -> u64 {
    u64::try_from(at).expect("a time")
}

/// What is there now, and what was there before and is gone; `fits` looks at what became of one that is there, and `may_go`
/// says whether one may be gone.
fn look<K: Ord + Clone + std::fmt::Debug, T: Clone + PartialEq + std::fmt::Debug>(
    known: &mut BTreeMap<K, Last<T>>,
    is_of: impl Fn(&K) -> bool,
    mut now: BTreeMap<K, T>,
    fits: impl Fn(&T, &T) -> bool,
    may_go: impl Fn(&K, &T) -> bool,
) {
    for (key, Last { was, is_gone }) in known.iter_mut().filter(|(key, _)| is_of(key)) {
        match now.remove(key) {
            Some(after) => {
                assert!(!*is_gone, "{key:?} is there again: {was:?}, then {after:?}");
                assert!(*was == after || fits(was, &after), "{key:?}: {was:?}, then {after:?}");
                *was = after;
            }
            None if *is_gone => {}
            None => {
                assert!(may_go(key, was), "{key:?} was forgotten: {was:?}");
                *is_gone = true;
            }
        }
    }
    known.extend(now.into_iter().map(|(key, was)| (key, Last { was, is_gone: false })));
}

/// What entries that are carried add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    amount: i64,
    income: i64,
    taken: i64,
    back: i64,
    count: i64,
}

impl Sums {
    fn add(&mut self, entry: &Entry) {
        self.amount += entry.amount;
        self.count += 1;
        match &entry.what {
            What::Token(payload) => {
                let token = Token::from_payload(payload).expect("a payload");
                self.income += if packet::is_refund(&token) { 0 } else { entry.amount };
            }
            What::Withdrawal(_) => self.taken -= entry.amount,
            What::Voided(_) => self.back += entry.amount,
            What::Sent(_) => {}
        }
    }
}

impl Ledger {
    /// Users of whom anything was ever there.
    pub fn users(&self) -> BTreeSet<u64> {
        let numbers = self.withdrawals.keys().chain(self.orders.keys()).map(|(user, _)| *user);
        self.entries.keys().copied().chain(numbers).collect()
    }

    /// The entries of a user, from the first on, carried or not; and how many are carried.
    ///
    /// # Panics
    /// One is not there, is there although it is carried, or months say something else.
    pub fn entries(&mut self, books: &Books, user: u64, kept: Kept) -> (&[Entry], usize) {
        let home = books.home(user);
        let account = books.record(&home, &format!("ml{user}"));
        let (count, carried) = (integer(account, "s"), integer(account, "c"));
        assert!(carried <= count, "{user}: {carried} of {count} are carried");
        let known = self.entries.entry(user).or_default();
        let mut sums = Sums::default();
        for sequence in 0..count {
            let page = books.record(&home, &records::page(UserId(user), sequence).0);
            let value = page.get(&records::entry(sequence).0);
            let before = known.get(sequence as usize);
            if sequence < carried {
                assert_eq!(value, None, "{user}: {sequence} is carried, and there");
                let entry = before.expect("it was there before it was carried");
                let may_be = kept.may_be_gone(ms(entry.at), ENTRIES_DAYS);
                assert!(may_be, "{user}: {entry:?} was carried");
                sums.add(entry);
                continue;
            }
            let entry = Entry::decode(value.expect("no gap")).expect("an entry");
            match before {
                Some(before) => assert_eq!(*before, entry, "{user}: an entry changed"),
                None => known.push(entry),
            }
        }
        assert_eq!(known.len() as i64, count, "{user}: entries are gone");
        let mut told = Sums::default();
        for month in books.record(&home, &format!("mh{user}")).values() {
            let Carried { amount, income, taken, back, count, .. } =
                decode(month).expect("a month");
            told.amount += amount;
            told.income += income;
            told.taken += taken;
            told.back += back;
            told.count += count;
        }
        assert_eq!(told, sums, "{user}: months, and what is carried");
        (known, carried as usize)
    }

    /// How many entries of a user are carried, or may be, by what was there last: whether a number of it is among them.
    pub fn is_carried(&self, books: &Books, user: u64, number: &str) -> bool {
        let carried = integer(books.record(&books.home(user), &format!("ml{user}")), "c");
        let entries = self.entries.get(&user).into_iter().flatten().take(carried as usize);
        entries.into_iter().any(|entry| match &entry.what {
            What::Token(payload) => {
                let token = Token::from_payload(payload).expect("a payload");
                token.order_number.as_str() == number
            }
            _ => false,
        })
    }

    /// The withdrawals of a user, with those that are gone.
    ///
    /// # Panics
    /// Something became of one that may not.
    pub fn withdrawals(
        &mut self,
        books: &Books,
        user: u64,
        kept: Kept,
    ) -> BTreeMap<String, Last<Withdrawal>> {
        let record = books.record(&books.home(user), &format!("mw{user}"));
        let one = |(field, value): (&Vec<u8>, &Value)| {
            ((user, text(field)), Withdrawal::decode(value).expect("a withdrawal"))
        };
        let fits = |before: &Withdrawal, after: &Withdrawal| {
            let is_same = before.amount == after.amount && before.end == after.end;
            is_same && before.state == State::Pending && after.state != State::ExceedsBalance
        };
        let may_go = |_: &(u64, String), was: &Withdrawal| {
            was.state != State::Pending && kept.may_be_gone(ms(was.at), NUMBERS_DAYS)
        };
        let is_of = |key: &(u64, String)| key.0 == user;
        look(&mut self.withdrawals, is_of, record.iter().map(one).collect(), fits, may_go);
        of_user(&self.withdrawals, user)
    }

    /// Whether a withdrawal was there and is gone.
    pub fn is_withdrawal_gone(&self, user: u64, number: &str) -> bool {
        self.withdrawals.get(&(user, number.to_owned())).is_some_and(|last| last.is_gone)
    }

    /// What a user sent, with what is forgotten of it.
    ///
    /// # Panics
    /// Something became of it that may not.
    pub fn orders(
        &mut self,
        books: &Books,
        user: u64,
        kept: Kept,
    ) -> BTreeMap<String, Last<Order>> {
        let record = books.record(&books.home(user), &format!("mo{user}"));
        let one = |(field, value): (&Vec<u8>, &Value)| {
            ((user, text(field)), Order::decode(value).expect("an order"))
        };
        let may_go = |_: &(u64, String), was: &Order| kept.may_be_gone(ms(was.at), SENT_DAYS);
        let is_of = |key: &(u64, String)| key.0 == user;
        let now = record.iter().map(one).collect();
        look(&mut self.orders, is_of, now, |_, _| false, may_go);
        of_user(&self.orders, user)
    }

    /// All packets, with those that are forgotten. What nobody has paid for may go by itself, and come again.
    ///
    /// # Panics
    /// One is gone that may not be, or is there again.
    pub fn packets(&mut self, now: BTreeMap<String, Found>, kept: Kept) -> BTreeMap<String, Found> {
        self.packets.retain(|name, last| now.contains_key(name) || !last.was.is_unpaid());
        let may_go = |name: &String, was: &Found| was.may_be_gone(name, kept);
        look(&mut self.packets, |_| true, now, |_, _| true, may_go);
        let all = self.packets.iter();
        all.map(|(name, last)| (name.clone(), last.was.clone())).collect()
    }

    /// How much of each kind is gone.
    pub fn gone(&self) -> [(&'static str, u64); 2] {
        let of = |count: usize| count as u64;
        let withdrawals = self.withdrawals.values().filter(|last| last.is_gone).count();
        let packets = self.packets.values().filter(|last| last.is_gone).count();
        [("withdrawals", of(withdrawals)), ("packets", of(packets))]
    }
}

fn of_user<T: Clone>(all: &Numbers<T>, user: u64) -> BTreeMap<String, Last<T>> {
    let of = all.range((user, String::new())..(user + 1, String::new()));
    of.map(|((_, number), last)| (number.clone(), last.clone())).collect()
}

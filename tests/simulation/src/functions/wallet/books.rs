//! What must hold of the wallets of users in the store at any moment, together with what is carried and forgotten; and what
//! is due.

use std::collections::{BTreeMap, BTreeSet};

use domain::due::{self, DueIndex};
use domain::transaction::{Member, Value};
use end_to_end::dump::{Record, integer};
use wallet::entry::{Entry, What};
use wallet::packet::{self, Funding, Order};
use wallet::records;
use wallet::token::Token;
use wallet::withdraw::{State, Withdrawal};

use super::ledger::{Last, Ledger};
use super::packets::Found;
use crate::books::Books;
use crate::world::Kept;

/// Before what belongs to one user: tokens, the account, marks, packets, withdrawals.
const OF_USERS: [&str; 5] = ["mk", "ml", "mn", "mo", "mw"];

/// What the store says of one user.
#[derive(Debug, Default)]
pub struct Wallet {
    /// Tokens that are not posted, by number.
    pub pending: BTreeMap<String, Token>,
    /// Tokens that are.
    pub posted: BTreeMap<String, Token>,
    /// Packets that were sent from the balance, by number.
    pub sent: BTreeMap<String, i64>,
    /// Packets that were ordered, whoever pays for them.
    pub orders: BTreeMap<String, Order>,
    /// Withdrawals.
    pub withdrawals: BTreeMap<String, Withdrawal>,
    /// What the ledger posted, by source.
    sources: BTreeMap<String, i64>,
    /// The account.
    balance: i64,
    held: i64,
    withdrawn: i64,
}

impl Wallet {
    /// All tokens.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.pending.values().chain(self.posted.values())
    }

    /// What the ledger posted, by source.
    pub fn sources(&self) -> impl Iterator<Item = (&str, i64)> {
        self.sources.iter().map(|(source, cents)| (source.as_str(), *cents))
    }

    /// What the account has, what is held of it, and what left.
    pub fn sums(&self) -> [i64; 3] {
        [self.balance, self.held, self.withdrawn]
    }

    /// What a number gave.
    pub fn given(&self, number: &str) -> Option<i64> {
        self.pending.get(number).or_else(|| self.posted.get(number)).map(cents)
    }

    /// All that was given, less what was sent, left, or is held.
    pub fn balance(&self) -> i64 {
        let given: i64 = self.tokens().map(cents).sum();
        given - self.sent.values().sum::<i64>() - self.withdrawn - self.held
    }
}

/// Wallets by user.
pub type Wallets = BTreeMap<u64, Wallet>;

/// Cents of a token.
pub fn cents(token: &Token) -> i64 {
    token.amount.minor_units()
}

/// A name.
pub fn text(field: &[u8]) -> String {
    String::from_utf8(field.to_vec()).expect("names are text")
}

/// The sum of all fields of a record.
pub fn sum(of: &Record) -> i64 {
    of.keys().map(|name| integer(of, &text(name))).sum()
}

/// The wallets of everybody who has one, in which everything agrees.
///
/// # Panics
/// It does not.
pub fn wallets(books: &Books, ledger: &mut Ledger, kept: Kept) -> Wallets {
    let mut wallets = Wallets::new();
    for (home, name) in books.records().keys() {
        let user = OF_USERS.iter().find_map(|of| name.strip_prefix(of)?.parse().ok());
        if let Some(user) = user {
            assert_eq!(*home, books.home(user), "{name} is not where {user} lives");
            wallets.entry(user).or_insert_with(|| wallet(books, user, ledger, kept));
        }
    }
    // All that they had may be gone.
    for user in ledger.users() {
        wallets.entry(user).or_insert_with(|| wallet(books, user, ledger, kept));
    }
    let mut queued = BTreeSet::new();
    for partition in books.partitions().all() {
        queued.extend(of_users(books, &partition.to_string(), records::QUEUE));
    }
    let mut pending = BTreeSet::new();
    for (user, wallet) in &wallets {
        let of_user = wallet.pending.iter();
        pending.extend(of_user.map(|(number, token)| (token.open_time.0, *user, number.clone())));
    }
    assert_eq!(queued, pending, "what is queued, and what is not posted");
    wallets
}

/// What stands in an index of a partition, or is set aside: moments, and what is due then.
pub fn items(books: &Books, home: &str, index: DueIndex) -> Vec<(i64, Vec<u8>)> {
    let item = |member: Member| {
        let due = due::due(&member).expect("an entry of an index");
        (due.at.0, due.what.to_vec())
    };
    books.entries(home, index).into_iter().map(item).collect()
}

/// The same where each is something of a user.
pub fn of_users(books: &Books, home: &str, index: DueIndex) -> Vec<(i64, u64, String)> {
    let item = |(at, what): (i64, Vec<u8>)| {
        let (user, name) = due::user_of(&what).expect("something of a user");
        (at, user.0, name.to_owned())
    };
    items(books, home, index).into_iter().map(item).collect()
}

fn wallet(books: &Books, user: u64, ledger: &mut Ledger, kept: Kept) -> Wallet {
    let home = books.home(user);
    let record = |name: String| books.record(&home, &name);
    let account = record(format!("ml{user}"));
    let of_account = |field: &str| integer(account, field);
    let mut wallet = Wallet {
        balance: of_account("b"),
        held: of_account("h"),
        withdrawn: of_account("w"),
        ..Wallet::default()
    };
    for (field, value) in record(format!("mk{user}")) {
        let Value::Bytes(stored) = value else { panic!("{user}: {value:?}") };
        let token = Token::from_stored(stored).expect("a token");
        assert_eq!((token.user.0, token.order_number.as_str()), (user, &*text(field)));
        wallet.pending.insert(text(field), token);
    }
    let (entries, carried) = ledger.entries(books, user, kept);
    let moved = read_entries(books, user, (entries, carried), &mut wallet);
    let entries = entries[carried..].to_vec();
    let (of_entries, income) = moved.sums;
    let found = (wallet.balance, of_account("i"));
    assert_eq!(found, (of_entries, income), "{user}: the account and its entries");
    assert!(wallet.balance >= 0, "{user}: {wallet:?}");
    let withdrawals = ledger.withdrawals(books, user, kept);
    let gone = gone_of(&entries, &withdrawals);
    let told = [of_account("t"), of_account("v")];
    assert_eq!(told, gone, "{user}: what is gone of withdrawals, and entries of it");
    read_withdrawals(user, moved.withdrawals, withdrawals, &mut wallet);
    for (number, Last { was: order, .. }) in ledger.orders(books, user, kept) {
        assert_eq!(order.sender, user, "{order:?}");
        let taken = (order.funding == Funding::Balance).then_some(&order.total);
        assert_eq!(wallet.sent.get(&number), taken, "{user}: {order:?}");
        wallet.orders.insert(number, order);
    }
    let is_ordered = |number| wallet.orders.contains_key(number);
    assert!(wallet.sent.keys().all(is_ordered), "{user}: packets: {wallet:?}");
    wallet
}

/// What entries moved.
struct Moved {
    /// The balance, and the income.
    sums: (i64, i64),
    /// By withdrawal: what went, and what came back.
    withdrawals: BTreeMap<String, (i64, i64)>,
}

/// Each token was posted once, and has its mark until it is carried.
fn read_entries(
    books: &Books,
    user: u64,
    (entries, carried): (&[Entry], usize),
    wallet: &mut Wallet,
) -> Moved {
    let home = books.home(user);
    let marks = books.record(&home, &format!("mn{user}"));
    let (mut sum, mut income, mut marked) = (0, 0, 0);
    let mut withdrawals = BTreeMap::<String, (i64, i64)>::new();
    for (sequence, entry) in entries.iter().enumerate() {
        sum += entry.amount;
        match &entry.what {
            What::Token(payload) => {
                let token = Token::from_payload(payload).expect("a payload");
                let number = token.order_number.as_str().to_owned();
                assert_eq!((token.user.0, cents(&token)), (user, entry.amount));
                let mark = (sequence >= carried).then_some(Value::Integer(sequence as i64));
                assert_eq!(marks.get(number.as_bytes()), mark.as_ref(), "{user}: {number}");
                marked += usize::from(mark.is_some());
                assert!(!wallet.pending.contains_key(&number), "{number} is both");
                income += if packet::is_refund(&token) { 0 } else { entry.amount };
                *wallet.sources.entry(wallet::posting::source(&token)).or_default() += entry.amount;
                let before = wallet.posted.insert(number, token);
                assert_eq!(before, None, "{user}: posted twice");
            }
            What::Sent(number) => {
                *wallet.sources.entry(records::PACKETS.into()).or_default() += entry.amount;
                let before = wallet.sent.insert(number.clone(), -entry.amount);
                assert_eq!(before, None, "sent twice");
            }
            What::Withdrawal(number) => {
                withdrawals.entry(number.clone()).or_default().0 -= entry.amount;
            }
            What::Voided(number) => {
                withdrawals.entry(number.clone()).or_default().1 += entry.amount;
            }
        }
    }
    assert_eq!(marks.len(), marked, "{user}: marks and entries");
    Moved { sums: (sum, income), withdrawals }
}

/// What entries that are not carried say of withdrawals that are gone: what went, and what came back.
fn gone_of(entries: &[Entry], withdrawals: &BTreeMap<String, Last<Withdrawal>>) -> [i64; 2] {
    let mut sums = [0, 0];
    for entry in entries {
        match &entry.what {
            What::Withdrawal(number) if withdrawals[number].is_gone => sums[0] -= entry.amount,
            What::Voided(number) if withdrawals[number].is_gone => sums[1] += entry.amount,
            _ => {}
        }
    }
    sums
}

/// Each withdrawal moved what its state says.
fn read_withdrawals(
    user: u64,
    mut moved: BTreeMap<String, (i64, i64)>,
    withdrawals: BTreeMap<String, Last<Withdrawal>>,
    wallet: &mut Wallet,
) {
    let (mut held, mut withdrawn) = (0, 0);
    for (number, Last { was: withdrawal, .. }) in withdrawals {
        let amount = withdrawal.amount;
        let expected = match withdrawal.state {
            State::Pending | State::Posted => (amount, 0),
            State::Voided => (amount, amount),
            State::ExceedsBalance => (0, 0),
        };
        held += if withdrawal.state == State::Pending { amount } else { 0 };
        withdrawn += if withdrawal.state == State::Posted { amount } else { 0 };
        let moved = moved.remove(&number).unwrap_or_default();
        assert_eq!(moved, expected, "{user}: {number}: {withdrawal:?}");
        wallet.withdrawals.insert(number, withdrawal);
    }
    assert!(moved.is_empty(), "{user}: withdrawals without a record: {moved:?}");
    assert_eq!((held, withdrawn), (wallet.held, wallet.withdrawn), "{user}");
}

/// A withdrawal of a user.
///
/// # Panics
/// The record cannot be read.
pub fn withdrawal(books: &Books, user: u64, number: &str) -> Option<Withdrawal> {
    let value = books.of_user(user, &format!("mw{user}"), number)?;
    Some(Withdrawal::decode(value).expect("a withdrawal"))
}

/// What a call of the schedule would do, where tokens are posted by settlement.
pub fn due(
    books: &Books,
    wallets: &Wallets,
    packets: &BTreeMap<String, Found>,
    now_ms: u64,
) -> Vec<String> {
    let mut due = Vec::new();
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let lists =
            [(records::QUEUE, "queued"), (records::OWED, "owed"), (records::UNSENT, "not sent")];
        for (index, what) in lists {
            let items = of_users(books, &home, index).into_iter();
            due.extend(items.map(|(_, user, name)| format!("{home}: {name} of {user} is {what}")));
        }
        for (until, what) in items(books, &home, records::WITHDRAWAL_ENDS) {
            if is_past(until, now_ms) {
                due.push(format!("{home}: a withdrawal has ended: {}", what.escape_ascii()));
            }
        }
        for (until, name) in items(books, &home, records::ENDS) {
            if is_past(until, now_ms) {
                due.push(format!("{home}: {} is among the packets that end", text(&name)));
            }
        }
    }
    for (user, wallet) in wallets {
        due.extend(wallet.pending.keys().map(|number| format!("{user}: {number} is not posted")));
    }
    for (name, found) in packets {
        let is_closed = found.is_unpaid() || found.is_closed() || found.waits();
        if !is_closed && (found.has_ended() || is_past(found.until_ms(), now_ms)) {
            due.push(format!("{name} is not closed: {found:?}"));
        }
    }
    due
}

fn is_past(until_ms: i64, now_ms: u64) -> bool {
    u64::try_from(until_ms).is_ok_and(|until| until <= now_ms)
}

/// What is kept of wallets where all of it is over. Withdrawals that nobody ended stay, and so do entries behind one of them,
/// or behind what a rain gave that can still be opened.
pub fn left(
    books: &Books,
    ledger: &mut Ledger,
    kept: Kept,
    is_over: impl Fn(&Token) -> bool,
) -> Vec<String> {
    let wallets = wallets(books, ledger, kept);
    let mut left = Vec::new();
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let lists = [
            records::SENT,
            records::FORGOTTEN,
            records::WITHDRAWAL_ENDS,
            records::UNAPPLIED,
            records::DECIDED,
            records::ENDS,
            records::UNSENT,
            records::OWED,
            records::QUEUE,
        ];
        for index in lists {
            let items = items(books, &home, index).into_iter();
            left.extend(items.map(|(_, what)| format!("{}: {}", index.0, what.escape_ascii())));
        }
        for (_, user, number) in of_users(books, &home, records::WITHDRAWALS) {
            let withdrawal = &wallets[&user].withdrawals[&number];
            if withdrawal.state != State::Pending {
                left.push(format!("{user}: {number}: {withdrawal:?}"));
            }
        }
    }
    for (user, wallet) in &wallets {
        let (entries, carried) = ledger.entries(books, *user, kept);
        let keeps = entries.get(carried).is_none_or(|entry| match &entry.what {
            What::Token(payload) => !is_over(&Token::from_payload(payload).expect("a payload")),
            What::Withdrawal(number) | What::Voided(number) => {
                wallet.withdrawals[number].state == State::Pending
            }
            What::Sent(_) => false,
        });
        if !keeps {
            left.push(format!("{user}: {:?}", entries.get(carried)));
        }
    }
    let is_packet = |name: &&(String, String)| {
        ["mp", "mc", "mr", "mt", "mo"].iter().any(|kind| name.1.starts_with(kind))
    };
    left.extend(books.records().keys().filter(is_packet).map(|(_, name)| name.clone()));
    left
}

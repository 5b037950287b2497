//! What must hold of wallets, rains and packets in the store at any moment.

use std::collections::{BTreeMap, BTreeSet};

use domain::due::{self, DueIndex};
use domain::ids::UserId;
use domain::transaction::{Member, Value};
use end_to_end::dump::{Record, integer};
use lease::{CREDITED, FREE, LEFT, RETURNED};
use store::codec::decode;
use store::published::BODY;
use wallet::entry::{Entry, What};
use wallet::packet::{self, Funding, Order, Payment};
use wallet::rain::{self, Rain, Stored};
use wallet::records;
use wallet::token::Token;
use wallet::withdraw::{State, Withdrawal};

use crate::books::Books;

/// Before what belongs to one user: tokens, the account, marks, packets, withdrawals.
const OF_USERS: [&str; 5] = ["mk", "ml", "mn", "mo", "mw"];
/// States of packets, in their order.
const UNPAID: i64 = 0;
const OPEN: i64 = 1;
const CLOSING: i64 = 2;
const CLOSED: i64 = 3;
/// An operator is to decide about the payment.
const WAITING: i64 = 4;

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
    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.pending.values().chain(self.posted.values())
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
    /// Whether it is a payment that came late, or for which there was no use: one part, which nobody opens.
    is_late: bool,
}

impl Found {
    /// Whether nobody can open it any more, because its time is over.
    pub fn has_ended(&self) -> bool {
        self.state >= CLOSING
    }

    /// Whether nobody has paid for it.
    pub fn is_unpaid(&self) -> bool {
        self.state == UNPAID
    }

    /// Whether its payment moved money.
    fn is_paid_in(&self) -> bool {
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

fn cents(token: &Token) -> i64 {
    token.amount.minor_units()
}

fn text(field: &[u8]) -> String {
    String::from_utf8(field.to_vec()).expect("names are text")
}

fn sum(of: &Record) -> i64 {
    of.keys().map(|name| integer(of, &text(name))).sum()
}

/// The wallets of everybody who has one, in which everything agrees.
///
/// # Panics
/// It does not.
pub fn wallets(books: &Books) -> Wallets {
    let mut wallets = Wallets::new();
    for (home, name) in books.records().keys() {
        let user = OF_USERS.iter().find_map(|of| name.strip_prefix(of)?.parse().ok());
        if let Some(user) = user {
            assert_eq!(*home, books.home(user), "{name} is not where {user} lives");
            wallets.entry(user).or_insert_with(|| wallet(books, user));
        }
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
fn items(books: &Books, home: &str, index: DueIndex) -> Vec<(i64, Vec<u8>)> {
    let item = |member: Member| {
        let due = due::due(&member).expect("an entry of an index");
        (due.at.0, due.what.to_vec())
    };
    books.entries(home, index).into_iter().map(item).collect()
}

/// The same where each is something of a user.
fn of_users(books: &Books, home: &str, index: DueIndex) -> Vec<(i64, u64, String)> {
    let item = |(at, what): (i64, Vec<u8>)| {
        let (user, name) = due::user_of(&what).expect("something of a user");
        (at, user.0, name.to_owned())
    };
    items(books, home, index).into_iter().map(item).collect()
}

fn wallet(books: &Books, user: u64) -> Wallet {
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
    let moved = read_entries(books, user, of_account("s"), &mut wallet);
    let (of_entries, income) = moved.sums;
    let found = (wallet.balance, of_account("i"));
    assert_eq!(found, (of_entries, income), "{user}: the account and its entries");
    assert!(wallet.balance >= 0, "{user}: {wallet:?}");
    read_withdrawals(books, user, moved.withdrawals, &mut wallet);
    for (field, value) in record(format!("mo{user}")) {
        let order = Order::decode(value).expect("an order");
        assert_eq!(order.sender, user, "{order:?}");
        let taken = (order.funding == Funding::Balance).then_some(&order.total);
        assert_eq!(wallet.sent.get(&text(field)), taken, "{user}: {order:?}");
        wallet.orders.insert(text(field), order);
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

/// Each entry is there, each token was posted once and has its mark.
fn read_entries(books: &Books, user: u64, count: i64, wallet: &mut Wallet) -> Moved {
    let home = books.home(user);
    let marks = books.record(&home, &format!("mn{user}"));
    let (mut sum, mut income) = (0, 0);
    let mut withdrawals = BTreeMap::<String, (i64, i64)>::new();
    for sequence in 0..count {
        let page = books.record(&home, &records::page(UserId(user), sequence).0);
        let value = page.get(&records::entry(sequence).0);
        let entry = Entry::decode(value.expect("no gap")).expect("an entry");
        sum += entry.amount;
        match entry.what {
            What::Token(payload) => {
                let token = Token::from_payload(&payload).expect("a payload");
                let number = token.order_number.as_str().to_owned();
                assert_eq!((token.user.0, cents(&token)), (user, entry.amount));
                let mark = marks.get(number.as_bytes());
                assert_eq!(mark, Some(&Value::Integer(sequence)), "{user}: {number}");
                assert!(!wallet.pending.contains_key(&number), "{number} is both");
                income += if packet::is_refund(&token) { 0 } else { entry.amount };
                *wallet.sources.entry(wallet::posting::source(&token)).or_default() += entry.amount;
                let before = wallet.posted.insert(number, token);
                assert_eq!(before, None, "{user}: posted twice");
            }
            What::Sent(number) => {
                *wallet.sources.entry(records::PACKETS.into()).or_default() += entry.amount;
                assert_eq!(wallet.sent.insert(number, -entry.amount), None, "sent twice");
            }
            What::Withdrawal(number) => withdrawals.entry(number).or_default().0 -= entry.amount,
            What::Voided(number) => withdrawals.entry(number).or_default().1 += entry.amount,
        }
    }
    assert_eq!(marks.len(), wallet.posted.len(), "{user}: marks and entries");
    Moved { sums: (sum, income), withdrawals }
}

/// Each withdrawal moved what its state says.
fn read_withdrawals(
    books: &Books,
    user: u64,
    mut moved: BTreeMap<String, (i64, i64)>,
    wallet: &mut Wallet,
) {
    let (mut held, mut withdrawn) = (0, 0);
    for (field, value) in books.record(&books.home(user), &format!("mw{user}")) {
        let withdrawal = Withdrawal::decode(value).expect("a withdrawal");
        let number = text(field);
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

/// Each partition balances: the accounts that are no user's are what users and packets say.
///
/// # Panics
/// It does not.
pub fn check_accounts(books: &Books, wallets: &Wallets, packets: &BTreeMap<String, Found>) {
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let accounts = books.record(&home, "ma");
        assert_eq!(sum(accounts), 0, "{partition}: {accounts:?}");
        let (mut expected, mut of_users) = (BTreeMap::<&str, i64>::new(), [0; 3]);
        for (_, wallet) in wallets.iter().filter(|(user, _)| books.home(**user) == home) {
            for (source, cents) in &wallet.sources {
                *expected.entry(source).or_default() -= cents;
            }
            let of_user = [wallet.balance, wallet.held, wallet.withdrawn];
            of_users.iter_mut().zip(of_user).for_each(|(sum, cents)| *sum += cents);
        }
        // A payment comes in where its packet lives, once for each.
        for (name, found) in packets {
            let is_here = records::home_of_packet(books.partitions(), name) == partition;
            if is_here && found.is_paid_in() {
                *expected.entry(records::PAID_IN).or_default() -= found.order.total;
                *expected.entry(records::PACKETS).or_default() += found.order.total;
            }
        }
        let names = [records::USERS, records::HELD, records::PAID_OUT];
        let mut accounts: BTreeMap<_, _> =
            accounts.keys().map(|name| (text(name), integer(accounts, &text(name)))).collect();
        let own = names.map(|name| accounts.remove(name).unwrap_or(0));
        assert_eq!(own, of_users, "{partition}: {accounts:?}");
        accounts.retain(|_, cents| *cents != 0);
        expected.retain(|_, cents| *cents != 0);
        let accounts = accounts.iter().map(|(name, cents)| (name.as_str(), *cents));
        assert_eq!(
            accounts.collect::<BTreeMap<_, _>>(),
            expected,
            "{partition}: funds and entries"
        );
    }
}

/// A rain that was set up.
fn published(books: &Books, id: &str) -> Option<(Rain, Record)> {
    let place = rain::place(books.partitions(), id);
    let pool = books.record(&place.partition.to_string(), &place.pool.0);
    let body = pool.get(BODY.as_bytes())?;
    Some((decode::<Stored>(body).expect("a rain").rain, pool.clone()))
}

/// Cents of a rain that partitions have left.
pub fn leased(books: &Books, id: &str) -> i64 {
    let lease = rain::place(books.partitions(), id).lease.0;
    let left = |home: String| books.integer(&home, &lease, LEFT);
    books.partitions().all().map(|partition| left(partition.to_string())).sum()
}

/// The budget of a rain is in its pool, under way, in leases or in tokens.
///
/// # Panics
/// It is not.
pub fn check_rain(books: &Books, id: &str, wallets: &Wallets) {
    let Some((rain, pool)) = published(books, id) else { return };
    let place = rain::place(books.partitions(), id);
    let (mut out, mut given) = (0, 0);
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let lease = books.record(&home, &place.lease.0);
        let of_pool = |field: &str| integer(&pool, &format!("{field}{partition}"));
        let (credited, returned) = (of_pool(CREDITED), of_pool(RETURNED));
        let (arrived, back) = (integer(lease, CREDITED), integer(lease, RETURNED));
        assert!(arrived <= credited && returned <= back, "{id} {partition}: {lease:?}");
        let left = integer(lease, LEFT);
        let issued = arrived - back - left;
        assert!(left >= 0 && issued >= 0, "{id} {partition}: {lease:?}");
        let is_of = |token: &&Token| {
            token.activity == rain.activity
                && token.scene == rain.scene
                && books.home(token.user.0) == home
        };
        let tokens = wallets.values().flat_map(Wallet::tokens).filter(is_of);
        assert_eq!(tokens.map(cents).sum::<i64>(), issued, "{id} {partition}: {lease:?}");
        out += credited - returned;
        given += issued;
    }
    let budget = rain.budget.minor_units();
    assert_eq!(out + integer(&pool, FREE), budget, "{id}: {pool:?}");
    assert!(given <= budget, "{id}: {given} of {budget}");
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
        is_late: record.contains_key(&b"l"[..]),
        order,
    })
}

/// All packets, in each of which nothing is missing and nothing too much; and all that was sent is one.
///
/// # Panics
/// That does not hold.
pub fn packets(books: &Books, wallets: &Wallets) -> BTreeMap<String, Found> {
    let mut there = BTreeMap::new();
    for (home, name) in books.records().keys() {
        let Some(name) = name.strip_prefix("mp").filter(|name| name.contains('.')) else {
            continue;
        };
        let is_home = records::home_of_packet(books.partitions(), name).to_string() == *home;
        assert!(is_home, "{name} is in {home}");
        let found = found(books, name, wallets).expect("a packet");
        check_packet(books, name, &found, wallets);
        there.insert(name.to_owned(), found);
    }
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
        let is_closed = found.is_unpaid() || matches!(found.state, CLOSED | WAITING);
        if !is_closed && (found.has_ended() || is_past(found.until_ms, now_ms)) {
            due.push(format!("{name} is not closed: {found:?}"));
        }
    }
    due
}

fn is_past(until_ms: i64, now_ms: u64) -> bool {
    u64::try_from(until_ms).is_ok_and(|until| until <= now_ms)
}

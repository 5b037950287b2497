//! The store as a whole, read in one step past the app, and what must hold of wallets at any moment.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::UserId;
use domain::partition::Partitions;
use domain::transaction::{Field, Value};
use lease::{CREDITED, FREE, LEFT, RETURNED};
use wallet::entry::{Entry, What};
use wallet::packet::{self, Order};
use wallet::rain::{self, Rain};
use wallet::records;
use wallet::token::Token;
use wallet::withdraw::{State, Withdrawal};

use crate::dump::{self, Record, Records, integer};

/// The records of a store.
pub struct Books {
    connection: redis::Connection,
    partitions: Partitions,
    records: Records,
}

/// What the store says of one user.
#[derive(Debug, Default)]
pub struct Wallet {
    /// Tokens that are not posted, by number.
    pub pending: BTreeMap<String, Token>,
    /// Tokens that are.
    pub posted: BTreeMap<String, Token>,
    /// Packets that were sent, by number.
    pub sent: BTreeMap<String, i64>,
    /// Withdrawals.
    pub withdrawals: BTreeMap<String, Withdrawal>,
    /// The account.
    balance: i64,
    held: i64,
    withdrawn: i64,
}

impl Wallet {
    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.pending.values().chain(self.posted.values())
    }

    /// All that was given, less what was sent, left, or is held.
    pub fn balance(&self) -> i64 {
        let given: i64 = self.tokens().map(cents).sum();
        given - self.sent.values().sum::<i64>() - self.withdrawn - self.held
    }
}

fn cents(token: &Token) -> i64 {
    token.amount.minor_units()
}

fn text(field: &[u8]) -> String {
    String::from_utf8(field.to_vec()).expect("names are text")
}

impl Books {
    /// The books of a server's store, which is emptied.
    pub fn open(address: &str, partitions: u32) -> Self {
        let partitions = Partitions::new(partitions).expect("a power of two");
        Self { connection: dump::open(address), partitions, records: Records::new() }
    }

    /// Reads everything.
    pub fn read(&mut self) {
        self.records = dump::read(&mut self.connection);
    }

    fn record(&self, partition: &str, name: &str) -> Record {
        self.records.get(&(partition.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }

    fn home(&self, user: u64) -> String {
        self.partitions.locate(UserId(user)).partition.to_string()
    }

    /// What the store says of a user.
    pub fn wallet(&self, user: u64) -> Wallet {
        self.checked_wallet(user).0
    }

    /// What a number gave a user.
    pub fn given(&self, user: u64, number: &str) -> Option<i64> {
        let home = self.home(user);
        let pending = self.record(&home, &format!("mk{user}"));
        if let Some(Value::Bytes(stored)) = pending.get(number.as_bytes()) {
            return Some(cents(&Token::from_stored(stored).expect("a token")));
        }
        let posted = self.record(&home, &format!("mn{user}"));
        let Some(Value::Integer(sequence)) = posted.get(number.as_bytes()) else { return None };
        let page = self.record(&home, &records::page(UserId(user), *sequence).0);
        let entry = &page[&records::entry(*sequence).0];
        Some(Entry::decode(entry).expect("an entry").amount)
    }

    /// A user's wallet, in which everything agrees; and what the ledger posted, by source.
    fn checked_wallet(&self, user: u64) -> (Wallet, BTreeMap<String, i64>) {
        let home = self.home(user);
        let record = |name: String| self.record(&home, &name);
        let account = record(format!("ml{user}"));
        let of_account = |field: &str| integer(&account, field);
        let mut wallet = Wallet {
            balance: of_account("b"),
            held: of_account("h"),
            withdrawn: of_account("w"),
            ..Wallet::default()
        };
        for (field, value) in record(format!("mk{user}")) {
            let Value::Bytes(stored) = value else { panic!("{user}: {value:?}") };
            let token = Token::from_stored(&stored).expect("a token");
            assert_eq!((token.user.0, token.order_number.as_str()), (user, &*text(&field)));
            wallet.pending.insert(text(&field), token);
        }
        let is_queued = record("mq".into()).contains_key(user.to_string().as_bytes());
        assert!(wallet.pending.is_empty() || is_queued, "{user} is not queued");

        let marks = record(format!("mn{user}"));
        let (mut sum, mut income, mut sources) = (0, 0, BTreeMap::<String, i64>::new());
        let mut moved = BTreeMap::<String, (i64, i64)>::new();
        for sequence in 0..of_account("s") {
            let page = records::page(UserId(user), sequence).0;
            let value = record(page).remove(&records::entry(sequence).0);
            let entry = Entry::decode(&value.expect("no gap")).expect("an entry");
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
                    *sources.entry(wallet::posting::source(&token)).or_default() += entry.amount;
                    let before = wallet.posted.insert(number, token);
                    assert_eq!(before, None, "{user}: posted twice");
                }
                What::Sent(number) => {
                    *sources.entry(records::PACKETS.into()).or_default() += entry.amount;
                    assert_eq!(wallet.sent.insert(number, -entry.amount), None, "sent twice");
                }
                What::Withdrawal(number) => moved.entry(number).or_default().0 -= entry.amount,
                What::Voided(number) => moved.entry(number).or_default().1 += entry.amount,
            }
        }
        assert_eq!(marks.len(), wallet.posted.len(), "{user}: marks and entries");
        let account = (wallet.balance, of_account("i"));
        assert_eq!(account, (sum, income), "{user}: the account and its entries");
        assert!(wallet.balance >= 0, "{user}: {wallet:?}");
        let (mut held, mut withdrawn) = (0, 0);
        for (field, value) in record(format!("mw{user}")) {
            let withdrawal = Withdrawal::decode(&value).expect("a withdrawal");
            let number = text(&field);
            let amount = withdrawal.amount;
            let expected = match withdrawal.state {
                State::Pending => (amount, 0),
                State::Posted => (amount, 0),
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
        for (field, value) in record(format!("mo{user}")) {
            let order = Order::decode(&value).expect("an order");
            assert_eq!(wallet.sent.get(&text(&field)), Some(&order.total), "{user}: {order:?}");
        }
        assert_eq!(record(format!("mo{user}")).len(), wallet.sent.len(), "{user}: packets");
        (wallet, sources)
    }

    /// Checks what must hold at any moment.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self, users: &[u64], rains: &[&str]) {
        let mut wallets = BTreeMap::new();
        for partition in self.partitions.all() {
            let home = partition.to_string();
            let accounts = self.record(&home, "ma");
            let sum: i64 = accounts.keys().map(|name| integer(&accounts, &text(name))).sum();
            assert_eq!(sum, 0, "{partition}: {accounts:?}");
            let (mut expected, mut of_users) = (BTreeMap::<String, i64>::new(), [0; 3]);
            for user in users.iter().filter(|user| self.home(**user) == home) {
                let (wallet, sources) = self.checked_wallet(*user);
                for (source, cents) in sources {
                    *expected.entry(source).or_default() -= cents;
                }
                let of_user = [wallet.balance, wallet.held, wallet.withdrawn];
                of_users.iter_mut().zip(of_user).for_each(|(sum, cents)| *sum += cents);
                wallets.insert(*user, wallet);
            }
            let names = [records::USERS, records::HELD, records::PAID_OUT];
            let mut found: BTreeMap<_, _> =
                accounts.keys().map(|name| (text(name), integer(&accounts, &text(name)))).collect();
            let own = names.map(|name| found.remove(name).unwrap_or(0));
            assert_eq!(own, of_users, "{partition}: {accounts:?}");
            found.retain(|_, cents| *cents != 0);
            expected.retain(|_, cents| *cents != 0);
            assert_eq!(found, expected, "{partition}: funds and entries");
        }
        for id in rains {
            self.check_rain(id, &wallets);
        }
        self.check_packets(&wallets);
    }

    /// A rain that was set up.
    pub fn rain(&self, id: &str) -> Option<Rain> {
        let place = rain::place(self.partitions, id);
        let pool = self.record(&place.partition.to_string(), &place.pool.0);
        let Some(Value::Bytes(body)) = pool.get(rain::BODY.as_bytes()) else { return None };
        Some(serde_json::from_slice(body).expect("a rain"))
    }

    fn check_rain(&self, id: &str, wallets: &BTreeMap<u64, Wallet>) {
        let Some(rain) = self.rain(id) else { return };
        let place = rain::place(self.partitions, id);
        let pool = self.record(&place.partition.to_string(), &place.pool.0);
        let (mut out, mut given) = (0, 0);
        for partition in self.partitions.all() {
            let home = partition.to_string();
            let lease = self.record(&home, &place.lease.0);
            let of_pool = |field: &str| integer(&pool, &format!("{field}{partition}"));
            let (credited, returned) = (of_pool(CREDITED), of_pool(RETURNED));
            let (arrived, back) = (integer(&lease, CREDITED), integer(&lease, RETURNED));
            assert!(arrived <= credited && returned <= back, "{id} {partition}: {lease:?}");
            let left = integer(&lease, LEFT);
            let issued = arrived - back - left;
            assert!(left >= 0 && issued >= 0, "{id} {partition}: {lease:?}");
            let is_of = |token: &&Token| {
                token.activity == rain.activity
                    && token.scene == rain.scene
                    && self.home(token.user.0) == home
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

    fn check_packets(&self, wallets: &BTreeMap<u64, Wallet>) {
        let token = |user: u64, number: &str| {
            let wallet = wallets.get(&user).expect("a known user");
            wallet.pending.get(number).or_else(|| wallet.posted.get(number)).map(cents)
        };
        let mut there = BTreeSet::new();
        for ((home, name), record) in &self.records {
            let Some(packet) = name.strip_prefix("mp").filter(|packet| packet.contains('.')) else {
                continue;
            };
            let (sender, number) = packet::sender_of(packet).expect("a packet's name");
            let order = Order::decode(&record[&b"d"[..]]).expect("an order");
            let parts = self.record(home, &format!("mc{packet}"));
            let openings = self.record(home, &format!("mr{packet}"));
            let amounts = |of: &Record| of.keys().map(|name| integer(of, &text(name))).sum::<i64>();
            let (left, taken) = (amounts(&parts), amounts(&openings));
            assert_eq!(left + taken, order.total, "{packet}");
            assert_eq!(parts.len() + openings.len(), order.count as usize, "{packet}");
            assert_eq!(openings.len(), self.record(home, &format!("mt{packet}")).len());
            let owed = self.record(home, "mu");
            for user in openings.keys().map(|field| text(field)) {
                let paid = token(user.parse().expect("a user"), &packet::opening_number(packet));
                let is_owed = owed.contains_key(format!("{user} {packet}").as_bytes());
                let expected = integer(&openings, &user);
                assert!(paid == Some(expected) || (paid.is_none() && is_owed), "{packet} {user}");
            }
            let refund = token(sender.0, &format!("refund:{packet}"));
            // In the order of the states: unpaid, open, closing, closed.
            match integer(record, "s") {
                1 => assert_eq!(refund, None, "{packet}"),
                2 => assert!(refund.is_none() || refund == Some(left), "{packet}"),
                3 => assert_eq!(refund.unwrap_or(0), left, "{packet}"),
                state => panic!("{packet}: {state}"),
            }
            let sent = wallets[&sender.0].sent.get(number.as_str());
            assert_eq!(sent, Some(&order.total), "{packet} was paid for");
            there.insert(packet.to_owned());
        }
        for (user, wallet) in wallets {
            for number in wallet.sent.keys() {
                let unsent = self.record(&self.home(*user), "mv");
                let mark: Field = records::pair(UserId(*user), number);
                let is_there = there.contains(&format!("{user}.{number}"));
                assert!(is_there || unsent.contains_key(&mark.0), "{user}.{number} is nowhere");
            }
        }
    }
}

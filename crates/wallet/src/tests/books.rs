//! What must hold of a user's wallet and of the accounts, however much of it was collected.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use binding::Binding;
use binding::memory::Memory;
use domain::answers;
use domain::due::{self, DueIndex};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Outcome, Read, Transaction, Value, Write};
use store::retention::{Collected, Retention, Terms};

use super::requests::{STAGE, at, done, keys};
use crate::account::{Account, Gone};
use crate::carried::Months;
use crate::collect;
use crate::entry::{Entry, What};
use crate::packet;
use crate::pending;
use crate::posting;
use crate::records;
use crate::statement;
use crate::token::{Payload, Token};
use crate::withdraw::{State, Withdrawal};

pub const DAY_MS: i64 = 86_400_000;

/// A store that is gone after so many commits, as for an instance that crashes then.
pub struct Crashing<'a> {
    pub memory: &'a Memory,
    pub commits: Cell<u32>,
}

impl Binding for Crashing<'_> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let Some(left) = self.commits.get().checked_sub(1) else {
            return Err(CommitError::Unavailable("crashed".into()));
        };
        self.commits.set(left);
        self.memory.commit(partition, transaction).await
    }
}

/// Things are kept as short as they may be.
pub fn terms(now_ms: i64) -> Terms {
    Terms { retention: Retention::LEAST, now: UnixMillis(now_ms), dry_run: false }
}

/// Gives a user a token of a rain that was drawn at a moment; its text.
pub fn give(store: &Memory, user: UserId, number: &str, amount: i64, drawn: i64) -> String {
    let payload = Payload {
        app_id: 0,
        act_id: user.0,
        activity_id: "spring".to_owned(),
        scene_id: "rain".to_owned(),
        amount,
        out_trade_no: number.to_owned(),
        open_time: drawn,
        rain_id: 1,
        status: 0,
    };
    let signed = keys().sign(&payload, STAGE).unwrap();
    let context = at(store, drawn);
    let guards = pending::demands(user, number).map(|(_, guard)| guard).to_vec();
    let writes = pending::writes(user, number, signed.to_stored(), context.now, context.now);
    let transaction = Transaction { guards, writes: writes.to_vec(), ..Transaction::default() };
    let outcome = done(store.commit(context.home(user), &transaction)).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{number}");
    signed.to_text()
}

/// Gives and posts.
pub fn earn(store: &Memory, user: UserId, number: &str, amount: i64, drawn: i64) -> String {
    let text = give(store, user, number, amount, drawn);
    done(posting::post(&at(store, drawn), user)).unwrap();
    text
}

/// Collects a user until nothing more can go.
pub fn collect_user(store: &Memory, user: UserId, now_ms: i64, live: &[&str]) -> Collected {
    let live: BTreeSet<String> = live.iter().map(|one| (*one).to_owned()).collect();
    let mut all = Collected::default();
    loop {
        let context = at(store, now_ms);
        let one = done(collect::user(&context, user, &terms(now_ms), &live)).unwrap();
        let has_more = one.has_more;
        all.add(Collected { has_more: false, ..one });
        if !has_more {
            return all;
        }
    }
}

/// Collects withdrawals; how many went.
pub fn collect_withdrawals(store: &Memory, now_ms: i64) -> u64 {
    let context = at(store, now_ms);
    let partitions: Vec<_> = context.partitions.all().collect();
    let (swept, collected) =
        done(collect::withdrawals(&context, &partitions, &terms(now_ms))).unwrap();
    assert_eq!((swept.stuck, swept.set_aside, swept.has_more), (vec![], vec![], false));
    collected.gone.get("withdrawals").copied().unwrap_or(0)
}

/// One call that collects packets; how many packets and payments went.
pub fn collect_packets(store: &Memory, now_ms: i64) -> [u64; 2] {
    let context = at(store, now_ms);
    let partitions: Vec<_> = context.partitions.all().collect();
    let (swept, collected) = done(collect::packets(&context, &partitions, &terms(now_ms))).unwrap();
    assert_eq!((swept.stuck, swept.set_aside, swept.has_more), (vec![], vec![], false));
    ["packets", "payments"].map(|kind| collected.gone.get(kind).copied().unwrap_or(0))
}

fn read<const N: usize>(store: &Memory, home: Partition, reads: [Read; N]) -> [Answer; N] {
    let answers = done(at(store, 0).read(home, reads.to_vec())).unwrap();
    answers.try_into().unwrap()
}

pub fn account_of(store: &Memory, user: UserId) -> Account {
    let [account] = read(store, at(store, 0).home(user), [Account::read(user)]);
    Account::answered(Some(&account)).unwrap()
}

/// The whole of a user's map.
pub fn map(
    store: &Memory,
    home: Partition,
    record: domain::transaction::MapKey,
) -> Vec<(Field, Value)> {
    let [Answer::Map(fields)] = read(store, home, [Read::All(record, 1_024)]) else {
        panic!("a map")
    };
    fields
}

/// The withdrawals that a user has.
fn withdrawals(store: &Memory, user: UserId) -> BTreeMap<String, Withdrawal> {
    let fields = map(store, at(store, 0).home(user), records::withdrawals(user));
    let one = |(Field(name), value): (Field, Value)| {
        (String::from_utf8(name).unwrap(), Withdrawal::decode(&value).unwrap())
    };
    fields.into_iter().map(one).collect()
}

/// What stands in an index of a partition.
pub fn items(store: &Memory, home: Partition, index: DueIndex) -> Vec<(i64, Vec<u8>)> {
    let [answer] = read(store, home, [index.page_of_all(None, 1_024)]);
    let page = answers::page(Some(&answer)).unwrap();
    let item = |member| {
        let due = due::due(member).unwrap();
        (due.at.0, due.what.to_vec())
    };
    page.members.iter().map(item).collect()
}

/// The books of a user agree: what is carried and what is not is the account, numbers are those of entries, withdrawals
/// and what is gone of them are what entries took, and the indexes are those of the withdrawals.
pub fn check_user(store: &Memory, user: UserId) {
    let home = at(store, 0).home(user);
    let account = account_of(store, user);
    let [months, gone] = read(store, home, [Months::read(user), Gone::read(user)]);
    let total = Months::answered(Some(&months)).unwrap().total();
    let gone = Gone::answered(Some(&gone)).unwrap();
    assert_eq!(total.count, account.carried, "{user}");
    let (mut balance, mut income) = (total.amount, total.income);
    let (mut posted, mut moved) = (BTreeMap::new(), BTreeMap::<String, (i64, i64)>::new());
    let range = account.carried..account.sequence;
    for (sequence, value) in done(statement::stored(&at(store, 0), user, range)).unwrap() {
        let entry = Entry::decode(&value.expect("no gap")).unwrap();
        balance += entry.amount;
        match entry.what {
            What::Token(payload) => {
                let token = Token::from_payload(&payload).unwrap();
                income += if packet::is_refund(&token) { 0 } else { entry.amount };
                posted.insert(Field::from(token.order_number.as_str()), Value::Integer(sequence));
            }
            What::Withdrawal(number) => moved.entry(number).or_default().0 -= entry.amount,
            What::Voided(number) => moved.entry(number).or_default().1 += entry.amount,
            What::Sent(_) => {}
        }
    }
    assert_eq!((balance, income), (account.balance, account.income), "{user}");
    let marks: BTreeMap<_, _> = map(store, home, records::posted(user)).into_iter().collect();
    assert_eq!(marks, posted, "{user}");

    let withdrawals = withdrawals(store, user);
    let (mut held, mut withdrawn) = (0, total.taken - total.back + gone.taken - gone.back);
    let (mut listed, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for (number, one) in &withdrawals {
        let expected = match one.state {
            State::Pending | State::Posted => (one.amount, 0),
            State::Voided => (one.amount, one.amount),
            State::ExceedsBalance => (0, 0),
        };
        held += if one.state == State::Pending { one.amount } else { 0 };
        withdrawn += if one.state == State::Posted { one.amount } else { 0 };
        assert_eq!(moved.remove(number).unwrap_or_default(), expected, "{user}: {number}");
        let what = due::of_user(user, number);
        listed.insert((one.at, what.clone()));
        ends.extend(one.end.filter(|_| one.state == State::Pending).map(|end| (end.at, what)));
    }
    assert_eq!((held, withdrawn), (account.held, account.withdrawn), "{user}");
    let missing = moved.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(missing, (gone.taken, gone.back), "{user}: {moved:?}");
    for (index, expected) in [(records::WITHDRAWALS, listed), (records::WITHDRAWAL_ENDS, ends)] {
        let of_user = items(store, home, index).into_iter();
        let of_user = of_user.filter(|(_, what)| due::user_of(what).unwrap().0 == user);
        assert_eq!(of_user.collect::<BTreeSet<_>>(), expected, "{index:?}");
    }
}

/// Writes, whatever is there.
pub fn damage(store: &Memory, home: Partition, writes: Vec<Write>) {
    done(at(store, 0).write(home, writes)).unwrap();
}

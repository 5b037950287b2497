//! What reconciliation says of orders, holds and group-buys: nothing at any moment of an order's life, whoever looks
//! while it goes on; and of each thing that is wrong its own difference. And where a call stops.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use coupons::chance::{Chance, Group, Groups, Phase, REWARDS};
use coupons::group_buy::reward_number;
use coupons::records::{self as coupon, Gave, HOLDERS};
use coupons::redemption::{Cart, Use, apply};
use domain::due::{self, DueIndex};
use domain::order_number::OrderNumber;
use domain::transaction::{Answer, Field, MapKey, Member, Range, Read};
use purchases::holds::{hold, let_go};
use purchases::order::{NOBODY, Order, Purchase, State, Used, change, find};
use purchases::records::{self as taken, Hold};
use store::codec::encode;
use store::quarantine;
use store::retention::{Retention, Terms};
use store::sealed::Kind;
use wallet::records::{ENDS, UNAPPLIED};

use super::*;
use crate::reconcile::{Cursor, Difference, Report, Scope, reconcile};

mod wallets;

const USER: UserId = UserId(7);
const DAY_MS: i64 = 86_400_000;
/// Commits that one call makes at most.
const CALL_COMMITS_MAX: u32 = 2_000;

/// The code of a difference, and its place.
type Told<'a, P = &'a str> = (&'a str, P);
/// What was written, in order.
type Log = Vec<(Partition, Transaction)>;

/// A store that remembers what is written, and into which others write while somebody reads.
#[derive(Default)]
struct Watched {
    memory: Memory,
    log: RefCell<Log>,
    /// What others write: so many transactions at once, with every so many commits.
    meanwhile: RefCell<VecDeque<(Partition, Transaction)>>,
    every: Cell<u32>,
    at_once: Cell<usize>,
    commits: Cell<u32>,
    /// How long after the present it is.
    later_ms: Cell<i64>,
}

impl Binding for Watched {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        self.commits.set(self.commits.get() + 1);
        if self.every.get() > 0 && self.commits.get().is_multiple_of(self.every.get()) {
            let mut meanwhile = self.meanwhile.take();
            let rest = meanwhile.split_off(self.at_once.get().min(meanwhile.len()));
            self.meanwhile.replace(rest);
            for (partition, transaction) in meanwhile {
                self.memory.commit(partition, &transaction).await?;
            }
        }
        if !transaction.is_read_only() {
            self.log.borrow_mut().push((partition, transaction.clone()));
        }
        self.memory.commit(partition, transaction).await
    }
}

impl Watched {
    fn of(log: &[(Partition, Transaction)]) -> Self {
        let store = Self::default();
        for (partition, transaction) in log {
            block_on(store.memory.commit(*partition, transaction)).unwrap();
        }
        store
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(NOW.0 + self.later_ms.get())
    }

    fn context(&self) -> store::Context<'_, Self> {
        context(self, self.now())
    }

    /// The next step of the collection of the user's orders, a day later.
    fn collect(&self, live: &[&str]) {
        self.later_ms.update(|ms| ms + DAY_MS);
        let (retention, now) = (Retention::default(), self.now());
        let terms = Terms { retention, now, dry_run: false };
        let live = live.iter().map(|name| (*name).to_owned()).collect();
        block_on(purchases::collect::user(&self.context(), USER, &terms, &live)).unwrap();
    }

    fn write(&self, partition: Partition, writes: Vec<Write>) {
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(self.commit(partition, &transaction)).unwrap();
    }

    fn part(&self, scope: Scope, cursor: Cursor) -> Report {
        let now = self.now();
        with_books(self, now, |books| block_on(reconcile(books, scope, cursor))).unwrap()
    }

    /// All differences, of all parts, and how many calls that took.
    fn all(&self, scope: Scope) -> (Report, u32) {
        let (mut report, mut cursor) = (Report::default(), Cursor::default());
        for call in 1..100 {
            self.commits.set(0);
            let part = self.part(scope, cursor);
            assert!(self.commits.get() <= CALL_COMMITS_MAX, "{} commits", self.commits.get());
            report.differences.extend(part.differences);
            report.users += part.users;
            report.packets += part.packets;
            report.unsettled += part.unsettled;
            match part.next {
                Some(next) => cursor = Cursor::parse(&next.text()).unwrap(),
                None => return (report, call),
            }
        }
        panic!("it does not go on")
    }

    fn memory_size(&self, partition: Partition, read: Read) -> u64 {
        match block_on(self.context().read(partition, vec![read])).unwrap().remove(0) {
            Answer::Size(size) => size,
            other => panic!("{other:?}"),
        }
    }

    fn integer(&self, partition: Partition, read: Read) -> i64 {
        let answers = block_on(self.context().read(partition, vec![read])).unwrap();
        answers::integers::<1>(answers.first()).unwrap()[0]
    }

    #[track_caller]
    fn check(&self, expected: &[Told<'_>]) {
        let (report, _) = self.all(Scope::Full);
        let told = |one: &Difference| (one.what.code(), one.place.clone());
        let told: Vec<_> = report.differences.iter().map(told).collect();
        let expected: Vec<_> =
            expected.iter().map(|(code, place)| (*code, (*place).to_owned())).collect();
        assert_eq!(told, expected, "{report:?}");
    }
}

fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "order_number").unwrap()
}

fn used(activity: &str, unit: &str, of_user: Option<u32>, of_all: Option<i64>) -> Used {
    Used { activity: activity.into(), unit: unit.into(), uses: 2, place: 0, of_user, of_all }
}

/// Of an activity that counts for the user and for all, of one that does for all by unit, and of one that does for users
/// only.
fn uses() -> Vec<Used> {
    vec![
        used("both", "", Some(9), Some(99)),
        used("all", "a", None, Some(99)),
        used("all", "b", Some(9), Some(99)),
        used("mine", "c", Some(9), None),
    ]
}

/// An order that began now.
fn order_of(state: State, uses: Vec<Used>) -> Purchase {
    let (at, begun) = (NOW.0, NOW.0);
    Purchase { digest: 1, attempt: 1, state, at, begun, ordered_at: None, uses, let_go: vec![] }
}

/// An order, step by step, as `functions/promotion` takes them.
struct Life<'a> {
    store: &'a Watched,
    number: OrderNumber,
}

impl Life<'_> {
    fn order(&self) -> Order<'_> {
        Order { user: USER, number: &self.number }
    }

    fn purchase(&self) -> Purchase {
        block_on(find(&self.store.context(), self.order())).unwrap().record.unwrap()
    }

    fn change_to(&self, next: &Purchase, sign: i64) -> &Self {
        let context = self.store.context();
        let found = block_on(find(&context, self.order())).unwrap();
        let counts = self.order().count(&next.uses, sign).collect();
        assert_eq!(block_on(change(&context, self.order(), &found, next, counts)), Ok(true));
        self
    }

    fn begin(&self, attempt: u32, state: State) -> &Self {
        let next = Purchase { attempt, ..order_of(state, uses()) };
        self.change_to(&next, 1)
    }

    fn is(&self, state: State, sign: i64) -> &Self {
        self.change_to(&Purchase { state, ..self.purchase() }, sign)
    }

    fn hold(&self) -> &Self {
        let held = block_on(hold(&self.store.context(), self.order(), &self.purchase()));
        assert_eq!(held, Ok(None));
        self
    }

    fn let_go(&self) -> &Self {
        block_on(let_go(&self.store.context(), self.order(), &self.purchase())).unwrap();
        self
    }
}

fn life<'a>(store: &'a Watched, order: &str) -> Life<'a> {
    Life { store, number: number(order) }
}

/// Orders that came to every state there is.
fn orders(store: &Watched) {
    let back = life(store, "back:1");
    back.begin(1, State::Taking).hold().is(State::Taken, 0);
    back.is(State::GivingBack, 0).let_go().is(State::GivenBack, -1);
    life(store, "taken").begin(1, State::Taking).hold().is(State::Taken, 0);
    let again = life(store, "again");
    again.begin(1, State::Taking).is(State::Undoing(0), 0).let_go().is(State::Refused, -1);
    again.begin(2, State::Taking).hold().is(State::Undoing(NOBODY), 0).let_go();
    again.is(State::Refused, -1).begin(3, State::Taking).hold().is(State::Taken, 0);
    let refused = life(store, "refused");
    refused.begin(1, State::Taking).is(State::Undoing(1), 0).let_go().is(State::Refused, -1);
    let cleared = life(store, "cleared");
    cleared.begin(1, State::Taking).is(State::Undoing(1), 0).let_go().is(State::Refused, -1);
    let none = Purchase { state: State::GivenBack, uses: vec![], ..cleared.purchase() };
    cleared.change_to(&none, 0);
    life(store, "taking").begin(1, State::Taking).hold();
    life(store, "giving").begin(1, State::Taking).hold().is(State::GivingBack, 0);
    let never = Purchase { attempt: 0, ..none };
    life(store, "never").change_to(&never, 0);
}

fn group(name: &str, gives_back: bool) -> Group {
    Group {
        group: name.into(),
        template: "t".into(),
        gives_back,
        opened_at: NOW,
        lasts_seconds: 60,
        phase: Phase::Open,
    }
}

fn chance(campaign: &str) -> Chance<'_> {
    Chance { user: USER, campaign }
}

/// Puts one group after another into a user's chance, as requests do.
fn groups(store: &Watched, campaign: &str, gives_back: bool, said: &[(&str, Phase)]) -> Groups {
    let commit = |before: &Groups, after: &Groups, more: Vec<Write>| {
        let mut transaction = chance(campaign).change(before, after);
        transaction.writes.extend(more);
        block_on(store.commit(home(USER.0), &transaction)).unwrap();
    };
    let mut groups = Groups::default();
    for (name, phase) in said {
        let next = groups.opened(group(name, gives_back)).unwrap();
        commit(&groups, &next, HOLDERS.mark(USER, NOW).to_vec());
        groups = next;
        let ended = match phase {
            Phase::Open => continue,
            Phase::Rewarded | Phase::Lapsed => Phase::Succeeded,
            ended => *ended,
        };
        let next = groups.ended(name, ended, NOW).unwrap();
        commit(&groups, &next, vec![]);
        groups = next;
        if matches!(phase, Phase::Rewarded | Phase::Lapsed) {
            if *phase == Phase::Rewarded {
                let order = coupon::Order::new(1, NOW, Gave::Greeting("hello".into()));
                let number = reward_number(campaign, name).unwrap();
                let set = Write::Set(coupon::user(USER), coupon::order(&number), order.encode());
                store.write(home(USER.0), vec![set]);
            }
            let next = groups.settled(*phase);
            commit(&groups, &next, vec![]);
            groups = next;
        }
    }
    groups
}

fn all_groups(store: &Watched) {
    groups(store, "open", false, &[("a", Phase::Open)]);
    groups(store, "back", true, &[("a", Phase::Failed), ("b", Phase::Expired), ("c", Phase::Open)]);
    groups(store, "due", true, &[("a", Phase::Failed), ("b", Phase::Succeeded)]);
    groups(store, "given", false, &[("a", Phase::Rewarded)]);
    groups(store, "lapsed", false, &[("a", Phase::Lapsed)]);
}

fn healthy() -> Watched {
    let store = Watched::default();
    orders(&store);
    all_groups(&store);
    store
}

#[test]
fn nothing_differs_after_any_commit_of_an_order_or_a_group() {
    let log = healthy().log.take();
    assert!(log.len() > 50, "{} commits", log.len());
    for crash in 0..=log.len() {
        Watched::of(&log[..crash]).check(&[]);
        let (report, _) = Watched::of(&log[..crash]).all(Scope::Recent);
        assert_eq!(report.differences, [], "{crash}");
    }
    let (report, _) = Watched::of(&log).all(Scope::Full);
    assert_eq!(report.unsettled, 0);
}

#[test]
fn traffic_is_no_difference() {
    let log = healthy().log.take();
    let mut settled = 0;
    for from in 0..log.len() {
        // A step at a time; and all of an order's way back, or forth, between two reads. At once, and later.
        for (at_once, every, idle) in [1, 3, 5].into_iter().flat_map(|at_once| {
            (1..=4).flat_map(move |every| [0, 20, 40].map(|idle| (at_once, every, idle)))
        }) {
            let store = Watched::of(&log[..from]);
            store.every.set(every);
            store.at_once.set(at_once);
            let nothing = (home(USER.0), Transaction::default());
            let idle = std::iter::repeat_n(nothing, idle * at_once);
            store.meanwhile.replace(idle.chain(log[from..].iter().cloned()).collect());
            let report = store.part(Scope::Full, Cursor::default());
            assert_eq!(report.differences, [], "from {from}, {at_once} every {every}");
            settled += u32::from(report.unsettled == 0);
        }
    }
    assert!(settled > 100, "{settled} looks saw something at rest");
}

/// Some commits of an order's life come between any two reads of those that look at orders, or at holds.
#[test]
fn an_order_that_changes_between_two_reads_is_no_difference() {
    let store = Watched::default();
    orders(&store);
    let log = store.log.take();
    let of_orders = partitions().all().position(|one| one == home(USER.0)).unwrap();
    let of_holds = ["all", "both"].map(|activity| {
        partitions().of_configurations().position(|one| one == stock(activity)).unwrap()
    });
    let [all, both] = of_holds.map(|index| format!("{index}.holds..AA"));
    for cursor in [format!("{of_orders}.orders.0.0.0"), all, both] {
        for from in 0..log.len() {
            for (commits, reads) in
                [1, 3, 5].into_iter().flat_map(|commits| (0..12).map(move |reads| (commits, reads)))
            {
                let store = Watched::of(&log[..from]);
                store.every.set(1);
                store.at_once.set(commits);
                let nothing = (home(USER.0), Transaction::default());
                let idle = std::iter::repeat_n(nothing, reads * commits);
                let meanwhile = log[from..].iter().take(commits).cloned();
                store.meanwhile.replace(idle.chain(meanwhile).collect());
                let report = store.part(Scope::Full, Cursor::parse(&cursor).unwrap());
                let told = format!("{cursor}: {commits} from {from} after {reads} reads");
                assert_eq!(report.differences, [], "{told}");
                assert_eq!(report.unsettled, 0, "{told}");
            }
        }
    }
}

/// When orders of the present are over.
const OVER_MS: i64 = 100 * DAY_MS;

/// What a collection writes of orders in every state, with what was written before it.
fn collected() -> (Log, Log) {
    let store = Watched::default();
    orders(&store);
    let before = store.log.take();
    store.later_ms.set(OVER_MS);
    for _ in 0..4 {
        store.collect(&["both", "all", "mine"]);
    }
    store.collect(&["both", "all"]);
    (before, store.log.take())
}

#[test]
fn nothing_differs_after_any_commit_of_a_collection() {
    let (before, log) = collected();
    assert!(log.len() >= 8, "{} commits", log.len());
    for crash in 0..=log.len() {
        let store = Watched::of(&[&before[..], &log[..crash]].concat());
        store.later_ms.set(OVER_MS);
        store.check(&[]);
    }
    // What is under way is left, and what is gone is counted.
    let store = Watched::of(&[before, log].concat());
    let count = |list| store.memory_size(home(USER.0), Read::Count(list, Range::default()));
    assert_eq!(count(taken::orders(USER)), 2);
    let of_all = Read::Fields(taken::stock("all"), vec![taken::gone_unit("a")]);
    assert_eq!(store.integer(stock("all"), of_all), 4);
    let of_user = |unit| Read::Fields(taken::gone(USER), vec![unit]);
    assert_eq!(store.integer(home(USER.0), of_user(taken::unit_of("both", ""))), 4);
    // An activity that is sealed counts as long as an order does.
    assert_eq!(store.integer(home(USER.0), of_user(taken::unit_of("mine", "c"))), 4);
}

/// Some commits of a collection come between any two reads of those that look at orders, or at holds.
#[test]
fn a_collection_between_two_reads_is_no_difference() {
    let (before, log) = collected();
    let of_orders = partitions().all().position(|one| one == home(USER.0)).unwrap();
    let of_holds = ["all", "both"].map(|activity| {
        partitions().of_configurations().position(|one| one == stock(activity)).unwrap()
    });
    let [all, both] = of_holds.map(|index| format!("{index}.holds..AA"));
    for cursor in [format!("{of_orders}.orders.0.0.0"), all, both] {
        for from in 0..log.len() {
            for (commits, reads) in
                [1, 2, 4].into_iter().flat_map(|commits| (0..12).map(move |reads| (commits, reads)))
            {
                let store = Watched::of(&[&before[..], &log[..from]].concat());
                store.later_ms.set(OVER_MS);
                store.every.set(1);
                store.at_once.set(commits);
                let nothing = (home(USER.0), Transaction::default());
                let idle = std::iter::repeat_n(nothing, reads * commits);
                let meanwhile = log[from..].iter().take(commits).cloned();
                store.meanwhile.replace(idle.chain(meanwhile).collect());
                let report = store.part(Scope::Full, Cursor::parse(&cursor).unwrap());
                let told = format!("{cursor}: {commits} from {from} after {reads} reads");
                assert_eq!(report.differences, [], "{told}");
            }
        }
    }
}

#[test]
fn what_is_wrong_with_what_is_gone_is_told() {
    let (before, log) = collected();
    let check = |partition, writes: Vec<Write>, expected: &[Told<'_>]| {
        let store = Watched::of(&[before.clone(), log.clone()].concat());
        store.later_ms.set(OVER_MS);
        store.write(partition, writes);
        store.check(expected);
    };
    let of_user = |change| Write::Add(taken::gone(USER), taken::unit_of("both", ""), change);
    check(home(USER.0), vec![of_user(1)], &[("uses_differ", "7/both/")]);
    let unknown = Write::Add(taken::gone(USER), taken::unit_of("none", "u"), 1);
    check(home(USER.0), vec![unknown], &[("uses_differ", "7/none/u")]);
    let broken = Write::Set(taken::gone(USER), taken::unit_of("both", ""), garbage());
    check(home(USER.0), vec![broken], &[("record_unreadable", "7/both/")]);
    let of_all = Write::Add(taken::stock("all"), taken::gone_unit("a"), -1);
    check(stock("all"), vec![of_all], &[("uses_of_all_differ", "all/a")]);
    // An order that is listed as another one.
    let began = due::member(UnixMillis(NOW.0 + 1), b"taking");
    let listed = taken::listed_order(NOW, &number("taking"));
    let writes = vec![
        Write::RemoveMember(taken::orders(USER), listed),
        Write::AddMember(taken::orders(USER), began),
    ];
    check(home(USER.0), writes, &[("order_unlisted", "7/taking")]);
}

#[test]
fn a_tombstone_may_be_gone_when_it_is_old_or_its_activity_is_sealed() {
    let store = Watched::default();
    let back = life(&store, "back");
    back.begin(1, State::Taking).hold().is(State::Taken, 0);
    back.is(State::GivingBack, 0).let_go().is(State::GivenBack, -1);
    store.write(stock("both"), vec![Write::Drop(taken::holds("both"))]);
    store.check(&[("hold_missing", "7/back of both")]);
    let log = store.log.take();
    let old = Watched::of(&log);
    old.later_ms.set(7 * DAY_MS);
    old.check(&[]);
    let sealed = Watched::of(&log);
    let mark = Kind::Activity.mark_used("both", partitions());
    sealed.write(stock("both"), vec![mark]);
    sealed.check(&[]);
}

#[test]
fn what_is_gone_of_more_units_than_one_read_returns_is_compared() {
    for of_all in [false, true] {
        let activity = if of_all { "all" } else { "mine" };
        let store = shopper(activity, of_all);
        store.later_ms.set(OVER_MS);
        // Of some orders only.
        store.collect(&[activity]);
        store.collect(&[activity]);
        store.collect(&[activity]);
        let left =
            store.memory_size(home(USER.0), Read::Count(taken::orders(USER), Range::default()));
        assert!((1..AT_ONCE as u64 + 80).contains(&left), "{left}");
        check_much(&store, &[], 0);
        let (partition, gone, code) = if of_all {
            (
                stock(activity),
                Write::Add(taken::stock(activity), taken::gone_unit("n0"), 1),
                "uses_of_all_differ",
            )
        } else {
            let unit = taken::unit_of(activity, "n0");
            (home(USER.0), Write::Add(taken::gone(USER), unit, 1), "uses_differ")
        };
        store.write(partition, vec![gone]);
        let place = if of_all { "all/n0" } else { "7/mine/n0" };
        check_much(&store, &[(code, place)], 0);
    }
}

fn stock(activity: &str) -> Partition {
    taken::stock_of(partitions(), activity)
}

fn name(order: &str, attempt: u32) -> Field {
    taken::hold(USER, &number(order), attempt)
}

fn garbage() -> Value {
    Value::Bytes(b"\xffgarbage".to_vec())
}

fn set_order(order: &str, value: Value) -> Write {
    Write::Set(taken::order(USER, &number(order)), taken::ORDER.into(), value)
}

fn set_hold(order: &str, attempt: u32, value: Value) -> Write {
    Write::Set(taken::holds("both"), name(order, attempt), value)
}

#[test]
fn what_is_wrong_with_counts_is_told() {
    let home = home(USER.0);
    let count = |field: Field, by| Write::Add(taken::user(USER), field, by);
    let table: [(Partition, Write, &[Told<'_>]); 6] = [
        (home, count(taken::unit_of("mine", "c"), 1), &[("uses_differ", "7/mine/c")]),
        (home, count(taken::unit_of("other", ""), 1), &[("uses_differ", "7/other/")]),
        (
            home,
            Write::Unset(taken::user(USER), taken::unit_of("both", "")),
            &[("uses_differ", "7/both/")],
        ),
        (
            home,
            Write::Set(taken::user(USER), taken::unit_of("mine", "c"), garbage()),
            &[("record_unreadable", "7/mine/c")],
        ),
        (
            stock("all"),
            Write::Add(taken::stock("all"), taken::unit("b"), -1),
            &[("uses_of_all_differ", "all/b")],
        ),
        (
            stock("both"),
            Write::Add(taken::stock("both"), taken::unit(""), 1),
            &[("uses_of_all_differ", "both")],
        ),
    ];
    for (partition, write, expected) in table {
        let store = healthy();
        store.write(partition, vec![write]);
        store.check(expected);
    }
}

/// Of an activity of which nobody holds anything any more.
#[test]
fn what_is_counted_without_any_hold_is_told() {
    let store = Watched::default();
    let back = life(&store, "n");
    back.begin(1, State::Taking).hold().is(State::GivingBack, 0).let_go();
    back.is(State::GivenBack, -1);
    store.write(stock("all"), vec![Write::Add(taken::stock("all"), taken::unit("a"), 3)]);
    store.check(&[("uses_of_all_differ", "all/a")]);
}

#[test]
fn what_is_wrong_with_an_order_under_way_is_told() {
    let home = home(USER.0);
    let entry = taken::under_way(USER, &number("giving"));
    let gone = taken::UNDER_WAY.remove(NOW, &entry);
    let store = healthy();
    store.write(home, vec![gone.clone()]);
    store.check(&[("order_unlisted", "7/giving")]);
    let name = quarantine::name(taken::UNDER_WAY, &due::member(NOW, &entry));
    let store = healthy();
    store.write(home, vec![gone.clone(), Write::AddMember(quarantine::names(), name.clone())]);
    store.check(&[]);
    let store = healthy();
    store.write(home, vec![gone, Write::AddMember(quarantine::dropped_names(), name)]);
    store.check(&[("dropped", &format!("at of {home}: giving of user 7"))]);
}

#[test]
fn what_is_wrong_with_holds_is_told() {
    let (home, both) = (home(USER.0), stock("both"));
    let unheld = |order: &str, attempt| {
        let member = Member(name(order, attempt).0);
        vec![
            Write::RemoveMember(taken::held("both"), member),
            Write::Add(taken::stock("both"), taken::unit(""), -2),
        ]
    };
    let held = |order: &str, attempt| {
        let uses = uses();
        let hold = purchases::holds::asked(&[&uses[0]]);
        let member = Member(name(order, attempt).0);
        vec![
            set_hold(order, attempt, encode(&hold)),
            Write::AddMember(taken::held("both"), member),
            Write::Add(taken::stock("both"), taken::unit(""), 2),
        ]
    };
    let missing = |order: &str| ("hold_missing", format!("7/{order} of both"));
    let left = |order: &str| ("hold_left", format!("7/{order} of both"));
    let let_go = |order: &str| set_hold(order, 1, encode(&Hold::LetGo));
    let unset = |order: &str| Write::Unset(taken::holds("both"), name(order, 1));
    let with = |mut writes: Vec<Write>, write| {
        writes.push(write);
        writes
    };
    let table: Vec<(Vec<Write>, Vec<Told<'_, String>>)> = vec![
        // It has taken, and holds nothing.
        (with(unheld("taken", 1), let_go("taken")), vec![missing("taken")]),
        (with(unheld("taken", 1), unset("taken")), vec![missing("taken")]),
        // It gave back, and what comes late would be held.
        (vec![unset("back:1")], vec![missing("back:1")]),
        // It gave back, and holds.
        (held("back:1", 1), vec![left("back:1"), left("back:1")]),
        // Of an attempt that is over, or of no order at all.
        (held("again", 1), vec![left("again")]),
        (held("nobody", 1), vec![left("nobody")]),
        (held("cleared", 1), vec![left("cleared")]),
    ];
    for (writes, expected) in table {
        let store = healthy();
        store.write(both, writes);
        let expected: Vec<_> = expected.iter().map(|(code, place)| (*code, &**place)).collect();
        // A user's orders and an activity's holds are looked at in whatever partition they are.
        let (report, _) = store.all(Scope::Full);
        let told = report.differences.iter().map(|one| (one.what.code(), &*one.place));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{report:?}");
    }
    // Where the order is gone, so is what it says of its uses.
    let store = healthy();
    store.write(home, vec![Write::Drop(taken::order(USER, &number("taken")))]);
    let told = [
        ("record_unreadable", "7/taken"),
        ("hold_left", "7/taken of all"),
        ("hold_left", "7/taken of both"),
    ];
    let (report, _) = store.all(Scope::Full);
    let found = report.differences.iter().map(|one| (one.what.code(), &*one.place));
    assert_eq!(found.collect::<BTreeSet<_>>(), told.into_iter().collect(), "{report:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_stops_nothing_else() {
    let home = home(USER.0);
    for value in [garbage(), Value::Bytes(vec![2, 0]), Value::Integer(1)] {
        let store = healthy();
        store.write(home, vec![set_order("taken", value.clone())]);
        store.write(
            home,
            vec![taken::UNDER_WAY.remove(NOW, &taken::under_way(USER, &number("giving")))],
        );
        let (report, _) = store.all(Scope::Full);
        let told: BTreeSet<_> =
            report.differences.iter().map(|one| (one.what.code(), &*one.place)).collect();
        let expected = [("record_unreadable", "7/taken"), ("order_unlisted", "7/giving")];
        assert_eq!(told, expected.into_iter().collect(), "{report:?}");

        let store = healthy();
        store.write(stock("both"), vec![set_hold("taken", 1, value)]);
        store.write(stock("all"), vec![Write::Add(taken::stock("all"), taken::unit("a"), 1)]);
        let (report, _) = store.all(Scope::Full);
        let told: BTreeSet<_> =
            report.differences.iter().map(|one| (one.what.code(), &*one.place)).collect();
        let expected = [
            ("record_unreadable", "7/taken of both"),
            ("record_unreadable", "uses of both"),
            ("record_unreadable", "7:taken:1 of both"),
            ("uses_of_all_differ", "all/a"),
        ];
        assert_eq!(told, expected.into_iter().collect(), "{report:?}");
    }
    // A list that names nothing.
    let store = healthy();
    let wrong = due::member(NOW, b"no number");
    store.write(home, vec![Write::AddMember(taken::orders(USER), wrong)]);
    store.write(home, vec![Write::AddMember(taken::orders(USER), "none".into())]);
    store.check(&[("record_unreadable", "7/none"), ("record_unreadable", "7/no number")]);
    let store = healthy();
    store.write(stock("both"), vec![Write::AddMember(taken::held("both"), "x".into())]);
    let (report, _) = store.all(Scope::Full);
    let told: Vec<_> =
        report.differences.iter().map(|one| (one.what.code(), &*one.place)).collect();
    assert_eq!(told, [("record_unreadable", "x of both")]);
    assert_eq!(report.unsettled, 1, "its uses could not be added up");
}

#[test]
fn what_is_wrong_with_a_group_is_told() {
    let home = home(USER.0);
    let record = || coupon::user(USER);
    let entry = due::of_user(USER, "due");
    let gone = || REWARDS.remove(NOW, &entry);
    let name = quarantine::name(REWARDS, &due::member(NOW, &entry));
    let order = coupon::order(&reward_number("given", "a").unwrap());
    // One group twice, which nobody can open.
    let failed = Groups::default().opened(group("a", true)).unwrap();
    let failed = failed.ended("a", Phase::Failed, NOW).unwrap();
    let twice = failed.opened(group("a", true)).unwrap();
    let twice = chance("back").change(&Groups::default(), &twice).writes;
    let Some(Write::Set(_, field, _)) = twice.first().cloned() else { panic!("{twice:?}") };
    let table: Vec<(Vec<Write>, &[Told<'_>])> = vec![
        (vec![gone()], &[("reward_unlisted", "7/due")]),
        (vec![gone(), Write::AddMember(quarantine::names(), name)], &[]),
        (vec![Write::Unset(record(), order)], &[("reward_missing", "7/given/a")]),
        (twice, &[("chance_differs", "7/back")]),
        (vec![Write::Set(record(), field, garbage())], &[("record_unreadable", "7/back")]),
    ];
    for (writes, expected) in table {
        let store = healthy();
        store.write(home, writes);
        store.check(expected);
    }
}

/// More packets than one call looks at: none of them is looked at twice, and nothing else is, either.
#[test]
fn a_call_stops_between_packets_and_the_next_one_goes_on() {
    let store = Watched::default();
    let home = partitions().all().nth(1).unwrap();
    let lost =
        |index: DueIndex, one: i64| index.add(UnixMillis(one), format!("7.n{one}").as_bytes());
    // Listed, and not there.
    for hundred in 0..20 {
        let writes = (0..100).map(|one| lost(ENDS, hundred * 100 + one)).collect();
        store.write(home, writes);
    }
    store.write(home, vec![lost(UNAPPLIED, 1)]);
    let (report, calls) = store.all(Scope::Full);
    assert_eq!((report.packets, report.unsettled, calls), (2_000, 0, 2));
    let of_code = |code| report.differences.iter().filter(move |one| one.what.code() == code);
    let packets: BTreeSet<_> = of_code("packet_differs").map(|one| &one.place).collect();
    assert_eq!((packets.len(), of_code("payment_unapplied").count()), (2_000, 1));
    assert_eq!(report.differences.len(), 2_001);
}

/// More users with orders than one call looks at; behind them the other partitions have a call of their own.
#[test]
fn a_call_stops_between_users_with_orders_and_the_next_one_goes_on() {
    let store = Watched::default();
    let home = partitions().all().nth(1).unwrap();
    for user in users_of(home).take(2_000).map(UserId) {
        let number = number("n");
        let order = Order { user, number: &number };
        let uses = vec![used("mine", "", Some(9), None)];
        let next = order_of(State::Taken, uses);
        let none = store::Seen { stored: None, record: None };
        // It counts for nothing.
        let context = store.context();
        let changed = change(&context, order, &none, &next, vec![]);
        assert_eq!(block_on(changed), Ok(true));
    }
    let (report, calls) = store.all(Scope::Full);
    assert_eq!((report.users, calls), (2_000, 3));
    let places: BTreeSet<_> = report.differences.iter().map(|one| &one.place).collect();
    assert_eq!((places.len(), report.differences.len()), (2_000, 2_000));
    assert!(report.differences.iter().all(|one| one.what.code() == "uses_differ"));
}

/// What was added up of an activity is not added up again.
#[test]
fn a_call_goes_on_behind_a_hold() {
    let store = Watched::default();
    let uses = [used("all", "", None, Some(9))];
    let hold = purchases::holds::asked(&[&uses[0]]);
    let mut writes = vec![Write::AddMember(taken::activities(), "all".into())];
    for one in ["a", "b", "c"] {
        writes.push(Write::Set(taken::holds("all"), name(one, 1), encode(&hold)));
        writes.push(Write::AddMember(taken::held("all"), Member(name(one, 1).0)));
    }
    store.write(stock("all"), writes);
    let lost = |one: &str| ("hold_left", format!("7/{one} of all"));
    let all = [("uses_of_all_differ", "all".to_owned()), lost("a"), lost("b"), lost("c")];
    let told = |report: &Report| -> Vec<_> {
        report.differences.iter().map(|one| (one.what.code(), one.place.clone())).collect()
    };
    assert_eq!(told(&store.all(Scope::Full).0), all);
    let index = partitions().of_configurations().position(|one| one == stock("all")).unwrap();
    // `all` and `7:b:1`.
    let cursor = Cursor::parse(&format!("{index}.holds.YWxs.NzpiOjE")).unwrap();
    assert_eq!(told(&store.part(Scope::Full, cursor)), all[3..]);
}

/// Orders that are read at once, and counts of a user or of an activity that one read returns.
const AT_ONCE: usize = 1_024;

/// A user with more orders, of more units, than one read returns; each took one of them, of one user or of all.
fn shopper(activity: &str, of_all: bool) -> Watched {
    let store = Watched::default();
    let (home, stock) = (home(USER.0), stock(activity));
    store.write(home, taken::PURCHASERS.mark(USER, NOW).to_vec());
    store.write(stock, vec![Write::AddMember(taken::activities(), activity.into())]);
    let orders: Vec<_> = (0..AT_ONCE + 80).map(|one| format!("n{one}")).collect();
    for some in orders.chunks(400) {
        let (mut of_user, mut of_stock) = (Vec::new(), Vec::new());
        for one in some {
            let limit = of_all.then_some(9);
            let uses = vec![used(activity, one, limit.is_none().then_some(9), limit)];
            let hold = purchases::holds::asked(&[&uses[0]]);
            let order = order_of(State::Taken, uses);
            of_user.push(set_order(one, encode(&order)));
            let listed = taken::listed_order(NOW, &number(one));
            of_user.push(Write::AddMember(taken::orders(USER), listed));
            if of_all {
                let held = name(one, 1);
                of_stock.push(Write::AddMember(taken::held(activity), Member(held.0.clone())));
                of_stock.push(Write::Set(taken::holds(activity), held, encode(&hold)));
                of_stock.push(Write::AddMember(taken::units(activity), one.as_str().into()));
                of_stock.push(Write::Add(taken::stock(activity), taken::unit(one), 2));
            } else {
                let count = taken::unit_of(activity, one);
                of_user.push(Write::Add(taken::user(USER), count, 2));
            }
        }
        store.write(home, of_user);
        store.write(stock, of_stock);
    }
    store
}

/// What is found, and how much could not be compared.
#[track_caller]
fn check_much(store: &Watched, expected: &[Told<'_>], unsettled: u64) {
    store.check(expected);
    assert_eq!(store.all(Scope::Full).0.unsettled, unsettled);
}

#[test]
fn more_orders_of_a_user_than_one_read_returns_are_compared() {
    let store = shopper("mine", false);
    check_much(&store, &[], 0);
    let count = |unit: &str| Write::Add(taken::user(USER), taken::unit_of("mine", unit), 1);
    store.write(home(USER.0), vec![count("n1100")]);
    check_much(&store, &[("uses_differ", "7/mine/n1100")], 0);
    // What no order names is not found among so many, and said not to be.
    store.write(home(USER.0), vec![count("unknown")]);
    check_much(&store, &[("uses_differ", "7/mine/n1100")], 1);
}

#[test]
fn more_holds_of_an_activity_than_one_read_returns_are_compared() {
    let store = shopper("all", true);
    check_much(&store, &[], 0);
    let count = |unit: &str| Write::Add(taken::stock("all"), taken::unit(unit), 1);
    store.write(stock("all"), vec![count("n1100")]);
    check_much(&store, &[("uses_of_all_differ", "all/n1100")], 0);
    store.write(stock("all"), vec![count("unknown")]);
    check_much(&store, &[("uses_of_all_differ", "all/n1100")], 1);
}

/// Orders come and go while so many of them are read.
#[test]
fn traffic_is_no_difference_where_one_read_does_not_return_all() {
    for of_all in [false, true] {
        let activity = if of_all { "all" } else { "mine" };
        let log = shopper(activity, of_all).log.take();
        let traffic = Watched::of(&log);
        for one in 0..12 {
            let order = format!("n{}", one * 90);
            let back = life(&traffic, &order);
            back.is(State::GivingBack, 0);
            if of_all {
                back.let_go();
            }
            back.is(State::GivenBack, -1);
            let mut next = Purchase { state: State::Taking, ..back.purchase() };
            next.uses[0].unit = format!("m{one}");
            let more = life(&traffic, &format!("m{one}"));
            more.change_to(&next, 1);
            if of_all {
                more.hold();
            }
            more.is(State::Taken, 0);
        }
        let changes = traffic.log.take();
        for (at_once, every, idle) in [(1, 1, 0), (1, 1, 10), (1, 2, 20), (6, 3, 3), (12, 7, 1)] {
            let store = Watched::of(&log);
            store.every.set(every);
            store.at_once.set(at_once);
            let nothing = (home(USER.0), Transaction::default());
            let idle = std::iter::repeat_n(nothing, idle * at_once);
            store.meanwhile.replace(idle.chain(changes.iter().cloned()).collect());
            let report = store.part(Scope::Full, Cursor::default());
            assert_eq!(report.differences, [], "{activity}: {at_once} every {every}");
        }
        let (report, _) = Watched::of(&[log, changes].concat()).all(Scope::Full);
        assert_eq!((report.differences, report.unsettled), (vec![], 0), "{activity}");
    }
}

/// Coupons of a template with a budget: one that is redeemed for less than it may be, and one that expires.
fn with_budget() -> Watched {
    let (store, templates) = (Watched::default(), Templates::default());
    let context = coupons(&store, &templates, NOW);
    let body = json!({"budget": "1000", "rollback_days": 1, "single_cap": "100"});
    block_on(publish::publish(&context, "t", &newcomers(body))).unwrap();
    for user in [1, 2] {
        let (user, number, template) = (UserId(user), Number::Given(number("n")), "t".to_owned());
        let claim =
            Claim { user, number, template, segments: vec![], hold_ms: None, ordered_at: None };
        block_on(issue(&context, &claim)).unwrap();
    }
    let redeem = Use::Redeem { order: "A".into(), amount: Some(30), cart: Cart::default() };
    block_on(apply(&context, UserId(1), &number("n"), &redeem)).unwrap();
    let later = UnixMillis(NOW.0 + 24 * 60 * MINUTE_MS);
    let settled = with_books(&store, later, |books| block_on(settle(books, 100))).unwrap();
    assert_eq!((settled.coupons, settled.home, settled.left), (2, 2, 0), "{settled:?}");
    store
}

#[test]
fn nothing_differs_while_coupons_return_what_they_did_not_use() {
    let log = with_budget().log.take();
    for crash in 0..=log.len() {
        Watched::of(&log[..crash]).check(&[]);
        for every in 1..=3 {
            let store = Watched::of(&log[..crash]);
            store.every.set(every);
            store.at_once.set(1);
            store.meanwhile.replace(log[crash..].iter().cloned().collect());
            let report = store.part(Scope::Full, Cursor::default());
            assert_eq!(report.differences, [], "from {crash}, every {every}");
        }
    }
}

#[test]
fn what_is_wrong_with_what_coupons_did_not_use_is_told() {
    let (lease, pool) = (coupon::lease("t"), coupon::pool("t"));
    let pool_home = coupon::home_of_pool(partitions(), "t");
    let of = |user: u64| format!("t/{}", home(user));
    let add = |map: &MapKey, field: Field, by| Write::Add(map.clone(), field, by);
    // The partition counted more than the orders returned, which nobody brings home.
    let store = with_budget();
    store.write(home(1), vec![add(&lease, lease::UNUSED.into(), 5)]);
    store.check(&[("returned_differs", &of(1)), ("not_home", &of(1))]);
    // An order is kept no more: what it returned is counted as that.
    let store = with_budget();
    let gone = [(coupons::settling::UNUSED_GONE, 70), (lease::LEFT, 1)];
    let order = coupon::order(&number("n"));
    let mut writes = vec![
        Write::Unset(coupon::user(UserId(1)), order),
        Write::Unset(coupon::user(UserId(1)), coupon::held_count("t")),
    ];
    writes.extend(gone.map(|(field, by)| add(&lease, field.into(), by)));
    store.write(home(1), writes);
    store.check(&[]);
    // The pool knows more than the partition, or has another sum, or frees other coupons than that allows.
    let store = with_budget();
    let in_all = || Field::from(lease::UNUSED_IN_ALL);
    let both = [lease::unused(home(2)), in_all()].map(|field| add(&pool, field, 1));
    store.write(pool_home, both.to_vec());
    store.check(&[("unused_ahead", &of(2))]);
    let store = with_budget();
    store.write(pool_home, vec![add(&pool, in_all(), 1)]);
    store.check(&[("unused_differs", "t")]);
    let store = with_budget();
    store.write(pool_home, vec![add(&pool, lease::FREE.into(), 1)]);
    store.check(&[("stock_differs", "t")]);
    // A coupon is not found when it is to be settled.
    let log = with_budget().log.take();
    let settled = log.iter().position(|(_, one)| {
        one.writes.iter().any(|write| *write == coupons::settling::homeward("t"))
    });
    let store = Watched::of(&log[..settled.unwrap()]);
    let due = coupon::DUE.page_of_all(None, 10);
    let found = block_on(store.context().read(home(2), vec![due])).unwrap();
    let [member] = &answers::page(found.first()).unwrap().members[..] else { panic!("{found:?}") };
    store.write(home(2), vec![Write::RemoveMember(coupon::DUE.key(), member.clone())]);
    store.check(&[("coupon_unlisted", "2/n")]);
}

/// Who was collected stands on the list of the day on which the next of it can go: recent books have nothing of that.
#[test]
fn recent_books_are_those_of_yesterday_and_today() {
    for (days, recent) in [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0), (400, 0)] {
        let store = Watched::default();
        let at = UnixMillis(NOW.0 + days * DAY_MS);
        store.write(home(USER.0), records::CHANGED.mark(USER, at).to_vec());
        for (scope, expected) in [(Scope::Recent, recent), (Scope::Full, 1)] {
            assert_eq!(store.all(scope).0.users, expected, "{days} days, {scope:?}");
        }
    }
}

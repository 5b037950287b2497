//! What coupons did not use of a budget: redeemed, rolled back, redeemed again, expired, revoked and extended in every
//! order; with somebody else between any two commits, and with commits that come late.

use std::cell::RefCell;
use std::collections::BTreeSet;

use binding::Binding;
use binding::memory::{Interrupted, Memory};
use domain::answers::{self, integer, integers};
use domain::due::member;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Range, Read, Transaction, Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use lease::{FREE, LEFT, Lease, UNUSED, UNUSED_IN_ALL, credited, returned, unused};
use proptest::prelude::*;
use serde_json::json;
use store::quarantine::PATIENCE_MS;

use super::shop::{AHEAD_MS, START, changed, claim, number, refused};
use crate::context::{Context, Templates};
use crate::expiry;
use crate::issue::{Claim, Recorded, issue, look_up};
use crate::publish::publish;
use crate::records::{self, DUE, Gave, HOMEWARD, HOMEWARD_AT, Order, Unused};
use crate::redemption::{Cart, Use, apply};
use crate::refusal::{Failure, Refusal};
use crate::reservation::{cancel, confirm};
use crate::revocation::{extend, revoke};
use crate::seal::LATEST;
use crate::settling::{self, bring_home, settle_due};
use crate::template::Template;
use crate::walk::{Change, Cursor, Walk, Walked, walk};

const DAY: i64 = 86_400_000;
/// What one coupon takes off at the most.
const FACE: i64 = 100;
/// Users whose coupons are looked at.
const USERS: u64 = 6;

/// A fifth off, at most a cent; of a budget. Valid for two days, and to be rolled back for one.
fn budgeted(budget: i64, stock: i64) -> Template {
    changed(&[
        ("kind", json!("percent_off")),
        ("value", json!(20)),
        ("single_cap", json!(FACE)),
        ("stock", json!(stock)),
        ("budget", json!(budget)),
        ("limit_per_user", json!(500)),
        ("claim_until", json!("2027-03-01T00:00:00Z")),
        ("valid_for_days", json!(2)),
        ("rollback_days", json!(1)),
    ])
}

fn context<'a, B>(store: &'a B, templates: &'a Templates, ms: i64) -> Context<'a, B> {
    let base = store::Context {
        store,
        partitions: Partitions::new(4).unwrap(),
        now: UnixMillis(START.0 + ms),
        timer: store::Timer::still(),
    };
    Context { base, stage: "live", templates, lease_share: lease::SHARE }
}

/// Something that somebody does. Coupons are named by their user and a number.
#[derive(Clone, Debug)]
enum Act {
    Publish(i64, i64),
    Issue(u64, u32),
    Reserve(u64, u32),
    Confirm(u64, u32),
    Cancel(u64, u32),
    Redeem(u64, u32, u32, Option<i64>),
    RollBack(u64, u32, u32),
    Revoke(u64, u32),
    Extend(u64, u32, i64),
    LookUp(u64, u32),
    Settle,
    BringHome,
    /// Only from where a user is.
    BringHomeOf(u64),
}

/// What came of it.
type Done = Result<Option<Order>, Failure>;

async fn act<B: Binding>(context: &Context<'_, B>, what: &Act) -> Done {
    let id = |coupon: u32| number(&format!("n{coupon}"));
    let order = |recorded: Recorded| Some(recorded.order);
    let redeem = |by: u32, amount| {
        let (order, cart) = (format!("order-{by}"), Cart::default());
        Use::Redeem { order, amount, cart }
    };
    let partitions: Vec<_> = context.partitions.all().collect();
    let claim = |user, coupon: u32, hold_ms| {
        let claim = claim(UserId(user), &format!("n{coupon}"));
        Claim { hold_ms, ..claim }
    };
    match *what {
        Act::Publish(budget, stock) => {
            publish(context, "t", &budgeted(budget, stock)).await.map(|_| None)
        }
        Act::Issue(user, coupon) => issue(context, &claim(user, coupon, None)).await.map(order),
        Act::Reserve(user, coupon) => {
            issue(context, &claim(user, coupon, Some(DAY / 24))).await.map(order)
        }
        Act::Confirm(user, coupon) => confirm(context, UserId(user), &id(coupon)).await.map(order),
        Act::Cancel(user, coupon) => {
            cancel(context, UserId(user), &id(coupon), None).await.map(order)
        }
        Act::Redeem(user, coupon, by, amount) => {
            apply(context, UserId(user), &id(coupon), &redeem(by, amount)).await.map(order)
        }
        Act::RollBack(user, coupon, by) => {
            let rollback = Use::Rollback { order: format!("order-{by}") };
            apply(context, UserId(user), &id(coupon), &rollback).await.map(order)
        }
        Act::Revoke(user, coupon) => {
            revoke(context, UserId(user), &id(coupon), "wrong").await.map(order)
        }
        Act::Extend(user, coupon, until) => {
            let until = UnixMillis(START.0 + until);
            extend(context, UserId(user), &id(coupon), until).await.map(order)
        }
        Act::LookUp(user, coupon) => {
            let found = look_up(context, UserId(user), &id(coupon)).await?;
            match found {
                Some(order) => {
                    Ok(Some(expiry::settled(context, UserId(user), &id(coupon), order).await?))
                }
                None => Ok(None),
            }
        }
        Act::Settle => {
            let swept = settle_due(context, &partitions).await?;
            assert_eq!(swept.stuck, []);
            Ok(None)
        }
        Act::BringHome | Act::BringHomeOf(_) => {
            let of = match what {
                Act::BringHomeOf(user) => vec![context.home(UserId(*user))],
                _ => partitions,
            };
            let swept = bring_home(context, &of).await?;
            assert_eq!(swept.stuck, []);
            Ok(None)
        }
    }
}

/// What the store says.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    /// Coupons that are given, and those that are held.
    given: i64,
    held: i64,
    /// Cents that were returned by orders, and those that are in the pool.
    returned: i64,
    home: i64,
    /// Coupons that were not given: in the pool, in leases or between them.
    free: i64,
}

fn read<B: Binding>(store: &B, partition: Partition, read: Read) -> Answer {
    let transaction = Transaction { reads: vec![read], ..Transaction::default() };
    match store.commit(partition, &transaction).now_or_never().unwrap() {
        Ok(Outcome::Committed(mut answers)) => answers.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Checks that the records agree with each other, whatever is under way.
#[track_caller]
fn check<B: Binding>(store: &B) -> Books {
    let templates = Templates::default();
    let context = context(store, &templates, 0);
    let fields = |partition, map, names| read(store, partition, Read::Fields(map, names));
    let (pool, home) = (records::pool("t"), context.pool("t"));
    let version = block_on(context.publication("t").find(&context, [FREE, UNUSED_IN_ALL]));
    let (version, [free, in_all]) = version.unwrap().unwrap();
    let template = version.record;
    let mut books = Books { given: 0, held: 0, returned: 0, home: in_all, free };
    let (mut of_all, mut out) = (0, 0);
    for partition in context.partitions.all() {
        let (mut given, mut held, mut back) = (0, 0, 0);
        let mut due_then = BTreeSet::new();
        for user in (0..USERS).map(UserId).filter(|user| context.home(*user) == partition) {
            let all = read(store, partition, Read::All(records::user(user), 1_024));
            let Answer::Map(record) = all else { panic!("{all:?}") };
            let mut count = 0;
            for (field, value) in &record {
                let Some(number) = records::order_of(field) else { continue };
                let order = Order::decode(value).unwrap();
                match order.gave {
                    Gave::Issued(_) | Gave::Fallback(_) => given += 1,
                    Gave::Reserved(..) => held += 1,
                    _ => {}
                }
                count += i64::from(order.coupon().is_some());
                back += settling::returned(&order);
                due_then.extend(
                    records::settles_at(&order).map(|at| member(at, &records::end(user, &number))),
                );
            }
            let stored = record.iter().find(|(field, _)| *field == records::held_count("t"));
            assert_eq!(integer(stored.map(|(_, value)| value)), Ok(count), "{user}");
        }
        let page = read(store, partition, DUE.page_of_all(None, 1_000));
        let listed = answers::page(Some(&page)).unwrap().members.iter().cloned().collect();
        assert_eq!(due_then, listed, "{partition}");
        let record = records::lease("t");
        let lease = Lease::answered(Some(&read(store, partition, Lease::read(record.clone()))));
        let lease = lease.unwrap();
        assert_eq!((lease.issued(), lease.held), (given, held), "{partition}");
        let counted = integers(Some(&fields(partition, record, vec![UNUSED.into()])));
        assert_eq!(counted, Ok([back]), "{partition}");
        let names = vec![credited(partition), returned(partition), unused(partition)];
        let [to, from, of_pool] = integers(Some(&fields(home, pool.clone(), names))).unwrap();
        let on_its_way = read(store, partition, HOMEWARD.has(HOMEWARD_AT, b"t"));
        assert!(of_pool <= back, "{partition}: {of_pool} of {back}");
        assert!(of_pool == back || on_its_way == Answer::Contains(true), "{partition}");
        of_all += of_pool;
        out += to - from;
        books.free += (to - from) - given - held;
        books.given += given;
        books.held += held;
        books.returned += back;
    }
    assert_eq!((of_all, free + out), (in_all, template.leasable(in_all)));
    books
}

/// Checks that no more is given than the budget pays.
#[track_caller]
fn check_budget(books: &Books, budget: i64) {
    let Books { given, held, returned, .. } = books;
    assert!((given + held) * FACE - returned <= budget, "{books:?} of {budget}");
}

/// All that can be settled is, and comes home; then coupons are given until nothing is left. How many.
fn give_the_rest<B: Binding>(store: &B, ms: i64) -> i64 {
    let templates = Templates::default();
    let context = context(store, &templates, ms);
    let partitions: Vec<_> = context.partitions.all().collect();
    while act(&context, &Act::Settle).now_or_never().unwrap().is_ok()
        && matches!(read_count(store, &partitions, ms), 1..)
    {}
    act(&context, &Act::BringHome).now_or_never().unwrap().unwrap();
    let books = check(store);
    assert_eq!(books.returned, books.home);
    let mut given = 0;
    for coupon in 1_000..1_400 {
        let asked = Act::Issue(u64::from(coupon) % USERS, coupon);
        match act(&context, &asked).now_or_never().unwrap() {
            Ok(_) => given += 1,
            Err(Failure::Refused(Refusal::BudgetExhausted | Refusal::SoldOut)) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    check(store);
    given
}

/// Coupons that are due.
fn read_count<B: Binding>(store: &B, partitions: &[Partition], ms: i64) -> u64 {
    let count = |partition: &Partition| match read(
        store,
        *partition,
        DUE.count(UnixMillis(START.0 + ms)),
    ) {
        Answer::Size(size) => size,
        other => panic!("{other:?}"),
    };
    partitions.iter().map(count).sum()
}

// --- the model -------------------------------------------------------------------------------------

/// What became of a coupon, as somebody with a pencil would note it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Noted {
    Open { until: i64 },
    Redeemed { by: u32, amount: Option<i64>, at: i64, until: i64, is_final: bool },
    Expired { until: i64 },
    Revoked,
}

#[derive(Clone, Debug)]
struct Slip {
    user: u64,
    coupon: u32,
    /// When it was given: a redemption by a clock that is behind happened then, at the earliest.
    given: i64,
    noted: Noted,
    rolled_back: Vec<u32>,
    is_settled: bool,
}

impl Slip {
    /// Cents of the budget that it takes up.
    fn takes(&self) -> i64 {
        match &self.noted {
            Noted::Revoked => 0,
            Noted::Expired { .. } if self.is_settled => 0,
            Noted::Redeemed { amount, .. } if self.is_settled => amount.unwrap_or(FACE),
            _ => FACE,
        }
    }

    fn expire(&mut self, now: i64) {
        if let Noted::Open { until } = self.noted
            && now >= until
        {
            self.noted = Noted::Expired { until };
        }
    }

    fn redeem(&mut self, order: u32, took_off: Option<i64>, now: i64) -> bool {
        self.expire(now);
        match self.noted {
            Noted::Redeemed { by, amount, .. } => by == order && amount == took_off,
            Noted::Open { until } if !self.rolled_back.contains(&order) => {
                let (by, amount, at) = (order, took_off, now.max(self.given));
                self.noted = Noted::Redeemed { by, amount, at, until, is_final: false };
                true
            }
            _ => false,
        }
    }

    fn roll_back(&mut self, order: u32, now: i64) -> bool {
        self.expire(now);
        match &mut self.noted {
            Noted::Redeemed { by, at, until, is_final, .. } if *by == order => {
                *is_final |= now >= *at + DAY;
                let until = *until;
                if !*is_final {
                    self.noted = Noted::Open { until };
                    self.rolled_back.push(order);
                    self.expire(now);
                }
                !matches!(self.noted, Noted::Redeemed { .. })
            }
            Noted::Redeemed { .. } => false,
            Noted::Revoked => self.rolled_back.contains(&order),
            Noted::Open { .. } | Noted::Expired { .. } => {
                if !self.rolled_back.contains(&order) {
                    self.rolled_back.push(order);
                }
                true
            }
        }
    }

    fn settle(&mut self, now: i64) {
        self.expire(now);
        match &mut self.noted {
            Noted::Redeemed { at, is_final, .. } if now >= *at + DAY => {
                *is_final = true;
                self.is_settled = true;
            }
            // One that a clock ahead told to have expired is not due yet by the one behind.
            Noted::Expired { until } => self.is_settled |= now >= *until,
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Issue(u64),
    Redeem(prop::sample::Index, u32, Option<i64>),
    RollBack(prop::sample::Index, u32),
    Revoke(prop::sample::Index),
    Extend(prop::sample::Index, i64),
    LookUp(prop::sample::Index),
    Sweep,
    BringHome,
    Budget(i64),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let which = any::<prop::sample::Index>;
    let amount = prop_oneof![Just(None), (0..=FACE).prop_map(Some), Just(Some(FACE))];
    let step = prop_oneof![
        4 => (0..USERS).prop_map(Step::Issue),
        4 => (which(), 0..3_u32, amount).prop_map(|(one, by, amount)| Step::Redeem(one, by, amount)),
        3 => (which(), 0..3_u32).prop_map(|(one, by)| Step::RollBack(one, by)),
        1 => which().prop_map(Step::Revoke),
        1 => (which(), 1..6_i64).prop_map(|(one, days)| Step::Extend(one, days)),
        1 => which().prop_map(Step::LookUp),
        3 => Just(Step::Sweep),
        2 => Just(Step::BringHome),
        1 => (3..12_i64).prop_map(|coupons| Step::Budget(coupons * FACE + 50)),
        // Some minutes, hours, or days, so that clocks that differ matter.
        3 => prop_oneof![1..AHEAD_MS, DAY / 24..DAY, DAY..3 * DAY].prop_map(Step::Wait),
    ];
    prop::collection::vec((any::<bool>(), step), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// By two clocks that are ten minutes apart, whatever is done, the store says what the slips say, no more is given
    /// than the budget pays, and in the end everything that was not used can be given again.
    #[test]
    fn money_adds_up_in_every_order(steps in steps()) {
        let store = Memory::new();
        let (behind, ahead) = (Templates::default(), Templates::default());
        let (mut slips, mut ms, mut budget) = (Vec::<Slip>::new(), 0_i64, 5 * FACE + 50);
        let stock = 30;
        block_on(act(&context(&store, &behind, 0), &Act::Publish(budget, stock))).unwrap();
        for (coupon, (is_ahead, step)) in (0_u32..).zip(steps) {
            let now = ms + if is_ahead { AHEAD_MS } else { 0 };
            let context = context(&store, if is_ahead { &ahead } else { &behind }, now);
            let pick = |index: prop::sample::Index| (!slips.is_empty()).then(|| index.index(slips.len()));
            let does = |what: &Act| block_on(act(&context, what));
            match step {
                Step::Wait(more) => ms += more,
                Step::Issue(user) => {
                    let takes: i64 = slips.iter().map(Slip::takes).sum();
                    let done = does(&Act::Issue(user, coupon));
                    if done.is_ok() {
                        prop_assert!(takes + FACE <= budget, "{slips:?}");
                        let noted = Noted::Open { until: now + 2 * DAY };
                        slips.push(Slip { user, coupon, given: now, noted, rolled_back: vec![], is_settled: false });
                    }
                }
                Step::Redeem(index, by, amount) => if let Some(one) = pick(index) {
                    let slip = &mut slips[one];
                    let done = does(&Act::Redeem(slip.user, slip.coupon, by, amount));
                    prop_assert_eq!(done.is_ok(), slip.redeem(by, amount, now), "{:?}: {:?}", slip, done);
                },
                Step::RollBack(index, by) => if let Some(one) = pick(index) {
                    let slip = &mut slips[one];
                    let done = does(&Act::RollBack(slip.user, slip.coupon, by));
                    prop_assert_eq!(done.is_ok(), slip.roll_back(by, now), "{:?}: {:?}", slip, done);
                },
                Step::Revoke(index) => if let Some(one) = pick(index) {
                    let slip = &mut slips[one];
                    slip.expire(now);
                    let may = matches!(slip.noted, Noted::Open { .. } | Noted::Revoked);
                    let done = does(&Act::Revoke(slip.user, slip.coupon));
                    prop_assert_eq!(done.is_ok(), may, "{:?}: {:?}", slip, done);
                    if may {
                        slip.noted = Noted::Revoked;
                    }
                },
                Step::Extend(index, days) => if let Some(one) = pick(index) {
                    let slip = &mut slips[one];
                    slip.expire(now);
                    let later = now + days * DAY;
                    let done = does(&Act::Extend(slip.user, slip.coupon, later));
                    let may = matches!(slip.noted, Noted::Open { .. });
                    prop_assert_eq!(done.is_ok(), may, "{:?}: {:?}", slip, done);
                    if let Noted::Open { until } = &mut slip.noted {
                        *until = later.max(*until);
                    }
                },
                Step::LookUp(index) => if let Some(one) = pick(index) {
                    let slip = &mut slips[one];
                    slip.expire(now);
                    let order = does(&Act::LookUp(slip.user, slip.coupon)).unwrap().unwrap();
                    let has_expired = order.is_over && order.coupon().unwrap().redeemed.is_none();
                    let expected = matches!(slip.noted, Noted::Expired { .. });
                    prop_assert_eq!(has_expired, expected);
                },
                Step::Sweep => {
                    does(&Act::Settle).unwrap();
                    slips.iter_mut().for_each(|slip| slip.settle(now));
                }
                Step::BringHome => drop(does(&Act::BringHome).unwrap()),
                Step::Budget(next) => {
                    if does(&Act::Publish(next, stock)).is_ok() {
                        budget = next;
                    }
                    for one in [&behind, &ahead] {
                        one.clear();
                    }
                }
            }
            let books = check(&store);
            check_budget(&books, budget);
            let takes: i64 = slips.iter().map(Slip::takes).sum();
            prop_assert_eq!(books.given * FACE - books.returned, takes, "{:?}", slips);
        }
        // In the end all of it is over for every clock.
        ms += 20 * DAY;
        for slip in &mut slips {
            slip.settle(ms);
        }
        let takes: i64 = slips.iter().map(Slip::takes).sum();
        let given = slips.iter().filter(|slip| slip.noted != Noted::Revoked).count() as i64;
        let expected = ((budget - takes) / FACE).min(stock - given);
        prop_assert_eq!(give_the_rest(&store, ms), expected, "{:?}", slips);
    }
}

// --- somebody else in between, and commits that come late ------------------------------------------

/// What was done before, and what is done then.
struct Case {
    before: Vec<(i64, Act)>,
    ms: i64,
    what: Act,
    meanwhile: Vec<Act>,
}

fn cases() -> Vec<Case> {
    let case = |before: &[(i64, Act)], ms, what: &Act, meanwhile: &[&Act]| Case {
        before: before.to_vec(),
        ms,
        what: what.clone(),
        meanwhile: meanwhile.iter().map(|one| (*one).clone()).collect(),
    };
    let issued = [(0, Act::Publish(550, 30)), (0, Act::Issue(1, 1)), (0, Act::Issue(2, 2))];
    let with = |more: &[(i64, Act)]| [&issued[..], more].concat();
    let redeemed = with(&[(0, Act::Redeem(1, 1, 1, Some(30)))]);
    let held = with(&[(0, Act::Reserve(1, 3))]);
    let over = with(&[(2 * DAY, Act::Settle), (2 * DAY, Act::Issue(3, 3))]);
    // Some cents of each, which make a coupon together, and one with what the budget leaves.
    let some = [Act::Redeem(1, 1, 1, Some(30)), Act::Redeem(2, 2, 1, Some(30))].map(|one| (0, one));
    let some = with(&[&some[..], &[(DAY, Act::Settle)]].concat());
    let (redeem, roll_back) = (Act::Redeem(1, 1, 1, Some(30)), Act::RollBack(1, 1, 1));
    let other = Act::Redeem(1, 1, 2, Some(70));
    let (revoke, extend) = (Act::Revoke(1, 1), Act::Extend(1, 1, 9 * DAY));
    let settle = [&Act::Settle, &Act::BringHome];
    vec![
        case(&issued, DAY, &redeem, &[&revoke]),
        case(&issued, DAY, &redeem, &[&extend]),
        case(&issued, DAY, &redeem, &[&other]),
        case(&issued, DAY, &redeem, &[&roll_back]),
        case(&issued, 2 * DAY - 1, &redeem, &settle),
        case(&issued, DAY, &revoke, &[&redeem]),
        case(&issued, DAY, &revoke, &[&extend]),
        case(&issued, DAY, &revoke, &[&revoke]),
        case(&issued, DAY, &extend, &[&redeem]),
        case(&issued, DAY, &extend, &[&revoke]),
        case(&issued, DAY, &extend, &[&Act::Extend(1, 1, 8 * DAY)]),
        case(&issued, 2 * DAY, &extend, &settle),
        case(&redeemed, DAY - 1, &roll_back, &settle),
        case(&redeemed, DAY - 1, &roll_back, &[&roll_back, &other]),
        case(&redeemed, DAY, &roll_back, &settle),
        case(&redeemed, DAY, &Act::Settle, &[&roll_back]),
        case(&redeemed, DAY, &Act::Settle, &settle),
        case(&redeemed, 2 * DAY, &Act::Settle, &[&Act::LookUp(2, 2)]),
        case(&redeemed, 2 * DAY, &Act::Settle, &[&Act::Publish(150, 30)]),
        case(&held, 0, &Act::Confirm(1, 3), &[&Act::Cancel(1, 3)]),
        case(&held, 0, &Act::Cancel(1, 3), &[&Act::Confirm(1, 3)]),
        case(&over, 2 * DAY, &Act::BringHome, &[&Act::BringHome]),
        case(&over, 2 * DAY, &Act::BringHome, &[&Act::Publish(950, 30)]),
        case(&over, 2 * DAY, &Act::BringHome, &[&Act::Publish(550, 3)]),
        case(&over, 2 * DAY, &Act::BringHome, &[&Act::Revoke(3, 3)]),
        case(&some, DAY, &Act::BringHomeOf(1), &[&Act::BringHomeOf(2)]),
        case(&some, DAY, &Act::Publish(920, 30), &[&Act::BringHomeOf(1)]),
        case(&some, DAY, &Act::BringHomeOf(1), &[&Act::Publish(920, 30)]),
        case(&over, 2 * DAY, &Act::Publish(250, 30), &[&Act::BringHome]),
        case(&over, 2 * DAY, &Act::Publish(250, 30), &[&Act::Publish(450, 3)]),
    ]
}

/// What could be given in all by what the orders say now, once all of it is over.
fn rest<B: Binding>(store: &B) -> i64 {
    let templates = Templates::default();
    let context = context(store, &templates, 0);
    let publication = context.publication("t");
    let found = publication.find(&context, []);
    let (version, []) = found.now_or_never().unwrap().unwrap().unwrap();
    let (mut takes, mut given) = (0, 0);
    for user in (0..USERS).map(UserId) {
        let all = read(store, context.home(user), Read::All(records::user(user), 1_024));
        let Answer::Map(record) = all else { panic!("{all:?}") };
        for (_, value) in record.iter().filter(|(field, _)| records::order_of(field).is_some()) {
            let order = Order::decode(value).unwrap();
            let (Gave::Issued(coupon) | Gave::Fallback(coupon)) = &order.gave else { continue };
            given += 1;
            takes += match &coupon.redeemed {
                None => 0,
                Some(redeemed) => redeemed.amount.unwrap_or(FACE),
            };
        }
    }
    let budget = version.record.budget.unwrap().minor_units();
    let stock = version.record.stock.unwrap().get();
    ((budget - takes) / FACE).min(stock - given)
}

/// Someone's cache that nobody else sees.
fn alone<B: Binding>(store: &B, ms: i64, what: &Act) -> Done {
    let templates = Templates::default();
    act(&context(store, &templates, ms), what).now_or_never().unwrap()
}

#[test]
fn whoever_comes_between_any_two_commits_money_adds_up() {
    for (index, Case { before, ms, what, meanwhile }) in cases().into_iter().enumerate() {
        // By the clock of the one who is watched, and by one ten minutes ahead of it.
        for skew in [0, AHEAD_MS] {
            for commits in 0.. {
                let store = Interrupted::default();
                for (ms, what) in &before {
                    alone(&store, *ms, what).unwrap();
                }
                let meanwhile = meanwhile.clone();
                store.interrupt(commits, move |memory| {
                    for what in &meanwhile {
                        alone(memory, ms + skew, what).ok();
                    }
                });
                alone(&store, ms, &what).ok();
                check_budget(&check(store.memory()), 950);
                if !store.was_interrupted() {
                    assert!(commits > 0);
                    break;
                }
                // The reservation of some cases ends first.
                let templates = Templates::default();
                let later = context(store.memory(), &templates, 30 * DAY);
                let partitions: Vec<_> = later.partitions.all().collect();
                block_on(expiry::expire_due(&later, &partitions)).unwrap();
                let rest = rest(store.memory());
                assert_eq!(give_the_rest(store.memory(), 30 * DAY), rest, "{index}/{commits}");
            }
        }
    }
}

/// A store that notes what is committed.
#[derive(Default)]
struct Noting {
    memory: Memory,
    noted: RefCell<Vec<(Partition, Transaction)>>,
}

impl Binding for Noting {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        if !transaction.is_read_only() {
            self.noted.borrow_mut().push((partition, transaction.clone()));
        }
        self.memory.commit(partition, transaction).await
    }
}

#[test]
fn whatever_comes_late_once_more_changes_nothing_that_counts() {
    let hour = DAY / 24;
    let story = [
        (0, Act::Publish(550, 30)),
        (0, Act::Issue(1, 1)),
        (0, Act::Reserve(2, 2)),
        (0, Act::Issue(3, 3)),
        (0, Act::Issue(4, 4)),
        (1, Act::Confirm(2, 2)),
        (2, Act::Redeem(1, 1, 1, Some(30))),
        (3, Act::RollBack(1, 1, 1)),
        (4, Act::Redeem(1, 1, 2, Some(70))),
        (5, Act::Revoke(3, 3)),
        (hour, Act::Extend(4, 4, 5 * DAY)),
        (DAY + 4, Act::Settle),
        (DAY + 5, Act::BringHome),
        (DAY + 6, Act::Publish(450, 30)),
        (2 * DAY, Act::Settle),
        (2 * DAY, Act::LookUp(2, 2)),
        (2 * DAY, Act::BringHome),
        (2 * DAY, Act::Issue(5, 5)),
        (5 * DAY, Act::Settle),
        (5 * DAY, Act::BringHome),
    ];
    // How many commits there were after each step.
    let store = Noting::default();
    let ends: Vec<_> = story
        .iter()
        .map(|(ms, what)| {
            alone(&store, *ms, what).unwrap();
            check(&store.memory);
            store.noted.borrow().len()
        })
        .collect();
    let (expected, all) = (rest(&store.memory), store.noted.borrow().len());
    assert!(expected > 0 && all > story.len());
    for late in 0..all {
        for after in (0..story.len()).filter(|step| ends[*step] > late) {
            let store = Noting::default();
            for (step, (ms, what)) in story.iter().enumerate() {
                alone(&store, *ms, what).unwrap();
                if step == after {
                    let (partition, transaction) = store.noted.borrow()[late].clone();
                    let outcome = store.memory.commit(partition, &transaction).now_or_never();
                    assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
                }
                check_budget(&check(&store.memory), 550);
            }
            assert_eq!(rest(&store.memory), expected, "{late} after {after}");
            assert_eq!(give_the_rest(&store.memory, 30 * DAY), expected, "{late} after {after}");
        }
    }
}

// --- what does not happen every day ------------------------------------------------------------------

fn with<B: Binding, T>(store: &B, ms: i64, act: impl AsyncFnOnce(&Context<'_, B>) -> T) -> T {
    let templates = Templates::default();
    let context = context(store, &templates, ms);
    act(&context).now_or_never().unwrap()
}

fn write<B: Binding>(store: &B, partition: Partition, writes: Vec<Write>) {
    with(store, 0, async |context| context.write(partition, writes).await).unwrap();
}

/// A store of which some coupons were given.
fn shop(acts: &[(i64, Act)]) -> Memory {
    let store = Memory::new();
    for (ms, what) in [(0, Act::Publish(550, 30))].iter().chain(acts) {
        alone(&store, *ms, what).unwrap();
    }
    store
}

fn home_of(user: u64) -> Partition {
    Partitions::new(4).unwrap().locate(UserId(user)).partition
}

#[test]
fn what_is_told_of_a_redemption_that_is_final_holds_by_every_clock() {
    let store = shop(&[(0, Act::Issue(1, 1)), (0, Act::Redeem(1, 1, 1, Some(30)))]);
    let roll_back = Act::RollBack(1, 1, 1);
    // The one ahead tells it ten minutes early, and the one behind tells the same.
    let late = DAY - AHEAD_MS;
    assert_eq!(refused(alone(&store, late + AHEAD_MS, &roll_back)), Refusal::RedemptionFinal);
    assert_eq!(refused(alone(&store, late, &roll_back)), Refusal::RedemptionFinal);
    // What is not due yet by the clock of who sweeps waits.
    for (ms, expected) in [(late, 0), (DAY, 70)] {
        alone(&store, ms, &Act::Settle).unwrap();
        assert_eq!(check(&store).returned, expected, "{ms}");
    }
    // The one behind is first.
    let store = shop(&[(0, Act::Issue(1, 1)), (0, Act::Redeem(1, 1, 1, Some(30)))]);
    assert!(alone(&store, late, &roll_back).is_ok());
    assert!(alone(&store, late + AHEAD_MS, &roll_back).is_ok());
}

#[test]
fn where_nothing_can_be_rolled_back_a_redemption_is_final_at_once() {
    let store = Memory::new();
    let template = Template { rollback_days: 0, ..budgeted(150, 30) };
    with(&store, 0, async |context| publish(context, "t", &template).await).unwrap();
    alone(&store, 0, &Act::Issue(1, 1)).unwrap();
    assert_eq!(refused(alone(&store, 0, &Act::Issue(2, 2))), Refusal::BudgetExhausted);
    let redeemed = alone(&store, 5, &Act::Redeem(1, 1, 1, Some(40))).unwrap().unwrap();
    assert!(redeemed.is_over);
    assert_eq!(refused(alone(&store, 5, &Act::RollBack(1, 1, 1))), Refusal::RedemptionFinal);
    assert_eq!(alone(&store, 6, &Act::Redeem(1, 1, 1, Some(40))), Ok(Some(redeemed)));
    alone(&store, 6, &Act::Settle).unwrap();
    alone(&store, 6, &Act::BringHome).unwrap();
    assert!(alone(&store, 2_000, &Act::Issue(2, 2)).is_ok());
}

#[test]
fn a_template_without_a_budget_has_nothing_to_settle() {
    let store = Memory::new();
    let template = Template { budget: None, ..budgeted(0, 30) };
    with(&store, 0, async |context| publish(context, "t", &template).await).unwrap();
    alone(&store, 0, &Act::Issue(1, 1)).unwrap();
    alone(&store, 0, &Act::Issue(2, 2)).unwrap();
    alone(&store, 0, &Act::Redeem(1, 1, 1, Some(1))).unwrap();
    // Of what was given before there was one nothing comes back.
    alone(&store, 1, &Act::Publish(350, 30)).unwrap();
    alone(&store, 1, &Act::Issue(3, 3)).unwrap();
    for ms in [3 * DAY, 30 * DAY] {
        alone(&store, ms, &Act::Settle).unwrap();
        assert_eq!(check(&store).returned, FACE, "{ms}");
    }
    assert_eq!(refused(alone(&store, DAY, &Act::RollBack(1, 1, 1))), Refusal::RedemptionFinal);
}

#[test]
fn where_the_lease_is_gone_nothing_makes_it_again() {
    let gone = |user| (home_of(user), vec![Write::Drop(records::lease("t"))]);
    let acts = [1, 2].map(|user| (0, Act::Issue(user, user as u32)));
    let store = shop(&acts);
    for (partition, writes) in [gone(1), gone(2)] {
        write(&store, partition, writes);
    }
    let revoked = alone(&store, DAY, &Act::Revoke(1, 1)).unwrap().unwrap();
    assert!(matches!(revoked.gave, Gave::Revoked(..)), "{revoked:?}");
    alone(&store, 2 * DAY, &Act::Settle).unwrap();
    let settled = alone(&store, 2 * DAY, &Act::LookUp(2, 2)).unwrap().unwrap();
    let unused = settled.coupon().unwrap().unused;
    assert_eq!((unused, settling::returned(&settled)), (Unused::Dropped, 0));
    for user in [1, 2] {
        let lease = read(&store, home_of(user), Read::Size(records::lease("t")));
        let due = read(&store, home_of(user), Read::Count(DUE.key(), Range::default()));
        assert_eq!((lease, due), (Answer::Size(0), Answer::Size(0)), "{user}");
    }
}

#[test]
fn a_unit_that_comes_back_after_the_template_is_over_goes_home() {
    let store = shop(&[(0, Act::Issue(1, 1))]);
    let template = Template { claim_until: UnixMillis(START.0 + 1), ..budgeted(550, 30) };
    with(&store, 0, async |context| publish(context, "t", &template).await).unwrap();
    let left = |user| {
        let lease = Read::Fields(records::lease("t"), vec![LEFT.into()]);
        let [left] = integers(Some(&read(&store, home_of(user), lease))).unwrap();
        left
    };
    let over = DAY;
    with(&store, over, async |context| {
        lease::call_back_all(context, &context.place("t")).await.unwrap();
        crate::revocation::take_back(context, UserId(1), &number("n1"), "late").await.unwrap();
    });
    assert_eq!(left(1), 1);
    alone(&store, over, &Act::BringHome).unwrap();
    let books = check(&store);
    assert_eq!((left(1), books.given, books.free), (0, 0, 5));
}

#[test]
fn either_end_that_forgot_is_healed_and_nothing_is_paid_twice() {
    let acts = [
        (0, Act::Issue(1, 1)),
        (0, Act::Redeem(1, 1, 1, Some(30))),
        (DAY, Act::Settle),
        (DAY, Act::BringHome),
    ];
    // The pool forgot what came home: publishing the template as it is brings it there again.
    let store = shop(&acts);
    let (pool, partition) = (records::pool("t"), home_of(1));
    let forget = vec![
        Write::Unset(pool.clone(), unused(partition)),
        Write::Unset(pool.clone(), UNUSED_IN_ALL.into()),
        Write::Add(pool, FREE.into(), -1),
    ];
    let pool_home = with(&store, 0, async |context| context.pool("t"));
    write(&store, pool_home, forget);
    alone(&store, DAY, &Act::Publish(550, 30)).unwrap();
    assert_eq!(check(&store).home, 70);

    // The user's partition forgot: the order, its entry and the count are as before, and it is settled again.
    let before = shop(&acts[..2]);
    let store = shop(&acts);
    let (user, lease) = (records::user(UserId(1)), records::lease("t"));
    let order = Read::Fields(user.clone(), vec![records::order(&number("n1"))]);
    let order = read(&before, partition, order);
    let stored = answers::fields(Some(&order)).unwrap()[0].clone().unwrap();
    let at = records::settles_at(&Order::decode(&stored).unwrap()).unwrap();
    let forget = vec![
        Write::Set(user, records::order(&number("n1")), stored),
        DUE.add(at, &records::end(UserId(1), &number("n1"))),
        Write::Unset(lease, UNUSED.into()),
    ];
    write(&store, partition, forget);
    alone(&store, DAY, &Act::Settle).unwrap();
    alone(&store, DAY, &Act::BringHome).unwrap();
    assert_eq!(check(&store).home, 70, "once");
}

#[test]
fn what_cannot_be_read_is_told_and_keeps_no_other_coupon() {
    let store = shop(&[(0, Act::Issue(1, 1)), (0, Act::Issue(1, 2)), (0, Act::Issue(2, 3))]);
    let order = records::order(&number("n1"));
    let broken = Write::Set(records::user(UserId(1)), order, Value::Bytes(vec![0xff]));
    write(&store, home_of(1), vec![broken]);
    let swept = |ms| {
        with(&store, ms, async |context| {
            let partitions: Vec<_> = context.partitions.all().collect();
            settle_due(context, &partitions).await.unwrap()
        })
    };
    let first = swept(2 * DAY);
    assert_eq!((first.done, first.stuck.len(), first.set_aside.len()), (2, 1, 0), "{first:?}");
    let later = swept(2 * DAY + PATIENCE_MS);
    assert_eq!((later.done, later.stuck.len(), later.set_aside.len()), (0, 0, 1), "{later:?}");
}

#[test]
fn a_template_that_is_gone_is_told_while_its_leases_are_there() {
    let store = shop(&[(0, Act::Issue(1, 1)), (2 * DAY, Act::Settle)]);
    let pool = with(&store, 0, async |context| context.pool("t"));
    let swept = || {
        with(&store, 2 * DAY, async |context| {
            let partitions: Vec<_> = context.partitions.all().collect();
            bring_home(context, &partitions).await.unwrap()
        })
    };
    let Answer::Map(fields) = read(&store, pool, Read::All(records::pool("t"), 1_000)) else {
        panic!("a pool")
    };
    write(&store, pool, vec![Write::Drop(records::pool("t"))]);
    let (done, stuck) = (swept().done, swept().stuck);
    assert_eq!((done, stuck.len()), (0, 1), "{stuck:?}");
    // It is there again, as from a backup; or the lease is gone, too.
    let back =
        fields.into_iter().map(|(field, value)| Write::Set(records::pool("t"), field, value));
    let back = back.collect::<Vec<_>>();
    write(&store, pool, back);
    assert_eq!((swept().done, check(&store).home), (1, FACE));
    write(&store, home_of(1), vec![settling::homeward("t"), Write::Drop(records::lease("t"))]);
    write(&store, pool, vec![Write::Drop(records::pool("t"))]);
    assert_eq!(swept().done, 1);
}

// --- many at once ------------------------------------------------------------------------------------

fn walked<B: Binding>(store: &B, ms: i64, what: &Walk) -> Result<Walked, Failure> {
    with(store, ms, async |context| walk(context, what).await)
}

fn of_template(change: Change) -> Walk {
    Walk { template: "t".into(), batch: None, change, cursor: None }
}

#[test]
fn all_that_is_open_of_a_template_is_extended_or_taken_back() {
    let store = shop(&[
        (0, Act::Issue(1, 1)),
        (0, Act::Issue(2, 2)),
        (0, Act::Redeem(2, 2, 1, None)),
        (0, Act::Reserve(3, 3)),
        (0, Act::Issue(4, 4)),
        (DAY, Act::Revoke(4, 4)),
        (DAY, Act::Issue(4, 5)),
    ]);
    let until = UnixMillis(START.0 + 9 * DAY);
    let extend = of_template(Change::Extend(until));
    let done = walked(&store, DAY, &extend).unwrap();
    assert_eq!((done.changed, done.reserved, done.unreadable, done.cursor), (2, 1, 0, None));
    assert_eq!(walked(&store, DAY, &extend).unwrap().changed, 0);
    let noted = Read::Fields(records::pool("t"), vec![LATEST.into()]);
    let pool = with(&store, 0, async |context| context.pool("t"));
    assert_eq!(integers(Some(&read(&store, pool, noted))), Ok([until.0]));
    check(&store);

    let revoke = of_template(Change::Revoke("wrong".into()));
    assert_eq!(refused(walked(&store, DAY, &revoke)), Refusal::TemplateEnabled);
    let nowhere = Walk { template: "x".into(), ..revoke.clone() };
    assert_eq!(refused(walked(&store, DAY, &nowhere)), Refusal::UnknownTemplate);
    let off = Template { enabled: false, ..budgeted(550, 30) };
    with(&store, DAY, async |context| publish(context, "t", &off).await).unwrap();
    let done = walked(&store, DAY, &revoke).unwrap();
    assert_eq!((done.changed, done.reserved), (2, 1));
    assert_eq!(walked(&store, DAY, &revoke).unwrap().changed, 0);
    let books = check(&store);
    assert_eq!((books.given, books.held), (1, 1));
}

#[test]
fn a_batch_is_what_it_gave_and_one_that_cannot_be_read_stops_only_itself() {
    let store = shop(&[(0, Act::Issue(1, 1))]);
    let batch = crate::bulk::Batch {
        batch: "b".into(),
        users: (1..4).map(UserId).collect(),
        ordered_at: None,
    };
    with(&store, 0, async |context| crate::bulk::issue_part(context, "t", &batch).await).unwrap();
    let field = records::order(&number("bulk:t:b"));
    let broken = Write::Set(records::user(UserId(3)), field, Value::Bytes(vec![0xff]));
    write(&store, home_of(3), vec![broken]);
    let change = Change::Revoke("wrong".into());
    let of_batch = Walk { batch: Some("b".into()), ..of_template(change) };
    let done = walked(&store, DAY, &of_batch).unwrap();
    assert_eq!((done.changed, done.unreadable), (2, 1), "{done:?}");
    let open = alone(&store, DAY, &Act::LookUp(1, 1)).unwrap().unwrap();
    assert!(matches!(open.gave, Gave::Issued(_)));
}

/// More users than one call looks at: the next ones go on behind it, and everybody is met.
#[test]
fn a_walk_goes_on_behind_its_cursor() {
    let store = shop(&[]);
    with(&store, 0, async |context| {
        let order = Order::new(1, context.now, Gave::Issued(coupon_of(context).await));
        for user in (0..2_500).map(UserId) {
            let (record, field) = (records::user(user), records::order(&number("n")));
            let mut writes = vec![Write::Set(record, field, order.encode())];
            writes.extend(records::HOLDERS.mark(user, context.now));
            context.write(context.home(user), writes).await.unwrap();
        }
    });
    let mut what = of_template(Change::Extend(UnixMillis(START.0 + 9 * DAY)));
    let (mut changed, mut calls) = (0, 0);
    loop {
        let done = walked(&store, DAY, &what).unwrap();
        assert!(done.users <= crate::walk::USERS_MAX + 32, "{done:?}");
        (changed, calls) = (changed + done.changed, calls + 1);
        let Some(cursor) = done.cursor else { break };
        what.cursor = Cursor::parse(&cursor.text());
    }
    assert!((3..20).contains(&calls), "{calls}");
    assert_eq!(changed, 2_500);
}

async fn coupon_of<B: Binding>(context: &Context<'_, B>) -> records::Coupon {
    let published = context.template("t").await.unwrap().unwrap();
    records::Coupon::of(&published, context.now)
}

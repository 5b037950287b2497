//! How what a user had of coupons goes: each kind of order, asked again before, while and after it is collected, gives what
//! it gave or `too_old`, and never anything a second time.

use std::collections::BTreeSet;

use binding::Binding;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Read, Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use serde_json::json;
use store::numbers::AHEAD_MS as ORDERED_AHEAD_MS;
use store::retention::{Collected, Retention, Terms};

use super::shop::{AHEAD_MS, CHANCE, START, Shop, USER, claim, number, refused, settle};
use crate::bulk::{Batch, Tally, issue_part};
use crate::chance::{Groups, Phase};
use crate::collect;
use crate::context::{Context, Templates};
use crate::expiry::expire_due;
use crate::group_buy;
use crate::issue::{Claim, Number, Recorded, issue, look_up};
use crate::orders::Record;
use crate::records::{self, Coupon, GONE, Gave, Order};
use crate::redemption::{Cart, Use, apply};
use crate::refusal::{Failure, Refusal};
use crate::reservation::{cancel, confirm};

const DAY_MS: i64 = 86_400_000;
/// So long is what has ended kept.
const KEPT_MS: i64 = 90 * DAY_MS;
const HOLD_MS: i64 = 60_000;

/// One request on any store, by any clock.
pub(super) fn at<'a, B>(store: &'a B, templates: &'a Templates, ms: i64) -> Context<'a, B> {
    let base = store::Context {
        store,
        partitions: Partitions::new(4).unwrap(),
        now: UnixMillis(START.0 + ms),
        timer: store::Timer::still(),
    };
    Context { base, stage: "live", templates, lease_share: lease::SHARE }
}

fn terms(ms: i64) -> Terms {
    let now = UnixMillis(START.0 + ms);
    Terms { retention: Retention::default(), now, dry_run: false }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Collects what the user had, so long after the start, with the templates and the campaign of the tests.
async fn collect_in<B: Binding>(store: &B, ms: i64) -> Result<Collected, CommitError> {
    let templates = Templates::default();
    let live = names(&["t", "none", "greets", "u"]);
    let context = at(store, &templates, ms);
    collect::user(&context, USER, &terms(ms), &live, &names(&["spring"])).await
}

impl Shop {
    pub(super) fn collect(&self, ms: i64) -> Collected {
        block_on(collect_in(&self.store, ms)).unwrap()
    }

    /// The same with nothing but these not sealed.
    fn collect_sealed(&self, ms: i64, live: &[&str], campaigns: &[&str]) -> Collected {
        let (live, campaigns) = (names(live), names(campaigns));
        let context = self.behind(ms);
        block_on(collect::user(&context, USER, &terms(ms), &live, &campaigns)).unwrap()
    }

    fn record(&self) -> Record {
        block_on(Record::load(&self.now(), USER)).unwrap()
    }

    pub(super) fn integer(&self, map: &domain::transaction::MapKey, field: &str) -> i64 {
        let read = Read::Fields(map.clone(), vec![field.into()]);
        match self.read(self.now().home(USER), read) {
            Answer::Fields(values) => domain::answers::integer(values[0].as_ref()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The user's count is what there is and what went.
    fn count(&self, template: &str) {
        let record = self.record();
        let orders = record.orders().map(|(_, _, value)| Order::decode(value).unwrap());
        let is_of =
            |order: &Order| order.coupon().is_some_and(|coupon| coupon.template == template);
        let there = orders.filter(is_of).count() as i64;
        let collected = self.integer(&records::collected(USER), template);
        let count = self.integer(&records::user(USER), &format!("n{template}"));
        assert_eq!(count, there + collected, "{template}");
    }

    /// How many orders went, and what counts for the limit of the user and as given by the lease: what is there and what
    /// went.
    fn books(&self, template: &str) -> (i64, i64) {
        let orders = self.record();
        let orders: Vec<_> = orders
            .orders()
            .map(|(_, _, value)| Order::decode(value).unwrap())
            .filter(|order| order.coupon().is_some_and(|coupon| coupon.template == template))
            .collect();
        let given = orders.iter().filter(|order| order.given().is_some()).count() as i64;
        let collected = self.integer(&records::collected(USER), template);
        let count = self.integer(&records::user(USER), &format!("n{template}"));
        assert_eq!(count, orders.len() as i64 + collected, "{template}");
        let gone = self.integer(&records::lease(template), GONE);
        let stock = self.stock_of(template);
        assert_eq!(stock.issued, given + gone, "{template}");
        assert_eq!(stock.reserved, orders.len() as i64 - given, "{template}");
        (count, gone)
    }
}

/// An order, by how it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Issued,
    Played,
    Fallback,
    Greeting,
    Redeemed,
    Confirmed,
    /// Asked again for the reservation.
    Cancelled,
    /// Asked again to cancel.
    CancelledTwice,
    Expired,
    /// Cancelled before it came.
    Tombstone,
}

const KINDS: [Kind; 10] = [
    Kind::Issued,
    Kind::Played,
    Kind::Fallback,
    Kind::Greeting,
    Kind::Redeemed,
    Kind::Confirmed,
    Kind::Cancelled,
    Kind::CancelledTwice,
    Kind::Expired,
    Kind::Tombstone,
];

/// What was told of an order.
type Told = Result<Order, Refusal>;

/// Which order it is: its coupon may have expired meanwhile.
fn which(told: &Told) -> Result<(u64, i64), Refusal> {
    told.as_ref().map(|order| (order.digest, order.at)).map_err(|refusal| *refusal)
}

fn told(result: Result<Recorded, Failure>) -> Told {
    match result {
        Ok(recorded) => Ok(recorded.order),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

impl Kind {
    fn claim(self, ordered_at: Option<UnixMillis>) -> Claim {
        let is_held = matches!(self, Self::Confirmed | Self::Cancelled | Self::Expired);
        let template = match self {
            Self::Fallback => "none",
            Self::Greeting => "greets",
            _ => "t",
        };
        let claim = Claim { template: template.into(), ordered_at, ..claim(USER, "n") };
        let played = Number::Play { round: "r1".into(), award: "first".into() };
        let number = if self == Self::Played { played } else { claim.number };
        Claim { number, hold_ms: is_held.then_some(HOLD_MS), ..claim }
    }

    /// Asks, for the first time or again.
    async fn ask<B: Binding>(
        self,
        context: &Context<'_, B>,
        ordered_at: Option<UnixMillis>,
    ) -> Told {
        told(match self {
            Self::CancelledTwice => cancel(context, USER, &number("n"), ordered_at).await,
            _ => issue(context, &self.claim(ordered_at)).await,
        })
    }

    /// Everything up to its end.
    fn live(self, shop: &Shop, ordered_at: Option<UnixMillis>) {
        let (context, n) = (shop.now(), number("n"));
        match self {
            Self::Tombstone => {
                block_on(cancel(&context, USER, &n, ordered_at)).unwrap();
                return;
            }
            Self::CancelledTwice => {
                block_on(issue(&context, &Self::Cancelled.claim(ordered_at))).unwrap();
            }
            _ => drop(block_on(issue(&context, &self.claim(ordered_at))).unwrap()),
        }
        match self {
            Self::Redeemed => {
                let by = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
                block_on(apply(&context, USER, &n, &by)).unwrap();
            }
            Self::Confirmed => drop(block_on(confirm(&context, USER, &n)).unwrap()),
            Self::Cancelled | Self::CancelledTwice => {
                block_on(cancel(&context, USER, &n, None)).unwrap();
            }
            Self::Expired => {
                let home = shop.now().home(USER);
                let swept = block_on(expire_due(&shop.behind(HOLD_MS), &[home])).unwrap();
                assert_eq!(swept.done, 1);
            }
            _ => {}
        }
    }

    /// When it can go, in milliseconds after the start.
    fn due_ms(self) -> i64 {
        match self {
            Self::Issued | Self::Played | Self::Fallback | Self::Redeemed | Self::Confirmed => {
                30 * DAY_MS + KEPT_MS
            }
            _ => KEPT_MS,
        }
    }

    /// How many coupons of the usual template it gave for good.
    fn given(self) -> i64 {
        i64::from(self.due_ms() > KEPT_MS)
    }
}

/// With templates that give for years: nothing but the number keeps anybody from getting more.
fn shop() -> Shop {
    let shop = Shop::open();
    let years = ("claim_until", json!("2030-01-01T00:00:00Z"));
    shop.publish("t", &[years.clone(), ("limit_per_user", json!(9))]).unwrap();
    let none = ("stock", json!(0));
    let falls = ("fallback_template", json!("t"));
    shop.publish("none", &[years.clone(), none.clone(), falls]).unwrap();
    shop.publish("greets", &[years, none, ("greeting", json!("hello"))]).unwrap();
    shop
}

/// With a time and without one.
fn times() -> [Option<UnixMillis>; 2] {
    [None, Some(UnixMillis(START.0 + ORDERED_AHEAD_MS))]
}

fn asked(shop: &Shop, kind: Kind, ordered_at: Option<UnixMillis>, ms: i64) -> Told {
    let templates = Templates::default();
    block_on(kind.ask(&at(&shop.store, &templates, ms), ordered_at))
}

#[test]
fn each_order_is_told_until_it_is_collected_and_acts_no_more_afterwards() {
    for (kind, ordered_at) in KINDS.into_iter().flat_map(|kind| times().map(|at| (kind, at))) {
        let shop = shop();
        kind.live(&shop, ordered_at);
        let due_ms = kind.due_ms();
        let recorded = asked(&shop, kind, ordered_at, HOLD_MS);
        assert!(recorded.is_ok() || kind == Kind::Tombstone, "{kind:?} {recorded:?}");
        let books = (kind.given(), 0);
        assert_eq!(shop.books("t"), books, "{kind:?}");
        // By a clock that is behind it is too early, and at the moment itself.
        for ms in [due_ms - AHEAD_MS, due_ms] {
            let collected = shop.collect(ms);
            assert!(collected.gone.is_empty() || kind.given() == 0, "{kind:?} {collected:?}");
            assert_eq!(collected.next.map(|at| at.0 - START.0), Some(due_ms), "{kind:?}");
            for ask_ms in [ms - AHEAD_MS, ms, ms + AHEAD_MS] {
                let again = asked(&shop, kind, ordered_at, ask_ms);
                assert_eq!(which(&again), which(&recorded), "{kind:?}");
            }
        }
        let collected = shop.collect(due_ms + 1);
        assert_eq!(collected.gone.get("orders"), Some(&1), "{kind:?} {collected:?}");
        assert!(!collected.has_more, "{kind:?}");
        for ask_ms in [due_ms - AHEAD_MS, due_ms + 1, due_ms + AHEAD_MS, due_ms + KEPT_MS] {
            let again = asked(&shop, kind, ordered_at, ask_ms);
            assert_eq!(again, Err(Refusal::TooOld), "{kind:?} {ordered_at:?}");
            let reserved = Claim { hold_ms: Some(1), ..kind.claim(ordered_at) };
            let context = shop.behind(ask_ms);
            assert_eq!(refused(block_on(issue(&context, &reserved))), Refusal::TooOld);
            if kind != Kind::Played {
                let n = number("n");
                let cancelled = block_on(cancel(&context, USER, &n, ordered_at));
                assert_eq!(refused(cancelled), Refusal::TooOld);
            }
        }
        assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(None));
        assert_eq!(shop.books("t"), (books.0, books.0), "{kind:?}: it counts on");
        let (orders, gone) = (shop.record().orders().count(), shop.collect(due_ms + 1).gone);
        assert_eq!((orders, gone.len()), (0, 0), "{kind:?}");
        // Another number acts, also one that was ordered a moment later.
        let later = ordered_at.map(|at| UnixMillis(at.0 + 1));
        let other = Claim { ordered_at: later, ..claim(USER, "other") };
        assert!(block_on(issue(&shop.behind(due_ms), &other)).is_ok(), "{kind:?}");
    }
}

#[test]
fn of_asking_and_collecting_one_is_first() {
    let (mut between_asking, mut between_collecting) = (0, 0);
    for (kind, ordered_at) in KINDS.into_iter().flat_map(|kind| times().map(|at| (kind, at))) {
        let due_ms = kind.due_ms();
        // Somebody collects, by a clock that is ahead, before each commit of the one who asks again; and the other way round.
        for (before, collects) in (0..8).flat_map(|before| [(before, true), (before, false)]) {
            let shop = shop();
            kind.live(&shop, ordered_at);
            let recorded = asked(&shop, kind, ordered_at, HOLD_MS);
            let again = if collects {
                shop.store.interrupt(before, move |memory| {
                    let collected = collect_in(memory, due_ms + AHEAD_MS).now_or_never().unwrap();
                    assert_eq!(collected.unwrap().gone.get("orders"), Some(&1));
                });
                asked(&shop, kind, ordered_at, due_ms)
            } else {
                shop.store.interrupt(before, move |memory| {
                    let templates = Templates::default();
                    let context = at(memory, &templates, due_ms - AHEAD_MS);
                    let again = kind.ask(&context, ordered_at).now_or_never().unwrap();
                    assert!(again.is_ok() || again.is_err_and(|why| why != Refusal::SoldOut));
                });
                shop.collect(due_ms + AHEAD_MS);
                asked(&shop, kind, ordered_at, due_ms)
            };
            let is_same = which(&again) == which(&recorded);
            assert!(is_same || again == Err(Refusal::TooOld), "{kind:?} {before} {again:?}");
            let count = if collects { &mut between_asking } else { &mut between_collecting };
            *count += u32::from(shop.was_interrupted());
            if shop.was_interrupted() {
                let gone = kind.given();
                assert_eq!(shop.books("t"), (gone, gone), "{kind:?} {before} {collects}");
            }
        }
    }
    assert!(
        between_asking >= 40 && between_collecting >= 40,
        "{between_asking} {between_collecting}"
    );
}

/// Fields of the user's record and of the counts of what was collected.
fn fields(shop: &Shop) -> (Vec<String>, u64) {
    let names = shop.record().fields.into_iter();
    let names = names.map(|(field, _)| String::from_utf8(field.0).unwrap()).collect();
    match shop.read(shop.now().home(USER), Read::Size(records::collected(USER))) {
        Answer::Size(size) => (names, size),
        other => panic!("{other:?}"),
    }
}

#[test]
fn counts_go_once_no_order_is_left_and_the_template_is_sealed() {
    let shop = shop();
    let due_ms = Kind::Issued.due_ms();
    shop.issue(&claim(USER, "one")).unwrap();
    let later = shop.behind(DAY_MS);
    block_on(issue(&later, &claim(USER, "two"))).unwrap();
    // Sealed, and one order is left.
    let collected = shop.collect_sealed(due_ms + 1, &[], &[]);
    assert_eq!(collected.gone, [("orders", 1)].into());
    assert_eq!(fields(&shop), (vec!["nt".into(), "otwo".into()], 1));
    assert_eq!(collected.next, Some(UnixMillis(START.0 + DAY_MS + due_ms)));
    // Not sealed: the limit counts on.
    let ms = DAY_MS + due_ms + 1;
    let collected = shop.collect_sealed(ms, &["t"], &[]);
    assert_eq!(collected.gone, [("orders", 1)].into());
    assert_eq!(fields(&shop), (vec!["nt".into()], 1));
    let again = UnixMillis(START.0 + ms + 30 * DAY_MS);
    assert_eq!(collected.next, Some(again));
    assert_eq!(shop.books("t"), (2, 2));
    for text in 3..10 {
        let more = Claim { template: "t".into(), ..claim(USER, &text.to_string()) };
        assert!(shop.issue(&more).is_ok(), "{text}");
    }
    assert_eq!(refused(shop.issue(&claim(USER, "ten"))), Refusal::UserLimit);
    let ms = 2 * ms;
    assert_eq!(shop.collect_sealed(ms, &["t"], &[]).gone, [("orders", 7)].into());
    let collected = shop.collect_sealed(ms, &[], &[]);
    assert_eq!((collected.gone, collected.next), ([("counts", 1)].into(), None));
    assert_eq!(fields(&shop), (vec![], 0));
}

#[test]
fn the_last_order_takes_the_counts_of_a_sealed_template_with_it() {
    let shop = shop();
    shop.issue(&claim(USER, "n")).unwrap();
    let collected = shop.collect_sealed(Kind::Issued.due_ms() + 1, &[], &[]);
    assert_eq!(collected.gone, [("orders", 1), ("counts", 1)].into());
    assert_eq!((fields(&shop), collected.next), ((vec![], 0), None));
    assert_eq!(shop.integer(&records::lease("t"), GONE), 1);
}

#[test]
fn nothing_is_added_to_a_lease_that_is_gone() {
    let shop = shop();
    let home = shop.now().home(USER);
    shop.issue(&claim(USER, "n")).unwrap();
    // Between the look and the commit.
    shop.meanwhile(3, home, vec![Write::Drop(records::lease("t"))]);
    let collected = shop.collect_sealed(Kind::Issued.due_ms() + 1, &[], &[]);
    assert!(shop.was_interrupted());
    assert_eq!(collected.gone, [("orders", 1), ("counts", 1)].into());
    assert_eq!(shop.read(home, Read::Size(records::lease("t"))), Answer::Size(0));
}

#[test]
fn a_chance_goes_once_its_campaign_is_sealed_and_no_reward_is_due() {
    let over_ms = 60_000 + KEPT_MS;
    // Where the group stands; whether it is as it was afterwards; what went.
    let ended = |phase| move |open: &Groups| open.ended("g", phase, START).unwrap();
    type Ends = Box<dyn Fn(&Groups) -> Groups>;
    let table: [(&str, Ends, bool); 4] = [
        ("open", Box::new(Clone::clone), true),
        ("failed", Box::new(ended(Phase::Failed)), true),
        ("due", Box::new(ended(Phase::Succeeded)), false),
        (
            "rewarded",
            Box::new(move |open: &Groups| ended(Phase::Succeeded)(open).settled(Phase::Rewarded)),
            true,
        ),
    ];
    for (name, ends, goes) in table {
        let shop = shop();
        let (_, open) = shop.open_group(USER);
        let home = shop.now().home(USER);
        shop.write(home, CHANCE.change(&open, &ends(&open)).writes);
        let early = shop.collect_sealed(over_ms, &[], &[]);
        assert!(early.gone.is_empty() && early.next.is_some(), "{name}: {early:?}");
        let campaign = shop.collect_sealed(over_ms + 1, &[], &["spring"]);
        assert!(campaign.gone.is_empty() && campaign.next.is_some(), "{name}: {campaign:?}");
        let late = shop.collect_sealed(over_ms + 1, &[], &[]);
        assert_eq!(late.gone.get("chances"), goes.then_some(&1), "{name}: {late:?}");
        assert_eq!(late.next.is_none(), goes, "{name}");
        assert_eq!(shop.groups(USER).is_empty(), goes, "{name}");
    }
}

#[test]
fn a_group_that_succeeds_meanwhile_keeps_its_chance() {
    let mut interrupted = 0;
    for before in 0..8 {
        let shop = shop();
        let (_, open) = shop.open_group(USER);
        let home = shop.now().home(USER);
        let success = CHANCE.change(&open, &open.ended("g", Phase::Succeeded, START).unwrap());
        shop.store.interrupt(before, move |memory| {
            // Refused, the chance has expired, or is gone.
            memory.commit(home, &success).now_or_never().unwrap().unwrap();
        });
        shop.collect_sealed(60_000 + KEPT_MS + 1, &[], &[]);
        interrupted += u32::from(shop.was_interrupted());
        let is_due = shop.groups(USER).due().is_some();
        assert_eq!(shop.entries(home, crate::chance::REWARDS), u64::from(is_due), "{before}");
        assert_eq!(shop.groups(USER).is_empty(), !is_due || !shop.was_interrupted(), "{before}");
    }
    assert!(interrupted >= 3, "{interrupted}");
}

#[test]
fn the_order_of_a_reward_stays_as_long_as_the_reward_is_due() {
    let shop = shop();
    shop.earn(USER);
    let due = shop.groups(USER);
    assert_eq!(settle(&shop.now()), 1);
    let given = shop.groups(USER);
    let reward = group_buy::reward_number("spring", "g").unwrap();
    // Whoever gave it crashed before it counted as given.
    let home = shop.now().home(USER);
    shop.write(home, CHANCE.change(&given, &due).writes);
    let ms = Kind::Issued.due_ms() + 1;
    assert_eq!(shop.collect(ms).gone, [].into());
    assert!(block_on(look_up(&shop.now(), USER, &reward)).unwrap().is_some());
    assert_eq!(settle(&shop.behind(ms)), 1);
    assert_eq!(shop.collect(ms).gone, [("orders", 1)].into());
    assert_eq!(shop.books("t"), (1, 1));
    // Should it ever be due again, it counts as given, and is not given again: whatever its scene says.
    for compensated in [true, false] {
        shop.set_up_scene(&crate::scene::Scene { compensated, ..crate::scene::Scene::plain() });
        shop.write(home, CHANCE.change(&given, &due).writes);
        assert_eq!(settle(&shop.behind(ms)), 1);
        assert_eq!((shop.phase(USER), shop.stock().issued), (Phase::Rewarded, 1));
    }
}

#[test]
fn of_redeeming_and_collecting_one_is_first() {
    let due_ms = Kind::Issued.due_ms();
    let by = || Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    let mut redeemed = BTreeSet::new();
    for before in 0..6 {
        let shop = shop();
        shop.issue(&claim(USER, "n")).unwrap();
        // By a clock that is months behind, so that nothing but the records decides.
        shop.store.interrupt(before, move |memory| {
            let templates = Templates::default();
            let context = at(memory, &templates, 0);
            let n = number("n");
            let result = apply(&context, USER, &n, &by()).now_or_never().unwrap();
            if let Err(failure) = result {
                let why = refused::<()>(Err(failure));
                assert!(matches!(why, Refusal::Expired | Refusal::UnknownCoupon), "{why:?}");
            }
        });
        let collected = shop.collect(due_ms + 1);
        if !shop.was_interrupted() {
            break;
        }
        let order = block_on(look_up(&shop.now(), USER, &number("n"))).unwrap();
        let is_redeemed = order.is_some_and(|order| order.coupon().unwrap().redeemed.is_some());
        // A coupon that was redeemed then has ended as long ago as one that expired.
        let gone = collected.gone.get("orders").copied().unwrap_or(0);
        assert!(is_redeemed || gone == 1, "{before} {collected:?}");
        redeemed.insert(is_redeemed);
        shop.books("t");
    }
    // And with somebody who collects before each commit of the one who redeems.
    for before in 0..2 {
        let shop = shop();
        shop.issue(&claim(USER, "n")).unwrap();
        shop.store.interrupt(before, move |memory| {
            collect_in(memory, due_ms + 1).now_or_never().unwrap().unwrap();
        });
        let result = block_on(apply(&shop.now(), USER, &number("n"), &by()));
        assert!(shop.was_interrupted(), "{before}");
        assert_eq!(refused(result), Refusal::UnknownCoupon, "{before}");
        assert_eq!(shop.books("t"), (1, 1));
    }
}

#[test]
fn what_cannot_be_read_stays_and_keeps_nothing_else() {
    let shop = shop();
    let home = shop.now().home(USER);
    shop.issue(&claim(USER, "one")).unwrap();
    shop.issue(&claim(USER, "two")).unwrap();
    let garbage = || Value::Bytes(b"\xffgarbage".to_vec());
    let broken = records::order(&number("two"));
    shop.write(home, vec![Write::Set(records::user(USER), broken.clone(), garbage())]);
    let ms = Kind::Issued.due_ms() + 1;
    let none = BTreeSet::new();
    let result = block_on(collect::user(&shop.behind(ms), USER, &terms(ms), &none, &none));
    assert!(matches!(&result, Err(CommitError::Unreadable(text)) if text.contains("an order")));
    // Nobody knows of which template it is.
    assert_eq!(fields(&shop).0, ["nt", "otwo"]);
    assert_eq!(shop.record().field(&broken), Some(&garbage()));

    // What cannot be changed for a fault of something else is left out, too.
    let shop = self::shop();
    shop.publish("u", &[("claim_until", json!("2030-01-01T00:00:00Z"))]).unwrap();
    shop.issue(&claim(USER, "one")).unwrap();
    shop.issue(&Claim { template: "u".into(), ..claim(USER, "two") }).unwrap();
    shop.write(home, vec![Write::Set(records::lease("t"), GONE.into(), garbage())]);
    let result = block_on(collect_in(&shop.store, ms));
    assert!(matches!(result, Err(CommitError::Invalid(_))), "{result:?}");
    assert_eq!(fields(&shop).0, ["nt", "nu", "oone"]);
}

#[test]
fn a_look_that_is_dry_counts_and_writes_nothing() {
    let shop = shop();
    shop.issue(&claim(USER, "one")).unwrap();
    shop.hold(USER, "two", HOLD_MS);
    let ms = Kind::Issued.due_ms() + 1;
    let (record, context) = (shop.record(), shop.behind(ms));
    let dry = Terms { dry_run: true, ..terms(ms) };
    let nothing = BTreeSet::new();
    let collected = block_on(collect::user(&context, USER, &dry, &nothing, &nothing)).unwrap();
    assert_eq!(collected.gone.get("orders"), Some(&2));
    assert!(!collected.has_more);
    assert_eq!(shop.record(), record);
    assert_eq!(shop.collect(ms).gone.get("orders"), Some(&2));
}

#[test]
fn what_waits_for_its_end_says_when_it_can_go() {
    let shop = shop();
    let next = |ms| shop.collect(ms).next.map(|next| next.0 - START.0);
    assert_eq!(next(0), None);
    shop.hold(USER, "held", HOLD_MS);
    assert_eq!(next(0), Some(HOLD_MS + KEPT_MS));
    block_on(confirm(&shop.now(), USER, &number("held"))).unwrap();
    assert_eq!(next(0), Some(120 * DAY_MS));
    let by = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    block_on(apply(&shop.behind(29 * DAY_MS), USER, &number("held"), &by)).unwrap();
    assert_eq!(next(120 * DAY_MS), Some(149 * DAY_MS));
    // A count has no end of its own, and is looked at after a month.
    assert_eq!(next(149 * DAY_MS + 1), Some(179 * DAY_MS + 1));
    assert_eq!(next(150 * DAY_MS), Some(180 * DAY_MS));
}

#[test]
fn a_number_that_says_a_later_time_than_its_order_stays_a_week() {
    let shop = shop();
    let ordered_at = Some(UnixMillis(START.0 + ORDERED_AHEAD_MS));
    let context = shop.now();
    block_on(cancel(&context, USER, &number("n"), ordered_at)).unwrap();
    let collect = |ms| {
        let retention = Retention::LEAST;
        let terms = Terms { retention, ..terms(ms) };
        let none = BTreeSet::new();
        block_on(collect::user(&shop.behind(ms), USER, &terms, &none, &none)).unwrap()
    };
    let week_ms = 7 * DAY_MS;
    let early = collect(week_ms + 1);
    let next = UnixMillis(START.0 + ORDERED_AHEAD_MS + week_ms);
    assert_eq!((early.gone.len(), early.next), (0, Some(next)));
    assert_eq!(collect(week_ms + ORDERED_AHEAD_MS).gone, [("orders", 1)].into());
}

#[test]
fn whoever_has_an_order_of_any_kind_is_on_a_list() {
    let home = shop().now().home(USER);
    for kind in KINDS {
        let shop = shop();
        kind.live(&shop, None);
        let day = domain::day_lists::day(START);
        let is_listed = |bucket| {
            let list = records::HOLDERS.list(day, bucket);
            let member = domain::day_lists::DayLists::member(USER);
            shop.read(home, Read::HasMember(list, member)) == Answer::Contains(true)
        };
        assert!((0..domain::day_lists::BUCKETS).any(is_listed), "{kind:?}");
    }
}

#[test]
fn a_time_is_part_of_the_number() {
    let shop = shop();
    let at = |ms: i64| Some(UnixMillis(START.0 + ms));
    let given = shop.issue(&Claim { ordered_at: at(-5), ..claim(USER, "n") }).unwrap();
    for ordered_at in [None, at(-4)] {
        let other = Claim { ordered_at, ..claim(USER, "n") };
        assert_eq!(refused(shop.issue(&other)), Refusal::OrderNumberReused);
    }
    let again = shop.issue(&Claim { ordered_at: at(-5), ..claim(USER, "n") }).unwrap();
    assert_eq!((again.order, again.replayed), (given.order, true));
    // Too far in the future.
    let far = at(ORDERED_AHEAD_MS + 1);
    let wrong = ("invalid_value", "ordered_at".to_owned());
    let invalid = super::shop::invalid::<Recorded>;
    assert_eq!(invalid(shop.issue(&Claim { ordered_at: far, ..claim(USER, "far") })), wrong);
    assert_eq!(invalid(block_on(cancel(&shop.now(), USER, &number("far"), far))), wrong);
    let batch = |ordered_at| Batch { batch: "b".into(), ordered_at, users: vec![USER] };
    let part = |ordered_at| block_on(issue_part(&shop.now(), "t", &batch(ordered_at)));
    assert_eq!(super::shop::invalid(part(far)), wrong);

    let first = Tally { users: 1, issued: 1, ..Tally::default() };
    assert_eq!(part(at(-9)), Ok(first.clone()));
    assert_eq!(part(at(-9)), Ok(first));
    shop.collect(Kind::Issued.due_ms() + 1);
    let old = Tally { users: 1, refused: [("too_old".into(), 1)].into(), ..Tally::default() };
    assert_eq!(part(at(-9)), Ok(old));
}

#[test]
fn a_number_that_is_forgotten_is_too_old_also_where_its_template_gives_nothing_any_more() {
    let ms = Kind::Issued.due_ms() + 1;
    for ordered_at in times() {
        let shop = shop();
        let one = Claim { ordered_at, ..claim(USER, "n") };
        shop.issue(&one).unwrap();
        shop.collect(ms);
        shop.publish("t", &[("enabled", json!(false)), ("limit_per_user", json!(9))]).unwrap();
        assert_eq!(refused(shop.issue(&one)), Refusal::TooOld);
        let unknown = Claim { template: "unknown".into(), ..one.clone() };
        assert_eq!(refused(shop.issue(&unknown)), Refusal::TooOld);
        assert_eq!(refused(shop.issue(&claim(USER, "other"))), Refusal::Disabled);
        // Where nothing is known of users, either.
        let asks = [("new_users_only", json!(true)), ("unknown_users", json!("ask"))];
        shop.publish("t", &asks).unwrap();
        assert_eq!(refused(shop.issue(&one)), Refusal::TooOld);
        assert_eq!(refused(shop.issue(&claim(USER, "other"))), Refusal::ImportIncomplete);
    }
}

#[test]
fn of_rolling_back_and_collecting_one_is_first() {
    let mut rolled_back = 0;
    for before in 0..3 {
        let shop = shop();
        Kind::Redeemed.live(&shop, None);
        // By a clock that is months behind.
        let is_done = std::rc::Rc::new(std::cell::Cell::new(false));
        let told = std::rc::Rc::clone(&is_done);
        shop.store.interrupt(before, move |memory| {
            let templates = Templates::default();
            let context = at(memory, &templates, 0);
            let by = Use::Rollback { order: "A".into() };
            let result = apply(&context, USER, &number("n"), &by).now_or_never().unwrap();
            told.set(result.is_ok());
        });
        let collected = shop.collect(Kind::Redeemed.due_ms() + 1);
        let order = block_on(look_up(&shop.now(), USER, &number("n"))).unwrap();
        // What was rolled back at the last moment is told as long as anything.
        assert_eq!(order.is_some(), is_done.get(), "{before} {collected:?}");
        rolled_back += u32::from(is_done.get());
        shop.books("t");
    }
    assert_eq!(rolled_back, 2, "before the look, and before the commit");
}

#[test]
fn counts_of_which_one_more_is_given_meanwhile_stay() {
    for before in 0..4 {
        let shop = shop();
        shop.issue(&claim(USER, "n")).unwrap();
        shop.store.interrupt(before, move |memory| {
            let templates = Templates::default();
            let context = at(memory, &templates, 0);
            issue(&context, &claim(USER, "late")).now_or_never().unwrap().unwrap();
        });
        // A look, what is over, a look, and the commit.
        shop.collect_sealed(Kind::Issued.due_ms() + 1, &[], &[]);
        assert!(shop.was_interrupted());
        shop.count("t");
    }
}

#[test]
fn a_chance_that_is_used_again_meanwhile_stays() {
    let (mut stayed, over_ms) = (0, 60_000 + KEPT_MS + 1);
    for before in 0..2 {
        let shop = shop();
        let (_, open) = shop.open_group(USER);
        let failed = open.ended("g", Phase::Failed, START).unwrap();
        let home = shop.now().home(USER);
        shop.write(home, CHANCE.change(&open, &failed).writes);
        shop.store.interrupt(before, move |memory| {
            let templates = Templates::default();
            let again = super::shop::opening(USER, "h");
            let context = at(memory, &templates, over_ms);
            group_buy::open(&context, &again).now_or_never().unwrap().unwrap();
        });
        shop.collect_sealed(over_ms, &[], &[]);
        assert!(shop.was_interrupted());
        stayed += u32::from(shop.groups(USER).find("h").is_some());
    }
    assert_eq!(stayed, 2);
}

#[test]
fn a_time_up_to_which_numbers_are_forgotten_never_goes_back() {
    let shop = shop();
    let one = Claim { ordered_at: Some(START), ..claim(USER, "n") };
    shop.issue(&one).unwrap();
    let ms = Kind::Issued.due_ms() + 1;
    // Somebody else forgets a later one between the look and the commit: a look, what is over, a look.
    let later = START.0 + 50 * DAY_MS;
    let mark = Write::Set("x7".into(), "c".into(), Value::Integer(later));
    shop.meanwhile(3, shop.now().home(USER), vec![mark]);
    assert_eq!(shop.collect(ms).gone, [("orders", 1)].into());
    assert!(shop.was_interrupted());
    let claim = |at| Claim { ordered_at: Some(UnixMillis(at)), ..claim(USER, "other") };
    let ask = |at| block_on(issue(&shop.behind(ms), &claim(at)));
    assert_eq!(refused(ask(later)), Refusal::TooOld);
    assert!(ask(later + 1).is_ok());
}

#[test]
fn only_so_much_is_done_in_one_call() {
    let shop = shop();
    let held = shop.hold(USER, "first", HOLD_MS).order;
    let home = shop.now().home(USER);
    // Coupons whose template is not counted here.
    let Gave::Reserved(coupon, _) = held.gave else { panic!("{held:?}") };
    let coupon = Coupon { template: "u".into(), ..coupon };
    let order = Order::new(1, START, Gave::Issued(coupon));
    let write = |index: u32| {
        let field = records::order(&number(&format!("n{index}")));
        Write::Set(records::user(USER), field, order.encode())
    };
    shop.write(home, (0..600).map(write).collect());
    let ms = Kind::Issued.due_ms() + 1;
    for (gone, has_more, left) in [(256, true, 345), (256, true, 89), (89, false, 0)] {
        let collected = shop.collect(ms);
        assert_eq!((collected.gone["orders"], collected.has_more), (gone, has_more));
        let record = shop.record();
        let orders = record.orders().map(|(_, _, value)| Order::decode(value).unwrap());
        assert_eq!(orders.filter(|order| !order.is_over).count(), left);
    }
}

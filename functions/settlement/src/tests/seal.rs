//! Sealing by the books of all kinds: whoever looks at them at any moment of it finds no difference.

use std::collections::BTreeMap;

use binding::memory::{Journal, Memory};
use coupons::group_buy::{self, Campaign};
use domain::paid::Unknown;
use futures::FutureExt as _;
use lease::{CREDITED, FREE, credited};
use store::Plan;
use store::retention::{Retention, Terms};
use wallet::posting;
use wallet::rain::Stored;

use super::*;
use crate::reconcile::{Cursor, Report, Scope, reconcile};
use crate::seal::{Sealed, seal};

const DAY: i64 = 86_400_000;
/// A month after which claims and rounds end.
const END: i64 = NOW.0 + 30 * DAY;
/// Everything of both is settled a while before; and configuration is kept for so long.
const OVER: i64 = END + 61 * DAY + 90 * DAY;
const USERS: u64 = 6;

fn at(now_ms: i64) -> UnixMillis {
    UnixMillis(now_ms)
}

fn seal_at<B: Binding>(store: &B, now_ms: i64) -> Sealed {
    try_seal(store, now_ms, false).unwrap()
}

fn try_seal<B: Binding>(store: &B, now_ms: i64, dry_run: bool) -> Result<Sealed, CommitError> {
    let terms = Terms { retention: Retention::default(), now: at(now_ms), dry_run };
    with_books(store, at(now_ms), |books| seal(books, &terms).now_or_never().unwrap())
}

fn rain() -> Stored {
    let [from, until] = [NOW.0, END].map(|moment| at(moment).to_rfc3339());
    let rain = json!({
        "activity": "spring", "scene": "rain", "currency": "CNY", "budget": "1000",
        "single_cap": "100", "amounts": {"fixed": "100"},
        "rounds": [{"round": 1, "from": from, "until": until}],
    });
    Stored { rain: serde_json::from_value(rain).unwrap(), secret: [7; 16] }
}

/// A rain, of which each user has a cent, and of which each partition has returned nothing.
fn set_up_rain(store: &Journal) {
    let context = context(store, NOW);
    let (publication, place) =
        (rain::publication(partitions(), "r"), rain::place(partitions(), "r"));
    let mut plan = Plan::new();
    publication.replace(&mut plan, (), None, &rain(), partitions());
    plan.write(Write::Add(place.pool.clone(), FREE.into(), 1_000));
    block_on(context.commit(place.partition, plan)).unwrap().unwrap();
    block_on(publication.follow(&context, 1, &rain())).unwrap();
    let owner = rain::owner(partitions(), "spring", "rain");
    let mine = owner.set(&rain::Owner("r".into()));
    block_on(context.write(owner.partition, [mine])).unwrap();
    for user in 1..=USERS {
        let home = home(user);
        let of_pool = [
            Write::Add(place.pool.clone(), credited(home), 1),
            Write::Add(place.pool.clone(), FREE.into(), -1),
        ];
        block_on(context.write(place.partition, of_pool)).unwrap();
        let payload = Payload {
            app_id: 0,
            act_id: user,
            activity_id: "spring".to_owned(),
            scene_id: "rain".to_owned(),
            amount: 1,
            out_trade_no: "n".to_owned(),
            open_time: NOW.0,
            rain_id: 1,
            status: 0,
        };
        let stored = keys().sign(&payload, "test").unwrap().to_stored();
        let mut writes = pending::writes(UserId(user), "n", stored, NOW, NOW).to_vec();
        writes.push(Write::Add(rain::lease("r"), CREDITED.into(), 1));
        block_on(context.write(home, writes)).unwrap();
        block_on(posting::post(&context, UserId(user))).unwrap();
    }
}

/// A template of which users have coupons, with a campaign, and a rain that was given and posted.
fn store() -> Journal {
    let store = Journal::default();
    let templates = Templates::default();
    let context = coupons(&store, &templates, NOW);
    let [from, until] = [NOW.0, END].map(|moment| at(moment).to_rfc3339());
    let template = json!({
        "activity": "spring", "scene": "newcomer", "kind": "amount_off", "value": "1500",
        "threshold": 1510, "currency": "CNY", "stock": "100", "limit_per_user": 1,
        "claim_from": from, "claim_until": until, "valid_for_days": 30, "low_water_percent": 0,
    });
    let template: Template = serde_json::from_value(template).unwrap();
    block_on(publish::publish(&context, "t", &template)).unwrap();
    let campaign = Campaign {
        template: "t".into(),
        give_back: true,
        unknown_users: Unknown::New,
        enabled: true,
    };
    block_on(group_buy::set_up(&context, "c", &campaign)).unwrap();
    for user in 1..=USERS {
        let claim = Claim {
            ordered_at: None,
            user: UserId(user),
            number: Number::Given(OrderNumber::parse("n", "").unwrap()),
            template: "t".into(),
            segments: vec![],
            hold_ms: None,
        };
        block_on(issue(&context, &claim)).unwrap();
    }
    set_up_rain(&store);
    store
}

/// All that is wrong, and what could not be compared.
fn report<B: Binding>(store: &B, scope: Scope) -> Report {
    let (mut all, mut cursor) = (Report::default(), Cursor::default());
    loop {
        let part = with_books(store, at(OVER), |books| {
            reconcile(books, scope, cursor.clone()).now_or_never().unwrap().unwrap()
        });
        all.differences.extend(part.differences);
        all.unsettled += part.unsettled;
        match part.next {
            Some(next) => cursor = next,
            None => return all,
        }
    }
}

fn seal_all<B: Binding>(store: &B) {
    for day in 0..40 {
        seal_at(store, OVER + day * DAY);
    }
}

#[test]
fn all_kinds_are_sealed_and_taken_away_by_some_calls() {
    let store = store();
    let counts = |sealed: Sealed| {
        assert!(sealed.stuck.is_empty() && sealed.set_aside.is_empty(), "{sealed:?}");
        assert_eq!((sealed.has_more, sealed.interrupted), (false, None));
        (sealed.counts, sealed.waiting)
    };
    let none = (BTreeMap::new(), 0);
    assert_eq!(counts(seal_at(&store, NOW.0)), none);
    let before = store.written().len();
    // Nobody has called the leases of the template back.
    let would = counts(try_seal(&store, OVER, true).unwrap());
    assert_eq!(would, (BTreeMap::from([("rains_sealed", 1)]), 1));
    assert_eq!(store.written().len(), before);
    let sealed = ["templates_sealed", "campaigns_sealed", "rains_sealed"].map(|one| (one, 1));
    assert_eq!(counts(seal_at(&store, OVER)), (BTreeMap::from(sealed), 0));
    assert_eq!(counts(seal_at(&store, OVER + DAY)), (BTreeMap::new(), 3));
    let gone = [("templates", 1), ("rains", 1)];
    assert_eq!(counts(seal_at(&store, OVER + 2 * DAY)), (BTreeMap::from(gone), 1));
    for day in 3..32 {
        assert_eq!(counts(seal_at(&store, OVER + day * DAY)), (BTreeMap::new(), 1));
    }
    let gone = [("campaigns", 1)];
    assert_eq!(counts(seal_at(&store, OVER + 32 * DAY)), (BTreeMap::from(gone), 0));
    let records = ["template_records", "campaign_records", "rain_records"].map(|one| (one, 1));
    assert_eq!(counts(seal_at(&store, OVER + 1_200 * DAY)), (BTreeMap::from(records), 0));
    assert_eq!(counts(seal_at(&store, OVER + 2_000 * DAY)), none);
}

#[test]
fn nothing_differs_after_any_commit_of_a_sealing() {
    let store = store();
    let before = store.written().len();
    seal_all(&store);
    let written = store.written();
    assert!(written.len() > before + 30, "{} commits", written.len() - before);
    for crash in before..=written.len() {
        let store = block_on(Journal::of(&written[..crash])).unwrap();
        for scope in [Scope::Full, Scope::Recent] {
            let report = report(&store, scope);
            assert_eq!((report.differences, report.unsettled), (vec![], 0), "{crash}");
        }
    }
}

#[test]
fn a_sealing_between_any_two_reads_is_no_difference() {
    for days in [vec![1], vec![2], vec![1, 2]] {
        let start = {
            let store = store();
            (0..days[0]).for_each(|day| drop(seal_at(&store, OVER + day * DAY)));
            store.written()
        };
        for reads in 0.. {
            let store = block_on(Journal::of(&start)).unwrap();
            let days = days.clone();
            store.interrupt(reads, move |memory: &Memory| {
                days.iter().for_each(|day| drop(seal_at(memory, OVER + day * DAY)));
            });
            let report = report(&store, Scope::Full);
            assert_eq!(report.differences, [], "{reads}");
            if store.commits() <= reads {
                assert!(reads > 50, "{reads} reads");
                break;
            }
        }
    }
}

/// The due entry of a template that is sealed, at a former end, does not make settlement call back leases that are gone.
#[test]
fn settlement_calls_no_lease_back_that_is_gone() {
    let start = {
        let store = store();
        let entry = coupon::OVER.add(at(OVER), b"t");
        let lists = coupon::home_of_list(partitions());
        block_on(context(&store, NOW).write(lists, [entry])).unwrap();
        seal_at(&store, OVER);
        store.written()
    };
    let store = block_on(Journal::of(&start)).unwrap();
    seal_at(&store, OVER + DAY);
    seal_at(&store, OVER + 2 * DAY);
    let steps = store.written().split_off(start.len());
    for crash in 0..=steps.len() {
        let store = block_on(Journal::of(&start)).unwrap();
        for (partition, transaction) in &steps[..crash] {
            block_on(store.commit(*partition, transaction)).unwrap();
        }
        let now = at(OVER + DAY);
        let settled =
            with_books(&store, now, |books| block_on(settle(books, USERS_DEFAULT))).unwrap();
        assert!(settled.stuck.is_empty() && settled.set_aside.is_empty(), "{settled:?}");
        seal_all(&store);
        let report = report(&store, Scope::Full);
        assert_eq!((report.differences, report.unsettled), (vec![], 0), "{crash}");
        let pool = coupon::pool("t");
        let name = binding::memory::Name::Map(pool);
        let home = coupon::home_of_pool(partitions(), "t");
        assert!(!block_on(store.is_there(home, &name)).unwrap(), "{crash}");
    }
}

//! The end of templates and campaigns that are over for good: whatever comes in between, breaks off or comes late.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use binding::memory::{Journal, Memory, Name};
use domain::ids::UserId;
use domain::paid::Unknown;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Outcome, Read, Transaction, Value, Write};
use futures::FutureExt as _;
use lease::{HELD, call_back_all};
use serde_json::json;
use store::Binding;
use store::retention::{Retention, Terms};
use store::sealed::Sealing;

use super::shop::{START, changed, claim};
use crate::bulk::{Batch, issue_part, progress};
use crate::chance::{Chance, Groups, Phase};
use crate::context::{Context, Templates};
use crate::group_buy::{self, Campaign, Opening};
use crate::issue::issue;
use crate::publish::{self, publish};
use crate::records;
use crate::refusal::{Failure, Refusal};
use crate::seal::{self, GROUPS_MS, LATEST};
use crate::template::Template;

const DAY: i64 = 86_400_000;
/// The usual template: its claims end on the first of March, a coupon is valid for 30 days, and a redemption can be rolled
/// back for 30 more.
const SETTLED: i64 = 1_772_323_200_000 + 60 * DAY;
/// So long is configuration kept.
const KEPT: i64 = 90 * DAY;
const OVER: i64 = SETTLED + KEPT;

fn at<'a, B>(store: &'a B, templates: &'a Templates, now_ms: i64) -> Context<'a, B> {
    let base = store::Context {
        store,
        partitions: partitions(),
        now: UnixMillis(now_ms),
        timer: store::Timer::still(),
    };
    Context { base, stage: "live", templates, lease_share: lease::SHARE }
}

fn partitions() -> Partitions {
    Partitions::new(4).unwrap()
}

/// The result of what never waits, also in the middle of another one.
fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// What an instance that has just begun does at a moment.
fn with<B, T>(store: &B, now_ms: i64, act: impl AsyncFnOnce(&Context<'_, B>) -> T) -> T {
    let templates = Templates::default();
    done(act(&at(store, &templates, now_ms)))
}

fn terms(now_ms: i64, dry_run: bool) -> Terms {
    Terms { retention: Retention::default(), now: UnixMillis(now_ms), dry_run }
}

fn put<B: Binding>(store: &B, now_ms: i64, template: &Template) -> Result<i64, Failure> {
    with(store, now_ms, async |context| publish(context, "t", template).await)
}

fn templates<B: Binding>(store: &B, now_ms: i64) -> Sealing {
    try_templates(store, now_ms, false).unwrap()
}

fn try_templates<B: Binding>(
    store: &B,
    now_ms: i64,
    dry_run: bool,
) -> Result<Sealing, CommitError> {
    let terms = terms(now_ms, dry_run);
    with(store, now_ms, async |context| seal::templates(context, &terms).await)
}

fn campaigns<B: Binding>(store: &B, now_ms: i64) -> Sealing {
    let terms = terms(now_ms, false);
    with(store, now_ms, async |context| seal::campaigns(context, &terms).await).unwrap()
}

fn live<B: Binding>(store: &B) -> BTreeSet<String> {
    with(store, OVER, async |context| seal::live(context).await).unwrap()
}

fn counts(sealing: &Sealing) -> [u64; 4] {
    assert_eq!((&sealing.swept.stuck, &sealing.swept.failure), (&vec![], &None));
    assert!(sealing.swept.set_aside.is_empty(), "{sealing:?}");
    [sealing.sealed, sealing.gone, sealing.waiting, sealing.archives]
}

fn is_sealed<T: std::fmt::Debug>(result: Result<T, Failure>) -> bool {
    match result {
        Ok(_) => false,
        Err(Failure::Refused(Refusal::Sealed)) => true,
        other => panic!("{other:?}"),
    }
}

/// A template of which some users have coupons, one was held and put back by nobody, and a batch was issued.
fn store() -> Journal {
    let store = Journal::default();
    put(&store, START.0, &changed(&[])).unwrap();
    with(&store, START.0, async |context| {
        for user in 1..=3 {
            issue(context, &claim(UserId(user), "n")).await.unwrap();
        }
        let held = claim(UserId(4), "h");
        issue(context, &crate::issue::Claim { hold_ms: Some(1_000), ..held }).await.unwrap();
        let batch = Batch { batch: "b".into(), users: vec![UserId(5)], ordered_at: None };
        issue_part(context, "t", &batch).await.unwrap();
    });
    store
}

/// What lies in the store of the template, but for marks and what is kept of it.
fn left(store: &Journal) -> Vec<(Partition, Name)> {
    let is_of_template = |name: &Name| match name {
        Name::Map(key) => ["pt", "tt", "lt", "bt:b"].contains(&key.0.as_str()),
        Name::Ordered(key) => ["f", "fs", "bt"].contains(&key.0.as_str()),
        Name::Ids(_) => false,
    };
    let names = store.names().into_iter().filter(|(_, name)| is_of_template(name));
    names.filter(|(partition, name)| done(store.is_there(*partition, name)).unwrap()).collect()
}

/// It is gone, and never comes back: another version, the same one, and a first one.
#[track_caller]
fn check_gone(store: &Journal, now_ms: i64) {
    assert_eq!(left(store), []);
    assert!(live(store).is_empty());
    for template in [changed(&[]), changed(&[("claim_until", json!("2040-01-01T00:00:00Z"))])] {
        assert!(is_sealed(put(store, now_ms, &template)));
    }
    assert_eq!(left(store), []);
}

#[test]
fn a_template_that_is_over_is_sealed_then_taken_away_and_archived() {
    let store = store();
    assert_eq!(counts(&templates(&store, OVER - 1)), [0; 4]);
    let before = store.written().len();
    for (now, expected) in [(OVER - 1, [0; 4]), (OVER, [0, 0, 1, 0])] {
        // What was held is not put back by a dry run.
        assert_eq!(counts(&try_templates(&store, now, true).unwrap()), expected, "{now}");
    }
    assert_eq!(store.written().len(), before, "a dry run writes nothing");
    assert_eq!(counts(&templates(&store, OVER)), [1, 0, 0, 0]);
    // Nothing is gone for a day, and nobody publishes.
    assert!(is_sealed(put(&store, OVER, &changed(&[("stock", json!("9"))]))));
    assert!(is_sealed(put(&store, OVER, &changed(&[]))));
    assert_eq!(live(&store), BTreeSet::from(["t".to_owned()]));
    for now in [OVER, OVER + DAY - 1] {
        assert_eq!(counts(&templates(&store, now)), [0; 4], "{now}");
    }
    // Then all of it goes but the home; and that another day later.
    assert_eq!(counts(&try_templates(&store, OVER + DAY, true).unwrap()), [0, 0, 1, 0]);
    assert_eq!(counts(&templates(&store, OVER + DAY)), [0, 0, 1, 0]);
    assert!(live(&store).is_empty());
    assert!(is_sealed(put(&store, OVER + DAY, &changed(&[]))));
    assert_eq!(counts(&try_templates(&store, OVER + 2 * DAY, true).unwrap()), [0, 1, 0, 0]);
    assert!(!left(&store).is_empty());
    assert_eq!(counts(&templates(&store, OVER + 2 * DAY)), [0, 1, 0, 0]);
    check_gone(&store, OVER + 2 * DAY);
    let archived = |now| with(&store, now, async |context| seal::archived(context, "t").await);
    let kept = archived(OVER + DAY).unwrap().unwrap();
    assert_eq!((kept.version, kept.sealed_at), (1, UnixMillis(OVER)));
    assert_eq!(
        (kept.activity.as_deref(), kept.scene.as_deref()),
        (Some("spring"), Some("newcomer"))
    );
    assert_eq!((kept.total, kept.given, kept.posted), (Some(100), Some(4), None));
    assert_eq!(kept.until, Some(changed(&[]).claim_until));
    // An unknown template from now on, for whoever asks for a coupon of it.
    let unknown = with(&store, OVER + DAY, async |context| {
        let refused = issue(context, &claim(UserId(9), "x")).await.unwrap_err();
        let looked = publish::look(context, "t").await.unwrap_err();
        let batch = progress(context, "t", "b").await.unwrap_err();
        [refused, looked, batch]
    });
    let codes = unknown.map(|failure| match failure {
        Failure::Refused(refusal) => refusal.code(),
        other => panic!("{other:?}"),
    });
    assert_eq!(codes, ["unknown_template", "unknown_template", "unknown_batch"]);

    // What is kept goes, and the name still does not come back.
    let end = OVER + 1_100 * DAY;
    assert_eq!(counts(&templates(&store, end - 1)), [0; 4]);
    assert_eq!(counts(&try_templates(&store, end, true).unwrap()), [0, 0, 0, 1]);
    assert_eq!(counts(&templates(&store, end)), [0, 0, 0, 1]);
    assert_eq!(archived(end).unwrap(), None);
    check_gone(&store, end);
    let kept = ["fz", "fy"].map(|name| match name {
        "fz" => Name::Map(name.into()),
        _ => Name::Ordered(name.into()),
    });
    for name in kept {
        let home = records::home_of_list(partitions());
        assert!(!done(store.is_there(home, &name)).unwrap(), "{name:?}");
    }
}

/// Runs both days of a sealing and one more, as often as it takes.
fn seal_all(store: &Journal) {
    for day in 0..4 {
        templates(store, OVER + day * DAY);
    }
}

#[test]
fn a_crash_after_any_commit_is_finished_by_the_next_call() {
    let start = store().written();
    for day in [0, 1, 2] {
        for is_reply_lost in [false, true] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                (0..day).for_each(|day| drop(templates(&store, OVER + day * DAY)));
                store.fail_after(commits, is_reply_lost);
                let crashed = try_templates(&store, OVER + day * DAY, false);
                store.recover();
                seal_all(&store);
                check_gone(&store, OVER + 4 * DAY);
                let kept = with(&store, OVER, async |context| seal::archived(context, "t").await);
                assert_eq!(kept.unwrap().and_then(|kept| kept.given), Some(4), "{commits}");
                if crashed.is_ok_and(|sealing| sealing.swept.failure.is_none()) {
                    assert!(commits > 5, "{commits} commits");
                    break;
                }
            }
        }
    }
}

/// Publishes, in the middle of something else; whether that was refused for good.
fn put_meanwhile(memory: &Memory, now_ms: i64, template: &Template) -> bool {
    is_sealed(put(memory, now_ms, template))
}

#[test]
fn who_publishes_between_any_two_commits_has_published_or_is_told_sealed() {
    let start = store().written();
    let same = changed(&[]);
    let other = changed(&[("stock", json!("200"))]);
    for template in [same, other] {
        for day in [0, 1, 2] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                (0..day).for_each(|day| drop(templates(&store, OVER + day * DAY)));
                let (now, next) = (OVER + day * DAY, template.clone());
                let was_sealed = Rc::new(Cell::new(None));
                let told = Rc::clone(&was_sealed);
                store.interrupt(commits, move |memory| {
                    told.set(Some(put_meanwhile(memory, now, &next)));
                });
                templates(&store, now);
                let Some(was_sealed) = was_sealed.get() else {
                    assert!(commits > 5, "{commits} commits");
                    break;
                };
                store.recover();
                if was_sealed {
                    seal_all(&store);
                    check_gone(&store, now + 4 * DAY);
                } else {
                    // The version that was published holds, and is sealed with the rest.
                    assert_eq!(day, 0);
                    assert_eq!(live(&store).len(), 1);
                    for day in 0..4 {
                        templates(&store, now + KEPT + day * DAY);
                    }
                    check_gone(&store, now + KEPT + 4 * DAY);
                    let kept =
                        with(&store, OVER, async |context| seal::archived(context, "t").await);
                    let stock = template.stock.map(|stock| stock.get());
                    assert_eq!(kept.unwrap().and_then(|kept| kept.total), stock);
                }
            }
        }
    }
}

#[test]
fn what_is_sealed_between_any_two_commits_of_who_publishes_stays_so() {
    let start = store().written();
    // All days of it in between: whoever publishes is slower than anybody is.
    for days in [1, 4] {
        for template in [changed(&[]), changed(&[("stock", json!("200"))])] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                let is_over = Rc::new(Cell::new(false));
                let told = Rc::clone(&is_over);
                store.interrupt(commits, move |memory| {
                    (0..days).for_each(|day| drop(templates(memory, OVER + day * DAY)));
                    told.set(true);
                });
                let put = put(&store, OVER, &template);
                // Sealed between two commits of one who may not know it yet.
                let is_unsure = matches!(&put, Err(Failure::Store(CommitError::Unavailable(_))));
                let was_sealed = is_unsure || is_sealed(put);
                let was_over = is_over.get();
                store.recover();
                if live(&store).is_empty() {
                    assert_eq!(left(&store), [], "{commits}");
                } else if was_sealed || template == changed(&[]) {
                    (1..6).for_each(|day| drop(templates(&store, OVER + day * DAY)));
                    check_gone(&store, OVER + 6 * DAY);
                } else {
                    for day in 0..4 {
                        templates(&store, OVER + KEPT + day * DAY);
                    }
                    check_gone(&store, OVER + KEPT + 4 * DAY);
                }
                if !was_over {
                    assert!(commits > 3, "{commits} commits");
                    break;
                }
            }
        }
    }
}

/// A partition fails over while the leases go, and has its own again the next day.
#[test]
fn a_lease_that_is_back_after_a_fail_over_goes_the_next_day() {
    let store = store();
    (0..2).for_each(|day| drop(templates(&store, OVER + day * DAY)));
    let home = partitions().locate(UserId(1)).partition;
    let back = [lease::CREDITED, "size"]
        .map(|field| Write::Set(records::lease("t"), field.into(), Value::Integer(1)));
    done(store.commit(home, &Transaction { writes: back.to_vec(), ..Transaction::default() }))
        .unwrap();
    assert_eq!(counts(&templates(&store, OVER + 2 * DAY)), [0, 1, 0, 0]);
    check_gone(&store, OVER + 2 * DAY);
}

#[test]
fn no_lease_is_called_back_once_one_of_them_may_be_gone() {
    let start = store().written();
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        templates(&store, OVER);
        store.fail_after(commits, false);
        let crashed = try_templates(&store, OVER + DAY, false);
        store.recover();
        seal_all(&store);
        let written = store.written();
        let is_of = |write: &Write, name: &str| match write {
            Write::Set(map, ..) | Write::Add(map, ..) => map.0 == name,
            _ => false,
        };
        let is_archived = |(_, one): &&(Partition, Transaction)| {
            one.writes.iter().any(|write| is_of(write, "fz"))
        };
        let place = written.iter().position(|one| is_archived(&one)).unwrap();
        for (_, one) in &written[place..] {
            let touched = |write: &Write| is_of(write, "pt") || is_of(write, "lt");
            assert!(!one.writes.iter().any(touched), "{commits}: {one:?}");
        }
        if crashed.is_ok_and(|sealing| sealing.swept.failure.is_none()) {
            assert!(commits > 5, "{commits} commits");
            break;
        }
    }
}

#[test]
fn no_step_does_anything_when_it_comes_late() {
    let store = store();
    with(&store, OVER, async |context| call_back_all(context, &context.place("t")).await).unwrap();
    let before = store.written().len();
    seal_all(&store);
    let steps = store.written().split_off(before);
    assert!(steps.len() > 10, "{} steps", steps.len());
    let end = OVER + 1_100 * DAY;
    for is_archived in [true, false] {
        if !is_archived {
            templates(&store, end);
        }
        for (partition, transaction) in &steps {
            done(store.commit(*partition, transaction)).unwrap();
            assert_eq!(left(&store), [], "{transaction:?}");
        }
        let kept = with(&store, end, async |context| seal::archived(context, "t").await).unwrap();
        assert_eq!(kept.is_some(), is_archived);
        check_gone(&store, end);
    }
}

/// Whoever published a moment before the seal lets the others follow at any moment, however late.
#[test]
fn what_follows_late_does_not_stay() {
    let start = store().written();
    let follow = |memory: &Memory| {
        with(memory, OVER, async |context| {
            let template = changed(&[]);
            context.publication("t").follow(context, 1, &template).await.ok();
        });
    };
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        let is_late = Rc::new(Cell::new(false));
        let told = Rc::clone(&is_late);
        store.interrupt(commits, move |memory| {
            follow(memory);
            told.set(true);
        });
        (0..6).for_each(|day| drop(templates(&store, OVER + day * DAY)));
        let was_late = is_late.get();
        store.recover();
        templates(&store, OVER + 6 * DAY);
        check_gone(&store, OVER + 6 * DAY);
        if !was_late {
            assert!(commits > 20, "{commits} commits");
            break;
        }
    }
    let store = done(Journal::of(&start)).unwrap();
    seal_all(&store);
    follow(store.memory());
    assert_eq!(left(&store), []);
    check_gone(&store, OVER + 5 * DAY);
}

#[test]
fn a_template_is_not_over_before_the_last_coupon_of_any_version() {
    // A former version gave coupons that are valid for longer.
    let store = Journal::default();
    put(&store, START.0, &changed(&[("valid_for_days", json!(300))])).unwrap();
    put(&store, START.0 + 1, &changed(&[("valid_for_days", json!(3))])).unwrap();
    assert_eq!(counts(&templates(&store, OVER + 270 * DAY - 1)), [0; 4]);
    assert_eq!(counts(&templates(&store, OVER + 270 * DAY)), [1, 0, 0, 0]);

    // A coupon was extended, also while somebody seals.
    let extend = |until: i64| {
        let latest = Write::Set(records::pool("t"), LATEST.into(), Value::Integer(until));
        (records::home_of_pool(partitions(), "t"), latest)
    };
    let (start, until) = (self::store().written(), SETTLED + 40 * DAY);
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        let (home, latest) = extend(until);
        store.interrupt(commits, move |memory| {
            let writes = vec![latest];
            let transaction = Transaction { writes, ..Transaction::default() };
            assert!(matches!(done(memory.commit(home, &transaction)), Ok(Outcome::Committed(_))));
        });
        let sealing = templates(&store, OVER);
        if sealing.sealed == 1 {
            assert!(commits > 3, "{commits} commits");
            break;
        }
        store.recover();
        // And may be rolled back for as long as any.
        let over = until + 365 * DAY + KEPT;
        assert_eq!(counts(&templates(&store, over - 1)), [0; 4]);
        assert_eq!(counts(&templates(&store, over)), [1, 0, 0, 0]);
    }
}

#[test]
fn a_version_that_ends_in_the_past_is_not_over_at_once() {
    let store = store();
    put(&store, START.0, &changed(&[("claim_until", json!("2026-02-16T18:00:00Z"))])).unwrap();
    // Long afterwards, so that all of it lies in the past.
    let now = OVER + 5 * DAY;
    put(
        &store,
        now,
        &changed(&[("claim_until", json!("2026-02-16T18:00:00Z")), ("stock", json!("7"))]),
    )
    .unwrap();
    assert_eq!(counts(&templates(&store, now + KEPT - 1)), [0; 4]);
    assert_eq!(counts(&templates(&store, now + KEPT)), [1, 0, 0, 0]);
}

#[test]
fn units_that_are_out_keep_a_template_from_being_sealed_and_from_going() {
    let start = store().written();
    // As if a reservation could not be read; and as if it came back later.
    let hold = |units| Write::Add(records::lease("t"), HELD.into(), units);
    let home = partitions().locate(UserId(1)).partition;
    let write = |store: &Journal, write| {
        with(store, OVER, async |context| context.write(home, [write]).await).unwrap();
    };
    for day in [0, 1] {
        let store = done(Journal::of(&start)).unwrap();
        (0..day).for_each(|day| drop(templates(&store, OVER + day * DAY)));
        write(&store, hold(1));
        for late in 0..3 {
            let expected = [0, 0, 1, 0];
            assert_eq!(counts(&templates(&store, OVER + (day + late) * DAY)), expected);
        }
        assert_eq!(live(&store).len(), 1, "it is listed as long as its leases are not closed");
        write(&store, hold(-1));
        (3..6).for_each(|late| drop(templates(&store, OVER + (day + late) * DAY)));
        check_gone(&store, OVER + 9 * DAY);
    }
}

/// Its copy is there for a day longer, and batches are issued by it: nobody gets anything, and nothing is written down.
#[test]
fn no_batch_of_a_template_that_is_sealed_is_written_down() {
    let store = store();
    templates(&store, OVER);
    let refused = with(&store, OVER, async |context| {
        assert!(context.template("t").await.unwrap().is_some());
        let batch = Batch { batch: "late".into(), users: vec![UserId(6)], ordered_at: None };
        issue_part(context, "t", &batch).await.unwrap_err()
    });
    assert!(matches!(refused, Failure::Refused(Refusal::UnknownTemplate)), "{refused:?}");
    let late = Name::Map(records::batch("t", "late"));
    assert!(!store.names().iter().any(|(partition, name)| {
        *name == late && done(store.is_there(*partition, name)).unwrap()
    }));
}

#[test]
fn what_cannot_be_read_stays_and_keeps_no_other() {
    let store = store();
    let home = records::home_of_pool(partitions(), "t");
    let garbage = Write::Set(records::pool("t"), "body".into(), Value::Bytes(vec![0xff]));
    with(&store, START.0, async |context| {
        publish(context, "u", &changed(&[])).await.unwrap();
        context.write(home, [garbage]).await.unwrap();
    });
    let sealing = templates(&store, OVER);
    assert_eq!((sealing.sealed, sealing.swept.set_aside.len()), (1, 1), "{sealing:?}");
    templates(&store, OVER + DAY);
    assert_eq!(counts(&templates(&store, OVER + 2 * DAY)), [0, 1, 0, 0]);
    assert_eq!(live(&store), BTreeSet::from(["t".to_owned()]));
}

fn set_up<B: Binding>(store: &B, now_ms: i64, template: &str) -> Result<(), Failure> {
    let campaign = Campaign {
        template: template.into(),
        give_back: true,
        unknown_users: Unknown::New,
        enabled: true,
    };
    with(store, now_ms, async |context| group_buy::set_up(context, "spring", &campaign).await)
}

fn open<B: Binding>(store: &B, now_ms: i64, user: u64) -> Result<Phase, Failure> {
    let (campaign, group) = ("spring".into(), "g".into());
    let opening = Opening { campaign, group, user: UserId(user), lasts_seconds: 31 * 86_400 };
    let opened = with(store, now_ms, async |context| group_buy::open(context, &opening).await);
    opened.map(|(group, _)| group.phase)
}

fn live_campaigns<B: Binding>(store: &B) -> usize {
    with(store, OVER, async |context| seal::live_campaigns(context).await).unwrap().len()
}

#[test]
fn a_campaign_is_over_with_its_template() {
    let start = {
        let store = store();
        set_up(&store, START.0, "t").unwrap();
        store.written()
    };
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        let mut now = OVER;
        assert_eq!(counts(&campaigns(&store, now)), [0; 4], "its template is not sealed");
        assert_eq!(open(&store, now, 7).unwrap(), Phase::Open);
        templates(&store, now);
        now += DAY;
        store.fail_after(commits, commits % 2 == 0);
        let failed = {
            let terms = terms(now, false);
            let sealing = with(&store, now, async |context| seal::campaigns(context, &terms).await);
            sealing.is_ok_and(|sealing| sealing.swept.failure.is_none())
        };
        store.recover();
        now += DAY;
        campaigns(&store, now);
        // Nobody opens a group any more; those that are open go on.
        assert!(matches!(open(&store, now, 8), Err(Failure::Refused(Refusal::UnknownCampaign))));
        assert_eq!(open(&store, now, 7).unwrap(), Phase::Open);
        assert!(is_sealed(set_up(&store, now, "t")));
        assert_eq!(live_campaigns(&store), 1);
        let kept = |now| {
            with(&store, now, async |context| seal::archived_campaign(context, "spring").await)
        };
        assert_eq!(kept(now).unwrap().unwrap().template.as_deref(), Some("t"));
        let quiet = now + GROUPS_MS;
        for late in 0..3 {
            campaigns(&store, quiet + late * DAY);
        }
        assert_eq!(live_campaigns(&store), 0);
        assert_eq!(kept(quiet).unwrap().unwrap().template.as_deref(), Some("t"));
        // With a template that lives, because the name is what is closed.
        put_as(&store, quiet, "u");
        assert!(is_sealed(set_up(&store, quiet, "u")));
        assert_eq!(live_campaigns(&store), 0);
        let end = quiet + 1_200 * DAY;
        campaigns(&store, end);
        assert_eq!(kept(end).unwrap(), None);
        put_as(&store, end, "v");
        assert!(is_sealed(set_up(&store, end, "v")));
        if failed {
            assert!(commits > 3, "{commits} commits");
            break;
        }
    }
}

/// Another template, which lives for ever.
fn put_as<B: Binding>(store: &B, now_ms: i64, id: &str) {
    put_with(store, now_ms, id, "100", None).unwrap();
}

/// One with this stock and fallback.
fn put_with<B: Binding>(
    store: &B,
    now_ms: i64,
    id: &str,
    stock: &str,
    fallback: Option<&str>,
) -> Result<i64, Failure> {
    let until = ("claim_until", json!("2099-01-01T00:00:00Z"));
    let template =
        changed(&[until, ("stock", json!(stock)), ("fallback_template", json!(fallback))]);
    with(store, now_ms, async |context| publish(context, id, &template).await)
}

#[test]
fn what_fell_back_to_a_template_that_is_gone_can_still_be_changed() {
    let store = store();
    put_with(&store, START.0, "u", "5", Some("t")).unwrap();
    put_as(&store, START.0, "v");
    for now_ms in [OVER, OVER + DAY, OVER + 2 * DAY] {
        templates(&store, now_ms);
    }
    let now_ms = OVER + 2 * DAY;
    assert_eq!(live(&store), BTreeSet::from(["u".to_owned(), "v".to_owned()]));
    assert!(is_sealed(put(&store, now_ms, &changed(&[]))));
    // As it is read, with another stock; and what falls back to it.
    assert_eq!(put_with(&store, now_ms, "u", "6", Some("t")), Ok(2));
    assert_eq!(put_with(&store, now_ms, "w", "6", Some("u")), Ok(1));
    // Nothing falls back to it anew.
    for id in ["v", "x"] {
        let refused = put_with(&store, now_ms, id, "6", Some("t")).unwrap_err();
        assert!(
            matches!(&refused, Failure::Invalid(why) if why.code == "unknown_template"),
            "{refused:?}"
        );
    }
    assert_eq!(put_with(&store, now_ms, "u", "7", None), Ok(3));
    assert!(put_with(&store, now_ms, "u", "7", Some("t")).is_err());
}

#[test]
fn a_campaign_with_another_template_lives_on() {
    let store = store();
    put_as(&store, START.0, "u");
    set_up(&store, START.0, "t").unwrap();
    templates(&store, OVER);
    // Set up anew a moment before it would be sealed.
    set_up(&store, OVER, "u").unwrap();
    for day in 0..40 {
        assert_eq!(counts(&campaigns(&store, OVER + day * DAY)), [0; 4]);
    }
    assert_eq!(live_campaigns(&store), 1);
    assert_eq!(open(&store, OVER, 7).unwrap(), Phase::Open);
}

#[test]
fn who_sets_a_campaign_up_between_any_two_commits_has_done_so_or_is_told_sealed() {
    let start = {
        let store = store();
        put_as(&store, START.0, "u");
        set_up(&store, START.0, "t").unwrap();
        templates(&store, OVER);
        store.written()
    };
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        let told = Rc::new(Cell::new(None));
        let was_sealed = Rc::clone(&told);
        store.interrupt(commits, move |memory| {
            was_sealed.set(Some(is_sealed(set_up(memory, OVER, "u"))));
        });
        campaigns(&store, OVER + DAY);
        store.recover();
        (0..3).for_each(|day| drop(campaigns(&store, OVER + GROUPS_MS + (day + 2) * DAY)));
        match told.get() {
            Some(true) => assert_eq!(live_campaigns(&store), 0),
            Some(false) => {
                assert_eq!(live_campaigns(&store), 1);
                assert_eq!(open(&store, OVER, 7).unwrap(), Phase::Open);
            }
            None => {
                assert!(commits > 3, "{commits} commits");
                break;
            }
        }
    }
}

#[test]
fn a_campaign_that_is_sealed_between_any_two_commits_of_who_sets_it_up_stays_so() {
    let start = {
        let store = store();
        put_as(&store, START.0, "u");
        set_up(&store, START.0, "t").unwrap();
        templates(&store, OVER);
        store.written()
    };
    // The seal alone, and all of it in between.
    for days in [vec![1], vec![1, 34, 35]] {
        for commits in 0.. {
            let store = done(Journal::of(&start)).unwrap();
            let is_over = Rc::new(Cell::new(false));
            let (told, days) = (Rc::clone(&is_over), days.clone());
            store.interrupt(commits, move |memory| {
                days.iter().for_each(|day| drop(campaigns(memory, OVER + day * DAY)));
                told.set(true);
            });
            let was_sealed = is_sealed(set_up(&store, OVER + DAY, "u"));
            let was_over = is_over.get();
            store.recover();
            (40..43).for_each(|day| drop(campaigns(&store, OVER + day * DAY)));
            assert_eq!(live_campaigns(&store), usize::from(!was_sealed), "{commits}");
            let opened = open(&store, OVER, 7);
            assert_eq!(opened.is_err(), was_sealed, "{commits}: {opened:?}");
            if !was_over {
                assert!(commits > 2, "{commits} commits");
                break;
            }
        }
    }
}

#[test]
fn a_reward_of_a_template_that_is_sealed_lapses() {
    let store = store();
    set_up(&store, START.0, "t").unwrap();
    let now = OVER + DAY;
    templates(&store, OVER);
    open(&store, now, 7).unwrap();
    let chance = Chance { user: UserId(7), campaign: "spring" };
    let home = partitions().locate(UserId(7)).partition;
    let read = |store: &Journal| {
        let answers =
            with(store, now, async |context| context.read(home, vec![chance.read()]).await);
        let values = domain::answers::fields(answers.unwrap().first()).unwrap().to_vec();
        Groups::decode(values[0].as_ref()).unwrap()
    };
    let opened = read(&store);
    let succeeded = opened.ended("g", Phase::Succeeded, UnixMillis(now)).unwrap();
    let transaction = chance.change(&opened, &succeeded);
    done(store.commit(home, &transaction)).unwrap();
    (0..2).for_each(|day| drop(templates(&store, now + day * DAY)));
    assert_eq!(left(&store), []);
    let swept = with(&store, now, async |context| {
        let partitions: Vec<_> = context.partitions.all().collect();
        group_buy::settle_due(context, &partitions).await
    });
    let swept = swept.unwrap();
    assert!(swept.stuck.is_empty() && swept.set_aside.is_empty(), "{swept:?}");
    assert_eq!(read(&store).find("g").unwrap().phase, Phase::Lapsed);
    let entries = Read::Count(crate::chance::REWARDS.key(), domain::transaction::Range::default());
    let answers = with(&store, now, async |context| context.read(home, vec![entries]).await);
    assert_eq!(answers.unwrap(), [domain::transaction::Answer::Size(0)]);
}

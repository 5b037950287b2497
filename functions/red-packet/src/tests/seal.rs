//! The end of rains that are over for good: whatever comes in between, breaks off or comes late, the money adds up.

use std::collections::BTreeMap;
use std::ops::Range;

use binding::memory::{Journal, Name};
use domain::answers;
use domain::transaction::{Field, Read};
use store::retention::{Retention, Terms};
use store::sealed::Sealing;
use wallet::records as ledger;
use wallet::token::Payload;
use wallet::{pending, posting, rain, seal};

use super::*;

/// A month and a day after its end nothing of a rain acts, and 90 days later it is sealed.
const OVER: i64 = END_MS + 31 * DAY_MS + 90 * DAY_MS;
const USERS: u64 = 6;

fn terms(now_ms: i64, dry_run: bool) -> Terms {
    Terms { retention: Retention::default(), now: UnixMillis(now_ms), dry_run }
}

fn try_rains<B: Binding>(store: &B, now_ms: i64, dry_run: bool) -> Result<Sealing, CommitError> {
    done(seal::rains(&at(store, now_ms), &terms(now_ms, dry_run)))
}

fn rains<B: Binding>(store: &B, now_ms: i64) -> [u64; 4] {
    counts(&try_rains(store, now_ms, false).unwrap())
}

fn counts(sealing: &Sealing) -> [u64; 4] {
    let swept = &sealing.swept;
    assert!(swept.stuck.is_empty() && swept.set_aside.is_empty(), "{swept:?}");
    [sealing.sealed, sealing.gone, sealing.waiting, sealing.archives]
}

fn post<B: Binding>(store: &B) {
    for user in 1..=USERS {
        done(posting::post(&at(store, END_MS), UserId(user))).unwrap();
    }
}

/// A rain of which some users have packets, which are posted; settlement has not called its leases back.
fn rained() -> Journal {
    let store = Journal::default();
    set_up(&at(&store, START_MS), &rain_until(&Value::Null, END_MS)).unwrap();
    for user in 1..=USERS {
        open_at(&store, START_MS, UserId(user), 1, "a").unwrap();
    }
    post(&store);
    store
}

/// The accounts of all partitions that are no user's, added up. In each partition they add up to nothing.
#[track_caller]
fn accounts(store: &Journal) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for partition in Partitions::new(4).unwrap().all() {
        let read = vec![Read::All(ledger::accounts(), 100)];
        let answers = done(at(store.memory(), 0).read(partition, read)).unwrap();
        let [Answer::Map(fields)] = &answers[..] else { panic!("{answers:?}") };
        let mut sum = 0;
        for (name, cents) in fields {
            let cents = answers::integer(Some(cents)).unwrap();
            sum += cents;
            *sums.entry(String::from_utf8(name.0.clone()).unwrap()).or_insert(0) += cents;
        }
        assert_eq!(sum, 0, "{partition}: {fields:?}");
    }
    sums.retain(|_, cents| *cents != 0);
    sums
}

const GIVEN: i64 = USERS as i64 * 100;

fn folded() -> BTreeMap<String, i64> {
    [("fund:sealed".to_owned(), -GIVEN), ("users".to_owned(), GIVEN)].into()
}

/// What lies in the store of the rain, but for marks and what is kept of it.
fn left(store: &Journal) -> Vec<(Partition, Name)> {
    let is_of_rain = |name: &Name| match name {
        Name::Map(key) => ["mfr", "mgr", "mbr", "msspring/rain"].contains(&key.0.as_str()),
        Name::Ordered(key) => ["mi", "mis"].contains(&key.0.as_str()),
        Name::Ids(_) => false,
    };
    let names = store.names().into_iter().filter(|(_, name)| is_of_rain(name));
    names.filter(|(partition, name)| done(store.is_there(*partition, name)).unwrap()).collect()
}

fn is_refused(result: &Result<i64, Failure>, expected: Refusal) -> bool {
    matches!(result, Err(Failure::Refused(refusal)) if *refusal == expected)
}

fn put_other<B: Binding>(store: &B, now_ms: i64) -> Result<i64, Failure> {
    let rain = rain_until(&Value::Null, now_ms + DAY_MS);
    done(publish(&at(store, now_ms), "other", &rain, [9; 16]))
}

/// It is gone, and neither its name nor its scene ever come back.
#[track_caller]
fn check_gone(store: &Journal, now_ms: i64) {
    assert_eq!(left(store), []);
    assert_eq!(accounts(store), folded());
    for end in [END_MS, now_ms + DAY_MS] {
        let again = set_up(&at(store, now_ms), &rain_until(&Value::Null, end));
        assert!(is_refused(&again, Refusal::Sealed), "{again:?}");
    }
    let other = put_other(store, now_ms);
    assert!(is_refused(&other, Refusal::SceneTaken), "{other:?}");
    assert_eq!(left(store), []);
}

/// What is kept: the version, the budget, what was given and what was posted of it.
type Kept = (i64, [Option<i64>; 3]);

fn archived(store: &Journal) -> Option<Kept> {
    let kept = done(seal::archived(&at(store, OVER), RAIN)).unwrap()?;
    Some((kept.version, [kept.total, kept.given, kept.posted]))
}

const KEPT: Option<Kept> = Some((1, [Some(100_000), Some(GIVEN), Some(GIVEN)]));

#[test]
fn a_rain_that_is_over_is_sealed_then_its_fund_is_moved_and_it_is_gone() {
    let store = rained();
    assert_eq!(rains(&store, OVER - 1), [0; 4]);
    let before = store.written().len();
    assert_eq!(counts(&try_rains(&store, OVER, true).unwrap()), [0, 0, 1, 0], "leases are out");
    assert_eq!(store.written().len(), before, "a dry run writes nothing");
    assert_eq!(rains(&store, OVER), [1, 0, 0, 0]);
    let live = |store: &Journal| done(seal::live(&at(store, OVER))).unwrap();
    assert!(live(&store).contains("spring/rain"));
    let again = set_up(&at(&store, OVER), &rain_until(&Value::Null, END_MS));
    assert!(is_refused(&again, Refusal::Sealed));
    assert_eq!(rains(&store, OVER + DAY_MS - 1), [0; 4]);
    assert!(accounts(&store).contains_key("fund:spring/rain"));
    // Then all of it goes but the home; and that another day later.
    assert_eq!(counts(&try_rains(&store, OVER + DAY_MS, true).unwrap()), [0, 0, 1, 0]);
    assert_eq!(rains(&store, OVER + DAY_MS), [0, 0, 1, 0]);
    assert_eq!(accounts(&store), folded());
    assert!(live(&store).is_empty());
    assert_eq!(counts(&try_rains(&store, OVER + 2 * DAY_MS, true).unwrap()), [0, 1, 0, 0]);
    assert_eq!(rains(&store, OVER + 2 * DAY_MS), [0, 1, 0, 0]);
    check_gone(&store, OVER + 2 * DAY_MS);
    assert_eq!(archived(&store), KEPT);
    // A retry that comes months late.
    assert_eq!(refused(open(&store, 1, "a")), Refusal::UnknownRain);

    let end = OVER + 1_100 * DAY_MS;
    assert_eq!(rains(&store, end), [0, 0, 0, 1]);
    assert_eq!(archived(&store), None);
    check_gone(&store, end);
    assert!(done(look(&at(&store, end), RAIN)).is_err());
}

#[test]
fn a_rain_with_a_token_that_waits_to_be_posted_is_not_sealed() {
    let store = rained();
    open_at(&store, END_MS - 1, UserId(1), 2, "late").unwrap();
    for day in 0..3 {
        assert_eq!(rains(&store, OVER + day * DAY_MS), [0, 0, 1, 0]);
    }
    post(&store);
    assert_eq!(rains(&store, OVER + 3 * DAY_MS), [1, 0, 0, 0]);
    // A token that comes back while the others are waited for.
    let token = |award: &str| {
        let mut payload = Payload::from(&open(&rained(), 1, award).unwrap().token);
        payload.open_time = END_MS - 1;
        settings().keys.sign(&payload, "live").unwrap().to_stored()
    };
    let restore = |store: &Journal, award: &str| {
        let number = format!("7_spring_rain_1_{award}_live");
        let drawn = UnixMillis(END_MS - 1);
        let writes = pending::writes(USER, &number, token(award), drawn, drawn);
        let context = at(store, OVER);
        done(context.write(context.home(USER), writes)).unwrap();
    };
    restore(&store, "lost");
    assert_eq!(rains(&store, OVER + 4 * DAY_MS), [0, 0, 1, 0]);
    done(posting::post(&at(&store, OVER), USER)).unwrap();
    assert_eq!(rains(&store, OVER + 5 * DAY_MS), [0, 0, 1, 0]);
    assert_eq!(rains(&store, OVER + 6 * DAY_MS), [0, 1, 0, 0]);
    let sealed = |sums: &BTreeMap<String, i64>| sums.get("fund:sealed").copied().unwrap_or(0);
    let own = |sums: &BTreeMap<String, i64>| sums.get("fund:spring/rain").copied().unwrap_or(0);
    let sums = accounts(&store);
    assert_eq!((sealed(&sums), own(&sums)), (-GIVEN - 200, 0));
    // One that comes back once all of it is gone: its money is in the books, and is moved with the short record.
    restore(&store, "later");
    done(posting::post(&at(&store, OVER), USER)).unwrap();
    let sums = accounts(&store);
    assert_eq!((sealed(&sums), own(&sums)), (-GIVEN - 200, -100));
    assert_eq!(rains(&store, OVER + 1_200 * DAY_MS), [0, 0, 0, 1]);
    let sums = accounts(&store);
    assert_eq!((sealed(&sums), own(&sums)), (-GIVEN - 300, 0));
}

fn seal_all(store: &Journal) {
    on_days(store, 0..4);
}

fn on_days(store: &Journal, days: Range<i64>) {
    for day in days {
        rains(store, OVER + day * DAY_MS);
    }
}

#[test]
fn a_crash_after_any_commit_is_finished_by_the_next_call_and_the_money_adds_up() {
    let start = rained().written();
    for day in [0, 1, 2] {
        for is_reply_lost in [false, true] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                on_days(&store, 0..day);
                store.fail_after(commits, is_reply_lost);
                let crashed = try_rains(&store, OVER + day * DAY_MS, false);
                store.recover();
                let sums = accounts(&store);
                assert_eq!(sums["users"], GIVEN);
                seal_all(&store);
                check_gone(&store, OVER + 5 * DAY_MS);
                assert_eq!(archived(&store), KEPT, "{commits}");
                if crashed.is_ok_and(|sealing| sealing.swept.failure.is_none()) {
                    assert!(commits > 5, "{commits} commits");
                    break;
                }
            }
        }
    }
}

#[test]
fn who_publishes_between_any_two_commits_has_published_or_is_told_sealed() {
    let start = rained().written();
    for until in [END_MS, OVER + DAY_MS] {
        for day in [0, 1, 2] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                on_days(&store, 0..day);
                let now = OVER + day * DAY_MS;
                let told = Rc::new(Cell::new(None));
                let tell = Rc::clone(&told);
                store.interrupt(commits, move |memory| {
                    let other = put_other(memory, now);
                    assert!(is_refused(&other, Refusal::SceneTaken), "{other:?}");
                    let rain = rain_until(&Value::Null, until);
                    let put = set_up(&at(memory, now), &rain);
                    assert!(put.is_ok() || is_refused(&put, Refusal::Sealed), "{put:?}");
                    tell.set(Some(put.is_ok()));
                });
                rains(&store, now);
                store.recover();
                let Some(was_published) = told.get() else {
                    assert!(commits > 5, "{commits} commits");
                    break;
                };
                assert!(!was_published || day == 0);
                let is_open = was_published && until > OVER;
                if is_open {
                    // It rains again.
                    let award = format!("again-{commits}");
                    open_at(&store, OVER, UserId(9), 1, &award).unwrap();
                    let context = at(&store, OVER);
                    done(posting::post(&context, UserId(9))).unwrap();
                    assert_eq!(rains(&store, OVER + 3 * DAY_MS), [0; 4]);
                    assert_eq!(granted(&store), GIVEN + 100);
                } else {
                    seal_all(&store);
                    check_gone(&store, OVER + 5 * DAY_MS);
                }
            }
        }
    }
}

#[test]
fn what_is_sealed_between_any_two_commits_of_who_publishes_stays_so() {
    let start = rained().written();
    for days in [1, 4] {
        for is_other in [false, true] {
            for commits in 0.. {
                let store = done(Journal::of(&start)).unwrap();
                let is_over = Rc::new(Cell::new(false));
                let told = Rc::clone(&is_over);
                store.interrupt(commits, move |memory| {
                    (0..days).for_each(|day| {
                        rains(memory, OVER + day * DAY_MS);
                    });
                    told.set(true);
                });
                let put = match is_other {
                    true => put_other(&store, OVER),
                    false => set_up(&at(&store, OVER), &rain_until(&Value::Null, OVER + DAY_MS)),
                };
                let was_over = is_over.get();
                store.recover();
                if is_other {
                    assert!(is_refused(&put, Refusal::SceneTaken), "{put:?}");
                }
                if put.is_ok() {
                    assert_eq!(granted(&store), GIVEN);
                    open_at(&store, OVER, UserId(9), 1, "b").unwrap();
                } else {
                    // Sealed between two commits of one who may not know it yet.
                    let is_unsure =
                        matches!(&put, Err(Failure::Store(CommitError::Unavailable(_))));
                    let is_late = days > 1 && is_refused(&put, Refusal::SceneTaken);
                    let was_refused = is_unsure || is_late || is_refused(&put, Refusal::Sealed);
                    assert!(is_other || was_refused, "{put:?}");
                    on_days(&store, 0..6);
                    check_gone(&store, OVER + 6 * DAY_MS);
                }
                if !was_over {
                    assert!(commits > 0, "{commits} commits");
                    break;
                }
            }
        }
    }
}

#[test]
fn no_step_does_anything_when_it_comes_late() {
    let store = rained();
    let context = at(&store, OVER);
    done(lease::call_back_all(&context, &rain::place(context.partitions, RAIN))).unwrap();
    let before = store.written().len();
    seal_all(&store);
    let steps = store.written().split_off(before);
    assert!(steps.len() > 10, "{} steps", steps.len());
    for (partition, transaction) in &steps {
        done(store.commit(*partition, transaction)).unwrap();
        assert_eq!((left(&store), accounts(&store)), (vec![], folded()), "{transaction:?}");
    }
    check_gone(&store, OVER + 5 * DAY_MS);
    assert_eq!(archived(&store), KEPT);
}

#[test]
fn a_rain_that_is_moved_into_the_past_is_not_over_at_once() {
    let store = rained();
    let now = OVER - DAY_MS;
    let [from, until] = [START_MS, START_MS + 1].map(UnixMillis);
    let mut rain = rain_until(&Value::Null, END_MS);
    rain.rounds.iter_mut().for_each(|round| (round.from, round.until) = (from, until));
    set_up(&at(&store, now), &rain).unwrap();
    assert_eq!(rains(&store, now + 90 * DAY_MS - 1), [0; 4]);
    assert_eq!(rains(&store, now + 90 * DAY_MS), [1, 0, 0, 0]);
}

#[test]
fn what_follows_late_is_refused() {
    let store = rained();
    seal_all(&store);
    let secret = [7; 16];
    let stored = rain::Stored { rain: rain_until(&Value::Null, END_MS), secret };
    let publication = rain::publication(Partitions::new(4).unwrap(), RAIN);
    assert!(done(publication.follow(&at(&store, OVER), 1, &stored)).is_err());
    check_gone(&store, OVER + 5 * DAY_MS);
}

#[test]
fn a_posting_that_comes_between_moves_no_money_twice() {
    let start = {
        let store = rained();
        rains(&store, OVER);
        store.written()
    };
    for commits in 0.. {
        let store = done(Journal::of(&start)).unwrap();
        let was_posted = Rc::new(Cell::new(false));
        let told = Rc::clone(&was_posted);
        // A user has another cent of the fund: the account moves while it is looked at.
        store.interrupt(commits, move |memory| {
            let context = at(memory, OVER);
            let move_cents = [("fund:spring/rain", -1), (ledger::USERS, 1)].map(|(name, cents)| {
                domain::transaction::Write::Add(ledger::accounts(), Field::from(name), cents)
            });
            done(context.write(context.home(UserId(1)), move_cents)).unwrap();
            told.set(true);
        });
        on_days(&store, 1..4);
        store.recover();
        rains(&store, OVER + 1_200 * DAY_MS);
        let sums = accounts(&store);
        let more = i64::from(was_posted.get());
        assert_eq!((sums["fund:sealed"], sums["users"]), (-GIVEN - more, GIVEN + more));
        if !was_posted.get() {
            assert!(commits > 10, "{commits} commits");
            break;
        }
    }
}

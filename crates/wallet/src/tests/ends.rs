//! Withdrawals: one with an end is voided then, or left before, whatever clocks say; what became of a number is told until
//! it is forgotten, and then the number does nothing any more, and the books agree all the time.

use binding::memory::{Interrupted, Memory};
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Value, Write};
use store::retention::Terms;

use super::books::{
    Crashing, DAY_MS, account_of, check_user, collect_user, collect_withdrawals, damage, earn,
    terms,
};
use super::flows::check_balanced;
use super::requests::{at, done, number};
use crate::collect;
use crate::records;
use crate::withdraw::{self, Failure, Refusal, Request, State, Withdrawal, expire_due};

const START_MS: i64 = 1_771_257_600_250;
const USER: UserId = UserId(7);
const HOUR_MS: i64 = 3_600_000;
/// Clocks of instances are off by that much.
const OFF_MS: i64 = 600_000;
/// What ended is kept for so long.
const KEPT_MS: i64 = 7 * DAY_MS;

type Told<T> = Result<T, Refusal>;

fn told<T>(result: Result<T, Failure>) -> Told<T> {
    result.map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal,
        Failure::Store(error) => panic!("{error}"),
    })
}

fn ask(store: &Memory, now_ms: i64, name: &str, request: &Request) -> Told<(State, bool)> {
    let (context, number) = (at(store, now_ms), number(name));
    let asked = told(done(withdraw::create(&context, USER, &number, request)));
    asked.map(|(withdrawal, replayed)| (withdrawal.state, replayed))
}

fn post(store: &Memory, now_ms: i64, name: &str) -> Told<State> {
    let (context, number) = (at(store, now_ms), number(name));
    told(done(withdraw::post(&context, USER, &number))).map(|one| one.state)
}

fn void(store: &Memory, now_ms: i64, name: &str, ordered_at: Option<i64>) -> Told<State> {
    let (context, number) = (at(store, now_ms), number(name));
    let ordered_at = ordered_at.map(UnixMillis);
    told(done(withdraw::void(&context, USER, &number, ordered_at))).map(|one| one.state)
}

fn look(store: &Memory, now_ms: i64, name: &str) -> Option<Withdrawal> {
    let (context, number) = (at(store, now_ms), number(name));
    told(done(withdraw::look(&context, USER, &number))).unwrap()
}

/// Voids what is over; how many.
fn expire(store: &Memory, now_ms: i64) -> u64 {
    let context = at(store, now_ms);
    let partitions: Vec<_> = context.partitions.all().collect();
    let swept = done(expire_due(&context, &partitions)).unwrap();
    assert_eq!((swept.stuck, swept.set_aside, swept.has_more), (vec![], vec![], false));
    swept.done
}

/// A user with 10.00.
fn rich() -> Memory {
    let store = Memory::new();
    earn(&store, USER, "a", 1_000, START_MS);
    store
}

fn with_end(amount: i64) -> Request {
    Request { expires_in_seconds: Some(3_600), ..Request::of(amount) }
}

fn check(store: &Memory) {
    check_user(store, USER);
    check_balanced(store);
}

#[test]
fn what_is_pending_is_voided_at_its_end_and_never_without_one() {
    let store = rich();
    assert_eq!(ask(&store, START_MS, "w", &with_end(100)), Ok((State::Pending, false)));
    assert_eq!(ask(&store, START_MS, "x", &Request::of(200)), Ok((State::Pending, false)));
    assert_eq!(expire(&store, START_MS + HOUR_MS - 1), 0);
    assert_eq!(account_of(&store, USER).held, 300);
    check(&store);
    assert_eq!(expire(&store, START_MS + HOUR_MS), 1);
    assert_eq!(expire(&store, START_MS + 400 * DAY_MS), 0);
    let (account, voided) = (account_of(&store, USER), look(&store, START_MS, "w").unwrap());
    assert_eq!((account.balance, account.held), (800, 200));
    assert_eq!((voided.state, voided.has_expired), (State::Voided, true));
    // Asked for again it is told, by its whole request.
    assert_eq!(ask(&store, START_MS, "w", &with_end(100)), Ok((State::Voided, true)));
    let table = [
        (with_end(99), Refusal::ExistsWithDifferentAmount),
        (Request::of(100), Refusal::OrderNumberReused),
        (Request { expires_in_seconds: Some(3_601), ..with_end(100) }, Refusal::OrderNumberReused),
        (Request { ordered_at: Some(UnixMillis(1)), ..with_end(100) }, Refusal::OrderNumberReused),
    ];
    for (request, refusal) in table {
        assert_eq!(ask(&store, START_MS, "w", &request), Err(refusal), "{request:?}");
    }
    check(&store);
}

#[test]
fn of_posting_and_the_end_the_first_commit_counts_whatever_clocks_say() {
    let end = START_MS + HOUR_MS;
    // Posted by a clock that is behind, and told to one that is ahead.
    let store = rich();
    ask(&store, START_MS, "w", &with_end(100)).unwrap();
    assert_eq!(post(&store, end - OFF_MS, "w"), Ok(State::Posted));
    assert_eq!(expire(&store, end + OFF_MS), 0);
    assert_eq!(look(&store, end + OFF_MS, "w").unwrap().state, State::Posted);
    check(&store);
    // Whoever meets it after its end has it voided before they tell, and then no clock posts it.
    type Meets = fn(&Memory, i64);
    let meets: [Meets; 4] = [
        |store, now| assert!(look(store, now, "w").unwrap().has_expired),
        |store, now| assert_eq!(post(store, now, "w"), Err(Refusal::AlreadyVoided)),
        |store, now| assert_eq!(ask(store, now, "w", &with_end(100)), Ok((State::Voided, true))),
        |store, now| assert_eq!(expire(store, now), 1),
    ];
    for meet in meets {
        let store = rich();
        ask(&store, START_MS, "w", &with_end(100)).unwrap();
        meet(&store, end);
        assert_eq!(post(&store, end - OFF_MS, "w"), Err(Refusal::AlreadyVoided));
        assert_eq!(void(&store, end - OFF_MS, "w", None), Err(Refusal::AlreadyVoided));
        assert_eq!(account_of(&store, USER).balance, 1_000);
        check(&store);
    }
    // Between what a sweep reads and its commit it is posted.
    for commits in 0..4 {
        let store = Interrupted::default();
        earn(store.memory(), USER, "a", 1_000, START_MS);
        ask(store.memory(), START_MS, "w", &with_end(100)).unwrap();
        store.interrupt(commits, move |memory| {
            let posted = post(memory, end - OFF_MS, "w");
            assert!(matches!(posted, Ok(State::Posted) | Err(Refusal::AlreadyVoided)));
        });
        let context = at(&store, end);
        let partitions = [context.home(USER)];
        let swept = done(expire_due(&context, &partitions)).unwrap();
        let state = look(store.memory(), START_MS, "w").unwrap().state;
        assert_eq!(swept.done, u64::from(state == State::Voided), "{commits}");
        assert_ne!(state, State::Pending);
        check(store.memory());
    }
}

/// One withdrawal of each kind of end, with or without a time.
fn ended(ordered_at: Option<i64>) -> Memory {
    let store = Memory::new();
    end_all(&store, ordered_at);
    store
}

fn end_all(store: &Memory, ordered_at: Option<i64>) {
    earn(store, USER, "a", 1_000, START_MS);
    let request = |amount| Request { ordered_at: ordered_at.map(UnixMillis), ..with_end(amount) };
    for (name, amount) in [("posted", 100), ("voided", 10), ("expired", 20), ("held", 1)] {
        let mut request = request(amount);
        request.expires_in_seconds = request.expires_in_seconds.filter(|_| name != "held");
        assert_eq!(ask(store, START_MS, name, &request), Ok((State::Pending, false)));
    }
    assert_eq!(ask(store, START_MS, "more", &request(5_000)), Err(Refusal::ExceedsBalance));
    assert_eq!(post(store, START_MS, "posted"), Ok(State::Posted));
    assert_eq!(void(store, START_MS, "voided", None), Ok(State::Voided));
    assert_eq!(void(store, START_MS, "never", ordered_at), Ok(State::Voided));
    assert_eq!(expire(store, START_MS + HOUR_MS), 1);
}

/// What each number is told, asked again, posted, and voided.
fn told_of(store: &Memory, now_ms: i64, ordered_at: Option<i64>) -> Vec<[Told<State>; 3]> {
    let names = [("posted", 100), ("voided", 10), ("expired", 20), ("more", 5_000), ("never", 7)];
    let told = names.map(|(name, amount)| {
        let request = Request { ordered_at: ordered_at.map(UnixMillis), ..with_end(amount) };
        let again = ask(store, now_ms, name, &request);
        let again = again.map(|(state, replayed)| {
            assert!(replayed, "{name}");
            state
        });
        [again, post(store, now_ms, name), void(store, now_ms, name, ordered_at)]
    });
    told.to_vec()
}

#[test]
fn what_ended_is_told_until_it_is_forgotten_and_then_it_is_too_old() {
    for ordered_at in [None, Some(START_MS - OFF_MS)] {
        let store = ended(ordered_at);
        let before = told_of(&store, START_MS + HOUR_MS, ordered_at);
        let account = account_of(&store, USER);
        check(&store);
        // One that is ordered later and not too old acts as ever.
        let later = Request { ordered_at: Some(UnixMillis(START_MS + DAY_MS)), ..Request::of(2) };
        // All but that which expired an hour later, and that which is pending.
        let now = START_MS + KEPT_MS + 1;
        assert_eq!(collect_withdrawals(&store, now - 2), 0);
        for off in [-OFF_MS, OFF_MS] {
            assert_eq!(told_of(&store, now + off, ordered_at), before, "{ordered_at:?}");
        }
        assert_eq!(collect_withdrawals(&store, now), 4);
        check(&store);
        assert_eq!(collect_withdrawals(&store, now + HOUR_MS), 1);
        assert_eq!(collect_withdrawals(&store, now + 400 * DAY_MS), 0, "one is pending");
        let after = [Err(Refusal::TooOld), Err(Refusal::NotFound), Err(Refusal::TooOld)];
        for off in [-OFF_MS, OFF_MS] {
            let told = told_of(&store, now + HOUR_MS + off, ordered_at);
            assert!(told.iter().all(|one| *one == after), "{told:?}");
        }
        assert_eq!(account_of(&store, USER), account);
        check(&store);
        assert_eq!(ask(&store, now, "new", &later), Ok((State::Pending, false)));
        assert_eq!(void(&store, now, "new", None), Ok(State::Voided));
        assert_eq!(post(&store, now, "held"), Ok(State::Posted));
        check(&store);
        // The entries of what is gone are carried, and taken off there.
        collect_withdrawals(&store, now + 30 * DAY_MS);
        collect_user(&store, USER, now + 30 * DAY_MS, &[]);
        let carried = account_of(&store, USER);
        assert_eq!(carried.carried, carried.sequence);
        assert_eq!((carried.balance, carried.withdrawn), (899, 101));
        check(&store);
    }
}

#[test]
fn a_number_without_a_time_is_forgotten_with_every_time() {
    let store = ended(None);
    assert_eq!(collect_withdrawals(&store, START_MS + KEPT_MS + DAY_MS), 5);
    let late = Request { ordered_at: Some(UnixMillis(START_MS + 30 * DAY_MS)), ..with_end(100) };
    assert_eq!(ask(&store, START_MS + 30 * DAY_MS, "posted", &late), Err(Refusal::TooOld));
    check(&store);
}

#[test]
fn what_was_ordered_too_lately_to_be_forgotten_is_kept() {
    let store = rich();
    let ordered_at = Some(UnixMillis(START_MS + 300_000));
    let request = Request { ordered_at, ..Request::of(10) };
    ask(&store, START_MS, "w", &request).unwrap();
    post(&store, START_MS, "w").unwrap();
    assert_eq!(collect_withdrawals(&store, START_MS + KEPT_MS + 1), 0);
    assert_eq!(collect_withdrawals(&store, START_MS + KEPT_MS + 300_000), 1);
}

#[test]
fn whatever_comes_in_between_a_number_acts_once() {
    type Meanwhile = fn(&Memory);
    let now = START_MS + KEPT_MS + DAY_MS;
    let acts: [Meanwhile; 5] = [
        |store| {
            let told = told_of(store, START_MS + KEPT_MS, None);
            assert!(told[0][0] == Ok(State::Posted) || told[0][0] == Err(Refusal::TooOld));
        },
        |store| {
            let again = void(store, START_MS + KEPT_MS, "never", None);
            assert!(matches!(again, Err(Refusal::AlreadyVoided | Refusal::TooOld)));
        },
        |store| assert_eq!(post(store, START_MS + KEPT_MS, "held"), Ok(State::Posted)),
        |store| {
            collect_withdrawals(store, START_MS + KEPT_MS + DAY_MS);
        },
        |store| {
            earn(store, USER, "b", 5, START_MS + KEPT_MS);
        },
    ];
    for (act, meanwhile) in acts.into_iter().enumerate() {
        for commits in 0..6 {
            let store = Interrupted::default();
            end_all(store.memory(), None);
            store.interrupt(commits, meanwhile);
            let context = at(&store, now);
            let partitions = [context.home(USER)];
            done(collect::withdrawals(&context, &partitions, &terms(now))).unwrap();
            if !store.was_interrupted() {
                assert!(commits > 2, "{act}");
                continue;
            }
            let memory = store.memory();
            collect_withdrawals(memory, now);
            check(memory);
            let told = told_of(memory, now, None);
            let after = [Err(Refusal::TooOld), Err(Refusal::NotFound), Err(Refusal::TooOld)];
            assert!(told.iter().all(|one| *one == after), "{act} {commits}: {told:?}");
            check(memory);
        }
    }
}

#[test]
fn a_crash_leaves_all_or_nothing_and_a_dry_run_all() {
    let now = START_MS + KEPT_MS + DAY_MS;
    for commits in 0..6 {
        let memory = ended(None);
        let store = Crashing { memory: &memory, commits: commits.into() };
        let context = at(&store, now);
        let partitions = [context.home(USER)];
        drop(done(collect::withdrawals(&context, &partitions, &terms(now))));
        check(&memory);
        collect_withdrawals(&memory, now);
        check(&memory);
        assert!(look(&memory, now, "posted").is_none() && look(&memory, now, "held").is_some());
    }
    let memory = ended(None);
    let context = at(&memory, now);
    let partitions = [context.home(USER)];
    let dry = Terms { dry_run: true, ..terms(now) };
    let (_, would) = done(collect::withdrawals(&context, &partitions, &dry)).unwrap();
    assert_eq!(would.gone["withdrawals"], 5);
    assert_eq!(collect_withdrawals(&memory, now), 5);
}

#[test]
fn one_that_cannot_be_read_keeps_no_other() {
    let store = ended(None);
    let home = at(&store, 0).home(USER);
    let garbage = Value::Bytes(vec![0xff]);
    damage(&store, home, vec![Write::Set(records::withdrawals(USER), "voided".into(), garbage)]);
    let now = START_MS + KEPT_MS + DAY_MS;
    let context = at(&store, now);
    let (swept, collected) = done(collect::withdrawals(&context, &[home], &terms(now))).unwrap();
    assert_eq!(collected.gone["withdrawals"], 4);
    assert_eq!(swept.set_aside.len(), 1, "{swept:?}");
}

//! Whatever goes wrong at whatever host call: the answer is right, or a 503 that says why, or the
//! client has lost the connection; and asking again gives the right state. Nobody is ever marked who
//! did not pay.

use std::collections::BTreeSet;

use end_to_end::app::{Ask, Place, check, check_many, mark_paid, not_loaded, order_paid};
use end_to_end::patient::{Patient, TIMEOUT_MS, ask};
use end_to_end::seed::{Named, seeds};
use futures::future::join_all;
use host::{
    App, Call, Fault, Faults, Options, Random, Run, Schedule, Simulated, exhaust, simulate,
};

use crate::hunt::hunt_with;

/// Nobody ever says that they paid.
const NEVER: [u64; 4] = [6, 8, 999, u64::MAX - 1];

/// What is done under faults.
#[derive(Clone, Copy)]
struct Scenario {
    /// Has paid before.
    paid: &'static [u64],
    /// What is asked.
    asked: fn() -> Ask,
    /// Whom it marks.
    marks: &'static [u64],
}

async fn play(app: App, scenario: Scenario) {
    let mut client = Patient::new(&app, 1);
    let reply = client.until_answered(&(scenario.asked)()).await;
    match reply.status {
        204 => assert!(!scenario.marks.is_empty()),
        _ if reply.json().get("users").is_some() => {
            for (user, new) in reply.are_new() {
                assert_eq!(new, !scenario.paid.contains(&user), "{reply:?}");
            }
        }
        _ => assert_eq!(reply.is_new(), scenario.paid.is_empty(), "{reply:?}"),
    }
    let marked = scenario.paid.iter().chain(scenario.marks);
    let users: Vec<u64> = marked.clone().copied().chain(NEVER).collect();
    let expected: Vec<_> = users.iter().map(|user| (*user, NEVER.contains(user))).collect();
    let reply = client.until_answered(&check_many(&users)).await;
    assert_eq!(reply.are_new(), expected);
    if let Some(user) = marked.last() {
        assert!(!client.until_answered(&check(*user)).await.is_new());
    }
}

fn with_time_out(place: &Place) -> Options {
    place.options().variable("store_timeout_ms", TIMEOUT_MS.to_string())
}

/// Each call of the scenario with each fault: on a store without anything in it, and on one in which
/// both components have been at work.
#[track_caller]
fn hunt(name: &str, scenario: Scenario) {
    for place in Place::all() {
        for warm in [false, true] {
            let options = |run: &Run| {
                // So that each run makes the same calls.
                place.forget_scripts();
                let mut options = with_time_out(&place).variable("key_prefix", prefix(warm, run));
                options.random = Random::Seeded(7);
                options
            };
            let named = format!("{name}, warm {warm}");
            let done = hunt_with(&named, &place, options, |app, _| async move {
                for user in scenario.paid {
                    assert_eq!(order_paid(*user).of(&app).await.status, 204);
                }
                if warm {
                    assert_eq!(order_paid(1_000_000).of(&app).await.status, 204);
                    assert!(check(2_000_000).of(&app).await.is_new());
                }
                app.set_up_done();
                play(app, scenario).await;
            });
            let calls = done.calls.len();
            let trips = done.calls.iter().filter(|call| call.call.is_store_round_trip()).count();
            assert!(trips >= 2, "the store was asked: {:?}", done.calls);
            assert!(done.runs > 5 * calls, "{done:?}");
        }
    }
}

fn prefix(warm: bool, run: &Run) -> String {
    format!("{}{}", if warm { "warm" } else { "cold" }, run.number)
}

#[test]
fn a_check_of_a_new_user() {
    hunt("check", Scenario { paid: &[], asked: || check(7), marks: &[] });
}

#[test]
fn a_check_of_one_who_paid() {
    hunt("check, paid", Scenario { paid: &[7], asked: || check(7), marks: &[] });
}

#[test]
fn a_paid_order() {
    hunt("order.paid", Scenario { paid: &[], asked: || order_paid(7), marks: &[7] });
}

#[test]
fn a_backfill() {
    const USERS: &[u64] = &[0, 7, 263, 99_999_999, 652_024_209_997_893_632, u64::MAX];
    hunt("mark-paid", Scenario { paid: &[], asked: || mark_paid(USERS), marks: USERS });
}

#[test]
fn a_check_of_many() {
    const PAID: &[u64] = &[7, 652_024_209_997_893_632];
    let asked = || check_many(&[6, 7, 8, 7, 652_024_209_997_893_632, 999, u64::MAX - 1]);
    hunt("check-new", Scenario { paid: PAID, asked, marks: &[] });
}

/// Whatever call to Redis is late, before or after its effect: the client waits no longer than the
/// time-out of each call that its request makes one after the other, of which only one is late.
#[test]
fn a_late_store_is_a_503_within_the_time_out() {
    let place = Place::redis();
    let late = [Fault::DelayBefore { ms: 60_000 }, Fault::DelayAfter { ms: 60_000 }];
    let options = |run: &Run| {
        place.forget_scripts();
        with_time_out(&place).variable("key_prefix", prefix(true, run))
    };
    let done = exhaust(&late, options, |app, run| async move {
        app.set_up_done();
        let hit = run.hit.as_ref().map(|(call, _)| call.call);
        for asked in [order_paid(7), check(7), order_paid(7), check(7)] {
            let before_ms = app.now_ms();
            let reply = ask(&app, &asked).await;
            let took_ms = app.now_ms() - before_ms;
            match hit {
                None => assert_eq!(took_ms, 0),
                Some(Call::RedisOpen | Call::RedisExecute) => {
                    assert!(took_ms <= 2 * TIMEOUT_MS, "{took_ms} ms: {reply:?}");
                }
                // The components' own variables and clock: no store is late.
                Some(_) => assert!(reply.is_some()),
            }
        }
    });
    let done = done.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    assert!(done.calls.iter().any(|call| call.call == Call::RedisOpen), "{done:?}");
}

/// Clients of a simulation, each with users of its own.
const CLIENTS: u64 = 8;
const USERS_EACH: u64 = 3;
/// Attempts until an answer must be there: a run without end would be one that cannot fail.
const ATTEMPTS_MAX: u32 = 100;
const SIMULATIONS: u64 = 200;

/// What one client knows at the end: who was acknowledged, and who was only tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    acknowledged: BTreeSet<u64>,
    tried: BTreeSet<u64>,
}

/// The user of a client; all clients meet in the same few partitions.
fn user(client: u64, number: u64) -> u64 {
    (client << 30) | (number << 8)
}

/// Marks two users of three, each with one attempt more than the last, and looks what is there.
async fn client(app: &App, number: u64) -> Known {
    let mut known = Known::default();
    for index in 0..USERS_EACH {
        let user = user(number, index);
        if let Some(reply) = ask(app, &check(user)).await {
            assert!(reply.is_new(), "user {user} is not new before anything was said");
        }
        for _ in 0..index {
            known.tried.insert(user);
            let asked =
                if number.is_multiple_of(2) { order_paid(user) } else { mark_paid(&[user]) };
            if ask(app, &asked).await.is_some() {
                known.acknowledged.insert(user);
            }
            if let Some(reply) = ask(app, &check(user)).await {
                let acknowledged = known.acknowledged.contains(&user);
                assert!(!(acknowledged && reply.is_new()), "user {user} was forgotten");
            }
        }
    }
    known
}

async fn settled(app: &App, user: u64) -> bool {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(reply) = ask(app, &check(user)).await {
            return reply.is_new();
        }
    }
    panic!("user {user}: no answer in {ATTEMPTS_MAX} attempts");
}

async fn many_clients(app: App) -> Vec<Known> {
    let known = join_all((0..CLIENTS).map(|number| client(&app, number))).await;
    for (number, known) in (0..).zip(&known) {
        for index in 0..USERS_EACH {
            let user = user(number, index);
            let new = settled(&app, user).await;
            let acknowledged = known.acknowledged.contains(&user);
            assert!(!(acknowledged && new), "user {user} was acknowledged and is new");
            let tried = known.tried.contains(&user);
            assert!(tried || new, "user {user} never paid and is not new");
        }
    }
    known
}

fn by_chance(place: &Place, seed: u64) -> Options {
    let mut options = with_time_out(place);
    options.schedule = Schedule::Seeded(seed);
    options.random = Random::Seeded(seed);
    options.faults = Faults {
        seed,
        error_before: 0.02,
        lost_reply: 0.02,
        delay_before: 0.02,
        delay_after: 0.02,
        crash_before: 0.01,
        crash_after: 0.01,
        cancel: 0.01,
        delay_ms_max: 2 * TIMEOUT_MS,
        ..Faults::default()
    };
    options
}

fn run(options: Options) -> Simulated<Vec<Known>> {
    let simulated = simulate(options, many_clients);
    simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)))
}

#[test]
fn who_was_acknowledged_is_marked_and_nobody_else_whatever_fails() {
    let place = Place::redis();
    let (mut faults, mut lost, mut acknowledged) = (0, 0, 0);
    for first in seeds() {
        for seed in (first..).take(SIMULATIONS as usize / 2) {
            for place in [&Place::Kv, &place] {
                let _named = Named::test(seed);
                let stage = format!("s{:x}", seed & 0xffff_ffff);
                let simulated = run(by_chance(place, seed).variable("stage", stage));
                faults += simulated.trace.iter().filter(|call| call.fault.is_some()).count();
                for known in simulated.result {
                    acknowledged += known.acknowledged.len();
                    lost += known.tried.difference(&known.acknowledged).count();
                }
            }
        }
    }
    println!("{faults} faults; {acknowledged} users acknowledged, {lost} left open");
    assert!(acknowledged > 0 && lost > 0, "both happened");
}

#[test]
fn a_seed_repeats_its_run() {
    for kind in [|| Place::Kv, Place::redis] {
        let runs = [1, 1, 2].map(|seed| run(by_chance(&kind(), seed)));
        let [first, same, other] = &runs;
        assert_eq!(first.released, same.released);
        assert_eq!(first.trace, same.trace);
        assert_eq!(first.result, same.result);
        assert_ne!(first.released, other.released);
    }
}

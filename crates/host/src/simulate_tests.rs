//! The gate under control: what each fault does, that delays happen in virtual time, and that the
//! same seed gives the same order.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::call::Call;
use crate::calls::{Broken, Control, Gate, Outcome};
use crate::options::Time;

/// A guest's error.
#[derive(Debug, PartialEq, Eq)]
struct Failed;

impl Broken for Failed {
    fn broken(_: Call) -> Option<Self> {
        Some(Self)
    }
}

/// A gate with a schedule, and a counter that its calls add to.
struct World {
    gate: Gate,
    effects: Arc<AtomicU64>,
    clock: Arc<Clock>,
    scheduler: Arc<Scheduler>,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Arc<Self> {
        let clock = Arc::new(Clock::new(Time::Seeded { start_ms: 0 }));
        let scheduler = Arc::new(Scheduler::new(seed));
        let control = Control::new(faults, Arc::clone(&clock), Some(Arc::clone(&scheduler)));
        Arc::new(Self { gate: Gate::new(Some(control)), effects: Arc::default(), clock, scheduler })
    }

    async fn call(&self, name: &str) -> Outcome<u64, Failed> {
        self.call_of(Call::RedisExecute, name).await
    }

    async fn call_of(&self, call: Call, name: &str) -> Outcome<u64, Failed> {
        let effects = Arc::clone(&self.effects);
        let effect =
            move || std::future::ready(Ok(Ok(effects.fetch_add(1, Ordering::Relaxed) + 1)));
        let name = name.to_owned();
        self.gate.pass(call, || name, effect).await
    }

    fn control(&self) -> &Control {
        self.gate.control.as_ref().expect("a control")
    }

    fn effects(&self) -> u64 {
        self.effects.load(Ordering::Relaxed)
    }
}

fn run_in<R: Send + 'static>(
    world: &Arc<World>,
    scenario: impl Future<Output = R> + Send + 'static,
) -> R {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(u32::MAX)
        .build()
        .expect("a runtime");
    runtime.block_on(async { drive(&world.scheduler, &world.clock, tokio::spawn(scenario)).await })
}

/// Makes one call with the fault and says what the guest sees, how many effects there are then, and
/// at what virtual time in milliseconds.
#[track_caller]
fn check(fault: Fault, seen: &str, effects: u64, ms: u64) {
    let world = World::new(1, Faults::at(1, fault));
    let outcome = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            match world.call("x").await {
                Ok(result) => format!("{result:?}"),
                Err(trap) => trap.to_string(),
            }
        }
    });
    assert_eq!(outcome, seen, "{fault:?}");
    assert_eq!(world.effects(), effects, "{fault:?}");
    assert_eq!(world.clock.monotonic_ns() / 1_000_000, ms, "{fault:?}");
    assert_eq!(world.gate.counters().of(Call::RedisExecute), 1);
}

#[test]
fn each_fault_does_what_it_says() {
    check(Fault::ErrorBefore, "Err(Failed)", 0, 0);
    check(Fault::LostReply, "Err(Failed)", 1, 0);
    check(Fault::DelayBefore { ms: 20 }, "Ok(1)", 1, 20);
    check(Fault::DelayAfter { ms: 20 }, "Ok(1)", 1, 20);
    let before = "injected crash before host call 1 redis execute x";
    check(Fault::CrashBefore, before, 0, 0);
    let after = "injected crash after host call 1 redis execute x";
    check(Fault::CrashAfter, after, 1, 0);
    check(Fault::Cancel, "Ok(1)", 1, 0);
    check(Fault::Duplicate, "Ok(2)", 2, 0);
    check(Fault::DuplicateLater { ms: 20 }, "Ok(1)", 1, 0);
}

#[test]
fn a_later_duplicate_has_its_effect_when_its_time_has_come() {
    let world = World::new(1, Faults::at(1, Fault::DuplicateLater { ms: 50 }));
    let seen = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            world.call("x").await.expect("no trap").expect("no error");
            let once = world.effects();
            world.clock.sleep_ms(100).await;
            (once, world.effects())
        }
    });
    assert_eq!(seen, (1, 2));
}

#[test]
fn only_the_planned_call_is_hit() {
    let world = World::new(1, Faults::at(2, Fault::LostReply));
    let results = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            let mut results = Vec::new();
            for name in ["a", "b", "c"] {
                results.push(world.call(name).await.expect("no trap"));
            }
            results
        }
    });
    assert_eq!(results, [Ok(1), Err(Failed), Ok(3)]);
}

#[test]
fn a_late_call_takes_effect_after_its_guest_has_given_it_up() {
    let world = World::new(1, Faults::at(1, Fault::DelayBefore { ms: 50 }));
    let seen = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            tokio::select! {
                biased;
                _ = world.call("x") => panic!("the call is later than the patience"),
                () = world.clock.sleep_ms(10) => {}
            }
            let given_up = world.effects();
            world.clock.sleep_ms(100).await;
            (given_up, world.effects())
        }
    });
    assert_eq!(seen, (0, 1));
}

#[test]
fn cancel_takes_the_oldest_request() {
    let world = World::new(1, Faults::at(1, Fault::Cancel));
    let cancelled = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            let control = world.control();
            let (first, mut one) = control.request_started();
            let (second, mut two) = control.request_started();
            world.call("x").await.expect("no trap").expect("no error");
            control.request_ended(first);
            control.request_ended(second);
            (one.try_recv().is_ok(), two.try_recv().is_ok())
        }
    });
    assert_eq!(cancelled, (true, false));
}

fn by_chance(seed: u64) -> Faults {
    Faults {
        seed,
        error_before: 0.1,
        lost_reply: 0.1,
        delay_before: 0.1,
        delay_after: 0.1,
        delay_ms_max: 30,
        ..Faults::default()
    }
}

/// Eight tasks of five calls each, with faults by chance; gives the order of the effects.
fn order(seed: u64) -> (Vec<String>, Vec<TracedCall>) {
    order_under(seed, by_chance(seed))
}

fn order_under(seed: u64, faults: Faults) -> (Vec<String>, Vec<TracedCall>) {
    let world = World::new(seed, faults);
    run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            let tasks = (0..8).map(|task| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    for call in 0..5 {
                        // Whatever a fault made of it: only the order counts here.
                        let _ = world.call(&format!("{task}.{call}")).await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
        }
    });
    (world.scheduler.released(), world.control().trace())
}

#[test]
fn a_plan_of_what_was_injected_repeats_a_run() {
    for seed in 0..20 {
        let by_chance = order(seed);
        let injected = by_chance.1.iter().filter_map(|call| Some((call.number, call.fault?)));
        let plan = Faults { plan: injected.collect(), ..Faults::default() };
        assert!(!plan.plan.is_empty(), "seed {seed}");
        assert_eq!(order_under(seed, plan), by_chance, "seed {seed}");
    }
}

/// The faults of the calls of a task, by number, the first so many of which are of a kind that cannot
/// fail by chance.
fn faults_after(spared: u64, calls: u64) -> Vec<(u64, Fault)> {
    let faults = Faults { calls: vec![Call::RedisExecute], ..by_chance(7) };
    let world = World::new(1, faults);
    run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            for number in 1..=calls {
                let kind = if number <= spared { Call::KeyValueGet } else { Call::RedisExecute };
                // Whatever a fault made of it: only the choice counts here.
                let _ = world.call_of(kind, "x").await;
            }
        }
    });
    let injected = world.control().faults_injected();
    injected.iter().filter_map(|call| Some((call.number, call.fault?))).collect()
}

#[test]
fn the_fault_of_a_call_depends_on_no_other_choice() {
    let mut expected = faults_after(0, 200);
    assert!(expected.len() > 40, "{expected:?}");
    for spared in 0..100 {
        expected.retain(|(number, _)| *number > spared);
        assert_eq!(faults_after(spared, 200), expected, "after {spared} others");
    }
}

#[test]
fn what_was_injected_is_told_and_the_rest_is_not() {
    let world = World::new(1, Faults::at(2, Fault::LostReply));
    run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            for name in ["a", "b", "c"] {
                let _ = world.call(name).await.expect("no trap");
            }
        }
    });
    let (call, detail) = (Call::RedisExecute, "b".to_owned());
    let expected = TracedCall { number: 2, call, detail, fault: Some(Fault::LostReply) };
    assert_eq!(world.control().faults_injected(), [expected]);
}

#[test]
fn once_faults_are_stopped_none_is_injected_and_what_is_late_still_happens() {
    let late = Faults {
        plan: [(1, Fault::DuplicateLater { ms: 50 }), (3, Fault::LostReply)].into(),
        error_before: 1.0,
        ..Faults::default()
    };
    let world = World::new(1, late);
    let seen = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            let mut results = Vec::new();
            for call in 1..=4 {
                if call == 3 {
                    world.control().stop_faults();
                }
                results.push(world.call("x").await.expect("no trap"));
            }
            world.clock.sleep_ms(100).await;
            (results, world.effects())
        }
    });
    assert_eq!(seen, (vec![Ok(1), Err(Failed), Ok(2), Ok(3)], 4));
    let injected = world.control().faults_injected();
    assert_eq!(injected.iter().map(|call| call.number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn chance_gives_a_call_no_fault_that_it_cannot_have() {
    let rows = [
        (Call::ClockWait, Faults { lost_reply: 1.0, ..Faults::default() }),
        (Call::VariablesGet, Faults { duplicate: 1.0, ..Faults::default() }),
    ];
    for (call, faults) in rows {
        let world = World::new(1, faults);
        let result = run_in(&world, {
            let world = Arc::clone(&world);
            async move { world.call_of(call, "x").await }
        });
        assert_eq!(result.expect("no trap"), Ok(1), "{call:?}");
        assert!(world.control().faults_injected().is_empty(), "{call:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_order_and_the_same_faults() {
    for seed in 0..20 {
        assert_eq!(order(seed), order(seed), "seed {seed}");
    }
    let (first, trace) = order(1);
    assert_eq!(first.len(), 40);
    assert!(trace.iter().any(|call| call.fault.is_some()));
    assert!((2..20).any(|seed| order(seed).0 != first));
}

#[test]
fn chance_hits_only_the_chosen_kinds() {
    let faults = Faults { calls: vec![Call::KeyValueGet], error_before: 1.0, ..Faults::default() };
    let world = World::new(1, faults);
    let result = run_in(&world, {
        let world = Arc::clone(&world);
        async move { world.call("x").await }
    });
    assert_eq!(result.expect("no trap"), Ok(1));
}

#[test]
fn calls_take_effect_one_at_a_time() {
    let world = World::new(3, Faults::default());
    let overlaps = run_in(&world, {
        let world = Arc::clone(&world);
        async move {
            let running = Arc::new(AtomicU64::new(0));
            let most = Arc::new(AtomicU64::new(0));
            let tasks = (0..6).map(|task: u64| {
                let (world, running) = (world.clone(), running.clone());
                let most = Arc::clone(&most);
                tokio::spawn(async move {
                    let effect = move || {
                        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                        async move {
                            let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                            most.fetch_max(now, Ordering::Relaxed);
                            yield_now().await;
                            running.fetch_sub(1, Ordering::Relaxed);
                            Ok(Ok::<(), Failed>(()))
                        }
                    };
                    let detail = || task.to_string();
                    world.gate.pass(Call::RedisExecute, detail, effect).await
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                let outcome = task.await.expect("no panic");
                outcome.expect("no trap").expect("no error");
            }
            most.load(Ordering::Relaxed)
        }
    });
    assert_eq!(overlaps, 1);
}

//! Runs that repeat: one thread, virtual time, and host calls that take effect one at a time in an
//! order that a seed decides; and the exhaustive hunt for what a fault at each of them does.
//!
//! The order is decided only when nothing else can run. A runtime with a single thread polls its main
//! future, once it has yielded, only after every task has come to rest; the driver here is that main
//! future, and the scenario a task. It then releases one parked call, waits until the call is over,
//! real input and output included, and lets everything come to rest again; a call whose instance is
//! held by another call goes on when that one was released. When no call is parked, the clock moves
//! to the next timer.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::{JoinHandle, yield_now};

use crate::app::{App, LoadError};
use crate::calls::TracedCall;
use crate::clock::Clock;
use crate::options::{Fault, Faults, Options, Schedule};
use crate::schedule::Scheduler;

/// Real time without any progress after which a simulation is given up: longer than any local store
/// takes to answer.
const STANDSTILL_TIMEOUT: Duration = Duration::from_secs(60);

/// A finished simulation.
#[derive(Clone, Debug)]
pub struct Simulated<R> {
    /// What the scenario returned.
    pub result: R,
    /// The host calls in the order in which the guests made them.
    pub trace: Vec<TracedCall>,
    /// The host calls in the order in which they took effect. Two simulations of the same scenario
    /// with the same seeds have the same.
    pub released: Vec<String>,
}

/// Loads a fresh app and runs the scenario on it, on a runtime of its own; so it is called from
/// plain tests, not from asynchronous ones. A schedule that is not seeded is taken to have seed 0.
///
/// The scenario may run requests concurrently. Input and output that it does by itself, past the
/// app, is not part of the order.
///
/// # Panics
///
/// With the scenario's own panic, and when nothing can make progress any more.
pub fn simulate<R, F>(
    mut options: Options,
    scenario: impl FnOnce(App) -> F,
) -> Result<Simulated<R>, LoadError>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    if options.schedule == Schedule::Real {
        options.schedule = Schedule::Seeded(0);
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        // The runtime would otherwise return to its main future in the midst of the tasks' work.
        .event_interval(u32::MAX)
        .build()
        .expect("the system has threads and files enough for a runtime");
    runtime.block_on(async {
        let app = App::load(options).await?;
        let scheduler = app.scheduler().expect("the schedule is seeded");
        let task = tokio::spawn(scenario(app.clone()));
        let result = drive(&scheduler, &app.clock(), task).await;
        Ok(Simulated { result, trace: app.trace(), released: scheduler.released() })
    })
}

/// Releases parked calls and moves the clock until the scenario is done.
async fn drive<R>(scheduler: &Arc<Scheduler>, clock: &Arc<Clock>, mut task: JoinHandle<R>) -> R {
    let Clock::Virtual(time) = &**clock else {
        unreachable!("a seeded schedule has virtual time");
    };
    loop {
        yield_now().await;
        if task.is_finished() {
            break;
        }
        if let Some(released) = scheduler.release_one() {
            yield_now().await;
            if !released.is_taken() {
                // It goes on when the call that holds its instance has had its turn.
                continue;
            }
            let ended = tokio::time::timeout(STANDSTILL_TIMEOUT, released.over).await;
            assert!(ended.is_ok(), "a host call does not end: {scheduler:?}");
            continue;
        }
        if time.advance_to_next() {
            continue;
        }
        tokio::select! {
            biased;
            result = &mut task => return finish(result),
            () = scheduler.changed.notified() => {}
            () = time.changed.notified() => {}
            () = tokio::time::sleep(STANDSTILL_TIMEOUT) => {
                panic!("nothing can make progress any more: {scheduler:?}");
            }
        }
    }
    finish(task.await)
}

fn finish<R>(result: Result<R, tokio::task::JoinError>) -> R {
    result.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// One run of an exhaustive hunt.
#[derive(Clone, Debug)]
pub struct Run {
    /// Counted from 0; makes names that no other run uses.
    pub number: usize,
    /// The call that is hit and its fault; `None` in the first run, which only counts.
    pub hit: Option<(TracedCall, Fault)>,
}

/// What an exhaustive hunt did.
#[derive(Clone, Debug)]
pub struct Exhausted {
    /// The calls that were hit, from the first run.
    pub calls: Vec<TracedCall>,
    /// How often the scenario ran, the first run included.
    pub runs: usize,
    /// Each call was hit by one in so many of the faults.
    pub share: usize,
}

/// Every kind of fault, with a delay that is longer than any patience.
pub const ALL_FAULTS: [Fault; 9] = [
    Fault::ErrorBefore,
    Fault::LostReply,
    Fault::DelayBefore { ms: 60_000 },
    Fault::DelayAfter { ms: 60_000 },
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Cancel,
    Fault::Duplicate,
    Fault::DuplicateLater { ms: 60_000 },
];

/// Runs the scenario once to learn its host calls, then once for each call and each of the faults,
/// each time on a fresh app. The scenario asserts; a run in which it panics is named on standard error
/// before the panic goes on.
///
/// Calls made before the scenario calls [`App::set_up_done`], or after [`App::scenario_done`], are not
/// hit. A fault that a call cannot have is left out: an error of a clock, a duplicate of what does not
/// reach a store.
pub fn exhaust<F>(
    faults: &[Fault],
    options: impl Fn(&Run) -> Options,
    scenario: impl Fn(App, Run) -> F,
) -> Result<Exhausted, LoadError>
where
    F: Future<Output = ()> + Send + 'static,
{
    exhaust_share(faults, |_| 1, options, scenario)
}

/// The same with a share of the faults, by the number of calls: each call is hit by one in so many of them, by turns, so that
/// every fault hits as many calls as every other one.
pub fn exhaust_share<F>(
    faults: &[Fault],
    share: impl Fn(usize) -> usize,
    options: impl Fn(&Run) -> Options,
    scenario: impl Fn(App, Run) -> F,
) -> Result<Exhausted, LoadError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let first = Run { number: 0, hit: None };
    let counted = run(&options, &scenario, first)?;
    let share = share(counted.len()).max(1);
    let mut runs = 1;
    for (place, call) in counted.iter().enumerate() {
        let chosen = faults.iter().skip(place % share).step_by(share);
        for fault in chosen.filter(|fault| fault.applies_to(call.call)) {
            let hit = Some((call.clone(), *fault));
            run(&options, &scenario, Run { number: runs, hit })?;
            runs += 1;
        }
    }
    Ok(Exhausted { calls: counted, runs, share })
}

fn run<F>(
    options: &impl Fn(&Run) -> Options,
    scenario: &impl Fn(App, Run) -> F,
    run: Run,
) -> Result<Vec<TracedCall>, LoadError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut options = options(&run);
    if let Some((call, fault)) = &run.hit {
        // The clocks stay as they were in the run that counted.
        let Faults { plan, .. } = Faults::at(call.number, *fault);
        options.faults = Faults { plan, ..options.faults.of_clocks() };
    }
    let named = Named(&run);
    let simulated = simulate(options, |app| {
        let done = scenario(app.clone(), run.clone());
        async move {
            done.await;
            app.calls_of_scenario()
        }
    })?;
    drop(named);
    let scenario = simulated.result;
    Ok(simulated.trace.into_iter().filter(|call| scenario.contains(&call.number)).collect())
}

/// Names the run when the scenario panics.
struct Named<'a>(&'a Run);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            match &self.0.hit {
                None => eprintln!("exhaustive run 0, without a fault, failed"),
                Some((call, fault)) => {
                    eprintln!("exhaustive run {}: {fault:?} at call {call} failed", self.0.number);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;

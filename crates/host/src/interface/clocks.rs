//! `wasi:clocks`, on the app's clock.

use std::convert::Infallible;

use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi::p3::bindings::clocks::{monotonic_clock, system_clock, types};

use crate::call::Call;
use crate::clock::RESOLUTION_NS;
use crate::instance::Instance;

/// Stands for our clocks in wasmtime's traits, which ask for a type of this crate.
struct OwnClocks;

impl HasData for OwnClocks {
    type Data<'a> = &'a mut Instance;
}

pub(super) fn add_to_linker(linker: &mut Linker<Instance>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, OwnClocks>(linker, |instance| instance)?;
    monotonic_clock::add_to_linker::<_, OwnClocks>(linker, |instance| instance)?;
    system_clock::add_to_linker::<_, OwnClocks>(linker, |instance| instance)
}

impl types::Host for Instance {}

impl system_clock::Host for Instance {
    fn now(&mut self) -> wasmtime::Result<system_clock::Instant> {
        let now = self.shared.clock.system_off_by(self.clock_skew_ms());
        Ok(system_clock::Instant {
            seconds: i64::try_from(now.as_secs())?,
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn get_resolution(&mut self) -> wasmtime::Result<types::Duration> {
        Ok(RESOLUTION_NS)
    }
}

impl monotonic_clock::Host for Instance {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Mark> {
        Ok(self.shared.clock.monotonic_ns())
    }

    fn get_resolution(&mut self) -> wasmtime::Result<types::Duration> {
        Ok(RESOLUTION_NS)
    }
}

impl<T: Send> monotonic_clock::HostWithStore<T> for OwnClocks {
    async fn wait_until(
        accessor: &Accessor<T, Self>,
        when: monotonic_clock::Mark,
    ) -> wasmtime::Result<()> {
        let now = accessor.with(|mut access| access.get().shared.clock.monotonic_ns());
        wait(accessor, when.saturating_sub(now)).await
    }

    async fn wait_for(
        accessor: &Accessor<T, Self>,
        duration: types::Duration,
    ) -> wasmtime::Result<()> {
        wait(accessor, duration).await
    }
}

async fn wait<T: Send>(
    accessor: &Accessor<T, OwnClocks>,
    duration_ns: u64,
) -> wasmtime::Result<()> {
    let shared = accessor.with(|mut access| access.get().shared.clone());
    let clock = shared.clock.clone();
    let detail = || format!("{} ms", duration_ns / 1_000_000);
    let outcome = shared.gate.pass(Call::ClockWait, detail, move || {
        let clock = clock.clone();
        async move {
            clock.sleep_ns(duration_ns).await;
            Ok(Ok::<_, Infallible>(()))
        }
    });
    outcome.await.map(|Ok(())| ())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use wasmtime::{Engine, Store};

    use super::*;
    use crate::calls::{Control, Gate};
    use crate::clock::Clock;
    use crate::instance::{Activity, Component, Shared, new_store};
    use crate::key_value;
    use crate::log::Log;
    use crate::options::{Faults, KeyValue, Random, Stderr, Time};
    use crate::server_clock::ServerClock;

    const START_MS: u64 = 1_700_000_000_000;
    const SKEW_MS_MAX: u64 = 600_000;
    const INSTANCES: usize = 300;

    fn skewed(seed: u64) -> Faults {
        Faults { seed, clock_skew_ms_max: SKEW_MS_MAX, ..Faults::default() }
    }

    /// What the instances of an app share, in a time that stands still.
    fn shared(faults: Faults) -> Arc<Shared> {
        let clock = Arc::new(Clock::new(Time::Seeded { start_ms: START_MS }));
        let control = faults.any().then(|| Control::new(faults, Arc::clone(&clock), None));
        let gate = Gate::new(control);
        Arc::new(Shared {
            server_clock: Arc::new(ServerClock::new(Arc::clone(&clock), gate.control.clone())),
            gate,
            clock,
            log: Log::new(Stderr::Inherit),
            store: key_value::open(&KeyValue::Memory).expect("memory can be had"),
            random: Random::Real,
            fuel: false,
            activity: Activity::default(),
        })
    }

    /// New instances of a component.
    fn instances(shared: &Arc<Shared>) -> Vec<Store<Instance>> {
        let component = Arc::new(Component {
            id: "test".to_owned(),
            variables: crate::variables::Values::new(),
            asked: std::sync::Mutex::default(),
            stores: BTreeSet::new(),
            hosts: Vec::new(),
        });
        let engine = Engine::default();
        (0..INSTANCES).map(|_| new_store(&engine, shared, &component)).collect()
    }

    /// By how many milliseconds the clock of each instance is ahead of the app's.
    fn ahead_ms(instances: &mut [Store<Instance>]) -> Vec<i64> {
        let ahead = |store: &mut Store<Instance>| {
            let now = system_clock::Host::now(store.data_mut()).expect("there is a time");
            let ms = now.seconds * 1_000 + i64::from(now.nanoseconds / 1_000_000);
            ms - i64::try_from(START_MS).expect("it is small")
        };
        instances.iter_mut().map(ahead).collect()
    }

    #[test]
    fn system_clocks_of_instances_differ_within_the_bound_and_monotonic_ones_do_not() {
        let mut instances = instances(&shared(skewed(1)));
        let ahead = ahead_ms(&mut instances);
        let max = i64::try_from(SKEW_MS_MAX).expect("it is small");
        assert!(ahead.iter().all(|ms| (-max..=max).contains(ms)), "{ahead:?}");
        assert!(ahead.iter().any(|ms| *ms < -max * 9 / 10), "{ahead:?}");
        assert!(ahead.iter().any(|ms| *ms > max * 9 / 10), "{ahead:?}");
        let right = ahead.iter().filter(|ms| **ms == 0).count();
        assert!((INSTANCES / 4..INSTANCES / 2).contains(&right), "{right} are right");
        for store in &mut instances {
            let now = monotonic_clock::Host::now(store.data_mut()).expect("there is a time");
            assert_eq!(now, 0);
        }
    }

    #[test]
    fn the_seed_decides_how_clocks_differ() {
        let of = |seed| ahead_ms(&mut instances(&shared(skewed(seed))));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn without_skew_all_clocks_are_right() {
        let broken = Faults { seed: 1, error_before: 0.5, ..Faults::default() };
        for faults in [Faults::default(), broken] {
            let ahead = ahead_ms(&mut instances(&shared(faults.clone())));
            assert_eq!(ahead, vec![0; INSTANCES], "{faults:?}");
        }
    }

    #[test]
    fn all_clocks_may_be_ahead_by_as_much() {
        let faults = Faults { clock_ahead_ms: -600_000, ..Faults::default() };
        let ahead = ahead_ms(&mut instances(&shared(faults)));
        assert_eq!(ahead, vec![-600_000; INSTANCES]);
    }

    #[test]
    fn clocks_are_right_once_faults_have_stopped() {
        let shared = shared(skewed(1));
        let mut old = instances(&shared);
        shared.gate.control.as_ref().expect("there are faults").stop_faults();
        assert_eq!(ahead_ms(&mut old), vec![0; INSTANCES]);
        assert_eq!(ahead_ms(&mut instances(&shared)), vec![0; INSTANCES]);
    }
}

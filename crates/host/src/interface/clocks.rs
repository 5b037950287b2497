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
    monotonic_clock::add_to_linker::<_, OwnClocks>(linker, |instance| instance)?;
    system_clock::add_to_linker::<_, OwnClocks>(linker, |instance| instance)
}

impl types::Host for Instance {}

impl system_clock::Host for Instance {
    fn now(&mut self) -> wasmtime::Result<system_clock::Instant> {
        let now = self.shared.clock.system();
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

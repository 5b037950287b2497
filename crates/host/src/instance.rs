//! What belongs to one instance of a component, and how one is made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand::rngs::StdRng;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::calls::Gate;
use crate::clock::Clock;
use crate::hosts::AllowedHost;
use crate::key_value::{Cas, KeyValueStore};
use crate::log::Log;
use crate::options::Random;
use crate::server_clock::ServerClock;
use crate::variables::Values;

/// Redis connections that one instance may hold; Spin's number.
const CONNECTIONS_MAX: usize = 1024;
/// Open stores, and compare-and-swap handles, that one instance may hold; Spin's number.
const STORE_HANDLES_MAX: usize = 256;
/// Fuel that an instance starts with: never used up, only counted down.
const FUEL: u64 = u64::MAX;

/// What all instances of an app share.
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<Clock>,
    pub(crate) server_clock: Arc<ServerClock>,
    pub(crate) log: Log,
    pub(crate) store: Arc<dyn KeyValueStore>,
    pub(crate) random: Random,
    pub(crate) fuel: bool,
    pub(crate) activity: Activity,
}

/// How many instances are at work, kept only while fuel is counted: a response may be out before its
/// guest has returned, and what it still burns belongs to the request.
#[derive(Default)]
pub(crate) struct Activity {
    busy: AtomicUsize,
    changed: Notify,
}

impl Activity {
    pub(crate) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until no instance is at work.
    pub(crate) async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.busy.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// What all instances of a component share.
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) variables: Values,
    /// The variables that a guest has asked for, whether they were given or not.
    pub(crate) asked: Mutex<BTreeSet<String>>,
    pub(crate) stores: BTreeSet<String>,
    pub(crate) hosts: Vec<AllowedHost>,
}

/// The data of one instance's store.
pub(crate) struct Instance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) component: Arc<Component>,
    pub(crate) connections: Handles<MultiplexedConnection>,
    pub(crate) buckets: Handles<Arc<dyn KeyValueStore>>,
    pub(crate) cas: Handles<Arc<Cas>>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    fuel_left: u64,
    clock_skew_ms: i64,
}

/// Makes the store for a new instance, in the engine that its program was compiled by.
pub(crate) fn new_store(
    engine: &Engine,
    shared: &Arc<Shared>,
    component: &Arc<Component>,
) -> Store<Instance> {
    let number = shared.gate.instances.fetch_add(1, Ordering::Relaxed);
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(shared.log.clone()).stderr(shared.log.clone());
    if let Random::Seeded(seed) = shared.random {
        // Instances differ, and so do the generators of one instance.
        let generator = |stream: u64| StdRng::seed_from_u64(seed ^ ((number << 1 | stream) << 32));
        wasi.secure_random(generator(0))
            .insecure_random(generator(1))
            .insecure_random_seed(u128::from(seed) << 64 | u128::from(number));
    }
    let control = shared.gate.control.as_ref();
    let instance = Instance {
        shared: Arc::clone(shared),
        component: Arc::clone(component),
        connections: Handles::new(CONNECTIONS_MAX),
        buckets: Handles::new(STORE_HANDLES_MAX),
        cas: Handles::new(STORE_HANDLES_MAX),
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        hooks: Hooks,
        table: ResourceTable::new(),
        fuel_left: FUEL,
        clock_skew_ms: control.map_or(0, |control| control.clock_skew_ms(number)),
    };
    let mut store = Store::new(engine, instance);
    if shared.fuel {
        count_fuel(&mut store);
    }
    store
}

/// Adds to the app's counter what was used whenever the guest hands back control. Exact between
/// requests; within a request what is used since the last return is still missing.
fn count_fuel(store: &mut Store<Instance>) {
    store.set_fuel(FUEL).expect("this engine counts fuel, because the options say so");
    store.call_hook(|mut context, hook| {
        if matches!(hook, CallHook::ReturningFromWasm) {
            let left = context.get_fuel()?;
            let instance = context.data_mut();
            let used = instance.fuel_left.saturating_sub(left);
            instance.fuel_left = left;
            instance.shared.gate.fuel.fetch_add(used, Ordering::Relaxed);
        }
        Ok(())
    });
}

impl Instance {
    /// How far the instance's system clock is ahead of the app's, or behind where negative.
    pub(crate) fn clock_skew_ms(&self) -> i64 {
        match &self.shared.gate.control {
            Some(control) if !control.are_faults_stopped() => self.clock_skew_ms,
            _ => 0,
        }
    }
}

impl WasiView for Instance {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Instance {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Outbound HTTP is not supported by this host: every request is denied, as Spin denies a host that
/// the manifest does not allow.
struct Hooks;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = Result<
                    (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>),
                    Error,
                >,
            > + Send,
    > {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

/// A bounded table of things that a guest holds by number.
pub(crate) struct Handles<T> {
    slots: Vec<Option<T>>,
    held: usize,
    max: usize,
}

impl<T> Handles<T> {
    fn new(max: usize) -> Self {
        Self { slots: Vec::new(), held: 0, max }
    }

    /// `None` when the table is full.
    pub(crate) fn push(&mut self, value: T) -> Option<u32> {
        if self.held == self.max {
            return None;
        }
        self.held += 1;
        let free = self.slots.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(value);
        u32::try_from(index).ok()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(crate) fn remove(&mut self, number: u32) {
        let slot = usize::try_from(number).ok().and_then(|index| self.slots.get_mut(index));
        if slot.and_then(Option::take).is_some() {
            self.held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_bounded_and_numbers_used_again() {
        let mut handles = Handles::new(2);
        assert_eq!(handles.push('a'), Some(0));
        assert_eq!(handles.push('b'), Some(1));
        assert_eq!(handles.push('c'), None);
        handles.remove(0);
        handles.remove(0);
        assert_eq!(handles.get(0), None);
        assert_eq!(handles.push('d'), Some(0));
        assert_eq!(handles.get(0), Some(&'d'));
        assert_eq!(handles.get(7), None);
    }
}

//! From a built file to something that can be instantiated: engine, component, linker.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::bindings::exports::spin::redis::inbound_redis;
use crate::instance::Instance;
use crate::interface;
use crate::lock::lock;

/// Instances that live at the same time in this process; Spin's number. The pool reserves address
/// space for each, so more cost nothing but that.
const INSTANCES_MAX: u32 = 1_000;
/// Linear memory of one instance: what the smallest of our target platforms gives.
const MEMORY_BYTES_MAX: usize = 128 << 20;
/// Bytes of an instance that stay mapped and are cleared by writing zeros, which for small guests
/// is cheaper than handing them back to the system.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 2 << 20;
/// Core instances in the pool: a component has a few (its module, and the shims around it).
const CORE_INSTANCES_EACH: u32 = 4;
/// Tables in the pool, for each instance.
const TABLES_EACH: u32 = 2;

/// Why a component cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It is neither a component, nor a module that can be made into one.
    #[error("{}: not a component: {reason}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It imports something that this host does not have.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it imports.
        reason: String,
    },
}

/// A compiled component with its imports bound, ready to be instantiated.
pub(crate) struct Program {
    pre: InstancePre<Instance>,
    http: Option<ServicePre<Instance>>,
    redis: Option<inbound_redis::GuestIndices>,
}

impl Program {
    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) fn pre(&self) -> &InstancePre<Instance> {
        &self.pre
    }

    /// `None` if it does not export `wasi:http/handler`.
    pub(crate) fn http(&self) -> Option<&ServicePre<Instance>> {
        self.http.as_ref()
    }

    /// `None` if it does not export `spin:redis/inbound-redis`.
    pub(crate) fn redis(&self) -> Option<&inbound_redis::GuestIndices> {
        self.redis.as_ref()
    }
}

/// The bytes of the component in a file: as they are, or, when the file is a core module with the
/// types of its component embedded, wrapped as Spin wraps it when it loads it.
pub fn component_bytes(path: &Path) -> Result<Vec<u8>, ComponentError> {
    let bytes = std::fs::read(path)
        .map_err(|error| ComponentError::Unreadable { path: path.to_owned(), error })?;
    // Bytes 4 to 7 are version and layer: 1 and 0 in a module.
    if bytes.get(..8) != Some(b"\0asm\x01\0\0\0") {
        return Ok(bytes);
    }
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| ComponentError::NotAComponent {
            path: path.to_owned(),
            reason: format!("{error:#}"),
        })
}

/// Compiles a file, or takes what was compiled from it before: tests load the same app many times.
pub(crate) fn load(path: &Path, fuel: bool) -> Result<Arc<Program>, ComponentError> {
    static COMPILED: LazyLock<Mutex<HashMap<Key, Arc<Program>>>> = LazyLock::new(Mutex::default);
    let key = Key::of(path, fuel)?;
    // Compiling under the lock is meant: others that want the same program had better wait for it.
    let mut compiled = lock(&COMPILED);
    if let Some(program) = compiled.get(&key) {
        return Ok(Arc::clone(program));
    }
    let program = Arc::new(compile(path, fuel)?);
    compiled.insert(key, Arc::clone(&program));
    Ok(program)
}

/// What identifies a compiled program.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    fuel: bool,
}

impl Key {
    fn of(path: &Path, fuel: bool) -> Result<Self, ComponentError> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| ComponentError::Unreadable { path: path.to_owned(), error })?;
        Ok(Self {
            path: path.to_owned(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
            fuel,
        })
    }
}

fn compile(path: &Path, fuel: bool) -> Result<Program, ComponentError> {
    static PLAIN: LazyLock<Host> = LazyLock::new(|| Host::new(false));
    static COUNTING: LazyLock<Host> = LazyLock::new(|| Host::new(true));
    let host: &Host = if fuel { &COUNTING } else { &PLAIN };
    let bytes = component_bytes(path)?;
    let component = Component::new(&host.engine, bytes).map_err(|error| {
        ComponentError::NotAComponent { path: path.to_owned(), reason: format!("{error:#}") }
    })?;
    let pre = host.linker.instantiate_pre(&component).map_err(|error| {
        ComponentError::Unsupported { path: path.to_owned(), reason: format!("{error:#}") }
    })?;
    Ok(Program {
        http: ServicePre::new(pre.clone()).ok(),
        redis: inbound_redis::GuestIndices::new(&pre).ok(),
        pre,
    })
}

/// One engine and its linker; a process has at most two, with and without fuel.
struct Host {
    engine: Engine,
    linker: Linker<Instance>,
}

impl Host {
    fn new(fuel: bool) -> Self {
        let engine = Engine::new(&config(fuel, true))
            // A machine that cannot reserve the pool's address space can still run without pool.
            .or_else(|_| Engine::new(&config(fuel, false)))
            .expect("the engine's configuration is fixed and valid");
        let mut linker = Linker::new(&engine);
        interface::add_to_linker(&mut linker).expect("the interfaces are fixed and distinct");
        Self { engine, linker }
    }
}

fn config(fuel: bool, pool: bool) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true).consume_fuel(fuel);
    if pool {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(INSTANCES_MAX)
            .total_core_instances(CORE_INSTANCES_EACH * INSTANCES_MAX)
            .total_memories(INSTANCES_MAX)
            .total_tables(TABLES_EACH * INSTANCES_MAX)
            .total_stacks(INSTANCES_MAX)
            .max_memory_size(MEMORY_BYTES_MAX)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
            .table_keep_resident(MEMORY_KEEP_RESIDENT_BYTES);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

//! The interfaces that components import, one file each. What WASI itself defines comes from
//! wasmtime; the clocks and everything of Spin are ours. There are no files and no sockets: no function needs
//! them, whoever imports them is refused when the app is loaded, and they would be a third of this crate's code.

mod clocks;
mod key_value;
mod redis;
mod variables;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings;
use crate::instance::Instance;

/// Binds every interface that this host has.
pub(crate) fn add_to_linker(linker: &mut Linker<Instance>) -> wasmtime::Result<()> {
    type Own = HasSelf<Instance>;
    wasmtime_wasi::p3::cli::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    bindings::spin::redis::redis::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::spin::variables::variables::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::store::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::atomics::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::batch::add_to_linker::<_, Own>(linker, |instance| instance)?;
    // Ours, because wasmtime's always wait in real time.
    clocks::add_to_linker(linker)
}

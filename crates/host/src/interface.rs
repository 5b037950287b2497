//! The interfaces that components import, one file each. What WASI itself defines comes from
//! wasmtime; the clocks and everything of Spin are ours.

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
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    bindings::spin::redis::redis::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::spin::variables::variables::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::store::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::atomics::add_to_linker::<_, Own>(linker, |instance| instance)?;
    bindings::wasi::keyvalue::batch::add_to_linker::<_, Own>(linker, |instance| instance)?;
    // The clocks replace wasmtime's, because theirs always wait in real time.
    linker.allow_shadowing(true);
    clocks::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

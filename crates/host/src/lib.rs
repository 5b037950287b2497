//! placeholder
pub(crate) mod bindings;

//! Bindings generated from the WIT packages of Spin and WASI key-value; see `build.rs`.
#![allow(missing_docs, reason = "generated, documented in the WIT packages")]
#![allow(clippy::all, reason = "generated")]
#![allow(unused_qualifications, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

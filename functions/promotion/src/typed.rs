//! The typed interface `hongbao:functions/promotion`: the same function without HTTP.
//!
//! - [`read`]: arguments -> what the function works with
//! - [`write`]: what came of it -> answers
//! - `calls`: the exports, which only a component has
//!
//! Arguments are read into the types of `pricing`, and checked by what checks them over HTTP.

#[cfg(target_arch = "wasm32")]
mod calls;
mod read;
mod write;

#[allow(missing_docs, reason = "generated; the documentation stands in wit/promotion.wit")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(unsafe_code, unused_macros, reason = "generated; a component exports it")
)]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "promotion-component",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        with: { "hongbao:functions/types@0.1.0": edge::wit::types },
    });
}

use generated::exports::hongbao::functions::promotion as wit;

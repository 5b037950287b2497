//! Packs the OpenAPI document, which the component carries: without white space, and deflated (RFC 1951) to an eighth.
//! Native builds have no use for it: `cargo xtask generate` is one, and writes the document.

use std::path::PathBuf;
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;

/// The densest.
const LEVEL: u8 = 10;

fn main() {
    println!("cargo:rerun-if-changed=openapi.json");
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("wasm32") {
        return;
    }
    let text = fs::read_to_string("openapi.json").expect("the document stands beside the manifest");
    let document: serde_json::Value = serde_json::from_str(&text).expect("the document is JSON");
    let packed = compress_to_vec(document.to_string().as_bytes(), LEVEL);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    fs::write(out.join("openapi.deflate"), packed).expect("cargo's folder can be written");
}

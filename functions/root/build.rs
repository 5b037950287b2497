//! Takes the white space out of the OpenAPI document, which the component carries.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=openapi.json");
    let text = fs::read_to_string("openapi.json").expect("the document stands beside the manifest");
    let document: serde_json::Value = serde_json::from_str(&text).expect("the document is JSON");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    fs::write(out.join("openapi.json"), document.to_string())
        .expect("cargo's folder can be written");
}

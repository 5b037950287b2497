//! Strips the script of comments and indentation, which every component would carry and every `EVAL`
//! send, and names it by its SHA-1, as Redis does.

use std::path::PathBuf;
use std::{env, fs};

use sha1_smol::Sha1;

const SCRIPT: &str = "src/redis/transaction.lua";

fn main() {
    println!("cargo:rerun-if-changed={SCRIPT}");
    let script = fs::read_to_string(SCRIPT).expect("the script stands beside its module");
    // A comment begins a line, or stands behind code after a space; no string of the script has two
    // hyphens between spaces.
    let lines = script
        .lines()
        .map(|line| line.split(" -- ").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !line.starts_with("--"));
    let stripped = lines.collect::<Vec<_>>().join("\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    fs::write(out.join("transaction.lua"), &stripped).expect("cargo's folder can be written");
    let sha1 = Sha1::from(&stripped).digest();
    println!("cargo:rustc-env=TRANSACTION_SHA1={sha1}");
}

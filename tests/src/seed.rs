//! Seeds of random tests.

use std::hash::{BuildHasher, RandomState};
use std::{env, thread};

/// The variable that repeats a run.
const VARIABLE: &str = "HONGBAO_SEED";
/// The seed that every run has, so that what was found once stays found.
const FIXED: u64 = 0x004f_4e47_4241_4f31;

/// The seeds of a run, printed: the one in `HONGBAO_SEED`, or the fixed one and a fresh one.
pub fn seeds() -> Vec<u64> {
    let seeds = match env::var(VARIABLE) {
        Ok(text) => vec![text.parse().expect("the seed is a decimal number")],
        Err(_) => vec![FIXED, RandomState::new().hash_one(())],
    };
    for seed in &seeds {
        println!("{VARIABLE}={seed}");
    }
    seeds
}

/// Says how to repeat a run, should it panic.
pub struct Named(String);

impl Named {
    /// A run of a test that draws its seeds from [`seeds`].
    pub fn test(seed: u64) -> Self {
        Self(format!("{VARIABLE}={seed}"))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed; again with: {}", self.0);
        }
    }
}

//! A component of an app with the program that it runs: what a trigger leads to.

use std::sync::Arc;

use wasmtime::Store;

use crate::engine::Program;
use crate::instance::{Component, Instance, Shared, new_store};

/// A component, and its program, which components of the same file share.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) component: Arc<Component>,
    pub(crate) program: Arc<Program>,
}

impl Loaded {
    /// Makes the store for a new instance.
    pub(crate) fn new_store(&self, shared: &Arc<Shared>) -> Store<Instance> {
        new_store(self.program.engine(), shared, &self.component)
    }
}

//! Compare-and-swap on one key of a store.

use std::sync::{Arc, Mutex};

use super::{KeyValueStore, StoreError};
use crate::lock::lock;

/// A compare-and-swap handle: a key, and the value that was last read through the handle.
pub(crate) struct Cas {
    store: Arc<dyn KeyValueStore>,
    key: String,
    read: Mutex<Option<Vec<u8>>>,
}

impl Cas {
    /// A handle that has read nothing yet.
    pub(crate) fn new(store: Arc<dyn KeyValueStore>, key: String) -> Arc<Self> {
        Arc::new(Self { store, key, read: Mutex::default() })
    }

    /// Another handle on the same key, which has read nothing yet.
    pub(crate) fn renewed(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.store), self.key.clone())
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Reads the value, and keeps it for [`swap`](Self::swap).
    pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.store.get(&self.key)?;
        lock(&self.read).clone_from(&value);
        Ok(value)
    }

    /// Writes if the value is still the one that was last read. Says whether it wrote.
    pub(crate) fn swap(&self, new: Vec<u8>) -> Result<bool, StoreError> {
        let read = lock(&self.read).clone();
        self.store.swap(&self.key, read.as_deref(), new)
    }
}

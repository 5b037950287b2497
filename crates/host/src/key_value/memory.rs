//! The key-value store in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::{KeyValueStore, StoreError, integer};
use crate::lock::lock;

/// Values in a map behind one lock, which also makes each operation atomic.
#[derive(Default)]
pub(crate) struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Ordered, so that keys are listed as SQLite lists them.
    values: BTreeMap<String, Vec<u8>>,
    poisoned: bool,
}

impl MemoryStore {
    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = lock(&self.state);
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(state)
    }
}

impl KeyValueStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.open()?.values.get(key).cloned())
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.open()?.values.keys().cloned().collect())
    }

    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.open()?.values.extend(entries);
        Ok(())
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for key in keys {
            state.values.remove(key);
        }
        Ok(())
    }

    fn swap(&self, key: &str, old: Option<&[u8]>, new: Vec<u8>) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if old.is_some() && state.values.get(key).map(Vec::as_slice) != old {
            return Ok(false);
        }
        state.values.insert(key.to_owned(), new);
        Ok(true)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let mut state = self.open()?;
        let current = match state.values.get(key).map(|value| integer(value)) {
            None => 0,
            Some(Ok(current)) => current,
            Some(Err(error)) => {
                state.poisoned = true;
                return Err(error);
            }
        };
        let sum = current.wrapping_add(delta);
        state.values.insert(key.to_owned(), sum.to_le_bytes().to_vec());
        Ok(sum)
    }
}

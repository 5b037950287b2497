//! The key-value store behind `wasi:keyvalue`: one trait, in memory and in a SQLite file, both with
//! exactly the semantics of Spin's default store, its traps included:
//!
//! - `swap` compares only if the key existed when the handle read it; for an absent key it overwrites;
//! - `increment` on a value that has not 8 bytes takes the whole store down: in Spin the host
//!   panics with its lock held, and every later call fails until restart. Here the call traps, and
//!   so does every later call.

mod cas;
mod memory;
mod sqlite;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) use cas::Cas;
pub(crate) use memory::MemoryStore;
pub(crate) use sqlite::SqliteStore;

use crate::options::KeyValue;

/// The only label that is backed by a store, as in Spin without a runtime configuration.
pub(crate) const DEFAULT_STORE: &str = "default";

/// The file's name in the data folder; the name that Spin gives it.
const FILE_NAME: &str = "sqlite_key_value.db";

/// Largest result that the host buffers for a guest; Spin's limit, checked after the read as there.
pub(crate) const RESULT_BYTES_MAX: usize = 128 << 20;

/// Why a store operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The store is down until restart.
    #[error("key-value store is poisoned: an earlier increment met a value that has not 8 bytes")]
    Poisoned,
    /// An increment met a value that has not 8 bytes; the store is down from now on.
    #[error("key-value increment on a value of {length} bytes, not 8: incorrect length")]
    NotAnInteger {
        /// Bytes of that value.
        length: usize,
    },
    /// Anything else, with the text that the guest is told.
    #[error("{0}")]
    Other(String),
}

/// One store of values by key. Calls are short and synchronous, as in Spin.
pub(crate) trait KeyValueStore: Send + Sync {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// All keys, in byte order.
    fn keys(&self) -> Result<Vec<String>, StoreError>;
    /// Writes all or nothing.
    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError>;
    /// Deletes all or nothing.
    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError>;
    /// Writes `new` if the value is still `old`; with no `old`, always. Says whether it wrote.
    fn swap(&self, key: &str, old: Option<&[u8]>, new: Vec<u8>) -> Result<bool, StoreError>;
    /// Adds to the 8-byte little-endian integer, an absent one counting as 0; wraps around.
    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError>;

    fn set(&self, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        self.set_many(vec![(key.to_owned(), value)])
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.delete_many(&[key.to_owned()])
    }

    /// The entries that exist, in byte order of their keys: absent ones are left out, as in Spin.
    fn get_many(&self, keys: &[String]) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let mut found = BTreeMap::new();
        for key in keys {
            if let Some(value) = self.get(key)? {
                found.insert(key.clone(), value);
            }
        }
        Ok(found)
    }
}

/// Opens the default store where the options say.
pub(crate) fn open(location: &KeyValue) -> Result<Arc<dyn KeyValueStore>, StoreError> {
    Ok(match location {
        KeyValue::Memory => Arc::new(MemoryStore::default()),
        KeyValue::File(folder) => Arc::new(open_file(folder)?),
    })
}

fn open_file(folder: &Path) -> Result<SqliteStore, StoreError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| StoreError::Other(format!("{}: {error}", folder.display())))?;
    SqliteStore::open(&folder.join(FILE_NAME))
}

/// The value as an integer, or the error that takes the store down.
fn integer(value: &[u8]) -> Result<i64, StoreError> {
    let bytes = value.try_into().map_err(|_| StoreError::NotAnInteger { length: value.len() })?;
    Ok(i64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the check on a fresh store of either kind.
    #[track_caller]
    fn check(body: impl Fn(&dyn KeyValueStore)) {
        body(&MemoryStore::default());
        let folder = tempfile::tempdir().expect("a temporary folder");
        body(&open_file(folder.path()).expect("a new file"));
    }

    #[test]
    fn values_are_set_read_listed_and_deleted() {
        check(|store| {
            assert_eq!(store.get("a"), Ok(None));
            store.set("b", vec![]).expect("empty values are values");
            store.set("a", vec![0, 255]).expect("binary values too");
            store.set("a", vec![1]).expect("set overwrites");
            assert_eq!(store.get("a"), Ok(Some(vec![1])));
            assert_eq!(store.get("b"), Ok(Some(vec![])));
            assert_eq!(store.keys(), Ok(vec!["a".to_owned(), "b".to_owned()]));
            store.delete("a").expect("delete");
            store.delete("a").expect("deleting an absent key is no error");
            assert_eq!(store.get("a"), Ok(None));
        });
    }

    #[test]
    fn many_are_written_and_read_at_once_and_absent_ones_left_out() {
        check(|store| {
            store.set_many(vec![("b".into(), vec![2]), ("a".into(), vec![1])]).expect("set many");
            let keys = ["b".to_owned(), "c".to_owned(), "a".to_owned()];
            let found = store.get_many(&keys).expect("get many");
            let found = found.into_iter().collect::<Vec<_>>();
            assert_eq!(found, [("a".to_owned(), vec![1]), ("b".to_owned(), vec![2])]);
            store.delete_many(&keys).expect("delete many");
            assert_eq!(store.keys(), Ok(vec![]));
        });
    }

    #[test]
    fn swap_compares_if_the_key_existed() {
        check(|store| {
            store.set("a", vec![1]).expect("set");
            assert_eq!(store.swap("a", Some(&[1]), vec![2]), Ok(true));
            assert_eq!(store.swap("a", Some(&[1]), vec![3]), Ok(false));
            assert_eq!(store.get("a"), Ok(Some(vec![2])));
            store.delete("a").expect("delete");
            assert_eq!(store.swap("a", Some(&[2]), vec![3]), Ok(false));
            assert_eq!(store.get("a"), Ok(None));
        });
    }

    #[test]
    fn swap_overwrites_if_the_key_was_absent() {
        check(|store| {
            assert_eq!(store.swap("a", None, vec![1]), Ok(true));
            assert_eq!(store.swap("a", None, vec![2]), Ok(true));
            assert_eq!(store.get("a"), Ok(Some(vec![2])));
        });
    }

    #[test]
    fn increment_creates_adds_and_wraps_around() {
        check(|store| {
            assert_eq!(store.increment("a", 0), Ok(0));
            assert_eq!(store.get("a"), Ok(Some(vec![0; 8])));
            assert_eq!(store.increment("a", -5), Ok(-5));
            store.set("a", i64::MAX.to_le_bytes().to_vec()).expect("set");
            assert_eq!(store.increment("a", 0), Ok(i64::MAX));
            assert_eq!(store.increment("a", 1), Ok(i64::MIN));
        });
    }

    #[test]
    fn increment_of_another_value_takes_the_store_down() {
        check(|store| {
            store.set("a", vec![1, 2, 3]).expect("set");
            store.set("b", vec![1]).expect("set");
            assert_eq!(store.increment("a", 1), Err(StoreError::NotAnInteger { length: 3 }));
            assert_eq!(store.get("b"), Err(StoreError::Poisoned));
            assert_eq!(store.set("c", vec![]), Err(StoreError::Poisoned));
            assert_eq!(store.keys(), Err(StoreError::Poisoned));
            assert_eq!(store.swap("b", None, vec![]), Err(StoreError::Poisoned));
            assert_eq!(store.increment("d", 1), Err(StoreError::Poisoned));
        });
    }

    #[test]
    fn a_file_outlives_the_store_and_a_restart_heals_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = open_file(folder.path()).expect("a new file");
        store.set("a", vec![1]).expect("set");
        store.increment("a", 1).expect_err("not an integer");
        drop(store);
        let store = open_file(folder.path()).expect("the same file");
        assert_eq!(store.get("a"), Ok(Some(vec![1])));
    }
}

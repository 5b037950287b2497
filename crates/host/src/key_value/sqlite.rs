//! The key-value store in a SQLite file, with the table of Spin's default store, so that either can
//! read what the other wrote.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{DEFAULT_STORE, KeyValueStore, StoreError, integer};
use crate::lock::lock;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key))";
const SELECT: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SELECT_KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key";
const WRITE: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
    ON CONFLICT (store, key) DO UPDATE SET value = ?3";
const SWAP: &str =
    "UPDATE spin_key_value SET value = ?3 WHERE store = ?1 AND key = ?2 AND value = ?4";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";

/// One connection behind one lock, as in Spin; SQLite has a single writer anyway.
pub(crate) struct SqliteStore {
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    poisoned: bool,
}

impl SqliteStore {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = Connection::open(path)?;
            // A write-ahead log survives a crash of the process without a disk flush at each commit.
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute(TABLE, [])?;
            Ok(connection)
        };
        let connection = open().map_err(|error: rusqlite::Error| {
            StoreError::Other(format!("{}: {error}", path.display()))
        })?;
        Ok(Self { state: Mutex::new(State { connection, poisoned: false }) })
    }

    /// Runs one operation; other tasks of this thread move to another one meanwhile.
    fn run<T>(
        &self,
        body: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        blocking(|| body(&mut self.lock()?.connection).map_err(other))
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = lock(&self.state);
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(state)
    }
}

impl KeyValueStore for SqliteStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(|connection| select(connection, key))
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached(SELECT_KEYS)?
                .query_map([DEFAULT_STORE], |row| row.get(0))?
                .collect()
        })
    }

    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.run(|connection| {
            let transaction = begin(connection)?;
            for (key, value) in entries {
                transaction.prepare_cached(WRITE)?.execute(params![DEFAULT_STORE, key, value])?;
            }
            transaction.commit()
        })
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.run(|connection| {
            let transaction = begin(connection)?;
            for key in keys {
                transaction.prepare_cached(DELETE)?.execute([DEFAULT_STORE, key])?;
            }
            transaction.commit()
        })
    }

    fn swap(&self, key: &str, old: Option<&[u8]>, new: Vec<u8>) -> Result<bool, StoreError> {
        let rows = self.run(|connection| match old {
            Some(old) => {
                connection.prepare_cached(SWAP)?.execute(params![DEFAULT_STORE, key, new, old])
            }
            None => connection.prepare_cached(WRITE)?.execute(params![DEFAULT_STORE, key, new]),
        })?;
        Ok(rows == 1)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        blocking(|| {
            let mut state = self.lock()?;
            let added = add(&mut state.connection, key, delta);
            state.poisoned = matches!(added, Err(StoreError::NotAnInteger { .. }));
            added
        })
    }
}

fn add(connection: &mut Connection, key: &str, delta: i64) -> Result<i64, StoreError> {
    let transaction = begin(connection).map_err(other)?;
    let current = match select(&transaction, key).map_err(other)? {
        None => 0,
        Some(value) => integer(&value)?,
    };
    let sum = current.wrapping_add(delta);
    transaction
        .execute(WRITE, params![DEFAULT_STORE, key, sum.to_le_bytes()])
        .and_then(|_| transaction.commit())
        .map_err(other)?;
    Ok(sum)
}

fn select(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection.prepare_cached(SELECT)?.query_row([DEFAULT_STORE, key], |row| row.get(0)).optional()
}

/// Takes the write lock at once, so that two processes on one file wait instead of failing late.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Spin shows the guest the debug form.
fn other(error: rusqlite::Error) -> StoreError {
    StoreError::Other(format!("{error:?}"))
}

/// Tells a multi-threaded runtime that this thread will wait for the disk.
fn blocking<T>(body: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(body),
        _ => body(),
    }
}

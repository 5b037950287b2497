//! The back end on `wasi:keyvalue`.
//!
//! Partitions lie in a few *cells*. A cell is a pointer: a value of exactly 8 bytes, a little-endian
//! integer that names an immutable *blob* with all records of its partitions; 0 stands for no records.
//! A commit writes a new blob under a fresh name, swaps the pointer and deletes the old blob.
//!
//! Cells are few because swaps are: Spin never frees the handle of a swap that was made, and an
//! instance has 256 of them. A batch over all partitions swaps each cell once. An instance that has
//! used up its handles is refused further ones, which is `Unavailable`: nothing happened, and the
//! next instance has its own. (The first design had one partition in each value, and used all handles up with the first
//! batch.) The price is that every commit reads and writes half of the store: this back end is for development and small
//! sites.
//!
//! The cell must exist before it is swapped: in Spin's default store `swap` compares only with a
//! value that was there, and of two writers who create the same key both would win. `increment` by 0
//! creates the cell and leaves an existing one alone, however many do it at once.
//!
//! A crash between two calls leaves at most a blob that nobody names: garbage, and no harm.

use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};
use litemap::LiteMap;

use crate::Binding;
use crate::cell::{Applied, CellState};
use crate::encoding;

/// Attempts of one commit. Each lost swap is another commit's success, so that only a cell that is
/// written many times a moment gets here.
const ATTEMPTS_MAX: u32 = 64;
/// Cells of each kind of partition. With two, an instance that answers 128 requests as Spin lets it,
/// each a batch over all partitions, makes 256 swaps: as many as it has handles. More would make blobs
/// smaller, and instances run out.
const CELLS: u16 = 2;
/// A cell's blob. Each commit reads and writes all of it, so that more would be slow long before
/// it is impossible; the sites that this back end is for stay far below.
const BLOB_BYTES_MAX: usize = 16 << 20;
/// A cell of any other length would make the host of Spin panic when it is incremented.
const CELL_BYTES: usize = 8;

/// What the back end needs of a bucket with atomics. Calls block, as the interface's do; errors are
/// the store's texts.
pub trait KeyValue {
    /// A handle of a compare-and-swap.
    type Cas;

    /// The value of a key.
    ///
    /// # Errors
    /// The store's.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Sets a key, whatever it held.
    ///
    /// # Errors
    /// The store's.
    fn set(&self, key: &str, value: &[u8]) -> Result<(), String>;
    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// The store's.
    fn delete(&self, key: &str) -> Result<(), String>;
    /// Adds to a key of 8 bytes, little-endian; an absent one counts as 0.
    ///
    /// # Errors
    /// The store's.
    fn increment(&self, key: &str, delta: i64) -> Result<i64, String>;
    /// Begins a compare-and-swap.
    ///
    /// # Errors
    /// The store's.
    fn cas(&self, key: &str) -> Result<Self::Cas, String>;
    /// The value that the swap will compare with.
    ///
    /// # Errors
    /// The store's.
    fn current(&self, cas: &Self::Cas) -> Result<Option<Vec<u8>>, String>;
    /// Swaps, and says whether it was the first to do so since [`KeyValue::current`].
    ///
    /// # Errors
    /// The store's.
    fn swap(&self, cas: Self::Cas, value: &[u8]) -> Result<bool, String>;
    /// A random number for a name that nobody else uses.
    fn random(&self) -> u64;
}

/// A store on a bucket.
#[derive(Debug)]
pub struct Kv<P> {
    port: P,
    prefix: String,
    stage: String,
}

/// How one attempt ended.
enum Attempt {
    Done(Vec<Outcome>),
    /// Somebody else was faster, or the cell had to be created first.
    Again,
}

impl<P: KeyValue> Kv<P> {
    /// A store whose keys begin with `{prefix}:{stage}:`.
    pub fn new(port: P, prefix: impl Into<String>, stage: impl Into<String>) -> Self {
        Self { port, prefix: prefix.into(), stage: stage.into() }
    }

    /// Commits transactions of one cell, all of them or none.
    fn commit_in_cell(
        &self,
        cell: &str,
        transactions: &[(Partition, &Transaction)],
    ) -> Result<Vec<Outcome>, CommitError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Attempt::Done(outcomes) = self.attempt(cell, transactions)? {
                return Ok(outcomes);
            }
        }
        Err(CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts lost to other writers")))
    }

    fn attempt(
        &self,
        cell: &str,
        transactions: &[(Partition, &Transaction)],
    ) -> Result<Attempt, CommitError> {
        if transactions.iter().all(|(_, transaction)| transaction.is_read_only()) {
            let current = self.port.get(cell).map_err(CommitError::Unavailable)?;
            let Some(mut state) = self.state(cell, current.as_deref())? else {
                return Ok(Attempt::Again);
            };
            return Ok(Attempt::Done(state.apply(transactions)?.outcomes));
        }
        let cas = self.port.cas(cell).map_err(CommitError::Unavailable)?;
        let current = self.port.current(&cas).map_err(CommitError::Unavailable)?;
        let Some(mut state) = self.state(cell, current.as_deref())? else {
            return Ok(Attempt::Again);
        };
        let Applied { outcomes, changed } = state.apply(transactions)?;
        if !changed {
            return Ok(Attempt::Done(outcomes));
        }
        let Some(current) = current else {
            // Only a cell that was there when the handle was made is compared with.
            self.port.increment(cell, 0).map_err(CommitError::Unavailable)?;
            return Ok(Attempt::Again);
        };

        let name = self.write_blob(cell, &state)?;
        let name = name.to_le_bytes();
        // A store that delivers a swap twice says "changed" of one that it made, so that it is asked
        // what the cell names: a blob that is named must never go.
        let swapped = self.port.swap(cas, &name).map_err(CommitError::Unknown)?
            || self.port.get(cell).map_err(CommitError::Unknown)?.is_some_and(|now| now == name);
        if swapped {
            self.discard(cell, &current);
            Ok(Attempt::Done(outcomes))
        } else {
            self.discard(cell, &name);
            Ok(Attempt::Again)
        }
    }

    fn cell(&self, partition: Partition) -> String {
        format!("{}:{}:{}", self.prefix, self.stage, partition.folded(CELLS))
    }

    /// The records that a cell names, or `None` where they have been replaced in the meantime.
    fn state(&self, cell: &str, current: Option<&[u8]>) -> Result<Option<CellState>, CommitError> {
        let Some(current) = current else { return Ok(Some(CellState::default())) };
        let name = name_in(current).ok_or_else(|| {
            let bytes = current.len();
            CommitError::Unusable(format!("{cell} has {bytes} bytes, not {CELL_BYTES}"))
        })?;
        if name == 0 {
            return Ok(Some(CellState::default()));
        }
        let key = blob_key(cell, name);
        let Some(blob) = self.port.get(&key).map_err(CommitError::Unavailable)? else {
            return Ok(None);
        };
        let state = encoding::decode(&blob)
            .map_err(|error| CommitError::Unusable(format!("{key}: {error}")))?;
        Ok(Some(state))
    }

    /// Writes a blob under a fresh name.
    fn write_blob(&self, cell: &str, state: &CellState) -> Result<u64, CommitError> {
        let blob =
            encoding::encode(state).map_err(|error| CommitError::Unavailable(error.to_string()))?;
        if blob.len() > BLOB_BYTES_MAX {
            return Err(CommitError::Unavailable(format!(
                "{cell} is full: a cell takes at most {BLOB_BYTES_MAX} bytes in this store"
            )));
        }
        // 0 would say that the cell is empty.
        let name = self.port.random().max(1);
        self.port.set(&blob_key(cell, name), &blob).map_err(CommitError::Unavailable)?;
        Ok(name)
    }

    /// Deletes a blob that no cell names. If that fails the blob stays as garbage, which nothing
    /// reads; the commit it belongs to has ended all the same.
    fn discard(&self, cell: &str, name: &[u8]) {
        if let Some(name) = name_in(name).filter(|name| *name != 0) {
            let _garbage = self.port.delete(&blob_key(cell, name));
        }
    }
}

impl<P: KeyValue> Binding for Kv<P> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let mut outcomes =
            self.commit_in_cell(&self.cell(partition), &[(partition, transaction)])?;
        outcomes.pop().ok_or_else(|| CommitError::Unavailable("nothing was committed".to_owned()))
    }

    /// One swap a cell, in the order of the cells.
    async fn commit_some(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        let mut results = vec![None; transactions.len()];
        let mut cells: LiteMap<String, Vec<usize>> = LiteMap::new_vec();
        for (index, (partition, transaction)) in transactions.iter().enumerate() {
            match transaction.validate() {
                Ok(()) => cells.entry(self.cell(*partition)).or_default().push(index),
                Err(invalid) => results[index] = Some(Err(invalid.into())),
            }
        }
        for (cell, indexes) in cells.iter() {
            let here = indexes.iter().map(|index| &transactions[*index]);
            let here: Vec<_> = here.map(|(partition, each)| (*partition, each)).collect();
            match self.commit_in_cell(cell, &here) {
                Ok(outcomes) => {
                    for (index, outcome) in indexes.iter().zip(outcomes) {
                        results[*index] = Some(Ok(outcome));
                    }
                }
                Err(error) => {
                    for index in indexes {
                        results[*index] = Some(Err(error.clone()));
                    }
                }
            }
        }
        results.into_iter().flatten().collect()
    }
}

fn name_in(cell: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(cell.try_into().ok()?))
}

fn blob_key(cell: &str, name: u64) -> String {
    format!("{cell}:{name:016x}")
}

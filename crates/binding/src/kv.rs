//! The back end on `wasi:keyvalue`.

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

//! The port of the kv back end: a bucket of `wasi:keyvalue`.

use binding::kv::KeyValue;
use domain::transaction::CommitError;
use spin_sdk::experimental::wasi::keyvalue::{atomics, store};

/// The label that the manifest gives the bucket.
const LABEL: &str = "default";

/// An open bucket.
pub struct Bucket(store::Bucket);

impl Bucket {
    /// Opens the bucket `default`.
    ///
    /// # Errors
    /// The component may not use it, or the store does not open.
    pub fn open() -> Result<Self, CommitError> {
        store::open(LABEL).map(Self).map_err(|error| CommitError::Unavailable(text(error)))
    }
}

impl KeyValue for Bucket {
    type Cas = atomics::Cas;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.get(key).map_err(text)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.set(key, value).map_err(text)
    }

    fn delete(&self, key: &str) -> Result<(), String> {
        self.0.delete(key).map_err(text)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, String> {
        atomics::increment(&self.0, key, delta).map_err(text)
    }

    fn cas(&self, key: &str) -> Result<atomics::Cas, String> {
        atomics::Cas::new(&self.0, key).map_err(text)
    }

    fn current(&self, cas: &atomics::Cas) -> Result<Option<Vec<u8>>, String> {
        cas.current().map_err(text)
    }

    fn swap(&self, cas: atomics::Cas, value: &[u8]) -> Result<bool, String> {
        match atomics::swap(cas, value) {
            Ok(()) => Ok(true),
            Err(atomics::CasError::CasFailed(_)) => Ok(false),
            Err(atomics::CasError::StoreError(error)) => Err(text(error)),
        }
    }

    fn random(&self) -> u64 {
        super::random()
    }
}

fn text(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => format!("there is no key-value store {LABEL}"),
        store::Error::AccessDenied => format!("the component may not use the store {LABEL}"),
        store::Error::Other(text) => text,
    }
}

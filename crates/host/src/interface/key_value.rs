//! `wasi:keyvalue`: buckets, batches and compare-and-swap on the app's store.
//!
//! As in Spin, a handle that `swap` consumes is never given back: an instance that makes more than
//! 256 of them in its life is refused further ones.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::wasi::keyvalue::atomics::{self, CasError};
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::{self, Bucket, Error, KeyResponse};
use crate::call::Call;
use crate::calls::{Broken, Outcome};
use crate::instance::Instance;
use crate::key_value::{Cas, KeyValueStore, RESULT_BYTES_MAX, StoreError};

/// Spin's default store fails with these words when its file cannot be written.
const BROKEN: &str =
    "SqliteFailure(Error { code: SystemIoFailure, extended_code: 10 }, Some(\"disk I/O error\"))";

impl Broken for Error {
    fn broken(_: Call) -> Option<Self> {
        Some(Self::Other(BROKEN.into()))
    }
}

impl Broken for CasError {
    fn broken(call: Call) -> Option<Self> {
        Error::broken(call).map(Self::StoreError)
    }
}

/// How a swap ended, before its handle is made: the guest's error holds a resource, which only the
/// instance can make.
enum Swapped {
    Written,
    Changed,
}

impl Instance {
    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Arc<dyn KeyValueStore>, Error> {
        let bucket = self.buckets.get(bucket.rep());
        bucket.cloned().ok_or(Error::NoSuchStore)
    }

    fn cas_handle(&self, cas: &Resource<atomics::Cas>) -> Result<Arc<Cas>, Error> {
        let cas = self.cas.get(cas.rep()).cloned();
        cas.ok_or_else(|| Error::Other("compare and swap not found".into()))
    }

    fn push_cas(&mut self, cas: Arc<Cas>) -> Result<Resource<atomics::Cas>, Error> {
        self.cas
            .push(cas)
            .map(Resource::new_own)
            .ok_or_else(|| Error::Other("too many compare_and_swaps opened".into()))
    }

    /// One operation on a bucket.
    async fn operate<R: Send + 'static>(
        &mut self,
        call: Call,
        bucket: Resource<Bucket>,
        detail: &str,
        operation: impl Fn(&dyn KeyValueStore) -> Result<R, StoreError> + Send + 'static,
    ) -> Outcome<R, Error> {
        match self.bucket(&bucket) {
            Err(error) => Ok(Err(error)),
            Ok(store) => {
                let effect = move || std::future::ready(guest(operation(&*store)));
                let gate = &self.shared.gate;
                gate.pass(call, || detail.to_owned(), effect).await
            }
        }
    }
}

impl store::Host for Instance {
    async fn open(&mut self, identifier: String) -> Outcome<Resource<Bucket>, Error> {
        if !self.component.stores.contains(&identifier) {
            return Ok(Err(Error::AccessDenied));
        }
        let detail = identifier.clone();
        let effect = || std::future::ready(Ok(Ok(())));
        let gate = &self.shared.gate;
        if let Err(error) = gate.pass(Call::KeyValueOpen, || detail, effect).await? {
            return Ok(Err(error));
        }
        let store = Arc::clone(&self.shared.store);
        Ok(self
            .buckets
            .push(store)
            .map(Resource::new_own)
            .ok_or_else(|| Error::Other("store table full".into())))
    }
}

impl store::HostBucket for Instance {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Outcome<Option<Vec<u8>>, Error> {
        let detail = key.clone();
        let got = self.operate(Call::KeyValueGet, bucket, &detail, move |store| store.get(&key));
        got.await.map(|result| result.and_then(check_value))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Outcome<(), Error> {
        let detail = key.clone();
        self.operate(Call::KeyValueSet, bucket, &detail, move |store| {
            store.set(&key, value.clone())
        })
        .await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Outcome<(), Error> {
        let detail = key.clone();
        self.operate(Call::KeyValueDelete, bucket, &detail, move |store| store.delete(&key)).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Outcome<bool, Error> {
        let detail = key.clone();
        self.operate(Call::KeyValueExists, bucket, &detail, move |store| {
            store.get(&key).map(|value| value.is_some())
        })
        .await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Outcome<KeyResponse, Error> {
        if cursor.is_some() {
            let text = "list_keys: cursor not supported";
            return Ok(Err(Error::Other(text.into())));
        }
        let keys = self.operate(Call::KeyValueListKeys, bucket, "", |store| store.keys());
        Ok(keys.await?.and_then(|keys| {
            let bytes = keys.iter().map(|key| size_of::<String>() + key.len());
            check_size(size_of::<Vec<String>>() + bytes.sum::<usize>())?;
            Ok(KeyResponse { keys, cursor: None })
        }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.buckets.remove(bucket.rep());
        Ok(())
    }
}

impl batch::Host for Instance {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Outcome<Vec<(String, Option<Vec<u8>>)>, Error> {
        if keys.is_empty() {
            return Ok(self.bucket(&bucket).map(|_| Vec::new()));
        }
        let found =
            self.operate(Call::KeyValueGetMany, bucket, "", move |store| store.get_many(&keys));
        Ok(found.await?.and_then(|found| {
            let found =
                found.into_iter().map(|(key, value)| (key, Some(value))).collect::<Vec<_>>();
            let bytes = found.iter().map(|(key, value)| {
                size_of::<(String, Option<Vec<u8>>)>()
                    + key.len()
                    + value.as_ref().map_or(0, Vec::len)
            });
            check_size(size_of::<Vec<String>>() + bytes.sum::<usize>())?;
            Ok(found)
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Outcome<(), Error> {
        if entries.is_empty() {
            return Ok(self.bucket(&bucket).map(drop));
        }
        self.operate(Call::KeyValueSetMany, bucket, "", move |store| {
            store.set_many(entries.clone())
        })
        .await
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Outcome<(), Error> {
        if keys.is_empty() {
            return Ok(self.bucket(&bucket).map(drop));
        }
        self.operate(Call::KeyValueDeleteMany, bucket, "", move |store| store.delete_many(&keys))
            .await
    }
}

impl atomics::HostCas for Instance {
    async fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Outcome<Resource<atomics::Cas>, Error> {
        let store = match self.bucket(&bucket) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        let detail = key.clone();
        let effect = || std::future::ready(Ok(Ok(())));
        let gate = &self.shared.gate;
        if let Err(error) = gate.pass(Call::CasNew, || detail, effect).await? {
            return Ok(Err(error));
        }
        Ok(self.push_cas(Cas::new(store, key)))
    }

    async fn current(&mut self, cas: Resource<atomics::Cas>) -> Outcome<Option<Vec<u8>>, Error> {
        let cas = match self.cas_handle(&cas) {
            Ok(cas) => cas,
            Err(error) => return Ok(Err(error)),
        };
        let detail = cas.key().to_owned();
        let effect = move || std::future::ready(current(&cas));
        let gate = &self.shared.gate;
        gate.pass(Call::CasCurrent, || detail, effect).await
    }

    async fn drop(&mut self, cas: Resource<atomics::Cas>) -> wasmtime::Result<()> {
        self.cas.remove(cas.rep());
        Ok(())
    }
}

impl atomics::Host for Instance {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Outcome<i64, Error> {
        let detail = key.clone();
        self.operate(Call::KeyValueIncrement, bucket, &detail, move |store| {
            store.increment(&key, delta)
        })
        .await
    }

    async fn swap(&mut self, cas: Resource<atomics::Cas>, value: Vec<u8>) -> Outcome<(), CasError> {
        let cas = match self.cas_handle(&cas) {
            Ok(cas) => cas,
            Err(error) => return Ok(Err(CasError::StoreError(error))),
        };
        let detail = cas.key().to_owned();
        let fresh = cas.renewed();
        let effect = move || {
            let swapped = guest(cas.swap(value.clone()));
            std::future::ready(swapped.map(|swapped| {
                swapped
                    .map(|written| if written { Swapped::Written } else { Swapped::Changed })
                    .map_err(CasError::StoreError)
            }))
        };
        let gate = &self.shared.gate;
        match gate.pass(Call::CasSwap, || detail, effect).await? {
            Ok(Swapped::Written) => Ok(Ok(())),
            Ok(Swapped::Changed) => {
                // The new handle has read the value, so that the guest can try again at once.
                let read = current(&fresh)?.and_then(|_| self.push_cas(fresh));
                Ok(Err(match read {
                    Ok(handle) => CasError::CasFailed(handle),
                    Err(error) => CasError::StoreError(error),
                }))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// A poisoned store traps the guest, everything else is the guest's error.
fn guest<T>(result: Result<T, StoreError>) -> Outcome<T, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Other(text)) => Ok(Err(Error::Other(text))),
        Err(error) => Err(wasmtime::Error::new(error)),
    }
}

/// Reads through the handle, which keeps even a value that is too large for the guest.
fn current(cas: &Cas) -> Outcome<Option<Vec<u8>>, Error> {
    guest(cas.current()).map(|result| result.and_then(check_value))
}

fn check_value(value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Error> {
    check_size(size_of::<Option<Vec<u8>>>() + value.as_ref().map_or(0, Vec::len))?;
    Ok(value)
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > RESULT_BYTES_MAX {
        return Err(Error::Other(format!(
            "query result exceeds limit of {RESULT_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

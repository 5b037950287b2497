//! A value that concurrent tasks make together, once, and keep.

use std::sync::{Mutex as ShortMutex, PoisonError};

use futures::lock::Mutex;

use super::Failure;

/// The value, or the last failure to make it.
#[derive(Debug)]
pub struct Shared<T> {
    value: Mutex<Option<T>>,
    failed: ShortMutex<Failed>,
}

#[derive(Debug, Default)]
struct Failed {
    times: u64,
    last: Option<Failure>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { value: Mutex::new(None), failed: ShortMutex::default() }
    }
}

impl<T: Clone> Shared<T> {
    /// The value; makes it where there is none. Whoever waits for another task's attempt gets that
    /// attempt's failure too: if all tried one after the other, each with its time-out, the last of
    /// sixteen would wait sixteen times as long.
    pub async fn get(&self, make: impl AsyncFnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let failures_before = self.failures();
        let mut value = self.value.lock().await;
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        if let Some(failure) = self.failure_since(failures_before) {
            return Err(failure);
        }
        match make().await {
            Ok(made) => {
                *value = Some(made.clone());
                Ok(made)
            }
            Err(failure) => {
                self.fail(failure.clone());
                Err(failure)
            }
        }
    }

    /// Drops the value, if it is still the one that is meant.
    pub async fn forget(&self, is_meant: impl Fn(&T) -> bool) {
        let mut value = self.value.lock().await;
        if value.as_ref().is_some_and(is_meant) {
            *value = None;
        }
    }

    fn failures(&self) -> u64 {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).times
    }

    fn failure_since(&self, times: u64) -> Option<Failure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.last.clone().filter(|_| failed.times > times)
    }

    fn fail(&self, failure: Failure) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.times += 1;
        failed.last = Some(failure);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::channel::oneshot;
    use futures::executor::block_on;
    use futures::future::join3;

    use super::*;

    #[test]
    fn waiting_tasks_share_one_attempt_and_its_failure() {
        let shared = Shared::<u32>::default();
        let attempts = Cell::new(0);
        let (fail, failing) = oneshot::channel::<()>();
        let attempt = async || {
            shared
                .get(async || {
                    attempts.set(attempts.get() + 1);
                    Err(Failure::TimedOut)
                })
                .await
        };
        let first = shared.get(async || {
            attempts.set(attempts.get() + 1);
            let _sent = failing.await;
            Err(Failure::TimedOut)
        });
        let release = async { attempt().await.and(Ok(0)) };
        let all = join3(first, release, async {
            fail.send(()).unwrap();
        });
        let (first, second, ()) = block_on(all);
        assert_eq!((first, second), (Err(Failure::TimedOut), Err(Failure::TimedOut)));
        assert_eq!(attempts.get(), 1);
        assert_eq!(block_on(shared.get(async || Ok(7))), Ok(7), "a later task tries again");
    }

    #[test]
    fn only_the_value_that_is_meant_is_forgotten() {
        let shared = Shared::<u32>::default();
        assert_eq!(block_on(shared.get(async || Ok(1))), Ok(1));
        block_on(shared.forget(|value| *value == 2));
        assert_eq!(block_on(shared.get(async || Ok(3))), Ok(1));
        block_on(shared.forget(|value| *value == 1));
        assert_eq!(block_on(shared.get(async || Ok(3))), Ok(3));
    }
}

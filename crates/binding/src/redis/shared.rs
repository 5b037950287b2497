//! A value that concurrent tasks make together, once, and keep.
//!
//! Who finds it in the making looks again after a pause of the port's, and is not woken by the maker:
//! in a component every request is a task of its own, and a task of one request that is woken by
//! another traps (wit-bindgen 0.57 under wasmtime 48). It happens once in the life of an instance.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Failure;

/// The value, or the last failure to make it.
#[derive(Debug)]
pub struct Shared<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    making: bool,
    failures: u64,
    last_failure: Option<Failure>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(State { value: None, making: false, failures: 0, last_failure: None }))
    }
}

impl<T: Clone> Shared<T> {
    /// The value; makes it where there is none. Whoever waits for another task's attempt gets that
    /// attempt's failure too: if all tried one after the other, each with its time-out, the last of
    /// sixteen would wait sixteen times as long.
    pub async fn get(
        &self,
        make: impl AsyncFnOnce() -> Result<T, Failure>,
        pause: impl AsyncFn(),
    ) -> Result<T, Failure> {
        let failures_before = self.state().failures;
        let making = loop {
            match self.look(failures_before) {
                Look::Found(result) => return result,
                Look::Make(making) => break making,
                Look::Wait => pause().await,
            }
        };
        let made = make().await;
        making.end(made.clone());
        made
    }

    /// Drops the value, if it is still the one that is meant.
    pub fn forget(&self, is_meant: impl Fn(&T) -> bool) {
        let mut state = self.state();
        if state.value.as_ref().is_some_and(is_meant) {
            state.value = None;
        }
    }

    fn look(&self, failures_before: u64) -> Look<'_, T> {
        let mut state = self.state();
        if let Some(value) = &state.value {
            return Look::Found(Ok(value.clone()));
        }
        if let Some(failure) = &state.last_failure
            && state.failures > failures_before
        {
            return Look::Found(Err(failure.clone()));
        }
        if state.making {
            return Look::Wait;
        }
        state.making = true;
        Look::Make(Making(self))
    }
}

impl<T> Shared<T> {
    /// The state is replaced in one step, so that a panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look<'a, T> {
    Found(Result<T, Failure>),
    Make(Making<'a, T>),
    Wait,
}

/// An attempt under way. Given up, it lets the next task try.
struct Making<'a, T>(&'a Shared<T>);

impl<T> Making<'_, T> {
    fn end(self, made: Result<T, Failure>) {
        let mut state = self.0.state();
        match made {
            Ok(value) => state.value = Some(value),
            Err(failure) => {
                state.failures += 1;
                state.last_failure = Some(failure);
            }
        }
    }
}

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        self.0.state().making = false;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::task::Poll;

    use futures::executor::block_on;
    use futures::future::join;

    use super::*;

    /// Lets the other task of a test go on.
    async fn pause() {
        let mut paused = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[test]
    fn waiting_tasks_share_one_attempt_and_its_failure() {
        let shared = Shared::<u32>::default();
        let attempts = Cell::new(0);
        let make = async || {
            attempts.set(attempts.get() + 1);
            pause().await;
            pause().await;
            Err(Failure::TimedOut)
        };
        let both = block_on(join(shared.get(make, pause), shared.get(make, pause)));
        assert_eq!(both, (Err(Failure::TimedOut), Err(Failure::TimedOut)));
        assert_eq!(attempts.get(), 1);
        let later = block_on(shared.get(async || Ok(7), pause));
        assert_eq!(later, Ok(7), "a later task tries again");
    }

    #[test]
    fn an_attempt_that_is_given_up_lets_the_next_task_try() {
        let shared = Shared::<u32>::default();
        block_on(async {
            let mut given_up = Box::pin(shared.get(async || pending().await, pause));
            assert!(futures::poll!(given_up.as_mut()).is_pending());
        });
        assert_eq!(block_on(shared.get(async || Ok(7), pause)), Ok(7));
    }

    #[test]
    fn only_the_value_that_is_meant_is_forgotten() {
        let shared = Shared::<u32>::default();
        let get = |value| block_on(shared.get(async move || Ok(value), pause));
        assert_eq!(get(1), Ok(1));
        shared.forget(|value| *value == 2);
        assert_eq!(get(3), Ok(1));
        shared.forget(|value| *value == 1);
        assert_eq!(get(3), Ok(3));
    }
}

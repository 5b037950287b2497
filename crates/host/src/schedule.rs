//! Turns for host calls: parked, and released one at a time in an order that a seed decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, oneshot};

use crate::lock::lock;

/// The calls that wait for their turn, and who is next.
pub(crate) struct Scheduler {
    /// In the order in which they came, which is reproducible on a single thread.
    parked: Mutex<Vec<Parked>>,
    order: Mutex<StdRng>,
    released: Mutex<Vec<String>>,
    /// Tells the driver that a call was parked.
    pub(crate) changed: Notify,
}

struct Parked {
    label: String,
    release: oneshot::Sender<Turn>,
}

/// The right to run; the next call is released when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    taken: Arc<AtomicBool>,
    _ended: oneshot::Sender<()>,
}

/// A call that was released.
pub(crate) struct Released {
    taken: Arc<AtomicBool>,
    /// Resolves when its turn is over.
    pub(crate) over: oneshot::Receiver<()>,
}

impl Released {
    /// Whether the call has begun. Once everything is at rest, one that has not is held up by its
    /// instance: while a guest waits in a call of a synchronous interface (key-value), nothing else
    /// of that instance goes on.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

impl Scheduler {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            parked: Mutex::default(),
            order: Mutex::new(StdRng::seed_from_u64(seed)),
            released: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Waits for the turn of this call.
    pub(crate) async fn park(&self, label: &str) -> Turn {
        let (release, turn) = oneshot::channel();
        lock(&self.parked).push(Parked { label: label.to_owned(), release });
        self.changed.notify_one();
        match turn.await {
            Ok(turn) => {
                turn.taken.store(true, Ordering::Release);
                lock(&self.released).push(label.to_owned());
                turn
            }
            // The scheduler is gone, and with it the simulation: nobody takes turns any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Releases one call.
    pub(crate) fn release_one(&self) -> Option<Released> {
        loop {
            let next = {
                let mut parked = lock(&self.parked);
                // Calls that their guest has given up have no effect.
                parked.retain(|call| !call.release.is_closed());
                if parked.is_empty() {
                    return None;
                }
                let index = lock(&self.order).random_range(0..parked.len());
                parked.remove(index)
            };
            let (ended, over) = oneshot::channel();
            let taken = Arc::new(AtomicBool::new(false));
            let turn = Turn { taken: Arc::clone(&taken), _ended: ended };
            if next.release.send(turn).is_ok() {
                return Some(Released { taken, over });
            }
        }
    }

    /// The calls in the order in which they took effect.
    pub(crate) fn released(&self) -> Vec<String> {
        lock(&self.released).clone()
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parked = lock(&self.parked);
        let parked = parked.iter().map(|call| call.label.as_str());
        write!(
            formatter,
            "parked {:?}, last released {:?}",
            parked.collect::<Vec<_>>(),
            lock(&self.released).last()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn order(seed: u64) -> Vec<String> {
        let scheduler = Scheduler::new(seed);
        let labels = (0..8).map(|number| number.to_string()).collect::<Vec<_>>();
        let mut calls =
            labels.iter().map(|label| Some(Box::pin(scheduler.park(label)))).collect::<Vec<_>>();
        for call in calls.iter_mut().flatten() {
            assert!(call.as_mut().now_or_never().is_none());
        }
        // A call that was given up is never released.
        calls[3] = None;
        while let Some(mut released) = scheduler.release_one() {
            assert!(released.over.try_recv().is_err(), "its turn is not over yet");
            assert!(!released.is_taken(), "nothing has run yet");
            for call in &mut calls {
                if let Some(future) = call
                    && future.as_mut().now_or_never().is_some()
                {
                    *call = None;
                }
            }
            assert!(released.is_taken());
        }
        scheduler.released()
    }

    #[test]
    fn the_seed_decides_the_order_and_abandoned_calls_are_skipped() {
        let first = order(1);
        assert_eq!(first, order(1));
        assert_eq!(first.len(), 7);
        assert!(!first.contains(&"3".to_owned()));
        assert!((2..20).any(|seed| order(seed) != first));
    }
}

//! Many schedules of a simulation, some at once.

use std::thread;

use crate::app::Place;

/// At the same time; each has a server of its own.
const THREADS: u64 = 2;

/// Runs so many schedules from a seed on, on Redis; what each did.
///
/// # Panics
/// A schedule failed.
pub fn run_all<R: Send + 'static>(from: u64, count: u64, one: fn(&Place, u64) -> R) -> Vec<R> {
    let each = count / THREADS;
    let threads = (0..THREADS).map(|number| {
        let first = from.wrapping_add(number * each);
        thread::spawn(move || {
            let place = Place::redis();
            (0..each).map(|number| one(&place, first.wrapping_add(number))).collect::<Vec<_>>()
        })
    });
    let done = threads.collect::<Vec<_>>().into_iter();
    done.flat_map(|thread| thread.join().expect("no schedule failed")).collect()
}

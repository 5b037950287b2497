//! A failing schedule made small: fewer steps, then fewer faults, as long as it fails at the same place.

use std::collections::{BTreeMap, BTreeSet};

use end_to_end::app::Place;
use host::Fault;

use crate::plan::{FAULTS, Plan, Reduction, StepId};
use crate::run::{Failure, run};

/// Schedules that are run for it at the most.
const RUNS_MAX: u32 = 400;

/// A schedule that fails, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What was taken away.
    pub reduction: Reduction,
    /// How it fails now.
    pub failure: Failure,
    /// Schedules that were run for it.
    pub runs: u32,
}

impl Shrunk {
    /// As text: the story, what did not hold, and how to see it again.
    pub fn text(&self, seed: u64) -> String {
        let Failure { message, place, story, .. } = &self.failure;
        format!(
            "{}\n\n{message}\n  checked at {place}\n  shrunk by {} schedules; again with:\n  \
             cargo xtask simulate --seed {seed}{}\n",
            story.join("\n"),
            self.runs,
            self.reduction
        )
    }
}

/// Makes a failing schedule small. It runs the seed at least once, to have the failure.
///
/// # Errors
/// The schedule does not fail.
pub fn shrink(place: &Place, seed: u64, reduction: &Reduction) -> Result<Shrunk, &'static str> {
    let plan = Plan::draw(seed, reduction);
    let Err(failure) = run(place, &plan) else { return Err("the schedule does not fail") };
    let shrunk = Shrunk { reduction: reduction.clone(), failure: *failure, runs: 1 };
    let mut shrinker = Shrinker { place, seed, shrunk };
    if shrinker.shrunk.reduction.faults.is_none() {
        shrinker.leave_out_kinds();
    }
    let steps: Vec<_> = Plan::draw(seed, &shrinker.shrunk.reduction).steps.into_iter().collect();
    shrinker.leave_out(steps, |reduction, steps: &[StepId]| {
        reduction.steps = Some(steps.iter().copied().collect::<BTreeSet<_>>());
    });
    let faults = &shrinker.shrunk.failure.faults;
    let faults: Vec<_> =
        faults.iter().filter_map(|call| Some((call.number, call.fault?))).collect();
    let listed = |reduction: &mut Reduction, faults: &[(u64, Fault)]| {
        reduction.faults = Some(faults.iter().copied().collect::<BTreeMap<_, _>>());
    };
    // By number they must do the same as by chance, or nothing can be left out.
    if shrinker.fails_with(|reduction| listed(reduction, &faults)) {
        shrinker.leave_out(faults, listed);
    }
    Ok(shrinker.shrunk)
}

struct Shrinker<'a> {
    place: &'a Place,
    seed: u64,
    shrunk: Shrunk,
}

impl Shrinker<'_> {
    /// Keeps a change where the schedule fails as before.
    fn fails_with(&mut self, change: impl FnOnce(&mut Reduction)) -> bool {
        if self.shrunk.runs >= RUNS_MAX {
            return false;
        }
        let mut reduction = self.shrunk.reduction.clone();
        change(&mut reduction);
        self.shrunk.runs += 1;
        match run(self.place, &Plan::draw(self.seed, &reduction)) {
            Err(failure) if failure.place == self.shrunk.failure.place => {
                self.shrunk.reduction = reduction;
                self.shrunk.failure = *failure;
                true
            }
            _ => false,
        }
    }

    fn leave_out_kinds(&mut self) {
        for kind in FAULTS {
            self.fails_with(|reduction| {
                reduction.with.remove(kind);
                reduction.without.insert(kind.to_owned());
            });
        }
    }

    /// Leaves out halves, then quarters, and so on, down to one by one (delta debugging: Zeller and
    /// Hildebrandt, IEEE TSE 2002).
    fn leave_out<T: Clone>(&mut self, mut all: Vec<T>, set: impl Fn(&mut Reduction, &[T]) + Copy) {
        let mut size = all.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < all.len() {
                let mut rest = all.clone();
                rest.drain(from..(from + size).min(all.len()));
                if self.fails_with(|reduction| set(reduction, &rest)) {
                    all = rest;
                } else {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
}

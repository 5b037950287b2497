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
    let runs = |reduction: &Reduction| run(place, &Plan::draw(seed, reduction)).map(drop);
    shrink_by(runs, seed, reduction)
}

/// The same, of whatever runs a schedule.
fn shrink_by<R>(runs: R, seed: u64, reduction: &Reduction) -> Result<Shrunk, &'static str>
where
    R: Fn(&Reduction) -> Result<(), Box<Failure>>,
{
    let Err(failure) = runs(reduction) else { return Err("the schedule does not fail") };
    let shrunk = Shrunk { reduction: reduction.clone(), failure: *failure, runs: 1 };
    let mut shrinker = Shrinker { fails: runs, shrunk };
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

struct Shrinker<R> {
    fails: R,
    shrunk: Shrunk,
}

impl<R: Fn(&Reduction) -> Result<(), Box<Failure>>> Shrinker<R> {
    /// Keeps a change where the schedule fails as before.
    fn fails_with(&mut self, change: impl FnOnce(&mut Reduction)) -> bool {
        if self.shrunk.runs >= RUNS_MAX {
            return false;
        }
        let mut reduction = self.shrunk.reduction.clone();
        change(&mut reduction);
        self.shrunk.runs += 1;
        match (self.fails)(&reduction) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use host::{Call, TracedCall};

    fn failure(place: &str, calls: &[u64]) -> Box<Failure> {
        let call = |number: &u64| TracedCall {
            number: *number,
            call: Call::RedisExecute,
            detail: String::new(),
            fault: Some(Fault::LostReply),
        };
        let faults = calls.iter().map(call).collect();
        let (message, story) = ("two steps and one fault".to_owned(), Vec::new());
        Box::new(Failure { message, place: place.to_owned(), story, faults })
    }

    /// It fails by two steps together, while lost replies are in play and the one at call 17 is.
    fn runs(seed: u64, reduction: &Reduction) -> Result<(), Box<Failure>> {
        let steps = Plan::draw(seed, reduction).steps;
        let has = |client, step| steps.contains(&StepId { client, step });
        if !has(1, 0) && has(0, 0) {
            return Err(failure("elsewhere", &[]));
        }
        let lost = !reduction.without.contains("lost-reply");
        let at_17 = reduction.faults.as_ref().is_none_or(|faults| faults.contains_key(&17));
        let is_hit = reduction.faults.is_some() || lost;
        if has(0, 0) && has(1, 0) && is_hit && at_17 {
            return Err(failure("here", &[3, 17, 40, 41]));
        }
        Ok(())
    }

    #[test]
    fn a_failing_schedule_keeps_only_what_it_needs() {
        let seed = 5;
        let shrunk =
            shrink_by(|reduction| runs(seed, reduction), seed, &Reduction::default()).unwrap();
        let steps = [(0, 0), (1, 0)].map(|(client, step)| StepId { client, step });
        assert_eq!(shrunk.reduction.steps, Some(steps.into()));
        assert_eq!(shrunk.reduction.faults, Some([(17, Fault::LostReply)].into()));
        assert!(!shrunk.reduction.without.contains("lost-reply"));
        assert!(shrunk.reduction.without.contains("crash-after"));
        assert_eq!(shrunk.failure.place, "here");
        let text = shrunk.text(seed);
        assert!(text.contains(" --steps 0.0,1.0 --faults 17:lost-reply"), "{text}");
    }

    #[test]
    fn a_schedule_that_does_not_fail_is_not_shrunk() {
        let never = |_: &Reduction| Ok(());
        assert!(shrink_by(never, 5, &Reduction::default()).is_err());
    }
}

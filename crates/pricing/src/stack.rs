//! Which offers of one layer are taken: all, but of an exclusive group one.

use std::cmp::Reverse;

use crate::activity::{Activity, Mode};
use crate::explain::{Code, Reason};
use crate::offer::Offer;

/// An activity of the layer that has something to offer.
pub(crate) struct Candidate<'a> {
    /// The activity.
    pub activity: &'a Activity,
    /// Its place among all that were considered.
    pub place: usize,
    /// What it would give, were it alone.
    pub offer: Offer<'a>,
}

/// Takes offers off `left`, what is left of each line in cents. Candidates come by priority and id.
/// Writes to `reasons`, by place, what became of each; appends to `given` what is given, in order.
pub(crate) fn settle<'a>(
    candidates: Vec<Candidate<'a>>,
    left: &mut [i64],
    reasons: &mut [Reason],
    given: &mut Vec<Candidate<'a>>,
) {
    // Groups come last, so that a member more in the last one can only make it better: nothing after
    // it computes on what it leaves. Stable: within a group by priority and id, as before.
    let mut by_group: Vec<Candidate<'_>> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = by_group.partition_point(|one| group_of(one) <= group_of(&candidate));
        by_group.insert(place, candidate);
    }
    let mut candidates = by_group.into_iter().peekable();
    while let Some(first) = candidates.next() {
        let (group, mode) = match &first.activity.stacking.exclusive {
            Some(exclusive) => (Some(exclusive.group.as_str()), exclusive.mode),
            None => (None, Mode::First),
        };
        let mut members = vec![first];
        if group.is_some() {
            while let Some(member) = candidates.next_if(|next| group_of(next) == group) {
                members.push(member);
            }
        }
        for member in &mut members {
            member.offer.clip(left);
            let something = !member.offer.units.is_empty();
            let code = if something { Code::ExcludedByGroup } else { Code::NothingLeftToDiscount };
            reasons[member.place] = code.into();
        }
        members.retain(|member| !member.offer.units.is_empty());
        let Some(winner) = choose(members, mode) else { continue };
        reasons[winner.place] = Code::Applied.into();
        for (line, share) in winner.offer.members.iter().zip(&winner.offer.shares) {
            left[usize::from(*line)] -= share;
        }
        given.push(winner);
    }
}

fn group_of<'a>(candidate: &Candidate<'a>) -> Option<&'a str> {
    candidate.activity.stacking.exclusive.as_ref().map(|exclusive| exclusive.group.as_str())
}

/// The member that is given, of those that have something to give, by priority and id.
fn choose(members: Vec<Candidate<'_>>, mode: Mode) -> Option<Candidate<'_>> {
    let mut members = members.into_iter();
    match mode {
        Mode::First => members.next(),
        // Of equal ones `min_by_key` keeps the first.
        Mode::Best => members.min_by_key(|member| Reverse(member.offer.discount())),
    }
}

//! Evaluating a cart under what the store holds; live against drafts, too.

use domain::error::InvalidInput;
use domain::ids::UserId;
use pricing::cart::Cart;
use pricing::considered::Considered;
use pricing::decide::{ACTIVITIES_MAX, evaluate_considered};
use pricing::evaluation::Evaluation;
use store::Binding;

use crate::catalogue::{Candidate, View};
use crate::context::Context;
use crate::look_up::candidates;
use crate::refusal::{Failure, Refusal};
use crate::uses::{Facts, facts};

/// Everything that an evaluation needs of the store.
#[derive(Debug)]
pub struct Prepared {
    candidates: Vec<Candidate>,
    facts: Facts,
}

/// Reads what evaluating a cart needs; nothing but purchase limits where an instance knows the rest.
/// Where a user is named, the store says whether they are new, and not the cart.
///
/// # Errors
/// `too_many_activities`; the store's.
pub async fn prepare<B: Binding>(
    context: &Context<'_, B>,
    user: Option<UserId>,
    cart: &mut Cart<'_>,
    view: View,
) -> Result<Prepared, Failure> {
    let candidates = candidates(context, &cart.lines, view).await?;
    if candidates.len() > ACTIVITIES_MAX {
        return Err(Refusal::TooManyActivities("the cart".into()).into());
    }
    let facts = facts(context, user, &candidates, cart).await?;
    if user.is_some() {
        cart.context.is_new = facts.is_new;
    }
    Ok(Prepared { candidates, facts })
}

impl Prepared {
    /// What the cart costs, and why.
    ///
    /// # Errors
    /// As [`pricing::decide::evaluate`].
    pub fn evaluate<'a>(&'a self, cart: &'a Cart<'_>) -> Result<Evaluation<'a>, InvalidInput> {
        let considered: Vec<Considered<'_>> =
            self.candidates.iter().filter_map(Candidate::considered).collect();
        evaluate_considered(&considered, cart, |activity, unit| {
            self.facts.uses_left(activity, unit)
        })
    }

    /// The activities that name something in the cart.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// What the store says about the customer and the limits.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

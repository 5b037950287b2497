//! Why an activity applied, or which step it failed first.

use domain::integer::Count;
use domain::money::Amount;
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
use serde::Serialize;

/// What became of an activity. A step comes before those that are listed after it: the code is that
/// of the first step that failed; of several units, that of the one that came furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "ExplanationCode")
)]
pub enum Code {
    /// It is switched off.
    Disabled,
    /// Its window has not begun.
    NotStarted,
    /// Its window is over.
    Ended,
    /// The cart is in another currency.
    WrongCurrency,
    /// Not on this platform, or the platform is not known.
    WrongPlatform,
    /// Not by this channel, or the channel is not known.
    WrongChannel,
    /// Not in this region, or the region is not known.
    WrongRegion,
    /// The user is in none of its segments.
    WrongSegment,
    /// It is for new users, and it is not known whether this one is new.
    UserUnknown,
    /// It is for new users, and this one has paid before.
    NotANewUser,
    /// No line of the cart is of its products.
    NoLineSelected,
    /// A unit costs too little; the shortfall says by how much.
    AmountTooLow,
    /// A unit has too few pieces; the shortfall says by how many.
    QuantityTooLow,
    /// The user has used it as often as they may, or all users together.
    LimitUsedUp,
    /// The lines cost nothing any more, or not more than they would with it.
    NothingLeftToDiscount,
    /// Another member of its exclusive group was given: an earlier or a better one.
    ExcludedByGroup,
    /// It was given.
    Applied,
}

/// What is missing for the first tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub enum Shortfall {
    /// Cents.
    Amount(Amount),
    /// Pieces.
    Quantity(Count),
}

/// A code, and what is missing where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub code: Code,
    pub shortfall: Option<Shortfall>,
}

impl Reason {
    /// Of two units of one activity, the reason of the one that came further; of two at the same
    /// step, of the one that lacks less.
    pub fn further(self, other: Self) -> Self {
        let nearer = other.code == self.code && other.shortfall < self.shortfall;
        if other.code > self.code || nearer { other } else { self }
    }
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        Self { code, shortfall: None }
    }
}

/// What became of one activity that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Explanation<'a> {
    /// The activity's id.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub activity: &'a str,
    /// Whether it was given.
    pub applied: bool,
    /// `applied`, or the step that failed.
    pub code: Code,
    /// What is missing for the first tier, with `amount_too_low` and `quantity_too_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(activity: &'a str, reason: Reason) -> Self {
        let Reason { code, shortfall } = reason;
        Self { activity, applied: code == Code::Applied, code, shortfall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_units_the_one_that_came_further_is_told() {
        let low = |cents| Reason {
            code: Code::AmountTooLow,
            shortfall: Some(Shortfall::Amount(Amount::new(cents).unwrap())),
        };
        let used_up = Reason::from(Code::LimitUsedUp);
        assert_eq!(low(5).further(low(3)), low(3));
        assert_eq!(low(3).further(low(5)), low(3));
        assert_eq!(low(3).further(used_up), used_up);
        assert_eq!(used_up.further(low(3)), used_up);
    }
}

//! Shapes of parameters, and of what stands in answers.

use domain::named;
use schemars::{JsonSchema, json_schema};

use crate::quarantine::PAGE_MAX;

/// Characters of the id of something that is set aside, or of a payment for which there was no use.
pub(crate) const ID_CHARACTERS_MAX: usize = 700;

/// The id of a payment.
pub(crate) struct PaymentId;

named!(PaymentId, "PaymentId", _generator => json_schema!({
    "type": "string",
    "maxLength": ID_CHARACTERS_MAX,
    "description": "As the list gave it.",
}));

/// How much is compared.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) enum ScopeName {
    /// Users whose coupons, orders or wallet changed today or yesterday, or who opened a group then.
    Recent,
    /// All there ever were, and what they have together.
    Full,
}

/// What is listed.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) enum ItemState {
    /// What is to be looked at.
    SetAside,
    /// What operators dropped.
    Dropped,
}

/// Items of a page.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Limit(#[schemars(range(min = 1, max = PAGE_MAX))] u32);

/// Where a list goes on.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct PlaceId(#[schemars(length(max = ID_CHARACTERS_MAX))] String);

/// A day.
#[derive(JsonSchema)]
#[schemars(inline, extend("format" = "date"))]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Day(String);

//! What is answered. All amounts are cents of the cart's currency.

use domain::money::Amount;
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
use domain::time::UnixMillis;
use serde::Serialize;

use crate::activity::Scope;
use crate::explain::Explanation;

/// What a cart costs, and why. The discounts of `lines`, those of `units`, and `discount` have the
/// same sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Evaluation<'a> {
    /// Every line, by id.
    pub lines: Vec<LineTotal<'a>>,
    /// What was given: by layer, then in the order in which the layer gives; an activity's units by
    /// key.
    pub units: Vec<UnitGiven<'a>>,
    /// All lines without promotions.
    pub subtotal: Amount,
    /// What is taken off.
    pub discount: Amount,
    /// What remains.
    pub total: Amount,
    /// Whether the cart is sent at no cost.
    pub free_shipping: bool,
    /// The next moment at which an activity that is switched on and was considered starts or ends:
    /// until then this answer holds for the same cart, customer and activities, as long as purchase
    /// limits leave as much. Null: no such moment is known.
    pub valid_until: Option<UnixMillis>,
    /// Every activity that was considered, once: by layer, priority and id.
    pub explanations: Vec<Explanation<'a>>,
}

/// What one line costs: `subtotal` less `discount` is `total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct LineTotal<'a> {
    /// The line's id.
    pub line: &'a str,
    /// Without promotions.
    pub subtotal: Amount,
    /// What is taken off, between nothing and the subtotal.
    pub discount: Amount,
    /// What remains.
    pub total: Amount,
}

/// What one unit was given by one activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct UnitGiven<'a> {
    /// The activity's id.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub activity: &'a str,
    /// Which lines the activity counts together.
    pub scope: Scope,
    /// What the lines share: a SKU, a brand, and so on; for scope `activity` the activity's id.
    pub key: &'a str,
    /// The lines that were counted, by id.
    pub lines: Vec<&'a str>,
    /// What is taken off each of these lines, in the same order.
    pub discounts: Vec<Amount>,
    /// The sum of `discounts`.
    pub discount: Amount,
    /// Uses that the purchase limits count: what an order of it takes, see `POST /v1/users/{user}/purchases`.
    pub uses: u32,
    /// What is given in addition.
    pub gifts: Vec<GiftGiven<'a>>,
}

/// A present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct GiftGiven<'a> {
    /// Its SKU.
    pub sku: &'a str,
    /// Pieces.
    pub quantity: u32,
}

//! Shapes of parameters, and of what is written by one type in several ways.

use domain::integer::Count;
use domain::order_number::Part;
use domain::time::UnixMillis;
use schemars::JsonSchema;

use crate::parse::PAGE_MAX;

/// Coupons of a page.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Limit(#[schemars(range(min = 1, max = PAGE_MAX))] u32);

/// Counts; as `amount` cents, where a coupon has a most that it costs. Without a stock, the total is what was
/// given or is held.
#[derive(JsonSchema)]
#[schemars(rename = "Stock")]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct StockCounts {
    total: Count,
    issued: Count,
    reserved: Count,
    /// In the partitions, for their users.
    #[serde(skip_serializing_if = "Option::is_none")]
    leased: Option<Count>,
    /// In the pool; what low water keeps back is part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Count>,
}

/// What a template was.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct SealedTemplate {
    /// When it was sealed.
    at: UnixMillis,
    activity: Part<'static>,
    scene: Part<'static>,
    /// From when on coupons were given.
    from: UnixMillis,
    /// Until when.
    until: UnixMillis,
    /// Coupons that there were; left out where the scene has no stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Count>,
    /// Coupons that were given.
    issued: Count,
}

/// What a campaign was.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct SealedCampaign {
    /// When it was sealed.
    at: UnixMillis,
    /// Of its reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Part<'static>>,
}

/// What became of the coupons of a template that are revoked.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct CouponsRevoked {
    /// Looked at; one who had to do with coupons on two days counts twice.
    users: Count,
    /// Coupons, by this call.
    revoked: Count,
    /// Coupons that are held: they are left, and may be confirmed.
    reserved: Count,
    /// Orders and users that cannot be read, until operators see to it.
    unreadable: Count,
    /// Where the next call goes on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What became of the coupons of a template that are extended.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct CouponsExtended {
    /// Looked at; one who had to do with coupons on two days counts twice.
    users: Count,
    /// Coupons, by this call.
    extended: Count,
    /// Coupons that are held: they are left, and may be confirmed.
    reserved: Count,
    /// Orders and users that cannot be read, until operators see to it.
    unreadable: Count,
    /// Where the next call goes on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

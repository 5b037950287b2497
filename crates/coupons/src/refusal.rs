//! Why a request got nothing: refusals are normal answers of the business, each with a stable code.

use edge::Problem;

/// A refusal. Nothing was changed, unless the case says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All coupons are out, or held.
    SoldOut,
    /// The amount does not last for another coupon.
    BudgetExhausted,
    /// The user has as many of this template as one user may have.
    UserLimit,
    /// The claim window has not begun.
    NotStarted,
    /// The claim window is over.
    Ended,
    /// The user is not new, or in none of the segments.
    NotEligible,
    /// An operator switched the template or the campaign off.
    Disabled,
    /// There is no such template.
    UnknownTemplate,
    /// More would be taken off than one coupon may.
    OverSingleCap,
    /// The user gets awards of this scene faster than they may; so many seconds until the next one.
    RateLimited(u32),
    /// The user's record is full.
    TooManyCoupons,
    /// The number was used for something else.
    OrderNumberReused,
    /// Nothing is known under this order number.
    UnknownOrder,
    /// The user has no such coupon.
    UnknownCoupon,
    /// The reservation was cancelled.
    Cancelled,
    /// The reservation has expired.
    ReservationExpired,
    /// The order has a coupon already, which is no longer reserved.
    AlreadyConfirmed,
    /// The coupon is redeemed, by another order.
    AlreadyRedeemed,
    /// The redemption by this order was rolled back.
    RolledBack,
    /// More redemptions of one coupon were rolled back than it remembers.
    TooManyRollbacks,
    /// The coupon is not valid yet.
    NotYetValid,
    /// The coupon is not valid any more.
    Expired,
    /// The coupon is reserved, and not given yet.
    NotConfirmed,
    /// Coupons were given, and this field cannot change any more.
    FieldFixed(&'static str),
    /// More coupons are out than the new stock or budget would allow.
    StockInUse,
    /// Somebody else published at the same time.
    PublishedMeanwhile,
    /// The user's one chance for this campaign is used.
    ChanceUsed,
    /// There is no such campaign.
    UnknownCampaign,
    /// Nobody set up such a scene.
    UnknownScene,
    /// The batch has as many parts as one may have.
    BatchFull,
    /// Nothing was issued under this batch.
    UnknownBatch,
}

impl Refusal {
    /// Its status, code and sentence.
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::SoldOut => (409, "sold_out", "no coupon is left"),
            Self::BudgetExhausted => (409, "budget_exhausted", "the budget is spent"),
            Self::UserLimit => (409, "user_limit", "the user has as many as one user may have"),
            Self::NotStarted => (409, "not_started", "the claim window has not begun"),
            Self::Ended => (409, "ended", "the claim window is over"),
            Self::NotEligible => (409, "not_eligible", "this is not for this user"),
            Self::Disabled => (409, "disabled", "the template or campaign is switched off"),
            Self::UnknownTemplate => (404, "unknown_template", "there is no such template"),
            Self::OverSingleCap => {
                (409, "over_single_cap", "the amount is above what one coupon may take off")
            }
            Self::RateLimited(_) => {
                (429, "rate_limited", "the user gets awards of this scene too fast")
            }
            Self::TooManyCoupons => (409, "too_many_coupons", "the user's record is full"),
            Self::OrderNumberReused => {
                (422, "order_number_reused", "the number was used with another body")
            }
            Self::UnknownOrder => (404, "unknown_order", "nothing is known under this number"),
            Self::UnknownCoupon => (404, "unknown_coupon", "the user has no such coupon"),
            Self::Cancelled => (409, "cancelled", "the reservation was cancelled"),
            Self::ReservationExpired => (409, "reservation_expired", "the reservation has expired"),
            Self::AlreadyConfirmed => {
                (409, "already_confirmed", "the coupon is given and no longer reserved")
            }
            Self::AlreadyRedeemed => {
                (409, "already_redeemed", "the coupon is redeemed by another order")
            }
            Self::RolledBack => {
                (409, "rolled_back", "the redemption by this order was rolled back")
            }
            Self::TooManyRollbacks => {
                (409, "too_many_rollbacks", "the coupon was rolled back too many times")
            }
            Self::NotYetValid => (409, "not_yet_valid", "the coupon is not valid yet"),
            Self::Expired => (409, "expired", "the coupon is not valid any more"),
            Self::NotConfirmed => (409, "not_confirmed", "the coupon is only reserved"),
            Self::FieldFixed(_) => (409, "field_fixed", "this cannot change any more"),
            Self::StockInUse => (409, "stock_in_use", "more coupons are out than that would allow"),
            Self::PublishedMeanwhile => {
                (409, "published_meanwhile", "somebody else published at the same time")
            }
            Self::ChanceUsed => {
                (409, "chance_used", "the user's one chance for this campaign is used")
            }
            Self::BatchFull => (409, "batch_full", "a batch has at most 1023 parts"),
            Self::UnknownBatch => (404, "unknown_batch", "nothing was issued under this batch"),
            Self::UnknownCampaign => (404, "unknown_campaign", "there is no such campaign"),
            Self::UnknownScene => (404, "unknown_scene", "nobody set up such a scene"),
        }
    }

    /// Its stable code.
    pub fn code(self) -> &'static str {
        self.words().1
    }

    /// What it says to a person.
    pub fn detail(self) -> &'static str {
        self.words().2
    }

    /// Seconds after which asking again may help, where that is known.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, detail) = refusal.words();
        let problem = Self::new(status, code, detail);
        match refusal {
            Refusal::FieldFixed(field) => problem.about(field),
            Refusal::StockInUse => problem.about("stock"),
            Refusal::RateLimited(seconds) => problem.after(seconds),
            _ => problem,
        }
    }
}

/// Why an operation gave nothing.
pub type Failure = edge::Failure<Refusal>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_it_is_about_and_when_to_ask_again() {
        let table = [
            (Refusal::SoldOut, 409, "sold_out", None, None),
            (Refusal::FieldFixed("value"), 409, "field_fixed", Some("value"), None),
            (Refusal::StockInUse, 409, "stock_in_use", Some("stock"), None),
            (Refusal::RateLimited(8), 429, "rate_limited", None, Some(8)),
            (Refusal::OrderNumberReused, 422, "order_number_reused", None, None),
            (Refusal::UnknownCoupon, 404, "unknown_coupon", None, None),
        ];
        for (refusal, status, code, field, retry_after) in table {
            let problem = Problem::from(refusal);
            assert_eq!((problem.status, problem.code), (status, code));
            assert_eq!((refusal.code(), refusal.detail()), (code, problem.detail.as_str()));
            assert_eq!(problem.field.as_deref(), field, "{code}");
            assert_eq!(problem.retry_after, retry_after, "{code}");
            assert_eq!(refusal.retry_after(), retry_after.map(u32::from), "{code}");
        }
    }
}

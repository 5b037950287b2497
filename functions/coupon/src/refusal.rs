//! Refusals -> problems.

use coupons::refusal::{Failure, Refusal};
use edge::Problem;

/// Why a command gave nothing, for a caller.
pub fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::Invalid(error) => error.into(),
        Failure::Store(error) => error.into(),
        Failure::Refused(refusal) => {
            let problem = Problem::new(status(refusal), refusal.code(), refusal.detail());
            let problem = match refusal.field() {
                Some(field) => problem.about(field),
                None => problem,
            };
            match refusal.retry_after() {
                Some(seconds) => problem.after(seconds),
                None => problem,
            }
        }
    }
}

fn status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::UnknownTemplate
        | Refusal::UnknownOrder
        | Refusal::UnknownCoupon
        | Refusal::UnknownBatch
        | Refusal::UnknownCampaign
        | Refusal::UnknownScene => 404,
        Refusal::OrderNumberReused | Refusal::TooOld => 422,
        Refusal::RateLimited(_) => 429,
        Refusal::SoldOut
        | Refusal::BudgetExhausted
        | Refusal::UserLimit
        | Refusal::NotStarted
        | Refusal::Ended
        | Refusal::NotEligible
        | Refusal::ImportIncomplete
        | Refusal::Disabled
        | Refusal::OverSingleCap
        | Refusal::TooManyCoupons
        | Refusal::Cancelled
        | Refusal::ReservationExpired
        | Refusal::AlreadyConfirmed
        | Refusal::AlreadyRedeemed
        | Refusal::RolledBack
        | Refusal::TooManyRollbacks
        | Refusal::RedemptionFinal
        | Refusal::Revoked
        | Refusal::BelowThreshold
        | Refusal::WrongCurrency
        | Refusal::TemplateEnabled
        | Refusal::NotYetValid
        | Refusal::Expired
        | Refusal::NotConfirmed
        | Refusal::FieldFixed(_)
        | Refusal::StockInUse
        | Refusal::Sealed
        | Refusal::PublishedMeanwhile
        | Refusal::ChanceUsed
        | Refusal::BatchFull => 409,
    }
}

#[cfg(test)]
mod tests {
    use domain::error::InvalidInput;
    use domain::transaction::CommitError;

    use super::*;

    #[test]
    fn a_refusal_says_what_it_is_about_and_when_to_ask_again() {
        let table = [
            (Refusal::SoldOut, 409, "sold_out", None, None),
            (Refusal::FieldFixed("value"), 409, "field_fixed", Some("value"), None),
            (Refusal::StockInUse, 409, "stock_in_use", Some("stock"), None),
            (Refusal::RateLimited(8), 429, "rate_limited", None, Some(8)),
            (Refusal::OrderNumberReused, 422, "order_number_reused", None, None),
            (Refusal::TooOld, 422, "too_old", Some("order_number"), None),
            (Refusal::UnknownCoupon, 404, "unknown_coupon", None, None),
        ];
        for (refusal, status, code, field, retry_after) in table {
            let problem = problem(refusal.into());
            assert_eq!((problem.status, problem.code), (status, code));
            assert_eq!(problem.detail, refusal.detail());
            assert_eq!(problem.field.as_deref(), field, "{code}");
            assert_eq!(problem.retry_after, retry_after, "{code}");
        }
    }

    #[test]
    fn what_is_no_refusal_is_what_it_is_everywhere() {
        let invalid = InvalidInput::new("invalid_value", "stock", "must be there");
        let invalid = problem(invalid.into());
        assert_eq!((invalid.status, invalid.field.as_deref()), (400, Some("stock")));
        let unreadable = problem(CommitError::Unreadable("an order".into()).into());
        assert_eq!((unreadable.status, unreadable.code), (503, "record_unreadable"));
    }
}

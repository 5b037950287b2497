//! What operations on the coupons of a user promise.

use ::coupons::list::State;
use ::coupons::refusal::Refusal;
use edge::contract::operation::{order_number, user};
use edge::contract::{Operation as Promise, Parameter};
use serde_json::json;

use super::shapes::Limit;
use super::{Alike as _, coupon, example, key, refused};
use crate::parse::{ClaimBody, ExtendBody, PAGE_DEFAULT, RedeemBody, RevokeBody, RollbackBody};
use crate::render::PageBody;

pub(super) fn issue() -> Promise {
    Promise::new("issueCoupon", "Issue a coupon, exactly once")
        .description(
            "Under the order number of the body, or the one made of the `play`, \
                 `{user}_{activity}_{scene}_{round}_{award}_{stage}`; else under that of \
                 `Idempotency-Key`. The same request again gets the recorded outcome. Where \
                 the template is empty or at low water, its fallback is given, or its \
                 greeting. A refusal changes nothing and records nothing. What an order \
                 gave is told until it was over for as long as the operators keep such \
                 things, at least a week; afterwards its number is `too_old`.",
        )
        .parameter(user())
        .parameter(key())
        .body::<ClaimBody>(json!({"order_number": "A-1", "template": "spring-15"}))
        .gives(201)
        .refuses_claims()
}

pub(super) fn look_up() -> Promise {
    Promise::new("lookUpOrder", "Has this number acted, and with what result?")
        .parameter(user())
        .parameter(order_number())
        .gives(200)
        .refuses(
            "Nothing is known under this number, or not any more.",
            refused(&[Refusal::UnknownOrder]),
        )
}

pub(super) fn list() -> Promise {
    Promise::new("listCoupons", "A user's coupons, the latest first")
        .parameter(user())
        .parameter(Parameter::query::<State>("state"))
        .parameter(Parameter::query::<String>("cursor").description("Of the page before."))
        .parameter(Parameter::query::<Limit>("limit").default(PAGE_DEFAULT))
        .answers::<PageBody<'static>>(
            200,
            "One page; `cursor` is there where more follow.",
            json!({
                "coupons": [example()],
                "cursor": "1771070400000~A-1"
            }),
        )
}

pub(super) fn redeem() -> Promise {
    Promise::new("redeemCoupon", "Redeem a coupon with an order of the shop")
        .description(
            "Once, and by one order. The same order with the same amount again gets the \
                 recorded outcome, with another amount `order_number_reused`. An order \
                 whose redemption was rolled back redeems this coupon no more. Threshold \
                 and currency are looked at only where `order_amount` and `currency` say \
                 what the cart is, and only the first time: whoever leaves them out has \
                 looked at them. What `amount` leaves of the coupon's face returns to the \
                 template's budget when the redemption is final; without an `amount` \
                 nothing does.",
        )
        .parameter(user())
        .parameter(coupon())
        .body::<RedeemBody>(json!({
            "order": "2026-1",
            "amount": "1500",
            "order_amount": "1990",
            "currency": "CNY"
        }))
        .gives(200)
        .refuses(
            "The user has no such coupon, or not any more.",
            refused(&[Refusal::UnknownCoupon]),
        )
        .refuses(
            "Nothing was changed; the code says why.",
            refused(&[
                Refusal::NotConfirmed,
                Refusal::NotYetValid,
                Refusal::Expired,
                Refusal::OverSingleCap,
                Refusal::AlreadyRedeemed,
                Refusal::RolledBack,
                Refusal::TooManyRollbacks,
                Refusal::BelowThreshold,
                Refusal::WrongCurrency,
                Refusal::Revoked,
            ]),
        )
        .refuses("The number was used with another body.", refused(&[Refusal::OrderNumberReused]))
}

pub(super) fn rollback() -> Promise {
    Promise::new("rollBackCoupon", "Roll a redemption back")
        .description(
            "The coupon is usable again, by other orders. Also before the redemption \
                 came: then it comes no more. As many days after the redemption as the \
                 template's `rollback_days` said when the coupon was given, it is final: \
                 `redemption_final`.",
        )
        .parameter(user())
        .parameter(coupon())
        .body::<RollbackBody>(json!({"order": "2026-1"}))
        .gives(200)
        .refuses(
            "The user has no such coupon, or not any more.",
            refused(&[Refusal::UnknownCoupon]),
        )
        .refuses(
            "Nothing was changed; the code says why.",
            refused(&[
                Refusal::NotConfirmed,
                Refusal::AlreadyRedeemed,
                Refusal::TooManyRollbacks,
                Refusal::RedemptionFinal,
                Refusal::Revoked,
            ]),
        )
}

pub(super) fn revoke() -> Promise {
    Promise::new("revokeCoupon", "Take a coupon back that is not redeemed")
        .description(
            "The user can redeem it no more, and gets no other one for it; somebody \
                 else can have it. Again, it is what was recorded.",
        )
        .parameter(user())
        .parameter(coupon())
        .body::<RevokeBody>(json!({"reason": "sent by mistake"}))
        .gives(200)
        .refuses(
            "The user has no such coupon, or not any more.",
            refused(&[Refusal::UnknownCoupon]),
        )
        .refuses(
            "Nothing was changed; the code says why.",
            refused(&[Refusal::NotConfirmed, Refusal::AlreadyRedeemed, Refusal::Expired]),
        )
}

pub(super) fn extend() -> Promise {
    Promise::new("extendCoupon", "Make a coupon valid for longer")
        .description(
            "It is valid until then at least: what is so already does not change, and \
                 is told with `replayed`.",
        )
        .parameter(user())
        .parameter(coupon())
        .body::<ExtendBody>(json!({"valid_until": "2026-06-01T00:00:00Z"}))
        .gives(200)
        .refuses(
            "The user has no such coupon, or its template is no more.",
            refused(&[Refusal::UnknownCoupon, Refusal::UnknownTemplate]),
        )
        .refuses(
            "Nothing was changed; the code says why.",
            refused(&[
                Refusal::NotConfirmed,
                Refusal::AlreadyRedeemed,
                Refusal::Expired,
                Refusal::Revoked,
            ]),
        )
}

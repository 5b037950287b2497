//! What reservations, and operators' operations on the coupons of a user, promise.

use ::coupons::refusal::Refusal;
use edge::contract::Operation as Promise;
use edge::contract::operation::{order_number, user};
use serde_json::json;

use super::{coupon, key, refused};
use crate::parse::{CancelBody, ExtendBody, ReservationBody, RevokeBody};
use crate::render::OutcomeBody;

pub(super) fn revoke() -> Promise {
    Promise::new("revokeCoupon", "Take a coupon back that is not redeemed")
        .description(
            "The user can redeem it no more, and gets no other one for it; somebody \
                 else can have it. Again, it is what was recorded.",
        )
        .parameter(user())
        .parameter(coupon())
        .body::<RevokeBody>(json!({"reason": "sent by mistake"}))
        .answers::<OutcomeBody<'static>>(
            200,
            "What the number gave, now or earlier.",
            json!({
                "order_number": "A-1",
                "outcome": "issued",
                "coupon": {
                    "coupon": "A-1",
                    "template": "spring-15",
                    "version": 1,
                    "state": "usable",
                    "kind": "amount_off",
                    "value": "1500",
                    "threshold": "1510",
                    "currency": "CNY",
                    "issued_at": "2026-02-14T12:00:00Z",
                    "valid_from": "2026-02-14T12:00:00Z",
                    "valid_until": "2026-03-16T12:00:00Z"
                },
                "replayed": false
            }),
        )
        .replays()
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
        .answers::<OutcomeBody<'static>>(
            200,
            "What the number gave, now or earlier.",
            json!({
                "order_number": "A-1",
                "outcome": "issued",
                "coupon": {
                    "coupon": "A-1",
                    "template": "spring-15",
                    "version": 1,
                    "state": "usable",
                    "kind": "amount_off",
                    "value": "1500",
                    "threshold": "1510",
                    "currency": "CNY",
                    "issued_at": "2026-02-14T12:00:00Z",
                    "valid_from": "2026-02-14T12:00:00Z",
                    "valid_until": "2026-03-16T12:00:00Z"
                },
                "replayed": false
            }),
        )
        .replays()
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

pub(super) fn reserve() -> Promise {
    Promise::new("reserveCoupon", "Hold a coupon, to confirm or cancel it")
        .description(
            "It goes back by itself when its time is over. What is held has no fallback \
                 and no greeting.",
        )
        .parameter(user())
        .parameter(key())
        .body::<ReservationBody>(json!({
            "order_number": "A-1",
            "template": "spring-15",
            "expires_in_seconds": 900
        }))
        .answers::<OutcomeBody<'static>>(
            201,
            "What the number gave, now or earlier.",
            json!({
                "order_number": "A-1",
                "outcome": "issued",
                "coupon": {
                    "coupon": "A-1",
                    "template": "spring-15",
                    "version": 1,
                    "state": "usable",
                    "kind": "amount_off",
                    "value": "1500",
                    "threshold": "1510",
                    "currency": "CNY",
                    "issued_at": "2026-02-14T12:00:00Z",
                    "valid_from": "2026-02-14T12:00:00Z",
                    "valid_until": "2026-03-16T12:00:00Z"
                },
                "replayed": false
            }),
        )
        .replays()
        .refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
        .refuses(
            "A normal answer of the business; nothing was changed. `too_many_coupons`: \
                 the user has thousands of orders that are kept, or a thousand \
                 reservations. `cancelled`: the number was cancelled before it came. \
                 `import_incomplete`: earlier payers are still being imported, and whether \
                 the user is new is to be asked elsewhere.",
            refused(&[
                Refusal::SoldOut,
                Refusal::BudgetExhausted,
                Refusal::UserLimit,
                Refusal::NotStarted,
                Refusal::Ended,
                Refusal::NotEligible,
                Refusal::ImportIncomplete,
                Refusal::Disabled,
                Refusal::TooManyCoupons,
                Refusal::Cancelled,
            ]),
        )
        .refuses(
            "`order_number_reused`: the number was used with another body. `too_old`: \
                 it was ordered so long ago that what became of the number is not kept; it \
                 acts no more.",
            refused(&[Refusal::OrderNumberReused, Refusal::TooOld]),
        )
        .refuses(
            "The user gets awards of this scene faster than they may.",
            refused(&[Refusal::RateLimited(1)]),
        )
}

pub(super) fn confirm() -> Promise {
    Promise::new("confirmReservation", "Make a held coupon the user's")
        .parameter(user())
        .parameter(order_number())
        .answers::<OutcomeBody<'static>>(
            200,
            "What the number gave, now or earlier.",
            json!({
                "order_number": "A-1",
                "outcome": "issued",
                "coupon": {
                    "coupon": "A-1",
                    "template": "spring-15",
                    "version": 1,
                    "state": "usable",
                    "kind": "amount_off",
                    "value": "1500",
                    "threshold": "1510",
                    "currency": "CNY",
                    "issued_at": "2026-02-14T12:00:00Z",
                    "valid_from": "2026-02-14T12:00:00Z",
                    "valid_until": "2026-03-16T12:00:00Z"
                },
                "replayed": false
            }),
        )
        .replays()
        .refuses(
            "Nothing is known under this number, or not any more.",
            refused(&[Refusal::UnknownOrder]),
        )
        .refuses(
            "The reservation has ended.",
            refused(&[Refusal::ReservationExpired, Refusal::Cancelled]),
        )
}

pub(super) fn cancel() -> Promise {
    Promise::new("cancelReservation", "Put a held coupon back")
        .description(
            "A number that never acted can act no more afterwards. `ordered_at`, as the \
                 reservation would have it, matters only then; without it there is no body.",
        )
        .parameter(user())
        .parameter(order_number())
        .optional_body::<CancelBody>(json!({"ordered_at": "2026-02-16T16:00:00Z"}))
        .answers::<OutcomeBody<'static>>(
            200,
            "What the number gave, now or earlier.",
            json!({
                "order_number": "A-1",
                "outcome": "issued",
                "coupon": {
                    "coupon": "A-1",
                    "template": "spring-15",
                    "version": 1,
                    "state": "usable",
                    "kind": "amount_off",
                    "value": "1500",
                    "threshold": "1510",
                    "currency": "CNY",
                    "issued_at": "2026-02-14T12:00:00Z",
                    "valid_from": "2026-02-14T12:00:00Z",
                    "valid_until": "2026-03-16T12:00:00Z"
                },
                "replayed": false
            }),
        )
        .replays()
        .refuses(
            "`already_confirmed`: it is the user's. `too_many_coupons`: the number \
                 never acted, and the user's record has no room to remember that.",
            refused(&[Refusal::AlreadyConfirmed, Refusal::TooManyCoupons]),
        )
        .refuses(
            "The number was ordered so long ago that what became of it is not kept: it \
                 acts no more.",
            refused(&[Refusal::TooOld]),
        )
}

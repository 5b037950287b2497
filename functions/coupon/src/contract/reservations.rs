//! What reservations promise.

use ::coupons::refusal::Refusal;
use edge::contract::Operation as Promise;
use edge::contract::operation::{order_number, user};
use serde_json::json;

use super::{Alike as _, key, refused};
use crate::parse::{CancelBody, ReservationBody};

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
        .gives(201)
        .refuses_claims()
}

pub(super) fn confirm() -> Promise {
    Promise::new("confirmReservation", "Make a held coupon the user's")
        .parameter(user())
        .parameter(order_number())
        .gives(200)
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
        .gives(200)
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

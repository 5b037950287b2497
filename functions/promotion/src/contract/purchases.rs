//! What operations on the purchases of a user promise.

use edge::contract::Operation as Promise;
use edge::contract::operation::{order_number, user};
use serde_json::{Value, json};

use super::{Alike as _, key};
use crate::parse::{GiveBackBody, TakeBody};
use crate::refusal::Refusal;

/// What an order takes, as examples show it.
fn taken() -> Value {
    json!({
        "order_number": "A-1",
        "state": "taken",
        "uses": [{"activity": "second-half", "uses": 1}]
    })
}

fn taken_now() -> Value {
    let mut taken = taken();
    taken["replayed"] = false.into();
    taken
}

pub(super) fn take() -> Promise {
    let field = String::new;
    Promise::new("takeUses", "Take uses of activities for an order: all or none, once")
        .description(
            "What was taken is kept for `numbers_days` after it began, or began to give \
                 back. After that nothing can be given back, uses stay counted, and the \
                 number is `too_old` for good. What an order took that uses of all users is \
                 told for some days more.",
        )
        .parameter(user())
        .parameter(key())
        .body::<TakeBody>(json!({
            "order_number": "A-1",
            "uses": [{"activity": "second-half", "uses": 1}]
        }))
        .answers_purchase(201, "Taken, now or earlier.", taken_now())
        .replays()
        .refuses("There is no such activity.", [Refusal::UnknownActivity(field())])
        .refuses(
            "A normal answer of the business; nothing was taken. `given_back`: so was the \
                 order. `too_many_limits`: the user's record is full.",
            [
                Refusal::LimitUsedUp(field()),
                Refusal::NotStarted(field()),
                Refusal::Ended(field()),
                Refusal::Disabled(field()),
                Refusal::GivenBack,
                Refusal::TooManyLimits,
            ],
        )
        .refuses_each([
            (Refusal::OrderNumberReused, "the number was used with another body."),
            (
                Refusal::TooOld,
                "it was ordered so long ago that what became of the number is not kept; it \
                     acts no more.",
            ),
        ])
}

pub(super) fn look() -> Promise {
    Promise::new("readPurchase", "What did an order take?")
        .parameter(user())
        .parameter(order_number())
        .answers_purchase(200, "What the order takes.", taken())
        .refuses("Nothing is known under this number.", [Refusal::UnknownOrder])
}

pub(super) fn give_back() -> Promise {
    Promise::new("giveBack", "Give back what an order took")
        .description(
            "Again changes nothing. An order that is not known takes nothing any more. With \
                 no body, or with the moment that was sent when it was taken.",
        )
        .parameter(user())
        .parameter(order_number())
        .optional_body::<GiveBackBody>(json!({"ordered_at": "2026-02-17T08:00:00Z"}))
        .answers_purchase(200, "What the order takes.", taken())
        .refuses_each([
            (Refusal::OrderNumberReused, "it was taken with another `ordered_at`."),
            (
                Refusal::TooOld,
                "it was ordered so long ago that it is kept for good, or that what became of \
                     it is not kept.",
            ),
        ])
}

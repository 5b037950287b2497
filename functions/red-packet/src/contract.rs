//! The contract of this function, in native builds alone.

use domain::order_number::Part;
use edge::contract::operation::{Either, user};
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{DEVELOPMENT, OF_CALLERS, OF_STORE, TOKEN_SIGNING_KEYS, WALLET_CURRENCY};
use serde_json::{Value, json};
use wallet::limits::Reached;
use wallet::packet;
use wallet::rain::{Closed, Rain};
use wallet::schema::PacketName;

use crate::parse::{ClaimBody, SendBody, UserBody};
use crate::refusal::Refusal;
use crate::render::{
    DetailsBody, GrabbedBody, GrantedBody, OpenedBody, RainBody, SealedRainBody, SentBody,
};
use crate::{Operation, ROUTES};

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "Money that campaigns give in rains, and that users give each other in group \
                       packets. Whoever opens one has a signed token, which counts at once.";
    Function::new("red-packet", description, ROUTES, promise).reads(&[
        &OF_STORE,
        &OF_CALLERS,
        &[TOKEN_SIGNING_KEYS, WALLET_CURRENCY, DEVELOPMENT],
    ])
}

fn rain() -> Parameter {
    Parameter::path::<Part<'_>>("rain").example("spring-rain")
}

fn name() -> Parameter {
    Parameter::path::<PacketName>("packet").example("7.party")
}

/// A rain, as examples show it.
fn definition() -> Value {
    json!({
        "activity": "spring",
        "scene": "rain",
        "currency": "CNY",
        "budget": "100000",
        "single_cap": "500",
        "rounds": [
            {"round": 1, "from": "2026-02-16T12:00:00Z", "until": "2026-02-16T12:10:00Z"}
        ],
        "amounts": {"minimum": "1", "maximum": "500"},
        "limits": {"per_user": 5, "per_round": 1}
    })
}

fn set_up() -> Value {
    let mut definition = definition();
    definition["enabled"] = true.into();
    json!({"rain": "spring-rain", "version": 1, "definition": definition})
}

/// With what is left of its budget.
fn budgeted() -> Value {
    let mut rain = set_up();
    rain["budget"] = json!({
        "total": "100000",
        "granted": "1200",
        "leased": "800",
        "remaining": "98000"
    });
    rain
}

fn packet(refusal: packet::Refusal) -> Refusal {
    Refusal::Packet(refusal)
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::SetUpRain => {
            Promise::new("setUpRain", "Set up a rain: its first version, or another one")
                .description(
                    "Takes effect everywhere within 500 ms. Rounds, amounts and budget may \
                 change while it rains.",
                )
                .parameter(rain())
                .body::<Rain>(definition())
                .answers::<RainBody<'static>>(
                    200,
                    "As set up; the same again is the same version.",
                    set_up(),
                )
                .malformed(
                    "The rain is wrong; `field` names where. `over_single_cap`: an amount is \
                 above what one packet may cost. `reserved_activity`: group packets have \
                 it.",
                    &["invalid_part", "over_single_cap", "reserved_activity"],
                )
                .refuses(
                    "`wrong_currency`: wallets have another one. `sealed`: it was over for so \
                 long that it is closed for good; take another name. `field_fixed`: `field` \
                 cannot change any more. `scene_taken`: another rain has this activity and \
                 scene, or had them before it was sealed. `budget_in_use`: more is given \
                 than the new budget would allow. `limits_end`: packets of users are \
                 counted until 30 days after the first end, and it would end later. \
                 `published_meanwhile`: somebody else published; look, and decide anew.",
                    [
                        Refusal::WrongCurrency,
                        Refusal::Sealed,
                        Refusal::FieldFixed(""),
                        Refusal::SceneTaken,
                        Refusal::BudgetInUse,
                        Refusal::LimitsEnd,
                        Refusal::PublishedMeanwhile,
                    ],
                )
        }
        Operation::LookAtRain => Promise::new("readRain", "A rain, and what is left of its budget")
            .parameter(rain())
            .answers::<Either<RainBody<'static>, SealedRainBody<'static>>>(
                200,
                "The rain. A rain nothing of which can act any more is sealed some time \
                 after that, and its definition is taken away: then a short record is told, \
                 as long as that is kept, and afterwards `unknown_rain`.",
                budgeted(),
            )
            .refuses("Nobody set up such a rain.", [Refusal::UnknownRain]),
        Operation::OpenRain => {
            Promise::new("openRainPacket", "Open a packet of a rain, exactly once")
                .description(
                    "Under the order number \
                 `{user}_{activity}_{scene}_{round}_{award}_{stage}`. What was given \
                 earlier is given again, whatever became of the rain. A rate limit of the \
                 rain's scene counts packets of its rains and coupons of its templates \
                 together; a retry of what was given is told what was given, whatever the \
                 pace.",
                )
                .parameter(user())
                .body::<ClaimBody>(json!({"rain": "spring-rain", "round": 1, "award": "a"}))
                .answers::<GrantedBody<'static>>(
                    201,
                    "What is in it, now or earlier.",
                    json!({
                        "order_number": "7_spring_rain_1_a_live",
                        "amount": "100",
                        "currency": "CNY",
                        "at": "2026-02-16T12:00:01Z",
                        "token": "CkgIABAHGgZzcHJpbmci",
                        "replayed": false
                    }),
                )
                .replays()
                .refuses(
                    "`unknown_rain`: nobody set up such a rain. `unknown_round`: it has no such \
                 round.",
                    [Refusal::UnknownRain, Refusal::Closed(Closed::UnknownRound)],
                )
                .refuses(
                    "A normal answer of the business; nothing was changed. `user_limit`, \
                 `round_limit`: the user has as many packets of the rain, or of the round, \
                 as one user may have.",
                    [
                        Refusal::Closed(Closed::Disabled),
                        Refusal::Closed(Closed::NotStarted),
                        Refusal::Closed(Closed::Ended),
                        Refusal::BudgetExhausted,
                        Refusal::Limit(Reached::User),
                        Refusal::Limit(Reached::Round),
                    ],
                )
                .refuses("The number was used with another body.", [Refusal::OrderNumberReused])
                .refuses(
                    "The user gets awards of this scene faster than they may.",
                    [Refusal::RateLimited(1)],
                )
        }
        Operation::Send => Promise::new("sendPacket", "Send a group packet, exactly once")
            .description(
                "What became of a number is told for as long as it is kept: at least 7 days \
                 after the packet was closed, and 37 after it was sent. Later the number is \
                 `too_old`, and never acts again.",
            )
            .body::<SendBody>(json!({
                "order_number": "party",
                "sender": "7",
                "total": "1000",
                "count": 5,
                "kind": "random",
                "funding": "balance",
                "display": {
                    "name": "Li Lei",
                    "greeting": "Happy new year"
                }
            }))
            .answers::<SentBody<'static>>(
                201,
                "Sent, now or earlier.",
                json!({
                    "packet": "7.party",
                    "state": "open",
                    "total": "1000",
                    "count": 5,
                    "sent_at": "2026-02-16T12:00:00Z",
                    "expires_at": "2026-02-17T12:00:00Z",
                    "replayed": false
                }),
            )
            .replays()
            .malformed(
                "The packet is wrong; `field` names where. `invalid_total`: each part is 1 \
                 to 20,000 cents. `invalid_count`: 1 to 300 parts.",
                &["invalid_id", "invalid_order_number", "invalid_total", "invalid_count"],
            )
            .refuses(
                "A normal answer of the business; nothing was changed: the sender has less \
                 than that.",
                [packet(packet::Refusal::ExceedsBalance)],
            )
            .refuses(
                "`order_number_reused`: the number was used with another body. `too_old`: \
                 it was sent more than 30 days ago and nobody paid for it in time, or its \
                 payment came too late for it; or so long ago that what became of it is not \
                 kept. Send it under another number.",
                [packet(packet::Refusal::OrderNumberReused), packet(packet::Refusal::TooOld)],
            ),
        Operation::Look => Promise::new("readPacket", "A group packet, and who opened it")
            .parameter(name())
            .answers::<DetailsBody<'static>>(
                200,
                "As it is now.",
                json!({
                    "packet": "7.party",
                    "sender": "7",
                    "state": "open",
                    "kind": "random",
                    "funding": "balance",
                    "currency": "CNY",
                    "total": "1000",
                    "count": 5,
                    "opened": 1,
                    "taken": "217",
                    "remaining": "783",
                    "display": {
                        "name": "Li Lei",
                        "greeting": "Happy new year"
                    },
                    "sent_at": "2026-02-16T12:00:00Z",
                    "expires_at": "2026-02-17T12:00:00Z",
                    "openings": [
                        {
                            "user": "8",
                            "amount": "217",
                            "at": "2026-02-16T12:00:05Z"
                        }
                    ]
                }),
            )
            .malformed("The name is none that sending a packet gave.", &["invalid_packet"])
            .refuses(
                "There is no such packet, or it was closed so long ago that nothing is kept \
                 of it.",
                [packet(packet::Refusal::UnknownPacket)],
            ),
        Operation::Grab => Promise::new("grabPacket", "May this user open it?")
            .parameter(name())
            .body::<UserBody>(json!({"user": "8"}))
            .answers::<GrabbedBody<'static>>(
                200,
                "They may, as it is now; nothing is reserved.",
                json!({"packet": "7.party", "user": "8", "left": 4}),
            )
            .malformed(
                "The packet's name or the user is none; `field` names where.",
                &["invalid_id", "invalid_packet"],
            )
            .refuses(
                "There is no such packet, or it was closed so long ago that nothing is kept \
                 of it.",
                [packet(packet::Refusal::UnknownPacket)],
            )
            .refuses(
                "They may not. `finished`: nothing is left in it. `expired`: its time is \
                 over.",
                [
                    packet(packet::Refusal::AlreadyOpened),
                    packet(packet::Refusal::Unpaid),
                    packet(packet::Refusal::Finished),
                    packet(packet::Refusal::Expired),
                ],
            ),
        Operation::Open => Promise::new("openPacket", "Take a part of it, once")
            .parameter(name())
            .body::<UserBody>(json!({"user": "8"}))
            .answers::<OpenedBody<'static>>(
                200,
                "What the user has, now or earlier.",
                json!({
                    "packet": "7.party",
                    "user": "8",
                    "order_number": "packet:7.party",
                    "amount": "217",
                    "currency": "CNY",
                    "at": "2026-02-16T12:00:05Z",
                    "token": "CkgIABAHGgZzcHJpbmci",
                    "replayed": false
                }),
            )
            .replays()
            .malformed(
                "The packet's name or the user is none; `field` names where.",
                &["invalid_id", "invalid_packet"],
            )
            .refuses(
                "There is no such packet, or it was closed so long ago that nothing is kept \
                 of it.",
                [packet(packet::Refusal::UnknownPacket)],
            )
            .refuses(
                "A normal answer of the business; nothing was changed. `finished`: nothing \
                 is left in it. `expired`: its time is over.",
                [
                    packet(packet::Refusal::Unpaid),
                    packet(packet::Refusal::Finished),
                    packet(packet::Refusal::Expired),
                ],
            ),
    }
}

//! The contract of this function, in native builds alone.

use edge::Problem;
use edge::contract::operation::AsTaken;
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{DEVELOPMENT, OF_CALLERS, OF_STORE, TOKEN_SIGNING_KEYS, Variable};
use serde_json::{Value, json};
use store::retention::Retention;
use wallet::packet::unapplied::{Decided, Decision, NotDecided};

use crate::parse::{CollectBody, DecisionBody, DropBody, SettleBody, SwitchesBody};
use crate::quarantine::{self, PAGE_MAX};
use crate::render::{
    CollectedBody, ExportedBody, ItemBody, QuarantineBody, ReportBody, SettledBody, UnappliedsBody,
};
use crate::{Operation, ROUTES, not_decided, unknown_payment};

pub(crate) mod shapes;

use shapes::{Day, ItemState, Limit, PaymentId, PlaceId, ScopeName};

/// By which tokens are signed.
const OF_TOKENS: [Variable; 2] = [TOKEN_SIGNING_KEYS, DEVELOPMENT];

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "Posts tokens, finishes what a crash left half-way, and says where the books do \
                       not agree. For a schedule and for operators.";
    Function::new("settlement", description, ROUTES, promise)
        .reads(&[&OF_STORE, &OF_CALLERS, &OF_TOKENS])
        .listens(
            "hongbao-settlement",
            "Settles what is queued, whatever a message says.",
            &[&OF_STORE, &OF_TOKENS],
        )
}

fn cursor(description: &'static str) -> Parameter {
    Parameter::query::<String>("cursor").description(description)
}

fn place() -> Parameter {
    Parameter::query::<PlaceId>("cursor").description("Of the page before.")
}

fn limit() -> Parameter {
    Parameter::query::<Limit>("limit").default(PAGE_MAX)
}

fn day() -> Parameter {
    Parameter::path::<Day>("day").description("A day, in UTC.").example("2026-11-27")
}

fn item() -> Parameter {
    Parameter::path::<PlaceId>("item")
        .description("The id of something that is set aside.")
        .example("17.bXE6gAABm2sb4vpoMQ")
}

fn payment() -> Parameter {
    Parameter::path::<PaymentId>("payment_id")
        .description("Of the list.")
        .example("3.gAABnGZTSGBwYXltZW50OlQtMjo3LnBhcnR5")
}

fn otherwise() -> Problem {
    not_decided(NotDecided::Otherwise(Decided { at: 0, decision: Decision::Drop, reason: None }))
}

fn retention() -> Value {
    json!({
        "numbers_days": 90,
        "entries_days": 400,
        "configuration_days": 90,
        "archive_days": 1100
    })
}

fn switches() -> Value {
    json!({"mode": "large_at_once", "large_from": "10000", "statements": "all"})
}

/// Something that is set aside, as examples show it.
fn set_aside() -> Value {
    json!({
        "id": "17.bXE6gAABm2sb4vpoMQ",
        "partition": "17",
        "set_aside_at": "2026-02-16T16:00:00.25Z",
        "place": "the queue of 17: h1 of user 7",
        "cause": "a record cannot be read: the token h1 cannot be read"
    })
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Settle => {
            Promise::new("settle", "Post what is queued, finish what is half-way, end what expired")
                .description(
                    "Also voids withdrawals whose time is over, ends reservations of coupons \
                 that expired, gives rewards of group-buys that are due, returns what \
                 coupons did not use to their budgets, and takes back what partitions have \
                 left of budgets that are over. What waits longest is done first. Bounded: \
                 whoever calls again goes on. A schedule calls it every minute, with or \
                 without a body.",
                )
                .optional_body::<SettleBody>(json!({"users_max": 5000}))
                .answers::<SettledBody>(
                    200,
                    "What was done.",
                    json!({
                        "users": "1000",
                        "tokens": "1200",
                        "left": "0",
                        "queued": "0",
                        "sent": "0",
                        "paid": "3",
                        "closed": "1",
                        "withdrawals": "0",
                        "reservations": "4",
                        "rewards": "0",
                        "coupons": "0",
                        "home": "0",
                        "rains": "0",
                        "templates": "0",
                        "stuck": "0",
                        "stuck_items": [],
                        "set_aside": "0",
                        "set_aside_items": [],
                        "quarantined": "0"
                    }),
                )
        }
        Operation::LookAtRetention => {
            Promise::new("readRetention", "How long is what is over kept?")
                .answers::<AsTaken<Retention>>(200, "How long things are kept.", retention())
        }
        Operation::Retain => Promise::new("setRetention", "Say how long what is over is kept")
            .description(
                "The next collection goes by it. Whatever it says, what was collected can \
                 never act again: a longer time brings nothing back, a shorter one lets \
                 nothing act twice.",
            )
            .body::<Retention>(json!({"numbers_days": 60, "entries_days": 400}))
            .answers::<AsTaken<Retention>>(200, "How long things are kept.", retention()),
        Operation::Collect => Promise::new("collect", "Take away what is over for long enough")
            .description(
                "A day at a time, the oldest first: orders, purchases, packets and \
                 withdrawals under numbers, entries of statements, ended configuration, \
                 lists. Bounded: whoever calls again while `has_more` goes on. A schedule \
                 calls it once a day, with or without a body.",
            )
            .optional_body::<CollectBody>(json!({"dry_run": true}))
            .answers::<CollectedBody>(
                200,
                "What went, or would go.",
                json!({
                    "dry_run": false,
                    "users": "812",
                    "gone": {
                        "orders": "640",
                        "entries": "1900"
                    },
                    "waiting": "0",
                    "has_more": false,
                    "stuck": "0",
                    "stuck_items": [],
                    "set_aside": "0",
                    "set_aside_items": []
                }),
            ),
        Operation::Export => Promise::new("exportDay", "What does the store hold of a day?")
            .description(
                "For whoever keeps it elsewhere before it is collected: orders of coupons \
                 and entries of statements that were made on the day, purchases that began \
                 on it, packets that were sent on it, and withdrawals that became what they \
                 are on it. A call gives some of it, perhaps nothing, and a cursor; the \
                 last one has none. It only reads; what is changed meanwhile may be as it \
                 was, or as it is.",
            )
            .parameter(day())
            .parameter(cursor("From the page before."))
            .answers::<ExportedBody<'static>>(
                200,
                "Some of it.",
                json!({
                    "records": [
                        {
                            "kind": "entry",
                            "user": "7",
                            "number": "0",
                            "at": "2026-11-27T10:00:00Z",
                            "record": {
                                "amount": 100,
                                "what": "token",
                                "order_number": "7_spring_rain_1_a_live",
                                "activity": "spring",
                                "scene": "rain",
                                "drawn_at": "2026-11-27T09:59:00Z"
                            }
                        }
                    ],
                    "unreadable": "0"
                }),
            ),
        Operation::LookAtSwitches => Promise::new("readPosting", "What work is put off?")
            .answers::<AsTaken<SwitchesBody>>(
                200,
                "How tokens are posted, and how far back statements go.",
                switches(),
            ),
        Operation::Switch => Promise::new(
            "switchPosting",
            "Put work off: post tokens in another way, shorten statements",
        )
        .description("Takes effect everywhere within 500 ms.")
        .body::<SwitchesBody>(json!({"mode": "off", "statements": "first_screens"}))
        .answers::<AsTaken<SwitchesBody>>(
            200,
            "How tokens are posted, and how far back statements go.",
            switches(),
        ),
        Operation::Reconcile => Promise::new("reconcile", "Where do the books not agree?")
            .parameter(Parameter::query::<ScopeName>("scope").default("recent"))
            .parameter(cursor("Of the call before."))
            .answers::<ReportBody<'static>>(
                200,
                "Differences, each with its place and what to do; nothing is repaired. \
                 `cursor` is there where more is to be looked at.",
                json!({
                    "differences": [
                        {
                            "code": "not_queued",
                            "place": "7/7_spring:rain:1:a:live",
                            "expected": "0",
                            "found": "1",
                            "remedy": "post the user"
                        }
                    ],
                    "users": "500",
                    "packets": "12",
                    "unsettled": "0",
                    "cursor": "3.20500.7.652024209997893632"
                }),
            )
            .malformed("The scope or the cursor is none; `field` names which.", &["invalid_value"]),
        Operation::ListQuarantine => Promise::new("listQuarantine", "What is set aside?")
            .description(
                "What could not be done for ten minutes for a fault of its own records: it \
                 costs no call of settlement anything any more. Where more than eight of a \
                 list are at fault in one partition, they have more in common than their \
                 own records, and stay `stuck_items`. Page by page; the last page may be \
                 empty.",
            )
            .parameter(Parameter::query::<ItemState>("state").default("set_aside"))
            .parameter(place())
            .parameter(limit())
            .answers::<QuarantineBody<'static>>(
                200,
                "What is set aside.",
                json!({
                    "items": [set_aside()]
                }),
            ),
        Operation::Retry => {
            Promise::new("retryItem", "Put something back: the next call of settlement tries it")
                .description(
                    "For who has repaired its record. Where it fails again it is set aside \
                 again. What was dropped comes back, too.",
                )
                .parameter(item())
                .answers::<ItemBody<'static>>(200, "It is back.", set_aside())
                .refuses(
                    "Nothing is set aside under this id, or not any more.",
                    [quarantine::unknown()],
                )
        }
        Operation::Drop => Promise::new("dropItem", "Take something out for good")
            .description(
                "Nobody will do it. The records that it stands for are not touched, and \
                 reconciliation names it as `dropped`. The reason is kept, and written into \
                 the log.",
            )
            .parameter(item())
            .body::<DropBody>(json!({"reason": "paid by hand, ticket 4711"}))
            .answers::<ItemBody<'static>>(200, "It is out.", set_aside())
            .refuses(
                "Nothing is set aside under this id, or not any more.",
                [quarantine::unknown()],
            ),
        Operation::ListUnapplied => Promise::new(
            "listUnappliedPayments",
            "For which payments for packets was there no use?",
        )
        .description(
            "The packet was sent more than 30 days before, or so long ago that nothing \
                 is kept of it, or has another payment, or was sent from a balance. Each \
                 waits, and moves no money, until it is decided. Page by page; the last \
                 page may be empty.",
        )
        .parameter(place())
        .parameter(limit())
        .answers::<UnappliedsBody<'static>>(
            200,
            "Payments that wait, those of each partition in the order in which they \
                 were told. `cursor` is there where there may be more.",
            json!({
                "payments": [
                    {
                        "payment_id": "3.gAABnGZTSGBwYXltZW50OlQtMjo3LnBhcnR5",
                        "code": "already_paid",
                        "packet": "7.party",
                        "payment": "T-2",
                        "sender": "7",
                        "amount": "1000",
                        "sent_at": "2026-02-16T12:00:00Z",
                        "told_at": "2026-02-16T12:01:00Z",
                        "packet_payment": "T-1",
                        "packet_funding": "payment"
                    }
                ],
                "cursor": "3.gAABnGZTSGBwYXltZW50OlQtMjo3LnBhcnR5"
            }),
        )
        .malformed("The cursor or the limit is wrong; `field` names which.", &["invalid_value"]),
        Operation::DecideUnapplied => Promise::new(
            "decideUnappliedPayment",
            "Decide what becomes of a payment for which there was no use, once",
        )
        .description(
            "`credit`: the next settlement gives the money to the sender. `drop`: it \
                 was given back elsewhere; nothing moves. The decision is kept with its \
                 reason, and written into the log. The same decision again, with the same \
                 reason, is as well.",
        )
        .parameter(payment())
        .body::<DecisionBody>(json!({
            "decision": "drop",
            "reason": "given back by the payment provider"
        }))
        .answers_nothing("It is decided, now or earlier.")
        .malformed("The decision or the reason is wrong; `field` names which.", &[])
        .refuses("No payment waits, or waited, under this id.", [unknown_payment()])
        .refuses(
            "`decided_otherwise`: another decision was made; `detail` says which, when \
                 and why. `amount_unknown`: nothing is kept of its packet, so that it can \
                 only be dropped.",
            [otherwise(), not_decided(NotDecided::NoAmount)],
        ),
    }
}

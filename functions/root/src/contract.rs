//! The contract of this function, in native builds alone.

use std::borrow::Cow;

use edge::clock::{AbsurdTime, ClockWarning};
use edge::contract::{Function, Operation as Promise};
use edge::store::{Durability, Warning};
use edge::variable::OF_STORE;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::health::Body;
use crate::{Operation, ROUTES};

/// The tag of its operations.
const TAG: &str = "operations";

/// The contract. It is given no token: all of its routes are open.
#[must_use]
pub fn contract() -> Function {
    let description = "Health, the OpenAPI document, and an answer for what no function has.";
    Function::new("root", description, ROUTES, |operation| Some(promise(operation)))
        .reads(&[&OF_STORE])
        .tag(TAG, "Health and this document.")
        .answers_the_rest()
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Health => Promise::new("health", "Liveness and the store's state")
            .tag(TAG)
            .description("At most one second old. No token.")
            .answers::<Body>(200, "The store answers.", json!({
                "status": "ok",
                "store": "ok",
                "warnings": [
                    {
                        "code": "eviction_policy",
                        "detail": "maxmemory-policy is allkeys-lru: short of memory the server takes records away; \
                            set it to noeviction",
                    },
                    {
                        "code": "clock_offset",
                        "detail": "the clock of this instance is 600000 ms ahead of the store's, which counts: set \
                            the one that is wrong",
                    },
                ],
            }))
            .answers::<Body>(
                503,
                "The store does not answer (`unavailable`), or was laid out by another configuration (`unusable`); \
                 or, as a problem, `configuration_unavailable`.",
                json!({"status": "unavailable", "store": "unavailable", "warnings": []}),
            ),
        Operation::OpenApi => Promise::new("openapi", "This document")
            .tag(TAG)
            .answers::<Map<String, Value>>(200, "OpenAPI 3.1.", None),
    }
}

/// The codes of warnings, and what each means.
pub(crate) struct WarningCode;

impl JsonSchema for WarningCode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WarningCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let durability = |warning| Warning::Durability(warning);
        let clock = |warning| Warning::Clock(warning);
        let all = [
            (
                durability(Durability::Eviction(String::new())),
                "Short of memory the server takes records away.",
            ),
            (
                durability(Durability::NoAppendOnlyFile),
                "What was acknowledged since the last snapshot is lost when it stops.",
            ),
            (durability(Durability::NoReplica), "Nothing can take over."),
            (durability(Durability::Unknown), "It does not say."),
            (
                clock(ClockWarning::Offset { offset_ms: 0 }),
                "The clock of the instance that answers is more than 500 ms ahead of the store's or behind it; the \
                 detail says how many milliseconds, and requests have the store's time all the same.",
            ),
            (
                clock(ClockWarning::Absurd(AbsurdTime::default())),
                "The store says a time before 2020 or after 2100, which is ignored.",
            ),
            (
                clock(ClockWarning::Unknown),
                "The server does not tell its time, and each instance goes by its own clock.",
            ),
        ];
        let choice = |(warning, what): &(Warning, &str)| json!({"const": warning.code(), "description": what});
        json_schema!({"oneOf": all.iter().map(choice).collect::<Vec<_>>()})
    }
}

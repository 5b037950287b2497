//! The codes of warnings.

use std::borrow::Cow;

use edge::clock::{AbsurdTime, ClockWarning};
use edge::store::{Durability, Warning};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

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

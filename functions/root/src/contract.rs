//! The contract of this function, in native builds alone.

use edge::contract::{Function, Operation as Promise};
use edge::variable::OF_STORE;
use serde_json::{Map, Value, json};

use crate::health::Body;
use crate::{Operation, ROUTES};

pub(crate) mod warning_code;

/// The tag of its operations.
const TAG: &str = "operations";

/// The contract. It is given no token: all of its routes are open.
#[must_use]
pub fn contract() -> Function {
    let description = "Health, the OpenAPI document, and an answer for what no function has.";
    Function::new("root", description, ROUTES, promise)
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

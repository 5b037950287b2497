//! The contract of this function, in native builds alone.

use domain::named;
use edge::Problem;
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{OF_CALLERS, OF_STORE};
use schemars::{JsonSchema, json_schema};
use serde_json::json;
use wallet::packet::{Payment, Told, Why};

use crate::decide::{unapplied, unknown_group, unknown_packet};
use crate::parse::{
    EVENTS_MAX, GroupEndedData, OrderPaidData, PacketPaidData, Paid, unknown_event_type,
};
use crate::{Operation, ROUTES};

/// The types of events that are handled.
const TYPES: [&str; 5] =
    ["order.paid", "group.succeeded", "group.failed", "group.expired", "packet.paid"];

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "What happened elsewhere, as CloudEvents 1.0.";
    Function::new("events", description, ROUTES, promise).reads(&[&OF_STORE, &OF_CALLERS]).listens(
        "hongbao-events",
        "Handles messages that are events, or batches of them.",
        &[&OF_STORE],
    )
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Handle => {
            let data = json!({"user": "652024209997893632", "order": "A-1"});
            let structured = json!({
                "specversion": "1.0",
                "id": "1",
                "source": "/shop",
                "type": "order.paid",
                "data": data,
            });
            let attribute = |name| Parameter::header::<str>(name).description("Binary mode only.");
            Promise::new("sendEvents", "Send CloudEvents")
                .description(DESCRIPTION)
                .parameter(attribute("ce-specversion"))
                .parameter(attribute("ce-id"))
                .parameter(attribute("ce-source"))
                .parameter(attribute("ce-type"))
                .content::<Event>("application/cloudevents+json", Some(structured))
                .content::<Batch>("application/cloudevents-batch+json", None)
                .content::<Data>("application/json", Some(data))
                .answers_nothing("All is committed.")
                .refuses(REFUSALS, refusals())
        }
    }
}

/// What is to be known of events.
const DESCRIPTION: &str = "Structured, batched (1 to 1,000) or binary. A batch is checked whole before anything is committed. 204 only \
     when all is committed; after a 503 send all again. Types: `order.paid`; `group.succeeded`, `group.failed`, \
     `group.expired`; `packet.paid`.";

/// What the codes of refusals mean.
const REFUSALS: &str = "`unknown_event_type`: an event of a type that is not handled. `unknown_group`, `unknown_packet`: nobody has \
     opened the group, or sent the packet, yet; send the event again once it is there. `too_old`, `already_paid`, \
     `may_be_the_same`: the packet was sent more than 30 days ago (or the payment was decided about so long ago \
     that nothing is kept of it), has another payment or needs none, or has one of which no number is known, \
     which may be this one; the payment waits for an operator, or one has given it back: do not send it again. Of \
     a batch the gravest problem is told - in this order what is to be repaired, sent again, and listed -, and \
     all other events are committed.";

/// What is not done, though it is well formed.
fn refusals() -> Vec<Problem> {
    let paid = Paid { packet: String::new(), payment: Payment::NONE, field: String::new() };
    let told = [Why::TooOld, Why::AlreadyPaid, Why::MayBeTheSame].map(Told::Unapplied);
    let listed = told.into_iter().filter_map(|told| unapplied(&paid, told));
    [unknown_event_type(""), unknown_group(""), unknown_packet(&paid)]
        .into_iter()
        .chain(listed)
        .collect()
}

/// An event in its envelope.
struct Event;
/// Events in their envelopes.
struct Batch;
/// What is said of an event.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum Data {
    OrderPaid(OrderPaidData),
    GroupEnded(GroupEndedData),
    PacketPaid(PacketPaidData),
}

named!(Event, "CloudEvent", generator => json_schema!({
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "enum": TYPES},
        "datacontenttype": {"type": "string"},
        "data": generator.subschema_for::<Data>(),
    },
}));

impl JsonSchema for Batch {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CloudEvents".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        json_schema!({
            "type": "array",
            "minItems": 1,
            "maxItems": EVENTS_MAX,
            "items": generator.subschema_for::<Event>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::message;

    #[test]
    fn the_types_are_those_that_are_handled() {
        let code = |name: &str| {
            let event = json!({
                "specversion": "1.0", "id": "1", "source": "s", "type": name, "data": {},
            });
            message(event.to_string().as_bytes()).expect_err("it has no data").code
        };
        for name in TYPES {
            assert_eq!(code(name), "missing_field", "{name}");
        }
        assert_eq!(code("order.lost"), "unknown_event_type");
    }
}

//! Wire -> typed events. A batch is checked whole before anything is committed.

use coupons::chance::Phase;
use domain::error::InvalidInput;
use domain::ids::{IdInput, UserId};
use domain::order_number::{OrderNumber, Part, SHOP_ORDER_BYTES_MAX};
use edge::call::unsupported_media_type;
use edge::json::{self, parse_object};
use edge::{Call, Problem};
use serde::Deserialize;
use serde_json::value::RawValue;
use wallet::packet::{self, NUMBER_BYTES_MAX, Payment};

use crate::cloud_event::{self, CloudEvent, Envelope};

/// Events of one batch: as many commits as one request may cause.
pub const EVENTS_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An order was paid successfully.
    OrderPaid {
        /// Who paid.
        user: UserId,
        /// The shop's number of the order.
        order: String,
    },
    /// A group-buy ended.
    GroupEnded(Ended),
    /// A group packet was paid for.
    PacketPaid(Paid),
}

/// The end of a group-buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How: succeeded, failed or expired.
    pub phase: Phase,
    /// The campaign, a [`Part`].
    pub campaign: String,
    /// The group, a [`Part`].
    pub group: String,
    /// Who opened it.
    pub user: UserId,
    /// The path of the group in the request, should there be no such group.
    pub field: String,
}

/// A group packet that was paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Its name, which is that of its sender and number.
    pub packet: String,
    /// By which payment.
    pub payment: Payment,
    /// The path of the packet in the request, should there be no such packet.
    pub field: String,
}

/// The data of `order.paid`.
#[derive(Debug, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "OrderPaid")
)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderPaidData {
    user: IdInput,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::schema::ShopOrder"))]
    order: String,
}

/// The data of `group.succeeded`, `group.failed` and `group.expired`.
#[derive(Debug, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "GroupEnded")
)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupEndedData {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    campaign: String,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    group: String,
    /// Who opened it.
    user: IdInput,
}

/// The data of `packet.paid`: the packet twice, because money for another one would be given away.
#[derive(Debug, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "PacketPaid")
)]
#[serde(deny_unknown_fields)]
pub(crate) struct PacketPaidData {
    /// The one of the sender and the number.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "wallet::schema::PacketName"))]
    packet: String,
    sender: IdInput,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber", extend("maxLength" = NUMBER_BYTES_MAX)))]
    order_number: String,
    /// The number of the payment, and not of an attempt to tell of it: by it a payment that is told twice is known from
    /// a second one. One without a number is the one that the packet has.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Payment>"))]
    payment: Option<String>,
}

/// The events of a request: structured, a batch, or binary.
///
/// # Errors
/// 415 for another content type, 400 for a wrong event, 422 `unknown_event_type`.
pub fn request(call: &Call) -> Result<Vec<Event>, Problem> {
    match call.media_type().as_deref() {
        Some("application/cloudevents+json") => structured(&call.body),
        Some("application/cloudevents-batch+json") => batch(&call.body),
        Some("application/json") if cloud_event::is_binary(&call.headers) => {
            let event = cloud_event::binary(&call.headers, &call.body)?;
            Ok(vec![typed(event, "ce-type", "")?])
        }
        _ => Err(unsupported_media_type(
            "application/cloudevents+json, application/cloudevents-batch+json, \
             or application/json with ce- headers",
        )),
    }
}

/// The events of a message, structured or a batch.
///
/// # Errors
/// As [`request`].
pub fn message(message: &[u8]) -> Result<Vec<Event>, Problem> {
    if message.trim_ascii_start().starts_with(b"[") { batch(message) } else { structured(message) }
}

fn structured(body: &[u8]) -> Result<Vec<Event>, Problem> {
    let envelope: Envelope<'_> = parse_object(body)?;
    Ok(vec![typed(envelope.open("")?, "type", "data")?])
}

fn batch(body: &[u8]) -> Result<Vec<Event>, Problem> {
    let items: Vec<&RawValue> = json::parse(body)?;
    if items.is_empty() || items.len() > EVENTS_MAX {
        let detail = format!("a batch has 1 to {EVENTS_MAX} events, not {}", items.len());
        return Err(Problem::malformed("invalid_batch_size", detail));
    }
    let event = |(index, item): (usize, &&RawValue)| {
        let place = format!("[{index}]");
        let envelope: Envelope<'_> =
            parse_object(item.get().as_bytes()).map_err(|problem| within(problem, &place))?;
        let event = envelope.open(&format!("{place}."))?;
        typed(event, &format!("{place}.type"), &format!("{place}.data"))
    };
    items.iter().enumerate().map(event).collect()
}

/// The problem of a part, with the path of the part before its field.
fn within(problem: Problem, path: &str) -> Problem {
    let field = match &problem.field {
        Some(field) if path.is_empty() => field.clone(),
        Some(field) => format!("{path}.{field}"),
        None if path.is_empty() => return problem,
        None => path.to_owned(),
    };
    problem.about(field)
}

/// The event of a known type. `type_field` and `data_path` name where it stands.
fn typed(event: CloudEvent<'_>, type_field: &str, data_path: &str) -> Result<Event, Problem> {
    let field = |name: &str| match data_path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let phase = match event.r#type.as_ref() {
        "order.paid" => {
            let data: OrderPaidData =
                parse_object(event.data).map_err(|problem| within(problem, data_path))?;
            let user = data.user.user(|| field("user"))?;
            check_order(&data.order, || field("order"))?;
            return Ok(Event::OrderPaid { user, order: data.order });
        }
        "packet.paid" => {
            let data: PacketPaidData =
                parse_object(event.data).map_err(|problem| within(problem, data_path))?;
            return Ok(Event::PacketPaid(paid(data, field)?));
        }
        "group.succeeded" => Phase::Succeeded,
        "group.failed" => Phase::Failed,
        "group.expired" => Phase::Expired,
        _ => return Err(unknown_event_type(type_field)),
    };
    let data: GroupEndedData =
        parse_object(event.data).map_err(|problem| within(problem, data_path))?;
    let GroupEndedData { campaign, group, user } = data;
    let user = user.user(|| field("user"))?;
    Part::parse(&campaign, &field("campaign"))?;
    let field = field("group");
    Part::parse(&group, &field)?;
    Ok(Event::GroupEnded(Ended { phase, campaign, group, user, field }))
}

/// The problem of an event of a type that is not handled.
pub(crate) fn unknown_event_type(field: &str) -> Problem {
    Problem::new(422, "unknown_event_type", "this type of event is not handled").about(field)
}

/// # Errors
/// `invalid_id`, `invalid_order_number`, `invalid_payment`; `invalid_value` for the name of another packet.
fn paid(data: PacketPaidData, field: impl Fn(&str) -> String) -> Result<Paid, InvalidInput> {
    let PacketPaidData { packet, sender, order_number, payment } = data;
    let sender = sender.user(|| field("sender"))?;
    let number = OrderNumber::parse(&order_number, &field("order_number"))?;
    let payment = payment.map(|number| Payment::parse(&number, &field("payment")));
    let payment = payment.transpose()?.unwrap_or(Payment::NONE);
    let packet_field = field("packet");
    let name = packet::name(sender, &number);
    if packet::sender_of(&name).is_none() {
        let detail = format!("must have at most {NUMBER_BYTES_MAX} characters");
        return Err(InvalidInput::new("invalid_order_number", field("order_number"), detail));
    }
    let field = packet_field;
    if packet == name {
        Ok(Paid { packet, payment, field })
    } else {
        Err(InvalidInput::new("invalid_value", field, "must be of this sender and order number"))
    }
}

/// Checks the shop's number of an order.
///
/// # Errors
/// `invalid_order`.
pub fn check_order(order: &str, field: impl Fn() -> String) -> Result<(), InvalidInput> {
    if (1..=SHOP_ORDER_BYTES_MAX).contains(&order.len()) {
        Ok(())
    } else {
        let detail = format!("must have 1 to {SHOP_ORDER_BYTES_MAX} bytes");
        Err(InvalidInput::new("invalid_order", field(), detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = r#"{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid",
        "extension": "any", "data": {"user": "7", "order": "A-1"}}"#;

    #[track_caller]
    fn check(body: &str, expected: Result<usize, (u16, &str, Option<&str>)>) {
        let result = message(body.as_bytes()).map(|events| events.len());
        let result = result
            .as_ref()
            .map_err(|problem| (problem.status, problem.code, problem.field.as_deref()));
        assert_eq!(result.copied(), expected, "{body}");
    }

    #[test]
    fn events_are_read_one_by_one_and_in_batches() {
        check(RIGHT, Ok(1));
        check(&format!(" [{RIGHT}, {RIGHT}]"), Ok(2));
        let expected = Event::OrderPaid { user: UserId(7), order: "A-1".into() };
        assert_eq!(message(RIGHT.as_bytes()).unwrap(), [expected]);
    }

    #[test]
    fn wrong_events_name_the_field() {
        let change = |from: &str, to: &str| RIGHT.replace(from, to);
        check("{", Err((400, "invalid_json", None)));
        check("[7]", Err((400, "invalid_value", Some("[0]"))));
        check(
            &change(r#"{"user": "7", "order": "A-1"}"#, r#"["7", "A-1"]"#),
            Err((400, "invalid_value", Some("data"))),
        );
        check("[]", Err((400, "invalid_batch_size", None)));
        check(
            &change(r#""specversion": "1.0", "#, ""),
            Err((400, "missing_field", Some("specversion"))),
        );
        check(&change("1.0", "0.3"), Err((400, "unsupported_specversion", Some("specversion"))));
        check(&change(r#""id": "1""#, r#""id": """#), Err((400, "invalid_value", Some("id"))));
        check(&change("order.paid", "order.lost"), Err((422, "unknown_event_type", Some("type"))));
        check(&change(r#""7""#, r#""-7""#), Err((400, "invalid_id", Some("data.user"))));
        check(&change(r#""A-1""#, r#""""#), Err((400, "invalid_order", Some("data.order"))));
        check(&change(r#""A-1""#, "7"), Err((400, "invalid_value", Some("data.order"))));
        check(&change(r#""A-1""#, r#""A-1", "x": 1"#), Err((400, "unknown_field", Some("data.x"))));
        check(
            &change(r#"{"user": "7", "order": "A-1"}"#, "7"),
            Err((400, "invalid_value", Some("data"))),
        );
        check(&change(r#""data":"#, r#""data_base64": "", "data":"#), {
            Err((400, "invalid_value", Some("data_base64")))
        });
        check(&change(r#""data":"#, r#""datacontenttype": "text/xml", "data":"#), {
            Err((400, "invalid_value", Some("datacontenttype")))
        });
    }

    #[test]
    fn the_end_of_a_group_is_read_and_wrong_ones_name_the_field() {
        let right = RIGHT.replace("order.paid", "group.failed").replace(
            r#"{"user": "7", "order": "A-1"}"#,
            r#"{"campaign": "spring", "group": "g-1", "user": "7"}"#,
        );
        let expected = Event::GroupEnded(Ended {
            phase: Phase::Failed,
            campaign: "spring".into(),
            group: "g-1".into(),
            user: UserId(7),
            field: "data.group".into(),
        });
        assert_eq!(message(right.as_bytes()).unwrap(), [expected]);
        let change = |from: &str, to: &str| right.replace(from, to);
        check(&change("g-1", "G 1"), Err((400, "invalid_part", Some("data.group"))));
        check(&change("spring", ""), Err((400, "invalid_part", Some("data.campaign"))));
        check(&change(r#""7""#, "-7"), Err((400, "invalid_id", Some("data.user"))));
        check(&change(r#", "user": "7""#, ""), Err((400, "missing_field", Some("data.user"))));
        check(&change("group.failed", "group.x"), Err((422, "unknown_event_type", Some("type"))));
    }

    #[test]
    fn a_paid_packet_is_the_one_of_its_sender_and_number() {
        let right = RIGHT.replace("order.paid", "packet.paid").replace(
            r#"{"user": "7", "order": "A-1"}"#,
            r#"{"packet": "7.a.b", "sender": "7", "order_number": "a.b"}"#,
        );
        let by = |payment| {
            let (packet, field) = ("7.a.b".into(), "data.packet".into());
            Event::PacketPaid(Paid { packet, payment, field })
        };
        assert_eq!(message(right.as_bytes()).unwrap(), [by(Payment::NONE)]);
        let numbered = right.replace(r#""a.b"}"#, r#""a.b", "payment": "T-1"}"#);
        let number = Payment::parse("T-1", "").unwrap();
        assert_eq!(message(numbered.as_bytes()).unwrap(), [by(number)]);
        let wrong = numbered.replace("T-1", "");
        check(&wrong, Err((400, "invalid_payment", Some("data.payment"))));
        let batch = format!("[{RIGHT}, {}]", right.replace("7.a.b", "7.a"));
        check(&batch, Err((400, "invalid_value", Some("[1].data.packet"))));
        for (from, to, code, field) in [
            (r#""7.a.b""#, r#""8.a.b""#, "invalid_value", "data.packet"),
            (r#""7.a.b""#, r#""07.a.b""#, "invalid_value", "data.packet"),
            (r#""7""#, r#""8""#, "invalid_value", "data.packet"),
            (r#""7""#, "-7", "invalid_id", "data.sender"),
            (r#""a.b""#, r#""a b""#, "invalid_order_number", "data.order_number"),
            (r#", "sender": "7""#, "", "missing_field", "data.sender"),
            (r#""sender""#, r#""x": 1, "sender""#, "unknown_field", "data.x"),
        ] {
            check(&right.replace(from, to), Err((400, code, Some(field))));
        }
    }

    #[test]
    fn one_wrong_event_refuses_the_batch_by_its_place() {
        let wrong = RIGHT.replace("order.paid", "order.lost");
        let body = format!("[{RIGHT}, {wrong}]");
        check(&body, Err((422, "unknown_event_type", Some("[1].type"))));
        let many = vec![RIGHT; EVENTS_MAX + 1].join(",");
        check(&format!("[{many}]"), Err((400, "invalid_batch_size", None)));
    }
}

//! Wire -> typed commands. Whatever can be refused without the store is refused here.

use domain::error::InvalidInput;
use domain::ids::{IdInput, UserId};
use domain::money::Amount;
use domain::order_number::{OrderNumber, Part};
use domain::time::UnixMillis;
#[cfg(not(target_arch = "wasm32"))]
use domain::transaction::INTEGER_MAX;
use edge::{Call, Problem};
use serde::{Deserialize, Serialize};
use wallet::packet::{self, Display, Funding, Kind, NUMBER_BYTES_MAX};
use wallet::rain::Rain;
use wallet::split;

use crate::Operation;
use crate::grant::Claim;

/// A packet of a rain that a user opens.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    rain: String,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = i32::MAX)))]
    round: i32,
    /// Which packet of the round.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    award: String,
    /// The app in which it was opened.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 0, max = INTEGER_MAX)))]
    app: i64,
}

/// A group packet that is sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct SendBody {
    /// Acts at most once for its sender.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("pattern" = format!("^[A-Za-z0-9_.:-]{{1,{NUMBER_BYTES_MAX}}}$"))))]
    order_number: String,
    sender: IdInput,
    /// Each part is 1 to 20,000 cents.
    total: Amount,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = split::COUNT_MAX)))]
    count: u32,
    kind: KindBody,
    funding: FundingBody,
    /// When it was ordered, at most 5 minutes in the future. It is part of what is asked: send always the same, or never
    /// one.
    ordered_at: Option<UnixMillis>,
    display: Option<Display>,
}

/// How a packet is divided.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "PacketKind")
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindBody {
    /// Each part at random, none above twice the mean of what is left.
    Random,
    /// Parts that differ by a cent at most.
    Equal,
}

/// Whose money it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Funding"))]
#[serde(rename_all = "snake_case")]
pub(crate) enum FundingBody {
    /// The sender's.
    Balance,
    /// The packet opens with the event `packet.paid`.
    Payment,
}

/// Who opens a packet.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBody {
    user: IdInput,
}

/// A command, valid as far as it can be told without the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set up a rain.
    SetUpRain(String, Box<Rain>),
    /// Look at a rain and its budget.
    LookAtRain(String),
    /// Open a packet of a rain.
    OpenRain(Claim),
    /// Send a group packet; when is not known here.
    Send(OrderNumber, packet::Order, Option<Display>),
    /// Look at a group packet.
    Look(String),
    /// May a user open it?
    Grab(String, UserId),
    /// Take a part of it.
    Open(String, UserId),
}

/// Reads a command.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn command(operation: Operation, call: &Call) -> Result<Command, Problem> {
    let name = |field| part(parameter(call, 0), field);
    let user = || -> Result<UserId, Problem> {
        let body: UserBody = call.json()?;
        Ok(body.user.user(|| "user".to_owned())?)
    };
    Ok(match operation {
        Operation::SetUpRain => {
            let (id, rain): (_, Rain) = (name("rain")?, call.json()?);
            rain.validate()?;
            Command::SetUpRain(id, Box::new(rain))
        }
        Operation::LookAtRain => Command::LookAtRain(name("rain")?),
        Operation::OpenRain => {
            let user = UserId::parse(parameter(call, 0), "user")?;
            Command::OpenRain(claim(user, call.json()?)?)
        }
        Operation::Send => {
            let body: SendBody = call.json()?;
            let (number, order) = sending(&body)?;
            Command::Send(number, order, body.display)
        }
        Operation::Look => Command::Look(packet_of(call)?),
        Operation::Grab => Command::Grab(packet_of(call)?, user()?),
        Operation::Open => Command::Open(packet_of(call)?, user()?),
    })
}

/// One parameter of the route.
fn parameter(call: &Call, index: usize) -> &str {
    call.parameters.get(index).map(String::as_str).unwrap_or_default()
}

fn part(text: &str, field: &str) -> Result<String, InvalidInput> {
    Part::parse(text, field).map(|part| part.as_str().to_owned())
}

/// A packet's name: `{sender}.{order number}`.
fn packet_of(call: &Call) -> Result<String, InvalidInput> {
    let text = parameter(call, 0);
    let detail = "must be the name that sending a packet gave";
    packet::sender_of(text).ok_or_else(|| InvalidInput::new("invalid_packet", "packet", detail))?;
    Ok(text.to_owned())
}

fn claim(user: UserId, body: ClaimBody) -> Result<Claim, InvalidInput> {
    let ClaimBody { rain, round, award, app } = body;
    if round < 1 {
        return Err(InvalidInput::new("invalid_value", "round", "must be at least 1"));
    }
    if app < 0 {
        return Err(InvalidInput::new("invalid_value", "app", "must be at least 0"));
    }
    Ok(Claim { user, rain: part(&rain, "rain")?, round, award: part(&award, "award")?, app })
}

fn sending(body: &SendBody) -> Result<(OrderNumber, packet::Order), InvalidInput> {
    let number = OrderNumber::parse(&body.order_number, "order_number")?;
    if number.as_str().len() > NUMBER_BYTES_MAX {
        let detail = format!("must have at most {NUMBER_BYTES_MAX} characters");
        return Err(InvalidInput::new("invalid_order_number", "order_number", detail));
    }
    let sender = body.sender.user(|| "sender".to_owned())?;
    split::check(body.total.minor_units(), body.count)?;
    body.display.as_ref().map_or(Ok(()), Display::validate)?;
    let order = packet::Order {
        sender: sender.0,
        total: body.total.minor_units(),
        count: body.count,
        kind: match body.kind {
            KindBody::Random => Kind::Random,
            KindBody::Equal => Kind::Equal,
        },
        funding: match body.funding {
            FundingBody::Balance => Funding::Balance,
            FundingBody::Payment => Funding::Payment,
        },
        at: 0,
        ordered_at: body.ordered_at.map(|at| at.0),
    };
    Ok((number, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_packets_name_the_field() {
        let read = |text: &str| {
            let body: SendBody = serde_json::from_str(text).unwrap();
            sending(&body).map_err(|error| error.field)
        };
        let body = |number: &str, sender: &str, total: &str, count: u32| {
            format!(
                r#"{{"order_number": "{number}", "sender": {sender}, "total": {total},
                "count": {count}, "kind": "random", "funding": "balance"}}"#
            )
        };
        assert!(read(&body("n", "7", "100", 3)).is_ok());
        let timed = r#", "ordered_at": "2026-02-16T16:00:00.250Z"}"#;
        let (_, order) = read(&body("n", "7", "100", 3).replace('}', timed)).unwrap();
        assert_eq!(order.ordered_at, Some(1_771_257_600_250));
        let long = "n".repeat(NUMBER_BYTES_MAX + 1);
        for (text, field) in [
            (body("a b", "7", "100", 3), "order_number"),
            (body(&long, "7", "100", 3), "order_number"),
            (body("n", "-7", "100", 3), "sender"),
            (body("n", "7", "2", 3), "total"),
            (body("n", "7", "60001", 3), "total"),
            (body("n", "7", "100", 0), "count"),
            (body("n", "7", "100", 301), "count"),
            (
                body("n", "7", "100", 3).replace('}', r#", "display": {"name": ""}}"#),
                "display.name",
            ),
        ] {
            assert_eq!(read(&text), Err(field.to_owned()), "{text}");
        }
    }

    #[test]
    fn claims_name_a_rain_a_round_and_an_award() {
        let read = |text: &str| {
            claim(UserId(7), serde_json::from_str(text).unwrap()).map_err(|error| error.field)
        };
        assert!(read(r#"{"rain": "spring", "round": 1, "award": "a"}"#).is_ok());
        for (text, field) in [
            (r#"{"rain": "S", "round": 1, "award": "a"}"#, "rain"),
            (r#"{"rain": "s", "round": 0, "award": "a"}"#, "round"),
            (r#"{"rain": "s", "round": 1, "award": ""}"#, "award"),
            (r#"{"rain": "s", "round": 1, "award": "a", "app": -1}"#, "app"),
        ] {
            assert_eq!(read(text), Err(field.to_owned()), "{text}");
        }
    }
}

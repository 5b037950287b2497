//! Wire -> typed commands.

use domain::day_lists::day;
use domain::error::InvalidInput;
use domain::money::Amount;
use domain::time::UnixMillis;
use domain::transaction::OrderedKey;
use edge::{Call, Problem};
use serde::{Deserialize, Serialize};
use store::listing::Place;
use store::quarantine::{dropped_names, names};
use store::retention::Retention;
use wallet::mode::{Mode, Statements, Switches};
use wallet::packet::unapplied::Decision;

use crate::collect;
use crate::export;
use crate::quarantine::{self, PAGE_MAX, REASON_BYTES_MAX};
use crate::reconcile::{Cursor, Scope};
use crate::settle::{self, USERS_MAX};
use crate::{Operation, unknown_payment};

/// How much a call settles.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = USERS_MAX), extend("default" = settle::USERS_DEFAULT)))]
    users_max: Option<u32>,
}

/// How much a call collects.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectBody {
    /// Say what this call would take away, and write nothing.
    #[serde(default)]
    dry_run: bool,
    /// Users to look at.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = USERS_MAX), extend("default" = collect::USERS_DEFAULT)))]
    users_max: Option<u32>,
}

/// How tokens are posted, and how far back statements go.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Posting"))]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchesBody {
    /// How tokens are posted. Whatever it is, who withdraws has theirs posted before.
    pub(crate) mode: ModeName,
    /// With `large_at_once` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) large_from: Option<Amount>,
    /// How far back statements go.
    #[serde(default)]
    pub(crate) statements: StatementsName,
}

/// How tokens are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModeName {
    /// By settlement.
    Queued,
    /// From `large_from` on when they are given.
    LargeAtOnce,
    /// Not now.
    Off,
}

/// How far back statements go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatementsName {
    /// To the first line.
    #[default]
    All,
    /// 40 lines.
    FirstScreens,
}

/// Why something is taken out.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct DropBody {
    /// Why; at most 400 bytes.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = REASON_BYTES_MAX)))]
    reason: String,
}

/// What becomes of a payment.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    decision: DecisionName,
    /// Why, in at most 400 bytes. Required with `drop`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = REASON_BYTES_MAX)))]
    reason: Option<String>,
}

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum DecisionName {
    /// The next settlement gives the money to the sender.
    Credit,
    /// It was given back elsewhere; nothing moves.
    Drop,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Settle at most so many users.
    Settle(u32),
    /// How long are things kept?
    LookAtRetention,
    /// Keep them so long.
    Retain(Retention),
    /// Take away what is over.
    Collect {
        /// Only say what would go.
        dry_run: bool,
        /// Look at so many users at most.
        users_max: u32,
    },
    /// What does the store hold of a day, behind a cursor?
    Export(i64, export::Cursor),
    /// What is switched?
    LookAtSwitches,
    /// Switch it.
    Switch(Switches),
    /// Where do books not agree?
    Reconcile(Scope, Cursor),
    /// What is set aside or dropped, behind a place? So many items at most.
    ListQuarantine(OrderedKey, Option<Place>, usize),
    /// Put something back that is set aside.
    Retry(Place),
    /// Take it out for good, for a reason.
    Drop(Place, String),
    /// For which payments was there no use, behind a place? So many at most.
    ListUnapplied(Option<Place>, usize),
    /// What becomes of such a payment, and why.
    DecideUnapplied(Place, Decision, Option<String>),
}

/// Reads a command.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn command(operation: Operation, call: &Call) -> Result<Command, Problem> {
    let partitions = call.config.partitions;
    let item = || {
        let id = call.parameters.first().map_or("", String::as_str);
        quarantine::place(partitions, id).ok_or_else(quarantine::unknown)
    };
    let after = |cursor: Option<String>| {
        let wrong = || wrong_value("cursor", "must be one that a page gave".into());
        let place = |id: String| quarantine::place(partitions, &id).ok_or_else(wrong);
        cursor.map(place).transpose()
    };
    Ok(match operation {
        Operation::ListQuarantine => {
            let [state, cursor, limit] = call.query(["state", "cursor", "limit"])?;
            let list = list_of(state.as_deref())?;
            Command::ListQuarantine(list, after(cursor)?, limit_of(limit.as_deref())?)
        }
        Operation::Retry => Command::Retry(item()?),
        Operation::Drop => {
            let DropBody { reason } = call.json()?;
            Command::Drop(item()?, checked(reason)?)
        }
        Operation::Settle => {
            // A schedule may have nothing to say.
            let body = if call.body.is_empty() { SettleBody::default() } else { call.json()? };
            Command::Settle(users_max(body.users_max, settle::USERS_DEFAULT)?)
        }
        Operation::LookAtRetention => Command::LookAtRetention,
        Operation::Retain => {
            let retention: Retention = call.json()?;
            retention.validate()?;
            Command::Retain(retention)
        }
        Operation::Collect => {
            let body = if call.body.is_empty() { CollectBody::default() } else { call.json()? };
            let users_max = users_max(body.users_max, collect::USERS_DEFAULT)?;
            Command::Collect { dry_run: body.dry_run, users_max }
        }
        Operation::Export => {
            let [cursor] = call.query(["cursor"])?;
            let day = day_of(call.parameters.first().map_or("", String::as_str))?;
            let wrong = || wrong_value("cursor", "must be one that a page gave".into());
            let cursor = cursor.map(|text| export::Cursor::parse(&text).ok_or_else(wrong));
            Command::Export(day, cursor.transpose()?.unwrap_or_default())
        }
        Operation::LookAtSwitches => Command::LookAtSwitches,
        Operation::Switch => Command::Switch(switches(&call.json()?)?),
        Operation::Reconcile => {
            let [scope, cursor] = call.query(["scope", "cursor"])?;
            Command::Reconcile(scope_of(scope.as_deref())?, cursor_of(cursor.as_deref())?)
        }
        Operation::ListUnapplied => {
            let [cursor, limit] = call.query(["cursor", "limit"])?;
            Command::ListUnapplied(after(cursor)?, limit_of(limit.as_deref())?)
        }
        Operation::DecideUnapplied => {
            let id = call.parameters.first().map_or("", String::as_str);
            let place = quarantine::place(partitions, id).ok_or_else(unknown_payment)?;
            let DecisionBody { decision, reason } = call.json()?;
            let reason = reason.map(checked).transpose()?;
            let decision = match decision {
                DecisionName::Credit => Decision::Credit,
                DecisionName::Drop if reason.is_none() => {
                    let detail = "is required with drop";
                    return Err(InvalidInput::new("missing_field", "reason", detail).into());
                }
                DecisionName::Drop => Decision::Drop,
            };
            Command::DecideUnapplied(place, decision, reason)
        }
    })
}

/// A reason that an operator gave.
fn checked(reason: String) -> Result<String, InvalidInput> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let detail = format!("must say why, in at most {REASON_BYTES_MAX} bytes");
        return Err(wrong_value("reason", detail));
    }
    Ok(reason)
}

fn wrong_value(field: &str, detail: String) -> InvalidInput {
    InvalidInput::new("invalid_value", field, detail)
}

/// A day, as `2026-11-27`.
fn day_of(text: &str) -> Result<i64, InvalidInput> {
    let midnight = UnixMillis::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let wrong = || wrong_value("day", "must be a day such as 2026-11-27".into());
    midnight.map(day).ok_or_else(wrong)
}

fn list_of(state: Option<&str>) -> Result<OrderedKey, InvalidInput> {
    match state {
        None | Some("set_aside") => Ok(names()),
        Some("dropped") => Ok(dropped_names()),
        Some(_) => Err(wrong_value("state", "must be set_aside or dropped".into())),
    }
}

fn limit_of(limit: Option<&str>) -> Result<usize, InvalidInput> {
    let Some(text) = limit else { return Ok(PAGE_MAX) };
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.ok_or_else(|| wrong_value("limit", format!("must be 1 to {PAGE_MAX}")))
}

fn users_max(users: Option<u32>, default: u32) -> Result<u32, InvalidInput> {
    match users {
        None => Ok(default),
        Some(users @ 1..=USERS_MAX) => Ok(users),
        Some(_) => {
            let detail = format!("must be 1 to {USERS_MAX}");
            Err(InvalidInput::new("invalid_value", "users_max", detail))
        }
    }
}

fn switches(body: &SwitchesBody) -> Result<Switches, InvalidInput> {
    let statements = match body.statements {
        StatementsName::All => Statements::All,
        StatementsName::FirstScreens => Statements::FirstScreens,
    };
    Ok(Switches { mode: mode(body)?, statements })
}

fn mode(body: &SwitchesBody) -> Result<Mode, InvalidInput> {
    let wrong = |code, detail| Err(InvalidInput::new(code, "large_from", detail));
    match (body.mode, body.large_from.map(Amount::minor_units)) {
        (ModeName::Queued, None) => Ok(Mode::Queued),
        (ModeName::Off, None) => Ok(Mode::Off),
        (ModeName::LargeAtOnce, Some(cents @ 1..)) => Ok(Mode::LargeAtOnce(cents)),
        (ModeName::LargeAtOnce, Some(_)) => wrong("invalid_value", "must be at least 1"),
        (ModeName::LargeAtOnce, None) => wrong("missing_field", "is required with large_at_once"),
        (_, Some(_)) => wrong("invalid_value", "goes with large_at_once alone"),
    }
}

fn scope_of(text: Option<&str>) -> Result<Scope, InvalidInput> {
    match text {
        None | Some("recent") => Ok(Scope::Recent),
        Some("full") => Ok(Scope::Full),
        Some(_) => Err(InvalidInput::new("invalid_value", "scope", "must be recent or full")),
    }
}

fn cursor_of(text: Option<&str>) -> Result<Cursor, InvalidInput> {
    let wrong = || InvalidInput::new("invalid_value", "cursor", "must be one that a page gave");
    text.map_or(Ok(Cursor::default()), |text| Cursor::parse(text).ok_or_else(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_wrong_ones_are_refused() {
        let read = |text: &str| mode(&serde_json::from_str(text).unwrap()).map_err(|e| e.code);
        assert_eq!(read(r#"{"mode": "queued"}"#), Ok(Mode::Queued));
        assert_eq!(read(r#"{"mode": "off"}"#), Ok(Mode::Off));
        let large = r#"{"mode": "large_at_once", "large_from": "500"}"#;
        assert_eq!(read(large), Ok(Mode::LargeAtOnce(500)));
        assert_eq!(read(&large.replace("\"500\"", "0")), Err("invalid_value"));
        assert_eq!(read(r#"{"mode": "large_at_once"}"#), Err("missing_field"));
        assert_eq!(read(r#"{"mode": "off", "large_from": 5}"#), Err("invalid_value"));
    }

    #[test]
    fn a_call_settles_1_to_10000_users() {
        let read = |max| users_max(max, settle::USERS_DEFAULT).map_err(|error| error.field);
        assert_eq!(read(None), Ok(settle::USERS_DEFAULT));
        assert_eq!(read(Some(10_000)), Ok(10_000));
        for wrong in [0, 10_001] {
            assert_eq!(read(Some(wrong)), Err("users_max".to_owned()));
        }
    }
}

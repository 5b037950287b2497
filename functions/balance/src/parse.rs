//! Wire -> typed commands. Whatever can be refused without the store is refused here.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::money::Amount;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::{Call, Problem};
use serde::Deserialize;
use wallet::view::CLIENT_TOKENS_MAX;
use wallet::withdraw::{EXPIRES_IN_SECONDS_MAX, Request};

use crate::Operation;
use crate::history::Cursor;

/// Entries of a page.
pub(crate) const PAGE_MAX: usize = 40;
/// Entries of a page where nothing is said: a screen.
pub(crate) const PAGE_DEFAULT: usize = 20;

/// Tokens that a client holds.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<wallet::schema::TokenText>", length(max = CLIENT_TOKENS_MAX)))]
    tokens: Vec<String>,
}

/// A withdrawal that is asked for.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawalBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    withdrawal_number: String,
    /// At least 1.
    amount: Amount,
    /// When it was ordered, at most 5 minutes in the future. It belongs to the number: send always the same, or never
    /// one. A number with a time is forgotten with all that are older, and takes no room any more.
    ordered_at: Option<UnixMillis>,
    /// How long it may be pending: 400 days at most. Without it as long as it takes.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = EXPIRES_IN_SECONDS_MAX)))]
    expires_in_seconds: Option<u32>,
}

/// What is said of a withdrawal that is voided.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub(crate) struct VoidBody {
    /// Of a number that never came: when it was ordered, as it would be sent with it. Where the number is known it says
    /// nothing.
    ordered_at: Option<UnixMillis>,
}

/// A command, valid as far as it can be told without the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What does a user have?
    View(UserId),
    /// The same, with tokens that the client holds.
    Restore(UserId, Vec<String>),
    /// Post what the user was given.
    Post(UserId),
    /// What moved, after a place, at most so many.
    Statement(UserId, Option<Cursor>, usize),
    /// Has this number acted?
    LookUp(UserId, OrderNumber),
    /// Hold money.
    Withdraw(UserId, OrderNumber, Request),
    /// What became of a withdrawal?
    LookAtWithdrawal(UserId, OrderNumber),
    /// It left.
    PostWithdrawal(UserId, OrderNumber),
    /// It comes back; when it was ordered, if it never came.
    VoidWithdrawal(UserId, OrderNumber, Option<UnixMillis>),
}

/// Reads a command.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn command(operation: Operation, call: &Call) -> Result<Command, Problem> {
    let user = UserId::parse(parameter(call, 0), "user")?;
    let number = |field| OrderNumber::parse(parameter(call, 1), field);
    Ok(match operation {
        Operation::View => Command::View(user),
        Operation::Restore => Command::Restore(user, tokens(call.json()?)?),
        Operation::Post => Command::Post(user),
        Operation::Statement => {
            let [cursor, limit] = call.query(["cursor", "limit"])?;
            let after = cursor.as_deref().map(cursor_of).transpose()?;
            Command::Statement(user, after, limit_of(limit.as_deref())?)
        }
        Operation::LookUp => Command::LookUp(user, number("order_number")?),
        Operation::Withdraw => {
            let (number, request) = withdrawal(&call.json()?)?;
            Command::Withdraw(user, number, request)
        }
        Operation::LookAtWithdrawal => {
            Command::LookAtWithdrawal(user, number("withdrawal_number")?)
        }
        Operation::PostWithdrawal => Command::PostWithdrawal(user, number("withdrawal_number")?),
        Operation::VoidWithdrawal => {
            // A body says more of the number, and most numbers need none.
            let body: VoidBody =
                if call.body.is_empty() { VoidBody::default() } else { call.json()? };
            Command::VoidWithdrawal(user, number("withdrawal_number")?, body.ordered_at)
        }
    })
}

/// One parameter of the route.
fn parameter(call: &Call, index: usize) -> &str {
    call.parameters.get(index).map(String::as_str).unwrap_or_default()
}

fn tokens(RestoreBody { tokens }: RestoreBody) -> Result<Vec<String>, InvalidInput> {
    if tokens.len() > CLIENT_TOKENS_MAX {
        let detail = format!("must have at most {CLIENT_TOKENS_MAX} tokens");
        return Err(InvalidInput::new("too_many_tokens", "tokens", detail));
    }
    Ok(tokens)
}

fn withdrawal(body: &WithdrawalBody) -> Result<(OrderNumber, Request), InvalidInput> {
    let number = OrderNumber::parse(&body.withdrawal_number, "withdrawal_number")?;
    let amount = body.amount.minor_units();
    if amount < 1 {
        return Err(InvalidInput::new("invalid_amount", "amount", "must be at least 1"));
    }
    let expires_in_seconds = body.expires_in_seconds;
    if expires_in_seconds.is_some_and(|seconds| !(1..=EXPIRES_IN_SECONDS_MAX).contains(&seconds)) {
        let detail = format!("must be 1 to {EXPIRES_IN_SECONDS_MAX}");
        return Err(InvalidInput::new("invalid_value", "expires_in_seconds", detail));
    }
    Ok((number, Request { amount, ordered_at: body.ordered_at, expires_in_seconds }))
}

/// # Errors
/// `invalid_value`.
fn cursor_of(text: &str) -> Result<Cursor, InvalidInput> {
    let wrong = || InvalidInput::new("invalid_value", "cursor", "must be one that a page gave");
    Cursor::parse(text).ok_or_else(wrong)
}

fn limit_of(limit: Option<&str>) -> Result<usize, InvalidInput> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| {
                let detail = format!("must be an integer from 1 to {PAGE_MAX}");
                InvalidInput::new("invalid_value", "limit", detail)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withdrawals_have_a_number_and_at_least_a_cent() {
        let read = |text: &str| {
            let body: WithdrawalBody = serde_json::from_str(text).unwrap();
            withdrawal(&body).map_err(|error| (error.code, error.field))
        };
        let number = OrderNumber::parse("w-1", "n").unwrap();
        let text = r#"{"withdrawal_number": "w-1", "amount": "5"}"#;
        assert_eq!(read(text), Ok((number.clone(), Request::of(5))));
        let text = r#"{"withdrawal_number": "w-1", "amount": "5",
            "ordered_at": "2026-02-17T00:00:00Z", "expires_in_seconds": 34560000}"#;
        let ordered_at = UnixMillis::parse_rfc3339("2026-02-17T00:00:00Z");
        let expires_in_seconds = Some(EXPIRES_IN_SECONDS_MAX);
        assert_eq!(read(text), Ok((number, Request { amount: 5, ordered_at, expires_in_seconds })));
        for (text, code, field) in [
            (r#"{"withdrawal_number": "w-1", "amount": 0}"#, "invalid_amount", "amount"),
            (r#"{"withdrawal_number": "w-1", "amount": -1}"#, "invalid_amount", "amount"),
            (
                r#"{"withdrawal_number": "w-1", "amount": 1, "expires_in_seconds": 0}"#,
                "invalid_value",
                "expires_in_seconds",
            ),
            (
                r#"{"withdrawal_number": "w-1", "amount": 1, "expires_in_seconds": 34560001}"#,
                "invalid_value",
                "expires_in_seconds",
            ),
            (
                r#"{"withdrawal_number": "w 1", "amount": 1}"#,
                "invalid_order_number",
                "withdrawal_number",
            ),
        ] {
            assert_eq!(read(text), Err((code, field.to_owned())), "{text}");
        }
    }

    #[test]
    fn limits_and_lists_are_bounded() {
        assert_eq!(limit_of(None), Ok(PAGE_DEFAULT));
        assert_eq!(limit_of(Some("40")), Ok(40));
        for text in ["0", "41", "x", ""] {
            assert_eq!(limit_of(Some(text)).unwrap_err().code, "invalid_value", "{text}");
        }
        let many = |count| RestoreBody { tokens: vec![String::new(); count] };
        assert_eq!(tokens(many(100)).map(|tokens| tokens.len()), Ok(100));
        assert_eq!(tokens(many(101)).unwrap_err().code, "too_many_tokens");
    }
}

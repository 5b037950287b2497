//! Wire -> typed commands. Whatever can be refused without the store is refused here.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::money::Amount;
use domain::order_number::OrderNumber;
use edge::{Call, Problem};
use serde::Deserialize;
use wallet::view::CLIENT_TOKENS_MAX;

use crate::Operation;
use crate::history::Cursor;

/// Entries of a page.
const PAGE_MAX: usize = 40;
/// Entries of a page where nothing is said: a screen.
const PAGE_DEFAULT: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    tokens: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawalBody {
    withdrawal_number: String,
    amount: Amount,
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
    Withdraw(UserId, OrderNumber, i64),
    /// What became of a withdrawal?
    LookAtWithdrawal(UserId, OrderNumber),
    /// It left.
    PostWithdrawal(UserId, OrderNumber),
    /// It comes back.
    VoidWithdrawal(UserId, OrderNumber),
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
            let (number, amount) = withdrawal(&call.json()?)?;
            Command::Withdraw(user, number, amount)
        }
        Operation::LookAtWithdrawal => {
            Command::LookAtWithdrawal(user, number("withdrawal_number")?)
        }
        Operation::PostWithdrawal => Command::PostWithdrawal(user, number("withdrawal_number")?),
        Operation::VoidWithdrawal => Command::VoidWithdrawal(user, number("withdrawal_number")?),
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

fn withdrawal(body: &WithdrawalBody) -> Result<(OrderNumber, i64), InvalidInput> {
    let number = OrderNumber::parse(&body.withdrawal_number, "withdrawal_number")?;
    match body.amount.minor_units() {
        amount @ 1.. => Ok((number, amount)),
        _ => Err(InvalidInput::new("invalid_amount", "amount", "must be at least 1")),
    }
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
        assert_eq!(read(r#"{"withdrawal_number": "w-1", "amount": "5"}"#), Ok((number, 5)));
        for (text, code, field) in [
            (r#"{"withdrawal_number": "w-1", "amount": 0}"#, "invalid_amount", "amount"),
            (r#"{"withdrawal_number": "w-1", "amount": -1}"#, "invalid_amount", "amount"),
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

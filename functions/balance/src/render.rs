//! Answers -> wire.

use domain::ids::UserId;
use domain::money::{Amount, Currency};
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::{Answer, Problem};
use serde::Serialize;
use wallet::token::Token;
use wallet::view::View;
use wallet::withdraw::{State, Withdrawal};

use crate::Done;
use crate::history::{Cursor, Kind, Line, Page};

#[derive(Serialize)]
struct ViewBody<'a> {
    user: UserId,
    currency: &'a str,
    balance: Amount,
    pending: Amount,
    income: Amount,
    withdrawn: Amount,
    held: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    kind: Kind,
    order_number: &'a str,
    amount: Amount,
    at: UnixMillis,
    posted: bool,
}

#[derive(Serialize)]
struct PageBody<'a> {
    entries: Vec<LineBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

#[derive(Serialize)]
struct FoundBody<'a> {
    order_number: &'a str,
    activity: &'a str,
    scene: &'a str,
    amount: Amount,
    at: UnixMillis,
    posted: bool,
}

#[derive(Serialize)]
struct WithdrawalBody<'a> {
    withdrawal_number: &'a str,
    amount: Amount,
    state: &'static str,
    at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Rain => "rain",
            Self::Packet => "packet",
            Self::Refund => "refund",
            Self::PacketSent => "packet_sent",
            Self::Withdrawal => "withdrawal",
            Self::WithdrawalVoided => "withdrawal_voided",
        })
    }
}

/// What came of a command.
///
/// # Errors
/// It cannot be written as JSON.
pub fn done(done: &Done, currency: Currency) -> Result<Answer, Problem> {
    match done {
        Done::View(user, view, restored) => {
            Answer::json(&view_body(*user, view, *restored, &currency)?)
        }
        Done::Page(page) => Answer::json(&page_body(page)?),
        Done::Found(token, is_posted) => Answer::json(&found_body(token, *is_posted)),
        Done::Asked(number, withdrawal, replayed) => {
            let body = withdrawal_body(number, withdrawal, Some(*replayed))?;
            Ok(Answer::json_with(201, &body)?.replayed(*replayed))
        }
        Done::Withdrawal(number, withdrawal) => {
            Answer::json(&withdrawal_body(number, withdrawal, None)?)
        }
    }
}

fn amount(cents: i64) -> Result<Amount, Problem> {
    Amount::new(cents).map_err(|error| Problem::internal(error.to_string()))
}

fn view_body<'a>(
    user: UserId,
    view: &View,
    restored: Option<usize>,
    currency: &'a Currency,
) -> Result<ViewBody<'a>, Problem> {
    Ok(ViewBody {
        user,
        currency: currency.as_str(),
        balance: amount(view.balance)?,
        pending: amount(view.pending)?,
        income: amount(view.income)?,
        withdrawn: amount(view.withdrawn)?,
        held: amount(view.held)?,
        restored,
        incomplete: (view.unreadable > 0).then_some(true),
    })
}

fn page_body(page: &Page) -> Result<PageBody<'_>, Problem> {
    let mut entries = Vec::with_capacity(page.lines.len());
    for Line { kind, number, amount: cents, at, is_posted } in &page.lines {
        let (amount, at) = (amount(*cents)?, UnixMillis(*at));
        entries.push(LineBody {
            kind: *kind,
            order_number: number,
            amount,
            at,
            posted: *is_posted,
        });
    }
    let incomplete = page.is_incomplete.then_some(true);
    Ok(PageBody { entries, cursor: page.next.as_ref().map(Cursor::text), incomplete })
}

fn found_body(token: &Token, posted: bool) -> FoundBody<'_> {
    FoundBody {
        order_number: token.order_number.as_str(),
        activity: &token.activity,
        scene: &token.scene,
        amount: token.amount,
        at: token.open_time,
        posted,
    }
}

fn withdrawal_body<'a>(
    number: &'a OrderNumber,
    withdrawal: &Withdrawal,
    replayed: Option<bool>,
) -> Result<WithdrawalBody<'a>, Problem> {
    Ok(WithdrawalBody {
        withdrawal_number: number.as_str(),
        amount: amount(withdrawal.amount)?,
        state: match withdrawal.state {
            State::Pending => "pending",
            State::Posted => "posted",
            State::Voided => "voided",
            State::ExceedsBalance => "exceeds_balance",
        },
        at: UnixMillis(withdrawal.at),
        replayed,
    })
}

//! Answers -> wire.

use domain::ids::UserId;
use domain::money::{Amount, Currency};
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::{Answer, Problem};
use serde::Serialize;
use wallet::token::Token;
use wallet::view::{Restored, View};
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
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    too_old: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
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
            Self::Carried => "carried",
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
            Answer::json(&view_body(*user, view, restored.as_ref(), &currency)?)
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
    restored: Option<&'a Restored>,
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
        restored: restored.map(|restored| restored.tokens),
        too_old: restored.map_or(&[], |restored| &restored.too_old),
        incomplete: (view.unreadable > 0).then_some(true),
    })
}

fn page_body(page: &Page) -> Result<PageBody<'_>, Problem> {
    let mut entries = Vec::with_capacity(page.lines.len());
    for Line { kind, number, carried, amount: cents, at, is_posted } in &page.lines {
        entries.push(LineBody {
            kind: *kind,
            order_number: carried.is_none().then_some(number),
            month: carried.as_ref().and_then(|carried| carried.month.as_deref()),
            count: carried.as_ref().map(|carried| carried.count),
            amount: amount(*cents)?,
            at: UnixMillis(*at),
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
        reason: withdrawal.has_expired.then_some("expired"),
        at: UnixMillis(withdrawal.at),
        ordered_at: withdrawal.ordered_at.map(UnixMillis),
        expires_at: withdrawal.end.map(|end| UnixMillis(end.at)),
        replayed,
    })
}

//! Answers -> wire.

use domain::ids::UserId;
use domain::money::{Amount, Currency};
use domain::order_number::OrderNumber;
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
use domain::time::UnixMillis;
use edge::{Answer, Problem};
use serde::Serialize;
use wallet::token::Token;
#[cfg(not(target_arch = "wasm32"))]
use wallet::view::CLIENT_TOKENS_MAX;
use wallet::view::{Restored, View};
use wallet::withdraw::{State, Withdrawal};

use crate::Done;
use crate::history::{Cursor, Kind, Line, Page};

/// What a user has.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Balance"))]
pub(crate) struct ViewBody<'a> {
    user: UserId,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "wallet::schema::WalletCurrency"))]
    currency: &'a str,
    /// What can be withdrawn; tokens that are not posted count.
    balance: Amount,
    /// What of it is not posted.
    pending: Amount,
    /// What ever came, refunds aside.
    income: Amount,
    /// What left by withdrawals.
    withdrawn: Amount,
    /// What is held for withdrawals.
    held: Amount,
    /// How many of the tokens that came along the store had lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = CLIENT_TOKENS_MAX)))]
    restored: Option<usize>,
    /// The places, from 0 on, of tokens that came along and are so old that they were not put back: what they gave is
    /// among the lines of months of the statement. Absent where there is none.
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = CLIENT_TOKENS_MAX)))]
    too_old: &'a [usize],
    /// Something that the user was given cannot be read, until operators see to it: it is in none of these amounts.
    /// Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

/// A line of a statement.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct LineBody<'a> {
    kind: Kind,
    /// Absent where `kind` is `carried`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderNumber>"))]
    order_number: Option<&'a str>,
    /// Of which month a `carried` line is, in UTC; absent where it is what was before all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("pattern" = "^[0-9]{4}-[0-9]{2}$")))]
    month: Option<&'a str>,
    /// How many entries a `carried` line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1)))]
    count: Option<i64>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::schema::SignedAmount"))]
    amount: Amount,
    /// Of a `carried` line, of its last entry.
    at: UnixMillis,
    posted: bool,
}

/// A page of a statement.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PageBody<'a> {
    entries: Vec<LineBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Some lines cannot be read, until operators see to it: they are on no page. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

/// What a number gave.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct FoundBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    order_number: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    scene: &'a str,
    amount: Amount,
    at: UnixMillis,
    posted: bool,
}

/// A withdrawal.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "Withdrawal")
)]
pub(crate) struct WithdrawalBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    withdrawal_number: &'a str,
    /// 0, where it was voided before it came.
    amount: Amount,
    state: StateWord,
    /// Why it is voided, where nobody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Since when it is in this state.
    at: UnixMillis,
    /// As it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered_at: Option<UnixMillis>,
    /// Where it has an end: then it is voided, if it is still pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

/// What became of a withdrawal.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum StateWord {
    Pending,
    Posted,
    Voided,
    ExceedsBalance,
}

/// Why a withdrawal is voided.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// Its time was over.
    Expired,
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
            State::Pending => StateWord::Pending,
            State::Posted => StateWord::Posted,
            State::Voided => StateWord::Voided,
            State::ExceedsBalance => StateWord::ExceedsBalance,
        },
        reason: withdrawal.has_expired.then_some(Reason::Expired),
        at: UnixMillis(withdrawal.at),
        ordered_at: withdrawal.ordered_at.map(UnixMillis),
        expires_at: withdrawal.end.map(|end| UnixMillis(end.at)),
        replayed,
    })
}

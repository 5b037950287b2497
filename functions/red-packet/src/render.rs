//! Answers -> wire.

use std::borrow::Cow;

use domain::ids::UserId;
use domain::money::{Amount, Currency};
use domain::time::UnixMillis;
use edge::{Answer, Problem};
use serde::Serialize;
use store::sealed::Archived;
use wallet::packet::display::GREETING;
use wallet::packet::{self, Details, Funding, Kind, LIFE_MS, Opening, State};
use wallet::rain::Rain;

use crate::Done;
use crate::grant::Granted;
use crate::publish::Budget;

#[derive(Serialize)]
struct RainBody<'a> {
    rain: &'a str,
    version: i64,
    definition: &'a Rain,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetBody>,
}

#[derive(Serialize)]
struct SealedRainBody<'a> {
    rain: &'a str,
    version: i64,
    sealed: SealedBody<'a>,
}

/// What is kept of a rain that is sealed.
#[derive(Serialize)]
struct SealedBody<'a> {
    at: UnixMillis,
    activity: Option<&'a str>,
    scene: Option<&'a str>,
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    total: Option<Amount>,
    granted: Option<Amount>,
    posted: Option<Amount>,
}

#[derive(Serialize)]
struct BudgetBody {
    total: Amount,
    granted: Amount,
    leased: Amount,
    remaining: Amount,
}

#[derive(Serialize)]
struct GrantedBody<'a> {
    order_number: &'a str,
    amount: Amount,
    currency: &'a str,
    at: UnixMillis,
    token: &'a str,
    replayed: bool,
}

#[derive(Serialize)]
struct SentBody<'a> {
    packet: &'a str,
    state: &'static str,
    total: Amount,
    count: u32,
    sent_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    replayed: bool,
}

#[derive(Serialize)]
struct DetailsBody<'a> {
    packet: &'a str,
    sender: UserId,
    state: &'static str,
    kind: &'static str,
    funding: &'static str,
    currency: &'a str,
    total: Amount,
    count: u32,
    opened: usize,
    taken: Amount,
    remaining: Amount,
    display: DisplayBody<'a>,
    sent_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_luck: Option<UserId>,
    openings: Vec<OpeningBody>,
}

#[derive(Serialize)]
struct DisplayBody<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    greeting: &'a str,
}

#[derive(Serialize)]
struct OpeningBody {
    user: UserId,
    amount: Amount,
    at: UnixMillis,
}

#[derive(Serialize)]
struct GrabbedBody<'a> {
    packet: &'a str,
    user: UserId,
    left: u32,
}

#[derive(Serialize)]
struct OpenedBody<'a> {
    packet: &'a str,
    user: UserId,
    order_number: String,
    amount: Amount,
    currency: &'a str,
    at: UnixMillis,
    token: &'a str,
    replayed: bool,
}

/// What came of a command.
///
/// # Errors
/// It cannot be written as JSON.
pub fn done(done: &Done, currency: Currency) -> Result<Answer, Problem> {
    let currency = currency.as_str();
    match done {
        Done::Rain(id, version, rain, budget) => {
            let budget = budget.as_ref().map(budget_body).transpose()?;
            Answer::json(&RainBody { rain: id, version: *version, definition: rain, budget })
        }
        Done::SealedRain(id, archived) => {
            let version = archived.version;
            Answer::json(&SealedRainBody { rain: id, version, sealed: sealed_body(archived)? })
        }
        Done::Granted(granted) => {
            let Granted { token, text, replayed } = granted.as_ref();
            let body = GrantedBody {
                order_number: token.order_number.as_str(),
                amount: token.amount,
                currency,
                at: token.open_time,
                token: text,
                replayed: *replayed,
            };
            Ok(Answer::json_with(201, &body)?.replayed(*replayed))
        }
        Done::Sent(packet, order, replayed) => {
            let is_open = order.funding == Funding::Balance;
            let body = SentBody {
                packet,
                state: if is_open { "open" } else { "unpaid" },
                total: amount(order.total)?,
                count: order.count,
                sent_at: UnixMillis(order.at),
                expires_at: is_open.then_some(UnixMillis(order.at + LIFE_MS)),
                replayed: *replayed,
            };
            Ok(Answer::json_with(201, &body)?.replayed(*replayed))
        }
        Done::Packet(packet, details) => Answer::json(&details_body(packet, details, currency)?),
        Done::Grabbed(packet, user, details) => {
            let left = details.order.count.saturating_sub(details.openings.len() as u32);
            Answer::json(&GrabbedBody { packet, user: *user, left })
        }
        Done::Opened(packet, opening, token, replayed) => {
            let body = OpenedBody {
                packet,
                user: opening.user,
                order_number: packet::opening_number(packet),
                amount: amount(opening.amount)?,
                currency,
                at: UnixMillis(opening.at),
                token,
                replayed: *replayed,
            };
            Ok(Answer::json(&body)?.replayed(*replayed))
        }
    }
}

fn amount(cents: i64) -> Result<Amount, Problem> {
    Amount::new(cents).map_err(|error| Problem::internal(error.to_string()))
}

fn sealed_body(archived: &Archived) -> Result<SealedBody<'_>, Problem> {
    Ok(SealedBody {
        at: archived.sealed_at,
        activity: archived.activity.as_deref(),
        scene: archived.scene.as_deref(),
        from: archived.from,
        until: archived.until,
        total: archived.total.map(amount).transpose()?,
        granted: archived.given.map(amount).transpose()?,
        posted: archived.posted.map(amount).transpose()?,
    })
}

fn budget_body(budget: &Budget) -> Result<BudgetBody, Problem> {
    Ok(BudgetBody {
        total: amount(budget.total)?,
        granted: amount(budget.granted)?,
        leased: amount(budget.leased)?,
        remaining: amount(budget.remaining)?,
    })
}

fn details_body<'a>(
    packet: &'a str,
    details: &'a Details,
    currency: &'a str,
) -> Result<DetailsBody<'a>, Problem> {
    let (order, shown) = (&details.order, &details.display);
    let taken = details.taken();
    let opening = |opening: &Opening| -> Result<OpeningBody, Problem> {
        let (user, at) = (opening.user, UnixMillis(opening.at));
        Ok(OpeningBody { user, amount: amount(opening.amount)?, at })
    };
    Ok(DetailsBody {
        packet,
        sender: UserId(order.sender),
        state: match details.state {
            State::Unpaid => "unpaid",
            _ if details.is_finished() => "finished",
            _ if details.is_expired() => "expired",
            _ => "open",
        },
        kind: match order.kind {
            Kind::Random => "random",
            Kind::Equal => "equal",
        },
        funding: match order.funding {
            Funding::Balance => "balance",
            Funding::Payment => "payment",
        },
        currency,
        total: amount(order.total)?,
        count: order.count,
        opened: details.openings.len(),
        taken: amount(taken)?,
        remaining: amount(order.total - taken)?,
        display: DisplayBody {
            name: shown.name.as_deref().map_or_else(|| order.sender.to_string().into(), Cow::from),
            picture: shown.picture.as_deref(),
            greeting: shown.greeting.as_deref().unwrap_or(GREETING),
        },
        sent_at: UnixMillis(order.at),
        expires_at: details.expires.map(UnixMillis),
        best_luck: details.best_luck().map(|opening| opening.user),
        openings: details.openings.iter().map(opening).collect::<Result<_, _>>()?,
    })
}

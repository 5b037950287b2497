//! Answers -> wire.

use std::borrow::Cow;

use domain::ids::UserId;
use domain::money::{Amount, Currency};
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::{OrderNumber, Part};
use domain::time::UnixMillis;
#[cfg(not(target_arch = "wasm32"))]
use edge::contract::operation::AsTaken;
use edge::{Answer, Problem};
use serde::Serialize;
use store::sealed::Archived;
use wallet::packet::display::GREETING;
use wallet::packet::{self, Details, Funding, Kind, LIFE_MS, Opening, State};
use wallet::rain::Rain;
#[cfg(not(target_arch = "wasm32"))]
use wallet::schema::{PacketName, TokenText, WalletCurrency};

use crate::Done;
use crate::grant::Granted;
use crate::parse::{FundingBody, KindBody};
use crate::publish::Budget;

/// A rain, and what is left of its budget.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "RainState")
)]
pub(crate) struct RainBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    rain: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1)))]
    version: i64,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "AsTaken<Rain>"))]
    definition: &'a Rain,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetBody>,
}

/// What is kept of a rain that was sealed.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SealedRain")
)]
pub(crate) struct SealedRainBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    rain: &'a str,
    /// The last one.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1)))]
    version: i64,
    sealed: SealedBody<'a>,
}

/// What a rain was.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct SealedBody<'a> {
    /// When it was sealed.
    at: UnixMillis,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: Option<&'a str>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    scene: Option<&'a str>,
    /// When its first round began.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "UnixMillis"))]
    from: Option<UnixMillis>,
    /// When its last round ended.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "UnixMillis"))]
    until: Option<UnixMillis>,
    /// The budget.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Amount"))]
    total: Option<Amount>,
    /// What was given.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Amount"))]
    granted: Option<Amount>,
    /// What of it had been posted by then. Where it is less, tokens were lost and never came back.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Amount"))]
    posted: Option<Amount>,
}

/// The parts add up to the total.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct BudgetBody {
    total: Amount,
    granted: Amount,
    /// In the partitions, for their users.
    leased: Amount,
    /// In the pool.
    remaining: Amount,
}

/// What a packet of a rain gave.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct GrantedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    order_number: &'a str,
    amount: Amount,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "WalletCurrency"))]
    currency: &'a str,
    at: UnixMillis,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "TokenText"))]
    token: &'a str,
    replayed: bool,
}

/// A packet that was sent.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct SentBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PacketName"))]
    packet: &'a str,
    state: SentState,
    total: Amount,
    count: u32,
    sent_at: UnixMillis,
    /// What nobody has opened then goes back to the sender. Of a packet that is not paid it is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    replayed: bool,
}

/// What a packet was when it was sent.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum SentState {
    Unpaid,
    Open,
}

/// What has become of a packet.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "PacketState")
)]
#[serde(rename_all = "snake_case")]
enum StateWord {
    /// Nobody has paid for it yet.
    Unpaid,
    /// It can be opened.
    Open,
    /// Nothing is left in it.
    Finished,
    /// Its time is over.
    Expired,
}

/// A group packet.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct DetailsBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PacketName"))]
    packet: &'a str,
    sender: UserId,
    state: StateWord,
    kind: KindBody,
    funding: FundingBody,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "WalletCurrency"))]
    currency: &'a str,
    total: Amount,
    count: u32,
    opened: usize,
    taken: Amount,
    /// The parts that nobody has.
    remaining: Amount,
    display: DisplayBody<'a>,
    sent_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    /// Who has the largest part, once all are opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_luck: Option<UserId>,
    /// The first one first.
    openings: Vec<OpeningBody>,
}

/// What is shown of a packet.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "PacketDisplay")
)]
struct DisplayBody<'a> {
    /// The sender's; where nothing was said, the sender's id.
    name: Cow<'a, str>,
    /// The address of a picture, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    greeting: &'a str,
}

/// A part that somebody took.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct OpeningBody {
    user: UserId,
    amount: Amount,
    at: UnixMillis,
}

/// A packet that a user may open.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct GrabbedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PacketName"))]
    packet: &'a str,
    user: UserId,
    /// Parts that nobody has.
    left: u32,
}

/// What a part of a packet gave.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct OpenedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PacketName"))]
    packet: &'a str,
    user: UserId,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    order_number: String,
    amount: Amount,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "WalletCurrency"))]
    currency: &'a str,
    at: UnixMillis,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "TokenText"))]
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
                state: if is_open { SentState::Open } else { SentState::Unpaid },
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
            State::Unpaid => StateWord::Unpaid,
            _ if details.is_finished() => StateWord::Finished,
            _ if details.is_expired() => StateWord::Expired,
            _ => StateWord::Open,
        },
        kind: match order.kind {
            Kind::Random => KindBody::Random,
            Kind::Equal => KindBody::Equal,
        },
        funding: match order.funding {
            Funding::Balance => FundingBody::Balance,
            Funding::Payment => FundingBody::Payment,
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

//! Red packets: rains, in which a campaign gives money, and group packets, which users send each other.
//!
//! In reading order:
//! - [`rains`]: what an instance knows of rains
//! - [`publish`]: setting a rain up, and what is left of its budget
//! - [`grant`]: opening a packet of a rain - one commit decides and records
//! - group packets are `wallet`'s: settlement needs their rules, too
//! - [`refusal`]: why a request got nothing, by code
//! - [`parse`], [`render`], and here what puts them together

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::rc::Rc;

use domain::ids::UserId;
use domain::money::Currency;
use domain::time::UnixMillis;
use edge::config::{self, Config, ConfigError};
use edge::route::{Verb, route};
use edge::store::{Binding, random};
use edge::variable::TOKEN_SIGNING_KEYS;
use edge::{Access, Answer, Call, Kept, Problem, Request, Response, Route, Stages};
use store::numbers;
use store::sealed::Archived;
use wallet::context::Context;
use wallet::keys::SigningKeys;
use wallet::packet::{self, Details, Opening};
use wallet::rain::Rain;

#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod grant;
pub mod parse;
pub mod publish;
pub mod rains;
pub mod refusal;
pub mod render;
#[cfg(test)]
mod tests;

use grant::Granted;
use parse::Command;
use publish::Budget;
use rains::Rains;
use refusal::{Failure, Refusal, of_packet};

/// What a route does.
#[derive(Clone, Copy, Debug)]
enum Operation {
    SetUpRain,
    LookAtRain,
    OpenRain,
    Send,
    Look,
    Grab,
    Open,
}

const ROUTES: &[Route<Operation>] = {
    use Access::{Caller, Operator};
    use Verb::{Get, Post, Put};
    &[
        route(Put, "/v1/rains/{rain}", Operator, Operation::SetUpRain),
        route(Get, "/v1/rains/{rain}", Operator, Operation::LookAtRain),
        route(Post, "/v1/users/{user}/rain-packets", Caller, Operation::OpenRain),
        route(Post, "/v1/red-packets", Caller, Operation::Send),
        route(Get, "/v1/red-packets/{packet}", Caller, Operation::Look),
        route(Post, "/v1/red-packets/{packet}/grab", Caller, Operation::Grab),
        route(Post, "/v1/red-packets/{packet}/open", Caller, Operation::Open),
    ]
};

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

/// What an instance knows for as long as it has a configuration.
#[derive(Debug)]
pub struct Settings {
    /// By which it signs.
    pub keys: SigningKeys,
    /// Of all wallets.
    pub currency: Currency,
    /// Rains that were read a moment ago.
    pub rains: Rains,
}

thread_local! {
    static SETTINGS: Kept<Settings> = const { Kept::new() };
}

async fn settings(of: &Rc<Config>) -> Result<Rc<Settings>, ConfigError> {
    if let Some(settings) = SETTINGS.with(|kept| kept.get(of)) {
        return Ok(settings);
    }
    let development = config::is_development().await?;
    let parse = |text: &str| SigningKeys::parse(text, development);
    let keys = config::parsed(&TOKEN_SIGNING_KEYS, parse).await?;
    let currency = config::wallet_currency().await?;
    let settings = Settings { keys, currency, rains: Rains::default() };
    Ok(SETTINGS.with(|kept| kept.keep(of, settings)))
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let command = parse::command(operation, call)?;
    stages.end("parse");
    let settings = settings(&call.config).await?;
    let store = edge::store::open(&call.config).await?;
    let context = Context {
        store: store.as_ref(),
        partitions: call.config.partitions,
        now: store.now(),
        timer: edge::clock::timer(),
    };
    let done = perform(&context, &call.config.stage, &settings, command).await?;
    stages.end("commit");
    render::done(&done, settings.currency)
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A version of a rain, and what became of its budget where somebody looked.
    Rain(String, i64, Box<Rain>, Option<Budget>),
    /// What is kept of a rain that is sealed.
    SealedRain(String, Archived),
    /// A packet of a rain.
    Granted(Box<Granted>),
    /// A group packet that was sent, and whether it was earlier.
    Sent(String, packet::Order, bool),
    /// A group packet.
    Packet(String, Box<Details>),
    /// A group packet that the user may open.
    Grabbed(String, UserId, Box<Details>),
    /// What a user took out of a group packet: under which number, the token, and whether it was earlier.
    Opened(String, Opening, String, bool),
}

/// Carries a command out: whatever is done is durable when it returns.
async fn perform<B: Binding>(
    context: &Context<'_, B>,
    stage: &str,
    settings: &Settings,
    command: Command,
) -> Result<Done, Failure> {
    Ok(match command {
        Command::SetUpRain(id, rain) => {
            if rain.currency != settings.currency {
                return Err(Refusal::WrongCurrency.into());
            }
            let [low, high] = [random(), random()].map(u128::from);
            let secret = (high << 64 | low).to_le_bytes();
            let version = publish::publish(context, &id, &rain, secret).await?;
            settings.rains.forget(&id);
            Done::Rain(id, version, rain, None)
        }
        Command::LookAtRain(id) => {
            if let Some(archived) = wallet::seal::archived(context, &id).await? {
                return Ok(Done::SealedRain(id, archived));
            }
            let (version, rain, budget) = publish::look(context, &id).await?;
            Done::Rain(id, version, Box::new(rain), Some(budget))
        }
        Command::OpenRain(claim) => {
            Done::Granted(Box::new(grant::grant(context, stage, settings, &claim).await?))
        }
        Command::Send(number, order, display) => {
            if let Some(at) = order.ordered_at {
                numbers::check_ordered_at(UnixMillis(at), context.now, "ordered_at")?;
            }
            let order = packet::Order { at: context.now.0, ..order };
            let sent = packet::send(context, &number, &order, display.as_ref(), &mut random).await;
            let (order, replayed) = sent.map_err(of_packet)?;
            let sender = UserId(order.sender);
            Done::Sent(packet::name(sender, &number), order, replayed)
        }
        Command::Look(id) => {
            let details = packet::look(context, &id).await.map_err(of_packet)?;
            Done::Packet(id, Box::new(details))
        }
        Command::Grab(id, user) => {
            let details = packet::look(context, &id).await.map_err(of_packet)?;
            if let Some(refusal) = details.refuses(user) {
                return Err(Refusal::Packet(refusal).into());
            }
            Done::Grabbed(id, user, Box::new(details))
        }
        Command::Open(id, user) => {
            let (opening, replayed) = packet::open(context, &id, user).await.map_err(of_packet)?;
            let token = packet::pay_opening(context, &settings.keys, stage, &id, &opening).await?;
            Done::Opened(id, opening, token, replayed)
        }
    })
}

//! The balance: what a user has, posted or not, what moved, and withdrawals.
//!
//! In reading order: [`parse`] (wire -> typed command), here what is done with it - the rules are
//! `wallet`'s -, [`history`] (statements), [`refusal`] and [`render`]. `typed` is the same without HTTP.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::rc::Rc;

use domain::error::InvalidInput;
use domain::money::Currency;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::config::{self, Config, ConfigError};
use edge::route::{Verb, route};
use edge::store::{Binding, Store};
use edge::variable::TOKEN_VERIFYING_KEYS;
use edge::{Access, Answer, Call, Kept, Problem, Request, Response, Route, Stages};
use store::numbers;
use wallet::context::Context;
use wallet::keys::VerifyingKeys;
use wallet::posting;
use wallet::token::Token;
use wallet::view::{self, Restored, View};
use wallet::withdraw::{self, Withdrawal};

#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod history;
pub mod parse;
pub mod refusal;
pub mod render;
#[cfg(target_arch = "wasm32")]
mod typed;

use history::Page;
use parse::Command;
use refusal::{Failure, Refusal, of_withdrawal};

/// What a route does.
#[derive(Clone, Copy, Debug)]
enum Operation {
    View,
    Restore,
    Post,
    Statement,
    LookUp,
    Withdraw,
    LookAtWithdrawal,
    PostWithdrawal,
    VoidWithdrawal,
}

const ROUTES: &[Route<Operation>] = {
    use Access::Caller;
    use Verb::{Get, Post};
    &[
        route(Get, "/v1/users/{user}/balance", Caller, Operation::View),
        route(Post, "/v1/users/{user}/balance", Caller, Operation::Restore),
        route(Post, "/v1/users/{user}/balance/post", Caller, Operation::Post),
        route(Get, "/v1/users/{user}/balance/orders/{order_number}", Caller, Operation::LookUp),
        route(Get, "/v1/users/{user}/statement", Caller, Operation::Statement),
        route(Post, "/v1/users/{user}/withdrawals", Caller, Operation::Withdraw),
        route(
            Get,
            "/v1/users/{user}/withdrawals/{withdrawal_number}",
            Caller,
            Operation::LookAtWithdrawal,
        ),
        route(
            Post,
            "/v1/users/{user}/withdrawals/{withdrawal_number}/post",
            Caller,
            Operation::PostWithdrawal,
        ),
        route(
            Post,
            "/v1/users/{user}/withdrawals/{withdrawal_number}/void",
            Caller,
            Operation::VoidWithdrawal,
        ),
    ]
};

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

/// What is configured for wallets alone.
#[derive(Debug)]
pub struct Settings {
    /// By which tokens of clients are believed.
    pub keys: VerifyingKeys,
    /// Of all balances.
    pub currency: Currency,
}

thread_local! {
    static SETTINGS: Kept<Settings> = const { Kept::new() };
}

async fn settings(of: &Rc<Config>) -> Result<Rc<Settings>, ConfigError> {
    if let Some(settings) = SETTINGS.with(|kept| kept.get(of)) {
        return Ok(settings);
    }
    let development = config::is_development().await?;
    let parse = |text: &str| VerifyingKeys::parse(text, development);
    let keys = config::parsed(&TOKEN_VERIFYING_KEYS, parse).await?;
    let currency = config::wallet_currency().await?;
    Ok(SETTINGS.with(|kept| kept.keep(of, Settings { keys, currency })))
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let command = parse::command(operation, call)?;
    stages.end("parse");
    let settings = settings(&call.config).await?;
    let store = edge::store::open(&call.config).await?;
    let context = context(&call.config, store.as_ref());
    let done = perform(&context, &call.config.stage, &settings, command).await?;
    stages.end("commit");
    render::done(&done, settings.currency)
}

fn context<'a>(config: &Config, store: &'a Store) -> Context<'a, Store> {
    Context { store, partitions: config.partitions, now: store.now(), timer: edge::clock::timer() }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// What a user has, and which tokens were put back.
    View(domain::ids::UserId, View, Option<Restored>),
    /// A page of what moved.
    Page(Page),
    /// What a number gave, and whether it is posted.
    Found(Token, bool),
    /// A withdrawal that was asked for, and whether it was earlier.
    Asked(OrderNumber, Withdrawal, bool),
    /// A withdrawal.
    Withdrawal(OrderNumber, Withdrawal),
}

/// Carries a command out: whatever is done is durable when it returns.
async fn perform<B: Binding>(
    context: &Context<'_, B>,
    stage: &str,
    settings: &Settings,
    command: Command,
) -> Result<Done, Failure> {
    Ok(match command {
        Command::View(user) => Done::View(user, view::view(context, user).await?, None),
        Command::Restore(user, tokens) => {
            let restored = view::restore(context, user, stage, &settings.keys, &tokens).await;
            let restored = restored.map_err(refusal::of_restoring)?;
            Done::View(user, view::view(context, user).await?, Some(restored))
        }
        Command::Post(user) => {
            posting::post(context, user).await?;
            Done::View(user, view::view(context, user).await?, None)
        }
        Command::Statement(user, after, limit) => {
            Done::Page(history::page(context, user, after.as_ref(), limit).await?)
        }
        Command::LookUp(user, number) => {
            let found = view::look_up(context, user, number.as_str()).await?;
            let (token, is_posted) = found.ok_or(Refusal::UnknownOrder)?;
            Done::Found(token, is_posted)
        }
        Command::Withdraw(user, number, request) => {
            check_ordered_at(context, request.ordered_at)?;
            let asked = withdraw::create(context, user, &number, &request).await;
            let (withdrawal, replayed) = asked.map_err(of_withdrawal)?;
            Done::Asked(number, withdrawal, replayed)
        }
        Command::LookAtWithdrawal(user, number) => {
            let found = withdraw::look(context, user, &number).await.map_err(of_withdrawal)?;
            Done::Withdrawal(number, found.ok_or(Refusal::UnknownWithdrawal)?)
        }
        Command::PostWithdrawal(user, number) => {
            let withdrawal = withdraw::post(context, user, &number).await.map_err(of_withdrawal)?;
            Done::Withdrawal(number, withdrawal)
        }
        Command::VoidWithdrawal(user, number, ordered_at) => {
            check_ordered_at(context, ordered_at)?;
            let withdrawal = withdraw::void(context, user, &number, ordered_at).await;
            Done::Withdrawal(number, withdrawal.map_err(of_withdrawal)?)
        }
    })
}

/// The time that belongs to a number is at most a little ahead.
fn check_ordered_at<B>(
    context: &Context<'_, B>,
    ordered_at: Option<UnixMillis>,
) -> Result<(), InvalidInput> {
    let check = |at| numbers::check_ordered_at(at, context.now, "ordered_at");
    ordered_at.map_or(Ok(()), check)
}

//! Settlement: posts queued tokens, finishes what a crash interrupted, reclaims what nobody needs, and
//! names every difference in the books.
//!
//! In reading order:
//! - [`settle`]: one call's work, bounded
//! - [`collect`]: deletes what has been over for long enough
//! - [`export`]: what the store holds of a day
//! - [`reconcile`]: compares the books, and repairs nothing
//! - [`quarantine`]: what is set aside
//! - [`seal`]: what is over for good
//! - [`parse`], [`render`], and here what puts them together
//!
//! The rules are [`wallet`]'s and [`coupons`]'.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::rc::Rc;

use coupons::context::Templates;
use domain::due;
use domain::time::UnixMillis;
use domain::transaction::CommitError;
use edge::config::{self, Config, ConfigError};
use edge::log::Line;
use edge::route::{Verb, route};
use edge::store::{Binding, Store};
use edge::variable::TOKEN_SIGNING_KEYS;
use edge::{Access, Answer, Call, Kept, Problem, Request, Response, Route, Stages};
use store::quarantine::{Act, Item};
use store::retention::Retention;
use wallet::keys::SigningKeys;
use wallet::mode::{self, Switches};
use wallet::packet::unapplied::{self, Decided, Decision, NotDecided, Unapplied};

pub mod collect;
#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod export;
pub mod parse;
pub mod quarantine;
pub mod reconcile;
pub mod render;
pub mod seal;
pub mod settle;
#[cfg(test)]
mod tests;

use collect::Gone;
use parse::Command;
use reconcile::Report;
use settle::{Settled, USERS_DEFAULT};

/// What a route does.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Settle,
    LookAtRetention,
    Retain,
    Collect,
    Export,
    LookAtSwitches,
    Switch,
    Reconcile,
    ListQuarantine,
    Retry,
    Drop,
    ListUnapplied,
    DecideUnapplied,
}

const ROUTES: &[Route<Operation>] = {
    use Access::Operator;
    use Verb::{Get, Post, Put};
    &[
        route(Post, "/v1/settlement", Operator, Operation::Settle),
        route(Get, "/v1/retention", Operator, Operation::LookAtRetention),
        route(Put, "/v1/retention", Operator, Operation::Retain),
        route(Post, "/v1/collection", Operator, Operation::Collect),
        route(Get, "/v1/export/{day}", Operator, Operation::Export),
        route(Get, "/v1/posting", Operator, Operation::LookAtSwitches),
        route(Put, "/v1/posting", Operator, Operation::Switch),
        route(Get, "/v1/reconciliation", Operator, Operation::Reconcile),
        route(Get, "/v1/quarantine", Operator, Operation::ListQuarantine),
        route(Post, "/v1/quarantine/{item}/retry", Operator, Operation::Retry),
        route(Post, "/v1/quarantine/{item}/drop", Operator, Operation::Drop),
        route(Get, "/v1/unapplied-payments", Operator, Operation::ListUnapplied),
        route(Post, "/v1/unapplied-payments/{payment_id}", Operator, Operation::DecideUnapplied),
    ]
};

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

thread_local! {
    static KEYS: Kept<SigningKeys> = const { Kept::new() };
}

/// By which it signs what it pays.
async fn keys(of: &Rc<Config>) -> Result<Rc<SigningKeys>, ConfigError> {
    if let Some(keys) = KEYS.with(|kept| kept.get(of)) {
        return Ok(keys);
    }
    let development = config::is_development().await?;
    let parse = |text: &str| SigningKeys::parse(text, development);
    let keys = config::parsed(&TOKEN_SIGNING_KEYS, parse).await?;
    Ok(KEYS.with(|kept| kept.keep(of, keys)))
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let command = parse::command(operation, call)?;
    stages.end("parse");
    let keys = keys(&call.config).await?;
    let store = edge::store::open(&call.config).await?;
    let templates = Templates::default();
    let done = perform(&books(&call.config, &keys, store.as_ref(), &templates), command).await?;
    stages.end("commit");
    render::done(&done)
}

/// The component's Redis trigger: whatever the message says, what is queued is settled. It is only a
/// nudge, because Spin delivers messages at most once; so a failure goes to the log and not back.
#[cfg_attr(target_arch = "wasm32", spin_sdk::redis_subscriber)]
pub async fn on_message(_: Vec<u8>) -> Result<(), String> {
    edge::log::catch_panics();
    edge::log::message_handled(nudge().await).await
}

async fn nudge() -> Result<(), Problem> {
    let config = Config::load(edge::stages::monotonic_ns()).await?;
    let keys = keys(&config).await?;
    let store = edge::store::open(&config).await?;
    let templates = Templates::default();
    let books = books(&config, &keys, store.as_ref(), &templates);
    tell(&settle::settle(&books, USERS_DEFAULT).await?).await;
    Ok(())
}

/// The books, and by what they are kept.
pub struct Books<'a, B> {
    /// Wallets.
    pub wallets: wallet::context::Context<'a, B>,
    /// Coupons.
    pub coupons: coupons::context::Context<'a, B>,
    /// The deployment's stage.
    pub stage: &'a str,
    /// By which it signs what it pays.
    pub keys: &'a SigningKeys,
}

fn books<'a>(
    config: &'a Config,
    keys: &'a SigningKeys,
    store: &'a Store,
    templates: &'a Templates,
) -> Books<'a, Store> {
    let (now, partitions, stage) = (store.now(), config.partitions, &*config.stage);
    let base = wallet::context::Context { store, partitions, now, timer: edge::clock::timer() };
    let lease_share = lease::SHARE;
    let coupons = coupons::context::Context { base, stage, templates, lease_share };
    Books { wallets: base, coupons, stage, keys }
}

/// Writes into the log what a call could not do.
async fn tell(settled: &Settled) {
    edge::sweep::log("stuck", &settled.stuck).await;
    edge::sweep::log("set_aside", &settled.set_aside).await;
    if let Some(failure) = &settled.interrupted {
        edge::sweep::interrupted(failure).await;
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// What a call settled.
    Settled(Settled),
    /// How long things are kept.
    Retention(Retention),
    /// What a call collected.
    Collected(Gone),
    /// Records of a day.
    Exported(export::Page),
    /// What is switched.
    Switches(Switches),
    /// Where books do not agree.
    Report(Report),
    /// What is set aside, and whether there may be more.
    Quarantine(Vec<Item>, bool),
    /// An item was retried or dropped: what was known of it.
    Acted(Item),
    /// Payments for which there was no use, and whether there may be more.
    Unapplied(Vec<Unapplied>, bool),
    /// A decision about one was carried out.
    Decided,
}

/// A decision about a payment, for operators.
fn words(Decided { at, decision, reason }: &Decided) -> String {
    let what = match decision {
        Decision::Credit => "the sender is credited",
        Decision::Drop => "it is dropped",
    };
    let (at, reason) = (UnixMillis(*at).to_rfc3339(), reason.as_deref().unwrap_or("none given"));
    format!("{what}, since {at}; reason: {reason}")
}

/// No payment waits under this id.
fn unknown_payment() -> Problem {
    Problem::new(404, "unknown_payment", "no payment waits, or waited, under this id")
}

fn not_decided(why: NotDecided) -> Problem {
    match why {
        NotDecided::Unknown => unknown_payment(),
        NotDecided::Otherwise(known) => {
            let detail = format!("it was decided otherwise: {}", words(&known));
            Problem::new(409, "decided_otherwise", detail)
        }
        NotDecided::NoAmount => {
            let detail = "nothing is kept of its packet, so that it can only be dropped";
            Problem::new(409, "amount_unknown", detail)
        }
    }
}

/// How long things are kept: what operators said, or else the default.
async fn retention<B: Binding>(context: &store::Context<'_, B>) -> Result<Retention, CommitError> {
    let seen = Retention::place(context.partitions).find(context).await?;
    Ok(seen.record.unwrap_or_default())
}

/// Carries a command out: whatever is done is durable when it returns.
async fn perform<B: Binding>(books: &Books<'_, B>, command: Command) -> Result<Done, Problem> {
    let context = &books.wallets;
    Ok(match command {
        Command::Settle(users_max) => {
            let settled = settle::settle(books, users_max).await?;
            tell(&settled).await;
            Done::Settled(settled)
        }
        Command::LookAtRetention => Done::Retention(retention(context).await?),
        Command::Retain(retention) => {
            let place = Retention::place(context.partitions);
            context.write(place.partition, [place.set(&retention)]).await?;
            Done::Retention(retention)
        }
        Command::Collect { dry_run, users_max } => {
            let retention = retention(context).await?;
            let gone = collect::collect(books, retention, dry_run, users_max).await?;
            edge::sweep::log("stuck", &gone.stuck).await;
            edge::sweep::log("set_aside", &gone.set_aside).await;
            if let Some(failure) = &gone.interrupted {
                edge::sweep::interrupted(failure).await;
            }
            Done::Collected(gone)
        }
        Command::Export(day, cursor) => Done::Exported(export::export(books, day, cursor).await?),
        Command::LookAtSwitches => Done::Switches(mode::read(context).await?),
        Command::Switch(switches) => {
            mode::switch(context, switches).await?;
            Done::Switches(switches)
        }
        Command::Reconcile(scope, cursor) => {
            Done::Report(reconcile::reconcile(books, scope, cursor).await?)
        }
        Command::ListQuarantine(list, after, most) => {
            let (items, has_more) =
                store::quarantine::list(context, &list, after.as_ref(), most).await?;
            Done::Quarantine(items, has_more)
        }
        Command::Retry(place) => {
            let item = store::quarantine::act(context, &place, Act::Retry).await?;
            Done::Acted(item.ok_or_else(quarantine::unknown)?)
        }
        Command::Drop(place, reason) => {
            let item = store::quarantine::act(context, &place, Act::Drop(&reason)).await?;
            let item = item.ok_or_else(quarantine::unknown)?;
            let what = item.note.as_ref().map_or("", |note| &note.what);
            let cause = &*format!("{} ({what}): {reason}", quarantine::id(&place));
            let line = Line { level: "warning", code: "dropped", cause, ..Line::default() };
            edge::log::write(&line).await;
            Done::Acted(item)
        }
        Command::ListUnapplied(after, most) => {
            let (payments, has_more) = unapplied::list(context, after.as_ref(), most).await?;
            Done::Unapplied(payments, has_more)
        }
        Command::DecideUnapplied(place, decision, reason) => {
            let decided = unapplied::decide(context, &place, decision, reason.as_deref()).await?;
            let decided = decided.map_err(not_decided)?;
            let (name, words) = (due::words(&place.member), words(&decided));
            let cause = &*format!("{} ({name}): {words}", quarantine::id(&place));
            let line = Line { level: "warning", code: "payment_decided", cause, ..Line::default() };
            edge::log::write(&line).await;
            Done::Decided
        }
    })
}

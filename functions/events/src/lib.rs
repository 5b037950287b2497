//! Events in: CloudEvents 1.0 over HTTP, durable when acknowledged, and over a Redis channel, a best-effort
//! trigger with the same handling. The channel has a manifest of its own, `spin-nudge.toml`: Spin ends an
//! app whose Redis trigger loses its connection, and the HTTP functions must not end with it.
//!
//! In reading order: [`parse`] (wire -> typed events), [`decide`] (events -> transactions), and here
//! what puts them together.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use domain::transaction::CommitError;
use edge::config::Config;
use edge::route::Verb;
use edge::stages::monotonic_ns;
use edge::store::{Binding as _, Store, random};
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};
use futures::future::join_all;
use store::attempts;
use wallet::context::Context;
use wallet::packet::{self, Failure, Refusal};

pub mod cloud_event;
#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod decide;
pub mod parse;
#[cfg(target_arch = "wasm32")]
mod typed;

use decide::Step;
use parse::{Event, Paid};

/// Payments that are taken at once, most of them in partitions of their own.
const AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Handle,
}

const ROUTES: &[Route<Operation>] = &[Route {
    verb: Verb::Post,
    path: "/v1/events",
    access: Access::Caller,
    operation: Operation::Handle,
}];

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    match operation {
        Operation::Handle => {
            let events = parse::request(call)?;
            stages.end("parse");
            commit(&events, &call.config).await?;
            stages.end("commit");
            Ok(Answer::no_content())
        }
    }
}

/// The component's Redis trigger: a message is an event or a batch of them in JSON. It is only a
/// nudge, because Spin delivers messages at most once; so a failure goes to the log and not back.
#[cfg_attr(target_arch = "wasm32", spin_sdk::redis_subscriber)]
pub async fn on_message(message: Vec<u8>) -> Result<(), String> {
    edge::log::catch_panics();
    edge::log::message_handled(nudge(&message).await).await
}

async fn nudge(message: &[u8]) -> Result<(), Problem> {
    let events = parse::message(message)?;
    let config = Config::load(monotonic_ns()).await?;
    commit(&events, &config).await
}

/// Commits what the events change: durable when it returns. An event that cannot be done keeps no other one from it,
/// unless the store fails; the answer is the gravest of their problems, groups before packets. Whatever was committed
/// before is committed again without harm.
async fn commit(events: &[Event], config: &Config) -> Result<(), Problem> {
    let mut gravest = Gravest::default();
    let steps = decide::steps(events);
    if !steps.is_empty() {
        end_groups(steps, config, &mut gravest).await?;
    }
    let payments = decide::payments(events);
    if !payments.is_empty() {
        pay(&payments, config, &mut gravest).await?;
    }
    mark_paid(events, config).await?;
    gravest.0.map_or(Ok(()), |(_, problem)| Err(problem))
}

/// How grave a problem of one event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    /// It is listed for operators: to send it again changes nothing.
    Listed,
    /// It is to be sent again.
    Unknown,
    /// A record must be repaired before.
    Unreadable,
}

/// The gravest problem of a batch, of equal ones the one that was met first.
#[derive(Debug, Default)]
struct Gravest(Option<(Gravity, Problem)>);

impl Gravest {
    fn meets(&mut self, gravity: Gravity, problem: Problem) {
        if self.0.as_ref().is_none_or(|(known, _)| *known < gravity) {
            self.0 = Some((gravity, problem));
        }
    }

    /// What an event about this field met.
    ///
    /// # Errors
    /// It is the store's, and no record's.
    fn meets_failure(&mut self, error: CommitError, field: &str) -> Result<(), CommitError> {
        if !error.is_of_records() {
            return Err(error);
        }
        self.meets(Gravity::Unreadable, Problem::from(error).about(field));
        Ok(())
    }
}

/// Marks who paid.
async fn mark_paid(events: &[Event], config: &Config) -> Result<(), CommitError> {
    let store = edge::store::open(config).await?;
    store.commit_all(&decide::marks(events, config.partitions)).await?;
    Ok(())
}

fn context<'a>(store: &'a Store, config: &Config) -> Context<'a, Store> {
    Context { store, partitions: config.partitions, now: store.now(), timer: edge::clock::timer() }
}

/// Pays for packets: from then on they can be opened.
async fn pay(
    payments: &[&Paid],
    config: &Config,
    gravest: &mut Gravest,
) -> Result<(), CommitError> {
    let store = edge::store::open(config).await?;
    let context = context(&store, config);
    for some in payments.chunks(AT_ONCE) {
        // All of them end, whatever becomes of one.
        let pay = async |Paid { packet, payment, .. }: &&Paid| {
            packet::pay(&context, packet, payment, &mut random).await
        };
        let paid = join_all(some.iter().map(pay)).await;
        for (paid, result) in some.iter().zip(paid) {
            match result {
                Ok(told) => {
                    if let Some(problem) = decide::unapplied(paid, told) {
                        gravest.meets(Gravity::Listed, problem);
                    }
                }
                Err(Failure::Refused(Refusal::Forgotten)) => {
                    gravest.meets(Gravity::Listed, decide::forgotten(paid));
                }
                Err(Failure::Refused(_)) => {
                    gravest.meets(Gravity::Unknown, decide::unknown_packet(paid));
                }
                Err(Failure::Store(error)) => gravest.meets_failure(error, &paid.field)?,
            }
        }
    }
    Ok(())
}

/// Ends groups: looks at all of them, then changes each if it still is as it was seen.
async fn end_groups(
    steps: Vec<Step<'_>>,
    config: &Config,
    gravest: &mut Gravest,
) -> Result<(), CommitError> {
    let store = edge::store::open(config).await?;
    let context = context(&store, config);
    // Each with the problem of what nobody has opened, as it was seen last.
    let mut looks: Vec<_> = steps.into_iter().map(|step| (step.look(), step, None)).collect();
    let mut has_looked = false;
    attempts("end groups", async || {
        let (plans, steps): (Vec<_>, Vec<_>) = std::mem::take(&mut looks)
            .into_iter()
            .map(|(plan, step, unknown)| {
                ((step.partition(config.partitions), plan), (step, unknown))
            })
            .unzip();
        let decided = context.commit_some(plans).await;
        for ((step, unknown), decided) in steps.into_iter().zip(decided) {
            let after = match &decided {
                Ok(Ok(_)) if has_looked => Ok((None, unknown)),
                Ok(Ok(_)) => step.after(None, context.now),
                Ok(Err(refused)) => refused.field().and_then(|seen| step.after(seen, context.now)),
                Err(error) => Err(error.clone()),
            };
            match after {
                Ok((Some(plan), unknown)) => looks.push((plan, step, unknown)),
                Ok((None, Some(problem))) => gravest.meets(Gravity::Unknown, problem),
                Ok((None, None)) => {}
                Err(error) => gravest.meets_failure(error, step.field())?,
            }
        }
        has_looked = true;
        Ok(looks.is_empty().then_some(()))
    })
    .await
}

//! Promotions in the store: activities, their index, purchase limits, prices. What a cart costs under
//! them is `pricing`'s.
//!
//! In reading order:
//! - [`records`] and [`selectors`]: what the store holds, and under which names
//! - [`catalogue`] and [`look_up`]: the activities that name something in a cart, as an instance remembers
//!   them, and how it learns of them
//! - [`uses`]: what purchase limits leave
//! - [`evaluate`](mod@evaluate) and [`labels`]: carts and product pages
//! - [`heads`], [`index`], [`publish`], [`retire`], [`seal`]: how activities come and go
//! - [`purchase`]: taking uses for an order, and giving them back; what the store holds of it is [`purchases`]'
//! - [`prices`]: prices and stock states in bulk
//! - [`refusal`]: why a request got nothing, by code
//! - [`parse`], [`render`], and here what puts them together; `typed` is the same without HTTP
//!
//! [`context`] is what all of them work with. None of them reads a clock or a random number.
//!
//! # The index
//!
//! A key (SKU, SPU, shop, brand or category) names the activities that mention it, with one bit for each selector.
//! So whether a line is selected follows from its keys, and an activity is read without its products. Keys and
//! activities are spread over 16 index shards ([*shelves*](records)). Whatever a cart of 200 lines names is read in
//! two waves of at most 16 commits, and not at all if the instance read it within the last half second. A hundred
//! thousand activities cost a cart as much as a hundred do.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::cell::RefCell;
use std::rc::Rc;

use domain::due::Swept;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::config::Config;
use edge::route::{Verb, route};
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};
use purchases::order::{Order, Purchase};
use store::{Binding, quarantine};

pub mod catalogue;
pub mod context;
#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod evaluate;
pub mod heads;
pub mod index;
pub mod labels;
pub mod look_up;
pub mod parse;
pub mod prices;
pub mod publish;
pub mod purchase;
pub mod records;
pub mod refusal;
pub mod render;
pub mod retire;
pub mod seal;
pub mod selectors;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "wasm32", test))]
mod typed;
pub mod uses;

use catalogue::{Catalogue, View};
use context::Context;
use labels::Item;
use parse::Command;
use publish::Published;
use records::Archived;
use refusal::{Failure, Refusal};

/// What a route does.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Save,
    Look,
    Withdraw,
    AddPart,
    Publish,
    RollOut,
    Evaluate,
    Compare,
    Labels,
    ChangePrices,
    Take,
    LookAtOrder,
    GiveBack,
    Sweep,
}

const ROUTES: &[Route<Operation>] = {
    use Access::{Caller, Operator};
    use Verb::{Delete, Get, Post, Put};
    &[
        route(Post, "/v1/promotions/evaluate", Caller, Operation::Evaluate),
        route(Post, "/v1/promotions/labels", Caller, Operation::Labels),
        route(Post, "/v1/promotions/compare", Operator, Operation::Compare),
        route(Post, "/v1/promotions/sweep", Operator, Operation::Sweep),
        route(Put, "/v1/activities/{activity}", Operator, Operation::Save),
        route(Get, "/v1/activities/{activity}", Operator, Operation::Look),
        route(Delete, "/v1/activities/{activity}", Operator, Operation::Withdraw),
        route(Put, "/v1/activities/{activity}/sku-list/{part}", Operator, Operation::AddPart),
        route(Post, "/v1/activities/{activity}/publish", Operator, Operation::Publish),
        route(Put, "/v1/activities/{activity}/rollout", Operator, Operation::RollOut),
        route(Post, "/v1/prices", Operator, Operation::ChangePrices),
        route(Post, "/v1/users/{user}/purchases", Caller, Operation::Take),
        route(Get, "/v1/users/{user}/purchases/{order_number}", Caller, Operation::LookAtOrder),
        route(
            Post,
            "/v1/users/{user}/purchases/{order_number}/give-back",
            Caller,
            Operation::GiveBack,
        ),
    ]
};

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

thread_local! {
    /// What was read, for as long as the configuration with which it was read.
    static CATALOGUE: RefCell<Option<(Rc<Config>, Rc<Catalogue>)>> = const { RefCell::new(None) };
}

fn catalogue(config: &Rc<Config>) -> Rc<Catalogue> {
    CATALOGUE.with_borrow_mut(|kept| {
        let catalogue = match kept {
            Some((of, catalogue)) if Rc::ptr_eq(of, config) && !catalogue.is_outdated() => {
                return Rc::clone(catalogue);
            }
            Some((_, before)) => before.renewed(),
            None => Catalogue::new(edge::store::random()),
        };
        let catalogue = Rc::new(catalogue);
        *kept = Some((Rc::clone(config), Rc::clone(&catalogue)));
        catalogue
    })
}

fn context<'a, B>(
    config: &Config,
    store: &'a B,
    catalogue: &'a Catalogue,
    now: UnixMillis,
) -> Context<'a, B> {
    let world =
        store::Context { store, partitions: config.partitions, now, timer: edge::clock::timer() };
    Context { world, catalogue }
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let mut command = parse::command(operation, call)?;
    stages.end("parse");
    let catalogue = catalogue(&call.config);
    let store = edge::store::open(&call.config).await?;
    let now = store.now();
    command.at_present(now);
    let context = context(&call.config, store.as_ref(), &catalogue, now);
    match command {
        Command::Evaluate(user, mut cart) => {
            let view = View::Of(user);
            let prepared = evaluate::prepare(&context, user, &mut cart, view).await?;
            stages.end("read");
            let evaluation = prepared.evaluate(&cart)?;
            stages.end("evaluate");
            render::evaluation(&evaluation)
        }
        Command::Compare(user, mut cart) => {
            let live = evaluate::prepare(&context, user, &mut cart, View::Live).await?;
            let draft = evaluate::prepare(&context, user, &mut cart, View::Draft).await?;
            stages.end("read");
            let (live, draft) = (live.evaluate(&cart)?, draft.evaluate(&cart)?);
            stages.end("evaluate");
            render::comparison(&live, &draft)
        }
        command => {
            let done = perform(&context, command).await?;
            stages.end("commit");
            render::done(&done).await
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A version of an activity.
    Saved(String, u64),
    /// A version, and what there is beside it.
    Found(String, Box<Published>),
    /// What is left of an activity that is sealed.
    Sealed(String, Box<Archived>),
    /// It is gone.
    Withdrawn,
    /// Parts of a list that are in the index, and all of them.
    Part(u64, u32),
    /// What pages show.
    Items(Vec<Item>),
    /// What became of changes of prices.
    Prices(prices::Tally),
    /// What an order took, and whether it had taken it before.
    Taken(OrderNumber, Box<Purchase>, bool),
    /// What an order took.
    Order(OrderNumber, Box<Purchase>),
    /// What became of what was due.
    Swept(Box<Sweeps>),
}

/// What became of what was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweeps {
    /// Of activities with old versions.
    pub activities: Swept,
    /// Key sets that are left with them.
    pub retiring: u64,
    /// Of activities that are over for long.
    pub sealing: Swept,
    /// Of orders that were abandoned.
    pub orders: Swept,
    /// How many items are set aside.
    pub quarantined: u64,
}

/// Carries a command out, of those whose answer does not borrow from the request.
async fn perform<B: Binding>(
    context: &Context<'_, B>,
    command: Command<'_>,
) -> Result<Done, Failure> {
    Ok(match command {
        Command::Save(activity, which) => {
            let version = publish::save(context, &activity, which).await?;
            retire::clean(context, &activity.id).await?;
            Done::Saved(activity.id, version)
        }
        Command::Look(id, which) => match publish::look(context, &id, which).await {
            Ok(published) => Done::Found(id, Box::new(published)),
            Err(Failure::Refused(unknown @ Refusal::UnknownActivity(_))) => {
                let sealed = publish::find_sealed(context, &id).await?;
                Done::Sealed(id, Box::new(sealed.ok_or(unknown)?))
            }
            Err(failure) => return Err(failure),
        },
        Command::Withdraw(id, which) => {
            publish::withdraw(context, &id, which).await?;
            Done::Withdrawn
        }
        Command::AddPart(id, part, skus) => {
            let (received, parts) = publish::add_part(context, &id, part, &skus).await?;
            Done::Part(received, parts)
        }
        Command::Publish(id, version) => {
            publish::publish(context, &id, version).await?;
            Done::Saved(id, version)
        }
        Command::RollOut(id, rollout) => {
            let version = publish::roll_out(context, &id, &rollout).await?;
            Done::Saved(id, version)
        }
        Command::Labels(user, items, has_price) => {
            Done::Items(labels::labels(context, user, items, &has_price).await?)
        }
        Command::ChangePrices(currency, changes) => {
            Done::Prices(prices::apply(context, currency, changes).await?)
        }
        Command::Take(user, number, uses, ordered_at) => {
            let order = Order { user, number: &number };
            let (purchase, replayed) = purchase::take(context, order, &uses, ordered_at).await?;
            Done::Taken(number, Box::new(purchase), replayed)
        }
        Command::LookAtOrder(user, number) => {
            let purchase = purchase::look(context, Order { user, number: &number }).await?;
            Done::Order(number, Box::new(purchase))
        }
        Command::GiveBack(user, number, ordered_at) => {
            let order = Order { user, number: &number };
            let purchase = purchase::give_back(context, order, ordered_at).await?;
            Done::Order(number, Box::new(purchase))
        }
        Command::Sweep => {
            // Neither keeps the other.
            let (activities, retiring) = retire::sweep(context).await;
            let partitions: Vec<_> = context.partitions.all().collect();
            let sealing = seal::sweep(context).await;
            let orders = purchase::sweep(context, &partitions).await;
            let (sealing, sealing_failed) = match sealing {
                Ok(sealing) => (sealing, None),
                Err(failure) => (Swept { has_more: true, ..Swept::default() }, Some(failure)),
            };
            let [activities, mut orders] = domain::due::each([activities, orders])?;
            orders.failure = orders.failure.or(sealing_failed);
            let all = partitions.into_iter().chain(retire::shelves(context));
            let quarantined = quarantine::count_all(context, all, &mut orders).await;
            Done::Swept(Box::new(Sweeps { activities, retiring, sealing, orders, quarantined }))
        }
        Command::Evaluate(..) | Command::Compare(..) => {
            return Err(domain::answers::unexpected().into());
        }
    })
}

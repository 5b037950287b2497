//! Coupons over HTTP and as a typed interface: the rules are [`coupons`]'.
//!
//! [`parse`], [`render`], [`refusal`], and here what puts them together; `typed` is the same without HTTP.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::rc::Rc;

use coupons::bulk::Tally;
use coupons::chance::Group;
use coupons::context::{Context, Templates};
use coupons::group_buy::{Campaign, Opening};
use coupons::issue::Recorded;
use coupons::publish::Stock;
use coupons::refusal::{Failure, Refusal};
use coupons::scene::Scene;
use coupons::template::Template;
use coupons::walk::{Change, Walked};
use coupons::{
    bulk, expiry, group_buy, issue, list, publish, redemption, reservation, revocation, seal,
    settling, walk,
};
use domain::due::Swept;
use edge::config::Config;
use edge::route::{Verb, route};
use edge::store::Store;
use edge::{Access, Answer, Call, Kept, Problem, Request, Response, Route, Stages};
use store::Binding;
use store::sealed::Archived;

#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod parse;
pub mod refusal;
pub mod render;
#[cfg(target_arch = "wasm32")]
mod typed;

use parse::Command;

/// What a route does.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Publish,
    LookAtTemplate,
    Issue,
    LookUp,
    List,
    Redeem,
    Rollback,
    Revoke,
    Extend,
    RevokeMany,
    ExtendMany,
    Reserve,
    Confirm,
    Cancel,
    IssueToMany,
    BatchProgress,
    SetUpScene,
    LookAtScene,
    SetUpCampaign,
    LookAtCampaign,
    OpenGroup,
    Sweep,
}

const ROUTES: &[Route<Operation>] = {
    use Access::{Caller, Operator};
    use Verb::{Get, Post, Put};
    &[
        route(Put, "/v1/coupon-templates/{template}", Operator, Operation::Publish),
        route(Get, "/v1/coupon-templates/{template}", Caller, Operation::LookAtTemplate),
        route(Post, "/v1/coupon-templates/{template}/bulk", Operator, Operation::IssueToMany),
        route(
            Get,
            "/v1/coupon-templates/{template}/bulk/{batch}",
            Operator,
            Operation::BatchProgress,
        ),
        route(Post, "/v1/coupon-templates/{template}/revoke", Operator, Operation::RevokeMany),
        route(Post, "/v1/coupon-templates/{template}/extend", Operator, Operation::ExtendMany),
        route(Post, "/v1/users/{user}/coupons", Caller, Operation::Issue),
        route(Get, "/v1/users/{user}/coupons", Caller, Operation::List),
        route(Get, "/v1/users/{user}/coupons/orders/{order_number}", Caller, Operation::LookUp),
        route(Post, "/v1/users/{user}/coupons/{coupon}/redeem", Caller, Operation::Redeem),
        route(Post, "/v1/users/{user}/coupons/{coupon}/rollback", Caller, Operation::Rollback),
        route(Post, "/v1/users/{user}/coupons/{coupon}/revoke", Operator, Operation::Revoke),
        route(Post, "/v1/users/{user}/coupons/{coupon}/extend", Operator, Operation::Extend),
        route(Post, "/v1/users/{user}/reservations", Caller, Operation::Reserve),
        route(
            Post,
            "/v1/users/{user}/reservations/{order_number}/confirm",
            Caller,
            Operation::Confirm,
        ),
        route(
            Post,
            "/v1/users/{user}/reservations/{order_number}/cancel",
            Caller,
            Operation::Cancel,
        ),
        route(Put, "/v1/scenes/{scene}", Operator, Operation::SetUpScene),
        route(Get, "/v1/scenes/{scene}", Operator, Operation::LookAtScene),
        route(Put, "/v1/group-buy-campaigns/{campaign}", Operator, Operation::SetUpCampaign),
        route(Get, "/v1/group-buy-campaigns/{campaign}", Operator, Operation::LookAtCampaign),
        route(Post, "/v1/group-buys", Caller, Operation::OpenGroup),
        route(Post, "/v1/coupons/sweep", Operator, Operation::Sweep),
    ]
};

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

thread_local! {
    /// Templates, for as long as the configuration with which they were read.
    static TEMPLATES: Kept<Templates> = const { Kept::new() };
}

fn templates(config: &Rc<Config>) -> Rc<Templates> {
    TEMPLATES
        .with(|kept| kept.get(config).unwrap_or_else(|| kept.keep(config, Templates::default())))
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let command = parse::command(operation, call)?;
    stages.end("parse");
    let templates = templates(&call.config);
    let store = edge::store::open(&call.config).await?;
    let context = context(&call.config, store.as_ref(), &templates);
    parse::check_times(&command, context.now)?;
    let done = perform(&context, command).await.map_err(refusal::problem)?;
    stages.end("commit");
    render::done(&done, context.now).await
}

/// One request's world.
fn context<'a>(
    config: &'a Config,
    store: &'a Store,
    templates: &'a Templates,
) -> Context<'a, Store> {
    let base = store::Context {
        store,
        partitions: config.partitions,
        now: store.now(),
        timer: edge::clock::timer(),
    };
    Context { base, stage: &config.stage, templates, lease_share: lease::SHARE }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A version of a template, and its stock where somebody looked.
    Template(String, i64, Box<Template>, Option<Stock>),
    /// What is kept of a template that is sealed.
    SealedTemplate(String, Archived),
    /// What an order number gave, where the command may make a coupon.
    Issued(Box<Recorded>),
    /// What an order number gave.
    Found(Box<Recorded>),
    /// Coupons of a user, and whether there are more.
    Page(list::Listed),
    /// What became of a part of a batch.
    Part(String, Tally),
    /// What became of a batch, and of how many parts.
    Batch(String, u32, Tally),
    /// A scene.
    Scene(String, Scene),
    /// A group-buy campaign.
    Campaign(String, Campaign),
    /// What is kept of a campaign that is sealed.
    SealedCampaign(String, Archived),
    /// A group, and whether it was opened earlier.
    Group(Opening, Group, bool),
    /// What became of a template's coupons: whether they were revoked or extended.
    Walked(Change, Walked),
    /// What a sweep did.
    Swept(Box<Sweeps>),
}

/// What a sweep did of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweeps {
    /// Reservations that ended.
    pub expired: Swept,
    /// Rewards that were given.
    pub rewarded: Swept,
    /// Coupons that were settled.
    pub settled: Swept,
    /// Templates of which something went home from a partition.
    pub home: Swept,
}

/// Carries a command out: whatever is done is durable when it returns.
async fn perform<B: Binding>(context: &Context<'_, B>, command: Command) -> Result<Done, Failure> {
    // Whatever is told of an order has expired before, where its time is over.
    let told = async |user, recorded: Recorded| -> Result<Box<Recorded>, Failure> {
        let order = expiry::settled(context, user, &recorded.number, recorded.order).await?;
        Ok(Box::new(Recorded { order, ..recorded }))
    };
    Ok(match command {
        Command::Publish(id, template) => {
            let version = publish::publish(context, &id, &template).await?;
            Done::Template(id, version, template, None)
        }
        Command::LookAtTemplate(id) => {
            if let Some(archived) = seal::archived(context, &id).await? {
                return Ok(Done::SealedTemplate(id, archived));
            }
            let (version, template, stock) = publish::look(context, &id).await?;
            Done::Template(id, version, Box::new(template), Some(stock))
        }
        Command::Issue(claim) => {
            Done::Issued(told(claim.user, issue::issue(context, &claim).await?).await?)
        }
        Command::LookUp(user, number) => {
            let order = group_buy::look_up(context, user, &number).await?;
            let order = order.ok_or(Refusal::UnknownOrder)?;
            Done::Found(told(user, Recorded { number, order, replayed: false }).await?)
        }
        Command::List(user, page) => Done::Page(list::list(context, user, &page).await?),
        Command::Use(user, coupon, what) => {
            Done::Found(told(user, redemption::apply(context, user, &coupon, &what).await?).await?)
        }
        Command::Revoke(user, coupon, reason) => {
            Done::Found(Box::new(revocation::revoke(context, user, &coupon, &reason).await?))
        }
        Command::Extend(user, coupon, until) => {
            let extended = revocation::extend(context, user, &coupon, until).await?;
            Done::Found(told(user, extended).await?)
        }
        Command::Walk(what) => {
            let walked = walk::walk(context, &what).await?;
            Done::Walked(what.change, walked)
        }
        Command::Confirm(user, number) => {
            Done::Found(told(user, reservation::confirm(context, user, &number).await?).await?)
        }
        Command::Cancel(user, number, ordered_at) => {
            let cancelled = reservation::cancel(context, user, &number, ordered_at).await?;
            Done::Found(told(user, cancelled).await?)
        }
        Command::IssueToMany(template, batch) => {
            let tally = bulk::issue_part(context, &template, &batch).await?;
            Done::Part(batch.batch, tally)
        }
        Command::BatchProgress(template, batch) => {
            let (parts, tally) = bulk::progress(context, &template, &batch).await?;
            Done::Batch(batch, parts, tally)
        }
        Command::SetUpScene(id, scene) => {
            publish::set_up_scene(context, &id, &scene).await?;
            Done::Scene(id, scene)
        }
        Command::LookAtScene(id) => {
            let scene = publish::look_at_scene(context, &id).await?;
            Done::Scene(id, scene)
        }
        Command::SetUpCampaign(id, campaign) => {
            group_buy::set_up(context, &id, &campaign).await?;
            Done::Campaign(id, campaign)
        }
        Command::LookAtCampaign(id) => {
            if let Some(archived) = seal::archived_campaign(context, &id).await? {
                return Ok(Done::SealedCampaign(id, archived));
            }
            let campaign = group_buy::look(context, &id).await?;
            Done::Campaign(id, campaign)
        }
        Command::OpenGroup(opening) => {
            let (group, replayed) = group_buy::open(context, &opening).await?;
            Done::Group(opening, group, replayed)
        }
        Command::Sweep => {
            let partitions: Vec<_> = context.partitions.all().collect();
            // None keeps the others.
            let expired = expiry::expire_due(context, &partitions).await;
            let rewarded = group_buy::settle_due(context, &partitions).await;
            let settled = settling::settle_due(context, &partitions).await;
            let home = settling::bring_home(context, &partitions).await;
            let [expired, rewarded, settled, home] =
                domain::due::each([expired, rewarded, settled, home])?;
            Done::Swept(Box::new(Sweeps { expired, rewarded, settled, home }))
        }
    })
}

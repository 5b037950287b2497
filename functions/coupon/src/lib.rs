//! Coupons: exactly once, within budget, without a hot key.
//!
//! In reading order:
//! - [`template`]: what operators publish, and which rules follow from it alone
//! - [`records`]: what the store holds, and under which names
//! - [`issue`]: one commit decides and records
//! - [`pool`]: how the stock is spread over the partitions
//! - [`reservation`], [`redemption`], [`list`], [`bulk`], [`publish`], [`group_buy`]: the other
//!   operations
//! - [`refusal`]: why a request got nothing, by code
//! - [`parse`], [`render`], and here what puts them together
//!
//! [`context`] is what all of them work with. None of them reads a clock or a random number.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use std::cell::RefCell;
use std::rc::Rc;

use edge::config::Config;
use edge::route::Verb;
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};

pub mod bulk;
pub mod context;
pub mod group_buy;
pub mod issue;
pub mod list;
pub mod parse;
pub mod pool;
pub mod publish;
pub mod records;
pub mod redemption;
pub mod refusal;
pub mod render;
pub mod reservation;
pub mod template;

use context::{Context, Templates};
use refusal::Refusal;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Publish,
    LookAtTemplate,
    Issue,
    LookUp,
    List,
    Redeem,
    Rollback,
    Reserve,
    Confirm,
    Cancel,
    IssueToMany,
    BatchProgress,
    SetUpCampaign,
    LookAtCampaign,
    OpenGroup,
    Sweep,
}

const fn route(
    verb: Verb,
    path: &'static str,
    access: Access,
    operation: Operation,
) -> Route<Operation> {
    Route { verb, path, access, operation }
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
        route(Post, "/v1/users/{user}/coupons", Caller, Operation::Issue),
        route(Get, "/v1/users/{user}/coupons", Caller, Operation::List),
        route(Get, "/v1/users/{user}/coupons/orders/{order_number}", Caller, Operation::LookUp),
        route(Post, "/v1/users/{user}/coupons/{coupon}/redeem", Caller, Operation::Redeem),
        route(Post, "/v1/users/{user}/coupons/{coupon}/rollback", Caller, Operation::Rollback),
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
    static TEMPLATES: RefCell<Option<(Rc<Config>, Rc<Templates>)>> = const { RefCell::new(None) };
}

fn templates(config: &Rc<Config>) -> Rc<Templates> {
    TEMPLATES.with_borrow_mut(|kept| match kept {
        Some((of, templates)) if Rc::ptr_eq(of, config) => Rc::clone(templates),
        _ => {
            let templates = Rc::<Templates>::default();
            *kept = Some((Rc::clone(config), Rc::clone(&templates)));
            templates
        }
    })
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let templates = templates(&call.config);
    let store = edge::store::open(&call.config).await?;
    let context = &Context {
        store: store.as_ref(),
        partitions: call.config.partitions,
        stage: &call.config.stage,
        now: edge::clock::now(),
        templates: &templates,
        lease_share: pool::LEASE_SHARE,
        pause: |ms| Box::pin(edge::clock::pause(ms)),
    };
    let now = context.now;
    match operation {
        Operation::Publish => {
            let id = parse::template(call)?;
            let template = call.json()?;
            stages.end("parse");
            let published = publish::publish(context, &id, template).await?;
            stages.end("commit");
            render::template(&published, None)
        }
        Operation::LookAtTemplate => {
            let id = parse::template(call)?;
            stages.end("parse");
            let (published, stock) = publish::look(context, &id).await?;
            stages.end("commit");
            render::template(&published, Some(&stock))
        }
        Operation::Issue | Operation::Reserve => {
            let claim = match operation {
                Operation::Reserve => parse::reservation(call)?,
                _ => parse::claim(call)?,
            };
            stages.end("parse");
            let recorded = issue::issue(context, &claim).await?;
            stages.end("commit");
            render::outcome(201, &recorded, now)
        }
        Operation::LookUp => {
            let (user, number) = parse::user_and_number(call, "order_number")?;
            stages.end("parse");
            let order = group_buy::look_up(context, user, &number).await?;
            let order = order.ok_or(Refusal::UnknownOrder)?;
            stages.end("commit");
            render::outcome(200, &issue::Recorded { number, order, replayed: false }, now)
        }
        Operation::List => {
            let (user, page) = (parse::user(call)?, parse::page(call)?);
            stages.end("parse");
            let (orders, more) = list::list(context, user, &page).await?;
            stages.end("commit");
            render::page(&orders, more, now)
        }
        Operation::Redeem | Operation::Rollback => {
            let (user, coupon) = parse::user_and_number(call, "coupon")?;
            let what = match operation {
                Operation::Redeem => parse::redeem(call)?,
                _ => parse::rollback(call)?,
            };
            stages.end("parse");
            let recorded = redemption::apply(context, user, &coupon, &what).await?;
            stages.end("commit");
            render::outcome(200, &recorded, now)
        }
        Operation::Confirm | Operation::Cancel => {
            let (user, number) = parse::user_and_reservation(call)?;
            stages.end("parse");
            let recorded = match operation {
                Operation::Confirm => reservation::confirm(context, user, &number).await?,
                _ => reservation::cancel(context, user, &number).await?,
            };
            stages.end("commit");
            render::outcome(200, &recorded, now)
        }
        Operation::IssueToMany => {
            let (template, batch) = (parse::template(call)?, parse::batch(call)?);
            stages.end("parse");
            let tally = bulk::issue_part(context, &template, &batch).await?;
            stages.end("commit");
            render::batch(202, &batch.batch, 1, &tally)
        }
        Operation::BatchProgress => {
            let (template, batch) = parse::template_and_batch(call)?;
            stages.end("parse");
            let (parts, tally) = bulk::progress(context, &template, &batch).await?;
            stages.end("commit");
            render::batch(200, &batch, parts, &tally)
        }
        Operation::SetUpCampaign => {
            let (id, campaign) = (parse::campaign(call)?, parse::campaign_body(call)?);
            stages.end("parse");
            group_buy::set_up(context, &id, &campaign).await?;
            stages.end("commit");
            render::campaign(&id, &campaign)
        }
        Operation::LookAtCampaign => {
            let id = parse::campaign(call)?;
            stages.end("parse");
            let campaign = group_buy::look(context, &id).await?;
            stages.end("commit");
            render::campaign(&id, &campaign)
        }
        Operation::OpenGroup => {
            let opening = parse::opening(call)?;
            stages.end("parse");
            let (group, replayed) = group_buy::open(context, &opening).await?;
            stages.end("commit");
            render::group(&opening, &group, replayed, now)
        }
        Operation::Sweep => {
            let partitions: Vec<_> = context.partitions.all().collect();
            let expired = reservation::expire_due(context, &partitions).await?;
            let rewarded = group_buy::settle_due(context, &partitions).await?;
            stages.end("commit");
            render::swept(expired, rewarded)
        }
    }
}

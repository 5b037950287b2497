//! The contract of this function, in native builds alone.
//! - [`templates`], [`of_users`], [`reservations`], [`groups`]: what the operations promise
//! - [`shapes`]: what else stands in them

use ::coupons::refusal::Refusal;
use domain::order_number::{OrderNumber, Part};
use edge::Problem;
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{OF_CALLERS, OF_STORE};
use serde_json::{Value, json};

use crate::render::OutcomeBody;
use crate::{Operation, ROUTES, refusal};

mod groups;
mod of_users;
mod reservations;
pub(crate) mod shapes;
mod templates;

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "Coupons: exactly once by order number, never over budget. A coupon's id is the \
                       order number under which it was given.";
    let group_buy = "A new user has one chance a campaign to open a group; a group that succeeds earns \
                     a coupon.";
    Function::new("coupon", description, ROUTES, promise)
        .reads(&[&OF_STORE, &OF_CALLERS])
        .tag("group-buy", group_buy)
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Publish => templates::publish(),
        Operation::LookAtTemplate => templates::look_at_template(),
        Operation::IssueToMany => templates::issue_to_many(),
        Operation::BatchProgress => templates::batch_progress(),
        Operation::RevokeMany => templates::revoke_many(),
        Operation::ExtendMany => templates::extend_many(),
        Operation::Issue => of_users::issue(),
        Operation::LookUp => of_users::look_up(),
        Operation::List => of_users::list(),
        Operation::Redeem => of_users::redeem(),
        Operation::Rollback => of_users::rollback(),
        Operation::Revoke => of_users::revoke(),
        Operation::Extend => of_users::extend(),
        Operation::Reserve => reservations::reserve(),
        Operation::Confirm => reservations::confirm(),
        Operation::Cancel => reservations::cancel(),
        Operation::SetUpScene => groups::set_up_scene(),
        Operation::LookAtScene => groups::look_at_scene(),
        Operation::SetUpCampaign => groups::set_up_campaign(),
        Operation::LookAtCampaign => groups::look_at_campaign(),
        Operation::OpenGroup => groups::open_group(),
        Operation::Sweep => groups::sweep(),
    }
}

/// What a 400 of a definition may say, beside what every body may.
const WRONG_DEFINITION: &[&str] = &[
    "invalid_part",
    "over_single_cap",
    "unknown_template",
    "fallback_circle",
    "fallback_too_deep",
];

fn refused(refusals: &[Refusal]) -> Vec<Problem> {
    refusals.iter().map(|refusal| refusal::problem((*refusal).into())).collect()
}

/// A coupon, as examples show it.
fn example() -> Value {
    json!({
        "coupon": "A-1",
        "template": "spring-15",
        "version": 1,
        "state": "usable",
        "kind": "amount_off",
        "value": "1500",
        "threshold": "1510",
        "currency": "CNY",
        "issued_at": "2026-02-14T12:00:00Z",
        "valid_from": "2026-02-14T12:00:00Z",
        "valid_until": "2026-03-16T12:00:00Z"
    })
}

/// What several operations promise alike.
trait Alike {
    /// Answers what the number gave.
    fn gives(self, status: u16) -> Self;

    /// Refuses as whatever gives or holds a coupon of a template does.
    fn refuses_claims(self) -> Self;
}

impl Alike for Promise {
    fn gives(self, status: u16) -> Self {
        let outcome = json!({
            "order_number": "A-1",
            "outcome": "issued",
            "coupon": example(),
            "replayed": false
        });
        let description = "What the number gave, now or earlier.";
        self.answers::<OutcomeBody<'static>>(status, description, outcome).replays()
    }

    fn refuses_claims(self) -> Self {
        self.refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
            .refuses(
                "A normal answer of the business; nothing was changed. `too_many_coupons`: \
                     the user has thousands of orders that are kept, or a thousand \
                     reservations. `cancelled`: the number was cancelled before it came. \
                     `import_incomplete`: earlier payers are still being imported, and whether \
                     the user is new is to be asked elsewhere.",
                refused(&[
                    Refusal::SoldOut,
                    Refusal::BudgetExhausted,
                    Refusal::UserLimit,
                    Refusal::NotStarted,
                    Refusal::Ended,
                    Refusal::NotEligible,
                    Refusal::ImportIncomplete,
                    Refusal::Disabled,
                    Refusal::TooManyCoupons,
                    Refusal::Cancelled,
                ]),
            )
            .refuses(
                "`order_number_reused`: the number was used with another body. `too_old`: \
                     it was ordered so long ago that what became of the number is not kept; it \
                     acts no more.",
                refused(&[Refusal::OrderNumberReused, Refusal::TooOld]),
            )
            .refuses(
                "The user gets awards of this scene faster than they may.",
                refused(&[Refusal::RateLimited(1)]),
            )
    }
}

fn template() -> Parameter {
    Parameter::path::<Part<'_>>("template").example("spring-15")
}

fn batch() -> Parameter {
    Parameter::path::<Part<'_>>("batch").example("members-may")
}

fn coupon() -> Parameter {
    Parameter::path::<OrderNumber>("coupon").example("A-1")
}

fn scene() -> Parameter {
    Parameter::path::<Part<'_>>("scene").example("newcomer")
}

fn campaign() -> Parameter {
    Parameter::path::<Part<'_>>("campaign").example("spring-groups")
}

fn key() -> Parameter {
    Parameter::header::<OrderNumber>("Idempotency-Key")
        .description("The order number, where the body has none (and no `play`).")
}

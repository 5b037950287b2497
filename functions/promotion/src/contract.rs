//! The contract of this function, in native builds alone.
//! - [`carts`], [`activities`], [`purchases`]: what the operations promise

use domain::order_number::{OrderNumber, Part};
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{OF_CALLERS, OF_STORE};
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::render::{PurchaseBody, VersionBody};
use crate::{Operation, ROUTES};

mod activities;
mod carts;
mod purchases;

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "What a cart costs under all activities, and why; purchase limits, prices and \
                       stock states.";
    Function::new("promotion", description, ROUTES, promise).reads(&[&OF_STORE, &OF_CALLERS])
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Evaluate => carts::evaluate(),
        Operation::Labels => carts::labels(),
        Operation::Compare => carts::compare(),
        Operation::ChangePrices => carts::change_prices(),
        Operation::Save => activities::save(),
        Operation::Look => activities::look(),
        Operation::Withdraw => activities::withdraw(),
        Operation::AddPart => activities::add_part(),
        Operation::Publish => activities::publish(),
        Operation::RollOut => activities::roll_out(),
        Operation::Sweep => activities::sweep(),
        Operation::Take => purchases::take(),
        Operation::LookAtOrder => purchases::look(),
        Operation::GiveBack => purchases::give_back(),
    }
}

/// A refusal, and what is to be said of it.
type Said = (Refusal, &'static str);

const TOO_MANY_ACTIVITIES: Said =
    (Refusal::TooManyActivities(String::new()), "a key has 1,000 already.");
const PUBLISHED_MEANWHILE: Said =
    (Refusal::PublishedMeanwhile, "somebody else published at the same time; again.");
const SEALED: Said =
    (Refusal::Sealed, "it was over for so long that it is closed for good; take another name.");
const INCOMPLETE: Said = (Refusal::Incomplete(0, 0), "parts of its `sku_list` are missing.");

/// What several operations promise alike.
trait Alike {
    /// Answers with a version of an activity.
    fn answers_version(self) -> Self;

    /// Answers what an order takes.
    fn answers_purchase(self, status: u16, description: &'static str, example: Value) -> Self;

    /// Refuses a cart that is wrong, or that has too many activities.
    fn refuses_carts(self) -> Self;

    /// Refuses where there is no draft.
    fn needs_draft(self) -> Self;

    /// Refuses with one status for several reasons, of each of which something is to be said.
    fn refuses_each(self, said: impl IntoIterator<Item = Said>) -> Self;
}

impl Alike for Promise {
    fn answers_version(self) -> Self {
        let example = json!({"activity": "second-half", "version": "1"});
        self.answers::<VersionBody<'static>>(200, "Its version.", example)
    }

    fn answers_purchase(self, status: u16, description: &'static str, example: Value) -> Self {
        self.answers::<PurchaseBody<'static>>(status, description, example)
    }

    fn refuses_carts(self) -> Self {
        self.malformed(
            "The cart is wrong; `field` names where. `amount_out_of_range`: more than \
                 9007199254740991 cents.",
            &["too_many", "invalid_id", "duplicate_line", "amount_out_of_range"],
        )
        .refuses(
            "The cart has more than 1,000 activities.",
            [Refusal::TooManyActivities(String::new())],
        )
    }

    fn needs_draft(self) -> Self {
        self.refuses("The activity has no draft.", [Refusal::UnknownDraft])
    }

    fn refuses_each(self, said: impl IntoIterator<Item = Said>) -> Self {
        let (refusals, sentences): (Vec<_>, Vec<_>) = said
            .into_iter()
            .map(|(refusal, text)| {
                let sentence = format!("`{}`: {text}", refusal.code());
                (refusal, sentence)
            })
            .unzip();
        self.refuses(sentences.join(" "), refusals)
    }
}

/// An activity, as examples show it.
fn example() -> Value {
    json!({
        "name": "Second at half price",
        "currency": "CNY",
        "from": "2026-02-17T00:00:00Z",
        "until": "2026-02-24T00:00:00Z",
        "dimensions": {"products": {"include": [{"brands": ["b"]}]}},
        "scope": "spu",
        "tiers": [{
            "condition": {"for_every_quantity": {"quantity": 2}},
            "benefit": {"nth_item_at_percent": {"nth": 2, "percent": 50}}
        }]
    })
}

fn activity() -> Parameter {
    Parameter::path::<Part<'_>>("activity").example("second-half")
}

fn draft() -> Parameter {
    Parameter::query::<bool>("draft")
        .description("The draft instead of what is live.")
        .default(false)
}

fn key() -> Parameter {
    Parameter::header::<OrderNumber>("Idempotency-Key")
        .description("The order number, where the body has none.")
}

//! The contract of this function, in native builds alone.

use edge::contract::operation::user;
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{OF_CALLERS, OF_STORE};
use serde_json::json;

use crate::parse::{CheckManyBody, ImportBody, MarkPaidBody};
use crate::render::{UserBody, UsersBody};
use crate::{Operation, ROUTES};

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "A user is new while they have no successfully paid order.";
    Function::new("new-user", description, ROUTES, promise).reads(&[&OF_STORE, &OF_CALLERS])
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::Check => Promise::new("checkUser", "Is this user new?")
            .description("Exact; one store round trip.")
            .parameter(user())
            .parameter(Parameter::query::<domain::paid::Unknown>("unknown").default("new"))
            .answers::<UserBody>(
                200,
                "The user's standing.",
                json!({"user": "652024209997893632", "new": true}),
            ),
        Operation::CheckMany => Promise::new("checkUsers", "Which of these users are new?")
            .description(
                "At most one commit a partition, all at once. The answer keeps the order, and repeats what is \
                 repeated.",
            )
            .body::<CheckManyBody>(json!({"users": ["1", "2"]}))
            .answers::<UsersBody>(
                200,
                "The users' standings, in order.",
                json!({"users": [{"user": "1", "new": true}, {"user": "2", "new": false}]}),
            ),
        Operation::MarkPaid => {
            Promise::new("markPaid", "Mark users as having paid, for the backfill")
                .description(
                    "Operators only. Marking twice is marking once; after a 503 send all again.",
                )
                .body::<MarkPaidBody>(json!({"users": ["1", "2"]}))
                .answers_nothing("All are marked, durably.")
        }
        Operation::ReadImport => {
            Promise::new("readImport", "Is the import of earlier payers complete?")
                .answers::<ImportBody>(200, "Whether it is.", json!({"complete": false}))
        }
        Operation::SetImport => {
            Promise::new("setImport", "Declare the import complete, or open again")
                .description(
                    "While it is not complete, checks with `unknown=ask` answer `new: null` for users without a \
                     mark.",
                )
                .body::<ImportBody>(json!({"complete": true}))
                .answers::<ImportBody>(200, "As declared.", json!({"complete": true}))
        }
    }
}

//! The contract of this function, in native builds alone.

use edge::contract::operation::user;
use edge::contract::{Function, Operation as Promise};
use edge::variable::{OF_CALLERS, OF_STORE};
use serde_json::json;

use crate::parse::MarkBody;
use crate::{Operation, ROUTES};

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let name = "{{project-name | kebab_case}}";
    let description = "Marks users, and says who is marked.";
    Function::new(name, description, ROUTES, promise).reads(&[&OF_STORE, &OF_CALLERS])
}

fn promise(operation: Operation) -> Promise {
    let example = json!({"marked": true});
    match operation {
        Operation::Read => {
            Promise::new("read{{project-name | pascal_case}}", "Is this user marked?")
                .parameter(user())
                .answers::<MarkBody>(200, "The user's mark.", example)
        }
        Operation::Write => Promise::new(
            "write{{project-name | pascal_case}}",
            "Mark a user, or take the mark away",
        )
        .description("Repeating it changes nothing.")
        .parameter(user())
        .body::<MarkBody>(example.clone())
        .answers::<MarkBody>(200, "As it was written.", example),
    }
}

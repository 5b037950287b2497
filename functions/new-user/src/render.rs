//! Answer -> wire.

use domain::ids::UserId;
use edge::{Answer, Problem};
use serde::Serialize;

use crate::decide::Standing;

/// A user's standing on the wire. `new` is null where the store cannot tell, and `code` says why.
#[derive(Serialize)]
struct UserBody {
    user: UserId,
    new: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct UsersBody {
    users: Vec<UserBody>,
}

#[derive(Serialize)]
struct ImportBody {
    complete: bool,
}

fn body(user: UserId, standing: Standing) -> UserBody {
    let (new, code) = match standing {
        Standing::New => (Some(true), None),
        Standing::Paid => (Some(false), None),
        Standing::Unknown => (None, Some("import_incomplete")),
    };
    UserBody { user, new, code }
}

/// One user's standing.
///
/// # Errors
/// It cannot be written as JSON.
pub fn one(user: UserId, standing: Standing) -> Result<Answer, Problem> {
    Answer::json(&body(user, standing))
}

/// The standings of users, in their order.
///
/// # Errors
/// They cannot be written as JSON.
pub fn many(users: &[UserId], standings: &[Standing]) -> Result<Answer, Problem> {
    let users = users.iter().zip(standings).map(|(user, standing)| body(*user, *standing));
    Answer::json(&UsersBody { users: users.collect() })
}

/// Whether the import is complete.
///
/// # Errors
/// It cannot be written as JSON.
pub fn import(complete: bool) -> Result<Answer, Problem> {
    Answer::json(&ImportBody { complete })
}

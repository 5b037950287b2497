//! Answer -> wire.

use domain::ids::UserId;
use edge::{Answer, Problem};
use serde::Serialize;

use crate::decide::Standing;
use crate::parse::ImportBody;

/// A user's standing.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "User"))]
pub(crate) struct UserBody {
    user: UserId,
    /// Null: ask elsewhere, `code` says why.
    new: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
}

/// Why nobody can tell.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum Code {
    ImportIncomplete,
}

/// Standings.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct UsersBody {
    users: Vec<UserBody>,
}

fn body(user: UserId, standing: Standing) -> UserBody {
    let (new, code) = match standing {
        Standing::New => (Some(true), None),
        Standing::Paid => (Some(false), None),
        Standing::Unknown => (None, Some(Code::ImportIncomplete)),
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

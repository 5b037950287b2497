//! Wire -> typed command.

use domain::error::InvalidInput;
use domain::ids::{BATCH_USERS_MAX, IdInput, UserId};
use domain::paid::Unknown;
use serde::{Deserialize, Serialize};

/// Users of one batch.
pub const USERS_MAX: usize = BATCH_USERS_MAX;

/// Which users to tell the standing of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// 1 to 1,000 users.
    pub users: Vec<UserId>,
    /// What to make of users without a mark.
    pub unknown: Unknown,
}

/// Which users to tell the standing of, in order.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct CheckManyBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::schema::IdInputs"))]
    users: Vec<IdInput>,
    /// What to make of users without a mark.
    #[serde(default)]
    unknown: Unknown,
}

/// Users who have paid.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct MarkPaidBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::schema::IdInputs"))]
    users: Vec<IdInput>,
}

/// The import of those who paid before this function existed.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Import"))]
#[serde(deny_unknown_fields)]
pub struct ImportBody {
    /// Whether it is complete.
    pub complete: bool,
}

/// `GET /v1/users/{user}/new?unknown=`
///
/// # Errors
/// `invalid_id`, `invalid_value`.
pub fn check(parameters: &[String], [unknown]: [Option<String>; 1]) -> Result<Check, InvalidInput> {
    let user = parameters.first().map(String::as_str).unwrap_or_default();
    let unknown = match unknown.as_deref() {
        None | Some("new") => Unknown::New,
        Some("ask") => Unknown::Ask,
        Some(_) => return Err(InvalidInput::new("invalid_value", "unknown", "must be new or ask")),
    };
    Ok(Check { users: vec![UserId::parse(user, "user")?], unknown })
}

/// `POST /v1/users/check-new`
///
/// # Errors
/// `invalid_id`, `too_few_users`, `too_many_users`.
pub fn check_many(body: CheckManyBody) -> Result<Check, InvalidInput> {
    Ok(Check { users: users(&body.users)?, unknown: body.unknown })
}

/// `POST /v1/users/mark-paid`
///
/// # Errors
/// `invalid_id`, `too_few_users`, `too_many_users`.
pub fn mark_paid(body: &MarkPaidBody) -> Result<Vec<UserId>, InvalidInput> {
    users(&body.users)
}

/// `PUT /v1/users/import`: whether the import is complete.
pub fn import(body: ImportBody) -> bool {
    body.complete
}

/// Checks that a list has 1 to 1,000 users.
///
/// # Errors
/// `too_few_users`, `too_many_users`.
pub fn count(users: usize) -> Result<(), InvalidInput> {
    match users {
        0 => Err(InvalidInput::new("too_few_users", "users", "must have at least 1 user")),
        1..=USERS_MAX => Ok(()),
        _ => {
            let detail = format!("must have at most {USERS_MAX} users, not {users}");
            Err(InvalidInput::new("too_many_users", "users", detail))
        }
    }
}

fn users(list: &[IdInput]) -> Result<Vec<UserId>, InvalidInput> {
    count(list.len())?;
    list.iter().enumerate().map(|(index, id)| id.user(|| format!("users[{index}]"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(json: &str) -> Result<Check, InvalidInput> {
        check_many(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_batch_has_1_to_1000_users() {
        let body = |count: usize| format!(r#"{{"users": [{}]}}"#, vec!["1"; count].join(","));
        assert_eq!(many(&body(0)).unwrap_err().code, "too_few_users");
        assert_eq!(many(&body(1)).unwrap().users, [UserId(1)]);
        assert_eq!(many(&body(1_000)).unwrap().users.len(), 1_000);
        assert_eq!(many(&body(1_001)).unwrap_err().code, "too_many_users");
    }

    #[test]
    fn a_wrong_id_is_named_by_its_place() {
        let error = many(r#"{"users": ["1", 2, "abc"]}"#).unwrap_err();
        assert_eq!((error.code, error.field.as_str()), ("invalid_id", "users[2]"));
    }

    #[test]
    fn unknown_users_are_new_unless_asked_otherwise() {
        let one = |unknown: Option<&str>| {
            check(&["7".to_owned()], [unknown.map(str::to_owned)]).map(|check| check.unknown)
        };
        assert_eq!(one(None), Ok(Unknown::New));
        assert_eq!(one(Some("ask")), Ok(Unknown::Ask));
        assert_eq!(one(Some("")).unwrap_err().field, "unknown");
        assert_eq!(many(r#"{"users": [1], "unknown": "ask"}"#).unwrap().unknown, Unknown::Ask);
    }
}

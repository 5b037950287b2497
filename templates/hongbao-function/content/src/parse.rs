//! Wire -> typed command.

use domain::error::InvalidInput;
use domain::ids::UserId;
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The user.
    pub user: UserId,
    /// Whether to mark the user, or to take the mark away; nothing where it is only read.
    pub set: Option<bool>,
}

/// The mark of a user.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct MarkBody {
    /// Whether the user is marked.
    pub marked: bool,
}

/// `GET`
///
/// # Errors
/// `invalid_id`.
pub fn read(parameters: &[String]) -> Result<Command, InvalidInput> {
    Ok(Command { user: user(parameters)?, set: None })
}

/// `PUT`
///
/// # Errors
/// `invalid_id`.
pub fn write(parameters: &[String], body: &MarkBody) -> Result<Command, InvalidInput> {
    Ok(Command { user: user(parameters)?, set: Some(body.marked) })
}

fn user(parameters: &[String]) -> Result<UserId, InvalidInput> {
    UserId::parse(parameters.first().map(String::as_str).unwrap_or_default(), "user")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_user_is_named() {
        let error = read(&["x".to_owned()]).unwrap_err();
        assert_eq!((error.code, error.field.as_str()), ("invalid_id", "user"));
    }

    #[test]
    fn a_body_says_whether_to_mark() {
        let body = serde_json::from_str(r#"{"marked": true}"#).unwrap();
        let command = write(&["7".to_owned()], &body).unwrap();
        assert_eq!(command, Command { user: UserId(7), set: Some(true) });
    }
}

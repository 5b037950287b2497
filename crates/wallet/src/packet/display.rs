//! What is shown of a packet: a name, a picture, a greeting. It lies beside the order and is no part of it:
//! nothing depends on it, and where it is lost or cannot be read there is a default.
//!
//! So a retry may bring it, and settlement, which may finish the sending, does not know it.

use domain::error::InvalidInput;
use domain::transaction::Value;
use serde::{Deserialize, Serialize};
use store::{Record, codec};

/// What a packet says where its sender says nothing: "may you be happy and prosper".
pub const GREETING: &str = "恭喜发财，大吉大利";
/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a picture's address.
pub const PICTURE_BYTES_MAX: usize = 512;
/// Bytes of a greeting: some forty Chinese characters.
pub const GREETING_BYTES_MAX: usize = 128;

/// What a sender wants to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Display {
    /// Of the sender.
    #[serde(default)]
    pub name: Option<String>,
    /// The address of a picture.
    #[serde(default)]
    pub picture: Option<String>,
    /// Words.
    #[serde(default)]
    pub greeting: Option<String>,
}

impl Record for Display {
    const NAME: &'static str = "what is shown of a packet";
}

impl Display {
    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// `invalid_value`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        check("display.name", self.name.as_deref(), NAME_BYTES_MAX)?;
        check("display.picture", self.picture.as_deref(), PICTURE_BYTES_MAX)?;
        check("display.greeting", self.greeting.as_deref(), GREETING_BYTES_MAX)?;
        // A client shows it: no other scheme may run there.
        if self.picture.as_ref().is_some_and(|picture| !picture.starts_with("https://")) {
            let detail = "must begin with https://";
            return Err(InvalidInput::new("invalid_value", "display.picture", detail));
        }
        Ok(())
    }

    pub(super) fn encode(&self) -> Value {
        codec::encode(self)
    }

    /// Reads it again; the default where that cannot be done.
    pub(super) fn decode(value: Option<&Value>) -> Self {
        let read = value.map(codec::decode);
        read.and_then(Result::ok).unwrap_or_default()
    }
}

fn check(field: &str, text: Option<&str>, bytes_max: usize) -> Result<(), InvalidInput> {
    let Some(text) = text else { return Ok(()) };
    if (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("must have 1 to {bytes_max} bytes, and no control characters");
    Err(InvalidInput::new("invalid_value", field, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_and_what_is_broken_is_the_default() {
        let name = Some("Li Lei".to_owned());
        let shown = Display { name, picture: None, greeting: Some(GREETING.to_owned()) };
        assert_eq!(Display::decode(Some(&shown.encode())), shown);
        for broken in [None, Some(Value::Integer(1)), Some(Value::Bytes(b"\x09".to_vec()))] {
            assert_eq!(Display::decode(broken.as_ref()), Display::default());
        }
    }

    #[test]
    fn texts_are_bounded_and_pictures_are_https() {
        let wrong = |text: &str| {
            let shown: Display = serde_json::from_str(text).unwrap();
            shown.validate().map_err(|error| error.field).err()
        };
        let long = "x".repeat(GREETING_BYTES_MAX + 1);
        for (text, field) in [
            (r#"{}"#.to_owned(), None),
            (r#"{"name": "Li", "picture": "https://a/b.png", "greeting": "hi"}"#.to_owned(), None),
            (r#"{"name": ""}"#.to_owned(), Some("display.name")),
            (r#"{"name": "a\nb"}"#.to_owned(), Some("display.name")),
            (r#"{"picture": "javascript:1"}"#.to_owned(), Some("display.picture")),
            (format!(r#"{{"greeting": "{long}"}}"#), Some("display.greeting")),
        ] {
            assert_eq!(wrong(&text).as_deref(), field, "{text}");
        }
    }
}

//! 64-bit ids.
//!
//! JavaScript loses digits above 2^53, and 18-digit ids are common, so that JSON carries ids as
//! strings: written always as a string, read from a string or an integer.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::InvalidInput;

/// Digits of the largest id, 18446744073709551615; a longer text is refused unread.
const ID_DIGITS_MAX: usize = 20;

/// Users of one batch: what one page of a back office shows, and what one request may cost a store.
pub const BATCH_USERS_MAX: usize = 1_000;

/// A user. Any `u64`: dense 8-digit ids and sparse 18-digit ones stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u64);

impl UserId {
    /// Reads an id as a path segment or a header carries it: decimal digits and nothing else.
    ///
    /// # Errors
    /// `invalid_id` for an empty text, a sign, a fraction, a leading zero or a number above
    /// 18446744073709551615.
    pub fn parse(text: &str, field: &str) -> Result<Self, InvalidInput> {
        text.parse().map_err(|()| invalid_id(field))
    }
}

fn invalid_id(field: impl Into<String>) -> InvalidInput {
    let detail = "must be an integer from 0 to 18446744073709551615 in decimal digits";
    InvalidInput::new("invalid_id", field, detail)
}

impl FromStr for UserId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = !text.is_empty()
            && text.len() <= ID_DIGITS_MAX
            && text.bytes().all(|byte| byte.is_ascii_digit());
        // One id has one spelling: with leading zeros the same user could hide behind many.
        let canonical = text == "0" || !text.starts_with('0');
        if digits && canonical { text.parse().map(Self).map_err(drop) } else { Err(()) }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An id as a request carries it, a string or a number, not yet checked: so that a wrong one is an
/// error of its own that names its place, and not a syntax error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdInput(Option<u64>);

impl IdInput {
    /// The user that is meant.
    ///
    /// # Errors
    /// `invalid_id`, as [`UserId::parse`].
    pub fn user(&self, field: impl FnOnce() -> String) -> Result<UserId, InvalidInput> {
        self.0.map(UserId).ok_or_else(|| invalid_id(field()))
    }
}

impl<'de> Deserialize<'de> for IdInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = IdInput;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an id, as a string or an integer")
    }

    fn visit_u64<E>(self, value: u64) -> Result<IdInput, E> {
        Ok(IdInput(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<IdInput, E> {
        Ok(IdInput(value.try_into().ok()))
    }

    /// A fraction, and every number above 2^64 - 1: digits may be lost already.
    fn visit_f64<E>(self, _: f64) -> Result<IdInput, E> {
        Ok(IdInput(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<IdInput, E> {
        Ok(IdInput(text.parse().map(|UserId(id)| id).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_u64_and_nothing_else() {
        let table: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("99999999", Some(99_999_999)),
            ("652024209997893632", Some(652_024_209_997_893_632)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("abc", None),
            ("", None),
            ("007", None),
            ("00", None),
            (" 1", None),
            ("١", None),
        ];
        for (text, expected) in table {
            assert_eq!(UserId::parse(text, "user").ok().map(|id| id.0), *expected, "{text:?}");
        }
    }

    #[test]
    fn json_reads_strings_and_integers_and_writes_strings() {
        let table: &[(&str, Option<u64>)] = &[
            (r#""7""#, Some(7)),
            ("7", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            ("1e3", None),
            (r#""""#, None),
            (r#""1.5""#, None),
        ];
        for (json, expected) in table {
            let input: IdInput = serde_json::from_str(json).unwrap();
            let id = input.user(|| "users[3]".into());
            assert_eq!(id.as_ref().ok().map(|id| id.0), *expected, "{json}");
            if let Err(error) = id {
                assert_eq!((error.code, error.field.as_str()), ("invalid_id", "users[3]"));
            }
        }
        for wrong in ["null", "true", "[1]"] {
            assert!(serde_json::from_str::<IdInput>(wrong).is_err(), "{wrong}");
        }
        let text = serde_json::to_string(&UserId(u64::MAX)).unwrap();
        assert_eq!(text, r#""18446744073709551615""#);
    }
}

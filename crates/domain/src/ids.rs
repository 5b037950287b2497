//! 64-bit ids.
//!
//! JavaScript loses digits above 2^53, and 18-digit ids are common, so that JSON carries ids as
//! strings: written always as a string, read from a string or an integer.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::InvalidInput;

/// Digits of the largest id, 18446744073709551615; a longer text is refused unread.
const ID_DIGITS_MAX: usize = 20;

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
        text.parse().map_err(|()| {
            InvalidInput::new(
                "invalid_id",
                field,
                "must be an integer from 0 to 18446744073709551615 in decimal digits",
            )
        })
    }
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

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = UserId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("an id: an integer from 0 to 18446744073709551615, as a string or a number")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<UserId, E> {
        Ok(UserId(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<UserId, E> {
        text.parse().map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
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
        let ids: Vec<UserId> = serde_json::from_str(r#"["7", 7, 18446744073709551615]"#).unwrap();
        assert_eq!(ids, [UserId(7), UserId(7), UserId(u64::MAX)]);
        assert_eq!(serde_json::to_string(&ids[2]).unwrap(), r#""18446744073709551615""#);
        for wrong in ["-1", "1.5", "18446744073709551616", "null", "true", r#""""#, "[1]"] {
            assert!(serde_json::from_str::<UserId>(wrong).is_err(), "{wrong}");
        }
    }
}

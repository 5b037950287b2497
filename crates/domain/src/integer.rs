//! 64-bit integers on the wire: JSON carries them as strings, because readers that count in doubles
//! lose digits above 2^53, and accepts integers as well.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::transaction::INTEGER_MAX;

/// How many there are: 0 to 2^53 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Count(u64);

impl Count {
    /// A number of things; `None` beyond 2^53 - 1.
    pub fn new(count: u64) -> Option<Self> {
        (count <= INTEGER_MAX as u64).then_some(Self(count))
    }

    /// The number, which fits.
    pub fn get(self) -> i64 {
        self.0 as i64
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.get(), serializer)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = IntegerVisitor { least: 0, detail: "must be 0 to 9007199254740991" };
        deserialize(deserializer, count).map(|integer| Self(integer.unsigned_abs()))
    }
}

/// Writes an integer: a string for people and JSON, a number in the formats of the store.
pub(crate) fn serialize<S: Serializer>(integer: i64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        // Not `collect_str`, which takes ten times the instructions.
        serializer.serialize_str(itoa::Buffer::new().format(integer))
    } else {
        serializer.serialize_i64(integer)
    }
}

/// Reads what [`serialize`] wrote, and numbers where strings are written.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
    visitor: IntegerVisitor,
) -> Result<i64, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(visitor)
    } else {
        deserializer.deserialize_i64(visitor)
    }
}

/// Reads an integer from `least` to 2^53 - 1, as a string or as a number. It refuses others itself, while
/// the reader still knows where it is: an error that comes later has the place of what follows.
pub(crate) struct IntegerVisitor {
    pub least: i64,
    pub detail: &'static str,
}

impl IntegerVisitor {
    /// Within +-(2^53 - 1).
    pub(crate) const ANY: Self =
        Self { least: -INTEGER_MAX, detail: "must be within +-9007199254740991" };
}

impl Visitor<'_> for IntegerVisitor {
    type Value = i64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an integer within +-9007199254740991, as a string or a number")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
        let fits = (self.least..=INTEGER_MAX).contains(&value);
        if fits { Ok(value) } else { Err(E::custom(self.detail)) }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        // One spelling for each number: no plus, no leading zeros, no minus zero.
        let is_plain = |value: &i64| itoa::Buffer::new().format(*value) == text;
        let value: Option<i64> = text.parse().ok().filter(is_plain);
        let value = value.ok_or_else(|| E::custom("must be an integer in decimal digits"))?;
        self.visit_i64(value)
    }
}

/// Reads a text of a known form. As [`IntegerVisitor`], it refuses others itself.
pub(crate) struct TextVisitor<T> {
    pub parse: fn(&str) -> Option<T>,
    pub detail: &'static str,
}

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(self.detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_strings_and_integers_and_written_as_strings() {
        let table: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            (r#""0""#, Some(0)),
            ("9007199254740991", Some(INTEGER_MAX)),
            (r#""9007199254740991""#, Some(INTEGER_MAX)),
            ("9007199254740992", None),
            ("18446744073709551615", None),
            ("-1", None),
            (r#""-1""#, None),
            (r#""07""#, None),
            (r#""+7""#, None),
            (r#""""#, None),
            ("1.5", None),
            ("null", None),
        ];
        for (json, expected) in table {
            let count = serde_json::from_str::<Count>(json).ok();
            assert_eq!(count.map(Count::get), *expected, "{json}");
        }
        let text = serde_json::to_string(&Count::new(7).unwrap()).unwrap();
        assert_eq!(text, r#""7""#);
    }
}

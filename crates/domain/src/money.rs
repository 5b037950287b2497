//! Money: an integer in minor units (cents) with an ISO 4217 currency, never a float.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::integer::{self, IntegerVisitor, TextVisitor};
use crate::transaction::INTEGER_MAX;

/// A sum of money in minor units, within +-(2^53 - 1): the range in which every back end and every
/// JSON reader counts exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i64);

/// Why a sum is no [`Amount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("amount is outside of +-(2^53 - 1) minor units")]
pub struct AmountOutOfRange;

impl Amount {
    /// An amount in minor units.
    ///
    /// # Errors
    /// Outside of +-(2^53 - 1).
    pub fn new(minor_units: i64) -> Result<Self, AmountOutOfRange> {
        if (-INTEGER_MAX..=INTEGER_MAX).contains(&minor_units) {
            Ok(Self(minor_units))
        } else {
            Err(AmountOutOfRange)
        }
    }

    /// The amount in minor units.
    pub fn minor_units(self) -> i64 {
        self.0
    }

    /// The sum, where it is still an amount.
    ///
    /// # Errors
    /// Outside of +-(2^53 - 1).
    pub fn checked_add(self, other: Self) -> Result<Self, AmountOutOfRange> {
        // Two amounts are far from the limits of i64, so that the addition itself cannot overflow.
        Self::new(self.0 + other.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        integer::serialize(self.0, serializer)
    }
}

/// From a string or an integer.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        integer::deserialize(deserializer, IntegerVisitor::ANY).map(Self)
    }
}

/// An ISO 4217 alphabetic code, for example `CNY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three capital letters. The list of codes in use changes, so that it is not checked.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let detail = "must be three capital letters";
        deserializer.deserialize_str(TextVisitor { parse: Self::parse, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_end_where_exactness_ends() {
        assert!(Amount::new(INTEGER_MAX).is_ok());
        assert_eq!(Amount::new(INTEGER_MAX + 1), Err(AmountOutOfRange));
        let largest = Amount::new(INTEGER_MAX).unwrap();
        assert_eq!(largest.checked_add(Amount::new(1).unwrap()), Err(AmountOutOfRange));
        assert_eq!(
            largest.checked_add(Amount::new(-1).unwrap()).map(Amount::minor_units),
            Ok(INTEGER_MAX - 1)
        );
    }

    #[test]
    fn currencies_are_three_capital_letters() {
        for (text, expected) in [
            ("CNY", true),
            ("cny", false),
            ("CN", false),
            ("CNYY", false),
            ("C1Y", false),
            ("", false),
        ] {
            assert_eq!(Currency::parse(text).is_some(), expected, "{text}");
        }
    }
}

//! The order number: an operation acts at most once under it.
//!
//! Where the award follows from the play, the function makes the number itself, so that one user
//! gets each award at most once by construction; else the caller gives one, unique for the user.

use std::fmt;

use crate::error::InvalidInput;
use crate::ids::UserId;

/// Six parts of at most 32 characters and five underscores; the user takes at most 20.
pub const ORDER_NUMBER_BYTES_MAX: usize = 185;
/// A part names an activity, a scene and so on; 32 characters hold a ULID or a UUID without hyphens.
pub const PART_BYTES_MAX: usize = 32;
/// Bytes of a shop's own order number: a UUID with a prefix fits several times.
pub const SHOP_ORDER_BYTES_MAX: usize = 128;

/// A number under which an operation acts at most once for its user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderNumber(String);

impl OrderNumber {
    /// Reads a number that a caller gave.
    ///
    /// # Errors
    /// `invalid_order_number` for an empty or too long text, and for a character that is not a
    /// letter, a digit, or one of `_ - . :`.
    pub fn parse(text: &str, field: &str) -> Result<Self, InvalidInput> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if !text.is_empty() && text.len() <= ORDER_NUMBER_BYTES_MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInput::new(
                "invalid_order_number",
                field,
                format!("must be 1 to {ORDER_NUMBER_BYTES_MAX} letters, digits or any of _ - . :"),
            ))
        }
    }

    /// Makes the number `{user}_{activity}_{scene}_{round}_{award}_{stage}`. No part holds an
    /// underscore, so that different parts never give the same number.
    pub fn compose(user: UserId, play: &Play<'_>) -> Self {
        let Play { activity, scene, round, award, stage } = play;
        Self(format!("{user}_{activity}_{scene}_{round}_{award}_{stage}"))
    }

    /// The number as it is stored and sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a user played for: the parts of an order number that the function makes.
#[derive(Clone, Copy, Debug)]
pub struct Play<'a> {
    /// The activity.
    pub activity: Part<'a>,
    /// The scene, which stands for one award type.
    pub scene: Part<'a>,
    /// The round of the play.
    pub round: Part<'a>,
    /// The award within the round.
    pub award: Part<'a>,
    /// The stage of the deployment, for example `live`.
    pub stage: Part<'a>,
}

/// A part of an order number: `[a-z0-9-]{1,32}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a>(&'a str);

impl<'a> Part<'a> {
    /// Reads a part.
    ///
    /// # Errors
    /// `invalid_part` for anything but `[a-z0-9-]{1,32}`.
    pub fn parse(text: &'a str, field: &str) -> Result<Self, InvalidInput> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.len() <= PART_BYTES_MAX && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(InvalidInput::new(
                "invalid_part",
                field,
                format!("must be 1 to {PART_BYTES_MAX} of a-z, 0-9 and -"),
            ))
        }
    }

    /// The part as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_from_the_play_and_fits() {
        let long = "x".repeat(PART_BYTES_MAX);
        let part = |text| Part::parse(text, "part").unwrap();
        let short = Play {
            activity: part("spring"),
            scene: part("rain"),
            round: part("3"),
            award: part("cash"),
            stage: part("live"),
        };
        let number = OrderNumber::compose(UserId(7), &short);
        assert_eq!(number.as_str(), "7_spring_rain_3_cash_live");
        let part = Part::parse(&long, "part").unwrap();
        let longest = Play { activity: part, scene: part, round: part, award: part, stage: part };
        let number = OrderNumber::compose(UserId(u64::MAX), &longest);
        assert_eq!(number.as_str().len(), ORDER_NUMBER_BYTES_MAX);
        assert_eq!(OrderNumber::parse(number.as_str(), "order_number"), Ok(number));
    }

    #[test]
    fn wrong_numbers_and_parts_name_their_field() {
        let too_long = "1".repeat(ORDER_NUMBER_BYTES_MAX + 1);
        for text in ["", "a b", "a/b", "é", too_long.as_str()] {
            let error = OrderNumber::parse(text, "order_number").unwrap_err();
            assert_eq!(
                (error.code, error.field.as_str()),
                ("invalid_order_number", "order_number")
            );
        }
        for text in ["", "a_b", "A", "a b"] {
            assert_eq!(Part::parse(text, "scene").unwrap_err().field, "scene", "{text:?}");
        }
    }
}

//! How ids, amounts, counts and times look on the wire, in native builds alone: the contract is written from it.
//!
//! A number is a string in answers, and a string or an integer in requests; so it has two schemas, and which one it is
//! follows from the direction that the generator asks for.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::ids::{BATCH_USERS_MAX, IdInput, UserId};
use crate::integer::Count;
use crate::money::{Amount, Currency};
use crate::order_number::{
    ORDER_NUMBER_BYTES_MAX, OrderNumber, PART_BYTES_MAX, Part, SHOP_ORDER_BYTES_MAX,
};
use crate::time::UnixMillis;
use crate::transaction::INTEGER_MAX;

/// A schema of its own name: the type, the name, and the schema.
#[macro_export]
macro_rules! named {
    ($type:ty, $name:literal, $generator:ident => $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}

/// A type that has another schema in requests than in answers.
macro_rules! directed {
    ($type:ty, request $request:ty, answer $answer:ty) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                <$answer>::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                if generator.contract().is_deserialize() {
                    generator.subschema_for::<$request>()
                } else {
                    generator.subschema_for::<$answer>()
                }
            }
        }
    };
}

/// Users of a batch, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct IdInputs;

/// A count in answers.
struct CountText;
/// A count in requests.
struct CountInput;
/// An amount in answers.
struct AmountText;
/// An amount in requests.
struct AmountInput;
/// An amount that may be negative, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct SignedAmount;

/// A shop's number of an order, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct ShopOrder;

/// When something was ordered, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct OrderedAt;

/// What may be left out and may be null as well, because answers leave nothing out, for `#[schemars(with = "...")]`. An
/// `Option` would lose its null: the generator takes it from what may be left out.
#[derive(Debug)]
pub struct OrNull<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OrNull<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_null", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [generator.subschema_for::<T>(), {"type": "null"}]})
    }
}

/// Text or an integer.
fn text_or_integer(text: Schema, maximum: u64) -> Schema {
    json_schema!({"oneOf": [text, {"type": "integer", "minimum": 0, "maximum": maximum}]})
}

/// The largest integer that is exact everywhere.
const MAXIMUM: u64 = INTEGER_MAX.unsigned_abs();

named!(UserId, "Id", _generator => json_schema!({
    "type": "string",
    "pattern": "^(0|[1-9][0-9]{0,19})$",
    "description": format!("A 64-bit unsigned number, 0 to {}.", u64::MAX),
}));
named!(IdInput, "IdInput", generator => {
    text_or_integer(generator.subschema_for::<UserId>(), u64::MAX)
});
named!(IdInputs, "IdInputs", generator => json_schema!({
    "type": "array",
    "minItems": 1,
    "maxItems": BATCH_USERS_MAX,
    "items": generator.subschema_for::<IdInput>(),
}));
named!(CountText, "Count", _generator => json_schema!({
    "type": "string",
    "pattern": "^(0|[1-9][0-9]{0,15})$",
    "description": format!("0 to {MAXIMUM}."),
}));
named!(CountInput, "CountInput", generator => {
    text_or_integer(generator.subschema_for::<CountText>(), MAXIMUM)
});
directed!(Count, request CountInput, answer CountText);
named!(AmountText, "Amount", _generator => json_schema!({
    "type": "string",
    "pattern": "^(0|[1-9][0-9]{0,15})$",
    "description": "In minor units (cents) of the currency beside it.",
}));
named!(AmountInput, "AmountInput", generator => {
    text_or_integer(generator.subschema_for::<AmountText>(), MAXIMUM)
});
directed!(Amount, request AmountInput, answer AmountText);
named!(SignedAmount, "SignedAmount", _generator => json_schema!({
    "type": "string",
    "pattern": "^(0|-?[1-9][0-9]{0,15})$",
    "description": "In minor units (cents) of the currency of all wallets; negative, where they went.",
}));
named!(Currency, "Currency", _generator => json_schema!({
    "type": "string",
    "pattern": "^[A-Z]{3}$",
    "description": "ISO 4217.",
}));
named!(UnixMillis, "Time", _generator => json_schema!({
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339; UTC in answers.",
}));
named!(OrderNumber, "OrderNumber", _generator => json_schema!({
    "type": "string",
    "pattern": format!("^[A-Za-z0-9_.:-]{{1,{ORDER_NUMBER_BYTES_MAX}}}$"),
    "description": "Acts at most once for its user. Those that a caller gives do not begin with `bulk:` or `group:`.",
}));
named!(Part<'_>, "Part", _generator => json_schema!({
    "type": "string",
    "pattern": format!("^[a-z0-9-]{{1,{PART_BYTES_MAX}}}$"),
}));
named!(ShopOrder, "Order", _generator => json_schema!({
    "type": "string",
    "minLength": 1,
    "maxLength": SHOP_ORDER_BYTES_MAX,
    "description": "The shop's number of the order.",
}));
named!(OrderedAt, "OrderedAt", generator => {
    let mut schema = generator.subschema_for::<UnixMillis>();
    schema.insert("description".to_owned(), ORDERED_AT.into());
    schema
});

const ORDERED_AT: &str = "When it was ordered, as the caller says; at most 5 minutes in the future. It is part \
     of the number: whoever sends it always sends it, and always the same. Once what has \
     ended is forgotten, a number with a time costs nothing to remember.";

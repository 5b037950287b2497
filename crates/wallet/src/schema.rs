//! How tokens, packets and payments look on the wire, in native builds alone: the contract is written from it.

use domain::money::{Amount, Currency};
use domain::named;
use schemars::json_schema;
use serde_json::{Value, json};

use crate::packet::pay::PAYMENT_BYTES_MAX;
use crate::packet::{NUMBER_BYTES_MAX, Payment};
use crate::rain::{Amounts, CHOICES_MAX, Choice};
use crate::token::TOKEN_CHARACTERS_MAX;

/// A token, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct TokenText;
/// A packet's name, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct PacketName;
/// The currency of a wallet, for `#[schemars(with = "...")]`.
#[derive(Debug)]
pub struct WalletCurrency;

named!(TokenText, "Token", _generator => json_schema!({
    "type": "string",
    "maxLength": TOKEN_CHARACTERS_MAX,
    "description": "A signed envelope (`wit/token.proto`) in base64url without padding. The client keeps it, and may send \
        it back if the store has lost it.",
}));
named!(PacketName, "Packet", _generator => json_schema!({
    "type": "string",
    "pattern": format!("^[0-9]{{1,20}}\\.[A-Za-z0-9_.:-]{{1,{NUMBER_BYTES_MAX}}}$"),
    "description": "`{sender}.{order_number}`.",
}));
named!(Payment, "Payment", _generator => json_schema!({
    "type": "string",
    "pattern": format!("^[A-Za-z0-9_.-]{{1,{PAYMENT_BYTES_MAX}}}$"),
    "description": "A payment's number at the payment provider.",
}));
named!(WalletCurrency, "WalletCurrency", generator => {
    let mut schema = generator.subschema_for::<Currency>();
    schema.insert("description".to_owned(), "That of all wallets.".into());
    schema
});
named!(Amounts, "Amounts", generator => {
    let amount = generator.subschema_for::<Amount>();
    let choice = generator.subschema_for::<Choice>();
    let one = |required: &[&str], properties: Value| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": required,
            "properties": properties,
        })
    };
    let choices = json!({"type": "array", "minItems": 1, "maxItems": CHOICES_MAX, "items": choice});
    json_schema!({
        "description": "What is in a packet: always the same, any amount between two, or one of a table. It follows from \
            the order number, so that asking again gives the same.",
        "oneOf": [
            one(&["fixed"], json!({"fixed": amount})),
            one(&["minimum", "maximum"], json!({"minimum": amount, "maximum": amount})),
            one(&["choices"], json!({"choices": choices})),
        ],
    })
});

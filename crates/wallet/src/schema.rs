//! How tokens, packets and payments look on the wire, in native builds alone: the contract is written from it.

use domain::money::Currency;
use domain::named;
use schemars::json_schema;

use crate::packet::pay::PAYMENT_BYTES_MAX;
use crate::packet::{NUMBER_BYTES_MAX, Payment};
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

//! The token of a red packet: what a user was given, signed, so that whoever opens it believes the
//! server and not the client.
//!
//! `wit/token.proto` publishes its shape. A token has one spelling: what is not encoded exactly as here
//! is refused, so that a token can be compared and counted by its bytes.
//!
//! A payload is 95 bytes where the same fields in JSON are 221. The same payload gives the same token, so a replay
//! is equal, and the ledger keeps only the payload. Signing uses tables: a third of the instructions for 40 kB of
//! code.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::money::Amount;
use domain::order_number::{OrderNumber, Part};
use domain::time::UnixMillis;
use domain::transaction::INTEGER_MAX;
use ed25519_dalek::Signature;
use prost::Message;
use store::numbers::{Family, Number};
use thiserror::Error;

use crate::keys::{NoKey, SigningKeys, VerifyingKeys, is_key_id};

/// The activity that tokens of packets name. No rain can have it.
pub const PACKET_ACTIVITY: &str = "red-packet";
/// The longest text that is looked at, in characters. The longest token that can be signed has fewer (a
/// test counts them); a text of this length fits into a header and costs next to nothing to refuse.
pub const TOKEN_CHARACTERS_MAX: usize = 1_024;
/// The longest envelope that is looked at, in bytes: what such a text holds.
pub const ENVELOPE_BYTES_MAX: usize = TOKEN_CHARACTERS_MAX / 4 * 3;
/// What is signed begins with this, a stage and a `|`, so that a signature holds for nothing else. A
/// stage has no `|`.
const SIGNED_PREFIX: &str = "hongbao-token-v1|";

/// What is signed, as protobuf. Not yet believed: [`Token`] is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Payload {
    /// The application, 0 to 2^53 - 1.
    #[prost(int64, tag = "1")]
    pub app_id: i64,
    /// The user who was given the packet.
    #[prost(uint64, tag = "2")]
    pub act_id: u64,
    /// The activity, a [`Part`].
    #[prost(string, tag = "3")]
    pub activity_id: String,
    /// The scene, a [`Part`].
    #[prost(string, tag = "4")]
    pub scene_id: String,
    /// Cents, 1 to 2^53 - 1.
    #[prost(int64, tag = "5")]
    pub amount: i64,
    /// The order number.
    #[prost(string, tag = "6")]
    pub out_trade_no: String,
    /// When the packet was drawn, in unix milliseconds, 0 to 2^53 - 1.
    #[prost(int64, tag = "7")]
    pub open_time: i64,
    /// The rain in which it was drawn, 0 or more.
    #[prost(int32, tag = "8")]
    pub rain_id: i32,
    /// The status when it was signed, 0 to 2^53 - 1. Never believed when a client sends it.
    #[prost(int64, tag = "9")]
    pub status: i64,
}

/// A payload with its signature, as protobuf. Not yet verified.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Envelope {
    /// The bytes of a [`Payload`], exactly as they were signed.
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
    /// The key that signed.
    #[prost(string, tag = "2")]
    pub key_id: String,
    /// Ed25519, 64 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
}

/// What a token says, within its ranges: of one that was verified, or of the store's own copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The application.
    pub app_id: i64,
    /// The user who was given the packet.
    pub user: UserId,
    /// The activity, a [`Part`].
    pub activity: String,
    /// The scene, a [`Part`].
    pub scene: String,
    /// What the packet holds, at least a cent.
    pub amount: Amount,
    /// The number under which it was given, and is paid out at most once.
    pub order_number: OrderNumber,
    /// When it was drawn.
    pub open_time: UnixMillis,
    /// The rain in which it was drawn.
    pub rain_id: i32,
    /// The status when it was signed. A client may send an old token: whether the packet was paid out
    /// is what the store says.
    pub status_when_signed: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a token of this shape; what is wrong with it, for the log.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed with a key that is not listed.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// Signed with a key that has ended.
    #[error("the token was signed with a key that has ended")]
    KeyExpired,
    /// Changed after it was signed, signed with another key than it names, or of another stage.
    #[error("the signature does not belong to the token")]
    BadSignature,
    /// Of another user.
    #[error("the token is another user's")]
    Foreign,
}

impl Token {
    /// The number under which it was given, as marks know it: one of a rain has the time at which it was drawn.
    pub fn number(&self) -> Number<'_> {
        let (family, ordered_at) = match self.activity.as_str() {
            PACKET_ACTIVITY => (Family::Openings, None),
            _ => (Family::Tokens, Some(self.open_time)),
        };
        Number { family, user: self.user, number: self.order_number.as_str(), ordered_at }
    }
}

impl TokenError {
    /// The code of the problem, stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_token",
            Self::UnknownKey => "unknown_key",
            Self::KeyExpired => "key_expired",
            Self::BadSignature => "bad_signature",
            Self::Foreign => "foreign_token",
        }
    }
}

impl SigningKeys {
    /// Signs with the newest key. The same payload gives the same token.
    ///
    /// # Errors
    /// A field that [`Token::try_from`] refuses: such a token could not be opened.
    pub fn sign(&self, payload: &Payload, stage: &str) -> Result<Envelope, InvalidInput> {
        Token::try_from(payload.clone())?;
        let payload = payload.encode_to_vec();
        let signature = self.sign_bytes(&signed_bytes(stage, &payload));
        Ok(Envelope {
            payload,
            key_id: self.newest_id().to_owned(),
            signature: signature.to_bytes().to_vec(),
        })
    }
}

impl VerifyingKeys {
    /// Reads a token that a client sent, and believes it only if it was signed on this stage for this
    /// user, with a key that is listed and has not ended.
    ///
    /// # Errors
    /// In this order: [`TokenError::Malformed`] where the envelope is, [`TokenError::UnknownKey`],
    /// [`TokenError::KeyExpired`], [`TokenError::BadSignature`], [`TokenError::Malformed`] where what
    /// was signed is, [`TokenError::Foreign`].
    pub fn open(
        &self,
        text: &str,
        user: UserId,
        stage: &str,
        now: UnixMillis,
    ) -> Result<Token, TokenError> {
        let envelope = Envelope::from_text(text)?;
        let key = self.find(&envelope.key_id, now).map_err(|error| match error {
            NoKey::Unknown => TokenError::UnknownKey,
            NoKey::Expired => TokenError::KeyExpired,
        })?;
        let signature = Signature::from_slice(&envelope.signature)
            .map_err(|_| TokenError::Malformed("the signature has not 64 bytes"))?;
        // Strict, because else signatures exist that hold for more than one message.
        key.verify_strict(&signed_bytes(stage, &envelope.payload), &signature)
            .map_err(|_| TokenError::BadSignature)?;
        let token = envelope.unverified()?;
        if token.user == user { Ok(token) } else { Err(TokenError::Foreign) }
    }
}

impl Envelope {
    /// Reads base64url without padding. Verifies nothing.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for any other text, or one above [`TOKEN_CHARACTERS_MAX`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_CHARACTERS_MAX {
            return Err(TokenError::Malformed("longer than any token"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| TokenError::Malformed("not base64url without padding"))?;
        Self::from_stored(&bytes)
    }

    /// Reads the bytes that [`Envelope::to_stored`] wrote. Verifies nothing.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for anything that [`Envelope::to_stored`] would write differently, or
    /// above [`ENVELOPE_BYTES_MAX`].
    pub fn from_stored(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(TokenError::Malformed("longer than any token"));
        }
        let envelope = canonical::<Self>(bytes, "the envelope is not canonical protobuf")?;
        if !is_key_id(&envelope.key_id) {
            return Err(TokenError::Malformed("the key id is none"));
        }
        if envelope.signature.len() != Signature::BYTE_SIZE {
            return Err(TokenError::Malformed("the signature has not 64 bytes"));
        }
        Ok(envelope)
    }

    /// The token as a client carries it: base64url without padding.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.to_stored())
    }

    /// The token as the store keeps it.
    pub fn to_stored(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// What the payload says, which is to be believed only where the envelope was verified or comes
    /// from the store.
    fn unverified(&self) -> Result<Token, TokenError> {
        Token::from_payload(&self.payload)
    }
}

impl Token {
    /// Reads the store's own copy, as [`Envelope::to_stored`] wrote it, without verifying it: nobody
    /// else writes there, and its key may have ended.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn from_stored(bytes: &[u8]) -> Result<Self, TokenError> {
        Envelope::from_stored(bytes)?.unverified()
    }

    /// Reads the exact bytes of a payload that was signed once. Verifies nothing.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn from_payload(bytes: &[u8]) -> Result<Self, TokenError> {
        let payload = canonical::<Payload>(bytes, "the payload is not canonical protobuf")?;
        Self::try_from(payload).map_err(|_| TokenError::Malformed("a field is out of its range"))
    }
}

impl TryFrom<Payload> for Token {
    type Error = InvalidInput;

    /// Checks the ranges of all fields, and names the field that is outside.
    fn try_from(payload: Payload) -> Result<Self, InvalidInput> {
        Part::parse(&payload.activity_id, "activity_id")?;
        Part::parse(&payload.scene_id, "scene_id")?;
        Ok(Self {
            app_id: within(0, payload.app_id, "app_id")?,
            user: UserId(payload.act_id),
            amount: Amount::new(within(1, payload.amount, "amount")?)
                .map_err(|error| out_of_range("amount", error.to_string()))?,
            order_number: OrderNumber::parse(&payload.out_trade_no, "out_trade_no")?,
            open_time: UnixMillis(within(0, payload.open_time, "open_time")?),
            rain_id: within(0, payload.rain_id.into(), "rain_id").map(|_| payload.rain_id)?,
            status_when_signed: within(0, payload.status, "status")?,
            activity: payload.activity_id,
            scene: payload.scene_id,
        })
    }
}

impl From<&Token> for Payload {
    fn from(token: &Token) -> Self {
        Self {
            app_id: token.app_id,
            act_id: token.user.0,
            activity_id: token.activity.clone(),
            scene_id: token.scene.clone(),
            amount: token.amount.minor_units(),
            out_trade_no: token.order_number.as_str().to_owned(),
            open_time: token.open_time.0,
            rain_id: token.rain_id,
            status: token.status_when_signed,
        }
    }
}

fn within(least: i64, number: i64, field: &'static str) -> Result<i64, InvalidInput> {
    if (least..=INTEGER_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(out_of_range(field, format!("must be from {least} to {INTEGER_MAX}")))
    }
}

fn out_of_range(field: &'static str, detail: String) -> InvalidInput {
    InvalidInput::new("invalid_token_field", field, detail)
}

/// Reads a message that is encoded exactly as it would be here. Protobuf allows many spellings of one
/// message, and fields that nobody knows.
fn canonical<M: Message + Default>(bytes: &[u8], otherwise: &'static str) -> Result<M, TokenError> {
    M::decode(bytes)
        .ok()
        .filter(|message| message.encode_to_vec() == bytes)
        .ok_or(TokenError::Malformed(otherwise))
}

fn signed_bytes(stage: &str, payload: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX.as_bytes(), stage.as_bytes(), b"|", payload].concat()
}

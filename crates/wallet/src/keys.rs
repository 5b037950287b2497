//! Ed25519 keys of tokens, as two variables carry them: seeds, which sign and are secret, and public
//! keys, which verify.
//!
//! Keys are changed without a gap: first the new public key is listed everywhere, then the new seed
//! comes first among the seeds, then the old public key gets a moment at which it ends.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::UnixMillis;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use thiserror::Error;

/// More keys than a rotation needs, which are two; each is a point that is unpacked when the variable
/// is read.
pub const KEYS_MAX: usize = 8;
/// A key id travels in each token; 16 characters hold a date or a short name.
pub const KEY_ID_BYTES_MAX: usize = 16;
/// Key ids that begin so are for development: their seeds may be known to anybody.
pub const DEVELOPMENT_PREFIX: &str = "dev-";
/// A seed and a public key: 32 bytes (RFC 8032), which are 43 characters of base64url.
const KEY_CHARACTERS: usize = 43;

/// Why a variable holds no keys. Keys are named by their position, from 1, because what stands in the
/// place of an id could be a seed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// The text is empty.
    #[error("there is no key")]
    Empty,
    /// More than [`KEYS_MAX`].
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// The id is missing or is not `[a-z0-9-]{1,16}`.
    #[error("key {0} does not begin with an id of 1 to 16 of a-z, 0-9 and - and a colon")]
    Id(usize),
    /// A key for development, and this is production.
    #[error("key {0} is for development, and this is not a development stage")]
    Development(usize),
    /// The key is not 32 bytes as base64url without padding, or is none that Ed25519 can use.
    #[error("key {0} is no Ed25519 key of 43 characters of base64url")]
    Key(usize),
    /// What follows the `@` is no time as RFC 3339 writes it.
    #[error("key {0} ends at no time as RFC 3339 writes it, for example 2026-12-01T00:00:00Z")]
    Until(usize),
    /// An earlier key has the same id, or is the same: then the end of one would not end the other.
    #[error("key {0} has the id of an earlier key or is the same key")]
    Duplicate(usize),
}

/// The keys that tokens are signed with. Signing is deterministic (RFC 8032), so that one payload has
/// one token a key.
#[derive(Clone)]
pub struct SigningKeys {
    id: String,
    newest: SigningKey,
    /// All of them, the newest first. Older seeds are not kept, because they sign nothing.
    public: Vec<(String, VerifyingKey)>,
}

/// The keys that tokens are accepted from.
#[derive(Clone, Debug)]
pub struct VerifyingKeys(Vec<Listed>);

#[derive(Clone, Debug)]
struct Listed {
    id: String,
    key: VerifyingKey,
    until: Option<UnixMillis>,
}

/// Why no key verifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    Unknown,
    Expired,
}

impl SigningKeys {
    /// Reads `<id>:<seed>,...`, the newest first: the first signs. A seed is 32 random bytes as
    /// base64url without padding. Spaces around keys do not matter.
    ///
    /// # Errors
    /// A text of another shape; ids that begin with `dev-`, unless for `development`; two keys with one
    /// id or one seed. No error holds key material.
    pub fn parse(text: &str, development: bool) -> Result<Self, KeysError> {
        let mut public: Vec<(String, VerifyingKey)> = Vec::new();
        let mut newest = None;
        for entry in entries(text, development)? {
            let Entry { position, id, rest } = entry?;
            let key = SigningKey::from_bytes(&key_bytes(rest).ok_or(KeysError::Key(position))?);
            let verifying = key.verifying_key();
            if public.iter().any(|(known, other)| known == id || *other == verifying) {
                return Err(KeysError::Duplicate(position));
            }
            public.push((id.to_owned(), verifying));
            newest.get_or_insert((id, key));
        }
        let (id, newest) = newest.ok_or(KeysError::Empty)?;
        Ok(Self { id: id.to_owned(), newest, public })
    }

    /// The public keys as [`VerifyingKeys::parse`] reads them, the newest first, without ends.
    pub fn verifying_text(&self) -> String {
        let text = |(id, key): &(String, VerifyingKey)| {
            format!("{id}:{}", URL_SAFE_NO_PAD.encode(key.as_bytes()))
        };
        self.public.iter().map(text).collect::<Vec<_>>().join(",")
    }

    /// The id of the key that signs.
    pub fn newest_id(&self) -> &str {
        &self.id
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Signature {
        self.newest.sign(message)
    }
}

/// Shows ids, never seeds.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.public.iter().map(|(id, _)| id.as_str()).collect();
        formatter.debug_struct("SigningKeys").field("ids", &ids).finish_non_exhaustive()
    }
}

impl VerifyingKeys {
    /// Reads `<id>:<public key>[@<time>],...`: a key with a time is accepted before that moment only. A
    /// public key is 32 bytes as base64url without padding. Spaces around keys do not matter.
    ///
    /// # Errors
    /// A text of another shape; a public key that is no point or under which one signature would hold
    /// for many messages (of small order); ids that begin with `dev-`, unless for `development`; two
    /// keys with one id or one public key.
    pub fn parse(text: &str, development: bool) -> Result<Self, KeysError> {
        let mut keys: Vec<Listed> = Vec::new();
        for entry in entries(text, development)? {
            let Entry { position, id, rest } = entry?;
            let (public, until) = match rest.split_once('@') {
                None => (rest, None),
                Some((public, until)) => {
                    let until = UnixMillis::parse_rfc3339(until);
                    (public, Some(until.ok_or(KeysError::Until(position))?))
                }
            };
            let key = key_bytes(public)
                .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
                .filter(|key| !key.is_weak())
                .ok_or(KeysError::Key(position))?;
            if keys.iter().any(|known| known.id == id || known.key == key) {
                return Err(KeysError::Duplicate(position));
            }
            keys.push(Listed { id: id.to_owned(), key, until });
        }
        Ok(Self(keys))
    }

    pub(crate) fn find(&self, id: &str, now: UnixMillis) -> Result<&VerifyingKey, NoKey> {
        let listed = self.0.iter().find(|listed| listed.id == id).ok_or(NoKey::Unknown)?;
        match listed.until {
            Some(until) if now >= until => Err(NoKey::Expired),
            _ => Ok(&listed.key),
        }
    }
}

/// Whether a text is a key id: `[a-z0-9-]{1,16}`.
pub(crate) fn is_key_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=KEY_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

struct Entry<'a> {
    position: usize,
    id: &'a str,
    rest: &'a str,
}

fn entries(
    text: &str,
    development: bool,
) -> Result<impl Iterator<Item = Result<Entry<'_>, KeysError>>, KeysError> {
    if text.trim().is_empty() {
        return Err(KeysError::Empty);
    }
    if text.split(',').count() > KEYS_MAX {
        return Err(KeysError::TooMany);
    }
    Ok(text.split(',').zip(1..).map(move |(key, position)| {
        let (id, rest) = key.trim().split_once(':').ok_or(KeysError::Id(position))?;
        if !is_key_id(id) {
            Err(KeysError::Id(position))
        } else if id.starts_with(DEVELOPMENT_PREFIX) && !development {
            Err(KeysError::Development(position))
        } else {
            Ok(Entry { position, id, rest })
        }
    }))
}

fn key_bytes(text: &str) -> Option<[u8; 32]> {
    // Before anything is decoded: a variable may hold anything.
    if text.len() != KEY_CHARACTERS {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(byte: u8) -> String {
        URL_SAFE_NO_PAD.encode([byte; 32])
    }

    fn public(seed: u8) -> String {
        URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes())
    }

    #[test]
    fn texts_of_keys_are_read_or_refused() {
        let (one, two) = (encoded(1), encoded(2));
        let nine: Vec<String> = (1..=9).map(|seed| format!("k{seed}:{}", encoded(seed))).collect();
        let table = [
            (format!("k1:{one}"), None),
            (format!(" k2:{two} , k1:{one}\n"), None),
            (nine[..8].join(","), None),
            (nine.join(","), Some(KeysError::TooMany)),
            (String::new(), Some(KeysError::Empty)),
            (" \n".to_owned(), Some(KeysError::Empty)),
            (one.clone(), Some(KeysError::Id(1))),
            (format!("{one}:k1"), Some(KeysError::Id(1))),
            (format!(":{one}"), Some(KeysError::Id(1))),
            (format!("K1:{one}"), Some(KeysError::Id(1))),
            (format!("{}:{one}", "k".repeat(17)), Some(KeysError::Id(1))),
            (format!("k1:{one},"), Some(KeysError::Id(2))),
            (format!("k1:{}", &one[1..]), Some(KeysError::Key(1))),
            (format!("k1:{one}="), Some(KeysError::Key(1))),
            (format!("k1:{}+", &one[1..]), Some(KeysError::Key(1))),
            // Bits behind the last byte.
            (format!("k1:{}B", &one[..42]), Some(KeysError::Key(1))),
            (format!("k1:{one},k1:{two}"), Some(KeysError::Duplicate(2))),
            (format!("k1:{one},k2:{one}"), Some(KeysError::Duplicate(2))),
            (format!("k1:{one},dev-1:{two}"), Some(KeysError::Development(2))),
        ];
        for (text, expected) in table {
            let found = SigningKeys::parse(&text, false);
            assert_eq!(found.as_ref().err(), expected.as_ref(), "{text}");
            if let Err(error) = found {
                let said = format!("{error} {error:?}");
                assert!(!said.contains(&one[..8]) && !said.contains(&two[..8]), "{said}");
            }
        }
    }

    #[test]
    fn keys_for_development_are_for_development() {
        let signing = format!("dev-1:{}", encoded(1));
        let verifying = format!("dev-1:{}", public(1));
        assert!(SigningKeys::parse(&signing, true).is_ok());
        assert!(VerifyingKeys::parse(&verifying, true).is_ok());
        let refused = Some(KeysError::Development(1));
        assert_eq!(SigningKeys::parse(&signing, false).err(), refused);
        assert_eq!(VerifyingKeys::parse(&verifying, false).err(), refused);
    }

    #[test]
    fn public_keys_are_read_or_refused() {
        let (one, two) = (public(1), public(2));
        // The neutral element: under it the same signature holds for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        // A coordinate that no point has.
        let mut no_point = [0; 32];
        no_point[0] = 2;
        let table = [
            (format!("k2:{two},k1:{one}@2026-12-01T00:00:00Z"), None),
            (format!("k1:{one}@2026-12-01T08:00:00+08:00"), None),
            (format!("k1:{one}@"), Some(KeysError::Until(1))),
            (format!("k1:{one}@2026-12-01"), Some(KeysError::Until(1))),
            (format!("k1:{one},k2:{one}"), Some(KeysError::Duplicate(2))),
            (format!("k1:{one},k1:{two}"), Some(KeysError::Duplicate(2))),
            (format!("k1:{}", URL_SAFE_NO_PAD.encode(neutral)), Some(KeysError::Key(1))),
            (format!("k1:{}", URL_SAFE_NO_PAD.encode(no_point)), Some(KeysError::Key(1))),
            (String::new(), Some(KeysError::Empty)),
        ];
        for (text, expected) in table {
            assert_eq!(VerifyingKeys::parse(&text, false).err(), expected, "{text}");
        }
    }

    #[test]
    fn a_key_ends_at_its_moment() {
        let text = format!("k2:{},k1:{}@2026-12-01T00:00:00Z", public(2), public(1));
        let keys = VerifyingKeys::parse(&text, false).unwrap();
        let end = UnixMillis::parse_rfc3339("2026-12-01T00:00:00Z").unwrap().0;
        let table = [
            ("k1", end - 1, None),
            ("k1", end, Some(NoKey::Expired)),
            ("k2", end, None),
            ("k3", end, Some(NoKey::Unknown)),
        ];
        for (id, now, expected) in table {
            assert_eq!(keys.find(id, UnixMillis(now)).err(), expected, "{id} at {now}");
        }
    }

    #[test]
    fn seeds_are_not_shown_and_public_keys_are_told() {
        let keys = format!("k2:{},k1:{}", encoded(2), encoded(1));
        let keys = SigningKeys::parse(&keys, false).unwrap();
        assert_eq!(format!("{keys:?}"), r#"SigningKeys { ids: ["k2", "k1"], .. }"#);
        assert_eq!(keys.newest_id(), "k2");
        assert_eq!(keys.verifying_text(), format!("k2:{},k1:{}", public(2), public(1)));
        assert!(VerifyingKeys::parse(&keys.verifying_text(), false).is_ok());
    }
}

//! How records are written: a byte that names the version, and behind it what serde makes of them. What cannot be
//! read is told from what a newer version of this app wrote, which is nobody's fault and passes.

use domain::transaction::{CommitError, Value};
use serde::{Deserialize, Serialize};

/// A kind of record.
pub trait Record: Serialize {
    /// What one is, in words for operators: "an order".
    const NAME: &'static str;
    /// The first byte of what is written. A change that older readers do not survive raises it.
    const VERSION: u8 = 1;
    /// How it is written.
    const FORM: Form = Form::Compact;
}

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By postcard: what machines write and read.
    Compact,
    /// As JSON: what people wrote, with the members that they left out.
    Json,
}

/// As the store keeps it.
pub fn encode<T: Record>(record: &T) -> Value {
    let mut bytes = vec![T::VERSION];
    // No record has anything that these could refuse: numbers, texts, lists, and maps with text keys.
    match T::FORM {
        Form::Compact => bytes = postcard::to_extend(record, bytes).unwrap_or_default(),
        Form::Json => serde_json::to_writer(&mut bytes, record).unwrap_or_default(),
    }
    Value::Bytes(bytes)
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// `Newer` where the version is a later one, else `Unreadable`; both name the kind.
pub fn decode<'a, T: Record + Deserialize<'a>>(value: &'a Value) -> Result<T, CommitError> {
    let record = match value {
        Value::Bytes(bytes) => match bytes.split_first() {
            Some((version, _)) if *version > T::VERSION && *version <= VERSION_MAX => {
                return Err(CommitError::Newer(format!("{} of version {version}", T::NAME)));
            }
            Some((version, rest)) if *version == T::VERSION => match T::FORM {
                Form::Compact => postcard::from_bytes(rest).ok(),
                // As a text: a reader of bytes would be each type's second in a component.
                Form::Json => {
                    std::str::from_utf8(rest).ok().and_then(|text| serde_json::from_str(text).ok())
                }
            },
            _ => None,
        },
        Value::Integer(_) => None,
    };
    record.ok_or_else(|| unreadable(T::NAME))
}

/// The highest version that a record may ever have: what begins with a higher byte was never written by this app.
pub const VERSION_MAX: u8 = 31;

/// A record that cannot be read, by what it should be.
pub fn unreadable(name: &str) -> CommitError {
    CommitError::Unreadable(format!("{name} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Compact(u8, String);

    impl Record for Compact {
        const NAME: &'static str = "a pair";
        const VERSION: u8 = 2;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Text {
        name: String,
    }

    impl Record for Text {
        const NAME: &'static str = "a text";
        const FORM: Form = Form::Json;
    }

    #[test]
    fn a_record_is_itself_again_behind_its_version() {
        let value = encode(&Compact(7, "x".into()));
        assert_eq!(value, Value::Bytes(vec![2, 7, 1, b'x']));
        assert_eq!(decode::<Compact>(&value), Ok(Compact(7, "x".into())));
        let value = encode(&Text { name: "n".into() });
        assert_eq!(value, Value::Bytes(b"\x01{\"name\":\"n\"}".to_vec()));
        assert_eq!(decode::<Text>(&value), Ok(Text { name: "n".into() }));
    }

    #[test]
    fn what_is_newer_is_told_from_what_is_broken() {
        let table: [(Vec<u8>, bool); 7] = [
            (vec![], false),
            (vec![1, 7, 1, b'x'], false),
            (vec![2], false),
            (vec![2, 7, 200, b'x'], false),
            (vec![3, 7], true),
            (vec![VERSION_MAX, 0], true),
            (vec![VERSION_MAX + 1, 0], false),
        ];
        for (bytes, is_newer) in table {
            let error = decode::<Compact>(&Value::Bytes(bytes.clone())).unwrap_err();
            assert_eq!(matches!(error, CommitError::Newer(_)), is_newer, "{bytes:?}: {error}");
            assert!(error.to_string().contains("a pair") && error.is_of_records(), "{error}");
        }
        assert_eq!(decode::<Compact>(&Value::Integer(2)), Err(unreadable("a pair")));
        assert_eq!(
            decode::<Text>(&Value::Bytes(b"{\"name\":\"n\"}".to_vec())),
            Err(unreadable("a text"))
        );
    }
}

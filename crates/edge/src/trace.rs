//! The trace id: from `traceparent` (W3C Trace Context), or a new one where a failure needs a name.

use std::fmt::Write;

use crate::http::Headers;

/// The header.
pub const TRACEPARENT: &str = "traceparent";

/// The trace to which a request belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The header as it came in, passed on in the response.
    pub parent: Option<String>,
}

impl Trace {
    /// The trace of a request; a malformed header counts as none (Trace Context, section 3.2.2.3).
    pub fn of(headers: &Headers) -> Self {
        Self { parent: headers.text(TRACEPARENT).filter(|text| is_traceparent(text)) }
    }

    /// The id, 32 hexadecimal digits.
    pub fn id(&self, random: fn() -> u64) -> String {
        match &self.parent {
            Some(parent) => parent.get(3..35).unwrap_or_default().to_owned(),
            None => {
                let mut id = String::with_capacity(32);
                // Writing into a string cannot fail.
                let _ = write!(id, "{:016x}{:016x}", random(), random() | 1);
                id
            }
        }
    }
}

/// Version 00: `00-{32 hex}-{16 hex}-{2 hex}`, and later versions that begin in the same way.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts.next().filter(|part| {
            part.len() == digits
                && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    };
    let (Some(version), Some(id), Some(span), Some(_)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    version != "ff" && !zero(id) && !zero(span) && (version != "00" || parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_parent_is_passed_on() {
        let table = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("", false),
        ];
        for (text, expected) in table {
            let header = (TRACEPARENT.to_owned(), text.as_bytes().to_vec());
            let headers = [header].into_iter().collect();
            let trace = Trace::of(&headers);
            assert_eq!(trace.parent.is_some(), expected, "{text}");
            assert_eq!(trace.id(|| 7).len(), 32, "{text}");
        }
    }
}

//! Time: RFC 3339 in UTC on the wire, unix milliseconds in the store.

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::integer::TextVisitor;

/// A moment in milliseconds since 1970-01-01T00:00:00Z. It comes from the edge; nothing below reads
/// a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

/// How long after its end nobody acts any more as if something were not over: clocks of two instances may be 20
/// minutes apart, and one that is behind gives as long as the end has not come for it.
pub const GRACE_MS: i64 = 25 * 60_000;

/// The last moment that RFC 3339 can write, 9999-12-31T23:59:59.999Z.
const LAST_MS: i64 = 253_402_300_799_999;

impl UnixMillis {
    /// Reads an RFC 3339 time; an offset is converted to UTC, what is below a millisecond is cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Self)
    }

    /// Writes the moment as RFC 3339 in UTC. A moment outside of the years 0 to 9999 is written as
    /// the nearest one inside.
    pub fn to_rfc3339(self) -> String {
        let clamped = self.0.clamp(-62_167_219_200_000, LAST_MS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(clamped) * 1_000_000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .unwrap_or_default()
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_rfc3339())
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let detail = "must be a time as RFC 3339 writes it, for example 2026-02-17T00:00:00Z";
        deserializer.deserialize_str(TextVisitor { parse: Self::parse_rfc3339, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offsets_and_writes_utc() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-02-17T00:00:00.250+08:00", Some(1_771_257_600_250)),
            ("2026-02-17T00:00:00", None),
            ("2026-02-30T00:00:00Z", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(UnixMillis::parse_rfc3339(text).map(|time| time.0), expected, "{text}");
        }
        assert_eq!(UnixMillis(1_771_257_600_250).to_rfc3339(), "2026-02-16T16:00:00.25Z");
        assert_eq!(UnixMillis(i64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999Z");
    }
}

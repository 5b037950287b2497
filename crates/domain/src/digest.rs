//! Digests of what callers choose: order numbers, bodies, names of packets.
//!
//! A keyed hash (SipHash-2-4, Aumasson and Bernstein 2012) spreads texts that are made to look alike, and nobody finds two
//! texts with one digest by accident. The key stands in the code. So whoever wants to can compute two such texts, and harms only
//! their own requests: a digest tells a user's requests apart, or spreads records, and lets nobody in.

use siphasher::sip::SipHasher24;

const KEY: [u8; 16] = *b"hongbao digests\x01";

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> u64 {
    SipHasher24::new_with_key(&KEY).hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_same_for_ever() {
        // Records hold digests, and packets lie where theirs says.
        assert_eq!(digest(b""), 10_410_497_978_225_760_943);
        assert_ne!(digest(b"a"), digest(b"b"));
    }
}

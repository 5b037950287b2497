//! The contract over HTTP, packed by `build.rs`: a byte from 128 on stands for a pair of bytes, each of
//! which may do so, too.

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.packed"));
static PAIRS: &[u8; 256] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.pairs"));

/// The document, in JSON.
pub fn document() -> Vec<u8> {
    // It is two and a half times as long as what is packed.
    let mut text = Vec::with_capacity(3 * PACKED.len());
    PACKED.iter().for_each(|byte| unpack(*byte, &mut text));
    text
}

fn unpack(byte: u8, text: &mut Vec<u8>) {
    match byte.checked_sub(128) {
        None => text.push(byte),
        Some(pair) => {
            let first = 2 * usize::from(pair);
            PAIRS[first..first + 2].iter().for_each(|byte| unpack(*byte, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_was_packed_is_served() {
        let served: Value = serde_json::from_slice(&document()).unwrap();
        let written: Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        assert_eq!(served, written);
    }
}

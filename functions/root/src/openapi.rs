//! The contract over HTTP, packed by `build.rs`.

use miniz_oxide::inflate::decompress_to_vec;

/// Only the component carries the document: native builds write it, and must not need it for that.
#[cfg(target_arch = "wasm32")]
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.deflate"));
#[cfg(not(target_arch = "wasm32"))]
static PACKED: &[u8] = &[3, 0];

/// The document, in JSON.
pub fn document() -> Vec<u8> {
    // What was packed at build time unpacks; a test of the component looks at what is served.
    decompress_to_vec(PACKED).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_builds_have_no_document() {
        assert!(decompress_to_vec(PACKED).is_ok_and(|text| text.is_empty()));
        assert!(document().is_empty());
    }
}

//! The crate as its users see it: splits of packets, tokens, and the published layout of tokens.

mod protoc;
mod split;
mod token;

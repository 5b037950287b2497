//! Tokens: what a user was given, signed.

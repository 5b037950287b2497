//! Errors that a caller can act on: a stable code, the field at fault and a sentence.

use thiserror::Error;

/// Input that was refused before anything was read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {detail}")]
pub struct InvalidInput {
    /// Stable, in snake_case, documented in the OpenAPI document.
    pub code: &'static str,
    /// The path of the field at fault as the caller wrote it, for example `users[3]`.
    pub field: String,
    /// Lower case, no full stop, for a person to read.
    pub detail: String,
}

impl InvalidInput {
    /// An error about `field`.
    pub fn new(code: &'static str, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, field: field.into(), detail: detail.into() }
    }

    /// The same error, seen from the list that holds the field: `users` and 3 give `users[3]`.
    #[must_use]
    pub fn at(mut self, list: &str, index: usize) -> Self {
        self.field = format!("{list}[{index}]");
        self
    }
}

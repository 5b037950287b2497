//! Answers of a handler.

use serde::Serialize;

use crate::problem::Problem;

/// An answer that is no error.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, but for `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 with a JSON body.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Problem> {
        Self::json_with(200, value)
    }

    /// A JSON body with a status.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json_with(status: u16, value: &impl Serialize) -> Result<Self, Problem> {
        let body =
            serde_json::to_vec(value).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Self { status, headers: vec![("content-type", "application/json".to_owned())], body })
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    /// The same answer, marked as one that was recorded earlier (the field's usual header; the
    /// draft-ietf-httpapi-idempotency-key-header names none).
    #[must_use]
    pub fn replayed(mut self, replayed: bool) -> Self {
        if replayed {
            self.headers.push(("idempotent-replayed", "true".to_owned()));
        }
        self
    }
}

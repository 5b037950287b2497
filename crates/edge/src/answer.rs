//! Answers of a handler.

use serde::Serialize;

use crate::problem::Problem;

/// An answer that is no error.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type; nothing where there is no body.
    pub content_type: Option<&'static str>,
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
        Ok(Self { status, content_type: Some("application/json"), body })
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: 204, content_type: None, body: Vec::new() }
    }
}

//! What a handler is given: a request, read within limits.

use std::rc::Rc;

use serde::Deserialize;

use crate::config::Config;
use crate::http::Headers;
use crate::json;
use crate::problem::Problem;

/// A request after routing and authentication.
#[derive(Debug)]
pub struct Call {
    /// The route's parameters, in order.
    pub parameters: Vec<String>,
    /// The query string.
    pub query: Option<String>,
    /// The headers.
    pub headers: Headers,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// The configuration.
    pub config: Rc<Config>,
}

impl Call {
    /// The body as JSON of a known shape.
    ///
    /// # Errors
    /// 415 `unsupported_media_type` where the content type is not `application/json`; 400
    /// `invalid_json`, `unknown_field`, `missing_field`, `duplicate_field` or `invalid_value`, with
    /// the path of the field.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        let media_type = self.media_type();
        if media_type.as_deref() != Some("application/json") {
            return Err(unsupported_media_type("application/json"));
        }
        json::parse_object(&self.body)
    }

    /// The content type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.text("content-type")?;
        let essence = value.split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }

    /// The values of the query's parameters, in the order of `names`.
    ///
    /// # Errors
    /// 400 `unknown_field` for a parameter that is not named, `duplicate_field` for one that comes
    /// twice.
    pub fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let query = self.query.as_deref().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            // No value in use has a character that would have to be escaped.
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(index) = names.iter().position(|known| *known == name) else {
                let detail = "there is no such query parameter";
                return Err(Problem::malformed("unknown_field", detail).about(name));
            };
            if values[index].replace(value.to_owned()).is_some() {
                let detail = "the query parameter is given twice";
                return Err(Problem::malformed("duplicate_field", detail).about(name));
            }
        }
        Ok(values)
    }
}

/// 415, naming what would be accepted.
pub fn unsupported_media_type(accepted: &str) -> Problem {
    Problem::new(415, "unsupported_media_type", format!("the content type must be {accepted}"))
        .about("content-type")
}

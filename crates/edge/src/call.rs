//! What a handler is given: a request, read within limits.

use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::http::Headers;
use crate::problem::Problem;
use crate::stages::Stages;

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
    /// The request's stages so far.
    pub stages: Stages,
}

impl Call {
    /// The body as JSON of a known shape.
    ///
    /// # Errors
    /// 415 `unsupported_media_type` where the content type is not `application/json`; 400
    /// `invalid_json`, `unknown_field`, `missing_field`, `duplicate_field` or `invalid_value`, with
    /// the path of the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media_type = self.media_type();
        if media_type.as_deref() != Some("application/json") {
            return Err(unsupported_media_type("application/json"));
        }
        parse_object(&self.body)
    }

    /// The content type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.text("content-type")?;
        let essence = value.split(';').next().unwrap_or(value);
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
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(index) = names.iter().position(|known| *known == name) else {
                let detail = "there is no such query parameter";
                return Err(Problem::malformed("unknown_field", detail).about(name));
            };
            if values[index].replace(value.into_owned()).is_some() {
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

/// Reads a JSON object of a known shape; see [`Call::json`]. (serde would take an array for a struct,
/// with its fields by position: a second spelling that nobody has documented.)
///
/// # Errors
/// As [`Call::json`], but for the content type.
pub fn parse_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::malformed("invalid_value", "must be a JSON object"));
    }
    parse_json(body)
}

/// Reads JSON of a known shape.
///
/// # Errors
/// As [`Call::json`], but for the content type.
pub fn parse_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_problem(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_problem(".", &error))?;
    Ok(value)
}

/// serde names the kind of an error only in its text. The texts are part of its public behaviour
/// (`serde::de::Error::unknown_field` and its siblings), and a test holds them.
fn json_problem(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        let detail = format!("the body is not JSON: error at line {line}, column {column}");
        return Problem::malformed("invalid_json", detail);
    }
    let text = error.to_string();
    // What follows is serde_json's place in the text, which the path says better.
    let text = text.split(" at line ").next().unwrap_or(&text);
    let kinds = [
        ("unknown field `", "unknown_field"),
        ("missing field `", "missing_field"),
        ("duplicate field `", "duplicate_field"),
    ];
    for (prefix, code) in kinds {
        if let Some(name) = text.strip_prefix(prefix).and_then(|rest| rest.split('`').next()) {
            return Problem::malformed(code, text).about(join(path, name));
        }
    }
    let problem = Problem::malformed("invalid_value", text);
    if path == "." { problem } else { problem.about(path) }
}

/// The path of a field in the object at `path`, which may name the field already.
fn join(path: &str, name: &str) -> String {
    if path == "." {
        name.to_owned()
    } else if path == name || path.ends_with(&format!(".{name}")) {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[allow(dead_code, reason = "only its shape is read")]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[allow(dead_code, reason = "only its shape is read")]
        count: u8,
    }

    #[test]
    fn json_errors_have_a_code_and_the_path_of_the_field() {
        let table = [
            (r#"{"items": [{"count": 1}]}"#, None),
            ("{", Some(("invalid_json", None))),
            ("", Some(("invalid_json", None))),
            (r#"{"items": []} x"#, Some(("invalid_json", None))),
            ("[]", Some(("invalid_value", None))),
            (" [[]]", Some(("invalid_value", None))),
            ("7", Some(("invalid_value", None))),
            ("{}", Some(("missing_field", Some("items")))),
            (r#"{"items": [], "x": 1}"#, Some(("unknown_field", Some("x")))),
            (r#"{"items": [], "items": []}"#, Some(("duplicate_field", Some("items")))),
            (
                r#"{"items": [{"count": 1}, {"count": 300}]}"#,
                Some(("invalid_value", Some("items[1].count"))),
            ),
            (r#"{"items": [{"count": 1, "y": 2}]}"#, Some(("unknown_field", Some("items[0].y")))),
            (r#"{"items": [{}]}"#, Some(("missing_field", Some("items[0].count")))),
        ];
        for (json, expected) in table {
            let problem = parse_object::<Shape>(json.as_bytes()).err();
            let found = problem.as_ref().map(|problem| (problem.code, problem.field.as_deref()));
            assert_eq!(found, expected, "{json}: {problem:?}");
        }
    }
}

//! The envelope: CloudEvents 1.0.2, JSON format, structured, batched and binary over HTTP.
//!
//! Extension attributes are allowed, as the specification demands, and ignored.

use std::borrow::Cow;

use domain::error::InvalidInput;
use edge::http::Headers;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One event, as JSON carries it.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    r#type: Option<String>,
    datacontenttype: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<serde::de::IgnoredAny>,
}

/// An event whose envelope is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent<'a> {
    /// What kind of thing happened.
    pub r#type: Cow<'a, str>,
    /// The payload, JSON.
    pub data: &'a [u8],
}

impl Envelope<'_> {
    /// Checks the envelope. `path` goes before the names of fields, for example `[3].`.
    ///
    /// # Errors
    /// `missing_field`, `invalid_value` and `unsupported_specversion`, with the field.
    pub fn open(&self, path: &str) -> Result<CloudEvent<'_>, InvalidInput> {
        let field = |name: &str| format!("{path}{name}");
        check_attributes(
            self.specversion.as_deref(),
            self.id.as_deref(),
            self.source.as_deref(),
            &field,
        )?;
        let r#type = required(self.r#type.as_deref(), || field("type"))?;
        if self.data_base64.is_some() {
            let detail = "must be absent: the data of these events is JSON";
            return Err(InvalidInput::new("invalid_value", field("data_base64"), detail));
        }
        if !self.datacontenttype.as_deref().is_none_or(is_json) {
            let detail = "must be application/json";
            return Err(InvalidInput::new("invalid_value", field("datacontenttype"), detail));
        }
        let Some(data) = self.data else { return Err(missing(field("data"))) };
        Ok(CloudEvent { r#type: r#type.into(), data: data.get().as_bytes() })
    }
}

/// Whether the request carries an event in binary mode: attributes in headers, data in the body.
pub fn is_binary(headers: &Headers) -> bool {
    headers.get("ce-specversion").is_some()
}

/// The event of a request in binary mode.
///
/// # Errors
/// As [`Envelope::open`]; fields are named as headers.
pub fn binary<'a>(headers: &Headers, body: &'a [u8]) -> Result<CloudEvent<'a>, InvalidInput> {
    let field = |name: &str| format!("ce-{name}");
    let [specversion, id, source, r#type] =
        ["specversion", "id", "source", "type"].map(|name| headers.text(&field(name)));
    check_attributes(specversion.as_deref(), id.as_deref(), source.as_deref(), &field)?;
    let r#type = required(r#type.as_deref(), || field("type"))?;
    Ok(CloudEvent { r#type: r#type.to_owned().into(), data: body })
}

fn check_attributes(
    specversion: Option<&str>,
    id: Option<&str>,
    source: Option<&str>,
    field: &impl Fn(&str) -> String,
) -> Result<(), InvalidInput> {
    if required(specversion, || field("specversion"))? != "1.0" {
        let detail = "must be 1.0";
        return Err(InvalidInput::new("unsupported_specversion", field("specversion"), detail));
    }
    required(id, || field("id"))?;
    required(source, || field("source"))?;
    Ok(())
}

/// A required attribute is a non-empty string (section 3.1 of the specification).
fn required(value: Option<&str>, field: impl Fn() -> String) -> Result<&str, InvalidInput> {
    match value {
        None => Err(missing(field())),
        Some("") => Err(InvalidInput::new("invalid_value", field(), "must not be empty")),
        Some(value) => Ok(value),
    }
}

fn missing(field: String) -> InvalidInput {
    InvalidInput::new("missing_field", field, "is required")
}

/// `application/json` or a `+json` suffix, with any parameters.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

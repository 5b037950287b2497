//! Errors as RFC 9457 problem details: the one mapping from what went wrong to a status.

use domain::error::InvalidInput;
use domain::transaction::CommitError;
use serde::Serialize;
use store::Failure;

use crate::config::ConfigError;

/// Seconds after which a client may try a store again that did not answer: long enough that a
/// failing store is not run over, short enough that nobody notices one lost packet.
pub const RETRY_AFTER_SECONDS: u16 = 1;

/// An error for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable, in snake_case, listed in the OpenAPI document.
    pub code: &'static str,
    /// What happened, for a person; no internals.
    pub detail: String,
    /// The path of the field at fault.
    pub field: Option<String>,
    /// `Allow`, where the method was wrong.
    pub allow: Option<String>,
    /// `Retry-After` in seconds, where asking again may help.
    pub retry_after: Option<u16>,
    /// What only the log may know.
    pub cause: Option<String>,
}

impl Problem {
    /// A problem without a field.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = (status == 503).then_some(RETRY_AFTER_SECONDS);
        let detail = detail.into();
        Self { status, code, detail, field: None, allow: None, retry_after, cause: None }
    }

    /// The same problem, about a field.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same problem, which is over after so many seconds; beyond 18 hours it is worth asking again.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(u16::try_from(seconds).unwrap_or(u16::MAX));
        self
    }

    /// The same problem, with a cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A malformed request, 400.
    pub fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(400, code, detail)
    }

    /// A fault of this service, 500.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(500, "internal", "the request could not be answered").because(cause)
    }

    /// The fault of whoever configured the component, 500.
    pub fn misconfigured(cause: impl Into<String>) -> Self {
        Self::new(500, "misconfigured", "the service is not configured correctly").because(cause)
    }

    /// The body, `application/problem+json`.
    pub fn body(&self, trace_id: Option<&str>) -> Vec<u8> {
        let body = Body {
            r#type: format!("urn:hongbao:problem:{}", self.code),
            title: title(self.status),
            status: self.status,
            code: self.code,
            detail: &self.detail,
            field: self.field.as_deref(),
            trace_id,
        };
        // Strings and a number: there is nothing that could fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// Problem details (RFC 9457), with the extension members `code`, `field` and `trace_id`.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub(crate) struct Body<'a> {
    /// `urn:hongbao:problem:` and the code.
    r#type: String,
    /// The status in words.
    title: &'a str,
    /// The status.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 400, max = 599)))]
    status: u16,
    /// What is wrong, in a stable word.
    code: &'a str,
    /// What is wrong, for a person.
    detail: &'a str,
    /// The path of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// With a 5xx: find the cause in the log by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

/// RFC 9110, section 15.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl From<InvalidInput> for Problem {
    fn from(error: InvalidInput) -> Self {
        let InvalidInput { code, field, detail } = error;
        Self::malformed(code, detail).about(field)
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let cause = error.to_string();
        match error {
            ConfigError::Wrong { .. } => Self::misconfigured(cause),
            ConfigError::Unreadable { .. } => {
                let detail = "the configuration cannot be read; nothing happened";
                Self::new(503, "configuration_unavailable", detail).because(cause)
            }
        }
    }
}

/// A store's failure is never "not found" and never an empty answer.
impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let unavailable =
            |code, detail: &str| Self::new(503, code, detail).because(error.to_string());
        match error {
            CommitError::Unavailable(_) => {
                unavailable("store_unavailable", "the store is unavailable; nothing happened")
            }
            CommitError::Unknown(_) => unavailable(
                "store_timeout",
                "the store did not answer in time; asking again is safe",
            ),
            _ if error.is_unreadable() => unavailable(
                "record_unreadable",
                "a record that this request needs cannot be read, until operators see to it",
            ),
            CommitError::Unusable(_) => Self::misconfigured(error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

impl<R: Into<Problem>> From<Failure<R>> for Problem {
    fn from(failure: Failure<R>) -> Self {
        match failure {
            Failure::Invalid(error) => error.into(),
            Failure::Refused(refusal) => refusal.into(),
            Failure::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::transaction::Invalid;

    use super::*;

    #[test]
    fn the_cause_stays_out_of_the_body() {
        let problem = Problem::from(CommitError::Unavailable("redis://secret@host".into()));
        let body = String::from_utf8(problem.body(Some("4bf9"))).unwrap();
        assert!(!body.contains("secret"), "{body}");
        assert_eq!(
            body,
            r#"{"type":"urn:hongbao:problem:store_unavailable","title":"Service Unavailable","status":503,"code":"store_unavailable","detail":"the store is unavailable; nothing happened","trace_id":"4bf9"}"#
        );
        assert_eq!(problem.retry_after, Some(RETRY_AFTER_SECONDS));
    }

    #[test]
    fn every_failure_of_the_store_has_a_status_and_a_code() {
        let table = [
            (CommitError::Unavailable(String::new()), 503, "store_unavailable"),
            (CommitError::Unknown(String::new()), 503, "store_timeout"),
            (CommitError::Unusable(String::new()), 500, "misconfigured"),
            (CommitError::Unreadable(String::new()), 503, "record_unreadable"),
            (CommitError::Newer(String::new()), 503, "record_unreadable"),
            (CommitError::Invalid(Invalid::Overflow), 503, "record_unreadable"),
            (CommitError::Invalid(Invalid::NotAnInteger), 503, "record_unreadable"),
            (CommitError::Invalid(Invalid::FieldName), 500, "internal"),
        ];
        for (error, status, code) in table {
            let problem = Problem::from(error);
            assert_eq!((problem.status, problem.code), (status, code));
        }
    }
}

//! What all routes share: who may call, the problems that follow from a route itself, and headers.

use edge::http::BODY_BYTES_MAX;
use serde_json::{Value, json};

/// Codes of any JSON body.
pub const BODY_CODES: &[&str] = &[
    "invalid_json",
    "unknown_field",
    "missing_field",
    "duplicate_field",
    "invalid_value",
    "incomplete_body",
];
/// Codes of any query.
pub const QUERY_CODES: &[&str] = &["unknown_field", "duplicate_field"];
/// Codes of the 400 that functions share.
const MALFORMED_CODES: &[&str] = &[
    "invalid_id",
    "too_few_users",
    "too_many_users",
    "invalid_order",
    "invalid_order_number",
    "invalid_payment",
    "invalid_part",
    "invalid_batch_size",
    "unsupported_specversion",
    "too_many",
];
/// Codes of a store that does not do it, and of a configuration that cannot be read.
pub const STORE_CODES: &[&str] =
    &["store_unavailable", "store_timeout", "record_unreadable", "configuration_unavailable"];
/// What they mean.
pub const STORE: &str = "The store: `store_unavailable` (nothing happened) or `store_timeout` (it may have \
    happened); `record_unreadable` (a record that the request needs is damaged, missing or of a newer version: it \
    stays so until operators see to it); or `configuration_unavailable` (nothing happened). Asking again is safe.";

/// The media type of problems.
pub const PROBLEM: &str = "application/problem+json";

/// What a problem with one of these codes looks like.
#[must_use]
pub fn problem(codes: &[&str]) -> Value {
    json!({"allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"properties": {"code": {"enum": codes}}},
    ]})
}

/// A response with a problem.
#[must_use]
pub fn response(description: &str, codes: &[&str]) -> Value {
    json!({"description": description, "content": {PROBLEM: {"schema": problem(codes)}}})
}

/// The same with a header.
#[must_use]
pub fn with_header(mut response: Value, header: &str, name: &str) -> Value {
    response["headers"][header] = reference("headers", name);
    response
}

/// A reference to something shared.
#[must_use]
pub fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// Who may call.
#[must_use]
pub fn security_schemes() -> Value {
    let bearer = |text: &str| json!({"type": "http", "scheme": "bearer", "description": text});
    json!({
        "caller": bearer("`caller_token`: for servers; it may act for every user."),
        "operator": bearer("`operator_token`: may do what callers may, and configure."),
    })
}

/// Headers.
#[must_use]
pub fn headers() -> Value {
    json!({
        "ServerTiming": {
            "description": "The stages of the request with their durations in milliseconds.",
            "schema": {"type": "string"},
            "example": "parse;dur=0.024, commit;dur=0.210, render;dur=0.003",
        },
        "RetryAfter": {"description": "Seconds.", "schema": {"type": "integer"}},
        "Allow": {"description": "The methods of the route.", "schema": {"type": "string"}},
        "IdempotentReplayed": {
            "description": "`true` where the outcome was recorded earlier.",
            "schema": {"type": "string", "enum": ["true"]},
        },
    })
}

/// Responses that follow from a route itself, by name.
#[must_use]
pub fn responses() -> Vec<(&'static str, Value)> {
    let malformed = [BODY_CODES, MALFORMED_CODES].concat();
    let thousands = |bytes: usize| {
        format!("{},{:03},{:03}", bytes / 1_000_000, bytes / 1_000 % 1_000, bytes % 1_000)
    };
    let too_large = format!("The body has more than {} bytes.", thousands(BODY_BYTES_MAX));
    let store = response(STORE, STORE_CODES);
    let method = response("The route has other methods.", &["method_not_allowed"]);
    let internal = "A fault of the service or of its configuration; the cause is in the log.";
    let media_type = "The content type is not one of the route's.";
    vec![
        ("Malformed", response("The request is malformed; `field` names where.", &malformed)),
        (
            "Unauthorized",
            response("No token, or none that is known.", &["missing_token", "wrong_token"]),
        ),
        ("OperatorOnly", response("A caller's token on an operator's route.", &["operator_only"])),
        ("UnknownRoute", response("There is no such route.", &["unknown_route"])),
        ("MethodNotAllowed", with_header(method, "Allow", "Allow")),
        ("TooLarge", response(&too_large, &["body_too_large"])),
        ("UnsupportedMediaType", response(media_type, &["unsupported_media_type"])),
        ("Internal", response(internal, &["internal", "misconfigured"])),
        ("Store", with_header(store, "Retry-After", "RetryAfter")),
    ]
}

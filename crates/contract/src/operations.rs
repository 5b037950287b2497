//! One operation of the document: what its contract says, and what follows from its route.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure};
use edge::Access;
use edge::contract::operation::{Answer, Body, Content, Operation, Parameter, Place, Refused};
use edge::contract::{Described, Function};
use edge::route::Verb;
use serde_json::{Map, Value, json};

use crate::schemas::Schemas;
use crate::shared::{
    BODY_CODES, PROBLEM, QUERY_CODES, STORE, STORE_CODES, problem, reference, response, with_header,
};

/// Parameters of paths, which routes share, by name.
pub type Parameters = BTreeMap<String, Value>;

/// What a function's operation is in the document.
///
/// # Errors
/// It contradicts its route, or itself.
pub fn operation(
    function: &Function,
    route: &Described,
    schemas: &mut Schemas,
    shared: &mut Parameters,
) -> anyhow::Result<Value> {
    let operation = &route.operation;
    ensure!(
        names(route.path) == path_parameters(operation),
        "{}: the path {} has other parameters",
        operation.id,
        route.path
    );
    let tag = operation.tag.unwrap_or(function.name);
    let is_tag = tag == function.name || function.tags.iter().any(|(name, _)| *name == tag);
    ensure!(is_tag, "{}: {tag} is no tag of {}", operation.id, function.name);
    ensure!(!operation.answers.is_empty(), "{}: it has no answer", operation.id);
    if operation.body.is_some() && route.verb == Verb::Get {
        bail!("{}: a GET takes no body", operation.id);
    }
    let mut value = json!({
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "responses": responses(route, operation, schemas)?,
    });
    if let Some(description) = operation.description {
        value["description"] = description.into();
    }
    match route.access {
        Access::Open => value["security"] = json!([]),
        Access::Caller => {}
        Access::Operator => value["security"] = json!([{"operator": []}]),
    }
    let mut parameters = Vec::new();
    for one in &operation.parameters {
        parameters.push(parameter(one, schemas, shared)?);
    }
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    if let Some(Body { is_required, contents }) = &operation.body {
        let contents = contents.iter();
        let taken: Map<String, Value> = contents
            .map(|one| (one.media_type.to_owned(), content(one, schemas.taken(one.schema))))
            .collect();
        value["requestBody"] = json!({"required": is_required, "content": taken});
    }
    Ok(value)
}

/// The parameters of a path.
fn names(path: &str) -> BTreeSet<&str> {
    let segments = path.split('/');
    segments.filter_map(|one| one.strip_prefix('{')?.strip_suffix('}')).collect()
}

fn path_parameters(operation: &Operation) -> BTreeSet<&str> {
    let all = operation.parameters.iter();
    all.filter(|one| one.place == Place::Path).map(|one| one.name).collect()
}

fn content(Content { example, .. }: &Content, schema: Value) -> Value {
    match example {
        Some(example) => json!({"schema": schema, "example": example}),
        None => json!({"schema": schema}),
    }
}

fn parameter(
    one: &Parameter,
    schemas: &mut Schemas,
    shared: &mut Parameters,
) -> anyhow::Result<Value> {
    let mut schema = schemas.taken(one.schema);
    if let Some(default) = &one.default {
        schema["default"] = default.clone();
    }
    let place = match one.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut value = json!({"name": one.name, "in": place, "schema": schema});
    if let Some(description) = one.description {
        value["description"] = description.into();
    }
    if let Some(example) = &one.example {
        value["example"] = example.clone();
    }
    if one.place != Place::Path {
        return Ok(value);
    }
    value["required"] = true.into();
    let name = in_pascal_case(one.name);
    let known = shared.entry(name.clone()).or_insert_with(|| value.clone());
    ensure!(*known == value, "the parameter {} is one thing here and another there", one.name);
    Ok(reference("parameters", &name))
}

/// The name of something shared, after its parameter.
fn in_pascal_case(name: &str) -> String {
    let words = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect()
}

fn responses(
    route: &Described,
    operation: &Operation,
    schemas: &mut Schemas,
) -> anyhow::Result<Value> {
    let mut responses: BTreeMap<u16, Value> = BTreeMap::new();
    let mut shared = |status, name| responses.insert(status, reference("responses", name));
    shared(405, "MethodNotAllowed");
    shared(500, "Internal");
    shared(503, "Store");
    if route.access != Access::Open {
        shared(400, "Malformed");
        shared(401, "Unauthorized");
    }
    if route.access == Access::Operator {
        shared(403, "OperatorOnly");
    }
    // Whatever is sent is read, but for a GET.
    if route.verb != Verb::Get {
        shared(413, "TooLarge");
    }
    if operation.body.is_some() {
        shared(415, "UnsupportedMediaType");
    }
    if let Some(malformed) = &operation.malformed {
        let has_query = operation.parameters.iter().any(|one| one.place == Place::Query);
        let of_body = operation.body.as_ref().map(|body| body_codes(body, schemas));
        let of_query = if has_query { QUERY_CODES } else { &[] };
        let mut codes: Vec<&str> = Vec::new();
        for code in [&of_body.unwrap_or_default(), of_query, malformed.codes].concat() {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        responses.insert(400, response(malformed.description, &codes));
    }
    let mut refused = BTreeSet::new();
    for Refused { status, description, codes, retries } in &operation.refusals {
        ensure!(refused.insert(*status), "{}: {status} twice", operation.id);
        let mut value = if *status == 503 {
            let codes = [codes, STORE_CODES].concat();
            response(&format!("{description} {STORE}"), &codes)
        } else {
            response(description, codes)
        };
        if *retries || *status == 503 {
            value = with_header(value, "Retry-After", "RetryAfter");
        }
        responses.insert(*status, value);
    }
    for one in &operation.answers {
        let mut value = answer(one, schemas);
        // A service that is not well says so in its own words, or in those of a problem.
        if one.status == 503 {
            value["content"][PROBLEM] = json!({"schema": problem(STORE_CODES)});
            value = with_header(value, "Retry-After", "RetryAfter");
        }
        responses.insert(one.status, value);
    }
    let responses = responses.into_iter().map(|(status, value)| (status.to_string(), value));
    Ok(Value::Object(responses.collect()))
}

/// The codes of a body. Where no member is required, none is missing.
fn body_codes(body: &Body, schemas: &mut Schemas) -> Vec<&'static str> {
    let requires = body.contents.iter().any(|one| {
        let schema = schemas.taken(one.schema);
        ["required", "$ref"].iter().any(|member| schema.get(member).is_some())
    });
    BODY_CODES.iter().copied().filter(|code| requires || *code != "missing_field").collect()
}

fn answer(one: &Answer, schemas: &mut Schemas) -> Value {
    let mut value = json!({"description": one.description});
    if let Some(body) = &one.content {
        let schema = schemas.answered(body.schema);
        value["content"][body.media_type] = content(body, schema);
    }
    value = with_header(value, "Server-Timing", "ServerTiming");
    if one.replays {
        value = with_header(value, "Idempotent-Replayed", "IdempotentReplayed");
    }
    value
}

//! The OpenAPI document.

use std::collections::BTreeSet;

use anyhow::ensure;
use edge::contract::{self, Function};
use serde_json::{Map, Value, json};

use crate::operations::{Parameters, operation};
use crate::schemas::Schemas;
use crate::shared;

/// Where it is written.
pub const PATH: &str = "functions/root/openapi.json";

/// What is to be known of all routes.
const DESCRIPTION: &str = "JSON in snake_case. Ids and every 64-bit number are strings in answers, and strings or \
    integers in requests. Unknown fields in a request are refused (`unknown_field`). Errors are problem details (RFC \
    9457) with a stable `code`. A 503 may always be asked again: what happened already happens once.";

/// Puts it together.
///
/// # Errors
/// A contract contradicts itself, or another one.
pub fn document(functions: &[Function]) -> anyhow::Result<Value> {
    let mut schemas = Schemas::default();
    let mut parameters = Parameters::new();
    let mut paths: Map<String, Value> = Map::new();
    let mut ids = BTreeSet::new();
    for function in functions {
        for route in &function.routes {
            let value = operation(function, route, &mut schemas, &mut parameters)?;
            let id = route.operation.id;
            ensure!(ids.insert(id), "{id:?} is the name of two operations");
            let operations = paths.entry(route.path).or_insert_with(|| json!({}));
            let method = route.verb.name().to_lowercase();
            ensure!(operations.get(&method).is_none(), "{method} {} stands twice", route.path);
            operations[method] = value;
        }
    }
    schemas.answered(contract::problem());
    let components = json!({
        "securitySchemes": shared::security_schemes(),
        "headers": shared::headers(),
        "parameters": parameters,
        "responses": shared::responses().into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
        "schemas": schemas.named()?,
    });
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hongbao",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": crate::manifest::DESCRIPTION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"caller": []}, {"operator": []}],
        "tags": tags(functions, &paths),
        "paths": paths,
        "components": components,
    });
    check_references(&document)?;
    Ok(document)
}

fn tags(functions: &[Function], paths: &Map<String, Value>) -> Vec<Value> {
    let all = functions.iter().flat_map(|function| {
        let own = (function.name, function.description);
        [own].into_iter().chain(function.tags.iter().copied())
    });
    let used = |name: &str| {
        let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
        operations.flat_map(|one| one["tags"].as_array()).flatten().any(|tag| tag == name)
    };
    all.filter(|(name, _)| used(name))
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect()
}

/// All that is referred to is there, and all that is there is referred to, but for what no operation has.
fn check_references(document: &Value) -> anyhow::Result<()> {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap_or_default();
        ensure!(document.pointer(pointer).is_some(), "{reference} is nowhere");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        let members = document["components"][kind].as_object().into_iter().flatten();
        for (name, _) in members {
            let is_used = found.contains(&format!("#/components/{kind}/{name}"));
            ensure!(is_used || name == "UnknownRoute", "nothing refers to {kind}/{name}");
        }
    }
    Ok(())
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

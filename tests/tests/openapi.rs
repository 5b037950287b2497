//! The contract and the app agree: every route of the document answers on the running host, every
//! other one does not, and what the app answers has the shapes and codes that the document lists.

use std::collections::BTreeSet;

use end_to_end::app::{Ask, Place, Reply, check, check_many, mark_paid, order_paid};
use host::App;
use http::Method;
use serde_json::Value;

async fn document(app: &App) -> Value {
    let reply = Ask::get("/openapi.json").without("authorization").of(app).await;
    reply.assert_well_formed();
    reply.json()
}

/// What a `$ref` points to, or the value itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(path) => {
            let pointer = path.strip_prefix('#').expect("all references are inside");
            document.pointer(pointer).unwrap_or_else(|| panic!("{path} points nowhere"))
        }
        None => value,
    }
}

fn references(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("$ref") {
                found.push(value.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The codes that a response of the document may carry.
fn codes(document: &Value, route: &str, method: &str, status: u16) -> BTreeSet<String> {
    let response = &document["paths"][route][method]["responses"][status.to_string()];
    let schema = &resolve(document, response)["content"]["application/problem+json"]["schema"];
    let listed = schema["allOf"].as_array().into_iter().flatten();
    let codes = listed.filter_map(|part| part.pointer("/properties/code/enum")?.as_array());
    codes.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Checks a value against the part of JSON Schema that the document uses.
fn conforms(document: &Value, schema: &Value, value: &Value) -> bool {
    let schema = resolve(document, schema);
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("the document uses the type {other}"),
    };
    let of_type = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    let in_enum = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let complete = names.into_iter().all(|name| value.get(name).is_some());
    let members = value.as_object().into_iter().flatten().all(|(name, member)| {
        // A member that the document does not name would be undocumented.
        schema["properties"].get(name).is_some_and(|schema| conforms(document, schema, member))
            || schema.get("properties").is_none()
    });
    let items = value.as_array().into_iter().flatten();
    let items = items.into_iter().all(|item| conforms(document, &schema["items"], item));
    of_type && in_enum && complete && members && items
}

#[track_caller]
fn check_reply(document: &Value, route: &str, method: &str, reply: &Reply) {
    let response = &document["paths"][route][method]["responses"][reply.status.to_string()];
    let response = resolve(document, response);
    assert!(!response.is_null(), "{method} {route} does not list {}: {reply:?}", reply.status);
    match reply.status {
        204 => {}
        200 => {
            let schema = &response["content"]["application/json"]["schema"];
            assert!(conforms(document, schema, &reply.json()), "{route}: {reply:?}");
        }
        status => {
            let code = reply.text("code").unwrap();
            let listed = codes(document, route, method, status);
            assert!(listed.contains(&code), "{method} {route} {status}: {code} not in {listed:?}");
            let problem = &document["components"]["schemas"]["Problem"];
            assert!(conforms(document, problem, &reply.json()), "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_whole_and_its_routes_answer() {
    let app = Place::Kv.app().await;
    let document = document(&app).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "references are found");
    found.iter().for_each(|reference| drop(resolve(&document, reference).clone()));

    let methods = ["get", "post", "put", "delete"];
    for (route, operations) in document["paths"].as_object().unwrap() {
        let path = route.replace("{user}", "7");
        for method in methods {
            let ask =
                Ask::new(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &*path);
            let reply = ask.operator().of(&app).await;
            reply.assert_well_formed();
            let described = operations.get(method).is_some();
            assert_eq!(reply.status != 405, described, "{method} {route}: {reply:?}");
            if described {
                check_reply(&document, route, method, &reply);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_document_says() {
    let app = Place::Kv.app().await;
    let document = document(&app).await;
    let (new, many) = ("/v1/users/{user}/new", "/v1/users/check-new");
    let (paid, import, events) = ("/v1/users/mark-paid", "/v1/users/import", "/v1/events");
    let json = |method, path: &str, body: &'static str| Ask::new(method, path).json(body);
    let event = |body: &'static str| {
        Ask::post(events, body).header("content-type", "application/cloudevents+json")
    };
    let large = || Ask::post(many, vec![b' '; 2 << 20]);
    let table = [
        (new, "get", 200, check(7)),
        (new, "get", 200, Ask::get("/v1/users/7/new?unknown=ask")),
        (new, "get", 400, Ask::get("/v1/users/abc/new")),
        (new, "get", 400, Ask::get("/v1/users/7/new?unknown=x")),
        (new, "get", 400, Ask::get("/v1/users/7/new?x=y")),
        (new, "get", 400, Ask::get("/v1/users/7/new?unknown=new&unknown=new")),
        (new, "get", 401, check(7).without("authorization")),
        (new, "get", 401, check(7).header("authorization", "Bearer nonsense")),
        (many, "post", 200, check_many(&[1, 2, 2])),
        (many, "post", 400, check_many(&[])),
        (many, "post", 400, check_many(&[7; 1_001])),
        (many, "post", 400, Ask::post(many, "{")),
        (many, "post", 400, Ask::post(many, "{}")),
        (many, "post", 400, Ask::post(many, r#"{"users": 7}"#)),
        (many, "post", 400, Ask::post(many, r#"{"users": [], "users": []}"#)),
        (many, "post", 413, large()),
        (many, "post", 415, check_many(&[1]).header("content-type", "text/plain")),
        (paid, "post", 204, mark_paid(&[1])),
        (paid, "post", 403, Ask::post(paid, r#"{"users": [1]}"#)),
        (import, "get", 200, Ask::get(import).operator()),
        (import, "get", 403, Ask::get(import)),
        (import, "put", 200, json(Method::PUT, import, r#"{"complete": true}"#).operator()),
        (import, "put", 400, json(Method::PUT, import, r#"{"complete": 1}"#).operator()),
        (events, "post", 204, order_paid(9)),
        (events, "post", 400, event(r#"{"specversion": "0.3", "id": "1", "source": "s"}"#)),
        (events, "post", 400, event("{}")),
        (
            events,
            "post",
            422,
            event(r#"{"specversion": "1.0", "id": "1", "source": "s", "type": "x", "data": {}}"#),
        ),
        (events, "post", 415, order_paid(9).header("content-type", "text/plain")),
        ("/healthz", "get", 200, Ask::get("/healthz").without("authorization")),
    ];
    for (route, method, status, ask) in table {
        let reply = ask.of(&app).await;
        reply.assert_well_formed();
        assert_eq!(reply.status, status, "{ask:?}: {reply:?}");
        check_reply(&document, route, method, &reply);
    }
}

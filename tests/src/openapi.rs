//! The OpenAPI document of an app, whether an answer is one that it describes, and whether all was
//! reached that it lists.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use host::{App, Options};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::app::{Ask, CALLER, Place, Reply, load};

/// The document, as the app serves it.
#[derive(Debug)]
pub struct Document {
    /// All of it.
    pub value: Value,
    /// Its components, closed.
    components: Value,
    /// Compiled schemas, by their text.
    validators: RefCell<HashMap<String, Validator>>,
}

/// What must come of a request: a status, and the code where the answer has one.
pub type Row = (u16, &'static str, Ask);

impl Document {
    /// Of an app.
    pub async fn of(app: &App) -> Self {
        let reply = Ask::get("/openapi.json").without("authorization").of(app).await;
        reply.assert_well_formed();
        let value = reply.json();
        let mut components = value["components"].clone();
        close(&mut components);
        Self { value, components, validators: RefCell::default() }
    }

    /// What a `$ref` points to, or the value itself.
    ///
    /// # Panics
    /// It points nowhere.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(path) => {
                let pointer = path.strip_prefix('#').expect("all references are inside");
                self.value.pointer(pointer).unwrap_or_else(|| panic!("{path} points nowhere"))
            }
            None => value,
        }
    }

    /// A response; null where it is not described.
    fn response(&self, route: &str, method: &str, status: u16) -> &Value {
        self.resolve(&self.value["paths"][route][method]["responses"][status.to_string()])
    }

    /// The codes that a response may carry.
    pub fn codes(&self, route: &str, method: &str, status: u16) -> BTreeSet<String> {
        let response = self.response(route, method, status);
        let schema = &response["content"]["application/problem+json"]["schema"];
        let listed = schema["allOf"].as_array().into_iter().flatten();
        let codes = listed.filter_map(|part| part.pointer("/properties/code/enum")?.as_array());
        codes.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Where a value is not what a schema of this document says; empty where it is.
    ///
    /// # Panics
    /// The schema is none.
    pub fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut validators = self.validators.borrow_mut();
        let validator =
            validators.entry(schema.to_string()).or_insert_with(|| self.validator(schema));
        let errors = validator.iter_errors(value);
        let mut errors: Vec<String> =
            errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if has_fraction(value) {
            errors.push("a number that is no integer".to_owned());
        }
        errors
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        close(&mut schema);
        // References begin at the root of the document.
        let rooted = json!({ "components": self.components, "allOf": [schema] });
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .build(&rooted)
            .unwrap_or_else(|error| panic!("{error}: {schema}"))
    }

    /// Checks that an answer is one that the document describes, its headers included.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn check_reply(&self, route: &str, method: &str, reply: &Reply) {
        let response = self.response(route, method, reply.status);
        assert!(!response.is_null(), "{method} {route} does not list {}: {reply:?}", reply.status);
        for name in ["idempotent-replayed", "retry-after", "allow"] {
            let headers = response["headers"].as_object().into_iter().flatten();
            let described = headers.into_iter().any(|(each, _)| each.eq_ignore_ascii_case(name));
            let described = described || reply.header(name).is_none();
            assert!(described, "{method} {route} does not list {name}: {reply:?}");
        }
        match reply.status {
            204 => {}
            200..=202 => {
                let schema = &response["content"]["application/json"]["schema"];
                let errors = self.errors(schema, &reply.json());
                assert!(errors.is_empty(), "{method} {route}: {errors:?}: {reply:?}");
            }
            status => {
                let code = reply.text("code").unwrap_or_default();
                let listed = self.codes(route, method, status);
                assert!(
                    listed.contains(&code),
                    "{method} {route} {status}: {code} not in {listed:?}"
                );
                let schema = &response["content"]["application/problem+json"]["schema"];
                for schema in [schema, &self.value["components"]["schemas"]["Problem"]] {
                    let errors = self.errors(schema, &reply.json());
                    assert!(errors.is_empty(), "{method} {route}: {errors:?}: {reply:?}");
                }
            }
        }
    }

    /// Asks a route, one row after the other, and checks status, code and shape of each answer.
    ///
    /// # Panics
    /// An answer is another one.
    pub async fn check(&self, app: &App, method: &str, route: &str, rows: Vec<Row>) {
        for (status, code, ask) in rows {
            let reply = ask.of(app).await;
            reply.assert_well_formed();
            let is = (reply.status, reply.text("code").unwrap_or_default());
            assert_eq!(is, (status, code.to_owned()), "{ask:?}: {reply:?}");
            self.check_reply(route, method, &reply);
        }
    }
}

/// Forbids members that a schema does not name, as they would be undocumented. Not in what an `allOf` adds to
/// a reference: what is referred to names them.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let adds = members
                .get("allOf")
                .and_then(Value::as_array)
                .is_some_and(|parts| parts.iter().any(|part| part.get("$ref").is_some()));
            for (name, member) in members.iter_mut() {
                match member {
                    Value::Array(parts) if adds && name == "allOf" => {
                        let inside = parts.iter_mut().filter_map(Value::as_object_mut);
                        inside.flat_map(|part| part.values_mut()).for_each(close);
                    }
                    _ => close(member),
                }
            }
            if members.get("properties").is_some_and(Value::is_object) {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Whether there is a number other than an integer: to JSON Schema 1.0 is one, to some clients it is not.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

/// Codes that take a thousand activities, a race, thousands of orders, half a body, or a collection months later.
const NOT_REACHED: &[&str] = &[
    "too_many_activities",
    "published_meanwhile",
    "too_many_limits",
    "incomplete_body",
    "sealed",
    "amount_unknown",
];

/// An app, its document, and the codes that were reached.
pub struct Contract {
    /// The app.
    pub app: App,
    /// Its document.
    pub document: Document,
    reached: RefCell<BTreeSet<(String, String, u16, String)>>,
}

impl Contract {
    /// Of the app on a store.
    pub async fn of(place: &Place) -> Self {
        Self::with(place.options()).await
    }

    /// Of an app with these options.
    pub async fn with(options: Options) -> Self {
        let app = load(options).await;
        let document = Document::of(&app).await;
        Self { app, document, reached: RefCell::default() }
    }

    /// As [`Document::check`].
    ///
    /// # Panics
    /// An answer is another one.
    pub async fn check(&self, method: &str, route: &str, rows: Vec<Row>) {
        for (status, code, _) in &rows {
            let reached = (method.to_owned(), route.to_owned(), *status, (*code).to_owned());
            self.reached.borrow_mut().insert(reached);
        }
        self.document.check(&self.app, method, route, rows).await;
    }

    /// Checks that whatever these routes are documented with was reached. The 400 that all functions share
    /// has codes of others.
    ///
    /// # Panics
    /// A code was not reached.
    #[track_caller]
    pub fn assert_all_reached(&self, routes: &[(&str, &str)]) {
        let mut listed = 0;
        for (method, route) in routes {
            let responses = &self.document.value["paths"][route][method]["responses"];
            let responses = responses.as_object().unwrap_or_else(|| panic!("{method} {route}"));
            for (status, response) in responses {
                let status: u16 = status.parse().expect("a status");
                let is_shared = response["$ref"] == "#/components/responses/Malformed";
                if ![400, 404, 409, 422].contains(&status) || is_shared {
                    continue;
                }
                for code in self.document.codes(route, method, status) {
                    listed += 1;
                    let row = ((*method).to_owned(), (*route).to_owned(), status, code);
                    let is_reached = self.reached.borrow().contains(&row);
                    assert_ne!(is_reached, NOT_REACHED.contains(&&*row.3), "{row:?}");
                }
            }
        }
        assert!(listed > 0, "nothing is listed");
    }
}

/// The same by a caller, who may not.
pub fn by_caller(ask: Ask) -> Ask {
    ask.header("authorization", format!("Bearer {CALLER}"))
}

/// The same with a body that is too large.
pub fn too_large(ask: Ask) -> Ask {
    ask.json(vec![b' '; 2 << 20])
}

/// The same with a content type that no route takes.
pub fn as_text(ask: Ask) -> Ask {
    ask.header("content-type", "text/plain")
}

/// What is refused on any route that takes an object: texts that are none of it, sizes, types, nobody's
/// token. `twice` is a member, which then comes twice.
pub fn wrong_objects(ask: &Ask, twice: &str) -> Vec<Row> {
    let twice = format!("{{{twice}, {twice}}}");
    let texts = [
        ("invalid_json", "{"),
        ("invalid_value", "7"),
        ("missing_field", "{}"),
        ("unknown_field", r#"{"colour": "red"}"#),
        ("duplicate_field", &twice),
    ];
    let mut rows: Vec<Row> =
        texts.map(|(code, text)| (400, code, ask.clone().json(text.to_owned()))).to_vec();
    rows.push((413, "body_too_large", too_large(ask.clone())));
    rows.push((415, "unsupported_media_type", as_text(ask.clone())));
    rows.push((401, "missing_token", ask.clone().without("authorization")));
    rows
}

//! The OpenAPI document of an app, whether an answer is one that it describes, and whether all was
//! reached that it lists.

use std::cell::RefCell;
use std::collections::BTreeSet;

use host::{App, Options};
use serde_json::Value;

use crate::app::{Ask, CALLER, Place, Reply, load};

/// The document, as the app serves it.
#[derive(Debug)]
pub struct Document(pub Value);

/// What must come of a request: a status, and the code where the answer has one.
pub type Row = (u16, &'static str, Ask);

impl Document {
    /// Of an app.
    pub async fn of(app: &App) -> Self {
        let reply = Ask::get("/openapi.json").without("authorization").of(app).await;
        reply.assert_well_formed();
        Self(reply.json())
    }

    /// What a `$ref` points to, or the value itself.
    ///
    /// # Panics
    /// It points nowhere.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(path) => {
                let pointer = path.strip_prefix('#').expect("all references are inside");
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{path} points nowhere"))
            }
            None => value,
        }
    }

    /// A response; null where it is not described.
    fn response(&self, route: &str, method: &str, status: u16) -> &Value {
        self.resolve(&self.0["paths"][route][method]["responses"][status.to_string()])
    }

    /// The codes that a response may carry.
    pub fn codes(&self, route: &str, method: &str, status: u16) -> BTreeSet<String> {
        let response = self.response(route, method, status);
        let schema = &response["content"]["application/problem+json"]["schema"];
        let listed = schema["allOf"].as_array().into_iter().flatten();
        let codes = listed.filter_map(|part| part.pointer("/properties/code/enum")?.as_array());
        codes.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Checks a value against the part of JSON Schema that the document uses.
    ///
    /// # Panics
    /// The document uses another one.
    pub fn conforms(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.resolve(schema);
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
        let matching = |schemas: &[Value]| {
            schemas.iter().filter(|schema| self.conforms(schema, value)).count()
        };
        let all_of = schema["allOf"].as_array().is_none_or(|all| matching(all) == all.len());
        let one_of = schema["oneOf"].as_array().is_none_or(|one| matching(one) == 1);
        let members = value.as_object().into_iter().flatten().all(|(name, member)| {
            // A member that the document does not name would be undocumented.
            schema["properties"].get(name).is_some_and(|schema| self.conforms(schema, member))
                || schema.get("properties").is_none()
        });
        let items = value.as_array().into_iter().flatten();
        let items = items.into_iter().all(|item| self.conforms(&schema["items"], item));
        of_type && in_enum && complete && all_of && one_of && members && items
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
                assert!(self.conforms(schema, &reply.json()), "{method} {route}: {reply:?}");
            }
            status => {
                let code = reply.text("code").unwrap_or_default();
                let listed = self.codes(route, method, status);
                assert!(
                    listed.contains(&code),
                    "{method} {route} {status}: {code} not in {listed:?}"
                );
                let problem = &self.0["components"]["schemas"]["Problem"];
                assert!(self.conforms(problem, &reply.json()), "{reply:?}");
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

/// Codes that take a thousand activities, a race, thousands of orders, or half a body.
const NOT_REACHED: &[&str] =
    &["too_many_activities", "published_meanwhile", "too_many_limits", "incomplete_body"];

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
            let responses = &self.document.0["paths"][route][method]["responses"];
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

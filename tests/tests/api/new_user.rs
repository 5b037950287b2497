//! What a caller sees: the same answers over both stores, each error with its own status, code and
//! field, and in every answer what every answer must have.

use std::collections::BTreeSet;

use bytes::Bytes;
use end_to_end::app::{
    Ask, CALLER, CLOUD_EVENT, CLOUD_EVENTS, Place, Reply, check, check_many, event, load,
    mark_paid, options, order_paid, root,
};
use futures::TryStreamExt;
use host::App;
use http::Method;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The ends of the range, a dense id and a sparse one.
const USERS: [u64; 4] = [0, 99_999_999, 652_024_209_997_893_632, u64::MAX];
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// What goes wrong on a socket goes wrong by chance.
const REPEATS: usize = 10;
/// Twice what a body may have.
const BODY_BYTES: usize = 2 << 20;

async fn ask(app: &App, ask: Ask) -> Reply {
    let reply = ask.of(app).await;
    reply.assert_well_formed();
    reply
}

async fn accept(app: &App, sent: Ask) {
    let reply = ask(app, sent).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

async fn is_new(app: &App, user: u64) -> bool {
    let reply = ask(app, check(user)).await;
    assert_eq!(reply.text("user"), Some(user.to_string()));
    reply.is_new()
}

fn batch(events: &[Value]) -> Ask {
    let body = Value::from(events.to_vec()).to_string();
    Ask::post("/v1/events", body).header("content-type", CLOUD_EVENTS)
}

fn binary(user: u64) -> Ask {
    let body = json!({ "user": user, "order": "A-1" }).to_string();
    Ask::post("/v1/events", body)
        .header("ce-specversion", "1.0")
        .header("ce-id", "1")
        .header("ce-source", "/shop")
        .header("ce-type", "order.paid")
}

/// How it is told that a user paid.
type Mode = fn(u64) -> Ask;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_new_until_an_order_is_paid_however_it_is_told_and_how_often() {
    let modes: [(&str, Mode); 4] = [
        ("structured", order_paid),
        ("binary", binary),
        ("batch", |user| batch(&[event(user), event(user)])),
        ("backfill", |user| mark_paid(&[user])),
    ];
    for place in Place::all() {
        for (stage, paid) in modes {
            let app = load(place.options().variable("stage", stage)).await;
            let mut marked = BTreeSet::new();
            for user in USERS {
                let at = format!("{} {stage} {user}", place.name());
                assert!(is_new(&app, user).await, "{at}");
                marked.insert(user);
                for _ in 0..2 {
                    accept(&app, paid(user)).await;
                    assert!(!is_new(&app, user).await, "{at}");
                }
                for other in [user.wrapping_sub(1), user.wrapping_add(1), user ^ (1 << 40)] {
                    assert_eq!(is_new(&app, other).await, !marked.contains(&other), "{at}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_answered_in_its_order_with_its_repeats() {
    for place in Place::all() {
        let app = place.app().await;
        let spread = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let users: Vec<u64> = (0..990).map(|index| spread(index % 700)).chain(0..10).collect();
        let paid: BTreeSet<u64> = users.iter().copied().step_by(3).collect();
        let answers = |paid: &BTreeSet<u64>| -> Vec<_> {
            users.iter().map(|user| (*user, !paid.contains(user))).collect()
        };
        let asked = check_many(&users);
        assert_eq!(ask(&app, asked.clone()).await.are_new(), answers(&BTreeSet::new()));
        accept(&app, mark_paid(&Vec::from_iter(paid.clone()))).await;
        assert_eq!(ask(&app, asked.clone()).await.are_new(), answers(&paid));
        let events: Vec<_> = users.iter().map(|user| event(*user)).collect();
        accept(&app, batch(&events)).await;
        assert_eq!(ask(&app, asked).await.are_new(), answers(&users.iter().copied().collect()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_numbers_or_texts_going_in_and_texts_coming_out() {
    let app = Place::Kv.app().await;
    let body = r#"{"users": [18446744073709551615, "18446744073709551615", 0, "7"]}"#;
    let reply = ask(&app, Ask::post("/v1/users/check-new", body)).await;
    let expected = [(u64::MAX, true), (u64::MAX, true), (0, true), (7, true)];
    assert_eq!(reply.are_new(), expected);
}

/// A request at fault, and status, code and field of the problem.
type Row = (Ask, u16, &'static str, Option<&'static str>);

fn wrong_ids() -> Vec<Row> {
    let mut rows = Vec::new();
    for id in ["18446744073709551616", "-1", "1.5", "abc", "007", "+1", "%31", "1%20"] {
        let ask = Ask::get(format!("/v1/users/{id}/new"));
        rows.push((ask, 400, "invalid_id", Some("user")));
    }
    for text in ["18446744073709551616", "-1", "1.5", "abc", "", "007"] {
        for id in [text.to_owned(), format!("\"{text}\"")] {
            if !id.starts_with('"') && serde_json::from_str::<Value>(&id).is_err() {
                continue;
            }
            let users = format!(r#"{{"users": ["1", {id}]}}"#);
            for ask in [check_many(&[]), mark_paid(&[])] {
                rows.push((ask.json(users.clone()), 400, "invalid_id", Some("users[1]")));
            }
            let user = format!(r#""user":{id}"#);
            let one = event(1).to_string().replace(r#""user":"1""#, &user);
            let two = format!("[{},{one}]", event(1));
            let types = order_paid(1).json(one).header("content-type", CLOUD_EVENT);
            rows.push((types, 400, "invalid_id", Some("data.user")));
            let types = order_paid(1).json(two).header("content-type", CLOUD_EVENTS);
            rows.push((types, 400, "invalid_id", Some("[1].data.user")));
        }
    }
    rows
}

fn import() -> Ask {
    Ask::new(Method::PUT, "/v1/users/import").json(r#"{"complete": true}"#).operator()
}

fn wrong_bodies() -> Vec<Row> {
    let mut rows = Vec::new();
    let large = Bytes::from(vec![b' '; BODY_BYTES]);
    for ask in [check_many(&[1]), mark_paid(&[1]), import(), order_paid(1)] {
        let with = |body: &[u8]| Ask { body: body.to_vec().into(), ..ask.clone() };
        let length = |ask: Ask, bytes: usize| ask.header("content-length", bytes.to_string());
        let media_type = Some("content-type");
        let mut open = with(&ask.body).body.to_vec();
        open.truncate(open.len() - 1);
        let unknown = [&open, b",\"x\":1}".as_slice()].concat();
        rows.extend([
            (with(&large), 413, "body_too_large", None),
            (length(with(&large), BODY_BYTES), 413, "body_too_large", None),
            (with(b""), 400, "invalid_json", None),
            (with(&open), 400, "invalid_json", None),
            (with(b"[]"), 400, "invalid_value", None),
            (with(b"null"), 400, "invalid_value", None),
            (ask.clone().header("content-type", "text/plain"), 415, UNSUPPORTED, media_type),
            (ask.clone().without("content-type"), 415, UNSUPPORTED, media_type),
        ]);
        // The envelope of an event may have extensions; its data may not.
        if !ask.path.ends_with("events") {
            rows.push((with(&unknown), 400, "unknown_field", Some("x")));
        }
    }
    let many: Vec<u64> = (0..1_001).collect();
    for ask in [check_many, mark_paid] {
        rows.push((ask(&many), 400, "too_many_users", Some("users")));
        rows.push((ask(&[]), 400, "too_few_users", Some("users")));
        rows.push((ask(&[]).json("{}"), 400, "missing_field", Some("users")));
        rows.push((ask(&[]).json(r#"{"users": 1}"#), 400, "invalid_value", Some("users")));
    }
    let twice = r#"{"users": [1], "users": [2]}"#;
    rows.push((check_many(&[]).json(twice), 400, "duplicate_field", Some("users")));
    let unknown = r#"{"users": [1], "unknown": "maybe"}"#;
    rows.push((check_many(&[]).json(unknown), 400, "invalid_value", Some("unknown")));
    let query = |query: &str| Ask::get(format!("/v1/users/1/new?{query}"));
    rows.extend([
        (query("unknwon=ask"), 400, "unknown_field", Some("unknwon")),
        (query("unknown=maybe"), 400, "invalid_value", Some("unknown")),
        (query("unknown=ask&unknown=new"), 400, "duplicate_field", Some("unknown")),
        (import().json(r#"{"complete": 1}"#), 400, "invalid_value", Some("complete")),
    ]);
    rows
}

const UNSUPPORTED: &str = "unsupported_media_type";

/// Every one of them beside an event that is right, for the same user.
fn wrong_events() -> Vec<Row> {
    let table = [
        ("type", json!("order.lost"), 422, "unknown_event_type", "[1].type"),
        ("type", json!(null), 400, "missing_field", "[1].type"),
        ("specversion", json!("0.3"), 400, "unsupported_specversion", "[1].specversion"),
        ("id", json!(""), 400, "invalid_value", "[1].id"),
        ("source", json!(7), 400, "invalid_value", "[1].source"),
        ("data", json!({"user": "1"}), 400, "missing_field", "[1].data.order"),
        ("data", json!({"user": "1", "order": ""}), 400, "invalid_order", "[1].data.order"),
        ("data", json!({"user": "1", "order": "A", "x": 1}), 400, "unknown_field", "[1].data.x"),
        ("data_base64", json!("e30="), 400, "invalid_value", "[1].data_base64"),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (name, value, status, code, field) in table {
        let mut wrong = event(UNTOUCHED);
        wrong[name] = value;
        rows.push((batch(&[event(UNTOUCHED), wrong]), status, code, Some(field)));
    }
    let many = vec![event(UNTOUCHED); 1_001];
    rows.extend([
        (batch(&[]), 400, "invalid_batch_size", None),
        (batch(&many), 400, "invalid_batch_size", None),
        (binary(1).header("ce-type", "order.lost"), 422, "unknown_event_type", Some("ce-type")),
        (binary(1).without("ce-id"), 400, "missing_field", Some("ce-id")),
        (binary(1).without("ce-specversion"), 415, UNSUPPORTED, Some("content-type")),
    ]);
    rows
}

/// Named only in requests that are refused.
const UNTOUCHED: u64 = 4_711;

/// Every route, asked as it should be.
fn routes() -> Vec<Ask> {
    vec![
        check(1),
        check_many(&[1]),
        mark_paid(&[1]),
        Ask::get("/v1/users/import").operator(),
        import(),
        order_paid(1),
    ]
}

fn wrong_callers() -> Vec<Row> {
    let mut rows = Vec::new();
    for ask in routes() {
        let by = |value: &str| ask.clone().header("authorization", value);
        rows.push((ask.clone().without("authorization"), 401, "missing_token", None));
        rows.push((by("Basic abc"), 401, "missing_token", None));
        rows.push((by("Bearer nobody-knows-this-token"), 401, "wrong_token", None));
        rows.push((by("Bearer "), 401, "wrong_token", None));
        let operator = ask.path.ends_with("mark-paid") || ask.path.ends_with("import");
        if operator {
            rows.push((by(&format!("Bearer {CALLER}")), 403, "operator_only", None));
        }
    }
    rows
}

fn wrong_routes() -> Vec<Row> {
    // An empty segment is no `{user}`: such a path has no route.
    let unknown = [
        "/",
        "/v1",
        "/v1/users",
        "/v1/users/1",
        "/v1/users//new",
        "/v1/users/1/new/",
        "/v2/users/1/new",
    ];
    let unknown = unknown.map(|path| (Ask::get(path), 404, "unknown_route", None));
    let methods = routes().into_iter().chain([Ask::get("/healthz"), Ask::get("/openapi.json")]);
    let methods = methods.map(|ask| {
        (
            Ask { method: Method::DELETE, ..ask }.without("authorization"),
            405,
            "method_not_allowed",
            None,
        )
    });
    unknown.into_iter().chain(methods).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_caller_has_its_status_code_and_field_and_changes_nothing() {
    let tables = [wrong_ids, wrong_bodies, wrong_events, wrong_callers, wrong_routes];
    for place in Place::all() {
        let app = place.app().await;
        for (sent, status, code, field) in tables.iter().flat_map(|table| table()) {
            let reply = ask(&app, sent.clone().header("traceparent", PARENT)).await;
            let start = &sent.body[..sent.body.len().min(200)];
            let at = format!(
                "{} {} {:?}: {reply:?}",
                sent.method,
                sent.path,
                start.escape_ascii().to_string()
            );
            assert_eq!(reply.status, status, "{at}");
            assert_eq!(reply.text("code").as_deref(), Some(code), "{at}");
            assert_eq!(reply.text("field").as_deref(), field, "{at}");
            assert_eq!(reply.header("traceparent"), Some(PARENT), "{at}");
        }
        assert!(is_new(&app, UNTOUCHED).await, "nothing of a refused batch was committed");
    }
}

/// Over a socket, where the client is still sending when it is refused: it gets to see why.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_over_a_socket_too() {
    let app = Place::Kv.app().await;
    let server = app.serve().await.expect("a free port on loopback");
    let http = Client::builder(TokioExecutor::new()).build_http();
    let large = || Full::new(Bytes::from(vec![b' '; BODY_BYTES]));
    for chunked in [false, true].repeat(REPEATS) {
        for ask in [check_many(&[1]), mark_paid(&[1]), order_paid(1)] {
            let mut request = ask.request().map(|_| large().boxed());
            if chunked {
                // A body of unknown length.
                *request.body_mut() =
                    StreamBody::new(large().into_data_stream().map_ok(Frame::data)).boxed();
            }
            let uri = format!("http://{}{}", server.address, ask.path);
            *request.uri_mut() = uri.parse().expect("an address");
            let response = http.request(request).await.expect("an answer");
            assert_eq!(response.status(), 413, "{} chunked {chunked}", ask.path);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let problem: Value = serde_json::from_slice(&body).expect("a problem");
            assert_eq!(problem["code"], "body_too_large");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let app = Place::Kv.app().await;
    let table = [
        ("/v1/users/1/new", "GET"),
        ("/v1/users/check-new", "POST"),
        ("/v1/users/mark-paid", "POST"),
        ("/v1/users/import", "GET, PUT"),
        ("/v1/events", "POST"),
        ("/healthz", "GET"),
        ("/openapi.json", "GET"),
    ];
    for (path, allow) in table {
        let reply = ask(&app, Ask::new(Method::PATCH, path)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_a_mark_are_left_open_until_the_import_is_complete() {
    for place in Place::all() {
        let app = place.app().await;
        accept(&app, mark_paid(&[7])).await;
        let one = |user: u64| Ask::get(format!("/v1/users/{user}/new?unknown=ask"));
        let many = || Ask::post("/v1/users/check-new", r#"{"users": [7, 8], "unknown": "ask"}"#);
        let open = json!({"user": "8", "new": null, "code": "import_incomplete"});
        let paid = json!({"user": "7", "new": false});
        let new = json!({"user": "8", "new": true});
        for (complete, unmarked) in [(None, &open), (Some(true), &new), (Some(false), &open)] {
            if let Some(complete) = complete {
                let body = json!({ "complete": complete });
                let reply = ask(&app, import().json(body.to_string())).await;
                assert_eq!((reply.status, reply.json()), (200, body));
            }
            let reply = ask(&app, Ask::get("/v1/users/import").operator()).await;
            assert_eq!(reply.json(), json!({ "complete": complete.unwrap_or(false) }));
            assert_eq!(ask(&app, one(7)).await.json(), paid);
            assert_eq!(&ask(&app, one(8)).await.json(), unmarked);
            assert_eq!(ask(&app, many()).await.json(), json!({ "users": [paid, unmarked] }));
            assert!(is_new(&app, 8).await, "who does not ask is told what the marks say");
        }
    }
}

/// Checks that every route that needs the store answers 500, and that the log has the cause under
/// the trace that the answer names.
async fn assert_misconfigured(app: &App, cause: &str) {
    for (number, sent) in routes().into_iter().enumerate() {
        let parent = format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
        for sent in [sent.clone().header("traceparent", &parent), sent] {
            let reply = ask(app, sent.clone()).await;
            assert_eq!((reply.status, reply.text("code").as_deref()), (500, Some("misconfigured")));
            let trace_id = reply.text("trace_id").expect("a 5xx has it");
            if sent.headers.iter().any(|(name, _)| *name == "traceparent") {
                assert_eq!(trace_id, parent[3..35]);
            }
            let log = app.stderr();
            let line = log.lines().find(|line| line.contains(&trace_id)).unwrap_or_else(|| {
                panic!("{trace_id} is not in the log:\n{log}");
            });
            let line: Value = serde_json::from_str(line).expect("a line of the log is JSON");
            assert_eq!(line["code"], "misconfigured", "{line}");
            assert!(line["cause"].as_str().is_some_and(|text| text.contains(cause)), "{line}");
            // The trace's id is random, and may have whatever digits.
            let body = String::from_utf8_lossy(&reply.body).replace(&trace_id, "");
            assert!(!body.contains(cause), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_number_of_partitions_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for place in Place::all() {
        let with = |partitions: &str| {
            let mut options = place.options().variable("partitions", partitions);
            options.key_value = host::KeyValue::File(folder.path().to_owned());
            options
        };
        accept(&load(with("256")).await, order_paid(1)).await;
        let other = load(with("512")).await;
        assert_misconfigured(&other, "256").await;
        let health = Ask::get("/healthz").of(&other).await;
        assert_eq!(health.status, 503);
        assert_eq!(
            health.json(),
            json!({"status": "unavailable", "store": "unusable", "warnings": []})
        );
        let same = load(with("256")).await;
        assert!(!is_new(&same, 1).await && is_new(&same, 2).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_variables_are_the_operators_fault_and_named_in_the_log() {
    let table = [
        ("caller_token", "", "variable caller_token: is required"),
        ("operator_token", "short", "variable operator_token: must have at least 16"),
        ("operator_token", CALLER, "variable operator_token: must differ"),
        ("store", "sqlite", "variable store: must be kv or redis://"),
        ("partitions", "100", "variable partitions: "),
    ];
    for (name, value, cause) in table {
        let app = load(options(root().join("spin.toml")).variable(name, value)).await;
        assert_misconfigured(&app, cause).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_traceparent_is_not_passed_on() {
    let app = Place::Kv.app().await;
    for (parent, passed) in [(PARENT, Some(PARENT)), ("00-zero-7-01", None)] {
        for sent in [check(1), order_paid(1), check_many(&[]), Ask::get("/healthz")] {
            let reply = ask(&app, sent.header("traceparent", parent)).await;
            assert_eq!(reply.header("traceparent"), passed, "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_do_not_see_each_other() {
    for place in Place::all() {
        let gray = load(place.options().variable("stage", "gray")).await;
        accept(&gray, order_paid(1)).await;
        assert!(!is_new(&gray, 1).await);
        assert!(is_new(&place.app().await, 1).await);
    }
}

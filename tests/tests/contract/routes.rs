//! The contract and the app agree: every route of the app is in the document, every route of the
//! document answers on the running host, every other method does not, and what the app answers has the
//! shapes and codes that the document lists.

use end_to_end::app::{Ask, CLOUD_EVENTS, Place, check, check_many, mark_paid, order_paid, root};
use end_to_end::coupon::{published, template};
use end_to_end::openapi::{Document, as_text, by_caller, too_large};
use end_to_end::wallet::{packet_name, packet_paid, packet_paid_by, packet_to_pay, send, tell};
use http::Method;
use serde_json::{Value, json};

/// What stands for the parameters of routes.
const PARAMETERS: &[(&str, &str)] = &[
    ("{user}", "7"),
    ("{template}", "t"),
    ("{batch}", "b"),
    ("{coupon}", "n"),
    ("{campaign}", "c"),
    ("{order_number}", "n"),
    ("{activity}", "a"),
    ("{part}", "1"),
    ("{rain}", "r"),
    ("{packet}", "7.a"),
    ("{withdrawal_number}", "w"),
    ("{day}", "2026-11-27"),
];

/// Calls with each object inside of a value.
fn each_object(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            see(value);
            members.values().for_each(|member| each_object(member, see));
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, see)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_whole() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    assert_eq!(document.value["openapi"], "3.1.0");
    let written = std::fs::read_to_string(root().join(contract::openapi::PATH));
    let written: Value = serde_json::from_str(&written.expect("a file")).expect("a document");
    assert_eq!(document.value, written, "what was written is served");
    let (mut references, mut examples) = (0, 0);
    each_object(&document.value, &mut |object| {
        if object.get("$ref").is_some() {
            references += 1;
            document.resolve(object);
        }
        if let (Some(schema), Some(example)) = (object.get("schema"), object.get("example")) {
            examples += 1;
            let errors = document.errors(schema, example);
            assert!(errors.is_empty(), "{example} is no {schema}: {errors:?}");
        }
    });
    assert!(references > 100 && examples > 20, "{references} references, {examples} examples");
    for (route, component) in app.routes() {
        let segments = route.split('/').map(|segment| match segment.strip_prefix(':') {
            Some(name) => format!("{{{name}}}"),
            None => segment.to_owned(),
        });
        let path = segments.collect::<Vec<_>>().join("/");
        // What belongs to no function takes the rest.
        let described = component == "root" || document.value["paths"].get(&path).is_some();
        assert!(described, "{path} is not described");
    }
}

/// What the checks of answers rest on.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_does_not_say_is_found() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let problem = json!({"type": "t", "title": "t", "status": 404, "code": "c", "detail": "d"});
    let with = |value: &Value, member: &str, is: Value| {
        let mut value = value.clone();
        value[member] = is;
        value
    };
    let coded = json!({"allOf": [of("Problem"), {"properties": {"code": {"enum": ["c"]}}}]});
    let users = json!({"type": "array", "items": of("User")});
    let user = json!({"user": "7", "new": true});
    let right = [
        (of("User"), user.clone()),
        (users.clone(), json!([user])),
        (of("Time"), json!("2026-02-16T16:00:00Z")),
        (coded.clone(), with(&problem, "trace_id", json!("t"))),
    ];
    for (schema, value) in right {
        let errors = document.errors(&schema, &value);
        assert!(errors.is_empty(), "{errors:?}: {value}");
    }
    let wrong = [
        ("a member that is not named", of("User"), with(&user, "age", json!(9))),
        ("in an item", users, json!([with(&user, "age", json!(9))])),
        ("in a problem", coded.clone(), with(&problem, "age", json!(9))),
        ("a code that is not listed", coded, with(&problem, "code", json!("d"))),
        ("a member that is missing", of("User"), json!({"user": "7"})),
        ("another type", of("User"), with(&user, "user", json!(7))),
        ("a pattern", of("User"), with(&user, "user", json!("07x"))),
        ("a format", of("Time"), json!("2026-02-30T16:00:00Z")),
        ("a fraction", of("Problem"), with(&problem, "status", json!(404.0))),
    ];
    for (what, schema, value) in wrong {
        assert!(!document.errors(&schema, &value).is_empty(), "{what}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_answers_and_no_other_method_does() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    for (route, operations) in document.value["paths"].as_object().unwrap() {
        let stand_in = |path: String, (name, value): &(&str, &str)| path.replace(name, value);
        let path = PARAMETERS.iter().fold(route.clone(), stand_in);
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let name = method.as_str().to_lowercase();
            let reply = Ask::new(method, &*path).operator().of(&app).await;
            reply.assert_well_formed();
            let described = operations.get(&name).is_some();
            assert_eq!(reply.status != 405, described, "{name} {route}: {reply:?}");
            if described {
                document.check_reply(route, &name, &reply);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_users_and_events_are_as_the_document_says() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    let check_all = async |method: &str, route: &str, rows| {
        document.check(&app, method, route, rows).await;
    };
    let (new, many) = ("/v1/users/{user}/new", "/v1/users/check-new");
    let (paid, import, events) = ("/v1/users/mark-paid", "/v1/users/import", "/v1/events");
    let put = |body: &'static str| Ask::new(Method::PUT, import).json(body).operator();
    let event = |body: &'static str| {
        Ask::post(events, body).header("content-type", "application/cloudevents+json")
    };
    let foreign = r#"{"specversion": "1.0", "id": "1", "source": "s", "type": "x", "data": {}}"#;
    let unknown_group = r#"{"specversion": "1.0", "id": "1", "source": "s", "type": "group.failed",
        "data": {"campaign": "c", "group": "g", "user": "7"}}"#;
    let rows = vec![
        (200, "", check(7)),
        (200, "import_incomplete", Ask::get("/v1/users/7/new?unknown=ask")),
        (400, "invalid_id", Ask::get("/v1/users/abc/new")),
        (400, "invalid_value", Ask::get("/v1/users/7/new?unknown=x")),
        (400, "unknown_field", Ask::get("/v1/users/7/new?x=y")),
        (400, "duplicate_field", Ask::get("/v1/users/7/new?unknown=new&unknown=new")),
        (401, "missing_token", check(7).without("authorization")),
        (401, "wrong_token", check(7).header("authorization", "Bearer nonsense")),
    ];
    check_all("get", new, rows).await;
    let rows = vec![
        (200, "", check_many(&[1, 2, 2])),
        (400, "too_few_users", check_many(&[])),
        (400, "too_many_users", check_many(&[7; 1_001])),
        (400, "invalid_json", Ask::post(many, "{")),
        (400, "missing_field", Ask::post(many, "{}")),
        (400, "invalid_value", Ask::post(many, r#"{"users": 7}"#)),
        (400, "duplicate_field", Ask::post(many, r#"{"users": [], "users": []}"#)),
        (413, "body_too_large", too_large(check_many(&[1]))),
        (415, "unsupported_media_type", as_text(check_many(&[1]))),
    ];
    check_all("post", many, rows).await;
    let refused = (403, "operator_only", by_caller(mark_paid(&[1])));
    check_all("post", paid, vec![(204, "", mark_paid(&[1])), refused]).await;
    let refused = (403, "operator_only", Ask::get(import));
    check_all("get", import, vec![(200, "", Ask::get(import).operator()), refused]).await;
    let refused = (400, "invalid_value", put(r#"{"complete": 1}"#));
    check_all("put", import, vec![(200, "", put(r#"{"complete": true}"#)), refused]).await;
    let mut of_another = packet_paid(7, "n");
    of_another["data"]["packet"] = json!(packet_name(8, "n"));
    let batch = json!([packet_paid(7, "n"), packet_paid(7, "never")]).to_string();
    let batch = Ask::post(events, batch).header("content-type", CLOUD_EVENTS);
    assert_eq!(send(&packet_to_pay(7, "n", 100, 1)).of(&app).await.status, 201);
    let rows = vec![
        (204, "", order_paid(9)),
        (204, "", tell(&packet_paid(7, "n"))),
        (204, "", tell(&packet_paid(7, "n"))),
        (400, "invalid_value", tell(&of_another)),
        (400, "invalid_payment", tell(&packet_paid_by(Some("a b"), 7, "n"))),
        (422, "unknown_packet", tell(&packet_paid(7, "never"))),
        (422, "unknown_packet", batch),
        (
            400,
            "unsupported_specversion",
            event(r#"{"specversion": "0.3", "id": "1", "source": "s"}"#),
        ),
        (400, "missing_field", event("{}")),
        (422, "unknown_event_type", event(foreign)),
        (422, "unknown_group", event(unknown_group)),
        (415, "unsupported_media_type", as_text(order_paid(9))),
    ];
    check_all("post", events, rows).await;
    let health = Ask::get("/healthz").without("authorization");
    check_all("get", "/healthz", vec![(200, "", health)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_group_buys_are_as_the_document_says() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    let check_all = async |method: &str, route: &str, rows| {
        document.check(&app, method, route, rows).await;
    };
    published(&app, "t", &template(10)).await;
    let path = |campaign: &str| format!("/v1/group-buy-campaigns/{campaign}");
    let put = |campaign: &str, body: Value| {
        Ask::new(Method::PUT, path(campaign)).json(body.to_string()).operator()
    };
    let of = |template: &str| json!({"template": template, "give_back": false});
    let off = json!({"template": "t", "give_back": true, "enabled": false});
    let rows = vec![
        (200, "", put("c", of("t"))),
        (200, "", put("off", off)),
        (400, "invalid_part", put("C", of("t"))),
        (400, "invalid_part", put("c", of("T"))),
        (400, "unknown_template", put("c", of("x"))),
        (400, "missing_field", put("c", json!({}))),
        (403, "operator_only", by_caller(put("c", of("t")))),
        (415, "unsupported_media_type", as_text(put("c", of("t")))),
    ];
    check_all("put", "/v1/group-buy-campaigns/{campaign}", rows).await;
    let get = |campaign: &str| Ask::get(path(campaign)).operator();
    let rows = vec![
        (200, "", get("off")),
        (400, "invalid_part", get("C")),
        (403, "operator_only", by_caller(get("c"))),
        (404, "unknown_campaign", get("x")),
    ];
    check_all("get", "/v1/group-buy-campaigns/{campaign}", rows).await;
    let open = |campaign: &str, group: &str, user: u64, seconds: u64| {
        let body = json!({
            "campaign": campaign, "group": group, "user": user, "expires_in_seconds": seconds,
        });
        Ask::post("/v1/group-buys", body.to_string())
    };
    assert_eq!(order_paid(9).of(&app).await.status, 204);
    let rows = vec![
        (201, "", open("c", "g", 7, 60)),
        (201, "", open("c", "g", 7, 60)),
        (400, "invalid_part", open("c", "G", 7, 60)),
        (400, "invalid_value", open("c", "g", 7, 0)),
        (400, "missing_field", Ask::post("/v1/group-buys", "{}")),
        (401, "missing_token", open("c", "g", 7, 60).without("authorization")),
        (404, "unknown_campaign", open("x", "g", 7, 60)),
        (409, "chance_used", open("c", "h", 7, 60)),
        (409, "disabled", open("off", "g", 7, 60)),
        (409, "not_eligible", open("c", "g", 9, 60)),
        (413, "body_too_large", too_large(open("c", "g", 7, 60))),
        (422, "order_number_reused", open("c", "g", 7, 61)),
    ];
    check_all("post", "/v1/group-buys", rows).await;
}

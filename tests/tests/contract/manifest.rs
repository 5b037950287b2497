//! The manifests: what the app is given and what it is refused, and events from a Redis channel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use edge::contract::Function;
use edge::variable::Variable;
use end_to_end::app::{
    Ask, CALLER, OPERATOR, Place, SIGNING_KEYS, check, event, load, options, order_paid, root,
    verifying_keys,
};
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{cents, open_rain, rain, rain_set_up, view};
use host::{App, Call, ComponentVariables, Options};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

const CHANNEL: &str = "hongbao-events";
const SETTLEMENT_CHANNEL: &str = "hongbao-settlement";
/// A message is handled within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A manifest with this text, beside the components it names.
fn copied(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = root().join("target").display().to_string();
    let path = folder.path().join("spin.toml");
    fs::write(&path, text.replace("\"target/", &format!("\"{target}/"))).expect("a copy");
    (folder, path)
}

/// A copy of `spin.toml` with changes, beside the components it names.
fn changed(from: &str, to: &str) -> (TempDir, Options) {
    let manifest = fs::read_to_string(root().join("spin.toml")).expect("the manifest");
    assert!(manifest.contains(from), "{from}");
    let (folder, path) = copied(&manifest.replace(from, to));
    (folder, options(path))
}

#[track_caller]
fn check_refused(from: &str, to: &str, field: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (folder, options) = changed(from, to);
    let Err(error) = runtime.block_on(App::load(options)) else { panic!("{to} is not refused") };
    let text = error.to_string();
    assert!(text.contains(&format!("spin.toml: {field}: ")), "{text}\ndoes not name {field}");
    drop(folder);
}

#[test]
fn a_field_or_trigger_that_is_not_supported_is_refused_by_name() {
    let component = "[component.events]";
    for (more, field) in [
        ("files = [\"*\"]", "component.events.files"),
        ("ai_models = [\"llama2-chat\"]", "component.events.ai_models"),
        ("sqlite_databases = [\"default\"]", "component.events.sqlite_databases"),
        ("environment = { A = \"b\" }", "component.events.environment"),
        (
            "dependencies_inherit_configuration = true",
            "component.events.dependencies_inherit_configuration",
        ),
        ("colour = \"red\"", "component.events.colour"),
        ("key_value_store = [\"default\"]", "component.events.key_value_store"),
    ] {
        check_refused(component, &format!("{component}\n{more}"), field);
    }
    let trigger = "[[trigger.cron]]\ncomponent = \"events\"\ncron_expression = \"1 * * * * *\"\n\n";
    check_refused(component, &format!("{trigger}{component}"), "trigger.cron");
    check_refused(
        "spin_manifest_version = 2",
        "spin_manifest_version = 3",
        "spin_manifest_version",
    );
}

#[tokio::test]
async fn tokens_and_keys_have_no_default() {
    let verifying = verifying_keys();
    let given = [
        ("caller_token", CALLER),
        ("operator_token", OPERATOR),
        ("token_signing_keys", SIGNING_KEYS),
        ("token_verifying_keys", &verifying),
    ];
    for (missing, _) in given {
        let mut options = Options::new(root().join("spin.toml"));
        for (name, value) in given.iter().filter(|(name, _)| *name != missing) {
            options = options.variable(*name, *value);
        }
        let error = App::load(options).await.err().expect("a variable is missing").to_string();
        assert!(error.contains(missing), "{error}");
    }
}

/// Both apps on the embedded store; only messages that are given in process are handled.
async fn both(http: PathBuf) -> App {
    let mut both = options(http).variable("nudge_address", "redis://127.0.0.1:6379");
    both.manifests.push(root().join("spin-nudge.toml"));
    load(both).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_manifests_load_together_and_have_the_routes_and_the_channels_of_the_contracts() {
    let app = both(root().join("spin.toml")).await;
    let functions = contract::functions();
    let of = |function: &Function| {
        let name = function.name.to_owned();
        contract::manifest::paths(function).into_iter().map(move |path| (path, name.clone()))
    };
    let expected: BTreeSet<_> = functions.iter().flat_map(of).collect();
    let routes = app.routes();
    assert_eq!(routes.len(), expected.len());
    assert_eq!(routes.into_iter().collect::<BTreeSet<_>>(), expected);
    let expected = functions.iter().flat_map(|function| &function.channels);
    let expected: BTreeSet<_> = expected.map(|channel| channel.name.to_owned()).collect();
    assert_eq!(expected, [CHANNEL, SETTLEMENT_CHANNEL].map(str::to_owned).into());
    assert_eq!(app.channels().into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Has every component read all that it reads, whatever it answers.
async fn call_all(app: &App) {
    for ask in [
        check(7),
        order_paid(7),
        Ask::get("/v1/coupon-templates/t").operator(),
        Ask::get("/v1/activities/a").operator(),
        Ask::get("/v1/rains/r").operator(),
        Ask::get("/v1/users/7/balance"),
        Ask::get("/v1/retention").operator(),
        Ask::get("/healthz"),
    ] {
        ask.of(app).await;
    }
    for channel in app.channels() {
        let message = event(7).to_string();
        let _answered = app.publish(&channel, message.as_bytes()).await;
    }
}

/// What the contracts say that each component reads.
fn variables_of_contracts() -> BTreeMap<String, BTreeSet<String>> {
    let names = |variables: &[Variable]| variables.iter().map(|one| one.name.to_owned()).collect();
    let mut all = BTreeMap::new();
    for function in contract::functions() {
        all.insert(function.name.to_owned(), names(&function.variables));
        for channel in &function.channels {
            all.insert(format!("{}-nudge", function.name), names(&channel.variables));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_component_is_given_the_variables_that_it_reads_and_no_others() {
    let app = both(root().join("spin.toml")).await;
    call_all(&app).await;
    let contracts = variables_of_contracts();
    let variables = app.variables();
    assert_eq!(variables.len(), contracts.len());
    for ComponentVariables { component, given, asked } in variables {
        assert_eq!(given, contracts[&component], "the manifest gives {component}");
        assert_eq!(asked, given, "{component} reads");
    }
    let of_root = &contracts["root"];
    assert!(!of_root.iter().any(|name| name.contains("token")), "root has a token: {of_root:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_components_with_each_others_variables_are_found() {
    let text = fs::read_to_string(root().join("spin.toml")).expect("the manifest");
    let section = |id: &str| {
        let head = format!("[component.{id}.variables]\n");
        let (_, after) = text.split_once(&head).expect("a section");
        (head, after.split_once("\n\n").expect("an end").0.to_owned())
    };
    for (one, other) in
        [("red-packet", "balance"), ("balance", "settlement"), ("settlement", "root")]
    {
        let ((head, own), (other_head, others)) = (section(one), section(other));
        let swapped = text
            .replace(&format!("{head}{own}"), &format!("{head}{others}"))
            .replace(&format!("{other_head}{others}"), &format!("{other_head}{own}"));
        let (_folder, manifest) = copied(&swapped);
        let app = both(manifest).await;
        call_all(&app).await;
        for ComponentVariables { component, given, asked } in app.variables() {
            let is_swapped = component == one || component == other;
            assert_eq!(given != asked, is_swapped, "{component}: {given:?} {asked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_not_connected_to() {
    let server = start();
    let (_folder, options) = changed("\"redis://*:*\"", "\"redis://127.0.0.1:1\"");
    let connections = async || -> String {
        let stats: String = server.command(&["INFO", "stats"]).await.unwrap();
        let line = stats.lines().find(|line| line.starts_with("total_connections_received:"));
        line.expect("the server counts them").trim().to_owned()
    };
    let before = connections().await;
    let app = load(options.variable("store", server.address())).await;
    for asked in [check(1), order_paid(1)] {
        let reply = asked.of(&app).await;
        reply.assert_store_failed();
        assert_eq!(reply.text("code").as_deref(), Some("store_unavailable"));
    }
    assert_eq!(app.counters().of(Call::RedisOpen), 0);
    // One more: the one that asked before.
    let count = |line: &str| line.rsplit(':').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(count(&connections().await), count(&before) + 1);
    let log = app.stderr();
    assert!(log.contains("not in allowed_outbound_hosts"), "{log}");
}

fn start() -> RedisServer {
    match Place::redis() {
        Place::Redis(server) => server,
        Place::Kv => unreachable!("a server was asked for"),
    }
}

async fn with_nudge(server: &RedisServer) -> App {
    let mut options = Place::Kv
        .options()
        .variable("store", server.address())
        .variable("nudge_address", server.address());
    options.manifests.push(root().join("spin-nudge.toml"));
    load(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_on_the_redis_channel_marks_its_user() {
    let server = start();
    let app = with_nudge(&server).await;
    assert!(check(7).of(&app).await.is_new());
    let listening = app.serve().await.expect("a free port on loopback");
    let mut connection = server.connection().await.expect("a connection");
    let message = event(7).to_string();
    let told = async {
        // The trigger subscribes by itself; before, a message has no receiver.
        loop {
            let publish = redis::cmd("PUBLISH").arg(CHANNEL).arg(&message).to_owned();
            let receivers: u64 = publish.query_async(&mut connection).await.expect("published");
            if receivers > 0 {
                break;
            }
        }
        while check(7).of(&app).await.is_new() {}
    };
    timeout(PATIENCE, told).await.expect("the message is handled");
    assert!(check(8).of(&app).await.is_new());
    listening.stop().await;
}

/// In process, so that it is known when a message has been handled.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_events_or_batches_and_wrong_ones_are_logged() {
    let server = start();
    let app = with_nudge(&server).await;
    let batch = json!([event(1), event(2)]).to_string();
    for message in [event(3).to_string(), batch] {
        app.publish(CHANNEL, message.as_bytes()).await.expect("handled");
    }
    for user in 1..=3 {
        assert!(!check(user).of(&app).await.is_new());
    }
    let mut lost = event(4);
    lost["type"] = "order.lost".into();
    for (message, code) in [
        ("{".to_owned(), "invalid_json"),
        (json!([event(4), lost]).to_string(), "unknown_event_type"),
    ] {
        app.publish(CHANNEL, message.as_bytes()).await.expect_err("refused");
        let log = app.stderr();
        assert!(log.contains(&format!("\"code\":\"{code}\"")), "{log}");
    }
    assert!(check(4).of(&app).await.is_new(), "nothing of a refused batch was committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_settlement_posts_what_is_pending_whatever_it_says() {
    let server = start();
    let app = with_nudge(&server).await;
    rain_set_up(&app, "r", &rain()).await;
    for (user, message) in [(7, ""), (8, "{"), (9, "{\"users_max\": 0}")] {
        assert_eq!(open_rain(user, "r", "a").of(&app).await.status, 201);
        let pending = async || {
            let reply = view(user).of(&app).await;
            (cents(&reply, "pending"), cents(&reply, "balance"))
        };
        assert_eq!(pending().await, (100, 100));
        app.publish(SETTLEMENT_CHANNEL, message.as_bytes()).await.expect("handled");
        assert_eq!(pending().await, (0, 100), "{message}");
    }
}

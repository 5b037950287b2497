//! The manifests: what the app is given and what it is refused, and events from a Redis channel.

use std::fs;
use std::time::Duration;

use end_to_end::app::{
    CALLER, OPERATOR, Place, SIGNING_KEYS, check, event, load, options, order_paid, root,
    verifying_keys,
};
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{cents, open_rain, rain, rain_set_up, view};
use host::{App, Call, Options};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

const CHANNEL: &str = "hongbao-events";
const SETTLEMENT_CHANNEL: &str = "hongbao-settlement";
/// A message is handled within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A copy of `spin.toml` with changes, beside the components it names.
fn changed(from: &str, to: &str) -> (TempDir, Options) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = fs::read_to_string(root().join("spin.toml")).expect("the manifest");
    assert!(manifest.contains(from), "{from}");
    let target = root().join("target").display().to_string();
    let manifest = manifest.replace(from, to).replace("\"target/", &format!("\"{target}/"));
    fs::write(folder.path().join("spin.toml"), manifest).expect("a copy");
    let options = options(folder.path().join("spin.toml"));
    (folder, options)
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

#[tokio::test(flavor = "multi_thread")]
async fn both_manifests_load_together_and_have_the_routes_and_the_channels() {
    let mut options = Place::Kv.options().variable("nudge_address", "redis://127.0.0.1:6379");
    options.manifests.push(root().join("spin-nudge.toml"));
    let app = load(options).await;
    let mut routes = app.routes();
    routes.sort();
    let expected = [
        ("/...", "root"),
        ("/v1/activities/:activity", "promotion"),
        ("/v1/activities/:activity/publish", "promotion"),
        ("/v1/activities/:activity/rollout", "promotion"),
        ("/v1/activities/:activity/sku-list/:part", "promotion"),
        ("/v1/collection", "settlement"),
        ("/v1/coupon-templates/:template", "coupon"),
        ("/v1/coupon-templates/:template/bulk", "coupon"),
        ("/v1/coupon-templates/:template/bulk/:batch", "coupon"),
        ("/v1/coupon-templates/:template/extend", "coupon"),
        ("/v1/coupon-templates/:template/revoke", "coupon"),
        ("/v1/coupons/sweep", "coupon"),
        ("/v1/events", "events"),
        ("/v1/export/:day", "settlement"),
        ("/v1/group-buy-campaigns/:campaign", "coupon"),
        ("/v1/group-buys", "coupon"),
        ("/v1/posting", "settlement"),
        ("/v1/prices", "promotion"),
        ("/v1/promotions/compare", "promotion"),
        ("/v1/promotions/evaluate", "promotion"),
        ("/v1/promotions/labels", "promotion"),
        ("/v1/promotions/sweep", "promotion"),
        ("/v1/quarantine", "settlement"),
        ("/v1/quarantine/:item/drop", "settlement"),
        ("/v1/quarantine/:item/retry", "settlement"),
        ("/v1/rains/:rain", "red-packet"),
        ("/v1/reconciliation", "settlement"),
        ("/v1/red-packets", "red-packet"),
        ("/v1/red-packets/:packet", "red-packet"),
        ("/v1/red-packets/:packet/grab", "red-packet"),
        ("/v1/red-packets/:packet/open", "red-packet"),
        ("/v1/retention", "settlement"),
        ("/v1/scenes/:scene", "coupon"),
        ("/v1/settlement", "settlement"),
        ("/v1/unapplied-payments", "settlement"),
        ("/v1/unapplied-payments/:payment_id", "settlement"),
        ("/v1/users/:user/balance", "balance"),
        ("/v1/users/:user/balance/orders/:order_number", "balance"),
        ("/v1/users/:user/balance/post", "balance"),
        ("/v1/users/:user/coupons", "coupon"),
        ("/v1/users/:user/coupons/:coupon/extend", "coupon"),
        ("/v1/users/:user/coupons/:coupon/redeem", "coupon"),
        ("/v1/users/:user/coupons/:coupon/revoke", "coupon"),
        ("/v1/users/:user/coupons/:coupon/rollback", "coupon"),
        ("/v1/users/:user/coupons/orders/:order_number", "coupon"),
        ("/v1/users/:user/new", "new-user"),
        ("/v1/users/:user/purchases", "promotion"),
        ("/v1/users/:user/purchases/:order_number", "promotion"),
        ("/v1/users/:user/purchases/:order_number/give-back", "promotion"),
        ("/v1/users/:user/rain-packets", "red-packet"),
        ("/v1/users/:user/reservations", "coupon"),
        ("/v1/users/:user/reservations/:order_number/cancel", "coupon"),
        ("/v1/users/:user/reservations/:order_number/confirm", "coupon"),
        ("/v1/users/:user/statement", "balance"),
        ("/v1/users/:user/withdrawals", "balance"),
        ("/v1/users/:user/withdrawals/:withdrawal_number", "balance"),
        ("/v1/users/:user/withdrawals/:withdrawal_number/post", "balance"),
        ("/v1/users/:user/withdrawals/:withdrawal_number/void", "balance"),
        ("/v1/users/check-new", "new-user"),
        ("/v1/users/import", "new-user"),
        ("/v1/users/mark-paid", "new-user"),
    ];
    let expected = expected.map(|(route, id)| (route.to_owned(), id.to_owned()));
    assert_eq!(routes, expected);
    let mut channels = app.channels();
    channels.sort();
    assert_eq!(channels, [CHANNEL, SETTLEMENT_CHANNEL]);
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

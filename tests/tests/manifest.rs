//! The manifests: they load, the host refuses by name what it does not support, an outbound host that
//! is not allowed is not reached, and the Redis channel brings events in.

use std::fs;
use std::time::{Duration, Instant};

use end_to_end::app::{CALLER, OPERATOR, Place, check, event, load, options, root};
use host::App;

/// Writes a changed copy of `spin.toml`, beside which its components are found.
fn changed(change: impl FnOnce(String) -> String) -> tempfile::NamedTempFile {
    let text = change(fs::read_to_string(root().join("spin.toml")).unwrap());
    let file = tempfile::Builder::new()
        .prefix("spin-")
        .suffix(".toml")
        .tempfile_in(root().join("target"))
        .unwrap();
    let sources = format!("source = \"{}/target/", root().display());
    fs::write(file.path(), text.replace("source = \"target/", &sources)).unwrap();
    file
}

#[track_caller]
fn check_refused(change: impl FnOnce(String) -> String, named: &str) {
    let file = changed(change);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(App::load(options(file.path())));
    let text = result.err().unwrap_or_else(|| panic!("{named} was accepted")).to_string();
    assert!(text.contains(named), "{text}");
}

#[test]
fn what_the_host_does_not_support_is_refused_by_name() {
    let after = |anchor: &'static str, line: &'static str| {
        move |text: String| text.replacen(anchor, &format!("{anchor}\n{line}"), 1)
    };
    check_refused(after("[component.events]", "files = [\"x\"]"), "component.events.files");
    check_refused(after("[component.root]", "sqlite_databases = [\"x\"]"), "sqlite_databases");
    check_refused(after("[application]", "colour = \"red\""), "application.colour");
    let trigger = "[[trigger.mqtt]]\ntopic = \"x\"\ncomponent = \"root\"\n\n[component.root]";
    check_refused(|text| text.replacen("[component.root]", trigger, 1), "trigger.mqtt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_host_that_is_not_allowed_is_not_reached() {
    let place = Place::redis();
    let elsewhere = "allowed_outbound_hosts = [\"redis://127.0.0.1:1\"]";
    let allowed = "allowed_outbound_hosts = [\"redis://*:*\", \"rediss://*:*\"]";
    let file = changed(|text| text.replace(allowed, elsewhere));
    let app = load(options(file.path()).variable("store", place.address())).await;
    check(7).of(&app).await.assert_store_failed();
    let Place::Redis(server) = &place else { unreachable!("it was asked for") };
    let clients: String = server.command(&["CLIENT", "LIST"]).await.unwrap();
    assert_eq!(clients.lines().count(), 1, "only this test is connected: {clients}");
    assert!(app.stderr().contains("not allowed"), "{}", app.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redis_channel_brings_events_in() {
    let place = Place::redis();
    let mut options = place.options().variable("nudge_address", place.address());
    options.manifests.push(root().join("spin-nudge.toml"));
    let app = load(options).await;
    let _server = app.serve().await.unwrap();
    let Place::Redis(server) = &place else { unreachable!("it was asked for") };
    assert!(check(7).of(&app).await.is_new());
    let (start, message) = (Instant::now(), event(7).to_string());
    // Messages are lost while nobody listens yet; so it is said until it is heard.
    while check(7).of(&app).await.is_new() {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody hears the channel");
        let _heard: i64 = server.command(&["PUBLISH", "hongbao-events", &message]).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tokens_have_no_default() {
    let given = [("caller_token", CALLER), ("operator_token", OPERATOR)];
    for missing in 0..given.len() {
        let mut options = host::Options::new(root().join("spin.toml"));
        for (index, (name, token)) in given.iter().enumerate() {
            if index != missing {
                options = options.variable(*name, *token);
            }
        }
        let error = App::load(options).await.err().expect("a token is missing").to_string();
        assert!(error.contains(given[missing].0), "{error}");
    }
}

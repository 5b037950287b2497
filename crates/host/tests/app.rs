//! What an app does before any component runs: what it refuses to load, the host's own answers,
//! and the server. Components are tested from end to end elsewhere.

use std::path::Path;

use bytes::Bytes;
use host::{App, KeyValue, LoadError, Options, component_bytes};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// The smallest component: nothing imported, nothing exported.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// The smallest module; it is wrapped into a component without imports and exports.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"test\"\n";

fn write(folder: &Path, manifest: &str) -> Options {
    let path = folder.join("spin.toml");
    std::fs::write(&path, format!("{HEAD}{manifest}")).expect("a manifest");
    std::fs::write(folder.join("empty.wasm"), EMPTY_COMPONENT).expect("a component");
    std::fs::write(folder.join("module.wasm"), EMPTY_MODULE).expect("a module");
    std::fs::write(folder.join("text.wasm"), "text").expect("a text");
    Options::new(path)
}

/// Loads the manifest and expects a message that ends so.
#[track_caller]
fn check_refused(manifest: &str, change: impl FnOnce(Options) -> Options, message: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = change(write(folder.path(), manifest));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = match runtime.block_on(App::load(options)) {
        Ok(_) => panic!("loaded, instead of: {message}"),
        Err(error) => error.to_string(),
    };
    let folder = folder.path().display().to_string();
    let error = error.replace(&format!("{folder}/"), "");
    assert!(error.contains(message), "{error}\ninstead of\n{message}");
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    let same = |options| options;
    let rows = [
        ("[component.a]\nsource = \"absent.wasm\"", "component a: absent.wasm: No such file"),
        (
            "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"module.wasm\"",
            "trigger.http.component: component a does not export wasi:http/handler",
        ),
        ("[component.a]\nsource = \"text.wasm\"", "component a: text.wasm: not a component:"),
        (
            "[component.a]\nsource = \"empty.wasm\"\nkey_value_stores = [\"other\"]",
            "spin.toml: component.a.key_value_stores: \"other\": only \"default\" is supported",
        ),
        (
            "[component.a]\nsource = \"empty.wasm\"\nallowed_outbound_hosts = [\"redis\"]",
            "spin.toml: component.a.allowed_outbound_hosts: allowed outbound host \"redis\": has no scheme",
        ),
        (
            "[component.a]\nsource = \"empty.wasm\"\n[component.a.variables]\nb = \"{{ c }}\"",
            "template \"{{ c }}\": unknown variable \"c\"",
        ),
        (
            "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"empty.wasm\"",
            "trigger.http.component: component a does not export wasi:http/handler",
        ),
        (
            "[[trigger.redis]]\naddress = \"redis://a\"\nchannel = \"b\"\ncomponent = \"a\"\n[component.a]\nsource = \"empty.wasm\"",
            "trigger.redis.component: component a does not export spin:redis/inbound-redis",
        ),
        (
            "[variables]\nhost_test_token = { required = true }",
            "variable \"host_test_token\" is required",
        ),
    ];
    for (manifest, message) in rows {
        check_refused(manifest, same, message);
    }
}

#[test]
fn a_variable_that_no_manifest_declares_is_refused() {
    let change = |options: Options| options.variable("stroe", "kv");
    check_refused("", change, "variable \"stroe\" is not declared");
}

#[test]
fn a_component_of_two_manifests_is_refused() {
    let change = |mut options: Options| {
        options.manifests.push(options.manifests[0].clone());
        options
    };
    let manifest = "[component.a]\nsource = \"empty.wasm\"";
    let message = "component.a: another manifest has a component of this name";
    check_refused(manifest, change, message);
}

#[test]
fn a_store_that_cannot_be_opened_is_refused() {
    let change = |mut options: Options| {
        let file = options.manifests[0].clone();
        options.key_value = KeyValue::File(file.join("not-a-folder"));
        options
    };
    check_refused("", change, "key-value store:");
}

#[test]
fn a_component_is_taken_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "");
    let bytes = component_bytes(&folder.path().join("empty.wasm")).expect("a component");
    assert_eq!(bytes, EMPTY_COMPONENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_itself_answers_health_and_unknown_routes_in_process_and_on_a_socket()
-> Result<(), LoadError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = App::load(write(folder.path(), "")).await?;
    let rows = [
        ("/.well-known/spin/health", StatusCode::OK, "OK"),
        ("/.well-known/spin/other", StatusCode::NOT_FOUND, ""),
        ("/v1/users/1/new", StatusCode::NOT_FOUND, ""),
        ("/", StatusCode::NOT_FOUND, ""),
    ];
    let server = app.serve().await.expect("a free port on loopback");
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    for (path, status, body) in rows {
        let request = Request::get(path).body(Bytes::new()).expect("a request");
        let response = app.request(request).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.body(), body, "{path}");

        let uri = format!("http://{}{path}", server.address).parse().expect("an address");
        let response = client.get(uri).await.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        let bytes = response.into_body().collect().await.expect("a body");
        assert_eq!(bytes.to_bytes(), body, "{path}");
    }
    let address = server.address;
    drop(client);
    server.stop().await;
    tokio::net::TcpStream::connect(address).await.expect_err("nobody listens after a stop");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_a_channel_that_nobody_listens_to_is_an_error() -> Result<(), LoadError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = App::load(write(folder.path(), "")).await?;
    let error = app.publish("orders", b"x").await.expect_err("no trigger");
    assert_eq!(error.to_string(), "no component listens on channel \"orders\"");
    Ok(())
}

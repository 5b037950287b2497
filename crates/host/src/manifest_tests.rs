//! What a manifest may hold, and how everything else is refused by name.

use super::*;

const GOOD: &str = r#"
spin_manifest_version = 2

[application]
name = "shop"
version = "1.0.0"
description = "a shop"
authors = ["somebody"]
[application.trigger.redis]
address = "redis://{{ broker }}"

[variables]
broker = { default = "localhost:6379" }
token = { required = true, secret = true }

[[trigger.http]]
id = "one"
route = "/v1/..."
component = "new-user"

[[trigger.redis]]
channel = "orders"
component = "new-user"

[[trigger.redis]]
channel = "other"
address = "redis://other"
component = "new-user"

[component.new-user]
description = "who is new"
source = "target/new_user.wasm"
key_value_stores = ["default"]
allowed_outbound_hosts = ["redis://*:*"]
[component.new-user.variables]
token = "{{ token }}"
[component.new-user.build]
command = "cargo build"
workdir = "."
watch = ["src/**"]
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Path::new("app/spin.toml"), text)
}

#[test]
fn a_full_manifest_is_read() {
    let manifest = parse(GOOD).expect("all of it is supported");
    assert_eq!(manifest.name, "shop");
    assert!(manifest.variables["token"].secret);
    assert_eq!(manifest.variables["token"].default, None);
    assert_eq!(manifest.http[0].route, "/v1/...");
    assert_eq!(manifest.redis[0].address, "redis://{{ broker }}");
    assert_eq!(manifest.redis[1].address, "redis://other");
    let component = &manifest.components["new-user"];
    assert_eq!(component.source, Path::new("app/target/new_user.wasm"));
    assert_eq!(component.variables["token"], "{{ token }}");
}

/// Each row is a manifest that is wrong in one place, and the message that names it.
#[test]
fn whatever_is_not_supported_is_refused_by_name() {
    let rows = [
        (
            "[component.new-user.build]\ncommand",
            "[component.new-user.tool]\ncommand",
            "component.new-user.tool: not supported by this host",
        ),
        (
            "source = \"target",
            "files = [\"a\"]\nsource = \"target",
            "component.new-user.files: not supported by this host",
        ),
        (
            "source = \"target",
            "ai_models = [\"a\"]\nsource = \"target",
            "component.new-user.ai_models: not supported by this host",
        ),
        (
            "source = \"target",
            "sqlite_databases = [\"a\"]\nsource = \"target",
            "component.new-user.sqlite_databases: not supported by this host",
        ),
        (
            "source = \"target/new_user.wasm\"",
            "source = { url = \"http://a\", digest = \"b\" }",
            "component.new-user.source: only a string is supported here",
        ),
        ("source = \"target/new_user.wasm\"", "", "component.new-user.source: is missing"),
        (
            "[[trigger.redis]]\nchannel = \"orders\"",
            "[[trigger.cron]]\nchannel = \"orders\"",
            "trigger.cron: not supported by this host",
        ),
        (
            "route = \"/v1/...\"",
            "route = \"/v1/...\"\nexecutor = { type = \"wagi\" }",
            "trigger.http.executor: not supported by this host",
        ),
        (
            "route = \"/v1/...\"",
            "route = { private = true }",
            "trigger.http.route: only a string is supported here",
        ),
        ("route = \"/v1/...\"", "route = 1", "trigger.http.route: is not a string"),
        (
            "route = \"/v1/...\"\ncomponent = \"new-user\"",
            "route = \"/v1/...\"\ncomponent = \"other\"",
            "trigger.http: there is no component \"other\"",
        ),
        (
            "[application.trigger.redis]",
            "[application.trigger.mqtt]",
            "application.trigger.mqtt: not supported by this host",
        ),
        ("address = \"redis://{{ broker }}\"", "", "application.trigger.redis.address: is missing"),
        (
            "authors = [\"somebody\"]",
            "authors = [1]",
            "application.authors: is not a list of strings",
        ),
        (
            "version = \"1.0.0\"",
            "metadata = { a = 1 }",
            "application.metadata: not supported by this host",
        ),
        ("name = \"shop\"", "", "application.name: is missing"),
        ("secret = true", "secret = 1", "variables.token.secret: is not a boolean"),
        ("required = true,", "", "variables.token: has either a default, or `required = true`"),
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 1",
            "spin_manifest_version: only version 2 is supported",
        ),
        ("spin_manifest_version = 2", "", "spin_manifest_version: is missing"),
        ("[variables]", "[runtime]\na = 1\n[variables]", "runtime: not supported by this host"),
    ];
    for (good, bad, message) in rows {
        assert!(GOOD.contains(good), "{good}");
        let error = parse(&GOOD.replacen(good, bad, 1)).expect_err(message);
        assert_eq!(error.to_string(), format!("app/spin.toml: {message}"));
    }
}

#[test]
fn a_redis_trigger_needs_an_address() {
    let text = GOOD.replace("[application.trigger.redis]\naddress = \"redis://{{ broker }}\"", "");
    let error = parse(&text).expect_err("no address");
    assert_eq!(error.to_string(), "app/spin.toml: trigger.redis.address: is missing");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_place() {
    let error = parse("a = ").expect_err("not TOML");
    assert!(matches!(error, ManifestError::Syntax { .. }));
    assert!(error.to_string().contains("line 1"), "{error}");
}

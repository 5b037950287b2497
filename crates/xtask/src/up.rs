//! `cargo xtask up`: the whole app, on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use crate::{build, keys, native, workspace};

/// The caller's token where none is given. Known to everyone: for development alone.
pub const CALLER_TOKEN_DEVELOPMENT: &str = "development-caller-token";

/// The operator's token where none is given. Known to everyone: for development alone.
pub const OPERATOR_TOKEN_DEVELOPMENT: &str = "development-operator-token";

/// The app, and the Redis trigger in an app of its own: Spin ends an app whose Redis trigger loses
/// its connection, and the app must not end with it.
/// The host's binary.
const HOST: &str = "hongbao-host";
const MANIFEST: &str = "spin.toml";
const MANIFEST_NUDGE: &str = "spin-nudge.toml";

/// Where the trigger listens: the store, unless it is given; of a cluster the first node, because a
/// published message reaches all of them.
const NUDGE_ADDRESS: &str = "nudge_address";

/// Sets up, builds and runs the app on this machine, until Ctrl-C.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the app listens.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// `kv` [default], `redis://host:port`, or several of these with commas between for a cluster.
    #[arg(long)]
    store: Option<String>,
    /// Where the store `kv` keeps its data over restarts [default: .hongbao/data].
    #[arg(long)]
    data: Option<PathBuf>,
    /// A configuration variable, `name=value`; may be repeated.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
}

/// Builds the app and becomes its host.
///
/// # Errors
/// When something cannot be provided, built or started.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let variables = variables(arguments, &workspace::state())?;
    // Before the build, which takes minutes the first time.
    check_free(arguments.listen)?;
    build::build(&workspace::components()?)?;
    let program = native::program(HOST)?;
    let data = arguments.data.clone().unwrap_or_else(|| workspace::state().join("data"));
    let data = std::path::absolute(data)?;
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut command = host(&program, arguments.listen, &data, &variables);
    println!("{}", greeting(arguments.listen, &variables, now_ms));
    become_host(&mut command)
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    if name.is_empty() {
        return Err("the name is missing".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The variables of the app: those given, the store, and development tokens and keys where none are given.
fn variables(arguments: &Arguments, state: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = arguments.variables.clone();
    let given = |name: &str| arguments.variables.iter().any(|(given, _)| given == name);
    if let Some(store) = &arguments.store {
        if given("store") {
            bail!("the store is given twice: with --store and with --variable store=");
        }
        variables.push(("store".to_owned(), store.clone()));
    }
    let tokens = [
        ("caller_token", CALLER_TOKEN_DEVELOPMENT),
        ("operator_token", OPERATOR_TOKEN_DEVELOPMENT),
    ];
    for (name, token) in tokens {
        if !given(name) {
            variables.push((name.to_owned(), token.to_owned()));
        }
    }
    keys::complete(&mut variables, state)?;
    if uses_redis(&variables) && !given(NUDGE_ADDRESS) {
        let first = value(&variables, "store").and_then(|store| store.split(',').next());
        variables.push((NUDGE_ADDRESS.to_owned(), first.unwrap_or_default().trim().to_owned()));
    }
    Ok(variables)
}

fn value<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    // The last one counts, as in any list of settings.
    variables.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn uses_redis(variables: &[(String, String)]) -> bool {
    value(variables, "store").is_some_and(|store| store.starts_with("redis"))
}

fn check_free(listen: SocketAddr) -> anyhow::Result<()> {
    if listen.port() == 0 {
        bail!("--listen needs a port, so that you know where to ask");
    }
    TcpListener::bind(listen)
        .map(drop)
        .with_context(|| format!("cannot listen on {listen}; choose another with --listen"))
}

fn host(
    program: &Path,
    listen: SocketAddr,
    data: &Path,
    variables: &[(String, String)],
) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).args(["up", "--manifest", MANIFEST]);
    if uses_redis(variables) {
        command.args(["--manifest", MANIFEST_NUDGE]);
    }
    command.args(["--listen", &listen.to_string(), "--data"]).arg(data);
    for (name, value) in variables {
        command.args(["--variable", &format!("{name}={value}")]);
    }
    command
}

/// What to do with the app. The user is made from the clock, so that they are new in each run.
fn greeting(listen: SocketAddr, variables: &[(String, String)], user: u128) -> String {
    let any = listen.ip().is_unspecified();
    let ip = if any { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let url = format!("http://{}", SocketAddr::new(ip, listen.port()));
    let caller = value(variables, "caller_token").unwrap_or_default();
    let mut lines = vec![String::new(), format!("Hongbao at {url}")];
    for (name, development) in
        [("caller_token", CALLER_TOKEN_DEVELOPMENT), ("operator_token", OPERATOR_TOKEN_DEVELOPMENT)]
    {
        if value(variables, name) == Some(development) {
            lines.push(format!("  {name} {development} (everyone knows it: development only)"));
        }
    }
    if value(variables, keys::SIGNING).is_some_and(keys::is_for_development) {
        lines.push(
            "  tokens are signed with a key of this machine, for development only".to_owned(),
        );
    }
    if uses_redis(variables) {
        lines.push(format!(
            "  events and calls to settle also come over Redis channels, see {MANIFEST_NUDGE}"
        ));
    }
    let check = format!("curl -H 'authorization: Bearer {caller}' {url}/v1/users/{user}/new");
    let event = format!(
        r#"{{"specversion":"1.0","id":"{user}-1","source":"/curl","type":"order.paid","data":{{"user":"{user}","order":"1"}}}}"#
    );
    let paid = format!(
        "curl -H 'authorization: Bearer {caller}' -H 'content-type: application/cloudevents+json' \
         -d '{event}' {url}/v1/events"
    );
    lines.push(
        "As soon as it listens: is a user new, an order is paid, is the user still new?".to_owned(),
    );
    lines.extend([check.clone(), paid, check, "Ctrl-C stops it.".to_owned(), String::new()]);
    lines.join("\n")
}

/// The host takes over this process: signals reach it directly, and nothing is left behind.
#[cfg(unix)]
fn become_host(command: &mut Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).with_context(|| format!("cannot start {}", command.get_program().display()))
}

#[cfg(not(unix))]
fn become_host(command: &mut Command) -> anyhow::Result<()> {
    process::run(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::sync::LazyLock;
    use tempfile::TempDir;

    /// Where the key for development lies.
    static STATE: LazyLock<TempDir> =
        LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));
    /// Keys that are given.
    const KEYS: &str = "token_signing_keys=k1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Arguments,
    }

    fn arguments(line: &[&str]) -> Arguments {
        let line = ["up"].iter().chain(line);
        Line::try_parse_from(line).expect("arguments").up
    }

    fn host_arguments(line: &[&str]) -> Vec<String> {
        let arguments = arguments(line);
        let variables = variables(&arguments, STATE.path()).expect("variables");
        let command = host(Path::new("host"), arguments.listen, Path::new("/data"), &variables);
        command.get_args().map(|argument| argument.display().to_string()).collect()
    }

    #[test]
    fn without_flags_the_host_gets_defaults_and_development_tokens() {
        let expected = [
            "up --manifest spin.toml --listen 127.0.0.1:3000 --data /data",
            "--variable caller_token=development-caller-token",
            "--variable operator_token=development-operator-token",
            "--variable token_signing_keys=dev-1:",
        ];
        let arguments = host_arguments(&[]).join(" ");
        assert!(arguments.starts_with(&expected.join(" ")), "{arguments}");
        assert!(arguments.ends_with(" --variable development=true"), "{arguments}");
    }

    #[test]
    fn a_redis_store_brings_its_trigger() {
        let store = "redis://127.0.0.1:6379,redis://127.0.0.1:6380";
        let arguments = host_arguments(&["--store", store]).join(" ");
        assert!(arguments.contains("--manifest spin.toml --manifest spin-nudge.toml"));
        assert!(arguments.contains(&format!("--variable store={store}")));
        assert!(arguments.ends_with("--variable nudge_address=redis://127.0.0.1:6379"));
    }

    #[test]
    fn given_tokens_replace_the_development_ones_and_are_not_shown_as_such() {
        let given = ["caller_token=a=b", "operator_token=c", KEYS];
        let arguments = arguments(&given.map(|one| ["--variable", one]).concat());
        let variables = variables(&arguments, STATE.path()).expect("variables");
        let text = greeting(arguments.listen, &variables, 1);
        assert!(text.contains("Bearer a=b") && !text.contains("development"));
    }

    #[test]
    fn wrong_flags_are_refused() {
        for line in [["--variable", "x"], ["--variable", "=x"], ["--listen", "3000"]] {
            assert!(Line::try_parse_from(["up"].iter().chain(&line)).is_err(), "{line:?}");
        }
        let twice = arguments(&["--store", "kv", "--variable", "store=kv"]);
        assert!(variables(&twice, STATE.path()).is_err());
        assert!(check_free(SocketAddr::from(([127, 0, 0, 1], 0))).is_err());
    }

    #[test]
    fn an_address_in_use_is_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("listener");
        assert!(check_free(taken.local_addr().expect("address")).is_err());
    }

    #[test]
    fn greeting_names_an_address_that_can_be_asked() {
        let text = greeting(SocketAddr::from(([0, 0, 0, 0], 3000)), &[], 42);
        assert!(text.contains("http://127.0.0.1:3000/v1/users/42/new"));
    }
}

//! The manifests of Spin: what each component is called by, and the least that it must be given.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use edge::contract::Function;
use edge::variable::{self, Variable};

use crate::COMMAND;
use crate::crates::Crates;

/// The app that is called over HTTP.
pub const PATH: &str = "spin.toml";
/// The app that listens to Redis channels.
pub const PATH_NUDGE: &str = "spin-nudge.toml";
/// What the app is.
pub const DESCRIPTION: &str = "Marketing functions behind one shared KV/Redis binding";

const SCHEMA: &str = "#:schema https://schemas.spinframework.dev/spin/manifest-v2/latest.json";
const AUTHORS: &str = "The Hongbao maintainers";
/// What every component that opens the store needs; a deployment narrows the hosts to its own servers.
const STORE: &str = "key_value_stores = [\"default\"]\n\
    allowed_outbound_hosts = [\"redis://*:*\", \"rediss://*:*\"]\n";
/// The variable that holds the address of the channels. Only the manifest knows it.
pub(crate) const ADDRESS: &str = "nudge_address";

/// The manifest for HTTP.
///
/// # Errors
/// A contract is not one that a manifest can say.
pub fn http(functions: &[Function], crates: &Crates) -> anyhow::Result<String> {
    let mut text = format!(
        "{SCHEMA}\n\
         # Written by `{COMMAND}` from the contracts of the functions (`contract.rs` beside each route table).\n\
         # Each component has the variables that it reads, and no others. A deployment narrows the hosts to its own\n\
         # servers.\n\
         spin_manifest_version = 2\n\n"
    );
    application(&mut text, "hongbao", DESCRIPTION)?;
    text += "# What a deployment sets. Tokens and keys have no default, so that nothing is open by accident.\n";
    text += "[variables]\n";
    variables(&mut text, functions.iter().flat_map(|one| &one.variables))?;
    for function in functions {
        let Function { name, description, .. } = function;
        write!(text, "\n# --- {name} {}\n\n", "-".repeat(90 - name.len()))?;
        for path in paths(function) {
            write!(
                text,
                "[[trigger.http]]\nroute = {}\ncomponent = {}\n\n",
                string(&path)?,
                string(name)?
            )?;
        }
        let given =
            Component { id: name, function: name, description, variables: &function.variables };
        component(&mut text, &given, crates)?;
    }
    Ok(text)
}

/// The manifest for Redis channels.
///
/// # Errors
/// A contract is not one that a manifest can say.
pub fn redis(functions: &[Function], crates: &Crates) -> anyhow::Result<String> {
    let mut text = format!(
        "{SCHEMA}\n\
         # Written by `{COMMAND}` from the contracts of the functions.\n\
         # Redis channels are an app of their own: Spin ends an app whose Redis connection breaks, and the HTTP functions\n\
         # must not end with it. Start it beside the app of {PATH}, with the same variables.\n\
         spin_manifest_version = 2\n\n"
    );
    let description =
        "Redis channels, beside HTTP, which is the durable way in: a message may be lost";
    application(&mut text, "hongbao-nudge", description)?;
    write!(
        text,
        "[application.trigger.redis]\naddress = \"{{{{ {ADDRESS} }}}}\"\n\n[variables]\n"
    )?;
    let what = "The address of the Redis server whose channels are listened to";
    writeln!(
        text,
        "{ADDRESS} = {{ required = true, secret = true, description = {} }}",
        string(what)?
    )?;
    let channels =
        || functions.iter().flat_map(|one| one.channels.iter().map(move |channel| (one, channel)));
    variables(&mut text, channels().flat_map(|(_, channel)| &channel.variables))?;
    for (function, channel) in channels() {
        let id = format!("{}-nudge", function.name);
        write!(
            text,
            "\n[[trigger.redis]]\nchannel = {}\ncomponent = {}\n\n",
            string(channel.name)?,
            string(&id)?
        )?;
        let given = Component {
            id: &id,
            function: function.name,
            description: channel.description,
            variables: &channel.variables,
        };
        component(&mut text, &given, crates)?;
    }
    Ok(text)
}

fn application(text: &mut String, name: &str, description: &str) -> anyhow::Result<()> {
    write!(
        text,
        "[application]\nname = {}\nversion = {}\ndescription = {}\nauthors = [{}]\n\n",
        string(name)?,
        string(env!("CARGO_PKG_VERSION"))?,
        string(description)?,
        string(AUTHORS)?
    )?;
    Ok(())
}

/// Declares the variables that somebody reads.
fn variables<'a>(
    text: &mut String,
    read: impl Iterator<Item = &'a Variable>,
) -> anyhow::Result<()> {
    let read: Vec<_> = read.collect();
    for one in &read {
        ensure!(variable::ALL.contains(one), "{} is not listed", one.name);
    }
    for one in variable::ALL.iter().filter(|one| read.contains(one)) {
        let value = match one.default {
            Some(default) => format!("default = {}", string(default)?),
            None => "required = true".to_owned(),
        };
        let secret = if one.is_secret { ", secret = true" } else { "" };
        let description = string(one.description)?;
        writeln!(text, "{} = {{ {value}{secret}, description = {description} }}", one.name)?;
    }
    Ok(())
}

/// The paths of a function, as Spin writes them.
#[must_use]
pub fn paths(function: &Function) -> Vec<String> {
    let mut paths = Vec::new();
    if function.is_fallback {
        return vec!["/...".to_owned()];
    }
    for route in &function.routes {
        let segments = route.path.split('/').map(|segment| {
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => format!(":{name}"),
                None => segment.to_owned(),
            }
        });
        let path = segments.collect::<Vec<_>>().join("/");
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

struct Component<'a> {
    id: &'a str,
    function: &'a str,
    description: &'a str,
    variables: &'a [Variable],
}

fn component(text: &mut String, given: &Component<'_>, crates: &Crates) -> anyhow::Result<()> {
    let Component { id, function, description, variables } = given;
    let file = function.replace('-', "_");
    let source = format!("target/wasm32-unknown-unknown/release/{file}.wasm");
    write!(
        text,
        "[component.{id}]\ndescription = {}\nsource = {}\n{STORE}\n[component.{id}.variables]\n",
        string(description)?,
        string(&source)?
    )?;
    for one in variable::ALL.iter().filter(|one| variables.contains(one)) {
        writeln!(text, "{} = \"{{{{ {} }}}}\"", one.name, one.name)?;
    }
    // Not cargo alone: the default toolchain may lack the target, and the project's own set-up provides it.
    let command = format!("cargo xtask build {function}");
    write!(text, "\n[component.{id}.build]\ncommand = {}\nwatch = [\n", string(&command)?)?;
    let mut watched: Vec<String> = vec!["Cargo.lock".into(), "Cargo.toml".into()];
    for folder in crates.of(function) {
        watched.extend([format!("{folder}/Cargo.toml"), format!("{folder}/src/**/*")]);
    }
    if *function == "root" {
        watched.extend(["build.rs", "openapi.json"].map(|file| format!("functions/root/{file}")));
    }
    watched.push("wit/**/*.wit".into());
    for one in watched {
        writeln!(text, "    {},", string(&one)?)?;
    }
    *text += "]\n";
    Ok(())
}

/// A string of TOML.
fn string(text: &str) -> anyhow::Result<String> {
    let is_plain = !text.chars().any(|one| one.is_control() || one == '"' || one == '\\');
    is_plain.then(|| format!("\"{text}\"")).with_context(|| format!("{text:?} would be escaped"))
}

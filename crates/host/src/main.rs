//! `hongbao-host up`: runs the components of one or more manifests until it is stopped.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use host::{App, KeyValue, Options};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "Runs the components of a spin.toml, as Spin would, for development")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs an app until Ctrl-C or SIGTERM.
    Up(Up),
}

#[derive(Args)]
struct Up {
    /// A manifest; may be given several times.
    #[arg(long = "manifest", default_value = "spin.toml")]
    manifests: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The folder of the key-value store; without it the store is in memory.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The value of an application variable.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = name_and_value)]
    variables: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("has the form name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let Command::Up(arguments) = CommandLine::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(up(arguments));
    // A guest that computes without end must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn up(arguments: Up) -> anyhow::Result<()> {
    let app = App::load(Options {
        manifests: arguments.manifests,
        variables: arguments.variables.into_iter().collect(),
        listen: Some(arguments.listen),
        key_value: arguments.data.map_or(KeyValue::Memory, KeyValue::File),
        ..Options::new("")
    })
    .await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut server =
        app.serve().await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    announce(&app, server.address)?;
    let ended = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        reason = server.trigger_ended() => Some(reason),
    };
    server.stop().await;
    match ended {
        None => Ok(()),
        Some(reason) => Err(anyhow::Error::msg(reason)),
    }
}

/// Tools wait for the first line, so it is flushed even into a pipe.
fn announce(app: &App, address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    for (route, component) in app.routes() {
        writeln!(out, "  {component}: http://{address}{route}")?;
    }
    for channel in app.channels() {
        writeln!(out, "  redis channel {channel}")?;
    }
    out.flush()
}

//! `cargo xtask import`: the backfill, users who paid before the app existed.
//!
//! - [`ids`]: reads the file, line by line
//! - [`progress`]: how far an import is, beside the file
//! - [`send`](mod@send): checks the file, then sends it batch by batch
//!
//! The file may have a hundred million lines: nothing here holds more than one batch. Marking twice is
//! marking once, so an import may be stopped at any moment, by Ctrl-C or by a crash, and goes on behind
//! the last batch that was acknowledged.

pub mod ids;
pub mod progress;
pub mod send;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context;
use domain::ids::UserId;
use indicatif::{ProgressBar, ProgressStyle};

use crate::http;
use progress::{Fingerprint, Progress};
pub use send::{Client, check, send};

/// Marks the users of a file as having paid; resumable.
///
/// One id a line; a header, blank lines and lines that begin with # are left out. Stop it whenever you
/// like, and run it again to go on where it stopped.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the app runs.
    #[arg(long)]
    url: String,
    /// The operator's token.
    #[arg(long, env = "HONGBAO_OPERATOR_TOKEN", hide_env_values = true)]
    token: String,
    /// The ids; progress is kept beside it, in `<FILE>.progress`.
    #[arg(long)]
    file: PathBuf,
    /// Declare the import complete afterwards: who is not marked then is new, even where a campaign
    /// demands that unknown users are asked for.
    #[arg(long)]
    complete: bool,
}

/// Checks the file, sends what was not sent yet, and says what it did.
///
/// # Errors
/// When a line is wrong, the file has changed since the import began, or the app does not take it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut client = http::Client::new(&arguments.url, &arguments.token)?;
    let progress = import(&arguments.file, &arguments.url, &mut client)?;
    println!("{} users are marked as having paid", progress.users);
    if arguments.complete {
        client.complete_import()?;
        println!("the import is declared complete");
    }
    Ok(())
}

/// Sends what was not sent yet to the app at `url`.
///
/// # Errors
/// As [`run`].
pub fn import(
    path: &std::path::Path,
    url: &str,
    client: &mut impl Client,
) -> anyhow::Result<Progress> {
    let in_file = || path.display().to_string();
    let mut file = File::open(path).with_context(in_file)?;
    let fingerprint = Fingerprint::of(&mut file).with_context(in_file)?;
    let progress_file = progress::path(path);
    let begun = Progress::load(&progress_file)?;
    let resumed = begun.is_some();
    let mut progress = match begun {
        Some(progress) => progress.belongs_to(&fingerprint, url, &progress_file)?,
        None => Progress::new(fingerprint.clone(), url),
    };
    if resumed {
        println!("going on behind line {}: {} users are done", progress.line, progress.users);
    }

    let bar = bar(fingerprint.bytes, "checking")?;
    let mut reader = BufReader::new(file);
    progress.seek(&mut reader)?;
    let users =
        check(&mut reader, &progress, |offset| bar.set_position(offset)).with_context(in_file)?;
    bar.finish_and_clear();
    println!("{}: {users} users to send, in batches of {}", in_file(), send::BATCH_USERS_MAX);

    let bar = self::bar(fingerprint.bytes, "sending")?;
    progress.seek(&mut reader)?;
    send(&mut reader, &mut progress, client, |progress| {
        bar.set_position(progress.offset);
        progress.save(&progress_file)
    })
    .with_context(|| format!("stopped; run again to go on behind line {}", progress.line))?;
    bar.finish_and_clear();
    Ok(progress)
}

fn bar(bytes: u64, verb: &'static str) -> anyhow::Result<ProgressBar> {
    let template = "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).context("progress style")?;
    Ok(ProgressBar::new(bytes).with_style(style).with_message(verb))
}

impl Client for http::Client {
    fn mark_paid(&mut self, users: &[UserId]) -> anyhow::Result<()> {
        http::Client::mark_paid(self, users)
    }
}

#[cfg(test)]
mod tests;

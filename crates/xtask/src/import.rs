//! `cargo xtask import`: the backfill, users who paid before the app existed.
//!
//! Marking twice is marking once, so that a part may be sent again: see [`users`](crate::users).

use std::path::{Path, PathBuf};

use domain::ids::UserId;

use crate::http;
use crate::users::Delivery;
use crate::users::progress::{self, Progress};

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

/// The app, as an import needs it: over HTTP, or in the process of a test.
pub trait Client {
    /// Marks up to [`PART_USERS_MAX`](crate::users::PART_USERS_MAX) users as having paid; durable when
    /// it returns.
    ///
    /// # Errors
    /// When the app does not acknowledge it; some may be marked then.
    fn mark_paid(&mut self, users: &[UserId]) -> anyhow::Result<()>;
}

impl Client for http::Client {
    fn mark_paid(&mut self, users: &[UserId]) -> anyhow::Result<()> {
        http::Client::mark_paid(self, users)
    }
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
pub fn import(path: &Path, url: &str, client: &mut impl Client) -> anyhow::Result<Progress> {
    let delivery = Delivery {
        file: path.to_owned(),
        target: url.to_owned(),
        progress: progress::path(path, &[]),
        users_max: u64::MAX,
    };
    delivery.run(|users| client.mark_paid(users))
}

#[cfg(test)]
mod tests;

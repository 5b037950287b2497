//! `cargo xtask bulk`: coupons of a template for the users of a file.
//!
//! The users' order numbers follow from the batch, so that a part may be sent again and gives nobody a
//! second coupon: see [`users`](crate::users). The app keeps what became of each part by its users, so
//! that a part that is sent again is counted once.

pub mod tally;

use std::path::{Path, PathBuf};

use domain::ids::UserId;
use domain::order_number::Part;

use crate::http;
use crate::users::progress::{self, Progress};
use crate::users::{Delivery, PART_USERS_MAX};
pub use tally::Tally;

/// Parts of a batch: the app takes no more.
const BATCH_PARTS_MAX: u64 = 1_023;

/// Issues coupons of a template to the users of a file; resumable.
///
/// One id a line; a header, blank lines and lines that begin with # are left out. Stop it whenever you
/// like, and run it again to go on where it stopped: nobody gets a second coupon of the batch.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the app runs.
    #[arg(long)]
    url: String,
    /// The operator's token.
    #[arg(long, env = "HONGBAO_OPERATOR_TOKEN", hide_env_values = true)]
    token: String,
    /// The ids; progress is kept beside it, in `<FILE>.<TEMPLATE>.<BATCH>.progress`.
    #[arg(long)]
    file: PathBuf,
    /// Of what, and under which name.
    #[command(flatten)]
    batch: Batch,
}

/// A batch of a template.
#[derive(Clone, Debug, clap::Args)]
pub struct Batch {
    /// The template.
    #[arg(long, value_parser = part)]
    pub template: String,
    /// A name for the batch, unique for the template: a user gets one coupon of each batch.
    #[arg(long, value_parser = part)]
    pub batch: String,
}

/// Both become parts of a path and of a file's name.
fn part(text: &str) -> Result<String, String> {
    Part::parse(text, "it").map(|part| part.as_str().to_owned()).map_err(|error| error.detail)
}

/// The app, as a batch needs it: over HTTP, or in the process of a test.
pub trait Client {
    /// Issues to up to [`PART_USERS_MAX`] users; durable when it returns.
    ///
    /// # Errors
    /// When the app does not acknowledge it; some may have their coupons then.
    fn issue(&mut self, batch: &Batch, users: &[UserId]) -> anyhow::Result<()>;

    /// What became of the batch so far.
    ///
    /// # Errors
    /// When the app does not say, or knows no such batch.
    fn tally(&mut self, batch: &Batch) -> anyhow::Result<Tally>;
}

impl Client for http::Client {
    fn issue(&mut self, batch: &Batch, users: &[UserId]) -> anyhow::Result<()> {
        self.issue_to_many(&batch.template, &batch.batch, users)
    }

    fn tally(&mut self, batch: &Batch) -> anyhow::Result<Tally> {
        self.batch_progress(&batch.template, &batch.batch)
    }
}

/// Checks the file, sends what was not sent yet, and prints what became of the batch.
///
/// # Errors
/// When a line is wrong, the file has changed since the batch began, or the app does not take it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { url, token, file, batch } = arguments;
    let mut client = http::Client::new(url, token)?;
    if issue(file, url, batch, &mut client)?.users == 0 {
        println!("nobody is in the file");
    } else {
        print!("{}", client.tally(batch)?);
    }
    Ok(())
}

/// Sends what was not sent yet to the app at `url`.
///
/// # Errors
/// As [`run`].
pub fn issue(
    path: &Path,
    url: &str,
    batch: &Batch,
    client: &mut impl Client,
) -> anyhow::Result<Progress> {
    let Batch { template, batch: name } = batch;
    let delivery = Delivery {
        file: path.to_owned(),
        target: format!("{url}, batch {name} of {template}"),
        progress: progress::path(path, &[template, name]),
        users_max: BATCH_PARTS_MAX * PART_USERS_MAX as u64,
    };
    delivery.run(|users| client.issue(batch, users))
}

#[cfg(test)]
mod tests;

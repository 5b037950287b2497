//! `cargo xtask demo`: a year of real orders, priced, and replayed against a running app.
//!
//! First it prices each order as a cart under the activities of a file, which needs no app, and
//! explains the ten carts that show most.
//! - [`carts`]: the orders as carts, with [`ranges`] of products
//! - [`uses`]: what was used of purchase limits
//! - [`year`]: all carts priced, and the most interesting ones
//!
//! Then, before each paid order, it asks the app whether the customer is new, and tells it that the
//! order was paid; in order of time. The answers must be those that the file itself gives.
//! - [`orders`]: reads the orders, and tells the truth about them
//! - [`replay`](mod@replay): asks and tells, and counts

pub mod carts;
pub mod orders;
pub mod ranges;
pub mod replay;
pub mod uses;
pub mod year;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use domain::ids::UserId;
use indicatif::{ProgressBar, ProgressStyle};

use crate::evaluate::{files, print};
use crate::{http, up, workspace};
pub use orders::{Order, Skipped, read_orders, truth};
pub use replay::{Client, OrderPaid, Report, replay};

/// Ids of customers in the file lie below this, so that two runs do not share a user.
const CUSTOMERS: u64 = 100_000;

/// Carts that are explained.
const CARTS_EXPLAINED: usize = 10;

/// Prices the orders of `data/online-retail.csv` as carts and explains ten of them; then replays the
/// orders against a running app and compares every answer.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the app runs.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// The caller's token.
    #[arg(long, env = "HONGBAO_CALLER_TOKEN", default_value = up::CALLER_TOKEN_DEVELOPMENT)]
    token: String,
    /// The orders [default: data/online-retail.csv].
    #[arg(long)]
    file: Option<PathBuf>,
    /// The activities that the carts are priced under [default: data/promotions.json].
    #[arg(long)]
    activities: Option<PathBuf>,
    /// Leaves out the replay: needs no running app.
    #[arg(long)]
    carts_only: bool,
    /// Customer n of the file is user `first-user` + n. The store must not know them: by default
    /// each run takes users of its own, by the clock.
    #[arg(long)]
    first_user: Option<u64>,
}

/// Explains ten carts, then replays the orders and prints a table.
///
/// # Errors
/// When a file is wrong, the app cannot be reached, or an answer is wrong.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = |file: &Option<PathBuf>, name: &str| match file {
        Some(file) => file.clone(),
        None => workspace::root().join("data").join(name),
    };
    let orders = data(&arguments.file, "online-retail.csv");
    explain_carts(&data(&arguments.activities, "promotions.json"), &orders)?;
    if arguments.carts_only { Ok(()) } else { replay_orders(arguments, &orders) }
}

/// Prices all orders as carts, and explains those that show most.
fn explain_carts(activities: &Path, orders: &Path) -> anyhow::Result<()> {
    let file = activities.display();
    let activities = files::read_activities(activities)?;
    let carts = carts::read_carts(orders)?;
    let start = Instant::now();
    let priced = year::price_year(&activities, &carts)?;
    let elapsed_ms = start.elapsed().as_millis();
    let (sums, count) = (year::Sums::of(&priced), activities.len());
    let mut text = format!(
        "{}: {sums}\npriced under the {count} activities of {file} in {elapsed_ms} ms\n\n",
        orders.display()
    );
    for one in year::most_interesting(&priced, CARTS_EXPLAINED) {
        text += &one.explain(&activities);
        text += "\n";
    }
    print(&text)
}

fn replay_orders(arguments: &Arguments, file: &Path) -> anyhow::Result<()> {
    let (orders, skipped) = read_orders(file)?;
    let first_user = match arguments.first_user {
        Some(first_user) => first_user,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * CUSTOMERS,
    };
    println!("{}: {} paid orders; {skipped}", file.display(), orders.len());
    println!("customer n is user {first_user} + n; to use them again: --first-user {first_user}");

    let style =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} orders, {per_sec}, {eta} left")
            .context("progress style")?;
    let progress = ProgressBar::new(orders.len() as u64).with_style(style);
    let mut client = http::Client::new(&arguments.url, &arguments.token)?;
    let answers = replay(&orders, UserId(first_user), &mut client, |done| {
        progress.set_position(done as u64);
    })?;
    progress.finish_and_clear();

    let report = Report::new(&orders, &truth(&orders), &answers);
    print!("{report}");
    if report.wrong() > 0 {
        bail!("{} answers are wrong; does the store know these users already?", report.wrong());
    }
    Ok(())
}

impl Client for http::Client {
    fn is_new(&mut self, user: UserId) -> anyhow::Result<bool> {
        http::Client::is_new(self, user)
    }

    fn order_paid(&mut self, paid: &OrderPaid<'_>) -> anyhow::Result<()> {
        http::Client::order_paid(self, paid.user, paid.order, paid.time)
    }
}

#[cfg(test)]
mod tests;

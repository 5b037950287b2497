//! `cargo xtask evaluate`: what the cart of a file costs under the activities of a file, and why.
//!
//! It needs no app: the rules are a library, [`pricing`], and this is another way to ask it.
//! - [`files`]: reads both, and says in which file and field something is wrong
//! - [`table`]: the answer for a person

pub mod files;
pub mod table;

use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use domain::time::UnixMillis;
use pricing::activity::Activity;
use pricing::decide;

pub use table::Table;

/// Prices the cart of a file under the activities of a file, and explains it. Needs no running app.
///
/// Nothing is taken as used yet: of purchase limits, all is left.
#[derive(clap::Args)]
pub struct Arguments {
    /// The activities: `{"activities": [...]}`, for example data/promotions.json.
    #[arg(long, value_name = "FILE")]
    activities: PathBuf,
    /// The cart: `{"currency": ..., "context": {...}, "lines": [...]}`. It may name a `user`, who
    /// makes no difference here.
    #[arg(long, value_name = "FILE")]
    cart: PathBuf,
    /// The moment that is asked about, for example 2026-02-17T00:00:00Z
    /// [default: `context.at` of the cart, or else the present].
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    at: Option<UnixMillis>,
    /// Prints the evaluation as JSON: amounts in minor units, as the app answers.
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::parse_rfc3339(text).ok_or_else(|| "must be a time as RFC 3339 writes it".to_owned())
}

/// Prices the cart and prints the answer.
///
/// # Errors
/// A file cannot be read, or a field of it is wrong.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let activities = files::read_activities(&arguments.activities)?;
    let name = || arguments.cart.display().to_string();
    let text = std::fs::read_to_string(&arguments.cart).with_context(name)?;
    let mut cart = files::parse_cart(&text).with_context(name)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let now = || i64::try_from(now).ok().map(UnixMillis);
    cart.context.at = arguments.at.or(cart.context.at).or_else(now);
    // The activities were checked, so that what is refused now is the cart.
    let evaluation = decide::evaluate(&activities, &cart, uses_unused).with_context(name)?;
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&evaluation)?)
    } else {
        Table { activities: &activities, cart: &cart, evaluation: &evaluation }.to_string()
    };
    print(&text)
}

/// Prints a text; unlike `print!` it only fails where nobody reads on.
///
/// # Errors
/// Nobody does.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
}

/// The uses that purchase limits leave to whoever has used nothing yet: the limits themselves.
#[must_use]
pub fn uses_unused(activity: &Activity, _key: Option<&str>) -> u64 {
    let Some(limits) = activity.limits else { return u64::MAX };
    let total = limits.total.map(|total| total.get().unsigned_abs());
    limits.per_user.map(u64::from).into_iter().chain(total).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_limits_all_is_left_and_the_smaller_one_counts() {
        let table = [
            (Value::Null, u64::MAX),
            (json!({"per_user": 2}), 2),
            (json!({"total": "5"}), 5),
            (json!({"per_user": 7, "total": 5}), 5),
        ];
        for (limits, expected) in table {
            let activity: Activity = serde_json::from_value(json!({
                "id": "a", "name": "a", "currency": "GBP", "scope": "sku", "limits": limits,
                "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
                "tiers": [{"benefit": {"percent_off": {"percent": 10}}}]
            }))
            .expect("an activity");
            assert_eq!(uses_unused(&activity, None), expected);
        }
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, value: &Value| {
            let path = folder.path().join(name);
            std::fs::write(&path, value.to_string()).expect("a file");
            path
        };
        let line =
            |quantity: u32| json!({"line": "1", "sku": "a", "quantity": quantity, "unit_price": 1});
        let cart = |lines: &[Value]| json!({"currency": "GBP", "lines": lines});
        let table = [
            (
                json!({"activities": [{}]}),
                cart(&[]),
                "activities.json: activities[0]: missing field",
            ),
            (
                json!({"activities": []}),
                cart(&[line(0)]),
                "cart.json: lines[0].quantity: must be 1 to",
            ),
            (
                json!({"activities": []}),
                cart(&[line(1), line(1)]),
                "cart.json: lines[1].line: another line has this id",
            ),
            (
                json!({"activities": []}),
                json!({"currency": "GBP"}),
                "cart.json: missing field `lines`",
            ),
        ];
        for (activities, cart, expected) in table {
            let (activities, cart) =
                (write("activities.json", &activities), write("cart.json", &cart));
            let error =
                run(&Arguments { activities, cart, at: None, json: false }).expect_err(expected);
            let text = format!("{error:#}");
            assert!(text.contains(expected), "{text}");
        }
        let arguments = Arguments {
            activities: folder.path().join("none.json"),
            cart: folder.path().join("cart.json"),
            at: None,
            json: false,
        };
        let text = format!("{:#}", run(&arguments).expect_err("no file"));
        assert!(text.contains("none.json: "), "{text}");
    }
}

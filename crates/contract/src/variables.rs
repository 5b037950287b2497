//! The variables of the app for those who deploy: the table of the README, and `.env.example`.

use std::fmt::Write as _;

use edge::contract::Function;
use edge::variable::{self, Variable};

use crate::{COMMAND, manifest};

/// The example of an environment.
pub const PATH: &str = ".env.example";
/// What Spin's own provider puts in front of the name of a variable.
const PREFIX: &str = "SPIN_VARIABLE_";

/// The variables of the app that is called over HTTP. First those without a default: a deployment has to set them.
fn of(functions: &[Function]) -> Vec<Variable> {
    let is_read =
        |one: &Variable| functions.iter().any(|function| function.variables.contains(one));
    let (mut first, others): (Vec<_>, Vec<_>) =
        variable::ALL.into_iter().filter(is_read).partition(|one| one.default.is_none());
    first.extend(others);
    first
}

/// The table, as Markdown.
#[must_use]
pub fn table(functions: &[Function]) -> String {
    let mut text =
        "| variable | default | secret | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for Variable { name, default, is_secret, description } in of(functions) {
        let default = default.map_or_else(|| "required".to_owned(), |value| format!("`{value}`"));
        let secret = if is_secret { "yes" } else { "no" };
        let _ = writeln!(text, "| `{name}` | {default} | {secret} | {description} |");
    }
    text
}

/// The example of an environment.
#[must_use]
pub fn environment(functions: &[Function]) -> String {
    let mut text = format!(
        "# Written by `{COMMAND}`. Copy this file to `.env` and fill in what is empty. Spin reads `.env` in the folder in\n\
         # which it is started; what the environment itself has goes first. What is commented out shows the default.\n\
         # The app of {} needs one more: {PREFIX}{}, the Redis server whose channels it listens to.\n",
        manifest::PATH_NUDGE,
        manifest::ADDRESS.to_uppercase()
    );
    for Variable { name, default, description, .. } in of(functions) {
        let name = name.to_uppercase();
        let _ = match default {
            None => write!(text, "\n# {description}\n{PREFIX}{name}=\n"),
            Some(value) => write!(text, "\n# {description}\n# {PREFIX}{name}={value}\n"),
        };
    }
    text
}

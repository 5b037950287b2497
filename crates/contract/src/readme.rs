//! The table of routes in the README.

use anyhow::Context;
use edge::Access;
use edge::contract::Function;
use serde_json::Value;

/// Where it stands.
pub const PATH: &str = "README.md";
const BEGIN: &str = "<!-- routes: written by `cargo xtask generate` -->\n";
const END: &str = "<!-- end of routes -->\n";

/// The text with the table between its marks.
///
/// # Errors
/// It has no marks.
pub fn with_routes(text: &str, functions: &[Function], document: &Value) -> anyhow::Result<String> {
    let (before, rest) =
        text.split_once(BEGIN).with_context(|| format!("{PATH} has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PATH} has no {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(functions, document)))
}

fn table(functions: &[Function], document: &Value) -> String {
    let mut text = "| route | who | what | function |\n| --- | --- | --- | --- |\n".to_owned();
    for function in functions {
        for route in &function.routes {
            let method = route.verb.name();
            let operation = &document["paths"][route.path][method.to_lowercase()];
            let summary = operation["summary"].as_str().unwrap_or_default();
            let who = match route.access {
                Access::Open => "everybody",
                Access::Caller => "callers",
                Access::Operator => "operators",
            };
            let (path, name) = (route.path, function.name);
            text += &format!("| `{method} {path}` | {who} | {summary} | {name} |\n");
        }
    }
    text
}

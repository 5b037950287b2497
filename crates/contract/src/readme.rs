//! The tables of the README: routes and variables.

use anyhow::Context;
use edge::Access;
use edge::contract::Function;
use serde_json::Value;

use crate::{COMMAND, variables};

/// Where they stand.
pub const PATH: &str = "README.md";

/// The text with each table between its marks.
///
/// # Errors
/// It has no marks.
pub fn with_tables(text: &str, functions: &[Function], document: &Value) -> anyhow::Result<String> {
    let text = with_table(text, "routes", &routes(functions, document))?;
    with_table(&text, "variables", &variables::table(functions))
}

fn with_table(text: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- {name}: written by `{COMMAND}` -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) =
        text.split_once(&begin).with_context(|| format!("{PATH} has no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("{PATH} has no {end}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

fn routes(functions: &[Function], document: &Value) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_what_stands_between_its_marks() {
        let marks = |name: &str, table: &str| {
            format!("<!-- {name}: written by `{COMMAND}` -->\n{table}<!-- end of {name} -->\n")
        };
        let text = |table: &str| format!("a\n{}b\n{}c\n", marks("routes", table), marks("x", "x"));
        assert_eq!(with_table(&text("old\n"), "routes", "new\n").unwrap(), text("new\n"));
        let error = with_table("a\n", "routes", "new\n").unwrap_err().to_string();
        assert!(error.contains("README.md has no <!-- routes"), "{error}");
    }
}

//! JSON of a known shape, and errors that name the field.
//!
//! serde tells where an error is by line and column. Only then is the text read once more, for the
//! path that leads there: cheaper than to keep the path for every request that is right, and 25 kB
//! less in each component than to keep it for every type.

use serde::Deserialize;

use crate::problem::Problem;

/// Reads a JSON object of a known shape. (serde would take an array for a struct, with its fields by
/// position: a second spelling that nobody has documented.)
///
/// # Errors
/// 400 `invalid_json`, `unknown_field`, `missing_field`, `duplicate_field` or `invalid_value`, with
/// the path of the field.
pub fn parse_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::malformed("invalid_value", "must be a JSON object"));
    }
    parse(body)
}

/// Reads JSON of a known shape.
///
/// # Errors
/// As [`parse_object`].
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    // Checked once as a whole: string by string it would cost more.
    let text = std::str::from_utf8(body)
        .map_err(|_| Problem::malformed("invalid_json", "the body is not UTF-8"))?;
    serde_json::from_str(text).map_err(|error| problem(body, &error))
}

/// serde names the kind of an error only in its text. The texts are part of its public behaviour
/// (`serde::de::Error::unknown_field` and its siblings), and a test holds them.
fn problem(body: &[u8], error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    if !error.is_data() {
        let detail = format!("the body is not JSON: error at line {line}, column {column}");
        return Problem::malformed("invalid_json", detail);
    }
    let path = path_at(body, line, column);
    let text = error.to_string();
    // What follows is the place, which the path says better.
    let place = format!(" at line {line} column {column}");
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let kinds = [
        ("unknown field `", "unknown_field"),
        ("missing field `", "missing_field"),
        ("duplicate field `", "duplicate_field"),
    ];
    for (prefix, code) in kinds {
        if let Some(name) = text.strip_prefix(prefix).and_then(|rest| rest.split('`').next()) {
            return Problem::malformed(code, text).about(member(&path, name));
        }
    }
    let problem = Problem::malformed("invalid_value", text);
    if path.is_empty() { problem } else { problem.about(path) }
}

/// The path of a member of the object at `path`, which may name the member already.
fn member(path: &str, name: &str) -> String {
    let names = path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match path {
        "" => name.to_owned(),
        path if names => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// Where one is inside of a text: the containers around, from the outside in.
enum Container {
    /// An object, and the member that was named last.
    Object(Option<String>),
    /// An array, and the index of the item.
    Array(usize),
}

/// The path to a place in a text that is JSON up to there, for example `items[1].count`. Lines and
/// columns count from 1, columns in bytes, as serde_json counts them.
fn path_at(body: &[u8], line: usize, column: usize) -> String {
    let start: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(line - 1).map(<[u8]>::len).sum();
    let text = &body[..body.len().min(start + column)];
    let mut around = Vec::new();
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        match byte {
            b'{' => around.push(Container::Object(None)),
            b'[' => around.push(Container::Array(0)),
            b'}' | b']' => drop(around.pop()),
            b',' => match around.last_mut() {
                Some(Container::Array(item)) => *item += 1,
                Some(Container::Object(named)) => *named = None,
                None => {}
            },
            b'"' => {
                let string = string_at(text, index);
                index += string.len() + 1;
                if let Some(Container::Object(named @ None)) = around.last_mut() {
                    *named = Some(String::from_utf8(string.to_vec()).unwrap_or_default());
                }
            }
            _ => {}
        }
        index += 1;
    }
    let mut path = String::new();
    for container in around {
        match container {
            Container::Array(item) => path.push_str(&format!("[{item}]")),
            Container::Object(None) => {}
            Container::Object(Some(name)) => path = member_of(path, &name),
        }
    }
    path
}

fn member_of(path: String, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The inside of the string that begins at `start`, with its escapes as they stand.
fn string_at(text: &[u8], start: usize) -> &[u8] {
    let mut end = start + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    &text[start + 1..end.min(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[allow(dead_code, reason = "only its shape is read")]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[allow(dead_code, reason = "only its shape is read")]
        count: u8,
        #[serde(default)]
        #[allow(dead_code, reason = "only its shape is read")]
        note: String,
    }

    #[test]
    fn errors_have_a_code_and_the_path_of_the_field() {
        let table = [
            (r#"{"items": [{"count": 1}]}"#, None),
            ("{", Some(("invalid_json", None))),
            ("", Some(("invalid_json", None))),
            (r#"{"items": []} x"#, Some(("invalid_json", None))),
            ("[]", Some(("invalid_value", None))),
            (" [[]]", Some(("invalid_value", None))),
            ("7", Some(("invalid_value", None))),
            ("{}", Some(("missing_field", Some("items")))),
            (r#"{"items": 7}"#, Some(("invalid_value", Some("items")))),
            (r#"{"items": {"a": [1]}}"#, Some(("invalid_value", Some("items")))),
            (r#"{"items": [], "x": 1}"#, Some(("unknown_field", Some("x")))),
            (r#"{"items": [], "items": []}"#, Some(("duplicate_field", Some("items")))),
            (
                "{\"items\":\n [{\"count\": 1},\n {\"note\": \"[{\\\"\", \"count\": 300}]}",
                Some(("invalid_value", Some("items[1].count"))),
            ),
            (r#"{"items": [{"count": 1, "y": 2}]}"#, Some(("unknown_field", Some("items[0].y")))),
            (r#"{"items": [{"note": ""}]}"#, Some(("missing_field", Some("items[0].count")))),
            (
                r#"{"items": [{"count": 1, "note": 5}]}"#,
                Some(("invalid_value", Some("items[0].note"))),
            ),
            (r#"{"items": [[]]}"#, Some(("invalid_value", Some("items[0]")))),
        ];
        for (json, expected) in table {
            let problem = parse_object::<Shape>(json.as_bytes()).err();
            let found = problem.as_ref().map(|problem| (problem.code, problem.field.as_deref()));
            assert_eq!(found, expected, "{json}: {problem:?}");
        }
    }
}

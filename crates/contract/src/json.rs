//! JSON with a space of indentation, members in an order that reads well: what a thing is called before what it is made
//! of, everything else by name.

use serde_json::Value;

/// Members that come first, in this order.
const FIRST: &[&str] = &[
    "openapi",
    "info",
    "servers",
    "security",
    "tags",
    "paths",
    "components",
    "$ref",
    "operationId",
    "name",
    "in",
    "title",
    "summary",
    "type",
    "description",
    "required",
    "parameters",
    "requestBody",
    "responses",
    "headers",
    "content",
    "schema",
    "additionalProperties",
    "properties",
];

/// A document as text.
#[must_use]
pub fn text(document: &Value) -> String {
    let mut text = String::new();
    write(document, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<_> = items.iter().map(|item| (None, item)).collect();
            write_all(&items, ('[', ']'), depth, text);
        }
        Value::Object(members) if !members.is_empty() => {
            let mut members: Vec<_> =
                members.iter().map(|(name, member)| (Some(name.as_str()), member)).collect();
            members.sort_by_key(|(name, _)| (rank(name.unwrap_or_default()), *name));
            write_all(&members, ('{', '}'), depth, text);
        }
        other => *text += &other.to_string(),
    }
}

fn write_all(
    members: &[(Option<&str>, &Value)],
    (open, close): (char, char),
    depth: usize,
    text: &mut String,
) {
    text.push(open);
    for (index, (name, member)) in members.iter().enumerate() {
        *text += if index > 0 { ",\n" } else { "\n" };
        *text += &" ".repeat(depth + 1);
        if let Some(name) = name {
            *text += &format!("{}: ", Value::from(*name));
        }
        write(member, depth + 1, text);
    }
    text.push('\n');
    *text += &" ".repeat(depth);
    text.push(close);
}

fn rank(name: &str) -> usize {
    FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_come_first_and_the_rest_by_name() {
        let value = json!({"b": [], "a": [1, {"type": "x", "$ref": "y\n"}], "info": {}});
        let expected = "{\n \"info\": {},\n \"a\": [\n  1,\n  {\n   \"$ref\": \"y\\n\",\n   \"type\": \"x\"\n  }\n ],\n \"b\": []\n}\n";
        assert_eq!(text(&value), expected);
    }
}

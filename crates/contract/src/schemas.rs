//! The schemas of types, by direction: what is taken, and what is answered.

use std::collections::BTreeMap;

use anyhow::bail;
use edge::contract::operation::SchemaOf;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Where schemas of a name of their own stand.
const PATH: &str = "/components/schemas";

/// What makes schemas, and keeps those that have a name.
pub struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = PATH.into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// The schema of what is taken.
    pub fn taken(&mut self, schema: SchemaOf) -> Value {
        plain(schema(&mut self.requests))
    }

    /// The schema of what is answered.
    pub fn answered(&mut self, schema: SchemaOf) -> Value {
        plain(schema(&mut self.answers))
    }

    /// Those that have a name.
    ///
    /// # Errors
    /// Two of them have the same one.
    pub fn named(mut self) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut named: BTreeMap<String, Value> = BTreeMap::new();
        for generator in [&mut self.requests, &mut self.answers] {
            for (name, schema) in generator.take_definitions(false) {
                let schema = plain(Schema::try_from(schema)?);
                if let Some(other) = named.get(&name)
                    && *other != schema
                {
                    bail!("two schemas are called {name}: {other}, and {schema}");
                }
                named.insert(name, schema);
            }
        }
        Ok(named)
    }
}

/// A schema as the document has it.
fn plain(mut schema: Schema) -> Value {
    Plain.transform(&mut schema);
    schema.to_value()
}

#[derive(Clone, Debug)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(members) = schema.as_object_mut() else { return };
        // `uint32` and its like are no formats of JSON Schema.
        if members.get("format").and_then(Value::as_str).is_some_and(is_of_rust) {
            members.remove("format");
        }
        // What a comment's lines say is one sentence.
        if let Some(Value::String(description)) = members.get_mut("description") {
            *description = description.replace("\n\n", "\u{0}").replace('\n', " ");
            *description = description.replace('\u{0}', "\n\n");
        }
        may_be_left_out(members);
        in_one_list(members);
        transform_subschemas(self, schema);
    }
}

fn is_of_rust(format: &str) -> bool {
    let digits = format.trim_start_matches("uint").trim_start_matches("int");
    digits != format && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A member that may be left out is left out where there is nothing to say: null would be a second spelling.
fn may_be_left_out(schema: &mut Map<String, Value>) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if !required.contains(&Value::from(name.as_str()))
            && let Value::Object(property) = property
        {
            without_null(property);
        }
    }
}

fn without_null(schema: &mut Map<String, Value>) {
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(one)] = &choices[..] {
            let one = one.clone();
            schema.remove("anyOf");
            for (name, member) in one {
                schema.entry(name).or_insert(member);
            }
        }
    }
}

/// Words of which each has a comment are one `enum`, and the comments stand in its description.
fn in_one_list(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let (mut words, mut said) = (Vec::new(), Vec::new());
    for choice in choices {
        let Some(choice) = choice.as_object() else { return };
        let listed = choice.get("enum").and_then(Value::as_array).cloned();
        let Some(values) = choice.get("const").map(|value| vec![value.clone()]).or(listed) else {
            return;
        };
        if let (Some(description), [Value::String(word)]) =
            (choice.get("description").and_then(Value::as_str), &values[..])
        {
            said.push(format!("`{word}`: {}", description.replace('\n', " ")));
        }
        words.extend(values);
    }
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words.into());
    if !said.is_empty() {
        let before = schema.get("description").and_then(Value::as_str).map(str::to_owned);
        let description: Vec<_> = before.into_iter().chain(said).collect();
        schema.insert("description".to_owned(), description.join(" ").into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: Value, expected: Value) {
        assert_eq!(plain(Schema::try_from(schema).expect("a schema")), expected);
    }

    #[test]
    fn what_may_be_left_out_is_not_null_and_what_is_required_may_be() {
        check(
            json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": ["boolean", "null"]},
                "b": {"type": ["integer", "null"], "format": "uint32", "minimum": 0},
                "c": {"anyOf": [{"$ref": "#/x"}, {"type": "null"}], "description": "One\nline."},
            }}),
            json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": ["boolean", "null"]},
                "b": {"type": "integer", "minimum": 0},
                "c": {"$ref": "#/x", "description": "One line."},
            }}),
        );
    }

    #[test]
    fn words_are_one_list_with_what_each_means() {
        check(
            json!({"description": "Which.", "oneOf": [
                {"type": "string", "enum": ["a", "b"]},
                {"type": "string", "const": "c", "description": "The third."},
            ]}),
            json!({"type": "string", "enum": ["a", "b", "c"], "description": "Which. `c`: The third."}),
        );
    }

    #[test]
    fn formats_of_json_schema_stay() {
        check(json!({"format": "date-time"}), json!({"format": "date-time"}));
        check(json!({"format": "uint"}), json!({}));
    }
}

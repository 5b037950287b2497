//! Variables of an app and of its components. An application variable has its value from the options,
//! else from the environment as `SPIN_VARIABLE_NAME`, else its default; a component sees only the
//! variables that its own section defines, as templates over those of the app.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::Variable;

/// Why variables cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// It has no default and nobody gave it a value.
    #[error(
        "variable {name:?} is required: give it with `--variable {name}=...` or as {environment}"
    )]
    Required {
        /// The variable.
        name: String,
        /// The environment variable that would set it.
        environment: String,
    },
    /// The options set a variable that no manifest declares.
    #[error("variable {0:?} is not declared in any manifest")]
    Unknown(String),
    /// A name that Spin does not admit.
    #[error("variable name {0}")]
    InvalidName(String),
    /// A template is wrong.
    #[error("template {template:?}: {reason}")]
    InvalidTemplate {
        /// The template.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The variables of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentVariables {
    /// Its id.
    pub component: String,
    /// What its section of the manifest gives it.
    pub given: BTreeSet<String>,
    /// What it has asked for so far, whether it was given or not.
    pub asked: BTreeSet<String>,
}

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;

/// Gives each declared variable its value.
pub(crate) fn resolve(
    declared: &BTreeMap<String, Variable>,
    given: &Values,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Values, VariableError> {
    declared
        .iter()
        .map(|(name, variable)| {
            check_name(name).map_err(VariableError::InvalidName)?;
            let key = format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
            let value = given
                .get(name)
                .cloned()
                .or_else(|| environment(&key))
                .or_else(|| variable.default.clone())
                .ok_or(VariableError::Required { name: name.clone(), environment: key })?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// Fills the `{{ name }}` of a template.
pub(crate) fn expand(template: &str, values: &Values) -> Result<String, VariableError> {
    let invalid =
        |reason: String| VariableError::InvalidTemplate { template: template.to_owned(), reason };
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once("{{") {
        let (name, after) = after
            .split_once("}}")
            .ok_or_else(|| invalid("unmatched '{{' in template".to_owned()))?;
        let name = name.trim();
        let value =
            values.get(name).ok_or_else(|| invalid(format!("unknown variable {name:?}")))?;
        expanded.push_str(literal);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Spin's rules for names, with Spin's words, because guests get to see them.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let admitted = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let reason = if name.is_empty() {
        "must not be empty".to_owned()
    } else if let Some(other) = name.chars().find(|c| !admitted(*c)) {
        format!(
            "invalid character {other:?}. Variable names may contain only lower-case letters, \
             numbers, and underscores."
        )
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must start with a lowercase ASCII letter".to_owned()
    } else if name.ends_with('_') {
        "must end with a lowercase ASCII letter or digit".to_owned()
    } else if name.contains("__") {
        "must not contain multiple consecutive underscores".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{name:?}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_defaults() {
        let declared = ["a", "b", "c"]
            .map(|name| {
                let variable = Variable { default: Some("default".into()), secret: false };
                (name.to_owned(), variable)
            })
            .into();
        let environment = |name: &str| {
            matches!(name, "SPIN_VARIABLE_A" | "SPIN_VARIABLE_B").then(|| "environment".to_owned())
        };
        let given = values(&[("a", "given")]);
        let resolved = resolve(&declared, &given, environment).expect("all have values");
        let expected = [("a", "given"), ("b", "environment"), ("c", "default")];
        assert_eq!(resolved, values(&expected));
    }

    #[test]
    fn a_required_variable_without_a_value_is_named() {
        let required = Variable { default: None, secret: true };
        let declared = [("caller_token".to_owned(), required)].into();
        let error = resolve(&declared, &Values::new(), |_| None).expect_err("no value");
        assert_eq!(
            error.to_string(),
            "variable \"caller_token\" is required: give it with `--variable caller_token=...` or \
             as SPIN_VARIABLE_CALLER_TOKEN"
        );
    }

    #[test]
    fn templates_are_filled() {
        let values = values(&[("host", "a"), ("port", "1")]);
        let rows = [
            ("plain", "plain"),
            ("", ""),
            ("{{host}}", "a"),
            ("redis://{{ host }}:{{ port }}/", "redis://a:1/"),
            ("} }} {", "} }} {"),
        ];
        for (template, expected) in rows {
            assert_eq!(expand(template, &values).as_deref(), Ok(expected));
        }
        for template in ["{{ host", "{{ other }}", "{{}}"] {
            expand(template, &values).expect_err(template);
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["a", "a_b", "a1"] {
            check_name(name).expect(name);
        }
        for name in ["", "A", "a-b", "1a", "_a", "a_", "a__b"] {
            check_name(name).expect_err(name);
        }
    }
}

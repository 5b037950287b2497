//! How long each kind of record lives. Whoever writes a kind declares it here, so that the table of lives is made from the
//! declarations, and whoever looks at a whole store can say of each record what it is.

/// What a kind of record is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A map.
    Map,
    /// A set of ids.
    Ids,
    /// An ordered set.
    Ordered,
}

/// A kind of record, and its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its name in the store, with what is in it in angle brackets: `me<user>:<page>`. What a name in brackets is made of
    /// is said by [`Life::matches`].
    pub name: &'static str,
    /// What it is in the store.
    pub shape: Shape,
    /// What it is.
    pub what: &'static str,
    /// Who writes it.
    pub written_by: &'static str,
    /// How long it can act, or must be there for others to act rightly.
    pub acts: &'static str,
    /// When it goes, and by what.
    pub ends: &'static str,
}

impl Life {
    /// Whether a record of the store is of this kind, by its name. `<user>`, `<day>`, `<bucket>`, `<page>` are numbers; any
    /// other name in brackets stands for one or more characters.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.name, name)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once('<') else { return pattern == name };
    let Some(name) = name.strip_prefix(literal) else { return false };
    let Some((what, rest)) = rest.split_once('>') else { return false };
    let is_number = matches!(what, "user" | "day" | "bucket" | "page");
    let fits = |part: &str| {
        !part.is_empty() && (!is_number || part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    (1..=name.len())
        .filter(|end| name.is_char_boundary(*end))
        .any(|end| fits(&name[..end]) && matches(rest, &name[end..]))
}

/// Kinds of records of the layer itself.
pub const LIVES: &[Life] = &[
    Life {
        name: "x<user>",
        shape: Shape::Map,
        what: "up to when numbers of the user are forgotten, by family",
        written_by: "collection",
        acts: "for ever",
        ends: "never: one small record a user",
    },
    Life {
        name: "x",
        shape: Shape::Ids,
        what: "hashes of numbers without a time that are forgotten",
        written_by: "collection",
        acts: "for ever",
        ends: "never: about 8 bytes a number",
    },
    Life {
        name: "xs",
        shape: Shape::Ids,
        what: "hashes of names of configuration that is sealed and gone",
        written_by: "collection",
        acts: "for ever: it keeps a name from being published again",
        ends: "never: about 8 bytes a name",
    },
    Life {
        name: "xr",
        shape: Shape::Map,
        what: "how long things are kept",
        written_by: "operators",
        acts: "for ever",
        ends: "never: one record",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_its_pattern_alone() {
        for (pattern, name, expected) in [
            ("x", "x", true),
            ("x", "xr", false),
            ("x<user>", "x7", true),
            ("x<user>", "xr", false),
            ("x<user>", "x", false),
            ("me<user>:<page>", "me7:0", true),
            ("me<user>:<page>", "me7", false),
            ("b<template>:<batch>", "bspring-15:may", true),
            ("t<template>", "tä", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

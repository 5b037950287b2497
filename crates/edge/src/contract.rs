//! The contract of a function, in native builds alone: what its routes promise, and what its component is given.
//! `cargo xtask generate` writes the OpenAPI document, the manifests and the table of routes from it.
//!
//! Method, path and access stand in the function's route table. What is to be said beyond stands in its `contract.rs`,
//! which matches over the operations, so that a route without a description does not compile; what follows from the
//! route itself (401, 403, 405, 413, 415, 500, 503) is added by the generator.
//! - [`operation`]: what one operation promises

pub mod operation;

pub use operation::{Operation, Parameter};

use crate::route::{Access, Route, Verb};
use crate::variable::Variable;

/// What a problem looks like.
#[must_use]
pub fn problem() -> operation::SchemaOf {
    schemars::SchemaGenerator::subschema_for::<crate::problem::Body<'static>>
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its package, folder and component alike.
    pub name: &'static str,
    /// What it does, for the manifest and as the tag of its operations.
    pub description: &'static str,
    /// Other tags that its operations have, and what they mean.
    pub tags: Vec<(&'static str, &'static str)>,
    /// Its routes, in the order of the table.
    pub routes: Vec<Described>,
    /// The variables that it reads where it is called over HTTP.
    pub variables: Vec<Variable>,
    /// The Redis channels that it listens to, in an app of their own.
    pub channels: Vec<Channel>,
    /// Whether it answers what no function has.
    pub is_fallback: bool,
}

/// A route with what it promises.
#[derive(Debug)]
pub struct Described {
    /// The method.
    pub verb: Verb,
    /// The path.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
    /// What is promised.
    pub operation: Operation,
}

/// A Redis channel.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: &'static str,
    /// What a message does.
    pub description: &'static str,
    /// The variables that are read for it: no caller's token, because whoever may publish may call.
    pub variables: Vec<Variable>,
}

impl Function {
    /// A function with its route table, and what each operation promises.
    pub fn new<O: Copy>(
        name: &'static str,
        description: &'static str,
        routes: &[Route<O>],
        describe: impl Fn(O) -> Operation,
    ) -> Self {
        let described = |route: &Route<O>| Described {
            verb: route.verb,
            path: route.path,
            access: route.access,
            operation: describe(route.operation),
        };
        Self {
            name,
            description,
            tags: Vec::new(),
            routes: routes.iter().map(described).collect(),
            variables: Vec::new(),
            channels: Vec::new(),
            is_fallback: false,
        }
    }

    /// The same, which reads these variables.
    #[must_use]
    pub fn reads(mut self, variables: &[&[Variable]]) -> Self {
        self.variables = variables.concat();
        self
    }

    /// The same with another tag.
    #[must_use]
    pub fn tag(mut self, name: &'static str, description: &'static str) -> Self {
        self.tags.push((name, description));
        self
    }

    /// The same, which listens to a channel and reads these variables for it.
    #[must_use]
    pub fn listens(
        mut self,
        name: &'static str,
        description: &'static str,
        variables: &[&[Variable]],
    ) -> Self {
        self.channels.push(Channel { name, description, variables: variables.concat() });
        self
    }

    /// The same, which answers what no function has.
    #[must_use]
    pub fn answers_the_rest(mut self) -> Self {
        self.is_fallback = true;
        self
    }
}

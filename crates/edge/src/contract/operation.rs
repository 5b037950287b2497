//! What one operation promises: what it takes, what it answers, why it refuses.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::problem::Problem;

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema_of<T: JsonSchema + ?Sized>() -> SchemaOf {
    SchemaGenerator::subschema_for::<T>
}

/// An operation.
#[derive(Debug)]
pub struct Operation {
    /// Its name for generated clients, in camelCase.
    pub id: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What is to be known beyond.
    pub description: Option<&'static str>,
    /// Its tag, where that is not the function's.
    pub tag: Option<&'static str>,
    /// Parameters of the path, the query and the head.
    pub parameters: Vec<Parameter>,
    /// The body that it takes.
    pub body: Option<Body>,
    /// What it answers where it does what is asked.
    pub answers: Vec<Answer>,
    /// A 400 of its own, instead of the one that functions share.
    pub malformed: Option<Malformed>,
    /// Refusals, by status.
    pub refusals: Vec<Refused>,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub description: Option<&'static str>,
    /// Its type.
    pub schema: SchemaOf,
    /// What it is where it is left out.
    pub default: Option<Value>,
    /// An example.
    pub example: Option<Value>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path, between slashes.
    Path,
    /// Behind the question mark.
    Query,
    /// In a header.
    Header,
}

/// A body that is taken.
#[derive(Debug)]
pub struct Body {
    /// Whether it may be left out.
    pub is_required: bool,
    /// Its types.
    pub contents: Vec<Content>,
}

/// A type of content.
#[derive(Debug)]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// What it looks like.
    pub schema: SchemaOf,
    /// An example.
    pub example: Option<Value>,
}

/// An answer that is no problem.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it means.
    pub description: &'static str,
    /// Its body, if it has one.
    pub content: Option<Content>,
    /// Whether a header says that the outcome was recorded earlier.
    pub replays: bool,
}

/// A 400 of an operation's own.
#[derive(Debug)]
pub struct Malformed {
    /// What is wrong, by code where that does not say it.
    pub description: &'static str,
    /// Codes beside those of every body and every query.
    pub codes: &'static [&'static str],
}

/// Refusals with one status.
#[derive(Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// What the codes mean.
    pub description: Cow<'static, str>,
    /// The codes.
    pub codes: Vec<&'static str>,
    /// Whether a header says when asking again may help.
    pub retries: bool,
}

const JSON: &str = "application/json";

impl Operation {
    /// An operation of which only the name and what it does is known.
    #[must_use]
    pub fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            description: None,
            tag: None,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            malformed: None,
            refusals: Vec::new(),
        }
    }

    /// What is to be known beyond.
    #[must_use]
    pub fn description(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// Its tag, where that is not the function's.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = Some(tag);
        self
    }

    /// It has a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// It takes a JSON object.
    #[must_use]
    pub fn body<T: JsonSchema>(self, example: Value) -> Self {
        self.content::<T>(JSON, Some(example))
    }

    /// It takes a JSON object, which may be left out.
    #[must_use]
    pub fn optional_body<T: JsonSchema>(self, example: Value) -> Self {
        let mut this = self.content::<T>(JSON, Some(example));
        if let Some(body) = &mut this.body {
            body.is_required = false;
        }
        this
    }

    /// It takes content of this type.
    #[must_use]
    pub fn content<T: JsonSchema>(
        mut self,
        media_type: &'static str,
        example: Option<Value>,
    ) -> Self {
        let body = self.body.get_or_insert(Body { is_required: true, contents: Vec::new() });
        body.contents.push(Content { media_type, schema: schema_of::<T>(), example });
        self
    }

    /// It answers with a JSON object.
    #[must_use]
    pub fn answers<T: JsonSchema>(
        mut self,
        status: u16,
        description: &'static str,
        example: impl Into<Option<Value>>,
    ) -> Self {
        let (schema, example) = (schema_of::<T>(), example.into());
        let content = Some(Content { media_type: JSON, schema, example });
        self.answers.push(Answer { status, description, content, replays: false });
        self
    }

    /// It answers with 204.
    #[must_use]
    pub fn answers_nothing(mut self, description: &'static str) -> Self {
        self.answers.push(Answer { status: 204, description, content: None, replays: false });
        self
    }

    /// A header of what it answers says whether the outcome was recorded earlier.
    #[must_use]
    pub fn replays(mut self) -> Self {
        self.answers.iter_mut().for_each(|answer| answer.replays = true);
        self
    }

    /// It has a 400 of its own: these codes, beside those of every body and every query that it takes.
    #[must_use]
    pub fn malformed(mut self, description: &'static str, codes: &'static [&'static str]) -> Self {
        self.malformed = Some(Malformed { description, codes });
        self
    }

    /// It refuses with problems of one status. Status and code are those that the function answers with.
    ///
    /// # Panics
    /// There is none, or they have different statuses.
    #[must_use]
    pub fn refuses<P: Into<Problem>>(
        mut self,
        description: impl Into<Cow<'static, str>>,
        refusals: impl IntoIterator<Item = P>,
    ) -> Self {
        let problems: Vec<Problem> = refusals.into_iter().map(Into::into).collect();
        let status = problems.first().expect("a refusal").status;
        let mut codes = Vec::new();
        for problem in &problems {
            assert_eq!(problem.status, status, "{} is of another status", problem.code);
            if !codes.contains(&problem.code) {
                codes.push(problem.code);
            }
        }
        let retries = problems.iter().any(|problem| problem.retry_after.is_some());
        let description = description.into();
        self.refusals.push(Refused { status, description, codes, retries });
        self
    }
}

impl Parameter {
    /// A parameter of the path.
    #[must_use]
    pub fn path<T: JsonSchema + ?Sized>(name: &'static str) -> Self {
        Self::at::<T>(Place::Path, name)
    }

    /// A parameter of the query.
    #[must_use]
    pub fn query<T: JsonSchema + ?Sized>(name: &'static str) -> Self {
        Self::at::<T>(Place::Query, name)
    }

    /// A header.
    #[must_use]
    pub fn header<T: JsonSchema + ?Sized>(name: &'static str) -> Self {
        Self::at::<T>(Place::Header, name)
    }

    fn at<T: JsonSchema + ?Sized>(place: Place, name: &'static str) -> Self {
        let schema = schema_of::<T>();
        Self { name, place, description: None, schema, default: None, example: None }
    }

    /// What it means.
    #[must_use]
    pub fn description(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// What it is where it is left out.
    #[must_use]
    pub fn default(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// An example.
    #[must_use]
    pub fn example(mut self, example: impl Into<Value>) -> Self {
        self.example = Some(example.into());
        self
    }
}

/// What is answered as it was taken, for `#[schemars(with = "...")]`: the schema that requests have.
#[derive(Debug)]
pub struct AsTaken<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for AsTaken<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"$ref": format!("#/components/schemas/{}", T::schema_name())})
    }
}

/// One of two shapes.
#[derive(Debug)]
pub struct Either<A, B>(std::marker::PhantomData<(A, B)>);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Either<A, B> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_{}", A::schema_name(), B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [generator.subschema_for::<A>(), generator.subschema_for::<B>()]})
    }
}

/// The user of a path.
#[must_use]
pub fn user() -> Parameter {
    Parameter::path::<domain::ids::UserId>("user").example("652024209997893632")
}

/// The order number of a path.
#[must_use]
pub fn order_number() -> Parameter {
    Parameter::path::<domain::order_number::OrderNumber>("order_number").example("A-1")
}

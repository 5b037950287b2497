//! Marks users, and says who is marked. Replace this rule by your own.
//!
//! The component: parse, decide, commit, render. In reading order: [`parse`] (wire -> typed command), [`decide`]
//! (command -> transaction, outcome -> answer), [`render`] (answer -> wire), and here what puts them together.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use domain::transaction::CommitError;
use edge::config::Config;
use edge::route::Verb;
use edge::store::Binding as _;
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};

#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod decide;
pub mod parse;
pub mod render;

use parse::Command;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Read,
    Write,
}

const ROUTES: &[Route<Operation>] = &[
    Route {
        verb: Verb::Get,
        path: "/v1/users/{user}/{{project-name | kebab_case}}",
        access: Access::Caller,
        operation: Operation::Read,
    },
    Route {
        verb: Verb::Put,
        path: "/v1/users/{user}/{{project-name | kebab_case}}",
        access: Access::Caller,
        operation: Operation::Write,
    },
];

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    let command = match operation {
        Operation::Read => parse::read(&call.parameters)?,
        Operation::Write => parse::write(&call.parameters, &call.json()?)?,
    };
    stages.end("parse");
    let is_marked = commit(&command, &call.config).await?;
    stages.end("commit");
    render::mark(is_marked)
}

/// One transaction in the partition of the user.
async fn commit(command: &Command, config: &Config) -> Result<bool, CommitError> {
    let store = edge::store::open(config).await?;
    let (partition, transaction) = decide::transaction(command, config.partitions);
    let outcome = store.commit(partition, &transaction).await?;
    decide::is_marked(&outcome)
}

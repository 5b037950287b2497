//! Is this user new? A user is new while they have no successfully paid order.
//!
//! The component: parse, decide, commit, render - over HTTP and as a typed interface. In reading
//! order: [`parse`] (wire -> typed command), [`decide`] (command -> transactions, outcomes ->
//! answer), and here what puts them together.

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
#[cfg(target_arch = "wasm32")]
mod typed;

use decide::Standing;
use parse::Check;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Check,
    CheckMany,
    MarkPaid,
    ReadImport,
    SetImport,
}

const ROUTES: &[Route<Operation>] = &[
    Route {
        verb: Verb::Get,
        path: "/v1/users/{user}/new",
        access: Access::Caller,
        operation: Operation::Check,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/users/check-new",
        access: Access::Caller,
        operation: Operation::CheckMany,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/users/mark-paid",
        access: Access::Operator,
        operation: Operation::MarkPaid,
    },
    Route {
        verb: Verb::Get,
        path: "/v1/users/import",
        access: Access::Operator,
        operation: Operation::ReadImport,
    },
    Route {
        verb: Verb::Put,
        path: "/v1/users/import",
        access: Access::Operator,
        operation: Operation::SetImport,
    },
];

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    match operation {
        Operation::Check => {
            let command = parse::check(&call.parameters, call.query(["unknown"])?)?;
            stages.end("parse");
            let standings = check(&command, &call.config).await?;
            stages.end("commit");
            render::one(command.users[0], standings[0])
        }
        Operation::CheckMany => {
            let command = parse::check_many(call.json()?)?;
            stages.end("parse");
            let standings = check(&command, &call.config).await?;
            stages.end("commit");
            render::many(&command.users, &standings)
        }
        Operation::MarkPaid => {
            let users = parse::mark_paid(&call.json()?)?;
            stages.end("parse");
            mark_paid(&users, &call.config).await?;
            stages.end("commit");
            Ok(Answer::no_content())
        }
        Operation::ReadImport => {
            let import = import(&call.config, decide::read_import(call.config.partitions)).await?;
            stages.end("commit");
            render::import(import)
        }
        Operation::SetImport => {
            let complete = parse::import(call.json()?);
            stages.end("parse");
            let transaction = decide::set_import(complete, call.config.partitions);
            let import = import(&call.config, transaction).await?;
            stages.end("commit");
            render::import(import)
        }
    }
}

/// Tells standings: one wave of commits, one a partition.
async fn check(command: &Check, config: &Config) -> Result<Vec<Standing>, CommitError> {
    let store = edge::store::open(config).await?;
    let transactions = decide::check(command, config.partitions);
    let outcomes = store.commit_all(&transactions).await?;
    decide::standings(command, config.partitions, &transactions, &outcomes)
}

/// Marks users as having paid: durable when it returns.
async fn mark_paid(users: &[domain::ids::UserId], config: &Config) -> Result<(), CommitError> {
    let store = edge::store::open(config).await?;
    store.commit_all(&domain::paid::mark_paid(users, config.partitions)).await?;
    Ok(())
}

async fn import(
    config: &Config,
    transaction: (domain::partition::Partition, domain::transaction::Transaction),
) -> Result<bool, CommitError> {
    let store = edge::store::open(config).await?;
    let outcomes = store.commit_all(&[transaction]).await?;
    decide::import_complete(outcomes.first())
}

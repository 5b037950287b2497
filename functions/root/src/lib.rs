//! What belongs to no function: health, the OpenAPI document, and an answer for every route that
//! nobody has.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that wit-bindgen generates")
)]

use edge::route::Verb;
use edge::{Access, Answer, Call, Problem, Request, Response, Route, Stages};

#[cfg(not(target_arch = "wasm32"))]
pub mod contract;
pub mod health;
pub mod openapi;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Health,
    OpenApi,
}

const ROUTES: &[Route<Operation>] = &[
    Route { verb: Verb::Get, path: "/healthz", access: Access::Open, operation: Operation::Health },
    Route {
        verb: Verb::Get,
        path: "/openapi.json",
        access: Access::Open,
        operation: Operation::OpenApi,
    },
];

edge::export_http!(super::handle);

/// The component's HTTP trigger.
pub async fn handle(request: Request) -> Response {
    edge::serve(request, ROUTES, answer).await
}

async fn answer(operation: Operation, call: &Call, stages: &mut Stages) -> Result<Answer, Problem> {
    match operation {
        Operation::Health => {
            let health = health::check(&call.config).await;
            stages.end("commit");
            health::render(health)
        }
        Operation::OpenApi => Ok(Answer {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: openapi::document(),
        }),
    }
}

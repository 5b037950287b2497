//! One request, from the route table to the response.

use spin_sdk::wasip3::http::types::Request;

use crate::answer::Answer;
use crate::auth;
use crate::call::Call;
use crate::config::Config;
use crate::http::{Head, Response, read_body};
use crate::log;
use crate::problem::Problem;
use crate::route::{Route, find};
use crate::stages::{Stages, monotonic_ns};
use crate::store::random;
use crate::trace::{TRACEPARENT, Trace};

/// Serves one request: finds the route, checks who calls, reads the body within limits, calls the
/// handler and renders what it gives. It never fails: an error that left a component would become an
/// empty 500.
pub async fn serve<O: Copy>(
    request: Request,
    routes: &[Route<O>],
    handler: impl AsyncFnOnce(O, &Call, &mut Stages) -> Result<Answer, Problem>,
) -> Response {
    log::catch_panics();
    let mut stages = Stages::begin(monotonic_ns);
    let head = Head::of(&request);
    let trace = Trace::of(&head.headers);
    let mut route = "";
    let result = run(request, head, routes, handler, &mut stages, &mut route).await;
    render(result, stages, &trace, route).await
}

async fn run<O: Copy>(
    request: Request,
    head: Head,
    routes: &[Route<O>],
    handler: impl AsyncFnOnce(O, &Call, &mut Stages) -> Result<Answer, Problem>,
    stages: &mut Stages,
    route: &mut &'static str,
) -> Result<Answer, Problem> {
    let Head { method, path, query, headers } = head;
    let matched = find(routes, method, &path)?;
    *route = matched.path;
    let config = Config::load(stages.begin_ns).await?;
    auth::check(matched.access, &headers, &config).await?;
    // A GET has no body that means anything (RFC 9110, section 9.3.1), and a stream costs.
    let body = match method {
        "GET" => Vec::new(),
        _ => read_body(request, &headers).await?,
    };
    let call = Call { parameters: matched.parameters, query, headers, body, config };
    handler(matched.operation, &call, stages).await
}

async fn render(
    result: Result<Answer, Problem>,
    mut stages: Stages,
    trace: &Trace,
    route: &str,
) -> Response {
    let (mut response, trace_id) = match result {
        Ok(Answer { status, headers, body }) => (Response { status, headers, body }, None),
        Err(problem) => {
            let trace_id = (problem.status >= 500).then(|| trace.id(random));
            (refusal(&problem, trace_id.as_deref()), trace_id.map(|id| (problem, id)))
        }
    };
    if let Some((problem, trace_id)) = trace_id {
        report(&problem, &trace_id, route).await;
    }
    stages.end("render");
    response.headers.push(("server-timing", stages.header()));
    if let Some(parent) = &trace.parent {
        response.headers.push((TRACEPARENT, parent.clone()));
    }
    response
}

async fn report(problem: &Problem, trace_id: &str, route: &str) {
    let cause = problem.cause.as_deref().unwrap_or_default();
    let line = log::Line { level: "error", code: problem.code, trace_id, route, cause };
    log::write(&line).await;
}

fn refusal(problem: &Problem, trace_id: Option<&str>) -> Response {
    let mut headers = vec![("content-type", "application/problem+json".to_owned())];
    if let Some(seconds) = problem.retry_after {
        headers.push(("retry-after", seconds.to_string()));
    }
    if problem.status == 401 {
        headers.push(("www-authenticate", "Bearer".to_owned()));
    }
    if let Some(allow) = &problem.allow {
        headers.push(("allow", allow.clone()));
    }
    Response { status: problem.status, headers, body: problem.body(trace_id) }
}

//! One request, from the route table to the response.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use spin_sdk::http::Request;

use crate::answer::Answer;
use crate::auth;
use crate::call::{Call, read_body};
use crate::config::Config;
use crate::log;
use crate::problem::Problem;
use crate::route::{Route, find};
use crate::stages::{Stages, monotonic_ns};
use crate::store::random;
use crate::trace::{TRACEPARENT, Trace};

/// A response with its whole body: its length is always known, because a chunked body costs 40 ms on
/// a kept connection of a server without TCP_NODELAY.
pub type Response = http::Response<Full<Bytes>>;

/// Serves one request: finds the route, checks who calls, reads the body within limits, calls the
/// handler and renders what it gives. It never fails: an error that left a component would become an
/// empty 500.
pub async fn serve<O: Copy>(
    request: Request,
    routes: &[Route<O>],
    handler: impl AsyncFnOnce(O, &mut Call) -> Result<Answer, Problem>,
) -> Response {
    log::catch_panics();
    let mut stages = Stages::begin(monotonic_ns);
    let trace = Trace::of(request.headers());
    let mut route = "";
    let result = run(request, routes, handler, &mut stages, &mut route).await;
    render(result, stages, &trace, route).await
}

async fn run<O: Copy>(
    request: Request,
    routes: &[Route<O>],
    handler: impl AsyncFnOnce(O, &mut Call) -> Result<Answer, Problem>,
    stages: &mut Stages,
    route: &mut &'static str,
) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let matched = find(routes, &parts.method, parts.uri.path())?;
    *route = matched.path;
    let config = Config::load().await.map_err(|error| Problem::misconfigured(error.to_string()))?;
    auth::check(matched.access, &parts.headers, &config)?;
    let query = parts.uri.query().map(str::to_owned);
    // A GET has no body that means anything (RFC 9110, section 9.3.1), and a stream costs.
    let body = match parts.method {
        Method::GET => Vec::new(),
        _ => read_body(body, &parts.headers).await?,
    };
    stages.end("receive");
    let mut call = Call {
        parameters: matched.parameters,
        query,
        headers: parts.headers,
        body,
        config,
        stages: std::mem::replace(stages, Stages::begin(monotonic_ns)),
    };
    let result = handler(matched.operation, &mut call).await;
    *stages = call.stages;
    result
}

async fn render(
    result: Result<Answer, Problem>,
    mut stages: Stages,
    trace: &Trace,
    route: &str,
) -> Response {
    let mut response = match result {
        Ok(Answer { status, content_type, body }) => response(status, content_type, body),
        Err(problem) => {
            let trace_id = problem.status.is_server_error().then(|| trace.id(random));
            if let Some(trace_id) = &trace_id {
                report(&problem, trace_id, route).await;
            }
            refusal(&problem, trace_id.as_deref())
        }
    };
    stages.end("render");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(stages.header()) {
        headers.insert("server-timing", value);
    }
    if let Some(value) = trace.parent.as_ref().and_then(|parent| parent.parse().ok()) {
        headers.insert(TRACEPARENT, value);
    }
    response
}

async fn report(problem: &Problem, trace_id: &str, route: &str) {
    let cause = problem.cause.as_deref().unwrap_or_default();
    let line = log::Line { level: "error", code: problem.code, trace_id, route, cause };
    log::write(&line).await;
}

fn refusal(problem: &Problem, trace_id: Option<&str>) -> Response {
    let body = problem.body(trace_id);
    let mut response = response(problem.status, Some("application/problem+json"), body);
    let headers = response.headers_mut();
    if let Some(seconds) = problem.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(value) = problem.allow.as_ref().and_then(|allow| allow.parse().ok()) {
        headers.insert(header::ALLOW, value);
    }
    response
}

fn response(status: StatusCode, content_type: Option<&'static str>, body: Vec<u8>) -> Response {
    let length = body.len();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    // RFC 9110, section 8.6: a 204 has no content-length.
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

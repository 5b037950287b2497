//! The log: one line of JSON a failure, on standard error, and panics.

use std::sync::Once;

use serde::Serialize;
use spin_sdk::wasip3;

use crate::problem::Problem;

/// One line. What is absent is left out.
#[derive(Debug, Default, Serialize)]
pub struct Line<'a> {
    /// `error` or `warning`.
    pub level: &'a str,
    /// What happened, in a stable word.
    pub code: &'a str,
    /// The trace to which it belongs.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub trace_id: &'a str,
    /// The route.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: &'a str,
    /// The cause. Never a token and never a store's address with its password.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cause: &'a str,
}

/// Writes a line.
pub async fn write(line: &Line<'_>) {
    let Ok(mut text) = serde_json::to_vec(line) else { return };
    text.push(b'\n');
    let (mut sink, source) = wasip3::wit_stream::new();
    // What is written has been taken by the host; how it fared beyond there is nobody's to know.
    let _taken = wasip3::cli::stderr::write_via_stream(source);
    sink.write_all(text).await;
}

/// The end of a message's handling: a failure goes to the log, and only its code back. A message is a
/// nudge, because Spin delivers it at most once.
///
/// # Errors
/// The code.
pub async fn message_handled(result: Result<(), Problem>) -> Result<(), String> {
    if let Err(problem) = &result {
        let cause = problem.cause.as_deref().unwrap_or(&problem.detail);
        let (code, route) = (problem.code, "redis");
        write(&Line { level: "warning", code, route, cause, ..Line::default() }).await;
    }
    result.map_err(|problem| problem.code.to_owned())
}

/// Lets panics reach the log before the instance is gone.
pub fn catch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let cause = panic.to_string();
            let line = Line { level: "error", code: "panic", cause: &cause, ..Line::default() };
            wit_bindgen::block_on(write(&line));
        }));
    });
}

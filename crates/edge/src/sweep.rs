//! What a sweep could not do: told in its answer, and in the log.

use domain::due::{Stuck, Swept};
use domain::integer::Count;
use domain::transaction::CommitError;
use serde::Serialize;

use crate::log::{self, Line};

/// Items that one answer names; the others are counted, and in the log.
const NAMED_MAX: usize = 100;

/// What a sweep left, as a part of its answer.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Left {
    /// Items that cannot be done for a fault of their own records, and stay where they are.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    pub stuck: Option<Count>,
    /// Some of them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    pub stuck_items: Vec<StuckItem>,
    /// Items that could not be done for ten minutes for a fault of their own records, and are set aside now: see `GET
    /// /v1/quarantine`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    pub set_aside: Option<Count>,
    /// The first hundred of them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    pub set_aside_items: Vec<StuckItem>,
    /// Whether more was due than this call looked at: another one goes on.
    pub has_more: bool,
    /// The store's failure that kept a part of the call from being done; then `has_more`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
}

/// The first hundred of what cannot be done for a fault of its own records. Each stays as it is, and stops nothing else.
/// All are in the log.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, schemars::JsonSchema)]
pub struct StuckItems(#[schemars(length(max = NAMED_MAX))] pub Vec<StuckItem>);

/// An item that cannot be done.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct StuckItem {
    /// Which: the list, its partition, and what stands in it.
    pub place: String,
    /// Why, for operators.
    pub cause: String,
}

/// Writes what a sweep could not do into the log, and makes its part of the answer.
pub async fn left(swept: &Swept) -> Left {
    log("stuck", &swept.stuck).await;
    log("set_aside", &swept.set_aside).await;
    if let Some(failure) = &swept.failure {
        interrupted(failure).await;
    }
    Left {
        stuck: Count::new(swept.stuck.len() as u64),
        stuck_items: items(&swept.stuck),
        set_aside: Count::new(swept.set_aside.len() as u64),
        set_aside_items: items(&swept.set_aside),
        has_more: swept.has_more,
        interrupted: swept.failure.as_ref().map(ToString::to_string),
    }
}

/// Writes each into the log, under this code.
pub async fn log(code: &str, stuck: &[Stuck]) {
    for Stuck { place, error } in stuck {
        let cause = format!("{place}: {error}");
        log::write(&Line { level: "error", code, cause: &cause, ..Line::default() }).await;
    }
}

/// Writes into the log that the store kept a part from being done.
pub async fn interrupted(failure: &CommitError) {
    let (code, cause) = ("sweep_interrupted", &*failure.to_string());
    log::write(&Line { level: "warning", code, cause, ..Line::default() }).await;
}

/// Those that an answer names.
#[must_use]
pub fn items(stuck: &[Stuck]) -> Vec<StuckItem> {
    let item = |Stuck { place, error }: &Stuck| StuckItem {
        place: place.clone(),
        cause: error.to_string(),
    };
    stuck.iter().take(NAMED_MAX).map(item).collect()
}

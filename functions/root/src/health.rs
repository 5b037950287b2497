//! Liveness, and the store's state, at most one second old; and what the deployment should know of how the store
//! keeps data, at most a minute old.

use std::cell::RefCell;
use std::rc::Rc;

use domain::partition::Partition;
use domain::transaction::{CommitError, Read, Transaction};
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::store::{Binding as _, Store, Warning};
use edge::{Answer, Problem};
use serde::Serialize;

/// A health check that many ask for must not be load itself.
const AGE_MS_MAX: u64 = 1_000;
/// How a server is configured changes rarely.
const WARNINGS_AGE_MS_MAX: u64 = 60_000;

/// What is known of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It answers.
    Ok,
    /// It cannot be reached, or does not answer in time.
    Unavailable,
    /// It answers, but was laid out by another configuration.
    Unusable,
}

/// What is known of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it answers.
    pub store: StoreState,
    /// What the deployment should know of it. It serves all the same.
    pub warnings: Vec<Warning>,
}

/// Whether the app can serve.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Health"))]
pub(crate) struct Body {
    status: Status,
    store: StoreState,
    /// What the deployment should know of how its store keeps data, and of the clocks, at most a minute old; it serves
    /// all the same. Of a cluster one node is asked; the embedded store has no warnings.
    warnings: Vec<WarningBody>,
}

/// Whether it serves.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Unavailable,
}

#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct WarningBody {
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(with = "crate::contract::warning_code::WarningCode")
    )]
    code: &'static str,
    detail: String,
}

/// What was found, and when each was asked for.
#[derive(Clone)]
struct Kept {
    health: Health,
    read_ms: u64,
    warned_ms: u64,
}

thread_local! {
    static LAST: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// The store's state, as it was at most a second ago, and its warnings.
pub async fn check(config: &Config) -> Health {
    let now_ms = monotonic_ns() / 1_000_000;
    let is_fresh = |at_ms: u64, age_ms_max| now_ms.saturating_sub(at_ms) < age_ms_max;
    let last = LAST.with_borrow(Clone::clone);
    if let Some(last) = &last
        && is_fresh(last.read_ms, AGE_MS_MAX)
    {
        return last.health.clone();
    }
    let (store, opened) = ask(config).await;
    let known = last.filter(|last| {
        last.health.store == StoreState::Ok && is_fresh(last.warned_ms, WARNINGS_AGE_MS_MAX)
    });
    let (warnings, warned_ms) = match (opened, known) {
        (None, _) => (Vec::new(), now_ms),
        (Some(_), Some(known)) => (known.health.warnings, known.warned_ms),
        (Some(opened), None) => (opened.warnings().await, now_ms),
    };
    let health = Health { store, warnings };
    LAST.set(Some(Kept { health: health.clone(), read_ms: now_ms, warned_ms }));
    health
}

/// The store's state, and the store where it answers.
async fn ask(config: &Config) -> (StoreState, Option<Rc<Store>>) {
    let reads = vec![Read::Size("health".into())];
    let transaction = Transaction { reads, ..Transaction::default() };
    let result = match edge::store::open(config).await {
        Ok(store) => {
            let done = store.commit_all(&[(Partition::DESCRIPTION, transaction)]).await;
            done.map(|_| store)
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(store) => (StoreState::Ok, Some(store)),
        Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
            (StoreState::Unavailable, None)
        }
        Err(
            CommitError::Invalid(_)
            | CommitError::Unusable(_)
            | CommitError::Unreadable(_)
            | CommitError::Newer(_),
        ) => (StoreState::Unusable, None),
    }
}

/// 200 where the store answers, else 503 with the same body.
///
/// # Errors
/// It cannot be written as JSON.
pub fn render(Health { store, warnings }: Health) -> Result<Answer, Problem> {
    let (code, status) = match store {
        StoreState::Ok => (200, Status::Ok),
        StoreState::Unavailable | StoreState::Unusable => (503, Status::Unavailable),
    };
    let body = |warning: &Warning| WarningBody { code: warning.code(), detail: warning.detail() };
    let warnings = warnings.iter().map(body).collect();
    Answer::json_with(code, &Body { status, store, warnings })
}

#[cfg(test)]
mod tests {
    use edge::store::Durability;

    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_a_503() {
        let table = [
            (StoreState::Ok, 200, r#"{"status":"ok","store":"ok","warnings":[]}"#),
            (
                StoreState::Unavailable,
                503,
                r#"{"status":"unavailable","store":"unavailable","warnings":[]}"#,
            ),
            (
                StoreState::Unusable,
                503,
                r#"{"status":"unavailable","store":"unusable","warnings":[]}"#,
            ),
        ];
        for (store, status, body) in table {
            let answer = render(Health { store, warnings: vec![] }).unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(String::from_utf8(answer.body).unwrap(), body);
        }
    }

    #[test]
    fn a_store_that_may_lose_data_serves_and_says_so() {
        let warnings = vec![Warning::Durability(Durability::NoReplica)];
        let answer = render(Health { store: StoreState::Ok, warnings }).unwrap();
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200);
        assert!(body.contains(r#""warnings":[{"code":"no_replica","detail":"#), "{body}");
    }
}

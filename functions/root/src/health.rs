//! Liveness, and the store's state, at most one second old.

use std::cell::Cell;

use domain::partition::Partition;
use domain::transaction::{CommitError, Read, Transaction};
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::store::Binding as _;
use edge::{Answer, Problem};
use serde::Serialize;

/// A health check that many ask for must not be load itself.
const AGE_MS_MAX: u64 = 1_000;

/// What is known of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It answers.
    Ok,
    /// It cannot be reached, or does not answer in time.
    Unavailable,
    /// It answers, but was laid out by another configuration.
    Unusable,
}

#[derive(Serialize)]
struct Body {
    status: &'static str,
    store: StoreState,
}

thread_local! {
    static LAST: Cell<Option<(u64, StoreState)>> = const { Cell::new(None) };
}

/// The store's state, as it was at most a second ago.
pub async fn check(config: &Config) -> StoreState {
    let now_ms = monotonic_ns() / 1_000_000;
    match LAST.get() {
        Some((read_ms, state)) if now_ms.saturating_sub(read_ms) < AGE_MS_MAX => state,
        _ => {
            let state = ask(config).await;
            LAST.set(Some((now_ms, state)));
            state
        }
    }
}

async fn ask(config: &Config) -> StoreState {
    let reads = vec![Read::Size("health".into())];
    let transaction = Transaction { reads, ..Transaction::default() };
    let result = match edge::store::open(config).await {
        Ok(store) => store.commit_all(&[(Partition::DESCRIPTION, transaction)]).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(_) => StoreState::Ok,
        Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => StoreState::Unavailable,
        Err(CommitError::Invalid(_) | CommitError::Unusable(_)) => StoreState::Unusable,
    }
}

/// 200 where the store answers, else 503 with the same body.
///
/// # Errors
/// It cannot be written as JSON.
pub fn render(store: StoreState) -> Result<Answer, Problem> {
    let (status, word) = match store {
        StoreState::Ok => (200, "ok"),
        StoreState::Unavailable | StoreState::Unusable => (503, "unavailable"),
    };
    Answer::json_with(status, &Body { status: word, store })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_a_503() {
        let table = [
            (StoreState::Ok, 200, r#"{"status":"ok","store":"ok"}"#),
            (StoreState::Unavailable, 503, r#"{"status":"unavailable","store":"unavailable"}"#),
            (StoreState::Unusable, 503, r#"{"status":"unavailable","store":"unusable"}"#),
        ];
        for (state, status, body) in table {
            let answer = render(state).unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(String::from_utf8(answer.body).unwrap(), body);
        }
    }
}

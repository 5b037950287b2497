//! Trying again after somebody else's commit came first.

use domain::transaction::CommitError;

/// Attempts of one operation: of requests that change one record at once each round lets one go on.
pub const ATTEMPTS_MAX: u32 = 64;

/// Tries until an attempt says what came of it; `None` means that another commit came first, and that the next
/// attempt knows what it wrote.
///
/// # Errors
/// Those of an attempt; `Unavailable`, naming what it was, where every attempt lost.
pub async fn attempts<T, E: From<CommitError>>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(lost(what).into())
}

/// Others change all the time what an operation needs.
pub fn lost(what: &str) -> CommitError {
    CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts to {what}"))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn an_operation_ends_with_its_first_result_or_at_the_bound() {
        let mut rounds = 0;
        let third = block_on(attempts("count", async || {
            rounds += 1;
            Ok::<_, CommitError>((rounds == 3).then_some(rounds))
        }));
        assert_eq!(third, Ok(3));
        let mut rounds = 0;
        let never = block_on(attempts("count", async || {
            rounds += 1;
            Ok::<Option<()>, CommitError>(None)
        }));
        assert_eq!((never, rounds), (Err(lost("count")), ATTEMPTS_MAX));
    }
}

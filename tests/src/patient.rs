//! A client who asks again until there is an answer.

use host::App;

use crate::app::{Ask, Reply};

/// After this time of the virtual clock a call to Redis counts as unanswered, where tests say so.
pub const TIMEOUT_MS: u64 = 300;

/// Asks once; the answer may be lost, or be that the store failed.
pub async fn ask(app: &App, asked: &Ask) -> Option<Reply> {
    let reply = asked.of(app).await;
    if reply.is_lost() {
        return None;
    }
    reply.assert_well_formed();
    if reply.status == 503 {
        reply.assert_store_failed();
        return None;
    }
    Some(reply)
}

/// A client who asks again until there is an answer.
pub struct Patient {
    app: App,
    failures: u32,
    failures_max: u32,
}

impl Patient {
    /// A client whose requests fail so many times at the most, all together.
    pub fn new(app: &App, failures_max: u32) -> Self {
        Self { app: app.clone(), failures: 0, failures_max }
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// Too many requests fail.
    pub async fn until_answered(&mut self, asked: &Ask) -> Reply {
        loop {
            if let Some(reply) = ask(&self.app, asked).await {
                return reply;
            }
            self.failures += 1;
            assert!(
                self.failures <= self.failures_max,
                "{} requests failed: {asked:?}",
                self.failures
            );
        }
    }
}

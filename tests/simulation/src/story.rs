//! What happened in a schedule, step by step, kept where a panic leaves it alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::{App, TracedCall};

/// The story of one schedule.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    app: Option<App>,
    start_ms: u64,
    /// Faults of which a line has told.
    faults: usize,
}

impl Story {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It happens in this app.
    pub fn begin(&self, app: &App) {
        let mut told = self.told();
        told.start_ms = app.now_ms();
        told.app = Some(app.clone());
    }

    /// One line, at the time of the app, after the faults since the last line.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let line = line();
        let mut told = self.told();
        let Some(app) = told.app.clone() else { return };
        let injected = app.faults_injected();
        for call in injected.iter().skip(told.faults) {
            told.lines.push(format!("{:>12}    fault at host call {call}", ""));
        }
        told.faults = injected.len();
        let ms = app.now_ms().saturating_sub(told.start_ms);
        told.lines.push(format!("{:>9}.{:03}  {line}", ms / 1_000, ms % 1_000));
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.told().lines.clone()
    }

    /// The faults that were injected.
    pub fn faults(&self) -> Vec<TracedCall> {
        self.told().app.as_ref().map(App::faults_injected).unwrap_or_default()
    }
}

//! What a test binary says while it runs: libtest's JSON, one event a line, with each test's time.

use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;

use super::summary::{Counts, Outcome, Report, Test};

/// How an event begins. Tests whose output is not captured may leave half a line before it.
const EVENT: &str = r#"{ "type": ""#;
/// How libtest exits when a test failed.
const EXIT_FAILED: i32 = 101;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Suite(Suite),
    Test(TestEvent),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Suite {
    event: String,
    #[serde(default)]
    passed: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    ignored: u64,
}

#[derive(Deserialize)]
struct TestEvent {
    event: String,
    name: String,
    #[serde(default)]
    exec_time: f64,
    #[serde(default)]
    stdout: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// What a binary has said so far.
#[derive(Debug, Default)]
pub struct Events {
    /// Tests that have begun and not ended.
    running: Vec<String>,
    ended: Vec<Test>,
    /// The binary's own count, which is the last that it says.
    counts: Option<Counts>,
}

impl Events {
    /// Takes a line of the binary in; what a person shall see of it.
    pub fn take(&mut self, line: &str) -> Option<String> {
        let Some((before, event)) = event_in(line) else {
            return Some(line.to_owned());
        };
        let shown = match event {
            Event::Suite(suite) => self.suite(&suite),
            Event::Test(test) => self.test(test),
            Event::Other => None,
        };
        if before.is_empty() {
            shown
        } else {
            Some(format!("{before}\n{}", shown.unwrap_or_default()))
        }
    }

    fn suite(&mut self, suite: &Suite) -> Option<String> {
        if suite.event != "started" {
            let Suite { passed, failed, ignored, .. } = *suite;
            self.counts = Some(Counts { passed, failed, ignored });
        }
        None
    }

    fn test(&mut self, test: TestEvent) -> Option<String> {
        let TestEvent { event, name, exec_time, stdout, message } = test;
        let outcome = match event.as_str() {
            "started" => {
                self.running.push(name);
                return None;
            }
            // It goes on; this event only says that it takes long.
            "timeout" => return Some(format!("test {name} is still running after a minute")),
            "ok" => Outcome::Passed,
            "ignored" => Outcome::Ignored,
            // `failed`, and whatever else libtest may come to say.
            _ => Outcome::Failed,
        };
        self.running.retain(|running| *running != name);
        let time = Duration::try_from_secs_f64(exec_time).unwrap_or_default();
        let mut shown = match outcome {
            Outcome::Passed => format!("test {name} ... ok, {:.3} s", time.as_secs_f64()),
            Outcome::Ignored => format!("test {name} ... ignored"),
            Outcome::Failed => format!("test {name} ... FAILED, {:.3} s", time.as_secs_f64()),
        };
        if outcome == Outcome::Failed {
            for text in [stdout, message].into_iter().flatten() {
                shown += &format!("\n---- {name}\n{}", text.trim_end());
            }
        }
        self.ended.push(Test { name, outcome, time: Some(time) });
        Some(shown)
    }

    /// The binary `id` has ended.
    #[must_use]
    pub fn end(self, id: String, status: ExitStatus, time: Duration) -> Report {
        let Self { running, mut ended, counts } = self;
        let expected = counts.is_some_and(|counts| match counts.failed {
            0 => status.success(),
            _ => status.code() == Some(EXIT_FAILED),
        });
        let crash = (!expected).then(|| {
            let during = if running.is_empty() {
                String::new()
            } else {
                format!(" in {}", running.join(", "))
            };
            format!("{status}{during}")
        });
        let unfinished = running.into_iter();
        ended.extend(unfinished.map(|name| Test { name, outcome: Outcome::Failed, time: None }));
        let counts = counts.unwrap_or_else(|| Counts::of(&ended));
        Report { id, tests: ended, counts, time, crash }
    }
}

fn event_in(line: &str) -> Option<(&str, Event)> {
    let start = line.find(EVENT)?;
    let (before, event) = line.split_at(start);
    Some((before, serde_json::from_str(event).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// As libtest 1.95 writes it.
    const PASSED: &str = r#"{ "type": "test", "name": "good", "event": "ok", "exec_time": 0.25 }"#;
    const FAILED: &str = r#"{ "type": "test", "name": "bad", "event": "failed", "exec_time": 0.5, "stdout": "HONGBAO_SEED=2\nleft: 1\n" }"#;
    const IGNORED: &str =
        r#"{ "type": "test", "name": "later", "event": "ignored", "message": "why" }"#;
    const NOT_PANICKED: &str = r#"{ "type": "test", "name": "calm", "event": "failed", "exec_time": 0.0, "message": "test did not panic as expected at a.rs:4:28" }"#;

    fn started(name: &str) -> String {
        format!(r#"{{ "type": "test", "event": "started", "name": "{name}" }}"#)
    }

    fn suite(passed: u64, failed: u64, ignored: u64) -> String {
        let event = if failed == 0 { "ok" } else { "failed" };
        format!(
            r#"{{ "type": "suite", "event": "{event}", "passed": {passed}, "failed": {failed}, "ignored": {ignored}, "measured": 0, "filtered_out": 0, "exec_time": 0.09 }}"#
        )
    }

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn killed(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    fn report(lines: &[&str], status: ExitStatus) -> Report {
        let mut events = Events::default();
        events.take(r#"{ "type": "suite", "event": "started", "test_count": 3 }"#);
        for line in lines {
            events.take(line);
        }
        events.end("package::binary".to_owned(), status, Duration::from_secs(1))
    }

    #[test]
    fn shows_tests_as_they_end_and_what_a_failed_one_said() {
        let mut events = Events::default();
        assert_eq!(events.take(&started("good")), None);
        assert_eq!(events.take(PASSED).as_deref(), Some("test good ... ok, 0.250 s"));
        let failed = "test bad ... FAILED, 0.500 s\n---- bad\nHONGBAO_SEED=2\nleft: 1";
        assert_eq!(events.take(FAILED).as_deref(), Some(failed));
        assert_eq!(events.take(IGNORED).as_deref(), Some("test later ... ignored"));
        let shown = events.take(NOT_PANICKED).expect("a failure is shown");
        assert!(shown.ends_with("did not panic as expected at a.rs:4:28"), "{shown}");
    }

    #[test]
    fn lines_that_are_no_events_are_shown_as_they_are() {
        let mut events = Events::default();
        for line in ["", "a thread says", r#"{"json": 1}"#, r#"{ "type": "test", half"#] {
            assert_eq!(events.take(line).as_deref(), Some(line));
        }
        let glued = format!("half a line{PASSED}");
        assert_eq!(events.take(&glued).as_deref(), Some("half a line\ntest good ... ok, 0.250 s"));
        let unknown = r#"{ "type": "report", "total_time": 1.0, "compilation_time": 1.0 }"#;
        assert_eq!(events.take(unknown), None);
    }

    #[test]
    fn counts_and_times_are_those_of_the_binary() {
        let lines = [&started("good"), PASSED, IGNORED, &suite(1, 0, 1)];
        let report = report(&lines, exited(0));
        assert_eq!(report.counts, Counts { passed: 1, failed: 0, ignored: 1 });
        assert_eq!(report.crash, None);
        assert_eq!(report.tests[0].time, Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_failed_test_is_no_crash() {
        let report = report(&[PASSED, FAILED, &suite(1, 1, 0)], exited(EXIT_FAILED));
        assert_eq!((report.counts.failed, report.crash), (1, None));
    }

    #[test]
    fn a_crash_is_named_with_the_tests_that_were_running() {
        let lines = [&started("good"), &started("aborts"), PASSED];
        let report = report(&lines.map(|line| line as &str), killed(6));
        assert_eq!(report.counts, Counts { passed: 1, failed: 1, ignored: 0 });
        assert_eq!(report.crash.as_deref(), Some("signal: 6 (SIGABRT) in aborts"));
    }

    #[test]
    fn whoever_exits_otherwise_than_its_counts_say_has_crashed() {
        let passed = suite(1, 0, 0);
        let failed = suite(0, 1, 0);
        let table: [(&[&str], ExitStatus); 4] = [
            (&[PASSED, &passed], exited(EXIT_FAILED)),
            (&[PASSED], exited(0)),
            (&[], exited(2)),
            (&[FAILED, &failed], exited(0)),
        ];
        for (lines, status) in table {
            assert!(report(lines, status).crash.is_some(), "{lines:?}, {status}");
        }
    }
}

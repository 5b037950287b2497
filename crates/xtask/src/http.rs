//! Asks a running app over HTTP, as the OpenAPI document describes it.
//!
//! Every request that is sent here may be sent again: asking changes nothing, marking twice is marking
//! once, and a batch gives each of its users one coupon. So an answer of 503 and a broken connection are retried, a bounded number of times.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bulk::tally::Tally;
use domain::ids::UserId;

/// A batch of 1,000 users over a slow line, with the app's own time-out for the store within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// With the pauses below: a store that is away for five minutes does not end an import.
const ATTEMPTS_MAX: u32 = 30;

/// When the app does not say how long to wait.
const PAUSE_DEFAULT_SECONDS: u64 = 5;

/// However long the app says: who waits longer had better see the error and run again.
const PAUSE_SECONDS_MAX: u64 = 60;

/// A client of one app, with one token.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Client {
    /// A client of the app at `url`, for example `http://127.0.0.1:3000`.
    ///
    /// # Errors
    /// When the address is none that this program can reach.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let https = url.starts_with("https://");
        if https && !cfg!(feature = "https") {
            bail!(
                "{url}: this program is built without TLS; run \
                 `cargo run --package xtask --features https -- <command>` instead"
            );
        }
        if !https && !url.starts_with("http://") {
            bail!("{url}: an address begins with http:// or https://");
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            // A token must not follow a redirect to another host.
            .max_redirects(0)
            .build();
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.into(), url, token: token.to_owned() })
    }

    /// Whether a user is new.
    ///
    /// # Errors
    /// When the app cannot be reached or answers something else than yes or no.
    pub fn is_new(&self, user: UserId) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct Answer {
            new: bool,
        }
        let body = self.call("GET", &format!("/v1/users/{user}/new"), None)?;
        let answer: Answer =
            serde_json::from_str(&body).with_context(|| format!("a new answer: {body}"))?;
        Ok(answer.new)
    }

    /// Tells the app that an order was paid at a time such as `2010-12-01 08:26:00`, as a
    /// structured CloudEvent.
    ///
    /// # Errors
    /// When the app cannot be reached or refuses.
    pub fn order_paid(&self, user: UserId, order: &str, time: &str) -> anyhow::Result<()> {
        let event = json!({
            "specversion": "1.0",
            "id": format!("{user}-{order}"),
            "source": "/demo/online-retail",
            "type": "order.paid",
            "time": time.replacen(' ', "T", 1) + "Z",
            "datacontenttype": "application/json",
            "data": {"user": user, "order": order},
        });
        let body = Some(("application/cloudevents+json", &event));
        self.call("POST", "/v1/events", body).map(drop)
    }

    /// Marks up to 1,000 users as having paid.
    ///
    /// # Errors
    /// When the app cannot be reached or refuses; some may be marked then.
    pub fn mark_paid(&self, users: &[UserId]) -> anyhow::Result<()> {
        let body = Some(("application/json", &json!({"users": users})));
        self.call("POST", "/v1/users/mark-paid", body).map(drop)
    }

    /// Declares the import of users who paid before complete.
    ///
    /// # Errors
    /// When the app cannot be reached or refuses.
    pub fn complete_import(&self) -> anyhow::Result<()> {
        let body = Some(("application/json", &json!({"complete": true})));
        self.call("PUT", "/v1/users/import", body).map(drop)
    }

    /// Issues coupons of a template to up to 1,000 users, as a part of a batch.
    ///
    /// # Errors
    /// When the app cannot be reached or refuses; some may have their coupons then.
    pub fn issue_to_many(
        &self,
        template: &str,
        batch: &str,
        users: &[UserId],
    ) -> anyhow::Result<()> {
        let body = Some(("application/json", &json!({"batch": batch, "users": users})));
        self.call("POST", &format!("/v1/coupon-templates/{template}/bulk"), body).map(drop)
    }

    /// What became of a batch so far.
    ///
    /// # Errors
    /// When the app cannot be reached or knows no such batch.
    pub fn batch_progress(&self, template: &str, batch: &str) -> anyhow::Result<Tally> {
        let path = format!("/v1/coupon-templates/{template}/bulk/{batch}");
        let body = self.call("GET", &path, None)?;
        serde_json::from_str(&body).with_context(|| format!("a new answer: {body}"))
    }

    /// A page of what the store holds of a day.
    ///
    /// # Errors
    /// When the app cannot be reached or refuses.
    pub fn export(&self, day: &str, cursor: Option<&str>) -> anyhow::Result<Value> {
        let cursor = cursor.map_or(String::new(), |cursor| format!("?cursor={cursor}"));
        let body = self.call("GET", &format!("/v1/export/{day}{cursor}"), None)?;
        serde_json::from_str(&body).with_context(|| format!("a new answer: {body}"))
    }

    /// Sends a request until it is answered, and returns the body of a success.
    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> anyhow::Result<String> {
        let mut attempt = 1;
        loop {
            let (pause, error) = match self.attempt(method, path, body)? {
                Attempt::Done(body) => return Ok(body),
                Attempt::Again { pause, error } => (pause, error),
            };
            if attempt == ATTEMPTS_MAX {
                return Err(error.context(format!("{method} {path}: gave up")));
            }
            attempt += 1;
            std::thread::sleep(pause);
        }
    }

    fn attempt(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> anyhow::Result<Attempt> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token));
        if let Some((content_type, _)) = body {
            request = request.header("content-type", content_type);
        }
        let sent = match body {
            Some((_, body)) => self.agent.run(request.body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(error @ (ureq::Error::Io(_) | ureq::Error::Timeout(_))) => {
                let pause = Duration::from_secs(PAUSE_DEFAULT_SECONDS);
                return Ok(Attempt::Again { pause, error: error.into() });
            }
            Err(error) => return Err(error).with_context(|| format!("{method} {path}")),
        };
        let pause = pause(response.headers().get("retry-after").and_then(|v| v.to_str().ok()));
        let status = response.status();
        let body = response.body_mut().read_to_string().unwrap_or_default();
        if status.is_success() {
            return Ok(Attempt::Done(body));
        }
        let error = anyhow!("{method} {path}: {status}{}", problem(&body));
        if status == 503 { Ok(Attempt::Again { pause, error }) } else { Err(error) }
    }
}

enum Attempt {
    Done(String),
    Again { pause: Duration, error: anyhow::Error },
}

fn pause(retry_after: Option<&str>) -> Duration {
    let seconds = retry_after.and_then(|text| text.parse().ok()).unwrap_or(PAUSE_DEFAULT_SECONDS);
    Duration::from_secs(seconds.min(PAUSE_SECONDS_MAX))
}

/// What problem details say, in one line behind the status.
fn problem(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        #[serde(default)]
        detail: String,
    }
    match serde_json::from_str(body) {
        Ok(Problem { code, detail }) => format!(": {code}: {detail}"),
        Err(_) if body.is_empty() => String::new(),
        Err(_) => format!(": {body}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_as_long_as_the_app_says_within_bounds() {
        let table =
            [(Some("0"), 0), (Some("2"), 2), (Some("86400"), 60), (None, 5), (Some("?"), 5)];
        for (retry_after, seconds) in table {
            assert_eq!(pause(retry_after), Duration::from_secs(seconds), "{retry_after:?}");
        }
    }

    #[test]
    fn shows_the_code_and_detail_of_a_problem() {
        let body = r#"{"type": "about:blank", "code": "unauthorized", "detail": "no token"}"#;
        assert_eq!(problem(body), ": unauthorized: no token");
        assert_eq!(problem("plain"), ": plain");
        assert_eq!(problem(""), "");
    }

    #[test]
    fn refuses_an_address_that_it_cannot_reach() {
        assert!(Client::new("ftp://127.0.0.1", "").is_err());
        assert!(Client::new("127.0.0.1:3000", "").is_err());
        assert_eq!(Client::new("https://example.com", "").is_ok(), cfg!(feature = "https"));
    }
}

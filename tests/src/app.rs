//! The app in the host: loaded with the tokens of tests, asked in process, and its answers checked
//! for what every answer must have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use host::{App, Options, Stderr};
use http::{Method, Request, Response, header};
use serde_json::{Value, json};
use wallet::keys::SigningKeys;

use crate::redis_server::RedisServer;

/// The token of callers.
pub const CALLER: &str = "caller-token-of-tests";
/// The token of operators.
pub const OPERATOR: &str = "operator-token-of-tests";
/// The seed by which tokens are signed in tests.
pub const SIGNING_KEYS: &str = "k1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
/// What structured events are.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
/// What batches of events are.
pub const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";
/// Status of a request whose instance died: the host's own answer, without a body.
const DIED: u16 = 500;

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in it").to_owned()
}

/// A store for a test.
#[derive(Debug)]
pub enum Place {
    /// The key-value store of the host, in memory.
    Kv,
    /// A Redis server of the test's own.
    Redis(RedisServer),
}

impl Place {
    /// A server.
    pub fn redis() -> Self {
        Self::Redis(RedisServer::start(&[]).unwrap_or_else(|error| {
            panic!("{error:#}; run `cargo xtask test`, which sets up all that tests need")
        }))
    }

    /// One of each kind.
    pub fn all() -> [Self; 2] {
        [Self::Kv, Self::redis()]
    }

    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Redis(_) => "redis",
        }
    }

    /// The variable `store`.
    pub fn address(&self) -> String {
        match self {
            Self::Kv => "kv".to_owned(),
            Self::Redis(server) => server.address(),
        }
    }

    /// Makes a server forget the binding's script, as a restart would.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn forget_scripts(&self) {
        if let Self::Redis(server) = self {
            let mut connection = redis::Client::open(server.address())
                .and_then(|client| client.get_connection())
                .expect("the server accepts connections");
            let flush: redis::RedisResult<()> =
                redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection);
            flush.expect("the server runs commands");
        }
    }

    /// The app of `spin.toml` on this store.
    pub fn options(&self) -> Options {
        options(root().join("spin.toml")).variable("store", self.address())
    }

    /// The app of `spin.toml` on this store, loaded.
    pub async fn app(&self) -> App {
        load(self.options()).await
    }
}

/// The keys that belong to [`SIGNING_KEYS`].
///
/// # Panics
/// They are no keys.
pub fn verifying_keys() -> String {
    SigningKeys::parse(SIGNING_KEYS, false).expect("keys of tests").verifying_text()
}

/// Options of the app: those of [`plain_options`], and the keys by which tokens are signed.
pub fn options(manifest: impl Into<PathBuf>) -> Options {
    plain_options(manifest)
        .variable("token_signing_keys", SIGNING_KEYS)
        .variable("token_verifying_keys", verifying_keys())
}

/// Options with the tokens of tests and what is logged kept, for manifests that have nothing else.
pub fn plain_options(manifest: impl Into<PathBuf>) -> Options {
    let mut options = Options::new(manifest)
        .variable("caller_token", CALLER)
        .variable("operator_token", OPERATOR);
    options.stderr = Stderr::Capture;
    options
}

/// Loads an app.
///
/// # Panics
/// It does not load: most likely its components have not been built.
pub async fn load(options: Options) -> App {
    App::load(options).await.unwrap_or_else(|error| panic!("{}", not_loaded(&error)))
}

/// What to do about an app that does not load.
pub fn not_loaded(error: &host::LoadError) -> String {
    format!("{error}; run `cargo xtask test`, which builds the components")
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Ask {
    /// A request of a caller without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let headers = vec![("authorization", format!("Bearer {CALLER}"))];
        Self { method, path: path.into(), headers, body: Bytes::new() }
    }

    /// A caller's GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A caller's POST of JSON.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    /// The same with a body of JSON.
    #[must_use]
    pub fn json(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.header("content-type", "application/json") }
    }

    /// The same with another value of a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(each, _)| *each != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(each, _)| *each != name);
        self
    }

    /// The same by an operator.
    #[must_use]
    pub fn operator(self) -> Self {
        self.header("authorization", format!("Bearer {OPERATOR}"))
    }

    /// As the host takes it.
    ///
    /// # Panics
    /// A header or the path is none.
    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(self.body.clone()).expect("a request of a test is one")
    }

    /// Asks the app.
    pub async fn of(&self, app: &App) -> Reply {
        Reply::of(app.request(self.request()).await)
    }
}

/// Is this user new?
pub fn check(user: u64) -> Ask {
    Ask::get(format!("/v1/users/{user}/new"))
}

/// Which of these users are new?
pub fn check_many(users: &[u64]) -> Ask {
    Ask::post("/v1/users/check-new", list(users))
}

/// The backfill.
pub fn mark_paid(users: &[u64]) -> Ask {
    Ask::post("/v1/users/mark-paid", list(users)).operator()
}

fn list(users: &[u64]) -> String {
    json!({ "users": users.iter().map(u64::to_string).collect::<Vec<_>>() }).to_string()
}

/// An event of a paid order.
pub fn event(user: u64) -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid",
        "data": { "user": user.to_string(), "order": "A-1" },
    })
}

/// A paid order, structured.
pub fn order_paid(user: u64) -> Ask {
    Ask::post("/v1/events", event(user).to_string()).header("content-type", CLOUD_EVENT)
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, each name once.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// From the host's response.
    ///
    /// # Panics
    /// A header is there twice or is no text.
    pub fn of(response: Response<Bytes>) -> Self {
        let mut headers = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = value.to_str().expect("our headers are text").to_owned();
            let before = headers.insert(name.as_str().to_owned(), value);
            assert_eq!(before, None, "{name} is there twice");
        }
        Self { status: response.status().as_u16(), headers, body: response.into_body() }
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON; null where there is none.
    ///
    /// # Panics
    /// The body is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text of the body.
    #[track_caller]
    pub fn text(&self, name: &str) -> Option<String> {
        self.json().get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// The answer to [`check`].
    ///
    /// # Panics
    /// It is another answer.
    #[track_caller]
    pub fn is_new(&self) -> bool {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["new"].as_bool().unwrap_or_else(|| panic!("neither yes nor no: {self:?}"))
    }

    /// The answers to [`check_many`].
    ///
    /// # Panics
    /// It is another answer.
    #[track_caller]
    pub fn are_new(&self) -> Vec<(u64, bool)> {
        assert_eq!(self.status, 200, "{self:?}");
        let answer = |each: &Value| {
            let user = each["user"].as_str().and_then(|user| user.parse().ok());
            user.zip(each["new"].as_bool()).unwrap_or_else(|| panic!("no answer: {each}"))
        };
        self.json()["users"].as_array().expect("a list").iter().map(answer).collect()
    }

    /// Whether the client cannot have seen an answer: the instance died, or the client left.
    pub fn is_lost(&self) -> bool {
        self.status == host::CANCELLED || (self.status == DIED && self.body.is_empty())
    }

    /// Checks what every answer of a component has, and every problem.
    ///
    /// # Panics
    /// Something is missing.
    #[track_caller]
    pub fn assert_well_formed(&self) {
        let length = (self.status != 204).then(|| self.body.len().to_string());
        assert_eq!(self.header("content-length"), length.as_deref(), "{self:?}");
        let timing = self.header(header::HeaderName::from_static("server-timing").as_str());
        let timing = timing.unwrap_or_else(|| panic!("no server-timing: {self:?}"));
        assert!(timing.ends_with(|last: char| last.is_ascii_digit()), "{timing}");
        assert!(timing.split(", ").all(|stage| stage.contains(";dur=")), "{timing}");
        match self.status {
            204 => assert!(self.body.is_empty(), "{self:?}"),
            200..=202 => {
                assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
            }
            _ => self.assert_problem(),
        }
    }

    #[track_caller]
    fn assert_problem(&self) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let code = self.text("code").unwrap_or_else(|| panic!("no code: {self:?}"));
        assert_eq!(self.text("type"), Some(format!("urn:hongbao:problem:{code}")), "{self:?}");
        assert_eq!(self.json()["status"], self.status, "{self:?}");
        for member in ["title", "detail"] {
            assert!(self.text(member).is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        let is = |name: &str| self.headers.contains_key(name);
        assert_eq!(is("retry-after"), [429, 503].contains(&self.status), "{self:?}");
        assert_eq!(is("allow"), self.status == 405, "{self:?}");
        assert_eq!(is("www-authenticate"), self.status == 401, "{self:?}");
        let trace_id = self.text("trace_id");
        assert_eq!(trace_id.is_some(), self.status >= 500, "{self:?}");
        let hex = |id: &String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(trace_id.iter().all(hex), "{self:?}");
    }

    /// Checks that it is a 503 that tells why and when to ask again.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn assert_store_failed(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        self.assert_well_formed();
        let code = self.text("code");
        let known = ["store_unavailable", "store_timeout", "configuration_unavailable"];
        assert!(code.is_some_and(|code| known.contains(&code.as_str())), "{self:?}");
    }
}

/// Demands that a request was refused with this status and code.
///
/// # Panics
/// It was not.
#[track_caller]
pub fn assert_refused(reply: &Reply, status: u16, code: &str) {
    reply.assert_well_formed();
    assert_eq!((reply.status, reply.text("code").as_deref()), (status, Some(code)), "{reply:?}");
}

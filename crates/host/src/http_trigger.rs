//! The HTTP trigger: from a request to the component that its route names, and back. Instances are
//! kept and shared between requests by wasmtime's own handler, the one that Spin uses.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant as Moment};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance as HandlerInstance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration,
    WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use crate::instance::{Component, Instance, Shared};
use crate::loaded::Loaded;
use crate::options::Reuse;
use crate::routes::{Match, Route, Router};

/// Answered by the host itself, as by Spin.
const HEALTH_PATH: &str = "/.well-known/spin/health";
/// Reserved by Spin: no component sees paths below.
const WELL_KNOWN_PREFIX: &str = "/.well-known/spin/";

/// The authority of in-process requests that name none.
const LOCAL_AUTHORITY: &str = "localhost";

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");

/// All routes of an app.
pub(crate) struct HttpTrigger {
    router: Router<Target>,
}

/// What a route leads to. Header values that do not depend on the request are made once.
#[derive(Clone)]
pub(crate) struct Target {
    handler: ProxyHandler<Handler>,
    matched_route: HeaderValue,
    component_route: HeaderValue,
}

impl Target {
    /// Refuses a route that cannot be a header's value.
    pub(crate) fn new(handler: ProxyHandler<Handler>, route: &Route) -> Result<Self, &'static str> {
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| "a route has only printable characters")
        };
        Ok(Self {
            handler,
            matched_route: value(&route.raw)?,
            component_route: value(route.prefix())?,
        })
    }
}

impl HttpTrigger {
    pub(crate) fn new(router: Router<Target>) -> Self {
        Self { router }
    }

    /// Routes and the ids of their components, most specific first.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.router.iter().map(|(route, target)| {
            let component = &target.handler.state().loaded.component;
            (route.raw.as_str(), component.id.as_str())
        })
    }

    /// Answers one request; whatever goes wrong in the guest is a 500 with an empty body.
    pub(crate) async fn handle(
        &self,
        request: Request<WasiBody>,
        client: SocketAddr,
    ) -> Response<WasiBody> {
        let path = request.uri().path();
        if path.starts_with(WELL_KNOWN_PREFIX) {
            return match path {
                HEALTH_PATH => Response::new(full(Bytes::from_static(b"OK"))),
                _ => empty(StatusCode::NOT_FOUND),
            };
        }
        let Some(uri) = full_uri(&request) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let path = path.to_owned();
        let Some(found) = self.router.find(&path) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let request = prepare(request, uri, &found, client);
        match found.target.handler.handle((), request).await {
            Ok(response) => response,
            Err(error) => {
                let state = found.target.handler.state();
                let id = &state.loaded.component.id;
                state.shared.log.line(&format!("component {id}: request failed: {error:#}"));
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// The URI with scheme and authority, as the guest sees it; `None` if the request names no host, or
/// two that differ.
fn full_uri(request: &Request<WasiBody>) -> Option<Uri> {
    let named = match request.headers().get(header::HOST) {
        None => None,
        Some(host) => Some(Authority::try_from(host.as_bytes()).ok()?),
    };
    let authority = match (named, request.uri().authority()) {
        (None, None) => return None,
        (Some(named), Some(given)) if named != *given => return None,
        (Some(named), _) => named,
        (None, Some(given)) => given.clone(),
    };
    let path = request.uri().path_and_query().cloned();
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()
        .ok()
}

/// Sets what Spin tells a component in headers. Unlike Spin it replaces what a client sent under
/// the same names.
fn prepare(
    mut request: Request<WasiBody>,
    uri: Uri,
    found: &Match<'_, '_, Target>,
    client: SocketAddr,
) -> Request<WasiBody> {
    let headers = request.headers_mut();
    // Concerns only this connection.
    headers.remove(header::CONNECTION);
    let mut set = |name: HeaderName, value: Result<HeaderValue, _>| {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    set(PATH_INFO, HeaderValue::from_str(found.rest));
    set(FULL_URL, HeaderValue::try_from(uri.to_string()));
    set(CLIENT_ADDRESS, HeaderValue::try_from(client.to_string()));
    set(MATCHED_ROUTE, Ok(found.target.matched_route.clone()));
    set(RAW_COMPONENT_ROUTE, Ok(found.target.matched_route.clone()));
    set(COMPONENT_ROUTE, Ok(found.target.component_route.clone()));
    set(BASE_PATH, Ok(HeaderValue::from_static("/")));
    for (name, value) in &found.names {
        let name = format!("spin-path-match-{}", name.to_ascii_lowercase());
        if let Ok(name) = HeaderName::try_from(name) {
            set(name, HeaderValue::from_str(value));
        }
    }
    *request.uri_mut() = uri;
    request
}

/// Gives an in-process request the authority that a client would have sent.
pub(crate) fn with_authority(mut request: Request<Bytes>) -> Request<WasiBody> {
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        let host = HeaderValue::from_static(LOCAL_AUTHORITY);
        request.headers_mut().insert(header::HOST, host);
    }
    request.map(full)
}

fn full(bytes: Bytes) -> WasiBody {
    Full::new(bytes).map_err(never).boxed_unsync()
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Empty::new().map_err(never).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn never(impossible: Infallible) -> wasmtime_wasi_http::Error {
    match impossible {}
}

/// Makes the instances of one component.
pub(crate) struct Handler {
    shared: Arc<Shared>,
    loaded: Loaded,
    reuse: Reuse,
    /// Real time must not end an instance when the components' time is virtual.
    expires: bool,
}

impl Handler {
    pub(crate) fn new(shared: Arc<Shared>, loaded: Loaded, reuse: Reuse, expires: bool) -> Self {
        Self { shared, loaded, reuse, expires }
    }
}

impl HandlerState for Handler {
    type StoreData = Instance;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<HandlerInstance<Instance, Expiration, Worker>> {
        let mut store = self.loaded.new_store(&self.shared);
        let pre = self.loaded.program.http().ok_or_else(|| {
            wasmtime::Error::msg("the component does not export wasi:http/handler")
        })?;
        let proxy = Proxy::P3(pre.instantiate_async(&mut store).await?);
        let busy = self.shared.fuel.then(|| {
            Arc::new(Busy { now: AtomicBool::new(false), shared: Arc::clone(&self.shared) })
        });
        Ok(HandlerInstance {
            store,
            proxy,
            view: |instance| WasiHttpView::http(instance),
            expiration: Expiration {
                idle: self.reuse.idle,
                sleep: self.expires.then(|| Box::pin(tokio::time::sleep(self.reuse.idle))),
                busy: busy.clone(),
            },
            state: Worker {
                reuse: self.reuse,
                component: Arc::clone(&self.loaded.component),
                shared: Arc::clone(&self.shared),
                busy,
            },
        })
    }
}

/// Whether one instance is at work.
struct Busy {
    now: AtomicBool,
    shared: Arc<Shared>,
}

impl Busy {
    fn set(&self, busy: bool) {
        if self.now.swap(busy, Ordering::AcqRel) != busy {
            if busy {
                self.shared.activity.begin();
            } else {
                self.shared.activity.end();
            }
        }
    }
}

/// Ends an instance that has had no work for a while. A request is never ended: Spin has no limit
/// either unless it is told one.
pub(crate) struct Expiration {
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    busy: Option<Arc<Busy>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        start: Moment,
    ) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        if let Some(busy) = &self.busy {
            busy.set(false);
        }
        let deadline = (start + self.idle).into();
        match &mut self.sleep {
            None => Poll::Pending,
            Some(sleep) => {
                if sleep.deadline() != deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep.as_mut().poll(context)
            }
        }
    }
}

/// The handler reports every instance as panicked that it did not end itself. Those are also the idle
/// ones that are dropped with their runtime: there nothing panicked, and nothing failed.
fn is_end_of_runtime(error: &wasmtime::Error) -> bool {
    error.to_string() == "worker panicked" && !std::thread::panicking()
}

/// What one instance takes on.
pub(crate) struct Worker {
    reuse: Reuse,
    component: Arc<Component>,
    shared: Arc<Shared>,
    busy: Option<Arc<Busy>>,
}

impl WorkerState for Worker {
    type StoreData = Instance;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.requests {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Instance>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        if let Some(busy) = &self.busy {
            busy.set(true);
        }
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Instance>, result: wasmtime::Result<()>) {
        if let Err(error) = result
            && !is_end_of_runtime(&error)
        {
            let id = &self.component.id;
            self.shared.log.line(&format!("component {id}: instance failed: {error:?}"));
        }
        drop(store);
        if let Some(busy) = &self.busy {
            busy.set(false);
        }
    }
}

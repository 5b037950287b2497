//! An app: manifests loaded, components compiled, ready to answer requests in process or on a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::calls::{Control, Counters, Gate, TracedCall};
use crate::clock::Clock;
use crate::engine::{self, ComponentError};
use crate::hosts::{AllowedHost, AllowedHostError};
use crate::http_trigger::{Handler, HttpTrigger, Target, with_authority};
use crate::instance::{Activity, Component, Shared};
use crate::key_value::{self, DEFAULT_STORE};
use crate::loaded::Loaded;
use crate::lock::lock;
use crate::log::Log;
use crate::manifest::{self, Manifest, ManifestError};
use crate::options::{Options, Schedule, Time};
use crate::redis_trigger::{self, Channels, MessageError};
use crate::routes::{Route, Router};
use crate::schedule::Scheduler;
use crate::server::Server;
use crate::server_clock::ServerClock;
use crate::variables::{self, ComponentVariables, Values, VariableError};

/// The status of a request whose client an injected [`Fault::Cancel`](crate::Fault::Cancel) took
/// away: nobody would see an answer. Not a registered code, so that no component sends it.
pub const CANCELLED: u16 = 499;

/// Where virtual time starts if a seeded schedule needs one and the options have real time:
/// 2023-11-14T22:13:20Z, a time that is plainly not now.
const START_MS: u64 = 1_700_000_000_000;

/// The client address of in-process requests.
const IN_PROCESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Why an app cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A field of a manifest holds something that this host cannot do.
    #[error("{}: {field}: {reason}", path.display())]
    Field {
        /// The manifest.
        path: PathBuf,
        /// The path of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A variable has no value, or no meaning.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// A component cannot be run.
    #[error("component {id}: {error}")]
    Component {
        /// Its id.
        id: String,
        /// Why not.
        error: ComponentError,
    },
    /// The key-value store cannot be opened.
    #[error("key-value store: {0}")]
    Store(String),
}

/// A loaded app; cheap to clone, and all clones are the same app.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    http: Arc<HttpTrigger>,
    /// Channels by server address.
    redis: BTreeMap<String, Channels>,
    components: Vec<Arc<Component>>,
    listen: SocketAddr,
}

/// Futures are boxed here, so that they are compiled once and not again in each program that awaits them.
impl App {
    /// Reads the manifests, resolves variables, opens the store and compiles the components (a
    /// fraction of a second each the first time in a process). Must run inside a tokio runtime.
    pub async fn load(options: Options) -> Result<Self, LoadError> {
        let manifests = options
            .manifests
            .iter()
            .map(|path| Manifest::read(path))
            .collect::<Result<Vec<_>, _>>()?;
        check_variables(&manifests, &options.variables)?;
        let shared = Arc::new(share(&options)?);
        let mut builder = Builder {
            reuse_expires: matches!(*shared.clock, Clock::Real { .. }),
            options: &options,
            shared: &shared,
            ids: BTreeSet::new(),
            routes: Vec::new(),
            redis: BTreeMap::new(),
            components: Vec::new(),
        };
        for manifest in &manifests {
            builder.add(manifest)?;
        }
        let Builder { routes, redis, components, .. } = builder;
        let router = Router::new(routes).map_err(|route| LoadError::Field {
            path: options.manifests.first().cloned().unwrap_or_default(),
            field: "trigger.http.route".to_owned(),
            reason: format!("{:?} is there twice", route.raw),
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                http: Arc::new(HttpTrigger::new(router)),
                redis,
                components,
                listen: options.listen.unwrap_or(IN_PROCESS),
            }),
        })
    }

    /// Answers one request in process, without a socket. A guest that traps is a 500 with an empty
    /// body, as on a socket; a body that breaks off is one too. [`CANCELLED`] is a request whose
    /// client was taken away.
    ///
    /// When fuel is counted this waits until the guest has returned, so that all of the request's
    /// fuel is in the counters.
    pub fn request(&self, request: Request<Bytes>) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer_or_cancel(request))
    }

    async fn answer_or_cancel(&self, request: Request<Bytes>) -> Response<Bytes> {
        let answered = self.answer(with_authority(request));
        let response = match &self.inner.shared.gate.control {
            None => answered.await,
            Some(control) => {
                let (number, cancelled) = control.request_started();
                let response = tokio::select! {
                    biased;
                    Ok(()) = cancelled => empty(CANCELLED),
                    response = answered => response,
                };
                control.request_ended(number);
                response
            }
        };
        if self.inner.shared.fuel {
            self.inner.shared.activity.none().await;
        }
        response
    }

    async fn answer(&self, request: Request<WasiBody>) -> Response<Bytes> {
        let response = self.inner.http.handle(request, IN_PROCESS).await;
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Response::from_parts(head, body.to_bytes()),
            Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR.as_u16()),
        }
    }

    /// Listens where the options say, and starts the Redis triggers.
    pub fn serve(&self) -> BoxFuture<'_, std::io::Result<Server>> {
        Box::pin(self.start())
    }

    async fn start(&self) -> std::io::Result<Server> {
        let mut triggers = JoinSet::new();
        for (address, channels) in &self.inner.redis {
            let shared = Arc::clone(&self.inner.shared);
            let listening = redis_trigger::listen(shared, address.clone(), channels.clone());
            triggers.spawn(listening);
        }
        Server::start(self.inner.listen, Arc::clone(&self.inner.http), triggers).await
    }

    /// Gives a message to the components that listen on the channel, as if Redis had sent it, and
    /// waits until they have handled it. The first error is returned, after all have run.
    pub fn publish<'a>(
        &'a self,
        channel: &'a str,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Result<(), MessageError>> {
        Box::pin(self.publish_to_all(channel, payload))
    }

    async fn publish_to_all(&self, channel: &str, payload: &[u8]) -> Result<(), MessageError> {
        let components = self
            .inner
            .redis
            .values()
            .filter_map(|channels| channels.get(channel))
            .flatten()
            .cloned()
            .collect::<Vec<_>>();
        if components.is_empty() {
            return Err(MessageError::UnknownChannel(channel.to_owned()));
        }
        redis_trigger::handle_all(&self.inner.shared, &components, payload)
            .await
            .into_iter()
            .collect()
    }

    /// Counts since the app was loaded.
    pub fn counters(&self) -> Counters {
        self.inner.shared.gate.counters()
    }

    /// The host calls so far, in the order in which the guests made them; empty unless the options
    /// ask for a trace, faults or a schedule.
    pub fn trace(&self) -> Vec<TracedCall> {
        let control = self.inner.shared.gate.control.as_ref();
        control.map(|control| control.trace()).unwrap_or_default()
    }

    /// The host calls so far at which a fault was injected, in order: what a plan of
    /// [`Faults`](crate::Faults) replays.
    pub fn faults_injected(&self) -> Vec<TracedCall> {
        let control = self.inner.shared.gate.control.as_ref();
        control.map(|control| control.faults_injected()).unwrap_or_default()
    }

    /// From now on nothing goes wrong, neither by plan nor by chance, and the clocks of all instances
    /// are right. What is late already still happens.
    pub fn stop_faults(&self) {
        if let Some(control) = &self.inner.shared.gate.control {
            control.stop_faults();
        }
    }

    /// Tells [`exhaust`](crate::exhaust) that the calls so far only prepared the scenario.
    pub fn set_up_done(&self) {
        if let Some(control) = &self.inner.shared.gate.control {
            control.set_up_done();
        }
    }

    /// Tells [`exhaust`](crate::exhaust) that the calls from now on only look at what came of the
    /// scenario. Where it is told several times the first counts.
    pub fn scenario_done(&self) {
        if let Some(control) = &self.inner.shared.gate.control {
            control.scenario_done();
        }
    }

    pub(crate) fn calls_of_scenario(&self) -> Range<u64> {
        let control = self.inner.shared.gate.control.as_ref();
        control.map_or(0..0, |control| control.calls_of_scenario())
    }

    /// What components and host have logged so far; empty unless the options capture it.
    pub fn stderr(&self) -> String {
        self.inner.shared.log.captured()
    }

    /// Moves virtual time; does nothing in real time.
    pub fn advance_time(&self, ms: u64) {
        if let Clock::Virtual(clock) = &*self.inner.shared.clock {
            clock.advance_ms(ms);
        }
    }

    /// Milliseconds since the Unix epoch, as components see them whose clock is right.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.inner.shared.clock.system().as_millis()).unwrap_or(u64::MAX)
    }

    /// Routes and the ids of their components, most specific first.
    pub fn routes(&self) -> Vec<(String, String)> {
        let routes = self.inner.http.routes();
        routes.map(|(route, component)| (route.to_owned(), component.to_owned())).collect()
    }

    /// The variables of each component, and which of them it has asked for, in order of id.
    pub fn variables(&self) -> Vec<ComponentVariables> {
        let all = self.inner.components.iter().map(|component| ComponentVariables {
            component: component.id.clone(),
            given: component.variables.keys().cloned().collect(),
            asked: lock(&component.asked).clone(),
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|one, other| one.component.cmp(&other.component));
        all
    }

    /// Channels of the Redis triggers.
    pub fn channels(&self) -> Vec<String> {
        let channels = self.inner.redis.values().flat_map(BTreeMap::keys);
        channels.cloned().collect()
    }

    pub(crate) fn scheduler(&self) -> Option<Arc<Scheduler>> {
        let control = self.inner.shared.gate.control.as_ref()?;
        control.scheduler.clone()
    }

    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.inner.shared.clock)
    }
}

fn empty(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status of three digits");
    response
}

/// A variable on the command line that no manifest knows is a typing error.
fn check_variables(manifests: &[Manifest], given: &Values) -> Result<(), VariableError> {
    let unknown = given
        .keys()
        .find(|name| !manifests.iter().any(|manifest| manifest.variables.contains_key(*name)));
    unknown.map_or(Ok(()), |name| Err(VariableError::Unknown(name.clone())))
}

fn share(options: &Options) -> Result<Shared, LoadError> {
    let scheduler = match options.schedule {
        Schedule::Real => None,
        Schedule::Seeded(seed) => Some(Arc::new(Scheduler::new(seed))),
    };
    let time = match (options.time, &scheduler) {
        (Time::Real, Some(_)) => Time::Seeded { start_ms: START_MS },
        (time, _) => time,
    };
    let clock = Arc::new(Clock::new(time));
    let controlled = options.trace || options.faults.any() || scheduler.is_some();
    let control =
        controlled.then(|| Control::new(options.faults.clone(), Arc::clone(&clock), scheduler));
    let store =
        key_value::open(&options.key_value).map_err(|error| LoadError::Store(error.to_string()))?;
    let gate = Gate::new(control);
    let server_clock = Arc::new(ServerClock::new(Arc::clone(&clock), gate.control.clone()));
    Ok(Shared {
        gate,
        clock,
        server_clock,
        log: Log::new(options.stderr),
        store,
        random: options.random,
        fuel: options.fuel,
        activity: Activity::default(),
    })
}

/// Collects routes and channels over all manifests.
struct Builder<'a> {
    options: &'a Options,
    shared: &'a Arc<Shared>,
    reuse_expires: bool,
    ids: BTreeSet<String>,
    routes: Vec<(Route, Target)>,
    redis: BTreeMap<String, Channels>,
    components: Vec<Arc<Component>>,
}

impl Builder<'_> {
    fn add(&mut self, manifest: &Manifest) -> Result<(), LoadError> {
        let values = variables::resolve(&manifest.variables, &self.options.variables, |name| {
            std::env::var(name).ok()
        })?;
        let wrong = |field: String, reason: String| LoadError::Field {
            path: manifest.path.clone(),
            field,
            reason,
        };
        let mut components = BTreeMap::new();
        for (id, section) in &manifest.components {
            if !self.ids.insert(id.clone()) {
                let reason = "another manifest has a component of this name".to_owned();
                return Err(wrong(format!("component.{id}"), reason));
            }
            let component = self.component(id, section, &values, wrong)?;
            self.components.push(Arc::clone(&component.component));
            components.insert(id.as_str(), component);
        }
        // One handler a component, so that all its routes share its instances.
        let mut handlers = BTreeMap::new();
        for trigger in &manifest.http {
            let loaded = &components[trigger.component.as_str()];
            if loaded.program.http().is_none() {
                let id = &loaded.component.id;
                let reason = format!("component {id} does not export wasi:http/handler");
                return Err(wrong("trigger.http.component".to_owned(), reason));
            }
            let handler =
                handlers.entry(trigger.component.as_str()).or_insert_with(|| self.handler(loaded));
            let route = Route::parse(&trigger.route)
                .and_then(|route| Ok((Target::new(handler.clone(), &route)?, route)))
                .map_err(|reason| {
                    let reason = format!("{:?}: {reason}", trigger.route);
                    wrong("trigger.http.route".to_owned(), reason)
                })?;
            self.routes.push((route.1, route.0));
        }
        for trigger in &manifest.redis {
            let loaded = &components[trigger.component.as_str()];
            if loaded.program.redis().is_none() {
                let id = &loaded.component.id;
                let reason = format!("component {id} does not export spin:redis/inbound-redis");
                return Err(wrong("trigger.redis.component".to_owned(), reason));
            }
            self.redis
                .entry(variables::expand(&trigger.address, &values)?)
                .or_default()
                .entry(variables::expand(&trigger.channel, &values)?)
                .or_default()
                .push(loaded.clone());
        }
        Ok(())
    }

    fn handler(&self, loaded: &Loaded) -> ProxyHandler<Handler> {
        ProxyHandler::new(Handler::new(
            Arc::clone(self.shared),
            loaded.clone(),
            self.options.reuse,
            self.reuse_expires,
        ))
    }

    fn component(
        &self,
        id: &str,
        section: &manifest::Component,
        values: &Values,
        wrong: impl Fn(String, String) -> LoadError,
    ) -> Result<Loaded, LoadError> {
        let mut stores = section.key_value_stores.iter();
        if let Some(label) = stores.find(|label| *label != DEFAULT_STORE) {
            return Err(wrong(
                format!("component.{id}.key_value_stores"),
                format!("{label:?}: only {DEFAULT_STORE:?} is supported by this host"),
            ));
        }
        let hosts = section
            .allowed_outbound_hosts
            .iter()
            .map(|pattern| {
                let pattern = variables::expand(pattern, values)?;
                AllowedHost::parse(&pattern).map_err(|error: AllowedHostError| {
                    let field = format!("component.{id}.allowed_outbound_hosts");
                    wrong(field, error.to_string())
                })
            })
            .collect::<Result<_, LoadError>>()?;
        let own = section
            .variables
            .iter()
            .map(|(name, template)| {
                variables::check_name(name).map_err(VariableError::InvalidName)?;
                Ok((name.clone(), variables::expand(template, values)?))
            })
            .collect::<Result<_, VariableError>>()?;
        let program = engine::load(&section.source, self.options.fuel)
            .map_err(|error| LoadError::Component { id: id.to_owned(), error })?;
        let component = Component {
            id: id.to_owned(),
            variables: own,
            asked: Mutex::default(),
            stores: section.key_value_stores.iter().cloned().collect(),
            hosts,
        };
        Ok(Loaded { component: Arc::new(component), program })
    }
}

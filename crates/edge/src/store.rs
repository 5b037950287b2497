//! The binding on Spin's imports, kept for the life of the instance: a connection a request would
//! halve the throughput.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use binding::Binding;
use binding::kv::Kv;
use binding::layout;
use binding::pages;
use binding::redis::Redis;
use binding::redis::durability;
pub use binding::redis::durability::Warning as Durability;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, OPERATIONS_MAX, Outcome, Read, Refusal, Transaction,
};

use crate::clock::{AbsurdTime, ClockWarning, Due, Moment, StoreClock, pause};
use crate::config::{Config, StoreAddress};
use crate::log::{self, Line};

mod bucket;
mod connection;

use bucket::Bucket;
use connection::Opener;

/// A random number from the host.
pub fn random() -> u64 {
    spin_sdk::wasip3::random::random::get_random_u64()
}

/// The store of an instance.
pub struct Store {
    /// What it was opened by; a change of what matters opens another.
    config: Config,
    backend: Backend,
    layout: Cell<Layout>,
    /// Whether it was ever found as configured: that does not change.
    is_layout_known: Cell<bool>,
    clock: StoreClock,
    /// Whether the next commit should bring the store's time with it.
    is_time_due: Cell<bool>,
}

/// Something that a deployment should know of its store. It serves all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Of how it keeps data.
    Durability(Durability),
    /// Of its clock, and the instance's.
    Clock(ClockWarning),
}

impl Warning {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Durability(warning) => warning.code(),
            Self::Clock(warning) => warning.code(),
        }
    }

    /// What it means, for operators.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Durability(warning) => warning.detail(),
            Self::Clock(warning) => warning.detail(),
        }
    }
}

/// Whether the store was found to be laid out as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Nobody has looked, or the one who did had no answer.
    Unknown,
    /// A request looks right now.
    InCheck,
    /// It is.
    Checked,
    /// It is, and the next request asks for the store's time by looking again.
    TimeDue,
}

/// Looks at a check that another request makes. Whoever takes longer has an ailing store.
const LOOKS_MAX: u32 = 100;

enum Backend {
    Kv(Kv<Bucket>),
    Redis(Redis<Opener>),
}

thread_local! {
    static KEPT: RefCell<Option<Rc<Store>>> = const { RefCell::new(None) };
}

/// The store that is configured: the instance's own where it has one.
///
/// # Errors
/// It cannot be reached, or was laid out by another configuration.
pub async fn open(config: &Config) -> Result<Rc<Store>, CommitError> {
    let kept = KEPT.with_borrow(Clone::clone).filter(|store| store.is_of(config));
    let store = match kept {
        Some(store) => store,
        None => {
            let store = Rc::new(Store::new(config)?);
            KEPT.set(Some(Rc::clone(&store)));
            store
        }
    };
    store.look_at_clocks(config.read_at);
    // Requests that come together check once: they cannot wake each other, so that the others look
    // again after a millisecond. Checking twice would be checking once.
    for _ in 0..LOOKS_MAX {
        if store.layout.get() != Layout::InCheck {
            break;
        }
        pause(1).await;
    }
    let before = store.layout.get();
    // Where the layout is known, nobody waits for who asks for the time.
    let waits_for_time = before == Layout::InCheck && store.is_layout_known.get();
    if before == Layout::Checked || waits_for_time {
        return Ok(store);
    }
    store.layout.set(Layout::InCheck);
    let looking = Looking(&store);
    let sent = Moment::now();
    match layout::check(store.as_ref(), config.partitions).await {
        Ok(store_ms) => {
            store.is_layout_known.set(true);
            store.layout.set(Layout::Checked);
            store.told(sent, store_ms).await;
        }
        // Of a cluster other nodes may be well, and the time stays as it was known.
        Err(CommitError::Unavailable(_) | CommitError::Unknown(_))
            if store.is_layout_known.get() =>
        {
            store.layout.set(Layout::Checked);
            store.clock.unanswered(Moment::now());
        }
        Err(error) => {
            store.layout.set(Layout::Unknown);
            return Err(error);
        }
    }
    drop(looking);
    Ok(store)
}

/// Whoever looks may be given up half-way, with its client: then another one looks.
struct Looking<'a>(&'a Store);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let Self(store) = self;
        if store.layout.get() == Layout::InCheck {
            let is_known = store.is_layout_known.get();
            store.layout.set(if is_known { Layout::TimeDue } else { Layout::Unknown });
        }
    }
}

impl Store {
    fn new(config: &Config) -> Result<Self, CommitError> {
        let (prefix, stage) = (&config.key_prefix, &config.stage);
        let backend = match &config.store {
            StoreAddress::Kv => Backend::Kv(Kv::new(Bucket::open()?, prefix, stage)),
            StoreAddress::Redis(addresses) => {
                let opener = Opener { timeout_ms: config.store_timeout_ms };
                let addresses = addresses.clone();
                Backend::Redis(Redis::new(opener, addresses, prefix, stage, config.partitions))
            }
        };
        Ok(Self {
            config: config.clone(),
            backend,
            layout: Cell::new(Layout::Unknown),
            is_layout_known: Cell::new(false),
            clock: StoreClock::new(),
            is_time_due: Cell::new(false),
        })
    }

    /// The time of a request: the store's, where it has a clock ([`crate::clock`]).
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// What a deployment should know of how its store keeps data, and of the clocks. Of a cluster one node is asked;
    /// the embedded store has nothing to say.
    pub async fn warnings(&self) -> Vec<Warning> {
        let Backend::Redis(redis) = &self.backend else { return Vec::new() };
        let durability = match redis.info(&self.config.key_prefix).await {
            Ok(info) => durability::warnings(&info),
            Err(_) => vec![Durability::Unknown],
        };
        let clock = self.clock.warning().map(Warning::Clock);
        durability.into_iter().map(Warning::Durability).chain(clock).collect()
    }

    /// Has the clock measured again where that is due by what was seen with a configuration.
    fn look_at_clocks(&self, looked: Moment) {
        let is_cluster = match &self.config.store {
            StoreAddress::Kv => false,
            StoreAddress::Redis(addresses) => addresses.len() > 1,
        };
        match self.clock.due(looked) {
            Due::Nothing => {}
            Due::Measure if !is_cluster => self.is_time_due.set(true),
            // Whoever looks already brings the time.
            Due::Measure | Due::MeasureFirst => {
                if self.layout.get() == Layout::Checked {
                    self.layout.set(Layout::TimeDue);
                }
            }
        }
    }

    /// Takes what the store said of its clock.
    async fn told(&self, sent: Moment, store_ms: Option<i64>) {
        if let Some(absurd) = self.clock.answered(sent, Moment::now(), store_ms) {
            tell(absurd).await;
        }
    }

    /// Commits, and brings the store's time with it.
    async fn commit_and_measure(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        let mut transactions = transactions.to_vec();
        if let Some((_, first)) = transactions.first_mut() {
            first.reads.push(Read::Clock);
        }
        let sent = Moment::now();
        let mut results = self.commit_each(&transactions).await;
        let first = results.first_mut().and_then(|result| result.as_mut().ok());
        let time = first.and_then(|outcome| {
            let (Outcome::Committed(reads) | Outcome::Refused(Refusal { reads, .. })) = outcome;
            reads.pop()
        });
        if let Some(Answer::Clock(store_ms)) = time {
            self.told(sent, store_ms).await;
        }
        results
    }

    async fn commit_each(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        match &self.backend {
            Backend::Kv(kv) => kv.commit_some(transactions).await,
            Backend::Redis(redis) => redis.commit_some(transactions).await,
        }
    }

    /// Whether another configuration means this store: tokens do not matter to it.
    fn is_of(&self, config: &Config) -> bool {
        let Config { store, partitions, key_prefix, stage, .. } = &self.config;
        let Config { store_timeout_ms, page_entries_max, .. } = &self.config;
        *store == config.store
            && *partitions == config.partitions
            && *key_prefix == config.key_prefix
            && *stage == config.stage
            && *store_timeout_ms == config.store_timeout_ms
            && *page_entries_max == config.page_entries_max
    }
}

impl Binding for Store {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        // Through one door, so that each back end stands in a component once.
        let results = self.commit_some(&[(partition, transaction.clone())]).await;
        let nothing = || CommitError::Unavailable("there was no outcome".into());
        results.into_iter().next().ok_or_else(nothing)?
    }

    async fn commit_some(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        let transactions = pages::limited(transactions, self.config.page_entries_max);
        if self.is_time_due.get() && transactions.first().is_some_and(|(_, first)| has_room(first))
        {
            self.is_time_due.set(false);
            // Boxed: most commits go another way, and it would make each of them larger.
            return Box::pin(self.commit_and_measure(&transactions)).await;
        }
        self.commit_each(&transactions).await
    }
}

/// Whether a transaction can have one more read.
fn has_room(Transaction { guards, writes, reads, .. }: &Transaction) -> bool {
    guards.len() + writes.len() + reads.len() < OPERATIONS_MAX
}

/// Writes into the log that the store says a time that cannot be.
async fn tell(absurd: AbsurdTime) {
    let warning = ClockWarning::Absurd(absurd);
    let (code, cause) = (warning.code(), &*warning.detail());
    log::write(&Line { level: "warning", code, cause, ..Line::default() }).await;
}

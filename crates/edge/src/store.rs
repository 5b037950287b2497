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
pub use binding::redis::durability::Warning;
use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};

use crate::clock::pause;
use crate::config::{Config, StoreAddress};

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
    // Requests that come together check once: they cannot wake each other, so that the others look
    // again after a millisecond. Checking twice would be checking once.
    for _ in 0..LOOKS_MAX {
        if store.layout.get() != Layout::InCheck {
            break;
        }
        pause(1).await;
    }
    if store.layout.get() != Layout::Checked {
        store.layout.set(Layout::InCheck);
        let result = layout::check(store.as_ref(), config.partitions).await;
        store.layout.set(if result.is_ok() { Layout::Checked } else { Layout::Unknown });
        result?;
    }
    Ok(store)
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
        Ok(Self { config: config.clone(), backend, layout: Cell::new(Layout::Unknown) })
    }

    /// What a deployment should know of how its store keeps data. Of a cluster one node is asked; the embedded store
    /// has nothing to say.
    pub async fn warnings(&self) -> Vec<Warning> {
        match &self.backend {
            Backend::Kv(_) => Vec::new(),
            Backend::Redis(redis) => match redis.info(&self.config.key_prefix).await {
                Ok(info) => durability::warnings(&info),
                Err(_) => vec![Warning::Unknown],
            },
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
        match &self.backend {
            Backend::Kv(kv) => kv.commit_some(&transactions).await,
            Backend::Redis(redis) => redis.commit_some(&transactions).await,
        }
    }
}

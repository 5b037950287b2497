//! The connections to the servers, and which of them a slot belongs to.

use litemap::LiteMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cluster::{Slots, slot};
use super::shared::Shared;
use super::{Argument, Connection, Connector, Failure, Reply};

type Cell<C> = Arc<Shared<Arc<<C as Connector>::Connection>>>;

/// One kept connection a node, shared by all tasks.
pub struct Nodes<C: Connector> {
    connector: C,
    /// As configured: one server, or some nodes of a cluster.
    addresses: Vec<String>,
    connections: Mutex<LiteMap<String, Cell<C>>>,
    slots: Shared<Arc<Mutex<Slots>>>,
}

impl<C: Connector> Nodes<C> {
    pub fn new(connector: C, addresses: Vec<String>) -> Self {
        let connections = Mutex::default();
        Self { connector, addresses, connections, slots: Shared::default() }
    }

    /// The kept connection to a node; opens one where there is none.
    pub async fn connection(&self, address: &str) -> Result<Arc<C::Connection>, Failure> {
        let open = async || Ok(Arc::new(self.connector.connect(address).await?));
        self.cell(address).get(open, async || self.connector.pause().await).await
    }

    /// A connection to a node for one use.
    pub async fn own_connection(&self, address: &str) -> Result<C::Connection, Failure> {
        self.connector.connect(address).await
    }

    /// Drops a connection that failed, unless another task has done so before and a new one is kept.
    pub fn forget(&self, address: &str, failed: &Arc<C::Connection>) {
        self.cell(address).forget(|kept| Arc::ptr_eq(kept, failed));
    }

    /// The node that serves the slot of a key, as far as is known; the first one where nothing is.
    pub async fn address(&self, key: &str) -> Result<String, Failure> {
        let slots = self.slots().await?;
        let known = {
            let slots = lock(&slots);
            // A single server has them all.
            let known = if slots.is_empty() { None } else { slots.address(slot(key)) };
            known.map(str::to_owned)
        };
        known
            .or_else(|| self.addresses.first().cloned())
            .ok_or_else(|| Failure::Failed("no address of a server is configured".to_owned()))
    }

    /// Remembers what a node said of a slot.
    pub async fn set_moved(&self, slot: u16, address: &str) -> Result<(), Failure> {
        let slots = self.slots().await?;
        lock(&slots).set_moved(slot, address.to_owned());
        Ok(())
    }

    /// Forgets where slots are, so that they are learnt again: a node that does not answer may have
    /// been replaced.
    pub fn forget_slots(&self) {
        self.slots.forget(|_| true);
    }

    /// Whether there is no other node than this one.
    pub fn is_single(&self, address: &str) -> bool {
        self.addresses == [address]
    }

    async fn slots(&self) -> Result<Arc<Mutex<Slots>>, Failure> {
        self.slots.get(async || self.learn().await, async || self.connector.pause().await).await
    }

    /// Asks the configured nodes, one after the other, for all slots. A single server has them all.
    async fn learn(&self) -> Result<Arc<Mutex<Slots>>, Failure> {
        if self.addresses.len() <= 1 {
            return Ok(Arc::default());
        }
        let mut failure = Failure::Failed("no node of the cluster knows its slots".to_owned());
        for address in &self.addresses {
            match self.ask_for_slots(address).await {
                Ok(slots) if !slots.is_empty() => return Ok(Arc::new(Mutex::new(slots))),
                Ok(_) => {}
                Err(failed) => failure = failed,
            }
        }
        Err(failure)
    }

    async fn ask_for_slots(&self, address: &str) -> Result<Slots, Failure> {
        let connection = self.connection(address).await?;
        // `CLUSTER SLOTS` would be shorter, but its nested arrays arrive flat and cannot be told
        // apart.
        let nodes = vec![Argument::Bytes(b"NODES".to_vec())];
        match connection.execute("CLUSTER", nodes).await {
            Ok(replies) => match replies.as_slice() {
                [Reply::Bytes(text)] => {
                    Ok(Slots::parse(std::str::from_utf8(text).unwrap_or_default(), address))
                }
                [Reply::Status(text)] => Ok(Slots::parse(text, address)),
                _ => Ok(Slots::default()),
            },
            Err(failure) => {
                self.forget(address, &connection);
                Err(failure)
            }
        }
    }

    fn cell(&self, address: &str) -> Cell<C> {
        let mut connections = lock(&self.connections);
        match connections.get(address) {
            Some(cell) => Arc::clone(cell),
            None => Arc::clone(connections.entry(address.to_owned()).or_default()),
        }
    }
}

/// What these mutexes guard is replaced in one step, so that a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

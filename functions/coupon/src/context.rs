//! What every operation works with: the store, the time, and templates that were read a moment ago.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Value};
use edge::store::Binding;
use litemap::LiteMap;

use crate::records::{self, fields, integer, unexpected};
use crate::template::Template;

/// Templates that an instance remembers; a campaign has some, and a page of them costs nothing.
const TEMPLATES_MAX: usize = 256;

/// Reads of one wave that are made once more. Where more are lost the store is not well.
const LOST_READS_MAX: u32 = 16;

/// A template as it was published.
#[derive(Debug)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// Counted from 1.
    pub version: i64,
    /// What it says.
    pub template: Template,
    /// Coupons that the pool had to lease out when it was last seen: a hint for how many to ask for.
    pub free: Cell<i64>,
}

/// Templates that were read a moment ago. Whoever keeps one drops it with the configuration, which
/// is at most 500 ms old.
#[derive(Debug, Default)]
pub struct Templates(RefCell<LiteMap<String, Rc<Published>>>);

/// One request's world.
pub struct Context<'a, B> {
    /// The store.
    pub store: &'a B,
    /// How it is divided.
    pub partitions: Partitions,
    /// The deployment's stage.
    pub stage: &'a str,
    /// The time of the request.
    pub now: UnixMillis,
    /// What was read a moment ago.
    pub templates: &'a Templates,
    /// Waits some milliseconds.
    pub pause: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

impl<B: Binding> Context<'_, B> {
    /// Commits one transaction.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(
        &self,
        partition: Partition,
        transaction: Transaction,
    ) -> Result<Outcome, CommitError> {
        let outcomes = self.commit_all(&[(partition, transaction)]).await?;
        outcomes.into_iter().next().ok_or_else(unexpected)
    }

    /// Commits transactions, all at once.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit_all(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Result<Vec<Outcome>, CommitError> {
        self.store.commit_all(transactions).await
    }

    /// Reads, all at once. A read that was lost is made once more, for itself: of hundreds one may be.
    ///
    /// # Errors
    /// The store's.
    pub async fn read_all(&self, reads: &[(Partition, Read)]) -> Result<Vec<Answer>, CommitError> {
        let transaction = |(partition, read): &(Partition, Read)| {
            (*partition, Transaction { reads: vec![read.clone()], ..Transaction::default() })
        };
        let reads: Vec<_> = reads.iter().map(transaction).collect();
        let mut answers = Vec::with_capacity(reads.len());
        let mut lost = 0;
        for (read, result) in reads.iter().zip(self.store.commit_some(&reads).await) {
            let outcome = match result {
                Err(CommitError::Unavailable(_)) if lost < LOST_READS_MAX => {
                    lost += 1;
                    self.commit(read.0, read.1.clone()).await?
                }
                result => result?,
            };
            let Outcome::Committed(read) = outcome else { return Err(unexpected()) };
            answers.extend(read);
        }
        Ok(answers)
    }

    /// Where a user lives.
    pub fn home(&self, user: UserId) -> Partition {
        self.partitions.locate(user).partition
    }

    /// Where a template and its pool live.
    pub fn pool(&self, template: &str) -> Partition {
        self.partitions.of_configuration(template)
    }

    /// A template, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn template(&self, id: &str) -> Result<Option<Rc<Published>>, CommitError> {
        if let Some(known) = self.templates.0.borrow().get(id) {
            return Ok(Some(Rc::clone(known)));
        }
        let Some(published) = self.read_template(id).await? else { return Ok(None) };
        let published = Rc::new(published);
        let mut templates = self.templates.0.borrow_mut();
        if templates.len() >= TEMPLATES_MAX {
            templates.clear();
        }
        templates.insert(id.to_owned(), Rc::clone(&published));
        Ok(Some(published))
    }

    /// A template as it is now.
    ///
    /// # Errors
    /// The store's.
    pub async fn read_template(&self, id: &str) -> Result<Option<Published>, CommitError> {
        let names = [BODY, PUBLISHED_VERSION, FREE].map(Into::into).to_vec();
        let read = Read::Fields(records::template(id), names);
        let answers = self.read_all(&[(self.pool(id), read)]).await?;
        let [body, version, free] = fields(answers.first())? else { return Err(unexpected()) };
        let Some(Value::Bytes(body)) = body else { return Ok(None) };
        let broken = |_| CommitError::Unusable("a template cannot be read".into());
        Ok(Some(Published {
            id: id.to_owned(),
            version: integer(version.as_ref())?,
            template: serde_json::from_slice(body).map_err(broken)?,
            free: Cell::new(integer(free.as_ref())?),
        }))
    }

    /// Forgets a template that has changed.
    pub fn forget_template(&self, id: &str) {
        self.templates.0.borrow_mut().remove(id);
    }
}

/// Fields of a template's record: what was published, in JSON.
pub const BODY: &str = "body";
/// Its version.
pub const PUBLISHED_VERSION: &str = "version";
/// Coupons that the pool may still lease out.
pub const FREE: &str = "free";

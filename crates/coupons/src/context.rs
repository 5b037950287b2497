//! What every operation works with: the store, the time, and templates that were read a moment ago.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Value};
use edge::store::Binding;
use lease::{Budget, Place};
use litemap::LiteMap;
use store::wave;

use crate::records::{self, fields, integer, unexpected};
use crate::scene::Scene;
use crate::template::{Published, Template};

/// Templates that an instance remembers; a campaign has some, and a page of them costs nothing.
const TEMPLATES_MAX: usize = 256;

/// Looks at a template that another request reads. Whoever reads for longer has an ailing store.
const LOOKS_MAX: u32 = 100;

/// Templates that were read a moment ago. Whoever keeps one drops it with the configuration, which
/// is at most 500 ms old.
#[derive(Debug, Default)]
pub struct Templates(RefCell<LiteMap<String, Entry>>);

/// What an instance has of a template.
#[derive(Clone, Debug)]
enum Entry {
    /// Another request is reading it right now.
    Reading,
    /// It was read.
    Known(Rc<Published>),
}

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
    /// A lease is one part in so many of a partition's even share of what is free.
    pub lease_share: i64,
    /// Waits so many milliseconds.
    pub pause: fn(u64) -> Pin<Box<dyn Future<Output = ()>>>,
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
        wave::read_all(self.store, reads.to_vec()).await
    }

    /// Commits transactions, all at once, each for itself ([`wave::commit_some`]).
    pub async fn commit_some(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        wave::commit_some(self.store, transactions).await
    }

    /// Reads, all at once, each for itself ([`wave::read_some`]).
    pub async fn read_some(&self, reads: &[(Partition, Read)]) -> Vec<Result<Answer, CommitError>> {
        wave::read_some(self.store, reads.to_vec()).await
    }

    /// Where a user lives.
    pub fn home(&self, user: UserId) -> Partition {
        self.partitions.locate(user).partition
    }

    /// Where a template's pool lives.
    pub fn pool(&self, template: &str) -> Partition {
        records::home_of_pool(self.partitions, template)
    }

    /// Where the stock of a template lies.
    pub fn place(&self, template: &str) -> Place {
        Place {
            partition: self.pool(template),
            pool: records::pool(template),
            lease: records::lease(template),
        }
    }

    /// The stock of a template.
    pub fn budget<'b>(&self, published: &'b Published) -> Budget<'b> {
        let (total, free) = (published.template.leasable(), &published.free);
        Budget { place: self.place(&published.id), total, free }
    }

    /// Where the copy of a template lives that everybody reads.
    pub fn notice(&self, template: &str) -> Partition {
        self.partitions.of_configuration(template)
    }

    /// A template, at most 500 ms old. Requests of one instance that come together read it once:
    /// they cannot wake each other, so that the others look again after a millisecond.
    ///
    /// # Errors
    /// The store's.
    pub async fn template(&self, id: &str) -> Result<Option<Rc<Published>>, CommitError> {
        for _ in 0..LOOKS_MAX {
            match self.templates.0.borrow().get(id) {
                Some(Entry::Known(known)) => return Ok(Some(Rc::clone(known))),
                Some(Entry::Reading) => {}
                None => break,
            }
            (self.pause)(1).await;
        }
        self.set_template(id, Some(Entry::Reading));
        let read = self.read_template(id).await;
        let entry = match &read {
            Ok(Some(published)) => Some(Entry::Known(Rc::clone(published))),
            Ok(None) | Err(_) => None,
        };
        self.set_template(id, entry);
        read
    }

    fn set_template(&self, id: &str, entry: Option<Entry>) {
        let mut templates = self.templates.0.borrow_mut();
        if templates.len() >= TEMPLATES_MAX {
            templates.clear();
        }
        match entry {
            Some(entry) => drop(templates.insert(id.to_owned(), entry)),
            None => drop(templates.remove(id)),
        }
    }

    async fn read_template(&self, id: &str) -> Result<Option<Rc<Published>>, CommitError> {
        let fields = [BODY, PUBLISHED_VERSION].map(Into::into).to_vec();
        let read = Read::Fields(records::notice(id), fields);
        let answers = self.read_all(&[(self.notice(id), read)]).await?;
        let Some((version, template)) = published(answers.first())? else { return Ok(None) };
        let scene = self.scene(&template.scene).await?;
        let free = Cell::new(None);
        Ok(Some(Rc::new(Published { id: id.to_owned(), version, template, scene, free })))
    }

    /// Where a scene lives.
    pub fn of_scene(&self, id: &str) -> Partition {
        self.partitions.of_configuration(&format!("scene:{id}"))
    }

    /// A scene as it is now; a plain one where nobody set it up.
    ///
    /// # Errors
    /// The store's.
    pub async fn scene(&self, id: &str) -> Result<Scene, CommitError> {
        Ok(self.stored_scene(id).await?.map_or_else(Scene::plain, |(scene, _)| scene))
    }

    /// A scene as it is now, and as the store keeps it; nothing where nobody set it up.
    ///
    /// # Errors
    /// The store's.
    pub async fn stored_scene(&self, id: &str) -> Result<Option<(Scene, Value)>, CommitError> {
        let read = Read::Fields(records::scene(id), vec![BODY.into()]);
        let answers = self.read_all(&[(self.of_scene(id), read)]).await?;
        let [Some(Value::Bytes(body))] = fields(answers.first())? else { return Ok(None) };
        let broken = || CommitError::Unreadable("a scene cannot be read".into());
        let scene = edge::json::stored(body).ok_or_else(broken)?;
        Ok(Some((scene, Value::Bytes(body.clone()))))
    }

    /// Forgets a template that has changed.
    pub fn forget_template(&self, id: &str) {
        self.set_template(id, None);
    }

    /// Forgets templates, because a scene has changed.
    pub fn forget_templates(&self) {
        self.templates.0.borrow_mut().clear();
    }
}

/// The version and the template of an answer about both; nothing where nothing was published.
///
/// # Errors
/// They cannot be read.
pub fn published(answer: Option<&Answer>) -> Result<Option<(i64, Template)>, CommitError> {
    let values = fields(answer)?;
    let Some(Some(Value::Bytes(body))) = values.first() else { return Ok(None) };
    let broken = || CommitError::Unreadable("a template cannot be read".into());
    let template = edge::json::stored(body).ok_or_else(broken)?;
    Ok(Some((integer(values.get(1).and_then(Option::as_ref))?, template)))
}

/// A field of pool and notice: what was published, in JSON.
pub const BODY: &str = "body";
/// Its version.
pub const PUBLISHED_VERSION: &str = "version";

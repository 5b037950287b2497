//! What every operation works with: the store's context, and what coupons need beside it.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use domain::answers::unexpected;
use domain::ids::UserId;
use domain::paid::{self, Unknown};
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Field, READ_FIELDS_MAX, Read, Value};
use lease::{Budget, Place};
use store::Binding;
use store::cache::Cache;
use store::published::{self, Publication, Version};

use crate::records;
use crate::scene::Scene;
use crate::template::{Published, Template};

pub use store::published::{BODY, VERSION as PUBLISHED_VERSION};

/// Templates that were read a moment ago.
pub type Templates = Cache<Published>;

/// One request's world.
#[derive(Debug)]
pub struct Context<'a, B> {
    /// The store, how it is divided, and the time.
    pub base: store::Context<'a, B>,
    /// The deployment's stage.
    pub stage: &'a str,
    /// What was read a moment ago.
    pub templates: &'a Templates,
    /// A lease is one part in so many of a partition's even share of what is free.
    pub lease_share: i64,
}

impl<'a, B> Deref for Context<'a, B> {
    type Target = store::Context<'a, B>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl<B: Binding> Context<'_, B> {
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
        let (total, free) = (published.template.leasable(0), &published.free);
        Budget { place: self.place(&published.id), total, free }
    }

    /// Where the copy of a template lives that everybody reads.
    pub fn notice(&self, template: &str) -> Partition {
        self.partitions.of_configuration(template)
    }

    /// Where a template is published: its pool decides, and the notice is the copy.
    pub fn publication(&self, template: &str) -> Publication<Template> {
        records::publication(self.partitions, template)
    }

    /// A template, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn template(&self, id: &str) -> Result<Option<Rc<Published>>, CommitError> {
        self.templates.get(self, id, async || self.read_template(id).await).await
    }

    async fn read_template(&self, id: &str) -> Result<Option<Published>, CommitError> {
        let Some(found) = self.publication(id).find_copy(self).await? else { return Ok(None) };
        let Version { number: version, record: template } = found;
        let scene = self.scene(&template.scene).await?;
        let asks = template.new_users_only && template.unknown_users == Unknown::Ask;
        let asks_elsewhere = asks && !self.is_import_complete().await?;
        let (id, free) = (id.to_owned(), Cell::new(None));
        Ok(Some(Published { id, version, template, scene, asks_elsewhere, free }))
    }

    /// A user's record, which has no more fields than one read returns.
    pub(crate) async fn record_of(&self, user: UserId) -> Result<Vec<(Field, Value)>, CommitError> {
        let read = Read::All(records::user(user), READ_FIELDS_MAX);
        let answers = self.read(self.home(user), vec![read]).await?;
        match answers.into_iter().next() {
            Some(Answer::Map(fields)) => Ok(fields),
            _ => Err(unexpected()),
        }
    }

    /// Whether all users are known who paid before there were marks.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_import_complete(&self) -> Result<bool, CommitError> {
        let home = paid::home_of_import(self.partitions);
        let answers = self.read(home, vec![paid::read_import()]).await?;
        paid::is_import_complete(answers.first())
    }

    /// A scene as it is now; a plain one where nobody set it up.
    ///
    /// # Errors
    /// The store's.
    pub async fn scene(&self, id: &str) -> Result<Scene, CommitError> {
        let seen = records::scene(self.partitions, id).find(self).await?;
        Ok(seen.record.unwrap_or_else(Scene::plain))
    }
}

/// The version and the template of an answer about both; nothing where nothing was published.
///
/// # Errors
/// They cannot be read.
pub fn published(answer: Option<&Answer>) -> Result<Option<(i64, Template)>, CommitError> {
    let version = published::version(answer)?;
    Ok(version.map(|Version { number, record }| (number, record)))
}

//! Rains that an instance read a moment ago, and how tokens are posted now: both go with the
//! configuration, which is at most 500 ms old.

use std::cell::Cell;
use std::rc::Rc;

use coupons::records::scene;
use coupons::scene::RateLimit;
use domain::transaction::CommitError;
use edge::store::Binding;
use store::cache::Cache;
use store::published::Version;
use wallet::context::Context;
use wallet::mode::{self, Mode};
use wallet::rain::{self, Rain, Secret, Stored};

/// A rain that was published.
#[derive(Debug)]
pub struct Published {
    /// What it gives.
    pub rain: Rain,
    /// How fast one user may get awards of its scene.
    pub rate_limit: Option<RateLimit>,
    /// What its amounts follow from, beside order numbers.
    pub secret: Secret,
    /// Cents that were free when this instance last saw the pool.
    pub free: Cell<Option<i64>>,
    /// Whether nothing was left anywhere when this instance last asked. It is forgotten with the rain, and
    /// spares a million who come too late a signature each.
    pub is_exhausted: Cell<bool>,
}

/// What an instance knows.
#[derive(Debug, Default)]
pub struct Rains {
    known: Cache<Published>,
    mode: Cell<Option<Mode>>,
}

impl Rains {
    /// A rain with what its scene says, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn rain<B: Binding>(
        &self,
        context: &Context<'_, B>,
        id: &str,
    ) -> Result<Option<Rc<Published>>, CommitError> {
        let read = async || {
            let found = rain::publication(context.partitions, id).find_copy(context).await?;
            let Some(Version { record: Stored { rain, secret }, .. }) = found else {
                return Ok(None);
            };
            let scene = scene(context.partitions, &rain.scene).find(context).await?.record;
            let rate_limit = scene.and_then(|scene| scene.rate_limit);
            let (free, is_exhausted) = (Cell::new(None), Cell::new(false));
            Ok(Some(Published { rain, rate_limit, secret, free, is_exhausted }))
        };
        self.known.get(context, id, read).await
    }

    /// How tokens are posted, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn mode<B: Binding>(&self, context: &Context<'_, B>) -> Result<Mode, CommitError> {
        if let Some(mode) = self.mode.get() {
            return Ok(mode);
        }
        let mode = mode::read(context).await?.mode;
        self.mode.set(Some(mode));
        Ok(mode)
    }

    /// Forgets a rain that has changed.
    pub fn forget(&self, id: &str) {
        self.known.forget(id);
    }
}

//! What every operation works with: the store, the time, and what was read a moment ago.

use std::ops::Deref;

use domain::partition::Partition;
use store::Binding;

use crate::catalogue::Catalogue;
use crate::records;

/// One request's world.
pub struct Context<'a, B> {
    /// The store, how it is divided, and the time.
    pub world: store::Context<'a, B>,
    /// What was read a moment ago.
    pub catalogue: &'a Catalogue,
}

impl<'a, B> Deref for Context<'a, B> {
    type Target = store::Context<'a, B>;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

impl<B: Binding> Context<'_, B> {
    /// The partition of a shelf.
    pub fn shelf(&self, shelf: u64) -> Partition {
        records::shelf(self.partitions, shelf)
    }

    /// The partition of the shelf of an activity.
    pub fn shelf_of(&self, activity: &str) -> Partition {
        self.shelf(records::shelf_of(activity))
    }
}

//! What a function adds to the simulation: its actions, and what must hold.

use std::sync::Arc;

use end_to_end::app::Ask;
use end_to_end::patient::Patient;
use futures::future::BoxFuture;
use rand::rngs::StdRng;

use crate::books::Books;
use crate::plan::Plan;
use crate::world::{Step, World};

mod coupon;
mod group_buy;
mod new_user;
mod operations;
mod promotion;
mod wallet;

/// A function in one schedule: its configuration, what is known of it, and what must hold.
pub trait Function: Send + Sync {
    /// What operators set up before anybody comes.
    fn set_up(&self) -> Vec<Ask>;

    /// A client who acts, with what only it knows.
    fn client(self: Arc<Self>, id: u64) -> Box<dyn Client>;

    /// What must hold of the store at any moment.
    ///
    /// # Panics
    /// It does not.
    fn check(&self, world: &World, books: &Books);

    /// What operators say once the faults have stopped, so that everything can come to rest.
    fn calm(&self) -> Vec<Ask> {
        Vec::new()
    }

    /// What is due and has not been done, by the store: nothing once the schedule was called.
    fn due(&self, world: &World, books: &Books) -> Vec<String> {
        let _ = (world, books);
        Vec::new()
    }

    /// What is kept although the time of all of it is over, by the store, after a last collection.
    fn left(&self, world: &World, books: &Books) -> Vec<String> {
        let _ = (world, books);
        Vec::new()
    }

    /// Gives what is left of budgets: nothing has leaked.
    ///
    /// # Panics
    /// Something has.
    fn drain<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        let _ = (world, asker);
        Box::pin(async {})
    }

    /// What must hold when everything is at rest. It is asked again once all that was kept is over and collected.
    ///
    /// # Panics
    /// It does not.
    fn rest<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        let _ = (world, asker);
        Box::pin(async {})
    }
}

/// A client of one function.
pub trait Client: Send {
    /// Does one thing.
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()>;

    /// What was acknowledged to this client is there.
    ///
    /// # Panics
    /// It is not.
    fn check(&self, books: &Books) {
        let _ = books;
    }
}

/// How a function joins.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its actions, and how often each is taken where nothing else is drawn.
    pub actions: &'static [(&'static str, u32)],
    /// Actions that came later: they are taken where weeks pass, so that the others are drawn as they were.
    pub later: &'static [(&'static str, u32)],
    /// Whether every schedule has it, because others need it.
    pub is_always_in_play: bool,
    /// What was seen in many schedules, or the simulation does not do its work.
    pub states: &'static [&'static str],
    /// One for a schedule.
    pub create: fn(&mut StdRng, &Plan) -> Arc<dyn Function>,
}

/// All of them.
pub const FUNCTIONS: &[Entry] = &[
    operations::ENTRY,
    coupon::ENTRY,
    group_buy::ENTRY,
    promotion::ENTRY,
    new_user::ENTRY,
    wallet::ENTRY,
];

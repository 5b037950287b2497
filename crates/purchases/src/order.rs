//! An order: what it took, and how far it is.

use std::collections::BTreeSet;

use domain::day_lists::day;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Write};
use serde::{Deserialize, Serialize};
use store::numbers::{Family, Number};
use store::{Binding, Context, Record, Seen, Versioned};

use crate::records::{self, ORDER};

/// A use that no activity refused: the order was abandoned.
pub const NOBODY: u32 = u32::MAX;

/// What an order took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Of the request, so that the same number with another body is told; 0 where there was none.
    pub digest: u64,
    /// How often it was begun.
    pub attempt: u32,
    /// How far it is.
    pub state: State,
    /// When it began, or began to give back, in unix milliseconds.
    pub at: i64,
    /// When it first began, in unix milliseconds: its place among the user's orders.
    pub begun: i64,
    /// When the caller says that it was ordered, in unix milliseconds, if they say so.
    pub ordered_at: Option<i64>,
    /// What it uses, of activities with limits.
    pub uses: Vec<Used>,
    /// Activities that it does not use, of which attempts before this one may have let go of a hold.
    pub let_go: Vec<String>,
}

impl Record for Purchase {
    const NAME: &'static str = "what an order took";
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Counted for the user, and not held everywhere yet.
    Taking,
    /// It has all.
    Taken,
    /// It has all, for good, since a moment in unix milliseconds: its holds go, and it gives nothing back any more.
    Kept(i64),
    /// One use was refused, and the others go back.
    Undoing(u32),
    /// It has nothing, and may try again.
    Refused,
    /// All goes back.
    GivingBack,
    /// It has nothing, for good.
    GivenBack,
}

/// What an order uses of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The activity.
    pub activity: String,
    /// The unit; empty where the activity counts all of them together.
    pub unit: String,
    /// How often.
    pub uses: u32,
    /// Its place in the request.
    pub place: u32,
    /// How often the user may.
    pub of_user: Option<u32>,
    /// How often all users may.
    pub of_all: Option<i64>,
}

/// An order.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Whose.
    pub user: UserId,
    /// Its number.
    pub number: &'a OrderNumber,
}

impl Purchase {
    /// Since when it is under way, which is where it stands in [`records::UNDER_WAY`]; `None` where it is not.
    pub fn under_way_since(&self) -> Option<UnixMillis> {
        match self.state {
            State::Taking | State::Undoing(_) | State::GivingBack => Some(UnixMillis(self.at)),
            State::Taken | State::Kept(_) | State::Refused | State::GivenBack => None,
        }
    }

    /// Whether its uses count for its user: it has them, may get them, or has not given them back.
    pub fn counts(&self) -> bool {
        match self.state {
            State::Taking
            | State::Taken
            | State::Kept(_)
            | State::Undoing(_)
            | State::GivingBack => true,
            State::Refused | State::GivenBack => false,
        }
    }

    /// The activities of which it, or an attempt before, may have a hold, or have let go of one.
    pub fn held_activities(&self) -> BTreeSet<&str> {
        let of_uses = self.uses.iter().filter(|used| used.of_all.is_some());
        let of_uses = of_uses.map(|used| used.activity.as_str());
        of_uses.chain(self.let_go.iter().map(String::as_str)).collect()
    }

    /// Those of them that these uses do not name: an order keeps them beside other uses.
    pub fn held_beside(&self, uses: &[Used]) -> Vec<String> {
        let is_named = |activity: &str| {
            uses.iter().any(|used| used.of_all.is_some() && used.activity == activity)
        };
        let held = self.held_activities().into_iter();
        held.filter(|activity| !is_named(activity)).map(str::to_owned).collect()
    }
}

impl<'a> Order<'a> {
    /// As a number under which something acts at most once.
    pub fn as_number(&self, ordered_at: Option<UnixMillis>) -> Number<'a> {
        let number = self.number.as_str();
        Number { family: Family::Purchases, user: self.user, number, ordered_at }
    }

    /// Where its record lies.
    pub fn place(&self, partitions: Partitions) -> Versioned<Purchase> {
        let home = partitions.locate(self.user).partition;
        Versioned::new(home, records::order(self.user, self.number), ORDER)
    }

    /// Writes beside its record: they change its place among those under way, and let whoever checks the books find it.
    /// A new order takes its place among the user's; and the user is put on the list of today, unless the order says
    /// that they are there already.
    pub fn marks(
        &self,
        before: Option<&Purchase>,
        after: &Purchase,
        now: UnixMillis,
    ) -> Vec<Write> {
        let (was, is) = (before.and_then(Purchase::under_way_since), after.under_way_since());
        let what = records::under_way(self.user, self.number);
        let gone = was.filter(|_| was != is);
        let mut writes: Vec<_> =
            gone.map(|at| records::UNDER_WAY.remove(at, &what)).into_iter().collect();
        writes.extend(is.map(|at| records::UNDER_WAY.add(at, &what)));
        if before.is_none() {
            let listed = records::listed_order(UnixMillis(after.begun), self.number);
            writes.push(Write::AddMember(records::orders(self.user), listed));
        }
        let is_listed = before.is_some_and(|before| day(UnixMillis(before.at)) == day(now));
        if !is_listed {
            writes.extend(records::PURCHASERS.mark(self.user, now));
        }
        writes
    }

    /// Takes it out of those that are under way since a moment.
    pub fn forget(&self, since: UnixMillis) -> Write {
        records::UNDER_WAY.remove(since, &records::under_way(self.user, self.number))
    }

    /// What the user's counts change by, `sign` times what is used.
    pub fn count(&self, uses: &[Used], sign: i64) -> impl Iterator<Item = Write> {
        let record = records::user(self.user);
        let counted = uses.iter().filter(|used| used.of_user.is_some());
        counted.map(move |used| {
            let field = records::unit_of(&used.activity, &used.unit);
            Write::Add(record.clone(), field, sign * i64::from(used.uses))
        })
    }
}

/// Uses by activity: those that are counted for all users.
pub fn counted_for_all(uses: &[Used]) -> Vec<(&str, Vec<&Used>)> {
    let mut groups: Vec<(&str, Vec<&Used>)> = Vec::new();
    for used in uses.iter().filter(|used| used.of_all.is_some()) {
        match groups.iter_mut().find(|(activity, _)| *activity == used.activity) {
            Some((_, group)) => group.push(used),
            None => groups.push((&used.activity, vec![used])),
        }
    }
    groups
}

/// Reads an order.
///
/// # Errors
/// The store's.
pub async fn find<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
) -> Result<Seen<Purchase>, CommitError> {
    order.place(context.partitions).find(context).await
}

/// Changes an order; `false` where it was changed meanwhile.
///
/// # Errors
/// The store's.
pub async fn change<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    before: &Seen<Purchase>,
    after: &Purchase,
    more: Vec<Write>,
) -> Result<bool, CommitError> {
    let mut writes = order.marks(before.record.as_ref(), after, context.now);
    writes.extend(more);
    let place = order.place(context.partitions);
    Ok(place.swap(context, before, Some(after), writes).await?.is_none())
}

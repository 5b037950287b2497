//! What the store holds, and under which names. Pure.
//!
//! In a partition of an activity's own, of those of configuration:
//! - `as<activity>`: unit -> how often it was used in all
//! - `ax<activity>`: the holds, `<user>:<order>:<attempt>` -> [`Hold`]
//! - `ay<activity>`: the names of those that hold something; an ordered set
//! - `az<activity>`: the units that were ever used, where the activity counts each; an ordered set
//! - `ay`: the activities of which anything was ever held; an ordered set
//!
//! In the partition of a user:
//! - `an<user>`: activity and unit -> how often the user used it
//! - `ao<user>:<order>`: what an order took, a [`Purchase`](crate::order::Purchase)
//! - `aq<user>`: the numbers of the user's orders; an ordered set
//! - `at`: orders that are taking or giving back, by the moment when they began to; an ordered set
//! - `aj`, the index of `aj<day>:<bucket>`: users whose orders changed on that day ([`PURCHASERS`])
//!
//! Records are written by [`store::codec`]; counts, and marks that only have to be there, are integers. Names are
//! short, because Redis keeps them with every record.

use domain::answers::unexpected;
use domain::day_lists::DayLists;
use domain::due::{self, Due, DueIndex};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{
    CommitError, Field, MapKey, Member, OrderedKey, READ_FIELDS_MAX, Range, Read,
};
use serde::{Deserialize, Serialize};
use store::Record;

/// The one field of an order's record.
pub const ORDER: &str = "o";
/// Orders of a partition's users that are under way: [`Purchase::at`](crate::order::Purchase::at), the user and
/// the number. It follows from the order, and changes with it.
pub const UNDER_WAY: DueIndex = DueIndex("at");
/// Users of whom an order began, gave back or was undone: each is on the list of the day of every order's
/// [`Purchase::at`](crate::order::Purchase::at), and of the day on which it changed.
pub const PURCHASERS: DayLists = DayLists("aj");

/// Where the uses of an activity are counted.
pub fn stock_of(partitions: Partitions, activity: &str) -> Partition {
    partitions.of_configuration(&format!("uses:{activity}"))
}

/// The uses of an activity, of all users.
pub fn stock(activity: &str) -> MapKey {
    MapKey(format!("as{activity}"))
}

/// The holds on the uses of an activity.
pub fn holds(activity: &str) -> MapKey {
    MapKey(format!("ax{activity}"))
}

/// The names of the holds of an activity that hold something.
pub fn held(activity: &str) -> OrderedKey {
    OrderedKey(format!("ay{activity}"))
}

/// The units of an activity that were ever used, where it counts each.
pub fn units(activity: &str) -> OrderedKey {
    OrderedKey(format!("az{activity}"))
}

/// The activities of a partition of which anything was ever held.
pub fn activities() -> OrderedKey {
    "ay".into()
}

/// A hold.
pub fn hold(user: UserId, order: &OrderNumber, attempt: u32) -> Field {
    Field(format!("{user}:{order}:{attempt}").into_bytes())
}

/// Whose hold it is: of which order, and of which attempt.
///
/// # Errors
/// It is the name of none.
pub fn hold_of(name: &[u8]) -> Result<(UserId, OrderNumber, u32), CommitError> {
    let parts = || {
        let (user, rest) = std::str::from_utf8(name).ok()?.split_once(':')?;
        let (number, attempt) = rest.rsplit_once(':')?;
        let number = OrderNumber::parse(number, "order_number").ok()?;
        Some((user.parse().ok()?, number, attempt.parse().ok()?))
    };
    parts().ok_or_else(unexpected)
}

/// The uses of a user.
pub fn user(user: UserId) -> MapKey {
    MapKey(format!("an{user}"))
}

/// What an order took.
pub fn order(user: UserId, order: &OrderNumber) -> MapKey {
    MapKey(format!("ao{user}:{order}"))
}

/// The numbers of a user's orders.
pub fn orders(user: UserId) -> OrderedKey {
    OrderedKey(format!("aq{user}"))
}

/// A page of [`orders`], behind a member of another page.
pub fn page_of_orders(user: UserId, after: Option<Member>) -> Read {
    Read::Page(orders(user), Range { after, below: None }, READ_FIELDS_MAX)
}

/// An order in [`UNDER_WAY`].
pub fn under_way(user: UserId, order: &OrderNumber) -> Vec<u8> {
    due::of_user(user, order.as_str())
}

/// What an entry of [`UNDER_WAY`] stands for: an order, and since when it is under way.
///
/// # Errors
/// It stands for nothing.
pub fn under_way_of(
    Due { at, what }: Due<'_>,
) -> Result<(UnixMillis, UserId, OrderNumber), CommitError> {
    let (user, number) = due::user_of(what)?;
    let number = OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?;
    Ok((at, user, number))
}

/// The field of a unit in [`stock`].
pub fn unit(unit: &str) -> Field {
    Field(format!("n{unit}").into_bytes())
}

/// The field of a unit in [`user`].
pub fn unit_of(activity: &str, unit: &str) -> Field {
    Field(format!("{activity}/{unit}").into_bytes())
}

/// What an attempt of an order has of an activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Nothing any more, for good.
    LetGo,
    /// All that it asked for.
    Held(Vec<HeldUses>),
}

impl Record for Hold {
    const NAME: &'static str = "a hold of an order";
}

/// What a hold has of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUses {
    /// The unit; empty where the activity counts all of them together.
    pub unit: String,
    /// How often.
    pub uses: u32,
}

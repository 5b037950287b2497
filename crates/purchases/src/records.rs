//! What the store holds, and under which names. Pure.
//!
//! In a partition of an activity's own, of those of configuration:
//! - `as<activity>`: unit -> how often it was used in all, and how much of that orders used that were collected since
//! - `ax<activity>`: the holds, `<user>:<order>:<attempt>` -> [`Hold`]
//! - `ay<activity>`: the names of those that hold something; an ordered set
//! - `az<activity>`: the units that were ever used, where the activity counts each; an ordered set
//! - `ay`: the activities of which anything was ever held; an ordered set
//! - `xs`: hashes of the activities that are sealed: nothing is held of them any more
//!
//! In the partition of a user:
//! - `an<user>`: activity and unit -> how often the user used it
//! - `ag<user>`: activity and unit -> how much of that orders used that were collected since
//! - `ae<user>`: the activities and units of the orders that were collected; an ordered set
//! - `ao<user>:<order>`: what an order took, a [`Purchase`](crate::order::Purchase)
//! - `aq<user>`: the numbers of the user's orders, by the moment when they first began; an ordered set
//! - `at`: orders that are taking or giving back, by the moment when they began to; an ordered set
//! - `aj`, the index of `aj<day>:<bucket>`: users whose orders changed on that day ([`PURCHASERS`])
//!
//! How long each of them lives is said by [`LIVES`]. Records are written by [`store::codec`]; counts, and marks that only have to be there, are integers. Names are
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
use store::life::{Life, Shape};

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

/// What of a user's uses was used by orders that were collected.
pub fn gone(user: UserId) -> MapKey {
    MapKey(format!("ag{user}"))
}

/// The fields of [`user`] that orders named which were collected.
pub fn gone_units(user: UserId) -> OrderedKey {
    OrderedKey(format!("ae{user}"))
}

/// A page of [`gone_units`], behind a member of another page.
pub fn page_of_gone_units(user: UserId, after: Option<Member>) -> Read {
    Read::Page(gone_units(user), Range { after, below: None }, READ_FIELDS_MAX)
}

/// The numbers of a user's orders, the oldest first.
pub fn orders(user: UserId) -> OrderedKey {
    OrderedKey(format!("aq{user}"))
}

/// An order in [`orders`]: when it first began, and its number.
pub fn listed_order(begun: UnixMillis, order: &OrderNumber) -> Member {
    due::member(begun, order.as_str().as_bytes())
}

/// What a member of [`orders`] stands for.
///
/// # Errors
/// It is no order.
pub fn listed_order_of(member: &Member) -> Result<(UnixMillis, OrderNumber), CommitError> {
    let Due { at, what } = due::due(member)?;
    let number = std::str::from_utf8(what).map_err(|_| unexpected())?;
    Ok((at, OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?))
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

/// The field of a unit in [`stock`] that says how much of its uses orders had that were collected since.
pub fn gone_unit(unit: &str) -> Field {
    Field(format!("g{unit}").into_bytes())
}

/// The field in [`stock`] of the unit of which a field says what is gone; nothing where it says something else.
pub fn unit_of_gone(field: &Field) -> Option<Field> {
    Some(Field([b"n", field.0.strip_prefix(b"g")?].concat()))
}

/// The field of a unit in [`user`] and in [`gone`].
pub fn unit_of(activity: &str, unit: &str) -> Field {
    Field(format!("{activity}/{unit}").into_bytes())
}

/// The activity of a field of [`user`]. Names of activities have no slash.
///
/// # Errors
/// It names none.
pub fn activity_of(unit: &[u8]) -> Result<&str, CommitError> {
    let text = std::str::from_utf8(unit).map_err(|_| unexpected())?;
    Ok(text.split_once('/').ok_or_else(unexpected)?.0)
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

/// The kinds of records of this crate.
pub const LIVES: &[Life] = &[
    Life {
        name: "as<activity>",
        shape: Shape::Map,
        what: "how often each unit of an activity was used in all, and how much of that is of orders that were collected",
        written_by: "purchases, give-backs, collection",
        acts: "as long as the activity may be used",
        ends: "when the activity is sealed and nothing of it is held any more",
    },
    Life {
        name: "ax<activity>",
        shape: Shape::Map,
        what: "what each attempt of an order holds of an activity, or that it let go",
        written_by: "purchases, give-backs",
        acts: "as long as its order may be given back",
        ends: "field by field with the orders, in their collection; the rest when the activity is sealed",
    },
    Life {
        name: "ay<activity>",
        shape: Shape::Ordered,
        what: "the holds of an activity that hold something",
        written_by: "purchases, give-backs, collection",
        acts: "with the holds",
        ends: "member by member with the holds",
    },
    Life {
        name: "az<activity>",
        shape: Shape::Ordered,
        what: "the units of an activity that were used",
        written_by: "purchases",
        acts: "with the counts of the activity",
        ends: "when the activity is sealed and nothing of it is held any more",
    },
    Life {
        name: "ay",
        shape: Shape::Ordered,
        what: "the activities of which something was held",
        written_by: "purchases",
        acts: "with the counts of each activity",
        ends: "member by member, when the activity is sealed and nothing of it is held any more",
    },
    Life {
        name: "an<user>",
        shape: Shape::Map,
        what: "how often a user used each unit of activities",
        written_by: "purchases, give-backs",
        acts: "as long as the activity may be used",
        ends: "field by field, in the user's collection, once the activity is sealed and no order counts",
    },
    Life {
        name: "ag<user>",
        shape: Shape::Map,
        what: "how much of a user's uses is of orders that were collected",
        written_by: "collection",
        acts: "with the counts of the user",
        ends: "with those counts",
    },
    Life {
        name: "ae<user>",
        shape: Shape::Ordered,
        what: "the units of a user's orders that were collected",
        written_by: "collection",
        acts: "with the counts of the user",
        ends: "with those counts",
    },
    Life {
        name: "ao<user>:<order>",
        shape: Shape::Map,
        what: "what an order took",
        written_by: "purchases, give-backs",
        acts: "for numbers_days after it began or began to give back, unless it is under way",
        ends: "in the user's collection, which leaves a mark of the number",
    },
    Life {
        name: "aq<user>",
        shape: Shape::Ordered,
        what: "the orders of a user",
        written_by: "purchases, give-backs",
        acts: "with the orders",
        ends: "member by member with the orders",
    },
    Life {
        name: "at",
        shape: Shape::Ordered,
        what: "orders that are under way",
        written_by: "purchases, give-backs",
        acts: "until the order is done: a minute, where nobody goes on",
        ends: "with the commit that ends it",
    },
    Life {
        name: "aj",
        shape: Shape::Ordered,
        what: "days on which orders changed, or on which a user is to be collected",
        written_by: "purchases, give-backs, collection",
        acts: "as long as somebody is on the day's lists",
        ends: "in collection, when the lists of the day are empty",
    },
    Life {
        name: "aj<day>:<bucket>",
        shape: Shape::Ordered,
        what: "the users of such a day",
        written_by: "purchases, give-backs, collection",
        acts: "until the user is collected for it",
        ends: "member by member, in collection",
    },
];

//! What the store holds, and under which names. Pure.
//!
//! In the partition of a user:
//! - `c<user>`, the user's record: `o<order number>` -> an [`Order`]; `n<template>` -> how many of a
//!   template the user has, or had; `g<campaign>` -> the user's chance (see [`crate::chance`]); `p` -> how many pages
//!   there are
//! - `c<user>:<page>`, a page of further orders, counted from 1 ([`crate::orders`])
//! - `ck<user>`: `<template>` -> how many of those that the user had were collected ([`crate::collect`]). It is no part of
//!   the user's record, which has a limit
//! - `r<user>`: `<scene>` -> how fast the user got awards of a scene that limits it ([`crate::pace`])
//! - `l<template>`, the partition's [`lease::Lease`] of a template; beside it `gone` -> how many coupons that were given
//!   here were collected
//! - `d`, reservations by the moment until which they are held ([`ENDS`])
//! - `ds`, coupons of templates with a budget by the moment at which they can be settled ([`DUE`]); `du`, templates
//!   of which something is to go home from here ([`HOMEWARD`]; see [`crate::settling`])
//! - `w`, rewards that are due ([`crate::chance::REWARDS`])
//! - `h`, the index of `h<day>:<bucket>`: users who opened a group, or whose coupons were given, held or put back,
//!   on that day ([`HOLDERS`])
//!
//! In a partition of a template's own, of those of configuration:
//! - `p<template>`, the pool: what was published, and the coupons that no partition has
//! - `b<template>:<batch>`: what became of each part of a batch; `b<template>`, the batches of a template ([`batches`])
//!
//! In another one:
//! - `t<template>`, the notice: a copy of what was published, so that everybody who reads it leaves the
//!   pool alone
//! - `s<scene>`, a scene
//! - `g<campaign>`, a group-buy campaign
//! - `f`, all templates ([`templates`])
//! - `fe`, templates by the moment until which coupons of them are given out ([`OVER`])
//! - `fs`, templates by the moment at which nothing of them acts any more, `fz`, what is kept of those that were sealed,
//!   and `fy`, those by the moment of their seal ([`TEMPLATES`])
//! - `k`, all group-buy campaigns ([`campaigns`]); `ks`, `kz` and `ky` likewise ([`CAMPAIGNS`])
//!
//! Names are short, because Redis keeps them with every record.

use std::marker::PhantomData;

use domain::day_lists::DayLists;
use domain::due::{DueIndex, of_user};
use domain::ids::UserId;
use domain::money::Currency;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, MapKey, OrderedKey, Value, Write};
use serde::{Deserialize, Serialize};
use store::Versioned;
use store::codec::{self, Record};
use store::numbers::{Family, Number};
use store::published::{BODY, Publication};
use store::sealed::{self, Archive};

use crate::scene::Scene;
use crate::template::{Kind, Published, Template};

/// Fields of a user's record, while there is room for more: as many as one read returns, less what one commit adds. Where
/// there are more, orders move to pages ([`crate::orders`]).
pub const USER_FIELDS_MAX: u32 = 1_000;
/// Reservations by the moment until which they are held, as their orders say it; each is an [`end`].
pub const ENDS: DueIndex = DueIndex("d");
/// Templates by the moment until which coupons of them are given out: afterwards their leases may be taken
/// back. A template whose window was changed may stand at the former moment, too. It lies where
/// [`templates`] does.
pub const OVER: DueIndex = DueIndex("fe");
/// Where templates are sealed, beside [`templates`].
pub const TEMPLATES: Archive = Archive {
    kind: sealed::Kind::Template,
    due: DueIndex("fs"),
    records: "fz",
    ends: DueIndex("fy"),
};
/// Where group-buy campaigns are sealed, beside [`campaigns`].
pub const CAMPAIGNS: Archive = Archive {
    kind: sealed::Kind::Campaign,
    due: DueIndex("ks"),
    records: "kz",
    ends: DueIndex("ky"),
};
/// Coupons of templates with a budget that are not settled, by the moment at which nothing can be done with them any
/// more; each is an [`end`] ([`crate::settling`]).
pub const DUE: DueIndex = DueIndex("ds");
/// Templates of which a partition has something that is to go home to the pool, under [`HOMEWARD_AT`].
pub const HOMEWARD: DueIndex = DueIndex("du");
/// The moment under which templates stand in [`HOMEWARD`]: at once, and one entry however much there is.
pub const HOMEWARD_AT: UnixMillis = UnixMillis(0);
/// Users who opened a group, or whose coupons were given, held or put back.
pub const HOLDERS: DayLists = DayLists("h");
/// One day.
const DAY_MS: i64 = 86_400_000;
/// Redemptions of one coupon that were rolled back: as many as a shopper may change their mind.
pub const ROLLBACKS_MAX: usize = 16;

/// A field of the user's record: how many pages there are. Nobody has any before the record was full once.
pub const PAGES: &str = "p";
/// A field beside a lease: how many coupons were given here that were collected. With those that users have they are what
/// the lease says was given.
pub const GONE: &str = "gone";

/// The user's record.
pub fn user(user: UserId) -> MapKey {
    MapKey(format!("c{user}"))
}

/// A page of the user's orders; the user's record is page 0.
pub fn page(user: UserId, page: u32) -> MapKey {
    match page {
        0 => self::user(user),
        _ => MapKey(format!("c{user}:{page}")),
    }
}

/// How many coupons of the user were collected, by template.
pub fn collected(user: UserId) -> MapKey {
    MapKey(format!("ck{user}"))
}

/// The field of an order in the user's record, or in a page.
pub fn order(number: &OrderNumber) -> Field {
    order_field(number.as_str())
}

/// The same of a number as text.
pub(crate) fn order_field(number: &str) -> Field {
    Field(format!("o{number}").into_bytes())
}

/// A number under which orders of coupons act; with the time at which the caller says that it was ordered.
pub fn number(user: UserId, number: &OrderNumber, ordered_at: Option<UnixMillis>) -> Number<'_> {
    Number { family: Family::Coupons, user, number: number.as_str(), ordered_at }
}

/// The field of the count of a template in the user's record.
pub fn held_count(template: &str) -> Field {
    Field(format!("n{template}").into_bytes())
}

/// The template of the field of a count.
pub fn counted(field: &Field) -> Option<&str> {
    std::str::from_utf8(&field.0).ok()?.strip_prefix('n')
}

/// The order number of a field of the user's record.
pub fn order_of(field: &Field) -> Option<OrderNumber> {
    let text = std::str::from_utf8(&field.0).ok()?.strip_prefix('o')?;
    OrderNumber::parse(text, "order_number").ok()
}

/// A partition's lease.
pub fn lease(template: &str) -> MapKey {
    MapKey(format!("l{template}"))
}

/// A template's pool.
pub fn pool(template: &str) -> MapKey {
    MapKey(format!("p{template}"))
}

/// Where it lives.
pub fn home_of_pool(partitions: Partitions, template: &str) -> Partition {
    partitions.of_configuration(&format!("pool:{template}"))
}

/// The copy of a template that everybody reads.
pub fn notice(template: &str) -> MapKey {
    MapKey(format!("t{template}"))
}

/// All templates: each member is the id of one.
pub fn templates() -> OrderedKey {
    "f".into()
}

/// Where [`templates`] and [`OVER`] live.
pub fn home_of_list(partitions: Partitions) -> Partition {
    partitions.of_configuration("templates")
}

/// Where a template is published: its pool decides, and the notice is the copy.
pub fn publication(partitions: Partitions, template: &str) -> Publication<Template> {
    Publication {
        id: template.to_owned(),
        home: (home_of_pool(partitions, template), pool(template)),
        copy: (partitions.of_configuration(template), notice(template)),
        lists: home_of_list(partitions),
        list: templates(),
        over: OVER,
        archive: TEMPLATES,
        kind: PhantomData,
    }
}

/// All group-buy campaigns: each member is the id of one. It lies where [`templates`] does.
pub fn campaigns() -> OrderedKey {
    "k".into()
}

/// A group-buy campaign.
pub fn campaign(campaign: &str) -> MapKey {
    MapKey(format!("g{campaign}"))
}

/// Where a group-buy campaign is sealed.
pub fn sealing_of_campaign(partitions: Partitions, id: &str) -> sealed::Place {
    sealed::Place {
        id: id.to_owned(),
        home: (partitions.of_configuration(id), campaign(id)),
        lists: home_of_list(partitions),
        list: campaigns(),
        archive: CAMPAIGNS,
    }
}

/// Where a scene lies.
pub fn scene(partitions: Partitions, scene: &str) -> Versioned<Scene> {
    let home = partitions.of_configuration(&format!("scene:{scene}"));
    Versioned::new(home, MapKey(format!("s{scene}")), BODY)
}

/// A batch of a template.
pub fn batch(template: &str, batch: &str) -> MapKey {
    MapKey(format!("b{template}:{batch}"))
}

/// The batches of a template: each member is the name of one.
pub fn batches(template: &str) -> OrderedKey {
    OrderedKey(format!("b{template}"))
}

/// A reservation in [`ENDS`].
pub fn end(user: UserId, number: &OrderNumber) -> Vec<u8> {
    of_user(user, number.as_str())
}

/// The moment under which an order stands in [`DUE`].
pub fn settles_at(order: &Order) -> Option<UnixMillis> {
    let (Gave::Issued(coupon) | Gave::Fallback(coupon)) = &order.gave else { return None };
    let moment = match &coupon.redeemed {
        None => UnixMillis(order.at.saturating_add(coupon.valid_until)),
        Some(redeemed) => coupon.final_from(redeemed),
    };
    (coupon.unused == Unused::Due).then_some(moment)
}

/// What the commit that makes an order another one writes to [`DUE`].
pub fn due_writes(
    user: UserId,
    number: &OrderNumber,
    before: Option<&Order>,
    after: &Order,
) -> impl Iterator<Item = Write> {
    let (before, after) = (before.and_then(settles_at), settles_at(after));
    let what = if before == after { Vec::new() } else { end(user, number) };
    let is_moved = !what.is_empty();
    let gone = before.filter(|_| is_moved).map(|at| DUE.remove(at, &what));
    let come = after.filter(|_| is_moved).map(|at| DUE.add(at, &what));
    gone.into_iter().chain(come)
}

/// What became of an order number: written once, in the transaction that acts, and changed only by
/// transactions that demand its exact former bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Of the request, so that the same number with another body is told.
    pub digest: u64,
    /// When it acted.
    pub at: i64,
    /// What came of it.
    pub gave: Gave,
    /// Whether the time of the coupon is over, by the clock of whoever met it first: one that was not redeemed has
    /// expired, and the redemption of one that was is final.
    pub is_over: bool,
    /// How long before it acted it was ordered, in milliseconds, where the caller says so.
    pub ordered: Option<i64>,
}

impl Record for Order {
    const NAME: &'static str = "an order";
}

/// What an order number gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gave {
    /// A coupon of the template that was asked for.
    Issued(Coupon),
    /// A coupon of a fallback.
    Fallback(Coupon),
    /// Words.
    Greeting(String),
    /// A coupon that is held until the moment, and not the user's yet.
    Reserved(Coupon, i64),
    /// A reservation that was cancelled; also one that never came, so that it cannot come late.
    Cancelled,
    /// A reservation that expired.
    Expired,
    /// A coupon that was taken back.
    Revoked(Coupon, Revocation),
}

/// How a coupon was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When, in unix milliseconds.
    pub at: i64,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What is known of the part of a budget that a coupon did not use. See [`crate::settling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unused {
    /// Nothing: its template had no budget when it was given.
    None,
    /// It is counted once the coupon is settled, which stands in [`DUE`].
    Due,
    /// It is in the partition's count.
    Counted,
    /// The template is no more, and it went nowhere.
    Dropped,
}

/// A coupon. What it is worth stands in it, because templates change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// Its template.
    pub template: String,
    /// The version of it.
    pub version: i64,
    /// What it does.
    pub kind: Kind,
    /// Cents or percent.
    pub value: i64,
    /// Cents that a cart must reach.
    pub threshold: i64,
    /// Three letters.
    pub currency: [u8; 3],
    /// Cents that it may take off.
    pub cap: Option<i64>,
    /// What a user's statement says of it.
    pub statement: Option<String>,
    /// From when on it is valid, in milliseconds after the order acted.
    pub valid_from: i64,
    /// Until when, in milliseconds after the order acted.
    pub valid_until: i64,
    /// By what it was redeemed.
    pub redeemed: Option<Redeemed>,
    /// Hashes of the orders whose redemptions were rolled back: those can come no more.
    pub rolled_back: Vec<u64>,
    /// For how many days a redemption can be rolled back; then it is final.
    pub rollback_days: u16,
    /// What is known of what it did not use of a budget.
    pub unused: Unused,
}

/// A redemption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeemed {
    /// The shop's order.
    pub order: String,
    /// Cents that it took off, where the shop said so.
    pub amount: Option<i64>,
    /// When, in unix milliseconds.
    pub at: i64,
}

impl Coupon {
    /// A coupon of a template, given now.
    pub fn of(published: &Published, now: UnixMillis) -> Self {
        let Published { id, version, template, scene, .. } = published;
        let (from, until) = template.validity(now);
        Self {
            template: id.clone(),
            version: *version,
            kind: template.kind,
            value: template.value.minor_units(),
            threshold: template.threshold.minor_units(),
            currency: currency(template.currency),
            cap: template.face(),
            statement: scene.statement.clone(),
            valid_from: from.0 - now.0,
            valid_until: until.0 - now.0,
            redeemed: None,
            rolled_back: Vec::new(),
            rollback_days: template.rollback_days,
            unused: if template.budget.is_some() { Unused::Due } else { Unused::None },
        }
    }

    /// When its redemption is final.
    pub fn final_from(&self, redeemed: &Redeemed) -> UnixMillis {
        UnixMillis(redeemed.at.saturating_add(i64::from(self.rollback_days) * DAY_MS))
    }
}

fn currency(currency: Currency) -> [u8; 3] {
    currency.as_str().as_bytes().try_into().unwrap_or_default()
}

impl Order {
    /// An order that acts now.
    pub fn new(digest: u64, now: UnixMillis, gave: Gave) -> Self {
        Self { digest, at: now.0, gave, is_over: false, ordered: None }
    }

    /// The same, of a number that has a time.
    #[must_use]
    pub fn ordered_at(self, at: Option<UnixMillis>) -> Self {
        let ordered = at.map(|at| self.at.saturating_sub(at.0));
        Self { ordered, ..self }
    }

    /// The number under which it acted.
    pub fn number<'a>(&self, user: UserId, number: &'a OrderNumber) -> Number<'a> {
        let ordered_at = self.ordered.map(|before| UnixMillis(self.at.saturating_sub(before)));
        self::number(user, number, ordered_at)
    }

    /// Since when it is over for good, so that nothing changes it any more. Nothing where what its coupon did not use of a
    /// budget is still to be counted ([`crate::settling`]). What was rolled back may have been so at the last moment at which
    /// it could.
    pub fn ended_at(&self) -> Option<UnixMillis> {
        let ended = match &self.gave {
            Gave::Issued(coupon) | Gave::Fallback(coupon) => {
                (self.is_over && coupon.unused != Unused::Due).then(|| self.ends_at())
            }
            Gave::Reserved(..) => None,
            Gave::Revoked(_, Revocation { at, .. }) => Some(UnixMillis(*at)),
            Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => Some(UnixMillis(self.at)),
        };
        // A clock may be behind the one by which it acted.
        ended.map(|at| at.max(UnixMillis(self.at)))
    }

    /// When it is over, or will be as far as it says itself.
    pub fn ends_at(&self) -> UnixMillis {
        match &self.gave {
            Gave::Reserved(_, until) => UnixMillis(*until),
            Gave::Issued(coupon) | Gave::Fallback(coupon) => match &coupon.redeemed {
                Some(redeemed) => coupon.final_from(redeemed),
                None => {
                    let until = self.at.saturating_add(coupon.valid_until);
                    let rolled_back = i64::from(!coupon.rolled_back.is_empty());
                    let later = rolled_back * i64::from(coupon.rollback_days) * DAY_MS;
                    UnixMillis(until.saturating_add(later))
                }
            },
            Gave::Revoked(_, Revocation { at, .. }) => UnixMillis(*at),
            Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => UnixMillis(self.at),
        }
    }

    /// The coupon that it gave for good: it counts as given by the lease of its template, also once it is collected.
    pub fn given(&self) -> Option<&Coupon> {
        match &self.gave {
            Gave::Issued(coupon) | Gave::Fallback(coupon) => Some(coupon),
            _ => None,
        }
    }

    /// The coupon that counts for the limit of its user, also once it is collected: one that was given, or was and is taken
    /// back.
    pub fn counted(&self) -> Option<&Coupon> {
        match &self.gave {
            Gave::Issued(coupon) | Gave::Fallback(coupon) | Gave::Revoked(coupon, _) => {
                Some(coupon)
            }
            _ => None,
        }
    }

    /// The same at a moment, where that is another one: a reservation or a coupon whose time is over has
    /// expired. It is committed before anybody is told (see [`crate::expiry`]).
    pub fn expired_at(&self, now: UnixMillis) -> Option<Self> {
        match &self.gave {
            Gave::Reserved(_, until) if now.0 >= *until => {
                Some(Self { gave: Gave::Expired, ..self.clone() })
            }
            Gave::Issued(coupon) | Gave::Fallback(coupon) => {
                let is_open = coupon.redeemed.is_none() && !self.is_over;
                let is_over = self.since(now) >= coupon.valid_until;
                (is_open && is_over).then(|| Self { is_over: true, ..self.clone() })
            }
            _ => None,
        }
    }

    /// The same at a moment, where the redemption of its coupon is final then and was not before. It is committed before
    /// anybody is told (see [`crate::redemption`]).
    pub fn final_at(&self, now: UnixMillis) -> Option<Self> {
        let (Gave::Issued(coupon) | Gave::Fallback(coupon)) = &self.gave else { return None };
        let is_final = |redeemed| now >= coupon.final_from(redeemed);
        let is_over = coupon.redeemed.as_ref().is_some_and(is_final);
        (is_over && !self.is_over).then(|| Self { is_over: true, ..self.clone() })
    }

    /// The same at a moment, where its time is over then and was not before, in whichever way.
    pub fn over_at(&self, now: UnixMillis) -> Option<Self> {
        self.expired_at(now).or_else(|| self.final_at(now))
    }

    /// Milliseconds since it acted. A clock may be behind the one by which it did.
    pub fn since(&self, now: UnixMillis) -> i64 {
        (now.0 - self.at).max(0)
    }

    /// As the store keeps it.
    pub fn encode(&self) -> Value {
        codec::encode(self)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> Result<Self, CommitError> {
        codec::decode(value)
    }

    /// The coupon, where there is one.
    pub fn coupon(&self) -> Option<&Coupon> {
        match &self.gave {
            Gave::Issued(coupon)
            | Gave::Fallback(coupon)
            | Gave::Reserved(coupon, _)
            | Gave::Revoked(coupon, _) => Some(coupon),
            Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::published;

    #[test]
    fn an_order_is_itself_again_and_small() {
        let now = UnixMillis(1_771_257_600_250);
        let coupon = Coupon::of(&published("spring-15", 3), now);
        let order = Order::new(u64::MAX, now, Gave::Issued(coupon));
        let value = order.encode();
        assert_eq!(Order::decode(&value).as_ref(), Ok(&order));
        let expired = Order { is_over: true, ..order };
        assert_ne!(expired.encode(), value);
        assert_eq!(Order::decode(&expired.encode()), Ok(expired));
        let Value::Bytes(bytes) = value else { panic!("{value:?}") };
        // Redis keeps values of up to 64 bytes in its compact encoding.
        assert!(bytes.len() <= 63, "{} bytes", bytes.len());
    }

    #[test]
    fn foreign_bytes_are_no_order() {
        for value in [Value::Integer(1), Value::Bytes(vec![]), Value::Bytes(vec![1, 1, 2])] {
            assert!(matches!(Order::decode(&value), Err(CommitError::Unreadable(_))), "{value:?}");
        }
        let newer = Order::decode(&Value::Bytes(vec![2, 1, 2]));
        assert!(matches!(newer, Err(CommitError::Newer(_))), "{newer:?}");
    }

    #[test]
    fn names_are_read_again() {
        let number = OrderNumber::parse("7_a:b.c-d", "order_number").unwrap();
        assert_eq!(order_of(&order(&number)), Some(number.clone()));
        assert_eq!(order_of(&held_count("spring")), None);
        assert_eq!(counted(&held_count("spring")), Some("spring"));
        assert_eq!(counted(&order(&number)), None);
    }
}

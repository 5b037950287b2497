//! Answers -> wire.

use coupons::chance::{Group, Phase};
use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::sweep::{Left, left};
use edge::{Answer, Problem};
use serde::Serialize;

use crate::{Done, Sweeps};
use coupons::bulk::Tally;
use coupons::group_buy::{Campaign, Opening};
use coupons::issue::Recorded;
use coupons::list::{Listed, State, state};
use coupons::publish::Stock;
use coupons::records::{Coupon, Gave, Order, Revocation};
use coupons::scene::Scene;
use coupons::template::{Kind, Template};
use coupons::walk::{self, Change, Walked};
use store::sealed::Archived;

/// A coupon on the wire. Its id is the order number under which it was given.
#[derive(Serialize)]
struct CouponBody<'a> {
    coupon: &'a str,
    template: &'a str,
    version: i64,
    state: State,
    kind: Kind,
    value: Option<Amount>,
    threshold: Option<Amount>,
    currency: &'a str,
    issued_at: UnixMillis,
    valid_from: UnixMillis,
    valid_until: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeemed: Option<RedeemedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<RevokedBody<'a>>,
}

#[derive(Serialize)]
struct RedeemedBody<'a> {
    order: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    at: UnixMillis,
}

#[derive(Serialize)]
struct RevokedBody<'a> {
    reason: &'a str,
    at: UnixMillis,
}

/// What an order number gave.
#[derive(Serialize)]
struct OutcomeBody<'a> {
    order_number: &'a str,
    outcome: &'static str,
    coupon: Option<CouponBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeting: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    replayed: bool,
}

#[derive(Serialize)]
struct PageBody<'a> {
    coupons: Vec<CouponBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

#[derive(Serialize)]
struct PublishedBody<'a> {
    template: &'a str,
    version: i64,
    definition: &'a Template,
    #[serde(skip_serializing_if = "Option::is_none")]
    stock: Option<Parts<Count>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Parts<Amount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<Amount>,
}

#[derive(Serialize)]
struct SealedTemplateBody<'a> {
    template: &'a str,
    version: i64,
    sealed: SealedBody<'a>,
}

#[derive(Serialize)]
struct SealedCampaignBody<'a> {
    campaign: &'a str,
    sealed: SealedBody<'a>,
}

/// What is kept of what is sealed.
#[derive(Serialize)]
struct SealedBody<'a> {
    at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<Count>,
}

/// The parts add up to the total; without a stock there are only those that were given or are held.
#[derive(Serialize)]
struct Parts<T> {
    total: T,
    issued: T,
    reserved: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    leased: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<T>,
}

impl<T> Parts<T> {
    fn of(stock: &Stock, is_counted: bool, part: impl Fn(i64) -> Option<T>) -> Option<Self> {
        let counted = |count| if is_counted { part(count).map(Some) } else { Some(None) };
        Some(Self {
            total: part(stock.total)?,
            issued: part(stock.issued)?,
            reserved: part(stock.reserved)?,
            leased: counted(stock.leased)?,
            remaining: counted(stock.remaining)?,
        })
    }
}

#[derive(Serialize)]
struct BatchBody<'a> {
    batch: &'a str,
    parts: u32,
    #[serde(flatten)]
    tally: &'a Tally,
}

#[derive(Serialize)]
struct WalkedBody {
    users: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<Count>,
    reserved: Option<Count>,
    unreadable: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct SweptBody {
    expired: Option<Count>,
    rewarded: Option<Count>,
    settled: Option<Count>,
    home: Option<Count>,
    #[serde(flatten)]
    left: Left,
}

#[derive(Serialize)]
struct CampaignBody<'a> {
    campaign: &'a str,
    #[serde(flatten)]
    definition: &'a Campaign,
}

#[derive(Serialize)]
struct SceneBody<'a> {
    scene: &'a str,
    #[serde(flatten)]
    definition: &'a Scene,
}

#[derive(Serialize)]
struct GroupBody<'a> {
    campaign: &'a str,
    group: &'a str,
    user: UserId,
    state: &'static str,
    expires_at: UnixMillis,
}

fn coupon<'a>(
    number: &'a OrderNumber,
    order: &'a Order,
    now: UnixMillis,
) -> Option<CouponBody<'a>> {
    let (state, coupon) = state(order, now)?;
    let Coupon { template, version, kind, currency, redeemed, .. } = coupon;
    Some(CouponBody {
        coupon: number.as_str(),
        template,
        version: *version,
        state,
        kind: *kind,
        value: Amount::new(coupon.value).ok(),
        threshold: Amount::new(coupon.threshold).ok(),
        currency: std::str::from_utf8(currency).unwrap_or_default(),
        issued_at: UnixMillis(order.at),
        valid_from: UnixMillis(order.at + coupon.valid_from),
        valid_until: UnixMillis(order.at + coupon.valid_until),
        statement: coupon.statement.as_deref(),
        redeemed: redeemed.as_ref().map(|redeemed| RedeemedBody {
            order: &redeemed.order,
            amount: redeemed.amount.and_then(|amount| Amount::new(amount).ok()),
            at: UnixMillis(redeemed.at),
        }),
        revoked: match &order.gave {
            Gave::Revoked(_, Revocation { at, reason }) => {
                Some(RevokedBody { reason, at: UnixMillis(*at) })
            }
            _ => None,
        },
    })
}

/// What came of a command. What a sweep could not do is written into the log, too.
///
/// # Errors
/// It cannot be written as JSON.
pub async fn done(done: &Done, now: UnixMillis) -> Result<Answer, Problem> {
    match done {
        Done::Template(id, version, definition, stock) => {
            template(id, *version, definition, stock.as_ref())
        }
        Done::SealedTemplate(id, archived) => {
            let (version, sealed) = (archived.version, sealed(archived));
            Answer::json(&SealedTemplateBody { template: id, version, sealed })
        }
        Done::Issued(recorded) => outcome(201, recorded, now),
        Done::Found(recorded) => outcome(200, recorded, now),
        Done::Page(listed) => page(listed, now),
        Done::Part(name, tally) => batch(202, name, 1, tally),
        Done::Batch(name, parts, tally) => batch(200, name, *parts, tally),
        Done::Scene(id, definition) => scene(id, definition),
        Done::Campaign(id, definition) => campaign(id, definition),
        Done::SealedCampaign(id, archived) => {
            Answer::json(&SealedCampaignBody { campaign: id, sealed: sealed(archived) })
        }
        Done::Group(opening, opened, replayed) => group(opening, opened, *replayed),
        Done::Walked(change, done) => walked(change, done),
        Done::Swept(sweeps) => swept(sweeps).await,
    }
}

/// What an order number gave, with the status of the first time. That something has expired the order
/// says, and never the clock.
fn outcome(status: u16, recorded: &Recorded, now: UnixMillis) -> Result<Answer, Problem> {
    let Recorded { number, order, replayed } = recorded;
    let (outcome, greeting, expires_at) = match &order.gave {
        Gave::Issued(_) => ("issued", None, None),
        Gave::Fallback(_) => ("fallback", None, None),
        Gave::Greeting(words) => ("greeting", Some(words.as_str()), None),
        Gave::Reserved(_, until) => ("reserved", None, Some(UnixMillis(*until))),
        Gave::Cancelled => ("cancelled", None, None),
        Gave::Expired => ("expired", None, None),
        Gave::Revoked(..) => ("revoked", None, None),
    };
    let body = OutcomeBody {
        order_number: number.as_str(),
        outcome,
        coupon: coupon(number, order, now),
        greeting,
        expires_at,
        replayed: *replayed,
    };
    Ok(Answer::json_with(status, &body)?.replayed(*replayed))
}

/// One page of coupons.
fn page(listed: &Listed, now: UnixMillis) -> Result<Answer, Problem> {
    let coupons = listed.orders.iter();
    let coupons = coupons.filter_map(|(number, order)| coupon(number, order, now)).collect();
    let incomplete = listed.is_incomplete.then_some(true);
    Answer::json(&PageBody { coupons, cursor: cursor(listed), incomplete })
}

/// Where the next page begins, if there are more.
pub fn cursor(Listed { orders, has_more, .. }: &Listed) -> Option<String> {
    let last = orders.last().filter(|_| *has_more);
    last.map(|(number, order)| format!("{}~{number}", order.at))
}

/// A template; with what became of its coupons, where that was asked for.
fn template(
    id: &str,
    version: i64,
    template: &Template,
    stock: Option<&Stock>,
) -> Result<Answer, Problem> {
    let count = |part| Count::new(u64::try_from(part).unwrap_or_default());
    let (face, is_counted) = (template.face(), template.is_counted());
    let amount = |part: i64| Amount::new(part.checked_mul(face?)?).ok();
    let unused = |stock: &Stock| Amount::new(stock.unused).ok();
    Answer::json(&PublishedBody {
        template: id,
        version,
        definition: template,
        stock: stock.and_then(|stock| Parts::of(stock, is_counted, count)),
        amount: stock.and_then(|stock| Parts::of(stock, is_counted, amount)),
        unused: stock.filter(|_| template.budget.is_some()).and_then(unused),
    })
}

/// What is kept of what is sealed.
fn sealed(archived: &Archived) -> SealedBody<'_> {
    let count = |units: i64| u64::try_from(units).ok().and_then(Count::new);
    SealedBody {
        at: archived.sealed_at,
        activity: archived.activity.as_deref(),
        scene: archived.scene.as_deref(),
        template: archived.template.as_deref(),
        from: archived.from,
        until: archived.until,
        total: archived.total.and_then(count),
        issued: archived.given.and_then(count),
    }
}

/// What became of a batch, or of a part of it.
fn batch(status: u16, batch: &str, parts: u32, tally: &Tally) -> Result<Answer, Problem> {
    Answer::json_with(status, &BatchBody { batch, parts, tally })
}

/// What a call did of a template's coupons, and where the next one goes on.
fn walked(change: &Change, walked: &Walked) -> Result<Answer, Problem> {
    let count = |number: u32| Count::new(number.into());
    let changed = count(walked.changed);
    let (revoked, extended) = match change {
        Change::Revoke(_) => (changed, None),
        Change::Extend(_) => (None, changed),
    };
    Answer::json(&WalkedBody {
        users: count(walked.users),
        revoked,
        extended,
        reserved: count(walked.reserved),
        unreadable: count(walked.unreadable),
        cursor: walked.cursor.as_ref().map(walk::Cursor::text),
    })
}

/// What a sweep did: reservations that it ended, rewards that it gave, coupons that it settled, what it brought home, and
/// what it left of all.
async fn swept(sweeps: &Sweeps) -> Result<Answer, Problem> {
    let Sweeps { expired, rewarded, settled, home } = sweeps;
    let mut all = expired.clone();
    for other in [rewarded, settled, home] {
        all.add(other.clone());
    }
    let left = left(&all).await;
    let [expired, rewarded, settled, home] =
        [expired, rewarded, settled, home].map(|one| Count::new(one.done));
    Answer::json(&SweptBody { expired, rewarded, settled, home, left })
}

/// A group-buy campaign.
fn campaign(campaign: &str, definition: &Campaign) -> Result<Answer, Problem> {
    Answer::json(&CampaignBody { campaign, definition })
}

/// A scene.
fn scene(scene: &str, definition: &Scene) -> Result<Answer, Problem> {
    Answer::json(&SceneBody { scene, definition })
}

/// A group that was opened, now or earlier.
fn group(opening: &Opening, group: &Group, replayed: bool) -> Result<Answer, Problem> {
    let body = GroupBody {
        campaign: &opening.campaign,
        group: &group.group,
        user: opening.user,
        state: match group.phase {
            Phase::Open => "open",
            Phase::Succeeded => "succeeded",
            Phase::Rewarded => "rewarded",
            Phase::Lapsed => "lapsed",
            Phase::Failed => "failed",
            Phase::Expired => "expired",
        },
        expires_at: group.expires_at(),
    };
    Ok(Answer::json_with(201, &body)?.replayed(replayed))
}

//! Answers -> wire.

use coupons::chance::{Group, Phase};
use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
#[cfg(not(target_arch = "wasm32"))]
use domain::money::Currency;
use domain::order_number::OrderNumber;
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::ShopOrder;
use domain::time::UnixMillis;
#[cfg(not(target_arch = "wasm32"))]
use edge::contract::operation::AsTaken;
use edge::sweep::{Left, left};
use edge::{Answer, Problem};
use serde::Serialize;

#[cfg(not(target_arch = "wasm32"))]
use crate::contract::shapes::{SealedCampaign, SealedTemplate, StockCounts};
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

/// A coupon. Its id is the order number under which it was given.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Coupon"))]
pub(crate) struct CouponBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    coupon: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    template: &'a str,
    version: i64,
    state: State,
    kind: Kind,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Amount"))]
    value: Option<Amount>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Amount"))]
    threshold: Option<Amount>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Currency"))]
    currency: &'a str,
    issued_at: UnixMillis,
    valid_from: UnixMillis,
    valid_until: UnixMillis,
    /// What the user's statement says of it, where its scene said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeemed: Option<RedeemedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<RevokedBody<'a>>,
}

/// What a coupon was used for.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct RedeemedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "ShopOrder"))]
    order: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    at: UnixMillis,
}

/// Why a coupon was taken back.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct RevokedBody<'a> {
    /// The operator's.
    reason: &'a str,
    at: UnixMillis,
}

/// What an order number gave.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Outcome"))]
pub(crate) struct OutcomeBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    order_number: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["issued", "fallback", "greeting", "reserved", "cancelled", "expired", "revoked"])))]
    outcome: &'static str,
    coupon: Option<CouponBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeting: Option<&'a str>,
    /// Of a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    replayed: bool,
}

/// A page of coupons.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PageBody<'a> {
    coupons: Vec<CouponBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Some of the user's coupons cannot be read, until operators see to it: they are on no page. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

/// A version of a template, and what became of its coupons.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "Published")
)]
pub(crate) struct PublishedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    template: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1)))]
    version: i64,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "AsTaken<Template>"))]
    definition: &'a Template,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<StockCounts>"))]
    stock: Option<Parts<Count>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<StockCounts>"))]
    amount: Option<Parts<Amount>>,
    /// What coupons did not use of the budget, as far as it is there again: coupons may cost together so much more.
    /// Of a template with a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<Amount>,
}

/// What is kept of a template that was sealed.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SealedTemplate")
)]
pub(crate) struct SealedTemplateBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    template: &'a str,
    /// The last one.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1)))]
    version: i64,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "SealedTemplate"))]
    sealed: SealedBody<'a>,
}

/// What is kept of a campaign that was sealed.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SealedCampaign")
)]
pub(crate) struct SealedCampaignBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    campaign: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "SealedCampaign"))]
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

/// `issued`, `fallback`, `greeting` and `refused` add up to `users`.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "Progress")
)]
pub(crate) struct BatchBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    batch: &'a str,
    parts: u32,
    #[serde(flatten)]
    tally: &'a Tally,
}

/// What became of the coupons of a template: `revoked` or `extended`, as was asked.
#[derive(Serialize)]
struct WalkedBody {
    /// Looked at; one who had to do with coupons on two days counts twice.
    users: Option<Count>,
    /// Coupons, by this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Count>,
    /// Coupons, by this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<Count>,
    /// Coupons that are held: they are left, and may be confirmed.
    reserved: Option<Count>,
    /// Orders and users that cannot be read, until operators see to it.
    unreadable: Option<Count>,
    /// Where the next call goes on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What a sweep did.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct SweptBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    expired: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    rewarded: Option<Count>,
    /// Coupons of templates with a budget with which nothing can be done any more: what they did not use is known.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    settled: Option<Count>,
    /// Templates of which that went home from a partition, each for itself.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    home: Option<Count>,
    #[serde(flatten)]
    left: Left,
}

/// A group-buy campaign.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "CampaignState")
)]
pub(crate) struct CampaignBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    campaign: &'a str,
    #[serde(flatten)]
    definition: &'a Campaign,
}

/// A scene.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SceneState")
)]
pub(crate) struct SceneBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    scene: &'a str,
    #[serde(flatten)]
    definition: &'a Scene,
}

/// A group.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Group"))]
pub(crate) struct GroupBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    campaign: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    group: &'a str,
    user: UserId,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["open", "succeeded", "rewarded", "lapsed", "failed", "expired"])))]
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

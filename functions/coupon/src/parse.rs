//! Wire -> typed commands. Whatever can be refused without the store is refused here.

use domain::error::InvalidInput;
use domain::ids::{BATCH_USERS_MAX, IdInput, UserId};
use domain::money::{Amount, Currency};
use domain::order_number::{OrderNumber, Part, SHOP_ORDER_BYTES_MAX};
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::{OrderedAt, ShopOrder};
use domain::time::UnixMillis;
use domain::transaction::INTEGER_MAX;
use edge::{Call, Problem};
use serde::Deserialize;

use crate::Operation;
use coupons::bulk::Batch;
use coupons::group_buy::{Campaign, Opening};
use coupons::issue::{Claim, Number};
use coupons::list::{Page, State};
use coupons::redemption::{Cart, Use};
use coupons::revocation::{EXTENDED_DAYS_MAX, REASON_BYTES_MAX};
use coupons::scene::Scene;
#[cfg(not(target_arch = "wasm32"))]
use coupons::template::Segments;
use coupons::template::{Template, check_segments};
use coupons::walk::{Change, Cursor, Walk};

/// Users of one part of a batch.
pub const USERS_MAX: usize = BATCH_USERS_MAX;
/// How long a coupon may be held: a payment that takes longer has failed.
const HOLD_SECONDS_MAX: i64 = 12 * 3_600;
/// How long a group may stay open: a month.
const GROUP_SECONDS_MAX: i64 = 31 * 86_400;
/// Coupons of a page.
pub(crate) const PAGE_MAX: usize = 100;
/// Coupons of a page where nothing is said.
pub(crate) const PAGE_DEFAULT: usize = 20;
/// What the numbers of batches and of group-buys begin with.
const OWN_PREFIXES: [&str; 2] = ["bulk:", "group:"];
/// One day.
const DAY_MS: i64 = 86_400_000;

/// A coupon that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ClaimBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderNumber>"))]
    order_number: Option<String>,
    play: Option<PlayBody>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    template: String,
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Segments"))]
    segments: Vec<String>,
}

/// A play, of which the order number is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PlayBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    round: String,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    award: String,
}

/// A coupon that is to be held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ReservationBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderNumber>"))]
    order_number: Option<String>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    template: String,
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Segments"))]
    segments: Vec<String>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = HOLD_SECONDS_MAX)))]
    expires_in_seconds: i64,
}

/// What is said of a number that is cancelled.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct CancelBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
}

/// An order of the shop that a coupon is used for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct RedeemBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "ShopOrder"))]
    order: String,
    /// Taken off.
    amount: Option<Amount>,
    /// What the cart comes to without the coupon: below the coupon's threshold it is `below_threshold`.
    order_amount: Option<Amount>,
    /// Of the cart: another one than the coupon's is `wrong_currency`.
    currency: Option<Currency>,
}

/// An order of the shop that is rolled back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct RollbackBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "ShopOrder"))]
    order: String,
}

/// Why a coupon is taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct RevokeBody {
    /// Kept with each coupon; at most 200 bytes.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = REASON_BYTES_MAX)))]
    reason: String,
}

/// Until when a coupon is valid.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ExtendBody {
    /// In the future, and at most 3,660 days from now.
    valid_until: UnixMillis,
}

/// Why coupons are taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct RevokeManyBody {
    /// Kept with each coupon; at most 200 bytes.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = REASON_BYTES_MAX)))]
    reason: String,
    /// Only what this batch of the template gave, of whatever template.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Part<'_>>"))]
    batch: Option<String>,
    /// Of the call before.
    cursor: Option<String>,
}

/// Until when coupons are valid.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ExtendManyBody {
    /// In the future, and at most 3,660 days from now.
    valid_until: UnixMillis,
    /// Only what this batch of the template gave, of whatever template.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Part<'_>>"))]
    batch: Option<String>,
    /// Of the call before.
    cursor: Option<String>,
}

/// Users of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct BatchBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    batch: String,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::schema::IdInputs"))]
    users: Vec<IdInput>,
}

/// A group that is opened.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct OpeningBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    campaign: String,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    group: String,
    user: IdInput,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = GROUP_SECONDS_MAX)))]
    expires_in_seconds: i64,
}

/// One parameter of the route.
fn parameter(call: &Call, index: usize) -> &str {
    call.parameters.get(index).map(String::as_str).unwrap_or_default()
}

/// A command, valid as far as it can be told without the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Publish a template.
    Publish(String, Box<Template>),
    /// Look at a template and its stock.
    LookAtTemplate(String),
    /// Issue, or hold.
    Issue(Claim),
    /// What did a number give?
    LookUp(UserId, OrderNumber),
    /// A page of a user's coupons.
    List(UserId, Page),
    /// Redeem a coupon, or roll that back.
    Use(UserId, OrderNumber, Use),
    /// Take a coupon back, for a reason.
    Revoke(UserId, OrderNumber, String),
    /// Make a coupon valid until a moment.
    Extend(UserId, OrderNumber, UnixMillis),
    /// Revoke or extend the coupons of a template.
    Walk(Walk),
    /// Give what is held.
    Confirm(UserId, OrderNumber),
    /// Put back what is held; with the time at which it was ordered.
    Cancel(UserId, OrderNumber, Option<UnixMillis>),
    /// Issue a template to a part of a batch.
    IssueToMany(String, Batch),
    /// How far is a batch of a template?
    BatchProgress(String, String),
    /// Set up a scene.
    SetUpScene(String, Scene),
    /// Look at a scene.
    LookAtScene(String),
    /// Set up a group-buy campaign.
    SetUpCampaign(String, Campaign),
    /// Look at a campaign.
    LookAtCampaign(String),
    /// Open a group.
    OpenGroup(Opening),
    /// End what has expired, give what is due.
    Sweep,
}

/// Reads a command.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn command(operation: Operation, call: &Call) -> Result<Command, Problem> {
    let name = |field| part(parameter(call, 0), field);
    let with_number = |field| Ok::<_, InvalidInput>((user(call)?, number_of(call, field)?));
    Ok(match operation {
        Operation::Publish => {
            Command::Publish(name("template")?, Box::new(template(call.json()?)?))
        }
        Operation::LookAtTemplate => Command::LookAtTemplate(name("template")?),
        Operation::Issue => Command::Issue(claim(call)?),
        Operation::Reserve => Command::Issue(reservation(call)?),
        Operation::LookUp => {
            let (user, number) = with_number("order_number")?;
            Command::LookUp(user, number)
        }
        Operation::List => Command::List(user(call)?, page(call)?),
        Operation::Redeem => {
            let (user, coupon) = with_number("coupon")?;
            Command::Use(user, coupon, redeem(call)?)
        }
        Operation::Rollback => {
            let (user, coupon) = with_number("coupon")?;
            Command::Use(user, coupon, rollback(call)?)
        }
        Operation::Revoke => {
            let (user, coupon) = with_number("coupon")?;
            let RevokeBody { reason } = call.json()?;
            Command::Revoke(user, coupon, self::reason(reason)?)
        }
        Operation::Extend => {
            let (user, coupon) = with_number("coupon")?;
            let ExtendBody { valid_until } = call.json()?;
            Command::Extend(user, coupon, valid_until)
        }
        Operation::RevokeMany => {
            let RevokeManyBody { reason, batch, cursor } = call.json()?;
            let change = Change::Revoke(self::reason(reason)?);
            Command::Walk(walk(name("template")?, batch, cursor, change)?)
        }
        Operation::ExtendMany => {
            let ExtendManyBody { valid_until, batch, cursor } = call.json()?;
            Command::Walk(walk(name("template")?, batch, cursor, Change::Extend(valid_until))?)
        }
        Operation::Confirm => {
            let number = callers_number(parameter(call, 1), "order_number")?;
            Command::Confirm(user(call)?, number)
        }
        Operation::Cancel => {
            let number = callers_number(parameter(call, 1), "order_number")?;
            Command::Cancel(user(call)?, number, cancelled(call)?.ordered_at)
        }
        Operation::IssueToMany => Command::IssueToMany(name("template")?, batch(call)?),
        Operation::BatchProgress => {
            Command::BatchProgress(name("template")?, part(parameter(call, 1), "batch")?)
        }
        Operation::SetUpScene => Command::SetUpScene(name("scene")?, scene(call.json()?)?),
        Operation::LookAtScene => Command::LookAtScene(name("scene")?),
        Operation::SetUpCampaign => {
            Command::SetUpCampaign(name("campaign")?, group_buy(call.json()?)?)
        }
        Operation::LookAtCampaign => Command::LookAtCampaign(name("campaign")?),
        Operation::OpenGroup => Command::OpenGroup(opening(call)?),
        Operation::Sweep => Command::Sweep,
    })
}

/// The user of the route.
fn user(call: &Call) -> Result<UserId, InvalidInput> {
    UserId::parse(parameter(call, 0), "user")
}

/// The order number of the route; `field` names it.
fn number_of(call: &Call, field: &str) -> Result<OrderNumber, InvalidInput> {
    OrderNumber::parse(parameter(call, 1), field)
}

fn part(text: &str, field: &str) -> Result<String, InvalidInput> {
    Ok(Part::parse(text, field)?.as_str().to_owned())
}

/// A template that can be published.
fn template(template: Template) -> Result<Template, InvalidInput> {
    template.validate()?;
    Ok(template)
}

/// A scene that can be set up.
fn scene(scene: Scene) -> Result<Scene, InvalidInput> {
    scene.validate()?;
    Ok(scene)
}

/// A campaign that can be set up.
fn group_buy(campaign: Campaign) -> Result<Campaign, InvalidInput> {
    campaign.validate()?;
    Ok(campaign)
}

/// `POST /v1/users/{user}/coupons`
fn claim(call: &Call) -> Result<Claim, Problem> {
    let body: ClaimBody = call.json()?;
    let number = match body.play {
        Some(_) if body.order_number.is_some() => {
            let detail = "either order_number or play, not both";
            return Err(InvalidInput::new("invalid_value", "play", detail).into());
        }
        Some(PlayBody { round, award }) => play(&round, &award)?,
        None => number(call, body.order_number)?,
    };
    Ok(claim_of(user(call)?, number, body.ordered_at, &body.template, body.segments)?)
}

/// `POST /v1/users/{user}/reservations`
fn reservation(call: &Call) -> Result<Claim, Problem> {
    let body: ReservationBody = call.json()?;
    let number = number(call, body.order_number)?;
    let (template, segments) = (&body.template, body.segments);
    let claim = claim_of(user(call)?, number, body.ordered_at, template, segments)?;
    Ok(held(claim, body.expires_in_seconds, "expires_in_seconds")?)
}

/// A claim on a coupon.
///
/// # Errors
/// `invalid_part`, `invalid_value`, naming the field.
pub fn claim_of(
    user: UserId,
    number: Number,
    ordered_at: Option<UnixMillis>,
    template: &str,
    segments: Vec<String>,
) -> Result<Claim, InvalidInput> {
    check_segments(&segments)?;
    let template = part(template, "template")?;
    Ok(Claim { user, number, ordered_at, template, segments, hold_ms: None })
}

/// `POST /v1/users/{user}/reservations/{order_number}/cancel`, with or without a body.
fn cancelled(call: &Call) -> Result<CancelBody, Problem> {
    if call.body.is_empty() { Ok(CancelBody::default()) } else { call.json() }
}

/// When something was ordered, in unix milliseconds.
///
/// # Errors
/// `invalid_value`, naming the field.
pub fn ordered_at(ms: Option<i64>, field: &str) -> Result<Option<UnixMillis>, InvalidInput> {
    if ms.is_some_and(|ms| !(0..=INTEGER_MAX).contains(&ms)) {
        return Err(InvalidInput::new("invalid_value", field, "must not be negative"));
    }
    Ok(ms.map(UnixMillis))
}

/// The same claim for a while only.
///
/// # Errors
/// `invalid_value`, naming the field.
pub fn held(claim: Claim, seconds: i64, field: &str) -> Result<Claim, InvalidInput> {
    if !(1..=HOLD_SECONDS_MAX).contains(&seconds) {
        return Err(InvalidInput::new("invalid_value", field, "must be 1 to 43200"));
    }
    Ok(Claim { hold_ms: Some(seconds * 1_000), ..claim })
}

/// The number that follows from a play.
///
/// # Errors
/// `invalid_part`, naming the field.
pub fn play(round: &str, award: &str) -> Result<Number, InvalidInput> {
    Ok(Number::Play { round: part(round, "play.round")?, award: part(award, "play.award")? })
}

/// The order number of the body, or of the header `Idempotency-Key` where the body has none.
fn number(call: &Call, body: Option<String>) -> Result<Number, Problem> {
    let (text, field) = match body {
        Some(text) => (Some(text), "order_number"),
        None => (call.headers.text("idempotency-key"), "idempotency-key"),
    };
    let missing = || {
        let detail = "an order_number, or a header Idempotency-Key, is required";
        Problem::malformed("missing_field", detail).about("order_number")
    };
    Ok(Number::Given(callers_number(&text.ok_or_else(missing)?, field)?))
}

/// An order number that callers may use.
///
/// # Errors
/// `invalid_order_number`, naming the field.
pub fn callers_number(text: &str, field: &str) -> Result<OrderNumber, InvalidInput> {
    let number = OrderNumber::parse(text, field)?;
    not_our_own(&number, field)?;
    Ok(number)
}

/// Numbers that the function makes are not for callers: whoever used one up would take a reward from
/// its user.
fn not_our_own(number: &OrderNumber, field: &str) -> Result<(), InvalidInput> {
    if OWN_PREFIXES.iter().any(|prefix| number.as_str().starts_with(prefix)) {
        let detail = "must not begin with bulk: or group:";
        return Err(InvalidInput::new("invalid_order_number", field, detail));
    }
    Ok(())
}

/// `POST /v1/users/{user}/coupons/{coupon}/redeem`
fn redeem(call: &Call) -> Result<Use, Problem> {
    let RedeemBody { order, amount, order_amount, currency } = call.json()?;
    let cart = Cart { amount: order_amount.map(Amount::minor_units), currency };
    Ok(redemption(order, amount.map(Amount::minor_units), cart)?)
}

/// `POST /v1/users/{user}/coupons/{coupon}/rollback`
fn rollback(call: &Call) -> Result<Use, Problem> {
    let RollbackBody { order } = call.json()?;
    Ok(Use::Rollback { order: shop_order(order)? })
}

/// A redemption by a shop's order.
///
/// # Errors
/// `invalid_value`, `invalid_order`, naming the field.
pub fn redemption(order: String, amount: Option<i64>, cart: Cart) -> Result<Use, InvalidInput> {
    for (field, amount) in [("amount", amount), ("order_amount", cart.amount)] {
        if amount.is_some_and(|amount| !(0..=INTEGER_MAX).contains(&amount)) {
            return Err(InvalidInput::new("invalid_value", field, "must not be negative"));
        }
    }
    Ok(Use::Redeem { order: shop_order(order)?, amount, cart })
}

/// Why an operator takes coupons back.
fn reason(reason: String) -> Result<String, InvalidInput> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let detail = format!("must say why, in at most {REASON_BYTES_MAX} bytes");
        return Err(InvalidInput::new("invalid_value", "reason", detail));
    }
    Ok(reason)
}

/// `POST /v1/coupon-templates/{template}/revoke` and `/extend`
fn walk(
    template: String,
    batch: Option<String>,
    cursor: Option<String>,
    change: Change,
) -> Result<Walk, InvalidInput> {
    let batch = batch.map(|batch| part(&batch, "batch")).transpose()?;
    let wrong = || InvalidInput::new("invalid_value", "cursor", "must be one that a call gave");
    let read = |text: String| Cursor::parse(&text).ok_or_else(wrong);
    Ok(Walk { template, batch, change, cursor: cursor.map(read).transpose()? })
}

/// Checks times that a command names, by the store's time.
///
/// # Errors
/// `invalid_value`, naming the field.
pub fn check_times(command: &Command, now: UnixMillis) -> Result<(), InvalidInput> {
    let until = match command {
        Command::Extend(_, _, until) => until,
        Command::Walk(Walk { change: Change::Extend(until), .. }) => until,
        _ => return Ok(()),
    };
    let most = now.0.saturating_add(EXTENDED_DAYS_MAX * DAY_MS);
    if (now.0 + 1..=most).contains(&until.0) {
        return Ok(());
    }
    let detail = format!("must be in the future, and at most {EXTENDED_DAYS_MAX} days from now");
    Err(InvalidInput::new("invalid_value", "valid_until", detail))
}

/// A shop's order.
///
/// # Errors
/// `invalid_order`.
pub fn shop_order(order: String) -> Result<String, InvalidInput> {
    if (1..=SHOP_ORDER_BYTES_MAX).contains(&order.len()) {
        Ok(order)
    } else {
        let detail = format!("must have 1 to {SHOP_ORDER_BYTES_MAX} bytes");
        Err(InvalidInput::new("invalid_order", "order", detail))
    }
}

/// `GET /v1/users/{user}/coupons?state=&cursor=&limit=`
fn page(call: &Call) -> Result<Page, Problem> {
    let [state, cursor, limit] = call.query(["state", "cursor", "limit"])?;
    let state = match state.as_deref() {
        None => None,
        Some("reserved") => Some(State::Reserved),
        Some("not_yet_valid") => Some(State::NotYetValid),
        Some("usable") => Some(State::Usable),
        Some("redeemed") => Some(State::Redeemed),
        Some("expired") => Some(State::Expired),
        Some("revoked") => Some(State::Revoked),
        Some(_) => {
            let detail = "must be reserved, not_yet_valid, usable, redeemed, expired or revoked";
            return Err(InvalidInput::new("invalid_value", "state", detail).into());
        }
    };
    // What is no number is out of range.
    let limit = limit.map_or(PAGE_DEFAULT, |text| text.parse().unwrap_or(0));
    Ok(page_of(state, cursor.as_deref(), limit)?)
}

/// A page of a user's coupons.
///
/// # Errors
/// `invalid_value`, naming the field.
pub fn page_of(
    state: Option<State>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page, InvalidInput> {
    let wrong = |field, detail| InvalidInput::new("invalid_value", field, detail);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(wrong("limit", "must be 1 to 100"));
    }
    let read = |text: &str| {
        let (at, number) = text.split_once('~')?;
        Some((at.parse().ok()?, OrderNumber::parse(number, "cursor").ok()?))
    };
    let read =
        |text| read(text).ok_or_else(|| wrong("cursor", "must be one that a page ended with"));
    Ok(Page { state, after: cursor.map(read).transpose()?, limit })
}

/// `POST /v1/coupon-templates/{template}/bulk`
fn batch(call: &Call) -> Result<Batch, Problem> {
    let body: BatchBody = call.json()?;
    let count = body.users.len();
    if count == 0 {
        return Err(InvalidInput::new("too_few_users", "users", "must have at least 1 user").into());
    }
    if count > USERS_MAX {
        let detail = format!("must have at most {USERS_MAX} users, not {count}");
        return Err(InvalidInput::new("too_many_users", "users", detail).into());
    }
    let users = body.users.iter().enumerate();
    let users = users.map(|(index, id)| id.user(|| format!("users[{index}]")));
    let (batch, ordered_at) = (part(&body.batch, "batch")?, body.ordered_at);
    Ok(Batch { batch, ordered_at, users: users.collect::<Result<_, _>>()? })
}

/// `POST /v1/group-buys`
fn opening(call: &Call) -> Result<Opening, Problem> {
    let OpeningBody { campaign, group, user, expires_in_seconds } = call.json()?;
    if !(1..=GROUP_SECONDS_MAX).contains(&expires_in_seconds) {
        let detail = "must be 1 to 2678400";
        return Err(InvalidInput::new("invalid_value", "expires_in_seconds", detail).into());
    }
    Ok(Opening {
        campaign: part(&campaign, "campaign")?,
        group: part(&group, "group")?,
        user: user.user(|| "user".to_owned())?,
        lasts_seconds: expires_in_seconds,
    })
}

#[cfg(test)]
mod tests {
    use domain::paid::Unknown;
    use edge::json::parse_object;
    use serde_json::{Value, json};

    use super::*;

    /// 15.00 off from 15.10, 100 of them.
    fn body() -> Value {
        json!({
            "activity": "spring", "scene": "newcomer", "kind": "amount_off", "value": "1500",
            "threshold": 1510, "currency": "CNY", "stock": "100", "limit_per_user": 1,
            "claim_from": "2026-02-01T00:00:00Z", "claim_until": "2026-03-01T00:00:00Z",
            "valid_for_days": 30, "low_water_percent": 0
        })
    }

    fn read(body: &Value) -> Result<Template, Problem> {
        Ok(template(parse_object(body.to_string().as_bytes())?)?)
    }

    #[test]
    fn only_what_can_be_published_or_set_up_is_read() {
        assert_eq!(read(&body()).map(|template| template.limit_per_user), Ok(1));
        let mut wrong = body();
        wrong["limit_per_user"] = json!(0);
        assert_eq!(read(&wrong).unwrap_err().field.as_deref(), Some("limit_per_user"));

        let read =
            |text: &str| -> Result<Scene, Problem> { Ok(scene(parse_object(text.as_bytes())?)?) };
        let statement = Some("yours".to_owned());
        let expected = Scene { award_type: "cash".into(), statement, ..Scene::plain() };
        assert_eq!(read(r#"{"award_type": "cash", "statement": "yours"}"#), Ok(expected));
        let problem = read(r#"{"award_type": "cash", "statement": ""}"#).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("statement"));

        let read = |text: &str| -> Result<Campaign, Problem> {
            Ok(group_buy(parse_object(text.as_bytes())?)?)
        };
        let expected = Campaign {
            template: "t".into(),
            give_back: true,
            unknown_users: Unknown::New,
            enabled: false,
        };
        let text = r#"{"template": "t", "give_back": true, "enabled": false}"#;
        assert_eq!(read(text), Ok(expected));
        let problem = read(r#"{"template": "a b", "give_back": true}"#).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), ("invalid_part", Some("template")));
    }

    #[test]
    fn what_operators_do_to_coupons_has_bounds() {
        for (text, is_right) in [
            ("x".repeat(200), true),
            ("x".repeat(201), false),
            (String::new(), false),
            (" \n".to_owned(), false),
        ] {
            let field = reason(text.clone()).err().map(|error| error.field);
            assert_eq!(field.as_deref(), (!is_right).then_some("reason"), "{text}");
        }
        let walk = |batch: &str, cursor: &str| {
            let change = Change::Revoke("wrong".into());
            walk("t".into(), Some(batch.into()), Some(cursor.into()), change)
        };
        assert!(walk("b", "3.20500.7.7").is_ok());
        for (batch, cursor, named) in [("B", "3.20500.7", "batch"), ("b", "x", "cursor")] {
            assert_eq!(walk(batch, cursor).unwrap_err().field, named);
        }
        let now = UnixMillis(5);
        let number = OrderNumber::parse("n", "").unwrap();
        for (until, is_right) in [
            (5, false),
            (6, true),
            (5 + EXTENDED_DAYS_MAX * DAY_MS, true),
            (6 + EXTENDED_DAYS_MAX * DAY_MS, false),
        ] {
            let until = UnixMillis(until);
            let change = Change::Extend(until);
            let of_many = Walk { template: "t".into(), batch: None, change, cursor: None };
            let of_one = Command::Extend(UserId(7), number.clone(), until);
            for command in [of_one, Command::Walk(of_many)] {
                let field = check_times(&command, now).err().map(|error| error.field);
                assert_eq!(field.as_deref(), (!is_right).then_some("valid_until"), "{command:?}");
            }
        }
        let negative = Cart { amount: Some(-1), currency: None };
        let error = redemption("A".into(), None, negative).unwrap_err();
        assert_eq!(error.field, "order_amount");
    }

    /// serde tells the place of an error only if it is met on the spot: no type of ours may find it
    /// later, or the answer names another field, or none.
    #[test]
    fn a_wrong_value_is_named_wherever_it_stands() {
        let wrong = [
            ("activity", json!(7)),
            ("kind", json!("free")),
            ("value", json!("x")),
            ("threshold", json!(1.5)),
            ("currency", json!("cny")),
            ("stock", json!("-1")),
            ("budget", json!(true)),
            ("limit_per_user", json!(-1)),
            ("claim_from", json!("yesterday")),
            ("valid_until", json!(7)),
            ("low_water_percent", json!(1_000)),
            ("new_users_only", json!(0)),
            ("segments", json!("gold")),
            ("single_cap", json!("9007199254740992")),
        ];
        for (field, value) in wrong {
            let mut rest = body();
            rest.as_object_mut().unwrap().remove(field);
            let rest = rest.to_string();
            let rest = rest.trim_start_matches('{').trim_end_matches('}');
            for text in [
                format!(r#"{{"{field}": {value}, {rest}}}"#),
                format!(r#"{{{rest}, "{field}": {value}}}"#),
                format!("{{\n{rest},\n\"{field}\":\n{value}\n}}"),
            ] {
                let problem = parse_object::<Template>(text.as_bytes()).unwrap_err();
                let is = (problem.code, problem.field.as_deref());
                assert_eq!(is, ("invalid_value", Some(field)), "{text}: {problem:?}");
            }
        }
    }
}

//! Wire -> typed commands. Whatever can be refused without the store is refused here.

use std::borrow::Cow;

use domain::error::InvalidInput;
use domain::ids::{IdInput, UserId};
use domain::integer::Count;
use domain::money::{Amount, Currency};
use domain::order_number::{OrderNumber, Part};
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::OrderedAt;
use domain::time::UnixMillis;
use edge::{Call, Problem};
use litemap::LiteMap;
use pricing::activity::{Activity, TIMES_MAX};
use pricing::cart::{Cart, Context, KEY_BYTES_MAX, Line};
#[cfg(not(target_arch = "wasm32"))]
use pricing::cart::{Key, LINES_MAX};
use serde::Deserialize;

use crate::Operation;
use crate::prices::Change;
use crate::publish::Which;
use crate::purchase::Use;
use crate::records::Rollout;

/// SKUs of one part of a list: as many as one commit changes in the index.
pub const SKUS_MAX: usize = 1_000;
/// Changes of prices in one batch.
pub const CHANGES_MAX: usize = 1_000;
/// Items whose labels one request asks for: a page of a shop.
pub const ITEMS_MAX: usize = 100;
/// Units that one order uses.
pub const USES_MAX: usize = 500;
/// Users by whom a draft is tried by name.
pub const USERS_MAX: usize = 500;

/// A cart that is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Cart"))]
pub(crate) struct EvaluateBody<'a> {
    user: Option<IdInput>,
    currency: Currency,
    #[serde(borrow, default)]
    context: Context<'a>,
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = LINES_MAX)))]
    lines: Vec<Line<'a>>,
}

/// Items that pages show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct LabelsBody<'a> {
    user: Option<IdInput>,
    currency: Currency,
    #[serde(borrow, default)]
    context: Context<'a>,
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = ITEMS_MAX)))]
    items: Vec<ItemBody<'a>>,
}

/// An item. A key that is left out or empty is not known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct ItemBody<'a> {
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Key"))]
    sku: Cow<'a, str>,
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    spu: Cow<'a, str>,
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    shop: Cow<'a, str>,
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    brand: Cow<'a, str>,
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    category: Cow<'a, str>,
    /// The stored one, where none is given.
    unit_price: Option<Amount>,
}

/// A part of a list of SKUs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PartBody {
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(length(min = 1, max = SKUS_MAX), with = "Vec<Key>")
    )]
    skus: Vec<String>,
}

/// A draft that is to be live.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PublishBody {
    /// Of the draft.
    version: Count,
}

/// For whom a draft holds. The same users for all activities; who is in at 5 % is in at 10 %.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct RolloutBody {
    /// Of all users.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = 100)))]
    percent: u8,
    /// By name.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = USERS_MAX)))]
    users: Vec<IdInput>,
}

/// Changes of prices and stock states.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PricesBody {
    currency: Currency,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = CHANGES_MAX)))]
    changes: Vec<ChangeBody>,
}

/// A change of a SKU: of its price, its stock state or both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct ChangeBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Key"))]
    sku: String,
    unit_price: Option<Amount>,
    in_stock: Option<bool>,
    changed_at: UnixMillis,
}

/// Uses that an order takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct TakeBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderNumber>"))]
    order_number: Option<String>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = USES_MAX)))]
    uses: Vec<UseBody>,
}

/// What is said of an order that gives back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct GiveBackBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<OrderedAt>"))]
    ordered_at: Option<UnixMillis>,
}

/// Uses of an activity.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct UseBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: String,
    /// Of the unit, where the activity counts `by_unit`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Key>"))]
    key: Option<String>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = TIMES_MAX)))]
    uses: u32,
}

/// A command, valid as far as it can be told without the store.
#[derive(Debug)]
pub enum Command<'a> {
    /// Save an activity: as a draft, or to be live at once.
    Save(Box<Activity>, Which),
    /// Look at an activity.
    Look(String, Which),
    /// Take an activity, or its draft, away.
    Withdraw(String, Which),
    /// Send a part of the list of SKUs of a draft.
    AddPart(String, u32, Vec<String>),
    /// Make a version of a draft live.
    Publish(String, u64),
    /// Say for whom a draft holds.
    RollOut(String, Rollout),
    /// Evaluate a cart.
    Evaluate(Option<UserId>, Cart<'a>),
    /// Compare live with drafts.
    Compare(Option<UserId>, Cart<'a>),
    /// What pages show of items, and of which of them the price is given.
    Labels(Option<UserId>, Cart<'a>, Vec<bool>),
    /// Change prices and stock states.
    ChangePrices(Currency, Vec<Change>),
    /// Take uses for an order, which was ordered at that moment.
    Take(UserId, OrderNumber, Vec<Use>, Option<UnixMillis>),
    /// What did an order take?
    LookAtOrder(UserId, OrderNumber),
    /// Give back what an order took, which was ordered at that moment.
    GiveBack(UserId, OrderNumber, Option<UnixMillis>),
    /// Take out of the index what nobody needs, undo what was abandoned.
    Sweep,
}

impl Command<'_> {
    /// Where a cart says no moment, it means this one.
    pub fn at_present(&mut self, now: UnixMillis) {
        if let Self::Evaluate(_, cart) | Self::Compare(_, cart) | Self::Labels(_, cart, _) = self {
            cart.context.at.get_or_insert(now);
        }
    }
}

/// Reads a command.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn command(operation: Operation, call: &Call) -> Result<Command<'_>, Problem> {
    Ok(match operation {
        Operation::Save => {
            let which = which(call)?;
            Command::Save(Box::new(activity(call)?), which)
        }
        Operation::Look => Command::Look(id(call)?, which(call)?),
        Operation::Withdraw => Command::Withdraw(id(call)?, which(call)?),
        Operation::AddPart => {
            let (part, skus) = part(call)?;
            Command::AddPart(id(call)?, part, skus)
        }
        Operation::Publish => {
            let body: PublishBody = call.json()?;
            Command::Publish(id(call)?, body.version.get().unsigned_abs())
        }
        Operation::RollOut => Command::RollOut(id(call)?, rollout(call)?),
        Operation::Evaluate => {
            let (user, cart) = cart(call)?;
            Command::Evaluate(user, cart)
        }
        Operation::Compare => {
            let (user, cart) = cart(call)?;
            Command::Compare(user, cart)
        }
        Operation::Labels => labels(call)?,
        Operation::ChangePrices => changes(call)?,
        Operation::Take => take(call)?,
        Operation::LookAtOrder => Command::LookAtOrder(user(call)?, order_number(call)?),
        Operation::GiveBack => {
            let body = if call.body.is_empty() { GiveBackBody::default() } else { call.json()? };
            Command::GiveBack(user(call)?, order_number(call)?, body.ordered_at)
        }
        Operation::Sweep => Command::Sweep,
    })
}

/// One parameter of the route.
fn parameter(call: &Call, index: usize) -> &str {
    call.parameters.get(index).map(String::as_str).unwrap_or_default()
}

fn id(call: &Call) -> Result<String, InvalidInput> {
    Ok(Part::parse(parameter(call, 0), "activity")?.as_str().to_owned())
}

fn user(call: &Call) -> Result<UserId, InvalidInput> {
    UserId::parse(parameter(call, 0), "user")
}

fn order_number(call: &Call) -> Result<OrderNumber, InvalidInput> {
    OrderNumber::parse(parameter(call, 1), "order_number")
}

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> InvalidInput {
    InvalidInput::new("invalid_value", field, detail)
}

/// A list of 1 to `most`.
fn check_length(length: usize, most: usize, field: &str) -> Result<(), InvalidInput> {
    match length {
        0 => Err(wrong(field, "must have at least 1")),
        _ if length > most => {
            Err(InvalidInput::new("too_many", field, format!("must be at most {most}")))
        }
        _ => Ok(()),
    }
}

fn check_key(key: &str, field: impl Fn() -> String) -> Result<(), InvalidInput> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.contains(char::is_control) {
        return Ok(());
    }
    let detail = format!("must have 1 to {KEY_BYTES_MAX} bytes, and no control characters");
    Err(wrong(field(), detail))
}

/// `?draft=true`
fn which(call: &Call) -> Result<Which, Problem> {
    let [draft] = call.query(["draft"])?;
    match draft.as_deref() {
        None | Some("false") => Ok(Which::Live),
        Some("true") => Ok(Which::Draft),
        Some(_) => Err(wrong("draft", "must be true or false").into()),
    }
}

/// `PUT /v1/activities/{activity}`
fn activity(call: &Call) -> Result<Activity, Problem> {
    let id = id(call)?;
    let mut activity: Activity = call.json()?;
    if activity.id.is_empty() {
        activity.id = id;
    } else if activity.id != id {
        return Err(wrong("id", "must be that of the route, or be left out").into());
    }
    activity.validate()?;
    Ok(activity)
}

/// `PUT /v1/activities/{activity}/sku-list/{part}`
fn part(call: &Call) -> Result<(u32, Vec<String>), Problem> {
    let part = parameter(call, 1).parse().ok().filter(|part: &u32| *part > 0);
    let part = part.ok_or_else(|| wrong("part", "must be a number from 1 on"))?;
    let PartBody { skus } = call.json()?;
    check_length(skus.len(), SKUS_MAX, "skus")?;
    for (index, sku) in skus.iter().enumerate() {
        check_key(sku, || format!("skus[{index}]"))?;
    }
    Ok((part, set(skus)))
}

/// Sorted, each once: by insertion, because a sort of its own is 8 kB in the component.
fn set<T: Ord>(items: Vec<T>) -> Vec<T> {
    let set: LiteMap<T, ()> = items.into_iter().map(|item| (item, ())).collect();
    set.into_iter().map(|(item, ())| item).collect()
}

/// `PUT /v1/activities/{activity}/rollout`
fn rollout(call: &Call) -> Result<Rollout, Problem> {
    let RolloutBody { percent, users } = call.json()?;
    if percent > 100 {
        return Err(wrong("percent", "must be 0 to 100").into());
    }
    if users.len() > USERS_MAX {
        let detail = format!("must be at most {USERS_MAX}");
        return Err(InvalidInput::new("too_many", "users", detail).into());
    }
    let users = users.iter().enumerate();
    let users = users.map(|(index, id)| Ok(id.user(|| format!("users[{index}]"))?.0));
    let users = users.collect::<Result<Vec<u64>, InvalidInput>>()?;
    Ok(Rollout { percent, users: set(users) })
}

fn user_of(user: Option<IdInput>) -> Result<Option<UserId>, InvalidInput> {
    user.map(|id| id.user(|| "user".to_owned())).transpose()
}

/// `POST /v1/promotions/evaluate`, `POST /v1/promotions/compare`
fn cart(call: &Call) -> Result<(Option<UserId>, Cart<'_>), Problem> {
    let EvaluateBody { user, currency, context, lines } = call.json()?;
    let cart = checked(Cart { currency, context, lines })?;
    Ok((user_of(user)?, cart))
}

/// A cart that can be counted. It need not say a moment: the present is meant, which the store tells.
///
/// # Errors
/// As [`Cart::check`].
pub fn checked(mut cart: Cart<'_>) -> Result<Cart<'_>, InvalidInput> {
    let at = cart.context.at;
    cart.context.at = Some(at.unwrap_or_default());
    cart.check()?;
    cart.context.at = at;
    Ok(cart)
}

/// `POST /v1/promotions/labels`
fn labels(call: &Call) -> Result<Command<'_>, Problem> {
    let LabelsBody { user, currency, context, items } = call.json()?;
    check_length(items.len(), ITEMS_MAX, "items")?;
    let has_price = items.iter().map(|item| item.unit_price.is_some()).collect();
    let line = |(index, item): (usize, ItemBody<'_>)| Line {
        line: Cow::Owned(index.to_string()),
        sku: Cow::Owned(item.sku.into_owned()),
        spu: Cow::Owned(item.spu.into_owned()),
        shop: Cow::Owned(item.shop.into_owned()),
        brand: Cow::Owned(item.brand.into_owned()),
        category: Cow::Owned(item.category.into_owned()),
        quantity: 1,
        unit_price: item.unit_price.unwrap_or_default(),
    };
    let lines = items.into_iter().enumerate().map(line).collect();
    let cart = Cart { currency, context, lines };
    let cart = checked(cart).map_err(crate::labels::of_items)?;
    Ok(Command::Labels(user_of(user)?, cart, has_price))
}

/// `POST /v1/prices`
fn changes(call: &Call) -> Result<Command<'_>, Problem> {
    let PricesBody { currency, changes } = call.json()?;
    check_length(changes.len(), CHANGES_MAX, "changes")?;
    for (index, change) in changes.iter().enumerate() {
        let field = |name: &str| format!("changes[{index}].{name}");
        check_key(&change.sku, || field("sku"))?;
        if change.unit_price.is_some_and(|price| price.minor_units() < 0) {
            return Err(wrong(field("unit_price"), "must not be negative").into());
        }
        if change.unit_price.is_none() && change.in_stock.is_none() {
            return Err(wrong(format!("changes[{index}]"), "must change something").into());
        }
    }
    let change = |ChangeBody { sku, unit_price, in_stock, changed_at }| Change {
        sku,
        unit_price,
        in_stock,
        changed_at,
    };
    Ok(Command::ChangePrices(currency, changes.into_iter().map(change).collect()))
}

/// `POST /v1/users/{user}/purchases`
fn take(call: &Call) -> Result<Command<'_>, Problem> {
    let TakeBody { order_number, ordered_at, uses } = call.json()?;
    let (text, field) = match order_number {
        Some(text) => (Some(text), "order_number"),
        None => (call.headers.text("idempotency-key"), "idempotency-key"),
    };
    let missing = || {
        let detail = "an order_number, or a header Idempotency-Key, is required";
        Problem::malformed("missing_field", detail).about("order_number")
    };
    let number = OrderNumber::parse(&text.ok_or_else(missing)?, field)?;
    let one = |UseBody { activity, key, uses }| Use { activity, key, uses };
    let uses: Vec<Use> = uses.into_iter().map(one).collect();
    check_uses(&uses)?;
    Ok(Command::Take(user(call)?, number, uses, ordered_at))
}

/// Checks the uses that an order asks for.
///
/// # Errors
/// `invalid_value`, `invalid_part`, `too_many`, naming the field.
pub fn check_uses(uses: &[Use]) -> Result<(), InvalidInput> {
    check_length(uses.len(), USES_MAX, "uses")?;
    for (index, one) in uses.iter().enumerate() {
        let field = |name: &str| format!("uses[{index}].{name}");
        Part::parse(&one.activity, &field("activity"))?;
        if let Some(key) = &one.key {
            check_key(key, || field("key"))?;
        }
        if !(1..=TIMES_MAX).contains(&one.uses) {
            return Err(wrong(field("uses"), format!("must be 1 to {TIMES_MAX}")));
        }
    }
    Ok(())
}

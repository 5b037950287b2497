//! Answers -> wire.

use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
use domain::order_number::OrderNumber;
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
use domain::time::UnixMillis;
#[cfg(not(target_arch = "wasm32"))]
use edge::contract::operation::AsTaken;
use edge::sweep::{self, Left};
use edge::{Answer, Problem};
use litemap::LiteMap;
use pricing::activity::Activity;
use pricing::evaluation::Evaluation;
use pricing::explain::Code;
use purchases::order::{Purchase, State};
use serde::Serialize;

use crate::labels::{Item, Label, Window};
#[cfg(not(target_arch = "wasm32"))]
use crate::parse::USERS_MAX;
use crate::prices::Tally;
use crate::publish::Published;
use crate::records::{Archived, Rollout};
use crate::{Done, Sweeps};

/// An activity, or its draft, and what there is beside it.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SavedActivity")
)]
pub(crate) struct PublishedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    version: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "AsTaken<Activity>"))]
    definition: &'a Activity,
    /// The version of the draft.
    draft: Option<Count>,
    rollout: RolloutBody,
    /// Parts that are there, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku_list: Option<PartsBody>,
    /// Versions that the index still knows.
    retiring: usize,
}

/// What is kept of an activity that was sealed.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "SealedActivity")
)]
pub(crate) struct ArchivedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    /// The last one that was given out.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    version: Option<Count>,
    sealed: SealedBody<'a>,
}

/// What an activity was.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct SealedBody<'a> {
    /// When it was sealed.
    at: UnixMillis,
    /// For operators; empty where it was withdrawn before.
    name: &'a str,
    /// From when on its last version applied; left out where it was withdrawn before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<UnixMillis>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<UnixMillis>,
}

/// A version of an activity.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct VersionBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    version: Option<Count>,
}

/// For whom the draft holds. The same users for all activities; who is in at 5 % is in at 10 %.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct RolloutBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = 100)))]
    percent: u8,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = USERS_MAX)))]
    users: Vec<UserId>,
}

/// Parts of a list of SKUs.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PartsBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    received: Option<Count>,
    parts: u32,
}

/// What pages show.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ItemsBody<'a> {
    items: Vec<ItemBody<'a>>,
}

/// What pages show of an item.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct ItemBody<'a> {
    sku: &'a str,
    unit_price: Option<Amount>,
    in_stock: Option<bool>,
    labels: Vec<LabelBody<'a>>,
    /// What one piece costs now and later; nothing where no price is known.
    windows: Vec<WindowBody<'a>>,
}

/// What an activity says of an item.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct LabelBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    labels: &'a [String],
    until: UnixMillis,
}

/// What one piece costs from one moment to another.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct WindowBody<'a> {
    from: UnixMillis,
    until: Option<UnixMillis>,
    price: Amount,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<Part<'_>>"))]
    activities: &'a [String],
}

/// What became of changes.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct TallyBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    applied: Option<Count>,
    /// Overtaken by others of the batch.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    merged: Option<Count>,
    /// Overtaken before.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    stale: Option<Count>,
}

/// What an order took.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "Purchase")
)]
pub(crate) struct PurchaseBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrderNumber"))]
    order_number: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["taking", "taken", "refused", "giving_back", "given_back"])))]
    state: &'static str,
    /// Of activities with limits.
    uses: Vec<UsedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

/// Uses of an activity.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct UsedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    /// Of the unit, where the activity counts `by_unit`.
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    uses: u32,
}

/// What a sweep did.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct SweptBody {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    activities: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    retiring: Option<Count>,
    /// Activities that are over for long with which a step was done: each takes some, hours apart. How long is said by
    /// `PUT /v1/retention`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    sealing: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    orders: Option<Count>,
    /// Items that are set aside, by this call or before, in the partitions that it looks at: somebody has to look at
    /// them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    quarantined: Option<Count>,
    #[serde(flatten)]
    left: Left,
}

/// Both evaluations, and where they differ.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ComparisonBody<'a> {
    live: &'a Evaluation<'a>,
    draft: &'a Evaluation<'a>,
    lines: Vec<LineDifference<'a>>,
    activities: Vec<ActivityDifference<'a>>,
}

/// A line that costs something else.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct LineDifference<'a> {
    line: &'a str,
    live: Amount,
    draft: Amount,
}

/// An activity of which something else became; null where it was not considered.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
struct ActivityDifference<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    activity: &'a str,
    live: Option<Code>,
    draft: Option<Code>,
}

/// Writes what came of a command.
///
/// # Errors
/// It cannot be written as JSON.
pub async fn done(done: &Done) -> Result<Answer, Problem> {
    match done {
        Done::Saved(activity, version) => {
            Answer::json(&VersionBody { activity, version: Count::new(*version) })
        }
        Done::Found(activity, published) => found(activity, published),
        Done::Sealed(activity, was) => archived(activity, was),
        Done::Withdrawn => Ok(Answer::no_content()),
        Done::Part(received, parts) => {
            Answer::json(&PartsBody { received: Count::new(*received), parts: *parts })
        }
        Done::Items(items) => Answer::json(&ItemsBody { items: items.iter().map(item).collect() }),
        Done::Prices(Tally { applied, merged, stale }) => Answer::json(&TallyBody {
            applied: Count::new(*applied),
            merged: Count::new(*merged),
            stale: Count::new(*stale),
        }),
        Done::Taken(number, purchase, replayed) => {
            let body = purchase_body(number, purchase, Some(*replayed));
            Ok(Answer::json_with(201, &body)?.replayed(*replayed))
        }
        Done::Order(number, purchase) => Answer::json(&purchase_body(number, purchase, None)),
        Done::Swept(sweeps) => swept(sweeps).await,
    }
}

async fn swept(sweeps: &Sweeps) -> Result<Answer, Problem> {
    let Sweeps { activities, retiring, sealing, orders, quarantined } = sweeps;
    let mut all = activities.clone();
    all.add(sealing.clone());
    all.add(orders.clone());
    Answer::json(&SweptBody {
        activities: Count::new(activities.done),
        retiring: Count::new(*retiring),
        sealing: Count::new(sealing.done),
        orders: Count::new(orders.done),
        quarantined: Count::new(*quarantined),
        left: sweep::left(&all).await,
    })
}

fn found(activity: &str, published: &Published) -> Result<Answer, Problem> {
    let (received, parts) = published.parts;
    let Rollout { percent, users } = &published.rollout;
    Answer::json(&PublishedBody {
        activity,
        version: Count::new(published.version),
        definition: &published.definition,
        draft: published.draft.and_then(Count::new),
        rollout: RolloutBody {
            percent: *percent,
            users: users.iter().map(|user| UserId(*user)).collect(),
        },
        sku_list: (parts > 0).then(|| PartsBody { received: Count::new(received), parts }),
        retiring: published.retiring,
    })
}

fn archived(activity: &str, was: &Archived) -> Result<Answer, Problem> {
    let Archived { name, version, window, sealed_at } = was;
    let (from, until) = window.map(|(from, until)| (UnixMillis(from), UnixMillis(until))).unzip();
    let sealed = SealedBody { at: UnixMillis(*sealed_at), name, from, until };
    Answer::json(&ArchivedBody { activity, version: Count::new(*version), sealed })
}

fn item(item: &Item) -> ItemBody<'_> {
    ItemBody {
        sku: &item.sku,
        unit_price: item.unit_price,
        in_stock: item.in_stock,
        labels: item.labels.iter().map(label).collect(),
        windows: item.windows.iter().map(window).collect(),
    }
}

fn label(Label { activity, labels, until }: &Label) -> LabelBody<'_> {
    LabelBody { activity, labels, until: *until }
}

fn window(Window { from, until, price, activities }: &Window) -> WindowBody<'_> {
    WindowBody { from: *from, until: *until, price: *price, activities }
}

fn purchase_body<'a>(
    number: &'a OrderNumber,
    purchase: &'a Purchase,
    replayed: Option<bool>,
) -> PurchaseBody<'a> {
    let used = purchase.uses.iter();
    PurchaseBody {
        order_number: number.as_str(),
        state: state(purchase.state),
        uses: used
            .map(|used| UsedBody { activity: &used.activity, key: &used.unit, uses: used.uses })
            .collect(),
        replayed,
    }
}

/// How far an order is, in a word.
pub fn state(state: State) -> &'static str {
    match state {
        State::Taking => "taking",
        State::Taken | State::Kept(_) => "taken",
        State::Undoing(_) | State::Refused => "refused",
        State::GivingBack => "giving_back",
        State::GivenBack => "given_back",
    }
}

/// Writes an evaluation.
///
/// # Errors
/// It cannot be written as JSON.
pub fn evaluation(evaluation: &Evaluation<'_>) -> Result<Answer, Problem> {
    Answer::json(evaluation)
}

/// Writes two evaluations of the same cart and where they differ.
///
/// # Errors
/// They cannot be written as JSON.
pub fn comparison(live: &Evaluation<'_>, draft: &Evaluation<'_>) -> Result<Answer, Problem> {
    // Both have all lines, by id.
    let lines =
        live.lines.iter().zip(&draft.lines).filter(|(live, draft)| live.total != draft.total);
    let lines = lines
        .map(|(live, draft)| LineDifference {
            line: live.line,
            live: live.total,
            draft: draft.total,
        })
        .collect();
    let considered = live.explanations.iter().chain(&draft.explanations);
    let names: LiteMap<&str, ()> = considered.map(|one| (one.activity, ())).collect();
    let code = |evaluation: &Evaluation<'_>, activity: &str| {
        evaluation.explanations.iter().find(|one| one.activity == activity).map(|one| one.code)
    };
    let differences = names.keys().copied().map(|activity| ActivityDifference {
        activity,
        live: code(live, activity),
        draft: code(draft, activity),
    });
    let activities = differences.filter(|one| one.live != one.draft).collect();
    Answer::json(&ComparisonBody { live, draft, lines, activities })
}

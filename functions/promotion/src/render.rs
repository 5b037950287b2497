//! Answers -> wire.

use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::sweep::{self, Left};
use edge::{Answer, Problem};
use litemap::LiteMap;
use pricing::activity::Activity;
use pricing::evaluation::Evaluation;
use pricing::explain::Code;
use purchases::order::{Purchase, State};
use serde::Serialize;

use crate::labels::{Item, Label, Window};
use crate::prices::Tally;
use crate::publish::Published;
use crate::records::{Archived, Rollout};
use crate::{Done, Sweeps};

#[derive(Serialize)]
struct PublishedBody<'a> {
    activity: &'a str,
    version: Option<Count>,
    definition: &'a Activity,
    draft: Option<Count>,
    rollout: RolloutBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku_list: Option<PartsBody>,
    retiring: usize,
}

#[derive(Serialize)]
struct ArchivedBody<'a> {
    activity: &'a str,
    version: Option<Count>,
    sealed: SealedBody<'a>,
}

#[derive(Serialize)]
struct SealedBody<'a> {
    at: UnixMillis,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<UnixMillis>,
}

#[derive(Serialize)]
struct VersionBody<'a> {
    activity: &'a str,
    version: Option<Count>,
}

#[derive(Serialize)]
struct RolloutBody {
    percent: u8,
    users: Vec<UserId>,
}

#[derive(Serialize)]
struct PartsBody {
    received: Option<Count>,
    parts: u32,
}

#[derive(Serialize)]
struct ItemsBody<'a> {
    items: Vec<ItemBody<'a>>,
}

#[derive(Serialize)]
struct ItemBody<'a> {
    sku: &'a str,
    unit_price: Option<Amount>,
    in_stock: Option<bool>,
    labels: Vec<LabelBody<'a>>,
    windows: Vec<WindowBody<'a>>,
}

#[derive(Serialize)]
struct LabelBody<'a> {
    activity: &'a str,
    labels: &'a [String],
    until: UnixMillis,
}

#[derive(Serialize)]
struct WindowBody<'a> {
    from: UnixMillis,
    until: Option<UnixMillis>,
    price: Amount,
    activities: &'a [String],
}

#[derive(Serialize)]
struct TallyBody {
    applied: Option<Count>,
    merged: Option<Count>,
    stale: Option<Count>,
}

#[derive(Serialize)]
struct PurchaseBody<'a> {
    order_number: &'a str,
    state: &'static str,
    uses: Vec<UsedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

#[derive(Serialize)]
struct UsedBody<'a> {
    activity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    uses: u32,
}

#[derive(Serialize)]
struct SweptBody {
    activities: Option<Count>,
    retiring: Option<Count>,
    sealing: Option<Count>,
    orders: Option<Count>,
    quarantined: Option<Count>,
    #[serde(flatten)]
    left: Left,
}

/// Both evaluations, and where they differ.
#[derive(Serialize)]
struct ComparisonBody<'a> {
    live: &'a Evaluation<'a>,
    draft: &'a Evaluation<'a>,
    lines: Vec<LineDifference<'a>>,
    activities: Vec<ActivityDifference<'a>>,
}

#[derive(Serialize)]
struct LineDifference<'a> {
    line: &'a str,
    live: Amount,
    draft: Amount,
}

/// `null` where the activity was not considered.
#[derive(Serialize)]
struct ActivityDifference<'a> {
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

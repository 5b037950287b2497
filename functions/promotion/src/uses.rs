//! How often activities may still be used: what purchase limits leave, as the store counts it.

use std::convert::Infallible;

use domain::answers::{fields, integer, unexpected};
use domain::ids::UserId;
use domain::paid::PaidMark;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Read};
use litemap::LiteMap;
use pricing::activity::{Activity, Counted, Limits};
use pricing::cart::Cart;
use purchases::records as taken;
use store::{Binding, Plan};

use crate::catalogue::Candidate;
use crate::context::Context;

/// Units that one request asks about: more of them have no bound that one wave could bear.
const UNITS_MAX: usize = 1_000;

/// What the store says about a customer and the limits of some activities.
#[derive(Debug, Default)]
pub struct Facts {
    /// Whether the user has no paid order yet, where that was asked.
    pub is_new: Option<bool>,
    left: Left,
}

/// How often the units of activities may still use them.
type Left = LiteMap<(String, String), u64>;

impl Facts {
    /// How often the unit with this key may use an activity; `None`: the whole activity.
    pub fn uses_left(&self, activity: &Activity, unit: Option<&str>) -> u64 {
        let unit = unit.unwrap_or_default();
        let order = |(of, key): &(String, String)| (&**of, &**key).cmp(&(&*activity.id, unit));
        // What was not read was too much to be read: nothing is left, and nothing given too often.
        self.left.get_by(order).copied().unwrap_or(0)
    }
}

/// The units of an activity's limits in a cart: one without a name where they are counted together.
fn units<'a>(
    activity: &'a Activity,
    limits: Limits,
    selected: &[bool],
    cart: &'a Cart<'_>,
) -> Vec<&'a str> {
    let kind = match (limits.counted, activity.scope.kind()) {
        (Counted::ByActivity, _) => return vec![""],
        (Counted::ByUnit, None) => return vec![&activity.id],
        (Counted::ByUnit, Some(kind)) => kind,
    };
    let lines = cart.lines.iter().zip(selected).filter(|(_, selected)| **selected);
    // By insertion: a sort of its own is 8 kB in the component.
    let keys = lines.map(|(line, _)| (line.key(kind), ())).filter(|(key, ())| !key.is_empty());
    let units: LiteMap<&str, ()> = keys.collect();
    units.into_iter().map(|(key, ())| key).collect()
}

/// What is to be asked about one activity.
struct Question<'a> {
    activity: &'a Activity,
    limits: Limits,
    units: Vec<&'a str>,
}

/// Reads what evaluating these candidates needs of the store, all at once; nothing where none has limits
/// or asks whether a user is new.
///
/// # Errors
/// The store's.
pub async fn facts<B: Binding>(
    context: &Context<'_, B>,
    user: Option<UserId>,
    candidates: &[Candidate],
    cart: &Cart<'_>,
) -> Result<Facts, CommitError> {
    let mut questions = Vec::new();
    let mut asks_new = false;
    let mut count = 0;
    for candidate in candidates {
        let Some(activity) = candidate.activity() else { continue };
        asks_new |= activity.dimensions.new_users_only;
        let Some(limits) = activity.limits else { continue };
        let units = units(activity, limits, candidate.selected(), cart);
        count += units.len();
        if count <= UNITS_MAX && !units.is_empty() {
            questions.push(Question { activity, limits, units });
        }
    }
    let mut plans: Vec<(Partition, Plan<Infallible>)> = Vec::new();
    if let Some(user) = user {
        let mut reads = Vec::new();
        if asks_new {
            reads.push(PaidMark::of(user, context.partitions).read());
        }
        let of_user = questions.iter().filter(|one| one.limits.per_user.is_some());
        let units = of_user.flat_map(|one| one.units.iter().map(|unit| (one.activity, *unit)));
        let units: Vec<_> =
            units.map(|(activity, unit)| taken::unit_of(&activity.id, unit)).collect();
        if !units.is_empty() {
            reads.push(Read::Fields(taken::user(user), units));
        }
        if !reads.is_empty() {
            plans.push((context.home(user), reading(reads)));
        }
    }
    let has_user = !plans.is_empty();
    for one in questions.iter().filter(|one| one.limits.total.is_some()) {
        let units = one.units.iter().map(|unit| taken::unit(unit)).collect();
        let reads = vec![Read::Fields(taken::stock(&one.activity.id), units)];
        let partition = taken::stock_of(context.partitions, &one.activity.id);
        plans.push((partition, reading(reads)));
    }
    if plans.is_empty() {
        return Ok(Facts { is_new: None, left: left(&questions, &[], &mut [].into_iter())? });
    }
    let decided = context.commit_all(plans).await?.into_iter();
    let mut answers = decided.map(|decided| decided.unwrap_or_else(|refused| match refused.why {}));
    let mut of_user = if has_user { answers.next().unwrap_or_default() } else { vec![] };
    let mut is_new = None;
    if asks_new
        && has_user
        && let Answer::Contains(has_paid) = of_user.remove(0)
    {
        is_new = Some(!has_paid);
    }
    Ok(Facts { is_new, left: left(&questions, &of_user, &mut answers)? })
}

/// Only reads: there is nothing that could refuse it.
fn reading(reads: Vec<Read>) -> Plan<Infallible> {
    let mut plan = Plan::new();
    plan.read_all(reads);
    plan
}

/// The answers as what is left: the smaller of what the user and what all users may still use.
fn left(
    questions: &[Question<'_>],
    of_user: &[Answer],
    totals: &mut dyn Iterator<Item = Vec<Answer>>,
) -> Result<Left, CommitError> {
    let of_user = match of_user.first() {
        Some(answer) => fields(Some(answer))?,
        None => &[],
    };
    let mut of_user = of_user.iter();
    let mut left = Left::new();
    for one in questions {
        let totals = match one.limits.total {
            Some(_) => totals.next().ok_or_else(unexpected)?,
            None => vec![],
        };
        let mut totals = match totals.first() {
            Some(answer) => fields(Some(answer))?.iter(),
            None => [].iter(),
        };
        for unit in &one.units {
            let mut uses = u64::MAX;
            let mut bound = |limit: i64, used: i64| uses = uses.min((limit - used).max(0) as u64);
            if let Some(limit) = one.limits.per_user {
                // Of a user who is not known nothing was counted.
                bound(limit.into(), integer(of_user.next().and_then(Option::as_ref))?);
            }
            if let Some(limit) = one.limits.total {
                bound(limit.get(), integer(totals.next().and_then(Option::as_ref))?);
            }
            left.insert((one.activity.id.clone(), (*unit).to_owned()), uses);
        }
    }
    Ok(left)
}

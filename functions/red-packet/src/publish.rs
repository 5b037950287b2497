//! Setting rains up, and what is left of their budgets.

use domain::answers::{fields, integer, unexpected};
use domain::time::GRACE_MS;
use domain::transaction::{CommitError, Field, Guard, Read, Value, Write};
use edge::store::Binding;
use lease::{FREE, Lease, call_back_all, forget_sold_out};
use store::{Plan, attempts};
use wallet::context::Context;
use wallet::limits::{LATEST_END, latest_end};
use wallet::rain::{self, BODY, Rain, SECRET, Secret, VERSION};

use crate::rains::{Published, published};
use crate::refusal::{Failure, Refusal};

/// How often somebody else may publish in between, until the operator is told.
const CHANGES_MAX: u32 = 4;

/// What became of a budget. The parts add up to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// All cents.
    pub total: i64,
    /// Given.
    pub granted: i64,
    /// In the partitions, or on the way between them and the pool.
    pub leased: i64,
    /// In the pool.
    pub remaining: i64,
}

struct Pool {
    published: Published,
    free: i64,
    /// The latest end that a version with limits may have.
    latest_end: Option<i64>,
}

async fn read_pool<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Pool>, CommitError> {
    let names = [BODY, VERSION, SECRET, FREE, LATEST_END].map(Field::from).to_vec();
    let place = rain::place(context.partitions, id);
    let answers = context.read(place.partition, vec![Read::Fields(place.pool, names)]).await?;
    let Some(published) = published(answers.first())? else { return Ok(None) };
    let field = |place: usize| {
        fields(answers.first()).map(|fields| fields.get(place).and_then(Option::as_ref))
    };
    let free = integer(field(3)?)?;
    let latest_end = field(4)?.map(|end| integer(Some(end))).transpose()?;
    Ok(Some(Pool { published, free, latest_end }))
}

/// Publishes a valid rain: its first version, or another one. The same again is the same version.
///
/// The pool decides; the notice follows, and never goes back to an older version. Whoever was told
/// nothing publishes again.
///
/// # Errors
/// `field_fixed`, `scene_taken`, `budget_in_use`, `limits_end`, `published_meanwhile`; or the store's.
pub async fn publish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    rain: &Rain,
    random: Secret,
) -> Result<i64, Failure> {
    let (mut called_back, mut changes) = (false, 0);
    attempts("publish a rain", async || {
        let before = read_pool(context, id).await?;
        match &before {
            None => claim(context, id, rain).await?,
            Some(before) if before.published.rain == *rain => {
                let Published { version, secret, .. } = before.published;
                return put_up(context, id, version, &secret, rain).await.map(Some);
            }
            Some(before) => {
                if let Some(fixed) = before.published.rain.fixed_field(rain) {
                    return Err(Refusal::FieldFixed(fixed).into());
                }
            }
        }
        let latest = before.as_ref().and_then(|before| before.latest_end);
        if rain.limits.is_some() && latest.is_some_and(|latest| rain.until().0 > latest) {
            return Err(Refusal::LimitsEnd.into());
        }
        let secret = before.as_ref().map_or(random, |before| before.published.secret);
        let version = before.as_ref().map_or(1, |before| before.published.version + 1);
        let place = rain::place(context.partitions, id);
        let field = |name: &str| (place.pool.clone(), Field::from(name));
        let (record, name) = field(VERSION);
        let old = before.as_ref().map_or(0, |before| before.published.rain.budget.minor_units());
        let more = rain.budget.minor_units() - old;
        let mut plan = Plan::new();
        let unchanged = match &before {
            None => Guard::FieldAbsent(record, name),
            Some(_) => Guard::FieldEquals(record, name, Value::Integer(version - 1)),
        };
        plan.demand(Why::Changed, unchanged);
        if more < 0 {
            let (record, name) = field(FREE);
            plan.demand(Why::InUse, Guard::IntegerAtLeast(record, name, -more));
        }
        plan.write_all(versions(&place.pool, version, &secret, rain)?);
        let (record, name) = field(FREE);
        plan.write(Write::Add(record, name, more));
        // What is over gives nothing, and counts nothing.
        if rain.limits.is_some() && rain.until().0.saturating_add(GRACE_MS) > context.now.0 {
            let latest = Value::Integer(latest_end(latest, rain.until()));
            let (record, name) = field(LATEST_END);
            plan.write(Write::Set(record, name, latest));
        }
        let Err(refused) = context.commit(place.partition, plan).await? else {
            let version = put_up(context, id, version, &secret, rain).await?;
            if before.is_some() && more > 0 {
                forget_sold_out(context, &place).await;
            }
            return Ok(Some(version));
        };
        if refused.why == Why::InUse {
            if called_back {
                return Err(Refusal::BudgetInUse.into());
            }
            // What partitions have left is not given yet.
            call_back_all(context, &place).await?;
            called_back = true;
            return Ok(None);
        }
        changes += 1;
        if changes < CHANGES_MAX { Ok(None) } else { Err(Refusal::PublishedMeanwhile.into()) }
    })
    .await
}

/// Why a version is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody else published.
    Changed,
    /// More is given or leased than the budget would have.
    InUse,
}

/// An activity and a scene are one rain's: the ledger knows a campaign by them.
async fn claim<B: Binding>(context: &Context<'_, B>, id: &str, rain: &Rain) -> Result<(), Failure> {
    let Rain { activity, scene, .. } = rain;
    let (record, field) = (rain::claim(activity, scene), Field::from("rain"));
    let mine = Value::Bytes(id.as_bytes().to_vec());
    let mut plan = Plan::new();
    plan.demand((), Guard::FieldAbsent(record.clone(), field.clone()));
    plan.write(Write::Set(record, field, mine.clone()));
    let home = rain::home_of_claim(context.partitions, activity, scene);
    match context.commit(home, plan).await? {
        Err(refused) if refused.field()? != Some(&mine) => Err(Refusal::SceneTaken.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Puts up the notice of a version, unless a later one is up, and lists the rain.
async fn put_up<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: i64,
    secret: &Secret,
    rain: &Rain,
) -> Result<i64, Failure> {
    let list = [
        Write::AddMember(rain::all(), rain::listed(id, rain)),
        rain::OVER.add(rain.until(), id.as_bytes()),
    ];
    context.write(rain::home_of_all(context.partitions), list).await?;
    let record = rain::notice(id);
    let mut plan = Plan::new();
    // A later version is up where this is refused.
    plan.demand((), Guard::IntegerAtMost(record.clone(), VERSION.into(), version - 1));
    plan.write_all(versions(&record, version, secret, rain)?);
    context.commit(rain::home_of_notice(context.partitions, id), plan).await?.ok();
    Ok(version)
}

/// What pool and notice both keep.
fn versions(
    record: &domain::transaction::MapKey,
    version: i64,
    secret: &Secret,
    rain: &Rain,
) -> Result<Vec<Write>, CommitError> {
    let body = serde_json::to_vec(rain)
        .map_err(|error| CommitError::Unreadable(format!("a rain cannot be written: {error}")))?;
    let values = [
        (BODY, Value::Bytes(body)),
        (VERSION, Value::Integer(version)),
        (SECRET, Value::Bytes(secret.to_vec())),
    ];
    let set = |(name, value): (&str, Value)| Write::Set(record.clone(), name.into(), value);
    Ok(values.map(set).to_vec())
}

/// A version of a rain, and what became of its budget: a snapshot of each partition, one after the
/// other.
///
/// # Errors
/// `unknown_rain`; or the store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<(i64, Rain, Budget), Failure> {
    let reads = context.partitions.all().map(|one| (one, Lease::read(rain::lease(id)))).collect();
    let mut granted = 0;
    for answer in context.read_all(reads).await? {
        granted += Lease::answered(Some(&answer))?.issued();
    }
    // Afterwards, so that what was given in between counts as leased and not as missing.
    let Pool { published, free, .. } = read_pool(context, id).await?.ok_or(Refusal::UnknownRain)?;
    let total = published.rain.budget.minor_units();
    let leased = total - free - granted;
    let budget = Budget { total, granted, leased, remaining: free };
    if leased < 0 {
        return Err(unexpected().into());
    }
    Ok((published.version, published.rain, budget))
}

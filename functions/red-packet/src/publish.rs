//! Setting rains up, and what is left of their budgets.

use domain::answers::unexpected;
use domain::time::GRACE_MS;
use domain::transaction::{Guard, Value, Write};
use edge::store::Binding;
use lease::{FREE, Lease, call_back_all, forget_sold_out};
use store::published::{SETTLED, Version};
use store::sealed::Kind;
use store::{Plan, Seen, attempts};
use wallet::context::Context;
use wallet::limits::{LATEST_END, latest_end};
use wallet::rain::{self, Owner, Rain, Secret, Stored};
use wallet::seal::of_rain;

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

/// Why a version is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody else published.
    Changed,
    /// More is given or leased than the budget would have.
    InUse,
}

/// Publishes a valid rain: its first version, or another one. The same again is the same version.
///
/// # Errors
/// `sealed`, `field_fixed`, `scene_taken`, `budget_in_use`, `limits_end`, `published_meanwhile`; or the store's.
pub async fn publish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    rain: &Rain,
    random: Secret,
) -> Result<i64, Failure> {
    let publication = rain::publication(context.partitions, id);
    let place = rain::place(context.partitions, id);
    let (mut called_back, mut changes) = (false, 0);
    attempts("publish a rain", async || {
        // First, so that no name that is sealed takes a scene.
        if publication.sealing().is_sealed(context).await? {
            return Err(Refusal::Sealed.into());
        }
        let found = publication.find(context, [LATEST_END, SETTLED]).await?;
        let (before, latest, settled) =
            found.map_or((None, 0, 0), |(version, [end, settled])| (Some(version), end, settled));
        let latest = (latest != 0).then_some(latest);
        match &before {
            None => claim(context, id, rain).await?,
            Some(before) if before.record.rain == *rain => {
                publication.follow(context, before.number, &before.record).await?;
                return Ok(Some(before.number));
            }
            Some(before) => {
                if let Some(fixed) = before.record.rain.fixed_field(rain) {
                    return Err(Refusal::FieldFixed(fixed).into());
                }
            }
        }
        if rain.limits.is_some() && latest.is_some_and(|latest| rain.until().0 > latest) {
            return Err(Refusal::LimitsEnd.into());
        }
        let before = before.as_ref();
        let secret = before.map_or(random, |before| before.record.secret);
        let old = before.map_or(0, |before| before.record.rain.budget.minor_units());
        let (stored, more) =
            (Stored { rain: rain.clone(), secret }, rain.budget.minor_units() - old);
        let mut plan = Plan::new();
        let number =
            publication.replace(&mut plan, Why::Changed, before, &stored, context.partitions);
        publication.remember(&mut plan, before, settled, context.now);
        if more < 0 {
            let guard = Guard::IntegerAtLeast(place.pool.clone(), FREE.into(), -more);
            plan.demand(Why::InUse, guard);
        }
        plan.write(Write::Add(place.pool.clone(), FREE.into(), more));
        // What is over gives nothing, and counts nothing.
        if rain.limits.is_some() && rain.until().0.saturating_add(GRACE_MS) > context.now.0 {
            let latest = Value::Integer(latest_end(latest, rain.until()));
            plan.write(Write::Set(place.pool.clone(), LATEST_END.into(), latest));
        }
        let Err(refused) = context.commit(place.partition, plan).await? else {
            publication.follow(context, number, &stored).await?;
            if before.is_some() && more > 0 {
                forget_sold_out(context, &place).await;
            }
            return Ok(Some(number));
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

/// An activity and a scene are one rain's, also once that is sealed and gone: the ledger knows a campaign by them.
async fn claim<B: Binding>(context: &Context<'_, B>, id: &str, rain: &Rain) -> Result<(), Failure> {
    let owner = rain::owner(context.partitions, &rain.activity, &rain.scene);
    let mine = Owner(id.to_owned());
    let mut plan = Plan::new();
    let unused = Kind::SceneOfRain.demand_unused(&of_rain(rain), context.partitions);
    plan.demand(Taken::Before, unused).demand(Taken::Now, owner.unchanged(None));
    plan.write(owner.set(&mine));
    let Err(refused) = context.commit(owner.partition, plan).await? else { return Ok(()) };
    let is_mine = refused.why == Taken::Now
        && Seen::<Owner>::of(refused.field()?.cloned())?.record == Some(mine);
    if is_mine { Ok(()) } else { Err(Refusal::SceneTaken.into()) }
}

/// Who has an activity and a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// A rain that is sealed and gone.
    Before,
    /// A rain.
    Now,
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
    let found = rain::publication(context.partitions, id).find(context, [FREE]).await?;
    let (Version { number, record }, [remaining]) = found.ok_or(Refusal::UnknownRain)?;
    let total = record.rain.budget.minor_units();
    let leased = total - remaining - granted;
    if leased < 0 {
        return Err(unexpected().into());
    }
    Ok((number, record.rain, Budget { total, granted, leased, remaining }))
}

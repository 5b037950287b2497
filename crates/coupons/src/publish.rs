//! Publishing templates and scenes, and the stock that is left.

use domain::error::InvalidInput;
use domain::transaction::{CommitError, Guard, Write};
use lease::{FREE, LEASED, Lease, UNUSED_IN_ALL, call_back_all, demand, forget_sold_out};
use store::published::{SETTLED, Version};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::issue::FALLBACKS_MAX;
use crate::records;
use crate::refusal::{Failure, Refusal};
use crate::scene::Scene;
use crate::settling::{self, bring_template};
use crate::template::Template;

/// How often somebody else may publish in between, until the operator is told.
const CHANGES_MAX: u32 = 4;

/// What became of a template's coupons. The parts add up to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// All.
    pub total: i64,
    /// Given.
    pub issued: i64,
    /// Held by reservations.
    pub reserved: i64,
    /// In the partitions, or on the way between them and the pool.
    pub leased: i64,
    /// In the pool.
    pub remaining: i64,
    /// Cents of the budget that coupons did not use, as far as they have come home.
    pub unused: i64,
}

/// Why a version is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody else published.
    Changed,
    /// The template refuses.
    Refuse(Refusal),
}

/// A template in its pool, what is free there, and what was not used of its budget.
async fn read_pool<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<(Version<Template>, [i64; 2])>, CommitError> {
    context.publication(id).find(context, [FREE, UNUSED_IN_ALL]).await
}

/// A template in its pool, with what was not used of its budget, and when nothing of what was published before can act any
/// more.
async fn read_version<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<(Option<(Version<Template>, i64)>, i64), CommitError> {
    let found = context.publication(id).find(context, [SETTLED, UNUSED_IN_ALL]).await?;
    Ok(found.map_or((None, 0), |(version, [settled, unused])| (Some((version, unused)), settled)))
}

/// Publishes a valid template: its first version, or another one. The same again is the same version,
/// which is what it gives. One that is over can be opened again.
///
/// What was not used of a budget and is not in the pool yet, after a fail-over, is brought there.
///
/// # Errors
/// `invalid_value` and its like, where the template does not go with its scene or its fallbacks, or is new and over;
/// `field_fixed`, `sealed`, `stock_in_use`, `published_meanwhile`; or the store's.
pub async fn publish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    template: &Template,
) -> Result<i64, Failure> {
    let publication = context.publication(id);
    let sealing = publication.sealing();
    if sealing.is_sealed(context).await? {
        return Err(Refusal::Sealed.into());
    }
    let scene = context.scene(&template.scene).await?;
    check_fallbacks(context, id, template).await?;
    let (mut called_back, mut changes) = (false, 0);
    let published = attempts("publish a template", async || {
        if changes > 0 && sealing.is_sealed(context).await? {
            return Err(Refusal::Sealed.into());
        }
        let (before, settled) = read_version(context, id).await?;
        match &before {
            None => {
                template.validate_in(&scene)?;
                if let Err(error) = template.validate_new(context.now) {
                    // It may have been sealed meanwhile, and is gone.
                    let is_sealed = sealing.is_sealed(context).await?;
                    return Err(if is_sealed { Refusal::Sealed.into() } else { error.into() });
                }
            }
            Some((before, _)) if before.record == *template => {
                return follow(context, id, before.number, template).await.map(Some);
            }
            // What was given without a stock cannot be counted afterwards.
            Some((before, _)) if before.record.is_counted() != template.is_counted() => {
                return Err(Refusal::FieldFixed("stock").into());
            }
            Some(_) => {}
        }
        let (number, mut plan) = replace(context, id, before.as_ref(), template);
        let seen = before.as_ref().map(|(version, _)| version);
        publication.remember(&mut plan, seen, settled, context.now);
        let Err(refused) = context.commit(context.pool(id), plan).await? else {
            let version = follow(context, id, number, template).await?;
            if let Some((before, unused)) = &before
                && template.leasable(*unused) > before.record.leasable(*unused)
            {
                forget_sold_out(context, &context.place(id)).await;
            }
            return Ok(Some(version));
        };
        match refused.why {
            Why::Changed => {}
            Why::Refuse(Refusal::StockInUse) if !called_back => {
                // What partitions have left is not given yet.
                call_back_all(context, &context.place(id)).await?;
                called_back = true;
                return Ok(None);
            }
            Why::Refuse(refusal) => return Err(refusal.into()),
        }
        changes += 1;
        if changes < CHANGES_MAX { Ok(None) } else { Err(Refusal::PublishedMeanwhile.into()) }
    })
    .await?;
    if template.budget.is_some() {
        let partitions: Vec<_> = context.partitions.all().collect();
        bring_template(context, id, &partitions).await?;
    }
    Ok(published)
}

/// Whether the claim window of a template is over for every clock, by its pool.
///
/// # Errors
/// The store's.
pub async fn is_over<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<bool, CommitError> {
    let found = read_pool(context, id).await?;
    Ok(found.is_some_and(|(version, _)| settling::is_over(&version.record, context.now)))
}

/// Lets what everybody reads follow the pool.
async fn follow<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    number: i64,
    template: &Template,
) -> Result<i64, Failure> {
    // Where the window is another one than before, whoever takes leases back finds that the former moment
    // is no longer its end.
    context.publication(id).follow(context, number, template).await?;
    context.templates.forget(id);
    Ok(number)
}

/// The commit that replaces a version in the pool, and the number of the next one. Before it, so many cents of the budget
/// were not used.
fn replace<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    before: Option<&(Version<Template>, i64)>,
    template: &Template,
) -> (i64, Plan<Why>) {
    let field = |name: &str| (records::pool(id), name.into());
    let mut plan = Plan::new();
    let version = before.map(|(version, _)| version);
    let number = context.publication(id).replace(
        &mut plan,
        Why::Changed,
        version,
        template,
        context.partitions,
    );
    let mut free = template.leasable(before.map_or(0, |(_, unused)| *unused));
    if let Some((Version { record: before, .. }, unused)) = before {
        let (leasable, total) = (before.leasable(*unused), template.total(*unused));
        free -= leasable;
        let (map, name) = field(UNUSED_IN_ALL);
        plan.demand_all(Why::Changed, demand(&map, &name, *unused));
        if total < before.total(*unused) {
            // Out is what is not free; that much must remain.
            let (map, name) = field(FREE);
            let guard = Guard::IntegerAtLeast(map, name, leasable - total);
            plan.demand(Why::Refuse(Refusal::StockInUse), guard);
        }
        if let Some(fixed) = before.fixed_field(template) {
            let (map, name) = field(LEASED);
            let guard = Guard::IntegerAtMost(map, name, 0);
            plan.demand(Why::Refuse(Refusal::FieldFixed(fixed)), guard);
        }
    }
    let (map, name) = field(FREE);
    plan.write(Write::Add(map, name, free));
    (number, plan)
}

/// A chain of fallbacks must end, and what a template newly names must exist. One that was sealed and collected ends a chain,
/// as it does where coupons are issued; its id is never published again. So what was read can be published with one change.
async fn check_fallbacks<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    template: &Template,
) -> Result<(), Failure> {
    let wrong = |code, detail| Err(InvalidInput::new(code, "fallback_template", detail).into());
    let mut next = template.fallback_template.clone();
    for depth in 0..FALLBACKS_MAX {
        let Some(fallback) = next else { return Ok(()) };
        if fallback == id {
            return wrong("fallback_circle", "the chain of fallbacks comes back to this template");
        }
        let Some((version, _)) = read_pool(context, &fallback).await? else {
            if depth == 0 && !names_already(context, id, &fallback).await? {
                return wrong("unknown_template", "there is no such template");
            }
            return Ok(());
        };
        next = version.record.fallback_template;
    }
    match next {
        None => Ok(()),
        Some(_) => wrong("fallback_too_deep", "a chain has at most 4 fallbacks"),
    }
}

/// Whether the version that is published falls back to this one.
async fn names_already<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    fallback: &str,
) -> Result<bool, CommitError> {
    let published = read_pool(context, id).await?;
    Ok(published
        .is_some_and(|(version, _)| version.record.fallback_template.as_deref() == Some(fallback)))
}

/// A version of a template, and what became of its coupons: a snapshot of each partition, one after the
/// other.
///
/// # Errors
/// `unknown_template`; or the store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<(i64, Template, Stock), Failure> {
    let wave = context.partitions.all().map(|one| (one, Lease::read(records::lease(id))));
    let mut stock = Stock::default();
    for answer in context.read_all(wave.collect()).await? {
        let lease = Lease::answered(Some(&answer))?;
        stock.issued += lease.issued();
        stock.reserved += lease.held;
    }
    // Afterwards, so that what was given in between counts as leased and not as missing.
    let (Version { number, record: template }, [free, unused]) =
        read_pool(context, id).await?.ok_or(Refusal::UnknownTemplate)?;
    stock.unused = unused;
    if !template.is_counted() {
        stock.total = stock.issued + stock.reserved;
        return Ok((number, template, stock));
    }
    stock.total = template.total(unused);
    let out = template.leasable(unused) - free;
    stock.remaining = stock.total - out;
    stock.leased = out - stock.issued - stock.reserved;
    Ok((number, template, stock))
}

/// A scene as it is now.
///
/// # Errors
/// `unknown_scene`; or the store's.
pub async fn look_at_scene<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Scene, Failure> {
    let seen = records::scene(context.partitions, id).find(context).await?;
    Ok(seen.record.ok_or(Refusal::UnknownScene)?)
}

/// Sets up a valid scene; the latest one counts, within a second everywhere. Whether there is a stock
/// cannot change, because templates were published by it.
///
/// # Errors
/// `field_fixed`, `published_meanwhile`, with nothing changed; or the store's.
pub async fn set_up_scene<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    scene: &Scene,
) -> Result<(), Failure> {
    let record = records::scene(context.partitions, id);
    let seen = record.find(context).await?;
    match &seen.record {
        Some(before) if before == scene => return Ok(()),
        Some(before) if before.stock != scene.stock => {
            return Err(Refusal::FieldFixed("stock").into());
        }
        _ => {}
    }
    match record.swap(context, &seen, Some(scene), Vec::new()).await? {
        // The binding tries once more where a reply is lost, and then meets its own first attempt.
        Some(now) if now.record.as_ref() != Some(scene) => {
            return Err(Refusal::PublishedMeanwhile.into());
        }
        _ => {}
    }
    context.templates.clear();
    Ok(())
}

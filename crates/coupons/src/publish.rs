//! Publishing templates and scenes, and the stock that is left.

use domain::error::InvalidInput;
use domain::transaction::{
    CommitError, Failed, Guard, MapKey, Outcome, Read, Seen, Transaction, Value, Write,
};
use edge::store::Binding;
use lease::{FREE, LEASED, Lease, call_back_all};

use crate::context::{BODY, Context, PUBLISHED_VERSION, published};
use crate::issue::FALLBACKS_MAX;
use crate::records::{self, integers, unexpected};
use crate::refusal::{Failure, Refusal};
use crate::scene::Scene;
use crate::template::Template;

/// Of the pool: 1 once somebody was told that the claim window is over and stays so. The first commit
/// decides between that and a version with another window, because clocks of instances differ.
const ENDED: &str = "ended";
/// Attempts to publish: each lost one saw another operator publish.
const ATTEMPTS_MAX: u32 = 4;

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
}

/// A template in its pool.
struct Pool {
    version: i64,
    template: Template,
    free: i64,
}

async fn read_pool<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Pool>, CommitError> {
    let fields = [BODY, PUBLISHED_VERSION, FREE].map(Into::into).to_vec();
    let read = Read::Fields(records::pool(id), fields);
    let answers = context.read_all(&[(context.pool(id), read)]).await?;
    let Some((version, template)) = published(answers.first())? else { return Ok(None) };
    let free = records::fields(answers.first())?.get(2).and_then(Option::as_ref);
    Ok(Some(Pool { version, template, free: records::integer(free)? }))
}

/// Publishes a valid template: its first version, or another one. The same again is the same version,
/// which is what it gives.
///
/// The pool decides; the notice follows, and never goes back to an older version. Whoever was told
/// nothing publishes again, and the notice follows then.
///
/// # Errors
/// `invalid_value` and its like, where the template does not go with its scene or its fallbacks;
/// `field_fixed`, `ended`, `stock_in_use`, `published_meanwhile`; or the store's.
pub async fn publish<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    template: &Template,
) -> Result<i64, Failure> {
    let scene = context.scene(&template.scene).await?;
    check_fallbacks(context, id, template).await?;
    let mut called_back = false;
    for _ in 0..ATTEMPTS_MAX {
        let before = read_pool(context, id).await?;
        match &before {
            None => template.validate_in(&scene)?,
            Some(before) if before.template == *template => {
                return put_up(context, id, before.version, template).await;
            }
            // What was given without a stock cannot be counted afterwards.
            Some(before) if before.template.is_counted() != template.is_counted() => {
                return Err(Refusal::FieldFixed("stock").into());
            }
            Some(_) => {}
        }
        let reopens = |before: &&Pool| {
            let until = before.template.claim_until;
            until <= context.now && template.claim_until != until
        };
        if let Some(over) = before.as_ref().filter(reopens) {
            // It is told once it is so.
            if end_window(context, id, over.version).await? {
                return Err(Refusal::Ended.into());
            }
            continue;
        }
        let (why, transaction) = replace(id, before.as_ref(), template)?;
        let refused = match context.commit(context.pool(id), transaction).await? {
            Outcome::Committed(answers) => {
                let [version] = integers(answers.first())?;
                return put_up(context, id, version, template).await;
            }
            Outcome::Refused(refused) => refused,
        };
        let Failed::Guard(index) = refused.failed else { return Err(unexpected().into()) };
        match why.get(index) {
            Some(Some(Refusal::StockInUse)) if !called_back => {
                // What partitions have left is not given yet.
                call_back_all(context, &context.place(id)).await?;
                called_back = true;
            }
            Some(Some(refusal)) => return Err((*refusal).into()),
            _ => {}
        }
    }
    Err(Refusal::PublishedMeanwhile.into())
}

/// Writes down that the window of a version is over; `false` where somebody published meanwhile.
async fn end_window<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: i64,
) -> Result<bool, CommitError> {
    let record = records::pool(id);
    let version = Value::Integer(version);
    let transaction = Transaction {
        guards: vec![Guard::FieldEquals(record.clone(), PUBLISHED_VERSION.into(), version)],
        writes: vec![Write::Set(record, ENDED.into(), Value::Integer(1))],
        ..Transaction::default()
    };
    let outcome = context.commit(context.pool(id), transaction).await?;
    Ok(matches!(outcome, Outcome::Committed(_)))
}

/// Puts up the notice of a version, unless a later one is up, and lists the template.
async fn put_up<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    version: i64,
    template: &Template,
) -> Result<i64, Failure> {
    // Where the window is another one than before, whoever takes leases back finds that the former moment
    // is no longer its end.
    let list = Transaction {
        writes: vec![
            Write::AddMember(records::templates(), id.into()),
            records::OVER.add(template.claim_until, id.as_bytes()),
        ],
        ..Transaction::default()
    };
    context.commit(records::home_of_list(context.partitions), list).await?;
    let record = records::notice(id);
    let guard = Guard::IntegerAtMost(record.clone(), PUBLISHED_VERSION.into(), version - 1);
    let transaction = Transaction {
        guards: vec![guard],
        writes: versions(&record, version, template)?,
        ..Transaction::default()
    };
    context.commit(context.notice(id), transaction).await?;
    context.forget_template(id);
    Ok(version)
}

/// What pool and notice both keep.
fn versions(record: &MapKey, version: i64, template: &Template) -> Result<Vec<Write>, CommitError> {
    let body = serde_json::to_vec(template).map_err(|error| {
        CommitError::Unreadable(format!("a template cannot be written: {error}"))
    })?;
    Ok(vec![
        Write::Set(record.clone(), BODY.into(), Value::Bytes(body)),
        Write::Set(record.clone(), PUBLISHED_VERSION.into(), Value::Integer(version)),
    ])
}

/// The commit that replaces a version, and what each guard refuses.
fn replace(
    id: &str,
    before: Option<&Pool>,
    template: &Template,
) -> Result<(Vec<Option<Refusal>>, Transaction), CommitError> {
    let record = records::pool(id);
    let field = |name: &str| (record.clone(), name.into());
    let mut guards = Vec::new();
    let (mut version, mut free) = (1, template.leasable());
    let (map, name) = field(PUBLISHED_VERSION);
    match before {
        None => guards.push((None, Guard::FieldAbsent(map, name))),
        Some(before) => {
            guards.push((None, Guard::FieldEquals(map, name, Value::Integer(before.version))));
            version = before.version + 1;
            if before.template.claim_until != template.claim_until {
                let (map, name) = field(ENDED);
                guards.push((Some(Refusal::Ended), Guard::FieldAbsent(map, name)));
            }
            let leasable = before.template.leasable();
            free -= leasable;
            if template.total() < before.template.total() {
                // Out is what is not free; that much must remain.
                let (map, name) = field(FREE);
                let least = leasable - template.total();
                let guard = Guard::IntegerAtLeast(map, name, least);
                guards.push((Some(Refusal::StockInUse), guard));
            }
            if let Some(fixed) = before.template.fixed_field(template) {
                let (map, name) = field(LEASED);
                guards.push((Some(Refusal::FieldFixed(fixed)), Guard::IntegerAtMost(map, name, 0)));
            }
        }
    }
    let (why, guards) = guards.into_iter().unzip();
    let mut writes = versions(&record, version, template)?;
    writes.push(Write::Add(record.clone(), FREE.into(), free));
    let reads = vec![Read::Fields(record, vec![PUBLISHED_VERSION.into()])];
    Ok((why, Transaction { guards, writes, reads, ..Transaction::default() }))
}

/// A chain of fallbacks must end.
async fn check_fallbacks<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    template: &Template,
) -> Result<(), Failure> {
    let wrong = |code, detail| Err(InvalidInput::new(code, "fallback_template", detail).into());
    let mut next = template.fallback_template.clone();
    for _ in 0..FALLBACKS_MAX {
        let Some(fallback) = next else { return Ok(()) };
        if fallback == id {
            return wrong("fallback_circle", "the chain of fallbacks comes back to this template");
        }
        let Some(pool) = read_pool(context, &fallback).await? else {
            return wrong("unknown_template", "there is no such template");
        };
        next = pool.template.fallback_template;
    }
    match next {
        None => Ok(()),
        Some(_) => wrong("fallback_too_deep", "a chain has at most 4 fallbacks"),
    }
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
    let wave: Vec<_> =
        context.partitions.all().map(|one| (one, Lease::read(records::lease(id)))).collect();
    let mut stock = Stock::default();
    for answer in context.read_all(&wave).await? {
        let lease = Lease::answered(Some(&answer))?;
        stock.issued += lease.issued();
        stock.reserved += lease.held;
    }
    // Afterwards, so that what was given in between counts as leased and not as missing.
    let Pool { version, template, free } =
        read_pool(context, id).await?.ok_or(Refusal::UnknownTemplate)?;
    if !template.is_counted() {
        stock.total = stock.issued + stock.reserved;
        return Ok((version, template, stock));
    }
    stock.total = template.total();
    let out = template.leasable() - free;
    stock.remaining = stock.total - out;
    stock.leased = out - stock.issued - stock.reserved;
    Ok((version, template, stock))
}

/// A scene as it is now.
///
/// # Errors
/// `unknown_scene`; or the store's.
pub async fn look_at_scene<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Scene, Failure> {
    let (scene, _) = context.stored_scene(id).await?.ok_or(Refusal::UnknownScene)?;
    Ok(scene)
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
    let map = records::scene(id);
    let guard = match context.stored_scene(id).await? {
        Some((before, _)) if before == *scene => return Ok(()),
        Some((before, _)) if before.stock != scene.stock => {
            return Err(Refusal::FieldFixed("stock").into());
        }
        Some((_, value)) => Guard::FieldEquals(map.clone(), BODY.into(), value),
        None => Guard::FieldAbsent(map.clone(), BODY.into()),
    };
    let body = Value::Bytes(serde_json::to_vec(scene).map_err(|_| unexpected())?);
    let transaction = Transaction {
        guards: vec![guard],
        writes: vec![Write::Set(map, BODY.into(), body.clone())],
        ..Transaction::default()
    };
    match context.commit(context.of_scene(id), transaction).await? {
        Outcome::Committed(_) => {}
        // The binding tries once more where a reply is lost, and then meets its own first attempt.
        Outcome::Refused(refused) if refused.seen == Seen::Field(Some(body)) => {}
        Outcome::Refused(_) => return Err(Refusal::PublishedMeanwhile.into()),
    }
    context.forget_templates();
    Ok(())
}

//! Issuing to a list of users, part by part. Each user's number follows from the batch, so that a
//! part that is sent again gives nobody a second coupon, and a batch that broke off anywhere is simply
//! sent again.
//!
//! A part that is sent again replaces its own tally.

use std::collections::BTreeMap;

use domain::answers::unexpected;
use domain::digest::digest;
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, READ_FIELDS_MAX, Read, Write};
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::numbers::check_ordered_at;
use store::{Binding, Plan, Record};

use crate::context::Context;
use crate::issue::{Claim, Number, issue};
use crate::records::{self, Gave};
use crate::refusal::{Failure, Refusal};

/// Users who are given their coupons at the same time: enough to hide the way to the store, few
/// enough that others get their turn.
const CONCURRENT: usize = 32;

/// Parts of a batch: as many as one read returns, but for one.
const PARTS_MAX: u32 = READ_FIELDS_MAX - 1;

/// A part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The batch.
    pub batch: String,
    /// When it was ordered, as the caller says: the same for each part that is sent again.
    pub ordered_at: Option<UnixMillis>,
    /// 1 to 1,000 users.
    pub users: Vec<UserId>,
}

/// What became of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All.
    pub users: u32,
    /// Who have a coupon of the template, now or from an earlier attempt.
    pub issued: u32,
    /// Who have one of a fallback.
    pub fallback: u32,
    /// Who were greeted.
    pub greeting: u32,
    /// Who got nothing, by code.
    pub refused: BTreeMap<String, u32>,
}

impl Record for Tally {
    const NAME: &'static str = "a part of a batch";
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.users += other.users;
        self.issued += other.issued;
        self.fallback += other.fallback;
        self.greeting += other.greeting;
        for (code, count) in &other.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
    }
}

/// The number under which a batch of a template gives each of its users a coupon.
///
/// # Errors
/// The batch has no such name.
pub(crate) fn number_of(template: &str, batch: &str) -> Result<OrderNumber, InvalidInput> {
    OrderNumber::parse(&format!("bulk:{template}:{batch}"), "batch")
}

/// Issues to a part of a batch, and writes down what came of it.
///
/// # Errors
/// `unknown_template`, or the store's; then some users have their coupons. Send the part again.
pub async fn issue_part<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    batch: &Batch,
) -> Result<Tally, Failure> {
    if let Some(at) = batch.ordered_at {
        check_ordered_at(at, context.now, "ordered_at")?;
    }
    context.template(template).await?.ok_or(Refusal::UnknownTemplate)?;
    let number = number_of(template, &batch.batch)?;
    let one = |user: &UserId| {
        let claim = Claim {
            user: *user,
            number: Number::Given(number.clone()),
            ordered_at: batch.ordered_at,
            template: template.to_owned(),
            segments: Vec::new(),
            hold_ms: None,
        };
        async move { issue(context, &claim).await }
    };
    let mut results = stream::iter(batch.users.iter().map(one)).buffer_unordered(CONCURRENT);
    let mut tally = Tally { users: batch.users.len() as u32, ..Tally::default() };
    while let Some(result) = results.next().await {
        match result {
            Ok(recorded) => match recorded.order.gave {
                Gave::Fallback(_) => tally.fallback += 1,
                Gave::Greeting(_) => tally.greeting += 1,
                _ => tally.issued += 1,
            },
            Err(Failure::Refused(refusal)) => {
                *tally.refused.entry(refusal.code().to_owned()).or_default() += 1;
            }
            // Others have their coupons.
            Err(Failure::Store(CommitError::Unavailable(text))) => {
                return Err(CommitError::Unknown(text).into());
            }
            Err(failure) => return Err(failure),
        }
    }
    drop(results);
    write_down(context, template, batch, &tally).await?;
    Ok(tally)
}

/// Under a name that follows from the part's users, so that the same part sent again replaces it. The batch enters the list
/// of its template, by which it goes with it; so nothing is written down of a template that is sealed.
async fn write_down<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    batch: &Batch,
    tally: &Tally,
) -> Result<(), Failure> {
    let users: Vec<u8> = batch.users.iter().flat_map(|user| user.0.to_le_bytes()).collect();
    let part = Field(format!("{:016x}", digest(&users)).into_bytes());
    let record = records::batch(template, &batch.batch);
    let open = context.publication(template).sealing().demand_open(context.partitions);
    // A new part, where there is room, or one that is sent again.
    for guard in [
        Guard::SizeAtMost(record.clone(), PARTS_MAX - 1),
        Guard::FieldPresent(record.clone(), part.clone()),
    ] {
        let mut plan = Plan::new();
        plan.demand_all(Refusal::UnknownTemplate, open.clone()).demand(Refusal::BatchFull, guard);
        plan.write(Write::Set(record.clone(), part.clone(), encode(tally)));
        plan.write(Write::AddMember(records::batches(template), batch.batch.as_str().into()));
        match context.commit(context.pool(template), plan).await? {
            Ok(_) => return Ok(()),
            Err(refused) if refused.why == Refusal::UnknownTemplate => {
                return Err(refused.why.into());
            }
            Err(_) => {}
        }
    }
    Err(Refusal::BatchFull.into())
}

/// What became of a batch so far, and of how many parts.
///
/// # Errors
/// `unknown_batch`, or the store's.
pub async fn progress<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    batch: &str,
) -> Result<(u32, Tally), Failure> {
    let read = Read::All(records::batch(template, batch), READ_FIELDS_MAX);
    let answers = context.read(context.pool(template), vec![read]).await?;
    let Some(Answer::Map(parts)) = answers.first() else { return Err(unexpected().into()) };
    if parts.is_empty() {
        return Err(Refusal::UnknownBatch.into());
    }
    let mut tally = Tally::default();
    for (_, part) in parts {
        tally.add(&decode(part)?);
    }
    Ok((parts.len() as u32, tally))
}

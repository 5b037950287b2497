//! Group-buy: opening a group takes the user's one chance for a campaign, and a group that succeeds
//! earns a coupon. The rule itself is [`domain::group_buy`]; the events of `functions/events` end
//! groups and leave rewards due.
//!
//! A reward is given by whoever looks at the user's coupons next, or by a sweep: first the coupon is
//! issued, under a number that follows from the group, so that it is one coupon however often that is
//! tried; then the reward counts as given. Where the template refuses (sold out, over, switched off) the
//! reward stays due, and the next one tries again; unless its scene is not compensated, where it lapses. The
//! first commit decides: giving demands that the reward is due, and lapsing that it was not given.

use std::cell::Cell;

use domain::due::{self, Due, Swept};
use domain::error::InvalidInput;
use domain::group_buy::{Chance, Group, Groups, Phase, REWARDS, campaign_of};
use domain::ids::UserId;
use domain::order_number::{OrderNumber, Part};
use domain::paid::PaidMark;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Failed, Field, Guard, MapKey, Member, Outcome, Read, Seen, Transaction,
    Value, Write,
};
use edge::Problem;
use edge::store::Binding;
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};

use crate::context::{BODY, Context};
use crate::issue::{self, Claim, Number, issue};
use crate::records::{self, Order, USER_FIELDS_MAX, fields, unexpected};
use crate::refusal::{Failure, Refusal};
use crate::walk;

/// Rewards of a partition after which a sweep reads no further page of them, so that it ends in time. The next
/// sweep goes on.
pub const REWARDS_MAX: u64 = 256;
/// What the index lists, in words.
const LISTED: &str = "rewards that are due";
/// Rewards that are given at the same time: enough to hide the way to the store, few enough that
/// others get their turn.
const CONCURRENT: usize = 32;
/// Attempts to open a group: each lost one saw the chance change.
const ATTEMPTS_MAX: u32 = 8;
/// What the order numbers of rewards begin with.
const REWARD: &str = "group:";

/// A campaign, as operators write it and as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The template of the reward.
    pub template: String,
    /// Whether a group that fails or expires gives the chance back.
    pub give_back: bool,
    /// Whether groups may be opened. Those that are open go on.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
}

fn enabled_default() -> bool {
    true
}

impl Campaign {
    /// Reads a campaign that can be set up.
    ///
    /// # Errors
    /// Those of [`edge::json::parse_object`]; `invalid_part`, naming the field.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let campaign: Self = edge::json::parse_object(body)?;
        Part::parse(&campaign.template, "template")?;
        Ok(campaign)
    }
}

/// Who opens which group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Of which campaign.
    pub campaign: String,
    /// The group.
    pub group: String,
    /// Who.
    pub user: UserId,
    /// How long it may stay open.
    pub lasts_seconds: i64,
}

impl Opening {
    fn chance(&self) -> Chance<'_> {
        Chance { user: self.user, campaign: &self.campaign }
    }

    fn group(&self, campaign: &Campaign, now: UnixMillis) -> Group {
        Group {
            group: self.group.clone(),
            template: campaign.template.clone(),
            gives_back: campaign.give_back,
            opened_at: now,
            lasts_seconds: self.lasts_seconds,
            phase: Phase::Open,
        }
    }
}

/// The record of a campaign, in a partition of configuration.
fn record<B: Binding>(context: &Context<'_, B>, campaign: &str) -> (Partition, MapKey) {
    (context.partitions.of_configuration(campaign), MapKey(format!("g{campaign}")))
}

fn read<B: Binding>(context: &Context<'_, B>, campaign: &str) -> (Partition, Read) {
    let (partition, map) = record(context, campaign);
    (partition, Read::Fields(map, vec![BODY.into()]))
}

/// The answer to [`read`].
fn answered(answer: Option<&Answer>) -> Result<Option<Campaign>, CommitError> {
    let [Some(Value::Bytes(body))] = fields(answer)? else { return Ok(None) };
    let broken = || CommitError::Unreadable("a campaign cannot be read".into());
    edge::json::stored(body).map(Some).ok_or_else(broken)
}

/// Sets up a campaign; the latest one counts.
///
/// # Errors
/// `unknown_template`, naming the field; or the store's.
pub async fn set_up<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    campaign: &Campaign,
) -> Result<(), Failure> {
    if context.template(&campaign.template).await?.is_none() {
        let detail = "there is no such template";
        return Err(InvalidInput::new("unknown_template", "template", detail).into());
    }
    let body = serde_json::to_vec(campaign).map_err(|_| unexpected())?;
    let (partition, map) = record(context, id);
    let write = Write::Set(map, BODY.into(), Value::Bytes(body));
    context
        .commit(partition, Transaction { writes: vec![write], ..Transaction::default() })
        .await?;
    Ok(())
}

/// A campaign as it is now.
///
/// # Errors
/// `unknown_campaign`; or the store's.
pub async fn look<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Campaign, Failure> {
    let answers = context.read_all(&[read(context, id)]).await?;
    Ok(answered(answers.first())?.ok_or(Refusal::UnknownCampaign)?)
}

/// Opens a group, or tells what became of it, and whether it was opened earlier.
///
/// # Errors
/// `unknown_campaign`, `disabled`, `chance_used`, `not_eligible`, `too_many_coupons`, and
/// `order_number_reused` where the same group was opened for another time, with nothing changed; or
/// the store's.
pub async fn open<B: Binding>(
    context: &Context<'_, B>,
    opening: &Opening,
) -> Result<(Group, bool), Failure> {
    let (home, chance) = (context.home(opening.user), opening.chance());
    let reads = [(home, chance.read()), read(context, &opening.campaign)];
    let answers = context.read_all(&reads).await?;
    let mut before = taken(answers.first())?;
    let campaign = answered(answers.get(1))?;
    for _ in 0..ATTEMPTS_MAX {
        if let Some(group) = before.find(&opening.group) {
            if group.lasts_seconds != opening.lasts_seconds {
                return Err(Refusal::OrderNumberReused.into());
            }
            let after = before.at(context.now);
            if after == before {
                return Ok((group.clone(), true));
            }
            // It is told once it is so.
            before = match context.commit(home, chance.change(&before, &after)).await? {
                Outcome::Committed(_) => after,
                Outcome::Refused(refused) => match refused.seen {
                    Seen::Field(value) => Groups::decode(value.as_ref())?,
                    _ => return Err(unexpected().into()),
                },
            };
            continue;
        }
        let campaign = campaign.as_ref().ok_or(Refusal::UnknownCampaign)?;
        if !campaign.enabled {
            return Err(Refusal::Disabled.into());
        }
        let group = opening.group(campaign, context.now);
        let after = before.opened(group.clone()).ok_or(Refusal::ChanceUsed)?;
        let mark = PaidMark::of(opening.user, context.partitions);
        let mut transaction = chance.take(&before, &after, mark);
        let size = Guard::SizeAtMost(records::user(opening.user), USER_FIELDS_MAX);
        transaction.guards.push(size);
        let refused = match context.commit(home, transaction).await? {
            Outcome::Committed(_) => return Ok((group, false)),
            Outcome::Refused(refused) => refused,
        };
        match (refused.failed, refused.seen) {
            (Failed::Guard(0), Seen::Field(value)) => before = Groups::decode(value.as_ref())?,
            (Failed::Guard(1), _) => return Err(Refusal::NotEligible.into()),
            _ => return Err(Refusal::TooManyCoupons.into()),
        }
    }
    let text = format!("{ATTEMPTS_MAX} attempts to open a group");
    Err(CommitError::Unavailable(text).into())
}

/// What was made of a chance.
fn taken(answer: Option<&Answer>) -> Result<Groups, CommitError> {
    match fields(answer)? {
        [value] => Groups::decode(value.as_ref()),
        _ => Err(unexpected()),
    }
}

/// Gives the reward of a chance, if it is due and the template does not refuse; whether this was the
/// one who gave it.
async fn settle<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
    groups: &Groups,
) -> Result<bool, CommitError> {
    let Some(Group { group, template, .. }) = groups.due() else { return Ok(false) };
    let number = format!("{REWARD}{}:{group}", chance.campaign);
    let number = OrderNumber::parse(&number, "group").map_err(|_| unexpected())?;
    let claim = Claim {
        user: chance.user,
        number: Number::Reward(number.clone(), chance.demand(groups)),
        template: template.clone(),
        segments: Vec::new(),
        hold_ms: None,
    };
    let phase = match issue(context, &claim).await {
        Ok(_) => Phase::Rewarded,
        Err(Failure::Store(error)) => return Err(error),
        Err(Failure::Refused(_) | Failure::Invalid(_)) => {
            let published = context.template(template).await?;
            if published.is_none_or(|published| published.scene.compensated) {
                return Ok(false);
            }
            Phase::Lapsed
        }
    };
    let mut change = chance.change(groups, &groups.settled(phase));
    if phase == Phase::Lapsed {
        // Somebody else may have given it, by a clock by which the template gives. And once it has lapsed
        // nobody does: giving demands that it is due.
        let order = records::order(&number);
        change.guards.push(Guard::FieldAbsent(records::user(chance.user), order));
    }
    let outcome = context.commit(context.home(chance.user), change).await?;
    Ok(phase == Phase::Rewarded && matches!(outcome, Outcome::Committed(_)))
}

/// Looks at a chance, and gives its reward as [`settle`] does.
async fn settle_chance<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
) -> Result<bool, CommitError> {
    let answers = context.read_all(&[(context.home(chance.user), chance.read())]).await?;
    settle(context, chance, &taken(answers.first())?).await
}

/// Gives the rewards that are due by a user's record; whether there were any, so that the record is to
/// be read again.
///
/// # Errors
/// The store's.
pub async fn settle_found<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    record: &[(Field, Value)],
) -> Result<bool, CommitError> {
    let mut found = false;
    for (field, value) in record {
        let Some(campaign) = campaign_of(field) else { continue };
        let groups = Groups::decode(Some(value))?;
        if groups.due().is_some() {
            settle(context, Chance { user, campaign }, &groups).await?;
            found = true;
        }
    }
    Ok(found)
}

/// What an order number gave. The number of a reward that is due gives it now.
///
/// # Errors
/// The store's.
pub async fn look_up<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Option<Order>, CommitError> {
    let order = issue::look_up(context, user, number).await?;
    let names = number.as_str().strip_prefix(REWARD).and_then(|names| names.split_once(':'));
    match (&order, names) {
        (None, Some((campaign, _))) => {
            settle_chance(context, Chance { user, campaign }).await?;
            issue::look_up(context, user, number).await
        }
        _ => Ok(order),
    }
}

/// Gives the rewards of some partitions that are due, those of the oldest groups first. One whose template
/// refuses stays due, and those behind it are given.
///
/// # Errors
/// The store's. A chance that cannot be read, or given, stops only itself.
pub async fn settle_due<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    let mut swept = Swept::default();
    let mut walks = walk::begin(partitions);
    while !walks.is_empty() {
        let mut nexts = walk::next(context, REWARDS, LISTED, walks, &mut swept).await;
        // Where the store fails with one of a partition, no other one of it is begun.
        let failed: Vec<_> = nexts.iter().map(|_| Cell::new(false)).collect();
        let failed = &failed;
        let items = nexts.iter().enumerate().flat_map(|(index, next)| {
            next.items.iter().map(move |item| (index, next.walk.partition, item))
        });
        let gifts: Vec<_> = items
            .map(async move |(index, partition, item)| {
                let result = match failed[index].get() {
                    true => Ok(false),
                    false => settle_listed(context, partition, item).await,
                };
                (index, item, result)
            })
            .collect();
        let mut given = vec![0; nexts.len()];
        let mut results = stream::iter(gifts).buffer_unordered(CONCURRENT);
        while let Some((index, item, result)) = results.next().await {
            given[index] += u64::from(result == Ok(true));
            if !swept.count(|| place(item), result) {
                failed[index].set(true);
            }
        }
        drop(results);
        for ((next, given), failed) in nexts.iter_mut().zip(given).zip(failed) {
            next.walk.done += given;
            next.walk.has_failed |= failed.get();
        }
        walks = walk::going_on(nexts, REWARDS_MAX, &mut swept);
    }
    swept.finish()
}

/// Gives a reward that stands in the index, as [`settle`] does; or takes it out, where none is due there.
async fn settle_listed<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    item: &Member,
) -> Result<bool, CommitError> {
    let Due { at, what } = due::due(item)?;
    let (user, campaign) = due::user_of(what)?;
    let chance = Chance { user, campaign };
    let answers = context.read_all(&[(partition, chance.read())]).await?;
    let groups = taken(answers.first())?;
    if groups.due().is_some_and(|group| group.opened_at == at) {
        return settle(context, chance, &groups).await;
    }
    if groups.is_empty() {
        // A chance is never taken away, and the reward would be lost: somebody has to look.
        return Err(CommitError::Unreadable("the chance is listed, and not there".into()));
    }
    context.commit(partition, chance.forget(&groups, at)).await?;
    Ok(false)
}

/// Which reward it is, in words.
fn place(item: &Member) -> String {
    match due::due(item).and_then(|due| due::user_of(due.what)) {
        Ok((user, campaign)) => format!("reward of user {user}, campaign {campaign}"),
        Err(_) => format!("{LISTED}: {item:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_lies_in_the_record_of_the_user() {
        let chance = Chance { user: UserId(7), campaign: "spring" };
        let Read::Fields(map, read) = chance.read() else { panic!("{chance:?}") };
        assert_eq!(map, records::user(UserId(7)));
        assert!(read.iter().all(|field| records::order_of(field).is_none()));
    }

    #[test]
    fn a_campaign_is_enabled_unless_it_says_otherwise() {
        let text = r#"{"template": "spring-15", "give_back": true}"#;
        let campaign: Campaign = serde_json::from_str(text).unwrap();
        assert!(campaign.enabled && campaign.give_back);
        let stored = serde_json::to_string(&campaign).unwrap();
        assert_eq!(serde_json::from_str::<Campaign>(&stored).unwrap(), campaign);
    }
}

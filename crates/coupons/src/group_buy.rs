//! Group-buy: opening a group takes the user's one chance for a campaign, and a group that succeeds
//! earns a coupon. The rule itself is [`crate::chance`]; the events of `functions/events` end
//! groups and leave rewards due.
//!
//! A reward is given by whoever looks at the user's coupons next, or by a sweep: first the coupon is
//! issued, under a number that follows from the group, so that it is one coupon however often that is
//! tried; then the reward counts as given. Where the template refuses (sold out, over, switched off) the
//! reward stays due, and the next one tries again; unless its scene is not compensated, or the claim window of
//! the template is over for good, or it is sealed ([`crate::seal`]), where it lapses. A reward whose template is gone
//! otherwise stays due, and the sweep tells of it.
//!
//! # How a reward lapses
//!
//! 1. Whoever is refused by a template whose window is over, and not only by their own clock ([`GRACE_MS`]
//!    after its end), asks the pool, and not the copy that everybody reads, whether that is so ([`is_over`]): where another
//!    window was published before, the reward stays due.
//! 2. Then they commit that the reward has lapsed. The guards demand that it is due, as it was seen, and that its number
//!    gave nothing. Where somebody gave it, by a clock that is behind, it was given, and the next one says so.
//! 3. Giving demands that the reward is due: what comes late after it has lapsed gives nothing.
//!
//! A template that is over can be opened again, and a reward that has lapsed stays so: the second step decides, and nothing
//! that is decided depends on the pool afterwards. Where the template is opened between the two steps, the reward has
//! lapsed as if it had been before that. A crash between them leaves a reward that is due, which lapses the next time, or is
//! given where the template was opened. The commit may come late or twice: it demands what it was made for. That the first
//! step is told from a clock harms nobody: what is told of the reward is what the second one wrote.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::chance::{Chance, Group, Groups, Phase, REWARDS, campaign_of};
use domain::answers::{fields, unexpected};
use domain::due::{self, Due, Swept};
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::order_number::{OrderNumber, Part};
use domain::paid::{PaidMark, Unknown};
use domain::partition::Partition;
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{Answer, CommitError, Field, Guard, Member, Value, Write};
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};
use store::codec::Form;
use store::listing::Place;
use store::sweep::{Fault, Sweep, Tried};
use store::{Binding, Plan, Record, Versioned, attempts};

use crate::context::{BODY, Context};
use crate::issue::{self, Claim, Number, issue};
use crate::orders::{self, NotNew};
use crate::publish::is_over;
use crate::records::{self, Order, USER_FIELDS_MAX};
use crate::refusal::{Failure, Refusal};

/// Rewards of a partition after which a sweep reads no further page of them, so that it ends in time. The next
/// sweep goes on.
pub const REWARDS_MAX: u64 = 256;
/// Rewards of a partition that one sweep passes over: a template that refuses owes thousands.
const PASSED_OVER_MAX: u64 = 4_096;
/// What the index lists, in words.
const LISTED: &str = "rewards that are due";
/// Rewards that are given at the same time: enough to hide the way to the store, few enough that
/// others get their turn.
const CONCURRENT: usize = 32;
/// What the order numbers of rewards begin with.
const REWARD: &str = "group:";

/// A campaign, as operators write it and as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Campaign {
    /// Of the reward.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub template: String,
    /// Whether a group that fails or expires gives the chance back.
    pub give_back: bool,
    /// What to make of users of whom nothing is known while earlier payers are still imported: only new ones open groups.
    #[serde(default, skip_serializing_if = "Unknown::is_new")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("default" = "new")))]
    pub unknown_users: Unknown,
    /// Whether groups may be opened. Those that are open go on.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
}

fn enabled_default() -> bool {
    true
}

impl Record for Campaign {
    const NAME: &'static str = "a campaign";
    const FORM: Form = Form::Json;
}

impl Campaign {
    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// `invalid_part`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        Part::parse(&self.template, "template").map(drop)
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
pub(crate) fn record<B: Binding>(context: &Context<'_, B>, campaign: &str) -> Versioned<Campaign> {
    let home = context.partitions.of_configuration(campaign);
    Versioned::new(home, records::campaign(campaign), BODY)
}

/// Sets up a campaign; the latest one counts. First it is listed: who can open groups of it can be found.
///
/// # Errors
/// `unknown_template`, naming the field; `sealed`; or the store's.
pub async fn set_up<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    campaign: &Campaign,
) -> Result<(), Failure> {
    if context.template(&campaign.template).await?.is_none() {
        let detail = "there is no such template";
        return Err(InvalidInput::new("unknown_template", "template", detail).into());
    }
    let (record, place) =
        (record(context, id), records::sealing_of_campaign(context.partitions, id));
    if place.is_sealed(context).await? {
        return Err(Refusal::Sealed.into());
    }
    let listed = Member::from(id);
    if !place.is_listed(context, &listed).await? {
        let mut plan = Plan::new();
        plan.demand(Refusal::Sealed, place.demand_unused(context.partitions));
        plan.write(Write::AddMember(place.list.clone(), listed));
        plan.write(place.archive.due.add(context.now, id.as_bytes()));
        context.commit(place.lists, plan).await?.map_err(|refused| refused.why)?;
    }
    let mut plan = Plan::new();
    plan.demand_all(Refusal::Sealed, place.demand_open(context.partitions));
    plan.write(record.set(campaign));
    context.commit(record.partition, plan).await?.map_err(|refused| refused.why)?;
    Ok(())
}

/// A campaign as it is now.
///
/// # Errors
/// `unknown_campaign`; or the store's.
pub async fn look<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Campaign, Failure> {
    let seen = record(context, id).find(context).await?;
    Ok(seen.record.ok_or(Refusal::UnknownCampaign)?)
}

/// Why a group is not opened, or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Something else was made of the chance.
    Changed,
    /// There must be room in the user's record.
    Full,
    /// The user may not.
    Refuse(Refusal),
}

/// Opens a group, or tells what became of it, and whether it was opened earlier.
///
/// # Errors
/// `unknown_campaign`, `disabled`, `chance_used`, `not_eligible`, `import_incomplete`, `too_many_coupons`, and
/// `order_number_reused` where the same group was opened for another time, with nothing changed; or
/// the store's.
pub async fn open<B: Binding>(
    context: &Context<'_, B>,
    opening: &Opening,
) -> Result<(Group, bool), Failure> {
    let (home, chance) = (context.home(opening.user), opening.chance());
    let record = record(context, &opening.campaign);
    let reads = vec![(home, chance.read()), (record.partition, record.read())];
    let answers = context.read_all(reads).await?;
    let mut before = taken(answers.first())?;
    let campaign = record.answered(answers.get(1))?.record;
    attempts("open a group", async || {
        let (plan, group, replayed) = match before.find(&opening.group) {
            Some(group) if group.lasts_seconds != opening.lasts_seconds => {
                return Err(Refusal::OrderNumberReused.into());
            }
            Some(group) => {
                let after = before.at(context.now);
                if after == before {
                    return Ok(Some((group.clone(), true)));
                }
                // It is told once it is so.
                let group = after.find(&opening.group).ok_or_else(unexpected)?.clone();
                (Plan::of(chance.change(&before, &after), Why::Changed), group, true)
            }
            None => {
                let campaign = campaign.as_ref().ok_or(Refusal::UnknownCampaign)?;
                if !campaign.enabled {
                    return Err(Refusal::Disabled.into());
                }
                let group = opening.group(campaign, context.now);
                let after = before.opened(group.clone()).ok_or(Refusal::ChanceUsed)?;
                let mark = PaidMark::of(opening.user, context.partitions);
                if !campaign.unknown_users.is_new() && !context.is_import_complete().await? {
                    // A user who has paid is not new, whatever becomes of the import.
                    let answers = context.read(home, vec![mark.read()]).await?;
                    let has_paid = answers.first() == Some(&Answer::Contains(true));
                    let unknown = Refusal::ImportIncomplete;
                    return Err(if has_paid { Refusal::NotEligible } else { unknown }.into());
                }
                let size = Guard::SizeAtMost(records::user(opening.user), USER_FIELDS_MAX);
                let mut plan = Plan::of(chance.change(&before, &after), Why::Changed);
                plan.demand(Why::Refuse(Refusal::NotEligible), mark.demand_new());
                plan.demand(Why::Full, size);
                // Whoever checks the books finds the group among the user's coupons.
                plan.write_all(records::HOLDERS.mark(opening.user, context.now));
                (plan, group, false)
            }
        };
        let Err(refused) = context.commit(home, plan).await? else {
            return Ok(Some((group, replayed)));
        };
        match refused.why {
            Why::Changed => before = Groups::decode(refused.field()?)?,
            Why::Full if orders::make_room(context, opening.user).await? => {}
            Why::Full => return Err(Refusal::TooManyCoupons.into()),
            Why::Refuse(refusal) => return Err(refusal.into()),
        }
        Ok(None)
    })
    .await
}

/// What was made of a chance.
fn taken(answer: Option<&Answer>) -> Result<Groups, CommitError> {
    match fields(answer)? {
        [value] => Groups::decode(value.as_ref()),
        _ => Err(unexpected()),
    }
}

/// The number under which the reward of a group is given.
///
/// # Errors
/// They are not names.
pub fn reward_number(campaign: &str, group: &str) -> Result<OrderNumber, CommitError> {
    let number = format!("{REWARD}{campaign}:{group}");
    OrderNumber::parse(&number, "group").map_err(|_| unexpected())
}

/// The campaign and the group of the number of a reward; nothing where it is the number of something else.
pub(crate) fn rewarded_by(number: &OrderNumber) -> Option<(&str, &str)> {
    number.as_str().strip_prefix(REWARD)?.split_once(':')
}

/// Gives the reward of a chance, if it is due and the template does not refuse; whether this was the
/// one who gave it.
async fn settle<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
    groups: &Groups,
) -> Result<bool, CommitError> {
    let Some(Group { group, template, .. }) = groups.due() else { return Ok(false) };
    let number = reward_number(chance.campaign, group)?;
    let claim = Claim {
        user: chance.user,
        number: Number::Reward(number.clone(), chance.demand(groups)),
        ordered_at: None,
        template: template.clone(),
        segments: Vec::new(),
        hold_ms: None,
    };
    let phase = match issue(context, &claim).await {
        Ok(_) => Phase::Rewarded,
        // A number is forgotten only once it has given something.
        Err(Failure::Refused(Refusal::TooOld)) => Phase::Rewarded,
        Err(Failure::Store(error)) => return Err(error),
        Err(Failure::Refused(_) | Failure::Invalid(_)) => {
            let published = context.template(template).await?;
            let lapses = match published {
                // What is sealed gives nothing for good.
                None => is_sealed(context, template).await?,
                Some(published) if published.scene.compensated => {
                    let until = published.template.claim_until.0.saturating_add(GRACE_MS);
                    context.now.0 >= until && is_over(context, template).await?
                }
                Some(_) => true,
            };
            if !lapses {
                return Ok(false);
            }
            Phase::Lapsed
        }
    };
    let is_settled = commit_settled(context, chance, groups, phase, &number).await?;
    Ok(phase == Phase::Rewarded && is_settled)
}

/// Commits that a reward was given, or has lapsed; `false` where somebody else was first.
async fn commit_settled<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
    groups: &Groups,
    phase: Phase,
    number: &OrderNumber,
) -> Result<bool, CommitError> {
    let mut pages = 0;
    attempts("settle a reward", async || {
        let settled = chance.change(groups, &groups.settled(phase));
        let mut plan = Plan::of(settled, NotNew::Acted);
        if phase == Phase::Lapsed {
            // Somebody else may have given it, by a clock by which the template gives. And once it has lapsed
            // nobody does: giving demands that it is due.
            let reward = records::number(chance.user, number, None);
            orders::demand_new(&mut plan, reward, pages, context.partitions, |why| why);
        }
        let Err(refused) = context.commit(context.home(chance.user), plan).await? else {
            return Ok(Some(true));
        };
        if refused.why != NotNew::Pages {
            return Ok(Some(false));
        }
        pages = orders::pages(refused.field()?)?;
        Ok(None)
    })
    .await
}

/// Looks at a chance, and gives its reward as [`settle`] does.
async fn settle_chance<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
) -> Result<bool, CommitError> {
    let answers = context.read(context.home(chance.user), vec![chance.read()]).await?;
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
    match (&order, rewarded_by(number)) {
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
    let sweep = Sweep {
        index: REWARDS,
        name: LISTED,
        partitions,
        until: context.now,
        looks_ahead: false,
        sets_aside: true,
        done_max: REWARDS_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.run(context, async |items| settle_all(context, items).await).await
}

/// Gives rewards, some at once. Where the store fails with one of a partition, no other one of it is begun.
async fn settle_all<B: Binding>(context: &Context<'_, B>, items: &[Place]) -> Vec<Tried> {
    let failed = RefCell::new(BTreeSet::new());
    let gifts = items.iter().enumerate().map(async |(place, item)| {
        if failed.borrow().contains(&item.partition) {
            return (place, None);
        }
        let result = settle_listed(context, item).await;
        if result.as_ref().is_err_and(|fault| !fault.error.is_of_records()) {
            failed.borrow_mut().insert(item.partition);
        }
        (place, Some(result))
    });
    let gifts: Vec<_> = gifts.collect();
    let mut results = stream::iter(gifts).buffer_unordered(CONCURRENT);
    let mut tried = vec![None; items.len()];
    while let Some((place, result)) = results.next().await {
        tried[place] = result;
    }
    tried
}

/// Gives a reward that stands in the index, as [`settle`] does; or takes it out, where none is due there.
async fn settle_listed<B: Binding>(context: &Context<'_, B>, item: &Place) -> Result<bool, Fault> {
    let Due { at, what } = item.due()?;
    let (user, campaign) = due::user_of(what)?;
    let chance = Chance { user, campaign };
    let answers = context.read(item.partition, vec![chance.read()]).await?;
    let groups = taken(answers.first())?;
    if let Some(group) = groups.due().filter(|group| group.opened_at == at) {
        // The template, its scene and its leases are everybody's.
        return settle_group(context, chance, &groups, group)
            .await
            .map_err(Fault::of_shared_record);
    }
    if groups.is_empty() {
        // A chance is never taken away, and the reward would be lost: somebody has to look.
        let lost = CommitError::Unreadable("the chance is listed, and not there".into());
        return Err(lost.into());
    }
    // Refused, there is something to do there after all.
    context.commit(item.partition, Plan::of(chance.forget(&groups, at), ())).await?.ok();
    Ok(false)
}

/// Whether a template is sealed, and so gives nothing for good.
async fn is_sealed<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
) -> Result<bool, CommitError> {
    context.publication(template).sealing().is_sealed(context).await
}

/// Gives a reward that is due, as [`settle`] does. A template goes only once it is sealed: where another one is gone
/// somebody has to look, and may publish it again.
async fn settle_group<B: Binding>(
    context: &Context<'_, B>,
    chance: Chance<'_>,
    groups: &Groups,
    Group { template, .. }: &Group,
) -> Result<bool, CommitError> {
    let is_given = settle(context, chance, groups).await?;
    if !is_given
        && context.template(template).await?.is_none()
        && !is_sealed(context, template).await?
    {
        let gone = format!("the template {template} of a reward is gone");
        return Err(CommitError::Unreadable(gone));
    }
    Ok(is_given)
}

#[cfg(test)]
mod tests {
    use domain::transaction::Read;
    use store::codec::{decode, encode};

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
        assert_eq!(campaign.validate(), Ok(()));
        assert_eq!(decode::<Campaign>(&encode(&campaign)), Ok(campaign));
    }
}

//! Group-buys, which stand in the records of users beside their coupons: what was made of a chance, and whether the reward
//! of a group that succeeded was given, or will be. Nothing sweeps groups that are open: whoever meets one whose time is
//! over ends it.

use std::collections::BTreeSet;

use coupons::chance::{Chance, Group, Groups, Phase, REWARDS, campaign_of};
use coupons::group_buy::reward_number;
use coupons::orders::Record;
use coupons::records;
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Value};
use edge::store::Binding;
use store::quarantine;

use super::{FIELDS, Look, Report, What, value};

/// Rewards that are looked up at once, with four reads each.
const REWARDS_AT_ONCE: usize = 250;

/// A reward that is due, as the chance says it.
pub(super) struct Reward {
    user: UserId,
    campaign: String,
    opened_at: UnixMillis,
    stored: Value,
}

/// A reward that counts as given, and whose order is not there: it may have been collected.
pub(super) struct Missing {
    user: UserId,
    number: OrderNumber,
    place: String,
}

/// Looks at the chances of a user; the rewards that are due, and those whose orders are not there.
pub(super) fn check(record: &Record, report: &mut Report) -> (Vec<Reward>, Vec<Missing>) {
    let user = record.user;
    let (mut due, mut missing) = (Vec::new(), Vec::new());
    for (field, value) in &record.fields {
        let Some(campaign) = campaign_of(field) else { continue };
        let place = || format!("{user}/{campaign}");
        let Ok(groups) = Groups::decode(Some(value)) else {
            report.broken(What::RecordUnreadable, place());
            continue;
        };
        if !is_possible(groups.all()) {
            report.broken(What::ChanceDiffers, place());
        }
        for Group { group, .. } in groups.all().iter().filter(|one| one.phase == Phase::Rewarded) {
            let place = format!("{user}/{campaign}/{group}");
            match reward_number(campaign, group) {
                Ok(number) if record.has(&number) => {}
                Ok(number) => missing.push(Missing { user, number, place }),
                Err(_) => report.broken(What::RewardMissing, place),
            }
        }
        due.extend(groups.due().map(|group| Reward {
            user,
            campaign: campaign.to_owned(),
            opened_at: group.opened_at,
            stored: value.clone(),
        }));
    }
    (due, missing)
}

/// Whether groups may have come of one chance: each but the last gave it back, and each has its own name.
fn is_possible(groups: &[Group]) -> bool {
    let Some((_, before)) = groups.split_last() else { return false };
    let gave_back =
        |one: &Group| one.gives_back && matches!(one.phase, Phase::Failed | Phase::Expired);
    let names: BTreeSet<_> = groups.iter().map(|one| &one.group).collect();
    before.iter().all(gave_back) && names.len() == groups.len()
}

/// Whether each reward that is due is found by the sweep, or is set aside or dropped. Where it was given meanwhile the
/// chance is another one.
pub(super) async fn check_rewards<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rewards: &[Reward],
    report: &mut Report,
) -> Result<(), CommitError> {
    for some in rewards.chunks(REWARDS_AT_ONCE) {
        let reads = some.iter().flat_map(|Reward { user, campaign, opened_at, .. }| {
            let entry = due::of_user(*user, campaign);
            let [aside, dropped] = quarantine::has(REWARDS, *opened_at, &entry);
            let chance = Chance { user: *user, campaign };
            [chance.read(), REWARDS.has(*opened_at, &entry), aside, dropped]
        });
        let answers = look.read(partition, reads.collect()).await?;
        for (one, answers) in some.iter().zip(answers.chunks(4)) {
            let is_same = value(answers.first())? == Some(&one.stored);
            if is_same && !answers.contains(&Answer::Contains(true)) {
                report.broken(What::RewardUnlisted, format!("{}/{}", one.user, one.campaign));
            }
        }
    }
    Ok(())
}

/// Whether the number of each reward whose order is not there is forgotten, because the order was collected. It is so for
/// ever.
pub(super) async fn check_missing<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    missing: &[Missing],
    report: &mut Report,
) -> Result<(), CommitError> {
    let partitions = look.context.partitions;
    for some in missing.chunks(FIELDS) {
        let read =
            |one: &Missing| records::number(one.user, &one.number, None).read_forgotten(partitions);
        let answers = look.read(partition, some.iter().map(read).collect()).await?;
        for (one, answer) in some.iter().zip(answers) {
            if answer != Answer::Contains(true) {
                report.broken(What::RewardMissing, one.place.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_but_the_last_gave_the_chance_back() {
        let group = |name: &str, gives_back, phase| Group {
            group: name.into(),
            template: "t".into(),
            gives_back,
            opened_at: UnixMillis(0),
            lasts_seconds: 1,
            phase,
        };
        let all = [
            Phase::Open,
            Phase::Succeeded,
            Phase::Rewarded,
            Phase::Lapsed,
            Phase::Failed,
            Phase::Expired,
        ];
        for phase in all {
            for back in [false, true] {
                let first = group("a", back, phase);
                assert!(is_possible(std::slice::from_ref(&first)), "{first:?}");
                let gave_back = back && matches!(phase, Phase::Failed | Phase::Expired);
                for next in all {
                    let two = [first.clone(), group("b", false, next)];
                    assert_eq!(is_possible(&two), gave_back, "{two:?}");
                    let twice = [first.clone(), group("a", false, next)];
                    assert!(!is_possible(&twice), "{twice:?}");
                }
            }
        }
        assert!(!is_possible(&[]));
    }
}

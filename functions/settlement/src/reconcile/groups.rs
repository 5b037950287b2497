//! Group-buys, which stand in the records of users beside their coupons: what was made of a chance, and whether the reward
//! of a group that succeeded was given, or will be. Nothing sweeps groups that are open: whoever meets one whose time is
//! over ends it.

use std::collections::BTreeSet;

use coupons::chance::{Chance, Group, Groups, Phase, REWARDS, campaign_of};
use coupons::group_buy::reward_number;
use coupons::records;
use domain::due;
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Value};
use edge::store::Binding;
use store::quarantine;

use super::{Look, Report, What, value};

/// Rewards that are looked up at once, with four reads each.
const REWARDS_AT_ONCE: usize = 250;

/// A reward that is due, as the chance says it.
pub(super) struct Reward {
    user: UserId,
    campaign: String,
    opened_at: UnixMillis,
    stored: Value,
}

/// Looks at the chances of a user; the rewards that are due.
pub(super) fn check(user: UserId, record: &[(Field, Value)], report: &mut Report) -> Vec<Reward> {
    let mut due = Vec::new();
    for (field, value) in record {
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
            let order = reward_number(campaign, group).map(|number| records::order(&number));
            // A user's record is sorted by field.
            let is_there = order
                .is_ok_and(|order| record.binary_search_by(|(field, _)| field.cmp(&order)).is_ok());
            if !is_there {
                report.broken(What::RewardMissing, format!("{user}/{campaign}/{group}"));
            }
        }
        due.extend(groups.due().map(|group| Reward {
            user,
            campaign: campaign.to_owned(),
            opened_at: group.opened_at,
            stored: value.clone(),
        }));
    }
    due
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

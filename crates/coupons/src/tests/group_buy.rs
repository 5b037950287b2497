//! Campaigns, groups that take the user's one chance, and rewards that are due.

use crate::chance::{Chance, Group, Groups, Phase, REWARDS};
use binding::Binding as _;
use domain::due::{Stuck, Swept, of_user};
use domain::ids::UserId;
use domain::paid::Unknown;
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{Answer, Read, Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use serde_json::json;
use store::Plan;

use super::shop::{CHANCE, START, Shop, USER, claim, invalid, number, opening, refused, settle};
use crate::group_buy::{self, Campaign, Opening, REWARDS_MAX};
use crate::issue::{self, Claim};
use crate::list::{Listed, Page, list};
use crate::records::{self, Gave, Order};
use crate::refusal::Refusal;
use crate::scene::{RateLimit, Scene};

const REWARD: &str = "group:spring:g";

impl Shop {
    /// Opens a group, so long after the start: where it stands, and whether it was opened earlier.
    fn try_group(&self, ms: i64, opening: &Opening) -> Result<(Phase, bool), Refusal> {
        match block_on(group_buy::open(&self.behind(ms), opening)) {
            Ok((group, replayed)) => Ok((group.phase, replayed)),
            failure => Err(refused(failure)),
        }
    }

    /// A group that was opened so long before the start has succeeded, and its reward is due.
    fn earn_of(&self, chance: Chance<'_>, template: &str, age_ms: i64) {
        let group = Group {
            group: "g".into(),
            template: template.into(),
            gives_back: true,
            opened_at: UnixMillis(START.0 - age_ms),
            lasts_seconds: 60,
            phase: Phase::Open,
        };
        let open = Groups::default().opened(group).unwrap();
        let succeeded = open.ended("g", Phase::Succeeded, START).unwrap();
        self.write(self.now().home(chance.user), chance.change(&open, &succeeded).writes);
    }

    /// What a sweep of everything does.
    fn settled(&self) -> Swept {
        let partitions: Vec<_> = self.now().partitions.all().collect();
        block_on(group_buy::settle_due(&self.now(), &partitions)).unwrap()
    }
}

#[test]
fn the_latest_campaign_counts() {
    let shop = Shop::open();
    let campaign = |give_back| Campaign {
        template: "t".into(),
        give_back,
        unknown_users: Unknown::New,
        enabled: true,
    };
    assert_eq!(block_on(group_buy::look(&shop.now(), "spring")), Ok(campaign(true)));
    shop.set_up_campaign(false, true);
    assert_eq!(block_on(group_buy::look(&shop.now(), "spring")), Ok(campaign(false)));
    let unknown = block_on(group_buy::look(&shop.now(), "autumn"));
    assert_eq!(refused(unknown), Refusal::UnknownCampaign);

    let nowhere = Campaign { template: "nowhere".into(), ..campaign(true) };
    let result = block_on(group_buy::set_up(&shop.now(), "autumn", &nowhere));
    assert_eq!(invalid(result), ("unknown_template", "template".into()));
    let unknown = block_on(group_buy::look(&shop.now(), "autumn"));
    assert_eq!(refused(unknown), Refusal::UnknownCampaign);
}

#[test]
fn a_user_has_one_open_group_at_a_time() {
    let shop = Shop::open();
    let first = opening(USER, "g");
    assert_eq!(shop.try_group(0, &first), Ok((Phase::Open, false)));
    assert_eq!(shop.try_group(59_999, &first), Ok((Phase::Open, true)));
    let longer = Opening { lasts_seconds: 61, ..first.clone() };
    assert_eq!(shop.try_group(0, &longer), Err(Refusal::OrderNumberReused));
    let second = opening(USER, "h");
    assert_eq!(shop.try_group(59_999, &second), Err(Refusal::ChanceUsed));
    assert_eq!(shop.try_group(0, &opening(UserId(8), "h")), Ok((Phase::Open, false)));
    // A group that expired gives the chance back.
    assert_eq!(shop.try_group(60_000, &second), Ok((Phase::Open, false)));
    assert_eq!(shop.try_group(60_000, &first), Ok((Phase::Expired, true)));
}

#[test]
fn a_campaign_may_keep_the_chance() {
    let shop = Shop::open();
    shop.set_up_campaign(false, true);
    assert_eq!(shop.try_group(0, &opening(USER, "g")), Ok((Phase::Open, false)));
    assert_eq!(shop.try_group(60_000, &opening(USER, "h")), Err(Refusal::ChanceUsed));
    assert_eq!(shop.try_group(60_000, &opening(USER, "g")), Ok((Phase::Expired, true)));
}

#[test]
fn whoever_may_not_open_a_group_is_told_why() {
    let shop = Shop::open();
    let (paid, full) = (UserId(8), UserId(9));
    shop.pay(paid);
    shop.fill_record(full);
    assert_eq!(shop.try_group(0, &opening(paid, "g")), Err(Refusal::NotEligible));
    let autumn = Opening { campaign: "autumn".into(), ..opening(USER, "g") };
    assert_eq!(shop.try_group(0, &autumn), Err(Refusal::UnknownCampaign));
    assert_eq!(shop.try_group(0, &opening(full, "g")), Ok((Phase::Open, false)));
    let later = shop.try_group(60_000, &opening(full, "h"));
    assert_eq!(later, Err(Refusal::TooManyCoupons));

    shop.set_up_campaign(true, false);
    assert_eq!(shop.try_group(0, &opening(USER, "g")), Err(Refusal::Disabled));
    // Groups that are open go on.
    assert_eq!(shop.try_group(0, &opening(full, "g")), Ok((Phase::Open, true)));
}

#[test]
fn a_campaign_may_demand_that_unknown_users_are_asked_about_elsewhere() {
    let shop = Shop::open();
    let paid = UserId(8);
    shop.pay(paid);
    // One that was opened before is told.
    assert_eq!(shop.try_group(0, &opening(UserId(9), "g")), Ok((Phase::Open, false)));
    let campaign = Campaign {
        template: "t".into(),
        give_back: true,
        unknown_users: Unknown::Ask,
        enabled: true,
    };
    block_on(group_buy::set_up(&shop.now(), CHANCE.campaign, &campaign)).unwrap();
    assert_eq!(shop.try_group(0, &opening(USER, "g")), Err(Refusal::ImportIncomplete));
    assert_eq!(shop.try_group(0, &opening(paid, "g")), Err(Refusal::NotEligible));
    assert_eq!(shop.try_group(0, &opening(UserId(9), "g")), Ok((Phase::Open, true)));
    shop.declare_import(true);
    assert_eq!(shop.try_group(0, &opening(USER, "g")), Ok((Phase::Open, false)));
    assert_eq!(shop.try_group(0, &opening(paid, "g")), Err(Refusal::NotEligible));
}

#[test]
fn of_two_groups_at_the_same_time_the_first_takes_the_chance() {
    let shop = Shop::open();
    let (group, _) = block_on(group_buy::open(&shop.now(), &opening(UserId(8), "h"))).unwrap();
    let theirs = Groups::default().opened(group).unwrap();
    // After the one who comes second saw that the chance is free.
    let writes = CHANCE.change(&Groups::default(), &theirs).writes;
    shop.meanwhile(2, shop.now().home(USER), writes);
    assert_eq!(shop.try_group(0, &opening(USER, "g")), Err(Refusal::ChanceUsed));
    assert!(shop.was_interrupted());
    assert_eq!(shop.groups(USER), theirs);
}

#[test]
fn a_sweep_gives_each_reward_that_is_due_once() {
    let shop = Shop::open();
    let users: Vec<_> = (1..=3).map(UserId).collect();
    for user in &users {
        shop.earn(*user);
    }
    shop.open_group(USER);
    assert_eq!(settle(&shop.now()), 3);
    for user in &users {
        assert_eq!(shop.phase(*user), Phase::Rewarded);
        let order = block_on(issue::look_up(&shop.now(), *user, &number(REWARD))).unwrap();
        assert!(matches!(order.unwrap().gave, Gave::Issued(_)));
    }
    assert_eq!(shop.phase(USER), Phase::Open);
    assert_eq!((settle(&shop.now()), shop.stock().issued), (0, 3));
}

#[test]
fn a_reward_that_cannot_be_given_stays_due_until_it_can() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1))]).unwrap();
    let users = [UserId(1), UserId(2), UserId(3)];
    for user in users {
        shop.earn(user);
    }
    assert_eq!(settle(&shop.now()), 1);
    assert_eq!((settle(&shop.now()), shop.stock().issued), (0, 1));
    let due = users.iter().filter(|user| shop.phase(**user) == Phase::Succeeded);
    assert_eq!(due.count(), 2);
    shop.publish("t", &[("stock", json!(3))]).unwrap();
    // Whoever found that nothing was left says so for a second.
    assert_eq!(settle(&shop.behind(2_000)), 2);
    assert!(users.iter().all(|user| shop.phase(*user) == Phase::Rewarded));
    assert_eq!(shop.stock().issued, 3);
}

#[test]
fn many_rewards_are_given_by_repeated_sweeps_those_of_the_oldest_groups_first() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1_000))]).unwrap();
    let count = REWARDS_MAX as usize + 10;
    let users: Vec<_> = shop.neighbours().take(count).collect();
    // Whoever comes later has an older group.
    for (user, age) in (0..).zip(&users).map(|(age, user)| (*user, age)) {
        shop.earn_of(Chance { user, ..CHANCE }, "t", age);
    }
    let swept = Swept { done: REWARDS_MAX, has_more: true, ..Swept::default() };
    assert_eq!(shop.settled(), swept);
    let is_due = |user: &&UserId| shop.phase(**user) == Phase::Succeeded;
    let due: Vec<_> = users.iter().filter(is_due).collect();
    assert_eq!(due, users[..10].iter().collect::<Vec<_>>());
    assert_eq!(shop.settled(), Swept { done: 10, ..Swept::default() });
    assert_eq!((shop.settled(), shop.stock().issued), (Swept::default(), count as i64));
}

#[test]
fn rewards_that_stay_due_do_not_hide_those_behind_them() {
    let shop = Shop::open();
    shop.publish("t", &[("enabled", json!(false))]).unwrap();
    shop.publish("u", &[]).unwrap();
    let refused = REWARDS_MAX as usize + 10;
    for user in shop.neighbours().take(refused) {
        shop.earn_of(Chance { user, ..CHANCE }, "t", 1);
    }
    shop.earn_of(CHANCE, "u", 0);
    assert_eq!(shop.settled(), Swept { done: 1, ..Swept::default() });
    assert_eq!((shop.phase(USER), shop.stock_of("u").issued), (Phase::Rewarded, 1));
    assert_eq!(shop.entries(shop.now().home(USER), REWARDS), refused as u64);
}

#[test]
fn a_chance_that_cannot_be_read_stops_only_itself() {
    let shop = Shop::open();
    let broken = shop.neighbours().next().unwrap();
    shop.earn_of(Chance { user: broken, ..CHANCE }, "t", 1);
    shop.earn(USER);
    let foreign = Value::Bytes(b"no chance".to_vec());
    let writes = vec![
        Write::Set(records::user(broken), "gspring".into(), foreign),
        Write::AddMember(REWARDS.key(), "foreign".into()),
    ];
    shop.write(shop.now().home(USER), writes);
    let swept = shop.settled();
    assert_eq!((swept.done, swept.has_more, shop.phase(USER)), (1, false, Phase::Rewarded));
    let home = shop.now().home(USER);
    let places = |of: &[Stuck]| of.iter().map(|one| one.place.clone()).collect::<Vec<_>>();
    let place = format!("rewards that are due in {home}: spring of user {broken}");
    assert_eq!(places(&swept.stuck), [place]);
    assert_eq!(places(&swept.set_aside), [format!("rewards that are due in {home}: foreign")]);
}

#[test]
fn an_entry_under_which_no_reward_is_due_goes() {
    let shop = Shop::open();
    let nobody = shop.neighbours().next().unwrap();
    shop.publish("t", &[("enabled", json!(false))]).unwrap();
    shop.earn(USER);
    let home = shop.now().home(USER);
    // Of another group of a user whose reward is due.
    let entry = |user| REWARDS.add(UnixMillis(START.0 - 1), &of_user(user, CHANCE.campaign));
    shop.write(home, vec![entry(USER)]);
    assert_eq!(shop.entries(home, REWARDS), 2);
    assert_eq!((shop.settled(), shop.entries(home, REWARDS)), (Swept::default(), 1));
    shop.publish("t", &[]).unwrap();
    assert_eq!((settle(&shop.now()), shop.entries(home, REWARDS)), (1, 0));
    // A chance that was lost: somebody has to look.
    shop.write(home, vec![entry(nobody)]);
    let swept = shop.settled();
    assert_eq!((swept.done, swept.stuck.len(), shop.entries(home, REWARDS)), (0, 1, 1));
}

#[test]
fn a_reward_that_is_not_compensated_lapses() {
    let shop = Shop::open();
    shop.set_up_scene(&Scene { compensated: false, ..Scene::plain() });
    shop.earn(USER);
    shop.publish("t", &[("enabled", json!(false))]).unwrap();
    assert_eq!(settle(&shop.now()), 0);
    assert_eq!(shop.phase(USER), Phase::Lapsed);
    shop.publish("t", &[]).unwrap();
    assert_eq!((settle(&shop.now()), shop.stock().issued), (0, 0));
}

/// A minute after the start the template gives nothing any more, and before there was nothing left to give.
fn spent(shop: &Shop) -> [(&'static str, serde_json::Value); 2] {
    let ends = [("stock", json!(0)), ("claim_until", json!("2026-02-16T16:01:00.250Z"))];
    shop.publish("t", &ends).unwrap();
    ends
}

/// When no clock takes that for open any more.
const OVER_MS: i64 = 60_000 + GRACE_MS;

#[test]
fn a_reward_of_a_template_that_is_over_lapses() {
    let shop = Shop::open();
    let asks = UserId(8);
    shop.earn(USER);
    shop.earn(asks);
    let ends = spent(&shop);
    assert_eq!(settle(&shop.behind(OVER_MS - 1)), 0);
    assert_eq!(shop.phase(USER), Phase::Succeeded, "an operator may still add to the stock");
    assert_eq!(settle(&shop.behind(OVER_MS)), 0);
    assert_eq!(shop.phase(USER), Phase::Lapsed);
    assert_eq!(shop.entries(shop.now().home(USER), REWARDS), 0);
    // The user is told, and it stays so when the window is opened again, or by a clock that is behind.
    let again = block_on(group_buy::open(&shop.behind(OVER_MS), &opening(USER, "g"))).unwrap();
    assert_eq!((again.0.phase, again.1), (Phase::Lapsed, true));
    for changes in [vec![("stock", json!(9)), ends[1].clone()], vec![("stock", json!(9))]] {
        shop.publish("t", &changes).unwrap();
        assert_eq!((settle(&shop.now()), shop.stock().issued), (0, 0));
    }
    assert_eq!((settle(&shop.behind(OVER_MS)), shop.phase(USER)), (0, Phase::Lapsed));
}

#[test]
fn who_lists_their_coupons_meets_a_reward_that_lapses() {
    let shop = Shop::open();
    shop.earn(USER);
    spent(&shop);
    let page = Page { limit: 10, ..Page::default() };
    let listed = |ms| block_on(list(&shop.behind(ms), USER, &page)).unwrap();
    assert_eq!((listed(OVER_MS - 1), shop.phase(USER)), (Listed::default(), Phase::Succeeded));
    assert_eq!((listed(OVER_MS), shop.phase(USER)), (Listed::default(), Phase::Lapsed));
}

#[test]
fn a_reward_lapses_by_the_pool_and_not_by_a_copy_that_is_behind() {
    let shop = Shop::open();
    shop.earn(USER);
    spent(&shop);
    let (home, copy) = (shop.now().notice("t"), records::notice("t"));
    let Answer::Map(fields) = shop.read(home, Read::All(copy.clone(), 100)) else {
        panic!("a notice");
    };
    shop.publish("t", &[("stock", json!(9))]).unwrap();
    let back = fields.into_iter().map(|(field, value)| Write::Set(copy.clone(), field, value));
    shop.write(home, back.collect());
    shop.now().templates.forget("t");
    assert_eq!(settle(&shop.behind(OVER_MS)), 0);
    assert_eq!(shop.phase(USER), Phase::Succeeded);
    // Whoever published publishes again, as they were told nothing.
    shop.publish("t", &[("stock", json!(9))]).unwrap();
    assert_eq!((settle(&shop.behind(OVER_MS)), shop.phase(USER)), (1, Phase::Rewarded));
}

#[test]
fn a_reward_that_is_given_late_does_not_lapse_as_well() {
    let mut interrupted = 0;
    for before in 0..16 {
        let shop = Shop::open();
        shop.earn(USER);
        spent(&shop);
        // What one who gives commits, by a clock by which the template does, with the guard of a reward.
        let given = Order::new(1, START, Gave::Greeting("given".into()));
        let mut plan = Plan::new();
        plan.demand((), CHANCE.demand(&shop.groups(USER)));
        let write =
            Write::Set(records::user(USER), records::order(&number(REWARD)), given.encode());
        plan.write(write);
        let (give, _) = plan.into_parts();
        let home = shop.now().home(USER);
        shop.store.interrupt(before, move |memory| {
            memory.commit(home, &give).now_or_never().unwrap().unwrap();
        });
        assert!(settle(&shop.behind(OVER_MS)) <= 1);
        if !shop.was_interrupted() {
            continue;
        }
        interrupted += 1;
        let order = block_on(issue::look_up(&shop.now(), USER, &number(REWARD))).unwrap();
        assert_eq!(order.is_some(), shop.phase(USER) != Phase::Lapsed, "{before}");
    }
    assert!(interrupted >= 8, "{interrupted}");
}

#[test]
fn a_reward_whose_template_is_gone_is_told_and_stays() {
    let shop = Shop::open();
    shop.earn_of(CHANCE, "gone", 0);
    let swept = shop.settled();
    assert_eq!((swept.done, swept.has_more, swept.set_aside), (0, false, vec![]));
    let [stuck] = swept.stuck.as_slice() else { panic!("{:?}", swept.stuck) };
    assert!(stuck.error.to_string().contains("gone"), "{stuck:?}");
    let page = Page { limit: 10, ..Page::default() };
    assert_eq!(block_on(list(&shop.now(), USER, &page)).unwrap().orders, []);
    shop.publish("gone", &[]).unwrap();
    assert_eq!((settle(&shop.now()), shop.phase(USER)), (1, Phase::Rewarded));
}

#[test]
fn who_may_have_a_reward_was_decided_when_it_was_earned() {
    let shop = Shop::open();
    shop.set_up_scene(&Scene {
        rate_limit: Some(RateLimit { awards: 1, seconds: 10 }),
        ..Scene::plain()
    });
    shop.publish("u", &[]).unwrap();
    shop.issue(&Claim { template: "u".into(), ..claim(USER, "n") }).unwrap();
    shop.earn(USER);
    shop.pay(USER);
    shop.publish("t", &[("new_users_only", json!(true)), ("segments", json!(["gold"]))]).unwrap();
    assert_eq!(settle(&shop.now()), 1);
    assert_eq!((shop.phase(USER), shop.stock().issued), (Phase::Rewarded, 1));
}

#[test]
fn whoever_looks_at_their_coupons_is_given_what_is_due() {
    let shop = Shop::open();
    let (lists, asks) = (UserId(1), UserId(2));
    shop.earn(lists);
    shop.earn(asks);
    let page = Page { limit: 10, ..Page::default() };
    let Listed { orders, has_more, .. } = block_on(list(&shop.now(), lists, &page)).unwrap();
    assert_eq!((orders.len(), has_more), (1, false));
    assert_eq!((&orders[0].0, shop.phase(lists)), (&number(REWARD), Phase::Rewarded));
    assert_eq!(shop.phase(asks), Phase::Succeeded);

    let other = block_on(group_buy::look_up(&shop.now(), asks, &number("n")));
    assert_eq!((other, shop.phase(asks)), (Ok(None), Phase::Succeeded));
    let given = block_on(group_buy::look_up(&shop.now(), asks, &number(REWARD))).unwrap().unwrap();
    assert_eq!(given.coupon().unwrap().template, "t");
    assert_eq!(shop.phase(asks), Phase::Rewarded);
    let again = block_on(group_buy::look_up(&shop.now(), asks, &number(REWARD)));
    assert_eq!((again, shop.stock().issued), (Ok(Some(given)), 2));
    assert_eq!(settle(&shop.now()), 0);
}

#[test]
fn a_reward_counts_towards_the_limit_of_the_user() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    shop.earn(USER);
    assert_eq!(settle(&shop.now()), 0);
    assert_eq!((shop.phase(USER), shop.stock().issued), (Phase::Succeeded, 1));
}

#[test]
fn a_campaign_names_a_template() {
    let of = |template: &str| Campaign {
        template: template.into(),
        give_back: true,
        unknown_users: Unknown::Ask,
        enabled: false,
    };
    assert_eq!(of("t").validate(), Ok(()));
    let wrong = of("a b").validate().unwrap_err();
    assert_eq!((wrong.code, wrong.field.as_str()), ("invalid_part", "template"));
}

//! Group-buys: clients open groups of the same users, say how they ended, and look at coupons. What was told of
//! a group that has ended holds for good, nobody has two chances, and each success is one coupon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use coupons::chance::REWARDS as DUE;
use domain::due;
use domain::transaction::Member;
use end_to_end::app::{Ask, Reply};
use end_to_end::coupon::{Stock, list, look, publish, template};
use end_to_end::group_buy::{ended, open_for, put, set_up};
use end_to_end::patient::Patient;
use futures::future::BoxFuture;
use serde_json::json;

use super::coupon::books::{check_template, left};
use super::coupon::seen::Seen;
use super::{Client, Entry, Function};
use crate::books::Books;
use crate::world::{Paid, Step, USERS, World};

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "group-buy",
    actions: &[
        ("open", 4),
        ("succeeded", 4),
        ("succeeded near the end", 2),
        ("failed", 1),
        ("expired", 1),
        ("list", 1),
    ],
    later: &[],
    is_always_in_play: false,
    states: &[
        "group-buy: open",
        "group-buy: succeeded",
        "group-buy: rewarded",
        "group-buy: failed",
        "group-buy: expired",
        "group-buy: chance_used",
        "group-buy: coupon",
    ],
    create: |_, plan| {
        let (known, seen) = Default::default();
        Arc::new(GroupBuys { weeks: plan.weeks, known, seen })
    },
};

/// Only the second one gives chances back.
const CAMPAIGNS: [&str; 2] = ["once", "back"];
/// With how many seconds each lasts: one expires as soon as anything takes long.
const GROUPS: [(&str, u64); 3] = [("g0", 3_600), ("g1", 3_600), ("g2", 1)];
/// Few, so that clients meet at them.
const OPENERS: usize = 2;
/// What a success is worth.
const REWARD: &str = "reward";
const REWARDS: u64 = 1_000;

/// A user, a campaign and a group.
type Name = (u64, &'static str, &'static str);

/// What is known of a group by answers.
#[derive(Clone, Debug, Default)]
struct Known {
    /// When somebody first tried to open it.
    tried_ms: Option<u64>,
    /// The latest state that was told.
    state: Option<String>,
    /// Whether it was acknowledged that it ended.
    ended: bool,
    /// Whether anybody ever said that it ended otherwise than with success.
    otherwise: bool,
    /// Whether it was acknowledged that it succeeded while it was open for certain, before anybody said
    /// otherwise.
    succeeded_first: bool,
}

struct GroupBuys {
    /// Rewards are over after some days.
    weeks: bool,
    known: Mutex<BTreeMap<Name, Known>>,
    /// Orders as they were at the last look.
    seen: Mutex<Seen>,
}

impl GroupBuys {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing has failed")
    }

    fn with<R>(&self, name: Name, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = self.known.lock().expect("nothing has failed");
        change(known.entry(name).or_default())
    }

    /// Learns what an answer to an opening says of a group: never that it is further back than it was known
    /// to be before.
    fn opened(&self, name: Name, before: &Known, paid: Option<Paid>, reply: &Reply) -> String {
        if reply.status != 201 {
            let code = reply.text("code").unwrap_or_default();
            let expected = match paid {
                Some(_) => ["chance_used", "disabled", "not_eligible"],
                None => ["chance_used", "disabled", "disabled"],
            };
            assert!(expected.contains(&code.as_str()), "{name:?}: {reply:?}");
            assert_eq!(before.state, None, "{name:?} is forgotten: {reply:?}");
            return code;
        }
        let state = reply.text("state").expect("a state");
        match before.state.as_deref() {
            None | Some("open") => {
                assert!(!before.ended || state != "open", "{name:?}: {before:?}");
                let is_new = before.state.is_none() && reply.json()["replayed"] == false;
                assert!(
                    !is_new || paid != Some(Paid::Acknowledged),
                    "{name:?} has paid: {reply:?}"
                );
            }
            Some("succeeded") => {
                assert!(["succeeded", "rewarded"].contains(&state.as_str()), "{name:?}: {state}");
            }
            Some(ended) => assert_eq!(state, ended, "{name:?}"),
        }
        self.with(name, |known| {
            // Another client may have been told more in the meantime.
            if known.state.as_deref().is_none_or(|state| state == "open") {
                known.state = Some(state.clone());
            }
        });
        state
    }

    async fn open(&self, step: &mut Step, name: Name) {
        let (user, campaign, group) = name;
        let seconds = seconds_of(group);
        let (now_ms, paid) = (step.world.app.now_ms(), step.world.paid(user));
        let before = self.with(name, |known| {
            known.tried_ms.get_or_insert(now_ms);
            known.clone()
        });
        let asked = open_for(user, campaign, group, seconds);
        let Some(reply) = step.ask(&asked).await else { return };
        // Whoever tried to pay while this was asked may have been first.
        let paid = if paid.is_none() { step.world.paid(user).map(|_| Paid::Tried) } else { paid };
        let state = self.opened(name, &before, paid, &reply);
        step.world.saw(format!("group-buy: {state}"));
    }

    /// When the time of a group is over by the clocks of some and not by those of others, somebody looks at it,
    /// and the shop says that it succeeded.
    async fn succeed_near_the_end(&self, step: &mut Step, name: Name) {
        let tried_ms = self.with(name, |known| known.tried_ms);
        if let Some(tried_ms) = tried_ms {
            step.wait_until_around(tried_ms + seconds_of(name.2) * 1_000);
        }
        self.open(step, name).await;
        self.end(step, name, "succeeded").await;
        self.open(step, name).await;
    }

    /// Says how a group ended.
    async fn end(&self, step: &mut Step, name: Name, how: &str) {
        let (user, campaign, group) = name;
        if how != "succeeded" {
            self.with(name, |known| known.otherwise = true);
        }
        let opened = self.with(name, |known| known.state.is_some());
        let Some(reply) = step.ask(&ended(how, user, campaign, group)).await else { return };
        if reply.status != 204 {
            assert_eq!(reply.text("code").as_deref(), Some("unknown_group"), "{reply:?}");
            assert!(!opened, "{name:?} is forgotten");
            return;
        }
        let until_ms = step.world.app.now_ms() + step.world.plan.skew_ms_max();
        self.with(name, |known| {
            known.ended = true;
            let in_time =
                known.tried_ms.is_some_and(|at| until_ms < at + seconds_of(group) * 1_000);
            known.succeeded_first |= how == "succeeded" && !known.otherwise && in_time;
        });
    }
}

fn seconds_of(group: &str) -> u64 {
    GROUPS.iter().find(|(each, _)| *each == group).expect("it is one").1
}

impl Function for GroupBuys {
    fn set_up(&self) -> Vec<Ask> {
        let mut body = template(REWARDS);
        body["limit_per_user"] = json!(10);
        if self.weeks {
            body["valid_for_days"] = json!(3);
        }
        let campaigns = CAMPAIGNS.map(|campaign| set_up(campaign, REWARD, campaign == "back"));
        [vec![publish(REWARD, &body)], campaigns.to_vec()].concat()
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(Buyer(self))
    }

    fn check(&self, world: &World, books: &Books) {
        // Nobody changes its stock.
        if let Some(out) = check_template(books, REWARD) {
            assert!(out.out <= out.leasable, "{out:?}");
        }
        self.seen().look(books, |ended_ms| world.may_be_collected(ended_ms));
    }

    fn left(&self, _: &World, books: &Books) -> Vec<String> {
        left(books)
    }

    /// No group is opened any more, so that what is asked of one that nobody opened changes nothing.
    fn calm(&self) -> Vec<Ask> {
        let off = |campaign| json!({"template": REWARD, "give_back": campaign == "back", "enabled": false});
        CAMPAIGNS.iter().map(|campaign| put(campaign, &off(*campaign))).collect()
    }

    /// The template never refuses.
    fn due(&self, _: &World, books: &Books) -> Vec<String> {
        let partitions = books.partitions().all().map(|partition| partition.to_string());
        let due = partitions.flat_map(|partition| books.record(&partition, DUE.0).keys());
        due.map(|entry| {
            let member = Member(entry.clone());
            let what = due::due(&member).expect("an entry of the index").what;
            let (user, campaign) = due::user_of(what).expect("a user and a campaign");
            format!("the reward of user {user}, campaign {campaign}")
        })
        .collect()
    }

    fn rest<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut given = 0;
            for user in &USERS[..OPENERS] {
                given += self.rest_of(world, asker, *user).await;
            }
            let stock = Stock::of(&asker.until_answered(&look(REWARD)).await);
            assert_eq!((stock.issued, stock.reserved), (given as i64, 0), "{stock:?}");
            world.saw_times("group-buy: coupon", given as u64);
        })
    }
}

impl GroupBuys {
    /// What a user's groups came to; how many rewards.
    async fn rest_of(&self, world: &World, asker: &mut Patient, user: u64) -> usize {
        let mut rewards = BTreeSet::new();
        for campaign in CAMPAIGNS {
            let (mut opened, mut rewarded) = (0, 0);
            for (group, seconds) in GROUPS {
                let name = (user, campaign, group);
                let before = self.with(name, |known| known.clone());
                let asked = open_for(user, campaign, group, seconds);
                let reply = asker.until_answered(&asked).await;
                let state = self.opened(name, &before, world.paid(user), &reply);
                world.saw(format!("group-buy: {state}"));
                assert!(!["open", "succeeded"].contains(&&*state), "{name:?} is {state} for good");
                opened += u32::from(reply.status == 201);
                if state == "rewarded" {
                    rewarded += 1;
                    rewards.insert(format!("group:{campaign}:{group}"));
                }
                let must = before.succeeded_first && before.state.is_some();
                assert!(!must || state == "rewarded", "{name:?} {state}: {before:?}");
            }
            assert!(rewarded <= 1, "{user} {campaign}: {rewarded} rewards");
            assert!(opened <= 1 || campaign == "back", "{user} {campaign}: {opened} groups");
        }
        let coupons = self.rewards_of(asker, user).await;
        let seen = self.seen();
        let there = rewards.iter().filter(|number| !seen.is_gone(user, number)).count();
        assert_eq!(coupons.len(), there, "{user}: {coupons:?} for {rewards:?}");
        assert!(coupons.iter().all(|each| rewards.contains(each)), "{user}: {coupons:?}");
        rewards.len()
    }

    /// The coupons of a user that are rewards, page after page.
    async fn rewards_of(&self, asker: &mut Patient, user: u64) -> Vec<String> {
        let mut rewards = Vec::new();
        let mut asked = list(user);
        loop {
            let page = asker.until_answered(&asked).await;
            assert_eq!(page.status, 200, "{page:?}");
            let body = page.json();
            let coupons = body["coupons"].as_array().expect("a list").iter();
            let ids = coupons.map(|each| each["coupon"].as_str().expect("an id").to_owned());
            rewards.extend(ids.filter(|id| id.starts_with("group:")));
            let Some(cursor) = page.text("cursor") else { return rewards };
            asked = Ask::get(format!("{}?cursor={cursor}", list(user).path));
        }
    }
}

struct Buyer(Arc<GroupBuys>);

impl Client for Buyer {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let (group, _) = step.one_of(&GROUPS);
            let user = step.one_of(&USERS[..OPENERS]);
            let name = (user, step.one_of(&CAMPAIGNS), group);
            match action {
                "open" => self.0.open(step, name).await,
                "list" => drop(step.ask(&list(user)).await),
                "succeeded near the end" => self.0.succeed_near_the_end(step, name).await,
                how => self.0.end(step, name, how).await,
            }
        })
    }
}

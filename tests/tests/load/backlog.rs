//! A long night: thousands of whatever waits or is listed. All of it is served, what waits longest first, none
//! is skipped, and nothing is wrongly reported.

use std::collections::BTreeSet;

use binding::Binding;
use binding::redis::Redis;
use domain::due;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, Outcome, Transaction, Write};
use end_to_end::app::{Ask, Place, Reply, SIGNING_KEYS, load};
use end_to_end::coupon::{publish, template};
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{
    cents, payload, rain_number, rain_with, reconcile, set_up_rain, settle, settle_users,
};
use futures::future::try_join_all;
use host::{App, Call, Time};
use serde_json::json;
use wallet::keys::SigningKeys;
use wallet::{pending, records};

const PARTITIONS: u32 = 8;
/// When the app's clock begins: 2026-02-16T16:00:00Z.
const START_MS: u64 = 1_771_257_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Commits of one call of a reconciliation.
const COMMITS_MAX: u64 = 2_000;
/// Commits at the same time.
const CONCURRENT: usize = 64;

/// An app, and its store past it.
struct Night {
    app: App,
    connector: NativeConnector,
    partitions: Partitions,
    place: Place,
}

async fn night() -> Night {
    let place = Place::Redis(RedisServer::start(&[]).expect("a server"));
    let partitions = Partitions::new(PARTITIONS).expect("a power of two");
    let time = Time::Seeded { start_ms: START_MS };
    let mut options = place.options().variable("partitions", PARTITIONS.to_string());
    options.time = time;
    let app = load(options).await;
    Night { app, connector: NativeConnector::default(), partitions, place }
}

impl Night {
    async fn done(&self, asked: &Ask) -> Reply {
        let reply = asked.of(&self.app).await;
        assert!((200..300).contains(&reply.status), "{reply:?}");
        reply
    }

    /// The commits that a request makes, and its answer.
    async fn counted(&self, asked: &Ask) -> (u64, Reply) {
        let before = self.app.counters();
        let reply = self.done(asked).await;
        (self.app.counters().since(&before).of(Call::RedisExecute), reply)
    }

    fn store(&self) -> Redis<&NativeConnector> {
        let addresses = vec![self.place.address()];
        Redis::new(&self.connector, addresses, "hb", "live", self.partitions)
    }

    async fn commit_all(&self, commits: &[(Partition, Transaction)]) {
        let store = self.store();
        for part in commits.chunks(CONCURRENT) {
            let commits =
                part.iter().map(|(partition, transaction)| store.commit(*partition, transaction));
            try_join_all(commits).await.expect("the store commits");
        }
    }

    /// Users of a partition.
    fn users_of(&self, partition: Partition) -> impl Iterator<Item = u64> {
        let partitions = self.partitions;
        (1_000..).filter(move |user| partitions.locate(UserId(*user)).partition == partition)
    }

    /// Reads books to the last page; users looked at, and the commits of the largest call.
    async fn reconciled(&self) -> (i64, u64) {
        let (mut users, mut most, mut query) = (0, 0, "?scope=full".to_owned());
        loop {
            let (commits, reply) = self.counted(&reconcile(&query)).await;
            assert_eq!(reply.json()["differences"], json!([]), "{reply:?}");
            assert_eq!(cents(&reply, "unsettled"), 0, "{reply:?}");
            (users, most) = (users + cents(&reply, "users"), most.max(commits));
            let Some(cursor) = reply.text("cursor") else { return (users, most) };
            query = format!("?scope=full&cursor={cursor}");
        }
    }
}

/// Two partitions have the whole backlog. Tokens of both take turns in time, so that the oldest half of all are the
/// oldest half of each.
#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_queued_users_in_each_of_two_partitions_are_posted_the_oldest_first() {
    const USERS: usize = 3_000;
    let night = night().await;
    night.done(&settle()).await;
    let partitions: Vec<_> = night.partitions.all().collect();
    let busy = [partitions[2], partitions[PARTITIONS as usize - 1]];
    let keys = SigningKeys::parse(SIGNING_KEYS, false).expect("keys");
    let mut grants = Vec::new();
    for (turn, partition) in (0..).zip(busy) {
        // The users' ids are no order of time.
        let users: Vec<_> = night.users_of(partition).take(USERS).collect();
        for (index, user) in (0..).zip(users.into_iter().rev()) {
            let number = rain_number(user, "a");
            let mut payload = payload(user, &number, 5);
            payload.open_time = START_MS as i64 - 1_000_000 + 2 * index + turn;
            let stored = keys.sign(&payload, "live").expect("a token").to_stored();
            let (drawn, now) = (UnixMillis(payload.open_time), UnixMillis(START_MS as i64));
            let writes = pending::writes(UserId(user), &number, stored, drawn, now).to_vec();
            grants.push((partition, Transaction { writes, ..Transaction::default() }));
        }
    }
    night.commit_all(&grants).await;
    let store = night.store();
    let waiting = async || {
        let mut waiting = BTreeSet::new();
        for partition in busy {
            let mut after = None;
            loop {
                let reads = vec![records::QUEUE.page_of_all(after, 1_000)];
                let transaction = Transaction { reads, ..Transaction::default() };
                let outcome = store.commit(partition, &transaction).await.expect("a page");
                let Outcome::Committed(answers) = outcome else { panic!("{outcome:?}") };
                let [Answer::Page(page)] = &answers[..] else { panic!("{answers:?}") };
                let entries = page.members.iter().map(|member| due::due(member).unwrap().at.0);
                waiting.extend(entries);
                if !page.has_more {
                    break;
                }
                after = page.members.last().cloned();
            }
        }
        waiting
    };
    let mut before = waiting().await;
    assert_eq!(before.len(), 2 * USERS);
    while !before.is_empty() {
        let reply = night.done(&settle_users(1_000)).await;
        assert_eq!(cents(&reply, "users"), 1_000, "{reply:?}");
        let after = waiting().await;
        let newest: BTreeSet<_> = before.iter().skip(1_000).copied().collect();
        assert_eq!(after, newest, "those who wait longest come first");
        assert_eq!(cents(&reply, "left"), after.len() as i64, "{reply:?}");
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_hundred_rains_and_templates_that_are_over_are_put_to_rest_and_cost_nothing_afterwards()
 {
    const BUDGETS: i64 = 1_500;
    let night = night().await;
    let until = "2026-02-16T17:00:00Z";
    let rounds = json!([{"round": 1, "from": "2026-02-16T15:00:00Z", "until": until}]);
    for number in 0..BUDGETS {
        let mut rain = rain_with("rounds", rounds.clone());
        rain["activity"] = json!(format!("a{number}"));
        night.done(&set_up_rain(&format!("r{number}"), &rain)).await;
        let mut template = template(10);
        template["claim_until"] = json!(until);
        night.done(&publish(&format!("t{number}"), &template)).await;
    }
    night.app.advance_time(DAY_MS);
    let (mut rains, mut templates) = (0, 0);
    loop {
        let reply = night.done(&settle()).await;
        rains += cents(&reply, "rains");
        templates += cents(&reply, "templates");
        let left = 2 * BUDGETS - rains - templates;
        assert_eq!(cents(&reply, "left"), left, "{reply:?}");
        assert_eq!(reply.json()["stuck_items"], json!([]), "{reply:?}");
        if left == 0 {
            break;
        }
    }
    assert_eq!((rains, templates), (BUDGETS, BUDGETS));
    let (commits, reply) = night.counted(&settle()).await;
    println!("an idle settlement: {commits} commits");
    assert!(commits <= u64::from(PARTITIONS) + 16, "{commits}: {reply:?}");
    let (_, most) = night.reconciled().await;
    println!("the largest call of a reconciliation: {most} commits");
    assert!(most <= COMMITS_MAX, "{most} commits in one call");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_users_of_one_list_are_all_looked_at() {
    const USERS: usize = 2_000;
    let night = night().await;
    night.done(&settle()).await;
    let partition = night.partitions.all().next().expect("there is one");
    let now = UnixMillis(START_MS as i64);
    let list = |user: u64| {
        let [_, Write::AddMember(list, _)] = records::CHANGED.mark(UserId(user), now) else {
            panic!("a day, and a user of it");
        };
        list
    };
    let first = list(night.users_of(partition).next().expect("there are users"));
    let users: Vec<_> =
        night.users_of(partition).filter(|user| list(*user) == first).take(USERS).collect();
    let mark = |user: &u64| {
        let writes = records::CHANGED.mark(UserId(*user), now).to_vec();
        (partition, Transaction { writes, ..Transaction::default() })
    };
    night.commit_all(&users.iter().map(mark).collect::<Vec<_>>()).await;
    let (looked, most) = night.reconciled().await;
    println!("the largest call of a reconciliation: {most} commits");
    assert_eq!(looked, USERS as i64);
    assert!(most <= COMMITS_MAX, "{most} commits in one call");
}

//! Every value of a store that has a little of everything is made unreadable, one after the other: garbage, of another
//! version, and absent. Settlement does all the rest and names what it cannot do; nobody but its owner notices, and
//! nobody is told that something went wrong that we do not know.

use std::collections::BTreeSet;
use std::time::Duration;

use coupons::chance::REWARDS;
use coupons::records as coupon;
use domain::due::{self, DueIndex};
use domain::ids::UserId;
use domain::partition::Partitions;
use domain::transaction::{Member, Value};
use end_to_end::app::{Ask, Place, Reply, load};
use end_to_end::coupon::{issue, list, published, redeem, reserve, set_up_scene, template};
use end_to_end::dump::{self, Records, Snapshot};
use end_to_end::group_buy::{ended, open as open_group, set_up as set_up_campaign};
use end_to_end::promotion::{activity_with_limits, saved, take, use_of};
use end_to_end::wallet::{
    open, open_rain, packet, packet_name, post, rain_set_up, rain_with, reconcile, send, settle,
    view, withdraw, withdraw_with,
};
use host::{App, Time};
use serde_json::json;
use wallet::records;

const PARTITIONS: u32 = 4;
const START_MS: u64 = 1_771_257_600_000;
/// Longer than an instance knows configuration without reading it again.
const KNOWN_MS: u64 = 1_000;

/// What settlement works through.
const INDEXES: [DueIndex; 7] = [
    records::QUEUE,
    records::UNSENT,
    records::OWED,
    records::ENDS,
    records::WITHDRAWAL_ENDS,
    coupon::ENDS,
    REWARDS,
];

async fn done(app: &App, asked: Ask) {
    let reply = asked.of(app).await;
    assert!((200..300).contains(&reply.status), "{reply:?}");
}

/// Two users of one partition, and two of others.
fn users(partitions: Partitions) -> [u64; 4] {
    let home = |user: u64| partitions.locate(UserId(user)).partition;
    let near = (11..).find(|user| home(*user) == home(10)).expect("one of four");
    let far = (near + 1..).find(|user| home(*user) != home(10)).expect("three of four");
    let further = (far + 1..).find(|user| home(*user) == home(far)).expect("one of four");
    [10, near, far, further]
}

/// A little of everything of each user, of which most is due.
async fn set_up(app: &App, users: &[u64]) {
    rain_set_up(app, "r", &rain_with("budget", json!("100000"))).await;
    done(app, set_up_scene("s", &json!({"award_type": "coupon"}))).await;
    let mut body = template(100);
    body["limit_per_user"] = json!(9);
    body["scene"] = json!("s");
    published(app, "t", &body).await;
    done(app, set_up_campaign("c", "t", true)).await;
    saved(app, "a", &activity_with_limits(json!({"per_user": 5}))).await;
    for (user, other) in users.iter().zip(users.iter().cycle().skip(1)) {
        done(app, open_rain(*user, "r", "a")).await;
        done(app, post(*user)).await;
        done(app, withdraw_with(*user, "w", 1, &json!({"expires_in_seconds": 60}))).await;
        done(app, send(&packet(*user, "p", 4, 2))).await;
        done(app, open(&packet_name(*user, "p"), *other)).await;
        done(app, open_rain(*user, "r", "b")).await;
        done(app, issue(*user, "t", "issued")).await;
        done(app, issue(*user, "t", "spent")).await;
        done(app, redeem(*user, "spent", "order")).await;
        done(app, reserve(*user, "t", "held", 60)).await;
        done(app, open_group(*user, "c", "g")).await;
        done(app, ended("succeeded", *user, "c", "g")).await;
        done(app, take(*user, "o", &[use_of("a", 1)])).await;
    }
}

/// The users whose numbers stand in a text, or are it.
fn users_in(text: &[u8], users: &[u64]) -> BTreeSet<u64> {
    let numbers = text.split(|byte| !byte.is_ascii_digit());
    let numbers = numbers.filter_map(|one| std::str::from_utf8(one).ok()?.parse().ok());
    let binary = <[u8; 8]>::try_from(text).ok().map(u64::from_be_bytes);
    numbers.chain(binary).filter(|number| users.contains(number)).collect()
}

/// What is left of the indexes, by partition, in words.
fn left(records: &Records) -> Vec<(String, String)> {
    let mut left = Vec::new();
    for ((partition, name), record) in records {
        if INDEXES.iter().any(|index| index.0 == name) {
            let words = |member: &Vec<u8>| due::words(&Member(member.clone()));
            left.extend(record.keys().map(|member| (partition.clone(), words(member))));
        }
    }
    left
}

fn assert_told(reply: &Reply, what: &str) {
    let is_told = reply.status == 503 && reply.text("code").as_deref() == Some("record_unreadable");
    assert!(reply.status < 500 || is_told, "{what}: {reply:?}");
}

/// What users ask.
fn questions(user: u64) -> Vec<Ask> {
    vec![view(user), list(user), withdraw(user, "later", 1), issue(user, "t", "later")]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unreadable_record_stops_only_itself() {
    let place = Place::redis();
    let mut options = place.options().variable("partitions", PARTITIONS.to_string());
    options.time = Time::Seeded { start_ms: START_MS };
    let app = load(options).await;
    // Who waits for another request waits by this clock, too.
    let clock = app.clone();
    let ticks = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance_time(1);
        }
    });
    let users = users(Partitions::new(PARTITIONS).expect("a power of two"));
    set_up(&app, &users).await;
    app.advance_time(wallet::packet::LIFE_MS as u64 + 60 * 60_000);
    let snapshot = Snapshot::take(&place.address());
    let records = snapshot.records();
    assert!(left(&records).len() > 4 * users.len(), "{:?}", left(&records));
    done(&app, settle()).await;
    assert_eq!(left(&dump::now(&place.address())), [], "all of it can be done");

    let mut values = 0;
    for ((partition, name), record) in &records {
        for (field, value) in record {
            let Value::Bytes(bytes) = value else { continue };
            let owners = &users_in(name.as_bytes(), &users) | &users_in(field, &users);
            // The others have the same kinds.
            let is_of_another = !owners.is_empty() && !owners.contains(&users[0]);
            if bytes.is_empty() || is_of_another {
                continue;
            }
            values += 1;
            let mut other = bytes.clone();
            other[0] = other[0].wrapping_add(1);
            for is in [Some(&b"\xff\xfe garbage"[..]), Some(&other), None] {
                let what = format!("{partition}/{name}/{} is {is:?}", field.escape_ascii());
                snapshot.restore();
                snapshot.write(partition, name, field, is);
                app.advance_time(KNOWN_MS);
                check(&app, &snapshot, &what, partition, &owners, &users).await;
            }
        }
    }
    ticks.abort();
    println!("{values} values");
    assert!(values > 20, "{values}");
}

/// What holds while a value is unreadable that belongs to some users, or to all.
async fn check(
    app: &App,
    snapshot: &Snapshot,
    what: &str,
    partition: &str,
    owners: &BTreeSet<u64>,
    users: &[u64],
) {
    let is_shared = owners.is_empty() || partition.starts_with('c');
    let mut told = 0;
    for _ in 0..2 {
        let settled = settle().of(app).await;
        if is_shared {
            assert_told(&settled, what);
            continue;
        }
        assert_eq!(settled.status, 200, "{what}: {settled:?}");
        let body = settled.json();
        let count = |name: &str| body[name].as_array().expect("a list").len();
        told += count("stuck_items") + count("set_aside_items");
    }
    if !is_shared {
        let left = left(&snapshot.now());
        assert!(left.is_empty() || told > 0, "{what}: {left:?} is not named");
        for (place, entry) in &left {
            let of = users_in(entry.as_bytes(), users);
            assert!(!of.is_disjoint(owners), "{what}: {entry} of {place} is left");
        }
    }
    for user in users {
        for asked in questions(*user) {
            let reply = asked.of(app).await;
            assert_told(&reply, what);
            let is_owner = is_shared || owners.contains(user);
            assert!(is_owner || reply.status < 500, "{what}: {} {reply:?}", asked.path);
        }
    }
    let reply = reconcile("?scope=full").of(app).await;
    assert_told(&reply, what);
    assert!(is_shared || reply.status == 200, "{what}: {reply:?}");
}

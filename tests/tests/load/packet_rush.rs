//! Rushes over sockets, on a Redis that loses one reply in ten: a group packet gives each of its parts
//! once, a rain gives its budget to the last packet that it has enough for, and whoever withdraws has all
//! that they were given, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use end_to_end::app::{Ask, Place, Reply, load};
use end_to_end::client::Client;
use end_to_end::dump::{self, Records};
use end_to_end::wallet::{
    cents, differences, look_at_rain, open, open_rain, packet, packet_name, post, rain_between,
    send, set_up_rain, settle, switch_posting, view, withdraw,
};
use end_to_end::wallet_checks::{Budget, Has};
use host::{Call, Faults, Server};
use serde_json::json;
use tokio::task::JoinSet;

const CLIENTS: u64 = 64;
/// Calls of settlement until nothing must be left.
const SETTLEMENTS_MAX: u32 = 100;
/// Who sends and withdraws.
const USER: u64 = 7;

/// The app on a Redis that loses some of its replies.
async fn serve(place: &Place) -> (Server, Client) {
    let mut options = place.options();
    options.faults =
        Faults { seed: 7, calls: vec![Call::RedisExecute], lost_reply: 0.1, ..Faults::default() };
    let listening = load(options).await.serve().await.expect("a free port on loopback");
    let client = Client::new(listening.address);
    (listening, client)
}

/// Asks, each by one of the clients, at once; the answers in the order of what was asked.
async fn ask_all(
    listening: &Server,
    count: u64,
    clients: u64,
    ask: impl Fn(u64) -> Ask + Send + Sync + 'static,
) -> Vec<Reply> {
    let (next, ask) = (Arc::new(AtomicU64::new(0)), Arc::new(ask));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (next, ask) = (Arc::clone(&next), Arc::clone(&ask));
        let client = Client::new(listening.address);
        running.spawn(async move {
            let mut replies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return replies;
                }
                replies.push((number, client.until_answered(&ask(number)).await));
            }
        });
    }
    let mut replies: BTreeMap<_, _> = running.join_all().await.into_iter().flatten().collect();
    (0..count).map(|number| replies.remove(&number).expect("an answer each")).collect()
}

async fn done(client: &Client, asked: &Ask) -> Reply {
    let reply = client.until_answered(asked).await;
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    reply
}

/// Settles all, after which all books agree. No reply is lost, because a look at all of them is long.
async fn settle_all(place: &Place) {
    let app = place.app().await;
    for _ in 0..SETTLEMENTS_MAX {
        let reply = settle().of(&app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        if cents(&reply, "left") == 0 {
            assert_eq!(differences(&app).await, Vec::<serde_json::Value>::new());
            return;
        }
    }
    panic!("settlement goes on after {SETTLEMENTS_MAX} calls");
}

/// The store as a whole.
fn contents(place: &Place) -> Records {
    let client = redis::Client::open(place.address()).expect("an address");
    dump::read(&mut client.get_connection().expect("the server accepts connections"))
}

/// Gives a user tokens of a rain of their own, of 100 each; how much they have.
async fn give(listening: &Server, client: &Client, tokens: u64) -> i64 {
    let budget = 100 * i64::try_from(tokens).expect("few");
    done(client, &set_up_rain("own", &rain_between(budget, 100, 100))).await;
    let ask = |number: u64| open_rain(USER, "own", &number.to_string());
    for reply in ask_all(listening, tokens, 16, ask).await {
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    budget
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_open_a_packet_of_a_hundred() {
    const USERS: u64 = 500;
    const PARTS: usize = 100;
    let place = Place::redis();
    let (listening, client) = serve(&place).await;
    let total = give(&listening, &client, 20).await;
    done(&client, &send(&packet(USER, "p", total, PARTS as u32))).await;
    let name = packet_name(USER, "p");
    let asked = name.clone();
    let replies = ask_all(&listening, USERS, USERS, move |user| open(&asked, 1_000 + user)).await;
    let (mut shares, mut refused) = (BTreeMap::new(), Vec::new());
    for (user, reply) in (1_000..).zip(&replies) {
        if reply.status == 200 {
            shares.insert(user, cents(reply, "amount"));
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("finished"), "{reply:?}");
            refused.push(user);
        }
    }
    assert_eq!((shares.len(), refused.len()), (PARTS, USERS as usize - PARTS));
    assert_eq!(shares.values().sum::<i64>(), total);
    assert!(shares.values().all(|share| *share >= 1));

    // Whoever has a part has the same part; the others have nothing, and leave no trace.
    let before = contents(&place);
    let asked = name.clone();
    let again = ask_all(&listening, USERS, CLIENTS, move |user| open(&asked, 1_000 + user)).await;
    for ((user, first), again) in (1_000..).zip(&replies).zip(&again) {
        assert_eq!((first.status, first.text("token")), (again.status, again.text("token")));
        assert!(shares.contains_key(&user) || again.status == 409, "{again:?}");
    }
    let after = contents(&place);
    assert!(before == after, "nothing is written when nothing is given");
    for user in &refused {
        let name = format!("mk{user}");
        assert!(!after.keys().any(|(_, record)| *record == name), "{user} was refused");
    }
    settle_all(&place).await;
    for (user, share) in shares {
        let reply = done(&client, &view(user)).await;
        assert_eq!((cents(&reply, "balance"), cents(&reply, "pending")), (share, 0), "{reply:?}");
    }
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_grants_of_a_budget_that_runs_out() {
    const GRANTS: u64 = 20_000;
    const USERS: u64 = 5_000;
    const BUDGET: i64 = 500_029;
    const LEAST: i64 = 37;
    let place = Place::redis();
    let (listening, client) = serve(&place).await;
    done(&client, &set_up_rain("r", &rain_between(BUDGET, LEAST, 100))).await;
    let ask = |number: u64| open_rain(number % USERS, "r", &format!("a{}", number / USERS));
    let replies = ask_all(&listening, GRANTS, CLIENTS, ask).await;
    let (mut sum, mut numbers, mut refused) = (0, BTreeSet::new(), 0);
    for reply in &replies {
        if reply.status == 201 {
            sum += cents(reply, "amount");
            assert!(numbers.insert(reply.text("order_number")), "{reply:?}");
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("budget_exhausted"), "{reply:?}");
            refused += 1;
        }
    }
    println!("{GRANTS} requests: {} given, {refused} refused, {sum} cents", numbers.len());
    assert!(sum <= BUDGET && BUDGET - sum < LEAST, "{sum} of {BUDGET}");
    let budget = Budget::of(&client.until_answered(&look_at_rain("r")).await);
    budget.check(BUDGET, sum);

    let again = ask_all(&listening, GRANTS, CLIENTS, ask).await;
    for (first, again) in replies.iter().zip(&again) {
        assert_eq!((first.status, first.text("token")), (again.status, again.text("token")));
    }
    settle_all(&place).await;
    let budget = Budget::of(&client.until_answered(&look_at_rain("r")).await);
    budget.check(BUDGET, sum);
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_ask_for_ten_packets_each_of_a_rain_that_gives_three() {
    const USERS: u64 = 100;
    const PACKETS: u64 = 10;
    const LIMIT: usize = 3;
    let place = Place::redis();
    let (listening, client) = serve(&place).await;
    let mut rain = rain_between(1_000_000, 1, 100);
    rain["limits"] = json!({"per_user": LIMIT, "per_round": 5});
    done(&client, &set_up_rain("r", &rain)).await;
    // Those of one user come one after the other, so that they are asked for at once.
    let user = |number: u64| 1_000 + number / PACKETS;
    let ask = move |number: u64| open_rain(user(number), "r", &format!("a{}", number % PACKETS));
    let count = USERS * PACKETS;
    let replies = ask_all(&listening, count, CLIENTS, ask).await;
    let (mut given, mut sum) = (BTreeMap::<_, usize>::new(), 0);
    for (number, reply) in (0..).zip(&replies) {
        if reply.status == 201 {
            *given.entry(user(number)).or_default() += 1;
            sum += cents(reply, "amount");
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("user_limit"), "{reply:?}");
        }
    }
    assert_eq!(given.len() as u64, USERS);
    assert!(given.values().all(|packets| *packets == LIMIT), "{given:?}");

    let again = ask_all(&listening, count, CLIENTS, ask).await;
    for (first, again) in replies.iter().zip(&again) {
        assert_eq!((first.status, first.text("token")), (again.status, again.text("token")));
    }
    settle_all(&place).await;
    let budget = Budget::of(&client.until_answered(&look_at_rain("r")).await);
    budget.check(1_000_000, sum);
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_open_the_withdrawal_page_and_withdraw() {
    const TOKENS: u64 = 1_000;
    let place = Place::redis();
    let (listening, client) = serve(&place).await;
    done(&client, &switch_posting(&json!({"mode": "off"}))).await;
    let total = give(&listening, &client, TOKENS).await;
    done(&client, &settle()).await;
    let reply = done(&client, &view(USER)).await;
    assert_eq!((cents(&reply, "balance"), cents(&reply, "pending")), (total, total));

    for reply in ask_all(&listening, 10, 10, |_| post(USER)).await {
        assert_eq!((cents(&reply, "balance"), cents(&reply, "pending")), (total, 0), "{reply:?}");
    }
    let posted = contents(&place);
    let of = |name: String| posted.iter().find(|((_, record), _)| *record == name);
    let (_, marks) = of(format!("mn{USER}")).expect("posted tokens");
    assert_eq!(marks.len(), TOKENS as usize);
    let (_, account) = of(format!("ml{USER}")).expect("an account");
    assert_eq!(dump::integer(account, "s"), TOKENS as i64, "each of them once");

    // Each of a seventh: seven can be, whoever comes first.
    let amount = total / 7;
    let ask = move |number: u64| withdraw(USER, &format!("w{number}"), amount);
    let replies = ask_all(&listening, 10, 10, ask).await;
    let held = replies.iter().filter(|reply| reply.status == 201).count();
    let refused = |reply: &&Reply| reply.text("code").as_deref() == Some("exceeds_balance");
    assert_eq!((held, replies.iter().filter(refused).count()), (7, 3), "{replies:?}");
    let reply = done(&client, &view(USER)).await;
    let expected = Has {
        user: USER,
        balance: total - 7 * amount,
        income: total,
        withdrawn: 0,
        held: 7 * amount,
    };
    assert_eq!(Has::of(USER, &reply), expected);
    done(&client, &switch_posting(&json!({"mode": "queued"}))).await;
    settle_all(&place).await;
    listening.stop().await;
}

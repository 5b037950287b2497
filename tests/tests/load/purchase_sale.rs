//! A sale over sockets, on a Redis that loses replies: exactly as many orders as the limit allows take,
//! and exactly as many again as are given back.

use std::collections::BTreeMap;
use std::sync::Arc;

use end_to_end::app::{Ask, Place, load};
use end_to_end::client::Client;
use end_to_end::purchase::{give_back, limited, save, take};
use end_to_end::wallet::differences;
use host::{Call, Faults, Server};
use serde_json::json;
use tokio::task::JoinSet;

const CLIENTS: u64 = 48;
const ORDERS: u64 = 2_000;
const TOTAL: usize = 500;
const GIVEN_BACK: usize = 100;
/// So few that some of them meet their own limit.
const USERS: u64 = 400;
const PER_USER: usize = 2;

/// A user, and the number of an order.
type Order = (u64, u64);

/// Asks for each of these, each by one of the clients; those that were answered with the status.
async fn ask_all(
    listening: &Server,
    orders: Vec<Order>,
    ask: fn(Order) -> Ask,
    status: u16,
) -> Vec<Order> {
    let orders = Arc::new(orders);
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let client = Client::new(listening.address);
        let orders = Arc::clone(&orders);
        clients.spawn(async move {
            let mut done = Vec::new();
            for order in orders.iter().skip(first as usize).step_by(CLIENTS as usize) {
                let reply = client.until_answered(&ask(*order)).await;
                if reply.status == status {
                    done.push(*order);
                } else {
                    assert_eq!(reply.text("code").as_deref(), Some("limit_used_up"), "{reply:?}");
                }
            }
            done
        });
    }
    clients.join_all().await.concat()
}

fn take_one((user, number): Order) -> Ask {
    take(user, &format!("o{number}"), &[("t", "", 1)])
}

fn give_one_back((user, number): Order) -> Ask {
    give_back(user, &format!("o{number}"))
}

fn orders(first: u64) -> Vec<Order> {
    (first..first + ORDERS).map(|number| (number % USERS, number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_of_two_thousand_and_what_is_given_back() {
    let place = Place::redis();
    let mut options = place.options();
    options.faults =
        Faults { seed: 7, calls: vec![Call::RedisExecute], lost_reply: 0.1, ..Faults::default() };
    let app = load(options).await;
    let listening = app.serve().await.expect("a free port on loopback");
    let operator = Client::new(listening.address);
    let limits = json!({"per_user": PER_USER, "total": TOTAL.to_string()});
    let reply = operator.until_answered(&save("t", "", &limited(&limits))).await;
    assert_eq!(reply.status, 200, "{reply:?}");

    let mut taken = ask_all(&listening, orders(0), take_one, 201).await;
    println!("{ORDERS} orders, {} taken", taken.len());
    assert_eq!(taken.len(), TOTAL);
    let again = ask_all(&listening, taken.clone(), take_one, 201).await;
    assert_eq!(again.len(), TOTAL, "who has taken has taken");

    let back = taken.split_off(TOTAL - GIVEN_BACK);
    let given_back = ask_all(&listening, back, give_one_back, 200).await;
    assert_eq!(given_back.len(), GIVEN_BACK);
    let more = ask_all(&listening, orders(ORDERS), take_one, 201).await;
    assert_eq!(more.len(), GIVEN_BACK);

    let mut of_users: BTreeMap<u64, usize> = BTreeMap::new();
    taken.iter().chain(&more).for_each(|(user, _)| *of_users.entry(*user).or_default() += 1);
    assert!(of_users.values().all(|count| *count <= PER_USER), "{of_users:?}");
    listening.stop().await;
    // By an app that loses nothing.
    let books = load(place.options()).await;
    assert_eq!(differences(&books).await, Vec::<serde_json::Value>::new());
}

//! Two instances create one partition of the key-value store at the same moment, in every order that
//! a seed makes of their host calls: neither loses its write.

use std::collections::BTreeSet;

use end_to_end::app::{Place, check, check_many, load, mark_paid, not_loaded, order_paid};
use end_to_end::seed::seeds;
use futures::future::join_all;
use host::{KeyValue, Options, Reuse, Schedule, simulate};

const RACES: u64 = 200;
/// They lie in one partition, and in two of its chunks.
const USERS: [u64; 2] = [7, 7 << 40];

/// Every request has an instance of its own.
fn options(key_value: KeyValue) -> Options {
    let mut options = Place::Kv.options().variable("partitions", "1");
    options.key_value = key_value;
    options.reuse = Reuse { concurrent: 1, ..Reuse::default() };
    options
}

/// One race; gives the order in which the host calls took effect.
fn race(seed: u64, key_value: KeyValue) -> Vec<String> {
    let mut options = options(key_value);
    options.schedule = Schedule::Seeded(seed);
    let simulated = simulate(options, move |app| async move {
        let [one, two] = USERS;
        let asked = [order_paid(one), mark_paid(&[two])];
        for reply in join_all(asked.iter().map(|asked| asked.of(&app))).await {
            assert_eq!(reply.status, 204, "seed {seed}: {reply:?}");
        }
        assert_eq!(app.counters().instances, 2, "one each");
        let reply = check_many(&[one, two, one + 1]).of(&app).await;
        let expected = [(one, false), (two, false), (one + 1, true)];
        assert_eq!(reply.are_new(), expected, "seed {seed}");
    });
    simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error))).released
}

#[test]
fn of_two_instances_that_create_one_partition_neither_loses_its_write() {
    for first in seeds() {
        let orders: BTreeSet<_> =
            (0..RACES).map(|race_| race(first.wrapping_add(race_), KeyValue::Memory)).collect();
        println!("{} different orders in {RACES} races", orders.len());
        assert!(orders.len() as u64 > RACES / 2, "the orders differ: {}", orders.len());
    }
}

#[test]
fn nor_in_a_file() {
    for seed in seeds() {
        for race_ in 0..10 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            race(seed.wrapping_add(race_), KeyValue::File(folder.path().to_owned()));
        }
    }
}

/// On threads of their own, many at once, and on a file that outlives the app.
#[tokio::test(flavor = "multi_thread")]
async fn many_instances_at_once_lose_no_write_and_a_restart_keeps_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key_value = KeyValue::File(folder.path().to_owned());
    let users: Vec<u64> = (0..64).map(|number| number << 8).collect();
    let app = load(options(key_value.clone())).await;
    let asked = join_all(users.iter().map(|user| {
        let app = app.clone();
        async move {
            // Many writers of one cell may lose their turn more often than they try.
            while order_paid(*user).of(&app).await.status != 204 {}
        }
    }));
    asked.await;
    drop(app);
    let app = load(options(key_value)).await;
    for user in users {
        assert!(!check(user).of(&app).await.is_new(), "user {user} was forgotten");
        assert!(check(user + 1).of(&app).await.is_new());
    }
}

//! What one call does where some of it cannot be done: a partition that takes no writes, wallets and tokens that
//! cannot be read. The component's own code, natively, on the store in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::Pin;

use binding::memory::Memory;
use coupons::context::Templates;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Outcome, Transaction, Value, Write};
use edge::store::Binding;
use futures::executor::block_on;
use store::quarantine::PATIENCE_MS;
use wallet::keys::SigningKeys;
use wallet::records;
use wallet::token::Payload;
use wallet::{pending, rain};

use crate::Books;
use crate::settle::{Settled, USERS_DEFAULT, settle};

const NOW: UnixMillis = UnixMillis(1_771_257_600_250);
const PARTITIONS: u32 = 4;

mod reconcile;

/// A store of which some partitions take no writes.
#[derive(Default)]
struct Store {
    memory: Memory,
    read_only: RefCell<BTreeSet<Partition>>,
}

impl Binding for Store {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        if !transaction.is_read_only() && self.read_only.borrow().contains(&partition) {
            return Err(CommitError::Unavailable("it is read-only".into()));
        }
        self.memory.commit(partition, transaction).await
    }
}

fn partitions() -> Partitions {
    Partitions::new(PARTITIONS).unwrap()
}

fn keys() -> SigningKeys {
    SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap()
}

impl Store {
    fn write(&self, partition: Partition, writes: Vec<Write>) {
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(self.memory.commit(partition, &transaction)).unwrap();
    }

    /// Gives a user a token of a cent that was drawn so long ago.
    fn give(&self, user: u64, number: &str, ago_ms: i64) {
        let payload = Payload {
            app_id: 0,
            act_id: user,
            activity_id: "spring".to_owned(),
            scene_id: "rain".to_owned(),
            amount: 1,
            out_trade_no: number.to_owned(),
            open_time: NOW.0 - ago_ms,
            rain_id: 1,
            status: 0,
        };
        let stored = keys().sign(&payload, "test").unwrap().to_stored();
        let drawn = UnixMillis(payload.open_time);
        let writes = pending::writes(UserId(user), number, stored, drawn, NOW);
        self.write(home(user), writes.to_vec());
    }

    fn settle(&self, users_max: u32) -> Result<Settled, CommitError> {
        with_books(self, |books| block_on(settle(books, users_max)))
    }
}

fn context<B>(store: &B) -> store::Context<'_, B> {
    let pause = |_| -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(std::future::ready(())) };
    store::Context { store, partitions: partitions(), now: NOW, pause }
}

/// Does something with the books that a store holds.
fn with_books<B, T>(store: &B, act: impl FnOnce(&Books<'_, B>) -> T) -> T {
    let (templates, keys) = (Templates::default(), keys());
    let wallets = context(store);
    let coupons = coupons::context::Context {
        base: wallets,
        stage: "test",
        templates: &templates,
        lease_share: lease::SHARE,
    };
    act(&Books { wallets, coupons, stage: "test", keys: &keys })
}

fn home(user: u64) -> Partition {
    partitions().locate(UserId(user)).partition
}

/// Users of a partition.
fn users_of(partition: Partition) -> impl Iterator<Item = u64> {
    (1..).filter(move |user| home(*user) == partition)
}

/// What posting cannot read.
fn break_wallet(store: &Store, user: u64) {
    let broken = Write::Set(records::account(UserId(user)), "b".into(), Value::Bytes(vec![0xff]));
    store.write(home(user), vec![broken]);
}

#[test]
fn a_partition_that_takes_no_writes_keeps_no_other_from_being_served() {
    let store = Store::default();
    let [bad, good] = [0, 3].map(|index| partitions().all().nth(index).unwrap());
    // Its users have waited longest.
    for user in users_of(bad).take(100) {
        store.give(user, "n", 1_000_000);
    }
    for user in users_of(good).take(5) {
        store.give(user, "n", 1);
    }
    store.read_only.borrow_mut().insert(bad);
    let settled = store.settle(USERS_DEFAULT).unwrap();
    assert_eq!((settled.users, settled.tokens, settled.stuck.len()), (5, 5, 0));
    assert!(matches!(settled.interrupted, Some(CommitError::Unavailable(_))), "{settled:?}");
    assert_eq!((settled.queued, settled.left), (100, 100));
    // Nothing else is to be done.
    assert!(matches!(store.settle(USERS_DEFAULT), Err(CommitError::Unavailable(_))));
    store.read_only.borrow_mut().clear();
    let settled = store.settle(USERS_DEFAULT).unwrap();
    assert_eq!((settled.users, settled.left, settled.interrupted), (100, 0, None));
}

#[test]
fn who_cannot_be_posted_does_not_count_and_is_not_left() {
    let store = Store::default();
    let mut users = users_of(partitions().all().next().unwrap());
    let (broken, well) = (users.next().unwrap(), users.next().unwrap());
    for (number, ago_ms) in [("a", 90), ("b", 80), ("c", 1)] {
        store.give(broken, number, ago_ms);
    }
    break_wallet(&store, broken);
    store.give(well, "n", 50);
    // One user, and the one in front cannot be.
    let settled = store.settle(1).unwrap();
    assert_eq!((settled.users, settled.tokens), (1, 1), "{settled:?}");
    for _ in 0..2 {
        let settled = store.settle(1).unwrap();
        assert_eq!((settled.users, settled.queued, settled.left), (0, 3, 0), "{settled:?}");
        let [stuck] = &settled.stuck[..] else { panic!("{settled:?}") };
        assert!(stuck.place.contains(&broken.to_string()), "{stuck:?}");
    }
}

#[test]
fn what_cannot_be_done_hides_nothing_that_is_left() {
    let store = Store::default();
    // Rains that are listed and not there, and more users than one call may post.
    let over = |number: i64| rain::OVER.add(UnixMillis(number), format!("r{number}").as_bytes());
    store.write(rain::home_of_all(partitions()), (0..3).map(over).collect());
    let foreign = Write::AddMember(records::QUEUE.key(), "x".into());
    let home = partitions().all().next().unwrap();
    store.write(home, vec![foreign]);
    for user in users_of(home).take(3) {
        store.give(user, "n", 1);
    }
    // All of them have been due for ever: they are set aside, and told.
    let settled = store.settle(1).unwrap();
    assert_eq!((settled.users, settled.set_aside.len(), settled.left), (1, 4, 2), "{settled:?}");
    for (max, users) in [(2, 2), (2, 0)] {
        let settled = store.settle(max).unwrap();
        let told = (settled.users, settled.stuck.len(), settled.set_aside.len(), settled.left);
        assert_eq!(told, (users, 0, 0, 0), "{settled:?}");
        assert_eq!(settled.quarantined, 4);
    }
}

#[test]
fn what_is_due_for_a_moment_stays_and_is_set_aside_when_it_stays_at_fault() {
    let store = Store::default();
    let user = users_of(partitions().all().next().unwrap()).next().unwrap();
    store.give(user, "old", PATIENCE_MS);
    store.give(user, "new", PATIENCE_MS - 1);
    break_wallet(&store, user);
    let settled = store.settle(2).unwrap();
    let told = (settled.stuck.len(), settled.set_aside.len(), settled.queued, settled.left);
    assert_eq!(told, (1, 1, 1, 0), "{settled:?}");
    assert_eq!(settled.quarantined, 1);
    assert!(settled.set_aside[0].place.contains("old"), "{settled:?}");
}

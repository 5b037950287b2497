//! Wallets: users who open packets of rains, send each other packets from their balance and by payments,
//! withdraw, look, and show the tokens that they hold; operators who switch how tokens are posted. Every
//! movement has two sides, nothing is given twice, and no budget and no packet gives more than it has.
//!
//! - [`client`]: what a client does, and what it may rely on afterwards
//! - [`model`]: what is known of users' money
//! - [`books`]: what must hold in the store of users, and what is due; [`packets`], [`accounts`]: the same of packets, and of
//!   accounts and rains
//! - [`ledger`]: what was ever there, so that what is carried or forgotten counts on

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::time::UnixMillis;
use end_to_end::app::{Ask, Reply};
use end_to_end::patient::Patient;
use end_to_end::wallet::{
    STAGE, cents, look_at_withdrawal, look_up, open_rain, rain_between, rain_with, set_up_rain,
    switch_posting, view,
};
use end_to_end::wallet_checks::{Budget, Has, check_users};
use futures::future::BoxFuture;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use store::retention::Retention;
use wallet::records;
use wallet::token::Token;

use super::{Client, Entry, Function};
use crate::books::Books;
use crate::plan::{Plan, START_MS};
use crate::world::{DAY_MS, LAST, Step, USERS, World};

mod accounts;
mod books;
mod client;
mod ledger;
mod model;
mod packets;

use ledger::Ledger;
use model::{Bounds, Model};
use packets::Found;

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "wallet",
    actions: client::ACTIONS,
    later: &[],
    is_always_in_play: false,
    states: &[
        "wallet: granted",
        "wallet: granted again",
        "wallet: budget_exhausted",
        "wallet: ended",
        "wallet: sent",
        "wallet: sent again",
        "wallet: sent for more than there is",
        "wallet: ordered",
        "wallet: paid",
        "wallet: paid again",
        "wallet: paid for twice",
        "wallet: credit",
        "wallet: drop",
        "wallet: paid before it is known",
        "wallet: opened",
        "wallet: opened again",
        "wallet: unknown_packet",
        "wallet: unpaid",
        "wallet: finished",
        "wallet: expired",
        "wallet: already_opened",
        "wallet: refunded",
        "wallet: withdrawn",
        "wallet: withdrawn more than there is",
        "wallet: posted",
        "wallet: voided",
        "wallet: view",
        "wallet: exact view",
        "wallet: restored",
        "wallet: foreign token",
        "wallet: a lease has something left",
        "wallet: leases of a rain that ended",
        "wallet: withdrawals forgotten",
        "wallet: packets forgotten",
        "wallet: rain sealed",
        "wallet: with an end",
    ],
    create: |random, plan| {
        let (model, ledger) = Default::default();
        Arc::new(Wallets { rains: rains(random, plan), model, ledger })
    },
};

/// How long settlement waits with the leases of a rain that has ended, and a little longer.
const GRACE_MS: u64 = 26 * 60_000;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;
/// Its own randomness.
const WEEKS: u64 = 2;
/// A rain is sealed so many days after its end at the earliest.
const SEALED_DAYS: u64 = 31 + Retention::LEAST.configuration_days as u64;

/// A rain.
struct Rain {
    id: &'static str,
    definition: Value,
    /// Cents of its smallest packet.
    least: i64,
    /// Cents of its largest packet.
    most: i64,
    /// When its round ends, if ever.
    ends_ms: Option<u64>,
}

/// Wallets in one schedule.
struct Wallets {
    rains: Vec<Rain>,
    model: Mutex<Model>,
    ledger: Mutex<Ledger>,
}

/// Small budgets, which run out: packets of 1.00, and of up to 3.00. And one that is so large that leases have
/// more than one packet, of a round that ends: what they have left then goes back. Where weeks pass mostly all of them end.
fn rains(random: &mut StdRng, plan: &Plan) -> Vec<Rain> {
    let fixed = rain_with("budget", json!(random.random_range(0..1_500).to_string()));
    let between = rain_between(random.random_range(0..2_000), 1, 300);
    let mut ending = rain_between(random.random_range(150_000..1_000_000), 5, 150);
    let ends_ms = START_MS + random.random_range(1_000..DAY_MS);
    ending["rounds"][0]["until"] = json!(UnixMillis(ends_ms as i64));
    let mut of_weeks = plan.random_of_weeks(WEEKS);
    let all_end = plan.weeks && of_weeks.random_bool(0.7);
    let mut rain = |(id, definition, least, most, ends_ms): (&'static str, Value, i64, i64, _)| {
        let (mut definition, mut ends_ms): (_, Option<u64>) = (definition, ends_ms);
        definition["activity"] = json!(id);
        if all_end && ends_ms.is_none() {
            let end_ms = START_MS + of_weeks.random_range(1..20) * DAY_MS;
            definition["rounds"][0]["until"] = json!(UnixMillis(end_ms as i64));
            ends_ms = Some(end_ms);
        }
        Rain { id, definition, least, most, ends_ms }
    };
    let rains = [
        ("r0", fixed, 100, 100, None),
        ("r1", between, 1, 300, None),
        ("r2", ending, 5, 150, Some(ends_ms)),
    ];
    rains.map(&mut rain).into()
}

impl Rain {
    /// The number of one of its packets.
    fn number(&self, user: u64, award: &str) -> String {
        format!("{user}_{}_rain_1_{award}_{STAGE}", self.id)
    }

    /// Whether it has ended by any clock.
    fn may_have_ended(&self, now_ms: u64, skew_ms: u64) -> bool {
        self.ends_ms.is_some_and(|ends| now_ms + skew_ms >= ends)
    }

    /// Whether it has ended by every clock.
    fn has_ended(&self, now_ms: u64, skew_ms: u64) -> bool {
        self.ends_ms.is_some_and(|ends| now_ms >= ends + skew_ms)
    }
}

impl Wallets {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no check has failed before")
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no check has failed before")
    }

    /// What the store has now, with what is gone.
    fn look(&self, world: &World, books: &Books) -> (books::Wallets, BTreeMap<String, Found>) {
        let (ledger, kept) = (&mut self.ledger(), world.kept());
        let wallets = books::wallets(books, ledger, kept);
        let packets = packets::packets(books, &wallets, ledger, kept);
        (wallets, packets)
    }

    /// Whether what a rain gave may be carried.
    fn may_be_carried(&self, step: &Step, rain: &Rain) -> bool {
        rain.ends_ms.is_some_and(|ends_ms| step.world.kept().may_be_gone(ends_ms, SEALED_DAYS))
    }

    /// The rain of a fund.
    fn rain_of(&self, fund: &str) -> Option<&Rain> {
        self.rains.iter().find(|rain| records::fund(rain.id, "rain") == fund)
    }

    fn bounds(&self, world: &World, user: u64) -> Bounds {
        self.model().bounds(user, world.app.now_ms())
    }

    /// An answer says what a number gave.
    fn gave(&self, user: u64, number: &str, reply: &Reply) {
        let mut model = self.model();
        model.gave(user, number, cents(reply, "amount"));
        model.hold(user, number, reply.text("token").expect("a token"));
    }
}

impl Function for Wallets {
    fn set_up(&self) -> Vec<Ask> {
        self.rains.iter().map(|rain| set_up_rain(rain.id, &rain.definition)).collect()
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(client::Holder::new(self))
    }

    fn check(&self, world: &World, books: &Books) {
        let (wallets, packets) = self.look(world, books);
        let known = |user: &u64| USERS.contains(user) || *user == LAST;
        assert!(wallets.keys().all(known), "whose? {:?}", wallets.keys());
        let is_sealed =
            |fund: &str| self.rain_of(fund).is_some_and(|rain| !accounts::is_open(books, rain.id));
        accounts::check_accounts(books, &wallets, &packets, is_sealed);
        for rain in &self.rains {
            accounts::check_rain(books, rain.id, &wallets);
            if rain.ends_ms.is_some() && !accounts::is_open(books, rain.id) {
                let kept = world.kept().may_be_gone(rain.ends_ms.unwrap_or(0), SEALED_DAYS);
                assert!(kept, "{} was sealed", rain.id);
                world.saw("wallet: rain sealed");
            }
        }
        for (what, count) in self.ledger().gone() {
            world.saw_times(format!("wallet: {what} forgotten"), count);
        }
        let mut model = self.model();
        for (user, number, cents) in model.acknowledged() {
            let given = wallets.get(&user).and_then(|wallet| wallet.given(&number));
            assert_eq!(given, Some(cents), "{user} {number}");
        }
        let (now_ms, skew_ms) = (world.app.now_ms(), world.plan.skew_ms_max());
        for (name, packet) in model.packets() {
            let found = packets.get(name);
            let is_lost = found.is_none() && packet.is_there(now_ms, skew_ms);
            assert!(!is_lost, "{name} was forgotten: {packet:?}");
            if let Some(found) = found {
                packet.check_found(name, found);
            }
        }
        for name in packets.iter().filter(|(_, found)| found.is_refunded()).map(|(name, _)| name) {
            if model.see_refund(name) {
                world.saw("wallet: refunded");
            }
        }
        model.see_packets(packets);
        if self.rains.iter().any(|rain| accounts::leased(books, rain.id) > 0) {
            world.saw("wallet: a lease has something left");
        }
    }

    fn calm(&self) -> Vec<Ask> {
        vec![switch_posting(&json!({"mode": "queued"}))]
    }

    fn due(&self, world: &World, books: &Books) -> Vec<String> {
        let now_ms = world.app.now_ms();
        let (wallets, packets) = self.look(world, books);
        let mut due = books::due(books, &wallets, &packets, now_ms);
        for rain in self.rains.iter().filter(|rain| rain.has_ended(now_ms, GRACE_MS)) {
            world.saw("wallet: leases of a rain that ended");
            let left = accounts::leased(books, rain.id);
            if left > 0 {
                due.push(format!("{} has ended, and {left} are in leases", rain.id));
            }
        }
        due
    }

    fn left(&self, world: &World, books: &Books) -> Vec<String> {
        // Elsewhere not so much time passes that what a rain gave is carried.
        let is_over = |rain: &Rain| world.plan.weeks && rain.ends_ms.is_some();
        let is_of_over =
            |token: &Token| self.rain_of(&wallet::posting::source(token)).is_none_or(is_over);
        let open = self.rains.iter().filter(|rain| is_over(rain));
        let open = open.filter(|rain| accounts::is_open(books, rain.id));
        let open = open.map(|rain| format!("{} is not sealed", rain.id));
        books::left(books, &mut self.ledger(), world.kept(), is_of_over)
            .into_iter()
            .chain(open)
            .collect()
    }

    fn drain<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for rain in self.rains.iter().filter(|rain| rain.ends_ms.is_none()) {
                drain(world, asker, rain).await;
            }
        })
    }

    fn rest<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            world.check();
            self.check_acknowledged(world, asker).await;
            let now_ms = world.app.now_ms();
            let ended = |rain: &&Rain| rain.has_ended(now_ms, GRACE_MS);
            for rain in self.rains.iter().filter(ended) {
                let asked = open_rain(LAST, rain.id, "late");
                let reply = asker.until_answered(&asked).await;
                if !accounts::is_open(&world.books(), rain.id) {
                    assert!(reply.status == 404 || reply.status == 409, "{reply:?}");
                    continue;
                }
                assert_eq!(reply.text("code").as_deref(), Some("ended"), "{reply:?}");
                assert_eq!(Budget::look(asker, rain.id).await.leased, 0, "{}", rain.id);
            }
            for user in USERS.into_iter().chain([LAST]) {
                let expected = {
                    let (wallets, _) = self.look(world, &world.books());
                    wallets.get(&user).map_or(0, books::Wallet::balance)
                };
                let reply = asker.until_answered(&view(user)).await;
                let has = Has::of(user, &reply);
                assert_eq!(
                    (has.balance, cents(&reply, "pending")),
                    (expected, 0),
                    "{user}: {reply:?}"
                );
                check_users(asker, &[has]).await;
            }
        })
    }
}

impl Wallets {
    /// Whatever was acknowledged is what the app says now, as long as it is kept.
    async fn check_acknowledged(&self, world: &World, asker: &mut Patient) {
        let (given, taken) = {
            let model = self.model();
            (model.acknowledged(), model.acknowledged_withdrawals())
        };
        for (user, number, amount) in given {
            let reply = asker.until_answered(&look_up(user, &number)).await;
            if self.ledger().is_carried(&world.books(), user, &number) {
                assert_eq!(reply.status, 404, "{user} {number} is carried: {reply:?}");
                continue;
            }
            let found = (cents(&reply, "amount"), &reply.json()["posted"]);
            assert_eq!(found, (amount, &json!(true)), "{user} {number}: {reply:?}");
        }
        for (user, number, amount) in taken {
            let reply = asker.until_answered(&look_at_withdrawal(user, &number)).await;
            if self.ledger().is_withdrawal_gone(user, &number) {
                assert_eq!(reply.status, 404, "{user} {number} is gone: {reply:?}");
                continue;
            }
            assert_eq!(cents(&reply, "amount"), amount, "{reply:?}");
        }
    }
}

/// What is left of a rain can be given, to less than the smallest packet.
async fn drain(world: &World, asker: &mut Patient, rain: &Rain) {
    let before = Budget::look(asker, rain.id).await;
    let mut left = before.leased + before.remaining;
    let mut refused = 0;
    for award in 0.. {
        if refused == 2 {
            break;
        }
        let asked = open_rain(LAST, rain.id, &format!("last{award}"));
        let reply = asker.until_answered(&asked).await;
        if reply.status == 201 {
            left -= cents(&reply, "amount");
            assert!(left >= 0, "{} gives more than was left: {before:?}", rain.id);
            refused = 0;
            continue;
        }
        assert_eq!(reply.text("code").as_deref(), Some("budget_exhausted"), "{reply:?}");
        refused += 1;
        world.advance(MEMORY_MS);
    }
    let budget = Budget::look(asker, rain.id).await;
    assert!(budget.leased + budget.remaining < rain.least, "{}: {budget:?}", rain.id);
    world.saw_times("wallet: cents of rains", budget.granted as u64);
}

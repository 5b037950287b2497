//! What a client does, and what it may rely on afterwards: whatever was acknowledged.

use std::sync::{Arc, MutexGuard};

use end_to_end::app::{Ask, Reply};
use end_to_end::wallet::{
    cents, decide_payment, grab, look, look_at_rain, look_at_withdrawal, open, open_rain, packet,
    packet_name, packet_paid_by, packet_to_pay, post, post_withdrawal, restore, send, settle,
    switch_posting, tell, unapplied_payments, view, void_withdrawal, withdraw_with,
};
use end_to_end::wallet_checks::Budget;
use futures::future::BoxFuture;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use wallet::packet::{Payment, opening_number};
use wallet::withdraw::State;

use super::model::{Model, Packet, back};
use super::{SEALED_DAYS, Wallets, books};
use crate::books::Books;
use crate::functions::Client;
use crate::world::{DAY_MS, NUMBERS_DAYS, Step, USERS, timed};

/// What a client does, and how often.
pub const ACTIONS: &[(&str, u32)] = &[
    ("grant", 8),
    ("grant again", 2),
    ("grant near the end", 1),
    ("send", 5),
    ("pay", 3),
    ("open", 8),
    ("open near the end", 2),
    ("look", 2),
    ("withdraw", 3),
    ("end withdrawal", 4),
    ("view", 4),
    ("tokens", 1),
    ("switch", 1),
    ("budget", 1),
    ("post", 1),
];

/// So many days after it was sent a packet may be forgotten.
const PACKET_DAYS: u64 = 30 + NUMBERS_DAYS;
/// So many days after it was sent a packet cannot be paid for any more.
const CREDITED_MS: u64 = 30 * DAY_MS;
/// How long withdrawals may be pending that have an end.
const SECONDS: [u64; 3] = [1, 3_600, 5 * 86_400];

/// A packet of a rain that this client asked for.
#[derive(Clone, Debug)]
struct Grant {
    user: u64,
    rain: usize,
    award: String,
}

/// A withdrawal of this client's.
#[derive(Clone, Debug)]
struct Withdrawal {
    user: u64,
    number: String,
    amount: i64,
    /// When it was first tried.
    tried_ms: u64,
    /// When it was ordered, if its number has a time.
    ordered_at: Option<u64>,
    /// For how long it may be pending, where it has an end.
    seconds: Option<u64>,
    /// How it ended, for good.
    ended: Option<State>,
}

impl Withdrawal {
    fn ask(&self, amount: i64) -> Ask {
        let more = match self.seconds {
            Some(seconds) => json!({ "expires_in_seconds": seconds }),
            None => json!({}),
        };
        timed(withdraw_with(self.user, &self.number, amount, &more), self.ordered_at)
    }
}

/// A client, with numbers of its own.
pub struct Holder {
    wallets: Arc<Wallets>,
    grants: Vec<Grant>,
    packets: Vec<String>,
    withdrawals: Vec<Withdrawal>,
}

impl Client for Holder {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match action {
                "grant" => self.grant(step).await,
                "grant again" => self.grant_again(step).await,
                "grant near the end" => self.grant_near_the_end(step).await,
                "send" => self.send(step).await,
                "pay" => self.pay(step).await,
                "open" => match self.packet_to_open(step) {
                    Some(name) => self.open(step, &name).await,
                    None => self.send(step).await,
                },
                "open near the end" => self.open_near_the_end(step).await,
                "look" => {
                    if let Some(name) = self.packet_to_open(step) {
                        self.look_or_grab(step, &name).await;
                    }
                }
                "withdraw" => self.withdraw(step).await,
                "end withdrawal" => self.end_withdrawal(step).await,
                "view" => {
                    let user = step.user();
                    self.seen(step, user, &view(user)).await;
                }
                "tokens" => self.tokens(step).await,
                "switch" => switch(step).await,
                "budget" => self.budget(step).await,
                "post" => {
                    let user = step.user();
                    self.seen(step, user, &post(user)).await;
                }
                _ => {}
            }
        })
    }

    fn check(&self, books: &Books) {
        let model = self.model();
        for one in &self.withdrawals {
            let Withdrawal { user, number, amount, ended, .. } = one;
            if self.wallets.ledger().is_withdrawal_gone(*user, number) {
                continue;
            }
            let found = books::withdrawal(books, *user, number);
            if model.taken(*user, number).is_some() {
                assert_eq!(found.as_ref().map(|found| found.amount), Some(*amount), "{one:?}");
            }
            if ended.is_some() {
                assert_eq!(found.as_ref().map(|found| found.state), *ended, "{one:?}");
            }
        }
    }
}

fn now_ms(step: &Step) -> u64 {
    step.world.app.now_ms()
}

fn skew_ms(step: &Step) -> u64 {
    step.world.plan.skew_ms_max()
}

fn saw(step: &Step, state: &str) {
    step.world.saw(format!("wallet: {state}"));
}

async fn call_schedule(step: &mut Step) {
    if let Some(reply) = step.ask(&settle()).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

/// Whether nothing of a packet may be known any more.
fn may_be_forgotten(step: &Step, packet: &Packet) -> bool {
    step.world.kept().may_be_gone(packet.tried_ms, PACKET_DAYS)
}

/// Whether a packet must be known.
fn is_there(step: &Step, packet: &Packet) -> bool {
    packet.is_there(now_ms(step), skew_ms(step)) && !may_be_forgotten(step, packet)
}

fn code(reply: &Reply) -> String {
    reply.text("code").unwrap_or_default()
}

fn is_replayed(reply: &Reply) -> bool {
    reply.json()["replayed"] == true
}

impl Holder {
    pub fn new(wallets: Arc<Wallets>) -> Self {
        Self { wallets, grants: Vec::new(), packets: Vec::new(), withdrawals: Vec::new() }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.wallets.model()
    }

    async fn grant(&mut self, step: &mut Step) {
        let rain = step.random.random_range(0..self.wallets.rains.len());
        self.grant_of(step, rain).await;
    }

    async fn grant_of(&mut self, step: &mut Step, rain: usize) {
        let grant = Grant { user: step.user(), rain, award: step.name() };
        self.grants.push(grant.clone());
        self.ask_for(step, &grant).await;
    }

    /// When a round is over by the clocks of some and not by those of others, its leases are taken back, and
    /// somebody asks for a packet.
    async fn grant_near_the_end(&mut self, step: &mut Step) {
        let ends_ms = self.wallets.rains.iter().map(|rain| rain.ends_ms);
        // The last one ends within a day.
        let ending =
            ends_ms.enumerate().filter_map(|(rain, ends_ms)| Some((rain, ends_ms?))).next_back();
        let Some((rain, ends_ms)) = ending else { return };
        step.wait_until_around(ends_ms);
        if step.random.random_bool(0.5) {
            call_schedule(step).await;
        }
        self.grant_of(step, rain).await;
    }

    async fn grant_again(&mut self, step: &mut Step) {
        let Some(grant) = self.grants.choose(&mut step.random).cloned() else { return };
        self.ask_for(step, &grant).await;
    }

    async fn ask_for(&self, step: &mut Step, grant: &Grant) {
        let Grant { user, award, .. } = grant;
        let (user, rain) = (*user, &self.wallets.rains[grant.rain]);
        let number = rain.number(user, award);
        self.model().try_giving(user, &number, rain.most);
        let known = self.model().given(user, &number);
        let had_ended = rain.has_ended(now_ms(step), skew_ms(step));
        let Some(reply) = step.ask(&open_rain(user, rain.id, award)).await else { return };
        if reply.status == 201 {
            assert_eq!(reply.text("order_number").as_deref(), Some(&*number), "{reply:?}");
            assert!(is_replayed(&reply) || (known.is_none() && !had_ended), "{reply:?}");
            self.wallets.gave(user, &number, &reply);
            saw(step, if known.is_some() { "granted again" } else { "granted" });
            return;
        }
        let code = code(&reply);
        match (reply.status, &*code) {
            (409, "budget_exhausted") => {}
            (409, "ended") => {
                assert!(rain.may_have_ended(now_ms(step), skew_ms(step)), "{reply:?}");
            }
            (422, "too_old") | (404, "unknown_rain") => {
                let ends_ms = rain.ends_ms.expect("it has an end");
                assert!(step.world.kept().may_be_gone(ends_ms, SEALED_DAYS), "{reply:?}");
            }
            _ => panic!("{reply:?}"),
        }
        let is_carried = self.wallets.may_be_carried(step, rain);
        assert!(known.is_none() || is_carried, "it was forgotten: {reply:?}");
        saw(step, &code);
        if step.world.plan.is_calm() {
            self.model().did_not_give(user, &number);
        }
    }

    /// A new packet, or one of this client's once more.
    async fn send(&mut self, step: &mut Step) {
        let is_old = step.random.random_bool(0.2);
        let name = match self.packets.choose(&mut step.random) {
            Some(old) if is_old => old.clone(),
            _ => match self.new_packet(step) {
                Some(new) => new,
                None => return self.grant(step).await,
            },
        };
        let packet = self.model().packet(&name);
        let is_known = packet.sent_ms.is_some();
        let mut body = body_of(&packet);
        if is_known && step.random.random_bool(0.3) {
            body["total"] = json!((packet.total + 1).to_string());
            let asked = timed(send(&body), packet.ordered_at);
            let Some(reply) = step.ask(&asked).await else { return };
            let is_forgotten = code(&reply) == "too_old" && may_be_forgotten(step, &packet);
            let is_reused = code(&reply) == "order_number_reused";
            assert!(reply.status == 422 && (is_reused || is_forgotten), "{packet:?}: {reply:?}");
            return;
        }
        let tried = Packet { tried_ms: now_ms(step), ..packet.clone() };
        self.model().try_sending(&name, tried, skew_ms(step));
        let asked = timed(send(&body), packet.ordered_at);
        let Some(reply) = step.ask(&asked).await else { return };
        if code(&reply) == "too_old" {
            let now_ms = now_ms(step) + skew_ms(step);
            let is_late = packet.may_be_late || now_ms >= packet.tried_ms + CREDITED_MS;
            let is_forgotten = may_be_forgotten(step, &packet);
            assert!(is_forgotten || (packet.by_payment && is_late), "{packet:?}: {reply:?}");
            saw(step, "too_old");
            return;
        }
        if reply.status == 201 {
            assert!(!is_known || is_replayed(&reply), "{reply:?}");
            let state = if packet.by_payment { "unpaid" } else { "open" };
            assert_eq!(reply.text("state").as_deref(), Some(state), "{reply:?}");
            self.model().sent(&name, now_ms(step));
            let sent = if packet.by_payment { "ordered" } else { "sent" };
            saw(step, if is_known { "sent again" } else { sent });
            return;
        }
        let is_refused = (reply.status, &*code(&reply)) == (409, "exceeds_balance");
        assert!(is_refused && !packet.by_payment && !is_known, "{packet:?}: {reply:?}");
        saw(step, "sent for more than there is");
        if step.world.plan.is_calm() {
            self.model().did_not_send(&name);
        }
    }

    fn new_packet(&mut self, step: &mut Step) -> Option<String> {
        let total = step.random.random_range(4..80);
        let by_payment = step.random.random_bool(0.4);
        let sender = if by_payment { step.user() } else { self.user_with(step, total)? };
        let number = format!("p{}", step.name());
        let name = packet_name(sender, &number);
        let packet = Packet {
            sender,
            number,
            total,
            count: step.random.random_range(1..=4),
            is_equal: step.random.random_bool(0.5),
            by_payment,
            ordered_at: step.ordered_at(),
            tried_ms: now_ms(step),
            sent_ms: None,
            pay_tried_ms: None,
            may_be_late: false,
            paid_ms: None,
            paid_by: None,
            is_expired: false,
            is_finished: false,
        };
        self.packets.push(name.clone());
        self.model().try_sending(&name, packet, skew_ms(step));
        Some(name)
    }

    /// Mostly somebody who has so much for certain, so that something comes of it; nobody where it is given first.
    fn user_with(&self, step: &mut Step, cents: i64) -> Option<u64> {
        let has = |user: &u64| *self.wallets.bounds(&step.world, *user).now().start() >= cents;
        let users: Vec<_> = USERS.into_iter().filter(has).collect();
        if step.random.random_bool(0.25) {
            Some(step.user())
        } else {
            users.choose(&mut step.random).copied()
        }
    }

    /// Any packet that somebody tried to send.
    fn packet(&self, step: &mut Step, of: impl Fn(&Packet) -> bool) -> Option<String> {
        let model = self.model();
        let names = model.packets().iter().filter(|(_, packet)| of(packet)).map(|(name, _)| name);
        names.collect::<Vec<_>>().choose(&mut step.random).map(|name| (*name).clone())
    }

    /// Somebody says that a packet was paid for, whether it has to be or not, however often, and by which payment.
    async fn pay(&mut self, step: &mut Step) {
        let waiting = self.model().unapplied();
        if step.random.random_bool(0.3)
            && let Some(record) = waiting.choose(&mut step.random)
        {
            return self.decide(step, record).await;
        }
        let any = step.random.random_bool(0.1);
        let Some(name) = self.packet(step, |packet| any || packet.by_payment) else { return };
        let before = self.model().packet(&name);
        if before.by_payment {
            self.model().try_paying(&name, now_ms(step), skew_ms(step));
        }
        let payment = match step.random.random_range(0..10) {
            0 => Payment::parse("T-1", "payment").expect("a number"),
            1 => Payment::parse("T-2", "payment").expect("a number"),
            _ => Payment::NONE,
        };
        let event = packet_paid_by(payment.number(), before.sender, &before.number);
        let Some(reply) = step.ask(&tell(&event)).await else { return };
        let now_ms = now_ms(step);
        match (reply.status, &*code(&reply)) {
            (204, _) => {
                let is_first = self.model().paid(&name, &payment, now_ms);
                saw(step, if is_first { "paid" } else { "paid again" });
            }
            (422, "already_paid" | "may_be_the_same") => {
                self.model().told_unapplied(&name, &payment);
                saw(step, "paid for twice");
            }
            (422, "too_old") => {
                let is_late = now_ms + skew_ms(step) >= before.tried_ms + CREDITED_MS;
                assert!(is_late, "{before:?}: {reply:?}");
                self.model().told_too_late(&name, &payment);
                saw(step, "paid too late");
            }
            (422, "unknown_packet") => {
                assert!(!is_there(step, &before), "{before:?}: {reply:?}");
                saw(step, "paid before it is known");
            }
            _ => panic!("{reply:?}"),
        }
    }

    /// An operator decides about a payment for which there was no use, if it still waits.
    async fn decide(&mut self, step: &mut Step, record: &str) {
        let Some(id) = self.waits(step, record).await else { return };
        let was_decided = self.model().may_be_decided(record);
        let may_be_collected = step.world.plan.weeks;
        self.model().try_deciding(record, now_ms(step));
        let decision = step.one_of(&["credit", "drop"]);
        let Some(reply) = step.ask(&decide_payment(&id, decision)).await else { return };
        match (reply.status, &*code(&reply)) {
            (204, _) => saw(step, decision),
            (409, "decided_otherwise") => assert!(was_decided, "{reply:?}"),
            // Nothing is kept of its packet, or of the payment itself.
            (409, "amount_unknown") | (404, "unknown_payment") => {
                assert!(may_be_collected, "{reply:?}");
            }
            _ => panic!("{reply:?}"),
        }
    }

    /// Under which id a payment waits.
    async fn waits(&self, step: &mut Step, record: &str) -> Option<String> {
        let reply = step.ask(&unapplied_payments("")).await?;
        assert_eq!(reply.status, 200, "{reply:?}");
        let (payment, packet) = Payment::of_record_name(record).expect("a record's name");
        let listed = reply.json();
        let mut payments = listed["payments"].as_array().expect("a list").iter();
        let number = payment.number().map(Value::from).unwrap_or_default();
        let is_it = |one: &&Value| one["packet"] == packet && one["payment"] == number;
        payments.find(is_it)?["payment_id"].as_str().map(str::to_owned)
    }

    /// Mostly one that may be open.
    fn packet_to_open(&self, step: &mut Step) -> Option<String> {
        let any = step.random.random_bool(0.2);
        let may_be_open = |packet: &Packet| {
            let is_known = packet.sent_ms.is_some() && packet.may_be_open();
            any || (is_known && !packet.is_expired)
        };
        self.packet(step, may_be_open)
    }

    /// When the time of a packet is over by the clocks of some and not by those of others, one user looks
    /// or asks, and another one opens it.
    async fn open_near_the_end(&mut self, step: &mut Step) {
        let Some(name) = self.packet_to_open(step) else { return };
        let Some(end_ms) = self.model().packet(&name).end_ms() else { return };
        step.wait_until_around(end_ms);
        self.look_or_grab(step, &name).await;
        self.open(step, &name).await;
    }

    async fn open(&mut self, step: &mut Step, name: &str) {
        let (user, number) = (step.user(), opening_number(name));
        let (before, known) = {
            let mut model = self.model();
            let before = model.packet(name);
            model.try_giving(user, &number, before.total);
            (before, model.given(user, &number))
        };
        let was_over = before.is_over(now_ms(step), skew_ms(step));
        let Some(reply) = step.ask(&open(name, user)).await else { return };
        if reply.status == 200 {
            if !is_replayed(&reply) {
                let may_be = known.is_none() && !before.is_finished && !before.is_expired;
                assert!(may_be && !was_over, "{before:?}: {reply:?}");
            }
            assert!(self.model().packet(name).may_be_open(), "{before:?}: {reply:?}");
            self.wallets.gave(user, &number, &reply);
            saw(step, if known.is_some() { "opened again" } else { "opened" });
            return;
        }
        self.refused(step, name, &before, user, &reply);
        self.look(step, name).await;
    }

    /// A packet gives a user nothing, as far as is known.
    fn refused(&self, step: &Step, name: &str, before: &Packet, user: u64, reply: &Reply) {
        let (code, number) = (code(reply), opening_number(name));
        saw(step, &code);
        match (reply.status, &*code) {
            (404, "unknown_packet") => assert!(!is_there(step, before), "{before:?}: {reply:?}"),
            (409, "unpaid") => self.told_unpaid(before, reply),
            (409, "finished") => {
                // Nothing can come into it any more.
                self.told_finished(name, reply);
                self.model().cannot_give(user, &number);
            }
            (409, "expired") => {
                self.told_expired(step, name, reply);
                self.model().cannot_give(user, &number);
            }
            _ => panic!("{reply:?}"),
        }
    }

    fn told_unpaid(&self, before: &Packet, reply: &Reply) {
        assert!(before.by_payment && before.paid_ms.is_none(), "{before:?}: {reply:?}");
    }

    fn told_finished(&self, name: &str, reply: &Reply) {
        let mut model = self.model();
        assert!(model.packet(name).may_be_open(), "{reply:?}");
        model.told_finished(name);
    }

    /// Whoever is told so is told it by the store, and nobody opens it any more.
    fn told_expired(&self, step: &Step, name: &str, reply: &Reply) {
        let packet = self.model().packet(name);
        assert!(packet.may_be_over(now_ms(step), skew_ms(step)), "{packet:?}: {reply:?}");
        let found = {
            let mut books = step.world.books();
            books.read();
            let (_, packets) = self.wallets.look(&step.world, &books);
            packets.get(name).cloned()
        };
        self.model().told_expired(name, found);
    }

    async fn look_or_grab(&mut self, step: &mut Step, name: &str) {
        if step.random.random_bool(0.5) {
            self.look(step, name).await;
        } else {
            self.grab(step, name).await;
        }
    }

    /// May a user open it?
    async fn grab(&mut self, step: &mut Step, name: &str) {
        let (user, number) = (step.user(), opening_number(name));
        let (before, known) = {
            let model = self.model();
            (model.packet(name), model.given(user, &number))
        };
        let was_over = before.is_over(now_ms(step), skew_ms(step));
        let Some(reply) = step.ask(&grab(name, user)).await else { return };
        match (reply.status, &*code(&reply)) {
            (200, _) => {
                let left = reply.json()["left"].as_u64().expect("a number");
                assert!((1..=u64::from(before.count)).contains(&left), "{reply:?}");
                let may_be = known.is_none() && !before.is_finished && !before.is_expired;
                assert!(may_be && !was_over, "{before:?}: {reply:?}");
                assert!(self.model().packet(name).may_be_open(), "{before:?}: {reply:?}");
                saw(step, "eligible");
            }
            (409, "already_opened") => {
                assert!(self.model().was_tried(user, &number), "{reply:?}");
                saw(step, "already_opened");
            }
            _ => {
                let may_be = known.is_none() || may_be_forgotten(step, &before);
                assert!(may_be, "it was forgotten: {reply:?}");
                self.refused(step, name, &before, user, &reply);
            }
        }
    }

    /// A packet as it is shown: nothing is missing, and whoever was told to have opened it has.
    async fn look(&self, step: &mut Step, name: &str) {
        let (before, openings) = {
            let model = self.model();
            (model.packet(name), model.all_given(&opening_number(name)))
        };
        let was_over = before.is_over(now_ms(step), skew_ms(step));
        let Some(reply) = step.ask(&look(name)).await else { return };
        if reply.status != 200 {
            assert_eq!((reply.status, &*code(&reply)), (404, "unknown_packet"), "{reply:?}");
            assert!(!is_there(step, &before), "{before:?}: {reply:?}");
            return;
        }
        let (taken, left) = (cents(&reply, "taken"), cents(&reply, "remaining"));
        assert_eq!(taken + left, before.total, "{reply:?}");
        let shown = reply.json()["openings"].as_array().expect("a list").clone();
        for (user, cents) in openings {
            let expected = (json!(user.to_string()), json!(cents.to_string()));
            let is_it = |one: &Value| (&one["user"], &one["amount"]) == (&expected.0, &expected.1);
            assert!(shown.iter().any(is_it), "{user} has {cents}: {reply:?}");
        }
        match reply.text("state").as_deref() {
            Some("unpaid") => self.told_unpaid(&before, &reply),
            Some("open") => {
                let may_be = !before.is_finished && !before.is_expired && !was_over;
                assert!(may_be && self.model().packet(name).may_be_open(), "{before:?}: {reply:?}");
            }
            Some("finished") => {
                assert_eq!(left, 0, "{reply:?}");
                self.told_finished(name, &reply);
            }
            Some("expired") => self.told_expired(step, name, &reply),
            _ => panic!("{reply:?}"),
        }
    }

    async fn withdraw(&mut self, step: &mut Step) {
        let amount = step.random.random_range(1..200);
        let Some(user) = self.user_with(step, amount) else { return self.grant(step).await };
        let number = format!("w{}", step.name());
        let (ordered_at, weeks) = (step.ordered_at(), step.world.plan.weeks);
        let seconds = (weeks && step.random.random_bool(0.5)).then(|| step.one_of(&SECONDS));
        let (tried_ms, ended, text) = (now_ms(step), None, number.clone());
        let one = Withdrawal { user, number: text, amount, tried_ms, ordered_at, seconds, ended };
        let asked = one.ask(amount);
        self.withdrawals.push(one);
        self.model().try_taking(user, &number, amount);
        if seconds.is_some() {
            // From its end on it comes back by itself.
            self.model().try_giving(user, &back(&number), amount);
            saw(step, "with an end");
        }
        let Some(reply) = step.ask(&asked).await else { return };
        if reply.status == 201 {
            self.model().took(user, &number, amount);
            saw(step, "withdrawn");
        } else {
            // The refusal stands for this number.
            assert_eq!(code(&reply), "exceeds_balance", "{reply:?}");
            self.model().took(user, &number, 0);
            saw(step, "withdrawn more than there is");
        }
    }

    /// Mostly one that holds money.
    fn withdrawal_to_end(&self, step: &mut Step) -> Option<usize> {
        let any = step.random.random_bool(0.3);
        let all: Vec<_> = (0..self.withdrawals.len()).collect();
        let model = self.model();
        let holds = |index: &usize| {
            let Withdrawal { user, number, .. } = &self.withdrawals[*index];
            model.taken(*user, number).is_some()
        };
        let holding: Vec<_> = all.iter().copied().filter(holds).collect();
        let from = if any { &all } else { &holding };
        from.choose(&mut step.random).copied()
    }

    /// Posts, voids, asks again, asks for another amount, or looks.
    async fn end_withdrawal(&mut self, step: &mut Step) {
        let Some(index) = self.withdrawal_to_end(step) else { return self.withdraw(step).await };
        let Withdrawal { user, number, amount, .. } = self.withdrawals[index].clone();
        let known = self.model().taken(user, &number);
        match step.random.random_range(0..6) {
            0 | 1 => self.post_withdrawal(step, index, known).await,
            2 => self.void_withdrawal(step, index, known).await,
            // Where it may not have arrived, this one would be the first.
            3 if known.is_some() => {
                let other = self.withdrawals[index].ask(amount + 1);
                let Some(reply) = step.ask(&other).await else { return };
                let is_other = code(&reply) == "exists_with_different_amount";
                assert!(is_other || self.is_forgotten(step, index, &reply), "{reply:?}");
            }
            3 | 4 => self.withdraw_again(step, index, known).await,
            _ => {
                let asked = look_at_withdrawal(user, &number);
                let Some(reply) = step.ask(&asked).await else { return };
                if reply.status == 404 {
                    let may_be = known.is_none() || self.is_forgotten(step, index, &reply);
                    assert!(may_be, "{reply:?}");
                }
            }
        }
    }

    /// Whether a withdrawal may be forgotten, as it is told.
    fn is_forgotten(&self, step: &Step, index: usize, reply: &Reply) -> bool {
        let Withdrawal { tried_ms, ordered_at, .. } = self.withdrawals[index];
        let since_ms = ordered_at.unwrap_or(tried_ms).min(tried_ms);
        let may_be = step.world.may_be_collected(since_ms);
        let is_told = matches!(&*code(reply), "too_old" | "unknown_withdrawal");
        if may_be && is_told {
            saw(step, "too_old");
        }
        may_be && is_told
    }

    async fn post_withdrawal(&mut self, step: &mut Step, index: usize, known: Option<i64>) {
        let Withdrawal { user, number, amount, .. } = self.withdrawals[index].clone();
        let Some(reply) = step.ask(&post_withdrawal(user, &number)).await else { return };
        match (reply.status, &*code(&reply)) {
            (200, _) | (409, "already_posted") => {
                let mut model = self.model();
                model.took(user, &number, amount);
                model.cannot_give(user, &back(&number));
                drop(model);
                self.withdrawals[index].ended = Some(State::Posted);
                saw(step, "posted");
            }
            (409, "already_voided" | "exceeds_balance") => {}
            (404, "unknown_withdrawal") => {
                let may_be = known.is_none() || self.is_forgotten(step, index, &reply);
                assert!(may_be, "{reply:?}");
            }
            _ => panic!("{reply:?}"),
        }
    }

    async fn void_withdrawal(&mut self, step: &mut Step, index: usize, known: Option<i64>) {
        let Withdrawal { user, number, amount, ordered_at, .. } = self.withdrawals[index].clone();
        let back = back(&number);
        self.model().try_giving(user, &back, amount);
        let asked = timed(void_withdrawal(user, &number), ordered_at);
        let Some(reply) = step.ask(&asked).await else { return };
        if self.is_forgotten(step, index, &reply) {
            return;
        }
        let mut model = self.model();
        let ended = match (reply.status, &*code(&reply)) {
            (200, _) => {
                let came = cents(&reply, "amount");
                assert!(came == amount || (came == 0 && known.is_none()), "{reply:?}");
                model.took(user, &number, came);
                model.gave(user, &back, came);
                saw(step, "voided");
                Some(State::Voided)
            }
            // What it was when it was voided nobody said.
            (409, "already_voided") => Some(State::Voided),
            (409, "already_posted") => {
                model.took(user, &number, amount);
                model.gave(user, &back, 0);
                Some(State::Posted)
            }
            (409, "exceeds_balance") => {
                assert_eq!(known, None, "{reply:?}");
                model.took(user, &number, 0);
                model.gave(user, &back, 0);
                None
            }
            _ => panic!("{reply:?}"),
        };
        drop(model);
        if ended.is_some() {
            self.withdrawals[index].ended = ended;
        }
    }

    async fn withdraw_again(&mut self, step: &mut Step, index: usize, known: Option<i64>) {
        let Withdrawal { user, number, amount, .. } = self.withdrawals[index].clone();
        let asked = self.withdrawals[index].ask(amount);
        let Some(reply) = step.ask(&asked).await else { return };
        if self.is_forgotten(step, index, &reply) {
            return;
        }
        let mut model = self.model();
        match (reply.status, &*code(&reply)) {
            (201, _) => {
                assert!(known.is_none() || is_replayed(&reply), "{reply:?}");
                model.took(user, &number, amount);
            }
            (409, "exceeds_balance") => {
                assert_eq!(known, None, "{reply:?}");
                model.took(user, &number, 0);
            }
            (409, "already_voided") => {
                assert_eq!(known, None, "{reply:?}");
                model.took(user, &number, 0);
                model.cannot_give(user, &back(&number));
            }
            _ => panic!("{reply:?}"),
        }
    }

    /// A view shows what the model allows.
    async fn seen(&self, step: &mut Step, user: u64, asked: &Ask) -> Option<Reply> {
        let before = self.wallets.bounds(&step.world, user);
        let reply = step.ask(asked).await?;
        assert_eq!(reply.status, 200, "{reply:?}");
        let allowed = before.until(&self.wallets.bounds(&step.world, user));
        let balance = cents(&reply, "balance");
        assert!(allowed.contains(&balance), "{user}: {allowed:?}: {reply:?}");
        saw(step, "view");
        // That nothing came and nothing went is known of everybody at first.
        if allowed.start() == allowed.end() && balance > 0 {
            saw(step, "exact view");
        }
        Some(reply)
    }

    /// Tokens that the client holds; the store has lost none of them.
    async fn tokens(&mut self, step: &mut Step) {
        let (user, other) = (step.user(), step.user());
        let tokens = self.model().tokens(other);
        if user == other || tokens.is_empty() {
            if let Some(reply) = self.seen(step, other, &restore(other, &tokens)).await {
                assert_eq!(reply.json()["restored"], 0, "{reply:?}");
                if !tokens.is_empty() {
                    saw(step, "restored");
                }
            }
        } else if let Some(reply) = step.ask(&restore(user, &tokens)).await {
            assert_eq!(code(&reply), "foreign_token", "{reply:?}");
            saw(step, "foreign token");
        }
    }

    /// Budgets add up while they are given.
    async fn budget(&mut self, step: &mut Step) {
        let rain = step.random.random_range(0..self.wallets.rains.len());
        let rain = &self.wallets.rains[rain];
        let Some(reply) = step.ask(&look_at_rain(rain.id)).await else { return };
        if reply.status != 200 || !reply.json()["sealed"].is_null() {
            let may_be = self.wallets.may_be_carried(step, rain);
            assert!(may_be && matches!(reply.status, 200 | 404), "{reply:?}");
            return;
        }
        Budget::of(&reply);
        saw(step, "budget");
    }
}

fn body_of(of: &Packet) -> Value {
    let Packet { sender, number, total, count, .. } = of;
    let packet = if of.by_payment { packet_to_pay } else { packet };
    let mut body = packet(*sender, number, *total, *count);
    if of.is_equal {
        body["kind"] = json!("equal");
    }
    body
}

async fn switch(step: &mut Step) {
    let large = json!({"mode": "large_at_once", "large_from": "100"});
    let modes = [json!({"mode": "queued"}), json!({"mode": "off"}), large.clone(), large];
    let mode = step.one_of(&modes);
    if let Some(reply) = step.ask(&switch_posting(&mode)).await {
        assert_eq!(reply.status, 200, "{reply:?}");
        saw(step, "switched");
    }
}

//! What a client does, and what it may rely on afterwards: whatever was acknowledged.

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::json;

use super::{LIFE_MS, RAINS, USERS, World};
use crate::app::{Ask, Reply};
use crate::wallet::{
    cents, look, look_at_withdrawal, open, open_rain, packet, packet_name, post, post_withdrawal,
    reconcile, restore, send, settle, switch_posting, view, void_withdrawal, withdraw,
};
use crate::wallet_checks::Budget;
use crate::weather;

/// A withdrawal of this client's.
#[derive(Clone, Debug)]
struct Withdrawal {
    user: u64,
    number: String,
    amount: i64,
}

/// A client, with numbers of its own.
pub struct Client {
    id: u64,
    world: Arc<World>,
    random: StdRng,
    grants: Vec<(u64, &'static str, String)>,
    withdrawals: Vec<Withdrawal>,
}

impl Client {
    pub fn new(id: u64, world: Arc<World>, random: StdRng) -> Self {
        Self { id, world, random, grants: Vec::new(), withdrawals: Vec::new() }
    }

    /// Does so many things, one after the other, and looks after each what is there.
    pub async fn act(&mut self, steps: u32) {
        for step in 0..steps {
            match self.random.random_range(0..40) {
                0..=7 => self.grant(Some(step)).await,
                8 | 9 => self.grant(None).await,
                10..=13 => self.send_packet(step).await,
                14..=21 => self.open().await,
                22..=24 => self.withdraw(step).await,
                25..=28 => self.end_withdrawal().await,
                29..=32 => self.view().await,
                33 => self.tokens().await,
                34 => self.settle().await,
                35 => self.switch().await,
                36 => self.operator_looks().await,
                37 => self.post().await,
                _ => self.time_passes(),
            }
            self.world.check();
        }
    }

    fn user(&mut self) -> u64 {
        *USERS.choose(&mut self.random).expect("there are some")
    }

    /// One attempt, or two; nothing where there was no answer.
    async fn ask(&mut self, asked: &Ask) -> Option<Reply> {
        for _ in 0..self.random.random_range(1..=2) {
            let reply = weather::ask(&self.world.app, asked).await;
            let mut report = self.world.report.lock().expect("no check has failed");
            match reply {
                None => report.failed += 1,
                Some(reply) => {
                    report.answered += 1;
                    assert!(reply.status < 500, "{reply:?}");
                    return Some(reply);
                }
            }
        }
        None
    }

    async fn grant(&mut self, step: Option<u32>) {
        let old = self.grants.choose(&mut self.random).cloned();
        let (user, rain, award) = match (step, old) {
            (None, Some(old)) => old,
            (step, _) => {
                let rain = *RAINS.choose(&mut self.random).expect("there are some");
                let award = format!("c{}-{}", self.id, step.unwrap_or(99));
                let new = (self.user(), rain, award);
                self.grants.push(new.clone());
                new
            }
        };
        let number = super::number(user, rain, &award);
        self.world.model().try_giving(user, &number, super::most(rain));
        let known = self.world.model().given(user, &number);
        let Some(reply) = self.ask(&open_rain(user, rain, &award)).await else { return };
        match reply.status {
            201 => {
                assert_eq!(reply.text("order_number").as_deref(), Some(&*number), "{reply:?}");
                assert!(known.is_none() || reply.json()["replayed"] == true, "{reply:?}");
                self.world.gave(user, &number, &reply);
            }
            _ => {
                let code = reply.text("code");
                assert_eq!(code.as_deref(), Some("budget_exhausted"), "{reply:?}");
                assert_eq!(known, None, "it was forgotten: {reply:?}");
                if self.world.is_calm {
                    self.world.model().did_not_give(user, &number);
                }
            }
        }
    }

    async fn send_packet(&mut self, step: u32) {
        let sender = self.user();
        let (number, total) = (format!("p{}-{step}", self.id), self.random.random_range(4..80));
        let count = self.random.random_range(1..=4);
        let mut body = packet(sender, &number, total, count);
        if self.random.random_bool(0.5) {
            body["kind"] = json!("equal");
        }
        let name = packet_name(sender, &number);
        let taken = format!("packet {name}");
        {
            let from_ms = self.world.app.now_ms() + LIFE_MS;
            let mut model = self.world.model();
            model.try_taking(sender, &taken, total);
            model.may_come_back(&name, sender, total, from_ms);
        }
        self.world.packets.lock().expect("no check has failed").push((name, total));
        let Some(reply) = self.ask(&send(&body)).await else { return };
        if reply.status == 201 {
            self.world.model().took(sender, &taken, total);
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("exceeds_balance"), "{reply:?}");
            if self.world.is_calm {
                self.world.model().took(sender, &taken, 0);
            }
        }
    }

    async fn open(&mut self) {
        let packets = self.world.packets.lock().expect("no check has failed").clone();
        let Some((packet, total)) = packets.choose(&mut self.random).cloned() else { return };
        let (user, number) = (self.user(), format!("packet:{packet}"));
        self.world.model().try_giving(user, &number, total);
        let known = self.world.model().given(user, &number);
        let Some(reply) = self.ask(&open(&packet, user)).await else { return };
        if reply.status == 200 {
            assert!(known.is_none() || reply.json()["replayed"] == true, "{reply:?}");
            self.world.gave(user, &number, &reply);
            self.world.report.lock().expect("no check has failed").opened += 1;
            return;
        }
        assert_eq!(known, None, "it was forgotten: {reply:?}");
        match reply.text("code").as_deref() {
            // Nothing can come into it any more.
            Some("finished") => self.world.model().gave(user, &number, 0),
            // Another client may have asked for the same and wait.
            Some("unknown_packet" | "expired") => {}
            _ => panic!("{reply:?}"),
        }
        let shown = look(&packet);
        if let Some(reply) = self.ask(&shown).await.filter(|reply| reply.status == 200) {
            let (taken, left) = (cents(&reply, "taken"), cents(&reply, "remaining"));
            assert_eq!(taken + left, total, "{reply:?}");
        }
    }

    async fn withdraw(&mut self, step: u32) {
        let (user, number) = (self.user(), format!("w{}-{step}", self.id));
        let amount = self.random.random_range(1..200);
        self.withdrawals.push(Withdrawal { user, number: number.clone(), amount });
        self.world.model().try_taking(user, &number, amount);
        let Some(reply) = self.ask(&withdraw(user, &number, amount)).await else { return };
        if reply.status == 201 {
            self.world.model().took(user, &number, amount);
            self.world.report.lock().expect("no check has failed").withdrawn += 1;
        } else {
            // The refusal stands for this number.
            assert_eq!(reply.text("code").as_deref(), Some("exceeds_balance"), "{reply:?}");
            self.world.model().took(user, &number, 0);
        }
    }

    /// Posts, voids, asks again, asks for another amount, or looks.
    async fn end_withdrawal(&mut self) {
        let Some(one) = self.withdrawals.choose(&mut self.random).cloned() else { return };
        let Withdrawal { user, number, amount } = one;
        let back = format!("void {number}");
        let known = self.world.model().taken(user, &number);
        match self.random.random_range(0..6) {
            0 | 1 => {
                let Some(reply) = self.ask(&post_withdrawal(user, &number)).await else { return };
                let code = reply.text("code").unwrap_or_default();
                match (reply.status, &*code) {
                    (200, _) | (409, "already_posted") => {
                        let mut model = self.world.model();
                        model.took(user, &number, amount);
                        model.try_giving(user, &back, 0);
                        model.gave(user, &back, 0);
                    }
                    (409, "already_voided" | "exceeds_balance") => {}
                    (404, "unknown_withdrawal") => assert_eq!(known, None, "{reply:?}"),
                    _ => panic!("{reply:?}"),
                }
            }
            2 => {
                self.world.model().try_giving(user, &back, amount);
                let Some(reply) = self.ask(&void_withdrawal(user, &number)).await else { return };
                self.voided(&one_of(user, &number, amount), &back, &reply, known);
            }
            // Where it may not have arrived, this one would be the first.
            3 if known.is_some() => {
                let other = withdraw(user, &number, amount + 1);
                let Some(reply) = self.ask(&other).await else { return };
                let code = reply.text("code");
                assert_eq!(code.as_deref(), Some("exists_with_different_amount"), "{reply:?}");
            }
            3 | 4 => {
                let Some(reply) = self.ask(&withdraw(user, &number, amount)).await else { return };
                let code = reply.text("code").unwrap_or_default();
                match (reply.status, &*code) {
                    (201, _) => {
                        assert!(known.is_none() || reply.json()["replayed"] == true, "{reply:?}");
                        self.world.model().took(user, &number, amount);
                    }
                    (409, "exceeds_balance") => {
                        assert_eq!(known, None, "{reply:?}");
                        self.world.model().took(user, &number, 0);
                    }
                    (409, "already_voided") => {
                        assert_eq!(known, None, "{reply:?}");
                        self.world.model().took(user, &number, 0);
                        self.world.model().try_giving(user, &back, 0);
                        self.world.model().gave(user, &back, 0);
                    }
                    _ => panic!("{reply:?}"),
                }
            }
            _ => {
                let asked = look_at_withdrawal(user, &number);
                let Some(reply) = self.ask(&asked).await else { return };
                if reply.status == 404 {
                    assert_eq!(known, None, "{reply:?}");
                }
            }
        }
    }

    fn voided(&self, one: &Withdrawal, back: &str, reply: &Reply, known: Option<i64>) {
        let Withdrawal { user, number, amount } = one;
        let code = reply.text("code").unwrap_or_default();
        let mut model = self.world.model();
        match (reply.status, &*code) {
            (200, _) => {
                let came = cents(reply, "amount");
                assert!(came == *amount || (came == 0 && known.is_none()), "{reply:?}");
                model.took(*user, number, came);
                model.gave(*user, back, came);
            }
            // What it was when it was voided nobody said.
            (409, "already_voided") => {}
            (409, "already_posted") => {
                model.took(*user, number, *amount);
                model.gave(*user, back, 0);
            }
            (409, "exceeds_balance") => {
                assert_eq!(known, None, "{reply:?}");
                model.took(*user, number, 0);
                model.gave(*user, back, 0);
            }
            _ => panic!("{reply:?}"),
        }
    }

    /// A view shows what the model allows.
    async fn view(&mut self) {
        let user = self.user();
        self.seen(user, &view(user)).await;
    }

    async fn seen(&mut self, user: u64, asked: &Ask) -> Option<Reply> {
        let before = self.world.bounds(user);
        let reply = self.ask(asked).await?;
        assert_eq!(reply.status, 200, "{reply:?}");
        let allowed = before.until(&self.world.bounds(user));
        let balance = cents(&reply, "balance");
        assert!(allowed.contains(&balance), "{user}: {allowed:?}: {reply:?}");
        let mut report = self.world.report.lock().expect("no check has failed");
        report.views += 1;
        report.exact += u64::from(allowed.start() == allowed.end());
        drop(report);
        Some(reply)
    }

    async fn post(&mut self) {
        let user = self.user();
        self.seen(user, &post(user)).await;
    }

    /// Tokens that the client holds; the store has lost none of them.
    async fn tokens(&mut self) {
        let (user, other) = (self.user(), self.user());
        let tokens = self.world.model().tokens(other);
        if user == other || tokens.is_empty() {
            if let Some(reply) = self.seen(other, &restore(other, &tokens)).await {
                assert_eq!(reply.json()["restored"], 0, "{reply:?}");
            }
        } else if let Some(reply) = self.ask(&restore(user, &tokens)).await {
            assert_eq!(reply.text("code").as_deref(), Some("foreign_token"), "{reply:?}");
        }
    }

    async fn settle(&mut self) {
        if let Some(reply) = self.ask(&settle()).await {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    async fn switch(&mut self) {
        let large = json!({"mode": "large_at_once", "large_from": "100"});
        let modes = [json!({"mode": "queued"}), json!({"mode": "off"}), large.clone(), large];
        let mode = modes.choose(&mut self.random).expect("there are some");
        if let Some(reply) = self.ask(&switch_posting(mode)).await {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    /// Traffic is no difference, and budgets add up while they are given.
    async fn operator_looks(&mut self) {
        if self.random.random_bool(0.5) {
            let rain = *RAINS.choose(&mut self.random).expect("there are some");
            if let Some(reply) = self.ask(&crate::wallet::look_at_rain(rain)).await {
                Budget::of(&reply);
            }
        } else if let Some(reply) = self.ask(&reconcile("?scope=full")).await {
            assert_eq!(reply.json()["differences"], json!([]), "{reply:?}");
        }
    }

    fn time_passes(&mut self) {
        let ms = match self.random.random_range(0..6) {
            0 => LIFE_MS + 1_000,
            1 => 61_000,
            _ => self.random.random_range(100..2_000),
        };
        self.world.app.advance_time(ms);
    }
}

fn one_of(user: u64, number: &str, amount: i64) -> Withdrawal {
    Withdrawal { user, number: number.to_owned(), amount }
}

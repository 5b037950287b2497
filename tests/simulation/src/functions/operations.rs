//! Operators and time: the calls of the schedule, a look at all books under traffic, time that passes and
//! jumps, by days and by weeks, collection of what is over, and records that become unreadable.

use std::ops::RangeInclusive;
use std::sync::Arc;

use end_to_end::app::Ask;
use end_to_end::wallet::{collect, reconcile, settle};
use end_to_end::{coupon, purchase};
use futures::future::BoxFuture;
use rand::RngExt;
use serde_json::{Value, json};

use super::{Client, Entry, Function};
use crate::books::Books;
use crate::corruption::Corruption;
use crate::weeks;
use crate::world::{DAY_MS, Step, World};

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "operations",
    actions: &[
        ("settle", 1),
        ("sweep coupons", 1),
        ("sweep promotions", 1),
        ("reconcile", 1),
        ("time passes", 3),
        ("time jumps", 1),
        ("corrupt", 1),
    ],
    later: &[("collect", 4), ("weeks pass", 6)],
    is_always_in_play: true,
    // That something was set aside and retried is rare: `tests/api/quarantine.rs` does it.
    states: &[
        "operations: settled",
        "operations: swept",
        "operations: reconciled",
        "operations: collected",
        "operations: weeks passed",
    ],
    create: |_, plan| Arc::new(Operations { weeks: plan.weeks }),
};

const MINUTE_MS: u64 = 61_000;
/// So long after a request something of it may still happen.
const LATE_MS: u64 = 5_000;
const JUMP_DAYS_MAX: u64 = 5;
/// Where weeks pass: longer than the least that is kept, so that a collection finds something.
const WEEKS_DAYS: RangeInclusive<u64> = 8..=20;
/// Calls of one collection.
const COLLECTIONS_MAX: u32 = 8;

struct Operations {
    weeks: bool,
}

impl Function for Operations {
    fn set_up(&self) -> Vec<Ask> {
        if self.weeks { vec![weeks::keep_little()] } else { Vec::new() }
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(Operator)
    }

    fn check(&self, _: &World, _: &Books) {}
}

struct Operator;

impl Client for Operator {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match action {
                "settle" => call(step, &settle(), "settled").await,
                "sweep coupons" => call(step, &coupon::sweep(), "swept").await,
                "sweep promotions" => call(step, &purchase::sweep(), "swept").await,
                "reconcile" => reconcile_under_traffic(step).await,
                "time passes" => time_passes(step),
                "time jumps" if step.world.plan.jumps => {
                    let ms = DAY_MS * step.random.random_range(1..=JUMP_DAYS_MAX);
                    step.world.advance(ms);
                    *step.world.report().faults.entry("time-jumps".into()).or_default() += 1;
                }
                "corrupt" => corrupt(step),
                "collect" => collect_due(step).await,
                "weeks pass" => {
                    let days = step.random.random_range(WEEKS_DAYS);
                    step.world.pass_days(days).await;
                    step.world.saw("operations: weeks passed");
                    // Else somebody else meets what is over first.
                    if step.random.random_bool(0.6) {
                        collect_due(step).await;
                    }
                }
                _ => {}
            }
        })
    }
}

async fn call(step: &mut Step, asked: &Ask, state: &str) {
    if let Some(reply) = step.ask(asked).await {
        assert_eq!(reply.status, 200, "{reply:?}");
        step.world.saw(format!("operations: {state}"));
    }
}

/// Until nothing is left to collect, or an answer is lost.
async fn collect_due(step: &mut Step) {
    for _ in 0..COLLECTIONS_MAX {
        // What another record names and is not there is none of what a collection copes with: it is lost, and its number
        // may act again.
        let is_lost =
            |world: &World| world.plan.corruption == Some("absent") && world.books().is_corrupted();
        if is_lost(&step.world) {
            return;
        }
        let was_corrupted = step.world.books().is_corrupted();
        let who = step.id.to_string();
        let Some(reply) = step.world.ask(&who, &collect(&json!({}))).await else { return };
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        if !was_corrupted && !step.world.books().is_corrupted() {
            assert_eq!(body["stuck_items"], json!([]), "{reply:?}");
        }
        for (kind, number) in weeks::gone(&reply) {
            step.world.saw("operations: collected");
            step.world.saw_times(format!("operations: gone {kind}"), number);
        }
        step.world.check();
        if body["has_more"] == json!(false) {
            return;
        }
    }
}

/// Traffic is no difference; a record that cannot be read may be some.
async fn reconcile_under_traffic(step: &mut Step) {
    let was_corrupted = step.world.books().is_corrupted();
    if let Some(reply) = step.ask(&reconcile("?scope=full")).await {
        assert_eq!(reply.status, 200, "{reply:?}");
        if !was_corrupted && !step.world.books().is_corrupted() {
            let differences = reply.json()["differences"].as_array().expect("a list").clone();
            // What waits for an operator, or for the payment provider, is told.
            let waits = ["payment_unapplied", "withdrawal_overdue"];
            let is_wrong = |one: &Value| !waits.iter().any(|code| one["code"] == *code);
            assert!(!differences.iter().any(is_wrong), "{reply:?}");
        }
        step.world.saw("operations: reconciled");
    }
}

fn time_passes(step: &mut Step) {
    let ms = match step.random.random_range(0..8) {
        0 => wallet::packet::LIFE_MS as u64 + 1_000,
        1 => MINUTE_MS,
        2 | 3 => step.random.random_range(100..40_000),
        _ => step.random.random_range(100..2_000),
    };
    step.world.advance(ms);
}

/// At most once a schedule.
fn corrupt(step: &mut Step) {
    let Some(kind) = step.world.plan.corruption else { return };
    let mut books = step.world.books();
    if books.is_corrupted() {
        return;
    }
    books.read();
    // What is late would find its number free and act once more, which nobody can tell from a first time.
    let late_ms = if kind == "absent" { LATE_MS } else { 0 };
    let busy = step.world.busy_users(late_ms);
    let drawn = Corruption::draw(kind, books.records(), &busy, &mut step.random);
    if let Some(corruption) = drawn {
        let line = format!("{}  {corruption:?}", step.id);
        books.corrupt(corruption);
        drop(books);
        step.world.tell(|| line);
        *step.world.report().faults.entry(kind.into()).or_default() += 1;
    }
}

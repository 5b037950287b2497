//! What a client does, and what it may rely on afterwards: whatever was acknowledged.

use std::sync::Arc;

use coupons::records::{Gave, Order};
use http::Method;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::json;

use super::{TEMPLATES, USERS, World};
use crate::app::{Ask, Reply};
use crate::coupon::{
    cancel, confirm, issue, look, publish, redeem, reserve, roll_back, sweep, template,
};
use crate::wallet;

/// What was acknowledged of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// A coupon, or what stood in its place; redeemed by this order.
    Given(Option<String>),
    /// Held; it may have expired since.
    Held,
    /// Put back.
    Cancelled,
    /// Something was tried, and nothing was acknowledged since.
    Open,
}

/// A number of a user.
#[derive(Clone, Debug)]
struct Number {
    user: u64,
    template: &'static str,
    number: String,
    known: Known,
    /// As which it was asked for.
    seconds: Option<u64>,
    /// Orders that tried to redeem it. One that was not acknowledged may do so late, until another
    /// one or a roll-back was.
    redemptions: u32,
    /// Somebody tried to confirm or to cancel, and may do so late.
    ending: bool,
}

impl Number {
    /// Something was given under it, as the answer says.
    fn is_given(&mut self) {
        if self.redemptions == 0 && !matches!(self.known, Known::Given(_) | Known::Cancelled) {
            self.known = Known::Given(None);
        }
    }
}

/// How many orders there were with this one.
fn order_count(order: &str) -> u32 {
    let number = order.strip_prefix("order").and_then(|number| number.parse::<u32>().ok());
    number.expect("an order of this client") + 1
}

/// A client, with numbers of its own.
pub struct Client {
    id: u64,
    world: Arc<World>,
    random: StdRng,
    numbers: Vec<Number>,
}

impl Client {
    pub fn new(id: u64, world: Arc<World>, random: StdRng) -> Self {
        Self { id, world, random, numbers: Vec::new() }
    }

    /// Does so many things, one after the other, and looks after each what is there.
    pub async fn act(&mut self, steps: u32) {
        for step in 0..steps {
            match self.random.random_range(0..20) {
                0..=5 => self.ask(step, None).await,
                6..=8 => self.ask(step, Some(30)).await,
                9 | 10 => self.again().await,
                11..=13 => self.end().await,
                14..=16 => self.spend().await,
                17 => self.publish().await,
                18 => self.time_passes().await,
                _ => self.batch().await,
            }
            self.world.check();
            self.check();
        }
    }

    /// One attempt, or two; nothing where there was no answer.
    async fn send(&mut self, asked: &Ask) -> Option<Reply> {
        for _ in 0..self.random.random_range(1..=2) {
            let reply = asked.of(&self.world.app).await;
            let failed = reply.is_lost() || reply.status == 503;
            let mut report = self.world.report.lock().expect("no check has failed");
            if failed {
                report.failed += 1;
                continue;
            }
            report.answered += 1;
            drop(report);
            reply.assert_well_formed();
            assert!(reply.status < 500, "{reply:?}");
            return Some(reply);
        }
        None
    }

    async fn ask(&mut self, step: u32, seconds: Option<u64>) {
        let user = *USERS.choose(&mut self.random).expect("there are some");
        let template = TEMPLATES.choose(&mut self.random).expect("there are some");
        let number = format!("c{}-{step}", self.id);
        let known = Known::Open;
        self.numbers.push(Number {
            user,
            template,
            number,
            known,
            seconds,
            redemptions: 0,
            ending: false,
        });
        self.ask_for(self.numbers.len() - 1).await;
    }

    /// The same number again.
    async fn again(&mut self) {
        if let Some(index) = self.any() {
            if self.random.random_bool(0.2) {
                let Number { user, number, .. } = self.numbers[index].clone();
                let other = issue(user, "t9", &number);
                if let Some(reply) = self.send(&other).await {
                    assert!(matches!(reply.status, 404 | 409 | 422), "{reply:?}");
                }
            } else {
                self.ask_for(index).await;
            }
        }
    }

    async fn ask_for(&mut self, index: usize) {
        let Number { user, template, number, known, seconds, .. } = self.numbers[index].clone();
        let asked = match seconds {
            None => issue(user, template, &number),
            Some(seconds) => reserve(user, template, &number, seconds),
        };
        let Some(reply) = self.send(&asked).await else { return };
        let outcome = reply.text("outcome").unwrap_or_default();
        match (reply.status, outcome.as_str()) {
            (201, "issued" | "fallback" | "greeting") => {
                self.numbers[index].is_given();
                assert_ne!(known, Known::Cancelled, "{reply:?}");
            }
            (201, "reserved") if !self.numbers[index].ending => {
                self.numbers[index].known = Known::Held;
            }
            (201, "reserved") => {}
            (201, "cancelled" | "expired") => {
                assert!(!matches!(known, Known::Given(_)), "{known:?}: {reply:?}");
            }
            _ => {
                let certain = matches!(known, Known::Given(_) | Known::Held);
                assert!(!certain, "{known:?} was forgotten: {reply:?}");
            }
        }
        if matches!(known, Known::Given(_)) {
            let replayed = reply.header("idempotent-replayed");
            assert_eq!(replayed, Some("true"), "{reply:?}");
        }
    }

    /// Confirms or cancels.
    async fn end(&mut self) {
        let Some(index) = self.any() else { return };
        let Number { user, number, known, seconds, .. } = self.numbers[index].clone();
        let confirms = self.random.random_bool(0.5);
        let asked = if confirms { confirm(user, &number) } else { cancel(user, &number) };
        if matches!(known, Known::Held | Known::Open) {
            self.numbers[index].known = Known::Open;
            self.numbers[index].ending = true;
        }
        let Some(reply) = self.send(&asked).await else { return };
        match (confirms, reply.status) {
            (true, 200) => {
                assert_ne!(known, Known::Cancelled, "{reply:?}");
                self.numbers[index].is_given();
            }
            (false, 200) => {
                assert!(!matches!(known, Known::Given(_)), "{known:?}: {reply:?}");
                self.numbers[index].known = Known::Cancelled;
            }
            _ => {
                assert!(matches!(reply.status, 404 | 409), "{reply:?}");
                let gone = ["reservation_expired", "cancelled", "unknown_order"];
                let code = reply.text("code").unwrap_or_default();
                if confirms && matches!(known, Known::Given(_)) {
                    assert!(!gone.contains(&code.as_str()), "{known:?}: {reply:?}");
                }
                if known == Known::Held {
                    assert!(seconds.is_some());
                }
            }
        }
    }

    /// Redeems or rolls back.
    async fn spend(&mut self) {
        let Some(index) = self.any() else { return };
        let Number { user, number, known, redemptions, .. } = self.numbers[index].clone();
        let (order, rolls_back) = match (known, redemptions.checked_sub(1)) {
            (Known::Given(Some(order)), _) => (order, self.random.random_bool(0.7)),
            (Known::Given(None), _) => {
                (format!("order{redemptions}"), self.random.random_bool(0.2))
            }
            (Known::Open, Some(last)) => (format!("order{last}"), true),
            _ => return,
        };
        self.numbers[index].known = Known::Open;
        let asked = if rolls_back {
            roll_back(user, &number, &order)
        } else {
            redeem(user, &number, &order)
        };
        self.numbers[index].redemptions = redemptions.max(order_count(&order));
        let Some(reply) = self.send(&asked).await else { return };
        self.numbers[index].known = match reply.status {
            200 if rolls_back => Known::Given(None),
            200 => Known::Given(Some(order)),
            // A greeting, a coupon that was rolled back too often, an earlier attempt that was lost.
            404 | 409 => Known::Open,
            _ => panic!("{reply:?}"),
        };
    }

    /// Another stock, while everything goes on.
    async fn publish(&mut self) {
        let id = *TEMPLATES.choose(&mut self.random).expect("there are some");
        let shown = self.send(&look(id)).await;
        let Some(shown) = shown.filter(|shown| shown.status == 200) else { return };
        let mut body = shown.json()["definition"].clone();
        body["stock"] = template(self.random.random_range(0..=25))["stock"].clone();
        if let Some(reply) = self.send(&publish(id, &body)).await {
            let code = reply.text("code").unwrap_or_default();
            let refused = ["stock_in_use", "published_meanwhile"].contains(&code.as_str());
            assert!(reply.status == 200 || refused, "{reply:?}");
        }
    }

    async fn time_passes(&mut self) {
        self.world.app.advance_time(self.random.random_range(100..40_000));
        if self.random.random_bool(0.3) {
            let asked = if self.random.random_bool(0.5) { sweep() } else { wallet::settle() };
            self.send(&asked).await;
        }
    }

    async fn batch(&mut self) {
        let id = TEMPLATES.choose(&mut self.random).expect("there are some");
        let users: Vec<_> = USERS.iter().map(u64::to_string).collect();
        let body = json!({"batch": format!("b{}", self.id), "users": users}).to_string();
        let path = format!("/v1/coupon-templates/{id}/bulk");
        let asked = Ask::new(Method::POST, path).json(body).operator();
        if let Some(reply) = self.send(&asked).await {
            assert_eq!(reply.status, 202, "{reply:?}");
        }
    }

    fn any(&mut self) -> Option<usize> {
        let count = self.numbers.len();
        (count > 0).then(|| self.random.random_range(0..count))
    }

    /// What was acknowledged is there.
    fn check(&self) {
        let books = self.world.books.lock().expect("no check has failed");
        for number in &self.numbers {
            let order = books.order(number.user, &number.number);
            assert!(holds(&number.known, order.as_ref()), "{number:?}: {order:?}");
        }
    }
}

fn holds(known: &Known, order: Option<&Order>) -> bool {
    match (known, order.map(|order| &order.gave)) {
        (Known::Open, _) => true,
        (Known::Given(by), Some(Gave::Issued(coupon) | Gave::Fallback(coupon))) => {
            coupon.redeemed.as_ref().map(|redeemed| &redeemed.order) == by.as_ref()
        }
        (Known::Given(by), Some(Gave::Greeting(_))) => by.is_none(),
        (Known::Held, Some(Gave::Reserved(..) | Gave::Expired)) => true,
        (Known::Cancelled, Some(Gave::Cancelled | Gave::Expired)) => true,
        _ => false,
    }
}

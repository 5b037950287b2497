//! A client with numbers of its own, and what was acknowledged of each.

use std::sync::Arc;

use coupons::records::{Gave, Order};
use end_to_end::app::{Ask, Reply};
use end_to_end::coupon::{cancel, confirm, issue, redeem, reserve, revoke, roll_back};
use futures::future::{BoxFuture, join};
use rand::RngExt;
use serde_json::json;

use super::operators::{REASON, batch, change_stock, extend_one, extend_some, revoke_some};
use super::{Coupons, RESERVED_SECONDS, TEMPLATES, books};
use crate::books::Books;
use crate::functions::Client;
use crate::world::{Step, World, timed, with};

/// What was acknowledged of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// A coupon, or what stood in its place; redeemed by this order.
    Given(Option<String>),
    /// Held; it may have expired since.
    Held,
    /// Put back.
    Cancelled,
    /// It was told that its time is over.
    Expired,
    /// An operator took it back.
    Revoked,
    /// It was told to be too old, or is known no more: it never acts again.
    Forgotten,
    /// Something was tried, and nothing was acknowledged since.
    Open,
}

/// A number of a user.
#[derive(Clone, Debug)]
struct Number {
    user: u64,
    template: &'static str,
    number: String,
    /// When it was first tried.
    tried_ms: u64,
    /// When it was ordered, if it has a time.
    ordered_at: Option<u64>,
    known: Known,
    /// As which it was asked for.
    seconds: Option<u64>,
    /// Orders that tried to redeem it. One that was not acknowledged may do so late, until another
    /// one or a roll-back was.
    redemptions: u32,
    /// Somebody tried to confirm or to cancel, and may do so late.
    ending: bool,
    /// Two orders tried to redeem it at once and not both were answered: either may do so late, for good.
    unclear: bool,
}

impl Number {
    /// Something was given under it, as the answer says.
    fn is_given(&mut self) {
        if self.redemptions == 0 && !matches!(self.known, Known::Given(_) | Known::Cancelled) {
            self.known = Known::Given(None);
        }
    }
}

impl Number {
    /// Since when it may have been over.
    fn since_ms(&self) -> u64 {
        self.ordered_at.unwrap_or(self.tried_ms).min(self.tried_ms)
    }

    /// It is told that nothing is known of it, or that it is too old.
    fn is_forgotten(&mut self, world: &World, reply: &Reply) {
        assert!(world.may_be_collected(self.since_ms()), "{self:?} was forgotten: {reply:?}");
        self.known = Known::Forgotten;
        world.saw(format!("coupon: {}", reply.text("code").unwrap_or_default()));
    }

    /// It is told that it was taken back.
    fn is_revoked(&mut self, coupons: &Coupons, reply: &Reply) {
        let may_be = coupons.may_be_revoked(self.user, &self.number);
        let is_redeemed = matches!(self.known, Known::Given(Some(_)));
        assert!(may_be && !is_redeemed, "nobody revoked {self:?}: {reply:?}");
        self.known = Known::Revoked;
    }
}

/// How many orders there were with this one.
fn order_count(order: &str) -> u32 {
    let number = order.strip_prefix("order").and_then(|number| number.parse::<u32>().ok());
    number.expect("an order of this client") + 1
}

/// A client, with numbers of its own.
pub struct Holder {
    coupons: Arc<Coupons>,
    numbers: Vec<Number>,
}

impl Client for Holder {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match action {
                "issue" => self.new_number(step, None).await,
                "reserve" => self.new_number(step, Some(RESERVED_SECONDS)).await,
                "again" => self.again(step).await,
                "end" => self.end(step).await,
                "spend" => self.spend(step).await,
                "publish" => change_stock(step).await,
                "revoke" => self.revoke(step).await,
                "extend" => self.extend(step).await,
                _ => batch(&self.coupons, step).await,
            }
        })
    }

    fn check(&self, books: &Books) {
        for one in &self.numbers {
            let Number { user, number, known, .. } = one;
            let order = books::order(books, *user, number);
            // Whether it may be is seen by the look at all orders.
            let seen = self.coupons.seen.lock().expect("no check has failed before");
            let is_gone = order.is_none() && seen.is_gone(*user, number);
            let is_revoked = matches!(order, Some(Order { gave: Gave::Revoked(..), .. }))
                && *known == Known::Given(None)
                && self.coupons.may_be_revoked(*user, number);
            assert!(is_gone || is_revoked || holds(known, order.as_ref()), "{one:?}: {order:?}");
        }
    }
}

impl Holder {
    /// A client of these templates.
    pub fn new(coupons: Arc<Coupons>) -> Self {
        Self { coupons, numbers: Vec::new() }
    }

    async fn new_number(&mut self, step: &mut Step, seconds: Option<u64>) {
        let (user, template) = (step.user(), step.one_of(&TEMPLATES));
        let (number, known, ordered_at) = (step.name(), Known::Open, step.ordered_at());
        self.numbers.push(Number {
            user,
            template,
            number,
            tried_ms: step.world.app.now_ms(),
            ordered_at,
            known,
            seconds,
            redemptions: 0,
            ending: false,
            unclear: false,
        });
        self.ask_for(step, self.numbers.len() - 1).await;
    }

    /// The same number again, or for something else.
    async fn again(&mut self, step: &mut Step) {
        let Some(index) = self.any(step) else { return };
        if !step.random.random_bool(0.2) {
            return self.ask_for(step, index).await;
        }
        let Number { user, number, .. } = self.numbers[index].clone();
        if let Some(reply) = step.ask(&issue(user, "t9", &number)).await {
            assert!(matches!(reply.status, 404 | 409 | 422), "{reply:?}");
        }
    }

    async fn ask_for(&mut self, step: &mut Step, index: usize) {
        let Number { user, template, number, known, seconds, ordered_at, .. } =
            self.numbers[index].clone();
        let asked = match seconds {
            None => issue(user, template, &number),
            Some(seconds) => reserve(user, template, &number, seconds),
        };
        let Some(reply) = step.ask(&timed(asked, ordered_at)).await else { return };
        let outcome = reply.text("outcome").unwrap_or_default();
        let code = reply.text("code").unwrap_or_default();
        step.world.saw(format!("coupon: {outcome}{code}"));
        match (reply.status, outcome.as_str()) {
            (201, "issued" | "fallback" | "greeting") => {
                self.numbers[index].is_given();
                let is_over = matches!(
                    known,
                    Known::Cancelled | Known::Expired | Known::Revoked | Known::Forgotten
                );
                assert!(!is_over, "{known:?}: {reply:?}");
            }
            (201, "revoked") => {
                self.numbers[index].is_revoked(&self.coupons, &reply);
                return;
            }
            (201, "reserved") => {
                let is_over = matches!(known, Known::Expired | Known::Revoked | Known::Forgotten);
                assert!(!is_over, "{known:?}: {reply:?}");
                if !self.numbers[index].ending {
                    self.numbers[index].known = Known::Held;
                }
            }
            (201, "expired") => {
                assert!(!matches!(known, Known::Given(_)), "{known:?}: {reply:?}");
                if known != Known::Cancelled {
                    self.numbers[index].known = Known::Expired;
                }
            }
            (201, "cancelled") => {
                assert!(!matches!(known, Known::Given(_)), "{known:?}: {reply:?}");
            }
            (422, _) => {
                assert_eq!(code, "too_old", "{reply:?}");
                self.numbers[index].is_forgotten(&step.world, &reply);
                return;
            }
            _ => {
                let certain = matches!(known, Known::Given(_) | Known::Held | Known::Expired);
                assert!(!certain, "{known:?} was forgotten: {reply:?}");
            }
        }
        if matches!(known, Known::Given(_)) {
            let replayed = reply.header("idempotent-replayed");
            assert_eq!(replayed, Some("true"), "{reply:?}");
        }
    }

    /// Confirms or cancels.
    async fn end(&mut self, step: &mut Step) {
        let Some(index) = self.any(step) else { return };
        let Number { user, number, known, seconds, ordered_at, .. } = self.numbers[index].clone();
        let confirms = step.random.random_bool(0.5);
        let asked = if confirms {
            confirm(user, &number)
        } else {
            timed(cancel(user, &number), ordered_at)
        };
        if matches!(known, Known::Held | Known::Open) {
            self.numbers[index].known = Known::Open;
            self.numbers[index].ending = true;
        }
        let Some(reply) = step.ask(&asked).await else { return };
        let code = reply.text("code").unwrap_or_default();
        match (confirms, reply.status) {
            (_, 422) => {
                assert_eq!(code, "too_old", "{reply:?}");
                self.numbers[index].is_forgotten(&step.world, &reply);
            }
            (_, 409) if code == "revoked" => {
                self.numbers[index].is_revoked(&self.coupons, &reply);
            }
            (true, 404) if matches!(known, Known::Given(_) | Known::Revoked) => {
                self.numbers[index].is_forgotten(&step.world, &reply);
            }
            // What was confirmed before and taken back since is told as it is.
            (true, 200) if reply.text("outcome").as_deref() == Some("revoked") => {
                self.numbers[index].is_revoked(&self.coupons, &reply);
            }
            (true, 200) => {
                let is_over = matches!(
                    known,
                    Known::Cancelled | Known::Expired | Known::Revoked | Known::Forgotten
                );
                assert!(!is_over, "{known:?}: {reply:?}");
                self.numbers[index].is_given();
                step.world.saw("coupon: confirmed");
            }
            (false, 200) => {
                assert!(!matches!(known, Known::Given(_)), "{known:?}: {reply:?}");
                if known != Known::Expired {
                    self.numbers[index].known = Known::Cancelled;
                }
                step.world.saw("coupon: cancelled");
            }
            _ => {
                assert!(matches!(reply.status, 404 | 409), "{reply:?}");
                let gone = ["reservation_expired", "cancelled"];
                if confirms && matches!(known, Known::Given(_)) {
                    assert!(!gone.contains(&code.as_str()), "{known:?}: {reply:?}");
                }
                if known == Known::Held {
                    assert!(seconds.is_some());
                }
                if code == "reservation_expired" {
                    self.numbers[index].known = Known::Expired;
                    step.world.saw("coupon: expired");
                }
            }
        }
    }

    /// Redeems or rolls back.
    async fn spend(&mut self, step: &mut Step) {
        let Some(index) = self.any(step) else { return };
        let Number { user, number, known, redemptions, unclear, .. } = self.numbers[index].clone();
        if unclear {
            return;
        }
        let (order, rolls_back) = match (known, redemptions.checked_sub(1)) {
            (Known::Given(Some(order)), _) => (order, step.random.random_bool(0.7)),
            (Known::Given(None), _) if step.random.random_bool(0.25) => {
                return self.spend_twice(step, index).await;
            }
            (Known::Given(None), _) => {
                (format!("order{redemptions}"), step.random.random_bool(0.2))
            }
            (Known::Open, Some(last)) => (format!("order{last}"), true),
            (Known::Revoked, _) => return self.spend_revoked(step, index).await,
            _ => return,
        };
        self.numbers[index].known = Known::Open;
        let asked = if rolls_back {
            roll_back(user, &number, &order)
        } else {
            redeem_by(step, user, &number, &order)
        };
        self.numbers[index].redemptions = redemptions.max(order_count(&order));
        let Some(reply) = step.ask(&asked).await else { return };
        if reply.text("code").as_deref() == Some("revoked") {
            assert!(self.coupons.may_be_revoked(user, &number), "{reply:?}");
        }
        self.numbers[index].known = match reply.status {
            200 if rolls_back => Known::Given(None),
            200 => Known::Given(Some(order)),
            // A greeting, a coupon that was rolled back too often, an earlier attempt that was lost.
            404 | 409 => Known::Open,
            _ => panic!("{reply:?}"),
        };
        if reply.status == 200 {
            step.world.saw(if rolls_back { "coupon: rolled back" } else { "coupon: redeemed" });
        }
    }

    /// What was taken back is never redeemed.
    async fn spend_revoked(&mut self, step: &mut Step, index: usize) {
        let one = &mut self.numbers[index];
        let order = format!("order{}", one.redemptions);
        one.redemptions += 1;
        let asked = redeem_by(step, one.user, &one.number, &order);
        let Some(reply) = step.ask(&asked).await else { return };
        match (reply.status, reply.text("code").as_deref()) {
            (409, Some("revoked")) => step.world.saw("coupon: revoked is not redeemed"),
            (404, Some("unknown_coupon")) => one.is_forgotten(&step.world, &reply),
            _ => panic!("{one:?}: {reply:?}"),
        }
    }

    /// An operator takes one coupon back, or many.
    async fn revoke(&mut self, step: &mut Step) {
        let index = self.any(step).filter(|_| step.random.random_bool(0.7));
        let Some(index) = index else { return revoke_some(&self.coupons, step).await };
        let Number { user, number, known, .. } = self.numbers[index].clone();
        self.coupons.revoking().coupons.insert((user, number.clone()));
        let Some(reply) = step.ask(&revoke(user, &number, REASON)).await else { return };
        let code = reply.text("code").unwrap_or_default();
        match (reply.status, &*code) {
            (200, _) => {
                self.numbers[index].is_revoked(&self.coupons, &reply);
                step.world.saw("coupon: revoked");
            }
            (409, "already_redeemed") => {
                let may_be = self.numbers[index].redemptions > 0;
                assert!(may_be, "{known:?}: {reply:?}");
            }
            (409, "not_confirmed" | "expired") => {}
            (404, "unknown_coupon") => {
                if matches!(known, Known::Given(Some(_)) | Known::Revoked) {
                    self.numbers[index].is_forgotten(&step.world, &reply);
                }
            }
            _ => panic!("{known:?}: {reply:?}"),
        }
    }

    /// An operator extends one coupon, or many.
    async fn extend(&mut self, step: &mut Step) {
        let index = self.any(step).filter(|_| step.random.random_bool(0.7));
        let Some(index) = index else { return extend_some(step).await };
        let Number { user, number, known, .. } = self.numbers[index].clone();
        let Some(reply) = extend_one(step, user, &number).await else { return };
        let code = reply.text("code").unwrap_or_default();
        match (reply.status, &*code) {
            (200, _) => {
                assert!(!matches!(known, Known::Revoked | Known::Forgotten), "{reply:?}");
                step.world.saw("coupon: extended");
            }
            (409, "already_redeemed" | "not_confirmed" | "expired") => {}
            (409, "revoked") => self.numbers[index].is_revoked(&self.coupons, &reply),
            (404, "unknown_coupon" | "unknown_template") => {}
            // Weeks passed before it was asked.
            (400, "invalid_value") if step.world.plan.weeks => {}
            _ => panic!("{known:?}: {reply:?}"),
        }
    }

    /// Two orders redeem one coupon at once, each with one attempt: at most one of them does.
    async fn spend_twice(&mut self, step: &mut Step, index: usize) {
        let number = &mut self.numbers[index];
        let orders = [0, 1].map(|more| format!("order{}", number.redemptions + more));
        number.redemptions += 2;
        number.known = Known::Open;
        let (world, who) = (&step.world, step.id.to_string());
        let asked =
            orders.each_ref().map(|order| redeem_by(step, number.user, &number.number, order));
        let replies = join(world.ask(&who, &asked[0]), world.ask(&who, &asked[1])).await;
        let (Some(first), Some(second)) = replies else {
            number.unclear = true;
            return;
        };
        let [first_order, second_order] = orders;
        let winner = match (first.status, second.status) {
            (200, 200) => panic!("two orders redeemed one coupon: {first:?} {second:?}"),
            (200, 409) => first_order,
            (409, 200) => second_order,
            // A greeting, or a coupon that is over.
            (404, 404) | (409, 409) => return,
            _ => panic!("{first:?} {second:?}"),
        };
        number.known = Known::Given(Some(winner));
        world.saw("coupon: redeemed by one of two");
    }

    fn any(&self, step: &mut Step) -> Option<usize> {
        let count = self.numbers.len();
        (count > 0).then(|| step.random.random_range(0..count))
    }
}

/// A redemption; where weeks pass some orders say what they take off, always the same, and mostly less than was set aside.
fn redeem_by(step: &Step, user: u64, coupon: &str, order: &str) -> Ask {
    let asked = redeem(user, coupon, order);
    let amount = match order_count(order) % 4 {
        1 => 137,
        2 => 500,
        3 => 0,
        _ => return asked,
    };
    if step.world.plan.weeks { with(asked, "amount", json!(amount.to_string())) } else { asked }
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
        // Told is told: the decision is in the store.
        (Known::Expired, Some(Gave::Expired)) => true,
        (Known::Revoked, Some(Gave::Revoked(..))) => true,
        (Known::Forgotten, None) => true,
        _ => false,
    }
}

//! Coupons: templates with small stocks, fallbacks and greetings; numbers that are issued, reserved, asked for
//! again, confirmed, cancelled, redeemed and rolled back; batches; operators who change stocks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coupons::records::{Gave, Order};
use end_to_end::app::Ask;
use end_to_end::coupon::{
    Stock, cancel, confirm, issue, look, publish, redeem, reserve, roll_back, template,
};
use end_to_end::patient::Patient;
use futures::future::{BoxFuture, join};
use http::Method;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use self::books::Out;
use super::{Client, Entry, Function};
use crate::books::Books;
use crate::world::{Step, USERS, World};

pub mod books;

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "coupon",
    actions: &[
        ("issue", 6),
        ("reserve", 3),
        ("again", 2),
        ("end", 3),
        ("spend", 3),
        ("publish", 1),
        ("batch", 1),
    ],
    is_always_in_play: false,
    states: &[
        "coupon: issued",
        "coupon: fallback",
        "coupon: greeting",
        "coupon: reserved",
        "coupon: confirmed",
        "coupon: cancelled",
        "coupon: expired",
        "coupon: redeemed",
        "coupon: redeemed by one of two",
        "coupon: rolled back",
        "coupon: sold_out",
        "coupon: user_limit",
        "coupon: batch",
        "coupon: stock changed",
    ],
    create: |random| Arc::new(Coupons { templates: templates(random), out: Mutex::default() }),
};

/// The templates; the first falls back to the second.
const TEMPLATES: [&str; 3] = ["t0", "t1", "t2"];
/// How long what is reserved stays so.
const RESERVED_SECONDS: u64 = 30;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;
/// Users from here on are given what is left.
const LAST_USERS: u64 = 1_000_000;

struct Coupons {
    templates: Vec<(&'static str, Value)>,
    /// What was out of each pool at the last look.
    out: Mutex<BTreeMap<&'static str, Out>>,
}

/// Small stocks, limits of one to three, some with a budget and some with low water.
fn templates(random: &mut StdRng) -> Vec<(&'static str, Value)> {
    let make = |id: &'static str, random: &mut StdRng| {
        let mut body = template(random.random_range(0..=20));
        body["limit_per_user"] = json!(random.random_range(1..=3));
        if random.random_bool(0.3) {
            body["low_water_percent"] = json!(10);
        }
        if random.random_bool(0.3) {
            body["budget"] = json!(random.random_range(0..30_000).to_string());
        }
        (id, body)
    };
    let mut templates: Vec<_> = TEMPLATES.iter().rev().map(|id| make(id, random)).collect();
    // Published after the one it falls back to.
    templates[1].1["greeting"] = json!("Until next time");
    templates[2].1["fallback_template"] = json!(TEMPLATES[1]);
    templates
}

impl Function for Coupons {
    fn set_up(&self) -> Vec<Ask> {
        self.templates.iter().map(|(id, template)| publish(id, template)).collect()
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(Holder { numbers: Vec::new() })
    }

    fn check(&self, _: &World, books: &Books) {
        let mut last = self.out.lock().expect("no check has failed before");
        for id in TEMPLATES {
            let Some(out) = books::check_template(books, id) else { continue };
            if let Some(before) = last.insert(id, out) {
                out.check_since(&before, id);
            }
        }
    }

    fn due(&self, _: &World, books: &Books) -> Vec<String> {
        let held = |id: &&str| books::held(books, id) > 0;
        let held = TEMPLATES.iter().filter(|id| held(id));
        held.map(|id| format!("{id}: a reservation that expired is still held")).collect()
    }

    fn drain<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut user = LAST_USERS;
            for id in TEMPLATES {
                drain(world, asker, id, &mut user).await;
            }
        })
    }
}

/// What is left of a template can be given to the last one.
async fn drain(world: &World, asker: &mut Patient, id: &str, user: &mut u64) {
    let most = books::leasable(&world.books(), id);
    let (mut given, mut refused) = (0, 0);
    while refused < 2 {
        *user += 1;
        let reply = asker.until_answered(&issue(*user, id, "last")).await;
        if reply.text("outcome").as_deref() == Some("issued") {
            given += 1;
            assert!(given <= most, "{id} gives more than the {most} that may be out");
            refused = 0;
        } else {
            refused += 1;
            world.app.advance_time(MEMORY_MS);
        }
    }
    world.check();
    let stock = Stock::of(&asker.until_answered(&look(id)).await);
    // More than that are out where the stock was lowered afterwards.
    let leasable = books::leasable(&world.books(), id);
    assert!(stock.issued >= leasable, "{id}: {leasable} could be given: {stock:?}");
    assert_eq!((stock.reserved, stock.leased), (0, 0), "{id}: {stock:?}");
    world.saw_times("coupon: given", stock.issued as u64);
}

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

/// How many orders there were with this one.
fn order_count(order: &str) -> u32 {
    let number = order.strip_prefix("order").and_then(|number| number.parse::<u32>().ok());
    number.expect("an order of this client") + 1
}

/// A client, with numbers of its own.
struct Holder {
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
                _ => batch(step).await,
            }
        })
    }

    fn check(&self, books: &Books) {
        for number in &self.numbers {
            let order = books::order(books, number.user, &number.number);
            assert!(holds(&number.known, order.as_ref()), "{number:?}: {order:?}");
        }
    }
}

impl Holder {
    async fn new_number(&mut self, step: &mut Step, seconds: Option<u64>) {
        let (user, template) = (step.user(), step.one_of(&TEMPLATES));
        let (number, known) = (step.name(), Known::Open);
        self.numbers.push(Number {
            user,
            template,
            number,
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
        let Number { user, template, number, known, seconds, .. } = self.numbers[index].clone();
        let asked = match seconds {
            None => issue(user, template, &number),
            Some(seconds) => reserve(user, template, &number, seconds),
        };
        let Some(reply) = step.ask(&asked).await else { return };
        let outcome = reply.text("outcome").unwrap_or_default();
        let code = reply.text("code").unwrap_or_default();
        step.world.saw(format!("coupon: {outcome}{code}"));
        match (reply.status, outcome.as_str()) {
            (201, "issued" | "fallback" | "greeting") => {
                self.numbers[index].is_given();
                let is_over = matches!(known, Known::Cancelled | Known::Expired);
                assert!(!is_over, "{known:?}: {reply:?}");
            }
            (201, "reserved") => {
                assert_ne!(known, Known::Expired, "{reply:?}");
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
        let Number { user, number, known, seconds, .. } = self.numbers[index].clone();
        let confirms = step.random.random_bool(0.5);
        let asked = if confirms { confirm(user, &number) } else { cancel(user, &number) };
        if matches!(known, Known::Held | Known::Open) {
            self.numbers[index].known = Known::Open;
            self.numbers[index].ending = true;
        }
        let Some(reply) = step.ask(&asked).await else { return };
        let code = reply.text("code").unwrap_or_default();
        match (confirms, reply.status) {
            (true, 200) => {
                let is_over = matches!(known, Known::Cancelled | Known::Expired);
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
                let gone = ["reservation_expired", "cancelled", "unknown_order"];
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
            _ => return,
        };
        self.numbers[index].known = Known::Open;
        let asked = if rolls_back {
            roll_back(user, &number, &order)
        } else {
            redeem(user, &number, &order)
        };
        self.numbers[index].redemptions = redemptions.max(order_count(&order));
        let Some(reply) = step.ask(&asked).await else { return };
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

    /// Two orders redeem one coupon at once, each with one attempt: at most one of them does.
    async fn spend_twice(&mut self, step: &mut Step, index: usize) {
        let number = &mut self.numbers[index];
        let orders = [0, 1].map(|more| format!("order{}", number.redemptions + more));
        number.redemptions += 2;
        number.known = Known::Open;
        let (world, who) = (&step.world, step.id.to_string());
        let asked = orders.each_ref().map(|order| redeem(number.user, &number.number, order));
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

/// Another stock, while everything goes on.
async fn change_stock(step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let shown = step.ask(&look(id)).await;
    let Some(shown) = shown.filter(|shown| shown.status == 200) else { return };
    let mut body = shown.json()["definition"].clone();
    body["stock"] = template(step.random.random_range(0..=25))["stock"].clone();
    let Some(reply) = step.ask(&publish(id, &body)).await else { return };
    let code = reply.text("code").unwrap_or_default();
    let refused = ["stock_in_use", "published_meanwhile"].contains(&code.as_str());
    assert!(reply.status == 200 || refused, "{reply:?}");
    if reply.status == 200 {
        step.world.saw("coupon: stock changed");
    }
}

async fn batch(step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let users: Vec<_> = USERS.iter().map(u64::to_string).collect();
    let body = json!({"batch": format!("b{}", step.id.client), "users": users}).to_string();
    let path = format!("/v1/coupon-templates/{id}/bulk");
    let asked = Ask::new(Method::POST, path).json(body).operator();
    if let Some(reply) = step.ask(&asked).await {
        assert_eq!(reply.status, 202, "{reply:?}");
        step.world.saw("coupon: batch");
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
        // Told is told: the decision is in the store.
        (Known::Expired, Some(Gave::Expired)) => true,
        _ => false,
    }
}

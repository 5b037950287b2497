//! Purchase limits: clients who take uses of activities for orders, ask again, look, give back and sweep,
//! while operators raise the limits. What orders have, what users and activities have counted and what is held
//! agree at any moment, and no limit is passed. Carts are priced under the same limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use end_to_end::app::{Ask, Reply};
use end_to_end::patient::Patient;
use end_to_end::purchase::{give_back, limited, off, order, save, sweep, take};
use futures::future::BoxFuture;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{Client, Entry, Function};
use crate::books::Books;
use crate::world::{Step, USERS, World, timed};

pub mod books;
mod cart;
mod orders;

use orders::{Known, Name, Orders, Use, When, as_json};

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "promotion",
    actions: &[
        ("take", 8),
        ("take otherwise", 1),
        ("look", 1),
        ("give back", 2),
        ("raise", 1),
        ("sweep", 2),
        ("evaluate", 3),
    ],
    later: &[],
    is_always_in_play: false,
    states: &[
        "promotion: taken",
        "promotion: taken again",
        "promotion: refused",
        "promotion: given back",
        "promotion: given back untaken",
        "promotion: take after give-back",
        "promotion: number reused",
        "promotion: looked",
        "promotion: raised",
        "promotion: swept",
        "promotion: evaluated",
        "promotion: surely used up",
        "promotion: surely left",
        "promotion: surely not new",
        "promotion: surely new",
        "promotion: order taking",
        "promotion: order undoing",
        "promotion: order refused",
        "promotion: order giving back",
        "promotion: hold let go",
        "promotion: drained",
        "promotion: order kept",
        "promotion: order forgotten",
    ],
    create: |random, _| Arc::new(Promotions::new(random)),
};

/// Orders of a client.
const ORDERS: u64 = 4;
/// Order numbers between those of one client and of the next.
const CLIENT_ORDERS: u64 = 10;
/// What an order never asks for at first.
const OTHERWISE: &[Use] = &[("user", "", 2)];
/// Longer than an instance remembers an activity.
const MEMORY_MS: u64 = 1_100;
/// After this time an order that is under way is abandoned.
const ABANDONED_MS: u64 = 61_000;
/// Users from here on take what is left.
const LAST_USERS: u64 = 2_000_000;
/// For users who have not paid; without limits.
const NEWCOMERS: &str = "newcomers";

/// How often an activity may be used by each user and by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    per_user: Option<u32>,
    total: Option<u32>,
}

/// An activity with limits.
#[derive(Clone, Debug)]
pub struct Activity {
    id: &'static str,
    skus: &'static [&'static str],
    /// Of each unit that is counted for itself its key; else of nothing.
    units: &'static [&'static str],
    /// The limits of which an instance may know: those at the beginning are the lowest ones.
    lowest: Limits,
    /// The highest that anybody asked for.
    highest: Limits,
}

impl Activity {
    fn new(
        id: &'static str,
        skus: &'static [&'static str],
        units: &'static [&'static str],
        per_user: Option<u32>,
        total: Option<u32>,
    ) -> Self {
        let limits = Limits { per_user, total };
        Self { id, skus, units, lowest: limits, highest: limits }
    }

    /// Publishes it with these limits.
    fn publish(&self, limits: Limits) -> Ask {
        let by_unit = self.units != [""];
        let counted = if by_unit { "by_unit" } else { "by_activity" };
        let Limits { per_user, total } = limits;
        let total = total.map(|total| total.to_string());
        let limits = json!({"per_user": per_user, "total": total, "counted": counted});
        let mut body = limited(&limits);
        body["dimensions"] = off(10, self.skus)["dimensions"].clone();
        if by_unit {
            body["scope"] = json!("sku");
        }
        save(self.id, "", &body)
    }
}

struct Promotions {
    activities: Mutex<Vec<Activity>>,
    orders: Mutex<Orders>,
}

/// What an order asks for: always the same, so that a hold says what it holds.
fn uses_of(number: u64) -> &'static [Use] {
    match number % 4 {
        0 => &[("user", "", 1)],
        1 => &[("all", "", 2)],
        2 => &[("user", "", 1), ("all", "", 1), ("units", "red", 1)],
        _ => &[("units", "red", 1), ("units", "blue", 2)],
    }
}

impl Promotions {
    fn new(random: &mut StdRng) -> Self {
        let mut up_to = |least, most| Some(random.random_range(least..=most));
        let activities = vec![
            Activity::new("user", &["a"], &[""], up_to(1, 2), None),
            Activity::new("all", &["a"], &[""], None, up_to(3, 5)),
            Activity::new("units", &["red", "blue"], &["red", "blue"], Some(2), up_to(3, 4)),
        ];
        Self { activities: Mutex::new(activities), orders: Mutex::default() }
    }

    fn with<R>(&self, of: impl FnOnce(&mut Orders) -> R) -> R {
        of(&mut self.orders.lock().expect("no check has failed before"))
    }

    fn activities(&self) -> Vec<Activity> {
        self.activities.lock().expect("no check has failed before").clone()
    }

    fn activity(&self, id: &str) -> Activity {
        let found = self.activities().into_iter().find(|activity| activity.id == id);
        found.unwrap_or_else(|| panic!("{id} is no activity"))
    }

    /// Nobody is refused what is left: others may have used up what the refused use demands.
    fn check_refusal(&self, name: &Name, uses: &[Use], reply: &Reply) {
        let field = reply.text("field").unwrap_or_default();
        let place = field.strip_prefix("uses[").and_then(|rest| rest.strip_suffix(']'));
        let place = place.and_then(|place| place.parse::<usize>().ok());
        let refused = place.and_then(|place| uses.get(place));
        let (id, unit, count) = *refused.unwrap_or_else(|| panic!("of which use? {reply:?}"));
        let Limits { per_user, total } = self.activity(id).lowest;
        let (of_user, of_all) = self.with(|orders| {
            let since = orders.tried(name);
            let others = |user| orders.used_at_most((id, unit), user, since, Some(name));
            (others(Some(name.0)), others(None))
        });
        let passes =
            |used: u32, limit: Option<u32>| limit.is_some_and(|limit| used + count > limit);
        assert!(
            passes(of_user, per_user) || passes(of_all, total),
            "{name:?} was refused {id} {unit}, of which at most {of_user} of {per_user:?} of the user and \
             {of_all} of {total:?} in all are used: {reply:?}"
        );
    }
}

impl Function for Promotions {
    fn set_up(&self) -> Vec<Ask> {
        let limited = self.activities().into_iter().map(|one| one.publish(one.highest));
        let mut newcomers = off(10, &["a"]);
        newcomers["dimensions"]["new_users_only"] = json!(true);
        limited.chain([save(NEWCOMERS, "", &newcomers)]).collect()
    }

    fn client(self: Arc<Self>, id: u64) -> Box<dyn Client> {
        Box::new(Buyer { promotions: self, id })
    }

    fn check(&self, world: &World, books: &Books) {
        let activities = self.activities();
        self.with(|orders| books::check(world, books, &activities, orders));
    }

    fn due(&self, _: &World, books: &Books) -> Vec<String> {
        books::under_way(books)
    }

    fn left(&self, _: &World, books: &Books) -> Vec<String> {
        books::left(books)
    }

    fn drain<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            world.advance(MEMORY_MS);
            let mut users = LAST_USERS..;
            for activity in self.activities() {
                let shown = asker.until_answered(&look_at(activity.id)).await;
                assert_eq!(shown.status, 200, "{shown:?}");
                let limits = limits_of(&shown.json()["definition"]["limits"]);
                for unit in activity.units {
                    self.drain_unit(world, asker, (activity.id, unit), limits, &mut users).await;
                }
            }
        })
    }

    fn rest<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(self.check_rest(world, asker))
    }
}

/// An activity as operators see it.
fn look_at(id: &str) -> Ask {
    Ask::get(format!("/v1/activities/{id}")).operator()
}

/// Limits of a definition: numbers, or their digits.
fn limits_of(limits: &Value) -> Limits {
    let limit = |name: &str| match &limits[name] {
        Value::Null => None,
        Value::String(digits) => Some(digits.parse().expect("a limit")),
        number => Some(number.as_u64().and_then(|limit| limit.try_into().ok()).expect("a limit")),
    };
    Limits { per_user: limit("per_user"), total: limit("total") }
}

impl Promotions {
    /// Exactly what is left can be taken, to the last use.
    async fn drain_unit(
        &self,
        world: &World,
        asker: &mut Patient,
        (id, unit): (&'static str, &'static str),
        Limits { per_user, total }: Limits,
        users: &mut impl Iterator<Item = u64>,
    ) {
        let used = books::used_in_all(&world.books(), id, unit);
        let mut left = total.map(|total| i64::from(total) - used);
        loop {
            let user = users.next().expect("there are many");
            let of_user = per_user.map_or(i64::MAX, i64::from);
            let uses = of_user.min(left.unwrap_or(of_user));
            if uses > 0 {
                let uses = u32::try_from(uses).expect("limits are small");
                self.take_rest(world, asker, user, (id, unit, uses), 201).await;
                left = left.map(|left| left - i64::from(uses));
            }
            if left.is_none_or(|left| left <= 0) {
                self.take_rest(world, asker, user, (id, unit, 1), 409).await;
                world.saw("promotion: drained");
                return;
            }
        }
    }

    /// Takes what is left, or does not get it.
    async fn take_rest(
        &self,
        world: &World,
        asker: &mut Patient,
        user: u64,
        one: Use,
        status: u16,
    ) {
        let name = (user, format!("d-{}-{}-{}-{status}", one.0, one.1, one.2));
        let when = When { now_ms: world.app.now_ms(), ordered_at: None };
        self.with(|orders| orders.try_take(&name, &[one], when));
        let reply = asker.until_answered(&take(user, &name.1, &[one])).await;
        assert_eq!(reply.status, status, "{name:?}: {reply:?}");
        if status == 201 {
            self.with(|orders| orders.took(&name));
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("limit_used_up"), "{reply:?}");
        }
        world.check();
    }

    /// Nothing is under way, and what users and activities have counted is what orders have, as they say.
    async fn check_rest(&self, world: &World, asker: &mut Patient) {
        let all = self.with(|orders| orders.all());
        let (mut of_users, mut of_all) = (books::Counts::new(), books::Counts::new());
        for (name, uses, known) in all {
            let reply = asker.until_answered(&order(name.0, &name.1)).await;
            let state = reply.text("state").or_else(|| reply.text("code")).unwrap_or_default();
            let gone =
                self.with(|orders| (orders.gone(&name).is_some(), orders.has_for_good(&name)));
            let (is_gone, has_for_good) = gone;
            assert!(!is_gone || state == "unknown_order", "{name:?} is gone: {reply:?}");
            match known {
                _ if is_gone => {}
                Known::Taken => assert_eq!(state, "taken", "{name:?}"),
                Known::GivenBack => assert_eq!(state, "given_back", "{name:?}"),
                Known::Nothing => assert_ne!(state, "given_back", "{name:?}"),
                Known::GivingBack => {}
            }
            if state != "taken" && !has_for_good {
                assert!(["given_back", "unknown_order"].contains(&state.as_str()), "{reply:?}");
                continue;
            }
            for (id, unit, count) in uses {
                let Limits { per_user, total } = self.activity(id).highest;
                if per_user.is_some() {
                    let counted = (name.0.to_string(), format!("{id}/{unit}"));
                    *of_users.entry(counted).or_default() += i64::from(count);
                }
                if total.is_some() {
                    let counted = (id.to_owned(), format!("n{unit}"));
                    *of_all.entry(counted).or_default() += i64::from(count);
                }
            }
        }
        let books = world.books();
        assert_eq!(books::under_way(&books), Vec::<String>::new(), "orders are under way");
        let counted = books::counted(&books);
        assert_eq!(counted, (of_users, of_all), "what is counted is what orders have");
    }
}

/// A client, with orders of its own.
struct Buyer {
    promotions: Arc<Promotions>,
    id: u64,
}

impl Client for Buyer {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut number = self.any(step, |_| true).expect("there are some");
            if matches!(action, "take otherwise" | "give back") && step.random.random_bool(0.8) {
                // Mostly one that has something.
                number = self.any(step, |known| known == Known::Taken).unwrap_or(number);
            }
            let name = name_of(number);
            match action {
                "take" => self.take(step, &name, uses_of(number)).await,
                "take otherwise" => self.take_otherwise(step, &name).await,
                "look" => self.look(step, &name).await,
                "give back" => self.give_back(step, &name, uses_of(number)).await,
                "raise" => self.raise(step).await,
                "sweep" => sweep_orders(step).await,
                _ => self.evaluate(step).await,
            }
        })
    }
}

/// A user, and a number that only one client has.
fn name_of(number: u64) -> Name {
    (USERS[(number % USERS.len() as u64) as usize], format!("o{number}"))
}

impl Buyer {
    /// One of the client's own orders of which this is known.
    fn any(&self, step: &mut Step, is_it: impl Fn(Known) -> bool) -> Option<u64> {
        let first = self.id * CLIENT_ORDERS;
        let numbers = (first..first + ORDERS).filter(|number| is_it(self.known(&name_of(*number))));
        let numbers: Vec<_> = numbers.collect();
        (!numbers.is_empty()).then(|| step.one_of(&numbers))
    }

    fn known(&self, name: &Name) -> Known {
        self.promotions.with(|orders| orders.known(name))
    }

    /// When it is asked for something of an order.
    fn when(step: &mut Step) -> When {
        When { now_ms: step.world.app.now_ms(), ordered_at: step.ordered_at() }
    }

    /// The request with the time of the order, if it has one.
    fn timed(&self, asked: Ask, name: &Name) -> Ask {
        timed(asked, self.promotions.with(|orders| orders.ordered_at(name)))
    }

    /// Whether an order is told to be too old, and may be.
    fn is_too_old(&self, step: &Step, name: &Name, reply: &Reply) -> bool {
        let is_told = reply.text("code").as_deref() == Some("too_old");
        if is_told {
            let may_be = self.promotions.with(|orders| orders.may_be_gone(name, step.world.kept()));
            assert!(reply.status == 422 && may_be, "{name:?} was forgotten: {reply:?}");
            step.world.saw("promotion: too_old");
        }
        is_told
    }

    async fn take(&self, step: &mut Step, name: &Name, uses: &'static [Use]) {
        let when = Self::when(step);
        let before = self.promotions.with(|orders| orders.try_take(name, uses, when));
        let asked = self.timed(take(name.0, &name.1, uses), name);
        let Some(reply) = step.ask(&asked).await else { return };
        if self.is_too_old(step, name, &reply) {
            return;
        }
        let code = reply.text("code").unwrap_or_default();
        if reply.status == 201 {
            assert_eq!(reply.text("state").as_deref(), Some("taken"), "{reply:?}");
            assert_eq!(reply.json()["uses"], as_json(uses), "{reply:?}");
            let replayed = reply.json()["replayed"] == true;
            let header = reply.header("idempotent-replayed") == Some("true");
            assert_eq!(header, replayed, "{reply:?}");
        }
        match (reply.status, code.as_str(), before) {
            (201, _, Known::Nothing) => {
                self.promotions.with(|orders| orders.took(name));
                step.world.saw("promotion: taken");
            }
            (201, _, Known::Taken) => {
                assert_eq!(reply.json()["replayed"], true, "{reply:?}");
                step.world.saw("promotion: taken again");
            }
            (201, _, Known::GivingBack) => {}
            (409, "given_back", Known::GivingBack | Known::GivenBack) => {
                step.world.saw("promotion: take after give-back");
            }
            (409, "limit_used_up", Known::Nothing | Known::GivingBack) => {
                self.promotions.check_refusal(name, uses, &reply);
                step.world.saw("promotion: refused");
            }
            _ => panic!("{name:?} was {before:?}: {reply:?}"),
        }
    }

    /// The number of an order that is what it is, with another body.
    async fn take_otherwise(&self, step: &mut Step, name: &Name) {
        let expected = match self.known(name) {
            Known::Taken => (422, "order_number_reused"),
            Known::GivenBack => (409, "given_back"),
            // It could take what is asked for.
            Known::Nothing | Known::GivingBack => return,
        };
        let asked = self.timed(take(name.0, &name.1, OTHERWISE), name);
        let Some(reply) = step.ask(&asked).await else { return };
        if self.is_too_old(step, name, &reply) {
            return;
        }
        let code = reply.text("code").unwrap_or_default();
        assert_eq!((reply.status, code.as_str()), expected, "{name:?}: {reply:?}");
        step.world.saw("promotion: number reused");
    }

    async fn look(&self, step: &mut Step, name: &Name) {
        let known = self.known(name);
        let Some(reply) = step.ask(&order(name.0, &name.1)).await else { return };
        let state = reply.text("state").or_else(|| reply.text("code")).unwrap_or_default();
        let may_be_gone =
            self.promotions.with(|orders| orders.may_be_gone(name, step.world.kept()));
        if state == "unknown_order" && may_be_gone {
            assert_eq!(reply.status, 404, "{reply:?}");
            return;
        }
        let expected: &[&str] = match known {
            Known::Taken => &["taken"],
            Known::GivenBack => &["given_back"],
            Known::Nothing => &["unknown_order", "taking", "taken", "refused"],
            Known::GivingBack => {
                &["unknown_order", "taking", "taken", "refused", "giving_back", "given_back"]
            }
        };
        assert!(expected.contains(&state.as_str()), "{name:?} is {known:?}: {reply:?}");
        assert_eq!(reply.status, if state == "unknown_order" { 404 } else { 200 }, "{reply:?}");
        step.world.saw("promotion: looked");
    }

    async fn give_back(&self, step: &mut Step, name: &Name, uses: &'static [Use]) {
        let when = Self::when(step);
        let before = self.promotions.with(|orders| orders.try_give_back(name, uses, when));
        let asked = self.timed(give_back(name.0, &name.1), name);
        let Some(reply) = step.ask(&asked).await else { return };
        if self.is_too_old(step, name, &reply) {
            return;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.text("state").as_deref(), Some("given_back"), "{reply:?}");
        self.promotions.with(|orders| orders.gave_back(name));
        step.world.saw(match before {
            Known::Nothing => "promotion: given back untaken",
            _ => "promotion: given back",
        });
    }

    /// One use more, for each user and for all.
    async fn raise(&self, step: &mut Step) {
        let asked = {
            let mut activities = self.promotions.activities.lock().expect("nothing has failed");
            let which = step.random.random_range(0..activities.len());
            let Limits { per_user, total } = &mut activities[which].highest;
            per_user.iter_mut().chain(total).for_each(|limit| *limit += 1);
            activities[which].publish(activities[which].highest)
        };
        let Some(reply) = step.ask(&asked).await else { return };
        let meanwhile = reply.text("code").as_deref() == Some("published_meanwhile");
        assert!(reply.status == 200 || meanwhile, "{reply:?}");
        if !meanwhile {
            step.world.saw("promotion: raised");
        }
    }

    async fn evaluate(&self, step: &mut Step) {
        let cart = cart::Cart::draw(step);
        let (user, paid) = (cart.user, step.world.paid(cart.user));
        let since = self.promotions.with(|orders| orders.now());
        let Some(reply) = step.ask(&cart.ask()).await else { return };
        let given = cart.check(&reply);
        for activity in self.promotions.activities() {
            if activity.skus.iter().any(|sku| cart.has(sku)) {
                let told = self
                    .promotions
                    .with(|orders| cart::check_limits(&cart, &given, &activity, orders, since));
                told.iter().for_each(|told| step.world.saw(*told));
            }
        }
        let paid = (paid, step.world.paid(user));
        cart::check_newcomers(&cart, &given, paid).iter().for_each(|told| step.world.saw(*told));
        let considered = self.promotions.activities();
        let considered = considered.iter().map(|one| (one.id, one.skus));
        let considered = considered.chain([(NEWCOMERS, &["a"][..])]);
        let considered = considered.filter(|(_, skus)| skus.iter().any(|sku| cart.has(sku)));
        let considered: BTreeMap<_, _> = considered.collect();
        let explained: Vec<_> = given.codes.keys().map(String::as_str).collect();
        assert_eq!(explained, considered.into_keys().collect::<Vec<_>>(), "{reply:?}");
        step.world.saw("promotion: evaluated");
    }
}

/// Undoes what was abandoned: half of the time so late that there is something.
async fn sweep_orders(step: &mut Step) {
    if step.random.random_bool(0.5) {
        step.world.advance(ABANDONED_MS);
    }
    let Some(reply) = step.ask(&sweep()).await else { return };
    assert_eq!(reply.status, 200, "{reply:?}");
    if reply.text("orders").as_deref() != Some("0") {
        step.world.saw("promotion: swept");
    }
}

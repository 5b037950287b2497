//! A cart that is priced under limits: its sums agree, and where it is certain that an activity is used up, or
//! that something is left of it, it is told so.

use std::collections::BTreeMap;

use end_to_end::app::{Ask, Reply};
use rand::RngExt;
use serde_json::{Value, json};

use super::orders::Orders;
use super::{Activity, Limits, NEWCOMERS};
use crate::world::{Paid, Step};

/// What can be in a cart.
const SKUS: [&str; 3] = ["a", "red", "blue"];
/// Of the lowest price a tenth is nothing.
const PRICES: [i64; 4] = [1, 333, 10_000, 999_999_999];
/// From here on a tenth is something, whatever else is taken off.
const PRICE_SURE: i64 = 100;

/// A cart: of each SKU how many pieces, and what one costs.
#[derive(Clone, Debug)]
pub struct Cart {
    pub user: u64,
    lines: BTreeMap<&'static str, (i64, i64)>,
}

/// What was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// What became of each activity.
    pub codes: BTreeMap<String, String>,
    /// Uses by activity and unit.
    uses: BTreeMap<(String, String), u64>,
}

fn cents(value: &Value) -> i64 {
    let cents = value.as_str().and_then(|cents| cents.parse().ok());
    cents.unwrap_or_else(|| panic!("no amount: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl Cart {
    /// Draws one.
    pub fn draw(step: &mut Step) -> Self {
        let user = step.user();
        let mut lines = BTreeMap::new();
        for sku in SKUS {
            let line = (step.random.random_range(1..=3), step.one_of(&PRICES));
            if step.random.random_bool(0.7) {
                lines.insert(sku, line);
            }
        }
        Self { user, lines }
    }

    /// What does it cost?
    pub fn ask(&self) -> Ask {
        let line = |(sku, (quantity, price)): (&&str, &(i64, i64))| {
            let price = price.to_string();
            json!({"line": sku, "sku": sku, "quantity": quantity, "unit_price": price})
        };
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        let body = json!({"user": self.user.to_string(), "currency": "CNY", "lines": lines});
        Ask::post("/v1/promotions/evaluate", body.to_string())
    }

    /// Whether a SKU is in it.
    pub fn has(&self, sku: &str) -> bool {
        self.lines.contains_key(sku)
    }

    /// Whether a tenth of a SKU is something.
    fn is_dear(&self, sku: &str) -> bool {
        self.lines.get(sku).is_some_and(|(_, price)| *price >= PRICE_SURE)
    }

    /// Checks that the sums agree, and that no more is taken off than there is; what was given.
    pub fn check(&self, reply: &Reply) -> Given {
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        let (mut subtotal, mut total) = (0, 0);
        let told: Vec<_> = list(&body["lines"]).iter().map(|line| text(&line["line"])).collect();
        assert_eq!(told, self.lines.keys().copied().collect::<Vec<_>>(), "{reply:?}");
        for (line, (quantity, price)) in list(&body["lines"]).iter().zip(self.lines.values()) {
            let (before, after) = (cents(&line["subtotal"]), cents(&line["total"]));
            assert_eq!(before, quantity * price, "{reply:?}");
            assert_eq!(before - cents(&line["discount"]), after, "{reply:?}");
            assert!((0..=before).contains(&after), "{reply:?}");
            (subtotal, total) = (subtotal + before, total + after);
        }
        assert_eq!(cents(&body["subtotal"]), subtotal, "{reply:?}");
        assert_eq!(cents(&body["total"]), total, "{reply:?}");
        let discount = cents(&body["discount"]);
        assert_eq!(discount, subtotal - total, "{reply:?}");

        let mut uses = BTreeMap::new();
        let mut of_units = 0;
        for unit in list(&body["units"]) {
            let shares: i64 = list(&unit["discounts"]).iter().map(cents).sum();
            assert_eq!(cents(&unit["discount"]), shares, "{reply:?}");
            of_units += shares;
            let name = (text(&unit["activity"]), text(&unit["key"]));
            let count = unit["uses"].as_u64().expect("a number");
            assert!(count > 0, "{reply:?}");
            assert_eq!(uses.insert(name, count), None, "a unit is given once: {reply:?}");
        }
        assert_eq!(of_units, discount, "{reply:?}");
        let mut codes = BTreeMap::new();
        for one in list(&body["explanations"]) {
            let (id, code) = (text(&one["activity"]), text(&one["code"]));
            let is_given = uses.keys().any(|(activity, _)| *activity == id);
            assert_eq!(code == "applied", is_given, "{id}: {reply:?}");
            assert_eq!(one["applied"], is_given, "{id}: {reply:?}");
            assert_eq!(codes.insert(id, code), None, "each is explained once: {reply:?}");
        }
        assert!(uses.keys().all(|(id, _)| codes.contains_key(id)), "{reply:?}");
        Given { codes, uses }
    }
}

/// Checks what is told of an activity against what is known of its uses since before it was asked: what is
/// certain, by name.
pub fn check_limits(
    cart: &Cart,
    given: &Given,
    activity: &Activity,
    orders: &Orders,
    since: u64,
) -> Vec<&'static str> {
    let Activity { id, highest, lowest, .. } = activity;
    let code = given.codes.get(*id).map(String::as_str).unwrap_or_default();
    let mut seen = Vec::new();
    let (mut units, mut used_up) = (0, 0);
    for unit in activity.units {
        let sku = if unit.is_empty() { activity.skus[0] } else { unit };
        if !cart.has(sku) {
            continue;
        }
        units += 1;
        let of = (*id, *unit);
        let at_least = |user| orders.used_at_least(of, user, since);
        let at_most = |user| orders.used_at_most(of, user, since, None);
        let passes = |used: u32, limit: Option<u32>| limit.is_some_and(|limit| used >= limit);
        let Limits { per_user, total } = *highest;
        let is_used_up =
            passes(at_least(Some(cart.user)), per_user) || passes(at_least(None), total);
        let Limits { per_user, total } = *lowest;
        let is_left = !passes(at_most(Some(cart.user)), per_user) && !passes(at_most(None), total);
        // Where units are not counted each for itself, the key is the activity's.
        let key = if unit.is_empty() { id } else { unit };
        let uses = given.uses.get(&((*id).to_owned(), (*key).to_owned())).copied().unwrap_or(0);
        let most = [highest.per_user, highest.total].into_iter().flatten().min();
        assert!(most.is_none_or(|most| uses <= u64::from(most)), "{id} {unit}: {given:?}");
        if is_used_up {
            used_up += 1;
            assert_eq!(uses, 0, "{id} {unit} is used up: {given:?}");
        }
        if is_left && cart.is_dear(sku) {
            assert!(uses > 0, "something is left of {id} {unit}: {code}, {given:?}");
            seen.push("promotion: surely left");
        }
    }
    if used_up == units {
        assert_eq!(code, "limit_used_up", "{id} is used up: {given:?}");
        seen.push("promotion: surely used up");
    }
    seen
}

/// Checks what is told of the activity for users who have not paid against what was known before and after:
/// what is certain, by name.
pub fn check_newcomers(
    cart: &Cart,
    given: &Given,
    (before, after): (Option<Paid>, Option<Paid>),
) -> Vec<&'static str> {
    let Some(code) = given.codes.get(NEWCOMERS).map(String::as_str) else { return vec![] };
    if before == Some(Paid::Acknowledged) {
        assert_eq!(code, "not_a_new_user", "{} has paid: {given:?}", cart.user);
        return vec!["promotion: surely not new"];
    }
    if after.is_none() {
        let expected = if cart.is_dear("a") { "applied" } else { "nothing_left_to_discount" };
        assert_eq!(code, expected, "{} is new: {given:?}", cart.user);
        return vec!["promotion: surely new"];
    }
    vec![]
}

//! Counts the uses of limited activities over a year of carts, as the app does over its orders.

use std::collections::BTreeMap;

use pricing::activity::{Activity, Counted};
use pricing::evaluation::Evaluation;

/// What was used so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// By activity and, where it counts by unit, the unit's key.
    total: BTreeMap<(String, Option<String>), u64>,
    /// The same of each customer.
    by_customer: BTreeMap<(u64, String, Option<String>), u64>,
}

impl Uses {
    /// How often a customer may still use an activity, or one unit of it. Those whom the file does
    /// not know cannot be told apart: each is taken for somebody who has used nothing.
    #[must_use]
    pub fn left(&self, customer: Option<u64>, activity: &Activity, key: Option<&str>) -> u64 {
        let Some(limits) = activity.limits else { return u64::MAX };
        let (id, key) = (activity.id.clone(), key.map(str::to_owned));
        let of = |limit: u64, used: Option<&u64>| limit.saturating_sub(*used.unwrap_or(&0));
        let total = limits.total.map(|total| {
            of(total.get().unsigned_abs(), self.total.get(&(id.clone(), key.clone())))
        });
        let per_user = limits.per_user.map(|limit| {
            let used = customer.and_then(|customer| self.by_customer.get(&(customer, id, key)));
            of(limit.into(), used)
        });
        total.into_iter().chain(per_user).min().unwrap_or(u64::MAX)
    }

    /// Counts what a customer was given.
    pub fn count(
        &mut self,
        customer: Option<u64>,
        activities: &[Activity],
        evaluation: &Evaluation<'_>,
    ) {
        for unit in &evaluation.units {
            let activity = activities.iter().find(|activity| activity.id == unit.activity);
            let Some(limits) = activity.and_then(|activity| activity.limits) else { continue };
            let by_unit = limits.counted == Counted::ByUnit;
            let key = by_unit.then(|| unit.key.to_owned());
            let id = unit.activity.to_owned();
            *self.total.entry((id.clone(), key.clone())).or_default() += u64::from(unit.uses);
            if let Some(customer) = customer {
                let used = self.by_customer.entry((customer, id, key)).or_default();
                *used += u64::from(unit.uses);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pricing::cart::Cart;
    use pricing::decide::evaluate;
    use serde_json::{Value, json};

    use super::*;

    /// 10 percent off pieces, within limits; a customer wants two of `a` and one of `b`.
    #[track_caller]
    fn used(limits: &Value, customers: &[Option<u64>]) -> Vec<Vec<u32>> {
        let activities: Vec<Activity> = serde_json::from_value(json!([{
            "id": "off", "name": "off", "currency": "GBP", "scope": "sku", "limits": limits,
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
            "tiers": [{"condition": {"for_every_quantity": {"quantity": 1}},
                       "benefit": {"percent_off": {"percent": 10}}}]
        }]))
        .expect("activities");
        let line = |sku: &str, quantity: u32| json!({"line": sku, "sku": sku, "quantity": quantity, "unit_price": 100});
        let text = json!({"currency": "GBP", "context": {"at": "2026-02-18T00:00:00Z"},
                          "lines": [line("a", 2), line("b", 1)]})
        .to_string();
        let cart: Cart<'_> = serde_json::from_str(&text).expect("a cart");
        let mut uses = Uses::default();
        let mut found = Vec::new();
        for customer in customers {
            let left = |activity: &Activity, key: Option<&str>| uses.left(*customer, activity, key);
            let evaluation = evaluate(&activities, &cart, left).expect("an evaluation");
            uses.count(*customer, &activities, &evaluation);
            found.push(evaluation.units.iter().map(|unit| unit.uses).collect());
        }
        found
    }

    #[test]
    fn uses_are_counted_as_the_limits_say() {
        let (one, other) = (Some(1), Some(2));
        let per_user = json!({"per_user": 4});
        assert_eq!(used(&per_user, &[one, one, other]), [vec![2, 1], vec![1], vec![2, 1]]);
        assert_eq!(used(&per_user, &[None, None]), [vec![2, 1], vec![2, 1]]);
        let total = json!({"total": 5});
        assert_eq!(used(&total, &[one, None, other]), [vec![2, 1], vec![2], vec![]]);
        let by_unit = json!({"total": 3, "per_user": 2, "counted": "by_unit"});
        assert_eq!(used(&by_unit, &[one, one, other]), [vec![2, 1], vec![1], vec![1, 1]]);
    }
}

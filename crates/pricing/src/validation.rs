//! What of an activity is refused on publishing, beyond its shape.
//!
//! Codes: `invalid_part`, `invalid_value`, `too_many`, `not_meaningful` (a benefit that its condition
//! cannot be given with), `not_ascending` (tiers). The field is the path as the operator wrote it,
//! for example `tiers[1].condition.amount_at_least.amount`.

use domain::error::InvalidInput;
use domain::integer::Count;
use domain::money::Amount;
use domain::order_number::Part;

use crate::activity::{
    Activity, Benefit, Condition, Dimensions, Keys, Limits, Products, SkuList, Stacking, TIMES_MAX,
    Tier,
};
use crate::cart::{KEY_BYTES_MAX, QUANTITY_MAX};

/// Bytes of a name.
pub(crate) const NAME_BYTES_MAX: usize = 128;
/// Labels of one activity.
pub(crate) const LABELS_MAX: usize = 8;
/// Bytes of a label: some words.
pub(crate) const LABEL_BYTES_MAX: usize = 64;
/// Keys in one list: as much as an operator still writes by hand. Who selects hundreds of thousands
/// of SKUs keeps them in an index, and evaluates with those of the cart.
pub(crate) const KEYS_MAX: usize = 1_000;
/// Parts of one list of SKUs: of 1,000 SKUs each a million.
pub const SKU_LIST_PARTS_MAX: u32 = 1_000;
/// Selectors that include, and as many that exclude.
pub const SELECTORS_MAX: usize = 16;
/// Tiers of one activity.
pub const TIERS_MAX: usize = 10;
/// The highest layer.
pub const LAYER_MAX: u8 = 15;
/// Pieces of one gift.
pub(crate) const GIFT_QUANTITY_MAX: u32 = 1_000;

type Checked = Result<(), InvalidInput>;

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> Checked {
    Err(InvalidInput::new("invalid_value", field, detail))
}

impl Activity {
    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// The codes of [`crate::validation`], naming the first field at fault.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        Part::parse(&self.id, "id")?;
        check_bytes(&self.name, NAME_BYTES_MAX, || "name".into())?;
        check_count(self.labels.len(), LABELS_MAX, || "labels".into())?;
        for (index, label) in self.labels.iter().enumerate() {
            check_bytes(label, LABEL_BYTES_MAX, || format!("labels[{index}]"))?;
        }
        if self.until <= self.from {
            return wrong("until", "must be after from");
        }
        self.dimensions.validate()?;
        self.validate_tiers()?;
        if let Some(maximum) = self.maximum_discount {
            check_cents(maximum, 1, || "maximum_discount".into())?;
            let discounts =
                |tier: &Tier| !matches!(tier.benefit, Benefit::Gift { .. } | Benefit::FreeShipping);
            if !self.tiers.iter().any(discounts) {
                let detail = "no tier takes anything off";
                return Err(InvalidInput::new("not_meaningful", "maximum_discount", detail));
            }
        }
        self.stacking.validate()?;
        self.limits.as_ref().map_or(Ok(()), Limits::validate)
    }

    fn validate_tiers(&self) -> Checked {
        if self.tiers.is_empty() {
            return wrong("tiers", "must have at least one");
        }
        check_count(self.tiers.len(), TIERS_MAX, || "tiers".into())?;
        for (index, tier) in self.tiers.iter().enumerate() {
            let path = format!("tiers[{index}]");
            tier.condition.validate(&path)?;
            tier.benefit.validate(&path)?;
            tier.validate_pair(&path)?;
        }
        for (index, pair) in self.tiers.windows(2).enumerate() {
            if !ascends(&pair[0].condition, &pair[1].condition) {
                let field = format!("tiers[{}].condition", index + 1);
                let detail =
                    "must demand more of the same, amount or quantity, than the one before";
                return Err(InvalidInput::new("not_ascending", field, detail));
            }
        }
        Ok(())
    }
}

/// What a condition counts, and how much it demands.
enum Demand {
    Nothing,
    Cents(i64),
    Pieces(u32),
}

fn demand(condition: &Condition) -> Demand {
    match *condition {
        Condition::None => Demand::Nothing,
        Condition::AmountAtLeast { amount } | Condition::ForEveryAmount { amount, .. } => {
            Demand::Cents(amount.minor_units())
        }
        Condition::QuantityAtLeast { quantity } | Condition::ForEveryQuantity { quantity, .. } => {
            Demand::Pieces(quantity)
        }
    }
}

fn ascends(lower: &Condition, upper: &Condition) -> bool {
    match (demand(lower), demand(upper)) {
        (Demand::Nothing, Demand::Cents(_) | Demand::Pieces(_)) => true,
        (Demand::Cents(lower), Demand::Cents(upper)) => lower < upper,
        (Demand::Pieces(lower), Demand::Pieces(upper)) => lower < upper,
        _ => false,
    }
}

impl Condition {
    fn validate(&self, tier: &str) -> Checked {
        let at = |rest: &str| format!("{tier}.condition.{rest}");
        match *self {
            Self::None => Ok(()),
            Self::AmountAtLeast { amount } => {
                check_cents(amount, 1, || at("amount_at_least.amount"))
            }
            Self::QuantityAtLeast { quantity } => {
                check_range(quantity, QUANTITY_MAX, || at("quantity_at_least.quantity"))
            }
            Self::ForEveryAmount { amount, times_max } => {
                check_cents(amount, 1, || at("for_every_amount.amount"))?;
                check_range(times_max, TIMES_MAX, || at("for_every_amount.times_max"))
            }
            Self::ForEveryQuantity { quantity, times_max } => {
                check_range(quantity, QUANTITY_MAX, || at("for_every_quantity.quantity"))?;
                check_range(times_max, TIMES_MAX, || at("for_every_quantity.times_max"))
            }
        }
    }
}

impl Benefit {
    fn validate(&self, tier: &str) -> Checked {
        let at = |rest: &str| format!("{tier}.benefit.{rest}");
        match self {
            Self::AmountOff { amount } => check_cents(*amount, 1, || at("amount_off.amount")),
            Self::PercentOff { percent } => {
                check_range(u32::from(*percent), 100, || at("percent_off.percent"))
            }
            Self::FixedPrice { amount } => check_cents(*amount, 0, || at("fixed_price.amount")),
            Self::NthItemAtPercent { nth, percent } => {
                if !(2..=QUANTITY_MAX).contains(nth) {
                    let detail = format!("must be 2 to {QUANTITY_MAX}");
                    return wrong(at("nth_item_at_percent.nth"), detail);
                }
                if *percent > 99 {
                    return wrong(at("nth_item_at_percent.percent"), "must be 0 to 99");
                }
                Ok(())
            }
            Self::CheapestFree { count } => {
                check_range(*count, QUANTITY_MAX, || at("cheapest_free.count"))
            }
            Self::Gift { sku, quantity } => {
                check_bytes(sku, KEY_BYTES_MAX, || at("gift.sku"))?;
                check_range(*quantity, GIFT_QUANTITY_MAX, || at("gift.quantity"))
            }
            Self::FreeShipping => Ok(()),
        }
    }
}

impl Tier {
    /// Refuses a benefit that is nothing, or everything, under its condition.
    fn validate_pair(&self, path: &str) -> Checked {
        let refuse = |detail: &str| {
            Err(InvalidInput::new("not_meaningful", format!("{path}.benefit"), detail))
        };
        match (&self.benefit, self.condition) {
            (
                Benefit::FreeShipping,
                Condition::ForEveryAmount { .. } | Condition::ForEveryQuantity { .. },
            ) => refuse("shipping is free or not, and not so many times"),
            (
                Benefit::PercentOff { .. }
                | Benefit::FixedPrice { .. }
                | Benefit::NthItemAtPercent { .. },
                Condition::ForEveryAmount { .. },
            ) => refuse("acts on pieces, and for_every_amount says of none whether it counts"),
            (
                Benefit::NthItemAtPercent { nth, .. },
                Condition::ForEveryQuantity { quantity, .. },
            ) if *nth > quantity => refuse("nth must be at most the quantity of the condition"),
            (Benefit::CheapestFree { .. }, Condition::None) => {
                refuse("without a condition one piece alone would be free: use percent_off 100")
            }
            (
                Benefit::CheapestFree { count },
                Condition::QuantityAtLeast { quantity }
                | Condition::ForEveryQuantity { quantity, .. },
            ) if *count >= quantity => refuse("count must be below the quantity of the condition"),
            _ => Ok(()),
        }
    }
}

impl Dimensions {
    fn validate(&self) -> Checked {
        let lists = [
            ("platforms", &self.platforms),
            ("channels", &self.channels),
            ("regions", &self.regions),
            ("segments", &self.segments),
        ];
        for (name, keys) in lists {
            check_keys(keys, || format!("dimensions.{name}"))?;
        }
        self.products.validate()
    }
}

impl Products {
    fn validate(&self) -> Checked {
        if let Some(SkuList { name, parts }) = &self.sku_list {
            Part::parse(name, "dimensions.products.sku_list.name")?;
            check_range(*parts, SKU_LIST_PARTS_MAX, || {
                "dimensions.products.sku_list.parts".into()
            })?;
        }
        for (name, selectors) in [("include", &self.include), ("exclude", &self.exclude)] {
            let path = format!("dimensions.products.{name}");
            check_count(selectors.len(), SELECTORS_MAX, || path.clone())?;
            for (index, selector) in selectors.iter().enumerate() {
                let names = ["skus", "spus", "shops", "brands", "categories"];
                let lists = selector.lists().map(|(_, keys)| keys);
                for (name, keys) in names.into_iter().zip(lists) {
                    check_keys(keys, || format!("{path}[{index}].{name}"))?;
                }
                if lists.iter().all(|keys| keys.is_empty()) {
                    // It would match every line, which no selector at all says, too.
                    return wrong(format!("{path}[{index}]"), "must name at least one key");
                }
            }
        }
        Ok(())
    }
}

impl Stacking {
    fn validate(&self) -> Checked {
        if self.layer > LAYER_MAX {
            return wrong("stacking.layer", format!("must be at most {LAYER_MAX}"));
        }
        match &self.exclusive {
            Some(exclusive) => {
                Part::parse(&exclusive.group, "stacking.exclusive.group").map(|_| ())
            }
            None => Ok(()),
        }
    }
}

impl Limits {
    fn validate(&self) -> Checked {
        if self.per_user.is_none() && self.total.is_none() {
            return wrong("limits", "must have per_user or total");
        }
        if self.per_user == Some(0) {
            return wrong("limits.per_user", "must be at least 1");
        }
        if self.total.map(Count::get) == Some(0) {
            return wrong("limits.total", "must be at least 1");
        }
        Ok(())
    }
}

fn check_cents(amount: Amount, minimum: i64, field: impl Fn() -> String) -> Checked {
    if amount.minor_units() < minimum {
        return wrong(field(), format!("must be at least {minimum}"));
    }
    Ok(())
}

/// 1 to `maximum`.
fn check_range(number: u32, maximum: u32, field: impl Fn() -> String) -> Checked {
    if !(1..=maximum).contains(&number) {
        return wrong(field(), format!("must be 1 to {maximum}"));
    }
    Ok(())
}

fn check_bytes(text: &str, maximum: usize, field: impl Fn() -> String) -> Checked {
    if !(1..=maximum).contains(&text.len()) {
        return wrong(field(), format!("must have 1 to {maximum} bytes"));
    }
    Ok(())
}

fn check_count(count: usize, maximum: usize, field: impl Fn() -> String) -> Checked {
    if count > maximum {
        return Err(InvalidInput::new("too_many", field(), format!("must be at most {maximum}")));
    }
    Ok(())
}

/// The list is named, and not the place in it: sets are kept sorted.
fn check_keys(keys: &Keys, field: impl Fn() -> String) -> Checked {
    check_count(keys.as_slice().len(), KEYS_MAX, &field)?;
    for key in keys.as_slice() {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return wrong(field(), format!("each must have 1 to {KEY_BYTES_MAX} bytes: {key:.80}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::transaction::INTEGER_MAX;
    use serde_json::{Value, json};

    use super::*;

    /// An activity with everything in it.
    fn body() -> Value {
        let least = |amount: u32| json!({"amount_at_least": {"amount": amount}});
        json!({
            "id": "spring", "name": "Spring", "labels": ["100 off"], "currency": "CNY",
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
            "dimensions": {
                "platforms": ["app", "web"], "channels": ["feed"], "regions": ["north"],
                "segments": ["loyal"], "new_users_only": true,
                "products": {"include": [{"brands": ["b", "a"], "shops": ["s"]}],
                             "exclude": [{"skus": ["x"]}, {"spus": ["y"], "categories": ["z"]}]}
            },
            "scope": "activity",
            "tiers": [{"condition": least(10_000), "benefit": {"amount_off": {"amount": "1000"}}},
                      {"condition": least(20_000), "benefit": {"percent_off": {"percent": 10}}}],
            "maximum_discount": "5000",
            "stacking": {"layer": 1, "priority": 7, "exclusive": {"group": "g", "mode": "best"}},
            "limits": {"per_user": 1, "total": "1000", "counted": "by_unit"}
        })
    }

    #[track_caller]
    fn refusal(pointer: &str, value: &Value) -> (&'static str, String) {
        let mut body = body();
        *body.pointer_mut(pointer).unwrap() = value.clone();
        let activity: Activity = serde_json::from_value(body).unwrap();
        let error = activity.validate().expect_err(pointer);
        (error.code, error.field)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let activity: Activity = serde_json::from_value(body()).unwrap();
        activity.validate().unwrap();
        assert_eq!(activity.dimensions.products.include[0].brands.as_slice(), ["a", "b"]);
        let text = serde_json::to_string(&activity).unwrap();
        assert_eq!(serde_json::from_str::<Activity>(&text).unwrap(), activity);
    }

    #[test]
    fn little_needs_to_be_said() {
        let activity: Activity = serde_json::from_value(json!({
            "id": "a", "name": "A", "currency": "CNY", "scope": "sku",
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
            "tiers": [{"benefit": {"fixed_price": {"amount": 0}}}]
        }))
        .unwrap();
        activity.validate().unwrap();
        assert!(activity.enabled);
        assert_eq!(activity.tiers[0].condition, Condition::None);
    }

    #[test]
    fn unknown_fields_are_refused() {
        for pointer in [
            "",
            "/dimensions",
            "/dimensions/products",
            "/dimensions/products/include/0",
            "/tiers/0",
            "/tiers/0/condition/amount_at_least",
            "/tiers/0/benefit/amount_off",
            "/stacking",
            "/stacking/exclusive",
            "/limits",
        ] {
            let mut body = body();
            let object = body.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
            object.insert("surprise".into(), json!(1));
            assert!(serde_json::from_value::<Activity>(body).is_err(), "{pointer}");
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let selector = json!({"skus": ["1"]});
        let tier = json!({"benefit": "free_shipping"});
        let table: &[(&str, Value, &str, &str)] = &[
            ("/id", json!("Spring"), "invalid_part", "id"),
            ("/name", json!(""), "invalid_value", "name"),
            ("/name", json!("x".repeat(129)), "invalid_value", "name"),
            ("/labels", json!(many(9)), "too_many", "labels"),
            ("/labels", json!(["a", ""]), "invalid_value", "labels[1]"),
            ("/until", json!("2026-02-17T00:00:00Z"), "invalid_value", "until"),
            ("/dimensions/platforms", json!(many(1_001)), "too_many", "dimensions.platforms"),
            (
                "/dimensions/channels",
                json!(["x".repeat(65)]),
                "invalid_value",
                "dimensions.channels",
            ),
            ("/dimensions/regions", json!([""]), "invalid_value", "dimensions.regions"),
            ("/dimensions/segments", json!([""]), "invalid_value", "dimensions.segments"),
            (
                "/dimensions/products/exclude/1/spus",
                json!([""]),
                "invalid_value",
                "dimensions.products.exclude[1].spus",
            ),
            (
                "/dimensions/products/include/0",
                json!({}),
                "invalid_value",
                "dimensions.products.include[0]",
            ),
            (
                "/dimensions/products/include",
                json!(vec![selector; 17]),
                "too_many",
                "dimensions.products.include",
            ),
            ("/tiers", json!([]), "invalid_value", "tiers"),
            ("/tiers", json!(vec![tier; 11]), "too_many", "tiers"),
            ("/maximum_discount", json!(0), "invalid_value", "maximum_discount"),
            ("/stacking/layer", json!(16), "invalid_value", "stacking.layer"),
            ("/stacking/exclusive/group", json!(""), "invalid_part", "stacking.exclusive.group"),
            ("/limits", json!({}), "invalid_value", "limits"),
            ("/limits/per_user", json!(0), "invalid_value", "limits.per_user"),
            ("/limits/total", json!("0"), "invalid_value", "limits.total"),
        ];
        for (pointer, value, code, field) in table {
            assert_eq!(refusal(pointer, value), (*code, (*field).to_owned()), "{pointer} {value}");
        }
        let gift = json!([{"benefit": {"gift": {"sku": "g", "quantity": 1}}}]);
        assert_eq!(refusal("/tiers", &gift), ("not_meaningful", "maximum_discount".into()));
    }

    #[test]
    fn wrong_conditions_and_benefits_are_named() {
        let conditions: &[(Value, &str)] = &[
            (json!({"amount_at_least": {"amount": 0}}), "amount_at_least.amount"),
            (json!({"quantity_at_least": {"quantity": 0}}), "quantity_at_least.quantity"),
            (json!({"for_every_amount": {"amount": -1}}), "for_every_amount.amount"),
            (
                json!({"for_every_amount": {"amount": 1, "times_max": 0}}),
                "for_every_amount.times_max",
            ),
            (json!({"for_every_quantity": {"quantity": 1_000_001}}), "for_every_quantity.quantity"),
            (
                json!({"for_every_quantity": {"quantity": 1, "times_max": 1_000_001}}),
                "for_every_quantity.times_max",
            ),
        ];
        for (condition, field) in conditions {
            let tiers = json!([{"condition": condition, "benefit": "free_shipping"}]);
            let expected = ("invalid_value", format!("tiers[0].condition.{field}"));
            assert_eq!(refusal("/tiers", &tiers), expected, "{condition}");
        }
        let benefits: &[(Value, &str)] = &[
            (json!({"amount_off": {"amount": 0}}), "amount_off.amount"),
            (json!({"percent_off": {"percent": 0}}), "percent_off.percent"),
            (json!({"percent_off": {"percent": 101}}), "percent_off.percent"),
            (json!({"fixed_price": {"amount": -1}}), "fixed_price.amount"),
            (json!({"nth_item_at_percent": {"nth": 1, "percent": 0}}), "nth_item_at_percent.nth"),
            (
                json!({"nth_item_at_percent": {"nth": 2, "percent": 100}}),
                "nth_item_at_percent.percent",
            ),
            (json!({"cheapest_free": {"count": 0}}), "cheapest_free.count"),
            (json!({"gift": {"sku": "", "quantity": 1}}), "gift.sku"),
            (json!({"gift": {"sku": "g", "quantity": 1_001}}), "gift.quantity"),
        ];
        for (benefit, field) in benefits {
            let tiers = json!([{"benefit": "free_shipping"}, {"benefit": benefit}]);
            let expected = ("invalid_value", format!("tiers[1].benefit.{field}"));
            assert_eq!(refusal("/tiers", &tiers), expected, "{benefit}");
        }
    }

    /// Every condition with every benefit: what is not refused is meaningful.
    #[test]
    fn pairs_without_a_meaning_are_refused() {
        let conditions = [
            json!("none"),
            json!({"amount_at_least": {"amount": 100}}),
            json!({"quantity_at_least": {"quantity": 3}}),
            json!({"for_every_amount": {"amount": 100}}),
            json!({"for_every_quantity": {"quantity": 3}}),
        ];
        let nth = |nth: u32| json!({"nth_item_at_percent": {"nth": nth, "percent": 0}});
        let table: &[(Value, [bool; 5])] = &[
            (json!({"amount_off": {"amount": 1}}), [true; 5]),
            (json!({"percent_off": {"percent": 1}}), [true, true, true, false, true]),
            (json!({"fixed_price": {"amount": 1}}), [true, true, true, false, true]),
            (nth(3), [true, true, true, false, true]),
            (nth(4), [true, true, true, false, false]),
            (json!({"cheapest_free": {"count": 2}}), [false, true, true, true, true]),
            (json!({"cheapest_free": {"count": 3}}), [false, true, false, true, false]),
            (json!({"gift": {"sku": "g", "quantity": 1}}), [true; 5]),
            (json!("free_shipping"), [true, true, true, false, false]),
        ];
        for (benefit, expected) in table {
            for (condition, expected) in conditions.iter().zip(expected) {
                let mut body = body();
                body["maximum_discount"] = Value::Null;
                body["tiers"] = json!([{"condition": condition, "benefit": benefit}]);
                let activity: Activity = serde_json::from_value(body).unwrap();
                let found = activity.validate().map_err(|error| (error.code, error.field));
                let refused = ("not_meaningful", "tiers[0].benefit".to_owned());
                let expected = if *expected { Ok(()) } else { Err(refused) };
                assert_eq!(found, expected, "{condition} {benefit}");
            }
        }
    }

    #[test]
    fn tiers_ascend() {
        let amount = |amount: i64| json!({"amount_at_least": {"amount": amount}});
        let every = |amount: i64| json!({"for_every_amount": {"amount": amount}});
        let pieces = |quantity: u32| json!({"quantity_at_least": {"quantity": quantity}});
        let table = [
            (json!("none"), amount(1), true),
            (json!("none"), pieces(1), true),
            (json!("none"), json!("none"), false),
            (amount(1), json!("none"), false),
            (amount(100), amount(101), true),
            (amount(100), amount(100), false),
            (amount(INTEGER_MAX), amount(1), false),
            (amount(100), every(200), true),
            (amount(1), pieces(2), false),
            (pieces(2), pieces(3), true),
            (pieces(2), pieces(2), false),
            (pieces(2), amount(3), false),
        ];
        for (lower, upper, expected) in table {
            let tier = |condition| {
                let benefit = json!({"amount_off": {"amount": 1}});
                json!({"condition": condition, "benefit": benefit})
            };
            let mut body = body();
            body["tiers"] = json!([tier(lower.clone()), tier(upper.clone())]);
            let activity: Activity = serde_json::from_value(body).unwrap();
            let found = activity.validate().map_err(|error| (error.code, error.field));
            let refused = ("not_ascending", "tiers[1].condition".to_owned());
            let expected = if expected { Ok(()) } else { Err(refused) };
            assert_eq!(found, expected, "{lower} {upper}");
        }
    }
}

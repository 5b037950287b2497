//! Arguments -> what the function works with. Here is refused only what its types cannot hold; it is
//! named as over HTTP, where reading JSON refuses it.

use std::borrow::Cow;

use domain::error::InvalidInput;
use domain::integer::Count;
use domain::money::{Amount, Currency};
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::INTEGER_MAX;
use pricing::activity::{
    Activity, Benefit, Condition, Counted, Dimensions, Exclusive, Limits, Mode, Products, Scope,
    Selector, SkuList, Stacking, TIMES_MAX, Tier,
};
use pricing::cart::{Cart, Context, Line};

use super::wit;
use crate::purchase::Use;

type Read<T> = Result<T, InvalidInput>;

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> InvalidInput {
    InvalidInput::new("invalid_value", field, detail)
}

fn amount(cents: i64, field: impl FnOnce() -> String) -> Read<Amount> {
    Amount::new(cents).map_err(|_| wrong(field(), format!("must be within +-{INTEGER_MAX}")))
}

fn currency(text: &str) -> Read<Currency> {
    Currency::parse(text).ok_or_else(|| wrong("currency", "must be three capital letters"))
}

/// A moment that can be written down: definitions are kept with times as RFC 3339 has them.
fn time(ms: i64, field: &str) -> Read<UnixMillis> {
    let time = UnixMillis(ms);
    if UnixMillis::parse_rfc3339(&time.to_rfc3339()) == Some(time) {
        Ok(time)
    } else {
        Err(wrong(field, "must be within the years 0 to 9999"))
    }
}

/// The number of an order.
pub fn order_number(text: &str) -> Read<OrderNumber> {
    OrderNumber::parse(text, "order_number")
}

/// An activity as it is published. Whether it means something is not looked at.
pub fn activity(activity: wit::Activity) -> Read<Activity> {
    Ok(Activity {
        from: time(activity.from, "from")?,
        until: time(activity.until, "until")?,
        currency: currency(&activity.currency)?,
        dimensions: dimensions(activity.dimensions),
        scope: scope(activity.scope),
        tiers: activity.tiers.into_iter().enumerate().map(tier).collect::<Read<_>>()?,
        maximum_discount: match activity.maximum_discount {
            Some(cents) => Some(amount(cents, || "maximum_discount".into())?),
            None => None,
        },
        stacking: stacking(activity.stacking),
        limits: activity.limits.map(limits).transpose()?,
        id: activity.id,
        name: activity.name,
        labels: activity.labels,
        enabled: activity.enabled,
    })
}

fn dimensions(dimensions: wit::Dimensions) -> Dimensions {
    let wit::Products { include, sku_list, exclude } = dimensions.products;
    let sku_list = sku_list.map(|wit::SkuList { name, parts }| SkuList { name, parts });
    let selectors = |all: Vec<wit::Selector>| all.into_iter().map(selector).collect();
    Dimensions {
        platforms: dimensions.platforms.into(),
        channels: dimensions.channels.into(),
        regions: dimensions.regions.into(),
        segments: dimensions.segments.into(),
        new_users_only: dimensions.new_users_only,
        products: Products { include: selectors(include), sku_list, exclude: selectors(exclude) },
    }
}

fn selector(selector: wit::Selector) -> Selector {
    Selector {
        skus: selector.skus.into(),
        spus: selector.spus.into(),
        shops: selector.shops.into(),
        brands: selector.brands.into(),
        categories: selector.categories.into(),
    }
}

fn scope(scope: wit::Scope) -> Scope {
    match scope {
        wit::Scope::Sku => Scope::Sku,
        wit::Scope::Spu => Scope::Spu,
        wit::Scope::Shop => Scope::Shop,
        wit::Scope::Brand => Scope::Brand,
        wit::Scope::Category => Scope::Category,
        wit::Scope::Activity => Scope::Activity,
    }
}

fn tier((index, tier): (usize, wit::Tier)) -> Read<Tier> {
    let cents = |cents: i64, case: &str| amount(cents, || format!("tiers[{index}].{case}.amount"));
    let condition = match tier.condition {
        wit::Condition::None => Condition::None,
        wit::Condition::AmountAtLeast(amount) => {
            Condition::AmountAtLeast { amount: cents(amount, "condition.amount_at_least")? }
        }
        wit::Condition::QuantityAtLeast(quantity) => Condition::QuantityAtLeast { quantity },
        wit::Condition::ForEveryAmount(wit::ForEveryAmount { amount, times_max }) => {
            let amount = cents(amount, "condition.for_every_amount")?;
            Condition::ForEveryAmount { amount, times_max: times_max.unwrap_or(TIMES_MAX) }
        }
        wit::Condition::ForEveryQuantity(wit::ForEveryQuantity { quantity, times_max }) => {
            Condition::ForEveryQuantity { quantity, times_max: times_max.unwrap_or(TIMES_MAX) }
        }
    };
    let benefit = match tier.benefit {
        wit::Benefit::AmountOff(amount) => {
            Benefit::AmountOff { amount: cents(amount, "benefit.amount_off")? }
        }
        wit::Benefit::PercentOff(percent) => Benefit::PercentOff { percent },
        wit::Benefit::FixedPrice(amount) => {
            Benefit::FixedPrice { amount: cents(amount, "benefit.fixed_price")? }
        }
        wit::Benefit::NthItemAtPercent(wit::NthItem { nth, percent }) => {
            Benefit::NthItemAtPercent { nth, percent }
        }
        wit::Benefit::CheapestFree(count) => Benefit::CheapestFree { count },
        wit::Benefit::Gift(wit::Gift { sku, quantity }) => Benefit::Gift { sku, quantity },
        wit::Benefit::FreeShipping => Benefit::FreeShipping,
    };
    Ok(Tier { condition, benefit })
}

fn stacking(wit::Stacking { layer, priority, exclusive }: wit::Stacking) -> Stacking {
    let exclusive = exclusive.map(|wit::Exclusive { group, mode }| Exclusive {
        group,
        mode: match mode {
            wit::Mode::First => Mode::First,
            wit::Mode::Best => Mode::Best,
        },
    });
    Stacking { layer, priority, exclusive }
}

fn limits(wit::Limits { per_user, total, counted }: wit::Limits) -> Read<Limits> {
    let too_many = || wrong("limits.total", format!("must be 0 to {INTEGER_MAX}"));
    let total = total.map(|total| Count::new(total).ok_or_else(too_many)).transpose()?;
    let counted = match counted {
        wit::Counted::ByActivity => Counted::ByActivity,
        wit::Counted::ByUnit => Counted::ByUnit,
    };
    Ok(Limits { per_user, total, counted })
}

/// A cart. Whether it can be counted is not looked at.
pub fn cart(cart: wit::Cart) -> Read<Cart<'static>> {
    let wit::Context { platform, channel, region, segments, is_new, at } = cart.context;
    Ok(Cart {
        currency: currency(&cart.currency)?,
        context: Context {
            platform: platform.into(),
            channel: channel.into(),
            region: region.into(),
            segments: segments.into_iter().map(Cow::Owned).collect(),
            is_new,
            at: at.map(|at| time(at, "context.at")).transpose()?,
        },
        lines: cart.lines.into_iter().enumerate().map(line).collect::<Read<_>>()?,
    })
}

fn line((index, line): (usize, wit::Line)) -> Read<Line<'static>> {
    Ok(Line {
        line: line.line.into(),
        sku: line.sku.into(),
        spu: line.spu.into(),
        shop: line.shop.into(),
        brand: line.brand.into(),
        category: line.category.into(),
        quantity: line.quantity,
        unit_price: amount(line.unit_price, || format!("lines[{index}].unit_price"))?,
    })
}

/// Uses that an order asks for. Whether they are valid is not looked at.
pub fn uses(uses: Vec<wit::Use>) -> Vec<Use> {
    let one = |wit::Use { activity, key, uses }| Use { activity, key, uses };
    uses.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn selectors(name: &str) -> wit::Selector {
        let key = |kind: &str| vec![format!("{name}-{kind}")];
        wit::Selector {
            skus: key("sku"),
            spus: key("spu"),
            shops: key("shop"),
            brands: key("brand"),
            categories: key("category"),
        }
    }

    /// An activity in which no field is what it would be if it were left out.
    fn full() -> wit::Activity {
        wit::Activity {
            id: "spring".into(),
            name: "Spring".into(),
            labels: texts(&["100 off", "today"]),
            from: 1_771_286_400_000,
            until: 1_771_891_200_250,
            enabled: false,
            currency: "CNY".into(),
            dimensions: wit::Dimensions {
                platforms: texts(&["web", "app"]),
                channels: texts(&["feed"]),
                regions: texts(&["north"]),
                segments: texts(&["loyal"]),
                new_users_only: true,
                products: wit::Products {
                    include: vec![selectors("in"), selectors("too")],
                    sku_list: Some(wit::SkuList { name: "winter".into(), parts: 7 }),
                    exclude: vec![selectors("out")],
                },
            },
            scope: wit::Scope::Brand,
            tiers: vec![wit::Tier {
                condition: wit::Condition::AmountAtLeast(20_000),
                benefit: wit::Benefit::AmountOff(1_500),
            }],
            maximum_discount: Some(5_000),
            stacking: wit::Stacking {
                layer: 3,
                priority: 11,
                exclusive: Some(wit::Exclusive { group: "g".into(), mode: wit::Mode::Best }),
            },
            limits: Some(wit::Limits {
                per_user: Some(2),
                total: Some(9_007_199_254_740_991),
                counted: wit::Counted::ByUnit,
            }),
        }
    }

    fn of_json(name: &str) -> Value {
        let key = |kind: &str| json!([format!("{name}-{kind}")]);
        json!({"skus": key("sku"), "spus": key("spu"), "shops": key("shop"),
               "brands": key("brand"), "categories": key("category")})
    }

    fn over_http() -> Value {
        json!({
            "id": "spring", "name": "Spring", "labels": ["100 off", "today"], "enabled": false,
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00.25Z", "currency": "CNY",
            "dimensions": {
                "platforms": ["app", "web"], "channels": ["feed"], "regions": ["north"],
                "segments": ["loyal"], "new_users_only": true,
                "products": {"include": [of_json("in"), of_json("too")],
                             "sku_list": {"name": "winter", "parts": 7},
                             "exclude": [of_json("out")]}
            },
            "scope": "brand",
            "tiers": [{"condition": {"amount_at_least": {"amount": 20_000}},
                       "benefit": {"amount_off": {"amount": 1_500}}}],
            "maximum_discount": 5_000,
            "stacking": {"layer": 3, "priority": 11, "exclusive": {"group": "g", "mode": "best"}},
            "limits": {"per_user": 2, "total": "9007199254740991", "counted": "by_unit"}
        })
    }

    #[track_caller]
    fn check(typed: wit::Activity, json: &Value) {
        let expected: Activity = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(activity(typed), Ok(expected));
    }

    #[test]
    fn an_activity_is_the_same_as_over_http() {
        check(full(), &over_http());
    }

    #[test]
    fn what_is_left_out_is_the_same_as_over_http() {
        let nobody = wit::Dimensions {
            platforms: vec![],
            channels: vec![],
            regions: vec![],
            segments: vec![],
            new_users_only: false,
            products: wit::Products { include: vec![], sku_list: None, exclude: vec![] },
        };
        let typed = wit::Activity {
            labels: vec![],
            enabled: true,
            dimensions: nobody,
            tiers: vec![wit::Tier {
                condition: wit::Condition::None,
                benefit: wit::Benefit::FreeShipping,
            }],
            maximum_discount: None,
            stacking: wit::Stacking { layer: 0, priority: 0, exclusive: None },
            limits: None,
            ..full()
        };
        let mut json = over_http();
        for field in ["labels", "enabled", "dimensions", "maximum_discount", "stacking", "limits"] {
            json.as_object_mut().unwrap().remove(field);
        }
        json["tiers"] = json!([{"benefit": "free_shipping"}]);
        check(typed, &json);
    }

    #[test]
    fn every_case_is_the_same_as_over_http() {
        use wit::{Benefit as B, Condition as C};
        let scopes = [
            (wit::Scope::Sku, "sku"),
            (wit::Scope::Spu, "spu"),
            (wit::Scope::Shop, "shop"),
            (wit::Scope::Brand, "brand"),
            (wit::Scope::Category, "category"),
            (wit::Scope::Activity, "activity"),
        ];
        for (scope, name) in scopes {
            let mut json = over_http();
            json["scope"] = name.into();
            check(wit::Activity { scope, ..full() }, &json);
        }
        let amounts = |amount, times_max| wit::ForEveryAmount { amount, times_max };
        let pieces = |quantity, times_max| wit::ForEveryQuantity { quantity, times_max };
        let conditions = [
            (C::None, json!("none")),
            (C::AmountAtLeast(1), json!({"amount_at_least": {"amount": 1}})),
            (C::QuantityAtLeast(2), json!({"quantity_at_least": {"quantity": 2}})),
            (
                C::ForEveryAmount(amounts(3, Some(4))),
                json!({"for_every_amount": {"amount": 3, "times_max": 4}}),
            ),
            (C::ForEveryAmount(amounts(3, None)), json!({"for_every_amount": {"amount": 3}})),
            (
                C::ForEveryQuantity(pieces(5, Some(6))),
                json!({"for_every_quantity": {"quantity": 5, "times_max": 6}}),
            ),
            (C::ForEveryQuantity(pieces(5, None)), json!({"for_every_quantity": {"quantity": 5}})),
        ];
        let gift = wit::Gift { sku: "g".into(), quantity: 6 };
        let benefits = [
            (B::AmountOff(1), json!({"amount_off": {"amount": 1}})),
            (B::PercentOff(2), json!({"percent_off": {"percent": 2}})),
            (B::FixedPrice(3), json!({"fixed_price": {"amount": 3}})),
            (
                B::NthItemAtPercent(wit::NthItem { nth: 4, percent: 50 }),
                json!({"nth_item_at_percent": {"nth": 4, "percent": 50}}),
            ),
            (B::CheapestFree(5), json!({"cheapest_free": {"count": 5}})),
            (B::Gift(gift), json!({"gift": {"sku": "g", "quantity": 6}})),
            (B::FreeShipping, json!("free_shipping")),
        ];
        for (condition, condition_json) in &conditions {
            for (benefit, benefit_json) in &benefits {
                let tier = wit::Tier { condition: *condition, benefit: benefit.clone() };
                let mut json = over_http();
                json["tiers"][0] = json!({"condition": condition_json, "benefit": benefit_json});
                check(wit::Activity { tiers: vec![tier], ..full() }, &json);
            }
        }
        let mut typed = full();
        typed.limits =
            Some(wit::Limits { per_user: None, total: None, counted: wit::Counted::ByActivity });
        typed.stacking.exclusive =
            Some(wit::Exclusive { group: "g".into(), mode: wit::Mode::First });
        let mut json = over_http();
        json["limits"] = json!({});
        json["stacking"]["exclusive"] = json!({"group": "g"});
        check(typed, &json);
    }

    #[test]
    fn what_the_types_cannot_hold_is_named_as_over_http() {
        type Change = fn(&mut wit::Activity);
        const TOO_MUCH: i64 = INTEGER_MAX + 1;
        let tier = |condition, benefit| wit::Tier { condition, benefit };
        let cents = |condition| tier(condition, wit::Benefit::FreeShipping);
        let table: &[(Change, &str)] = &[
            (|one| one.currency = "cny".into(), "currency"),
            (|one| one.from = i64::MIN, "from"),
            (|one| one.until = 253_402_300_800_000, "until"),
            (|one| one.maximum_discount = Some(-TOO_MUCH), "maximum_discount"),
            (
                |one| {
                    let limits = one.limits.as_mut().unwrap();
                    limits.total = Some(9_007_199_254_740_992);
                },
                "limits.total",
            ),
        ];
        for (change, field) in table {
            let mut typed = full();
            change(&mut typed);
            let error = activity(typed).unwrap_err();
            assert_eq!((error.code, &*error.field), ("invalid_value", *field));
        }
        let every = wit::ForEveryAmount { amount: TOO_MUCH, times_max: None };
        let tiers = [
            (cents(wit::Condition::AmountAtLeast(TOO_MUCH)), "condition.amount_at_least"),
            (cents(wit::Condition::ForEveryAmount(every)), "condition.for_every_amount"),
            (tier(wit::Condition::None, wit::Benefit::AmountOff(TOO_MUCH)), "benefit.amount_off"),
            (tier(wit::Condition::None, wit::Benefit::FixedPrice(TOO_MUCH)), "benefit.fixed_price"),
        ];
        for (tier, case) in tiers {
            let mut typed = full();
            typed.tiers.push(tier);
            let error = activity(typed).unwrap_err();
            let expected = ("invalid_value", format!("tiers[1].{case}.amount"));
            assert_eq!((error.code, error.field), expected);
        }
    }

    fn typed_cart() -> wit::Cart {
        wit::Cart {
            currency: "CNY".into(),
            context: wit::Context {
                platform: "app".into(),
                channel: "feed".into(),
                region: "north".into(),
                segments: texts(&["loyal", "early"]),
                is_new: Some(true),
                at: Some(1_771_286_400_000),
            },
            lines: vec![wit::Line {
                line: "1".into(),
                sku: "a".into(),
                spu: "b".into(),
                shop: "c".into(),
                brand: "d".into(),
                category: "e".into(),
                quantity: 2,
                unit_price: 1_234,
            }],
        }
    }

    #[test]
    fn a_cart_is_the_same_as_over_http() {
        let text = r#"{"currency": "CNY",
            "context": {"platform": "app", "channel": "feed", "region": "north",
                        "segments": ["loyal", "early"], "is_new": true,
                        "at": "2026-02-17T00:00:00Z"},
            "lines": [{"line": "1", "sku": "a", "spu": "b", "shop": "c", "brand": "d",
                       "category": "e", "quantity": 2, "unit_price": "1234"}]}"#;
        let expected: Cart<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(cart(typed_cart()), Ok(expected));
        type Change = fn(&mut wit::Cart);
        let table: &[(Change, &str)] = &[
            (|cart| cart.currency = "yuan".into(), "currency"),
            (|cart| cart.context.at = Some(i64::MAX), "context.at"),
            (|cart| cart.lines[0].unit_price = i64::MIN, "lines[0].unit_price"),
        ];
        for (change, field) in table {
            let mut typed = typed_cart();
            change(&mut typed);
            let error = cart(typed).unwrap_err();
            assert_eq!((error.code, &*error.field), ("invalid_value", *field));
        }
    }

    #[test]
    fn uses_and_order_numbers_are_read_as_they_are() {
        let one = wit::Use { activity: "a".into(), key: Some("k".into()), uses: 3 };
        let expected = Use { activity: "a".into(), key: Some("k".into()), uses: 3 };
        assert_eq!(uses(vec![one]), [expected]);
        assert_eq!(order_number("A-1").unwrap().as_str(), "A-1");
        assert_eq!(order_number("").unwrap_err().field, "order_number");
    }
}

//! Worked examples: each expected number is derived beside it.

use pricing::activity::Activity;
use pricing::cart::Cart;
use pricing::decide::evaluate;
use serde_json::{Value, json};

use crate::{activity, cart, evaluated, simple};

/// Checks the discount of each line, `(line, cents)`, the sums, and each activity's code by layer,
/// priority and id.
#[track_caller]
fn check(
    activities: &[Activity],
    cart: &Cart<'_>,
    uses_left: u64,
    discounts: &[(&str, i64)],
    codes: &[(&str, &str)],
) -> Value {
    let evaluation = evaluate(activities, cart, |_, _| uses_left).unwrap();
    let found: Vec<(&str, i64)> =
        evaluation.lines.iter().map(|line| (line.line, line.discount.minor_units())).collect();
    assert_eq!(found, discounts);
    let sum: i64 = discounts.iter().map(|(_, discount)| discount).sum();
    let subtotal: i64 =
        cart.lines.iter().map(|l| l.unit_price.minor_units() * i64::from(l.quantity)).sum();
    assert_eq!(evaluation.subtotal.minor_units(), subtotal);
    assert_eq!(evaluation.discount.minor_units(), sum);
    assert_eq!(evaluation.total.minor_units(), subtotal - sum);
    let value = serde_json::to_value(&evaluation).unwrap();
    let explanations = value["explanations"].as_array().unwrap().iter();
    let found: Vec<(&str, &str)> = explanations
        .map(|one| (one["activity"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    assert_eq!(found, codes);
    value
}

/// The units that were given: activity, key, discount, uses.
fn units(value: &Value) -> Vec<(&str, &str, &str, u64)> {
    let units = value["units"].as_array().unwrap().iter();
    let text = |unit: &'_ Value, field: &str| unit[field].as_str().unwrap().to_owned().leak();
    units
        .map(|unit| {
            let uses = unit["uses"].as_u64().unwrap();
            (&*text(unit, "activity"), &*text(unit, "key"), &*text(unit, "discount"), uses)
        })
        .collect()
}

fn every_piece(times_max: u32) -> Value {
    json!({"for_every_quantity": {"quantity": 1, "times_max": times_max}})
}

#[test]
fn flash_price_by_sku() {
    // A mug at 19.90 instead of 29.90, two pieces a SKU at the most; a cap is not on sale.
    let only =
        json!({"dimensions": {"products": {"include": [{"skus": ["mug-red", "mug-blue"]}]}}});
    let flash =
        simple("flash", "sku", &every_piece(2), &json!({"fixed_price": {"amount": "1990"}}), &only);
    let cart = cart(&[
        "1 mug-red mug home 3 2990",
        "2 mug-blue mug home 1 2990",
        "3 cap cap wear 1 5000",
        "4 mug-red mug home 1 2990",
    ]);
    // mug-red is one unit of 3 + 1 pieces, of which 2 cost 10.00 less: those of line 1, the smaller
    // id. mug-blue: 10.00.
    let discounts = [("1", 2_000), ("2", 1_000), ("3", 0), ("4", 0)];
    let value = check(&[flash], &cart, u64::MAX, &discounts, &[("flash", "applied")]);
    assert_eq!(units(&value), [("flash", "mug-blue", "1000", 1), ("flash", "mug-red", "2000", 2)]);
    assert_eq!(value["units"][1]["lines"], json!(["1", "4"]));
    assert_eq!(value["units"][1]["discounts"], json!(["2000", "0"]));
}

#[test]
fn second_item_at_half_price_pairs_colours_of_one_spu() {
    let half = json!({"nth_item_at_percent": {"nth": 2, "percent": 50}});
    let second = simple("second", "spu", &json!("none"), &half, &json!({}));
    // Shirt: 99.00, 89.00, 89.00 by price; the second, 89.00 of line 2, at half: 44.50 off. The
    // third has no partner. A red and a blue one pair up; a hat alone does not.
    let cart =
        cart(&["1 red shirt wear 1 9900", "2 blue shirt wear 2 8900", "3 hat hat wear 1 3000"]);
    let discounts = [("1", 0), ("2", 4_450), ("3", 0)];
    let value = check(&[second], &cart, u64::MAX, &discounts, &[("second", "applied")]);
    assert_eq!(units(&value), [("second", "shirt", "4450", 1)]);
    assert_eq!(value["units"][0]["lines"], json!(["1", "2"]));
}

fn spend_and_save() -> Activity {
    simple(
        "spend-save",
        "activity",
        &json!({"amount_at_least": {"amount": "20000"}}),
        &json!({"amount_off": {"amount": "10000"}}),
        &json!({
            "dimensions": {"segments": ["bought-here"],
                           "products": {"include": [{"categories": ["shoes"]}]}},
            "limits": {"per_user": 1}
        }),
    )
}

#[test]
fn spend_200_save_100_on_a_category_for_customers_who_bought_here_once_a_user() {
    // Shoes: 120.00 + 2 * 65.00 = 250.00, above 200.00. 100.00 in proportion 120 : 130 is 48.00 and
    // 52.00; the sock is no shoe.
    let cart = cart(&["1 a s1 shoes 1 12000", "2 b s2 shoes 2 6500", "3 c s3 socks 1 900"]);
    let discounts = [("1", 4_800), ("2", 5_200), ("3", 0)];
    let value = check(&[spend_and_save()], &cart, 1, &discounts, &[("spend-save", "applied")]);
    assert_eq!(units(&value), [("spend-save", "spend-save", "10000", 1)]);
    assert_eq!(value["subtotal"], "25900");
    assert_eq!(value["total"], "15900");
}

#[test]
fn spend_and_save_is_for_its_segment_only() {
    let mut cart = cart(&["1 a s1 shoes 1 25000"]);
    cart.context.segments.clear();
    let codes = [("spend-save", "wrong_segment")];
    check(&[spend_and_save()], &cart, 1, &[("1", 0)], &codes);
}

#[test]
fn a_limit_that_is_used_up() {
    let cart = cart(&["1 a s1 shoes 1 12000", "2 b s2 shoes 2 6500"]);
    let codes = [("spend-save", "limit_used_up")];
    check(&[spend_and_save()], &cart, 0, &[("1", 0), ("2", 0)], &codes);
}

#[test]
fn a_limit_caps_the_uses_of_all_units_together_or_of_each() {
    let cart = cart(&["1 a s wear 3 1000", "2 b s wear 3 2000"]);
    let flash = |counted: &str| {
        let limits = json!({"limits": {"per_user": 4, "counted": counted}});
        let half = json!({"percent_off": {"percent": 50}});
        [simple("flash", "sku", &every_piece(100), &half, &limits)]
    };
    // Together four pieces: three of a, 15.00 off, and one of b, 10.00 off.
    let codes = [("flash", "applied")];
    check(&flash("by_activity"), &cart, 4, &[("1", 1_500), ("2", 1_000)], &codes);
    // Two pieces of each.
    let value = check(&flash("by_unit"), &cart, 2, &[("1", 1_000), ("2", 2_000)], &codes);
    assert_eq!(units(&value), [("flash", "a", "1000", 2), ("flash", "b", "2000", 2)]);
}

#[test]
fn tiered_spend() {
    let tier = |from: u32, percent: u32| {
        json!({"condition": {"amount_at_least": {"amount": from}},
               "benefit": {"percent_off": {"percent": percent}}})
    };
    let tiers = json!([tier(10_000, 5), tier(20_000, 10), tier(50_000, 20)]);
    let tiered = [activity("tiered", "activity", &tiers, &json!({}))];
    // 100.00 is the first tier, 5.00 off; 99.99 none; 200.00 the second, 20.00; 499.99 the second,
    // 49.999, rounded to 50.00; 500.00 the third, 100.00.
    for (amount, discount) in
        [(9_999, 0), (10_000, 500), (20_000, 2_000), (49_999, 5_000), (50_000, 10_000)]
    {
        let cart = cart(&[&format!("1 a s wear 1 {amount}")]);
        let code = if discount == 0 { "amount_too_low" } else { "applied" };
        let value = check(&tiered, &cart, 0, &[("1", discount)], &[("tiered", code)]);
        let shortfall = &value["explanations"][0]["shortfall"];
        // What is missing for the first tier.
        let expected = if discount == 0 { json!({"amount": "1"}) } else { Value::Null };
        assert_eq!(*shortfall, expected);
    }
}

#[test]
fn every_third_free() {
    let third = json!({"nth_item_at_percent": {"nth": 3, "percent": 0}});
    let free = [simple("third", "activity", &json!("none"), &third, &json!({}))];
    // By price: 9, 9, 8, 8, 5, 5, 5, 2. The third is one of 8.00, the sixth one of 5.00.
    let lines = ["1 a s wear 2 900", "2 b s wear 2 800", "3 c s wear 3 500", "4 d s wear 1 200"];
    let discounts = [("1", 0), ("2", 800), ("3", 500), ("4", 0)];
    check(&free, &cart(&lines), 0, &discounts, &[("third", "applied")]);
    // With two pieces there is no third: one more is needed.
    let value = check(&free, &cart(&lines[..1]), 0, &[("1", 0)], &[("third", "quantity_too_low")]);
    assert_eq!(value["explanations"][0]["shortfall"], json!({"quantity": "1"}));
}

#[test]
fn cheapest_of_three_free() {
    let every_three = json!({"for_every_quantity": {"quantity": 3, "times_max": 2}});
    let one_free = json!({"cheapest_free": {"count": 1}});
    let cheapest = [simple("cheapest", "activity", &every_three, &one_free, &json!({}))];
    // Eight pieces are two times three; the two cheapest of all are 2.00 and one of 5.00.
    let lines = ["1 a s wear 2 900", "2 b s wear 2 800", "3 c s wear 3 500", "4 d s wear 1 200"];
    let discounts = [("1", 0), ("2", 0), ("3", 500), ("4", 200)];
    let value = check(&cheapest, &cart(&lines), 0, &discounts, &[("cheapest", "applied")]);
    assert_eq!(units(&value), [("cheapest", "cheapest", "700", 2)]);
    // Nine pieces of 1.00 would be three times, but two count: 2.00 off.
    let cart = cart(&["1 a s wear 9 100"]);
    check(&cheapest, &cart, 0, &[("1", 200)], &[("cheapest", "applied")]);
}

#[test]
fn gift() {
    let every_hundred = json!({"for_every_amount": {"amount": 10_000, "times_max": 5}});
    let bag = json!({"gift": {"sku": "bag", "quantity": 2}});
    let gift = [simple("gift", "shop", &every_hundred, &bag, &json!({}))];
    // Shop of wear: 250.00, twice 100.00, so two times two bags. Shop of home: 99.00, none.
    let cart = cart(&["1 a s wear 1 25000", "2 b t home 1 9900"]);
    let value = check(&gift, &cart, 0, &[("1", 0), ("2", 0)], &[("gift", "applied")]);
    assert_eq!(units(&value), [("gift", "shop-wear", "0", 2)]);
    assert_eq!(value["units"][0]["gifts"], json!([{"sku": "bag", "quantity": 4}]));
}

#[test]
fn free_shipping() {
    let least = json!({"amount_at_least": {"amount": 9_900}});
    let shipping = [simple("post", "activity", &least, &json!("free_shipping"), &json!({}))];
    for (amount, code, free) in [(9_900, "applied", true), (9_899, "amount_too_low", false)] {
        let cart = cart(&[&format!("1 a s wear 1 {amount}")]);
        let value = check(&shipping, &cart, 0, &[("1", 0)], &[("post", code)]);
        assert_eq!(value["free_shipping"], free);
    }
}

/// Sale of 10 percent by SKU (layer 0), 30.00 off from 150.00 (1), and 5 percent for members (2).
fn three_layers() -> [Activity; 3] {
    let percent = |percent: u32| json!({"percent_off": {"percent": percent}});
    let layer = |layer: u32| json!({"stacking": {"layer": layer}});
    let least = json!({"amount_at_least": {"amount": 15_000}});
    let off = json!({"amount_off": {"amount": 3_000}});
    [
        simple("sale", "sku", &json!("none"), &percent(10), &layer(0)),
        simple("off", "activity", &least, &off, &layer(1)),
        simple("members", "activity", &json!("none"), &percent(5), &layer(2)),
    ]
}

#[test]
fn three_layers_stacked() {
    // 100.00 and 2 * 45.00 = 190.00.
    // Layer 0: 10.00 and 9.00 off, leaves 90.00 and 81.00, together 171.00.
    // Layer 1: 171.00 is above 150.00: 30.00 in proportion 90 : 81 is 15.789 and 14.211; rounded down
    //   15.78 and 14.21, and the cent that is left goes to 0.9 rather than 0.1: 15.79 and 14.21;
    //   leaves 74.21 and 66.79, together 141.00.
    // Layer 2: 5 percent of 141.00 is 7.05; in proportion 3.7105 and 3.3395: 3.71 and 3.33, the cent
    //   that is left goes to 0.95 rather than 0.05: 3.34.
    // Together 10.00 + 15.79 + 3.71 = 29.50 and 9.00 + 14.21 + 3.34 = 26.55.
    let cart = cart(&["1 a s wear 1 10000", "2 b s wear 2 4500"]);
    let codes = [("sale", "applied"), ("off", "applied"), ("members", "applied")];
    let discounts = [("1", 2_950), ("2", 2_655)];
    let value = check(&three_layers(), &cart, 0, &discounts, &codes);
    let expected = [
        ("sale", "a", "1000", 1),
        ("sale", "b", "900", 1),
        ("off", "off", "3000", 1),
        ("members", "members", "705", 1),
    ];
    assert_eq!(units(&value), expected);
}

#[test]
fn a_later_layer_counts_what_the_earlier_ones_leave() {
    // 160.00 less 10 percent is 144.00: 6.00 short of 150.00. Then 5 percent of 144.00 is 7.20.
    let cart = cart(&["1 a s wear 1 16000"]);
    let codes = [("sale", "applied"), ("off", "amount_too_low"), ("members", "applied")];
    let value = check(&three_layers(), &cart, 0, &[("1", 1_600 + 720)], &codes);
    assert_eq!(value["explanations"][1]["shortfall"], json!({"amount": "600"}));
}

fn exclusive_pair(mode: &str) -> [Activity; 2] {
    let stacking = |priority: u32| json!({"stacking": {"priority": priority, "exclusive": {"group": "g", "mode": mode}}});
    let off = json!({"amount_off": {"amount": 2_000}});
    let percent = json!({"percent_off": {"percent": 30}});
    [
        simple("off", "activity", &json!("none"), &off, &stacking(1)),
        simple("percent", "activity", &json!("none"), &percent, &stacking(2)),
    ]
}

#[test]
fn of_two_exclusive_ones_the_best_wins() {
    // Of 100.00, 30 percent are 30.00, more than 20.00; of 50.00 they are 15.00, less.
    let codes = [("off", "excluded_by_group"), ("percent", "applied")];
    check(&exclusive_pair("best"), &cart(&["1 a s wear 1 10000"]), 0, &[("1", 3_000)], &codes);
    let codes = [("off", "applied"), ("percent", "excluded_by_group")];
    check(&exclusive_pair("best"), &cart(&["1 a s wear 1 5000"]), 0, &[("1", 2_000)], &codes);
}

#[test]
fn of_two_exclusive_ones_the_first_wins() {
    let codes = [("off", "applied"), ("percent", "excluded_by_group")];
    check(&exclusive_pair("first"), &cart(&["1 a s wear 1 10000"]), 0, &[("1", 2_000)], &codes);
}

#[test]
fn activities_of_one_layer_compute_on_the_same_amounts_and_take_no_line_below_zero() {
    let off = |id: &str, cents: u32, priority: u32| {
        let benefit = json!({"amount_off": {"amount": cents}});
        simple(id, "sku", &json!("none"), &benefit, &json!({"stacking": {"priority": priority}}))
    };
    let percent = json!({"percent_off": {"percent": 40}});
    let percent = simple("z", "sku", &json!("none"), &percent, &json!({}));
    // Of 10.00: z takes 40 percent, 4.00; a takes 5.00; b would take 3.00, 1.00 is left; c nothing.
    let codes =
        [("z", "applied"), ("a", "applied"), ("b", "applied"), ("c", "nothing_left_to_discount")];
    let activities = [off("b", 300, 2), off("c", 1, 3), off("a", 500, 1), percent];
    let value = check(&activities, &cart(&["1 a s wear 1 1000"]), 0, &[("1", 1_000)], &codes);
    let expected = [("z", "a", "400", 1), ("a", "a", "500", 1), ("b", "a", "100", 1)];
    assert_eq!(units(&value), expected);
}

#[test]
fn a_maximum_discount() {
    let percent = json!({"percent_off": {"percent": 20}});
    let maximum = json!({"maximum_discount": "3000"});
    let capped = [simple("capped", "category", &json!("none"), &percent, &maximum)];
    // 20 percent of 100.00 and of 200.00 are 20.00 and 40.00, together 60.00, capped to 30.00: in
    // proportion 10.00 and 20.00. The unit of home has two lines of 150.00 and 50.00: 15.00 and 5.00.
    let lines = ["1 a s wear 1 10000", "2 b t home 1 15000", "3 c t home 1 5000"];
    let discounts = [("1", 1_000), ("2", 1_500), ("3", 500)];
    let value = check(&capped, &cart(&lines), 0, &discounts, &[("capped", "applied")]);
    assert_eq!(units(&value), [("capped", "home", "2000", 1), ("capped", "wear", "1000", 1)]);
}

#[test]
fn an_answer_is_valid_until_the_next_activity_starts_or_ends() {
    let percent = json!({"percent_off": {"percent": 10}});
    let make = |id: &str, more: &Value| simple(id, "sku", &json!("none"), &percent, more);
    // It is 12:00. One runs until the 24th; one starts at 12:45; one that is off would at 12:30.
    let soon = make("soon", &json!({"from": "2026-02-18T12:45:00Z"}));
    let off = make("off", &json!({"from": "2026-02-18T12:30:00Z", "enabled": false}));
    let activities = [make("now", &json!({})), soon, off];
    let mut cart = cart(&["1 a s wear 1 1000"]);
    let codes = [("now", "applied"), ("off", "disabled"), ("soon", "not_started")];
    let value = check(&activities, &cart, 0, &[("1", 100)], &codes);
    assert_eq!(value["valid_until"], "2026-02-18T12:45:00Z");
    // At that moment it is given: 10 percent of the same 10.00 again, one layer.
    let at = "\"2026-02-18T12:45:00Z\"";
    cart.context.at = Some(serde_json::from_str(at).unwrap());
    let codes = [("now", "applied"), ("off", "disabled"), ("soon", "applied")];
    let value = check(&activities, &cart, 0, &[("1", 200)], &codes);
    assert_eq!(value["valid_until"], "2026-02-24T00:00:00Z");
    // After the last end nothing is known to change.
    let at = "\"2026-02-24T00:00:00Z\"";
    cart.context.at = Some(serde_json::from_str(at).unwrap());
    assert_eq!(evaluated(&activities, &cart)["valid_until"], Value::Null);
}

#[test]
fn selectors_include_and_exclude() {
    let products = json!({
        "include": [{"brands": ["brand-wear", "brand-home"], "categories": ["wear", "toys"]},
                    {"spus": ["lamp"]}],
        "exclude": [{"skus": ["b"]}, {"shops": ["shop-void"]}]
    });
    let percent = json!({"percent_off": {"percent": 10}});
    let dimensions = json!({"dimensions": {"products": products}});
    let some = [simple("some", "activity", &json!("none"), &percent, &dimensions)];
    // 1: brand and category. 2: excluded by SKU. 3: the brand alone is not enough. 4: by SPU.
    // 5: by SPU, too, but of an excluded shop. 6: neither.
    let cart = cart(&[
        "1 a s wear 1 1000",
        "2 b s wear 1 1000",
        "3 c t home 1 1000",
        "4 d lamp home 1 1000",
        "5 e lamp void 1 1000",
        "6 f u toys 1 1000",
    ]);
    let discounts = [("1", 100), ("2", 0), ("3", 0), ("4", 100), ("5", 0), ("6", 0)];
    check(&some, &cart, 0, &discounts, &[("some", "applied")]);
}

#[test]
fn a_line_without_a_key_is_in_no_unit_of_that_scope_and_in_no_list() {
    let mut cart = cart(&["1 a s wear 1 1000", "2 b s wear 1 1000"]);
    cart.lines[1].brand = "".into();
    let percent = json!({"percent_off": {"percent": 10}});
    let by_brand = simple("brand", "brand", &json!("none"), &percent, &json!({}));
    check(&[by_brand], &cart, 0, &[("1", 100), ("2", 0)], &[("brand", "applied")]);
    let listed = json!({"dimensions": {"products": {"exclude": [{"brands": ["brand-wear"]}]}}});
    let not_wear = simple("not-wear", "activity", &json!("none"), &percent, &listed);
    check(&[not_wear], &cart, 0, &[("1", 0), ("2", 100)], &[("not-wear", "applied")]);
}

#[test]
fn an_empty_cart_costs_nothing() {
    let [sale, off, members] = three_layers();
    let codes = ["sale", "off", "members"].map(|id| (id, "no_line_selected"));
    check(&[sale, off, members], &cart(&[]), 0, &[], &codes);
}

//! Every code that explains is reached, with what is missing where something is.

use std::collections::BTreeSet;

use domain::money::Currency;
use pricing::activity::Activity;
use pricing::cart::Cart;
use pricing::decide::{ACTIVITIES_MAX, evaluate};
use pricing::explain::Code;
use serde_json::{Value, json};

use crate::{cart, simple};

/// Each code once. The match makes a new one fail to compile here, until the list has it.
const CODES: [Code; 17] = [
    Code::Disabled,
    Code::NotStarted,
    Code::Ended,
    Code::WrongCurrency,
    Code::WrongPlatform,
    Code::WrongChannel,
    Code::WrongRegion,
    Code::WrongSegment,
    Code::UserUnknown,
    Code::NotANewUser,
    Code::NoLineSelected,
    Code::AmountTooLow,
    Code::QuantityTooLow,
    Code::LimitUsedUp,
    Code::NothingLeftToDiscount,
    Code::ExcludedByGroup,
    Code::Applied,
];

fn name(code: Code) -> &'static str {
    match code {
        Code::Disabled => "disabled",
        Code::NotStarted => "not_started",
        Code::Ended => "ended",
        Code::WrongCurrency => "wrong_currency",
        Code::WrongPlatform => "wrong_platform",
        Code::WrongChannel => "wrong_channel",
        Code::WrongRegion => "wrong_region",
        Code::WrongSegment => "wrong_segment",
        Code::UserUnknown => "user_unknown",
        Code::NotANewUser => "not_a_new_user",
        Code::NoLineSelected => "no_line_selected",
        Code::AmountTooLow => "amount_too_low",
        Code::QuantityTooLow => "quantity_too_low",
        Code::LimitUsedUp => "limit_used_up",
        Code::NothingLeftToDiscount => "nothing_left_to_discount",
        Code::ExcludedByGroup => "excluded_by_group",
        Code::Applied => "applied",
    }
}

/// 1.00 off each SKU from 8.00 on, but for what `more` says otherwise.
fn off(more: &Value) -> Activity {
    let least = json!({"amount_at_least": {"amount": 800}});
    simple("off", "sku", &least, &json!({"amount_off": {"amount": 100}}), more)
}

fn with(condition: &Value, benefit: &Value) -> Activity {
    off(&json!({"tiers": [{"condition": condition, "benefit": benefit}]}))
}

#[test]
fn each_code_is_reached_and_is_of_the_first_step_that_fails() {
    type Change = fn(&mut Cart<'_>);
    let same: Change = |_| ();
    let new_only = json!({"dimensions": {"new_users_only": true}});
    let dimension = |name: &str| off(&json!({"dimensions": {name: ["x"]}}));
    let products = json!({"dimensions": {"products": {"include": [{"skus": ["x"]}]}}});
    let percent = json!({"percent_off": {"percent": 50}});
    let nth = json!({"nth_item_at_percent": {"nth": 4, "percent": 50}});
    let pieces = json!({"quantity_at_least": {"quantity": 5}});
    let most = json!({"amount_at_least": {"amount": 5_000}});
    let everything_wrong = json!({
        "enabled": false, "until": "2026-02-17T01:00:00Z", "currency": "USD",
        "dimensions": {"platforms": ["x"], "channels": ["x"], "regions": ["x"], "segments": ["x"],
                       "new_users_only": true, "products": {"include": [{"skus": ["x"]}]}}
    });
    // The cart: 9.00 of SKU a in 3 pieces, 7.50 of SKU b in one.
    let table: &[(Change, Activity, &str, Option<Value>)] = &[
        (same, off(&everything_wrong), "disabled", None),
        (same, off(&json!({"from": "2026-02-18T12:00:00.001Z"})), "not_started", None),
        (same, off(&json!({"until": "2026-02-18T12:00:00Z"})), "ended", None),
        (
            |cart| cart.currency = Currency::parse("USD").unwrap(),
            off(&json!({})),
            "wrong_currency",
            None,
        ),
        (same, dimension("platforms"), "wrong_platform", None),
        (|cart| cart.context.platform = "".into(), dimension("platforms"), "wrong_platform", None),
        (|cart| cart.context.platform = "x".into(), dimension("platforms"), "applied", None),
        (same, dimension("channels"), "wrong_channel", None),
        (|cart| cart.context.channel = "x".into(), dimension("channels"), "applied", None),
        (same, dimension("regions"), "wrong_region", None),
        (|cart| cart.context.region = "x".into(), dimension("regions"), "applied", None),
        (same, dimension("segments"), "wrong_segment", None),
        (|cart| cart.context.segments.push("x".into()), dimension("segments"), "applied", None),
        (same, off(&new_only), "not_a_new_user", None),
        (|cart| cart.context.is_new = None, off(&new_only), "user_unknown", None),
        (|cart| cart.context.is_new = Some(true), off(&new_only), "applied", None),
        (same, off(&products), "no_line_selected", None),
        (
            |cart| cart.lines.iter_mut().for_each(|line| line.brand = "".into()),
            off(&json!({"scope": "brand"})),
            "no_line_selected",
            None,
        ),
        // The nearer one of the two is short of 50.00 by 41.00.
        (same, with(&most, &percent), "amount_too_low", Some(json!({"amount": "4100"}))),
        (same, with(&pieces, &percent), "quantity_too_low", Some(json!({"quantity": "2"}))),
        (same, with(&json!("none"), &nth), "quantity_too_low", Some(json!({"quantity": "1"}))),
        // a has used it up; b is 0.50 short of 8.00, but a came further.
        (same, off(&json!({"limits": {"total": "5"}})), "limit_used_up", None),
        (
            |cart| cart.lines.iter_mut().for_each(|line| line.unit_price = Default::default()),
            with(&json!("none"), &percent),
            "nothing_left_to_discount",
            None,
        ),
        // No piece costs more than 7.50.
        (
            same,
            with(&json!("none"), &json!({"fixed_price": {"amount": 750}})),
            "nothing_left_to_discount",
            None,
        ),
        (same, off(&json!({})), "applied", None),
        (same, with(&json!("none"), &json!("free_shipping")), "applied", None),
    ];
    let mut reached = BTreeSet::new();
    for (change, activity, code, shortfall) in table {
        let mut cart = cart(&["1 a s wear 3 300", "2 b s wear 1 750"]);
        change(&mut cart);
        let activities = std::slice::from_ref(activity);
        let evaluation = evaluate(activities, &cart, |_, _| 0).unwrap();
        let found = &serde_json::to_value(&evaluation).unwrap()["explanations"][0];
        let mut expected = json!({"activity": "off", "applied": *code == "applied", "code": code});
        if let Some(shortfall) = shortfall {
            expected["shortfall"] = shortfall.clone();
        }
        assert_eq!(*found, expected);
        reached.insert(evaluation.explanations[0].code);
    }
    // The last needs two activities; it is in the examples with the mode `best`, too.
    let group = json!({"stacking": {"exclusive": {"group": "g"}}});
    let pair = [off(&group), Activity { id: "other".into(), ..off(&group) }];
    let cart = cart(&["1 a s wear 3 300"]);
    let evaluation = evaluate(&pair, &cart, |_, _| 0).unwrap();
    let found: Vec<Code> = evaluation.explanations.iter().map(|one| one.code).collect();
    assert_eq!(found, [Code::Applied, Code::ExcludedByGroup]);
    reached.extend(found);
    assert_eq!(reached, BTreeSet::from(CODES));
}

#[test]
fn codes_are_written_as_they_are_documented() {
    for code in CODES {
        assert_eq!(serde_json::to_value(code).unwrap(), name(code));
    }
}

#[test]
fn a_member_of_a_group_that_fails_by_itself_says_so() {
    // The first of the group is given; the second is short of 50.00 by 41.00, whoever was given.
    let group = json!({"stacking": {"exclusive": {"group": "g"}}});
    let most = json!({"amount_at_least": {"amount": 5_000}});
    let benefit = json!({"amount_off": {"amount": 100}});
    let pair = [off(&group), simple("other", "sku", &most, &benefit, &group)];
    let cart = cart(&["1 a s wear 3 300"]);
    let evaluation = evaluate(&pair, &cart, |_, _| 0).unwrap();
    let found: Vec<Code> = evaluation.explanations.iter().map(|one| one.code).collect();
    assert_eq!(found, [Code::Applied, Code::AmountTooLow]);
}

#[test]
fn what_is_twice_there_or_too_much_is_refused() {
    let refusal = |activities: &[Activity], cart: &Cart<'_>| {
        let error = evaluate(activities, cart, |_, _| 0).unwrap_err();
        (error.code, error.field)
    };
    let one = off(&json!({}));
    let other = Activity { id: "other".into(), ..one.clone() };
    let lines = ["2 a s wear 1 1", "1 a s wear 1 1", "2 b s wear 1 1"];
    assert_eq!(refusal(&[], &cart(&lines)), ("duplicate_line", "lines[2].line".into()));
    let activities = [one.clone(), other, one.clone()];
    assert_eq!(
        refusal(&activities, &cart(&lines[..2])),
        ("duplicate_activity", "activities[2].id".into())
    );
    let many = vec![one; ACTIVITIES_MAX + 1];
    assert_eq!(refusal(&many, &cart(&[])), ("too_many", "activities".into()));
}

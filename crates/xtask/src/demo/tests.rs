//! Every invoice of `online-retail.csv` under the activities of `promotions.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use domain::money::Amount;
use pricing::activity::Activity;
use pricing::cart::{Cart, LINES_MAX};
use pricing::evaluation::Evaluation;

use super::carts::{InvoiceCart, read_carts};
use super::year::{Priced, Sums, most_interesting, price_year};
use crate::evaluate::files::{parse_cart, read_activities};
use crate::evaluate::table::code_name;
use crate::workspace;

fn data() -> (Vec<Activity>, Vec<InvoiceCart>) {
    let data = workspace::root().join("data");
    let activities = read_activities(&data.join("promotions.json")).expect("activities");
    (activities, read_carts(&data.join("online-retail.csv")).expect("carts"))
}

fn sum<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> i64 {
    amounts.into_iter().map(|amount| amount.minor_units()).sum()
}

/// Whatever adds up must do so.
#[track_caller]
fn check_sums(cart: &Cart<'_>, evaluation: &Evaluation<'_>, at: &str) {
    let Evaluation { lines, units, subtotal, discount, total, .. } = evaluation;
    let [subtotal, discount, total] = [subtotal, discount, total].map(|one| one.minor_units());
    assert_eq!(lines.len(), cart.lines.len(), "{at}");
    let prices: BTreeMap<&str, i64> =
        cart.lines.iter().map(|line| (&*line.line, line.subtotal())).collect();
    let mut off: BTreeMap<&str, i64> = BTreeMap::new();
    for unit in units {
        assert_eq!(unit.lines.len(), unit.discounts.len(), "{at}");
        assert_eq!(sum(&unit.discounts), unit.discount.minor_units(), "{at}, {}", unit.key);
        assert!(unit.uses > 0, "{at}, {}", unit.key);
        for (line, discount) in unit.lines.iter().zip(&unit.discounts) {
            assert!(discount.minor_units() >= 0, "{at}, line {line}");
            *off.entry(line).or_default() += discount.minor_units();
        }
    }
    for line in lines {
        let [subtotal, discount, total] =
            [line.subtotal, line.discount, line.total].map(Amount::minor_units);
        assert_eq!(Some(&subtotal), prices.get(line.line), "{at}, line {}", line.line);
        assert_eq!(discount, off.get(line.line).copied().unwrap_or(0), "{at}, line {}", line.line);
        assert_eq!(subtotal - discount, total, "{at}, line {}", line.line);
        assert!((0..=subtotal).contains(&total), "{at}, line {}", line.line);
    }
    assert_eq!(prices.values().sum::<i64>(), subtotal, "{at}");
    assert_eq!(lines.iter().map(|line| line.discount.minor_units()).sum::<i64>(), discount, "{at}");
    assert_eq!(units.iter().map(|unit| unit.discount.minor_units()).sum::<i64>(), discount, "{at}");
    assert_eq!(subtotal - total, discount, "{at}");
    assert!((0..=subtotal).contains(&discount), "{at}");
}

/// Whether two articles of one product are counted together as second items.
fn pairs_variants(one: &Priced<'_>) -> bool {
    let sku =
        |id: &str| one.of.cart.lines.iter().find(|line| line.line == id).map(|line| &line.sku);
    let mut pairs = one.evaluation.units.iter().filter(|unit| unit.activity == "second-half");
    pairs.any(|unit| unit.lines.iter().any(|line| sku(line) != sku(unit.lines[0])))
}

#[test]
fn every_invoice_adds_up_and_every_activity_and_code_is_met() {
    let (activities, carts) = data();
    let start = Instant::now();
    let priced = price_year(&activities, &carts).expect("evaluations");
    let elapsed = start.elapsed();
    let ids: BTreeSet<&str> = activities.iter().map(|activity| activity.id.as_str()).collect();
    let mut applied: BTreeMap<&str, usize> = BTreeMap::new();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    for Priced { of, evaluation } in &priced {
        let at = format!("invoice {}, cart {}", of.invoice, of.part);
        check_sums(&of.cart, evaluation, &at);
        let considered: Vec<&str> = evaluation.explanations.iter().map(|e| e.activity).collect();
        assert_eq!(considered.len(), ids.len(), "{at}");
        assert_eq!(considered.into_iter().collect::<BTreeSet<_>>(), ids, "{at}");
        let given: BTreeSet<&str> = evaluation.units.iter().map(|unit| unit.activity).collect();
        for explanation in &evaluation.explanations {
            assert_eq!(explanation.applied, given.contains(explanation.activity), "{at}");
            *codes.entry(code_name(explanation.code)).or_default() += 1;
            *applied.entry(explanation.activity).or_default() += usize::from(explanation.applied);
        }
    }
    // For whoever runs it with --nocapture.
    println!("{}, in {} ms\n{applied:#?}\n{codes:#?}", Sums::of(&priced), elapsed.as_millis());
    assert!(priced.iter().any(pairs_variants), "no red one and blue one pair up");
    let unused: Vec<_> = applied.iter().filter(|(_, carts)| **carts == 0).collect();
    assert!(unused.is_empty(), "given to nobody: {unused:?}");
    let met: Vec<&str> = codes.keys().map(String::as_str).collect();
    // All codes but the four that need an activity or a cart unlike those of the files.
    let expected = [
        "amount_too_low",
        "applied",
        "ended",
        "excluded_by_group",
        "limit_used_up",
        "no_line_selected",
        "not_a_new_user",
        "not_started",
        "nothing_left_to_discount",
        "quantity_too_low",
        "user_unknown",
        "wrong_region",
        "wrong_segment",
    ];
    assert_eq!(met, expected);
}

/// The counts that `data/README.md` gives.
#[test]
fn the_year_is_what_the_readme_says() {
    let (activities, carts) = data();
    assert_eq!(activities.len(), 22);
    assert!(carts.iter().all(|one| one.cart.lines.len() <= LINES_MAX));
    let new = carts.iter().filter(|one| one.part == 1 && one.cart.context.is_new == Some(true));
    // As many as the replay has: the truth about new users is one.
    assert_eq!(new.count(), 852);
    let priced = price_year(&activities, &carts).expect("evaluations");
    let expected = Sums {
        invoices: 1_431,
        carts: 1_432,
        lines: 4_113,
        discounted: 1_210,
        subtotal: 36_321_233,
        discount: 1_390_605,
    };
    assert_eq!(Sums::of(&priced), expected);
}

#[test]
fn the_example_is_the_cart_of_its_invoice() {
    let path = workspace::root().join("data/cart.json");
    let text = std::fs::read_to_string(path).expect("the example");
    let (_, carts) = data();
    let invoice = carts.iter().find(|one| one.invoice == "536627").expect("the invoice");
    assert_eq!(parse_cart(&text).expect("a cart"), invoice.cart);
}

#[test]
fn the_most_interesting_carts_show_every_activity() {
    let (activities, carts) = data();
    let priced = price_year(&activities, &carts).expect("evaluations");
    let chosen = most_interesting(&priced, 10);
    let customers: BTreeSet<_> = chosen.iter().map(|one| one.of.customer).collect();
    assert_eq!((chosen.len(), customers.len()), (10, 10));
    assert!(chosen.iter().all(|one| one.of.cart.lines.len() <= 12));
    // The first has most of all that can be read.
    let readable = priced.iter().filter(|one| one.of.cart.lines.len() <= 12);
    let most = readable.map(|one| one.applied().len()).max();
    assert_eq!(Some(chosen[0].applied().len()), most);
    // Each further one shows no more that is new than the one before it did.
    let mut shown = BTreeSet::new();
    let news: Vec<usize> = chosen
        .iter()
        .map(|one| {
            let applied = one.applied();
            let news = applied.difference(&shown).count();
            shown.extend(applied);
            news
        })
        .collect();
    assert!(news.is_sorted_by(|one, next| one >= next), "{news:?}");
    assert_eq!(shown.len(), activities.len());
    let text = chosen[0].explain(&activities);
    let head = format!("== invoice {} of customer ", chosen[0].of.invoice);
    assert!(text.starts_with(&head) && text.contains("\nconsidered "), "{text}");
}

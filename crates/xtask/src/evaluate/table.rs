//! An evaluation as a person reads it: aligned columns, money in major units.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::CellAlignment::{Left, Right};
use comfy_table::{CellAlignment, presets};
use domain::integer::Count;
use domain::money::{Amount, Currency};
use pricing::activity::{Activity, Keys, Scope};
use pricing::cart::Cart;
use pricing::evaluation::{Evaluation, UnitGiven};
use pricing::explain::{Code, Explanation, Shortfall};

/// Characters of a list in one cell, from which on it goes on in the next line.
const LIST_WIDTH: usize = 40;

/// Keys of a list that an explanation names.
const KEYS_SHOWN: usize = 4;

/// A cart, what it costs and why. Displayed, it ends with a line break.
pub struct Table<'a> {
    /// Those that were considered.
    pub activities: &'a [Activity],
    /// What was asked about.
    pub cart: &'a Cart<'a>,
    /// What was answered.
    pub evaluation: &'a Evaluation<'a>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = [self.customer(), self.lines(), self.units(), self.totals(), self.reasons()];
        write!(formatter, "{}", sections.join("\n"))
    }
}

impl Table<'_> {
    /// Who asks, when and where.
    fn customer(&self) -> String {
        let context = &self.cart.context;
        let lines = count(self.cart.lines.len() as i64, "line");
        let mut facts = vec![format!("{lines} in {}", self.cart.currency.as_str())];
        facts.extend(context.at.map(|at| format!("at {}", at.to_rfc3339())));
        for (name, value) in [
            ("platform", &context.platform),
            ("channel", &context.channel),
            ("region", &context.region),
        ] {
            if !value.is_empty() {
                facts.push(format!("{name} {value}"));
            }
        }
        if !context.segments.is_empty() {
            facts.push(format!("segments {}", context.segments.join(" ")));
        }
        facts.push(match context.is_new {
            Some(true) => "a new user".to_owned(),
            Some(false) => "a user who has paid before".to_owned(),
            None => "it is not known whether the user is new".to_owned(),
        });
        facts.join(", ") + "\n"
    }

    /// Every line, in the order of the cart.
    fn lines(&self) -> String {
        if self.cart.lines.is_empty() {
            return "the cart has no lines\n".to_owned();
        }
        let totals: BTreeMap<&str, _> =
            self.evaluation.lines.iter().map(|total| (total.line, total)).collect();
        let rows = self.cart.lines.iter().filter_map(|line| {
            let total = totals.get(&*line.line)?;
            let amounts = [line.unit_price, total.subtotal, total.discount, total.total];
            let [price, subtotal, discount, total] = amounts.map(major);
            let keys = [&line.line, &line.sku, &line.spu, &line.shop, &line.brand, &line.category];
            let [id, sku, spu, shop, brand, category] = keys.map(|key| key.to_string());
            let pieces = line.quantity.to_string();
            let row =
                [id, sku, spu, shop, brand, category, pieces, price, subtotal, discount, total];
            Some(row)
        });
        let keys = ["line", "sku", "spu", "shop", "brand", "category"].map(|name| (name, Left));
        let numbers = ["pieces", "each", "subtotal", "discount", "total"].map(|name| (name, Right));
        columns(&[&keys[..], &numbers[..]].concat(), rows)
    }

    /// What was given, in the order in which it was.
    fn units(&self) -> String {
        if self.evaluation.units.is_empty() {
            return "nothing is given\n".to_owned();
        }
        let rows = self.evaluation.units.iter().map(|unit| {
            let UnitGiven { activity, scope, key, lines, discount, uses, gifts, .. } = unit;
            let gifts: Vec<String> =
                gifts.iter().map(|gift| format!("{} x {}", gift.quantity, gift.sku)).collect();
            let discount = major(*discount);
            let lines = list(lines.iter().copied());
            let (activity, key) = ((*activity).to_owned(), (*key).to_owned());
            [activity, scope_name(*scope), key, lines, uses.to_string(), discount, gifts.join(", ")]
        });
        let keys = ["given", "scope", "key", "lines"].map(|name| (name, Left));
        let rest = [("uses", Right), ("discount", Right), ("gifts", Left)];
        columns(&[&keys[..], &rest[..]].concat(), rows)
    }

    fn totals(&self) -> String {
        let Evaluation { subtotal, discount, total, free_shipping, valid_until, .. } =
            self.evaluation;
        let money = |amount: Amount| format!("{} {}", major(amount), self.cart.currency.as_str());
        let until = valid_until.map_or("no change is known".to_owned(), |until| until.to_rfc3339());
        let rows = [
            ["subtotal", &money(*subtotal)],
            ["discount", &money(*discount)],
            ["total", &money(*total)],
            ["free shipping", if *free_shipping { "yes" } else { "no" }],
            ["valid until", &until],
        ];
        let rows = rows.map(|row| row.map(str::to_owned));
        columns(&[("", Left), ("", Right)], rows.into_iter())
    }

    /// What became of every activity that was considered.
    fn reasons(&self) -> String {
        if self.evaluation.explanations.is_empty() {
            return "nothing is considered\n".to_owned();
        }
        let by_id: BTreeMap<&str, &Activity> =
            self.activities.iter().map(|activity| (activity.id.as_str(), activity)).collect();
        let rows = self.evaluation.explanations.iter().map(|explanation| {
            let activity = by_id.get(explanation.activity);
            let words = activity.map(|activity| words(explanation, activity, self.cart.currency));
            let code = code_name(explanation.code);
            [explanation.activity.to_owned(), code, words.unwrap_or_default()]
        });
        columns(&[("considered", Left), ("outcome", Left), ("", Left)], rows)
    }
}

/// What the code alone does not say.
fn words(explanation: &Explanation<'_>, activity: &Activity, currency: Currency) -> String {
    let dimensions = &activity.dimensions;
    match (explanation.code, explanation.shortfall) {
        (_, Some(Shortfall::Amount(amount))) => {
            format!("spend {} {} more", major(amount), currency.as_str())
        }
        (_, Some(Shortfall::Quantity(quantity))) => more_pieces(quantity),
        (Code::NotStarted, _) => format!("from {}", activity.from.to_rfc3339()),
        (Code::Ended, _) => format!("until {}", activity.until.to_rfc3339()),
        (Code::WrongCurrency, _) => format!("only {}", activity.currency.as_str()),
        (Code::WrongPlatform, _) => only(&dimensions.platforms),
        (Code::WrongChannel, _) => only(&dimensions.channels),
        (Code::WrongRegion, _) => only(&dimensions.regions),
        (Code::WrongSegment, _) => only(&dimensions.segments),
        (Code::ExcludedByGroup, _) => {
            let exclusive = activity.stacking.exclusive.as_ref();
            exclusive.map(|one| format!("another of {}", one.group)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The first of some keys, and how many there are besides.
fn only(keys: &Keys) -> String {
    let (shown, more) = keys.as_slice().split_at(keys.as_slice().len().min(KEYS_SHOWN));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("only {}{more}", shown.join(", "))
}

fn more_pieces(quantity: Count) -> String {
    let pieces = quantity.get();
    if pieces == 1 { "1 more piece".to_owned() } else { format!("{pieces} more pieces") }
}

/// `1 line`, `2 lines`.
pub(crate) fn count(number: i64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Minor units as major ones with two decimals: 1 is `0.01`.
pub(crate) fn major(amount: Amount) -> String {
    let cents = amount.minor_units();
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

/// As JSON has it.
pub(crate) fn code_name(code: Code) -> String {
    name(&code)
}

fn scope_name(scope: Scope) -> String {
    name(&scope)
}

/// The name of a case without fields, as JSON has it.
fn name(case: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(case).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// With commas between, in lines of about [`LIST_WIDTH`].
fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut width = 0;
    for item in items {
        if width > 0 {
            let full = width + item.len() + 2 > LIST_WIDTH;
            text += if full { ",\n" } else { ", " };
            width = if full { 0 } else { width + 2 };
        }
        text += item;
        width += item.len();
    }
    text
}

/// Columns two blanks apart, without blanks at the end of a line. A column without anything in it is
/// left out, and so is a head without names.
fn columns<const N: usize>(
    head: &[(&str, CellAlignment)],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let is_used = |place: &usize| rows.iter().any(|row| !row[*place].is_empty());
    let used: Vec<usize> = (0..N).filter(is_used).collect();
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    if head.iter().any(|(name, _)| !name.is_empty()) {
        table.set_header(used.iter().map(|place| head[*place].0));
    }
    table.add_rows(rows.iter().map(|row| used.iter().map(|place| &row[*place])));
    for (column, place) in table.column_iter_mut().zip(&used) {
        column.set_padding((0, 2));
        column.set_cell_alignment(head[*place].1);
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use pricing::decide::evaluate;
    use serde_json::{Value, json};

    use super::*;

    fn activity(id: &str, scope: &str, tier: &Value, more: &Value) -> Activity {
        let mut body = json!({
            "id": id, "name": id, "currency": "GBP", "scope": scope, "tiers": [tier],
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z"
        });
        for (field, value) in more.as_object().expect("an object") {
            body[field] = value.clone();
        }
        serde_json::from_value(body).expect("an activity")
    }

    #[track_caller]
    fn check(activities: &[Activity], cart: &Value, expected: &str) {
        let text = cart.to_string();
        let cart: Cart<'_> = serde_json::from_str(&text).expect("a cart");
        let evaluation = evaluate(activities, &cart, |_, _| 0).expect("an evaluation");
        let table = Table { activities, cart: &cart, evaluation: &evaluation };
        assert_eq!(table.to_string(), expected);
    }

    /// Three that are given, and seven that are not, each for a reason of its own.
    fn activities() -> [Activity; 10] {
        let least = |amount: u32| json!({"amount_at_least": {"amount": amount}});
        let pair = json!({"condition": {"for_every_quantity": {"quantity": 2}},
                          "benefit": {"nth_item_at_percent": {"nth": 2, "percent": 50}}});
        let bag = json!({"condition": {"for_every_amount": {"amount": 400}},
                         "benefit": {"gift": {"sku": "bag", "quantity": 2}}});
        let post = json!({"condition": least(100), "benefit": "free_shipping"});
        let more = json!({"condition": least(2_881), "benefit": {"percent_off": {"percent": 10}}});
        let pieces = |quantity: u32| {
            json!({"condition": {"quantity_at_least": {"quantity": quantity}},
                   "benefit": {"percent_off": {"percent": 10}}})
        };
        let group = json!({"stacking": {"exclusive": {"group": "g"}}});
        let region = json!({"dimensions": {"regions": ["France", "EIRE"]}});
        let platform = json!({"dimensions": {"platforms": ["a", "b", "c", "d", "e", "f"]}});
        [
            activity("pair", "spu", &pair, &json!({})),
            activity("bag", "activity", &bag, &json!({"stacking": {"layer": 1}})),
            activity("post", "activity", &post, &group),
            activity("post-2", "activity", &post, &group),
            activity("more", "activity", &more, &json!({})),
            activity("one-more", "activity", &pieces(4), &json!({})),
            activity("two-more", "activity", &pieces(5), &json!({})),
            activity("abroad", "activity", &post, &region),
            activity("elsewhere", "activity", &post, &platform),
            activity("later", "activity", &post, &json!({"from": "2026-02-18T00:00:00Z"})),
        ]
    }

    #[test]
    fn a_table_tells_lines_gifts_totals_and_reasons() {
        // By SPU 2.55, 2.55, 1.99: the second at half is 1.275 off, 1.28. 5.81 are left, bags once.
        let cart = json!({
            "currency": "GBP",
            "context": {"region": "UK", "platform": "web", "segments": ["a", "b"], "is_new": true,
                        "at": "2026-02-17T12:00:00Z"},
            "lines": [
                {"line": "红", "sku": "a1", "spu": "a", "quantity": 2, "unit_price": "255"},
                {"line": "2", "sku": "a2", "spu": "a", "quantity": 1, "unit_price": "199"}
            ]
        });
        let expected = "\
2 lines in GBP, at 2026-02-17T12:00:00Z, platform web, region UK, segments a b, a new user

line  sku  spu  pieces  each  subtotal  discount  total
红    a1   a         2  2.55      5.10      1.28   3.82
2     a2   a         1  1.99      1.99      0.00   1.99

given  scope     key   lines  uses  discount  gifts
pair   spu       a     2, 红     1      1.28
post   activity  post  2, 红     1      0.00
bag    activity  bag   2, 红     1      0.00  2 x bag

subtotal                   7.09 GBP
discount                   1.28 GBP
total                      5.81 GBP
free shipping                   yes
valid until    2026-02-18T00:00:00Z

considered  outcome
abroad      wrong_region       only EIRE, France
elsewhere   wrong_platform     only a, b, c, d and 2 more
later       not_started        from 2026-02-18T00:00:00Z
more        amount_too_low     spend 21.72 GBP more
one-more    quantity_too_low   1 more piece
pair        applied
post        applied
post-2      excluded_by_group  another of g
two-more    quantity_too_low   2 more pieces
bag         applied
";
        check(&activities(), &cart, expected);
    }

    #[test]
    fn a_table_of_nothing_is_one_too() {
        let context = json!({"at": "2026-02-17T12:00:00Z"});
        let cart = json!({"currency": "GBP", "context": context, "lines": []});
        let expected = "\
0 lines in GBP, at 2026-02-17T12:00:00Z, it is not known whether the user is new

the cart has no lines

nothing is given

subtotal                 0.00 GBP
discount                 0.00 GBP
total                    0.00 GBP
free shipping                  no
valid until    no change is known

nothing is considered
";
        check(&[], &cart, expected);
    }

    #[test]
    fn amounts_have_two_decimals_and_long_lists_several_lines() {
        for (cents, expected) in [
            (0, "0.00"),
            (1, "0.01"),
            (-205, "-2.05"),
            (9_007_199_254_740_991, "90071992547409.91"),
        ] {
            assert_eq!(major(Amount::new(cents).expect("an amount")), expected);
        }
        let items = ["0123456789"; 5];
        let row = "0123456789, 0123456789, 0123456789";
        assert_eq!(list(items.into_iter()), format!("{row},\n0123456789, 0123456789"));
        assert_eq!(list([].into_iter()), "");
    }
}

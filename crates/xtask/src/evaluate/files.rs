//! Reads the files of an evaluation. Errors name the field by its path, as the file has it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use domain::ids::IdInput;
use domain::money::Currency;
use pricing::activity::Activity;
use pricing::cart::{self, Cart};
use pricing::decide::ACTIVITIES_MAX;
use serde::Deserialize;

/// A file of activities.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivitiesFile {
    activities: Vec<Activity>,
}

/// A file of one cart: what `POST /v1/promotions/evaluate` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CartFile<'a> {
    /// Whose uses the app counts. Here nothing is used yet, whoever it is.
    #[serde(default)]
    user: Option<IdInput>,
    currency: Currency,
    #[serde(borrow, default)]
    context: cart::Context<'a>,
    #[serde(borrow)]
    lines: Vec<cart::Line<'a>>,
}

/// Reads activities that can be evaluated together.
///
/// # Errors
/// As [`parse_activities`]; naming the file.
pub fn read_activities(path: &Path) -> anyhow::Result<Vec<Activity>> {
    let name = || path.display().to_string();
    parse_activities(&std::fs::read_to_string(path).with_context(name)?).with_context(name)
}

/// Reads activities that can be evaluated together: `{"activities": [...]}`.
///
/// # Errors
/// The text is no such JSON, an activity would be refused on publishing, two have one id, or there
/// are more than [`ACTIVITIES_MAX`]; naming the field.
pub fn parse_activities(text: &str) -> anyhow::Result<Vec<Activity>> {
    if text.trim_start().starts_with('[') {
        bail!("must be an object: {{\"activities\": [...]}}");
    }
    let ActivitiesFile { activities } = parse(text)?;
    if activities.len() > ACTIVITIES_MAX {
        bail!("activities: must be at most {ACTIVITIES_MAX}");
    }
    let mut places = BTreeMap::new();
    for (index, activity) in activities.iter().enumerate() {
        if let Err(error) = activity.validate() {
            bail!("activities[{index}].{error} (id {:?})", activity.id);
        }
        if let Some(first) = places.insert(activity.id.as_str(), index) {
            bail!("activities[{index}].id: activities[{first}] is {:?}, too", activity.id);
        }
    }
    Ok(activities)
}

/// Reads a cart. What [`Cart::check`] says of it is left to the evaluation.
///
/// # Errors
/// The text is no such JSON; naming the field.
pub fn parse_cart(text: &str) -> anyhow::Result<Cart<'_>> {
    if text.trim_start().starts_with('[') {
        bail!("must be an object: {{\"currency\": ..., \"context\": {{...}}, \"lines\": [...]}}");
    }
    let CartFile { user, currency, context, lines } = parse(text)?;
    if let Some(user) = user {
        user.user(|| "user".to_owned())?;
    }
    Ok(Cart { currency, context, lines })
}

/// Reads JSON of a known shape.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> anyhow::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => {
            json.end()?;
            Ok(value)
        }
        // Of the text, and not of a field in it.
        Err(error) if !error.inner().is_data() || error.path().iter().len() == 0 => {
            Err(error.into_inner().into())
        }
        Err(error) => bail!("{}: {}", error.path(), error.inner()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn activities() -> Value {
        let one = |id: &str| {
            json!({"id": id, "name": id, "currency": "GBP", "scope": "sku",
                   "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
                   "tiers": [{"benefit": {"percent_off": {"percent": 10}}}]})
        };
        json!({"activities": [one("a"), one("b")]})
    }

    #[track_caller]
    fn check(error: anyhow::Error, expected: &str) {
        let text = format!("{error:#}");
        // Where in the text it is stands at the end, and is serde's to word.
        assert_eq!(text.split(" at line").next(), Some(expected));
    }

    #[test]
    fn wrong_activities_are_named_by_their_field() {
        let parsed = parse_activities(&activities().to_string()).expect("activities");
        assert_eq!(parsed.len(), 2);
        let percent = "/activities/1/tiers/0/benefit/percent_off/percent";
        let table = [
            (
                percent,
                json!(0),
                "activities[1].tiers[0].benefit.percent_off.percent: must be 1 to 100 (id \"b\")",
            ),
            (
                percent,
                json!("x"),
                "activities[1].tiers[0].benefit.percent_off.percent: invalid type: string \"x\", expected u8",
            ),
            (
                "/activities/0/until",
                json!("soon"),
                "activities[0].until: must be a time as RFC 3339 writes it, for example 2026-02-17T00:00:00Z",
            ),
            (
                "/activities/0/until",
                json!("2026-02-17T00:00:00Z"),
                "activities[0].until: must be after from (id \"a\")",
            ),
            ("/activities/1/id", json!("a"), "activities[1].id: activities[0] is \"a\", too"),
            ("/activities/1", json!({}), "activities[1]: missing field `name`"),
            (
                "/activities/1/id",
                json!(""),
                "activities[1].id: must be 1 to 32 of a-z, 0-9 and - (id \"\")",
            ),
            ("", json!({"activities": [], "x": 1}), "x: unknown field `x`, expected `activities`"),
            ("", json!([]), "must be an object: {\"activities\": [...]}"),
            ("", json!({}), "missing field `activities`"),
        ];
        for (pointer, value, expected) in table {
            let mut file = activities();
            *file.pointer_mut(pointer).expect(pointer) = value;
            check(parse_activities(&file.to_string()).expect_err(expected), expected);
        }
        check(
            parse_activities("{\"activities\": [").expect_err("half"),
            "EOF while parsing a list",
        );
        check(parse_activities("{\"activities\": []}}").expect_err("more"), "trailing characters");
    }

    #[test]
    fn wrong_carts_are_named_by_their_field() {
        let cart = || {
            json!({"user": "7", "currency": "GBP", "context": {"region": "France", "is_new": true},
                   "lines": [{"line": "1", "sku": "a", "quantity": 2, "unit_price": "100"}]})
        };
        let text = cart().to_string();
        assert_eq!(parse_cart(&text).expect("a cart").context.region, "France");
        let table = [
            ("/user", json!("x"), "user: must be an integer from 0 to"),
            ("/currency", json!("gbp"), "currency: must be three capital letters"),
            (
                "/context/is_new",
                json!(1),
                "context.is_new: invalid type: integer `1`, expected a boolean",
            ),
            (
                "/lines/0/quantity",
                json!(-1),
                "lines[0].quantity: invalid value: integer `-1`, expected u32",
            ),
            ("/lines/0", json!({"line": "1"}), "lines[0]: missing field `sku`"),
            ("/lines", json!([{"price": 1}]), "lines[0].price: unknown field `price`"),
            ("", json!([]), "must be an object: {\"currency\""),
        ];
        for (pointer, value, expected) in table {
            let mut file = cart();
            *file.pointer_mut(pointer).expect(pointer) = value;
            let text = file.to_string();
            let error = format!("{:#}", parse_cart(&text).expect_err(expected));
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

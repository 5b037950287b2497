//! What operators publish: a template says what a coupon is worth, how many there are and who may
//! have one. Pure.

use std::cell::Cell;

use domain::error::InvalidInput;
use domain::integer::Count;
use domain::money::{Amount, Currency};
use domain::order_number::Part;
use domain::paid::Unknown;
use domain::time::UnixMillis;
use domain::transaction::{INTEGER_MAX, Member};
use serde::{Deserialize, Serialize};
use store::Record;
use store::codec::Form;
use store::published::Configuration;

use crate::refusal::Refusal;
use crate::scene::Scene;

/// User segments that a template or a request may name.
pub const SEGMENTS_MAX: usize = 64;
/// Bytes of a segment's name.
const SEGMENT_BYTES_MAX: usize = 32;
/// Bytes of a greeting: some sentences.
const GREETING_BYTES_MAX: usize = 1_024;
/// Coupons of one template that one user may hold. More would fill the user's record.
const LIMIT_PER_USER_MAX: u32 = 500;
/// Days that a coupon may be valid for: ten years.
const VALID_DAYS_MAX: u32 = 3_660;
/// Days for which a redemption may be rolled back.
const ROLLBACK_DAYS_MAX: u16 = 365;
/// As many where nothing is said: goods come back within a month.
const ROLLBACK_DAYS_DEFAULT: u16 = 30;
/// One day.
const DAY_MS: i64 = 86_400_000;
/// The threshold under which a template stops, where nothing else is said: a tenth remains as a
/// reserve for complaints.
const LOW_WATER_PERCENT_DEFAULT: u8 = 10;

/// What a coupon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum Kind {
    /// `value` cents off.
    AmountOff,
    /// `value` percent off.
    PercentOff,
    /// Costs `value` cents.
    FixedPrice,
    /// A gift worth `value` cents.
    Gift,
}

/// Segments of users.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, schemars::JsonSchema)]
pub struct Segments(
    #[schemars(
        length(max = SEGMENTS_MAX),
        inner(length(min = 1, max = SEGMENT_BYTES_MAX))
    )]
    pub Vec<String>,
);

/// A coupon template, as operators write it and as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "Definition")
)]
pub struct Template {
    /// The activity it belongs to.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub activity: String,
    /// One type of award.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub scene: String,
    /// What a coupon does.
    pub kind: Kind,
    /// Cents; percent (1 to 100) for `percent_off`. At least 1.
    pub value: Amount,
    /// Cents that a cart must reach.
    #[serde(default)]
    pub threshold: Amount,
    /// Of all amounts.
    pub currency: Currency,
    /// Required, unless the scene has no stock; then it is left out, and `budget` with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<Count>,
    /// Cents that the coupons may cost together. What a coupon did not use of its face returns to it: all of one that
    /// expired, and of one whose redemption is final what `amount` left, where the shop said it. With `percent_off`
    /// and `fixed_price` it needs `single_cap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Amount>,
    /// Coupons of this template that one user may get.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = LIMIT_PER_USER_MAX)))]
    pub limit_per_user: u32,
    /// From when on coupons are given.
    pub claim_from: UnixMillis,
    /// That moment not included. Of a new template it is in the future. One that is over can be opened again.
    pub claim_until: UnixMillis,
    /// From when it is given, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<UnixMillis>,
    /// This, or `valid_for_days`; after `claim_from`. From then on nothing is given: `ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<UnixMillis>,
    /// From when it is given, or from `valid_from` if that is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = VALID_DAYS_MAX)))]
    pub valid_for_days: Option<u32>,
    /// For how many days a redemption can be rolled back; then it is final. Not at all with 0. A coupon keeps what
    /// was said when it was given.
    #[serde(default = "rollback_days_default")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 0, max = ROLLBACK_DAYS_MAX)))]
    pub rollback_days: u16,
    /// Coupons are given as long as at least this part of the stock remains before it.
    #[serde(default = "low_water_percent_default")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 0, max = 100)))]
    pub low_water_percent: u8,
    /// Gives in its place then; at most 4 in a chain, without a circle. A chain ends at a template that is sealed and
    /// collected: it can stay named, and not be named anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Part<'_>>"))]
    pub fallback_template: Option<String>,
    /// Said in its place where no fallback gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = GREETING_BYTES_MAX)))]
    pub greeting: Option<String>,
    /// Only for users without a paid order.
    #[serde(default)]
    pub new_users_only: bool,
    /// Of those, what to make of users of whom nothing is known while earlier payers are still imported.
    #[serde(default, skip_serializing_if = "Unknown::is_new")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("default" = "new")))]
    pub unknown_users: Unknown,
    /// Only for users in one of these; for all where there is none.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Segments"))]
    pub segments: Vec<String>,
    /// The most that one coupon may take off. At least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_cap: Option<Amount>,
    /// Whether it gives coupons at all.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
}

impl Record for Template {
    const NAME: &'static str = "a template";
    const FORM: Form = Form::Json;
}

impl Configuration for Template {
    fn listed(&self, id: &str) -> Member {
        id.into()
    }

    fn over_at(&self) -> UnixMillis {
        self.claim_until
    }

    fn settled_at(&self) -> UnixMillis {
        let (_, valid_until) = self.validity(self.claim_until);
        let until = self.claim_until.max(valid_until);
        UnixMillis(until.0.saturating_add(self.rollback_ms()))
    }
}

fn low_water_percent_default() -> u8 {
    LOW_WATER_PERCENT_DEFAULT
}

fn rollback_days_default() -> u16 {
    ROLLBACK_DAYS_DEFAULT
}

fn enabled_default() -> bool {
    true
}

impl Template {
    /// Checks whether a template has a stock where its scene has one.
    ///
    /// # Errors
    /// `invalid_value`, naming the field.
    pub fn validate_in(&self, scene: &Scene) -> Result<(), InvalidInput> {
        let wrong = |field, detail| Err(InvalidInput::new("invalid_value", field, detail));
        match (scene.stock, self.is_counted()) {
            (true, false) => wrong("stock", "is required, because the scene has a stock"),
            (false, true) => wrong("stock", "must be left out, because the scene has no stock"),
            _ => Ok(()),
        }
    }

    /// Checks whether a template that was never published gives anything.
    ///
    /// # Errors
    /// `invalid_value`, naming the field.
    pub fn validate_new(&self, now: UnixMillis) -> Result<(), InvalidInput> {
        if self.claim_until > now {
            return Ok(());
        }
        let detail = "must be in the future where the template is new";
        Err(InvalidInput::new("invalid_value", "claim_until", detail))
    }

    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// `invalid_part`, `invalid_value`, `over_single_cap`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        Part::parse(&self.activity, "activity")?;
        Part::parse(&self.scene, "scene")?;
        let wrong = |field, detail| Err(InvalidInput::new("invalid_value", field, detail));
        let value = self.value.minor_units();
        if value < 1 || (self.kind == Kind::PercentOff && value > 100) {
            return wrong("value", "must be at least 1, and at most 100 percent");
        }
        if self.threshold.minor_units() < 0 {
            return wrong("threshold", "must not be negative");
        }
        if !(1..=LIMIT_PER_USER_MAX).contains(&self.limit_per_user) {
            return wrong("limit_per_user", "must be 1 to 500");
        }
        if self.claim_until <= self.claim_from {
            return wrong("claim_until", "must be after claim_from");
        }
        match (self.valid_until, self.valid_for_days) {
            (Some(_), Some(_)) | (None, None) => {
                return wrong("valid_until", "either valid_until or valid_for_days is required");
            }
            (Some(until), None) if self.valid_from.is_some_and(|from| until <= from) => {
                return wrong("valid_until", "must be after valid_from");
            }
            (Some(until), None) if until <= self.claim_from => {
                return wrong("valid_until", "must be after claim_from");
            }
            (None, Some(days)) if !(1..=VALID_DAYS_MAX).contains(&days) => {
                return wrong("valid_for_days", "must be 1 to 3660");
            }
            _ => {}
        }
        if self.rollback_days > ROLLBACK_DAYS_MAX {
            return wrong("rollback_days", "must be 0 to 365");
        }
        if self.low_water_percent > 100 {
            return wrong("low_water_percent", "must be 0 to 100");
        }
        if !self.new_users_only && !self.unknown_users.is_new() {
            return wrong("unknown_users", "only a template for new users may ask");
        }
        if let Some(fallback) = &self.fallback_template {
            Part::parse(fallback, "fallback_template")?;
        }
        let greeting = self.greeting.as_ref().map_or(1, String::len);
        if !(1..=GREETING_BYTES_MAX).contains(&greeting) {
            return wrong("greeting", "must have 1 to 1024 bytes");
        }
        check_segments(&self.segments)?;
        self.validate_money()
    }

    fn validate_money(&self) -> Result<(), InvalidInput> {
        let wrong = |field, detail| Err(InvalidInput::new("invalid_value", field, detail));
        if let Some(cap) = self.single_cap {
            if cap.minor_units() < 1 {
                return wrong("single_cap", "must be at least 1");
            }
            if self.worth().is_some_and(|worth| worth > cap.minor_units()) {
                let detail = "the value is above the single-amount cap";
                return Err(InvalidInput::new("over_single_cap", "value", detail));
            }
        }
        match (self.budget, self.face()) {
            (Some(_), _) if !self.is_counted() => {
                wrong("budget", "must be left out where there is no stock")
            }
            (Some(budget), _) if budget.minor_units() < 0 => {
                wrong("budget", "must not be negative")
            }
            (Some(_), None) => wrong(
                "single_cap",
                "is required with a budget, because it bounds what a coupon costs",
            ),
            _ => Ok(()),
        }
    }

    /// What one coupon costs at the most, in cents.
    pub fn face(&self) -> Option<i64> {
        self.worth().or(self.single_cap.map(Amount::minor_units))
    }

    /// What one coupon costs, where its kind says so.
    fn worth(&self) -> Option<i64> {
        match self.kind {
            Kind::AmountOff | Kind::Gift => Some(self.value.minor_units()),
            Kind::PercentOff | Kind::FixedPrice => None,
        }
    }

    /// Whether there is a stock at all; else as many are given as are asked for.
    pub fn is_counted(&self) -> bool {
        self.stock.is_some()
    }

    /// Coupons that stock and budget allow, where coupons that were given did not use so many cents of the budget.
    pub fn total(&self, unused: i64) -> i64 {
        let stock = self.stock.map_or(INTEGER_MAX, Count::get);
        self.affordable(unused).map_or(stock, |count| count.min(stock))
    }

    /// Coupons that the budget allows.
    fn affordable(&self, unused: i64) -> Option<i64> {
        Some(self.budget?.minor_units().saturating_add(unused) / self.face()?.max(1))
    }

    /// Coupons that may be out at once. As long as at least the threshold remains before it, one more
    /// is given: of 100 at 10 percent 91, of 15 at 10 percent 14, at 0 percent all. It grows with what was not used.
    pub fn leasable(&self, unused: i64) -> i64 {
        // Below 2^53 times 100, which an i128 holds; the result is at most the total.
        let total = self.total(unused);
        let hundredths = i128::from(total) * i128::from(self.low_water_percent);
        let threshold = (hundredths + 99) / 100;
        total - (threshold as i64 - 1).max(0)
    }

    /// Why nothing is left, as far as the template can tell: it does not know what was not used of the budget.
    pub fn exhausted(&self) -> Refusal {
        match self.affordable(0) {
            Some(count) if self.stock.is_none_or(|stock| count < stock.get()) => {
                Refusal::BudgetExhausted
            }
            _ => Refusal::SoldOut,
        }
    }

    /// Whether a user of these segments may have a coupon now, as far as the template can tell.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admit(&self, segments: &[String], now: UnixMillis) -> Result<(), Refusal> {
        if !self.enabled {
            Err(Refusal::Disabled)
        } else if now < self.claim_from {
            Err(Refusal::NotStarted)
        } else if now >= self.claim_until || self.valid_until.is_some_and(|until| now >= until) {
            Err(Refusal::Ended)
        } else if self.segments.is_empty() || segments.iter().any(|one| self.segments.contains(one))
        {
            Ok(())
        } else {
            Err(Refusal::NotEligible)
        }
    }

    /// From when until when a coupon is valid that is given now.
    pub fn validity(&self, now: UnixMillis) -> (UnixMillis, UnixMillis) {
        let from = self.valid_from.unwrap_or(now);
        let days = i64::from(self.valid_for_days.unwrap_or_default());
        (from, self.valid_until.unwrap_or(UnixMillis(from.max(now).0 + days * DAY_MS)))
    }

    /// For how long a redemption can be rolled back.
    fn rollback_ms(&self) -> i64 {
        i64::from(self.rollback_days) * DAY_MS
    }

    /// The first field that cannot change any more, once coupons were given, and differs.
    pub fn fixed_field(&self, next: &Self) -> Option<&'static str> {
        if self.activity != next.activity {
            // Numbers that follow from the play have it in them, and the scene.
            Some("activity")
        } else if self.scene != next.scene {
            Some("scene")
        } else if self.kind != next.kind {
            Some("kind")
        } else if self.value != next.value {
            Some("value")
        } else if self.currency != next.currency {
            Some("currency")
        } else if self.face() != next.face() {
            Some("single_cap")
        } else {
            None
        }
    }
}

/// A template as it was published.
#[derive(Debug)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// Counted from 1.
    pub version: i64,
    /// What it says.
    pub template: Template,
    /// Its scene.
    pub scene: Scene,
    /// Whether users of whom nothing is known are to be asked about elsewhere: the template demands it, and the import
    /// of earlier payers is not complete.
    pub asks_elsewhere: bool,
    /// Coupons that the pool had to lease out when this instance last saw it, if it did: a hint for
    /// how many to ask for.
    pub free: Cell<Option<i64>>,
}

/// Checks the segments of a template or a request.
///
/// # Errors
/// `invalid_value`, naming the field.
pub fn check_segments(segments: &[String]) -> Result<(), InvalidInput> {
    if segments.len() > SEGMENTS_MAX {
        let detail = "must have at most 64 segments";
        return Err(InvalidInput::new("invalid_value", "segments", detail));
    }
    for (index, segment) in segments.iter().enumerate() {
        if !(1..=SEGMENT_BYTES_MAX).contains(&segment.len()) {
            let detail = "must have 1 to 32 bytes";
            return Err(InvalidInput::new("invalid_value", "", detail).at("segments", index));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use store::codec::{decode, encode};

    use super::*;

    /// 15.00 off from 15.10, 100 of them.
    pub fn body() -> Value {
        json!({
            "activity": "spring", "scene": "newcomer", "kind": "amount_off", "value": "1500",
            "threshold": 1510, "currency": "CNY", "stock": "100", "limit_per_user": 1,
            "claim_from": "2026-02-01T00:00:00Z", "claim_until": "2026-03-01T00:00:00Z",
            "valid_for_days": 30, "low_water_percent": 0
        })
    }

    /// Such a template, as it was published.
    pub fn published(id: &str, version: i64) -> Published {
        let (id, free) = (id.to_owned(), Cell::new(None));
        let (template, scene) = (template(|_| ()), Scene::plain());
        Published { id, version, template, scene, asks_elsewhere: false, free }
    }

    pub fn template(change: impl FnOnce(&mut Value)) -> Template {
        let mut body = body();
        change(&mut body);
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let template = template(|_| ());
        assert_eq!(decode::<Template>(&encode(&template)), Ok(template));
    }

    #[test]
    fn wrong_templates_name_the_field() {
        let table: &[(&str, Value, &str, &str)] = &[
            ("activity", json!("Spring"), "invalid_part", "activity"),
            ("scene", json!(""), "invalid_part", "scene"),
            ("value", json!("0"), "invalid_value", "value"),
            ("threshold", json!(-1), "invalid_value", "threshold"),
            ("limit_per_user", json!(0), "invalid_value", "limit_per_user"),
            ("limit_per_user", json!(501), "invalid_value", "limit_per_user"),
            ("claim_until", json!("2026-02-01T00:00:00Z"), "invalid_value", "claim_until"),
            ("unknown_users", json!("ask"), "invalid_value", "unknown_users"),
            ("valid_until", json!("2026-04-01T00:00:00Z"), "invalid_value", "valid_until"),
            ("valid_for_days", json!(0), "invalid_value", "valid_for_days"),
            ("valid_for_days", Value::Null, "invalid_value", "valid_until"),
            ("rollback_days", json!(366), "invalid_value", "rollback_days"),
            ("low_water_percent", json!(101), "invalid_value", "low_water_percent"),
            ("fallback_template", json!("a b"), "invalid_part", "fallback_template"),
            ("greeting", json!(""), "invalid_value", "greeting"),
            ("segments", json!(["a", ""]), "invalid_value", "segments[1]"),
            ("single_cap", json!(0), "invalid_value", "single_cap"),
            ("single_cap", json!(1_499), "over_single_cap", "value"),
            ("budget", json!(-1), "invalid_value", "budget"),
        ];
        assert_eq!(template(|_| ()).validate(), Ok(()));
        for (field, value, code, named) in table {
            let error = template(|body| body[field] = value.clone()).validate().unwrap_err();
            assert_eq!((error.code, error.field.as_str()), (*code, *named), "{field}: {value}");
        }
        let endless = template(|body| {
            body["stock"] = Value::Null;
            body["budget"] = json!(1_500);
        });
        assert_eq!(endless.validate().unwrap_err().field, "budget");
        let percent = template(|body| {
            body["kind"] = json!("percent_off");
            body["value"] = json!(20);
            body["budget"] = json!(1_000);
        });
        assert_eq!(percent.validate().unwrap_err().field, "single_cap");
    }

    #[test]
    fn limits_are_within_what_is_allowed() {
        let right: &[(&str, Value)] = &[
            ("value", json!(1)),
            ("threshold", json!(0)),
            ("limit_per_user", json!(500)),
            ("claim_until", json!("2026-02-01T00:00:00.001Z")),
            ("valid_for_days", json!(1)),
            ("valid_for_days", json!(3_660)),
            ("rollback_days", json!(0)),
            ("rollback_days", json!(365)),
            ("low_water_percent", json!(100)),
            ("greeting", json!("x".repeat(1_024))),
            ("segments", json!(vec!["x".repeat(32); 64])),
            ("single_cap", json!(1_500)),
            ("budget", json!(0)),
        ];
        for (field, value) in right {
            let template = template(|body| body[field] = value.clone());
            assert_eq!(template.validate(), Ok(()), "{field}: {value}");
        }
        let wrong: &[(&str, Value)] = &[
            ("valid_for_days", json!(3_661)),
            ("greeting", json!("x".repeat(1_025))),
            ("segments", json!(vec!["x"; 65])),
            ("segments", json!(vec!["x"; 66])),
        ];
        for (field, value) in wrong {
            let error = template(|body| body[field] = value.clone()).validate().unwrap_err();
            assert_eq!((error.code, error.field.as_str()), ("invalid_value", *field));
        }
        for (value, is_right) in [(100, true), (101, false)] {
            let percent = template(|body| {
                body["kind"] = json!("percent_off");
                body["value"] = json!(value);
            });
            assert_eq!(percent.validate().is_ok(), is_right, "{value} percent");
        }
    }

    #[test]
    fn a_fixed_end_is_after_the_beginnings() {
        let table = [
            // Of the claim window, which begins on the first of February.
            (Value::Null, "2026-02-01T00:00:00Z", false),
            (Value::Null, "2026-02-01T00:00:00.001Z", true),
            // Of the coupon's own time.
            (json!("2026-02-10T00:00:00Z"), "2026-02-10T00:00:00Z", false),
            (json!("2026-02-10T00:00:00Z"), "2026-02-10T00:00:00.001Z", true),
        ];
        for (from, until, is_right) in table {
            let result = template(|body| {
                body["valid_for_days"] = Value::Null;
                body["valid_from"] = from.clone();
                body["valid_until"] = json!(until);
            })
            .validate();
            assert_eq!(result.is_ok(), is_right, "{from} {until}");
            if let Err(error) = result {
                assert_eq!((error.code, error.field.as_str()), ("invalid_value", "valid_until"));
            }
        }
    }

    #[test]
    fn a_template_has_a_stock_where_its_scene_has_one() {
        let with = |stock: Value| template(|body| body["stock"] = stock);
        let plain = Scene::plain();
        let endless = Scene { stock: false, ..Scene::plain() };
        let table = [
            (&plain, with(json!(1)), None),
            (&plain, with(Value::Null), Some("stock")),
            (&endless, with(Value::Null), None),
            (&endless, with(json!(1)), Some("stock")),
        ];
        for (scene, template, wrong) in table {
            let error = template.validate_in(scene).err();
            assert_eq!(error.as_ref().map(|error| error.field.as_str()), wrong, "{template:?}");
        }
    }

    #[test]
    fn stock_and_budget_bound_each_other() {
        let total = |stock: u64, budget: Option<i64>| {
            let template = template(|body| {
                body["stock"] = json!(stock);
                body["budget"] = json!(budget);
            });
            (template.total(0), template.exhausted())
        };
        assert_eq!(total(10, None), (10, Refusal::SoldOut));
        assert_eq!(total(10, Some(15_000)), (10, Refusal::SoldOut));
        assert_eq!(total(10, Some(14_999)), (9, Refusal::BudgetExhausted));
        assert_eq!(total(10, Some(1_499)), (0, Refusal::BudgetExhausted));
    }

    #[test]
    fn low_water_gives_as_long_as_the_threshold_remains() {
        let table =
            [(100, 10, 91), (15, 10, 14), (100, 0, 100), (0, 10, 0), (1, 10, 1), (10, 100, 1)];
        for (stock, percent, expected) in table {
            let template = template(|body| {
                body["stock"] = json!(stock);
                body["low_water_percent"] = json!(percent);
            });
            assert_eq!(template.leasable(0), expected, "{stock} at {percent} percent");
        }
    }

    proptest! {
        /// The rule itself, coupon by coupon.
        #[test]
        fn low_water_agrees_with_the_rule(stock in 0_i64..2_000, percent in 0_u8..=100) {
            let template = template(|body| {
                body["stock"] = json!(stock);
                body["low_water_percent"] = json!(percent);
            });
            let mut given = 0;
            while given < stock && (stock - given) * 100 >= stock * i64::from(percent) {
                given += 1;
            }
            prop_assert_eq!(template.leasable(0), given);
        }
    }

    #[test]
    fn who_may_have_one_is_told_in_order() {
        let at = |text| UnixMillis::parse_rfc3339(text).unwrap();
        let during = at("2026-02-10T00:00:00Z");
        let gold = ["gold".to_owned()];
        let plain = template(|_| ());
        let segmented = template(|body| body["segments"] = json!(["gold", "silver"]));
        let disabled = template(|body| body["enabled"] = json!(false));
        let table = [
            (&plain, during, &[][..], Ok(())),
            (&plain, at("2026-01-31T23:59:59.999Z"), &[], Err(Refusal::NotStarted)),
            (&plain, at("2026-02-01T00:00:00Z"), &[], Ok(())),
            (&plain, at("2026-03-01T00:00:00Z"), &[], Err(Refusal::Ended)),
            (&disabled, during, &[], Err(Refusal::Disabled)),
            (&segmented, during, &[], Err(Refusal::NotEligible)),
            (&segmented, during, &gold, Ok(())),
        ];
        for (template, now, segments, expected) in table {
            assert_eq!(template.admit(segments, now), expected, "{template:?} at {now:?}");
        }
    }
}

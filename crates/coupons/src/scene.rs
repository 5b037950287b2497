//! Scenes: a scene stands for one type of award, and says how awards of that type behave. A new type is
//! configuration, not code; a scene that nobody set up behaves as [`Scene::plain`]. Pure.
//!
//! Templates of coupons name a scene, and so do rains. A rate limit counts the awards of both together; the statement,
//! the stock and whether rewards are compensated are of coupons only: a packet of a rain has no place for a statement,
//! a rain has a budget instead of a stock, and nobody earns packets that are given later.
//!
//! The statement is kept with each coupon, as is everything that a coupon is worth. Where a scene has no stock, its
//! templates issue without a pool. Where it does not compensate, a reward that is refused lapses. A scene that
//! nobody set up has a stock, no limit and no statement.

use domain::error::InvalidInput;
use domain::order_number::Part;
use serde::{Deserialize, Serialize};
use store::Record;
use store::codec::Form;

/// Bytes of a statement: a line of an account, kept with every coupon.
const STATEMENT_BYTES_MAX: usize = 128;
/// Awards that a rate limit can count.
const AWARDS_MAX: u32 = 1_000;
/// The longest time of a rate limit: a month.
pub(crate) const SECONDS_MAX: u32 = 31 * 86_400;

/// A scene, as operators write it and as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// What is awarded: cash, a video subsidy, a partner's voucher, an avatar pendant, ...
    pub award_type: String,
    /// What a user's statement says of an award.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// How fast one user may get awards of the scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Whether a reward that was earned, and could not be given, stays due until it can, or its template is over for good;
    /// else it lapses.
    #[serde(default = "yes")]
    pub compensated: bool,
    /// Whether there is a stock of awards; else a template has as many as are asked for.
    #[serde(default = "yes")]
    pub stock: bool,
}

impl Record for Scene {
    const NAME: &'static str = "a scene";
    const FORM: Form = Form::Json;
}

fn yes() -> bool {
    true
}

/// At most so many awards a user in so much time, which begins with the first of them ([`crate::pace`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// 1 to 1,000.
    pub awards: u32,
    /// 1 second to 31 days.
    pub seconds: u32,
}

impl Scene {
    /// A scene of which nobody said anything.
    pub fn plain() -> Self {
        Self {
            award_type: "coupon".to_owned(),
            statement: None,
            rate_limit: None,
            compensated: true,
            stock: true,
        }
    }

    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// `invalid_part`, `invalid_value`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        Part::parse(&self.award_type, "award_type")?;
        let wrong = |field, detail| Err(InvalidInput::new("invalid_value", field, detail));
        let statement = self.statement.as_ref().map_or(1, String::len);
        if !(1..=STATEMENT_BYTES_MAX).contains(&statement) {
            return wrong("statement", "must have 1 to 128 bytes");
        }
        if let Some(RateLimit { awards, seconds }) = self.rate_limit {
            if !(1..=AWARDS_MAX).contains(&awards) {
                return wrong("rate_limit.awards", "must be 1 to 1000");
            }
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return wrong("rate_limit.seconds", "must be 1 to 2678400");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::codec::{decode, encode};

    use super::*;

    fn scene(change: impl FnOnce(&mut serde_json::Value)) -> Scene {
        let mut body = json!({"award_type": "cash"});
        change(&mut body);
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn wrong_scenes_name_the_field() {
        let limit = |awards, seconds| json!({"awards": awards, "seconds": seconds});
        let table = [
            ("award_type", json!("Cash"), "invalid_part", "award_type"),
            ("statement", json!(""), "invalid_value", "statement"),
            ("statement", json!("x".repeat(129)), "invalid_value", "statement"),
            ("rate_limit", limit(0, 1), "invalid_value", "rate_limit.awards"),
            ("rate_limit", limit(1_001, 1), "invalid_value", "rate_limit.awards"),
            ("rate_limit", limit(1, 0), "invalid_value", "rate_limit.seconds"),
            ("rate_limit", limit(1, 2_678_401), "invalid_value", "rate_limit.seconds"),
        ];
        assert_eq!(scene(|_| ()).validate(), Ok(()));
        assert_eq!(Scene::plain().validate(), Ok(()));
        for (field, value) in [
            ("statement", json!("x".repeat(128))),
            ("rate_limit", limit(1, 1)),
            ("rate_limit", limit(1_000, 2_678_400)),
        ] {
            let scene = scene(|body| body[field] = value.clone());
            assert_eq!(scene.validate(), Ok(()), "{field}: {value}");
        }
        for (field, value, code, named) in table {
            let error = scene(|body| body[field] = value.clone()).validate().unwrap_err();
            assert_eq!((error.code, error.field.as_str()), (code, named), "{field}: {value}");
        }
    }

    #[test]
    fn a_scene_behaves_as_usual_unless_it_says_otherwise() {
        let scene = scene(|_| ());
        assert!(scene.compensated && scene.stock && scene.rate_limit.is_none());
        assert_eq!(decode::<Scene>(&encode(&scene)), Ok(scene));
    }
}

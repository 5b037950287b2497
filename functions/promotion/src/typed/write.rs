//! What came of a call -> answers.

use domain::money::Amount;
use domain::order_number::OrderNumber;
use edge::wit::types::{self, Error};
use pricing::activity::Scope;
use pricing::evaluation::{Evaluation, GiftGiven, LineTotal, UnitGiven};
use pricing::explain::{Code, Explanation, Shortfall};
use purchases::order::{Purchase, State, Used};

use super::wit;
use crate::refusal::Failure;

/// Why there is no answer. A refusal's detail names what it is about.
pub fn error(failure: Failure) -> Error {
    match failure {
        Failure::Invalid(error) => error.into(),
        Failure::Store(error) => error.into(),
        Failure::Refused(refusal) => {
            let detail = refusal.detail();
            let detail = match refusal.field() {
                Some(field) => format!("{detail}: {field}"),
                None => detail,
            };
            let code = refusal.code().to_owned();
            Error::Refused(types::Refusal { code, detail, retry_after: None })
        }
    }
}

/// What a cart costs, and why.
pub fn evaluation(evaluation: Evaluation<'_>) -> wit::Evaluation {
    let Evaluation { lines, units, subtotal, discount, total, free_shipping, .. } = evaluation;
    wit::Evaluation {
        lines: lines.into_iter().map(line).collect(),
        units: units.into_iter().map(unit).collect(),
        subtotal: subtotal.minor_units(),
        discount: discount.minor_units(),
        total: total.minor_units(),
        free_shipping,
        valid_until: evaluation.valid_until.map(|until| until.0),
        explanations: evaluation.explanations.into_iter().map(explanation).collect(),
    }
}

fn line(LineTotal { line, subtotal, discount, total }: LineTotal<'_>) -> wit::LineTotal {
    wit::LineTotal {
        line: line.to_owned(),
        subtotal: subtotal.minor_units(),
        discount: discount.minor_units(),
        total: total.minor_units(),
    }
}

fn unit(unit: UnitGiven<'_>) -> wit::UnitGiven {
    let gift = |GiftGiven { sku, quantity }| wit::Gift { sku: str::to_owned(sku), quantity };
    wit::UnitGiven {
        activity: unit.activity.to_owned(),
        scope: match unit.scope {
            Scope::Sku => wit::Scope::Sku,
            Scope::Spu => wit::Scope::Spu,
            Scope::Shop => wit::Scope::Shop,
            Scope::Brand => wit::Scope::Brand,
            Scope::Category => wit::Scope::Category,
            Scope::Activity => wit::Scope::Activity,
        },
        key: unit.key.to_owned(),
        lines: unit.lines.into_iter().map(str::to_owned).collect(),
        discounts: unit.discounts.into_iter().map(Amount::minor_units).collect(),
        discount: unit.discount.minor_units(),
        uses: unit.uses,
        gifts: unit.gifts.into_iter().map(gift).collect(),
    }
}

fn explanation(explanation: Explanation<'_>) -> wit::Explanation {
    wit::Explanation {
        activity: explanation.activity.to_owned(),
        code: code(explanation.code),
        shortfall: explanation.shortfall.map(|shortfall| match shortfall {
            Shortfall::Amount(amount) => wit::Shortfall::Amount(amount.minor_units()),
            Shortfall::Quantity(count) => wit::Shortfall::Quantity(count.get().unsigned_abs()),
        }),
    }
}

fn code(code: Code) -> wit::Code {
    match code {
        Code::Disabled => wit::Code::Disabled,
        Code::NotStarted => wit::Code::NotStarted,
        Code::Ended => wit::Code::Ended,
        Code::WrongCurrency => wit::Code::WrongCurrency,
        Code::WrongPlatform => wit::Code::WrongPlatform,
        Code::WrongChannel => wit::Code::WrongChannel,
        Code::WrongRegion => wit::Code::WrongRegion,
        Code::WrongSegment => wit::Code::WrongSegment,
        Code::UserUnknown => wit::Code::UserUnknown,
        Code::NotANewUser => wit::Code::NotANewUser,
        Code::NoLineSelected => wit::Code::NoLineSelected,
        Code::AmountTooLow => wit::Code::AmountTooLow,
        Code::QuantityTooLow => wit::Code::QuantityTooLow,
        Code::LimitUsedUp => wit::Code::LimitUsedUp,
        Code::NothingLeftToDiscount => wit::Code::NothingLeftToDiscount,
        Code::ExcludedByGroup => wit::Code::ExcludedByGroup,
        Code::Applied => wit::Code::Applied,
    }
}

/// What an order took, and where it was taken whether that was earlier.
pub fn purchase(number: &OrderNumber, taken: Purchase, replayed: Option<bool>) -> wit::Purchase {
    let used = |Used { activity, unit, uses, .. }| wit::Used { activity, key: unit, uses };
    wit::Purchase {
        order_number: number.as_str().to_owned(),
        state: match taken.state {
            State::Taking => wit::State::Taking,
            State::Taken | State::Kept(_) => wit::State::Taken,
            State::Undoing(_) | State::Refused => wit::State::Refused,
            State::GivingBack => wit::State::GivingBack,
            State::GivenBack => wit::State::GivenBack,
        },
        uses: taken.uses.into_iter().map(used).collect(),
        replayed,
    }
}

#[cfg(test)]
mod tests {
    use domain::error::InvalidInput;
    use domain::transaction::CommitError;
    use pricing::activity::Activity;
    use pricing::cart::Cart;
    use pricing::decide::evaluate;
    use serde_json::{Value, json};

    use super::*;
    use crate::refusal::Refusal;

    /// Every name of a case as over HTTP, where it is in snake_case.
    fn snake(case: impl std::fmt::Debug) -> String {
        let mut text = String::new();
        let name = format!("{case:?}");
        // wit-bindgen writes the type before the case.
        for letter in name.rsplit(':').next().unwrap_or_default().chars() {
            if letter.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(letter.to_ascii_lowercase());
        }
        text
    }

    /// What was written, as JSON has it.
    fn as_over_http(written: &wit::Evaluation) -> Value {
        let cents = |cents: i64| cents.to_string();
        let line = |line: &wit::LineTotal| {
            json!({"line": line.line, "subtotal": cents(line.subtotal),
                   "discount": cents(line.discount), "total": cents(line.total)})
        };
        let gift = |gift: &wit::Gift| json!({"sku": gift.sku, "quantity": gift.quantity});
        let unit = |unit: &wit::UnitGiven| {
            json!({"activity": unit.activity, "scope": snake(unit.scope), "key": unit.key,
                   "lines": unit.lines, "discount": cents(unit.discount), "uses": unit.uses,
                   "discounts": unit.discounts.iter().copied().map(cents).collect::<Vec<_>>(),
                   "gifts": unit.gifts.iter().map(gift).collect::<Vec<_>>()})
        };
        let explanation = |one: &wit::Explanation| {
            let applied = one.code == wit::Code::Applied;
            let mut body = json!({"activity": one.activity, "applied": applied,
                                  "code": snake(one.code)});
            match one.shortfall {
                Some(wit::Shortfall::Amount(amount)) => {
                    body["shortfall"] = json!({"amount": cents(amount)});
                }
                Some(wit::Shortfall::Quantity(quantity)) => {
                    body["shortfall"] = json!({"quantity": quantity.to_string()});
                }
                None => {}
            }
            body
        };
        let until = written.valid_until.map(|ms| domain::time::UnixMillis(ms).to_rfc3339());
        json!({
            "lines": written.lines.iter().map(line).collect::<Vec<_>>(),
            "units": written.units.iter().map(unit).collect::<Vec<_>>(),
            "subtotal": cents(written.subtotal), "discount": cents(written.discount),
            "total": cents(written.total), "free_shipping": written.free_shipping,
            "valid_until": until,
            "explanations": written.explanations.iter().map(explanation).collect::<Vec<_>>()
        })
    }

    #[test]
    fn an_evaluation_is_the_same_as_over_http() {
        let activity = |id: &str, scope: &str, tier: Value| -> Activity {
            serde_json::from_value(json!({
                "id": id, "name": id, "currency": "CNY", "scope": scope, "tiers": [tier],
                "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z"
            }))
            .unwrap()
        };
        let gift = json!({"gift": {"sku": "g", "quantity": 2}});
        let amount = json!({"amount_at_least": {"amount": 100_000}});
        let quantity = json!({"quantity_at_least": {"quantity": 100}});
        let shipping = json!("free_shipping");
        let activities = [
            activity("a", "sku", json!({"benefit": {"percent_off": {"percent": 10}}})),
            activity("b", "activity", json!({"benefit": gift})),
            activity("c", "spu", json!({"benefit": shipping})),
            activity("d", "shop", json!({"condition": amount, "benefit": shipping})),
            activity("e", "brand", json!({"condition": quantity, "benefit": shipping})),
            activity("f", "category", json!({"benefit": shipping})),
        ];
        let text = r#"{"currency": "CNY", "context": {"at": "2026-02-17T00:00:00Z"},
            "lines": [{"line": "1", "sku": "a", "spu": "b", "shop": "c", "brand": "d",
                       "category": "e", "quantity": 2, "unit_price": 1234},
                      {"line": "2", "sku": "b", "quantity": 1, "unit_price": 99}]}"#;
        let cart: Cart<'_> = serde_json::from_str(text).unwrap();
        let found = evaluate(&activities, &cart, |_, _| u64::MAX).unwrap();
        assert_eq!((found.units.len(), found.free_shipping), (5, true), "{found:?}");
        let expected = serde_json::to_value(&found).unwrap();
        assert_eq!(as_over_http(&evaluation(found)), expected);
    }

    #[test]
    fn every_code_is_the_same_as_over_http() {
        use Code::*;
        let codes = [
            Disabled,
            NotStarted,
            Ended,
            WrongCurrency,
            WrongPlatform,
            WrongChannel,
            WrongRegion,
            WrongSegment,
            UserUnknown,
            NotANewUser,
            NoLineSelected,
            AmountTooLow,
            QuantityTooLow,
            LimitUsedUp,
            NothingLeftToDiscount,
            ExcludedByGroup,
            Applied,
        ];
        for one in codes {
            assert_eq!(json!(snake(code(one))), json!(one));
        }
    }

    fn taken(state: State) -> Purchase {
        let used = json!({"activity": "spring", "unit": "red", "uses": 3, "place": 0,
                          "of_user": 5, "of_all": null});
        serde_json::from_value(json!({"digest": 1, "attempt": 1, "state": state, "at": 0,
                                      "begun": 0, "ordered_at": null, "let_go": [],
                                      "uses": [used]}))
        .unwrap()
    }

    #[test]
    fn every_state_is_the_same_as_over_http() {
        let number = OrderNumber::parse("A-1", "order_number").unwrap();
        let states = [
            State::Taking,
            State::Taken,
            State::Undoing(0),
            State::Refused,
            State::GivingBack,
            State::GivenBack,
        ];
        for state in states {
            let written = purchase(&number, taken(state), Some(true));
            assert_eq!(snake(written.state), crate::render::state(state));
            assert_eq!((&*written.order_number, written.replayed), ("A-1", Some(true)));
            let [wit::Used { activity, key, uses }] = &written.uses[..] else { panic!() };
            assert_eq!((&**activity, &**key, *uses), ("spring", "red", 3));
        }
    }

    #[test]
    fn failures_are_told_apart() {
        let invalid = error(InvalidInput::new("too_large", "dimensions", "d").into());
        assert!(matches!(invalid, Error::Invalid(invalid) if invalid.field == "dimensions"));
        let Error::Refused(refused) = error(Refusal::LimitUsedUp("uses[2]".into()).into()) else {
            panic!("it is a refusal");
        };
        assert_eq!(refused.code, "limit_used_up");
        assert_eq!(refused.detail, "a purchase limit is used up: uses[2]");
        let unknown = error(CommitError::Unknown("late".into()).into());
        assert!(matches!(unknown, Error::Unknown));
    }
}

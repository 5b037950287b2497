//! What is asked about: a cart and what is known of its customer.

use std::borrow::Cow;

use domain::error::InvalidInput;
use domain::money::{Amount, Currency};
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::OrNull;
use domain::time::UnixMillis;
use domain::transaction::INTEGER_MAX;
use serde::Deserialize;

use crate::activity::KeyKind;

/// Lines of one cart.
pub const LINES_MAX: usize = 200;
/// Pieces of one line.
pub const QUANTITY_MAX: u32 = 1_000_000;
/// Bytes of a line's id and of each of its keys.
pub const KEY_BYTES_MAX: usize = 64;
/// Segments of one user.
pub const SEGMENTS_MAX: usize = 64;

/// What something is known by: a SKU, an SPU, a shop, a brand, a category and the like.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, schemars::JsonSchema)]
pub struct Key(#[schemars(length(min = 1, max = KEY_BYTES_MAX))] pub String);

/// A cart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cart<'a> {
    /// Of all its prices.
    pub currency: Currency,
    /// What is known of the customer and the place of sale.
    #[serde(borrow, default)]
    pub context: Context<'a>,
    /// Its lines, in any order; at most 200.
    #[serde(borrow)]
    pub lines: Vec<Line<'a>>,
}

/// What is known of the customer and the place of sale. An empty text is one that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Context<'a> {
    /// For example `app`.
    #[serde(borrow)]
    pub platform: Cow<'a, str>,
    /// Where the customer comes from.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// Where they are, or where it is sent to.
    #[serde(borrow)]
    pub region: Cow<'a, str>,
    /// The segments that the user is in; at most 64.
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = SEGMENTS_MAX)))]
    pub segments: Vec<Cow<'a, str>>,
    /// Whether the customer has no paid order yet; null where that is not known. Of nobody in particular; of a `user`
    /// the store says it.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<bool>"))]
    pub is_new: Option<bool>,
    /// The moment that is asked about. Now, where nothing is said.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<UnixMillis>"))]
    pub at: Option<UnixMillis>,
}

/// One line of a cart. A key that is left out or empty is not known: nothing selects the line by it,
/// and in a scope of that kind it takes no part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Line<'a> {
    /// Its id, unique in the cart.
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Key"))]
    pub line: Cow<'a, str>,
    /// The article.
    #[serde(borrow)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Key"))]
    pub sku: Cow<'a, str>,
    /// The product.
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    pub spu: Cow<'a, str>,
    /// The shop.
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    pub shop: Cow<'a, str>,
    /// The brand.
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    pub brand: Cow<'a, str>,
    /// The category.
    #[serde(borrow, default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEY_BYTES_MAX)))]
    pub category: Cow<'a, str>,
    /// Pieces.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = QUANTITY_MAX)))]
    pub quantity: u32,
    /// Cents a piece; not negative.
    pub unit_price: Amount,
}

impl Line<'_> {
    /// Its key of a kind; empty where it is not known.
    pub fn key(&self, kind: KeyKind) -> &str {
        match kind {
            KeyKind::Sku => &self.sku,
            KeyKind::Spu => &self.spu,
            KeyKind::Shop => &self.shop,
            KeyKind::Brand => &self.brand,
            KeyKind::Category => &self.category,
        }
    }

    /// What it costs without promotions, in cents. A line that was checked is within 2^53 - 1.
    pub fn subtotal(&self) -> i64 {
        self.unit_price.minor_units().saturating_mul(i64::from(self.quantity))
    }
}

impl Cart<'_> {
    /// Checks that the cart can be counted exactly. That line ids are unique is seen later, where
    /// they are sorted.
    ///
    /// # Errors
    /// `too_many`, `invalid_value`, `missing_field`, and `amount_out_of_range` where a line or all
    /// together cost more than 2^53 - 1 cents; naming the field.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let context = &self.context;
        if context.at.is_none() {
            return Err(InvalidInput::new("missing_field", "context.at", "is required"));
        }
        if context.segments.len() > SEGMENTS_MAX {
            let detail = format!("must be at most {SEGMENTS_MAX}");
            return Err(InvalidInput::new("too_many", "context.segments", detail));
        }
        if self.lines.len() > LINES_MAX {
            let detail = format!("must be at most {LINES_MAX}");
            return Err(InvalidInput::new("too_many", "lines", detail));
        }
        let mut sum: i64 = 0;
        for (index, line) in self.lines.iter().enumerate() {
            line.check(index)?;
            // Each of 200 subtotals is below 2^53, so that the sum is far from the limit of i64.
            sum += line.subtotal();
        }
        if sum > INTEGER_MAX {
            let detail = "must cost at most 9007199254740991 cents together";
            return Err(InvalidInput::new("amount_out_of_range", "lines", detail));
        }
        Ok(())
    }
}

impl Line<'_> {
    fn check(&self, index: usize) -> Result<(), InvalidInput> {
        let wrong = |code, field, detail: String| {
            Err(InvalidInput::new(code, format!("lines[{index}].{field}"), detail))
        };
        let texts = [
            ("line", &self.line, 1),
            ("sku", &self.sku, 1),
            ("spu", &self.spu, 0),
            ("shop", &self.shop, 0),
            ("brand", &self.brand, 0),
            ("category", &self.category, 0),
        ];
        for (field, text, minimum) in texts {
            if !(minimum..=KEY_BYTES_MAX).contains(&text.len()) {
                let detail = format!("must have {minimum} to {KEY_BYTES_MAX} bytes");
                return wrong("invalid_value", field, detail);
            }
        }
        if !(1..=QUANTITY_MAX).contains(&self.quantity) {
            return wrong("invalid_value", "quantity", format!("must be 1 to {QUANTITY_MAX}"));
        }
        if self.unit_price.minor_units() < 0 {
            return wrong("invalid_value", "unit_price", "must not be negative".into());
        }
        if self.subtotal() > INTEGER_MAX {
            let detail = "with the quantity must be at most 9007199254740991 cents".into();
            return wrong("amount_out_of_range", "unit_price", detail);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Cart<'_>)) -> (&'static str, String) {
        let line = r#"{"line": "1", "sku": "a", "quantity": 2, "unit_price": "100"}"#;
        let text = format!(
            r#"{{"currency": "CNY", "context": {{"at": "2026-02-17T00:00:00Z"}},
                "lines": [{line}, {line}]}}"#
        );
        let mut cart: Cart<'_> = serde_json::from_str(&text).unwrap();
        cart.check().unwrap();
        change(&mut cart);
        let error = cart.check().unwrap_err();
        (error.code, error.field)
    }

    #[test]
    fn wrong_carts_name_the_field() {
        type Change = fn(&mut Cart<'_>);
        let table: &[(Change, &str, &str)] = &[
            (|cart| cart.context.at = None, "missing_field", "context.at"),
            (
                |cart| cart.context.segments = vec!["a".into(); SEGMENTS_MAX + 1],
                "too_many",
                "context.segments",
            ),
            (|cart| cart.lines = vec![cart.lines[0].clone(); LINES_MAX + 1], "too_many", "lines"),
            (|cart| cart.lines[1].line = "".into(), "invalid_value", "lines[1].line"),
            (|cart| cart.lines[1].sku = "".into(), "invalid_value", "lines[1].sku"),
            (|cart| cart.lines[0].spu = "x".repeat(65).into(), "invalid_value", "lines[0].spu"),
            (|cart| cart.lines[0].shop = "x".repeat(65).into(), "invalid_value", "lines[0].shop"),
            (|cart| cart.lines[0].brand = "x".repeat(65).into(), "invalid_value", "lines[0].brand"),
            (
                |cart| cart.lines[0].category = "x".repeat(65).into(),
                "invalid_value",
                "lines[0].category",
            ),
            (|cart| cart.lines[1].quantity = 0, "invalid_value", "lines[1].quantity"),
            (|cart| cart.lines[1].quantity = 1_000_001, "invalid_value", "lines[1].quantity"),
            (
                |cart| cart.lines[1].unit_price = Amount::new(-1).unwrap(),
                "invalid_value",
                "lines[1].unit_price",
            ),
            (
                // Twice 2^52 is 2^53, one cent too much.
                |cart| cart.lines[1].unit_price = Amount::new(1 << 52).unwrap(),
                "amount_out_of_range",
                "lines[1].unit_price",
            ),
            (
                // 2^53 - 2, and 200 more.
                |cart| cart.lines[1].unit_price = Amount::new((1 << 52) - 1).unwrap(),
                "amount_out_of_range",
                "lines",
            ),
        ];
        for (change, code, field) in table {
            assert_eq!(refusal(change), (*code, (*field).to_owned()));
        }
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let text = r#"{"line": "1", "sku": "a", "spu": "\u0062", "quantity": 1, "unit_price": 1}"#;
        let line: Line<'_> = serde_json::from_str(text).unwrap();
        assert!(matches!(line.sku, Cow::Borrowed("a")));
        assert_eq!(line.spu, "b");
    }
}

//! The products of an activity as bits: what an index must know of a key, so that whether a line is
//! selected follows from its keys alone. Pure.
//!
//! Each selector has a bit; a list of SKUs is one more selector. A key's *mask* has the bits of the
//! selectors that name it. A line matches a selector where, of each kind that the selector demands, the
//! line's key has its bit.

use litemap::LiteMap;
use pricing::activity::{Activity, KeyKind, Products, Selector};
use pricing::validation::SELECTORS_MAX;
use serde::{Deserialize, Serialize};

/// The bit of the list of SKUs, behind those of the selectors that include.
const LIST: usize = SELECTORS_MAX;
/// The bit of the first selector that excludes.
const EXCLUDE: usize = LIST + 1;
const _: () = assert!(EXCLUDE + SELECTORS_MAX <= u64::BITS as usize);

/// The mask of the SKUs of a list.
pub const LIST_MASK: u64 = 1 << LIST;

/// What the selectors of an activity demand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selectors {
    /// Of each kind of key the selectors that demand one.
    pub demanded: [u64; KeyKind::COUNT],
    /// The selectors that include.
    pub include: u64,
    /// Those that exclude.
    pub exclude: u64,
}

/// The selectors, each with its bit.
fn with_bits(products: &Products) -> impl Iterator<Item = (u64, &Selector)> {
    let bits = |first: usize| (first..).map(|bit| 1 << bit);
    bits(0).zip(&products.include).chain(bits(EXCLUDE).zip(&products.exclude))
}

impl Selectors {
    /// What these products demand.
    pub fn of(products: &Products) -> Self {
        let mut selectors = Self::default();
        for (bit, selector) in with_bits(products) {
            let side =
                if bit > LIST_MASK { &mut selectors.exclude } else { &mut selectors.include };
            *side |= bit;
            for (kind, keys) in selector.lists() {
                if !keys.is_empty() {
                    selectors.demanded[kind as usize] |= bit;
                }
            }
        }
        if products.sku_list.is_some() {
            selectors.include |= LIST_MASK;
            selectors.demanded[KeyKind::Sku as usize] |= LIST_MASK;
        }
        selectors
    }

    /// Whether every line is selected that is not excluded.
    pub fn includes_everything(&self) -> bool {
        self.include == 0
    }

    /// Which lines are selected, by the masks of their keys: line after line, within a line by kind.
    pub fn select(&self, masks: &[u64]) -> Vec<bool> {
        let demanded = |kind: &usize| self.demanded[*kind] != 0;
        let kinds: Vec<usize> = (0..KeyKind::COUNT).filter(demanded).collect();
        let of_line = |masks: &[u64]| {
            let mut lacking = 0;
            for kind in &kinds {
                lacking |= self.demanded[*kind] & !masks[*kind];
            }
            let matched = |side: u64| side & !lacking != 0;
            (self.includes_everything() || matched(self.include)) && !matched(self.exclude)
        };
        masks.chunks_exact(KeyKind::COUNT).map(of_line).collect()
    }
}

/// The keys that these products name, each once with its mask; not those of a list.
pub fn masks(products: &Products) -> LiteMap<(usize, &str), u64> {
    let mut masks = LiteMap::new_vec();
    for (bit, selector) in with_bits(products) {
        for (kind, keys) in selector.lists() {
            for key in keys.as_slice() {
                *masks.entry((kind as usize, key.as_str())).or_insert(0) |= bit;
            }
        }
    }
    masks
}

/// The activity without its products, which the index has.
pub fn without_products(activity: &Activity) -> Activity {
    let mut dimensions = activity.dimensions.clone();
    dimensions.products = Products::default();
    Activity { dimensions, ..activity.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A line by its five keys, SKU first.
    #[track_caller]
    fn check(products: &serde_json::Value, line: [&str; 5], expected: bool) {
        let products: Products = serde_json::from_value(products.clone()).unwrap();
        let masks = masks(&products);
        let mask = |(kind, key): (usize, &&str)| masks.get(&(kind, *key)).copied().unwrap_or(0);
        let line: Vec<u64> = line.iter().enumerate().map(mask).collect();
        assert_eq!(Selectors::of(&products).select(&line), [expected], "{products:?} {line:?}");
    }

    #[test]
    fn a_line_is_selected_by_its_keys_alone() {
        let line = ["sku", "spu", "shop", "brand", "category"];
        check(&json!({}), line, true);
        check(&json!({"include": [{"skus": ["sku"]}]}), line, true);
        check(&json!({"include": [{"skus": ["other"]}]}), line, false);
        // Every kind of one selector, any selector of many.
        check(&json!({"include": [{"brands": ["brand", "b"], "shops": ["shop"]}]}), line, true);
        check(&json!({"include": [{"brands": ["brand"], "shops": ["s"]}]}), line, false);
        check(
            &json!({"include": [{"brands": ["brand"], "shops": ["s"]}, {"spus": ["spu"]}]}),
            line,
            true,
        );
        check(&json!({"exclude": [{"categories": ["category"]}]}), line, false);
        check(&json!({"exclude": [{"categories": ["category"], "skus": ["x"]}]}), line, true);
        let both = json!({"include": [{"shops": ["shop"]}], "exclude": [{"skus": ["sku"]}]});
        check(&both, line, false);
        check(&both, ["b", "", "shop", "", ""], true);
        // A list is one more selector that includes; here nothing is in it.
        check(&json!({"sku_list": {"name": "l", "parts": 1}}), line, false);
    }

    #[test]
    fn the_last_selectors_have_bits_of_their_own() {
        let many = |name: &str| vec![json!({"skus": [name]}); SELECTORS_MAX];
        let products = json!({"include": many("in"), "exclude": many("out"),
                              "sku_list": {"name": "l", "parts": 1}});
        let products: Products = serde_json::from_value(products).unwrap();
        let selectors = Selectors::of(&products);
        assert_eq!(selectors.include.count_ones() as usize, SELECTORS_MAX + 1);
        assert_eq!(selectors.exclude.count_ones() as usize, SELECTORS_MAX);
        assert_eq!(selectors.include & selectors.exclude, 0);
        assert_eq!(selectors.select(&[LIST_MASK, 0, 0, 0, 0]), [true]);
    }
}

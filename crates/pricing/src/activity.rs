//! What operators publish. The shape is here, what a shape cannot say in [`crate::validation`].
//!
//! Second item at half price, by SPU, at most three pairs, only in the app and not for vouchers:
//! ```json
//! {"id": "second-half", "name": "Second at half price", "currency": "CNY",
//!  "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
//!  "dimensions": {"platforms": ["app"], "products": {"exclude": [{"categories": ["voucher"]}]}},
//!  "scope": "spu",
//!  "tiers": [{"condition": {"for_every_quantity": {"quantity": 2, "times_max": 3}},
//!             "benefit": {"nth_item_at_percent": {"nth": 2, "percent": 50}}}],
//!  "stacking": {"layer": 1, "priority": 10, "exclusive": {"group": "halves", "mode": "best"}}}
//! ```
//! No field is left out on output, so that formats without field names can carry it, too.

use domain::integer::Count;
use domain::money::{Amount, Currency};
#[cfg(not(target_arch = "wasm32"))]
use domain::order_number::Part;
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::OrNull;
use domain::time::UnixMillis;
use serde::{Deserialize, Serialize};

#[cfg(not(target_arch = "wasm32"))]
use crate::cart::{Key, QUANTITY_MAX};
#[cfg(not(target_arch = "wasm32"))]
use crate::validation::{
    GIFT_QUANTITY_MAX, KEYS_MAX, LABEL_BYTES_MAX, LABELS_MAX, LAYER_MAX, NAME_BYTES_MAX,
    SELECTORS_MAX, SKU_LIST_PARTS_MAX, TIERS_MAX,
};

/// Times that a "for every" condition may count at the most. It bounds the gifts of a unit.
pub const TIMES_MAX: u32 = 1_000_000;

/// One promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Activity {
    /// That of the route; it may be left out there.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(!default, with = "Option<Part<'_>>"))]
    pub id: String,
    /// For operators.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = NAME_BYTES_MAX)))]
    pub name: String,
    /// What product pages show.
    #[serde(default)]
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(length(max = LABELS_MAX), inner(length(min = 1, max = LABEL_BYTES_MAX)))
    )]
    pub labels: Vec<String>,
    /// From when on it applies.
    pub from: UnixMillis,
    /// Until when, that moment not included.
    pub until: UnixMillis,
    /// Whether it applies at all.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
    /// Of all its amounts, and of the carts that it applies to.
    pub currency: Currency,
    /// For whom and for which products; an empty list demands nothing.
    #[serde(default)]
    pub dimensions: Dimensions,
    /// Which lines are counted together.
    pub scope: Scope,
    /// What is asked and what is given. Of each unit the last tier that it meets applies.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = TIERS_MAX)))]
    pub tiers: Vec<Tier>,
    /// Cents that it takes off one cart at the most, all units together.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<Amount>"))]
    pub maximum_discount: Option<Amount>,
    /// What it may be combined with.
    #[serde(default)]
    pub stacking: Stacking,
    /// How often it may be used: `per_user`, `total` or both.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<Limits>"))]
    pub limits: Option<Limits>,
}

fn enabled_default() -> bool {
    true
}

/// Who has what an activity gives, and for which products. An empty list demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Dimensions {
    /// One of these platforms, for example `app`.
    pub platforms: Keys,
    /// One of these channels.
    pub channels: Keys,
    /// One of these regions.
    pub regions: Keys,
    /// In at least one of these user segments.
    pub segments: Keys,
    /// Only users without a paid order.
    pub new_users_only: bool,
    /// The products: lines that an `include` matches or whose SKU is in the list, all where there is neither, without
    /// those that an `exclude` matches.
    pub products: Products,
}

/// The lines that an activity selects: those that an `include` selector matches or whose SKU is in the
/// list, all where there is neither, but for those that an `exclude` selector matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Products {
    /// One of these must match.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = SELECTORS_MAX)))]
    pub include: Vec<Selector>,
    /// SKUs that are too many to be written here: they are sent in parts, to a draft. Another content has another name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<SkuList>"))]
    pub sku_list: Option<SkuList>,
    /// None of these may match.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = SELECTORS_MAX)))]
    pub exclude: Vec<Selector>,
}

/// SKUs that are sent in parts. Only an index knows them: an evaluation without one selects nothing by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct SkuList {
    /// What is in a list does not change; another content has another name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub name: String,
    /// In how many parts it is sent.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = SKU_LIST_PARTS_MAX)))]
    pub parts: u32,
}

/// Matches a line that is in every list that is not empty: brand A or B, and in shop C.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(extend("minProperties" = 1))
)]
pub struct Selector {
    /// One of these SKUs.
    pub skus: Keys,
    /// One of these SPUs.
    pub spus: Keys,
    /// One of these shops.
    pub shops: Keys,
    /// One of these brands.
    pub brands: Keys,
    /// One of these categories.
    pub categories: Keys,
}

impl Selector {
    /// Its lists, each with the kind of key that it holds.
    pub fn lists(&self) -> [(KeyKind, &Keys); KeyKind::COUNT] {
        [
            (KeyKind::Sku, &self.skus),
            (KeyKind::Spu, &self.spus),
            (KeyKind::Shop, &self.shops),
            (KeyKind::Brand, &self.brands),
            (KeyKind::Category, &self.categories),
        ]
    }
}

/// What a line is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The article.
    Sku,
    /// The product, whose colours and sizes are SKUs.
    Spu,
    /// The shop.
    Shop,
    /// The brand.
    Brand,
    /// The category.
    Category,
}

impl KeyKind {
    /// Kinds there are.
    pub const COUNT: usize = 5;
    /// All of them, each at the place of its number.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Sku, Self::Spu, Self::Shop, Self::Brand, Self::Category];
}

/// A set of keys: read in any order, kept and written sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!from))]
pub struct Keys(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = KEYS_MAX), with = "Vec<Key>"))]
    Vec<String>,
);

impl Keys {
    /// Whether the set has this key.
    pub fn contains(&self, key: &str) -> bool {
        self.0.binary_search_by(|one| one.as_str().cmp(key)).is_ok()
    }

    /// The keys, sorted.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<String>> for Keys {
    fn from(keys: Vec<String>) -> Self {
        // By insertion: a sort of its own is 8 kB in a component.
        let mut sorted = Vec::with_capacity(keys.len());
        for key in keys {
            if let Err(place) = sorted.binary_search(&key) {
                sorted.insert(place, key);
            }
        }
        Self(sorted)
    }
}

/// Which of the selected lines are counted together, as one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum Scope {
    /// Lines of one SKU.
    Sku,
    /// Lines of one SPU: a red one and a blue one pair up.
    Spu,
    /// Lines of one shop.
    Shop,
    /// Lines of one brand.
    Brand,
    /// Lines of one category.
    Category,
    /// All of them.
    Activity,
}

impl Scope {
    /// The key that lines of one unit share; `None` where all are one unit.
    pub fn kind(self) -> Option<KeyKind> {
        match self {
            Self::Sku => Some(KeyKind::Sku),
            Self::Spu => Some(KeyKind::Spu),
            Self::Shop => Some(KeyKind::Shop),
            Self::Brand => Some(KeyKind::Brand),
            Self::Category => Some(KeyKind::Category),
            Self::Activity => None,
        }
    }
}

/// What a unit must reach, and what it is given then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Tier {
    /// What it must reach.
    #[serde(default)]
    pub condition: Condition,
    /// What it is given.
    pub benefit: Benefit,
}

/// What a unit must reach, in cents or pieces; `for_every_...` may be met up to `times_max` times. Amounts are those
/// that earlier layers leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// This many cents; met once.
    AmountAtLeast {
        /// Cents.
        amount: Amount,
    },
    /// This many pieces; met once.
    QuantityAtLeast {
        /// Pieces.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = QUANTITY_MAX)))]
        quantity: u32,
    },
    /// Met once for every so many cents.
    ForEveryAmount {
        /// Cents.
        amount: Amount,
        /// Times that count at the most.
        #[serde(default = "times_max_default")]
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = TIMES_MAX)))]
        times_max: u32,
    },
    /// Met once for every so many pieces. What a benefit does to pieces it does to the pieces that
    /// were counted, the dearest first; the rest are sold as if there were no activity.
    ForEveryQuantity {
        /// Pieces.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = QUANTITY_MAX)))]
        quantity: u32,
        /// Times that count at the most.
        #[serde(default = "times_max_default")]
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = TIMES_MAX)))]
        times_max: u32,
    },
}

fn times_max_default() -> u32 {
    TIMES_MAX
}

/// What a unit is given. `amount_off`, `cheapest_free` and `gift` count each time that the condition is met; the others
/// act on each piece. Fractions of a cent are rounded once a unit: to the nearest cent, half a cent in favour of the
/// customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum Benefit {
    /// Cents off the unit, each time that the condition is met; never more than the unit costs.
    AmountOff {
        /// Cents.
        amount: Amount,
    },
    /// A part of each piece's price off.
    PercentOff {
        /// The part.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = 100)))]
        percent: u8,
    },
    /// Each piece that costs more costs this.
    FixedPrice {
        /// Cents a piece.
        amount: Amount,
    },
    /// Pieces in the order of their prices, the dearest first: every n-th costs a part of its price.
    NthItemAtPercent {
        /// 2 for the second, fourth, sixth piece and so on.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 2, max = QUANTITY_MAX)))]
        nth: u32,
        /// What is paid for it; 0 is free.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = 99)))]
        percent: u8,
    },
    /// The cheapest pieces of the unit cost nothing.
    CheapestFree {
        /// Pieces, each time that the condition is met.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = QUANTITY_MAX)))]
        count: u32,
    },
    /// A present.
    Gift {
        /// Of this SKU.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Key"))]
        sku: String,
        /// Pieces, each time that the condition is met.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = GIFT_QUANTITY_MAX)))]
        quantity: u32,
    },
    /// The cart is sent at no cost.
    FreeShipping,
}

/// What an activity may be combined with.
///
/// Layers act in ascending order, each on the amounts that the ones before leave. Activities of one
/// layer are each computed on the same amounts, as if alone, and all are given, but of an exclusive
/// group only one; together they take no line below zero, the earlier first. In a layer, activities
/// outside of groups come first, by priority and id; then the groups by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Stacking {
    /// Layers act in ascending order, each on what the ones before leave.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = LAYER_MAX)))]
    pub layer: u8,
    /// The smaller number goes first; equal ones go by id.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(max = u32::MAX)))]
    pub priority: u32,
    /// The group, within the layer, of which one activity is given.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<Exclusive>"))]
    pub exclusive: Option<Exclusive>,
}

/// A group of which one activity is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Exclusive {
    /// Its name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Part<'_>"))]
    pub group: String,
    /// Which one. Where members differ, the first of those that have something to give decides.
    #[serde(default)]
    pub mode: Mode,
}

/// Which member of a group is given, of those that have something to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub enum Mode {
    /// The first by priority and id.
    #[default]
    First,
    /// The one that takes off most; of equal ones the first. Gifts and shipping count as nothing.
    Best,
}

/// How often an activity may be used. A use is one time that a unit meets its condition: once a unit
/// for "at least", once for every so many for "for every". A limit in pieces is a limit on uses of
/// `for_every_quantity` 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Limits {
    /// Uses of one user.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<Uses>"))]
    pub per_user: Option<u32>,
    /// Uses of all users.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "OrNull<Count>"))]
    pub total: Option<Count>,
    /// What the uses are counted for.
    #[serde(default)]
    pub counted: Counted,
}

/// As many uses as one may have.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, schemars::JsonSchema)]
#[schemars(inline)]
pub struct Uses(#[schemars(range(min = 1, max = u32::MAX))] pub u32);

/// What uses are counted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub enum Counted {
    /// The activity; its units take from one number, in the order of their keys.
    #[default]
    ByActivity,
    /// Each unit by its key: with scope `sku` each SKU has its own number.
    ByUnit,
}

//! Carts and activities at random: few different keys, so that lines share units; small numbers, so
//! that conditions are met about as often as missed; and now and then something that does not match.
//! Nothing is made anew while a failing case shrinks (no `prop_flat_map`): lines and activities are left out.

use domain::integer::Count;
use domain::money::{Amount, Currency};
use domain::time::UnixMillis;
use pricing::activity::{
    Activity, Benefit, Condition, Counted, Dimensions, Exclusive, Keys, Limits, Mode, Products,
    Scope, Selector, Stacking, Tier,
};
use pricing::cart::{Cart, Context, Line};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::NOW;

/// Lines of a generated cart.
pub const LINES_MAX: usize = 9;
/// Activities of a generated case.
pub const ACTIVITIES_MAX: usize = 6;

fn amount(cents: i64) -> Amount {
    Amount::new(cents).expect("an amount")
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("a currency")
}

/// One of these texts; the empty one is a key that is not known.
fn key(keys: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(keys)
}

const SKUS: &[&str] = &["a", "b", "c", "d", "e"];
const SPUS: &[&str] = &["p", "q", "r", ""];
const SHOPS: &[&str] = &["s", "t"];
const BRANDS: &[&str] = &["u", "v", ""];
const CATEGORIES: &[&str] = &["w", "x"];

fn line() -> impl Strategy<Value = Line<'static>> {
    let keys = (key(SKUS), key(SPUS), key(SHOPS), key(BRANDS), key(CATEGORIES));
    let unit_price = prop_oneof![1 => 0_i64..4, 4 => 0_i64..60, 6 => 50_i64..3_000];
    (keys, 1_u32..6, unit_price).prop_map(|((sku, spu, shop, brand, category), quantity, price)| {
        Line {
            line: "".into(),
            sku: sku.into(),
            spu: spu.into(),
            shop: shop.into(),
            brand: brand.into(),
            category: category.into(),
            quantity,
            unit_price: amount(price),
        }
    })
}

/// Different ids in any order, which as texts they do not have as numbers.
fn ids() -> impl Strategy<Value = Vec<u32>> {
    Just((5..15).collect::<Vec<_>>()).prop_shuffle()
}

/// A cart of up to [`LINES_MAX`] lines.
pub fn cart() -> impl Strategy<Value = Cart<'static>> {
    let lines = (vec(line(), 0..=LINES_MAX), ids()).prop_map(|(mut lines, ids)| {
        for (line, id) in lines.iter_mut().zip(ids) {
            line.line = id.to_string().into();
        }
        lines
    });
    let is_new = prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    (lines, is_new, any::<bool>()).prop_map(|(lines, is_new, loyal)| Cart {
        currency: currency("CNY"),
        context: Context {
            platform: "app".into(),
            channel: "".into(),
            region: "north".into(),
            segments: if loyal { vec!["loyal".into(), "old".into()] } else { vec!["old".into()] },
            is_new,
            at: Some(NOW),
        },
        lines,
    })
}

/// An empty set three times out of four.
fn keys(of: &'static [&'static str]) -> impl Strategy<Value = Keys> {
    let some = subsequence(of, 1..=of.len().min(2));
    prop_oneof![
        3 => Just(Keys::default()),
        1 => some.prop_map(|keys| {
            // The empty text is no key that an activity may name.
            let keys = keys.into_iter().filter(|key| !key.is_empty()).map(str::to_owned);
            Keys::from(keys.collect::<Vec<_>>())
        }),
    ]
}

fn selectors() -> impl Strategy<Value = Vec<Selector>> {
    let lists = (keys(SKUS), keys(SPUS), keys(SHOPS), keys(BRANDS), keys(CATEGORIES));
    let selector = lists.prop_map(|(skus, spus, shops, brands, categories)| Selector {
        skus,
        spus,
        shops,
        brands,
        categories,
    });
    let some = vec(selector, 1..3).prop_map(|mut selectors| {
        selectors.retain(|one| one.lists().iter().any(|(_, keys)| !keys.is_empty()));
        selectors
    });
    prop_oneof![3 => Just(Vec::new()), 2 => some]
}

fn dimensions() -> impl Strategy<Value = Dimensions> {
    let suiting = |right: &'static str| {
        prop_oneof![
            12 => Just(Keys::default()),
            2 => Just(Keys::from(vec!["zzz".to_owned(), right.to_owned()])),
            1 => Just(Keys::from(vec!["zzz".to_owned()])),
        ]
    };
    let context = (suiting("app"), suiting("feed"), suiting("north"), suiting("loyal"));
    let new_users_only = prop::bool::weighted(0.08);
    (context, new_users_only, selectors(), selectors()).prop_map(
        |((platforms, channels, regions, segments), new_users_only, include, exclude)| Dimensions {
            platforms,
            channels,
            regions,
            segments,
            new_users_only,
            products: Products { include, sku_list: None, exclude },
        },
    )
}

/// A condition on amounts or on pieces; `None` is in [`tiers`].
fn condition(on_amounts: bool) -> BoxedStrategy<Condition> {
    let times_max = prop_oneof![2 => 1_u32..4, 1 => Just(1_000_000)];
    if on_amounts {
        let amounts = || prop_oneof![1 => 40_i64..200, 2 => 200_i64..6_000].prop_map(amount);
        prop_oneof![
            amounts().prop_map(|amount| Condition::AmountAtLeast { amount }),
            (amounts(), times_max)
                .prop_map(|(amount, times_max)| Condition::ForEveryAmount { amount, times_max }),
        ]
        .boxed()
    } else {
        prop_oneof![
            (1_u32..7).prop_map(|quantity| Condition::QuantityAtLeast { quantity }),
            (1_u32..6, times_max).prop_map(|(quantity, times_max)| Condition::ForEveryQuantity {
                quantity,
                times_max
            }),
        ]
        .boxed()
    }
}

fn benefit() -> impl Strategy<Value = Benefit> {
    prop_oneof![
        4 => (1_i64..1_500).prop_map(|cents| Benefit::AmountOff { amount: amount(cents) }),
        4 => (1_u8..=100).prop_map(|percent| Benefit::PercentOff { percent }),
        3 => (0_i64..1_000).prop_map(|cents| Benefit::FixedPrice { amount: amount(cents) }),
        4 => (2_u32..5, 0_u8..=99)
            .prop_map(|(nth, percent)| Benefit::NthItemAtPercent { nth, percent }),
        3 => (1_u32..4).prop_map(|count| Benefit::CheapestFree { count }),
        1 => (1_u32..3).prop_map(|quantity| Benefit::Gift { sku: "gift".into(), quantity }),
        1 => Just(Benefit::FreeShipping),
    ]
}

fn tiers() -> impl Strategy<Value = Vec<Tier>> {
    let pairs = |on_amounts| vec((condition(on_amounts), benefit()), 1..4);
    let none_first = prop::bool::weighted(0.3);
    (prop_oneof![pairs(false), pairs(true)], none_first).prop_map(|(pairs, none_first)| {
        let mut tiers: Vec<Tier> =
            pairs.into_iter().map(|(condition, benefit)| Tier { condition, benefit }).collect();
        if none_first {
            tiers[0].condition = Condition::None;
        }
        tiers.sort_by_key(|tier| demand(&tier.condition));
        tiers.dedup_by_key(|tier| demand(&tier.condition));
        tiers
    })
}

fn demand(condition: &Condition) -> i64 {
    match *condition {
        Condition::None => 0,
        Condition::AmountAtLeast { amount } | Condition::ForEveryAmount { amount, .. } => {
            amount.minor_units()
        }
        Condition::QuantityAtLeast { quantity } | Condition::ForEveryQuantity { quantity, .. } => {
            i64::from(quantity)
        }
    }
}

fn stacking() -> impl Strategy<Value = Stacking> {
    let mode = prop_oneof![2 => Just(Mode::Best), 1 => Just(Mode::First)];
    let exclusive = (select(&["g", "h"][..]), mode)
        .prop_map(|(group, mode)| Some(Exclusive { group: group.to_owned(), mode }));
    let exclusive = prop_oneof![2 => Just(None), 3 => exclusive];
    (0_u8..3, 0_u32..3, exclusive).prop_map(|(layer, priority, exclusive)| Stacking {
        layer,
        priority,
        exclusive,
    })
}

fn limits() -> impl Strategy<Value = Option<Limits>> {
    let counted = prop_oneof![Just(Counted::ByActivity), Just(Counted::ByUnit)];
    let limits = counted
        .prop_map(|counted| Some(Limits { per_user: Some(1), total: Count::new(9), counted }));
    prop_oneof![3 => Just(None), 1 => limits]
}

/// The uses that are left in generated cases: 0 to 4, by activity and by unit.
pub fn uses_left(activity: &Activity, key: Option<&str>) -> u64 {
    let bytes = activity.id.bytes().chain(key.unwrap_or("all").bytes());
    bytes.map(u64::from).sum::<u64>() % 5
}

fn activity() -> impl Strategy<Value = Activity> {
    let scope = select(
        &[Scope::Sku, Scope::Spu, Scope::Shop, Scope::Brand, Scope::Category, Scope::Activity][..],
    );
    let hour = 3_600_000;
    let from = prop_oneof![
        20 => Just(NOW.0 - hour),
        1 => Just(NOW.0),
        1 => NOW.0 + 1..NOW.0 + hour
    ];
    let length = prop_oneof![20 => Just(9 * hour), 1 => Just(1), 1 => Just(hour)];
    let enabled = prop::bool::weighted(0.97);
    let cny = prop::bool::weighted(0.97);
    let maximum = prop_oneof![3 => Just(None), 1 => (1_i64..2_000).prop_map(Some)];
    let base = (from, length, enabled, cny);
    (base, dimensions(), scope, tiers(), maximum, stacking(), limits()).prop_map(
        |((from, length, enabled, cny), dimensions, scope, tiers, maximum, stacking, limits)| {
            let mut activity = Activity {
                id: "x".into(),
                name: "generated".into(),
                labels: Vec::new(),
                from: UnixMillis(from),
                until: UnixMillis(from + length),
                enabled,
                currency: currency(if cny { "CNY" } else { "USD" }),
                dimensions,
                scope,
                tiers,
                maximum_discount: maximum.map(amount),
                stacking,
                limits,
            };
            repair(&mut activity);
            activity
        },
    )
}

/// Gives another benefit where one has no meaning with its condition.
fn repair(activity: &mut Activity) {
    while let Err(error) = activity.validate() {
        assert_eq!(error.code, "not_meaningful", "{error}: {activity:?}");
        if error.field == "maximum_discount" {
            activity.maximum_discount = None;
        } else {
            let index = error.field["tiers[".len()..].split(']').next().map(str::parse);
            let index: usize = index.expect("an index").expect("a number");
            activity.tiers[index].benefit = Benefit::AmountOff { amount: amount(123) };
        }
    }
}

/// Up to [`ACTIVITIES_MAX`] activities with different ids, in any order.
pub fn activities() -> impl Strategy<Value = Vec<Activity>> {
    (vec(activity(), 0..=ACTIVITIES_MAX), ids()).prop_map(|(mut activities, ids)| {
        for (activity, id) in activities.iter_mut().zip(ids) {
            activity.id = format!("act-{id}");
        }
        activities
    })
}

//! The index and the evaluation agree: what the app answers about generated carts, which it finds the
//! activities of by the keys of their lines, is what `pricing` says of the same carts and activities without
//! an index - while activities are changed, become others, and go.

use std::collections::BTreeMap;

use end_to_end::app::{Place, load};
use end_to_end::promotion::{
    add_part, draft_saved, evaluate, publish, saved, sweep_promotions, withdraw,
};
use end_to_end::seed::{Named, seeds};
use host::{App, Time};
use pricing::activity::{Activity, KeyKind};
use pricing::cart::Cart;
use pricing::decide;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Activities that there may be.
const ACTIVITIES: u32 = 10;
/// Times that some of them change.
const ROUNDS: u32 = 8;
/// Carts after each of them.
const CARTS: u32 = 20;

/// For so long an instance answers by what it has read: which instance that is makes no difference then.
const KNOWN_MS: u64 = 500;

/// For so long the keys of what was replaced stay in the index.
const KEEP_MS: u64 = 5_000;
/// Sweeps after which none of them is left.
const SWEEPS_MAX: u32 = 20;

/// Of each kind few keys, so that lines and activities meet. A key that is a brand is a shop, too.
const KINDS: [(&str, &str, &[&str]); 5] = [
    ("sku", "skus", &["a", "b", "c", "d", "e", "f"]),
    ("spu", "spus", &["p", "q", ""]),
    ("shop", "shops", &["s", "t"]),
    ("brand", "brands", &["s", "v", ""]),
    ("category", "categories", &["w", "x"]),
];
const SCOPES: [&str; 6] = ["sku", "spu", "shop", "brand", "category", "activity"];

fn pick<'a>(random: &mut StdRng, of: &[&'a str]) -> &'a str {
    of.choose(random).expect("there are some")
}

/// One to three keys of one to three kinds, of all of which a line must have one.
fn selector(random: &mut StdRng) -> Value {
    let mut selector = json!({});
    for _ in 0..random.random_range(1..=3) {
        let (_, list, keys) = KINDS.choose(random).expect("there are some");
        let keys: Vec<&str> = keys.iter().copied().filter(|key| !key.is_empty()).collect();
        let some: Vec<&str> =
            (0..random.random_range(1..=3)).map(|_| pick(random, &keys)).collect();
        selector[list] = json!(some);
    }
    selector
}

fn selectors(random: &mut StdRng) -> Value {
    let count = random.random_range(0..=2);
    (0..count).map(|_| selector(random)).collect()
}

fn tier(random: &mut StdRng) -> Value {
    let tiers = [
        json!({"benefit": {"percent_off": {"percent": 15}}}),
        json!({"condition": {"amount_at_least": {"amount": 500}},
               "benefit": {"amount_off": {"amount": 70}}}),
        json!({"condition": {"for_every_quantity": {"quantity": 2}},
               "benefit": {"cheapest_free": {"count": 1}}}),
        json!({"condition": {"quantity_at_least": {"quantity": 3}},
               "benefit": {"gift": {"sku": "g", "quantity": 1}}}),
        json!({"benefit": {"fixed_price": {"amount": 90}}}),
        json!({"condition": {"amount_at_least": {"amount": 900}}, "benefit": "free_shipping"}),
    ];
    tiers.choose(random).expect("there are some").clone()
}

fn activity(random: &mut StdRng) -> Value {
    let products = json!({"include": selectors(random), "exclude": selectors(random)});
    let platforms: &[&str] = if random.random_bool(0.1) { &["web"] } else { &[] };
    let group = ["g", "h"].choose(random).map(|group| json!({"group": group, "mode": "best"}));
    json!({
        "name": "Any", "currency": "CNY", "enabled": random.random_bool(0.9),
        "from": "2026-02-01T00:00:00Z",
        "until": format!("2026-02-{}T00:00:00Z", random.random_range(18..=27)),
        "dimensions": {"products": products, "platforms": platforms},
        "scope": pick(random, &SCOPES),
        "tiers": [tier(random)],
        "stacking": {"layer": random.random_range(0..=1), "priority": random.random_range(0..=2),
                     "exclusive": group.filter(|_| random.random_bool(0.3))},
    })
}

/// A cart of up to eight lines.
fn cart(random: &mut StdRng) -> Value {
    let count = random.random_range(0..=8);
    let line = |number: u32| {
        let mut line = json!({
            "line": number.to_string(), "quantity": random.random_range(1..=4),
            "unit_price": random.random_range(0..=400),
        });
        for (field, _, keys) in KINDS {
            line[field] = json!(pick(random, keys));
        }
        line
    };
    let lines: Vec<Value> = (0..count).map(line).collect();
    let context = json!({"platform": "app", "at": "2026-02-20T00:00:00Z"});
    json!({"currency": "CNY", "context": context, "lines": lines})
}

/// What there should be: the activities as an evaluation without an index takes them.
type Live = BTreeMap<String, Activity>;

fn read(id: &str, definition: &Value) -> Activity {
    let mut activity: Activity = serde_json::from_value(definition.clone()).expect("an activity");
    activity.id = id.to_owned();
    activity
}

/// Changes an activity, or takes it away. A list of SKUs is one more selector.
async fn change(app: &App, random: &mut StdRng, live: &mut Live) {
    let id = format!("a{}", random.random_range(0..ACTIVITIES));
    if random.random_bool(0.15) {
        assert_eq!(withdraw(&id).of(app).await.status, 204);
        live.remove(&id);
        return;
    }
    let mut definition = activity(random);
    if random.random_bool(0.3) {
        let mut whole = definition.clone();
        let parts: Vec<Vec<&str>> = (0..random.random_range(1..=3))
            .map(|_| vec![pick(random, KINDS[0].2), pick(random, KINDS[0].2)])
            .collect();
        let include = &mut whole["dimensions"]["products"]["include"];
        include.as_array_mut().expect("a list").push(json!({ "skus": parts.concat() }));
        live.insert(id.clone(), read(&id, &whole));

        let name = format!("l{}", random.random::<u32>());
        definition["dimensions"]["products"]["sku_list"] =
            json!({"name": name, "parts": parts.len()});
        let version = draft_saved(app, &id, &definition).await;
        for (part, skus) in (1..).zip(&parts) {
            assert_eq!(add_part(&id, part, skus).of(app).await.status, 200);
        }
        assert_eq!(publish(&id, version).of(app).await.status, 200);
        return;
    }
    live.insert(id.clone(), read(&id, &definition));
    if random.random_bool(0.5) {
        saved(app, &id, &definition).await;
    } else {
        let version = draft_saved(app, &id, &definition).await;
        assert_eq!(publish(&id, version).of(app).await.status, 200);
    }
}

/// Takes out of the index whatever is not needed any more.
async fn clean(app: &App) {
    for _ in 0..SWEEPS_MAX {
        let reply = sweep_promotions().of(app).await;
        assert_eq!(reply.status, 200, "{reply:?}: {}", app.stderr());
        if reply.json()["retiring"] == "0" {
            return;
        }
    }
    panic!("after {SWEEPS_MAX} sweeps something is left");
}

/// Whether an activity names something in a cart, which is how the index finds it.
fn names_something(activity: &Activity, cart: &Cart<'_>) -> bool {
    let include = &activity.dimensions.products.include;
    let named = |kind: KeyKind, key: &str| {
        let lists = include.iter().flat_map(|selector| selector.lists());
        lists.into_iter().any(|(of, keys)| of == kind && keys.contains(key))
    };
    let mut keys =
        cart.lines.iter().flat_map(|line| KeyKind::ALL.map(|kind| (kind, line.key(kind))));
    include.is_empty() || keys.any(|(kind, key)| named(kind, key))
}

/// Activities that were given, over all carts: that nothing is checked must not pass unseen.
async fn agree(place: &Place, seed: u64) -> usize {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: 0 };
    // Virtual time ends no instance that is idle, and on the embedded store one makes 256 writes in its life.
    options.reuse.requests = 4;
    let app = load(options).await;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut live, mut given) = (Live::new(), 0);
    for _ in 0..ROUNDS {
        for _ in 0..random.random_range(1..=ACTIVITIES) {
            change(&app, &mut random, &mut live).await;
        }
        app.advance_time(KNOWN_MS);
        if random.random_bool(0.5) {
            app.advance_time(KEEP_MS);
            clean(&app).await;
        }
        for _ in 0..CARTS {
            let text = cart(&mut random).to_string();
            let asked: Value = serde_json::from_str(&text).expect("JSON");
            let cart: Cart<'_> = serde_json::from_str(&text).expect("a cart");
            let reply = evaluate(&asked).of(&app).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let all: Vec<Activity> = live.values().cloned().collect();
            let named = all.iter().filter(|activity| names_something(activity, &cart));
            let named: Vec<Activity> = named.cloned().collect();
            let without_limits = |_: &Activity, _: Option<&str>| u64::MAX;
            let expected = decide::evaluate(&named, &cart, without_limits).expect("a cart");
            let written = serde_json::to_value(&expected).expect("JSON");
            assert_eq!(reply.json(), written, "{text} {named:#?}");
            // Those that name nothing change nothing.
            let of_all = decide::evaluate(&all, &cart, without_limits).expect("a cart");
            assert_eq!(
                (&of_all.lines, &of_all.units),
                (&expected.lines, &expected.units),
                "{text}"
            );
            given += expected.explanations.iter().filter(|one| one.applied).count();
        }
    }
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_what_an_evaluation_of_everything_gives() {
    for seed in seeds() {
        let _named = Named::test(seed);
        for place in Place::all() {
            let given = agree(&place, seed).await;
            assert!(given > 20, "{given} were given on {}", place.name());
        }
    }
}

//! What the store holds, and under which names. Pure.
//!
//! Of the partitions of configuration 16 are the *shelves*; keys and activities are spread over them by
//! their hash, so that whatever a cart names is read with at most 16 commits:
//! - `ai`, the index: a key, its first byte its kind -> [`Mentions`]
//! - `ah`: activity -> [`Head`]
//! - `ad<activity>`: version -> its [`Definition`]
//! - `al<activity>:<set>`: part of a list of SKUs -> its [`SkuPart`]
//! - `am<activity>:<set>`: the parts that are in the index
//! - `ar`: activities with keys in the index that no version needs any more, by the moment since when that is
//!   so of the oldest of them; an ordered set
//! - `au`: activities that are not sealed, by the moment since when something of them is over; an ordered set
//! - `aw`: activities that are sealed, by the moment from when on the next step may be done; an ordered set
//! - `ak`: activity that is sealed to its end -> what it was, an [`Archived`]
//! - `ab`: the same, by the moment when they were; an ordered set
//! - `xs`: hashes of the activities that are sealed to their end
//! - `ap`: SKU -> its [`Offer`](crate::prices::Offer)
//!
//! The list of all activities that are not sealed to their end is [`purchases::activities`]'. How long each record lives is
//! said by [`LIVES`].
//!
//! What orders take of activities is [`purchases::records`]'. Records are written by [`store::codec`]; marks that only
//! have to be there are integers. Names are short, because Redis keeps them with every record.

use domain::answers::unexpected;
use domain::due::{Due, DueIndex};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, MapKey};
use pricing::activity::{Activity, KeyKind};
pub use purchases::activities::{SHELVES, shelf, shelf_of};
use serde::{Deserialize, Serialize};
use store::Record;
use store::codec::Form;
use store::life::{Life, Shape};

use crate::selectors::Selectors;

/// The index's field for activities that name no products.
const EVERYTHING: &str = "*";

/// Activities of a shelf that have key sets to retire: since when the first of them is not needed, and the
/// activity. It follows from the head, and changes with it.
pub const RETIRING: DueIndex = DueIndex("ar");
/// Activities of a shelf that are not sealed: since when something of them is over ([`Head::over_since`]), and the activity.
/// It follows from the head, and changes with it.
pub const OVER: DueIndex = DueIndex("au");
/// Activities of a shelf that are sealed: from when on the next step may be done, and the activity. It follows from the
/// head, and changes with it.
pub const SEALED: DueIndex = DueIndex("aw");
/// Activities of a shelf of which a short record is left: since when, and the activity.
pub const ARCHIVED: DueIndex = DueIndex("ab");

/// The index of a shelf.
pub fn index() -> MapKey {
    "ai".into()
}

/// The heads of a shelf.
pub fn heads() -> MapKey {
    "ah".into()
}

/// The definitions of an activity.
pub fn definitions(activity: &str) -> MapKey {
    MapKey(format!("ad{activity}"))
}

/// The field of a version, or of a part.
pub fn number(number: u64) -> Field {
    Field(number.to_string().into_bytes())
}

/// The parts of a list of SKUs.
pub fn list(activity: &str, set: u64) -> MapKey {
    MapKey(format!("al{activity}:{set}"))
}

/// The parts of a list that are in the index.
pub fn listed(activity: &str, set: u64) -> MapKey {
    MapKey(format!("am{activity}:{set}"))
}

/// Prices and stock states of a shelf.
pub fn offers() -> MapKey {
    "ap".into()
}

/// Short records of activities of a shelf.
pub fn archive() -> MapKey {
    "ak".into()
}

/// What an entry of one of these indexes stands for: an activity, and since when or from when on.
///
/// # Errors
/// It stands for nothing.
pub fn retiring_of(Due { at, what }: Due<'_>) -> Result<(UnixMillis, &str), CommitError> {
    Ok((at, std::str::from_utf8(what).map_err(|_| unexpected())?))
}

/// The index's field of a key, with the shelf that it lies on.
pub fn key(kind: KeyKind, key: &str) -> String {
    let kind = match kind {
        KeyKind::Sku => 's',
        KeyKind::Spu => 'p',
        KeyKind::Shop => 'o',
        KeyKind::Brand => 'b',
        KeyKind::Category => 'c',
    };
    let mut field = String::with_capacity(1 + key.len());
    field.push(kind);
    field.push_str(key);
    field
}

/// The index's field of everything.
pub fn everything() -> String {
    EVERYTHING.to_owned()
}

/// That a key belongs to a key set of an activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention<'a> {
    /// The activity.
    pub activity: &'a str,
    /// The key set.
    pub set: u64,
    /// The selectors that name the key, one bit each.
    pub mask: u64,
}

/// What mentions a key, sorted by activity and key set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mentions<'a>(#[serde(borrow)] pub Vec<Mention<'a>>);

impl Record for Mentions<'_> {
    const NAME: &'static str = "a key's entry in the index";
}

/// The definition of a version as operators wrote it: an [`Activity`], or a reference to one that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition<T>(pub T);

impl<T: Serialize> Record for Definition<T> {
    const NAME: &'static str = "the definition of an activity";
    const FORM: Form = Form::Json;
}

/// The SKUs of a part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuPart<'a>(#[serde(borrow)] pub Vec<&'a str>);

impl Record for SkuPart<'_> {
    const NAME: &'static str = "a part of a list of SKUs";
}

/// What is known of an activity without its keys. It goes when the activity is sealed to its end, and with it the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How often it was changed: of two readings the one with more changes is the later one.
    pub changes: u64,
    /// When somebody began to change it last, in unix milliseconds.
    pub changed_at: i64,
    /// The last version that was given out.
    pub last: u64,
    /// What holds.
    pub live: Option<Version>,
    /// What is being tried.
    pub draft: Option<Version>,
    /// What is on its way to be live without having been a draft.
    pub staged: Option<Version>,
    /// For whom the draft holds.
    pub rollout: Rollout,
    /// Key sets that no version needs any more.
    pub retired: Vec<Retired>,
    /// How far it is sealed, if it is: then it has no version, and never gets one.
    pub sealed: Option<Sealed>,
}

/// How far an activity is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// From when on the next step may be done, in unix milliseconds.
    pub next: i64,
    /// Whether nothing is left of what all users used of it.
    pub is_closed: bool,
    /// What it was.
    pub was: Archived,
}

/// What is left of an activity that is over for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Its name for operators.
    pub name: String,
    /// The last version that was given out.
    pub version: u64,
    /// Its window, of the version that was live at the end, or of its draft; in unix milliseconds.
    pub window: Option<(i64, i64)>,
    /// When it was sealed, in unix milliseconds.
    pub sealed_at: i64,
}

impl Record for Archived {
    const NAME: &'static str = "what an activity was";
}

impl Record for Head {
    const NAME: &'static str = "the head of an activity";
}

/// A version of an activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// Hash of the definition.
    pub digest: u64,
    /// The key set that holds its products: the version that first had it.
    pub set: u64,
    /// Hash of the products.
    pub products: u64,
    /// Whether all keys that it names itself are in the index.
    pub indexed: bool,
    /// Parts of its list of SKUs; 0 where it has none.
    pub parts: u32,
    /// What its products demand.
    pub selectors: Selectors,
    /// The activity, without products.
    pub activity: Activity,
}

/// For whom a draft holds: a part of all users, and some by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// 0 to 100.
    pub percent: u8,
    /// Sorted.
    pub users: Vec<u64>,
}

/// A key set that no version needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The key set.
    pub set: u64,
    /// A version with its products.
    pub version: u64,
    /// Parts of its list of SKUs.
    pub parts: u32,
    /// Since when, in unix milliseconds.
    pub since: i64,
}

/// The kinds of records of this function.
pub const LIVES: &[Life] = &[
    Life {
        name: "ah",
        shape: Shape::Map,
        what: "heads: what is known of each activity without its keys",
        written_by: "publishing, sealing",
        acts: "until the activity is over",
        ends: "field by field, configuration_days after the activity is over, when it is sealed to its end",
    },
    Life {
        name: "ad<activity>",
        shape: Shape::Map,
        what: "the definitions of an activity's versions",
        written_by: "publishing",
        acts: "as long as a version has it, or its keys are in the index",
        ends: "field by field with the versions' keys; the rest when the activity is sealed to its end",
    },
    Life {
        name: "ai",
        shape: Shape::Map,
        what: "the index: which activities name a key",
        written_by: "publishing",
        acts: "as long as a version names the key",
        ends: "mention by mention, some seconds after no version needs it; an hour after the activity is sealed",
    },
    Life {
        name: "al<activity>:<set>",
        shape: Shape::Map,
        what: "the parts of a list of SKUs",
        written_by: "publishing",
        acts: "as long as a version has the list",
        ends: "part by part with the mentions in the index",
    },
    Life {
        name: "am<activity>:<set>",
        shape: Shape::Map,
        what: "which parts of a list are in the index",
        written_by: "publishing",
        acts: "as long as a version has the list",
        ends: "part by part with the mentions in the index",
    },
    Life {
        name: "ar",
        shape: Shape::Ordered,
        what: "activities with keys in the index that no version needs",
        written_by: "publishing",
        acts: "until those keys are out of the index",
        ends: "member by member, when they are",
    },
    Life {
        name: "au",
        shape: Shape::Ordered,
        what: "activities that are not sealed, by when something of them is over",
        written_by: "publishing",
        acts: "until the activity is sealed",
        ends: "member by member, when it is",
    },
    Life {
        name: "av",
        shape: Shape::Ordered,
        what: "the activities that are not sealed to their end",
        written_by: "publishing",
        acts: "until nothing of the activity limits anybody any more",
        ends: "member by member, when the activity is sealed to its end",
    },
    Life {
        name: "aw",
        shape: Shape::Ordered,
        what: "activities that are being sealed",
        written_by: "sealing",
        acts: "until the activity is sealed to its end",
        ends: "member by member, when it is",
    },
    Life {
        name: "ak",
        shape: Shape::Map,
        what: "short records of activities that are sealed to their end",
        written_by: "sealing",
        acts: "never: for operators",
        ends: "field by field, archive_days after the activity was sealed to its end",
    },
    Life {
        name: "ab",
        shape: Shape::Ordered,
        what: "activities with short records, by when they were archived",
        written_by: "sealing",
        acts: "with the short record",
        ends: "member by member with the short records",
    },
    Life {
        name: "ap",
        shape: Shape::Map,
        what: "prices and stock states of SKUs",
        written_by: "changes of prices",
        acts: "for ever: of two changes the later one counts",
        ends: "never: one small field for each SKU that the shop has ever had",
    },
];

#[cfg(test)]
mod tests {
    use domain::transaction::Value;
    use pricing::activity::Activity;
    use serde_json::json;
    use store::codec::{decode, encode, unreadable};

    use super::*;
    use crate::prices::Offer;

    #[test]
    fn what_is_encoded_is_decoded() {
        let activity: Activity = serde_json::from_value(json!({
            "id": "a", "name": "A", "currency": "CNY", "scope": "sku",
            "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z",
            "maximum_discount": "7", "limits": {"per_user": 1, "total": "9", "counted": "by_unit"},
            "tiers": [{"condition": {"for_every_amount": {"amount": 5}},
                       "benefit": {"gift": {"sku": "g", "quantity": 2}}},
                      {"condition": {"quantity_at_least": {"quantity": 2}},
                       "benefit": "free_shipping"}]
        }))
        .unwrap();
        let selectors = Selectors::of(&activity.dimensions.products);
        let version = Version {
            version: 3,
            digest: 1,
            set: 2,
            products: 5,
            indexed: true,
            parts: 0,
            selectors,
            activity,
        };
        let head = Head { last: 3, live: Some(version), ..Head::default() };
        assert_eq!(decode::<Head>(&encode(&head)).unwrap(), head);
        let mentions = Mentions(vec![Mention { activity: "a", set: 2, mask: 1 << 40 }]);
        let value = encode(&mentions);
        assert_eq!(decode::<Mentions<'_>>(&value).unwrap(), mentions);
        let activity = &head.live.as_ref().unwrap().activity;
        let value = encode(&Definition(activity));
        assert_eq!(decode::<Definition<Activity>>(&value).unwrap().0, *activity);
        let part = SkuPart(vec!["a", "b"]);
        assert_eq!(decode::<SkuPart<'_>>(&encode(&part)).unwrap(), part);
    }

    #[test]
    fn an_entry_of_the_index_has_one_byte_beside_its_mentions() {
        let mention = Mention { activity: "a", set: 2, mask: 3 };
        let bytes = postcard::to_allocvec(&vec![mention.clone(), mention.clone()]).unwrap();
        let Value::Bytes(stored) = encode(&Mentions(vec![mention.clone(), mention])) else {
            panic!("no bytes")
        };
        assert_eq!(stored.split_first(), Some((&Head::VERSION, bytes.as_slice())));
    }

    /// A record of this kind that is garbage, of another kind of value, or of a later version is told, by its name.
    #[track_caller]
    fn check_unreadable<'a, T: Record + Deserialize<'a> + std::fmt::Debug>(values: &'a [Value; 3]) {
        let [garbage, integer, newer] = values.each_ref().map(|value| decode::<T>(value));
        assert_eq!(garbage.unwrap_err(), unreadable(T::NAME));
        assert_eq!(integer.unwrap_err(), unreadable(T::NAME));
        let newer = newer.unwrap_err();
        assert!(matches!(&newer, CommitError::Newer(text) if text.contains(T::NAME)), "{newer}");
    }

    #[test]
    fn every_kind_of_record_is_named_where_it_cannot_be_read() {
        let values = [
            Value::Bytes(b"garbage".to_vec()),
            Value::Integer(1),
            Value::Bytes(vec![Head::VERSION + 1]),
        ];
        check_unreadable::<Head>(&values);
        check_unreadable::<Mentions<'_>>(&values);
        check_unreadable::<Definition<Activity>>(&values);
        check_unreadable::<SkuPart<'_>>(&values);
        check_unreadable::<Offer>(&values);
        check_unreadable::<Archived>(&values);
    }

    #[test]
    fn every_record_has_one_life() {
        let lives = |name: &str, shape| {
            LIVES.iter().filter(|life| life.shape == shape && life.matches(name)).count()
        };
        let maps =
            [index(), heads(), definitions("a"), list("a", 1), listed("a", 1), offers(), archive()];
        for map in maps {
            assert_eq!(lives(&map.0, Shape::Map), 1, "{map:?}");
        }
        let lists = [RETIRING, OVER, SEALED, ARCHIVED].map(DueIndex::key);
        for list in lists.into_iter().chain([purchases::activities::listed()]) {
            assert_eq!(lives(&list.0, Shape::Ordered), 1, "{list:?}");
        }
    }

    #[test]
    fn keys_lie_evenly_on_the_shelves() {
        let mut counts = [0_u32; SHELVES as usize];
        for number in 0..16_000 {
            counts[shelf_of(&key(KeyKind::Sku, &format!("SKU-{number}"))) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}

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
//! - `ap`: SKU -> its [`Offer`](crate::prices::Offer)
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

use crate::selectors::Selectors;

/// The index's field for activities that name no products.
const EVERYTHING: &str = "*";

/// Activities of a shelf that have key sets to retire: since when the first of them is not needed, and the
/// activity. It follows from the head, and changes with it.
pub const RETIRING: DueIndex = DueIndex("ar");

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

/// What an entry of [`RETIRING`] stands for: an activity, and since when it has something to retire.
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

/// What is known of an activity without its keys. It never goes away, so that its versions go on.
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

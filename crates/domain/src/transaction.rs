//! The transaction: the one operation of the store.
//!
//! Guards, writes and reads on records of one partition. Guards are checked in order, and what the
//! writes need (types, the range of every addition, something to move) before the first of them; the
//! first that fails refuses the whole, and nothing is written. Else all writes apply, in order and
//! atomically, and the reads see them.
//!
//! A record is a *map* (field -> bytes or integer), an *id set* (`u64` members) or an *ordered set* (members
//! of bytes, read in their order, a page at a time). The kinds are namespaces of their own: a map and an id
//! set of one name are two records.
//!
//! An absent field counts as the integer 0 in guards and additions. A record without fields or members is
//! absent.
//!
//! Integers lie within +-(2^53 - 1) in every back end, because Lua counts in doubles.
//!
//! Whoever lists something, or must find it later, uses an ordered set: a read returns a page and says whether more
//! follow. The first design read any fields of a map. A random sample has no position, so readers took a part for
//! the whole, and found what lay beyond the first thousand only by luck.
//!
//! # Expiry
//!
//! Expiry is a decision: a guard compares a stored moment with `now`. [`Write::CollectAfter`] only frees memory,
//! and [`Write::Keep`] removes the moment again. A record that may still act has none, because a store that is
//! short of memory could evict it. The two exceptions are counts that only limit: a user's packets of a rain, and a
//! user's rate of awards of a scene. A store that evicts those (any policy but `noeviction`) lets a user have more
//! of what the budget still has.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest integer of a record, 2^53 - 1, and -2^53 + 1 the smallest: scripts of Redis count in
/// doubles, so that beyond it no back end may go.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Operations of one transaction. A batch of 1,000 users may lie in one partition, with a guard and
/// a read each.
pub const OPERATIONS_MAX: usize = 2_048;
/// A record's name: two order numbers would fit, which no record needs.
pub const RECORD_BYTES_MAX: usize = 256;
/// A field's name: an order number (185) with something before it.
pub const FIELD_BYTES_MAX: usize = 256;
/// A value: an operation's recorded outcome takes hundreds of bytes, a configuration object some
/// thousands.
pub const VALUE_BYTES_MAX: usize = 65_536;
/// Fields that one read may return.
pub const READ_FIELDS_MAX: u32 = 1_024;

/// What to commit in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The edge's clock in unix milliseconds. Back ends without an expiry of their own collect
    /// records by it; guards never look at it.
    pub now_ms: i64,
    /// Conditions, checked in order.
    pub guards: Vec<Guard>,
    /// Changes, applied in order.
    pub writes: Vec<Write>,
    /// Values to return, as they are after the writes, or unchanged after a refusal.
    pub reads: Vec<Read>,
}

/// The name of a map, unique in its partition. Any bytes but none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapKey(pub String);

/// The name of an id set, unique in its partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetKey(pub String);

/// The name of an ordered set, unique in its partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderedKey(pub String);

/// A member of an ordered set: 1 to 256 bytes of any kind, which are its place in the order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member(pub Vec<u8>);

/// A part of an ordered set: all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Only members behind this one, which need not be in the set.
    pub after: Option<Member>,
    /// Only members in front of this one, which need not be in the set.
    pub below: Option<Member>,
}

/// The name of a field in a map: 1 to 256 bytes of any kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Field(pub Vec<u8>);

/// What a field holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// An integer within +-(2^53 - 1).
    Integer(i64),
    /// At most 65,536 bytes of any kind, none among them.
    Bytes(Vec<u8>),
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// The field is not there. Idempotency: the refusal returns what the first attempt recorded.
    FieldAbsent(MapKey, Field),
    /// The field is there.
    FieldPresent(MapKey, Field),
    /// The field is there with this value, of this type.
    FieldEquals(MapKey, Field, Value),
    /// The field is an integer of at least this; absent counts as 0, bytes are invalid.
    IntegerAtLeast(MapKey, Field, i64),
    /// The field is an integer of at most this; absent counts as 0, bytes are invalid.
    IntegerAtMost(MapKey, Field, i64),
    /// The map has at most this number of fields.
    SizeAtMost(MapKey, u32),
    /// The id is in the set.
    IdPresent(SetKey, u64),
    /// The id is not in the set.
    IdAbsent(SetKey, u64),
    /// The member is in the ordered set.
    MemberPresent(OrderedKey, Member),
    /// The member is not in the ordered set.
    MemberAbsent(OrderedKey, Member),
}

/// A change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// Sets a field, whatever it held.
    Set(MapKey, Field, Value),
    /// Adds to an integer; absent counts as 0. Bytes are invalid, as is a sum beyond the range.
    Add(MapKey, Field, i64),
    /// Removes a field, if it is there.
    Unset(MapKey, Field),
    /// Removes a map with all its fields and its time of collection.
    Drop(MapKey),
    /// Takes any one field out of the first map and puts its value under this field of the second,
    /// so that what was chosen is recorded under the operation's own id. Refused where the first is
    /// empty.
    Move(MapKey, MapKey, Field),
    /// Puts an id into a set, if it is not there.
    Insert(SetKey, u64),
    /// Takes an id out of a set, if it is there.
    Remove(SetKey, u64),
    /// From this moment on (unix milliseconds) the store may collect the map, sooner or later: it
    /// frees memory and decides nothing. Nothing happens where the map is absent. A later call moves
    /// the moment.
    CollectAfter(MapKey, i64),
    /// Takes the time of collection from a map again, if it has one: nothing that may still act has one.
    Keep(MapKey),
    /// Puts a member into an ordered set, if it is not there.
    AddMember(OrderedKey, Member),
    /// Takes a member out of an ordered set, if it is there.
    RemoveMember(OrderedKey, Member),
}

/// A value to return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Read {
    /// The values of these fields, in this order.
    Fields(MapKey, Vec<Field>),
    /// The whole map, sorted by field, or only its size where it has more than this many fields.
    All(MapKey, u32),
    /// The number of fields.
    Size(MapKey),
    /// Whether the id is in the set.
    Contains(SetKey, u64),
    /// Whether the member is in the ordered set.
    HasMember(OrderedKey, Member),
    /// The first members of this part, at most so many.
    Page(OrderedKey, Range, u32),
    /// The number of members of this part.
    Count(OrderedKey, Range),
    /// What the store's own clock says. Only who sets a clock by it reads it: nothing is decided by it, and no guard
    /// looks at it.
    Clock,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every guard held and every write applied; one answer for each read.
    Committed(Vec<Answer>),
    /// Nothing was written.
    Refused(Refusal),
}

/// Which condition failed, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The condition that failed.
    pub failed: Failed,
    /// What it saw.
    pub seen: Seen,
    /// One answer for each read, of the unchanged records.
    pub reads: Vec<Answer>,
}

/// The first condition that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failed {
    /// The guard of this index.
    Guard(usize),
    /// The write of this index, a [`Write::Move`] out of an empty map.
    Write(usize),
}

/// What a failed condition saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// A field's value.
    Field(Option<Value>),
    /// A map's number of fields.
    Size(u64),
    /// Whether an id or a member is in a set.
    Contains(bool),
}

/// The answer to one read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Read::Fields`].
    Fields(Vec<Option<Value>>),
    /// To [`Read::All`], sorted by field.
    Map(Vec<(Field, Value)>),
    /// To [`Read::All`] where the map has more fields than were asked for, to [`Read::Size`] and to
    /// [`Read::Count`].
    Size(u64),
    /// To [`Read::Contains`] and [`Read::HasMember`].
    Contains(bool),
    /// To [`Read::Page`].
    Page(Page),
    /// To [`Read::Clock`]: unix milliseconds; nothing where the store has no clock, or does not tell.
    Clock(Option<i64>),
}

/// Members of an ordered set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In their order.
    pub members: Vec<Member>,
    /// Whether the part that was asked for has further ones: the next page is the part after the last of
    /// these.
    pub has_more: bool,
}

/// Why a transaction is invalid: nothing was written, and asking again gives the same.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Invalid {
    /// More than 2,048 operations.
    #[error("a transaction has at most {OPERATIONS_MAX} operations")]
    TooManyOperations,
    /// A record's name of no bytes or more than 256.
    #[error("the name of a record has 1 to {RECORD_BYTES_MAX} bytes")]
    RecordName,
    /// A field's name of no bytes or more than 256.
    #[error("the name of a field has 1 to {FIELD_BYTES_MAX} bytes")]
    FieldName,
    /// A member of an ordered set of no bytes or more than 256.
    #[error("a member of an ordered set has 1 to {FIELD_BYTES_MAX} bytes")]
    MemberSize,
    /// A value of more than 65,536 bytes.
    #[error("a value has at most {VALUE_BYTES_MAX} bytes")]
    ValueSize,
    /// An integer outside of +-(2^53 - 1) in the transaction itself.
    #[error("an integer lies within +-(2^53 - 1)")]
    IntegerRange,
    /// A read of no fields or members, or more than 1,024.
    #[error("a read returns 1 to {READ_FIELDS_MAX} fields or members")]
    ReadSize,
    /// An integer was asked of a field that holds bytes.
    #[error("a field holds bytes where an integer is needed")]
    NotAnInteger,
    /// A sum would leave +-(2^53 - 1).
    #[error("a sum would leave +-(2^53 - 1)")]
    Overflow,
}

/// Why a commit gave no outcome.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Nothing happened: the store could not be reached or did not accept the transaction.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// It may have happened, or may happen even later. Asking again is safe.
    #[error("store did not answer: {0}")]
    Unknown(String),
    /// The transaction itself is at fault. Nothing happened.
    #[error("invalid transaction: {0}")]
    Invalid(#[from] Invalid),
    /// The store was laid out otherwise (another number of partitions), or refuses this app. Nothing happened.
    #[error("store is not usable: {0}")]
    Unusable(String),
    /// A record that is needed is not what this app writes, or is missing where another one names it. Nothing
    /// happened.
    #[error("record unreadable: {0}")]
    Unreadable(String),
    /// A record that is needed was written by a newer version of this app. Nothing happened.
    #[error("record of a newer version: {0}")]
    Newer(String),
}

impl CommitError {
    /// Whether the transaction or the records that it names are at fault, and not the store: it says nothing of
    /// other records, and asking again gives the same.
    pub fn is_of_records(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Unreadable(_) | Self::Newer(_) => true,
            Self::Unavailable(_) | Self::Unknown(_) | Self::Unusable(_) => false,
        }
    }

    /// Whether a record cannot be read: its bytes are no record of this version, a field holds bytes where this app writes
    /// integers, or a count that it would never reach.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_)
                | Self::Newer(_)
                | Self::Invalid(Invalid::NotAnInteger | Invalid::Overflow)
        )
    }
}

impl Transaction {
    /// Checks everything that can be told without the store. Back ends call it first, so that all of
    /// them refuse the same.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.guards.len() + self.writes.len() + self.reads.len() > OPERATIONS_MAX {
            return Err(Invalid::TooManyOperations);
        }
        self.guards.iter().try_for_each(Guard::validate)?;
        self.writes.iter().try_for_each(Write::validate)?;
        self.reads.iter().try_for_each(Read::validate)
    }

    /// Whether it can change nothing.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty()
    }
}

impl Guard {
    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::FieldAbsent(map, field) | Self::FieldPresent(map, field) => {
                name(&map.0).and(field.validate())
            }
            Self::FieldEquals(map, field, value) => {
                name(&map.0).and(field.validate()).and(value.validate())
            }
            Self::IntegerAtLeast(map, field, bound) | Self::IntegerAtMost(map, field, bound) => {
                name(&map.0).and(field.validate()).and(integer(*bound))
            }
            Self::SizeAtMost(map, _) => name(&map.0),
            Self::IdPresent(set, _) | Self::IdAbsent(set, _) => name(&set.0),
            Self::MemberPresent(set, member) | Self::MemberAbsent(set, member) => {
                name(&set.0).and(member.validate())
            }
        }
    }
}

impl Write {
    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Set(map, field, value) => {
                name(&map.0).and(field.validate()).and(value.validate())
            }
            Self::Add(map, field, delta) => name(&map.0).and(field.validate()).and(integer(*delta)),
            Self::Unset(map, field) => name(&map.0).and(field.validate()),
            Self::Drop(map) | Self::Keep(map) => name(&map.0),
            Self::Move(from, to, field) => name(&from.0).and(name(&to.0)).and(field.validate()),
            Self::Insert(set, _) | Self::Remove(set, _) => name(&set.0),
            Self::CollectAfter(map, at_ms) => name(&map.0).and(integer(*at_ms)),
            Self::AddMember(set, member) | Self::RemoveMember(set, member) => {
                name(&set.0).and(member.validate())
            }
        }
    }
}

impl Read {
    fn validate(&self) -> Result<(), Invalid> {
        let size = |fields: usize| {
            let fits = (1..=READ_FIELDS_MAX as usize).contains(&fields);
            if fits { Ok(()) } else { Err(Invalid::ReadSize) }
        };
        match self {
            Self::Fields(map, fields) => name(&map.0)
                .and(size(fields.len()))
                .and(fields.iter().try_for_each(Field::validate)),
            Self::All(map, limit) => name(&map.0).and(size(*limit as usize)),
            Self::Size(map) => name(&map.0),
            Self::Contains(set, _) => name(&set.0),
            Self::Page(set, range, limit) => {
                name(&set.0).and(range.validate()).and(size(*limit as usize))
            }
            Self::Count(set, range) => name(&set.0).and(range.validate()),
            Self::HasMember(set, member) => name(&set.0).and(member.validate()),
            Self::Clock => Ok(()),
        }
    }
}

impl Range {
    fn validate(&self) -> Result<(), Invalid> {
        self.after.iter().chain(&self.below).try_for_each(Member::validate)
    }
}

impl Member {
    fn validate(&self) -> Result<(), Invalid> {
        let fits = (1..=FIELD_BYTES_MAX).contains(&self.0.len());
        if fits { Ok(()) } else { Err(Invalid::MemberSize) }
    }
}

impl Field {
    fn validate(&self) -> Result<(), Invalid> {
        let fits = (1..=FIELD_BYTES_MAX).contains(&self.0.len());
        if fits { Ok(()) } else { Err(Invalid::FieldName) }
    }
}

impl Value {
    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Integer(value) => integer(*value),
            Self::Bytes(bytes) if bytes.len() > VALUE_BYTES_MAX => Err(Invalid::ValueSize),
            Self::Bytes(_) => Ok(()),
        }
    }
}

fn name(name: &str) -> Result<(), Invalid> {
    let fits = (1..=RECORD_BYTES_MAX).contains(&name.len());
    if fits { Ok(()) } else { Err(Invalid::RecordName) }
}

fn integer(value: i64) -> Result<(), Invalid> {
    let fits = (-INTEGER_MAX..=INTEGER_MAX).contains(&value);
    if fits { Ok(()) } else { Err(Invalid::IntegerRange) }
}

impl From<&str> for MapKey {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<&str> for SetKey {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<&str> for OrderedKey {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<&str> for Member {
    fn from(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl From<&str> for Field {
    fn from(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Field(b\"{}\")", self.0.escape_ascii())
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Member(b\"{}\")", self.0.escape_ascii())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(formatter, "Integer({value})"),
            Self::Bytes(bytes) => write!(formatter, "Bytes(b\"{}\")", bytes.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(write: Write) -> Transaction {
        Transaction { writes: vec![write], ..Transaction::default() }
    }

    #[test]
    fn limits_are_refused_by_name() {
        let map = || MapKey::from("map");
        let field = || Field::from("field");
        let table = [
            (Write::Set(map(), field(), Value::Integer(INTEGER_MAX)), Ok(())),
            (
                Write::Set(map(), field(), Value::Integer(INTEGER_MAX + 1)),
                Err(Invalid::IntegerRange),
            ),
            (Write::Add(map(), field(), i64::MIN), Err(Invalid::IntegerRange)),
            (Write::Set(map(), field(), Value::Bytes(vec![0; VALUE_BYTES_MAX])), Ok(())),
            (
                Write::Set(map(), field(), Value::Bytes(vec![0; VALUE_BYTES_MAX + 1])),
                Err(Invalid::ValueSize),
            ),
            (Write::Drop(MapKey::from("")), Err(Invalid::RecordName)),
            (Write::Drop(MapKey("m".repeat(RECORD_BYTES_MAX + 1))), Err(Invalid::RecordName)),
            (Write::Unset(map(), Field(vec![])), Err(Invalid::FieldName)),
            (Write::Unset(map(), Field(vec![0; FIELD_BYTES_MAX + 1])), Err(Invalid::FieldName)),
            (Write::AddMember("set".into(), "m".into()), Ok(())),
            (Write::AddMember("set".into(), Member(vec![])), Err(Invalid::MemberSize)),
            (Write::RemoveMember("".into(), "m".into()), Err(Invalid::RecordName)),
        ];
        for (write, expected) in table {
            assert_eq!(transaction(write.clone()).validate(), expected, "{write:?}");
        }
        let reads = |read| Transaction { reads: vec![read], ..Transaction::default() }.validate();
        assert_eq!(reads(Read::All(map(), 0)), Err(Invalid::ReadSize));
        assert_eq!(reads(Read::All(map(), READ_FIELDS_MAX + 1)), Err(Invalid::ReadSize));
        assert_eq!(reads(Read::Fields(map(), vec![])), Err(Invalid::ReadSize));
        let page = |range, limit| reads(Read::Page("set".into(), range, limit));
        assert_eq!(page(Range::default(), READ_FIELDS_MAX + 1), Err(Invalid::ReadSize));
        let below = Some(Member(vec![0; FIELD_BYTES_MAX + 1]));
        assert_eq!(page(Range { below, after: None }, 1), Err(Invalid::MemberSize));
        let many = vec![Read::Size(map()); OPERATIONS_MAX + 1];
        let many = Transaction { reads: many, ..Transaction::default() };
        assert_eq!(many.validate(), Err(Invalid::TooManyOperations));
    }
}

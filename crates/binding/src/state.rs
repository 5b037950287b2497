//! What a partition holds, and what a transaction makes of it: a pure function.
//!
//! The semantics of a transaction exist twice: here, for [`crate::memory`] and [`crate::kv`], and in
//! the script of [`crate::redis`]. The conformance suite holds them against each other.

use litemap::LiteMap;
use std::borrow::Cow;

use domain::transaction::{
    Answer, Failed, Field, Guard, INTEGER_MAX, Invalid, MapKey, Member, OrderedKey, Outcome, Page,
    Range, Read, Refusal, Seen, SetKey, Transaction, Value, Write,
};

/// The records of one partition. A map without fields and a set without members are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// The maps.
    pub maps: LiteMap<MapKey, Map>,
    /// The id sets.
    pub id_sets: LiteMap<SetKey, LiteMap<u64, ()>>,
    /// The ordered sets.
    pub ordered_sets: LiteMap<OrderedKey, LiteMap<Member, ()>>,
}

/// A map and its time of collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// The fields, at least one.
    pub fields: LiteMap<Field, Value>,
    /// From when on the map may go, in unix milliseconds.
    pub collect_after_ms: Option<i64>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer.
    pub outcome: Outcome,
    /// The records from now on; `None` where nothing changed.
    pub next: Option<PartitionState>,
}

/// Which field a [`Write::Move`] takes, out of the fields of a map that has at least one. It may be
/// any; the arguments tell the move apart.
pub type Choice<'a> = &'a mut dyn FnMut(Move<'_>, &LiteMap<Field, Value>) -> Field;

/// The parts of a [`Write::Move`].
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The map to take from.
    pub from: &'a MapKey,
    /// The map to put into.
    pub to: &'a MapKey,
    /// The field to put it under.
    pub field: &'a Field,
}

/// What stopped the writes.
enum Stop {
    NothingToMove,
    Invalid(Invalid),
}

impl PartitionState {
    /// Applies a transaction. A move takes the first field in the order of bytes.
    ///
    /// # Errors
    /// The transaction asks for what the records do not allow; nothing is changed.
    pub fn apply(&self, transaction: &Transaction) -> Result<Applied, Invalid> {
        let mut first = |_: Move<'_>, fields: &LiteMap<Field, Value>| {
            // A map in the state has at least one field.
            fields.keys().next().cloned().unwrap_or_else(|| Field(Vec::new()))
        };
        self.apply_choosing(transaction, &mut first)
    }

    /// As [`PartitionState::apply`], with a choice of what a move takes: a test makes the one that
    /// another back end made.
    ///
    /// # Errors
    /// As [`PartitionState::apply`].
    pub fn apply_choosing(
        &self,
        transaction: &Transaction,
        choice: Choice<'_>,
    ) -> Result<Applied, Invalid> {
        let current = self.collected(transaction.now_ms);
        for (index, guard) in transaction.guards.iter().enumerate() {
            if let Some(seen) = current.fails(guard)? {
                let outcome = current.refused(transaction, Failed::Guard(index), seen);
                return Ok(Applied { outcome, next: None });
            }
        }
        let mut next = Cow::Borrowed(&*current);
        let mut changed = false;
        for (index, write) in transaction.writes.iter().enumerate() {
            match next.to_mut().write(write, transaction.now_ms, choice) {
                Ok(here) => changed |= here,
                Err(Stop::Invalid(invalid)) => return Err(invalid),
                Err(Stop::NothingToMove) => {
                    let failed = Failed::Write(index);
                    let outcome = current.refused(transaction, failed, Seen::Size(0));
                    return Ok(Applied { outcome, next: None });
                }
            }
        }
        let outcome = Outcome::Committed(next.read_all(transaction));
        Ok(Applied { outcome, next: changed.then(|| next.into_owned()) })
    }

    /// The records without those whose time of collection has come.
    fn collected(&self, now_ms: i64) -> Cow<'_, Self> {
        let due = |map: &Map| map.collect_after_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if !self.maps.values().any(due) {
            return Cow::Borrowed(self);
        }
        let mut kept = self.clone();
        kept.maps.retain(|_, map| !due(map));
        Cow::Owned(kept)
    }

    fn refused(&self, transaction: &Transaction, failed: Failed, seen: Seen) -> Outcome {
        Outcome::Refused(Refusal { failed, seen, reads: self.read_all(transaction) })
    }

    fn field(&self, map: &MapKey, field: &Field) -> Option<&Value> {
        self.maps.get(map)?.fields.get(field)
    }

    fn integer(&self, map: &MapKey, field: &Field) -> Result<i64, Invalid> {
        match self.field(map, field) {
            None => Ok(0),
            Some(Value::Integer(value)) => Ok(*value),
            Some(Value::Bytes(_)) => Err(Invalid::NotAnInteger),
        }
    }

    fn size(&self, map: &MapKey) -> u64 {
        self.maps.get(map).map_or(0, |map| map.fields.len() as u64)
    }

    fn contains(&self, set: &SetKey, id: u64) -> bool {
        self.id_sets.get(set).is_some_and(|ids| ids.contains_key(&id))
    }

    fn has_member(&self, set: &OrderedKey, member: &Member) -> bool {
        self.ordered_sets.get(set).is_some_and(|members| members.contains_key(member))
    }

    /// The members of a part of an ordered set.
    fn members(&self, set: &OrderedKey, range: &Range) -> impl Iterator<Item = &Member> {
        let Range { after, below } = range.clone();
        let all = self.ordered_sets.get(set).into_iter().flat_map(LiteMap::keys);
        all.filter(move |member| {
            after.as_ref().is_none_or(|after| *member > after)
                && below.as_ref().is_none_or(|below| *member < below)
        })
    }

    /// What a guard that does not hold saw.
    fn fails(&self, guard: &Guard) -> Result<Option<Seen>, Invalid> {
        let field = |map, name| Seen::Field(self.field(map, name).cloned());
        let (holds, seen) = match guard {
            Guard::FieldAbsent(map, name) => (self.field(map, name).is_none(), field(map, name)),
            Guard::FieldPresent(map, name) => (self.field(map, name).is_some(), field(map, name)),
            Guard::FieldEquals(map, name, value) => {
                (self.field(map, name) == Some(value), field(map, name))
            }
            Guard::IntegerAtLeast(map, name, least) => {
                (self.integer(map, name)? >= *least, field(map, name))
            }
            Guard::IntegerAtMost(map, name, most) => {
                (self.integer(map, name)? <= *most, field(map, name))
            }
            Guard::SizeAtMost(map, most) => {
                (self.size(map) <= u64::from(*most), Seen::Size(self.size(map)))
            }
            Guard::IdPresent(set, id) => {
                (self.contains(set, *id), Seen::Contains(self.contains(set, *id)))
            }
            Guard::IdAbsent(set, id) => {
                (!self.contains(set, *id), Seen::Contains(self.contains(set, *id)))
            }
            Guard::MemberPresent(set, member) => {
                (self.has_member(set, member), Seen::Contains(self.has_member(set, member)))
            }
            Guard::MemberAbsent(set, member) => {
                (!self.has_member(set, member), Seen::Contains(self.has_member(set, member)))
            }
        };
        Ok((!holds).then_some(seen))
    }

    fn write(&mut self, write: &Write, now_ms: i64, choice: Choice<'_>) -> Result<bool, Stop> {
        let changed = match write {
            Write::Set(map, field, value) => self.set(map, field, value.clone()),
            Write::Add(map, field, delta) => {
                let sum = self.integer(map, field).map_err(Stop::Invalid)? + delta;
                if !(-INTEGER_MAX..=INTEGER_MAX).contains(&sum) {
                    return Err(Stop::Invalid(Invalid::Overflow));
                }
                self.set(map, field, Value::Integer(sum))
            }
            Write::Unset(map, field) => self.unset(map, field).is_some(),
            Write::Drop(map) => self.maps.remove(map).is_some(),
            Write::Move(from, to, field) => {
                let fields = &self.maps.get(from).ok_or(Stop::NothingToMove)?.fields;
                let chosen = choice(Move { from, to, field }, fields);
                let value = self.unset(from, &chosen).ok_or(Stop::NothingToMove)?;
                self.set(to, field, value);
                true
            }
            Write::Insert(set, id) => {
                self.id_sets.entry(set.clone()).or_default().insert(*id, ()).is_none()
            }
            Write::Remove(set, id) => {
                let Some(ids) = self.id_sets.get_mut(set) else { return Ok(false) };
                let removed = ids.remove(id).is_some();
                if ids.is_empty() {
                    self.id_sets.remove(set);
                }
                removed
            }
            Write::CollectAfter(map, at_ms) if *at_ms <= now_ms => self.maps.remove(map).is_some(),
            Write::CollectAfter(map, at_ms) => {
                let Some(map) = self.maps.get_mut(map) else { return Ok(false) };
                map.collect_after_ms.replace(*at_ms) != Some(*at_ms)
            }
            Write::Keep(map) => {
                self.maps.get_mut(map).is_some_and(|map| map.collect_after_ms.take().is_some())
            }
            Write::AddMember(set, member) => {
                let members = self.ordered_sets.entry(set.clone()).or_default();
                members.insert(member.clone(), ()).is_none()
            }
            Write::RemoveMember(set, member) => {
                let Some(members) = self.ordered_sets.get_mut(set) else { return Ok(false) };
                let removed = members.remove(member).is_some();
                if members.is_empty() {
                    self.ordered_sets.remove(set);
                }
                removed
            }
        };
        Ok(changed)
    }

    /// Sets a field, and says whether it was something else before.
    fn set(&mut self, map: &MapKey, field: &Field, value: Value) -> bool {
        let fields = &mut self.maps.entry(map.clone()).or_default().fields;
        if fields.get(field) == Some(&value) {
            return false;
        }
        fields.insert(field.clone(), value);
        true
    }

    fn unset(&mut self, map: &MapKey, field: &Field) -> Option<Value> {
        let fields = &mut self.maps.get_mut(map)?.fields;
        let value = fields.remove(field);
        if fields.is_empty() {
            self.maps.remove(map);
        }
        value
    }

    fn read_all(&self, transaction: &Transaction) -> Vec<Answer> {
        transaction.reads.iter().map(|read| self.read(read)).collect()
    }

    fn read(&self, read: &Read) -> Answer {
        match read {
            Read::Fields(map, fields) => {
                let values = fields.iter().map(|field| self.field(map, field).cloned());
                Answer::Fields(values.collect())
            }
            Read::All(map, most) if self.size(map) > u64::from(*most) => {
                Answer::Size(self.size(map))
            }
            Read::All(map, _) => {
                let fields = self.maps.get(map).into_iter().flat_map(|map| &map.fields);
                Answer::Map(fields.map(|(field, value)| (field.clone(), value.clone())).collect())
            }
            Read::Size(map) => Answer::Size(self.size(map)),
            Read::Contains(set, id) => Answer::Contains(self.contains(set, *id)),
            Read::HasMember(set, member) => Answer::Contains(self.has_member(set, member)),
            Read::Page(set, range, most) => {
                let mut rest = self.members(set, range);
                let members = rest.by_ref().take(*most as usize).cloned().collect();
                Answer::Page(Page { members, has_more: rest.next().is_some() })
            }
            Read::Count(set, range) => Answer::Size(self.members(set, range).count() as u64),
            // A partition has none.
            Read::Clock => Answer::Clock(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> MapKey {
        MapKey::from("map")
    }

    fn write(state: &PartitionState, now_ms: i64, writes: Vec<Write>) -> PartitionState {
        let transaction = Transaction { now_ms, writes, ..Transaction::default() };
        state.apply(&transaction).unwrap().next.unwrap_or_else(|| state.clone())
    }

    fn set(field: &str) -> Write {
        Write::Set(map(), field.into(), Value::Integer(1))
    }

    #[test]
    fn a_refusal_in_the_middle_of_the_writes_changes_nothing_and_reads_the_old() {
        let state = write(&PartitionState::default(), 0, vec![set("a")]);
        let transaction = Transaction {
            writes: vec![set("b"), Write::Move("none".into(), map(), "c".into())],
            reads: vec![Read::Size(map())],
            ..Transaction::default()
        };
        let applied = state.apply(&transaction).unwrap();
        assert_eq!(applied.next, None);
        let Outcome::Refused(refusal) = applied.outcome else { panic!("it was not refused") };
        assert_eq!(refusal.failed, Failed::Write(1));
        assert_eq!(refusal.reads, [Answer::Size(1)]);
    }

    #[test]
    fn a_map_whose_time_has_come_is_gone_and_a_new_one_has_no_time() {
        let collect = Write::CollectAfter(map(), 10);
        let state = write(&PartitionState::default(), 5, vec![set("a"), collect]);
        let read = |now_ms| Transaction {
            now_ms,
            reads: vec![Read::Size(map())],
            ..Transaction::default()
        };
        let size = |state: &PartitionState, now_ms| state.apply(&read(now_ms)).unwrap().outcome;
        assert_eq!(size(&state, 9), Outcome::Committed(vec![Answer::Size(1)]));
        assert_eq!(size(&state, 10), Outcome::Committed(vec![Answer::Size(0)]));
        let again = write(&state, 10, vec![set("b")]);
        assert_eq!(size(&again, 1_000), Outcome::Committed(vec![Answer::Size(1)]));
    }

    #[test]
    fn what_changes_nothing_has_no_next_state() {
        let state = write(&PartitionState::default(), 0, vec![set("a")]);
        let transaction = Transaction {
            writes: vec![set("a"), Write::Unset(map(), "b".into())],
            ..Transaction::default()
        };
        assert_eq!(state.apply(&transaction).unwrap().next, None);
    }
}

//! The partitions of a cell as bytes, for a store that keeps them as one value.
//!
//! A version byte, then postcard. Ids are written as differences between sorted neighbours, seven
//! bits a byte: one byte for each of a dense run.

use litemap::LiteMap;

use domain::transaction::{Field, MapKey, Member, OrderedKey, SetKey, Value};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cell::CellState;
use crate::state::PartitionState;

/// The first byte. Another one means another encoding.
const VERSION: u8 = 1;

/// The bytes are not the partitions of a cell, or those cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// The first byte names another version.
    #[error("the encoding has version {0:?}, and this binding reads version {VERSION}")]
    Version(Option<u8>),
    /// What follows is not what the version says.
    #[error("the encoding is broken: {0}")]
    Broken(String),
}

/// One thing that a cell holds. A cell is a list of these and nothing nested, so that the code that
/// every component carries for it is small. An empty name of a partition or record means the one of
/// the row before.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    partition: &'a str,
    record: &'a str,
    kind: u8,
    field: &'a [u8],
    value: &'a [u8],
}

/// A field that holds bytes: its name and value.
const BYTES: u8 = 0;
/// A field that holds an integer: its name, and 8 bytes, little-endian.
const INTEGER: u8 = 1;
/// A map's time of collection: 8 bytes, little-endian. It comes after the map's first field.
const COLLECT_AFTER: u8 = 2;
/// An id set: its ids.
const IDS: u8 = 3;
/// A member of an ordered set.
const MEMBER: u8 = 4;

/// Writes the partitions of a cell.
///
/// # Errors
/// Only what postcard can fail with; none is known for these types.
pub fn encode(cell: &CellState) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = vec![VERSION];
    let mut write = |row: Row<'_>| {
        bytes = postcard::to_extend(&row, std::mem::take(&mut bytes)).map_err(broken)?;
        Ok(())
    };
    for (partition, state) in cell.0.iter() {
        let mut partition = partition.as_str();
        for (MapKey(record), map) in state.maps.iter() {
            let mut record = record.as_str();
            for (Field(field), value) in map.fields.iter() {
                let integer;
                let (kind, value) = match value {
                    Value::Bytes(bytes) => (BYTES, bytes.as_slice()),
                    Value::Integer(value) => {
                        integer = value.to_le_bytes();
                        (INTEGER, integer.as_slice())
                    }
                };
                write(Row { partition, record, kind, field, value })?;
                (partition, record) = ("", "");
            }
            if let Some(at_ms) = map.collect_after_ms {
                let value = &at_ms.to_le_bytes();
                write(Row { partition, record, kind: COLLECT_AFTER, field: &[], value })?;
            }
        }
        for (SetKey(record), ids) in state.id_sets.iter() {
            let value = &encode_ids(ids);
            write(Row { partition, record, kind: IDS, field: &[], value })?;
            partition = "";
        }
        for (OrderedKey(record), members) in state.ordered_sets.iter() {
            let mut record = record.as_str();
            for Member(member) in members.keys() {
                write(Row { partition, record, kind: MEMBER, field: member, value: &[] })?;
                (partition, record) = ("", "");
            }
        }
    }
    Ok(bytes)
}

/// Reads the partitions of a cell.
///
/// # Errors
/// The bytes are not such.
pub fn decode(bytes: &[u8]) -> Result<CellState, EncodingError> {
    let Some((&VERSION, mut rest)) = bytes.split_first() else {
        return Err(EncodingError::Version(bytes.first().copied()));
    };
    let mut cell = CellState::default();
    let (mut partition, mut record) = ("", "");
    while !rest.is_empty() {
        let (row, left) = postcard::take_from_bytes::<Row<'_>>(rest).map_err(broken)?;
        rest = left;
        if !row.partition.is_empty() {
            partition = row.partition;
        }
        if !row.record.is_empty() {
            record = row.record;
        }
        let state = cell.0.entry(partition.to_owned()).or_default();
        add(state, record, &row).ok_or_else(|| {
            EncodingError::Broken(format!("partition {partition}, record {record}"))
        })?;
    }
    Ok(cell)
}

/// Puts what a row says into its partition; `None` where it is no sensible row.
fn add(state: &mut PartitionState, record: &str, row: &Row<'_>) -> Option<()> {
    let integer = || Some(i64::from_le_bytes(row.value.try_into().ok()?));
    match row.kind {
        BYTES | INTEGER => {
            let value = match row.kind {
                BYTES => Value::Bytes(row.value.to_vec()),
                _ => Value::Integer(integer()?),
            };
            let map = state.maps.entry(record.into()).or_default();
            map.fields.insert(Field(row.field.to_vec()), value);
        }
        COLLECT_AFTER => {
            state.maps.get_mut(&MapKey::from(record))?.collect_after_ms = Some(integer()?);
        }
        IDS => {
            state.id_sets.insert(record.into(), decode_ids(row.value)?);
        }
        MEMBER => {
            let members = state.ordered_sets.entry(record.into()).or_default();
            members.insert(Member(row.field.to_vec()), ());
        }
        _ => return None,
    }
    Some(())
}

fn broken(error: postcard::Error) -> EncodingError {
    EncodingError::Broken(error.to_string())
}

fn encode_ids(ids: &LiteMap<u64, ()>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len());
    let mut before = 0;
    for id in ids.keys() {
        let mut rest = id - before;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        before = *id;
    }
    bytes
}

fn decode_ids(bytes: &[u8]) -> Option<LiteMap<u64, ()>> {
    let mut ids = LiteMap::new_vec();
    let (mut before, mut difference, mut shift) = (0_u64, 0_u64, 0_u32);
    for byte in bytes {
        let part = u64::from(byte & 0x7f);
        // Nine whole groups of seven bits, and one bit of the tenth.
        if shift > 63 || (shift == 63 && part > 1) {
            return None;
        }
        difference |= part << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            before = before.checked_add(difference)?;
            // Equal neighbours would be no set.
            if ids.try_append(before, ()).is_some() {
                return None;
            }
            (difference, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(ids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Map;

    fn set(ids: impl IntoIterator<Item = u64>) -> LiteMap<u64, ()> {
        ids.into_iter().map(|id| (id, ())).collect()
    }

    fn state(ids: impl IntoIterator<Item = u64>) -> CellState {
        let fields =
            [(Field(vec![0xff, 0]), Value::Bytes(vec![])), ("n".into(), Value::Integer(-1))];
        let map = Map { fields: fields.into_iter().collect(), collect_after_ms: Some(7) };
        let mut state = PartitionState::default();
        state.maps.insert("map".into(), map);
        state.id_sets.insert("set".into(), set(ids));
        let members = [Member(vec![0]), Member(vec![0, 0]), Member(vec![0xff])];
        let members = members.into_iter().map(|member| (member, ())).collect();
        state.ordered_sets.insert("ordered".into(), members);
        CellState([("7".to_owned(), state)].into_iter().collect())
    }

    #[test]
    fn a_dense_run_takes_a_byte_an_id() {
        let ids = set(90_000_000..90_004_000);
        assert!(encode_ids(&ids).len() <= 4_003);
    }

    #[test]
    fn broken_bytes_are_refused() {
        let bytes = encode(&state([0, 1, u64::MAX])).unwrap();
        assert_eq!(decode(&[]), Err(EncodingError::Version(None)));
        assert_eq!(decode(&[9, 1, 2]), Err(EncodingError::Version(Some(9))));
        for end in 1..bytes.len() {
            // Between two rows the rest is a cell of its own, and not the same.
            assert_ne!(decode(&bytes[..end]), Ok(state([0, 1, u64::MAX])), "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode(&longer).is_err());
        assert_eq!(decode_ids(&[0xff; 9]), None);
        assert_eq!(decode_ids(&[[0xff; 9].as_slice(), &[2]].concat()), None);
    }

    proptest! {
        #[test]
        fn a_partition_is_itself_again(ids in proptest::collection::btree_set(any::<u64>(), 0..50)) {
            let state = state(ids);
            prop_assert_eq!(decode(&encode(&state).unwrap()), Ok(state));
        }
    }
}

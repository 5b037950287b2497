//! The partitions of a cell as bytes, for a store that keeps them as one value.
//!
//! A version byte, then postcard. Ids are written as differences between sorted neighbours, seven
//! bits a byte: one byte for each of a dense run.

use litemap::LiteMap;

use domain::transaction::{Field, MapKey, SetKey, Value};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kv::CellState;
use crate::state::{Map, PartitionState};

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

/// Name, fields, time of collection.
type WireMap<K, F, V> = (K, Vec<(F, V)>, Option<i64>);

/// In the order of the keys, which is how a [`LiteMap`] gives them: so that reading needs no sort.
#[derive(Serialize)]
struct WireOut<'a> {
    partition: &'a str,
    maps: Vec<WireMap<&'a MapKey, &'a Field, &'a Value>>,
    id_sets: Vec<(&'a SetKey, Vec<u8>)>,
}

#[derive(Deserialize)]
struct WireIn {
    partition: String,
    maps: Vec<WireMap<MapKey, Field, Value>>,
    id_sets: Vec<(SetKey, Vec<u8>)>,
}

/// Writes the partitions of a cell.
///
/// # Errors
/// Only what postcard can fail with; none is known for these types.
pub fn encode(cell: &CellState) -> Result<Vec<u8>, EncodingError> {
    let partitions = cell.0.iter().map(|(partition, state)| {
        let maps = state.maps.iter();
        let maps = maps.map(|(key, map)| (key, map.fields.iter().collect(), map.collect_after_ms));
        let id_sets = state.id_sets.iter().map(|(key, ids)| (key, encode_ids(ids)));
        WireOut { partition, maps: maps.collect(), id_sets: id_sets.collect() }
    });
    postcard::to_extend(&partitions.collect::<Vec<_>>(), vec![VERSION]).map_err(broken)
}

/// Reads the partitions of a cell.
///
/// # Errors
/// The bytes are not such.
pub fn decode(bytes: &[u8]) -> Result<CellState, EncodingError> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(EncodingError::Version(bytes.first().copied()));
    };
    let (partitions, left) = postcard::take_from_bytes::<Vec<WireIn>>(rest).map_err(broken)?;
    if !left.is_empty() {
        return Err(EncodingError::Broken(format!("{} bytes too many", left.len())));
    }
    let mut cell = CellState::default();
    for WireIn { partition, maps, id_sets } in partitions {
        append(&mut cell.0, partition, decode_partition(maps, id_sets)?)?;
    }
    Ok(cell)
}

fn decode_partition(
    maps: Vec<WireMap<MapKey, Field, Value>>,
    id_sets: Vec<(SetKey, Vec<u8>)>,
) -> Result<PartitionState, EncodingError> {
    let mut state = PartitionState::default();
    for (key, fields, collect_after_ms) in maps {
        let mut map = Map { fields: LiteMap::new_vec(), collect_after_ms };
        for (field, value) in fields {
            append(&mut map.fields, field, value)?;
        }
        append(&mut state.maps, key, map)?;
    }
    for (key, ids) in id_sets {
        let ids = decode_ids(&ids)
            .ok_or_else(|| EncodingError::Broken(format!("the ids of {}", key.0)))?;
        append(&mut state.id_sets, key, ids)?;
    }
    Ok(state)
}

/// Puts what comes next in the order of the keys.
fn append<K: Ord, V>(map: &mut LiteMap<K, V>, key: K, value: V) -> Result<(), EncodingError> {
    match map.try_append(key, value) {
        None => Ok(()),
        Some(_) => Err(EncodingError::Broken("records are not in order".into())),
    }
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
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
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

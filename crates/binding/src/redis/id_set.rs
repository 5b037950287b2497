//! Where an id of an id set lies in Redis.
//!
//! Ids are split into *chunks* of 4,032 neighbours. A chunk with few ids in use keeps them in a
//! *bucket*, a string of sorted 7-byte *entries* that it shares with other chunks; one with many gets
//! a *bitmap* of its own. The script moves a chunk from the first to the second when that becomes
//! smaller, so that dense runs at any offset cost a bit an id, scattered ids little more than 7 bytes,
//! and nothing has to be configured.
//!
//! - 4,032 bits are 504 bytes, which with the header and the end of a Redis string just fill the
//!   512 bytes that its allocator gives them.
//! - The ids of a set are mostly places in a partition: 64 bits less those that name the partition.
//!   The chunk number is mixed, so that buckets fill evenly whatever the ids look like, by a
//!   bijection, so that the bits which choose the bucket need not be stored again.
//! - All partitions together have 8,192 buckets. Fewer would be longer to search; more would cost
//!   more in keys: at 250,000 ids a bucket holds 30 and its key costs 3 bytes an id, at 16 million
//!   it holds 2,000.
//! - Larger numbers than places are valid ids as well: what is beyond the width of a place becomes
//!   part of the bucket's number.
//!
//! A chunk that reaches 80 entries becomes a bitmap. The result is 8.4 bytes per snowflake id at one million and at
//! most 10.8 from 250,000 to 16 million, and 0.18 per dense id, at any offset. A Redis set takes 72.5. The first
//! design kept buckets in Redis's intset encoding. That needs a number of buckets that fits the number of ids: a
//! fixed number fails at one end or the other.

use domain::partition::Partitions;

/// Ids of a chunk.
const CHUNK_IDS: u64 = 4_032;
/// The offset in a chunk takes 12 bits of an entry.
const OFFSET_BITS: u32 = 12;
/// Two to this power is the number of buckets of all partitions together.
const BUCKET_BITS: u32 = 13;
/// Two to the power of 64 less this many bits is the number of chunks of all ids, rounded up:
/// 4,032 is a little less than 2^12.
const CHUNK_BITS_LESS: u32 = 11;
/// Bytes of an entry. 40 bits are left of a mixed chunk number when the bucket is chosen, and 12 of
/// the offset; Lua's numbers hold 53.
const ENTRY_BYTES: usize = 7;

/// Where an id may lie; only the store knows which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the chunk, which names its bitmap.
    pub chunk: u64,
    /// The number of the bucket in the partition.
    pub bucket: u64,
    /// The entry in the bucket; its low 12 bits are the offset in the bitmap.
    pub entry: [u8; ENTRY_BYTES],
}

/// Finds an id.
pub fn position(id: u64, partitions: Partitions) -> Position {
    let width = chunk_bits(partitions);
    let (chunk, offset) = (id / CHUNK_IDS, id % CHUNK_IDS);
    let (beyond, mixed) = (chunk >> width, mix(chunk & mask(width), width));
    let bucket_bits = BUCKET_BITS - partitions.bits();
    let bucket = (beyond << bucket_bits) | (mixed & mask(bucket_bits));
    let number = ((mixed >> bucket_bits) << OFFSET_BITS) | offset;
    let [_, entry @ ..] = number.to_be_bytes();
    Position { chunk, bucket, entry }
}

/// The width of a chunk number of places: 64 bits, less those of the partition, divided by 4,032.
fn chunk_bits(partitions: Partitions) -> u32 {
    u64::BITS - CHUNK_BITS_LESS - partitions.bits()
}

/// A bijection of `width` bits: every step can be undone modulo two to this power. The factors are
/// odd, and those of SplitMix64.
fn mix(value: u64, width: u32) -> u64 {
    let half = width.div_ceil(2);
    let value = value ^ (value >> half);
    let value = value.wrapping_mul(0xbf58_476d_1ce4_e5b9) & mask(width);
    let value = value ^ (value >> half);
    let value = value.wrapping_mul(0x94d0_49bb_1331_11eb) & mask(width);
    value ^ (value >> half)
}

fn mask(width: u32) -> u64 {
    (1 << width) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inverse_of(odd: u64) -> u64 {
        // Newton's iteration doubles the number of correct bits; an odd number is its own inverse
        // modulo 8.
        (0..5).fold(odd, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)))
        })
    }

    fn unmix(value: u64, width: u32) -> u64 {
        let half = width.div_ceil(2);
        let value = value ^ (value >> half);
        let value = value.wrapping_mul(inverse_of(0x94d0_49bb_1331_11eb)) & mask(width);
        let value = value ^ (value >> half);
        let value = value.wrapping_mul(inverse_of(0xbf58_476d_1ce4_e5b9)) & mask(width);
        value ^ (value >> half)
    }

    /// The id again, out of bucket and entry alone.
    fn id_at(position: Position, partitions: Partitions) -> u64 {
        let width = chunk_bits(partitions);
        let bucket_bits = BUCKET_BITS - partitions.bits();
        let number = position.entry.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let mixed = (number >> OFFSET_BITS << bucket_bits) | (position.bucket & mask(bucket_bits));
        let chunk = (position.bucket >> bucket_bits << width) | unmix(mixed, width);
        assert_eq!(chunk, position.chunk);
        chunk * CHUNK_IDS + (number & mask(OFFSET_BITS))
    }

    proptest! {
        #[test]
        fn bucket_and_entry_are_the_id_again(id: u64, bits in 0_u32..=12) {
            let partitions = Partitions::new(1 << bits).unwrap();
            for id in [id, id >> bits, id % 100_000_000, 0, u64::MAX, u64::MAX >> bits] {
                let position = position(id, partitions);
                prop_assert_eq!(id_at(position, partitions), id);
                prop_assert!(position.entry[0] < 1 << (53 - 48), "Lua holds 53 bits");
            }
        }
    }

    #[test]
    fn places_fill_the_8192_buckets_and_no_more() {
        for bits in 0..=12 {
            let partitions = Partitions::new(1 << bits).unwrap();
            let largest = u64::MAX >> bits;
            assert!(largest / CHUNK_IDS <= mask(chunk_bits(partitions)), "{bits}");
            assert!(largest / CHUNK_IDS > mask(chunk_bits(partitions) - 1), "{bits}");
            let buckets = (0..100_000).map(|n| position(largest / 100_000 * n, partitions).bucket);
            assert_eq!(buckets.max(), Some((8_192 >> bits) - 1), "{bits}");
        }
    }

    #[test]
    fn chunks_spread_evenly_over_buckets_whatever_their_stride() {
        let partitions = Partitions::default();
        for stride in [1, 2, 256, 4_096, 1 << 20, 1_000_003] {
            let mut loads = [0_u32; 32];
            for n in 0..32_000_u64 {
                loads[position(n * stride * CHUNK_IDS, partitions).bucket as usize] += 1;
            }
            let busiest = loads.iter().max().unwrap();
            assert!(*busiest < 1_300, "stride {stride}: {loads:?}");
        }
    }
}

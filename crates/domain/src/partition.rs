//! Partitions: which one owns a user, and the place inside it.
//!
//! Everything about one user lies in one partition and changes atomically together. The rule has to
//! spread any ids evenly and to keep dense ids dense:
//! - `id % n` would skew, because snowflake ids end in zeros;
//! - a plain hash would tear dense ids apart, and a bitmap needs neighbours.
//!
//! So the partition is the low bits of the id XOR a hash of the remaining bits, and the place is the
//! remaining bits. Every aligned run of n ids fills all partitions once; strides spread like random;
//! dense ids stay dense in each partition; and the pair is the id again.
//!
//! The busiest of 256 partitions has at most 1.1 times the mean (one million users). Configuration has partitions
//! of its own, by a hash of its key.

use std::fmt;

use thiserror::Error;

use crate::ids::UserId;

/// Partitions where nothing else is configured: enough that the busiest of them is no hot spot, few
/// enough that the keys themselves cost nothing.
pub const PARTITIONS_DEFAULT: u32 = 256;
/// A sixteenth of what one Redis cluster has slots.
pub const PARTITIONS_MAX: u32 = 4_096;

/// How many partitions a store has: a power of two from 1 to 4,096, fixed at the store's first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    bits: u32,
}

/// The number of partitions is not a power of two from 1 to 4,096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("partitions must be a power of two from 1 to 4096, not {0}")]
pub struct InvalidPartitions(pub u32);

impl Default for Partitions {
    fn default() -> Self {
        Self { bits: PARTITIONS_DEFAULT.trailing_zeros() }
    }
}

impl Partitions {
    /// A store of `count` partitions.
    ///
    /// # Errors
    /// `count` is not a power of two from 1 to 4,096.
    pub fn new(count: u32) -> Result<Self, InvalidPartitions> {
        if count.is_power_of_two() && count <= PARTITIONS_MAX {
            Ok(Self { bits: count.trailing_zeros() })
        } else {
            Err(InvalidPartitions(count))
        }
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        1 << self.bits
    }

    /// The number of bits that name a partition.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Where a user lives.
    pub fn locate(self, user: UserId) -> Location {
        let place = user.0 >> self.bits;
        let index = (user.0 ^ mix(place)) & self.mask();
        Location { partition: Partition::users(index), place }
    }

    /// The user who lives there: the inverse of [`Partitions::locate`].
    pub fn user_at(self, location: Location) -> UserId {
        let low = (u64::from(location.partition.index) ^ mix(location.place)) & self.mask();
        UserId((location.place << self.bits) | low)
    }

    /// The partition of a configuration record, by a hash of its key.
    pub fn of_configuration(self, key: &str) -> Partition {
        let index = mix(fnv1a(key.as_bytes())) & self.mask();
        Partition { space: Space::Configuration, ..Partition::users(index) }
    }

    /// The partitions of users, all of them.
    pub fn all(self) -> impl ExactSizeIterator<Item = Partition> {
        (0..self.count() as u16).map(|index| Partition { space: Space::Users, index })
    }

    /// The partitions of configuration, all of them.
    pub fn of_configurations(self) -> impl ExactSizeIterator<Item = Partition> {
        self.all().map(|one| Partition { space: Space::Configuration, ..one })
    }

    fn mask(self) -> u64 {
        (1 << self.bits) - 1
    }
}

/// A partition and a place inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The partition.
    pub partition: Partition,
    /// The id without the bits that the partition stands for.
    pub place: u64,
}

/// One partition of the store: the unit in which a transaction is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    space: Space,
    index: u16,
}

/// Configuration has partitions of its own, so that publishing never waits for a user's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Space {
    Users,
    Configuration,
}

impl Partition {
    /// The partition in which a store keeps its own description.
    pub const DESCRIPTION: Self = Self { space: Space::Configuration, index: 0 };

    /// The partition that stands for this one where a store has only `count` places of its kind.
    pub fn folded(self, count: u16) -> Self {
        Self { space: self.space, index: self.index % count }
    }

    /// Its number among those of its kind, from 0.
    pub fn index(self) -> u16 {
        self.index
    }

    fn users(index: u64) -> Self {
        // At most 4,096 partitions, so that the index fits.
        Self { space: Space::Users, index: index as u16 }
    }
}

/// `37`, or `c37` for configuration: the hash tag of the partition's keys.
impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Space::Users => write!(formatter, "{}", self.index),
            Space::Configuration => write!(formatter, "c{}", self.index),
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014): a bijection of 64 bits in which every bit of the input moves every bit of the
/// output.
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// FNV-1a of 64 bits (draft-eastlake-fnv), for texts that are short and not chosen by attackers.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USERS: u64 = 1_000_000;

    /// The busiest partition's load in means.
    fn skew(ids: impl Iterator<Item = u64>) -> f64 {
        let partitions = Partitions::default();
        let mut loads = vec![0_u64; partitions.count() as usize];
        let mut total = 0;
        for id in ids {
            loads[usize::from(partitions.locate(UserId(id)).partition.index)] += 1;
            total += 1;
        }
        let busiest = *loads.iter().max().unwrap();
        busiest as f64 * f64::from(partitions.count()) / total as f64
    }

    #[test]
    fn the_busiest_partition_gets_at_most_a_tenth_more_than_the_mean() {
        let snowflake = |n: u64| (n * 7 + 155_000_000_000) << 22;
        let table: [(&str, f64); 5] = [
            ("sequential", skew(0..USERS)),
            ("sequential, eight digits", skew(90_000_000..90_000_000 + USERS)),
            ("multiples of 4,096", skew((0..USERS).map(|n| n * 4_096))),
            ("snowflake ids whose low bits are zero", skew((0..USERS).map(snowflake))),
            ("multiples of 1,000,003", skew((0..USERS).map(|n| n * 1_000_003))),
        ];
        for (name, skew) in table {
            println!("{name}: the busiest partition has {skew:.3} times the mean");
            assert!(skew <= 1.1, "{name}: {skew}");
        }
    }

    #[test]
    fn an_aligned_run_fills_every_partition_once_and_stays_dense() {
        let partitions = Partitions::default();
        for start in [0, 90_000_128 / 256 * 256, 652_024_209_997_893_632] {
            let mut seen: Vec<_> = (start..start + 256)
                .map(|id| partitions.locate(UserId(id)))
                .inspect(|location| assert_eq!(location.place, start / 256))
                .map(|location| location.partition)
                .collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 256);
        }
    }

    #[test]
    fn only_powers_of_two_up_to_4096_are_partitions() {
        for (count, valid) in
            [(0, false), (1, true), (3, false), (256, true), (4_096, true), (8_192, false)]
        {
            assert_eq!(Partitions::new(count).is_ok(), valid, "{count}");
        }
    }

    proptest! {
        #[test]
        fn the_pair_is_the_id_again(id: u64, bits in 0_u32..=12) {
            let partitions = Partitions::new(1 << bits).unwrap();
            prop_assert_eq!(partitions.user_at(partitions.locate(UserId(id))), UserId(id));
        }
    }
}

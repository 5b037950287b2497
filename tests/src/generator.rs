//! Generated transactions, from a seed.
//!
//! Few names, so that transactions meet each other's records; values at the limits; ids at the ends,
//! dense, scattered and met before. What a move takes is free, so that three kinds of maps let the
//! suite find out which field it was:
//! - *pools*: every value is unique, moves go to the map `taken` under a field of their own, and
//!   nothing is added;
//! - *singles*: never more than one field, so that there is no choice;
//! - all others are never moved from.

use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::transaction::{
    FIELD_BYTES_MAX, Field, Guard, INTEGER_MAX, MapKey, READ_FIELDS_MAX, RECORD_BYTES_MAX, Read,
    SetKey, Transaction, VALUE_BYTES_MAX, Value, Write,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// The map that moves out of pools go to.
pub const TAKEN: &str = "taken";
/// The configuration record in whose partition some transactions are.
pub const CONFIGURATION: &str = "templates";
const DAY_MS: i64 = 86_400_000;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The seed of everything.
    pub seed: u64,
    /// How many transactions.
    pub transactions: u32,
    /// The layout of the store.
    pub partitions: Partitions,
    /// The time of the first transaction in unix milliseconds. A store with a clock of its own needs
    /// the present.
    pub now_ms: i64,
    /// Whether time goes on from one transaction to the next, by up to some days. A store with a
    /// clock of its own cannot follow.
    pub time_passes: bool,
}

/// Makes transactions.
#[derive(Debug)]
pub struct Generator {
    random: StdRng,
    options: Options,
    unique: u64,
    /// Ids that have been named, with their set and partition.
    ids: Vec<(Partition, SetKey, u64)>,
    homes: Vec<Partition>,
}

impl Generator {
    /// A generator.
    pub fn new(options: Options) -> Self {
        let mut random = StdRng::seed_from_u64(options.seed);
        let mut homes: Vec<Partition> =
            (0..3).map(|_| options.partitions.locate(UserId(random.random())).partition).collect();
        homes.push(options.partitions.of_configuration(CONFIGURATION));
        Self { random, options, unique: 0, ids: Vec::new(), homes }
    }

    /// Every id that has been named.
    pub fn ids(&self) -> &[(Partition, SetKey, u64)] {
        &self.ids
    }

    /// The partitions in use.
    pub fn homes(&self) -> &[Partition] {
        &self.homes
    }

    /// The present.
    pub fn now_ms(&self) -> i64 {
        self.options.now_ms
    }

    /// The next transaction.
    pub fn transaction(&mut self) -> (Partition, Transaction) {
        if self.options.time_passes && self.chance(0.2) {
            self.options.now_ms += self.random.random_range(0..3 * DAY_MS);
        }
        let home = *self.homes.choose(&mut self.random).expect("there are homes");
        let mut transaction = Transaction { now_ms: self.options.now_ms, ..Transaction::default() };
        if self.chance(0.03) {
            self.run_of_ids(home, &mut transaction);
            return (home, transaction);
        }
        for _ in 0..self.count(3) {
            transaction.guards.push(self.guard(home));
        }
        for _ in 0..self.count(6) {
            self.write(home, &mut transaction);
        }
        for _ in 0..self.count(4) {
            let read = self.read(home);
            transaction.reads.push(read);
        }
        (home, transaction)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn count(&mut self, most: usize) -> usize {
        self.random.random_range(0..=most)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random).expect("there is one")
    }

    fn next_unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    /// A map that nothing is moved from.
    fn map(&mut self) -> MapKey {
        match self.random.random_range(0..200) {
            0 => MapKey("m".repeat(RECORD_BYTES_MAX)),
            1 => MapKey("m".repeat(RECORD_BYTES_MAX + 1)),
            2 => MapKey(String::new()),
            3..6 => "a map: {with} \u{1f9e7}\0\n".into(),
            _ => {
                let name = self.one(&["a", "b", "order:1", "order:2", TAKEN]);
                name.into()
            }
        }
    }

    fn pool(&mut self) -> MapKey {
        self.one(&["pool:1", "pool:2"]).into()
    }

    fn single(&mut self) -> MapKey {
        self.one(&["single:1", "single:2"]).into()
    }

    fn any_map(&mut self) -> MapKey {
        match self.random.random_range(0..4) {
            0 => self.pool(),
            1 => self.single(),
            _ => self.map(),
        }
    }

    /// A map that may go: not `taken` once the transaction has put something there that is to be
    /// read.
    fn any_map_but_taken(&mut self, transaction: &Transaction) -> MapKey {
        let moves = transaction.writes.iter().any(|write| matches!(write, Write::Move(..)));
        let map = self.any_map();
        if moves && map.0 == TAKEN { "a".into() } else { map }
    }

    fn field(&mut self) -> Field {
        match self.random.random_range(0..200) {
            0 => Field(vec![0; FIELD_BYTES_MAX]),
            1 => Field(vec![b'f'; FIELD_BYTES_MAX + 1]),
            2 => Field(Vec::new()),
            3..8 => Field(vec![0xff, 0x00, b'\r', b'\n', b'=']),
            8..12 => Field(vec![0]),
            _ => self.one(&["a", "b", "c", "1", "=1", "-"]).into(),
        }
    }

    fn integer(&mut self) -> i64 {
        match self.random.random_range(0..60) {
            0 => INTEGER_MAX,
            1 => -INTEGER_MAX,
            2 => INTEGER_MAX - 1,
            3 => 0,
            4 => self.random.random_range(-INTEGER_MAX..=INTEGER_MAX),
            5 => 100_000_000_000_001,
            6 if self.chance(0.5) => {
                self.one(&[INTEGER_MAX + 1, -INTEGER_MAX - 1, i64::MAX, i64::MIN])
            }
            _ => self.random.random_range(-5..=5),
        }
    }

    fn value(&mut self) -> Value {
        match self.random.random_range(0..24) {
            0 => Value::Bytes(Vec::new()),
            1 => Value::Bytes((0..=255).collect()),
            2 => Value::Bytes(b"=".to_vec()),
            3 => Value::Bytes(b"12".to_vec()),
            4 => Value::Bytes(vec![0; 3]),
            5 if self.chance(0.2) => Value::Bytes(vec![b'x'; VALUE_BYTES_MAX]),
            6 if self.chance(0.2) => Value::Bytes(vec![b'x'; VALUE_BYTES_MAX + 1]),
            7..10 => Value::Bytes(self.one(&["a", "b", "nil", "false"]).as_bytes().to_vec()),
            _ => Value::Integer(self.integer()),
        }
    }

    fn set(&mut self) -> SetKey {
        self.one(&["paid", "blocked:1"]).into()
    }

    fn id(&mut self, home: Partition) -> (SetKey, u64) {
        let known = self.ids.choose(&mut self.random).filter(|known| known.0 == home);
        let (set, id) = match (known, self.random.random_range(0..12)) {
            (Some((_, set, id)), 0..6) => (set.clone(), *id),
            (_, 6) => (self.set(), self.one(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 53])),
            (_, 7) => (self.set(), self.one(&[4_031, 4_032, 4_033, 8_063, 8_064, 1 << 32])),
            (_, 8) => (self.set(), self.random.random()),
            (_, 9) => (self.set(), self.random.random_range(90_000_000..90_000_400)),
            (_, 10) => (self.set(), 652_024_209_997_893_632 >> self.options.partitions.bits()),
            _ => (self.set(), self.random.random_range(0..400)),
        };
        self.ids.push((home, set.clone(), id));
        (set, id)
    }

    /// Many neighbours at once: what moves them into a bitmap, or takes them out again.
    fn run_of_ids(&mut self, home: Partition, transaction: &mut Transaction) {
        let set = self.set();
        let start = match self.random.random_range(0..4) {
            0 => 0,
            1 => 4_032 * self.random.random_range(1..4) - 40,
            2 => 90_000_000,
            _ => u64::MAX - 200,
        };
        let step = self.one(&[1, 1, 3]);
        let removes = self.chance(0.3);
        for index in 0..self.random.random_range(20..160) {
            let Some(id) = u64::checked_add(start, index * step) else { break };
            let write = if removes { Write::Remove } else { Write::Insert };
            transaction.writes.push(write(set.clone(), id));
            transaction.reads.push(Read::Contains(set.clone(), id));
            self.ids.push((home, set.clone(), id));
        }
    }

    fn guard(&mut self, home: Partition) -> Guard {
        let map = self.any_map();
        let field = self.field();
        match self.random.random_range(0..8) {
            0 => Guard::FieldAbsent(map, field),
            1 => Guard::FieldPresent(map, field),
            2 => Guard::FieldEquals(map, field, self.value()),
            3 => Guard::IntegerAtLeast(map, field, self.integer()),
            4 => Guard::IntegerAtMost(map, field, self.integer()),
            5 => Guard::SizeAtMost(map, self.random.random_range(0..6)),
            kind => {
                let (set, id) = self.id(home);
                if kind == 6 { Guard::IdPresent(set, id) } else { Guard::IdAbsent(set, id) }
            }
        }
    }

    fn write(&mut self, home: Partition, transaction: &mut Transaction) {
        let write = match self.random.random_range(0..20) {
            0..4 => Write::Set(self.map(), self.field(), self.value()),
            4..7 => Write::Add(self.map(), self.field(), self.integer()),
            7 => Write::Unset(self.map(), self.field()),
            8 => Write::Drop(self.any_map_but_taken(transaction)),
            9 => Write::CollectAfter(self.any_map_but_taken(transaction), self.time()),
            10..13 => self.pool_write(transaction),
            13..15 => self.single_write(),
            kind => {
                let (set, id) = self.id(home);
                if kind < 18 { Write::Insert(set, id) } else { Write::Remove(set, id) }
            }
        };
        transaction.writes.push(write);
    }

    fn pool_write(&mut self, transaction: &mut Transaction) -> Write {
        let unique = self.next_unique();
        match self.random.random_range(0..5) {
            0 => Write::Unset(self.pool(), self.field()),
            1 | 2 => {
                let as_bytes = self.chance(0.5);
                let value = if as_bytes {
                    Value::Bytes(unique.to_be_bytes().to_vec())
                } else {
                    // Every unique number is below 2^53.
                    Value::Integer(unique as i64)
                };
                Write::Set(self.pool(), self.field(), value)
            }
            _ => {
                let field = Field(format!("operation:{unique}").into_bytes());
                transaction.reads.push(Read::Fields(TAKEN.into(), vec![field.clone()]));
                Write::Move(self.pool(), TAKEN.into(), field)
            }
        }
    }

    fn single_write(&mut self) -> Write {
        let field = || Field::from("a");
        match self.random.random_range(0..5) {
            0 => Write::Unset(self.single(), field()),
            1 => Write::Add(self.single(), field(), self.integer()),
            2 => Write::Set(self.single(), field(), self.value()),
            _ => Write::Move(self.single(), self.single(), field()),
        }
    }

    fn time(&mut self) -> i64 {
        let now_ms = self.options.now_ms;
        match self.random.random_range(0..8) {
            0 => now_ms,
            1 => self.one(&[0, -1, -INTEGER_MAX, 1]),
            2 if self.chance(0.2) => self.one(&[INTEGER_MAX, INTEGER_MAX + 1]),
            3 => now_ms - self.random.random_range(0..DAY_MS),
            _ => now_ms + self.random.random_range(1..30) * DAY_MS,
        }
    }

    fn read(&mut self, home: Partition) -> Read {
        let map = self.any_map();
        match self.random.random_range(0..6) {
            0 | 1 => {
                let fields = (0..self.count_fields()).map(|_| self.field()).collect();
                Read::Fields(map, fields)
            }
            2 => Read::All(map, self.limit()),
            3 => Read::Some(map, self.limit()),
            4 => Read::Size(map),
            _ => {
                let (set, id) = self.id(home);
                Read::Contains(set, id)
            }
        }
    }

    fn count_fields(&mut self) -> usize {
        if self.chance(0.02) { 0 } else { 1 + self.count(3) }
    }

    fn limit(&mut self) -> u32 {
        match self.random.random_range(0..50) {
            0 => 0,
            1 => READ_FIELDS_MAX + 1,
            2..6 => READ_FIELDS_MAX,
            _ => self.random.random_range(1..6),
        }
    }
}

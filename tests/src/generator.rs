//! Generated transactions.
//!
//! Few names, so that transactions meet each other's records; values at the limits; ids at the ends,
//! dense, scattered and met before. What a move takes is free, so that three kinds of maps let the
//! suite find out which field it was:
//! - *pools*: every value is unique, moves go to the map `taken` under a field of their own, and
//!   nothing is added;
//! - *singles*: never more than one field, so that there is no choice;
//! - all others are never moved from.
//!
//! A transaction is made from numbers that `proptest` draws, its choices: a tree of strategies for each of
//! thousands would take a gigabyte. Where an answer differs they become fewer and smaller: 0 is the
//! simplest choice everywhere, and stands for those that are missing.

mod sequence;

use std::collections::BTreeMap;
use std::vec::IntoIter;

use domain::ids::UserId;
use domain::partition::{Partition, Partitions, mix};
use domain::transaction::{
    FIELD_BYTES_MAX, Field, Guard, INTEGER_MAX, MapKey, Member, OrderedKey, READ_FIELDS_MAX,
    RECORD_BYTES_MAX, Range, Read, SetKey, Transaction, VALUE_BYTES_MAX, Value, Write,
};
use proptest::prelude::*;

use self::sequence::Sequence;

/// The map that moves out of pools go to.
pub const TAKEN: &str = "taken";
/// The configuration record in whose partition some transactions are.
pub const CONFIGURATION: &str = "templates";
const DAY_MS: i64 = 86_400_000;
/// Choices of a transaction: all but the longest take fewer.
const CHOICES: usize = 128;

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
    /// Members that the store returns at most in a page: `READ_FIELDS_MAX`, or fewer.
    pub page_entries_max: u32,
}

/// Transactions, in the order in which they are committed.
#[derive(Clone, Debug)]
pub struct Script {
    /// With their partitions.
    pub transactions: Vec<(Partition, Transaction)>,
    /// The time after them.
    pub now_ms: i64,
    /// Entries of a page of the store.
    pub page_entries_max: u32,
}

impl Script {
    /// The ids that are named, by partition.
    pub fn ids(&self) -> BTreeMap<Partition, Vec<(&SetKey, u64)>> {
        let mut ids = BTreeMap::<_, Vec<_>>::new();
        for (home, transaction) in &self.transactions {
            let guards = transaction.guards.iter().filter_map(|guard| match guard {
                Guard::IdPresent(set, id) | Guard::IdAbsent(set, id) => Some((set, *id)),
                _ => None,
            });
            let writes = transaction.writes.iter().filter_map(|write| match write {
                Write::Insert(set, id) | Write::Remove(set, id) => Some((set, *id)),
                _ => None,
            });
            let reads = transaction.reads.iter().filter_map(|read| match read {
                Read::Contains(set, id) => Some((set, *id)),
                _ => None,
            });
            ids.entry(*home).or_default().extend(guards.chain(writes).chain(reads));
        }
        for ids in ids.values_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
        ids
    }
}

/// The ordered sets there may be.
pub const ORDERED_SETS: [&str; 2] = ["queue", "a set: {with} \u{1f9e7}\0\n"];

/// Generated scripts.
pub fn scripts(options: Options) -> impl Strategy<Value = Script> {
    let choices = Sequence::new(any::<u16>(), CHOICES);
    let choices = Sequence::new(choices, options.transactions as usize);
    (choices, any::<[u64; 3]>()).prop_map(move |(choices, users)| {
        let mut homes =
            users.map(|user| options.partitions.locate(UserId(user)).partition).to_vec();
        homes.push(options.partitions.of_configuration(CONFIGURATION));
        let mut generator = Generator { choices: IntoIter::default(), options, unique: 0, homes };
        let transactions = choices.into_iter().map(|choices| generator.transaction(choices));
        let transactions = transactions.collect();
        let page_entries_max = options.page_entries_max;
        Script { transactions, now_ms: generator.options.now_ms, page_entries_max }
    })
}

/// Makes transactions.
struct Generator {
    choices: IntoIter<u16>,
    options: Options,
    unique: u64,
    homes: Vec<Partition>,
}

impl Generator {
    /// The next transaction.
    fn transaction(&mut self, choices: Vec<u16>) -> (Partition, Transaction) {
        self.choices = choices.into_iter();
        if self.options.time_passes && self.chance(20) {
            self.options.now_ms += self.milliseconds(3 * DAY_MS);
        }
        let index = self.below(self.homes.len() as u64) as usize;
        let home = self.homes[index];
        let mut transaction = Transaction { now_ms: self.options.now_ms, ..Transaction::default() };
        if self.chance(3) {
            self.run_of_ids(&mut transaction);
            return (home, transaction);
        }
        if self.chance(3) {
            self.run_of_members(&mut transaction);
            return (home, transaction);
        }
        for _ in 0..self.below(4) {
            transaction.guards.push(self.guard());
        }
        for _ in 0..self.below(7) {
            self.write(&mut transaction);
        }
        for _ in 0..self.below(5) {
            let read = self.read();
            transaction.reads.push(read);
        }
        (home, transaction)
    }

    fn choice(&mut self) -> u64 {
        self.choices.next().unwrap_or(0).into()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.choice() % bound
    }

    /// Any number of 64 bits.
    fn number(&mut self) -> u64 {
        (0..4).fold(0, |number, _| (number << 16) | self.choice())
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn milliseconds(&mut self, bound: i64) -> i64 {
        (self.number() % bound as u64) as i64
    }

    fn next_unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    /// A map that nothing is moved from.
    fn map(&mut self) -> MapKey {
        match self.below(200) {
            199 => MapKey("m".repeat(RECORD_BYTES_MAX)),
            198 => MapKey("m".repeat(RECORD_BYTES_MAX + 1)),
            197 => MapKey(String::new()),
            194..197 => "a map: {with} \u{1f9e7}\0\n".into(),
            _ => self.one(&["a", "b", "order:1", "order:2", TAKEN]).into(),
        }
    }

    fn pool(&mut self) -> MapKey {
        self.one(&["pool:1", "pool:2"]).into()
    }

    fn single(&mut self) -> MapKey {
        self.one(&["single:1", "single:2"]).into()
    }

    fn any_map(&mut self) -> MapKey {
        match self.below(4) {
            3 => self.pool(),
            2 => self.single(),
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
        match self.below(200) {
            199 => Field(vec![0; FIELD_BYTES_MAX]),
            198 => Field(vec![b'f'; FIELD_BYTES_MAX + 1]),
            197 => Field(Vec::new()),
            192..197 => Field(vec![0xff, 0x00, b'\r', b'\n', b'=']),
            188..192 => Field(vec![0]),
            _ => self.one(&["a", "b", "c", "1", "=1", "-"]).into(),
        }
    }

    fn integer(&mut self) -> i64 {
        match self.below(60) {
            59 => INTEGER_MAX,
            58 => -INTEGER_MAX,
            57 => INTEGER_MAX - 1,
            56 => 0,
            // Twice the largest integer and 1 fit: it is below 2^53.
            55 => (self.number() % (2 * INTEGER_MAX + 1) as u64) as i64 - INTEGER_MAX,
            54 => 100_000_000_000_001,
            53 if self.chance(50) => {
                self.one(&[INTEGER_MAX + 1, -INTEGER_MAX - 1, i64::MAX, i64::MIN])
            }
            _ => self.one(&[0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5]),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(24) {
            23 => Value::Bytes(Vec::new()),
            22 => Value::Bytes((0..=255).collect()),
            21 => Value::Bytes(b"=".to_vec()),
            20 => Value::Bytes(b"12".to_vec()),
            19 => Value::Bytes(vec![0; 3]),
            18 if self.chance(20) => Value::Bytes(vec![b'x'; VALUE_BYTES_MAX]),
            17 if self.chance(20) => Value::Bytes(vec![b'x'; VALUE_BYTES_MAX + 1]),
            14..17 => Value::Bytes(self.one(&["a", "b", "nil", "false"]).as_bytes().to_vec()),
            _ => Value::Integer(self.integer()),
        }
    }

    fn set(&mut self) -> SetKey {
        self.one(&["paid", "blocked:1"]).into()
    }

    fn id(&mut self) -> (SetKey, u64) {
        let id = match self.below(24) {
            22..24 => self.one(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 53]),
            20..22 => self.one(&[4_031, 4_032, 4_033, 8_063, 8_064, 1 << 32]),
            18..20 => self.number(),
            16..18 => 90_000_000 + self.below(400),
            15 => 652_024_209_997_893_632 >> self.options.partitions.bits(),
            // What runs are made of, where dense ones do not reach.
            14 => self.run_start() + self.below(160),
            // Scattered, and so few that they are met again.
            10..14 => mix(self.below(100)),
            _ => self.below(400),
        };
        (self.set(), id)
    }

    fn run_start(&mut self) -> u64 {
        match self.below(4) {
            3 => u64::MAX - 200,
            2 => 90_000_000,
            1 => 4_032 * (1 + self.below(3)) - 40,
            _ => 0,
        }
    }

    /// Many neighbours at once: what moves them into a bitmap, or takes them out again.
    fn run_of_ids(&mut self, transaction: &mut Transaction) {
        let set = self.set();
        let start = self.run_start();
        let step = self.one(&[1, 1, 3]);
        let removes = self.chance(30);
        for index in 0..self.below(180) {
            let Some(id) = u64::checked_add(start, index * step) else { break };
            let write = if removes { Write::Remove } else { Write::Insert };
            transaction.writes.push(write(set.clone(), id));
            transaction.reads.push(Read::Contains(set.clone(), id));
        }
    }

    fn ordered_set(&mut self) -> OrderedKey {
        self.one(&ORDERED_SETS).into()
    }

    fn member(&mut self) -> Member {
        match self.below(200) {
            199 => Member(vec![0xff; FIELD_BYTES_MAX]),
            198 => Member(vec![0; FIELD_BYTES_MAX + 1]),
            197 => Member(Vec::new()),
            190..197 => {
                Member(self.one(&[&[0][..], &[0, 0], &[0xff], b"(", b"[", b"+", b"-"]).to_vec())
            }
            // What runs are made of.
            150..190 => Member((self.below(400) as u16).to_be_bytes().to_vec()),
            _ => self.one(&["a", "aa", "b", "A", "\u{e4}", "1"]).into(),
        }
    }

    fn range(&mut self) -> Range {
        let mut bound = || if self.chance(40) { Some(self.member()) } else { None };
        Range { after: bound(), below: bound() }
    }

    /// Many members at once: more than a server keeps in its short form.
    fn run_of_members(&mut self, transaction: &mut Transaction) {
        let set = self.ordered_set();
        let removes = self.chance(40);
        let start = self.below(220) as u16;
        for number in 0..self.below(180) as u16 {
            let member = Member((start + number).to_be_bytes().to_vec());
            let write = if removes { Write::RemoveMember } else { Write::AddMember };
            transaction.writes.push(write(set.clone(), member));
        }
        transaction.reads.push(Read::Page(set.clone(), self.range(), self.limit()));
        transaction.reads.push(Read::Count(set, self.range()));
    }

    fn guard(&mut self) -> Guard {
        let map = self.any_map();
        let field = self.field();
        match self.below(10) {
            8 => Guard::MemberPresent(self.ordered_set(), self.member()),
            9 => Guard::MemberAbsent(self.ordered_set(), self.member()),
            0 => Guard::FieldAbsent(map, field),
            1 => Guard::FieldPresent(map, field),
            2 => Guard::FieldEquals(map, field, self.value()),
            3 => Guard::IntegerAtLeast(map, field, self.integer()),
            4 => Guard::IntegerAtMost(map, field, self.integer()),
            5 => Guard::SizeAtMost(map, self.below(6) as u32),
            kind => {
                let (set, id) = self.id();
                if kind == 6 { Guard::IdPresent(set, id) } else { Guard::IdAbsent(set, id) }
            }
        }
    }

    fn write(&mut self, transaction: &mut Transaction) {
        let write = match self.below(25) {
            20 => Write::Keep(self.any_map()),
            21..24 => Write::AddMember(self.ordered_set(), self.member()),
            24 => Write::RemoveMember(self.ordered_set(), self.member()),
            0..4 => Write::Set(self.map(), self.field(), self.value()),
            4..7 => Write::Add(self.map(), self.field(), self.integer()),
            7 => Write::Unset(self.map(), self.field()),
            8 => Write::Drop(self.any_map_but_taken(transaction)),
            9 => Write::CollectAfter(self.any_map_but_taken(transaction), self.time()),
            10..13 => self.pool_write(transaction),
            13..15 => self.single_write(),
            kind => {
                let (set, id) = self.id();
                if kind < 18 { Write::Insert(set, id) } else { Write::Remove(set, id) }
            }
        };
        transaction.writes.push(write);
    }

    fn pool_write(&mut self, transaction: &mut Transaction) -> Write {
        let unique = self.next_unique();
        match self.below(5) {
            0 => Write::Unset(self.pool(), self.field()),
            1 | 2 => {
                let value = if self.chance(50) {
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
        match self.below(5) {
            0 => Write::Unset(self.single(), field()),
            1 => Write::Add(self.single(), field(), self.integer()),
            2 => Write::Set(self.single(), field(), self.value()),
            _ => Write::Move(self.single(), self.single(), field()),
        }
    }

    fn time(&mut self) -> i64 {
        let now_ms = self.options.now_ms;
        match self.below(8) {
            7 => now_ms,
            6 => self.one(&[0, -1, -INTEGER_MAX, 1]),
            5 if self.chance(20) => self.one(&[INTEGER_MAX, INTEGER_MAX + 1]),
            4 => now_ms - self.milliseconds(DAY_MS),
            _ => now_ms + (1 + self.below(29) as i64) * DAY_MS,
        }
    }

    fn read(&mut self) -> Read {
        let map = self.any_map();
        match self.below(8) {
            3 => Read::HasMember(self.ordered_set(), self.member()),
            6 => Read::Page(self.ordered_set(), self.range(), self.limit()),
            7 => Read::Count(self.ordered_set(), self.range()),
            0 | 1 => {
                let count = if self.chance(2) { 0 } else { 1 + self.below(4) };
                Read::Fields(map, (0..count).map(|_| self.field()).collect())
            }
            2 => Read::All(map, self.limit()),
            4 => Read::Size(map),
            _ => {
                let (set, id) = self.id();
                Read::Contains(set, id)
            }
        }
    }

    fn limit(&mut self) -> u32 {
        match self.below(50) {
            49 => 0,
            48 => READ_FIELDS_MAX + 1,
            44..48 => READ_FIELDS_MAX,
            _ => 1 + self.below(5) as u32,
        }
    }
}

//! The store as a whole, read in one step past the app. Records that were made unreadable are shown as they
//! were: what must hold, holds of what is true.

use std::collections::BTreeSet;

use domain::due::DueIndex;
use domain::ids::UserId;
use domain::partition::Partitions;
use domain::transaction::{Member, Value};
use end_to_end::dump::{self, Record, Records, integer};
use store::quarantine;

use crate::corruption::Corruption;
use crate::plan::PARTITIONS;

/// Drops what is due by a time.
const COLLECT: &str = "for _, key in ipairs(redis.call('KEYS', '*')) do \
        local due = redis.call('PEXPIRETIME', key) \
        if due >= 0 and due <= tonumber(ARGV[1]) then \
            redis.call('DEL', key) \
        end \
    end";

/// Collects what is due by a time, as a server does whose clock says that.
///
/// # Panics
/// The server does not answer.
pub fn collect(connection: &mut redis::Connection, now_ms: u64) {
    let mut script = redis::cmd("EVAL");
    let done: redis::RedisResult<()> = script.arg(COLLECT).arg(0).arg(now_ms).query(connection);
    done.expect("the server runs scripts");
}

/// The records of a store.
pub struct Books {
    connection: redis::Connection,
    partitions: Partitions,
    /// By partition and name.
    records: Records,
    corruption: Option<Corruption>,
}

impl Books {
    /// The books of a server's store, which is emptied.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub fn open(address: &str) -> Self {
        let connection = dump::open(address);
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        Self { connection, partitions, records: Records::new(), corruption: None }
    }

    /// Collects what is due by the app's time, as a server does whose clock is the app's.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn collect(&mut self, now_ms: u64) {
        collect(&mut self.connection, now_ms);
    }

    /// Reads everything.
    ///
    /// # Panics
    /// The server does not answer, or holds what is not ours.
    pub fn read(&mut self) {
        self.records = dump::read(&mut self.connection);
        if let Some(corruption) = &self.corruption {
            corruption.overlay(&mut self.records);
        }
    }

    /// The partitions.
    pub fn partitions(&self) -> Partitions {
        self.partitions
    }

    /// All records, by partition and name.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// A record; an empty one where there is none.
    pub fn record(&self, partition: &str, name: &str) -> &Record {
        static EMPTY: Record = Record::new();
        self.records.get(&(partition.to_owned(), name.to_owned())).unwrap_or(&EMPTY)
    }

    /// The entries of an index of a partition, also those that are set aside.
    ///
    /// # Panics
    /// What is set aside has no name.
    pub fn entries(&self, partition: &str, index: DueIndex) -> BTreeSet<Member> {
        let aside = self.record(partition, &quarantine::names().0).keys().filter_map(|name| {
            let name = Member(name.clone());
            let (of, entry) = quarantine::entry(&name).expect("a name");
            (of == index.key()).then_some(entry)
        });
        let entries = self.record(partition, index.0).keys().cloned().map(Member);
        aside.chain(entries).collect()
    }

    /// The partition of a user.
    pub fn home(&self, user: u64) -> String {
        self.partitions.locate(UserId(user)).partition.to_string()
    }

    /// A field of a record of a user's partition.
    pub fn of_user(&self, user: u64, name: &str, field: &str) -> Option<&Value> {
        self.record(&self.home(user), name).get(field.as_bytes())
    }

    /// An integer of a record; 0 where it is not there.
    ///
    /// # Panics
    /// It holds bytes.
    pub fn integer(&self, partition: &str, name: &str, field: &str) -> i64 {
        integer(self.record(partition, name), field)
    }

    /// Makes a record unreadable.
    pub fn corrupt(&mut self, corruption: Corruption) {
        corruption.plant(&mut self.connection);
        self.corruption = Some(corruption);
    }

    /// Whether a record is unreadable.
    pub fn is_corrupted(&self) -> bool {
        self.corruption.is_some()
    }

    /// The users to whom a record belongs that is unreadable.
    pub fn corrupted_users(&self) -> BTreeSet<u64> {
        self.corruption.iter().flat_map(Corruption::users).copied().collect()
    }

    /// Somebody repairs what was made unreadable.
    pub fn repair(&mut self) {
        if let Some(corruption) = self.corruption.take() {
            corruption.repair(&mut self.connection);
        }
    }
}

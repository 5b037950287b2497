//! The conformance suite once more, through a component: JSON, Spin's imports, the host and its
//! stores lie between the transactions and the back end.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use binding::Binding;
use domain::partition::{Location, Partition, Partitions};
use domain::transaction::{CommitError, Outcome, READ_FIELDS_MAX, Transaction};
use end_to_end::app::{Ask, Place, load, plain_options, root};
use end_to_end::conformance::{check, run};
use end_to_end::generator::{CONFIGURATION, Options};
use end_to_end::seed::seeds;
use host::App;
use probe::{Commit, Committed, Home};
use tokio::runtime::Runtime;

/// For each seed and store; beside those that run natively.
const TRANSACTIONS: u32 = 2_000;
/// Entries of a page that are fewer than most maps of the suite have.
const SMALL_PAGE: u32 = 3;

/// The store behind the probe.
struct Probe {
    app: App,
    partitions: Partitions,
}

impl Probe {
    fn home(&self, partition: Partition) -> Home {
        if partition == self.partitions.of_configuration(CONFIGURATION) {
            Home::Configuration(CONFIGURATION.to_owned())
        } else {
            Home::User(self.partitions.user_at(Location { partition, place: 0 }).0)
        }
    }
}

impl Binding for Probe {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let commit = Commit { home: self.home(partition), transaction: transaction.clone() };
        let body = serde_json::to_vec(&commit).expect("a transaction can be written as JSON");
        let reply = Ask::post("/commit", body).of(&self.app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.assert_well_formed();
        let committed: Committed = serde_json::from_slice(&reply.body).expect("an outcome");
        committed.into()
    }
}

fn compare(place: &Place, time_passes: bool, page_entries_max: u32) {
    let runtime = Runtime::new().expect("a runtime");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let now_ms = i64::try_from(now.as_millis()).expect("it is before the year 292 million");
    let partitions = Partitions::default();
    // Each a store of its own.
    let attempts = Cell::new(0);
    for seed in seeds() {
        let transactions = TRANSACTIONS;
        let options =
            Options { seed, transactions, partitions, now_ms, time_passes, page_entries_max };
        let report = check(&runtime, options, async |script| {
            attempts.set(attempts.get() + 1);
            let manifest = plain_options(root().join("tests/components/probe/spin.toml"))
                .variable("store", place.address())
                .variable("key_prefix", format!("probe{}", attempts.get()))
                .variable("page_entries_max", page_entries_max.to_string());
            run(&Probe { app: load(manifest).await, partitions }, script).await
        });
        report.assert_varied();
    }
}

#[test]
fn key_value_answers_as_the_model() {
    compare(&Place::Kv, true, READ_FIELDS_MAX);
}

#[test]
fn redis_answers_as_the_model() {
    compare(&Place::redis(), false, READ_FIELDS_MAX);
}

#[test]
fn key_value_answers_in_pages_of_three() {
    compare(&Place::Kv, true, SMALL_PAGE);
}

#[test]
fn redis_answers_in_pages_of_three() {
    compare(&Place::redis(), false, SMALL_PAGE);
}

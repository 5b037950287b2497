//! The conformance suite once more, through a component: JSON, Spin's imports, the host and its
//! stores lie between the transactions and the back end.

use std::time::{SystemTime, UNIX_EPOCH};

use binding::Binding;
use domain::partition::{Location, Partition, Partitions};
use domain::transaction::{CommitError, Outcome, READ_FIELDS_MAX, Transaction};
use end_to_end::app::{Ask, Place, load, plain_options, root};
use end_to_end::conformance::run_in_pages;
use end_to_end::generator::{CONFIGURATION, Options};
use end_to_end::seed::seeds;
use host::App;
use probe::{Commit, Committed, Home};

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

async fn compare(place: &Place, time_passes: bool, page_entries_max: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let now_ms = i64::try_from(now.as_millis()).expect("it is before the year 292 million");
    for (number, seed) in seeds().into_iter().enumerate() {
        let partitions = Partitions::default();
        let manifest = plain_options(root().join("tests/components/probe/spin.toml"))
            .variable("store", place.address())
            .variable("key_prefix", format!("probe{number}"))
            .variable("page_entries_max", page_entries_max.to_string());
        let probe = Probe { app: load(manifest).await, partitions };
        let transactions = TRANSACTIONS;
        let options = Options { seed, transactions, partitions, now_ms, time_passes };
        run_in_pages(&probe, options, page_entries_max).await.assert_varied();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_answers_as_the_model() {
    compare(&Place::Kv, true, READ_FIELDS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_answers_as_the_model() {
    compare(&Place::redis(), false, READ_FIELDS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_answers_in_pages_of_three() {
    compare(&Place::Kv, true, SMALL_PAGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_answers_in_pages_of_three() {
    compare(&Place::redis(), false, SMALL_PAGE).await;
}

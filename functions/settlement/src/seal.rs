//! Sealing what is over for good: templates, group-buy campaigns and rains ([`store::sealed`] has the protocol, and
//! [`coupons::seal`] and [`wallet::seal`] what each of them demands).
//!
//! A call does some of each kind, the oldest first. None of the kinds keeps the others: where the store fails one, the others
//! are tried, and the failure is told with what was done.

use std::collections::BTreeMap;

use coupons::seal::{campaigns, templates};
use domain::due::Stuck;
use domain::transaction::CommitError;
use edge::store::Binding;
use store::retention::Terms;
use store::sealed::Sealing;
use wallet::seal::rains;

use crate::Books;

/// What a call sealed, or would in a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// By kind and what became of it: how many were sealed, how many of those that were sealed before are gone, and how
    /// many short records.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many are over and wait: something of them is out, or was under way a moment ago.
    pub waiting: u64,
    /// What cannot be done for a fault of its own records.
    pub stuck: Vec<Stuck>,
    /// What cannot be done, either, and was set aside.
    pub set_aside: Vec<Stuck>,
    /// Whether more is due.
    pub has_more: bool,
    /// The store's failure that kept a part from being done.
    pub interrupted: Option<CommitError>,
}

/// The names of the counts of a kind.
struct Names {
    sealed: &'static str,
    gone: &'static str,
    archives: &'static str,
}

const TEMPLATES: Names =
    Names { sealed: "templates_sealed", gone: "templates", archives: "template_records" };
const CAMPAIGNS: Names =
    Names { sealed: "campaigns_sealed", gone: "campaigns", archives: "campaign_records" };
const RAINS: Names = Names { sealed: "rains_sealed", gone: "rains", archives: "rain_records" };

impl Sealed {
    fn take(&mut self, names: &Names, result: Result<Sealing, CommitError>) {
        let Sealing { sealed, gone, waiting, archives, swept } = match result {
            Ok(sealing) => sealing,
            Err(failure) => {
                self.has_more = true;
                self.interrupted.get_or_insert(failure);
                return;
            }
        };
        for (name, count) in
            [(names.sealed, sealed), (names.gone, gone), (names.archives, archives)]
        {
            if count > 0 {
                *self.counts.entry(name).or_default() += count;
            }
        }
        self.waiting += waiting;
        self.stuck.extend(swept.stuck);
        self.set_aside.extend(swept.set_aside);
        self.has_more |= swept.has_more;
        if let Some(failure) = swept.failure {
            self.interrupted.get_or_insert(failure);
        }
    }
}

/// Seals what is over, and takes away what was sealed.
///
/// # Errors
/// The store's, where it failed before anything was done or found.
pub async fn seal<B: Binding>(books: &Books<'_, B>, terms: &Terms) -> Result<Sealed, CommitError> {
    let mut done = Sealed::default();
    // A campaign follows its template.
    done.take(&TEMPLATES, templates(&books.coupons, terms).await);
    done.take(&CAMPAIGNS, campaigns(&books.coupons, terms).await);
    done.take(&RAINS, rains(&books.wallets, terms).await);
    let found_none = done.counts.is_empty() && done.stuck.is_empty() && done.set_aside.is_empty();
    match done.interrupted {
        Some(failure) if found_none && done.waiting == 0 => Err(failure),
        _ => Ok(done),
    }
}

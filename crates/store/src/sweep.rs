//! Doing what is due in an index, the oldest first, page by page, in several partitions side by side.
//!
//! What cannot be done now stays in its index, in front of the rest. So a sweep goes on behind it until enough was done,
//! and not until enough was looked at. What cannot be done for a fault of its own records, and has been due for a
//! while, is set aside ([`quarantine`]), where it costs no further sweep anything.

use std::collections::BTreeMap;
use std::iter;

use binding::Binding;
use domain::answers;
use domain::due::{self, Due, DueIndex, FAILURES_MAX, Stuck, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Member, Read};

use crate::context::Context;
use crate::listing::Place;
use crate::quarantine;

/// Items of one page of a partition.
const PAGE: u64 = 256;
/// Partitions that are swept side by side.
const WAVE: usize = 64;

/// What is due in some partitions, and how much of it a sweep does.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    /// The index.
    pub index: DueIndex,
    /// What its items are, in words for operators.
    pub name: &'static str,
    /// Where.
    pub partitions: &'a [Partition],
    /// What is due then.
    pub until: UnixMillis,
    /// Items that are not due yet are looked at, too, behind the others.
    pub looks_ahead: bool,
    /// What cannot be done is set aside. Not where a request sweeps on its way, which cannot tell of it.
    pub sets_aside: bool,
    /// Items that are done in one partition.
    pub done_max: u64,
    /// Items that are looked at in one partition beyond those that are done. Where so many stay in front of the
    /// rest, more is wrong than single records, and a sweep must end.
    pub passed_over_max: u64,
}

/// What became of an item: whether there was anything to do, or why it cannot be done. Nothing where it was not
/// tried, because the store had failed with others of its partition.
pub type Tried = Option<Result<bool, Fault>>;

/// Why an item cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The error.
    pub error: CommitError,
    /// Whether other items may need the same record: then this one is not set aside for it.
    pub is_shared: bool,
}

impl Fault {
    /// An error with a record that other items may need as well.
    pub fn of_shared_record(error: CommitError) -> Self {
        Self { error, is_shared: true }
    }
}

/// An error with the item's own record.
impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        Self { error, is_shared: false }
    }
}

/// How far a sweep is in a partition.
#[derive(Debug)]
struct Walk {
    partition: Partition,
    after: Option<Member>,
    has_more: bool,
    looked: u64,
    done: u64,
    failures: u32,
}

/// Does items one after the other. Where the store fails with some of a partition, the others of it are not tried.
async fn one_by_one(
    items: &[Place],
    act: &mut impl AsyncFnMut(Due<'_>) -> Result<bool, Fault>,
) -> Vec<Tried> {
    let (mut tried, mut failures) = (Vec::with_capacity(items.len()), BTreeMap::new());
    for item in items {
        let failures = failures.entry(item.partition).or_insert(0);
        if *failures >= FAILURES_MAX {
            tried.push(None);
            continue;
        }
        let result = match item.due() {
            Ok(due) => act(due).await,
            Err(error) => Err(error.into()),
        };
        *failures += u32::from(result.as_ref().is_err_and(|one| !one.error.is_of_records()));
        tried.push(Some(result));
    }
    tried
}

impl Sweep<'_> {
    /// Does what is due, one after the other.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn each<B: Binding>(
        &self,
        context: &Context<'_, B>,
        mut act: impl AsyncFnMut(Due<'_>) -> Result<bool, Fault>,
    ) -> Result<Swept, CommitError> {
        self.run(context, async |items| one_by_one(items, &mut act).await).await
    }

    /// Does what is due. `act` gets a page of each partition, the oldest first, and says what became of each item in
    /// the same order; it takes out what it did.
    ///
    /// # Errors
    /// The store's, where it failed before anything was done or found.
    pub async fn run<B: Binding>(
        &self,
        context: &Context<'_, B>,
        mut act: impl AsyncFnMut(&[Place]) -> Vec<Tried>,
    ) -> Result<Swept, CommitError> {
        let mut swept = Swept::default();
        for partitions in self.partitions.chunks(WAVE) {
            self.run_in(partitions, context, &mut act, &mut swept).await;
        }
        swept.finish()
    }

    /// Does what is due in so few partitions that a page of each fits into a wave.
    async fn run_in<B: Binding>(
        &self,
        partitions: &[Partition],
        context: &Context<'_, B>,
        act: &mut impl AsyncFnMut(&[Place]) -> Vec<Tried>,
        swept: &mut Swept,
    ) {
        let mut walks: Vec<Walk> = partitions.iter().map(|one| Walk::new(*one)).collect();
        // All of them together show whether items have more in common than their own records.
        let mut at_fault = Vec::new();
        while !walks.is_empty() {
            let (mut items, read) = self.pages(context, walks, swept).await;
            walks = read;
            items.sort_unstable();
            let tried = act(&items).await;
            for (item, tried) in items.iter().zip(tried.into_iter().chain(iter::repeat(None))) {
                let mut walk = walks.iter_mut().find(|one| one.partition == item.partition);
                match tried {
                    None => {
                        swept.has_more = true;
                        walk.iter_mut().for_each(|walk| walk.failures = FAILURES_MAX);
                    }
                    Some(Err(Fault { error, is_shared }))
                        if self.sets_aside
                            && !is_shared
                            && quarantine::is_ripe(item, &error, context.now) =>
                    {
                        let place = self.place(item);
                        at_fault.push((item.clone(), Stuck { place, error }));
                    }
                    Some(result) => {
                        let done = u64::from(result == Ok(true));
                        let result = result.map_err(|fault| fault.error);
                        let has_failed = !swept.count(|| self.place(item), result);
                        if let Some(walk) = walk {
                            walk.done += done;
                            walk.failures += u32::from(has_failed);
                        }
                    }
                }
            }
            walks.retain(|walk| {
                let goes_on = walk.has_more && !self.is_over(walk);
                swept.has_more |= walk.has_more && !goes_on;
                goes_on
            });
        }
        quarantine::set_all_aside(context, self.index, at_fault).await.add_to(swept);
    }

    /// The next page of each partition, all at once. An index that cannot be read is stuck; where the store does
    /// not answer, the sweep of that partition ends.
    async fn pages<B: Binding>(
        &self,
        context: &Context<'_, B>,
        walks: Vec<Walk>,
        swept: &mut Swept,
    ) -> (Vec<Place>, Vec<Walk>) {
        let reads = walks.iter().map(|walk| (walk.partition, self.page(walk))).collect();
        let answers = context.read_some(reads).await;
        let (mut items, mut read) = (Vec::new(), Vec::new());
        for (mut walk, answer) in walks.into_iter().zip(answers) {
            let partition = walk.partition;
            match answer.and_then(|answer| answers::page(Some(&answer)).cloned()) {
                Ok(page) => {
                    walk.looked += page.members.len() as u64;
                    walk.after = page.members.last().cloned();
                    // A page of nothing has no end behind which another one could begin.
                    walk.has_more = page.has_more && self.is_due(walk.after.as_ref());
                    items
                        .extend(page.members.into_iter().map(|member| Place { member, partition }));
                    read.push(walk);
                }
                Err(error) => {
                    swept.count(|| format!("{} in {partition}", self.name), Err(error));
                }
            }
        }
        (items, read)
    }

    fn page(&self, walk: &Walk) -> Read {
        // A last page may do some more than it has to.
        let most = PAGE.min(self.done_max) as u32;
        if self.looks_ahead {
            self.index.page_of_all(walk.after.clone(), most)
        } else {
            self.index.page(self.until, walk.after.clone(), most)
        }
    }

    /// Whether an item is due, so that those behind it may be.
    fn is_due(&self, member: Option<&Member>) -> bool {
        let is_due = |member| due::due(member).map_or(true, |due| due.at <= self.until);
        member.is_some_and(is_due)
    }

    fn is_over(&self, walk: &Walk) -> bool {
        walk.failures >= FAILURES_MAX
            || walk.done >= self.done_max
            || walk.looked - walk.done >= self.passed_over_max
    }

    /// An item in words for operators.
    fn place(&self, item: &Place) -> String {
        format!("{} in {}: {}", self.name, item.partition, due::words(&item.member))
    }
}

impl Walk {
    fn new(partition: Partition) -> Self {
        Self { partition, after: None, has_more: false, looked: 0, done: 0, failures: 0 }
    }
}

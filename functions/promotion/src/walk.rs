//! Going through what is due in a partition, the oldest first and page by page: how both sweeps find their items.
//!
//! What cannot be done stays in its index, in front of the rest. A walk passes over it, so that it hides nothing.

use std::collections::VecDeque;

use domain::answers;
use domain::due::{DueIndex, FAILURES_MAX, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Member, Outcome, Page, Read, Transaction};
use edge::store::Binding;

use crate::context::Context;

/// Items of one page.
const PAGE: u32 = 64;
/// Items that one walk looks at, whatever becomes of them. Where so many are stuck in one partition more is wrong
/// than single records, and a sweep must end.
const LOOKS_MAX: u32 = 1_024;

/// What a walk goes through.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The index.
    pub index: DueIndex,
    /// What is due then; all there is where there is no moment.
    pub until: Option<UnixMillis>,
    /// What its items are, in words for operators.
    pub name: &'static str,
}

/// A walk through a partition.
#[derive(Debug)]
pub struct Walk {
    partition: Partition,
    path: Path,
    /// What was read and not yet passed.
    ahead: VecDeque<Member>,
    /// The last one that was read.
    last: Option<Member>,
    has_more: bool,
    looked: u32,
    stuck: u32,
    failures: u32,
}

/// Walks through these partitions, whose first pages are read at once. Where a page is not read, the walk reads
/// it when it begins.
pub async fn begin<B: Binding>(
    context: &Context<'_, B>,
    path: Path,
    partitions: &[Partition],
) -> Vec<Walk> {
    let read = |one: &Partition| {
        (*one, Transaction { reads: vec![path.page(None)], ..Transaction::default() })
    };
    let reads: Vec<_> = partitions.iter().map(read).collect();
    let outcomes = context.store.commit_some(&reads).await;
    let walk = |(partition, outcome): (&Partition, Result<Outcome, CommitError>)| {
        let mut walk = Walk {
            partition: *partition,
            path,
            ahead: VecDeque::new(),
            last: None,
            has_more: true,
            looked: 0,
            stuck: 0,
            failures: 0,
        };
        if let Ok(Outcome::Committed(answers)) = outcome
            && let Ok(page) = answers::page(answers.first())
        {
            walk.take(page);
        }
        walk
    };
    partitions.iter().zip(outcomes).map(walk).collect()
}

impl Path {
    fn page(self, after: Option<Member>) -> Read {
        match self.until {
            Some(until) => self.index.page(until, after, PAGE),
            None => self.index.page_of_all(after, PAGE),
        }
    }
}

impl Walk {
    fn take(&mut self, page: &Page) {
        self.ahead = page.members.iter().cloned().collect();
        // A page of nothing has no end behind which another one could begin.
        self.has_more = page.has_more && !page.members.is_empty();
        self.last = page.members.last().cloned();
    }

    async fn turn<B: Binding>(&mut self, context: &Context<'_, B>) -> Result<(), CommitError> {
        let read = (self.partition, self.path.page(self.last.clone()));
        let answers = context.read_all(vec![read]).await?;
        self.take(answers::page(answers.first())?);
        Ok(())
    }

    /// The next item, which stays the next one. A walk ends where its index cannot be read, which is stuck, or
    /// the store does not answer.
    pub async fn next<B: Binding>(
        &mut self,
        context: &Context<'_, B>,
        swept: &mut Swept,
    ) -> Option<Member> {
        if self.ahead.is_empty()
            && self.has_more
            && let Err(error) = self.turn(context).await
        {
            self.has_more = false;
            let place = || format!("{} of partition {}", self.path.name, self.partition);
            swept.count(place, Err(error));
        }
        self.ahead.front().cloned()
    }

    /// Whether it has had so many items that were not stuck, more than a sweep may look at, or too many with which
    /// the store failed.
    pub fn is_over(&self, most: u32) -> bool {
        self.looked - self.stuck >= most
            || self.looked >= LOOKS_MAX
            || self.failures >= FAILURES_MAX
    }

    /// Passes the next item, and counts what became of it.
    pub fn pass(
        &mut self,
        swept: &mut Swept,
        place: impl FnOnce() -> String,
        result: Result<bool, CommitError>,
    ) {
        self.ahead.pop_front();
        self.looked += 1;
        let before = swept.stuck.len();
        self.failures += u32::from(!swept.count(place, result));
        self.stuck += u32::from(swept.stuck.len() > before);
    }
}

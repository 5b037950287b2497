//! The partitions that lie together in one value of a key-value store.

use domain::partition::Partition;
use domain::transaction::{Invalid, Outcome, Transaction};
use litemap::LiteMap;

use crate::state::PartitionState;

/// The partitions of one cell that hold anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellState(pub LiteMap<String, PartitionState>);

/// What became of the transactions of one cell.
pub struct Applied {
    /// The answers, in their order.
    pub outcomes: Vec<Outcome>,
    /// Whether the cell is another one now.
    pub changed: bool,
}

impl CellState {
    /// Applies transactions, one after the other, to their partitions.
    ///
    /// # Errors
    /// One of them asks for what its records do not allow; the cell is then of no more use.
    pub fn apply(
        &mut self,
        transactions: &[(Partition, &Transaction)],
    ) -> Result<Applied, Invalid> {
        let mut applied = Applied { outcomes: Vec::new(), changed: false };
        for (partition, transaction) in transactions {
            let name = partition.to_string();
            let empty = PartitionState::default();
            let one = self.0.get(&name).unwrap_or(&empty).apply(transaction)?;
            applied.outcomes.push(one.outcome);
            if let Some(next) = one.next {
                self.0.insert(name, next);
                applied.changed = true;
            }
        }
        Ok(applied)
    }
}

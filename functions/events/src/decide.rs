//! Events -> transactions. Pure.

use domain::paid::mark_paid;
use domain::partition::{Partition, Partitions};
use domain::transaction::Transaction;

use crate::parse::Event;

/// One transaction a partition. Handling an event twice is handling it once, so that a batch of
/// which only a part was committed is simply sent again.
pub fn transactions(events: &[Event], partitions: Partitions) -> Vec<(Partition, Transaction)> {
    let users: Vec<_> = events.iter().map(|Event::OrderPaid { user, .. }| *user).collect();
    mark_paid(&users, partitions)
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;

    use super::*;

    #[test]
    fn a_batch_is_one_transaction_a_partition() {
        let partitions = Partitions::new(4).unwrap();
        let event = |id| Event::OrderPaid { user: UserId(id), order: format!("A-{id}") };
        let events: Vec<_> = (0..100).map(event).collect();
        let transactions = transactions(&events, partitions);
        assert_eq!(transactions.len(), 4);
        let writes: usize = transactions.iter().map(|(_, each)| each.writes.len()).sum();
        assert_eq!(writes, 100);
    }
}

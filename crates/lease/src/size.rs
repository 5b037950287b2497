//! How much to ask for. Pure, but for how many partitions there are.

use domain::transaction::INTEGER_MAX;

use crate::{Budget, Lease, World};

/// Into how many leases what is free would be divided.
pub(crate) fn shares<W: World>(world: &W) -> i64 {
    world.lease_share() * i64::from(world.context().partitions.count())
}

/// Whether so little is free that what a partition gets back goes on to the pool at once, as far as
/// that can be told without asking it: leases are no larger than `need`, what one gift takes.
pub fn is_low<W: World>(world: &W, budget: &Budget<'_>, need: i64) -> bool {
    budget.free.get().unwrap_or(budget.total) < shares(world).saturating_mul(need)
}

/// How many units to ask for, where `need` are needed.
pub(crate) fn size(free: i64, shares: i64, need: i64) -> i64 {
    (free / shares).max(need)
}

/// How many to ask for where the pool was not seen for a while: as many as the last time, or of a
/// whole budget the first time.
pub(crate) fn size_unseen(lease: &Lease, total: i64, shares: i64, need: i64) -> i64 {
    if lease.size > 0 { lease.size.max(need) } else { size(total, shares, need) }
}

/// What must be free for a lease of a size: where much less is free than was thought, so that it
/// would strand what others need, the guess is made again.
pub(crate) fn free_for(size: i64, shares: i64, need: i64) -> i64 {
    if size == need { need } else { (size.saturating_mul(shares) / 2).clamp(size, INTEGER_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: i64 = 4 * 256;

    #[test]
    fn leases_shrink_with_what_is_free_and_end_at_one() {
        let sizes = [(1_000_000, 976), (262_144, 256), (2_048, 2), (2_047, 1), (1, 1), (0, 1)];
        for (free, expected) in sizes {
            assert_eq!(size(free, SHARES, 1), expected, "{free}");
            assert!(free_for(expected, SHARES, 1) <= free.max(1), "{free}");
        }
    }

    #[test]
    fn leases_end_at_what_is_needed() {
        let sizes = [(1_000_000, 976), (512_000, 500), (511_999, 500), (500, 500), (0, 500)];
        for (free, expected) in sizes {
            assert_eq!(size(free, SHARES, 500), expected, "{free}");
            assert!(free_for(expected, SHARES, 500) <= free.max(500), "{free}");
        }
    }

    #[test]
    fn a_lease_is_as_large_as_the_last_one_where_the_pool_was_not_seen() {
        let last = |size| Lease { size, ..Lease::default() };
        for (size, need, expected) in [(0, 1, 976), (0, 1_000, 1_000), (7, 1, 7), (7, 9, 9)] {
            assert_eq!(size_unseen(&last(size), 1_000_000, SHARES, need), expected, "{size}");
        }
    }

    #[test]
    fn what_must_be_free_is_no_less_than_the_lease_and_an_integer_of_the_store() {
        // Half of what was thought to be free when leases had this size.
        assert_eq!(free_for(976, SHARES, 1), 499_712);
        assert_eq!(free_for(10, 1, 1), 10);
        assert_eq!(free_for(INTEGER_MAX, SHARES, 1), INTEGER_MAX);
        assert_eq!(free_for(INTEGER_MAX, SHARES, INTEGER_MAX), INTEGER_MAX);
    }
}

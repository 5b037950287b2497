//! Leases: how a budget is spread over the partitions.

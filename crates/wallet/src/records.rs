//! What the store holds of wallets, and under which names. Pure.
//!
//! In the partition of a user:
//! - `mk<user>`, the tokens that are not posted: order number -> the signed token
//! - `ml<user>`, the user's [`Account`](crate::account::Account)
//! - `me<user>:<page>`, the user's entries: sequence number -> [`Entry`](crate::entry::Entry)
//! - `mn<user>`, what was posted: order number -> the sequence number of its entry
//! - `mh<user>`, entries that were carried: month -> [`Carried`](crate::carried::Carried)
//! - `mw<user>`, withdrawals: number -> [`Withdrawal`](crate::withdraw::Withdrawal)
//! - `mo<user>`, group packets that the user sent: order number -> [`Order`](crate::packet::Order)
//! - `md<user>:<rain>`, how many packets of a rain that limits them the user got ([`crate::limits`]): `a` -> in all,
//!   `r<round>` -> of a round
//! - `mv`, those packets from the balance that may not be there yet: since when, user and order number
//!   ([`UNSENT`])
//! - `m1`, all packets that were sent: when each was, user and order number ([`SENT`])
//! - `m5`, those of whose sending nothing is kept any more: since when, user and order number ([`FORGOTTEN`])
//! - `m2`, all withdrawals: since when each is what it is, user and number ([`WITHDRAWALS`])
//! - `m3`, those that are pending and have an end: when that is, user and number ([`WITHDRAWAL_ENDS`])
//!
//! In the partition of a group packet:
//! - `mp<packet>`, the packet: `d` -> [`Order`](crate::packet::Order), `s` its state, `x` when it expires,
//!   `y` what is shown of it, `p` the number of its payment, `c` when it was closed; of a payment for which there was no
//!   use `mp<name>` likewise, `l` when it was told, `w` what an operator decided about it
//! - `mc<packet>`, the parts that nobody has: position -> cents
//! - `mr<packet>`, those that somebody has: user -> cents; `mt<packet>`: user -> when
//! - `mu`, what is owed to users: since when, user and packet ([`OWED`])
//! - `mx`, packets that can be opened: until when, and which ([`ENDS`])
//! - `my`, payments for which there was no use: when each was told, and its record ([`UNAPPLIED`])
//! - `m4`, those about which an operator decided: when, and its record ([`DECIDED`])
//!
//! In each partition, for all of its users:
//! - `ma`, the accounts that are no user's: name -> cents
//! - `mq`, the posting queue: since when, user and order number of each token that is not posted ([`QUEUE`])
//! - `mj`, the days of `mj<day>:<bucket>`: users whose wallet changed on that day ([`CHANGED`])
//!
//! In a partition of configuration:
//! - `mz`, what is switched ([`Switches`](crate::mode::Switches))
//!
//! Names are short, because Redis keeps them with every record.

use domain::day_lists::DayLists;
use domain::digest::digest;
use domain::due::DueIndex;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::transaction::{Field, MapKey};

/// Tokens of one user that are not posted: as many as one read returns, less some.
pub const PENDING_MAX: u32 = 1_000;
/// Entries of a page: two screens.
pub const PAGE_ENTRIES: i64 = 40;

/// The cents that users of the partition have, as one account.
pub const USERS: &str = "users";
/// Cents that are held for withdrawals.
pub const HELD: &str = "held";
/// Cents that left.
pub const PAID_OUT: &str = "paid-out";
/// Cents that came in for packets.
pub const PAID_IN: &str = "paid-in";
/// Cents that are in packets.
pub const PACKETS: &str = "packets";

/// The tokens of a user that are not posted.
pub fn pending(user: UserId) -> MapKey {
    MapKey(format!("mk{user}"))
}

/// The account of a user.
pub fn account(user: UserId) -> MapKey {
    MapKey(format!("ml{user}"))
}

/// What was posted to a user.
pub fn posted(user: UserId) -> MapKey {
    MapKey(format!("mn{user}"))
}

/// The page of a user's entries that holds a sequence number.
pub fn page(user: UserId, sequence: i64) -> MapKey {
    MapKey(format!("me{user}:{}", sequence / PAGE_ENTRIES))
}

/// The field of an entry.
pub fn entry(sequence: i64) -> Field {
    Field(sequence.to_string().into_bytes())
}

/// The entries of a user that were carried, by month.
pub fn months(user: UserId) -> MapKey {
    MapKey(format!("mh{user}"))
}

/// The withdrawals of a user.
pub fn withdrawals(user: UserId) -> MapKey {
    MapKey(format!("mw{user}"))
}

/// The accounts of a partition that are no user's.
pub fn accounts() -> MapKey {
    "ma".into()
}

/// The account of a fund: what a campaign gave.
pub fn fund(activity: &str, scene: &str) -> String {
    format!("{FUND}{activity}/{scene}")
}

/// The account of the funds of rains that are sealed: in each partition, what all of them gave.
pub const SEALED: &str = "fund:sealed";

/// Before the name of a fund.
pub const FUND: &str = "fund:";

/// Tokens that are not posted: when each was drawn, the user and its order number. An entry comes and goes
/// with its token, in the same commit.
pub const QUEUE: DueIndex = DueIndex("mq");

/// The field of a user.
pub fn user_field(user: UserId) -> Field {
    Field(user.to_string().into_bytes())
}

/// The user of a field.
pub fn user_of(field: &Field) -> Option<UserId> {
    std::str::from_utf8(&field.0).ok()?.parse().ok()
}

/// Users whose wallet changed.
pub const CHANGED: DayLists = DayLists("mj");

/// Group packets that a user sent.
pub fn sent(user: UserId) -> MapKey {
    MapKey(format!("mo{user}"))
}

/// Those that may not be there yet: when each was sent, the sender and the order number.
pub const UNSENT: DueIndex = DueIndex("mv");

/// All packets that users of the partition sent: when each was sent, the sender and the order number. An entry comes and
/// goes with the sender's order.
pub const SENT: DueIndex = DueIndex("m1");

/// Those whose order is forgotten, until the packet is gone: when it was, the sender and the order number.
pub const FORGOTTEN: DueIndex = DueIndex("m5");

/// All withdrawals of users of the partition: since when each is what it is, the user and the number. An entry changes
/// in the commit that changes the withdrawal.
pub const WITHDRAWALS: DueIndex = DueIndex("m2");

/// Those of them that are pending and have an end: when that is, the user and the number.
pub const WITHDRAWAL_ENDS: DueIndex = DueIndex("m3");

/// A packet.
pub fn packet(packet: &str) -> MapKey {
    MapKey(format!("mp{packet}"))
}

/// The parts of a packet that nobody has.
pub fn parts(packet: &str) -> MapKey {
    MapKey(format!("mc{packet}"))
}

/// The parts of a packet that somebody has.
pub fn openings(packet: &str) -> MapKey {
    MapKey(format!("mr{packet}"))
}

/// When they were opened.
pub fn opened_at(packet: &str) -> MapKey {
    MapKey(format!("mt{packet}"))
}

/// What packets of the partition owe: when each was opened, by whom, and which.
pub const OWED: DueIndex = DueIndex("mu");

/// Packets of the partition that are not closed: until when each can be opened, and which.
pub const ENDS: DueIndex = DueIndex("mx");

/// Payments for which there was no use, until an operator has decided: when each was told, and the name of its
/// record. Each is there once, however often it is told.
pub const UNAPPLIED: DueIndex = DueIndex("my");

/// Payments for which there was no use and about which an operator decided: when, and the name of the record.
pub const DECIDED: DueIndex = DueIndex("m4");

/// Where a packet lives: among the partitions of users, spread by its name.
pub fn home_of_packet(partitions: Partitions, packet: &str) -> Partition {
    partitions.locate(UserId(digest(packet.as_bytes()))).partition
}

/// How tokens are posted.
pub fn posting() -> MapKey {
    "mz".into()
}

/// Where that lives.
pub fn home_of_posting(partitions: Partitions) -> Partition {
    partitions.of_configuration("posting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_again() {
        let user = UserId(652_024_209_997_893_632);
        assert_eq!(user_of(&user_field(user)), Some(user));
        assert_eq!(page(user, 39), page(user, 0));
        assert_ne!(page(user, 40), page(user, 39));
    }
}

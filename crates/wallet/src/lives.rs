//! How long each kind of record of wallets lives.

use store::life::{Life, Shape};

const WITH_ENTRIES: &str = "collection: entries_days after it was posted, at least numbers_days, once nothing can act under its number; it becomes a part of the line of its month";
const WITH_PACKET: &str = "collection: numbers_days after the last of its end, 30 days after it was sent, and the moment at which it was closed; by hand where it waits for an operator";
const WITH_RAIN: &str = "sealing: configuration_days after its last round";
const WHEN_DONE: &str = "in the commit that does it; by hand where it cannot be done";

const fn life(
    name: &'static str,
    shape: Shape,
    what: &'static str,
    written_by: &'static str,
    acts: &'static str,
    ends: &'static str,
) -> Life {
    Life { name, shape, what, written_by, acts, ends }
}

const fn map(
    name: &'static str,
    what: &'static str,
    written_by: &'static str,
    acts: &'static str,
    ends: &'static str,
) -> Life {
    life(name, Shape::Map, what, written_by, acts, ends)
}

const fn ordered(
    name: &'static str,
    what: &'static str,
    written_by: &'static str,
    acts: &'static str,
    ends: &'static str,
) -> Life {
    life(name, Shape::Ordered, what, written_by, acts, ends)
}

/// Kinds of records of wallets, packets and rains.
pub const LIVES: &[Life] = &[
    map(
        "mk<user>",
        "tokens that are not posted",
        "what gives tokens",
        "until it is posted",
        "in the commit that posts it",
    ),
    map(
        "ml<user>",
        "the account of a user",
        "what moves the user's money",
        "for ever",
        "never: one small record for each user who ever had money",
    ),
    map(
        "me<user>:<page>",
        "entries of a user",
        "what moves the user's money",
        "never changes",
        WITH_ENTRIES,
    ),
    map(
        "mn<user>",
        "numbers of tokens that were posted",
        "posting",
        "keeps the number from being given again",
        WITH_ENTRIES,
    ),
    map(
        "mh<user>",
        "entries that were carried, a line a month",
        "collection",
        "never changes once its month is carried",
        "never: lines that are older than archive_days, or more than 240, become one",
    ),
    map(
        "mw<user>",
        "withdrawals",
        "withdrawing, posting and voiding; settlement",
        "until it ends; then it tells what became of the number",
        "collection: numbers_days after it ended; never while it is pending",
    ),
    map(
        "mo<user>",
        "packets that a user sent",
        "sending",
        "tells what was asked for, and keeps the number from being sent again",
        WITH_PACKET,
    ),
    map(
        "md<user>:<rain>",
        "how many packets of a rain a user got",
        "opening a packet of a rain with limits",
        "until the rain is over",
        "the store: 31 days after the end of the rain",
    ),
    ordered("mv", "packets on their way", "sending", "until it is written down", WHEN_DONE),
    ordered(
        "m1",
        "packets that were sent",
        "sending",
        "until the order is forgotten",
        "in the commit that forgets the order",
    ),
    ordered(
        "m5",
        "packets whose order is forgotten",
        "collection",
        "until the packet is gone",
        "collection: an hour later, once the packet is closed",
    ),
    ordered(
        "m2",
        "withdrawals, by when they became what they are",
        "what changes a withdrawal",
        "as long as the withdrawal is kept",
        "in the commit that takes the withdrawal away",
    ),
    ordered(
        "m3",
        "pending withdrawals with an end",
        "withdrawing",
        "until the withdrawal ends",
        "in the commit that ends it, at its end at the latest",
    ),
    map(
        "mp<packet>",
        "a packet, or a payment for which there was no use",
        "sending, paying, opening, settlement, operators",
        "until it is closed; an unpaid one for 7 days",
        WITH_PACKET,
    ),
    map(
        "mc<packet>",
        "parts that nobody has",
        "sending, paying",
        "until it is closed",
        WITH_PACKET,
    ),
    map("mr<packet>", "parts that somebody has", "opening", "tells the opener", WITH_PACKET),
    map("mt<packet>", "when they were opened", "opening", "tells the opener", WITH_PACKET),
    ordered("mu", "what packets owe", "opening", "until it is paid", WHEN_DONE),
    ordered("mx", "packets that can be opened", "sending, paying", "until it is closed", WHEN_DONE),
    ordered(
        "my",
        "payments that wait for an operator",
        "events",
        "until it is decided",
        "by hand: reconciliation names it until then",
    ),
    ordered(
        "m4",
        "payments about which an operator decided",
        "operators",
        "until its record is gone",
        "collection: numbers_days after the decision, once it is closed",
    ),
    map(
        "ma",
        "the accounts of a partition",
        "what moves money",
        "for ever",
        "never: one record; the account of a rain with its sealing",
    ),
    ordered(
        "mq",
        "tokens that are to be posted",
        "what gives tokens",
        "until it is posted",
        WHEN_DONE,
    ),
    ordered(
        "mj",
        "days of which there are lists",
        "what changes a wallet",
        "as long as the lists of the day",
        "collection: with the last list of the day",
    ),
    ordered(
        "mj<day>:<bucket>",
        "users whose wallet changed on a day",
        "what changes a wallet",
        "until the user was looked at",
        "collection: numbers_days later; a user of whom something is left goes to a later day",
    ),
    map("mz", "how tokens are posted", "operators", "for ever", "never: one record"),
    map("mf<rain>", "a rain, and its pool", "operators; opening", "until it is over", WITH_RAIN),
    map("mg<rain>", "the copy of a rain", "operators", "until it is over", WITH_RAIN),
    map("mb<rain>", "a partition's lease of a rain", "opening", "until it is over", WITH_RAIN),
    map(
        "ms<activity>/<scene>",
        "the rain of an activity and a scene",
        "operators",
        "keeps another rain from having them",
        WITH_RAIN,
    ),
    ordered("mi", "the rains there are", "operators", "until it is sealed", WITH_RAIN),
    ordered("mh", "rains that are over, or will be", "operators", "until it is sealed", WITH_RAIN),
];

#[cfg(test)]
mod tests {
    use domain::due::DueIndex;
    use domain::ids::UserId;

    use super::*;
    use crate::{limits, rain, records};

    #[test]
    fn each_name_is_of_one_kind() {
        let user = UserId(7);
        let maps = [
            records::pending(user),
            records::account(user),
            records::page(user, 41),
            records::posted(user),
            records::months(user),
            records::withdrawals(user),
            records::sent(user),
            limits::counters(user, "spring"),
            records::packet("7.p"),
            records::packet("payment:t:7.p"),
            records::parts("7.p"),
            records::openings("7.p"),
            records::opened_at("7.p"),
            records::accounts(),
            records::posting(),
            rain::pool("spring"),
            rain::notice("spring"),
            rain::lease("spring"),
            rain::owner(domain::partition::Partitions::new(4).unwrap(), "a", "s").map,
        ];
        let indexes: [DueIndex; 11] = [
            records::UNSENT,
            records::SENT,
            records::FORGOTTEN,
            records::WITHDRAWALS,
            records::WITHDRAWAL_ENDS,
            records::OWED,
            records::ENDS,
            records::UNAPPLIED,
            records::DECIDED,
            records::QUEUE,
            rain::OVER,
        ];
        let days = [rain::all(), records::CHANGED.0.into(), records::CHANGED.list(20_000, 63)];
        let ordered = indexes.map(DueIndex::key).into_iter().chain(days);
        let names = maps.into_iter().map(|map| (Shape::Map, map.0));
        let names: Vec<_> = names.chain(ordered.map(|one| (Shape::Ordered, one.0))).collect();
        for (shape, name) in &names {
            let kinds = LIVES.iter().filter(|one| one.shape == *shape && one.matches(name));
            assert_eq!(kinds.count(), 1, "{name}");
        }
        for one in LIVES {
            let is_named =
                |(shape, name): &(Shape, String)| *shape == one.shape && one.matches(name);
            assert!(names.iter().any(is_named), "{}", one.name);
            for text in [one.what, one.written_by, one.acts, one.ends] {
                assert!(!text.is_empty(), "{}", one.name);
            }
        }
    }
}

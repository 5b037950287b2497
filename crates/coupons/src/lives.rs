//! How long each kind of record of coupons lives.

use store::life::{Life, Shape};

/// All kinds of records of coupons.
pub const LIVES: &[Life] = &[
    Life {
        name: "c<user>",
        shape: Shape::Map,
        what: "a user's orders, which are the coupons; how many of each template the user got; chances of group-buys",
        written_by: "issuing, reserving, redeeming, group-buys, events",
        acts: "an order until it has ended: a coupon until it has expired, or can be rolled back no more; a count until its template is sealed; a chance until its campaign is",
        ends: "order by order numbers_days after its end, by collection, which leaves a mark of its number; counts and chances with the last order of what is sealed",
    },
    Life {
        name: "c<user>:<page>",
        shape: Shape::Map,
        what: "further orders of a user whose record was full",
        written_by: "whoever needs room in the user's record",
        acts: "as the orders of the user's record",
        ends: "as the orders of the user's record",
    },
    Life {
        name: "ck<user>",
        shape: Shape::Map,
        what: "how many coupons of each template a user had that were collected",
        written_by: "collection",
        acts: "until the template is sealed: they count for the limit of the user",
        ends: "template by template with the user's count, by collection",
    },
    Life {
        name: "r<user>",
        shape: Shape::Map,
        what: "how fast a user got awards of a scene that limits it",
        written_by: "issuing, packets of rains",
        acts: "for 31 days at most",
        ends: "32 days after the last award, by the store",
    },
    Life {
        name: "l<template>",
        shape: Shape::Map,
        what: "a partition's lease of a template, and how many coupons of it were collected",
        written_by: "issuing, reservations, settlement, collection",
        acts: "until the template is sealed",
        ends: "with the template, by its sealing",
    },
    Life {
        name: "d",
        shape: Shape::Ordered,
        what: "reservations by the moment until which they are held",
        written_by: "reserving",
        acts: "until each has ended",
        ends: "entry by entry with the end of the reservation; what a sweep cannot end it sets aside",
    },
    Life {
        name: "w",
        shape: Shape::Ordered,
        what: "rewards of group-buys that are due",
        written_by: "events of groups",
        acts: "until each was given, or has lapsed",
        ends: "entry by entry with the reward; what a sweep cannot give it sets aside",
    },
    Life {
        name: "h",
        shape: Shape::Ordered,
        what: "the days of which there are lists of users",
        written_by: "issuing, group-buys, collection",
        acts: "as long as there is somebody on a list of the day",
        ends: "day by day, by collection",
    },
    Life {
        name: "h<day>:<bucket>",
        shape: Shape::Ordered,
        what: "users of whom something of coupons is kept, by a day",
        written_by: "issuing, group-buys, collection",
        acts: "until something of the user can go: reconciliation and collection find the user by it",
        ends: "user by user: collection moves the user to a later day as long as anything of theirs is left",
    },
    Life {
        name: "p<template>",
        shape: Shape::Map,
        what: "a template as it was published, and the coupons that no partition has",
        written_by: "publishing, leases",
        acts: "until the template is sealed",
        ends: "configuration_days after the end of the last coupon, by sealing",
    },
    Life {
        name: "b<template>:<batch>",
        shape: Shape::Map,
        what: "what became of the parts of a batch",
        written_by: "bulk issuing",
        acts: "as long as somebody asks for the progress of the batch",
        ends: "with the template, by its sealing",
    },
    Life {
        name: "t<template>",
        shape: Shape::Map,
        what: "a copy of a template, which everybody reads",
        written_by: "publishing",
        acts: "until the template is sealed",
        ends: "with the template, by its sealing",
    },
    Life {
        name: "s<scene>",
        shape: Shape::Map,
        what: "how awards of a scene behave",
        written_by: "operators",
        acts: "for ever: templates and rains of later years name it",
        ends: "never: one small record for each type of award",
    },
    Life {
        name: "g<campaign>",
        shape: Shape::Map,
        what: "a group-buy campaign",
        written_by: "operators",
        acts: "until the campaign is sealed",
        ends: "configuration_days after its end, by sealing",
    },
    Life {
        name: "f",
        shape: Shape::Ordered,
        what: "the templates that are not sealed",
        written_by: "publishing",
        acts: "for ever",
        ends: "template by template, by sealing",
    },
    Life {
        name: "fe",
        shape: Shape::Ordered,
        what: "templates by the moment until which coupons of them are given out",
        written_by: "publishing",
        acts: "until the leases of each were taken back",
        ends: "template by template, by settlement and sealing",
    },
];

#[cfg(test)]
mod tests {
    use domain::day_lists::BUCKETS;
    use domain::ids::UserId;
    use domain::time::UnixMillis;

    use super::*;
    use crate::chance::REWARDS;
    use crate::pace::paces;
    use crate::records::{self, ENDS, HOLDERS, OVER};

    #[test]
    fn each_record_is_of_one_kind() {
        let user = UserId(652_024_209_997_893_632);
        let day = domain::day_lists::day(UnixMillis(1_771_257_600_250));
        let names = [
            records::user(user).0,
            records::page(user, 15).0,
            records::collected(user).0,
            paces(user).0,
            records::lease("spring-15").0,
            ENDS.key().0,
            REWARDS.key().0,
            HOLDERS.0.to_owned(),
            HOLDERS.list(day, BUCKETS - 1).0,
            records::pool("spring-15").0,
            records::batch("spring-15", "may").0,
            records::notice("spring-15").0,
            "snewcomer".to_owned(),
            "gspring".to_owned(),
            records::templates().0,
            OVER.key().0,
        ];
        for (life, name) in LIVES.iter().zip(&names) {
            assert!(life.matches(name), "{name} is {life:?}");
            // Maps and ordered sets are namespaces of their own, and those of users and of configuration lie apart.
            let of_name: Vec<_> = LIVES
                .iter()
                .filter(|one| one.shape == life.shape && one.matches(name))
                .map(|one| one.name)
                .collect();
            assert_eq!(of_name, [life.name], "{name}");
        }
        assert_eq!(names.len(), LIVES.len());
    }
}

//! How long records of the layer itself live; each crate of rules declares its own ([`domain::life`]).

pub use domain::life::{Life, Shape};

/// Kinds of records of the layer itself.
pub const LIVES: &[Life] = &[
    Life {
        name: "x<user>",
        shape: Shape::Map,
        what: "up to when numbers of the user are forgotten, by family",
        written_by: "collection",
        acts: "for ever",
        ends: "never: one small record a user",
    },
    Life {
        name: "x",
        shape: Shape::Ids,
        what: "hashes of numbers without a time that are forgotten",
        written_by: "collection",
        acts: "for ever",
        ends: "never: about 8 bytes a number",
    },
    Life {
        name: "xs",
        shape: Shape::Ids,
        what: "hashes of names of configuration that is sealed and gone",
        written_by: "collection",
        acts: "for ever: it keeps a name from being published again",
        ends: "never: about 8 bytes a name",
    },
    Life {
        name: "xr",
        shape: Shape::Map,
        what: "how long things are kept",
        written_by: "operators",
        acts: "for ever",
        ends: "never: one record",
    },
    Life {
        name: "q",
        shape: Shape::Ordered,
        what: "what is set aside",
        written_by: "sweeps, for items that cannot be done for a fault of their own records",
        acts: "until an operator retries or drops it",
        ends: "with the operator's decision",
    },
    Life {
        name: "qd",
        shape: Shape::Ordered,
        what: "what was set aside and is dropped",
        written_by: "operators",
        acts: "no more; it is named in reconciliation",
        ends: "never: as many as operators drop",
    },
    Life {
        name: "qn",
        shape: Shape::Map,
        what: "why something is set aside, or dropped",
        written_by: "sweeps and operators",
        acts: "with its item",
        ends: "with its item",
    },
];

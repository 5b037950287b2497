//! The kinds of host calls, as counters, faults and traces name them.

/// The kinds of host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the WIT function of its name")]
pub enum Call {
    RedisOpen,
    RedisExecute,
    /// Any function of a Redis connection that is named after a command.
    RedisCommand,
    KeyValueOpen,
    KeyValueGet,
    KeyValueSet,
    KeyValueDelete,
    KeyValueExists,
    KeyValueListKeys,
    KeyValueGetMany,
    KeyValueSetMany,
    KeyValueDeleteMany,
    KeyValueIncrement,
    CasNew,
    CasCurrent,
    CasSwap,
    VariablesGet,
    ClockWait,
}

impl Call {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 18] = [
        Self::RedisOpen,
        Self::RedisExecute,
        Self::RedisCommand,
        Self::KeyValueOpen,
        Self::KeyValueGet,
        Self::KeyValueSet,
        Self::KeyValueDelete,
        Self::KeyValueExists,
        Self::KeyValueListKeys,
        Self::KeyValueGetMany,
        Self::KeyValueSetMany,
        Self::KeyValueDeleteMany,
        Self::KeyValueIncrement,
        Self::CasNew,
        Self::CasCurrent,
        Self::CasSwap,
        Self::VariablesGet,
        Self::ClockWait,
    ];

    /// Whether the call is a round trip to a store. Opening a connection is not, and a
    /// compare-and-swap handle is made without asking the store.
    pub fn is_store_round_trip(self) -> bool {
        !matches!(
            self,
            Self::RedisOpen
                | Self::KeyValueOpen
                | Self::CasNew
                | Self::VariablesGet
                | Self::ClockWait
        )
    }

    /// The name that traces show.
    pub fn name(self) -> &'static str {
        match self {
            Self::RedisOpen => "redis open",
            Self::RedisExecute => "redis execute",
            Self::RedisCommand => "redis command",
            Self::KeyValueOpen => "kv open",
            Self::KeyValueGet => "kv get",
            Self::KeyValueSet => "kv set",
            Self::KeyValueDelete => "kv delete",
            Self::KeyValueExists => "kv exists",
            Self::KeyValueListKeys => "kv list-keys",
            Self::KeyValueGetMany => "kv get-many",
            Self::KeyValueSetMany => "kv set-many",
            Self::KeyValueDeleteMany => "kv delete-many",
            Self::KeyValueIncrement => "kv increment",
            Self::CasNew => "cas new",
            Self::CasCurrent => "cas current",
            Self::CasSwap => "cas swap",
            Self::VariablesGet => "variables get",
            Self::ClockWait => "clock wait",
        }
    }
}

//! Spin variables: name, default and meaning of each stand here once. A function says which of them it reads
//! (`contract.rs` beside its routes), and `cargo xtask generate` writes the manifests,
//! `.env.example` and the README's table from that.

/// A Spin variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it is where nobody says otherwise; a deployment has to set one that has none.
    pub default: Option<&'static str>,
    /// Whether its value must not be shown.
    pub is_secret: bool,
    /// What it is, for those who deploy.
    #[cfg(not(target_arch = "wasm32"))]
    pub description: &'static str,
}

/// Says what a variable is. Components have no use for the description.
#[cfg_attr(
    target_arch = "wasm32",
    expect(unused_variables, reason = "the description is for native builds")
)]
const fn variable(
    name: &'static str,
    default: Option<&'static str>,
    is_secret: bool,
    description: &'static str,
) -> Variable {
    Variable {
        name,
        default,
        is_secret,
        #[cfg(not(target_arch = "wasm32"))]
        description,
    }
}

/// Where the partitions live.
pub const STORE: Variable = variable(
    "store",
    Some("kv"),
    true,
    "`kv` (Spin's key-value store), or `redis://host:port`; for a cluster several, separated by commas",
);
/// How many partitions the store has.
pub const PARTITIONS: Variable = variable(
    "partitions",
    Some("256"),
    false,
    "Partitions of the store: a power of two from 1 to 4096; fixed when the store is first used",
);
/// Goes before every key.
pub const KEY_PREFIX: Variable = variable(
    "key_prefix",
    Some("hb"),
    false,
    "Prefix of every key, so that applications can share a store: 1 to 16 of a-z, 0-9 and -",
);
/// The deployment's stage.
pub const STAGE: Variable = variable(
    "stage",
    Some("live"),
    false,
    "Stages (`live`, `gray`, `loadtest`, ...) do not see each other's data",
);
/// After this time a commit counts as unanswered.
pub const STORE_TIMEOUT_MS: Variable = variable(
    "store_timeout_ms",
    Some("2000"),
    false,
    "Milliseconds after which a commit without an answer is 503: 1 to 30000",
);
/// The most entries of a page.
pub const PAGE_ENTRIES_MAX: Variable = variable(
    "page_entries_max",
    Some("1024"),
    false,
    "Entries per page that the app reads from the store: 1 to 1024",
);
/// The token of callers.
pub const CALLER_TOKEN: Variable =
    variable("caller_token", None, true, "Bearer token of callers: at least 16 characters");
/// The token of operators.
pub const OPERATOR_TOKEN: Variable = variable(
    "operator_token",
    None,
    true,
    "Bearer token of operators: at least 16 characters, different from that of callers",
);
/// Who signs tokens of red packets has the seeds.
pub const TOKEN_SIGNING_KEYS: Variable = variable(
    "token_signing_keys",
    None,
    true,
    "Seeds that sign tokens of red packets, the newest first: `<id>:<seed>,...`",
);
/// Who only believes them has the public keys.
pub const TOKEN_VERIFYING_KEYS: Variable = variable(
    "token_verifying_keys",
    None,
    false,
    "Public keys that verify tokens of red packets: `<id>:<public key>[@<end>],...`",
);
/// The currency of all wallets.
pub const WALLET_CURRENCY: Variable = variable(
    "wallet_currency",
    Some("CNY"),
    false,
    "Currency of all wallets, as in ISO 4217; never change it",
);
/// Whether keys that are made for development may be used.
pub const DEVELOPMENT: Variable = variable(
    "development",
    Some("false"),
    false,
    "`true` accepts keys whose id begins with `dev-`",
);

/// What whoever opens the store reads.
pub const OF_STORE: [Variable; 6] =
    [STORE, PARTITIONS, KEY_PREFIX, STAGE, STORE_TIMEOUT_MS, PAGE_ENTRIES_MAX];
/// What whoever has a route that is not open reads.
pub const OF_CALLERS: [Variable; 2] = [CALLER_TOKEN, OPERATOR_TOKEN];

/// All of them, in the order of the manifests.
#[cfg(not(target_arch = "wasm32"))]
pub const ALL: [Variable; 12] = [
    STORE,
    PARTITIONS,
    KEY_PREFIX,
    STAGE,
    STORE_TIMEOUT_MS,
    PAGE_ENTRIES_MAX,
    CALLER_TOKEN,
    OPERATOR_TOKEN,
    TOKEN_SIGNING_KEYS,
    TOKEN_VERIFYING_KEYS,
    WALLET_CURRENCY,
    DEVELOPMENT,
];

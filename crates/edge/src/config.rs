//! Configuration from Spin variables, checked, and at most 500 ms old.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;

use domain::money::Currency;
use domain::partition::Partitions;
use domain::transaction::READ_FIELDS_MAX;
use spin_sdk::variables;
use thiserror::Error;

use crate::clock::Moment;

/// A variable that changes takes effect within this time; reading them for every request would cost
/// more host calls than the request itself.
const AGE_MS_MAX: u64 = 500;
/// A token that can be guessed opens everything.
const TOKEN_BYTES_MIN: usize = 16;
/// Longer than any answer of a healthy store, shorter than a caller's patience.
const STORE_TIMEOUT_MS_DEFAULT: u64 = 2_000;
/// A request that waits longer than this has been given up by its caller.
const STORE_TIMEOUT_MS_MAX: u64 = 30_000;
/// Redis pays for these with every key.
const NAME_BYTES_MAX: usize = 16;

/// A variable; `None` where it is empty or undefined.
async fn variable(name: &'static str) -> Result<Option<String>, ConfigError> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(ConfigError::Unreadable { name, detail: error.to_string() }),
    }
}

/// A variable of some functions alone, read as they read it; `default` where it is empty or undefined.
///
/// # Errors
/// It is wrong, or cannot be read.
pub async fn parsed<T, E: Display>(
    name: &'static str,
    default: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, ConfigError> {
    let text = variable(name).await?;
    parse(text.as_deref().unwrap_or(default)).map_err(|error| wrong(name, error.to_string()))
}

/// Whether keys that are made for development may be used.
///
/// # Errors
/// The variable cannot be read.
pub async fn is_development() -> Result<bool, ConfigError> {
    Ok(variable("development").await?.as_deref() == Some("true"))
}

/// The currency of all wallets.
///
/// # Errors
/// The variable is wrong, or cannot be read.
pub async fn wallet_currency() -> Result<Currency, ConfigError> {
    let parse = |text: &str| Currency::parse(text).ok_or("must be three capital letters");
    parsed("wallet_currency", "CNY", parse).await
}

/// What an instance is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the partitions live.
    pub store: StoreAddress,
    /// How many partitions the store has.
    pub partitions: Partitions,
    /// Goes before every key, so that applications can share a store.
    pub key_prefix: String,
    /// `live`, `gray`, `loadtest`, ...: stages do not see each other's data.
    pub stage: String,
    /// The token of callers.
    pub caller_token: String,
    /// The token of operators.
    pub operator_token: String,
    /// After this time a commit counts as unanswered.
    pub store_timeout_ms: u64,
    /// The most entries of a page that is read from the store at once, whatever is asked for.
    pub page_entries_max: u32,
    /// When it was read.
    pub read_at: Moment,
}

/// Where the partitions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// `wasi:keyvalue`, the bucket `default`.
    Kv,
    /// Redis: one address, or the nodes of a cluster.
    Redis(Vec<String>),
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A variable is missing or wrong. The value is not part of the text: it may be secret.
    #[error("variable {name}: {detail}")]
    Wrong {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The provider of the variables does not answer. No default may stand in for what was not
    /// read: it could name another store, and whoever paid would be new there.
    #[error("variable {name} cannot be read: {detail}")]
    Unreadable {
        /// The variable.
        name: &'static str,
        /// The provider's words.
        detail: String,
    },
}

thread_local! {
    static CACHE: RefCell<Option<(u64, Rc<Config>)>> = const { RefCell::new(None) };
}

impl Config {
    /// The configuration, as it was at most 500 ms before `now_ns` of the monotonic clock.
    ///
    /// # Errors
    /// A variable is missing or wrong, or cannot be read.
    pub async fn load(now_ns: u64) -> Result<Rc<Self>, ConfigError> {
        let now_ms = now_ns / 1_000_000;
        let cached = CACHE.with_borrow(|cache| {
            let (read_ms, config) = cache.as_ref()?;
            (now_ms.saturating_sub(*read_ms) < AGE_MS_MAX).then(|| Rc::clone(config))
        });
        if let Some(config) = cached {
            return Ok(config);
        }
        // One after the other: the host has them at hand.
        let mut values = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            values.push(variable(name).await?);
        }
        let mut config = Self::parse(|name| {
            let index = NAMES.iter().position(|known| *known == name)?;
            values[index].as_deref()
        })?;
        config.read_at = Moment::now();
        let config = Rc::new(config);
        CACHE.set(Some((now_ms, Rc::clone(&config))));
        Ok(config)
    }

    /// Reads the configuration out of variables; what is empty or undefined has its default.
    fn parse<'a>(variable: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, ConfigError> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let config = Self {
            store: StoreAddress::parse(given(STORE).unwrap_or("kv"))?,
            partitions: match given(PARTITIONS) {
                None => Partitions::default(),
                Some(text) => text
                    .parse()
                    .map_err(|_| wrong(PARTITIONS, "must be a power of two from 1 to 4096"))
                    .and_then(|count| {
                        Partitions::new(count).map_err(|error| wrong(PARTITIONS, error.to_string()))
                    })?,
            },
            key_prefix: name(KEY_PREFIX, given(KEY_PREFIX).unwrap_or("hb"))?,
            stage: name(STAGE, given(STAGE).unwrap_or("live"))?,
            caller_token: token(CALLER_TOKEN, given(CALLER_TOKEN))?,
            operator_token: token(OPERATOR_TOKEN, given(OPERATOR_TOKEN))?,
            store_timeout_ms: match given(STORE_TIMEOUT_MS) {
                None => STORE_TIMEOUT_MS_DEFAULT,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|ms| (1..=STORE_TIMEOUT_MS_MAX).contains(ms))
                    .ok_or_else(|| wrong(STORE_TIMEOUT_MS, "must be from 1 to 30000"))?,
            },
            page_entries_max: match given(PAGE_ENTRIES_MAX) {
                None => READ_FIELDS_MAX,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|entries| (1..=READ_FIELDS_MAX).contains(entries))
                    .ok_or_else(|| wrong(PAGE_ENTRIES_MAX, "must be from 1 to 1024"))?,
            },
            read_at: Moment::default(),
        };
        if config.caller_token == config.operator_token {
            return Err(wrong(OPERATOR_TOKEN, "must differ from caller_token"));
        }
        Ok(config)
    }

    /// A configuration of these tokens and defaults.
    #[cfg(test)]
    pub(crate) fn for_tests(caller: &str, operator: &str) -> Self {
        Self::parse(|name| match name {
            CALLER_TOKEN => Some(caller),
            OPERATOR_TOKEN => Some(operator),
            _ => None,
        })
        .expect("tokens of tests are long enough and differ")
    }
}

const STORE: &str = "store";
const PARTITIONS: &str = "partitions";
const KEY_PREFIX: &str = "key_prefix";
const STAGE: &str = "stage";
const CALLER_TOKEN: &str = "caller_token";
const OPERATOR_TOKEN: &str = "operator_token";
const STORE_TIMEOUT_MS: &str = "store_timeout_ms";
const PAGE_ENTRIES_MAX: &str = "page_entries_max";
const NAMES: [&str; 8] = [
    STORE,
    PARTITIONS,
    KEY_PREFIX,
    STAGE,
    CALLER_TOKEN,
    OPERATOR_TOKEN,
    STORE_TIMEOUT_MS,
    PAGE_ENTRIES_MAX,
];

impl StoreAddress {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        if text == "kv" {
            return Ok(Self::Kv);
        }
        let addresses: Vec<_> = text.split(',').map(|part| part.trim().to_owned()).collect();
        let redis = |address: &String| {
            let host = address.strip_prefix("redis://").or(address.strip_prefix("rediss://"));
            host.is_some_and(|host| !host.is_empty())
        };
        if addresses.iter().all(redis) {
            Ok(Self::Redis(addresses))
        } else {
            Err(wrong(STORE, "must be kv or redis://host:port, several separated by commas"))
        }
    }
}

/// A name that becomes part of keys: nothing that has a meaning there.
fn name(variable: &'static str, text: &str) -> Result<String, ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(wrong(variable, "must be 1 to 16 of a-z, 0-9 and -"))
    }
}

fn token(variable: &'static str, text: Option<&str>) -> Result<String, ConfigError> {
    match text {
        None => Err(wrong(variable, "is required")),
        Some(text) if text.len() < TOKEN_BYTES_MIN => {
            Err(wrong(variable, "must have at least 16 characters"))
        }
        Some(text) => Ok(text.to_owned()),
    }
}

fn wrong(name: &'static str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Wrong { name, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
        Config::parse(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            changed.map(|(_, value)| *value).or(match name {
                CALLER_TOKEN => Some("caller-token-of-tests"),
                OPERATOR_TOKEN => Some("operator-token-of-tests"),
                _ => None,
            })
        })
    }

    #[test]
    fn defaults_work_and_tokens_are_required() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.store, StoreAddress::Kv);
        assert_eq!(config.partitions.count(), 256);
        assert_eq!((config.stage.as_str(), config.store_timeout_ms), ("live", 2_000));
        assert_eq!(config.page_entries_max, READ_FIELDS_MAX, "pages are as they are asked for");
        let missing = wrong(CALLER_TOKEN, "is required");
        assert_eq!(parse(&[(CALLER_TOKEN, "")]), Err(missing));
    }

    #[test]
    fn wrong_variables_are_refused_by_name() {
        let table = [
            (STORE, "sqlite", false),
            (STORE, "redis://", false),
            (STORE, "redis://a:1", true),
            (STORE, "redis://a:1, redis://b:2", true),
            (STORE, "redis://a:1,", false),
            (PARTITIONS, "100", false),
            (PARTITIONS, "x", false),
            (PARTITIONS, "4096", true),
            (STAGE, "Live", false),
            (STAGE, "gray", true),
            (KEY_PREFIX, "a:b", false),
            (CALLER_TOKEN, "short", false),
            (CALLER_TOKEN, "operator-token-of-tests", false),
            (STORE_TIMEOUT_MS, "0", false),
            (STORE_TIMEOUT_MS, "250", true),
            (PAGE_ENTRIES_MAX, "0", false),
            (PAGE_ENTRIES_MAX, "3", true),
            (PAGE_ENTRIES_MAX, "1024", true),
            (PAGE_ENTRIES_MAX, "1025", false),
            (PAGE_ENTRIES_MAX, "-1", false),
        ];
        for (name, value, valid) in table {
            assert_eq!(parse(&[(name, value)]).is_ok(), valid, "{name}={value}");
        }
    }
}

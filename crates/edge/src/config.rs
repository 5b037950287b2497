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
use crate::variable::{
    DEVELOPMENT, KEY_PREFIX, OF_STORE, PAGE_ENTRIES_MAX, PARTITIONS, STAGE, STORE,
    STORE_TIMEOUT_MS, Variable, WALLET_CURRENCY,
};

/// A variable that changes takes effect within this time; reading them for every request would cost
/// more host calls than the request itself.
const AGE_MS_MAX: u64 = 500;
/// A request that waits longer than this has been given up by its caller.
const STORE_TIMEOUT_MS_MAX: u64 = 30_000;
/// Redis pays for these with every key.
const NAME_BYTES_MAX: usize = 16;

impl Variable {
    /// Its value; `None` where it is empty or undefined.
    async fn read(&self) -> Result<Option<String>, ConfigError> {
        match variables::get(self.name).await {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(variables::Error::Undefined(_)) => Ok(None),
            Err(error) => {
                Err(ConfigError::Unreadable { name: self.name, detail: error.to_string() })
            }
        }
    }
}

/// Reads variables one after the other: the host has them at hand.
pub(crate) async fn read<const N: usize>(
    variables: &[Variable; N],
) -> Result<[Option<String>; N], ConfigError> {
    let mut values = [const { None }; N];
    for (value, variable) in values.iter_mut().zip(variables) {
        *value = variable.read().await?;
    }
    Ok(values)
}

/// A variable of some functions alone, read as they read it; its default where it is empty or undefined.
///
/// # Errors
/// It is wrong, or cannot be read.
pub async fn parsed<T, E: Display>(
    variable: &Variable,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, ConfigError> {
    let text = variable.read().await?;
    let text = text.as_deref().or(variable.default).unwrap_or_default();
    parse(text).map_err(|error| wrong(variable, error.to_string()))
}

/// Whether keys that are made for development may be used.
///
/// # Errors
/// The variable cannot be read.
pub async fn is_development() -> Result<bool, ConfigError> {
    Ok(DEVELOPMENT.read().await?.as_deref() == Some("true"))
}

/// The currency of all wallets.
///
/// # Errors
/// The variable is wrong, or cannot be read.
pub async fn wallet_currency() -> Result<Currency, ConfigError> {
    let parse = |text: &str| Currency::parse(text).ok_or("must be three capital letters");
    parsed(&WALLET_CURRENCY, parse).await
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
        let values = read(&OF_STORE).await?;
        let mut config = Self::parse(|variable| {
            let index = OF_STORE.iter().position(|known| known.name == variable.name)?;
            values[index].as_deref()
        })?;
        config.read_at = Moment::now();
        let config = Rc::new(config);
        CACHE.set(Some((now_ms, Rc::clone(&config))));
        Ok(config)
    }

    /// Reads the configuration out of variables; what is undefined has its default.
    fn parse<'a>(value: impl Fn(&Variable) -> Option<&'a str>) -> Result<Self, ConfigError> {
        let text = |variable: &Variable| value(variable).or(variable.default).unwrap_or_default();
        let partitions = text(&PARTITIONS).parse();
        let partitions = partitions
            .map_err(|_| wrong(&PARTITIONS, "must be a power of two from 1 to 4096"))
            .and_then(|count| {
                Partitions::new(count).map_err(|error| wrong(&PARTITIONS, error.to_string()))
            })?;
        let store_timeout_ms = text(&STORE_TIMEOUT_MS).parse().ok();
        let store_timeout_ms = store_timeout_ms
            .filter(|ms| (1..=STORE_TIMEOUT_MS_MAX).contains(ms))
            .ok_or_else(|| wrong(&STORE_TIMEOUT_MS, "must be from 1 to 30000"))?;
        let page_entries_max = text(&PAGE_ENTRIES_MAX).parse().ok();
        let page_entries_max = page_entries_max
            .filter(|entries| (1..=READ_FIELDS_MAX).contains(entries))
            .ok_or_else(|| wrong(&PAGE_ENTRIES_MAX, "must be from 1 to 1024"))?;
        Ok(Self {
            store: StoreAddress::parse(text(&STORE))?,
            partitions,
            key_prefix: name(&KEY_PREFIX, text(&KEY_PREFIX))?,
            stage: name(&STAGE, text(&STAGE))?,
            store_timeout_ms,
            page_entries_max,
            read_at: Moment::default(),
        })
    }
}

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
            Err(wrong(&STORE, "must be kv or redis://host:port, several separated by commas"))
        }
    }
}

/// A name that becomes part of keys: nothing that has a meaning there.
fn name(variable: &Variable, text: &str) -> Result<String, ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(wrong(variable, "must be 1 to 16 of a-z, 0-9 and -"))
    }
}

pub(crate) fn wrong(variable: &Variable, detail: impl Into<String>) -> ConfigError {
    ConfigError::Wrong { name: variable.name, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(changes: &[(Variable, &'static str)]) -> Result<Config, ConfigError> {
        Config::parse(|variable| {
            let changed = changes.iter().find(|(changed, _)| changed == variable);
            changed.map(|(_, value)| *value)
        })
    }

    #[test]
    fn defaults_work() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.store, StoreAddress::Kv);
        assert_eq!(config.partitions, Partitions::default());
        assert_eq!((config.stage.as_str(), config.store_timeout_ms), ("live", 2_000));
        assert_eq!(config.page_entries_max, READ_FIELDS_MAX, "pages are as they are asked for");
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
            (STORE_TIMEOUT_MS, "0", false),
            (STORE_TIMEOUT_MS, "250", true),
            (PAGE_ENTRIES_MAX, "0", false),
            (PAGE_ENTRIES_MAX, "3", true),
            (PAGE_ENTRIES_MAX, "1024", true),
            (PAGE_ENTRIES_MAX, "1025", false),
            (PAGE_ENTRIES_MAX, "-1", false),
        ];
        for (variable, value, valid) in table {
            let name = variable.name;
            let config = parse(&[(variable, value)]);
            assert_eq!(config.is_ok(), valid, "{name}={value}");
            if let Err(ConfigError::Wrong { name: named, .. }) = config {
                assert_eq!(named, name);
            }
        }
    }
}

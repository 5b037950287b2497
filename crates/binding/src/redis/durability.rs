//! What a server says of itself that decides whether acknowledged data survives: read out of the text of `INFO`,
//! which managed services answer too, where `CONFIG` is refused. Pure.

/// Something that a deployment should know of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Under this policy a server that is short of memory takes records away: all of them, or those that have a
    /// time of collection.
    Eviction(String),
    /// It has no append-only file: what was acknowledged since the last snapshot is lost when it stops.
    NoAppendOnlyFile,
    /// It is a primary without a replica.
    NoReplica,
    /// It does not say how it is configured.
    Unknown,
}

/// The policy under which nothing is taken away.
const NO_EVICTION: &str = "noeviction";

impl Warning {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Eviction(_) => "eviction_policy",
            Self::NoAppendOnlyFile => "no_append_only_file",
            Self::NoReplica => "no_replica",
            Self::Unknown => "durability_unknown",
        }
    }

    /// What it means, for operators.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Eviction(policy) => format!(
                "maxmemory-policy is {policy}: short of memory the server takes records away; \
                 set it to {NO_EVICTION}"
            ),
            Self::NoAppendOnlyFile => {
                "appendonly is off: what was acknowledged since the last snapshot is lost when the \
                 server stops"
                    .to_owned()
            }
            Self::NoReplica => "the server has no replica that could take over".to_owned(),
            Self::Unknown => "the server does not say how it keeps data".to_owned(),
        }
    }
}

/// The warnings that the text of `INFO` gives cause for.
#[must_use]
pub fn warnings(info: &str) -> Vec<Warning> {
    let value = |name: &str| {
        let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        lines.into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    };
    let [policy, append_only, role] = ["maxmemory_policy", "aof_enabled", "role"].map(value);
    let mut warnings = Vec::new();
    match policy {
        Some(NO_EVICTION) => {}
        Some(policy) => warnings.push(Warning::Eviction(policy.to_owned())),
        None => warnings.push(Warning::Unknown),
    }
    if append_only == Some("0") {
        warnings.push(Warning::NoAppendOnlyFile);
    }
    if role == Some("master") && value("connected_slaves") == Some("0") {
        warnings.push(Warning::NoReplica);
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(policy: &str, append_only: u8, role: &str, replicas: u8) -> String {
        format!(
            "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n\r\n# Persistence\r\n\
             aof_enabled:{append_only}\r\n# Replication\r\nrole:{role}\r\n\
             connected_slaves:{replicas}\r\n"
        )
    }

    #[test]
    fn what_can_take_data_is_warned_of() {
        assert_eq!(warnings(&info("noeviction", 1, "master", 1)), []);
        assert_eq!(warnings(&info("noeviction", 1, "slave", 0)), []);
        let all = warnings(&info("noeviction", 0, "master", 0));
        assert_eq!(all, [Warning::NoAppendOnlyFile, Warning::NoReplica]);
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let expected = [Warning::Eviction(policy.to_owned())];
            assert_eq!(warnings(&info(policy, 1, "master", 1)), expected);
        }
        for silent in ["", "no info"] {
            assert_eq!(warnings(silent), [Warning::Unknown]);
        }
    }
}

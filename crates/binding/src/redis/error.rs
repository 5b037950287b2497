//! What an error of the server or of the connection says about the transaction.
//!
//! The texts are those of the crate `redis`, which Spin's host passes on. Kinds that it knows read
//! "An error was signalled by the server - NoScriptError: No matching script.", others begin with the
//! server's own code: "WRONGTYPE: Operation against a key holding the wrong kind of value".

/// What to do about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server does not have the script: send it.
    NoScript,
    /// The slot has moved to this node for good.
    Moved(Redirect),
    /// The slot is on its way to this node: ask there, this once.
    Ask(Redirect),
    /// The server refused before it ran anything, or before the first write.
    Refused,
    /// The store holds what this binding did not write.
    Unusable,
    /// The server answered with an error that does not say when it arose.
    Failed,
    /// It may have happened, and the connection is of no more use.
    Broken,
}

/// Where a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot.
    pub slot: u16,
    /// `host:port`; the host may be empty, which stands for the one that answered.
    pub endpoint: String,
}

const PREFIX: &str = "An error was signalled by the server";

/// Codes that come before anything is run or, inside of a script, at its first write. The kinds of
/// the crate first, then codes as the server sends them.
const REFUSALS: [&str; 16] = [
    "BusyLoadingError",
    "ClusterDown",
    "CrossSlot",
    "MasterDown",
    "NoScriptError",
    "ReadOnly",
    "TryAgain",
    "BUSY",
    "LOADING",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
];

/// Reads an error's text.
pub fn verdict(text: &str) -> Verdict {
    let (code, detail) = parts(text);
    match code {
        "NoScriptError" => Verdict::NoScript,
        "Moved" => redirect(detail).map_or(Verdict::Refused, Verdict::Moved),
        "Ask" => redirect(detail).map_or(Verdict::Refused, Verdict::Ask),
        "WRONGTYPE" | "UNUSABLE" => Verdict::Unusable,
        // The server checks rights before it runs the script, and again at each command inside: only
        // the second names the script, and that may be after a write.
        "NOPERM" if !names_script(detail) => Verdict::Refused,
        // What cannot be read is not run: so a server answers a long command before the password.
        "ResponseError" if detail.starts_with("Protocol error") => Verdict::Refused,
        _ if REFUSALS.contains(&code) => Verdict::Refused,
        _ if text.starts_with(PREFIX) || is_servers(code) => Verdict::Failed,
        _ => Verdict::Broken,
    }
}

/// Whether a detail says that a command inside of a script failed.
fn names_script(detail: &str) -> bool {
    detail.as_bytes().windows(8).any(|window| window == b"script: ")
}

/// Whether a code is a server's: they are in capitals, and no other error begins so.
fn is_servers(code: &str) -> bool {
    code.len() > 1 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn parts(text: &str) -> (&str, &str) {
    let rest = match text.strip_prefix(PREFIX) {
        // Without a detail the crate writes "server- Kind", with one "server - Kind: detail".
        Some(rest) => rest.trim_start_matches([' ', '-']),
        None => text,
    };
    let (code, detail) = rest.split_once([':', ' ']).unwrap_or((rest, ""));
    (code, detail.trim_start())
}

fn redirect(detail: &str) -> Option<Redirect> {
    let (slot, endpoint) = detail.split_once(' ')?;
    let endpoint = endpoint.split(' ').next()?;
    endpoint.contains(':').then_some(())?;
    Some(Redirect { slot: slot.parse().ok()?, endpoint: endpoint.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_verdict() {
        let to = |slot, endpoint: &str| Redirect { slot, endpoint: endpoint.to_owned() };
        let table = [
            (
                "An error was signalled by the server - NoScriptError: No matching script. Please \
                 use EVAL.",
                Verdict::NoScript,
            ),
            (
                "An error was signalled by the server - Moved: 12182 127.0.0.1:7402",
                Verdict::Moved(to(12_182, "127.0.0.1:7402")),
            ),
            (
                "An error was signalled by the server - Ask: 1 ::1:7402",
                Verdict::Ask(to(1, "::1:7402")),
            ),
            (
                "An error was signalled by the server - Moved: 7 :7402",
                Verdict::Moved(to(7, ":7402")),
            ),
            ("An error was signalled by the server - Moved: nonsense", Verdict::Refused),
            ("An error was signalled by the server- ReadOnly", Verdict::Refused),
            (
                "An error was signalled by the server - ClusterDown: The cluster is down",
                Verdict::Refused,
            ),
            (
                "An error was signalled by the server - BusyLoadingError: Redis is loading the \
                 dataset in memory",
                Verdict::Refused,
            ),
            (
                "An error was signalled by the server - TryAgain: Multiple keys request during \
                 rehashing of slot",
                Verdict::Refused,
            ),
            ("OOM: command not allowed when used memory > 'maxmemory'.", Verdict::Refused),
            ("NOAUTH: Authentication required.", Verdict::Refused),
            ("BUSY: Redis is busy running a script.", Verdict::Refused),
            ("NOPERM: User u has no permissions to run the 'evalsha' command", Verdict::Refused),
            (
                "NOPERM: The user executing the script can't run this command. script: 0a1b, on \
                 @user_script:9.",
                Verdict::Failed,
            ),
            (
                "WRONGTYPE: Operation against a key holding the wrong kind of value",
                Verdict::Unusable,
            ),
            ("UNUSABLE: k holds something else script: 0a1b", Verdict::Unusable),
            (
                "An error was signalled by the server - ResponseError: unknown command",
                Verdict::Failed,
            ),
            (
                "An error was signalled by the server - ResponseError: Protocol error: \
                 unauthenticated multibulk length",
                Verdict::Refused,
            ),
            ("Connection reset by peer (os error 104)", Verdict::Broken),
            ("", Verdict::Broken),
        ];
        for (text, expected) in table {
            assert_eq!(verdict(text), expected, "{text}");
        }
    }
}

//! Redis Cluster: which slot a key has, and which node a slot.

use litemap::LiteMap;
use std::ops::RangeInclusive;

use crc::{CRC_16_XMODEM, Crc};

const SLOTS: u16 = 16_384;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key: of its hash tag, if it has one (Redis Cluster specification, "Hash tags").
pub fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    CRC.checksum(hashed.as_bytes()) % SLOTS
}

/// Where slots are, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    ranges: Vec<(RangeInclusive<u16>, String)>,
    /// What answers have said since.
    moved: LiteMap<u16, String>,
}

impl Slots {
    /// Reads the answer to `CLUSTER NODES` (Redis documentation of that command, "Serialization
    /// format"). `address` is the URL of the node that answered.
    pub fn parse(nodes: &str, address: &str) -> Self {
        let mut slots = Self::default();
        for line in nodes.split('\n') {
            let words: Vec<&str> = line.split(' ').collect();
            let Some(node) = master(&words, address) else { continue };
            for word in words.iter().skip(FIRST_SLOT) {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                // A slot on its way ("[93-<-id]") is told by the node that is asked for it.
                if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                    slots.ranges.push((first..=last, node.clone()));
                }
            }
        }
        slots
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.moved.is_empty()
    }

    /// The address of a slot's node.
    pub fn address(&self, slot: u16) -> Option<&str> {
        let of_range = || self.ranges.iter().find(|(range, _)| range.contains(&slot));
        self.moved.get(&slot).or_else(|| of_range().map(|(_, address)| address)).map(String::as_str)
    }

    /// Remembers that a slot has moved.
    pub fn set_moved(&mut self, slot: u16, address: String) {
        self.moved.insert(slot, address);
    }
}

/// The word of a line with which its slots begin.
const FIRST_SLOT: usize = 8;

/// The URL of the node of one line, if it is a master that can be reached:
/// `id ip:port@bus,hostname flags master ping pong epoch link slot...`.
fn master(words: &[&str], address: &str) -> Option<String> {
    let (endpoint, flags) = (*words.get(1)?, *words.get(2)?);
    let is = |wanted: &str| flags.split(',').any(|flag| flag == wanted);
    if !is("master") || is("fail") || is("noaddr") {
        return None;
    }
    let (endpoint, hostname) = endpoint.split_once(',').unwrap_or((endpoint, ""));
    let endpoint = endpoint.split('@').next()?;
    // A certificate names a host and not an address.
    let (ip, port) = endpoint.rsplit_once(':')?;
    let named = address.starts_with("rediss:") && !hostname.is_empty() && !hostname.contains('=');
    let host = if named { hostname.split(',').next()? } else { ip };
    Some(redirected(address, &format!("{host}:{port}")))
}

/// The URL of another node of the same cluster: scheme, user, password and options stay. An endpoint
/// without a host is on the host that answered.
pub fn redirected(address: &str, endpoint: &str) -> String {
    let (scheme, rest) = address.split_once(':').unwrap_or(("redis", address));
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, options) = rest.split_at(end);
    let (user, own) = match authority.rsplit_once('@') {
        Some((user, own)) => (format!("{user}@"), own),
        None => (String::new(), authority),
    };
    let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, "6379"));
    let host = match host {
        "" | "?" => match own.rsplit_once(':') {
            Some((host, _)) if !own.ends_with(']') => host.to_owned(),
            _ => own.to_owned(),
        },
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("{scheme}://{user}{host}:{port}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of the algorithm, and keys as `CLUSTER KEYSLOT` answers for them.
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        let table = [
            ("foo", 12_182),
            ("{foo}.bar", 12_182),
            ("a{foo}b{bar}", 12_182),
            ("foo{}{bar}", CRC.checksum(b"foo{}{bar}") % SLOTS),
            ("{user1000}.following", slot("user1000")),
        ];
        for (key, expected) in table {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn another_node_keeps_scheme_user_and_options() {
        let table = [
            ("redis://127.0.0.1:7000", "10.0.0.2:7001", "redis://10.0.0.2:7001"),
            ("rediss://u:p@h:1/0?a=b", "10.0.0.2:7001", "rediss://u:p@10.0.0.2:7001/0?a=b"),
            ("redis://:p%40@h:1/", ":7001", "redis://:p%40@h:7001/"),
            ("redis://h", "?:7001", "redis://h:7001"),
            ("redis://[::1]:7000", ":7001", "redis://[::1]:7001"),
            ("redis://[::1]", ":7001", "redis://[::1]:7001"),
            ("redis://h:1", "fe80::2:7001", "redis://[fe80::2]:7001"),
        ];
        for (address, endpoint, expected) in table {
            assert_eq!(redirected(address, endpoint), expected);
        }
    }

    #[test]
    fn masters_and_their_slots_are_read_from_cluster_nodes() {
        let nodes = "\
a1 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460 5462 [93-<-b2]
b2 127.0.0.1:7002@17002,node-2 master - 0 0 2 connected 5463-10922
c3 :0@0 master,noaddr - 0 0 3 disconnected 5461
d4 127.0.0.1:7004@17004 slave a1 0 0 1 connected
e5 127.0.0.1:7005@17005 master,fail - 0 0 3 disconnected 10923-16383
";
        let mut slots = Slots::parse(nodes, "redis://u:p@127.0.0.1:7001");
        let first = Some("redis://u:p@127.0.0.1:7001");
        let second = Some("redis://u:p@127.0.0.1:7002");
        for (slot, expected) in [
            (0, first),
            (5_460, first),
            (5_461, None),
            (5_462, first),
            (7_000, second),
            (16_383, None),
        ] {
            assert_eq!(slots.address(slot), expected, "{slot}");
        }
        slots.set_moved(0, "redis://elsewhere:1".to_owned());
        assert_eq!(slots.address(0), Some("redis://elsewhere:1"));
        let named = Slots::parse(nodes, "rediss://127.0.0.1:7001");
        assert_eq!(named.address(7_000), Some("rediss://node-2:7002"));
    }
}

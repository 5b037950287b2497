//! A Redis store as a whole, read in one step past the app.

use std::collections::BTreeMap;

use domain::transaction::Value;

/// Every hash of the store, with its fields, and every sorted set, with its members and scores, one after the
/// other: a script runs alone.
const DUMP: &str = "local found = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
        local kind = redis.call('TYPE', key).ok \
        if kind == 'hash' then \
            found[#found + 1] = {key, redis.call('HGETALL', key)} \
        elseif kind == 'zset' then \
            found[#found + 1] = {key, redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')} \
        end \
    end \
    return found";

/// Keys that are read at once.
const KEYS: usize = 1_000;

/// The fields of a record; members of an ordered set with 0 each.
pub type Record = BTreeMap<Vec<u8>, Value>;
/// Records by partition and name.
pub type Records = BTreeMap<(String, String), Record>;

/// A connection to a server that is empty afterwards, of scripts, too, so that each simulation makes the
/// same calls.
///
/// # Panics
/// The server cannot be reached.
pub fn open(address: &str) -> redis::Connection {
    let mut connection = connection(address);
    let flushed: redis::RedisResult<()> = redis::pipe()
        .cmd("FLUSHALL")
        .ignore()
        .cmd("SCRIPT")
        .arg("FLUSH")
        .ignore()
        .query(&mut connection);
    flushed.expect("the server runs commands");
    connection
}

/// Reads everything.
///
/// # Panics
/// The server does not answer, or holds what is not ours.
pub fn read(connection: &mut redis::Connection) -> Records {
    let dump: Vec<(String, Vec<Vec<u8>>)> =
        redis::cmd("EVAL").arg(DUMP).arg(0).query(connection).expect("the server runs scripts");
    dump.into_iter().map(|(key, fields)| record(&key, &fields)).collect()
}

/// A set of ids: its name, the bytes of one of its parts, and how many ids are in that.
pub type IdsPart = (String, u64, u64);

/// All records, and all sets of ids, which the binding writes as bitmaps and as buckets of seven bytes an id. Faster than
/// [`read`] where a store has tens of thousands of records, and of one moment only where nobody writes meanwhile.
///
/// # Panics
/// The server does not answer, or holds what is not ours.
pub fn read_at_rest(connection: &mut redis::Connection) -> (Records, Vec<IdsPart>) {
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query(connection).expect("the server runs commands");
    let (mut records, mut ids) = (Records::new(), Vec::new());
    for keys in keys.chunks(KEYS) {
        let mut pipe = redis::pipe();
        for key in keys {
            match kind_of(key) {
                'm' => pipe.cmd("HGETALL").arg(key),
                'o' => pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"),
                'b' => pipe.cmd("BITCOUNT").arg(key).cmd("STRLEN").arg(key),
                _ => pipe.cmd("STRLEN").arg(key),
            };
        }
        let answers: Vec<redis::Value> = pipe.query(connection).expect("the server runs commands");
        let mut answers = answers.into_iter();
        for key in keys {
            let mut next = || answers.next().expect("an answer to each command");
            match kind_of(key) {
                'm' | 'o' => {
                    let fields: Vec<Vec<u8>> = redis::from_redis_value(&next()).expect("texts");
                    records.extend([record(key, &fields)]);
                }
                kind => {
                    let mut count = || redis::from_redis_value(&next()).expect("a count");
                    let bits: Option<u64> = (kind == 'b').then(&mut count);
                    let bytes: u64 = count();
                    let (_, name) = key.split_once("}:").expect("a hash tag");
                    let (name, _) = name[1..].rsplit_once(':').expect("a part of a set");
                    ids.push((name.to_owned(), bytes, bits.unwrap_or(bytes / 7)));
                }
            }
        }
    }
    (records, ids)
}

/// What the binding keeps at a key: a map, an ordered set, a bitmap, or a bucket of ids.
fn kind_of(key: &str) -> char {
    let (_, name) = key.split_once("}:").expect("a hash tag");
    let kind = name.chars().next().expect("a kind");
    assert!("mobs".contains(kind), "{key} is not ours");
    kind
}

/// A record, and where it lies.
fn record(key: &str, fields: &[Vec<u8>]) -> ((String, String), Record) {
    let (_, rest) = key.split_once('{').expect("a hash tag");
    let (partition, name) = rest.split_once("}:").expect("a hash tag");
    let name = name.strip_prefix(['m', 'o']).expect("a map or an ordered set").to_owned();
    let fields = fields.chunks(2).map(|pair| (pair[0].clone(), value(&pair[1])));
    ((partition.to_owned(), name), fields.collect())
}

/// As the binding writes values: decimal digits, or `=` and bytes.
fn value(bytes: &[u8]) -> Value {
    match bytes.strip_prefix(b"=") {
        Some(bytes) => Value::Bytes(bytes.to_vec()),
        None => {
            let text = std::str::from_utf8(bytes).expect("digits");
            Value::Integer(text.parse().expect("an integer"))
        }
    }
}

/// An integer of a record; 0 where it is not there.
///
/// # Panics
/// It holds bytes.
pub fn integer(record: &Record, field: &str) -> i64 {
    match record.get(field.as_bytes()) {
        None => 0,
        Some(Value::Integer(integer)) => *integer,
        Some(Value::Bytes(_)) => panic!("{field} holds bytes"),
    }
}

/// What the keys of a store begin with, where nothing else is configured.
const PREFIX: &str = "hb:live";

fn connection(address: &str) -> redis::Connection {
    redis::Client::open(address)
        .and_then(|client| client.get_connection())
        .expect("the server accepts connections")
}

/// Everything, as it is now.
///
/// # Panics
/// The server does not answer, or holds what is not ours.
pub fn now(address: &str) -> Records {
    read(&mut connection(address))
}

/// A store as it was at a moment.
pub struct Snapshot {
    connection: std::cell::RefCell<redis::Connection>,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    records: Records,
}

impl Snapshot {
    /// Of a server that nobody uses at this moment.
    ///
    /// # Panics
    /// The server does not answer, or holds what is not ours.
    pub fn take(address: &str) -> Self {
        let mut connection = connection(address);
        let records = read(&mut connection);
        let names: Vec<Vec<u8>> =
            redis::cmd("KEYS").arg("*").query(&mut connection).expect("the server runs commands");
        let dump = |name: Vec<u8>| {
            let dump = redis::cmd("DUMP").arg(&name).query(&mut connection);
            (name, dump.expect("the server runs commands"))
        };
        let keys = names.into_iter().map(dump).collect();
        Self { connection: connection.into(), keys, records }
    }

    /// What there was.
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// What there is now.
    ///
    /// # Panics
    /// The server does not answer, or holds what is not ours.
    pub fn now(&self) -> Records {
        read(&mut self.connection.borrow_mut())
    }

    /// Puts everything back; nothing has a time to live any more.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn restore(&self) {
        let mut all = redis::pipe();
        all.cmd("FLUSHALL").ignore();
        for (name, dump) in &self.keys {
            all.cmd("RESTORE").arg(name).arg(0).arg(dump).ignore();
        }
        all.query::<()>(&mut self.connection.borrow_mut()).expect("the server runs commands");
    }

    /// [`write`]s a field.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn write(&self, partition: &str, map: &str, field: &[u8], bytes: Option<&[u8]>) {
        write(&mut self.connection.borrow_mut(), partition, map, field, bytes);
    }
}

/// The key of a map of a store.
fn key_of(partition: &str, map: &str) -> String {
    format!("{PREFIX}:{{{partition}}}:m{map}")
}

/// The bytes of a field of a map, past the app.
///
/// # Panics
/// The server does not answer, or it holds an integer.
pub fn bytes_of(
    connection: &mut redis::Connection,
    partition: &str,
    map: &str,
    field: &[u8],
) -> Option<Vec<u8>> {
    let stored: Option<Vec<u8>> = redis::cmd("HGET")
        .arg(key_of(partition, map))
        .arg(field)
        .query(connection)
        .expect("the server runs commands");
    stored.map(|stored| stored.strip_prefix(b"=").expect("bytes").to_vec())
}

/// Writes bytes into a field of a map past the app, as the binding writes them, or takes it out.
///
/// # Panics
/// The server does not answer.
pub fn write(
    connection: &mut redis::Connection,
    partition: &str,
    map: &str,
    field: &[u8],
    bytes: Option<&[u8]>,
) {
    let mut command = redis::cmd(if bytes.is_some() { "HSET" } else { "HDEL" });
    command.arg(key_of(partition, map)).arg(field);
    if let Some(bytes) = bytes {
        command.arg([b"=", bytes].concat());
    }
    command.query::<i64>(connection).expect("the server runs commands");
}

/// Writes bytes into a field of a map past the app; what was there.
///
/// # Panics
/// The server does not answer, or nothing was there.
pub fn write_past(address: &str, partition: &str, map: &str, field: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = connection(address);
    let was = bytes_of(&mut connection, partition, map, field.as_bytes());
    write(&mut connection, partition, map, field.as_bytes(), Some(bytes));
    was.expect("there is such a field")
}

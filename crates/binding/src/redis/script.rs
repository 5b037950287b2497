//! A transaction as keys and arguments of the script, and its answer as an outcome.

use litemap::LiteMap;

use domain::partition::Partitions;
use domain::transaction::{
    Answer, Failed, Field, Guard, Invalid, MapKey, Member, OrderedKey, Outcome, Page, Range, Read,
    Refusal, Seen, SetKey, Transaction, Value, Write,
};

use super::id_set::position;
use super::{Argument, Reply};

/// The script `transaction.lua`, without its comments.
pub static SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/transaction.lua"));
/// The name under which Redis keeps the script.
pub static SHA1: &str = env!("TRANSACTION_SHA1");

/// What a stored value begins with if it holds bytes; an integer is written in decimal.
const BYTES_MARK: u8 = b'=';
/// How the answer begins; the script has the same numbers.
const COMMITTED: i64 = 0;
const GUARD_FAILED: i64 = 1;
const NOTHING_TO_MOVE: i64 = 2;
const INVALID: i64 = 3;
const NOT_AN_INTEGER: i64 = 0;
const OVERFLOW: i64 = 1;

/// Arguments that most operations have.
const OPERATION_ARGUMENTS: usize = 4;
/// Bytes of the decimal digits of the largest number in a key, and the colon before them.
const PART_BYTES_MAX: usize = 21;

/// A transaction in a partition, for the script.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What all keys begin with, the hash tag included.
    pub prefix: &'a str,
    /// Where ids lie depends on how many partitions there are.
    pub partitions: Partitions,
    /// What to do.
    pub transaction: &'a Transaction,
}

impl Call<'_> {
    /// The arguments of `EVALSHA` or `EVAL`; the first is the script or its name.
    pub fn arguments(&self, script: &str) -> Vec<Argument> {
        let Transaction { now_ms, guards, writes, reads } = self.transaction;
        let counts = [guards.len(), writes.len(), reads.len()];
        let operations = counts.iter().sum::<usize>();
        let mut form = Form {
            prefix: self.prefix,
            partitions: self.partitions,
            keys: LiteMap::new_vec(),
            arguments: Vec::with_capacity(counts.len() + operations * OPERATION_ARGUMENTS),
        };
        form.arguments.extend(counts.map(|count| Argument::Integer(count as i64)));
        guards.iter().for_each(|guard| form.guard(guard));
        writes.iter().for_each(|write| form.write(write, *now_ms));
        reads.iter().for_each(|read| form.read(read));
        form.finish(script)
    }
}

/// Keys and arguments in the making.
struct Form<'a> {
    prefix: &'a str,
    partitions: Partitions,
    /// Their numbers, counted from 1 as Lua does.
    keys: LiteMap<String, usize>,
    arguments: Vec<Argument>,
}

impl Form<'_> {
    fn finish(self, script: &str) -> Vec<Argument> {
        let count = self.keys.len();
        let mut arguments = Vec::with_capacity(2 + count + self.arguments.len());
        arguments.extend([bytes(script), Argument::Integer(count as i64)]);
        arguments.resize(2 + count, Argument::Integer(0));
        for (name, number) in self.keys {
            arguments[1 + number] = Argument::Bytes(name.into_bytes());
        }
        arguments.extend(self.arguments);
        arguments
    }

    /// The number of a key.
    fn key(&mut self, kind: char, record: &str, part: Option<u64>) -> Argument {
        let bytes = self.prefix.len() + kind.len_utf8() + record.len() + PART_BYTES_MAX;
        let mut name = String::with_capacity(bytes);
        name.push_str(self.prefix);
        name.push(kind);
        name.push_str(record);
        if let Some(part) = part {
            name.push(':');
            name.push_str(itoa::Buffer::new().format(part));
        }
        let next = self.keys.len() + 1;
        Argument::Integer(*self.keys.entry(name).or_insert(next) as i64)
    }

    fn map(&mut self, map: &MapKey) -> Argument {
        self.key('m', &map.0, None)
    }

    /// One operation. The two last arguments are empty where it needs none.
    fn operation(&mut self, name: &str, key: Argument, third: Argument, fourth: Argument) {
        self.arguments.extend([bytes(name), key, third, fourth]);
    }

    fn on_field(&mut self, name: &str, map: &MapKey, field: &Field, value: Argument) {
        let key = self.map(map);
        self.operation(name, key, Argument::Bytes(field.0.clone()), value);
    }

    fn on_map(&mut self, name: &str, map: &MapKey, third: Argument) {
        let key = self.map(map);
        self.operation(name, key, third, bytes(""));
    }

    fn on_id(&mut self, name: &str, set: &SetKey, id: u64) {
        let position = position(id, self.partitions);
        let bitmap = self.key('b', &set.0, Some(position.chunk));
        let bucket = self.key('s', &set.0, Some(position.bucket));
        self.operation(name, bitmap, bucket, Argument::Bytes(position.entry.to_vec()));
    }

    fn on_member(&mut self, name: &str, set: &OrderedKey, member: &Member) {
        let key = self.key('o', &set.0, None);
        self.operation(name, key, Argument::Bytes(member.0.clone()), bytes(""));
    }

    /// Both bounds, as Redis takes them.
    fn on_range(&mut self, name: &str, set: &OrderedKey, range: &Range) {
        let key = self.key('o', &set.0, None);
        self.operation(name, key, bound(&range.after, "-"), bound(&range.below, "+"));
    }

    fn guard(&mut self, guard: &Guard) {
        match guard {
            Guard::FieldAbsent(map, field) => self.on_field("absent", map, field, bytes("")),
            Guard::FieldPresent(map, field) => self.on_field("present", map, field, bytes("")),
            Guard::FieldEquals(map, field, value) => {
                self.on_field("equals", map, field, stored(value));
            }
            Guard::IntegerAtLeast(map, field, least) => {
                self.on_field("at-least", map, field, Argument::Integer(*least));
            }
            Guard::IntegerAtMost(map, field, most) => {
                self.on_field("at-most", map, field, Argument::Integer(*most));
            }
            Guard::SizeAtMost(map, most) => {
                self.on_map("size", map, Argument::Integer(i64::from(*most)));
            }
            Guard::IdPresent(set, id) => self.on_id("in", set, *id),
            Guard::IdAbsent(set, id) => self.on_id("out", set, *id),
            Guard::MemberPresent(set, member) => self.on_member("has", set, member),
            Guard::MemberAbsent(set, member) => self.on_member("lacks", set, member),
        }
    }

    fn write(&mut self, write: &Write, now_ms: i64) {
        match write {
            Write::Set(map, field, value) => self.on_field("set", map, field, stored(value)),
            Write::Add(map, field, delta) => {
                self.on_field("add", map, field, Argument::Integer(*delta));
            }
            Write::Unset(map, field) => self.on_field("unset", map, field, bytes("")),
            Write::Drop(map) => self.on_map("drop", map, bytes("")),
            Write::Move(from, to, field) => {
                let (from, to) = (self.map(from), self.map(to));
                self.operation("move", from, to, Argument::Bytes(field.0.clone()));
            }
            Write::Insert(set, id) => self.on_id("insert", set, *id),
            Write::Remove(set, id) => self.on_id("remove", set, *id),
            // Due by the edge's clock: at once, as the other back ends do, whatever the server's
            // clock says.
            Write::CollectAfter(map, at_ms) if *at_ms <= now_ms => {
                self.on_map("drop", map, bytes(""));
            }
            Write::CollectAfter(map, at_ms) => {
                self.on_map("collect", map, Argument::Integer(*at_ms));
            }
            Write::Keep(map) => self.on_map("keep", map, bytes("")),
            Write::AddMember(set, member) => self.on_member("add-member", set, member),
            Write::RemoveMember(set, member) => self.on_member("remove-member", set, member),
        }
    }

    fn read(&mut self, read: &Read) {
        match read {
            Read::Fields(map, fields) => {
                self.on_map("fields", map, Argument::Integer(fields.len() as i64));
                let fields = fields.iter().map(|field| Argument::Bytes(field.0.clone()));
                self.arguments.extend(fields);
            }
            Read::All(map, most) => self.on_map("all", map, Argument::Integer(i64::from(*most))),
            Read::Size(map) => self.on_map("size", map, bytes("")),
            Read::Contains(set, id) => self.on_id("contains", set, *id),
            Read::HasMember(set, member) => self.on_member("has", set, member),
            Read::Page(set, range, most) => {
                self.on_range("page", set, range);
                // One more, which says that there are more.
                self.arguments.push(Argument::Integer(i64::from(*most) + 1));
            }
            Read::Count(set, range) => self.on_range("count", set, range),
            Read::Clock => self.operation("clock", bytes(""), bytes(""), bytes("")),
        }
    }
}

/// The member itself is not in the range.
fn bound(member: &Option<Member>, none: &str) -> Argument {
    match member {
        None => bytes(none),
        Some(Member(member)) => Argument::Bytes([b"(", member.as_slice()].concat()),
    }
}

fn bytes(text: &str) -> Argument {
    Argument::Bytes(text.as_bytes().to_vec())
}

fn stored(value: &Value) -> Argument {
    match value {
        Value::Integer(integer) => Argument::Integer(*integer),
        Value::Bytes(bytes) => Argument::Bytes([&[BYTES_MARK], bytes.as_slice()].concat()),
    }
}

/// Reads the script's answer to a transaction: `None` where it is none, because something else wrote
/// into the store or the server runs something else.
pub fn decode(transaction: &Transaction, replies: Vec<Reply>) -> Option<Result<Outcome, Invalid>> {
    let mut replies = replies.into_iter();
    let outcome = match integer(&mut replies)? {
        COMMITTED => Outcome::Committed(decode_reads(transaction, &mut replies)?),
        GUARD_FAILED => {
            let index = usize::try_from(integer(&mut replies)?).ok()?;
            let seen = decode_seen(transaction.guards.get(index)?, &mut replies)?;
            let reads = decode_reads(transaction, &mut replies)?;
            Outcome::Refused(Refusal { failed: Failed::Guard(index), seen, reads })
        }
        NOTHING_TO_MOVE => {
            let index = usize::try_from(integer(&mut replies)?).ok()?;
            let reads = decode_reads(transaction, &mut replies)?;
            Outcome::Refused(Refusal { failed: Failed::Write(index), seen: Seen::Size(0), reads })
        }
        INVALID => match integer(&mut replies)? {
            NOT_AN_INTEGER => return Some(Err(Invalid::NotAnInteger)),
            OVERFLOW => return Some(Err(Invalid::Overflow)),
            _ => return None,
        },
        _ => return None,
    };
    replies.next().is_none().then_some(Ok(outcome))
}

type Replies = std::vec::IntoIter<Reply>;

fn decode_seen(guard: &Guard, replies: &mut Replies) -> Option<Seen> {
    match guard {
        Guard::SizeAtMost(..) => Some(Seen::Size(size(replies)?)),
        Guard::IdPresent(..)
        | Guard::IdAbsent(..)
        | Guard::MemberPresent(..)
        | Guard::MemberAbsent(..) => Some(Seen::Contains(flag(replies)?)),
        _ => Some(Seen::Field(value(replies)?)),
    }
}

fn decode_reads(transaction: &Transaction, replies: &mut Replies) -> Option<Vec<Answer>> {
    transaction.reads.iter().map(|read| decode_read(read, replies)).collect()
}

fn decode_read(read: &Read, replies: &mut Replies) -> Option<Answer> {
    match read {
        Read::Fields(_, fields) => {
            Some(Answer::Fields(fields.iter().map(|_| value(replies)).collect::<Option<_>>()?))
        }
        Read::All(_, most) => {
            let size = size(replies)?;
            if size > u64::from(*most) { Some(Answer::Size(size)) } else { fields(size, replies) }
        }
        Read::Size(_) | Read::Count(..) => Some(Answer::Size(size(replies)?)),
        Read::Page(_, _, most) => {
            let found = size(replies)?;
            let has_more = found > u64::from(*most);
            let mut members = members(found, replies)?;
            members.truncate(*most as usize);
            Some(Answer::Page(Page { members, has_more }))
        }
        Read::Contains(..) | Read::HasMember(..) => Some(Answer::Contains(flag(replies)?)),
        Read::Clock => Some(Answer::Clock(clock(&replies.next()?, &replies.next()?))),
    }
}

fn members(count: u64, replies: &mut Replies) -> Option<Vec<Member>> {
    let mut member = || match replies.next()? {
        Reply::Bytes(member) => Some(Member(member)),
        _ => None,
    };
    (0..count).map(|_| member()).collect()
}

fn fields(count: u64, replies: &mut Replies) -> Option<Answer> {
    let mut field = || match replies.next()? {
        Reply::Bytes(field) => Some((Field(field), value(replies)??)),
        _ => None,
    };
    // Sorted by insertion: a page is small, and a sort of its own would be 5 kB in every component.
    let mut fields = LiteMap::new_vec();
    for _ in 0..count {
        let (name, value) = field()?;
        fields.insert(name, value);
    }
    Some(Answer::Map(fields.into_tuple_vec()))
}

/// A field's value: `Some(None)` where it is absent.
fn value(replies: &mut Replies) -> Option<Option<Value>> {
    match replies.next()? {
        Reply::Nil => Some(None),
        Reply::Bytes(mut bytes) if bytes.first() == Some(&BYTES_MARK) => {
            bytes.remove(0);
            Some(Some(Value::Bytes(bytes)))
        }
        Reply::Bytes(text) => {
            Some(Some(Value::Integer(std::str::from_utf8(&text).ok()?.parse().ok()?)))
        }
        Reply::Integer(_) | Reply::Status(_) => None,
    }
}

/// What `TIME` says, in milliseconds: whole seconds, and microseconds. A server that does not tell, or that tells
/// something else, has no clock.
fn clock(seconds: &Reply, microseconds: &Reply) -> Option<i64> {
    let number = |reply: &Reply| -> Option<i64> {
        match reply {
            Reply::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Reply::Integer(number) => Some(*number),
            Reply::Nil | Reply::Status(_) => None,
        }
    };
    let microseconds = number(microseconds).filter(|part| (0..1_000_000).contains(part))?;
    number(seconds)?.checked_mul(1_000)?.checked_add(microseconds / 1_000)
}

fn integer(replies: &mut Replies) -> Option<i64> {
    match replies.next()? {
        Reply::Integer(integer) => Some(integer),
        Reply::Nil | Reply::Status(_) | Reply::Bytes(_) => None,
    }
}

fn size(replies: &mut Replies) -> Option<u64> {
    u64::try_from(integer(replies)?).ok()
}

fn flag(replies: &mut Replies) -> Option<bool> {
    Some(integer(replies)? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_milliseconds_and_what_is_none_is_no_clock() {
        let text = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let table = [
            (text("1771257600"), text("999999"), Some(1_771_257_600_999)),
            (text("1771257600"), text("999"), Some(1_771_257_600_000)),
            (Reply::Integer(1_771_257_600), Reply::Integer(1_000), Some(1_771_257_600_001)),
            (text("0"), text("0"), Some(0)),
            (text("-1"), text("0"), Some(-1_000)),
            (Reply::Nil, Reply::Nil, None),
            (text("1771257600"), Reply::Nil, None),
            (text("1771257600"), text("1000000"), None),
            (text("1771257600"), text("-1"), None),
            (text("9223372036854775807"), text("0"), None),
            (text("soon"), text("0"), None),
            (Reply::Status("OK".into()), text("0"), None),
        ];
        for (seconds, microseconds, expected) in table {
            assert_eq!(clock(&seconds, &microseconds), expected, "{seconds:?} {microseconds:?}");
        }
    }

    #[test]
    fn a_time_stands_between_other_answers() {
        let reads = vec![Read::Size("a".into()), Read::Clock, Read::Size("b".into())];
        let transaction = Transaction { reads, ..Transaction::default() };
        let answers = |time: [Reply; 2]| {
            let [seconds, microseconds] = time;
            let replies = vec![
                Reply::Integer(COMMITTED),
                Reply::Integer(1),
                seconds,
                microseconds,
                Reply::Integer(2),
            ];
            decode(&transaction, replies)
        };
        let expected = |clock| {
            let reads = vec![Answer::Size(1), Answer::Clock(clock), Answer::Size(2)];
            Some(Ok(Outcome::Committed(reads)))
        };
        assert_eq!(answers([Reply::Nil, Reply::Nil]), expected(None));
        let time = [Reply::Bytes(b"7".to_vec()), Reply::Bytes(b"8000".to_vec())];
        assert_eq!(answers(time), expected(Some(7_008)));
    }
}

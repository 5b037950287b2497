//! The Redis back end against a real server: what lies in the store, and every way in which a server
//! can fail.

use std::time::{Duration, Instant, SystemTime};

use binding::redis::Redis;
use binding::{Binding, layout};
use domain::partition::{Partition, Partitions};
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Member, OPERATIONS_MAX, OrderedKey, Outcome, Page,
    READ_FIELDS_MAX, Range, Read, Transaction, Value, Write,
};
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use futures::future::join_all;

const HOME: Partition = Partition::DESCRIPTION;
/// What the keys of that partition begin with.
const PREFIX: &str = "hongbao:live:{c0}:";

fn back_end<'a>(
    connector: &'a NativeConnector,
    server: &RedisServer,
) -> Redis<&'a NativeConnector> {
    let partitions = Partitions::default();
    Redis::new(connector, vec![server.address()], "hongbao", "live", partitions)
}

fn writes(writes: Vec<Write>) -> Transaction {
    Transaction { writes, ..Transaction::default() }
}

fn set(field: &str) -> Write {
    Write::Set("map".into(), field.into(), Value::Integer(1))
}

fn size() -> Transaction {
    Transaction { reads: vec![Read::Size("map".into())], ..Transaction::default() }
}

fn committed(reads: Vec<Answer>) -> Result<Outcome, CommitError> {
    Ok(Outcome::Committed(reads))
}

async fn keys(server: &RedisServer) -> Vec<String> {
    let mut keys: Vec<String> = server.command(&["KEYS", "*"]).await.unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn the_script_is_sent_once_and_again_when_the_server_forgot_it() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let calls = async |command: &str| -> u64 {
        let stats: String = server.command(&["INFO", "commandstats"]).await.unwrap();
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    for sent in 1..=2 {
        for _ in 0..5 {
            redis.commit(HOME, &writes(vec![set("a")])).await.unwrap();
        }
        assert_eq!((calls("eval").await, calls("evalsha").await), (sent, 5 * sent));
        server.command::<()>(&["SCRIPT", "FLUSH"]).await.unwrap();
    }
}

#[tokio::test]
async fn one_connection_is_shared_by_concurrent_commits() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let add = writes(vec![Write::Add("map".into(), "n".into(), 1)]);
    for outcome in join_all((0..16).map(|_| redis.commit(HOME, &add))).await {
        outcome.unwrap();
    }
    let read = Read::Fields("map".into(), vec!["n".into()]);
    let read = Transaction { reads: vec![read], ..Transaction::default() };
    let expected = Answer::Fields(vec![Some(Value::Integer(16))]);
    assert_eq!(redis.commit(HOME, &read).await, committed(vec![expected]));
    assert_eq!(connector.opened(), 1);
}

#[tokio::test]
async fn the_80th_neighbour_moves_a_chunk_into_a_bitmap_and_nothing_stays_when_all_are_gone() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let first = 90_000_000 / 4_032 * 4_032;
    let insert = |id: u64| writes(vec![Write::Insert("ids".into(), id)]);
    for id in first..first + 79 {
        redis.commit(HOME, &insert(id)).await.unwrap();
    }
    let before = keys(&server).await;
    assert_eq!(before.len(), 1);
    assert!(before[0].starts_with(&format!("{PREFIX}sids:")), "{before:?}");
    let bytes = async |key: &str| server.command::<usize>(&["STRLEN", key]).await.unwrap();
    assert_eq!(bytes(&before[0]).await, 79 * 7);

    redis.commit(HOME, &insert(first + 4_031)).await.unwrap();
    let bitmap = format!("{PREFIX}bids:{}", first / 4_032);
    assert_eq!(keys(&server).await, [bitmap.as_str()]);
    assert_eq!(bytes(&bitmap).await, 504);

    for id in (first..first + 79).chain([first + 4_031]) {
        let read = Transaction {
            reads: vec![Read::Contains("ids".into(), id), Read::Contains("ids".into(), id + 100)],
            ..Transaction::default()
        };
        let expected = vec![Answer::Contains(true), Answer::Contains(false)];
        assert_eq!(redis.commit(HOME, &read).await, committed(expected), "{id}");
        redis.commit(HOME, &writes(vec![Write::Remove("ids".into(), id)])).await.unwrap();
    }
    assert_eq!(keys(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_time_of_collection_is_the_stores_own_expiry() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let key = format!("{PREFIX}mmap");
    let expiry = async || server.command::<i64>(&["PEXPIRETIME", &key]).await.unwrap();
    let (soon, later) = (4_000_000_000_000, 5_000_000_000_000);
    let collect = |at_ms| Write::CollectAfter("map".into(), at_ms);
    redis.commit(HOME, &writes(vec![collect(soon), set("a")])).await.unwrap();
    assert_eq!(expiry().await, -1, "nothing happens where the map is absent");
    redis.commit(HOME, &writes(vec![collect(soon), set("b")])).await.unwrap();
    assert_eq!(expiry().await, soon);
    redis.commit(HOME, &writes(vec![collect(later)])).await.unwrap();
    assert_eq!(expiry().await, later);
    redis.commit(HOME, &writes(vec![Write::Keep("map".into())])).await.unwrap();
    assert_eq!(expiry().await, -1, "what is kept has no time");
    redis.commit(HOME, &writes(vec![collect(later)])).await.unwrap();
    let again = vec![Write::Drop("map".into()), set("a")];
    redis.commit(HOME, &writes(again)).await.unwrap();
    assert_eq!(expiry().await, -1, "a new map of the same name has no time");
    // Due by the edge's clock, though far ahead of the server's.
    let due = Transaction { now_ms: soon, ..writes(vec![collect(soon)]) };
    redis.commit(HOME, &due).await.unwrap();
    assert_eq!(expiry().await, -2);
}

#[tokio::test]
async fn the_largest_transaction_and_the_largest_reads_are_answered() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let field = |number: u32| Field(format!("{number:0>256}").into_bytes());
    let most = READ_FIELDS_MAX;
    let fill = (0..OPERATIONS_MAX as u32).map(|number| {
        Write::Set("map".into(), field(number % most), Value::Integer(number.into()))
    });
    redis.commit(HOME, &writes(fill.collect())).await.unwrap();
    let reads = Transaction {
        reads: vec![
            Read::Fields("map".into(), (0..most).map(field).collect()),
            Read::All("map".into(), most),
            Read::All("map".into(), most - 1),
        ],
        ..Transaction::default()
    };
    let value = |number: u32| Value::Integer(i64::from(number + most));
    let all: Vec<_> = (0..most).map(|number| (field(number), value(number))).collect();
    let expected = vec![
        Answer::Fields((0..most).map(|number| Some(value(number))).collect()),
        Answer::Map(all),
        Answer::Size(most.into()),
    ];
    assert_eq!(redis.commit(HOME, &reads).await, committed(expected));
    let ids = (0..1_000).map(|id| id << 22);
    let batch = Transaction {
        guards: ids.clone().map(|id| Guard::IdAbsent("ids".into(), id)).collect(),
        writes: ids.map(|id| Write::Insert("ids".into(), id)).collect(),
        ..Transaction::default()
    };
    assert_eq!(redis.commit(HOME, &batch).await, committed(vec![]));
    let again = redis.commit(HOME, &batch).await;
    assert!(matches!(again, Ok(Outcome::Refused(_))), "{again:?}");
}

/// Beyond 128 members Redis keeps them in another form.
#[tokio::test]
async fn an_ordered_set_is_read_in_the_order_of_bytes_whatever_its_size() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let member = |number: u32| Member(number.to_be_bytes().to_vec());
    let page = |after, most| Transaction {
        reads: vec![
            Read::Page("set".into(), Range { after, below: None }, most),
            Read::Count("set".into(), Range::default()),
        ],
        ..Transaction::default()
    };
    for (count, encoding) in [(100, "listpack"), (3_000, "skiplist")] {
        for numbers in (0..count).rev().collect::<Vec<u32>>().chunks(OPERATIONS_MAX) {
            let add = |number: &u32| Write::AddMember("set".into(), member(*number));
            redis.commit(HOME, &writes(numbers.iter().map(add).collect())).await.unwrap();
        }
        let key = format!("{PREFIX}oset");
        let kept: String = server.command(&["OBJECT", "ENCODING", &key]).await.unwrap();
        assert_eq!(kept, encoding);
        let (mut after, mut found) = (None, 0);
        loop {
            let members: Vec<_> = (found..count).take(1_000).map(member).collect();
            found += members.len() as u32;
            let last = members.last().cloned();
            let expected = Answer::Page(Page { members, has_more: found < count });
            let expected = committed(vec![expected, Answer::Size(count.into())]);
            assert_eq!(redis.commit(HOME, &page(after, 1_000)).await, expected);
            after = last;
            if found == count {
                break;
            }
        }
    }
}

/// Whatever operation meets a key of another type, and wherever in the transaction: nothing before it
/// was written.
#[tokio::test]
async fn what_this_binding_did_not_write_is_unusable_and_nothing_happens() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    redis.commit(HOME, &writes(vec![Write::Insert("ids".into(), 5)])).await.unwrap();
    let bucket = keys(&server).await.remove(0);
    let foreign = || MapKey::from("foreign");
    let field = || Field::from("f");
    let with = |write: Write| writes(vec![set("a"), write]);
    let reading = |read: Read| Transaction { reads: vec![read], ..writes(vec![set("a")]) };
    let map = vec![
        with(Write::Set(foreign(), field(), Value::Integer(1))),
        with(Write::Add(foreign(), field(), 1)),
        with(Write::Unset(foreign(), field())),
        with(Write::Drop(foreign())),
        with(Write::CollectAfter(foreign(), 4_000_000_000_000)),
        with(Write::Keep(foreign())),
        with(Write::Move(foreign(), "map".into(), field())),
        with(Write::Move("map".into(), foreign(), field())),
        reading(Read::Size(foreign())),
        reading(Read::All(foreign(), 1)),
        reading(Read::Fields(foreign(), vec![field()])),
        Transaction { guards: vec![Guard::FieldAbsent(foreign(), field())], ..size() },
        Transaction { guards: vec![Guard::SizeAtMost(foreign(), 1)], ..size() },
    ];
    let ids = vec![
        with(Write::Insert("ids".into(), 5)),
        with(Write::Remove("ids".into(), 5)),
        reading(Read::Contains("ids".into(), 5)),
        Transaction { guards: vec![Guard::IdAbsent("ids".into(), 5)], ..size() },
    ];
    let member = || Member::from("m");
    let (name, part) = (|| OrderedKey::from("foreign"), Range::default);
    let ordered = vec![
        with(Write::AddMember(name(), member())),
        with(Write::RemoveMember(name(), member())),
        reading(Read::Page(name(), part(), 1)),
        reading(Read::Count(name(), part())),
        reading(Read::HasMember(name(), member())),
        Transaction { guards: vec![Guard::MemberAbsent(name(), member())], ..size() },
    ];
    let no_number = vec![
        with(Write::Add(foreign(), field(), 1)),
        Transaction { guards: vec![Guard::IntegerAtLeast(foreign(), field(), 1)], ..size() },
    ];
    let map_key = format!("{PREFIX}mforeign");
    let bitmap = format!("{PREFIX}bids:0");
    let ordered_key = format!("{PREFIX}oforeign");
    let table: [(&[&str], &[Transaction]); 7] = [
        (&["SET", &ordered_key, "x"], &ordered),
        (&["SET", &map_key, "x"], &map),
        (&["HSET", &map_key, "f", "no number"], &no_number),
        (&["RPUSH", &bucket, "x"], &ids),
        (&["SET", &bucket, "12345678"], &ids),
        (&["RPUSH", &bitmap, "x"], &ids),
        (&["SET", &bitmap, "x"], &ids),
    ];
    for (command, transactions) in table {
        server.command::<()>(&["FLUSHALL"]).await.unwrap();
        server.command::<()>(command).await.unwrap();
        for transaction in transactions {
            let answer = redis.commit(HOME, transaction).await;
            let at = format!("{command:?}, {transaction:?}: {answer:?}");
            assert!(matches!(answer, Err(CommitError::Unreadable(_))), "{at}");
            assert_eq!(keys(&server).await, [command[1]], "{at}");
        }
    }
}

/// Servers that refuse before the first write: nothing happened, and the answer says so.
#[tokio::test]
async fn a_server_that_does_not_accept_writes_is_unavailable() {
    let full = RedisServer::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1 1"]);
    let alone = RedisServer::start(&["--min-replicas-to-write", "1"]);
    let closed = RedisServer::start(&["--requirepass", "secret"]);
    for server in [full, replica, alone, closed] {
        let server = server.unwrap();
        let connector = NativeConnector::default();
        let redis = back_end(&connector, &server);
        let error = redis.commit(HOME, &writes(vec![set("a")])).await.unwrap_err();
        assert!(matches!(error, CommitError::Unavailable(_)), "{error}");
        assert_eq!(connector.opened(), 1, "{error}: asking again would be of no use");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_unavailable_and_right_again_when_it_is_back() {
    let mut server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    for _ in 0..3 {
        let write = writes(vec![set("a")]);
        assert_eq!(redis.commit(HOME, &write).await, committed(vec![]));
        assert_eq!(redis.commit(HOME, &size()).await, committed(vec![Answer::Size(1)]));
        server.kill();
        for transaction in [&write, &size(), &write] {
            let error = redis.commit(HOME, transaction).await.unwrap_err();
            let open = matches!(error, CommitError::Unknown(_));
            assert!(open || matches!(error, CommitError::Unavailable(_)), "{error}");
            assert!(!(open && transaction.is_read_only()), "{error}: what only reads is closed");
        }
        server.start_again().unwrap();
        assert_eq!(redis.commit(HOME, &size()).await, committed(vec![Answer::Size(0)]));
    }
}

/// The connection breaks between two commits: the second opens a new one by itself.
#[tokio::test]
async fn a_broken_connection_is_replaced_without_an_error() {
    let mut server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    redis.commit(HOME, &size()).await.unwrap();
    server.command::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    assert_eq!(redis.commit(HOME, &writes(vec![set("a")])).await, committed(vec![]));
    server.start_again().unwrap();
    assert_eq!(redis.commit(HOME, &size()).await, committed(vec![Answer::Size(0)]));
    assert_eq!(connector.opened(), 3);
}

#[tokio::test]
async fn a_frozen_server_ends_every_commit_in_time_and_goes_on_when_it_thaws() {
    let server = RedisServer::start(&[]).unwrap();
    let time = Duration::from_millis(300);
    let connector = NativeConnector::new(time);
    let redis = back_end(&connector, &server);
    let write = writes(vec![set("a")]);
    redis.commit(HOME, &write).await.unwrap();
    server.freeze().unwrap();
    for round in 0..3 {
        let start = Instant::now();
        for outcome in join_all((0..16).map(|_| redis.commit(HOME, &write))).await {
            let error = outcome.unwrap_err();
            // Only the first round had a connection to send anything on.
            let open = matches!(error, CommitError::Unknown(_));
            assert_eq!(open, round == 0, "round {round}: {error}");
        }
        // All sixteen at once, and not one after the other.
        assert!(start.elapsed() < 4 * time, "round {round}: {:?}", start.elapsed());
    }
    server.thaw().unwrap();
    assert_eq!(redis.commit(HOME, &size()).await, committed(vec![Answer::Size(1)]));
}

#[tokio::test]
async fn the_look_at_the_layout_brings_the_servers_time_where_its_user_may_ask() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let now_ms = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap()
    };
    // The first look writes the layout, and the others find it.
    for _ in 0..2 {
        let before_ms = now_ms();
        let store_ms = layout::check(&redis, Partitions::default()).await.unwrap().unwrap();
        assert!((before_ms..=now_ms()).contains(&store_ms), "{store_ms} is not now");
    }
    server.command::<()>(&["ACL", "SETUSER", "default", "-time"]).await.unwrap();
    assert_eq!(layout::check(&redis, Partitions::default()).await, Ok(None));
    server.command::<()>(&["FLUSHALL"]).await.unwrap();
    assert_eq!(layout::check(&redis, Partitions::default()).await, Ok(None));
    let reads = vec![Read::Clock, Read::Size("layout".into())];
    let both = Transaction { reads, ..Transaction::default() };
    let found = redis.commit(HOME, &both).await;
    assert_eq!(found, committed(vec![Answer::Clock(None), Answer::Size(2)]));
}

#[tokio::test]
async fn a_store_of_another_layout_is_refused_and_both_numbers_are_named() {
    let server = RedisServer::start(&[]).unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, &server);
    let checks = join_all((0..8).map(|_| layout::check(&redis, Partitions::default())));
    let checks = checks.await;
    assert!(checks.iter().all(|check| matches!(check, Ok(Some(_)))), "{checks:?}");
    let other = layout::check(&redis, Partitions::new(64).unwrap()).await.unwrap_err();
    let CommitError::Unusable(text) = other else { panic!("{other}") };
    assert!(text.contains("256") && text.contains("64"), "{text}");
}

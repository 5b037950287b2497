//! The key-value back end under races, errors and what is not its own.

use std::thread;

use binding::Binding;
use binding::kv::Kv;
use domain::partition::{Partition, Partitions};
use domain::transaction::{
    Answer, CommitError, Guard, Outcome, Read, Refusal, Transaction, VALUE_BYTES_MAX, Value, Write,
};
use end_to_end::key_value::{Fault, Port, Store, Turns};
use end_to_end::seed::seeds;
use futures::executor::block_on;

const RACES: u64 = 1_000;
/// The cell of the partition in which these tests write.
const CELL: &str = "hongbao:live:c0";

fn commit(port: &Port<'_>, transaction: &Transaction) -> Result<Outcome, CommitError> {
    block_on(Kv::new(port, "hongbao", "live").commit(Partition::DESCRIPTION, transaction))
}

/// An operation as functions write them: it acts once, whatever is retried.
fn operation(number: usize) -> Transaction {
    let field = format!("order:{number}");
    Transaction {
        guards: vec![Guard::FieldAbsent("orders".into(), field.as_str().into())],
        writes: vec![
            Write::Set("orders".into(), field.as_str().into(), Value::Integer(1)),
            Write::Add("total".into(), "n".into(), 1),
            Write::Insert("ids".into(), number as u64),
        ],
        reads: vec![],
        ..Transaction::default()
    }
}

/// The sum over all operations, the number of their records, and whether an id is there.
fn state(store: &Store, number: usize) -> (i64, u64, bool) {
    let transaction = Transaction {
        reads: vec![
            Read::Fields("total".into(), vec!["n".into()]),
            Read::Size("orders".into()),
            Read::Contains("ids".into(), number as u64),
        ],
        ..Transaction::default()
    };
    match commit(&store.port(), &transaction).unwrap() {
        Outcome::Committed(answers) => match answers.as_slice() {
            [Answer::Fields(total), Answer::Size(orders), Answer::Contains(contains)] => {
                let total = match total[0] {
                    Some(Value::Integer(total)) => total,
                    _ => 0,
                };
                (total, *orders, *contains)
            }
            answers => panic!("not what was asked: {answers:?}"),
        },
        Outcome::Refused(refusal) => panic!("nothing refuses it: {refusal:?}"),
    }
}

#[test]
fn of_writers_who_create_one_partition_none_loses_a_write() {
    for seed in seeds() {
        for race in 0..RACES {
            let writers = if race % 10 == 0 { 4 } else { 2 };
            let store = Store::new(seed);
            let turns = Turns::new(seed.wrapping_add(race), writers);
            thread::scope(|scope| {
                for writer in 0..writers {
                    let port = store.port().taking(&turns, writer);
                    let turns = &turns;
                    scope.spawn(move || {
                        let outcome = commit(&port, &operation(writer));
                        turns.finish();
                        assert_eq!(outcome, Ok(Outcome::Committed(vec![])));
                    });
                }
            });
            for writer in 0..writers {
                let expected = (writers as i64, writers as u64, true);
                assert_eq!(state(&store, writer), expected, "seed {seed}, race {race}");
            }
            assert_eq!(store.keys().len(), 2, "seed {seed}, race {race}: no garbage");
        }
    }
}

/// The calls of a commit, each failed before and after its effect: the answer says the truth, and a
/// retry gives the right state.
fn fail_each_call(prepare: impl Fn(&Store), before: i64) {
    let count = {
        let store = Store::new(1);
        prepare(&store);
        let port = store.port();
        commit(&port, &operation(7)).unwrap();
        port.calls()
    };
    assert!(count >= 5, "a commit reads, writes and swaps: {count} calls");
    let (mut unknown, mut unavailable) = (0, 0);
    for call in 0..count {
        for fault in [Fault::Before, Fault::After] {
            let store = Store::new(1);
            prepare(&store);
            let at = format!("call {call} of {count}, {fault:?}");
            let answer = commit(&store.port().failing(call, fault), &operation(7));
            let happened = state(&store, 7).2;
            match answer {
                Ok(_) => assert!(happened, "{at}"),
                Err(CommitError::Unavailable(_)) => {
                    unavailable += 1;
                    assert!(!happened, "{at}");
                }
                Err(CommitError::Unknown(_)) => {
                    unknown += 1;
                    assert_eq!(happened, fault == Fault::After, "{at}");
                }
                Err(error) => panic!("{at}: {error}"),
            }
            let again = commit(&store.port(), &operation(7)).unwrap();
            assert_eq!(matches!(again, Outcome::Refused(_)), happened, "{at}");
            assert_eq!(state(&store, 7), (before + 1, before as u64 + 1, true), "{at}");
        }
    }
    assert_eq!(unknown, 2, "only the swap itself leaves it open");
    assert!(unavailable > 2 * unknown);
}

#[test]
fn a_creation_that_fails_at_any_call_is_right_after_a_retry() {
    fail_each_call(|_| (), 0);
}

#[test]
fn a_change_that_fails_at_any_call_is_right_after_a_retry() {
    fail_each_call(|store| drop(commit(&store.port(), &operation(1)).unwrap()), 1);
}

#[test]
fn what_is_refused_or_changes_nothing_writes_nothing() {
    let store = Store::new(1);
    let refused =
        Transaction { guards: vec![Guard::FieldPresent("m".into(), "f".into())], ..operation(1) };
    let nothing =
        Transaction { writes: vec![Write::Remove("ids".into(), 1)], ..Transaction::default() };
    let refusal = commit(&store.port(), &refused).unwrap();
    assert!(matches!(refusal, Outcome::Refused(Refusal { .. })));
    commit(&store.port(), &nothing).unwrap();
    assert_eq!(store.keys(), Vec::<String>::new());
}

#[test]
fn what_this_binding_did_not_write_is_unusable_and_stays_as_it_is() {
    for (cell, blob) in [(b"abc".as_slice(), None), (&[7, 0, 0, 0, 0, 0, 0, 0], Some(&[9, 9, 9]))] {
        let store = Store::new(1);
        store.put(CELL, cell);
        if let Some(blob) = blob {
            store.put(&format!("{CELL}:{:016x}", 7), blob);
        }
        let keys = store.keys();
        for transaction in [operation(1), Transaction::default()] {
            let error = commit(&store.port(), &transaction).unwrap_err();
            assert!(matches!(error, CommitError::Unusable(_)), "{error}");
        }
        assert_eq!(store.keys(), keys);
        assert_eq!(store.take(CELL).as_deref(), Some(cell));
    }
}

#[test]
fn a_blob_that_stays_away_ends_the_attempts() {
    let store = Store::new(1);
    store.put(CELL, &7_u64.to_le_bytes());
    for transaction in [operation(1), Transaction::default()] {
        let error = commit(&store.port(), &transaction).unwrap_err();
        assert!(matches!(error, CommitError::Unavailable(_)), "{error}");
    }
}

#[test]
fn a_full_partition_takes_no_more_and_keeps_what_it_has() {
    let store = Store::new(1);
    let fill = |number: usize| {
        let field = format!("field:{number}");
        let value = Value::Bytes(vec![1; VALUE_BYTES_MAX]);
        let mut transaction = operation(number);
        transaction.writes.push(Write::Set("big".into(), field.as_str().into(), value));
        transaction
    };
    let mut committed = 0;
    let error = loop {
        match commit(&store.port(), &fill(committed)) {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 1_000, "the limit is never met");
    };
    assert!(matches!(error, CommitError::Unavailable(_)), "{error}");
    assert_eq!(committed, 255, "16 MiB hold 255 such values and their names");
    assert_eq!(state(&store, 0), (255, 255, true));
    let partition = Partitions::default().of_configuration("elsewhere");
    let port = store.port();
    let elsewhere = Kv::new(&port, "hongbao", "live");
    block_on(elsewhere.commit(partition, &operation(1))).unwrap();
}

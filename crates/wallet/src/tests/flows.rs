//! What users have after whatever they did: tokens that are posted and put back, withdrawals, packets from
//! the balance, settlement. After each flow that moves money the accounts of every partition balance.

use binding::Binding;
use binding::memory::{Interrupted, Memory};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Guard, Outcome, Read, Transaction, Value, Write};
use domain::{answers, due};
use futures::FutureExt as _;
use futures::executor::block_on;

use super::requests::{STAGE, at, keys, number, settled, settled_all};
use crate::account::Account;
use crate::context::Context;
use crate::entry::{Entry, What};
use crate::keys::VerifyingKeys;
use crate::mode::{self, Mode, Statements, Switches};
use crate::packet::{self, Details, Funding, Kind, Order};
use crate::posting::{self, BATCH_MAX, Posted};
use crate::records::{self, PENDING_MAX};
use crate::token::{Payload, TokenError};
use crate::view::{self, RestoreError, Restored, View};
use crate::withdraw::{self, Refusal, Request, State, Withdrawal};
use crate::{pending, statement};

pub(super) const NOW_MS: i64 = 1_771_257_600_250;
pub(super) const USER: UserId = UserId(7);
pub(super) const OTHER: UserId = UserId(8);

pub(super) fn now<B>(store: &B) -> Context<'_, B> {
    at(store, NOW_MS)
}

/// What a rain of 'spring' gives a user.
fn payload(user: UserId, number: &str, amount: i64) -> Payload {
    Payload {
        app_id: 0,
        act_id: user.0,
        activity_id: "spring".to_owned(),
        scene_id: "rain".to_owned(),
        amount,
        out_trade_no: number.to_owned(),
        open_time: NOW_MS,
        rain_id: 1,
        status: 0,
    }
}

/// Commits, whatever the guards say.
pub(super) fn write(
    store: &Memory,
    partition: Partition,
    guards: Vec<Guard>,
    writes: Vec<Write>,
) -> Outcome {
    let transaction = Transaction { guards, writes, ..Transaction::default() };
    store.commit(partition, &transaction).now_or_never().unwrap().unwrap()
}

/// Gives a user a token, if the number has not acted; its text.
fn give_payload(store: &Memory, user: UserId, payload: &Payload) -> (String, bool) {
    let signed = keys().sign(payload, STAGE).unwrap();
    let (context, number) = (now(store), &payload.out_trade_no);
    let guards = pending::demands(user, number).map(|(_, guard)| guard).to_vec();
    let drawn = UnixMillis(payload.open_time);
    let writes = pending::writes(user, number, signed.to_stored(), drawn, context.now).to_vec();
    let outcome = write(store, context.home(user), guards, writes);
    (signed.to_text(), matches!(outcome, Outcome::Committed(_)))
}

fn give(store: &Memory, user: UserId, number: &str, amount: i64) -> String {
    let (text, is_new) = give_payload(store, user, &payload(user, number, amount));
    assert!(is_new, "{number}");
    text
}

pub(super) fn viewed(store: &Memory, user: UserId) -> View {
    block_on(view::view(&now(store), user)).unwrap()
}

pub(super) fn post(store: &Memory, user: UserId) -> Posted {
    block_on(posting::post(&now(store), user)).unwrap()
}

fn read(store: &Memory, partition: Partition, read: Read) -> Answer {
    block_on(now(store).read(partition, vec![read])).unwrap().remove(0)
}

/// An account that is no user's, over all partitions.
pub(super) fn account(store: &Memory, name: &str) -> i64 {
    let part = |partition| {
        let reads = Read::Fields(records::accounts(), vec![name.into()]);
        let Answer::Fields(values) = read(store, partition, reads) else { panic!("fields") };
        match &values[0] {
            Some(Value::Integer(cents)) => *cents,
            None => 0,
            Some(value) => panic!("{value:?}"),
        }
    };
    now(store).partitions.all().map(part).sum()
}

/// In each partition what goes in comes out.
pub(super) fn check_balanced(store: &Memory) {
    for partition in now(store).partitions.all() {
        let all = read(store, partition, Read::All(records::accounts(), 100));
        let Answer::Map(accounts) = all else { panic!("{all:?}") };
        let sum: i64 = accounts
            .iter()
            .map(|(_, cents)| if let Value::Integer(cents) = cents { *cents } else { panic!() })
            .sum();
        assert!(accounts.is_empty() || sum == 0, "{partition:?}: {accounts:?}");
    }
}

/// The numbers of a user's tokens in the queue, the oldest first.
fn queued(store: &Memory, user: UserId) -> Vec<String> {
    let answer = read(store, now(store).home(user), records::QUEUE.page_of_all(None, 1_000));
    let page = answers::page(Some(&answer)).unwrap();
    let entry = |member| due::user_of(due::due(member).unwrap().what).unwrap();
    let of_user = page.members.iter().map(entry).filter(|(of, _)| *of == user);
    of_user.map(|(_, number)| number.to_owned()).collect()
}

fn entries(store: &Memory, user: UserId) -> Vec<(i64, Entry)> {
    let below = viewed(store, user).entries;
    let entries = block_on(statement::entries(&now(store), user, below, below)).unwrap().entries;
    entries.into_iter().map(|(place, entry)| (place, entry.expect("it can be read"))).collect()
}

#[test]
fn a_token_counts_once_before_and_after_it_is_posted() {
    let store = Memory::new();
    give(&store, USER, "a", 300);
    give(&store, USER, "b", 45);
    assert!(!give_payload(&store, USER, &payload(USER, "a", 300)).1);
    let before = viewed(&store, USER);
    assert_eq!((before.balance, before.pending, before.income), (345, 345, 345));
    assert_eq!((before.withdrawn, before.held, before.entries), (0, 0, 0));
    assert_eq!(queued(&store, USER), ["a", "b"]);

    let posted = post(&store, USER);
    let account_after = Account { balance: 345, income: 345, sequence: 2, ..Account::default() };
    assert_eq!(posted, Posted { tokens: 2, account: account_after, unreadable: vec![] });
    let after = viewed(&store, USER);
    assert_eq!((after.balance, after.pending, after.income, after.entries), (345, 0, 345, 2));
    assert_eq!(after.tokens, []);
    assert_eq!(queued(&store, USER), [""; 0]);
    assert_eq!(
        post(&store, USER),
        Posted { tokens: 0, account: account_after, unreadable: vec![] }
    );
    // Its number has acted for good.
    assert!(!give_payload(&store, USER, &payload(USER, "a", 300)).1);

    assert_eq!(account(&store, records::USERS), 345);
    assert_eq!(account(&store, &records::fund("spring", "rain")), -345);
    check_balanced(&store);
    let amounts: Vec<_> = entries(&store, USER).iter().map(|(n, one)| (*n, one.amount)).collect();
    assert_eq!(amounts, [(1, 45), (0, 300)]);
    assert!(matches!(&entries(&store, USER)[0].1.what, What::Token(_)));
}

#[test]
fn more_tokens_than_one_transaction_holds_are_all_posted() {
    let store = Memory::new();
    // The user's record holds no more than this at once.
    let count = i64::from(PENDING_MAX);
    for index in 0..count {
        give(&store, USER, &format!("n{index}"), index + 1);
    }
    let (_, is_new) = give_payload(&store, USER, &payload(USER, "one-more", 1));
    assert!(!is_new, "there is room for {count}");
    let sum = count * (count + 1) / 2;
    assert_eq!(viewed(&store, USER).pending, sum);
    let posted = post(&store, USER);
    assert_eq!((posted.tokens, posted.account.balance), (count as u64, sum));
    assert!(count as usize > BATCH_MAX);
    assert_eq!(queued(&store, USER), [""; 0]);
    check_balanced(&store);
}

#[test]
fn a_copy_of_a_token_that_was_posted_is_dropped() {
    let store = Memory::new();
    let home = now(&store).home(USER);
    for name in ["a", "b"] {
        give(&store, USER, name, 100);
        let field = name.into();
        let Answer::Fields(kept) =
            read(&store, home, Read::Fields(records::pending(USER), vec![field]))
        else {
            panic!("fields")
        };
        assert_eq!(post(&store, USER).tokens, 1);
        // It comes back, as after a restore from a copy of the store.
        let again = Write::Set(records::pending(USER), name.into(), kept[0].clone().unwrap());
        write(&store, home, vec![], vec![again]);
    }
    give(&store, USER, "c", 5);
    let posted = post(&store, USER);
    assert_eq!((posted.tokens, posted.account.balance), (1, 205));
    assert_eq!(viewed(&store, USER).tokens, []);
    check_balanced(&store);
}

#[test]
fn only_an_entry_whose_token_was_posted_leaves_the_queue() {
    let store = Memory::new();
    let leave =
        |number| block_on(posting::leave_queue(&now(&store), USER, UnixMillis(NOW_MS), number));
    let queue = |number| {
        let entry = records::QUEUE.add(UnixMillis(NOW_MS), &due::of_user(USER, number));
        write(&store, now(&store).home(USER), vec![], vec![entry]);
    };
    give(&store, USER, "a", 1);
    leave("a").unwrap();
    assert_eq!(queued(&store, USER), ["a"], "its token is there");
    post(&store, USER);
    leave("a").unwrap();
    assert_eq!(queued(&store, USER), [""; 0]);
    queue("a");
    queue("lost");
    leave("b").unwrap();
    assert_eq!(queued(&store, USER), ["a", "lost"]);
    leave("a").unwrap();
    let lost = leave("lost");
    assert!(matches!(lost, Err(CommitError::Unreadable(text)) if text.contains("lost")));
    assert_eq!(queued(&store, USER), ["lost"], "somebody has to look");
}

#[test]
fn a_token_that_cannot_be_read_stops_no_other() {
    let store = Memory::new();
    give(&store, USER, "a", 1);
    give(&store, USER, "b", 2);
    let (home, pending) = (now(&store).home(USER), records::pending(USER));
    let garbage = Write::Set(pending, "a".into(), Value::Bytes(vec![0xff]));
    write(&store, home, vec![], vec![garbage]);
    for tokens in [1, 0] {
        let posted = post(&store, USER);
        assert_eq!((posted.tokens, posted.account.balance), (tokens, 2));
        assert_eq!(posted.unreadable, ["a"]);
    }
    assert_eq!(queued(&store, USER), ["a"], "it is not lost");
    check_balanced(&store);
}

#[test]
fn as_many_tokens_as_a_transaction_holds_may_be_of_as_many_rains() {
    let store = Memory::new();
    for number in 0..BATCH_MAX + 1 {
        let number = number.to_string();
        let payload = Payload { activity_id: format!("a{number}"), ..payload(USER, &number, 1) };
        give_payload(&store, USER, &payload);
    }
    let tokens = BATCH_MAX as u64 + 1;
    assert_eq!(post(&store, USER).tokens, tokens);
    assert_eq!(viewed(&store, USER).balance, tokens as i64);
    assert_eq!(queued(&store, USER), [""; 0]);
    let accounts = read(&store, now(&store).home(USER), Read::Size(records::accounts()));
    assert_eq!(accounts, Answer::Size(tokens + 1), "a fund each, and the users");
}

#[test]
fn a_number_is_found_pending_and_posted() {
    let store = Memory::new();
    let found = |name: &str| {
        let found = block_on(view::look_up(&now(&store), USER, name)).unwrap();
        found.map(|(token, is_posted)| (token.amount.minor_units(), is_posted))
    };
    assert_eq!(found("a"), None);
    give(&store, USER, "a", 300);
    give(&store, USER, "b", 45);
    assert_eq!(found("a"), Some((300, false)));
    post(&store, USER);
    assert_eq!((found("a"), found("b")), (Some((300, true)), Some((45, true))));
    assert_eq!(found("c"), None);
}

#[test]
fn lost_tokens_are_put_back_once_and_wrong_ones_not_at_all() {
    let store = Memory::new();
    let verifying = VerifyingKeys::parse(&keys().verifying_text(), true).unwrap();
    let restore =
        |texts: &[String]| block_on(view::restore(&now(&store), USER, STAGE, &verifying, texts));
    let restored = |texts: &[String]| {
        let Restored { tokens, too_old } = restore(texts).unwrap();
        assert_eq!(too_old, [0; 0]);
        tokens
    };
    let text = |name: &str| keys().sign(&payload(USER, name, 100), STAGE).unwrap().to_text();
    assert_eq!(restored(&[]), 0);
    let known = give(&store, USER, "known", 100);
    let (lost, other) = (text("lost"), text("other"));
    // Of two copies one is enough; what is known counts there.
    assert_eq!(restored(&[known.clone(), lost.clone(), lost.clone()]), 1);
    assert_eq!(restored(&[known.clone(), lost.clone()]), 0);
    assert_eq!(viewed(&store, USER).balance, 200);
    assert_eq!(queued(&store, USER), ["known", "lost"]);
    post(&store, USER);
    assert_eq!(restored(&[lost]), 0);

    let foreign = keys().sign(&payload(OTHER, "foreign", 100), STAGE).unwrap().to_text();
    let wrong = restore(&[other.clone(), foreign]);
    let Err(RestoreError::Wrong(wrong)) = wrong else { panic!("{wrong:?}") };
    assert_eq!((wrong.index, wrong.why), (1, TokenError::Foreign));
    assert_eq!(viewed(&store, USER).balance, 200);

    // Where there is no room, what is there is posted first.
    for index in 0..PENDING_MAX {
        give(&store, USER, &format!("n{index}"), 1);
    }
    assert_eq!(restored(&[other]), 1);
    assert_eq!(viewed(&store, USER).balance, 300 + i64::from(PENDING_MAX));
    check_balanced(&store);
}

/// The user has 3.00: 1.00 posted, 2.00 pending.
pub(super) fn three() -> Memory {
    let store = Memory::new();
    give(&store, USER, "a", 100);
    post(&store, USER);
    give(&store, USER, "b", 200);
    store
}

fn withdraw(store: &Memory, name: &str, amount: i64) -> Result<(State, bool), Refusal> {
    match block_on(withdraw::create(&now(store), USER, &number(name), &Request::of(amount))) {
        Ok((Withdrawal { state, amount: held, at, .. }, replayed)) => {
            assert_eq!((held, at), (amount, NOW_MS));
            Ok((state, replayed))
        }
        Err(withdraw::Failure::Refused(refusal)) => Err(refusal),
        Err(withdraw::Failure::Store(error)) => panic!("{error}"),
    }
}

fn ended(ended: withdraw::Result<Withdrawal>) -> Result<i64, Refusal> {
    match ended {
        Ok(withdrawal) => Ok(withdrawal.amount),
        Err(withdraw::Failure::Refused(refusal)) => Err(refusal),
        Err(withdraw::Failure::Store(error)) => panic!("{error}"),
    }
}

fn posted(store: &Memory, name: &str) -> Result<i64, Refusal> {
    ended(block_on(withdraw::post(&now(store), USER, &number(name))))
}

fn voided(store: &Memory, name: &str) -> Result<i64, Refusal> {
    ended(block_on(withdraw::void(&now(store), USER, &number(name), None)))
}

#[test]
fn a_withdrawal_holds_what_is_pending_too_and_then_leaves() {
    let store = three();
    assert_eq!(withdraw(&store, "w", 250), Ok((State::Pending, false)));
    assert_eq!(withdraw(&store, "w", 250), Ok((State::Pending, true)));
    assert_eq!(withdraw(&store, "w", 249), Err(Refusal::ExistsWithDifferentAmount));
    let held = viewed(&store, USER);
    assert_eq!((held.balance, held.held, held.withdrawn, held.income), (50, 250, 0, 300));
    assert_eq!(account(&store, records::HELD), 250);

    assert_eq!(posted(&store, "w"), Ok(250));
    assert_eq!(posted(&store, "w"), Err(Refusal::AlreadyPosted));
    assert_eq!(voided(&store, "w"), Err(Refusal::AlreadyPosted));
    let left = viewed(&store, USER);
    assert_eq!((left.balance, left.held, left.withdrawn, left.income), (50, 0, 250, 300));
    let elsewhere = [records::HELD, records::PAID_OUT, records::USERS];
    assert_eq!(elsewhere.map(|name| account(&store, name)), [0, 250, 50]);
    // All there is, to the last cent.
    assert_eq!(withdraw(&store, "x", 51), Err(Refusal::ExceedsBalance));
    assert_eq!(withdraw(&store, "y", 50), Ok((State::Pending, false)));
    check_balanced(&store);
}

#[test]
fn a_voided_withdrawal_comes_back_and_cannot_come_late() {
    let store = three();
    assert_eq!(withdraw(&store, "w", 300), Ok((State::Pending, false)));
    assert_eq!(voided(&store, "w"), Ok(300));
    assert_eq!(voided(&store, "w"), Err(Refusal::AlreadyVoided));
    assert_eq!(posted(&store, "w"), Err(Refusal::AlreadyVoided));
    let back = viewed(&store, USER);
    assert_eq!((back.balance, back.held, back.withdrawn, back.income), (300, 0, 0, 300));
    let amounts: Vec<_> = entries(&store, USER).iter().map(|(_, entry)| entry.amount).collect();
    assert_eq!(amounts, [300, -300, 200, 100]);

    // One that never came.
    assert_eq!(posted(&store, "late"), Err(Refusal::NotFound));
    assert_eq!(voided(&store, "late"), Ok(0));
    assert_eq!(withdraw(&store, "late", 1), Err(Refusal::AlreadyVoided));
    check_balanced(&store);
}

#[test]
fn more_than_there_is_is_refused_for_good() {
    let store = three();
    assert_eq!(withdraw(&store, "w", 301), Err(Refusal::ExceedsBalance));
    give(&store, USER, "c", 500);
    assert_eq!(withdraw(&store, "w", 301), Err(Refusal::ExceedsBalance));
    for end in [posted, voided] {
        assert_eq!(end(&store, "w"), Err(Refusal::ExceedsBalance));
    }
    let shown = block_on(withdraw::look(&now(&store), USER, &number("w"))).unwrap().unwrap();
    assert_eq!((shown.state, shown.amount), (State::ExceedsBalance, 301));
    assert!(block_on(withdraw::look(&now(&store), USER, &number("z"))).unwrap().is_none());
    assert_eq!(viewed(&store, USER).balance, 800);
    check_balanced(&store);
}

#[test]
fn a_page_of_a_statement_is_what_lies_below_the_latest_first() {
    let store = Memory::new();
    for index in 0..150_i64 {
        give(&store, USER, &format!("n{index}"), index + 1);
        post(&store, USER);
    }
    let page = |below, limit| {
        let entries =
            block_on(statement::entries(&now(&store), USER, below, limit)).unwrap().entries;
        let amount = |entry: &Option<Entry>| entry.as_ref().expect("it can be read").amount;
        entries.iter().map(|(sequence, entry)| (*sequence, amount(entry))).collect::<Vec<_>>()
    };
    let of = |sequences: std::ops::Range<i64>| {
        sequences.rev().map(|sequence| (sequence, sequence + 1)).collect::<Vec<_>>()
    };
    for (below, limit) in [(150, 10), (101, 70), (100, 100), (33, 32), (2, 2), (1, 1)] {
        assert_eq!(page(below, limit), of(below - limit..below), "{below} {limit}");
    }
    assert_eq!(page(5, 20), of(0..5));
    assert_eq!(page(0, 20), []);
}

#[test]
fn switches_are_kept_until_they_are_changed() {
    let store = Memory::new();
    let read = || block_on(mode::read(&now(&store))).unwrap();
    assert_eq!(read(), Switches { mode: Mode::Queued, statements: Statements::All });
    for mode in [Mode::Off, Mode::LargeAtOnce(100), Mode::Queued] {
        for statements in [Statements::FirstScreens, Statements::All] {
            let switches = Switches { mode, statements };
            block_on(mode::switch(&now(&store), switches)).unwrap();
            assert_eq!(read(), switches);
        }
    }
    let is_at_once = |cents| Mode::LargeAtOnce(100).is_at_once(cents);
    assert_eq!([99, 100, 101].map(is_at_once), [false, true, true]);
    assert!(!Mode::Queued.is_at_once(i64::MAX) && !Mode::Off.is_at_once(i64::MAX));
}

/// A packet of 2.00 in two equal parts.
pub(super) fn order(funding: Funding) -> Order {
    Order {
        sender: USER.0,
        total: 200,
        count: 2,
        kind: Kind::Equal,
        funding,
        at: NOW_MS,
        ordered_at: None,
    }
}

pub(super) fn send<B: Binding>(
    store: &B,
    name: &str,
    order: &Order,
) -> Result<bool, packet::Refusal> {
    match block_on(packet::send(&now(store), &number(name), order, None, &mut || 0)) {
        Ok((sent, replayed)) => {
            assert_eq!(sent.total, order.total);
            Ok(replayed)
        }
        Err(packet::Failure::Refused(refusal)) => Err(refusal),
        Err(packet::Failure::Store(error)) => panic!("{error}"),
    }
}

pub(super) fn open(store: &Memory, packet: &str, user: UserId) -> Result<i64, packet::Refusal> {
    match block_on(packet::open(&now(store), packet, user)) {
        Ok((opening, _)) => Ok(opening.amount),
        Err(packet::Failure::Refused(refusal)) => Err(refusal),
        Err(packet::Failure::Store(error)) => panic!("{error}"),
    }
}

pub(super) fn shown(store: &Memory, packet: &str) -> Details {
    block_on(packet::look(&now(store), packet)).unwrap()
}

#[test]
fn a_packet_from_the_balance_is_taken_once_and_shared() {
    let store = three();
    let packet = packet::name(USER, &number("p"));
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(true));
    let another = Order { total: 201, ..order(Funding::Balance) };
    assert_eq!(send(&store, "p", &another), Err(packet::Refusal::OrderNumberReused));
    let by_payment = order(Funding::Payment);
    assert_eq!(send(&store, "p", &by_payment), Err(packet::Refusal::OrderNumberReused));
    assert_eq!(viewed(&store, USER).balance, 100);
    assert_eq!(send(&store, "q", &order(Funding::Balance)), Err(packet::Refusal::ExceedsBalance));
    assert!(matches!(&entries(&store, USER)[0].1.what, What::Sent(name) if name == "p"));

    assert_eq!((open(&store, &packet, OTHER), open(&store, &packet, OTHER)), (Ok(100), Ok(100)));
    let details = shown(&store, &packet);
    assert_eq!((details.taken(), details.is_finished(), details.best_luck()), (100, false, None));
    assert_eq!(details.refuses(OTHER), Some(packet::Refusal::AlreadyOpened));
    assert_eq!(details.refuses(UserId(9)), None);
    assert_eq!(open(&store, &packet, UserId(9)), Ok(100));
    assert_eq!(open(&store, &packet, UserId(10)), Err(packet::Refusal::Finished));
    let details = shown(&store, &packet);
    assert_eq!((details.taken(), details.is_finished()), (200, true));
    assert_eq!(details.best_luck().unwrap().user, OTHER);
    assert_eq!(open(&store, "7.none", OTHER), Err(packet::Refusal::UnknownPacket));

    // Nobody has come to pay what was taken.
    assert_eq!(viewed(&store, OTHER).balance, 0);
    assert_eq!(settled(&now(&store)), [1, 2, 0]);
    assert_eq!(settled(&now(&store)), [0, 0, 0]);
    assert_eq!([OTHER, UserId(9)].map(|user| viewed(&store, user).balance), [100, 100]);
    assert_eq!(viewed(&store, OTHER).income, 100);
    for user in [OTHER, UserId(9)] {
        post(&store, user);
    }
    assert_eq!([records::PACKETS, records::USERS].map(|name| account(&store, name)), [0, 300]);
    check_balanced(&store);
}

/// Between the look at the account and the commit that takes the money, something else happens.
#[test]
fn a_packet_is_sent_whatever_comes_in_between_as_long_as_the_money_is_there() {
    // A token arrives, and only with it there is enough.
    let store = Interrupted::default();
    give(store.memory(), USER, "a", 100);
    store.interrupt(2, |memory| drop(give(memory, USER, "b", 100)));
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    assert!(store.was_interrupted());
    assert_eq!(viewed(store.memory(), USER).balance, 0);

    // The account moves, and exactly enough is in it afterwards.
    let store = Interrupted::default();
    give(store.memory(), USER, "a", 200);
    store.interrupt(2, |memory| {
        // A store in memory never waits; and an executor within an executor would.
        let context = now(memory);
        let number = number("w");
        let held =
            withdraw::create(&context, USER, &number, &Request::of(50)).now_or_never().unwrap();
        assert!(held.is_ok());
        let back = withdraw::void(&context, USER, &number, None).now_or_never().unwrap();
        assert!(back.is_ok());
    });
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    assert!(store.was_interrupted());
    assert_eq!(viewed(store.memory(), USER).balance, 0);
    check_balanced(store.memory());
}

#[test]
fn what_nobody_takes_comes_back_once_and_is_no_income() {
    let store = three();
    let packet = packet::name(USER, &number("p"));
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    assert_eq!(open(&store, &packet, OTHER), Ok(100));
    let end = NOW_MS + packet::LIFE_MS;
    assert_eq!(settled(&at(&store, end - 1)), [1, 1, 0]);
    assert_eq!(settled(&at(&store, end)), [0, 0, 1]);
    assert_eq!(settled(&at(&store, end + 3_600_000)), [0, 0, 0]);
    assert_eq!(settled(&at(&store, end + 3_600_000)), [0, 0, 0]);
    assert!(shown(&store, &packet).is_expired());
    let sender = viewed(&store, USER);
    assert_eq!((sender.balance, sender.pending, sender.income), (200, 100, 300));
    post(&store, USER);
    let sender = viewed(&store, USER);
    assert_eq!((sender.balance, sender.pending, sender.income), (200, 0, 300));
    post(&store, OTHER);
    assert_eq!([records::PACKETS, records::USERS].map(|name| account(&store, name)), [0, 300]);
    check_balanced(&store);
}

#[test]
fn a_packet_is_named_by_its_sender_and_number_and_lives_for_a_day() {
    assert_eq!(packet::name(USER, &number("p.1")), "7.p.1");
    assert_eq!(packet::sender_of("7.p.1"), Some((USER, number("p.1"))));
    for wrong in ["", "7", "7.", ".p", "x.p"] {
        assert_eq!(packet::sender_of(wrong), None, "{wrong}");
    }
    let longest = "n".repeat(packet::NUMBER_BYTES_MAX);
    assert!(packet::sender_of(&format!("7.{longest}")).is_some());
    assert!(packet::sender_of(&format!("7.{longest}n")).is_none());
    assert_eq!(packet::LIFE_MS, 86_400_000);
}

#[test]
fn a_packet_by_payment_can_be_opened_once_it_is_paid() {
    let store = Memory::new();
    let packet = packet::name(USER, &number("p"));
    let pay = || block_on(packet::pay(&now(&store), &packet, &packet::Payment::NONE, &mut || 0));
    let unknown = pay();
    assert!(matches!(unknown, Err(packet::Failure::Refused(packet::Refusal::UnknownPacket))));
    assert_eq!(send(&store, "p", &order(Funding::Payment)), Ok(false));
    assert_eq!(open(&store, &packet, OTHER), Err(packet::Refusal::Unpaid));
    assert_eq!(shown(&store, &packet).refuses(OTHER), Some(packet::Refusal::Unpaid));
    for _ in 0..2 {
        assert_eq!(pay().unwrap(), packet::Told::Applied);
    }
    assert_eq!(send(&store, "p", &order(Funding::Payment)), Ok(true));
    assert_eq!([records::PAID_IN, records::PACKETS].map(|name| account(&store, name)), [-200, 200]);
    assert_eq!(open(&store, &packet, OTHER), Ok(100));
    assert_eq!(shown(&store, &packet).expires, Some(NOW_MS + packet::LIFE_MS));
    check_balanced(&store);
}

#[test]
fn a_packet_whose_sender_went_away_is_written_down_by_settlement() {
    let store = three();
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    let packet = packet::name(USER, &number("p"));
    let home = records::home_of_packet(now(&store).partitions, &packet);
    // As if its record had not been written: settlement finds the note and writes it.
    let gone = ["d", "s", "x"].map(|field| Write::Unset(records::packet(&packet), field.into()));
    write(&store, home, vec![], gone.to_vec());
    assert_eq!(settled(&now(&store)), [1, 0, 0]);
    assert_eq!(open(&store, &packet, OTHER), Ok(100));
    assert_eq!(settled(&now(&store)), [0, 1, 0]);
}

/// Packets of one partition, from the balance; their names.
fn packets_of_one_partition(store: &Memory, count: usize) -> Vec<String> {
    let mut partitions = std::collections::BTreeMap::<_, Vec<_>>::new();
    for index in 0.. {
        let number = number(&format!("p{index}"));
        let packet = packet::name(USER, &number);
        let home = records::home_of_packet(now(store).partitions, &packet);
        let here = partitions.entry(home).or_default();
        here.push((number, packet));
        if here.len() == count {
            let chosen = std::mem::take(here);
            for (number, _) in &chosen {
                let order = Order { total: 2, ..order(Funding::Balance) };
                assert_eq!(send(store, number.as_str(), &order), Ok(false));
            }
            return chosen.into_iter().map(|(_, packet)| packet).collect();
        }
    }
    unreachable!("names do not end");
}

#[test]
fn a_packet_that_cannot_be_read_does_not_keep_others_from_being_closed() {
    let store = Memory::new();
    give(&store, USER, "a", 1_000);
    let packets = packets_of_one_partition(&store, 300);
    for (done, has_more) in [(256, true), (44, false)] {
        let [sent, ..] = settled_all(&now(&store));
        assert_eq!((sent.done, sent.has_more), (done, has_more));
    }
    let home = records::home_of_packet(now(&store).partitions, &packets[0]);
    let garbage = Value::Bytes(vec![0xff]);
    write(
        &store,
        home,
        vec![],
        vec![Write::Set(records::packet(&packets[0]), "d".into(), garbage)],
    );
    let end = at(&store, NOW_MS + packet::LIFE_MS);
    // The bad one is named each time. Because of it the first page is not all that one call does.
    for (done, has_more) in [(299, false), (0, false)] {
        let [.., closed] = settled_all(&end);
        assert_eq!((closed.done, closed.has_more), (done, has_more));
        let [stuck] = &closed.stuck[..] else { panic!("{closed:?}") };
        assert!(stuck.place.contains(&packets[0]), "{stuck:?}");
    }
}

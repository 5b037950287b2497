//! Payments for group packets: in time, late, a second one, at once.

use binding::memory::{Interrupted, Memory};
use domain::due;
use domain::transaction::{Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use store::listing::Place;

use super::flows::{
    NOW_MS, OTHER, USER, account, check_balanced, now, open, order, post, send, shown, three,
    viewed, write,
};
use super::requests::{at, number, settled};
use crate::packet::unapplied::{self, Decision, NotDecided, Unapplied};
use crate::packet::{self, Funding, Order, Payment, Told, Why};
use crate::records;

const TOO_OLD: Told = Told::Unapplied(Why::TooOld);
const ALREADY_PAID: Told = Told::Unapplied(Why::AlreadyPaid);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What came of paying, some days after the packet was sent.
fn pay_after(store: &Memory, packet: &str, days: i64) -> Result<Told, packet::Refusal> {
    pay_by(store, packet, &Payment::NONE, days)
}

fn pay_by(
    store: &Memory,
    packet: &str,
    payment: &Payment,
    days: i64,
) -> Result<Told, packet::Refusal> {
    let context = at(store, NOW_MS + days * DAY_MS);
    match block_on(packet::pay(&context, packet, payment, &mut || 0)) {
        Ok(told) => Ok(told),
        Err(packet::Failure::Refused(refusal)) => Err(refusal),
        Err(packet::Failure::Store(error)) => panic!("{error}"),
    }
}

/// What came of sending the packet again, after so many milliseconds; whether it was there.
fn send_after(store: &Memory, ms: i64) -> Result<bool, packet::Refusal> {
    let context = at(store, NOW_MS + ms);
    let again = Order { at: context.now.0, ..order(Funding::Payment) };
    match block_on(packet::send(&context, &number("p"), &again, None, &mut || 0)) {
        Ok((sent, replayed)) => {
            assert_eq!(sent.at, NOW_MS);
            Ok(replayed)
        }
        Err(packet::Failure::Refused(refusal)) => Err(refusal),
        Err(packet::Failure::Store(error)) => panic!("{error}"),
    }
}

/// A packet by payment that is sent, and its name.
fn unpaid() -> (Memory, String) {
    let store = Memory::new();
    assert_eq!(send(&store, "p", &order(Funding::Payment)), Ok(false));
    (store, packet::name(USER, &number("p")))
}

/// The payments that wait for operators, of the packet of [`unpaid`].
fn all_waiting(store: &Memory) -> Vec<Unapplied> {
    let (listed, has_more) = block_on(unapplied::list(&now(store), None, 10)).unwrap();
    assert!(!has_more, "{listed:?}");
    for details in listed.iter().filter_map(|one| one.details.as_ref()) {
        let total = details.order.as_ref().map(|order| order.total);
        assert_eq!((&*details.packet, total), ("7.p", Some(200)));
    }
    listed
}

/// The names of their records.
fn waiting(store: &Memory) -> Vec<String> {
    all_waiting(store).iter().map(|one| due::words(&one.place.member)).collect()
}

/// Why each waits.
fn reasons(store: &Memory) -> Vec<Why> {
    let why = |one: &Unapplied| one.details.as_ref().expect("it can be read").why;
    all_waiting(store).iter().map(why).collect()
}

/// Where the only one is.
fn place(store: &Memory) -> Place {
    let [one] = &all_waiting(store)[..] else { panic!("{:?}", waiting(store)) };
    one.place.clone()
}

fn decide(store: &Memory, place: &Place, decision: Decision) -> Result<(), NotDecided> {
    let context = at(store, NOW_MS + 31 * DAY_MS);
    block_on(unapplied::decide(&context, place, decision, Some("so"))).unwrap().map(drop)
}

/// One decision counts. Whoever lost the answer is told again, and whoever decides otherwise what it was.
fn check_decided_once(store: &Memory, decision: Decision) {
    let place = &place(store);
    for _ in 0..2 {
        assert_eq!(decide(store, place, decision), Ok(()));
    }
    let other = match decision {
        Decision::Credit => Decision::Drop,
        Decision::Drop => Decision::Credit,
    };
    let Err(NotDecided::Otherwise(known)) = decide(store, place, other) else {
        panic!("{place:?} is decided twice")
    };
    assert_eq!((known.decision, known.reason.as_deref()), (decision, Some("so")));
}

#[test]
fn a_packet_by_payment_that_was_forgotten_and_is_sent_again_can_be_paid() {
    let (store, packet) = unpaid();
    assert_eq!(send_after(&store, 8 * DAY_MS), Ok(true));
    assert_eq!(pay_after(&store, &packet, 8), Ok(Told::Applied));
    let later = at(&store, NOW_MS + 8 * DAY_MS);
    let opened = block_on(packet::open(&later, &packet, OTHER));
    assert!(matches!(opened, Ok((opening, false)) if opening.amount == 100), "{opened:?}");
    check_balanced(&store);
}

#[test]
fn a_packet_that_is_sent_again_just_before_it_is_forgotten_can_be_paid_for_as_long_again() {
    let (store, packet) = unpaid();
    assert_eq!(send_after(&store, 7 * DAY_MS - 1), Ok(true));
    assert_eq!(pay_after(&store, &packet, 13), Ok(Told::Applied));
    let later = at(&store, NOW_MS + 13 * DAY_MS);
    assert!(block_on(packet::open(&later, &packet, OTHER)).is_ok());
    // What is paid is kept, whoever sends it again.
    assert_eq!(send_after(&store, 14 * DAY_MS), Ok(true));
    assert_eq!(
        block_on(packet::look(&at(&store, NOW_MS + 40 * DAY_MS), &packet)).unwrap().taken(),
        100
    );
}

#[test]
fn a_payment_for_a_packet_that_was_forgotten_credits_the_sender_once() {
    for days in [7, 8, 29] {
        let (store, packet) = unpaid();
        for _ in 0..2 {
            assert_eq!(pay_after(&store, &packet, days), Ok(Told::Applied), "{days}");
        }
        // Nobody opens it, and nobody can pay for it.
        assert_eq!(send_after(&store, days * DAY_MS), Err(packet::Refusal::TooOld));
        assert_eq!(open(&store, &packet, OTHER), Err(packet::Refusal::Expired));
        assert!(shown(&store, &packet).is_expired());
        let context = at(&store, NOW_MS + days * DAY_MS);
        assert_eq!(settled(&context), [0, 0, 1]);
        assert_eq!(pay_after(&store, &packet, days + 30), Ok(Told::Applied));
        assert_eq!(settled(&at(&store, NOW_MS + 90 * DAY_MS)), [0, 0, 0]);
        post(&store, USER);
        let sender = viewed(&store, USER);
        assert_eq!((sender.balance, sender.pending, sender.income), (200, 0, 0));
        let names = [records::PAID_IN, records::PACKETS, records::USERS];
        assert_eq!(names.map(|name| account(&store, name)), [-200, 0, 200]);
        assert_eq!(waiting(&store), [""; 0]);
        check_balanced(&store);
    }
}

#[test]
fn a_payment_that_is_too_late_is_listed_once_until_an_operator_decides() {
    for (decision, balance) in [(Decision::Credit, 200), (Decision::Drop, 0)] {
        let (store, packet) = unpaid();
        let context = at(&store, NOW_MS + 31 * DAY_MS);
        for _ in 0..2 {
            assert_eq!(pay_after(&store, &packet, 30), Ok(TOO_OLD));
        }
        assert_eq!(waiting(&store), [packet.as_str()]);
        assert_eq!(account(&store, records::PAID_IN), 0);
        assert_eq!(send_after(&store, 30 * DAY_MS), Err(packet::Refusal::TooOld));
        // By a clock that is slow it is no younger.
        assert_eq!(pay_after(&store, &packet, 8), Ok(TOO_OLD));
        assert_eq!(send_after(&store, 8 * DAY_MS), Err(packet::Refusal::TooOld));
        assert_eq!(open(&store, &packet, OTHER), Err(packet::Refusal::Expired));
        check_decided_once(&store, decision);
        assert_eq!(waiting(&store), [""; 0]);
        settled(&context);
        post(&store, USER);
        assert_eq!(viewed(&store, USER).balance, balance);
        assert_eq!(account(&store, records::PAID_IN), -balance);
        assert_eq!(account(&store, records::PACKETS), 0);
        // What was given back elsewhere was not applied.
        let told = if decision == Decision::Credit { Told::Applied } else { TOO_OLD };
        assert_eq!(pay_after(&store, &packet, 31), Ok(told));
        assert_eq!(send_after(&store, 31 * DAY_MS), Err(packet::Refusal::TooOld));
        assert_eq!(waiting(&store), [""; 0]);
        check_balanced(&store);
    }
}

/// A packet that has its money, by a payment of this number or from the balance, gets another payment.
#[test]
fn a_second_payment_for_a_packet_waits_once_until_an_operator_decides() {
    let payments = ["T-1", "T-2"].map(|number| Payment::parse(number, "payment").unwrap());
    for (decision, balance) in [(Decision::Credit, 200), (Decision::Drop, 0)] {
        let (store, packet) = unpaid();
        let [one, two] = &payments;
        let name = two.record_name(&packet);
        for _ in 0..2 {
            assert_eq!(pay_by(&store, &packet, one, 1), Ok(Told::Applied));
            assert_eq!(pay_by(&store, &packet, two, 1), Ok(ALREADY_PAID));
        }
        assert_eq!(waiting(&store), [name.as_str()]);
        assert_eq!(account(&store, records::PAID_IN), -200, "it moves nothing");
        assert_eq!(open(&store, &packet, OTHER), Ok(100));
        check_decided_once(&store, decision);
        assert_eq!(waiting(&store), [""; 0]);
        // The packet's rest comes back after its time, and the payment beside it.
        settled(&at(&store, NOW_MS + 31 * DAY_MS));
        settled(&at(&store, NOW_MS + 31 * DAY_MS));
        post(&store, USER);
        assert_eq!(viewed(&store, USER).balance, 100 + balance);
        assert_eq!(account(&store, records::PAID_IN), -200 - balance);
        let told = if decision == Decision::Credit { Told::Applied } else { ALREADY_PAID };
        for (payment, told) in payments.iter().zip([Told::Applied, told]) {
            assert_eq!(pay_by(&store, &packet, payment, 31), Ok(told));
        }
        assert_eq!(waiting(&store), [""; 0]);
        check_balanced(&store);
    }
}

#[test]
fn a_payment_for_a_packet_from_the_balance_waits() {
    let store = three();
    let packet = packet::name(USER, &number("p"));
    assert_eq!(send(&store, "p", &order(Funding::Balance)), Ok(false));
    for _ in 0..2 {
        assert_eq!(pay_after(&store, &packet, 0), Ok(ALREADY_PAID));
    }
    let name = Payment::NONE.record_name(&packet);
    assert_eq!(waiting(&store), [name.as_str()]);
    assert_eq!(decide(&store, &place(&store), Decision::Credit), Ok(()));
    settled(&at(&store, NOW_MS + 31 * DAY_MS));
    post(&store, USER);
    assert_eq!(viewed(&store, USER).balance, 500);
    check_balanced(&store);
}

/// Two payments at once: the packet has one of them, and the other one waits.
#[test]
fn of_two_payments_at_once_one_waits() {
    for commits in 0..3 {
        for days in [0, 8, 31] {
            let store = Interrupted::default();
            assert_eq!(send(&store, "p", &order(Funding::Payment)), Ok(false));
            let packet = packet::name(USER, &number("p"));
            let later_ms = NOW_MS + days * DAY_MS;
            store.interrupt(commits, move |memory| {
                let (packet, two) = (packet::name(USER, &number("p")), Payment::parse("T-2", ""));
                let (context, two) = (at(memory, later_ms), two.unwrap());
                let told = packet::pay(&context, &packet, &two, &mut || 0).now_or_never();
                assert!(matches!(told, Some(Ok(_))), "{told:?}");
            });
            let one = Payment::parse("T-1", "").unwrap();
            let told = block_on(packet::pay(&at(&store, later_ms), &packet, &one, &mut || 0));
            assert!(told.is_ok(), "{told:?}");
            let made = if days == 0 { 2 } else { 3 };
            assert_eq!(store.was_interrupted(), commits < made, "{days} {commits}");
            let memory = store.memory();
            let is_too_old = days == 31;
            let count = match (store.was_interrupted(), is_too_old) {
                (true, true) => 2,
                (true, false) | (false, true) => 1,
                (false, false) => 0,
            };
            assert_eq!(waiting(memory).len(), count, "{days} {commits}");
            let once = if is_too_old { 0 } else { -200 };
            assert_eq!(account(memory, records::PAID_IN), once, "{days} {commits}");
            check_balanced(memory);
        }
    }
}

#[test]
fn a_packet_that_was_forgotten_long_ago_is_not_sent_again() {
    let (store, packet) = unpaid();
    assert_eq!(send_after(&store, 30 * DAY_MS), Err(packet::Refusal::TooOld));
    assert_eq!(pay_after(&store, &packet, 29), Ok(Told::Applied), "nothing was written");
}

#[test]
fn a_payment_for_a_packet_that_was_not_written_down_opens_it() {
    let (store, packet) = unpaid();
    // As if the sender's commit alone had been done.
    let home = records::home_of_packet(now(&store).partitions, &packet);
    write(&store, home, vec![], vec![Write::Drop(records::packet(&packet))]);
    for _ in 0..2 {
        assert_eq!(pay_after(&store, &packet, 6), Ok(Told::Applied));
    }
    assert_eq!(send_after(&store, 6 * DAY_MS), Ok(true));
    let later = at(&store, NOW_MS + 6 * DAY_MS);
    assert!(block_on(packet::open(&later, &packet, OTHER)).is_ok());
    assert_eq!(account(&store, records::PAID_IN), -200);
    check_balanced(&store);
}

#[test]
fn a_payment_for_what_nobody_sent_is_told_again() {
    let store = Memory::new();
    assert_eq!(pay_after(&store, "7.q", 90), Err(packet::Refusal::UnknownPacket));
}

/// A payment of which no number is known may be the one that the packet has.
#[test]
fn a_payment_without_a_number_is_no_second_one() {
    let (store, packet) = unpaid();
    let one = Payment::parse("T-1", "payment").unwrap();
    assert_eq!(pay_by(&store, &packet, &one, 1), Ok(Told::Applied));
    assert_eq!(pay_after(&store, &packet, 1), Ok(Told::Applied));
    assert_eq!(waiting(&store), [""; 0]);
}

/// A payment with a number, for a packet whose payment has none: they may be the same.
#[test]
fn a_payment_that_may_be_the_packets_waits_and_says_so() {
    let (store, packet) = unpaid();
    assert_eq!(pay_after(&store, &packet, 1), Ok(Told::Applied));
    let one = Payment::parse("T-1", "payment").unwrap();
    for _ in 0..2 {
        let told = pay_by(&store, &packet, &one, 1);
        assert_eq!(told, Ok(Told::Unapplied(Why::MayBeTheSame)));
    }
    assert_eq!(reasons(&store), [Why::MayBeTheSame]);
}

/// A second payment for a packet whose first one was credited, or waits.
#[test]
fn a_second_payment_for_a_packet_that_was_forgotten_says_why_it_waits() {
    let [one, two] = ["T-1", "T-2"].map(|number| Payment::parse(number, "payment").unwrap());
    for (days, first, second) in [(8, Told::Applied, ALREADY_PAID), (31, TOO_OLD, TOO_OLD)] {
        let (store, packet) = unpaid();
        assert_eq!(pay_by(&store, &packet, &one, days), Ok(first));
        assert_eq!(pay_by(&store, &packet, &two, days), Ok(second));
        let Told::Unapplied(why) = second else { panic!("{second:?}") };
        assert_eq!(reasons(&store).last(), Some(&why));
    }
}

/// Whatever is damaged of a payment that waits, it can be dropped, and what is there of it can be read.
#[test]
fn a_payment_that_cannot_be_read_can_be_dropped() {
    let garbage = || Some(Value::Bytes(vec![0xff]));
    for (field, value) in
        [("d", garbage()), ("d", None), ("l", garbage()), ("l", None), ("s", garbage())]
    {
        let (store, packet) = unpaid();
        assert_eq!(pay_after(&store, &packet, 30), Ok(TOO_OLD));
        let home = records::home_of_packet(now(&store).partitions, &packet);
        let record = records::packet(&packet);
        let damage = match value {
            Some(value) => Write::Set(record, field.into(), value),
            None => Write::Unset(record, field.into()),
        };
        write(&store, home, vec![], vec![damage]);
        let place = place(&store);
        let context = at(&store, NOW_MS + 31 * DAY_MS);
        if field == "d" {
            let credit = unapplied::decide(&context, &place, Decision::Credit, None);
            assert!(block_on(credit).unwrap_err().is_of_records());
        }
        assert_eq!(decide(&store, &place, Decision::Drop), Ok(()), "{field}");
        assert_eq!(waiting(&store), [""; 0]);
    }
}

#[test]
fn a_packet_whose_state_is_lost_is_named_and_not_asked_for_again_and_again() {
    let (store, packet) = unpaid();
    let home = records::home_of_packet(now(&store).partitions, &packet);
    write(&store, home, vec![], vec![Write::Unset(records::packet(&packet), "s".into())]);
    let context = now(&store);
    let told = block_on(packet::pay(&context, &packet, &Payment::NONE, &mut || 0));
    let Err(packet::Failure::Store(error)) = told else { panic!("{told:?}") };
    assert!(error.is_of_records(), "{error}");
}

/// The packet is sent again at any moment while its late payment is told: the first of both decides, and the
/// money comes in once.
#[test]
fn a_late_payment_and_a_sending_at_once_are_one_packet() {
    let later_ms = NOW_MS + 8 * DAY_MS;
    let mut ends = std::collections::BTreeSet::new();
    for commits in 0..4 {
        let store = Interrupted::default();
        assert_eq!(send(&store, "p", &order(Funding::Payment)), Ok(false));
        let packet = packet::name(USER, &number("p"));
        store.interrupt(commits, move |memory| {
            // A store in memory never waits; and an executor within an executor would.
            let (context, number) = (at(memory, later_ms), number("p"));
            let (order, random) = (order(Funding::Payment), &mut || 0);
            let sent = packet::send(&context, &number, &order, None, random).now_or_never();
            assert!(matches!(sent, Some(Ok((_, true)))), "{sent:?}");
        });
        let later = at(&store, later_ms);
        let told = block_on(packet::pay(&later, &packet, &Payment::NONE, &mut || 0));
        assert!(told.is_ok(), "{commits}: {told:?}");
        let memory = store.memory();
        assert_eq!(pay_after(memory, &packet, 8), Ok(Told::Applied));
        assert_eq!(account(memory, records::PAID_IN), -200, "{commits}");
        ends.insert(shown(memory, &packet).is_expired());
        settled(&at(memory, later_ms + packet::LIFE_MS));
        post(memory, USER);
        assert_eq!(viewed(memory, USER).balance, 200, "{commits}");
        assert!(store.was_interrupted(), "{commits}");
        check_balanced(memory);
    }
    assert!(ends.contains(&false), "the sending came first");
}

//! Packets are forgotten: no money is made or lost by whatever is sent, opened or paid again before, while and after, by
//! clocks that are off, by crashes after each step, and where a partition falls back by one of them.

use binding::memory::{Interrupted, Memory};
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Read, Value, Write};
use store::listing::Place;
use store::numbers::{Family, Number};
use store::retention::Terms;

use super::books::{
    Crashing, DAY_MS, check_user, collect_packets, collect_user, damage, earn, items, map, terms,
};
use super::flows::{account, check_balanced};
use super::requests::{STAGE, at, done, keys, number, settled};
use crate::collect;
use crate::packet::unapplied::{self, Decision, NotDecided};
use crate::packet::{self, Failure, Funding, Kind, Order, Payment, Refusal, Told, Why};
use crate::posting;
use crate::records;
use crate::view;

const START_MS: i64 = 1_771_257_600_250;
const SENDER: UserId = UserId(7);
const OPENER: UserId = UserId(8);
const OFF_MS: i64 = 600_000;
/// The packet is over: 30 days, and 7 days for which what is over is kept.
const OVER_MS: i64 = START_MS + 37 * DAY_MS + 2;
/// Between the two steps, and a little more.
const LATER_MS: i64 = OVER_MS + 3_600_000;

fn order(funding: Funding) -> Order {
    Order {
        sender: SENDER.0,
        total: 200,
        count: 2,
        kind: Kind::Equal,
        funding,
        at: START_MS,
        ordered_at: None,
    }
}

fn name() -> String {
    packet::name(SENDER, &number("p"))
}

fn refused<T>(result: Result<T, Failure>) -> Result<T, Refusal> {
    result.map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal,
        Failure::Store(error) => panic!("{error}"),
    })
}

/// Whether it was sent earlier.
fn send(store: &Memory, now_ms: i64, order: &Order) -> Result<bool, Refusal> {
    let (context, number) = (at(store, now_ms), number("p"));
    let order = Order { at: now_ms, ..order.clone() };
    let sent = done(packet::send(&context, &number, &order, None, &mut || 0));
    refused(sent).map(|(sent, replayed)| {
        assert_eq!(sent.total, order.total);
        replayed
    })
}

fn pay(store: &Memory, now_ms: i64, payment: &str) -> Result<Told, Refusal> {
    let payment = Payment::parse(payment, "").unwrap();
    refused(done(packet::pay(&at(store, now_ms), &name(), &payment, &mut || 0)))
}

/// Opens, and is paid.
fn open(store: &Memory, now_ms: i64, user: UserId) -> Result<i64, Refusal> {
    let (context, packet) = (at(store, now_ms), name());
    let (opening, _) = refused(done(packet::open(&context, &packet, user)))?;
    done(packet::pay_opening(&context, &keys(), STAGE, &packet, &opening)).unwrap();
    Ok(opening.amount)
}

/// A packet of 2.00 of which one half was taken and the other one came back, and all of it was posted.
fn over_in(store: &Memory, funding: Funding) {
    earn(store, SENDER, "a", 1_000, START_MS);
    assert_eq!(send(store, START_MS, &order(funding)), Ok(false));
    if funding == Funding::Payment {
        assert_eq!(pay(store, START_MS, "T-1"), Ok(Told::Applied));
    }
    assert_eq!(open(store, START_MS, OPENER), Ok(100));
    settled(&at(store, START_MS));
    assert_eq!(settled(&at(store, START_MS + DAY_MS)), [0, 0, 1]);
    for user in [SENDER, OPENER] {
        done(posting::post(&at(store, START_MS + DAY_MS), user)).unwrap();
    }
}

fn over(funding: Funding) -> Memory {
    let store = Memory::new();
    over_in(&store, funding);
    store
}

/// Each has what they had when the packet was closed, and nothing is in packets.
fn check_money(store: &Memory, funding: Funding) {
    let back = if funding == Funding::Payment { 1_100 } else { 900 };
    for (user, cents) in [(SENDER, back), (OPENER, 100)] {
        done(posting::post(&at(store, LATER_MS), user)).unwrap();
        assert_eq!(done(view::view(&at(store, LATER_MS), user)).unwrap().balance, cents, "{user}");
        check_user(store, user);
    }
    assert_eq!(account(store, records::PACKETS), 0);
    check_balanced(store);
}

/// What is left of the packet in the store: fields, parts, openings, and entries of indexes.
fn left(store: &Memory) -> usize {
    let context = at(store, 0);
    let (home, packet) = (records::home_of_packet(context.partitions, &name()), name());
    let maps = [
        records::packet(&packet),
        records::parts(&packet),
        records::openings(&packet),
        records::opened_at(&packet),
    ];
    let fields: usize = maps.into_iter().map(|one| map(store, home, one).len()).sum();
    let sender = context.home(SENDER);
    let indexes = [records::SENT, records::FORGOTTEN, records::UNSENT];
    let entries: usize = indexes.into_iter().map(|one| items(store, sender, one).len()).sum();
    let of_packet = [records::ENDS, records::OWED, records::UNAPPLIED, records::DECIDED];
    let of_packet = of_packet.into_iter().map(|one| items(store, home, one).len());
    fields + entries + map(store, sender, records::sent(SENDER)).len() + of_packet.sum::<usize>()
}

/// Whether the number left its mark.
fn is_forgotten(store: &Memory) -> bool {
    let context = at(store, 0);
    let number = Number { family: Family::Packets, user: SENDER, number: "p", ordered_at: None };
    let read = number.read_forgotten(context.partitions);
    let answers = done(context.read(context.home(SENDER), vec![read])).unwrap();
    answers == [domain::transaction::Answer::Contains(true)]
}

/// Settlement and collection, until nothing is left to be done.
fn finish(store: &Memory) {
    let mut now = LATER_MS;
    for _ in 0..4 {
        settled(&at(store, now));
        collect_packets(store, now);
        now += 8 * DAY_MS;
    }
}

const BOTH: [Funding; 2] = [Funding::Balance, Funding::Payment];

#[test]
fn a_packet_is_told_until_it_is_forgotten_and_then_its_number_is_too_old() {
    for funding in BOTH {
        let store = over(funding);
        for off in [-OFF_MS, OFF_MS] {
            let now = OVER_MS + off;
            assert_eq!(send(&store, now, &order(funding)), Ok(true));
            assert_eq!(open(&store, now, OPENER), Ok(100));
            assert_eq!(open(&store, now, UserId(9)), Err(Refusal::Expired));
        }
        let told = if funding == Funding::Payment { Ok(Told::Applied) } else { Ok(ALREADY_PAID) };
        assert_eq!(pay(&store, OVER_MS, "T-1"), told);
        let waits = usize::from(funding == Funding::Balance);
        drop_all_payments(&store, OVER_MS, waits);
        assert_eq!(collect_packets(&store, OVER_MS - 3), [0, 0]);
        assert!(!is_forgotten(&store));
        // The first step.
        assert_eq!(collect_packets(&store, OVER_MS), [0, 0]);
        assert!(is_forgotten(&store));
        for off in [-OFF_MS, OFF_MS] {
            let now = OVER_MS + off;
            for ordered_at in [None, Some(START_MS), Some(OVER_MS - DAY_MS)] {
                let again = Order { ordered_at, ..order(funding) };
                assert_eq!(send(&store, now, &again), Err(Refusal::Forgotten), "{ordered_at:?}");
            }
            assert_eq!(open(&store, now, OPENER), Ok(100), "the packet is still there");
        }
        assert_eq!(collect_packets(&store, OVER_MS + 3_599_999), [0, 0]);
        // The second one.
        assert_eq!(collect_packets(&store, LATER_MS), [1, 0]);
        for off in [-OFF_MS, OFF_MS] {
            let now = LATER_MS + off;
            assert_eq!(send(&store, now, &order(funding)), Err(Refusal::Forgotten));
            assert_eq!(open(&store, now, OPENER), Err(Refusal::UnknownPacket));
            assert_eq!(open(&store, now, UserId(9)), Err(Refusal::UnknownPacket));
        }
        assert_eq!(collect_packets(&store, LATER_MS + 60 * DAY_MS), [0, waits as u64]);
        assert_eq!(left(&store), 0, "{funding:?}");
        check_money(&store, funding);
    }
}

const ALREADY_PAID: Told = Told::Unapplied(Why::AlreadyPaid);
const FORGOTTEN: Told = Told::Unapplied(Why::Forgotten);

/// Drops the payments that wait, of which there are so many.
fn drop_all_payments(store: &Memory, now_ms: i64, count: usize) {
    let context = at(store, now_ms);
    let (waiting, _) = done(unapplied::list(&context, None, 10)).unwrap();
    assert_eq!(waiting.len(), count);
    for one in waiting {
        let decided = unapplied::decide(&context, &one.place, Decision::Drop, Some("so"));
        assert!(done(decided).unwrap().is_ok());
    }
}

#[test]
fn a_packet_that_nobody_paid_for_is_forgotten_too() {
    let store = Memory::new();
    assert_eq!(send(&store, START_MS, &order(Funding::Payment)), Ok(false));
    // Sent again until shortly before, it can be paid for a week more.
    assert_eq!(send(&store, START_MS + 6 * DAY_MS, &order(Funding::Payment)), Ok(true));
    let mut last = START_MS + 6 * DAY_MS;
    while last < OVER_MS {
        last += 6 * DAY_MS;
        assert_eq!(send(&store, last, &order(Funding::Payment)), Ok(true));
    }
    assert_eq!(collect_packets(&store, last + 6 * DAY_MS), [0, 0]);
    assert!(!is_forgotten(&store));
    let now = last + 7 * DAY_MS;
    assert_eq!(collect_packets(&store, now), [0, 0]);
    assert!(is_forgotten(&store));
    assert_eq!(send(&store, now, &order(Funding::Payment)), Err(Refusal::Forgotten));
    assert_eq!(collect_packets(&store, now + 3_600_000), [1, 0]);
    let [listed, forgotten] = [records::SENT, records::FORGOTTEN];
    let home = at(&store, 0).home(SENDER);
    assert_eq!((items(&store, home, listed), items(&store, home, forgotten)), (vec![], vec![]));
}

#[test]
fn what_is_still_to_be_done_keeps_a_packet() {
    let context = at(&Memory::new(), 0).partitions;
    let (packet, home) = (name(), records::home_of_packet(context, &name()));
    let mark = domain::due::of_user(OPENER, &packet);
    let opened = UnixMillis(START_MS);
    let owed = records::OWED.add(opened, &mark);
    let aside = |list: domain::transaction::OrderedKey| {
        let name = store::quarantine::name(records::OWED, &domain::due::member(opened, &mark));
        Write::AddMember(list, name)
    };
    let ends = records::ENDS.add(UnixMillis(START_MS + DAY_MS), packet.as_bytes());
    for write in
        [owed, aside(store::quarantine::names()), aside(store::quarantine::dropped_names()), ends]
    {
        let store = over(Funding::Balance);
        damage(&store, home, vec![write.clone()]);
        for now in [OVER_MS, LATER_MS] {
            assert_eq!(collect_packets(&store, now), [0, 0]);
        }
        assert!(!is_forgotten(&store), "{write:?}");
    }
    // One that is on its way.
    let store = over(Funding::Balance);
    let on_its_way = records::UNSENT.add(opened, &domain::due::of_user(SENDER, "p"));
    damage(&store, at(&store, 0).home(SENDER), vec![on_its_way]);
    collect_packets(&store, OVER_MS);
    assert!(!is_forgotten(&store));
    check_money(&store, Funding::Balance);
}

#[test]
fn a_crash_after_each_step_leaves_it_for_the_next_call() {
    for funding in BOTH {
        for commits in 0..24 {
            let memory = over(funding);
            let partitions: Vec<_> = at(&memory, 0).partitions.all().collect();
            for (now, first) in [(OVER_MS, commits.min(12)), (LATER_MS, commits.max(12) - 12)] {
                let store = Crashing { memory: &memory, commits: first.into() };
                let context = at(&store, now);
                drop(done(collect::packets(&context, &partitions, &terms(now))));
                // Whoever comes then.
                let sent = send(&memory, now, &order(funding));
                let expected =
                    if is_forgotten(&memory) { Err(Refusal::Forgotten) } else { Ok(true) };
                assert_eq!(sent, expected, "{commits}");
                settled(&at(&memory, now));
            }
            finish(&memory);
            assert_eq!(left(&memory), 0, "{funding:?} {commits}");
            check_money(&memory, funding);
        }
    }
}

#[test]
fn whatever_comes_in_between_no_money_is_made_and_none_is_lost() {
    type Meanwhile = fn(&Memory, Funding, i64);
    let acts: [Meanwhile; 5] = [
        |store, funding, now| {
            let sent = send(store, now, &order(funding));
            assert!(matches!(sent, Ok(true) | Err(Refusal::Forgotten)), "{sent:?}");
        },
        |store, _, now| {
            let opened = open(store, now, OPENER);
            assert!(matches!(opened, Ok(100) | Err(Refusal::UnknownPacket)), "{opened:?}");
        },
        |store, _, now| {
            let told = pay(store, now, "T-1");
            let is_known = matches!(told, Ok(Told::Applied | ALREADY_PAID | FORGOTTEN));
            assert!(is_known, "{told:?}");
        },
        |store, _, now| {
            settled(&at(store, now));
        },
        |store, _, now| {
            collect_packets(store, now);
        },
    ];
    for funding in BOTH {
        for (act, meanwhile) in acts.into_iter().enumerate() {
            for (commits, now) in (0..16).flat_map(|one| [(one, OVER_MS), (one, LATER_MS)]) {
                let store = Interrupted::default();
                over_in(store.memory(), funding);
                if now == LATER_MS {
                    collect_packets(store.memory(), OVER_MS);
                }
                store.interrupt(commits, move |memory| meanwhile(memory, funding, now));
                let context = at(&store, now);
                let partitions: Vec<_> = context.partitions.all().collect();
                done(collect::packets(&context, &partitions, &terms(now))).unwrap();
                let memory = store.memory();
                finish(memory);
                assert_eq!(send(memory, LATER_MS, &order(funding)), Err(Refusal::Forgotten));
                check_money(memory, funding);
                let (waiting, _) = done(unapplied::list(&at(memory, now), None, 10)).unwrap();
                drop_all_payments(memory, LATER_MS, waiting.len());
                finish(memory);
                assert_eq!(left(memory), 0, "{act} {commits} {funding:?} {now}");
                check_money(memory, funding);
            }
        }
    }
}

/// A request found the order and is on its way, while both steps are taken.
#[test]
fn a_request_that_found_the_order_before_writes_no_packet_down_afterwards() {
    for funding in BOTH {
        for commits in 0..5 {
            let store = Interrupted::default();
            over_in(store.memory(), funding);
            store.interrupt(commits, |memory| {
                collect_packets(memory, OVER_MS);
                collect_packets(memory, LATER_MS);
            });
            let (context, number) = (at(&store, OVER_MS), number("p"));
            let again = Order { at: OVER_MS, ..order(funding) };
            let sent = done(packet::send(&context, &number, &again, None, &mut || 0));
            let sent = refused(sent).map(|(_, replayed)| replayed);
            let is_told = matches!(sent, Ok(true) | Err(Refusal::Forgotten | Refusal::TooOld));
            assert!(is_told, "{commits}: {sent:?}");
            finish(store.memory());
            check_money(store.memory(), funding);
        }
        // A payment likewise.
        for commits in 0..4 {
            let store = Interrupted::default();
            over_in(store.memory(), funding);
            store.interrupt(commits, |memory| {
                collect_packets(memory, OVER_MS);
                collect_packets(memory, LATER_MS);
            });
            let payment = Payment::parse("T-2", "").unwrap();
            let told = done(packet::pay(&at(&store, OVER_MS), &name(), &payment, &mut || 0));
            let told = refused(told).unwrap();
            assert!(matches!(told, ALREADY_PAID | FORGOTTEN), "{commits}: {told:?}");
            finish(store.memory());
            check_money(store.memory(), funding);
            drop_all_payments(store.memory(), LATER_MS, 1);
        }
    }
}

/// Of one that was opened by all, nothing ever came back: a second packet would be paid back under a new number.
#[test]
fn a_request_that_found_the_order_of_a_packet_that_is_all_opened_makes_no_second_one() {
    for commits in 0..4 {
        let store = Interrupted::default();
        let memory = store.memory();
        earn(memory, SENDER, "a", 1_000, START_MS);
        assert_eq!(send(memory, START_MS, &order(Funding::Balance)), Ok(false));
        for user in [OPENER, UserId(9)] {
            assert_eq!(open(memory, START_MS, user), Ok(100));
        }
        for days in [0, 1] {
            settled(&at(memory, START_MS + days * DAY_MS));
        }
        store.interrupt(commits, |memory| {
            collect_packets(memory, OVER_MS);
            collect_packets(memory, LATER_MS);
        });
        let (context, number) = (at(&store, OVER_MS), number("p"));
        let again = Order { at: OVER_MS, ..order(Funding::Balance) };
        let sent = refused(done(packet::send(&context, &number, &again, None, &mut || 0)));
        assert!(matches!(sent, Ok((_, true)) | Err(Refusal::Forgotten)), "{commits}: {sent:?}");
        finish(memory);
        for user in [SENDER, OPENER, UserId(9)] {
            done(posting::post(&at(memory, LATER_MS), user)).unwrap();
        }
        let view = done(view::view(&at(memory, LATER_MS), SENDER)).unwrap();
        assert_eq!(view.balance, 800, "{commits}");
        assert_eq!(account(memory, records::PACKETS), 0);
        assert_eq!(left(memory), 0);
        check_balanced(memory);
    }
}

/// Settlement was away for long: what was closed only now is kept from now on.
#[test]
fn a_packet_that_was_closed_late_is_kept_from_then_on() {
    let store = Memory::new();
    earn(&store, SENDER, "a", 1_000, START_MS);
    assert_eq!(send(&store, START_MS, &order(Funding::Balance)), Ok(false));
    let closed_at = OVER_MS + 30 * DAY_MS;
    assert_eq!(collect_packets(&store, closed_at), [0, 0]);
    settled(&at(&store, closed_at));
    settled(&at(&store, closed_at));
    assert_eq!(collect_packets(&store, closed_at + 7 * DAY_MS), [0, 0]);
    assert!(!is_forgotten(&store));
    assert_eq!(send(&store, closed_at, &order(Funding::Balance)), Ok(true));
    collect_packets(&store, closed_at + 7 * DAY_MS + 1);
    assert!(is_forgotten(&store));
}

/// What a partition held before its last second, written back.
struct Before {
    home: domain::partition::Partition,
    order: Value,
}

impl Before {
    fn of(store: &Memory) -> Self {
        let home = at(store, 0).home(SENDER);
        let [(_, order)] = &map(store, home, records::sent(SENDER))[..] else { panic!("an order") };
        Self { home, order: order.clone() }
    }

    /// The sender's partition loses the first step.
    fn fall_back(self, store: &Memory) {
        let what = domain::due::of_user(SENDER, "p");
        let number =
            Number { family: Family::Packets, user: SENDER, number: "p", ordered_at: None };
        let Read::Contains(set, id) = number.read_forgotten(at(store, 0).partitions) else {
            panic!("a set")
        };
        damage(
            store,
            self.home,
            vec![
                Write::Set(records::sent(SENDER), "p".into(), self.order),
                Write::Remove(set, id),
                records::SENT.add(UnixMillis(START_MS), &what),
                records::FORGOTTEN.remove(UnixMillis(OVER_MS), &what),
            ],
        );
    }
}

#[test]
fn a_partition_that_falls_back_over_the_first_step_makes_no_money() {
    for funding in BOTH {
        let store = over(funding);
        let before = Before::of(&store);
        collect_packets(&store, OVER_MS);
        before.fall_back(&store);
        assert_eq!(send(&store, OVER_MS, &order(funding)), Ok(true));
        settled(&at(&store, OVER_MS));
        check_money(&store, funding);
        finish(&store);
        assert_eq!(left(&store), 0);
        check_money(&store, funding);
    }
}

/// A packet from a balance that the store lost is written down again, and its money comes back.
#[test]
fn a_packet_that_the_store_lost_goes_back_to_its_sender() {
    let store = Memory::new();
    earn(&store, SENDER, "a", 1_000, START_MS);
    assert_eq!(send(&store, START_MS, &order(Funding::Balance)), Ok(false));
    settled(&at(&store, START_MS));
    let home = records::home_of_packet(at(&store, 0).partitions, &name());
    let lost = [records::packet(&name()), records::parts(&name())].map(Write::Drop);
    let ends = records::ENDS.remove(UnixMillis(START_MS + DAY_MS), name().as_bytes());
    damage(&store, home, lost.into_iter().chain([ends]).collect());
    // Later entries of the sender are carried before.
    earn(&store, SENDER, "b", 1, START_MS + 2 * DAY_MS);
    collect_user(&store, SENDER, OVER_MS, &[]);
    assert_eq!(collect_packets(&store, OVER_MS), [0, 0]);
    assert!(!is_forgotten(&store));
    assert_eq!(settled(&at(&store, OVER_MS))[0], 1);
    settled(&at(&store, OVER_MS));
    done(posting::post(&at(&store, OVER_MS), SENDER)).unwrap();
    assert_eq!(done(view::view(&at(&store, OVER_MS), SENDER)).unwrap().balance, 1_001);
    assert_eq!(collect_packets(&store, OVER_MS + 6 * DAY_MS), [0, 0]);
    assert!(!is_forgotten(&store), "it was closed only now");
    collect_packets(&store, OVER_MS + 8 * DAY_MS);
    assert_eq!(collect_packets(&store, OVER_MS + 9 * DAY_MS), [1, 0]);
    assert_eq!(left(&store), 0);
    assert_eq!(account(&store, records::PACKETS), 0);
    check_balanced(&store);
}

/// Where the only payment that waits stands.
fn place(store: &Memory, now_ms: i64) -> Place {
    let (waiting, _) = done(unapplied::list(&at(store, now_ms), None, 10)).unwrap();
    let [one] = &waiting[..] else { panic!("{waiting:?}") };
    one.place.clone()
}

#[test]
fn a_decided_payment_is_forgotten_and_told_again_it_moves_nothing() {
    for decision in [Decision::Credit, Decision::Drop] {
        let store = over(Funding::Payment);
        let decided_at = START_MS + 5 * DAY_MS;
        assert_eq!(pay(&store, decided_at, "T-2"), Ok(ALREADY_PAID));
        let place = place(&store, decided_at);
        let context = at(&store, decided_at);
        done(unapplied::decide(&context, &place, decision, Some("so"))).unwrap().unwrap();
        settled(&at(&store, decided_at));
        let credited = if decision == Decision::Credit { 200 } else { 0 };
        let balance = || {
            let context = at(&store, LATER_MS);
            done(posting::post(&context, SENDER)).unwrap();
            done(view::view(&context, SENDER)).unwrap().balance - credited
        };
        assert_eq!(balance(), 1_100);
        assert_eq!(collect_packets(&store, decided_at + 7 * DAY_MS), [0, 0]);
        let told = pay(&store, decided_at + 7 * DAY_MS, "T-2");
        let again = if credited > 0 { Told::Applied } else { ALREADY_PAID };
        assert_eq!(told, Ok(again));
        assert_eq!(collect_packets(&store, decided_at + 7 * DAY_MS + 1), [0, 1]);
        for off in [-OFF_MS, OFF_MS] {
            let now = decided_at + 7 * DAY_MS + off;
            assert_eq!(pay(&store, now, "T-2"), Err(Refusal::Forgotten));
        }
        assert_eq!(pay(&store, OVER_MS - DAY_MS, "T-3"), Ok(ALREADY_PAID), "another one waits");
        drop_all_payments(&store, OVER_MS - DAY_MS, 1);
        collect_packets(&store, OVER_MS);
        finish(&store);
        assert_eq!(pay(&store, LATER_MS, "T-2"), Err(Refusal::Forgotten));
        assert_eq!(left(&store), 0);
        assert_eq!(balance(), 1_100);
        check_balanced(&store);
    }
}

#[test]
fn a_payment_for_a_forgotten_packet_waits_once_and_can_only_be_dropped() {
    for funding in BOTH {
        let store = over(funding);
        collect_packets(&store, OVER_MS);
        collect_packets(&store, LATER_MS);
        for _ in 0..2 {
            assert_eq!(pay(&store, LATER_MS, "T-9"), Ok(FORGOTTEN));
        }
        let (place, context) = (place(&store, LATER_MS), at(&store, LATER_MS));
        let (waiting, _) = done(unapplied::list(&context, None, 10)).unwrap();
        let details = waiting[0].details.as_ref().expect("it can be read");
        assert_eq!((details.why, &details.order), (Why::Forgotten, &None));
        assert_eq!(details.packet, name());
        let decide = |decision| {
            done(unapplied::decide(&context, &place, decision, Some("given back"))).unwrap()
        };
        assert_eq!(decide(Decision::Credit), Err(NotDecided::NoAmount));
        assert!(decide(Decision::Drop).is_ok() && decide(Decision::Drop).is_ok());
        assert!(matches!(decide(Decision::Credit), Err(NotDecided::Otherwise(_))));
        assert_eq!(pay(&store, LATER_MS, "T-9"), Ok(FORGOTTEN));
        assert_eq!(collect_packets(&store, LATER_MS + 8 * DAY_MS), [0, 1]);
        assert_eq!(pay(&store, LATER_MS + 8 * DAY_MS, "T-9"), Err(Refusal::Forgotten));
        assert_eq!(left(&store), 0);
        check_money(&store, funding);
    }
    // One that nobody ever sent is to be told again.
    assert_eq!(pay(&Memory::new(), LATER_MS, "T-9"), Err(Refusal::UnknownPacket));
}

/// A packet's own payment that came too late: what was decided about it goes with the packet.
#[test]
fn a_payment_that_came_too_late_is_decided_once_and_goes_with_its_packet() {
    for decision in [Decision::Credit, Decision::Drop] {
        let store = Memory::new();
        assert_eq!(send(&store, START_MS, &order(Funding::Payment)), Ok(false));
        let late = START_MS + 31 * DAY_MS;
        assert_eq!(pay(&store, late, "T-1"), Ok(Told::Unapplied(Why::TooOld)));
        assert_eq!(collect_packets(&store, OVER_MS + 60 * DAY_MS), [0, 0], "it waits");
        let decided_at = OVER_MS + 60 * DAY_MS;
        let place = place(&store, decided_at);
        let context = at(&store, decided_at);
        done(unapplied::decide(&context, &place, decision, Some("so"))).unwrap().unwrap();
        settled(&at(&store, decided_at));
        let told = pay(&store, decided_at, "T-1");
        assert!(matches!(told, Ok(Told::Applied | Told::Unapplied(Why::TooOld))), "{told:?}");
        for days in [8, 9, 10] {
            collect_packets(&store, decided_at + days * DAY_MS);
        }
        assert_eq!(left(&store), 0);
        assert_eq!(pay(&store, decided_at + 10 * DAY_MS, "T-1"), Ok(FORGOTTEN));
        let expected = if decision == Decision::Credit { 200 } else { 0 };
        done(posting::post(&at(&store, decided_at), SENDER)).unwrap();
        let view = done(view::view(&at(&store, decided_at), SENDER)).unwrap();
        assert_eq!(view.balance, expected);
        check_balanced(&store);
    }
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let store = over(Funding::Balance);
    let before = left(&store);
    let partitions: Vec<_> = at(&store, 0).partitions.all().collect();
    let dry = Terms { dry_run: true, ..terms(OVER_MS) };
    let context = at(&store, OVER_MS);
    let (swept, collected) = done(collect::packets(&context, &partitions, &dry)).unwrap();
    assert_eq!((collected.gone["packets"], swept.stuck.len()), (1, 0));
    assert_eq!(left(&store), before);
    assert!(!is_forgotten(&store));
}

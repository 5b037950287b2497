//! Splits of a million generated packets: the parts add up and lie in their bounds.

mod means;

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::WithSource;
use proptest::test_runner::TestRunner;
use wallet::split::{COUNT_MAX, PART_CENTS_MAX, PART_CENTS_MIN, check, split_equal, split_random};

const PACKETS: u32 = 1_000_000;
/// Attempts to make a failing packet smaller: less than a second.
const SHRINKS_MAX: u32 = 20_000;
/// The span between the least and the most that the parts of a packet can hold, where there are the most.
const SPAN_MAX: i64 = COUNT_MAX as i64 * (PART_CENTS_MAX - PART_CENTS_MIN);

/// Where a total lies between the least and the most of its count.
#[derive(Clone, Copy, Debug)]
enum Nearness {
    Least,
    Anywhere,
    Most,
}

/// A packet, and the random number of each part but the last.
#[derive(Clone, Debug)]
struct Packet {
    total: i64,
    count: u32,
    draws: Vec<u64>,
}

fn packet() -> impl Strategy<Value = Packet> {
    // Mostly few parts; every tenth packet any number of them.
    let draws = prop_oneof![
        9 => vec(any::<u64>(), 0..20),
        1 => vec(any::<u64>(), 0..COUNT_MAX as usize),
    ];
    // A third anywhere, and a third close to each end, where the bounds meet.
    let nearness =
        prop_oneof![Just(Nearness::Least), Just(Nearness::Anywhere), Just(Nearness::Most)];
    // The distance shrinks before the parts, so that it is the same one from a smaller least.
    (nearness, 0..=SPAN_MAX, draws).prop_map(|(nearness, distance, draws)| {
        let count = draws.len() as u32 + 1;
        let parts = i64::from(count);
        let span = parts * (PART_CENTS_MAX - PART_CENTS_MIN);
        let above_least = match nearness {
            Nearness::Least => distance % (2 * parts + 1),
            Nearness::Anywhere => distance % (span + 1),
            Nearness::Most => span - distance % (2 * parts + 1),
        };
        Packet { total: parts * PART_CENTS_MIN + above_least, count, draws }
    })
}

#[test]
fn parts_of_a_million_packets_add_up_and_lie_in_bounds() {
    let config = ProptestConfig {
        cases: PACKETS,
        failure_persistence: Some(Box::new(WithSource("regressions"))),
        max_shrink_iters: SHRINKS_MAX,
        ..ProptestConfig::with_source_file(file!())
    };
    let [parts_seen, least, most] = [const { Cell::new(0) }; 3];
    let add = |sum: &Cell<usize>, more: usize| sum.set(sum.get() + more);
    TestRunner::new(config)
        .run(&packet(), |Packet { total, count, draws }| {
            prop_assert_eq!(check(total, count), Ok(()));
            let mut draws = draws.into_iter();
            let random = || draws.next().expect("a random number for each part but the last");
            for found in [split_random(total, count, random), split_equal(total, count)] {
                prop_assert_eq!(found.len(), count as usize);
                prop_assert_eq!(found.iter().sum::<i64>(), total, "{:?}", found);
                for part in &found {
                    prop_assert!((PART_CENTS_MIN..=PART_CENTS_MAX).contains(part), "{:?}", found);
                    add(&least, usize::from(*part == PART_CENTS_MIN));
                    add(&most, usize::from(*part == PART_CENTS_MAX));
                }
                add(&parts_seen, found.len());
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let [parts_seen, least, most] = [parts_seen, least, most].map(Cell::into_inner);
    println!("{PACKETS} packets, {parts_seen} parts, {least} of 0.01, {most} of 200.00");
}

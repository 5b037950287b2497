//! Splits of a million generated packets: the parts add up and lie in their bounds.

mod generator;
mod means;

use generator::Generator;
use wallet::split::{COUNT_MAX, PART_CENTS_MAX, PART_CENTS_MIN, check, split_equal, split_random};

const PACKETS: usize = 1_000_000;

#[test]
fn parts_of_a_million_packets_add_up_and_lie_in_bounds() {
    let seed = match std::env::var("SPLIT_SEED") {
        Ok(text) => text.parse().expect("SPLIT_SEED is a number"),
        Err(_) => 20_260_217,
    };
    println!("seed {seed}; another one with SPLIT_SEED");
    let mut generator = Generator(seed);
    let (mut parts_seen, mut least, mut most) = (0, 0, 0);
    for packet in 0..PACKETS {
        // Mostly few parts; every tenth packet any number of them.
        let counts = if packet % 10 == 0 { u64::from(COUNT_MAX) } else { 20 };
        let count = 1 + generator.below(counts) as u32;
        let parts = i64::from(count);
        // A third anywhere, and a third close to each end, where the bounds meet.
        let span = (parts * (PART_CENTS_MAX - PART_CENTS_MIN)) as u64;
        let above_least = match packet % 3 {
            0 => generator.below(span + 1),
            1 => generator.below(span.min(2 * count as u64) + 1),
            _ => span - generator.below(span.min(2 * count as u64) + 1),
        };
        let total = parts * PART_CENTS_MIN + above_least as i64;
        assert_eq!(check(total, count), Ok(()));
        for found in [split_random(total, count, || generator.next()), split_equal(total, count)] {
            assert_eq!(found.len(), count as usize);
            assert_eq!(found.iter().sum::<i64>(), total, "packet {packet}: {total} in {count}");
            for part in &found {
                let inside = (PART_CENTS_MIN..=PART_CENTS_MAX).contains(part);
                assert!(inside, "packet {packet}: {total} in {count} gave {part}");
                least += usize::from(*part == PART_CENTS_MIN);
                most += usize::from(*part == PART_CENTS_MAX);
            }
            parts_seen += found.len();
        }
    }
    println!("{PACKETS} packets, {parts_seen} parts, {least} of 0.01, {most} of 200.00");
}

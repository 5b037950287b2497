//! What each position of a random split holds on average: the same within 1 %, where the mean part lies
//! between 5.00 and 40.00; and how the bounds bend it elsewhere.
//!
//! Twice: by drawing, and exactly, by following the probability of everything that may remain. The second
//! has no noise, and is a second implementation of the rule.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use wallet::split::{COUNT_MAX, PART_CENTS_MAX, PART_CENTS_MIN, split_random};

/// Means of the parts, in cents; the middle ones are where the rule is fair.
const MEANS: [i64; 12] = [5, 50, 100, 300, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 15_000];
const FAIR: std::ops::RangeInclusive<i64> = 500..=4_000;
const WITHIN: f64 = 0.01;

/// The mean of each position, in cents, from the probability of each sum that may remain.
fn exact(total: i64, count: i64) -> Vec<f64> {
    let sums = total as usize + 1;
    let mut probability = vec![0.0; sums];
    probability[total as usize] = 1.0;
    let mut means = Vec::new();
    for left in (2..=count).rev() {
        // Each draw adds the same to a range of sums: that is noted at its two ends, and summed up after.
        let mut changes = vec![0.0; sums + 1];
        let mut mean = 0.0;
        for remaining in left..=total {
            let here: f64 = probability[remaining as usize];
            if here <= 0.0 {
                continue;
            }
            let lower = (remaining - (left - 1) * PART_CENTS_MAX).max(PART_CENTS_MIN);
            let upper = PART_CENTS_MAX
                .min(remaining - (left - 1) * PART_CENTS_MIN)
                .min(2 * remaining / left);
            let each = here / upper as f64;
            // Numbers 0 to `lower` - 1 give the lower bound, the others themselves.
            let mut add = |parts: std::ops::RangeInclusive<i64>, weight: f64| {
                let (least, most) = (*parts.start(), *parts.end());
                mean += weight * ((most - least + 1) * (least + most)) as f64 / 2.0;
                changes[(remaining - most) as usize] += weight;
                changes[(remaining - least) as usize + 1] -= weight;
            };
            add(lower..=lower, each * lower.min(upper) as f64);
            if lower < upper {
                add(lower..=upper - 1, each);
            }
        }
        means.push(mean);
        let mut sum = 0.0;
        for (probability, change) in probability.iter_mut().zip(changes) {
            sum += change;
            // What floating point leaves of sums that cannot remain.
            *probability = if sum < 1e-17 { 0.0 } else { sum };
        }
    }
    means.push((0..=total).zip(&probability).map(|(sum, here)| sum as f64 * here).sum());
    means
}

/// The mean of each position, in cents, of this many packets: each time of the same ones.
fn drawn(total: i64, count: i64, packets: u32) -> Vec<f64> {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut sums = vec![0; count as usize];
    for _ in 0..packets {
        let parts = split_random(total, count as u32, || random.next_u64());
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += part;
        }
    }
    sums.into_iter().map(|sum| sum as f64 / f64::from(packets)).collect()
}

/// How far means are from the mean of all parts, as a fraction of it.
fn deviations(means: &[f64], mean: i64) -> Vec<f64> {
    means.iter().map(|found| found / mean as f64 - 1.0).collect()
}

fn largest(deviations: &[f64]) -> f64 {
    deviations.iter().map(|deviation| deviation.abs()).fold(0.0, f64::max)
}

fn row(name: &str, mean: i64, deviations: &[f64]) -> String {
    let cells: String =
        deviations.iter().map(|deviation| format!("{:>8.2}", deviation * 100.0)).collect();
    format!("{name:<9} {:>4}.{:02}{cells}", mean / 100, mean % 100)
}

/// A part's standard deviation is at most 0.8 of its mean where the rule is fair, and about as much
/// outside: five times that of the mean of a million is 0.4 %.
#[test]
fn each_position_has_the_same_mean() {
    const COUNT: i64 = 10;
    const PACKETS: u32 = 1_000_000;
    println!("{COUNT} parts, {PACKETS} packets");
    println!("deviation of each position from the mean part, in %, drawn and exact");
    let positions: String = (1..=COUNT).map(|position| format!("{position:>8}")).collect();
    println!("             mean{positions}");
    for mean in MEANS {
        let drawn = deviations(&drawn(mean * COUNT, COUNT, PACKETS), mean);
        let exact = deviations(&exact(mean * COUNT, COUNT), mean);
        let fair = if FAIR.contains(&mean) { "  within 1 %" } else { "" };
        println!("{}{fair}\n{}", row("drawn", mean, &drawn), row("exact", mean, &exact));
        if FAIR.contains(&mean) {
            assert!(largest(&drawn) <= WITHIN && largest(&exact) <= WITHIN, "{mean}");
        }
        for (drawn, exact) in drawn.iter().zip(&exact) {
            assert!((drawn - exact).abs() <= 0.004, "{mean}: {drawn} drawn, {exact} exactly");
        }
    }
}

/// Rounding leaves the last the most, and the more the more parts there are: with 300 parts of 5.00 it is
/// 5 cents. (With 500 it would be more than 1 %.)
#[test]
fn more_parts_leave_the_last_a_little_more() {
    println!("exact deviation from the mean part, in %: of the first, the last but one, the last");
    let table = [
        (2, 500, 0.0020),
        (2, 4_000, 0.0003),
        (50, 500, 0.0069),
        (50, 4_000, 0.0035),
        (200, 500, 0.0090),
        (200, 1_000, 0.0045),
        (COUNT_MAX.into(), 500, WITHIN),
        (COUNT_MAX.into(), 600, 0.0082),
    ];
    for (count, mean, bound) in table {
        let deviations = deviations(&exact(mean * count, count), mean);
        let last = deviations.len() - 1;
        let shown = [deviations[0], deviations[last - 1], deviations[last]];
        println!("{}", row(&format!("{count} parts"), mean, &shown));
        assert!(largest(&deviations) <= bound, "{count} parts of {mean}");
    }
}

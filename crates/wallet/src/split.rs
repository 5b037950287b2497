//! How the total of a group packet is split into its parts: in whole cents, whose sum is the total.
//!
//! A random split draws part after part from what remains:
//! - The last part is all that remains.
//! - At least a cent, or, where the others could not take the rest at [`PART_CENTS_MAX`] each, what they
//!   could not take.
//! - At most [`PART_CENTS_MAX`], or less where the others would not get a cent each; and at most twice
//!   the mean of what remains.
//! - A random number modulo that upper bound; below the lower bound, the lower bound.
//!
//! A draw between 0 and twice the mean has the mean on average, so that nobody gains by coming early or
//! late: where the mean part lies between 5.00 and 40.00, each position has the same mean within 1 %.
//! Elsewhere the bounds bend it, and `tests/split` prints how. Rounding leaves
//! the last a few cents more, which shows where parts are small and many. Where a part may not hold twice
//! the mean, it holds less on average, and later ones hold more.

use domain::error::InvalidInput;

/// The least that a part holds: nobody opens an empty packet.
pub const PART_CENTS_MIN: i64 = 1;
/// The most that a part holds, 200.00.
pub const PART_CENTS_MAX: i64 = 20_000;
/// The most parts: with more, rounding would give the last one over 1 % more than the first, where parts are
/// small.
pub const COUNT_MAX: u32 = 300;

/// Checks on sending that a total can be split: each part holds 0.01 to 200.00.
///
/// # Errors
/// `invalid_count` at `count`, unless it is 1 to [`COUNT_MAX`]; `invalid_total` at `total`, unless it is
/// `count` times 0.01 to `count` times 200.00.
pub fn check(total_cents: i64, count: u32) -> Result<(), InvalidInput> {
    if !(1..=COUNT_MAX).contains(&count) {
        let detail = format!("must be 1 to {COUNT_MAX}");
        return Err(InvalidInput::new("invalid_count", "count", detail));
    }
    let (least, most) = (i64::from(count) * PART_CENTS_MIN, i64::from(count) * PART_CENTS_MAX);
    if (least..=most).contains(&total_cents) {
        Ok(())
    } else {
        let detail = format!("must be {least} to {most} cents for {count} packets");
        Err(InvalidInput::new("invalid_total", "total", detail))
    }
}

/// Splits at random into `count` parts of 0.01 to 200.00, in cents, in the order in which they are taken.
/// `random` gives 64 random bits and is called once for each part but the last.
///
/// The total and the count must have passed [`check`]: of others the parts leave their bounds.
///
/// A modulo prefers small numbers. The upper bound is at most 20,000, less than 2^15, so that each number
/// comes up for at least 2^49 of the 2^64 values that `random` has, and for at most one value more than any
/// other: the bias is below 2^-49, and so below 2^-40, where no number of packets would show it.
pub fn split_random(total_cents: i64, count: u32, mut random: impl FnMut() -> u64) -> Vec<i64> {
    debug_assert_eq!(check(total_cents, count), Ok(()));
    let mut remaining = total_cents;
    let part = |left: u32| {
        let part = if left <= 1 { remaining } else { draw(remaining, left.into(), random()) };
        remaining -= part;
        part
    };
    (1..=count).rev().map(part).collect()
}

/// Splits into `count` parts that differ by at most a cent, the larger ones first.
///
/// The total and the count must have passed [`check`]: of others the parts leave their bounds.
pub fn split_equal(total_cents: i64, count: u32) -> Vec<i64> {
    debug_assert_eq!(check(total_cents, count), Ok(()));
    let parts = i64::from(count.max(1));
    let (least, larger) = (total_cents / parts, total_cents % parts);
    (0..i64::from(count)).map(|position| least + i64::from(position < larger)).collect()
}

/// The next of `left` parts, of which there are two or more.
fn draw(remaining: i64, left: i64, random: u64) -> i64 {
    let others = left - 1;
    let lower = (remaining - others * PART_CENTS_MAX).max(PART_CENTS_MIN);
    let twice_the_mean = remaining.saturating_mul(2) / left;
    let upper = (remaining - others * PART_CENTS_MIN).min(twice_the_mean).min(PART_CENTS_MAX);
    // The upper bound is 1 or more, and the remainder below it: both fit.
    let drawn = (random % upper.max(1).unsigned_abs()) as i64;
    drawn.max(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_possible_or_refused() {
        let table = [
            (1, 1, None),
            (20_000, 1, None),
            (300, 300, None),
            (6_000_000, 300, None),
            (0, 1, Some(("invalid_total", "total"))),
            (-5, 1, Some(("invalid_total", "total"))),
            (20_001, 1, Some(("invalid_total", "total"))),
            (299, 300, Some(("invalid_total", "total"))),
            (6_000_001, 300, Some(("invalid_total", "total"))),
            (i64::MAX, 300, Some(("invalid_total", "total"))),
            (i64::MIN, 300, Some(("invalid_total", "total"))),
            (100, 0, Some(("invalid_count", "count"))),
            (1_000, 301, Some(("invalid_count", "count"))),
            (i64::MAX, u32::MAX, Some(("invalid_count", "count"))),
        ];
        for (total, count, expected) in table {
            let found = check(total, count).map_err(|error| (error.code, error.field));
            let expected = expected.map(|(code, field)| (code, field.to_owned()));
            assert_eq!(found.err(), expected, "{total} in {count}");
        }
    }

    /// Draws that are as small and as large as can be.
    #[test]
    fn bounds_hold_at_their_edges() {
        // By each upper bound below it has the largest remainder.
        const LARGEST: u64 = 20_000 * 99 * 67 * 17 - 1;
        let table: [(i64, u32, u64, &[i64]); 13] = [
            // One packet.
            (1, 1, 0, &[1]),
            (20_000, 1, LARGEST, &[20_000]),
            // As little as there can be: a cent each.
            (3, 3, 0, &[1, 1, 1]),
            (3, 3, LARGEST, &[1, 1, 1]),
            (4, 3, 0, &[1, 1, 2]),
            (4, 3, LARGEST, &[1, 1, 2]),
            // As much as there can be: 200.00 each.
            (60_000, 3, 0, &[20_000, 20_000, 20_000]),
            (60_000, 3, LARGEST, &[20_000, 20_000, 20_000]),
            (59_999, 3, 0, &[19_999, 20_000, 20_000]),
            (59_999, 3, LARGEST, &[19_999, 20_000, 20_000]),
            // A draw ends a cent below its upper bound: here 99, and there 100, 67 and 34.
            (100, 2, 0, &[1, 99]),
            (100, 2, LARGEST, &[98, 2]),
            (200, 4, LARGEST, &[99, 66, 33, 2]),
        ];
        for (total, count, random, expected) in table {
            let found = split_random(total, count, || random);
            assert_eq!(found.iter().sum::<i64>(), total);
            assert!(found.iter().all(|part| (PART_CENTS_MIN..=PART_CENTS_MAX).contains(part)));
            assert_eq!(found, expected, "{total} in {count} by {random}");
        }
    }

    #[test]
    fn random_is_asked_once_for_each_part_but_the_last() {
        for count in [1, 2, COUNT_MAX] {
            let mut asked = 0;
            let mut random = || {
                asked += 1;
                7
            };
            let parts = split_random(10_000, count, &mut random);
            assert_eq!((parts.len(), asked), (count as usize, count - 1));
        }
    }

    #[test]
    fn equal_parts_differ_by_at_most_a_cent() {
        let table: [(i64, u32, &[i64]); 6] = [
            (100, 1, &[100]),
            (100, 3, &[34, 33, 33]),
            (101, 3, &[34, 34, 33]),
            (3, 3, &[1, 1, 1]),
            (59_999, 3, &[20_000, 20_000, 19_999]),
            (60_000, 3, &[20_000, 20_000, 20_000]),
        ];
        for (total, count, expected) in table {
            assert_eq!(split_equal(total, count), expected, "{total} in {count}");
        }
        for count in 1..=COUNT_MAX {
            for total in [i64::from(count), 10_007, i64::from(count) * PART_CENTS_MAX] {
                let parts = split_equal(
                    total.max(count.into()).min(i64::from(count) * PART_CENTS_MAX),
                    count,
                );
                assert!(parts.is_sorted_by(|one, next| one >= next));
                assert!(parts[0] - parts[parts.len() - 1] <= 1);
                assert!(parts.iter().all(|part| (PART_CENTS_MIN..=PART_CENTS_MAX).contains(part)));
            }
        }
    }
}

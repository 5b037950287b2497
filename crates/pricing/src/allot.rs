//! A discount in whole cents for each line, by largest remainder (Hamilton's method): each line has
//! its exact share rounded down; the cents that are left go one each to the largest remainders, of
//! equal ones to the first.
//!
//! A share is at most the line's weight: it is the exact share rounded up at the most, the exact
//! share is at most the weight because the discount is at most the sum of the weights, and the
//! weight is whole. So no line goes below zero where its weight is at most what it costs.

/// Splits `discount` in proportion to `weights`, into `shares` of the same length, whose sum is the
/// discount. Requires 0 <= `discount` <= the sum of the weights, each within 0 and 2^53 - 1; their
/// sum, too.
pub(crate) fn allot(discount: i64, weights: &[i64], shares: &mut [i64]) {
    debug_assert_eq!(weights.len(), shares.len());
    let sum: i64 = weights.iter().sum();
    debug_assert!((0..=sum).contains(&discount));
    if discount == sum {
        // Free pieces and fixed prices: each line's weight is its share, without a division.
        shares.copy_from_slice(weights);
        return;
    }
    if let [only] = shares {
        *only = discount;
        return;
    }
    // Not nothing: it is larger than the discount.
    let mut remainders: Vec<(i64, usize)> = Vec::with_capacity(weights.len());
    let mut left = discount;
    for (index, (weight, share)) in weights.iter().zip(shares.iter_mut()).enumerate() {
        let remainder;
        (*share, remainder) = multiply_divide(discount, *weight, sum);
        left -= *share;
        remainders.push((remainder, index));
    }
    // Fewer cents are left than there are lines with a remainder.
    let left = usize::try_from(left).unwrap_or_default();
    if left > 0 {
        remainders.select_nth_unstable_by(left - 1, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, index) in &remainders[..left] {
            shares[*index] += 1;
        }
    }
}

/// `a * b / divisor` and what remains, exactly. The result fits, because `a` is at most the divisor.
fn multiply_divide(a: i64, b: i64, divisor: i64) -> (i64, i64) {
    if a.leading_zeros() + b.leading_zeros() > i64::BITS {
        // The product has at most 63 bits: the usual case, and some hundred instructions cheaper in
        // WebAssembly, which has no division of 128 bits.
        let product = a * b;
        return (product / divisor, product % divisor);
    }
    let (product, divisor) = (i128::from(a) * i128::from(b), i128::from(divisor));
    ((product / divisor) as i64, (product % divisor) as i64)
}

#[cfg(test)]
mod tests {
    use domain::transaction::INTEGER_MAX;
    use proptest::prelude::*;

    use super::*;

    fn shares(discount: i64, weights: &[i64]) -> Vec<i64> {
        let mut shares = vec![-1; weights.len()];
        allot(discount, weights, &mut shares);
        shares
    }

    #[test]
    fn the_largest_remainders_have_the_cents_that_are_left() {
        let table: &[(i64, &[i64], &[i64])] = &[
            // A third of a cent each: the first has the cent.
            (1, &[1, 1, 1], &[1, 0, 0]),
            (2, &[1, 1, 1], &[1, 1, 0]),
            // 100 * 1/6, 2/6, 3/6 = 16.67, 33.33, 50: the first remainder is the largest.
            (100, &[100, 200, 300], &[17, 33, 50]),
            // 10 * 7/12, 4/12, 1/12 = 5.83, 3.33, 0.83: two cents for the two of 0.83.
            (10, &[7, 4, 1], &[6, 3, 1]),
            (0, &[5, 5], &[0, 0]),
            (3, &[0, 4, 0], &[0, 3, 0]),
            (10, &[5, 5], &[5, 5]),
            (0, &[0, 0], &[0, 0]),
            (0, &[], &[]),
            // Beyond 64 bits: (2^53 - 2) * (2^53 - 2) / (2^53 - 1) = 2^53 - 3 and 1/(2^53 - 1).
            (INTEGER_MAX - 1, &[INTEGER_MAX - 1, 1], &[INTEGER_MAX - 2, 1]),
        ];
        for (discount, weights, expected) in table {
            assert_eq!(shares(*discount, weights), *expected, "{discount} {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_within_a_cent_of_exact(
            weights in prop::collection::vec(
                prop_oneof![0_i64..50, 0_i64..1_000_000, 0..=INTEGER_MAX / 200], 1..40),
            percent in 0_i128..=1000,
        ) {
            let sum: i64 = weights.iter().sum();
            let discount = (i128::from(sum) * percent / 1000) as i64;
            let shares = shares(discount, &weights);
            prop_assert_eq!(shares.iter().sum::<i64>(), discount);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!((0..=*weight).contains(share));
                // |share - discount * weight / sum| < 1, times sum.
                let exact = i128::from(discount) * i128::from(*weight);
                let error = (i128::from(*share) * i128::from(sum) - exact).abs();
                prop_assert!(error < i128::from(sum.max(1)));
            }
        }
    }
}

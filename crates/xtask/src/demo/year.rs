//! Prices a year of carts, and picks those that show most.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context;
use domain::money::Amount;
use pricing::activity::Activity;
use pricing::decide::evaluate;
use pricing::evaluation::Evaluation;
use pricing::explain::Shortfall;

use super::carts::InvoiceCart;
use super::uses::Uses;
use crate::evaluate::Table;
use crate::evaluate::table::{count, major};

/// Lines of a cart that is still read at a glance.
const LINES_READABLE_MAX: usize = 12;

/// A cart with its answer.
pub struct Priced<'a> {
    /// What was asked.
    pub of: &'a InvoiceCart,
    /// What was answered.
    pub evaluation: Evaluation<'a>,
}

/// Prices the carts one after the other; what one uses of a purchase limit is used for the next.
///
/// # Errors
/// A cart is refused; naming its invoice and the field.
pub fn price_year<'a>(
    activities: &'a [Activity],
    carts: &'a [InvoiceCart],
) -> anyhow::Result<Vec<Priced<'a>>> {
    let mut uses = Uses::default();
    let mut priced = Vec::with_capacity(carts.len());
    for of in carts {
        let left = |activity: &Activity, key: Option<&str>| uses.left(of.customer, activity, key);
        let evaluation = evaluate(activities, &of.cart, left)
            .with_context(|| format!("invoice {}, cart {}", of.invoice, of.part))?;
        uses.count(of.customer, activities, &evaluation);
        priced.push(Priced { of, evaluation });
    }
    Ok(priced)
}

impl<'a> Priced<'a> {
    /// The activities that were given.
    #[must_use]
    pub fn applied(&self) -> BTreeSet<&'a str> {
        let applied = self.evaluation.explanations.iter().filter(|one| one.applied);
        applied.map(|one| one.activity).collect()
    }

    /// The least that would have to be spent to meet the condition of one more activity. (Where that
    /// is of an exclusive group, another one may still be given instead.)
    #[must_use]
    pub fn nearest(&self) -> Option<Amount> {
        let shortfalls = self.evaluation.explanations.iter().filter_map(|one| one.shortfall);
        let amounts = shortfalls.filter_map(|shortfall| match shortfall {
            Shortfall::Amount(amount) => Some(amount),
            Shortfall::Quantity(_) => None,
        });
        amounts.min()
    }

    /// The cart as `cargo xtask evaluate` prints it, under a line that says whose it is.
    #[must_use]
    pub fn explain(&self, activities: &[Activity]) -> String {
        let InvoiceCart { invoice, part, customer, cart } = self.of;
        let part = if *part > 1 { format!(", cart {part}") } else { String::new() };
        let customer =
            customer.map_or("an unknown customer".to_owned(), |one| format!("customer {one}"));
        let applied = self.applied().len();
        let nearest = self.nearest().map_or(String::new(), |amount| {
            format!(", {} {} short of one more condition", major(amount), cart.currency.as_str())
        });
        let applied = if applied == 1 {
            "1 activity applies".to_owned()
        } else {
            format!("{applied} activities apply")
        };
        let table = Table { activities, cart, evaluation: &self.evaluation };
        format!("== invoice {invoice}{part} of {customer}: {applied}{nearest}\n{table}")
    }
}

/// The carts that show most, each one the best after those before it: the one with most activities
/// applied that none of them showed; of equal ones the one with most activities applied at all, then
/// the one that lacks least money for one more condition, then the earliest. None has more than 12 lines, and
/// no two are of one customer; all whom the file does not know count as one.
#[must_use]
pub fn most_interesting<'p, 'a>(priced: &'p [Priced<'a>], carts_max: usize) -> Vec<&'p Priced<'a>> {
    let readable = |one: &&Priced<'_>| one.of.cart.lines.len() <= LINES_READABLE_MAX;
    let mut left: Vec<_> = priced.iter().filter(readable).map(|one| (one, one.applied())).collect();
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    let mut chosen = Vec::new();
    while chosen.len() < carts_max {
        // Of equal ones `min_by_key` keeps the first.
        let best = left.iter().min_by_key(|(one, applied)| {
            let nearest = one.nearest().map_or(i64::MAX, Amount::minor_units);
            (Reverse(applied.difference(&shown).count()), Reverse(applied.len()), nearest)
        });
        let Some((one, applied)) = best else { break };
        let one = *one;
        shown.extend(applied);
        chosen.push(one);
        left.retain(|(other, _)| other.of.customer != one.of.customer);
    }
    chosen
}

/// A year in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Invoices with a sale.
    pub invoices: usize,
    /// Their carts.
    pub carts: usize,
    /// The lines of these.
    pub lines: usize,
    /// Carts that something is taken off.
    pub discounted: usize,
    /// What all cost without promotions, in pence.
    pub subtotal: i64,
    /// What is taken off, in pence.
    pub discount: i64,
}

impl Sums {
    /// The figures of these carts.
    #[must_use]
    pub fn of(priced: &[Priced<'_>]) -> Self {
        let mut sums = Self { carts: priced.len(), ..Self::default() };
        for one in priced {
            sums.invoices += usize::from(one.of.part == 1);
            sums.lines += one.of.cart.lines.len();
            sums.discounted += usize::from(one.evaluation.discount > Amount::default());
            sums.subtotal += one.evaluation.subtotal.minor_units();
            sums.discount += one.evaluation.discount.minor_units();
        }
        sums
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invoices, carts, lines, discounted, subtotal, discount } = *self;
        // Sums of a file of some thousand lines are amounts.
        let money = |pence: i64| major(Amount::new(pence).unwrap_or_default());
        write!(
            formatter,
            "{} in {}, {}: {} GBP, less {} GBP on {discounted} of the carts",
            count(invoices as i64, "invoice"),
            count(carts as i64, "cart"),
            count(lines as i64, "line"),
            money(subtotal),
            money(discount)
        )
    }
}

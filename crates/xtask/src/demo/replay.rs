//! Asks whether each customer is new, tells that the order was paid, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context;
use domain::ids::UserId;

use super::orders::Order;

/// The app, as the replay needs it: over HTTP, or in the process of a test.
pub trait Client {
    /// Whether a user is new.
    ///
    /// # Errors
    /// When the app does not answer.
    fn is_new(&mut self, user: UserId) -> anyhow::Result<bool>;

    /// Tells that an order was paid.
    ///
    /// # Errors
    /// When the app does not acknowledge it.
    fn order_paid(&mut self, paid: &OrderPaid<'_>) -> anyhow::Result<()>;
}

/// An order was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderPaid<'a> {
    /// Who paid.
    pub user: UserId,
    /// Number of the order.
    pub order: &'a str,
    /// When, `2010-12-01 08:26:00`.
    pub time: &'a str,
}

/// Replays the orders one after the other, and returns the answer to "is this customer new?" before
/// each. Customer n is user `first_user` + n. After each order `progress` gets how many are done.
///
/// # Errors
/// The first error of the client, with the order at which it happened.
pub fn replay(
    orders: &[Order],
    first_user: UserId,
    client: &mut impl Client,
    mut progress: impl FnMut(usize),
) -> anyhow::Result<Vec<bool>> {
    let mut answers = Vec::with_capacity(orders.len());
    for (index, order) in orders.iter().enumerate() {
        let at = || format!("order {} of customer {}", order.number, order.customer);
        let user = first_user.0.checked_add(order.customer).with_context(at)?;
        let paid = OrderPaid { user: UserId(user), order: &order.number, time: &order.time };
        answers.push(client.is_new(paid.user).with_context(at)?);
        client.order_paid(&paid).with_context(at)?;
        progress(index + 1);
    }
    Ok(answers)
}

/// What the app answered, by month, against the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    months: BTreeMap<String, Row>,
    total: Row,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    orders: usize,
    customers: BTreeSet<u64>,
    new: usize,
    wrong: usize,
}

impl Row {
    fn add(&mut self, order: &Order, truth: bool, answer: Option<bool>) {
        self.orders += 1;
        self.customers.insert(order.customer);
        self.new += usize::from(answer == Some(true));
        self.wrong += usize::from(answer != Some(truth));
    }
}

impl Report {
    /// Compares the answers with the truth, order by order; an answer that is missing is wrong.
    #[must_use]
    pub fn new(orders: &[Order], truth: &[bool], answers: &[bool]) -> Self {
        let mut report = Report { months: BTreeMap::new(), total: Row::default() };
        for (index, (order, truth)) in orders.iter().zip(truth).enumerate() {
            let answer = answers.get(index).copied();
            let month = report.months.entry(order.month().to_owned()).or_default();
            month.add(order, *truth, answer);
            report.total.add(order, *truth, answer);
        }
        report
    }

    /// How many answers were wrong.
    #[must_use]
    pub fn wrong(&self) -> usize {
        self.total.wrong
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["month", "orders", "customers", "new", "returning", "wrong"];
        let [month, orders, customers, new, returning, wrong] = head;
        writeln!(
            formatter,
            "{month:<8}{orders:>8}{customers:>11}{new:>7}{returning:>11}{wrong:>7}"
        )?;
        let total = "total".to_owned();
        for (month, row) in self.months.iter().chain([(&total, &self.total)]) {
            let Row { orders, customers, new, wrong } = row;
            let (customers, returning) = (customers.len(), orders - new);
            writeln!(
                formatter,
                "{month:<8}{orders:>8}{customers:>11}{new:>7}{returning:>11}{wrong:>7}"
            )?;
        }
        let right = self.total.orders - self.total.wrong;
        // Of nothing, everything is right.
        let percent = 100.0 * right as f64 / self.total.orders.max(right).max(1) as f64;
        writeln!(
            formatter,
            "agreement with the file: {right} of {} ({percent:.2} %)",
            self.total.orders
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::truth;

    /// Remembers who paid; forgets one user, if told to.
    #[derive(Default)]
    struct Memory {
        paid: BTreeSet<UserId>,
        forgotten: Option<UserId>,
    }

    impl Client for Memory {
        fn is_new(&mut self, user: UserId) -> anyhow::Result<bool> {
            Ok(!self.paid.contains(&user))
        }

        fn order_paid(&mut self, paid: &OrderPaid<'_>) -> anyhow::Result<()> {
            if self.forgotten != Some(paid.user) {
                self.paid.insert(paid.user);
            }
            Ok(())
        }
    }

    fn orders() -> Vec<Order> {
        [
            ("1", 7, "2010-12-01 08:00:00"),
            ("2", 8, "2010-12-02 08:00:00"),
            ("3", 7, "2011-01-01 08:00:00"),
        ]
        .map(|(number, customer, time)| Order {
            number: number.to_owned(),
            customer,
            time: time.to_owned(),
        })
        .to_vec()
    }

    #[test]
    fn asks_before_it_tells() {
        let mut done = Vec::new();
        let mut memory = Memory::default();
        let answers =
            replay(&orders(), UserId(100), &mut memory, |count| done.push(count)).expect("replay");
        assert_eq!(answers, [true, true, false]);
        assert_eq!(memory.paid, BTreeSet::from([UserId(107), UserId(108)]));
        assert_eq!(done, [1, 2, 3]);
    }

    #[test]
    fn a_lost_mark_is_a_wrong_answer() {
        let mut memory = Memory { forgotten: Some(UserId(7)), ..Memory::default() };
        let answers = replay(&orders(), UserId(0), &mut memory, |_| ()).expect("replay");
        let report = Report::new(&orders(), &truth(&orders()), &answers);
        assert_eq!(report.wrong(), 1);
        let expected = "\
month     orders  customers    new  returning  wrong
2010-12        2          2      2          0      0
2011-01        1          1      1          0      1
total          3          2      3          0      1
agreement with the file: 2 of 3 (66.67 %)
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn an_answer_that_is_missing_is_wrong() {
        assert_eq!(Report::new(&orders(), &truth(&orders()), &[true]).wrong(), 2);
    }

    #[test]
    fn users_beyond_the_last_id_are_refused() {
        let result = replay(&orders(), UserId(u64::MAX), &mut Memory::default(), |_| ());
        assert!(result.is_err());
    }
}

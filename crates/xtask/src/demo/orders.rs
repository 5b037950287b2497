//! Reads the orders of `online-retail.csv`, and tells the truth about them.
//!
//! A paid order is an invoice with a plain number, a known customer and a total above zero.
//! Cancellations (a leading `C`) and adjustments of the books (a leading `A`) are no payments, nor is
//! what costs nothing; and who is not known cannot be told apart. A cancellation takes nothing back:
//! whoever has paid once is not new.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// What the file writes for a customer whom it does not know.
pub(super) const CUSTOMER_UNKNOWN: &str = "0.0";

/// Prices have up to three decimals.
const MILLS_PER_POUND: i64 = 1_000;

/// A paid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Number of the invoice.
    pub number: String,
    /// Number of the customer.
    pub customer: u64,
    /// When it was paid, `2010-12-01 08:26:00`: the time of its first line.
    pub time: String,
}

impl Order {
    /// Year and month, `2010-12`.
    #[must_use]
    pub fn month(&self) -> &str {
        self.time.get(..7).unwrap_or(&self.time)
    }
}

/// Invoices that are no paid orders, each counted for the first reason that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The number is not a plain one: cancelled, or an adjustment.
    pub cancelled: usize,
    /// The file does not know the customer.
    pub unknown_customer: usize,
    /// The total is not above zero.
    pub nothing_paid: usize,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "left out: {} invoices cancelled or adjusted, {} of unknown customers, {} without a total",
            self.cancelled, self.unknown_customer, self.nothing_paid
        )
    }
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "InvoiceNo")]
    invoice: String,
    #[serde(rename = "Quantity")]
    quantity: i64,
    #[serde(rename = "InvoiceDate")]
    time: String,
    #[serde(rename = "UnitPrice")]
    price: String,
    #[serde(rename = "CustomerID")]
    customer: String,
}

struct Invoice {
    customer: String,
    time: String,
    total_mills: i64,
}

/// Reads the paid orders in order of time.
///
/// # Errors
/// When the file cannot be read or is none of this kind.
pub fn read_orders(file: &Path) -> anyhow::Result<(Vec<Order>, Skipped)> {
    let reader = csv::Reader::from_path(file).with_context(|| file.display().to_string())?;
    orders_in(reader).with_context(|| file.display().to_string())
}

fn orders_in<R: std::io::Read>(
    mut reader: csv::Reader<R>,
) -> anyhow::Result<(Vec<Order>, Skipped)> {
    let mut invoices = BTreeMap::new();
    for (index, line) in reader.deserialize().enumerate() {
        let line: Line = line?;
        let price = mills(&line.price).with_context(|| format!("order line {}", index + 1))?;
        let invoice = invoices.entry(line.invoice).or_insert_with(|| Invoice {
            customer: line.customer,
            time: line.time.clone(),
            total_mills: 0,
        });
        invoice.total_mills += line.quantity * price;
        invoice.time = line.time.min(std::mem::take(&mut invoice.time));
    }
    let mut orders = Vec::new();
    let mut skipped = Skipped::default();
    for (number, invoice) in invoices {
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            skipped.cancelled += 1;
        } else if invoice.customer == CUSTOMER_UNKNOWN {
            skipped.unknown_customer += 1;
        } else if invoice.total_mills <= 0 {
            skipped.nothing_paid += 1;
        } else {
            let customer = invoice.customer.trim_end_matches(".0").parse();
            let customer = customer.with_context(|| format!("the customer of order {number}"))?;
            orders.push(Order { number, customer, time: invoice.time });
        }
    }
    // Invoices of the same minute keep the order of their numbers.
    orders.sort_by(|one, other| one.time.cmp(&other.time));
    Ok((orders, skipped))
}

/// A price in thousandths of a pound: `2.55` is 2,550.
pub(super) fn mills(text: &str) -> anyhow::Result<i64> {
    let (pounds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let thousandths = format!("{decimals:0<3}");
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(pounds) || !plain(&thousandths) || thousandths.len() > 3 {
        anyhow::bail!("`{text}` is no price");
    }
    Ok(pounds.parse::<i64>()? * MILLS_PER_POUND + thousandths.parse::<i64>()?)
}

/// Who was new at each order, as the file itself says: the customer's first.
#[must_use]
pub fn truth(orders: &[Order]) -> Vec<bool> {
    let mut seen = BTreeSet::new();
    orders.iter().map(|order| seen.insert(order.customer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    fn read(lines: &str) -> anyhow::Result<(Vec<Order>, Skipped)> {
        orders_in(csv::Reader::from_reader(format!("{HEADER}{lines}").as_bytes()))
    }

    #[test]
    fn leaves_out_what_is_no_payment_and_says_why() {
        let (orders, skipped) = read(
            "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n\
             C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,United Kingdom\n\
             A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,0.0,United Kingdom\n\
             536544,DOT,POSTAGE,1,2010-12-01 14:32:00,569.77,0.0,United Kingdom\n\
             537534,22734,\"SAMPLE, FREE\",5,2010-12-07 11:48:00,0.0,15823.0,United Kingdom\n\
             537535,22734,LAMP,1,2010-12-07 11:48:00,1.25,15823.0,United Kingdom\n\
             537535,D,Discount,-1,2010-12-07 11:48:00,1.25,15823.0,United Kingdom\n",
        )
        .expect("orders");
        let order = Order {
            number: "536365".to_owned(),
            customer: 17_850,
            time: "2010-12-01 08:26:00".to_owned(),
        };
        assert_eq!(orders, [order]);
        assert_eq!(skipped, Skipped { cancelled: 2, unknown_customer: 1, nothing_paid: 2 });
    }

    #[test]
    fn orders_come_in_order_of_time_and_the_first_of_a_customer_is_new() {
        let (orders, _) = read(
            "3,X,X,1,2011-01-03 00:00:00,1.0,7.0,X\n\
             2,X,X,1,2011-01-02 00:00:00,1.0,8.0,X\n\
             1,X,X,1,2011-01-04 00:00:00,1.0,8.0,X\n\
             4,X,X,1,2011-01-01 00:00:00,1.0,7.0,X\n",
        )
        .expect("orders");
        let numbers: Vec<_> = orders.iter().map(|order| order.number.as_str()).collect();
        assert_eq!(numbers, ["4", "2", "3", "1"]);
        assert_eq!(truth(&orders), [true, true, false, false]);
    }

    #[test]
    fn reads_prices_exactly_and_refuses_others() {
        let table =
            [("2.55", 2_550), ("0.001", 1), ("0.0", 0), ("18", 18_000), ("11062.06", 11_062_060)];
        for (text, expected) in table {
            assert_eq!(mills(text).expect(text), expected, "{text}");
        }
        for text in ["", ".", "-1.0", "1.0001", "1e3", "1,5", "x"] {
            assert!(mills(text).is_err(), "{text}");
        }
    }

    /// The counts that `data/README.md` gives.
    #[test]
    fn the_file_holds_what_its_readme_says() {
        let file = crate::workspace::root().join("data/online-retail.csv");
        let (orders, skipped) = read_orders(&file).expect("orders");
        assert_eq!(orders.len(), 1_181);
        assert_eq!(truth(&orders).into_iter().filter(|new| *new).count(), 852);
        assert_eq!(skipped, Skipped { cancelled: 45, unknown_customer: 867, nothing_paid: 0 });
    }
}

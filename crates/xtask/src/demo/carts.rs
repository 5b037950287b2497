//! Turns the invoices of `online-retail.csv` into carts, as they stood when they were paid.
//!
//! A line of a cart is a sale: a plain invoice number, a positive quantity and a positive price.
//! Returns, corrections and adjustments are left out, and so is an invoice without a sale.
//!
//! | of the cart | from the file |
//! | --- | --- |
//! | `line` | its place in the invoice, from 1, of all its lines |
//! | `sku` | `StockCode` |
//! | `spu`, `category` | derived: see [`ranges`](super::ranges) |
//! | `unit_price` | `UnitPrice` in pence; a fraction of a penny to the nearest, half of one up |
//! | `platform` | `web` |
//! | `region` | `Country` |
//! | `at` | `InvoiceDate` of the first line, the file's local time taken for UTC |
//! | `is_new` | whether it is the customer's first invoice; not known where the customer is not |
//! | `segments` | `regular` from the customer's third invoice on |

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use domain::money::{Amount, Currency};
use domain::time::UnixMillis;
use pricing::cart::{self, Cart, LINES_MAX};
use serde::Deserialize;

use super::orders::{CUSTOMER_UNKNOWN, mills};
use super::ranges::{product, range};

/// Invoices from which on a customer is a regular one.
const REGULAR_INVOICES: u32 = 3;

/// The cart of an invoice. An invoice of more than [`LINES_MAX`] lines has several: its first 200
/// lines, the next 200, and so on, each priced by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceCart {
    /// Number of the invoice.
    pub invoice: String,
    /// Which of its carts this is, from 1.
    pub part: usize,
    /// Number of the customer, where it is known.
    pub customer: Option<u64>,
    /// What is asked about.
    pub cart: Cart<'static>,
}

/// A line of the file.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "InvoiceNo")]
    invoice: String,
    #[serde(rename = "StockCode")]
    code: String,
    #[serde(rename = "Description")]
    description: String,
    #[serde(rename = "Quantity")]
    quantity: i64,
    #[serde(rename = "InvoiceDate")]
    time: String,
    #[serde(rename = "UnitPrice")]
    price: String,
    #[serde(rename = "CustomerID")]
    customer: String,
    #[serde(rename = "Country")]
    country: String,
}

/// Reads the carts in the order of the file, which is that of time.
///
/// # Errors
/// When the file cannot be read or is none of this kind.
pub fn read_carts(file: &Path) -> anyhow::Result<Vec<InvoiceCart>> {
    let reader = csv::Reader::from_path(file).with_context(|| file.display().to_string())?;
    carts_in(reader).with_context(|| file.display().to_string())
}

fn carts_in<R: std::io::Read>(mut reader: csv::Reader<R>) -> anyhow::Result<Vec<InvoiceCart>> {
    let rows = reader.deserialize().collect::<Result<Vec<Row>, _>>()?;
    let mut invoices_of = BTreeMap::new();
    let mut carts = Vec::new();
    // The lines of an invoice stand together.
    for rows in rows.chunk_by(|one, next| one.invoice == next.invoice) {
        let at = || format!("invoice {}", rows[0].invoice);
        if rows[0].invoice.bytes().all(|byte| byte.is_ascii_digit()) {
            carts.extend(carts_of(rows, &mut invoices_of).with_context(at)?);
        }
    }
    Ok(carts)
}

/// The carts of one invoice. Counts it for its customer, where it has a sale.
fn carts_of(
    rows: &[Row],
    invoices_of: &mut BTreeMap<u64, u32>,
) -> anyhow::Result<Vec<InvoiceCart>> {
    let mut sales = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let price = mills(&row.price)?;
        if row.quantity > 0 && price > 0 {
            sales.push((row, line(row, index + 1, pence(price))?));
        }
    }
    let Some((first, _)) = sales.first() else { return Ok(Vec::new()) };
    let mut context = cart::Context {
        platform: "web".into(),
        region: first.country.clone().into(),
        at: Some(moment(&first.time)?),
        ..cart::Context::default()
    };
    let mut customer = None;
    if first.customer != CUSTOMER_UNKNOWN {
        let number = first.customer.trim_end_matches(".0").parse().context("the customer")?;
        let invoices = invoices_of.entry(number).or_insert(0);
        *invoices += 1;
        context.is_new = Some(*invoices == 1);
        if *invoices >= REGULAR_INVOICES {
            context.segments.push("regular".into());
        }
        customer = Some(number);
    }
    let currency = Currency::parse("GBP").context("a currency")?;
    let parts = sales.chunks(LINES_MAX).enumerate().map(|(index, sales)| InvoiceCart {
        invoice: rows[0].invoice.clone(),
        part: index + 1,
        customer,
        cart: Cart {
            currency,
            context: context.clone(),
            lines: sales.iter().map(|(_, line)| line.clone()).collect(),
        },
    });
    Ok(parts.collect())
}

fn line(row: &Row, place: usize, price_pence: i64) -> anyhow::Result<cart::Line<'static>> {
    Ok(cart::Line {
        line: place.to_string().into(),
        sku: row.code.clone().into(),
        spu: product(&row.code).to_owned().into(),
        shop: "".into(),
        brand: "".into(),
        category: range(&row.code, &row.description).into(),
        quantity: u32::try_from(row.quantity).context("the quantity")?,
        unit_price: Amount::new(price_pence)?,
    })
}

/// Thousandths of a pound as whole pence, half a penny up. In the file one price of 4,792 has any.
fn pence(mills: i64) -> i64 {
    (mills + 5) / 10
}

/// `2010-12-01 08:26:00`, taken for UTC.
fn moment(text: &str) -> anyhow::Result<UnixMillis> {
    match UnixMillis::parse_rfc3339(&format!("{}Z", text.replacen(' ', "T", 1))) {
        Some(moment) => Ok(moment),
        None => bail!("`{text}` is no time"),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    fn read(lines: &str) -> anyhow::Result<Vec<InvoiceCart>> {
        carts_in(csv::Reader::from_reader(format!("{HEADER}{lines}").as_bytes()))
    }

    #[test]
    fn an_invoice_is_a_cart_of_its_sales() {
        let carts = read(
            "1,85123A,WHITE HEART T-LIGHT HOLDER ,6,2010-12-01 08:26:00,2.55,17850.0,France\n\
             1,22632,RETURNED,-1,2010-12-01 08:27:00,1.85,17850.0,France\n\
             1,22633,FREE,1,2010-12-01 08:27:00,0.0,17850.0,France\n\
             1,PADS,PADS,2,2010-12-01 08:27:00,0.125,17850.0,France\n\
             C2,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,EIRE\n\
             A3,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,0.0,EIRE\n\
             4,22632,damages,1,2010-12-01 14:32:00,0.0,0.0,EIRE\n",
        )
        .expect("carts");
        let line = |line: &str, sku: &str, spu: &str, category: &str, quantity, pence| {
            let [line, sku, spu, category] =
                [line, sku, spu, category].map(|text| text.to_owned().into());
            let unit_price = Amount::new(pence).expect("an amount");
            let (shop, brand) = ("".into(), "".into());
            cart::Line { line, sku, spu, shop, brand, category, quantity, unit_price }
        };
        let context = cart::Context {
            platform: "web".into(),
            region: "France".into(),
            is_new: Some(true),
            at: UnixMillis::parse_rfc3339("2010-12-01T08:26:00Z"),
            ..cart::Context::default()
        };
        let lines = vec![
            line("1", "85123A", "85123", "lights", 6, 255),
            // 12.5 pence are 13.
            line("4", "PADS", "PADS", "home", 2, 13),
        ];
        let expected = InvoiceCart {
            invoice: "1".to_owned(),
            part: 1,
            customer: Some(17_850),
            cart: Cart { currency: Currency::parse("GBP").expect("GBP"), context, lines },
        };
        assert_eq!(carts, [expected]);
    }

    #[test]
    fn customers_are_new_once_and_regular_from_the_third_invoice_on() {
        let lines: Vec<String> = [(1, 7), (2, 7), (3, 8), (4, 7), (5, 0)]
            .map(|(invoice, user)| format!("{invoice},1,X,1,2011-01-01 00:00:00,1.0,{user}.0,X\n"))
            .to_vec();
        let carts = read(&lines.concat()).expect("carts");
        let found: Vec<_> = carts
            .iter()
            .map(|one| (one.customer, one.cart.context.is_new, one.cart.context.segments.len()))
            .collect();
        let expected = [
            (Some(7), Some(true), 0),
            (Some(7), Some(false), 0),
            (Some(8), Some(true), 0),
            (Some(7), Some(false), 1),
            (None, None, 0),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_long_invoice_is_several_carts() {
        let mut lines = String::new();
        for place in 1..=2 * LINES_MAX + 1 {
            writeln!(lines, "1,{place},X,1,2011-01-01 00:00:00,1.0,7.0,X").expect("a text");
        }
        let carts = read(&lines).expect("carts");
        let found: Vec<_> = carts
            .iter()
            .map(|one| (one.part, one.cart.lines.len(), &*one.cart.lines[0].line))
            .collect();
        assert_eq!(found, [(1, 200, "1"), (2, 200, "201"), (3, 1, "401")]);
        assert!(carts.iter().all(|one| one.cart.context.is_new == Some(true)));
    }

    #[test]
    fn what_is_no_time_or_no_price_is_refused_with_its_invoice() {
        for line in ["1,1,X,1,yesterday,1.0,7.0,X\n", "1,1,X,1,2011-01-01 00:00:00,x,7.0,X\n"] {
            let error = read(line).expect_err(line);
            assert!(format!("{error:#}").starts_with("invoice 1: `"), "{error:#}");
        }
    }
}

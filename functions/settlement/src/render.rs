//! Answers -> wire.

use std::collections::BTreeMap;

use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
use domain::time::UnixMillis;
use edge::sweep::StuckItem;
use edge::{Answer, Problem};
use serde::Serialize;
use store::quarantine::Item;
use wallet::mode::{Mode, Statements};
use wallet::packet::unapplied::Unapplied;
use wallet::packet::{Funding, Payment, Why};

use crate::Done;
use crate::export::{self, Exported};
use crate::quarantine;
use crate::reconcile::{Cursor, Difference, Report};

#[derive(Serialize)]
struct SettledBody {
    users: Option<Count>,
    tokens: Option<Count>,
    left: Option<Count>,
    queued: Option<Count>,
    sent: Option<Count>,
    paid: Option<Count>,
    closed: Option<Count>,
    withdrawals: Option<Count>,
    reservations: Option<Count>,
    rewards: Option<Count>,
    coupons: Option<Count>,
    home: Option<Count>,
    rains: Option<Count>,
    templates: Option<Count>,
    stuck: Option<Count>,
    stuck_items: Vec<StuckItem>,
    set_aside: Option<Count>,
    set_aside_items: Vec<StuckItem>,
    quarantined: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
}

#[derive(Serialize)]
struct CollectedBody {
    dry_run: bool,
    users: Option<Count>,
    gone: BTreeMap<&'static str, Option<Count>>,
    waiting: Option<Count>,
    has_more: bool,
    stuck: Option<Count>,
    stuck_items: Vec<StuckItem>,
    set_aside: Option<Count>,
    set_aside_items: Vec<StuckItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
}

#[derive(Serialize)]
struct ExportedBody<'a> {
    records: &'a [Exported],
    unreadable: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct SwitchesBody {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    large_from: Option<Amount>,
    statements: &'static str,
}

#[derive(Serialize)]
struct ReportBody<'a> {
    differences: Vec<DifferenceBody<'a>>,
    users: Option<Count>,
    packets: Option<Count>,
    unsettled: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct DifferenceBody<'a> {
    code: &'static str,
    place: &'a str,
    expected: Amount,
    found: Amount,
    remedy: &'static str,
}

#[derive(Serialize)]
struct QuarantineBody<'a> {
    items: Vec<ItemBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct UnappliedsBody<'a> {
    payments: Vec<UnappliedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct ItemBody<'a> {
    id: String,
    partition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'a str>,
}

fn item_body(item: &Item) -> ItemBody<'_> {
    let note = item.note.as_ref();
    ItemBody {
        id: quarantine::id(&item.place),
        partition: item.place.partition.to_string(),
        set_aside_at: note.map(|note| UnixMillis(note.at).to_rfc3339()),
        place: note.map(|note| &*note.what),
        cause: note.map(|note| &*note.reason),
        dropped: note.and_then(|note| note.dropped.as_deref()),
    }
}

#[derive(Serialize)]
struct UnappliedBody<'a> {
    payment_id: String,
    #[serde(flatten)]
    details: Option<PaymentBody<'a>>,
}

#[derive(Serialize)]
struct PaymentBody<'a> {
    code: &'static str,
    packet: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_payment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_funding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<UnixMillis>,
    told_at: UnixMillis,
}

fn unapplied_body(of: &Unapplied) -> Result<UnappliedBody<'_>, Problem> {
    let details = of.details.as_ref().map(|known| {
        let order = known.order.as_ref();
        Ok::<_, Problem>(PaymentBody {
            code: match known.why {
                Why::TooOld | Why::Forgotten => "too_old",
                Why::AlreadyPaid => "already_paid",
                Why::MayBeTheSame => "may_be_the_same",
            },
            packet: &known.packet,
            payment: known.payment.number(),
            packet_payment: known.instead_of.as_ref().and_then(Payment::number),
            packet_funding: order.map(|order| match order.funding {
                Funding::Balance => "balance",
                Funding::Payment => "payment",
            }),
            sender: order.map(|order| UserId(order.sender)),
            amount: order.map(|order| amount(order.total)).transpose()?,
            sent_at: order.map(|order| UnixMillis(order.at)),
            told_at: known.told,
        })
    });
    Ok(UnappliedBody { payment_id: quarantine::id(&of.place), details: details.transpose()? })
}

/// What came of a command.
///
/// # Errors
/// It cannot be written as JSON.
pub fn done(done: &Done) -> Result<Answer, Problem> {
    match done {
        Done::Settled(settled) => Answer::json(&SettledBody {
            users: Count::new(settled.users),
            tokens: Count::new(settled.tokens),
            left: Count::new(settled.left),
            queued: Count::new(settled.queued),
            sent: Count::new(settled.sent),
            paid: Count::new(settled.paid),
            closed: Count::new(settled.closed),
            withdrawals: Count::new(settled.withdrawals),
            reservations: Count::new(settled.reservations),
            rewards: Count::new(settled.rewards),
            coupons: Count::new(settled.coupons),
            home: Count::new(settled.home),
            rains: Count::new(settled.rains),
            templates: Count::new(settled.templates),
            stuck: Count::new(settled.stuck.len() as u64),
            stuck_items: edge::sweep::items(&settled.stuck),
            set_aside: Count::new(settled.set_aside.len() as u64),
            set_aside_items: edge::sweep::items(&settled.set_aside),
            quarantined: Count::new(settled.quarantined),
            interrupted: settled.interrupted.as_ref().map(ToString::to_string),
        }),
        Done::Retention(retention) => Answer::json(retention),
        Done::Collected(gone) => Answer::json(&CollectedBody {
            dry_run: gone.dry_run,
            users: Count::new(gone.users),
            gone: gone.gone.iter().map(|(kind, number)| (*kind, Count::new(*number))).collect(),
            waiting: Count::new(gone.waiting),
            has_more: gone.has_more,
            stuck: Count::new(gone.stuck.len() as u64),
            stuck_items: edge::sweep::items(&gone.stuck),
            set_aside: Count::new(gone.set_aside.len() as u64),
            set_aside_items: edge::sweep::items(&gone.set_aside),
            interrupted: gone.interrupted.as_ref().map(ToString::to_string),
        }),
        Done::Exported(page) => Answer::json(&ExportedBody {
            records: &page.records,
            unreadable: Count::new(page.unreadable),
            cursor: page.next.as_ref().map(export::Cursor::text),
        }),
        Done::Switches(switches) => {
            let (mode, large_from) = match switches.mode {
                Mode::Queued => ("queued", None),
                Mode::Off => ("off", None),
                Mode::LargeAtOnce(cents) => ("large_at_once", Some(amount(cents)?)),
            };
            let statements = match switches.statements {
                Statements::All => "all",
                Statements::FirstScreens => "first_screens",
            };
            Answer::json(&SwitchesBody { mode, large_from, statements })
        }
        Done::Unapplied(payments, has_more) => {
            let last = payments.last().filter(|_| *has_more);
            let cursor = last.map(|last| quarantine::id(&last.place));
            let payments = payments.iter().map(unapplied_body).collect::<Result<_, _>>()?;
            Answer::json(&UnappliedsBody { payments, cursor })
        }
        Done::Decided => Ok(Answer::no_content()),
        Done::Report(report) => Answer::json(&report_body(report)?),
        Done::Quarantine(items, has_more) => {
            let cursor = items.last().filter(|_| *has_more).map(|last| quarantine::id(&last.place));
            let items = items.iter().map(item_body).collect();
            Answer::json(&QuarantineBody { items, cursor })
        }
        Done::Acted(item) => Answer::json(&item_body(item)),
    }
}

fn amount(cents: i64) -> Result<Amount, Problem> {
    Amount::new(cents).map_err(|error| Problem::internal(error.to_string()))
}

fn report_body(report: &Report) -> Result<ReportBody<'_>, Problem> {
    let mut differences = Vec::with_capacity(report.differences.len());
    for Difference { what, place, expected, found } in &report.differences {
        differences.push(DifferenceBody {
            code: what.code(),
            place,
            expected: amount(*expected)?,
            found: amount(*found)?,
            remedy: what.remedy(),
        });
    }
    Ok(ReportBody {
        differences,
        users: Count::new(report.users),
        packets: Count::new(report.packets),
        unsettled: Count::new(report.unsettled),
        cursor: report.next.as_ref().map(Cursor::text),
    })
}

//! Answers -> wire.

use std::collections::BTreeMap;

use domain::ids::UserId;
use domain::integer::Count;
use domain::money::Amount;
#[cfg(not(target_arch = "wasm32"))]
use domain::schema::SignedAmount;
use domain::time::UnixMillis;
use edge::sweep::StuckItem;
#[cfg(not(target_arch = "wasm32"))]
use edge::sweep::StuckItems;
use edge::{Answer, Problem};
use serde::Serialize;
use store::quarantine::Item;
use wallet::mode::{Mode, Statements};
use wallet::packet::unapplied::Unapplied;
use wallet::packet::{Funding, Payment, Why};
#[cfg(not(target_arch = "wasm32"))]
use wallet::schema::PacketName;

use crate::Done;
#[cfg(not(target_arch = "wasm32"))]
use crate::contract::shapes::{ID_CHARACTERS_MAX, PaymentId};
use crate::export::{self, Exported};
use crate::parse::{ModeName, StatementsName, SwitchesBody};
use crate::quarantine;
#[cfg(not(target_arch = "wasm32"))]
use crate::quarantine::PAGE_MAX;
use crate::reconcile::{Cursor, Difference, Report};

/// What a call settled.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct SettledBody {
    /// Users whose tokens were posted.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    users: Option<Count>,
    /// Tokens that were posted.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    tokens: Option<Count>,
    /// What another call would look at, of every kind: call again. Without what is stuck, and without tokens while
    /// posting is off.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    left: Option<Count>,
    /// Tokens that are not posted yet.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    queued: Option<Count>,
    /// Group packets whose sending was finished.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    sent: Option<Count>,
    /// Openings whose payment was finished.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    paid: Option<Count>,
    /// Group packets that expired and are closed.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    closed: Option<Count>,
    /// Withdrawals that were voided because their time was over.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    withdrawals: Option<Count>,
    /// Reservations of coupons that expired and were ended.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    reservations: Option<Count>,
    /// Rewards of group-buys that were given.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    rewards: Option<Count>,
    /// Coupons of templates with a budget with which nothing can be done any more: what they did not use is known.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    coupons: Option<Count>,
    /// Templates of which that went home from a partition, each for itself.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    home: Option<Count>,
    /// Rains whose leases were taken back.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    rains: Option<Count>,
    /// Coupon templates whose leases were taken back.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    templates: Option<Count>,
    /// Items that cannot be done for a fault of their own records, and stay where they are.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    stuck: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    stuck_items: Vec<StuckItem>,
    /// Items that could not be done for ten minutes for a fault of their own records, and are set aside now: see `GET
    /// /v1/quarantine`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    set_aside: Option<Count>,
    /// The first hundred of them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    set_aside_items: Vec<StuckItem>,
    /// Items that are set aside, by this call or before: somebody has to look at them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    quarantined: Option<Count>,
    /// The store's failure that kept a part of the call from being done; then `left` is at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
}

/// What a call collected.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct CollectedBody {
    /// Whether nothing was written.
    dry_run: bool,
    /// Users who were looked at; who is on several lists counts on each.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    users: Option<Count>,
    /// How many records went, by the name of their kind; what is left out is none.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "BTreeMap<String, Count>"))]
    gone: BTreeMap<&'static str, Option<Count>>,
    /// Configuration that is over and cannot go yet: something of it is out, or was under way a moment ago. A later
    /// call looks again.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    waiting: Option<Count>,
    /// Whether another call would find more.
    has_more: bool,
    /// What cannot be done for a fault of its own records; it stays, and is told again tomorrow.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    stuck: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    stuck_items: Vec<StuckItem>,
    /// What is set aside now: see `GET /v1/quarantine`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    set_aside: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "StuckItems"))]
    set_aside_items: Vec<StuckItem>,
    /// The store's failure that kept a part of the call from being done; then there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
}

/// What the store holds of a day.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ExportedBody<'a> {
    records: &'a [Exported],
    /// Records that cannot be read: reconciliation names them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    unreadable: Option<Count>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Where books do not agree.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct ReportBody<'a> {
    differences: Vec<DifferenceBody<'a>>,
    /// Looked at, for their coupons, for their orders and for their wallet; one who is on two days' lists counts
    /// twice.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    users: Option<Count>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    packets: Option<Count>,
    /// Sums that could not be compared, because what they add up is too much, or did not keep still: ask again later.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Count"))]
    unsettled: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A difference.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct DifferenceBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "crate::reconcile::What"))]
    code: &'static str,
    /// A user, a partition, a rain, a packet, a template, an order number.
    place: &'a str,
    /// What one side says: cents, or coupons.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "SignedAmount"))]
    expected: Amount,
    /// What the other side says.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "SignedAmount"))]
    found: Amount,
    remedy: &'static str,
}

/// What is set aside.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct QuarantineBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = PAGE_MAX)))]
    items: Vec<ItemBody<'a>>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Payments for which there was no use.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct UnappliedsBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = PAGE_MAX)))]
    payments: Vec<UnappliedBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Something that is set aside. Where its note cannot be read, only where it lies is told.
#[derive(Serialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "QuarantineItem")
)]
pub(crate) struct ItemBody<'a> {
    /// By which it is retried or dropped.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = ID_CHARACTERS_MAX)))]
    id: String,
    /// The partition of the store in which it lies.
    partition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<UnixMillis>"))]
    set_aside_at: Option<String>,
    /// Which it is: the list, its partition, and what stands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    /// Why it could not be done, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    /// Why nobody is to do it, where it is dropped.
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

/// A payment for which there was no use. All but its id is missing where the record cannot be read.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct UnappliedBody<'a> {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PaymentId"))]
    payment_id: String,
    #[serde(flatten)]
    details: Option<PaymentBody<'a>>,
}

/// What is known of such a payment.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub(crate) struct PaymentBody<'a> {
    code: WhyWord,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "PacketName"))]
    packet: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Payment>"))]
    payment: Option<&'a str>,
    /// The payment that the packet has, where its number is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Payment>"))]
    packet_payment: Option<&'a str>,
    /// Whose money the packet is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_funding: Option<FundingWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<UserId>,
    /// The whole sum of the packet. Missing where nothing is kept of it: then the payment can only be dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<UnixMillis>,
    told_at: UnixMillis,
}

/// Why there was no use for a payment.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum WhyWord {
    /// The packet was sent more than 30 days before; where `amount` is missing, so long ago that nothing is kept of
    /// it,
    /// nor whether it has this payment.
    TooOld,
    /// The packet has another payment, or needs none.
    AlreadyPaid,
    /// The packet has a payment of which no number is known, which may be this one.
    MayBeTheSame,
}

/// Whose money a packet is made of.
#[derive(Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
enum FundingWord {
    Balance,
    Payment,
}

fn unapplied_body(of: &Unapplied) -> Result<UnappliedBody<'_>, Problem> {
    let details = of.details.as_ref().map(|known| {
        let order = known.order.as_ref();
        Ok::<_, Problem>(PaymentBody {
            code: match known.why {
                Why::TooOld | Why::Forgotten => WhyWord::TooOld,
                Why::AlreadyPaid => WhyWord::AlreadyPaid,
                Why::MayBeTheSame => WhyWord::MayBeTheSame,
            },
            packet: &known.packet,
            payment: known.payment.number(),
            packet_payment: known.instead_of.as_ref().and_then(Payment::number),
            packet_funding: order.map(|order| match order.funding {
                Funding::Balance => FundingWord::Balance,
                Funding::Payment => FundingWord::Payment,
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
                Mode::Queued => (ModeName::Queued, None),
                Mode::Off => (ModeName::Off, None),
                Mode::LargeAtOnce(cents) => (ModeName::LargeAtOnce, Some(amount(cents)?)),
            };
            let statements = match switches.statements {
                Statements::All => StatementsName::All,
                Statements::FirstScreens => StatementsName::FirstScreens,
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

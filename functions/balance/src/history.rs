//! Statements: what moved, the latest first, page by page.
//!
//! Tokens that are not posted come before entries. While somebody reads page after page tokens are
//! posted, and new ones come: a cursor says how many entries there were on the first page, so that what
//! was pending then is found again among the later entries, and nothing comes twice or not at all.
//!
//! Old entries are carried: behind the last entry comes one line for each of their months, and one for what was before. An
//! entry that is carried while somebody reads stands in the line of its month, too.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::transaction::CommitError;
use edge::store::Binding;
use serde::Serialize;
use wallet::carried::Carried;
use wallet::context::Context;
use wallet::entry::{Entry, What};
use wallet::mode::{self, Statements};
use wallet::packet;
use wallet::statement;
use wallet::token::Token;
use wallet::view;

use crate::refusal::{Failure, Refusal};

/// What stands in a line of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A token of a rain.
    Rain,
    /// A part of a group packet.
    Packet,
    /// What came back of a packet that the user sent.
    Refund,
    /// A packet that the user sent.
    PacketSent,
    /// A withdrawal.
    Withdrawal,
    /// A withdrawal that was voided.
    WithdrawalVoided,
    /// What old entries of a month changed the balance by, together.
    Carried,
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// Under which number; none where it is a month.
    pub number: String,
    /// Of what it is the sum, where it is a month.
    pub carried: Option<OfMonth>,
    /// Cents; negative, where they went.
    pub amount: i64,
    /// When it happened, in unix milliseconds; the last of it, where it is a month.
    pub at: i64,
    /// Whether it is in the ledger.
    pub is_posted: bool,
}

/// Entries that became one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfMonth {
    /// The month, `2026-02`; nothing where it is what was before all of them.
    pub month: Option<String>,
    /// How many.
    pub count: i64,
}

/// A page of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines, the latest first.
    pub lines: Vec<Line>,
    /// Where the next page begins, where there is one.
    pub next: Option<Cursor>,
    /// Whether something cannot be read, and is on no page.
    pub is_incomplete: bool,
}

impl Page {
    /// Adds an entry; nothing is one that cannot be read.
    fn add(&mut self, entry: Option<&Entry>) {
        match entry.map(Line::of_entry) {
            Some(Ok(line)) => self.lines.push(line),
            Some(Err(_)) | None => self.is_incomplete = true,
        }
    }
}

/// Lines of the first two screens.
const FIRST_SCREENS: u64 = 40;
/// Entries since the first page among which it is looked for what was pending then.
const SINCE_MAX: i64 = 2_000;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// After so many lines.
    pub shown: u64,
    /// At which.
    pub place: Place,
}

/// Before a month, in a cursor.
const MONTH: char = 'm';

/// A place in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Below an entry.
    Below(i64),
    /// Below a month of entries that are carried.
    Month(String),
    /// Among what was not posted when there were so many entries: after this time and number.
    After(i64, i64, String),
}

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let (shown, place) = text.split_once(':')?;
        Some(Self { shown: shown.parse().ok()?, place: Place::parse(place)? })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        format!("{}:{}", self.shown, self.place.text())
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let count = |text: &str| text.parse().ok().filter(|count: &i64| *count >= 0);
        let mut parts = text.splitn(3, '~');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(below), None, None) => match below.strip_prefix(MONTH) {
                Some(month) => Some(Self::Month(is_month(month).then(|| month.to_owned())?)),
                None => Some(Self::Below(count(below)?)),
            },
            (Some(entries), Some(at), Some(number)) => {
                let number = OrderNumber::parse(number, "cursor").ok()?;
                Some(Self::After(count(entries)?, count(at)?, number.as_str().to_owned()))
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Below(sequence) => sequence.to_string(),
            Self::Month(month) => format!("{MONTH}{month}"),
            Self::After(entries, at, number) => format!("{entries}~{at}~{number}"),
        }
    }
}

impl Line {
    fn of_token(token: &Token, is_posted: bool) -> Self {
        let kind = match () {
            () if token.activity != packet::ACTIVITY => Kind::Rain,
            () if packet::is_refund(token) => Kind::Refund,
            () => Kind::Packet,
        };
        let number = token.order_number.as_str().to_owned();
        let (amount, at) = (token.amount.minor_units(), token.open_time.0);
        Self { kind, number, carried: None, amount, at, is_posted }
    }

    fn of_month(month: Option<&str>, carried: &Carried) -> Self {
        let of = OfMonth { month: month.map(str::to_owned), count: carried.count };
        Self {
            kind: Kind::Carried,
            number: String::new(),
            carried: Some(of),
            amount: carried.amount,
            at: carried.until,
            is_posted: true,
        }
    }

    fn of_entry(entry: &Entry) -> Result<Self, CommitError> {
        let (kind, number) = match &entry.what {
            What::Token(payload) => {
                let broken = |_| CommitError::Unreadable("a posted token cannot be read".into());
                return Ok(Self::of_token(&Token::from_payload(payload).map_err(broken)?, true));
            }
            What::Withdrawal(number) => (Kind::Withdrawal, number),
            What::Voided(number) => (Kind::WithdrawalVoided, number),
            What::Sent(number) => (Kind::PacketSent, number),
        };
        let (number, amount, at) = (number.clone(), entry.amount, entry.at);
        Ok(Self { kind, number, carried: None, amount, at, is_posted: true })
    }

    fn place(&self) -> (i64, &str) {
        (self.at, &self.number)
    }
}

/// Whether a text is a month as [`wallet::carried`] writes it.
fn is_month(text: &str) -> bool {
    text.len() == 7
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A page: one round trip for what is not posted, and one for entries where they are needed; and, after the
/// first two screens, one to learn whether more is shown; and behind the last entry, one for months that are carried.
///
/// # Errors
/// `statements_limited`; `invalid_value` of a cursor since which too much has moved; the store's.
pub async fn page<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, Failure> {
    let shown = after.map_or(0, |after| after.shown);
    if shown >= FIRST_SCREENS && mode::read(context).await?.statements == Statements::FirstScreens {
        return Err(Refusal::StatementsLimited.into());
    }
    let cursor = |lines: &[Line], place| {
        let shown = shown.saturating_add(lines.len() as u64);
        Cursor { shown, place }
    };
    let mut page = Page::default();
    let entries = match after.map(|after| &after.place) {
        Some(Place::Below(sequence)) => *sequence,
        Some(Place::Month(month)) => {
            let last = add_months(context, user, Some(month), limit, &mut page).await?;
            page.next = last.map(|month| cursor(&page.lines, Place::Month(month)));
            return Ok(page);
        }
        after @ (None | Some(Place::After(..))) => {
            let view = view::view(context, user).await?;
            page.is_incomplete = view.unreadable > 0;
            page.lines.extend(view.tokens.iter().map(|one| Line::of_token(&one.token, false)));
            let mut entries = view.entries;
            if let Some(Place::After(then, at, number)) = after {
                // What was posted since, too.
                let since = (entries - then).max(0);
                if since > SINCE_MAX {
                    let detail = "too much has moved since its first page: begin again";
                    return Err(InvalidInput::new("invalid_value", "cursor", detail).into());
                }
                let of_since = statement::entries(context, user, entries, since).await?;
                for (_, entry) in of_since.entries {
                    page.add(entry.as_ref());
                }
                page.lines.retain(|line| line.place() < (*at, number.as_str()));
                entries = *then;
            }
            page.lines.sort_by(|a, b| b.place().cmp(&a.place()));
            entries
        }
    };
    if page.lines.len() > limit {
        page.lines.truncate(limit);
        let last = page.lines.last();
        let place = last.map(|last| Place::After(entries, last.at, last.number.clone()));
        page.next = place.map(|place| cursor(&page.lines, place));
        return Ok(page);
    }
    let more = (limit - page.lines.len()) as i64;
    let mut below = entries;
    let found = statement::entries(context, user, entries, more).await?;
    for (sequence, entry) in found.entries {
        page.add(entry.as_ref());
        below = sequence;
    }
    // Where all that is left is carried, and there is room for it.
    if found.carried > 0 && below <= found.carried {
        if page.lines.len() < limit {
            let last = add_months(context, user, None, limit, &mut page).await?;
            page.next = last.map(|month| cursor(&page.lines, Place::Month(month)));
            return Ok(page);
        }
        below = found.carried;
    }
    page.next = (below > 0).then(|| cursor(&page.lines, Place::Below(below)));
    Ok(page)
}

/// Adds lines of months below one, as many as there is room for; the last of them, where there are more.
async fn add_months<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    below: Option<&str>,
    limit: usize,
    page: &mut Page,
) -> Result<Option<String>, CommitError> {
    let months = statement::months(context, user).await?;
    let mut lines = months.below(below).peekable();
    let mut last = None;
    while page.lines.len() < limit {
        let Some((month, carried)) = lines.next() else { return Ok(None) };
        page.lines.push(Line::of_month(month, carried));
        last = month.map(str::to_owned);
    }
    Ok(last.filter(|_| lines.peek().is_some()))
}

#[cfg(test)]
mod tests {

    use binding::memory::Memory;
    use domain::partition::Partitions;
    use domain::time::UnixMillis;
    use domain::transaction::{Value, Write};
    use futures::executor::block_on;
    use wallet::records;

    use super::*;

    #[test]
    fn a_cursor_is_itself_again_and_nothing_else_is_one() {
        let after = Place::After(3, 1_771_257_600_000, "packet:7.a".into());
        for place in [Place::Below(7), Place::Month("2026-02".into()), after] {
            let cursor = Cursor { shown: 20, place };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in [
            "",
            "x",
            "7",
            "x:7",
            "0:-1",
            "0:1~2",
            "0:1~x~a",
            "0:1~2~a b",
            "0:1~2~",
            "0:m2026",
            "0:m2026-0x",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    /// A user with an entry a day, of which the first are carried.
    fn carried(entries: i64, carried: i64) -> (Memory, UserId) {
        let (store, user) = (Memory::new(), UserId(7));
        let context = context(&store);
        let home = context.home(user);
        let mut writes = vec![
            Write::Set(records::account(user), "s".into(), Value::Integer(entries)),
            Write::Set(records::account(user), "c".into(), Value::Integer(carried)),
        ];
        for sequence in carried..entries {
            let what = What::Withdrawal(format!("w{sequence}"));
            let entry = Entry { amount: -1, at: START_MS + sequence, what };
            let page = records::page(user, sequence);
            writes.push(Write::Set(page, records::entry(sequence), entry.encode()));
        }
        for (month, amount) in [("2025-11", 3), ("2025-12", -5), ("before", 7)] {
            let one = Carried { amount, count: 2, ..Carried::default() };
            let field = month.into();
            writes.push(Write::Set(records::months(user), field, store::codec::encode(&one)));
        }
        block_on(context.write(home, writes)).unwrap();
        (store, user)
    }

    const START_MS: i64 = 1_771_257_600_000;

    fn context(store: &Memory) -> Context<'_, Memory> {
        let partitions = Partitions::new(4).unwrap();
        Context { store, partitions, now: UnixMillis(START_MS), timer: store::Timer::still() }
    }

    /// Behind the entries come their months, whatever the size of a page; and nothing twice.
    #[test]
    fn behind_the_entries_come_the_months_of_those_that_are_carried() {
        for (entries, carried_below) in [(6, 3), (4, 4), (9, 4)] {
            let (store, user) = carried(entries, carried_below);
            for limit in 1..10 {
                let (mut lines, mut cursor) = (Vec::new(), None);
                for _ in 0..20 {
                    let context = context(&store);
                    let page = page(&context, user, cursor.as_ref(), limit);
                    let page = block_on(page).unwrap();
                    assert!(!page.is_incomplete && page.lines.len() <= limit, "{page:?}");
                    lines.extend(page.lines);
                    cursor = page.next.map(|next| Cursor::parse(&next.text()).unwrap());
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(cursor, None, "{limit}");
                let line = |line: &Line| match &line.carried {
                    None => line.number.clone(),
                    Some(OfMonth { month, count: 2 }) => month.clone().unwrap_or_default(),
                    Some(other) => panic!("{other:?}"),
                };
                let own = (carried_below..entries).rev().map(|one| format!("w{one}"));
                let months = ["2025-12", "2025-11", ""].map(str::to_owned);
                let expected: Vec<_> = own.chain(months).collect();
                let found: Vec<_> = lines.iter().map(line).collect();
                assert_eq!(found, expected, "{limit}");
                let amounts: i64 = lines.iter().map(|line| line.amount).sum();
                assert_eq!(amounts, 5 - (entries - carried_below));
            }
        }
    }

    #[test]
    fn a_statement_without_carried_entries_ends_with_the_first() {
        let (store, user) = (Memory::new(), UserId(7));
        let page = block_on(page(&context(&store), user, None, 20)).unwrap();
        assert_eq!(page, Page::default());
    }
}

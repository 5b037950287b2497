//! What one user's wallet says of itself: entries against the account, withdrawals against what is
//! held and left, marks against entries, tokens against their signatures.

use std::collections::BTreeMap;

use domain::answers::{fields, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Read, Value};
use edge::store::Binding;
use store::quarantine;
use wallet::account::{Account, Gone};
use wallet::carried::Months;
use wallet::entry::{Entry, What as Movement};
use wallet::packet;
use wallet::records::{self, PENDING_MAX};
use wallet::statement;
use wallet::token::{Envelope, Token, TokenError};
use wallet::withdraw::{State, Withdrawal};

use super::{Look, Report, What, map};

/// Entries that are read at once.
const ENTRIES: i64 = 1_000;
/// Marks and withdrawals that are read at once.
const FIELDS: usize = 500;
/// Attempts to see an account at rest.
const ATTEMPTS_MAX: u32 = 8;

/// What a user's entries add up to, those that are carried among them.
#[derive(Default)]
struct Sums {
    balance: i64,
    income: i64,
    /// Cents that left by withdrawals whose entries are carried.
    withdrawn: i64,
    /// By number, cents that a withdrawal took and that came back.
    withdrawals: BTreeMap<String, (i64, i64)>,
}

/// Looks at a user.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    user: UserId,
    report: &mut Report,
) -> Result<(), CommitError> {
    let home = look.context.home(user);
    let (mut sums, mut found) = (Sums::default(), Report::default());
    let (mut seen, mut carried, mut is_still) = (0, None, false);
    for _ in 0..ATTEMPTS_MAX {
        let answers = look.read(home, vec![Account::read(user), Months::read(user)]).await?;
        let account = Account::answered(answers.first())?;
        if carried != Some(account.carried) {
            // Where entries were carried meanwhile some that were to be read are gone.
            let months = Months::answered(answers.get(1))?.total();
            found = Report::default();
            found.add(What::EntryBroken, format!("{user}/carried"), account.carried, months.count);
            sums = Sums {
                balance: months.amount,
                income: months.income,
                withdrawn: months.taken - months.back,
                ..Sums::default()
            };
            (seen, carried) = (account.carried, Some(account.carried));
        }
        add_entries(look, user, seen..account.sequence, &mut sums, &mut found).await?;
        seen = account.sequence;
        // Once more, with the withdrawals in the same moment.
        let numbers: Vec<_> =
            sums.withdrawals.keys().map(|number| number.as_str().into()).collect();
        let mut reads = vec![Account::read(user), Gone::read(user)];
        let read = |part: &[Field]| Read::Fields(records::withdrawals(user), part.to_vec());
        reads.extend(numbers.chunks(FIELDS).map(read));
        let answers = look.read(home, reads).await?;
        let now = Account::answered(answers.first())?;
        let gone = Gone::answered(answers.get(1))?;
        if now.sequence == seen && Some(now.carried) == carried {
            compare(user, &now, &gone, &sums, &answers[2..], &mut found)?;
            is_still = true;
            break;
        }
    }
    if is_still {
        report.differences.extend(found.differences);
    } else {
        report.unsettled += 1;
    }
    check_pending(look, user, report).await
}

async fn add_entries<B: Binding>(
    look: &Look<'_, '_, B>,
    user: UserId,
    sequences: std::ops::Range<i64>,
    sums: &mut Sums,
    report: &mut Report,
) -> Result<(), CommitError> {
    let mut first = sequences.start;
    while first < sequences.end {
        let last = (first + ENTRIES).min(sequences.end);
        let mut marks = Vec::new();
        for (sequence, value) in statement::stored(look.context, user, first..last).await? {
            match value.as_ref().and_then(|value| Entry::decode(value).ok()) {
                Some(entry) => marks.extend(add_entry(user, sequence, &entry, sums, report)),
                None => report.broken(What::EntryBroken, format!("{user}/{sequence}")),
            }
        }
        check_marks(look, user, &marks, report).await?;
        first = last;
    }
    Ok(())
}

/// Adds an entry; its order number, where it is a token's.
fn add_entry(
    user: UserId,
    sequence: i64,
    entry: &Entry,
    sums: &mut Sums,
    report: &mut Report,
) -> Option<(String, i64)> {
    sums.balance += entry.amount;
    match &entry.what {
        Movement::Token(payload) => {
            let token = Token::from_payload(payload)
                .ok()
                .filter(|token| token.user == user && token.amount.minor_units() == entry.amount);
            let Some(token) = token else {
                report.broken(What::EntryBroken, format!("{user}/{sequence}"));
                return None;
            };
            if !packet::is_refund(&token) {
                sums.income += entry.amount;
            }
            return Some((token.order_number.as_str().to_owned(), sequence));
        }
        Movement::Withdrawal(number) => {
            sums.withdrawals.entry(number.clone()).or_default().0 -= entry.amount;
        }
        Movement::Voided(number) => {
            sums.withdrawals.entry(number.clone()).or_default().1 += entry.amount;
        }
        Movement::Sent(_) => {}
    }
    None
}

async fn check_marks<B: Binding>(
    look: &Look<'_, '_, B>,
    user: UserId,
    marks: &[(String, i64)],
    report: &mut Report,
) -> Result<(), CommitError> {
    for part in marks.chunks(FIELDS) {
        let names = part.iter().map(|(number, _)| number.as_str().into()).collect();
        let read = Read::Fields(records::posted(user), names);
        let answers = look.read(look.context.home(user), vec![read]).await?;
        for ((number, sequence), value) in part.iter().zip(fields(answers.first())?) {
            if *value != Some(Value::Integer(*sequence)) {
                report.broken(What::PostedMarkDiffers, format!("{user}/{number}"));
            }
        }
    }
    Ok(())
}

fn compare(
    user: UserId,
    account: &Account,
    gone: &Gone,
    sums: &Sums,
    answers: &[Answer],
    report: &mut Report,
) -> Result<(), CommitError> {
    let mut values = Vec::new();
    for answer in answers {
        values.extend(fields(Some(answer))?.iter().cloned());
    }
    let (mut held, mut withdrawn) = (0, 0);
    // Of withdrawals whose records are not there: what they took, and what came back.
    let mut missing = Gone::default();
    for ((number, (taken, back)), value) in sums.withdrawals.iter().zip(values) {
        let withdrawal = value.as_ref().and_then(|value| Withdrawal::decode(value).ok());
        let right = match withdrawal {
            Some(Withdrawal { amount, state: State::Pending, .. }) => {
                held += amount;
                amount == *taken && *back == 0
            }
            Some(Withdrawal { amount, state: State::Posted, .. }) => {
                withdrawn += amount;
                amount == *taken && *back == 0
            }
            Some(Withdrawal { amount, state: State::Voided, .. }) => {
                amount == *taken && amount == *back
            }
            // Where some were collected, what these took together tells whether all that is missing was.
            None if value.is_none() && *gone != Gone::default() => {
                missing.taken += taken;
                missing.back += back;
                true
            }
            Some(Withdrawal { state: State::ExceedsBalance, .. }) | None => false,
        };
        if !right {
            report.broken(What::WithdrawalDiffers, format!("{user}/{number}"));
        }
    }
    let place = user.to_string();
    report.add(What::WithdrawalDiffers, &place, gone.taken, missing.taken);
    report.add(What::WithdrawalDiffers, &place, gone.back, missing.back);
    report.add(What::BalanceDiffers, &place, sums.balance, account.balance);
    report.add(What::IncomeDiffers, &place, sums.income, account.income);
    report.add(What::HeldDiffers, &place, held, account.held);
    // What left by those that are kept, and by those that are gone, carried or not.
    withdrawn += sums.withdrawn + gone.taken - gone.back;
    report.add(What::WithdrawnDiffers, &place, withdrawn, account.withdrawn);
    Ok(())
}

async fn check_pending<B: Binding>(
    look: &Look<'_, '_, B>,
    user: UserId,
    report: &mut Report,
) -> Result<(), CommitError> {
    let home = look.context.home(user);
    let answers = look.read(home, vec![Read::All(records::pending(user), PENDING_MAX)]).await?;
    let tokens = map(answers.first())?;
    let mut numbers = Vec::new();
    for (field, value) in tokens {
        let number = String::from_utf8_lossy(&field.0).into_owned();
        let place = format!("{user}/{number}");
        match opened(look, user, &number, value) {
            Ok(drawn) => numbers.push((field.clone(), drawn)),
            Err(what) => report.broken(what, place),
        }
    }
    for part in numbers.chunks(FIELDS) {
        // In the same moment: a token that is posted meanwhile is not pending any more.
        let fields_of = || part.iter().map(|(field, _)| field.clone()).collect();
        let queued = |(Field(number), drawn): &(Field, UnixMillis)| {
            let entry = due::of_user(user, &String::from_utf8_lossy(number));
            let [aside, dropped] = quarantine::has(records::QUEUE, *drawn, &entry);
            [records::QUEUE.has(*drawn, &entry), aside, dropped]
        };
        let mut reads = vec![
            Read::Fields(records::pending(user), fields_of()),
            Read::Fields(records::posted(user), fields_of()),
        ];
        reads.extend(part.iter().flat_map(queued));
        let answers = look.read(home, reads).await?;
        let [pending, posted, queued @ ..] = &answers[..] else { return Err(unexpected()) };
        let both = fields(Some(pending))?.iter().zip(fields(Some(posted))?);
        let queued = queued.chunks(3);
        for (((Field(number), _), (pending, posted)), queued) in part.iter().zip(both).zip(queued) {
            let place = || format!("{user}/{}", String::from_utf8_lossy(number));
            if pending.is_some() && posted.is_some() {
                report.broken(What::TokenTwice, place());
            }
            if pending.is_some() && !queued.contains(&Answer::Contains(true)) {
                report.broken(What::NotQueued, place());
            }
        }
    }
    Ok(())
}

/// When a pending token was drawn, if it is one, of this user and number, and signed.
fn opened<B>(
    look: &Look<'_, '_, B>,
    user: UserId,
    number: &str,
    value: &Value,
) -> Result<UnixMillis, What> {
    let Value::Bytes(stored) = value else { return Err(What::TokenUnreadable) };
    let envelope = Envelope::from_stored(stored).map_err(|_| What::TokenUnreadable)?;
    match look.keys.open(&envelope.to_text(), user, look.stage, look.context.now) {
        Ok(token) if token.order_number.as_str() == number => Ok(token.open_time),
        Ok(_) | Err(TokenError::Foreign | TokenError::BadSignature) => Err(What::TokenForged),
        Err(TokenError::Malformed(_)) => Err(What::TokenUnreadable),
        // Of a key that is not used any more.
        Err(TokenError::UnknownKey | TokenError::KeyExpired) => {
            let token = Token::from_stored(stored).map_err(|_| What::TokenUnreadable)?;
            Ok(token.open_time)
        }
    }
}

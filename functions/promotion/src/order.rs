//! An order: what it took, and how far it is.

use domain::answers::{fields, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Outcome, Read, Transaction, Value, Write,
};
use edge::store::Binding;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::records;

/// Steps that one request makes: each lost one saw another request on the same order go on.
pub const STEPS_MAX: u32 = 16;
/// A use that no activity refused: the order was abandoned.
pub const NOBODY: u32 = u32::MAX;
/// The one field of an order's record.
const ORDER: &str = "o";

/// What an order took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Of the request, so that the same number with another body is told; 0 where there was none.
    pub digest: u64,
    /// How often it was begun.
    pub attempt: u32,
    /// How far it is.
    pub state: State,
    /// When it began, or began to give back, in unix milliseconds.
    pub at: i64,
    /// What it uses, of activities with limits.
    pub uses: Vec<Used>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Counted for the user, and not held everywhere yet.
    Taking,
    /// It has all.
    Taken,
    /// One use was refused, and the others go back.
    Undoing(u32),
    /// It has nothing, and may try again.
    Refused,
    /// All goes back.
    GivingBack,
    /// It has nothing, for good.
    GivenBack,
}

/// What an order uses of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The activity.
    pub activity: String,
    /// The unit; empty where the activity counts all of them together.
    pub unit: String,
    /// How often.
    pub uses: u32,
    /// Its place in the request.
    pub place: u32,
    /// How often the user may.
    pub of_user: Option<u32>,
    /// How often all users may.
    pub of_all: Option<i64>,
}

/// An order.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Whose.
    pub user: UserId,
    /// Its number.
    pub number: &'a OrderNumber,
}

impl Purchase {
    /// Since when it is under way, which is where it stands in [`records::UNDER_WAY`]; `None` where it is not.
    pub fn under_way_since(&self) -> Option<UnixMillis> {
        match self.state {
            State::Taking | State::Undoing(_) | State::GivingBack => Some(UnixMillis(self.at)),
            State::Taken | State::Refused | State::GivenBack => None,
        }
    }
}

impl Order<'_> {
    fn record(&self) -> MapKey {
        records::order(self.user, self.number)
    }

    /// Reads it.
    pub fn read(&self) -> Read {
        Read::Fields(self.record(), vec![ORDER.into()])
    }

    /// Demands that its record is what it was.
    fn unchanged(&self, before: Option<&Value>) -> Guard {
        let (record, field) = (self.record(), Field::from(ORDER));
        match before {
            Some(before) => Guard::FieldEquals(record, field, before.clone()),
            None => Guard::FieldAbsent(record, field),
        }
    }

    /// Guards and writes that change its record, and its place among those under way.
    ///
    /// # Errors
    /// What was there before cannot be read.
    pub fn change(
        &self,
        before: Option<&Value>,
        after: &Purchase,
    ) -> Result<(Guard, Vec<Write>), CommitError> {
        let was = before.map(records::decode::<Purchase>).transpose()?;
        let (was, is) = (was.and_then(|was| was.under_way_since()), after.under_way_since());
        let what = records::under_way(self.user, self.number);
        let mut writes = vec![Write::Set(self.record(), ORDER.into(), records::encode(after))];
        let gone = was.filter(|_| was != is);
        writes.extend(gone.map(|at| records::UNDER_WAY.remove(at, &what)));
        writes.extend(is.map(|at| records::UNDER_WAY.add(at, &what)));
        Ok((self.unchanged(before), writes))
    }

    /// Takes it out of those that are under way since a moment, as long as it is what it was.
    pub fn forget(&self, found: &Value, since: UnixMillis) -> Transaction {
        let what = records::under_way(self.user, self.number);
        Transaction {
            guards: vec![self.unchanged(Some(found))],
            writes: vec![records::UNDER_WAY.remove(since, &what)],
            ..Transaction::default()
        }
    }

    /// What the user's counts change by, `sign` times what is used.
    pub fn count(&self, uses: &[Used], sign: i64) -> impl Iterator<Item = Write> {
        let record = records::user(self.user);
        let counted = uses.iter().filter(|used| used.of_user.is_some());
        counted.map(move |used| {
            let field = records::unit_of(&used.activity, &used.unit);
            Write::Add(record.clone(), field, sign * i64::from(used.uses))
        })
    }
}

/// Uses by activity: those that are counted for all users.
pub fn counted_for_all(uses: &[Used]) -> Vec<(&str, Vec<&Used>)> {
    let mut groups: Vec<(&str, Vec<&Used>)> = Vec::new();
    for used in uses.iter().filter(|used| used.of_all.is_some()) {
        match groups.iter_mut().find(|(activity, _)| *activity == used.activity) {
            Some((_, group)) => group.push(used),
            None => groups.push((&used.activity, vec![used])),
        }
    }
    groups
}

/// An order as the store keeps it, and what that means; `None` where there is none.
pub type Found = Option<(Value, Purchase)>;

/// Reads an order.
///
/// # Errors
/// The store's.
pub async fn find<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
) -> Result<Found, CommitError> {
    let read = (context.home(order.user), order.read());
    found(context.read_all(vec![read]).await?.first())
}

/// The answer to [`Order::read`].
///
/// # Errors
/// It is another one.
pub fn found(answer: Option<&Answer>) -> Result<Found, CommitError> {
    let [value] = fields(answer)? else { return Err(unexpected()) };
    let Some(value) = value else { return Ok(None) };
    Ok(Some((value.clone(), records::decode(value)?)))
}

/// Changes an order; `false` where it was changed meanwhile.
///
/// # Errors
/// The store's.
pub async fn change<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    before: Option<&Value>,
    after: &Purchase,
    more: Vec<Write>,
) -> Result<bool, CommitError> {
    let (guard, mut writes) = order.change(before, after)?;
    writes.extend(more);
    let transaction = Transaction { guards: vec![guard], writes, ..Transaction::default() };
    let outcome = context.commit(context.home(order.user), transaction).await?;
    Ok(matches!(outcome, Outcome::Committed(_)))
}

/// An order that others change all the time.
pub fn busy() -> CommitError {
    CommitError::Unavailable(format!("{STEPS_MAX} steps on one order"))
}

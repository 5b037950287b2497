//! Orders that stand in a due index, each under a moment, its user and its number: how a sweep finds them.

use domain::answers::{fields, unexpected};
use domain::due::{self, Due};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Read};
use store::listing::Place;
use store::{Binding, Context};

use crate::orders::{self, Found};
use crate::records::{self, Order};

/// What stands in an index.
pub(crate) struct Listed {
    pub at: UnixMillis,
    pub user: UserId,
    pub number: OrderNumber,
}

impl Listed {
    fn of(item: &Place) -> Result<Self, CommitError> {
        let Due { at, what } = item.due()?;
        let (user, number) = due::user_of(what)?;
        let number = OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?;
        Ok(Self { at, user, number })
    }

    fn read(&self) -> Read {
        Read::Fields(records::user(self.user), vec![records::order(&self.number)])
    }

    /// Its order, where it lies in the user's record.
    fn answered(&self, answer: &Answer) -> Result<Option<Found>, CommitError> {
        let order = fields(Some(answer))?.first().and_then(Option::as_ref);
        let found =
            |order| Ok(Found { map: records::user(self.user), order: Order::decode(order)? });
        order.map(found).transpose()
    }
}

/// The orders of some items of an index, in their order: one wave, and another read for each that lies on a page.
/// `what` names one that is not there: no sweep's order is taken away before its entry, so that somebody has to look.
pub(crate) async fn find<B: Binding>(
    context: &Context<'_, B>,
    items: &[Place],
    what: &str,
) -> Vec<Result<(Listed, Found), CommitError>> {
    let listed: Vec<_> = items.iter().map(Listed::of).collect();
    let readable = items.iter().zip(&listed);
    let reads =
        readable.filter_map(|(item, one)| Some((item.partition, one.as_ref().ok()?.read())));
    let mut answers = context.read_some(reads.collect()).await.into_iter();
    let mut found = Vec::with_capacity(items.len());
    for one in listed {
        let result = match one {
            Err(error) => Err(error),
            Ok(one) => {
                let answer = answers.next().unwrap_or_else(|| Err(unexpected()));
                let order = match answer.and_then(|answer| one.answered(&answer)) {
                    // Who had many has some of them on pages.
                    Ok(None) => orders::find(context, one.user, &one.number).await,
                    order => order,
                };
                let lost =
                    || CommitError::Unreadable(format!("the {what} is listed, and not there"));
                order.and_then(|order| order.ok_or_else(lost)).map(|order| (one, order))
            }
        };
        found.push(result);
    }
    found
}

//! What native tests ask with: requests of a moment, keys, numbers; and settlement of all partitions.

use binding::Binding;
use domain::due::Swept;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use futures::FutureExt as _;

use crate::context::Context;
use crate::keys::SigningKeys;
use crate::packet::{Settled, settle};

pub const STAGE: &str = "live";

/// A request of a moment, in a store of four partitions.
pub fn at<B>(store: &B, now_ms: i64) -> Context<'_, B> {
    Context {
        store,
        partitions: Partitions::new(4).unwrap(),
        now: UnixMillis(now_ms),
        timer: store::Timer::still(),
    }
}

/// What comes of something on a store in memory, which never waits: also where an executor runs already.
pub fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it never waits")
}

pub fn keys() -> SigningKeys {
    SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap()
}

pub fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "").unwrap()
}

/// What settlement does in all partitions.
pub fn settled_all<B: Binding>(context: &Context<'_, B>) -> [Swept; 3] {
    let mut all = [Swept::default(), Swept::default(), Swept::default()];
    for partition in context.partitions.all() {
        let Settled { sent, paid, closed } =
            done(settle(context, &keys(), STAGE, partition, &mut || 0));
        all.iter_mut().zip([sent, paid, closed]).for_each(|(all, one)| all.add(one.unwrap()));
    }
    all
}

/// How many packets settlement writes down, openings it pays and packets it closes, where nothing is wrong.
pub fn settled<B: Binding>(context: &Context<'_, B>) -> [u64; 3] {
    settled_all(context).map(|swept| {
        assert_eq!((swept.stuck, swept.has_more, swept.failure), (vec![], false, None));
        swept.done
    })
}

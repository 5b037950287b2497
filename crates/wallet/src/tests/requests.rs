//! What native tests ask with: requests of a moment, keys, numbers; and settlement of all partitions.

use binding::Binding;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use futures::executor::block_on;

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
        pause: |_| Box::pin(std::future::ready(())),
    }
}

pub fn keys() -> SigningKeys {
    SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap()
}

pub fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "").unwrap()
}

/// What settlement does in all partitions.
pub fn settled_all<B: Binding>(context: &Context<'_, B>) -> Settled {
    let mut all = Settled::default();
    for partition in context.partitions.all() {
        let one = block_on(settle(context, &keys(), STAGE, partition, &mut || 0)).unwrap();
        all.sent.add(one.sent);
        all.paid.add(one.paid);
        all.closed.add(one.closed);
    }
    all
}

/// How many packets settlement writes down, openings it pays and packets it closes, where nothing is wrong.
pub fn settled<B: Binding>(context: &Context<'_, B>) -> [u64; 3] {
    let Settled { sent, paid, closed } = settled_all(context);
    [sent, paid, closed].map(|swept| {
        assert_eq!((swept.stuck, swept.has_more), (vec![], false));
        swept.done
    })
}

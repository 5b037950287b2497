//! What was told of a packet holds, whatever clock comes next: two instances on one store, of which one is
//! ten minutes ahead of the other.

use binding::Binding;
use binding::memory::{Interrupted, Memory};
use domain::ids::UserId;
use futures::FutureExt as _;
use futures::executor::block_on;

use super::requests::{at, number, settled};
use crate::context::Context;
use crate::packet::{
    Details, Failure, Funding, Kind, LIFE_MS, Opening, Order, Payment, Refusal, look, name, open,
    pay, send,
};
use crate::view::view;

const AHEAD_MS: i64 = 600_000;
const START_MS: i64 = 1_771_257_600_250;
/// By the clock behind the packet can be opened for another ten minutes.
const BETWEEN_MS: i64 = START_MS + LIFE_MS - AHEAD_MS;
const SENDER: UserId = UserId(7);
const TOTAL: i64 = 100;

fn behind<B>(store: &B) -> Context<'_, B> {
    at(store, BETWEEN_MS)
}

fn ahead<B>(store: &B) -> Context<'_, B> {
    at(store, BETWEEN_MS + AHEAD_MS)
}

fn packet() -> String {
    name(SENDER, &number("n"))
}

/// A store with a packet of so many parts, which was paid at the start.
fn sent(count: u32) -> Interrupted {
    let store = Interrupted::default();
    let order = Order {
        sender: SENDER.0,
        total: TOTAL,
        count,
        kind: Kind::Equal,
        funding: Funding::Payment,
        at: START_MS,
        ordered_at: None,
    };
    let context = at(&store, START_MS);
    block_on(send(&context, &number("n"), &order, None, &mut || 0)).unwrap();
    block_on(pay(&context, &packet(), &Payment::NONE, &mut || 0)).unwrap();
    store
}

fn opened<B: Binding>(context: &Context<'_, B>, user: u64) -> Result<(Opening, bool), Refusal> {
    // A store in memory never waits; and an executor within an executor would.
    open(context, &packet(), UserId(user)).now_or_never().unwrap().map_err(refusal)
}

fn seen<B: Binding>(context: &Context<'_, B>) -> Details {
    block_on(look(context, &packet())).unwrap()
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Refused(refusal) => refusal,
        Failure::Store(error) => panic!("{error}"),
    }
}

/// What a user has.
fn balance<B: Binding>(context: &Context<'_, B>, user: UserId) -> i64 {
    block_on(view(context, user)).unwrap().balance
}

#[test]
fn a_packet_that_was_told_expired_is_opened_by_nobody_and_goes_back_once() {
    type Teller = fn(&Context<'_, Interrupted>) -> bool;
    let tellers: [Teller; 3] = [
        |ahead| seen(ahead).is_expired(),
        |ahead| seen(ahead).refuses(UserId(9)) == Some(Refusal::Expired),
        |ahead| opened(ahead, 9) == Err(Refusal::Expired),
    ];
    for tells_expired in tellers {
        let store = sent(2);
        let (first, _) = opened(&behind(&store), 8).unwrap();
        assert!(!seen(&at(&store, START_MS + LIFE_MS - 1)).is_expired());
        assert!(tells_expired(&ahead(&store)));

        assert_eq!(opened(&behind(&store), 9), Err(Refusal::Expired));
        assert!(seen(&behind(&store)).is_expired());
        // What was opened before is told again.
        assert_eq!(opened(&behind(&store), 8), Ok((first, true)));

        // A settlement that is behind pays what was opened, and does not see the end yet.
        let early = settled(&behind(&store));
        assert_eq!(early[1..], [1, 0]);
        assert_eq!(balance(&behind(&store), SENDER), 0);
        assert_eq!(settled(&ahead(&store))[2], 1);
        assert_eq!(settled(&behind(&store))[2], 0);
        assert_eq!(settled(&ahead(&store))[2], 0);
        let context = ahead(&store);
        assert_eq!(balance(&context, UserId(8)), first.amount);
        assert_eq!(balance(&context, SENDER), TOTAL - first.amount);
        assert_eq!(opened(&behind(&store), 9), Err(Refusal::Expired));
    }
}

/// Between what the one ahead saw and its commit, a user takes a part by the clock behind.
fn taken_meanwhile(store: &Interrupted, user: u64) {
    store.interrupt(1, move |memory: &Memory| {
        opened(&behind(memory), user).unwrap();
    });
}

#[test]
fn what_was_opened_before_the_packet_is_closed_is_told() {
    // The same user, with two instances at once.
    let store = sent(2);
    taken_meanwhile(&store, 8);
    let (opening, replayed) = opened(&ahead(&store), 8).unwrap();
    assert_eq!((opening.user, replayed), (UserId(8), true));
    assert!(store.was_interrupted());
    assert_eq!(opened(&behind(&store), 9), Err(Refusal::Expired));

    // Somebody else, who leaves nothing.
    let store = sent(1);
    taken_meanwhile(&store, 8);
    assert_eq!(opened(&ahead(&store), 9), Err(Refusal::Finished));
    assert_eq!(seen(&behind(&store)).refuses(UserId(9)), Some(Refusal::Finished));

    // And whoever looks.
    let store = sent(2);
    taken_meanwhile(&store, 8);
    let details = seen(&ahead(&store));
    assert!(details.is_expired());
    assert_eq!(details.refuses(UserId(8)), Some(Refusal::AlreadyOpened));
}

#[test]
fn a_packet_that_was_told_finished_is_never_told_expired() {
    let store = sent(1);
    opened(&behind(&store), 8).unwrap();
    assert_eq!(opened(&behind(&store), 9), Err(Refusal::Finished));
    let check = |context: &Context<'_, Interrupted>| {
        assert_eq!(opened(context, 9), Err(Refusal::Finished));
        assert_eq!(seen(context).refuses(UserId(9)), Some(Refusal::Finished));
    };
    check(&ahead(&store));
    assert_eq!(settled(&ahead(&store))[2], 1);
    check(&ahead(&store));
    check(&behind(&store));
    assert_eq!(balance(&ahead(&store), SENDER), 0);
}

//! What was told holds, whatever clock comes next: two instances on one store, of which one is ten minutes
//! ahead of the other. For each thing that has an end: told by the one ahead and then asked for by the one
//! behind; and the other way round, where the one behind is first.

use crate::chance::{Groups, Phase};
use binding::Binding as _;
use binding::memory::Interrupted;
use domain::due::Swept;
use domain::order_number::OrderNumber;
use domain::transaction::{Outcome, Transaction, Write};
use futures::executor::block_on;
use store::Plan;

use super::shop::{AHEAD_MS, CHANCE, Shop, USER, claim, number, refused, settle};
use crate::context::Context;
use crate::expiry::{End, end, expire_due, settled};
use crate::group_buy;
use crate::issue::{Claim, Recorded, issue, look_up};
use crate::list::{Listed, Page, State, list, state};
use crate::publish::{self, publish};
use crate::records::{self, Gave, Order};
use crate::redemption::{Cart, Use, apply};
use crate::refusal::Refusal;
use crate::reservation::confirm;
use crate::scene::Scene;
use crate::template::tests::template;

impl Shop {
    /// What the event of a success changes, by the clock of the instance behind.
    fn success(&self, before: &Groups) -> Option<Transaction> {
        let after = before.ended("g", Phase::Succeeded, self.now().now).unwrap();
        (after != *before).then(|| CHANCE.change(before, &after))
    }

    /// The instance behind gives a coupon, or holds it.
    fn give(&self, hold_ms: Option<i64>) -> Recorded {
        self.issue(&held(hold_ms)).unwrap()
    }
}

fn held(hold_ms: Option<i64>) -> Claim {
    Claim { hold_ms, ..claim(USER, "n") }
}

/// What an instance tells of the number.
fn told(context: &Context<'_, Interrupted>) -> Order {
    let order = block_on(look_up(context, USER, &number("n"))).unwrap().unwrap();
    block_on(settled(context, USER, &number("n"), order)).unwrap()
}

/// In which states an instance lists the user's coupons.
fn listed(context: &Context<'_, Interrupted>) -> Vec<State> {
    let page = Page { limit: 10, ..Page::default() };
    let Listed { orders, has_more: more, .. } = block_on(list(context, USER, &page)).unwrap();
    assert!(!more);
    orders.iter().map(|(_, order)| state(order, context.now).unwrap().0).collect()
}

#[test]
fn a_group_that_was_told_expired_is_not_rewarded_later() {
    let shop = Shop::open();
    let (opening, _) = shop.open_group(USER);
    let (group, replayed) = block_on(group_buy::open(&shop.ahead(0), &opening)).unwrap();
    assert_eq!((group.phase, replayed), (Phase::Expired, true));

    assert_eq!(shop.success(&shop.groups(USER)), None, "it has ended");
    let (group, _) = block_on(group_buy::open(&shop.behind(0), &opening)).unwrap();
    assert_eq!(group.phase, Phase::Expired);
    assert_eq!(settle(&shop.behind(0)), 0);
    assert_eq!(shop.stock().issued, 0);
}

#[test]
fn a_group_whose_success_is_first_is_told_succeeded_and_rewarded() {
    let shop = Shop::open();
    let (opening, open) = shop.open_group(USER);
    // Between what the one ahead reads and what it commits.
    let success = shop.success(&open).unwrap();
    let (ahead, home) = (shop.ahead(0), shop.behind(0).home(USER));
    // A chance and a campaign are read first.
    shop.meanwhile_commit(2, home, success);
    let (group, _) = block_on(group_buy::open(&ahead, &opening)).unwrap();
    assert_eq!(group.phase, Phase::Succeeded);
    assert!(shop.was_interrupted());
    assert_eq!(listed(&shop.ahead(0)), [State::Usable]);
    assert_eq!(shop.groups(USER).find("g").unwrap().phase, Phase::Rewarded);
}

/// By a scene that does not compensate a success earned a reward, which the template still gives by the clock
/// behind, and no more by the one ahead.
fn earned() -> (Shop, Groups) {
    let shop = Shop::open();
    let behind = shop.behind(0);
    let scene = Scene { compensated: false, ..Scene::plain() };
    block_on(publish::set_up_scene(&behind, "newcomer", &scene)).unwrap();
    let soon = template(|body| body["claim_until"] = "2026-02-16T16:05:00Z".into());
    assert_eq!(block_on(publish(&behind, "t", &soon)), Ok(2));
    let (_, open) = shop.open_group(USER);
    let success = shop.success(&open).unwrap();
    let outcome = block_on(behind.store.commit(behind.home(USER), &success)).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    let groups = shop.groups(USER);
    assert!(groups.due().is_some());
    (shop, groups)
}

#[test]
fn a_reward_that_has_lapsed_is_not_given_later() {
    let (shop, due) = earned();
    let lapse = CHANCE.change(&due, &due.settled(Phase::Lapsed));
    // After the one behind saw that it is due: four partitions, the chance, the template, its scene.
    shop.meanwhile_commit(7, shop.behind(0).home(USER), lapse);
    assert_eq!(settle(&shop.behind(0)), 0);
    assert!(shop.was_interrupted());
    assert_eq!(shop.groups(USER).find("g").unwrap().phase, Phase::Lapsed);
    assert_eq!((listed(&shop.behind(0)), shop.stock().issued), (vec![], 0));
}

#[test]
fn a_reward_that_was_given_does_not_lapse() {
    let (shop, _) = earned();
    let behind = shop.behind(0);
    // What the one behind commits, after the one ahead saw that the number gave nothing.
    let number = OrderNumber::parse("group:spring:g", "").unwrap();
    let order = Order::new(1, behind.now, Gave::Greeting("given".into()));
    let write = Write::Set(records::user(USER), records::order(&number), order.encode());
    let given = Transaction { writes: vec![write], ..Transaction::default() };
    shop.meanwhile_commit(8, behind.home(USER), given);
    assert_eq!(settle(&shop.ahead(0)), 0);
    assert!(shop.was_interrupted());
    assert_eq!(shop.groups(USER).find("g").unwrap().phase, Phase::Succeeded);
}

#[test]
fn a_reservation_that_was_told_expired_is_not_confirmed_later() {
    type Teller = fn(&Context<'_, Interrupted>) -> bool;
    let tellers: [Teller; 3] = [
        |ahead| told(ahead).gave == Gave::Expired,
        |ahead| listed(ahead).is_empty(),
        |ahead| {
            let again = block_on(issue(ahead, &held(Some(60_000)))).unwrap();
            let order = block_on(settled(ahead, USER, &number("n"), again.order)).unwrap();
            order.gave == Gave::Expired
        },
    ];
    for tells_expired in tellers {
        let shop = Shop::open();
        assert!(matches!(shop.give(Some(60_000)).order.gave, Gave::Reserved(..)));
        assert_eq!(listed(&shop.behind(59_999)), [State::Reserved]);
        assert_eq!(shop.stock().reserved, 1);
        assert!(tells_expired(&shop.ahead(0)));

        let confirmed = block_on(confirm(&shop.behind(0), USER, &number("n")));
        assert_eq!(refused(confirmed), Refusal::ReservationExpired);
        assert_eq!(told(&shop.behind(0)).gave, Gave::Expired);
        // It went back once, and no sweep finds it again.
        let partitions: Vec<_> = shop.behind(0).partitions.all().collect();
        assert_eq!(block_on(expire_due(&shop.ahead(0), &partitions)), Ok(Swept::default()));
        let stock = shop.stock();
        assert_eq!((stock.issued, stock.reserved), (0, 0));
        assert_eq!(stock.leased + stock.remaining, stock.total);
    }
}

#[test]
fn a_reservation_that_is_confirmed_first_is_told_issued() {
    let shop = Shop::open();
    let held = shop.give(Some(60_000)).order;
    let (ahead, behind) = (shop.ahead(0), shop.behind(0));
    let mut confirming = Plan::new();
    end(&mut confirming, USER, &number("n"), &held, End::Confirm, behind.now).unwrap();
    // Between what the one ahead reads and what it commits.
    shop.meanwhile_commit(1, behind.home(USER), confirming.clone().into_parts().0);
    assert!(matches!(told(&ahead).gave, Gave::Issued(_)));
    assert!(shop.was_interrupted());
    assert_eq!(listed(&ahead), [State::Usable]);
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved), (1, 0));
    // The same commit, late, changes nothing.
    let late = block_on(behind.commit(behind.home(USER), confirming)).unwrap();
    assert!(late.is_err(), "{late:?}");
}

/// Until when the coupon is valid that is given at the start, in milliseconds after it.
const VALID_MS: i64 = 30 * 86_400_000;

#[test]
fn a_coupon_that_was_told_expired_is_not_redeemed_later() {
    let redemption = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    type Teller = fn(&Context<'_, Interrupted>) -> bool;
    let tellers: [Teller; 3] = [
        |ahead| told(ahead).is_over,
        |ahead| listed(ahead) == [State::Expired],
        |ahead| {
            let redemption = Use::Redeem { order: "B".into(), amount: None, cart: Cart::default() };
            refused(block_on(apply(ahead, USER, &number("n"), &redemption))) == Refusal::Expired
        },
    ];
    for tells_expired in tellers {
        let shop = Shop::open();
        assert!(matches!(shop.give(None).order.gave, Gave::Issued(_)));
        let before_ms = VALID_MS - AHEAD_MS - 1;
        assert_eq!(listed(&shop.ahead(before_ms)), [State::Usable]);
        assert!(tells_expired(&shop.ahead(before_ms + 1)));

        let behind = shop.behind(before_ms + 1);
        assert_eq!(
            refused(block_on(apply(&behind, USER, &number("n"), &redemption))),
            Refusal::Expired
        );
        assert_eq!(listed(&behind), [State::Expired]);
        // Its end takes nothing from the counts.
        assert_eq!(shop.stock().issued, 1);
    }
}

#[test]
fn a_coupon_that_is_redeemed_first_is_told_redeemed() {
    let shop = Shop::open();
    let given = shop.give(None).order;
    let (ahead, behind) = (shop.ahead(VALID_MS), shop.behind(VALID_MS - 1));
    let redemption = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    let redeemed = block_on(apply(&behind, USER, &number("n"), &redemption)).unwrap();
    // What the one ahead read before.
    let told = block_on(settled(&ahead, USER, &number("n"), given)).unwrap();
    assert_eq!(told, redeemed.order);
    assert_eq!(listed(&ahead), [State::Redeemed]);

    // What comes back after the end has expired in the same commit.
    let rolled_back = Use::Rollback { order: "A".into() };
    let over = block_on(apply(&ahead, USER, &number("n"), &rolled_back)).unwrap();
    assert!(over.order.is_over);
    let again = Use::Redeem { order: "B".into(), amount: None, cart: Cart::default() };
    assert_eq!(refused(block_on(apply(&behind, USER, &number("n"), &again))), Refusal::Expired);
}

#[test]
fn a_claim_window_that_is_over_for_some_is_opened_again() {
    let window = |until: &str| template(|body| body["claim_until"] = until.into());
    let (first, later) = (window("2026-02-16T16:05:00Z"), window("2026-03-01T00:00:00Z"));
    let shop = Shop::default();
    block_on(publish(&shop.behind(0), "w", &first)).unwrap();
    let claim = |user| Claim { template: "w".into(), ..claim(user, "n") };
    assert_eq!(refused(block_on(issue(&shop.ahead(0), &claim(USER)))), Refusal::Ended);
    assert_eq!(block_on(publish(&shop.ahead(0), "w", &later)), Ok(2));
    assert_eq!(block_on(publish(&shop.behind(0), "w", &later)), Ok(2));
    assert!(block_on(issue(&shop.ahead(0), &claim(USER))).is_ok());
}

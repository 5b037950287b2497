//! Redeeming a coupon with an order of the shop, and rolling that back.
//!
//! A redemption can be rolled back for as many days as the coupon says; then it is *final*. As an end of any kind it is
//! never told from a clock (see [`crate::expiry`]): whoever comes to roll a redemption back whose time is over by their
//! clock commits first that it is final, demanding the exact order that was seen, and tells what is in the store then.
//! Nobody else needs to know it, so that nobody else writes it; but settling, where the template has a budget
//! ([`crate::settling`]). A crash before that commit leaves a redemption that the next one finds final; a commit that comes
//! late demands the order that it saw. Where nothing can be rolled back the redemption is final in its own commit.
//!
//! Threshold and currency are checked where the shop says what the cart is worth, and in what; it need not, and a retry is
//! told what was recorded without another look at them.

use domain::digest::digest;
use domain::ids::UserId;
use domain::money::Currency;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::MapKey;
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::{replace, settled};
use crate::issue::Recorded;
use crate::orders::{Found, find};
use crate::records::{Coupon, Gave, Order, ROLLBACKS_MAX, Redeemed};
use crate::refusal::{Failure, Refusal};

/// What to do with a coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// The order takes something off with it.
    Redeem {
        /// The shop's order.
        order: String,
        /// Cents that it takes off.
        amount: Option<i64>,
        /// What the shop says of its cart.
        cart: Cart,
    },
    /// The order does not, or no longer.
    Rollback {
        /// The shop's order.
        order: String,
    },
}

/// What a shop says of the cart with which a coupon is redeemed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cart {
    /// Cents that it comes to, without the coupon.
    pub amount: Option<i64>,
    /// Of these, and of what is taken off.
    pub currency: Option<Currency>,
}

/// What becomes of a coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// This.
    Changed(Coupon),
    /// It is so already.
    Same,
}

/// Decides a redemption of the coupon that an order number gave. One whose time is over has expired before
/// anybody decides: `expired` is never told from a clock.
fn redeem(
    given: &Order,
    coupon: &Coupon,
    order: &str,
    amount: Option<i64>,
    cart: &Cart,
    now: UnixMillis,
) -> Result<Next, Refusal> {
    if let Some(redeemed) = &coupon.redeemed {
        return match (redeemed.order == order, redeemed.amount == amount) {
            (true, true) => Ok(Next::Same),
            (true, false) => Err(Refusal::OrderNumberReused),
            (false, _) => Err(Refusal::AlreadyRedeemed),
        };
    }
    if coupon.rolled_back.contains(&digest(order.as_bytes())) {
        Err(Refusal::RolledBack)
    } else if coupon.rolled_back.len() >= ROLLBACKS_MAX {
        // It could not be rolled back any more: the order would have to keep it.
        Err(Refusal::TooManyRollbacks)
    } else if given.is_over {
        Err(Refusal::Expired)
    } else if given.since(now) < coupon.valid_from {
        Err(Refusal::NotYetValid)
    } else if cart.currency.is_some_and(|one| one.as_str().as_bytes() != coupon.currency) {
        Err(Refusal::WrongCurrency)
    } else if cart.amount.is_some_and(|amount| amount < coupon.threshold) {
        Err(Refusal::BelowThreshold)
    } else if amount.zip(coupon.cap).is_some_and(|(amount, cap)| amount > cap) {
        Err(Refusal::OverSingleCap)
    } else {
        let at = now.0.max(given.at);
        let redeemed = Some(Redeemed { order: order.to_owned(), amount, at });
        Ok(Next::Changed(Coupon { redeemed, ..coupon.clone() }))
    }
}

/// Decides a roll-back. The order can redeem this coupon no more, not even where its redemption was
/// still on its way. A redemption whose time is over is final before anybody decides.
fn roll_back(given: &Order, coupon: &Coupon, order: &str) -> Result<Next, Refusal> {
    let hash = digest(order.as_bytes());
    match &coupon.redeemed {
        Some(redeemed) if redeemed.order != order => return Err(Refusal::AlreadyRedeemed),
        Some(_) if given.is_over => return Err(Refusal::RedemptionFinal),
        None if coupon.rolled_back.contains(&hash) => return Ok(Next::Same),
        _ => {}
    }
    if coupon.rolled_back.len() >= ROLLBACKS_MAX {
        return Err(Refusal::TooManyRollbacks);
    }
    let rolled_back = coupon.rolled_back.iter().copied().chain([hash]).collect();
    Ok(Next::Changed(Coupon { redeemed: None, rolled_back, ..coupon.clone() }))
}

/// Redeems a coupon, or rolls that back. The coupon's id is the number under which it was given.
///
/// # Errors
/// A refusal, with nothing changed; or the store's.
pub async fn apply<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    id: &OrderNumber,
    what: &Use,
) -> Result<Recorded, Failure> {
    attempts("use a coupon", async || {
        let Found { map, order } = find(context, user, id).await?.ok_or(Refusal::UnknownCoupon)?;
        let order = settled(context, user, id, order).await?;
        if let (Use::Rollback { .. }, Some(last)) = (what, order.final_at(context.now)) {
            // Whatever comes of it, the next look tells.
            change(context, user, id, &map, &order, &last).await?;
            return Ok(None);
        }
        let coupon = match &order.gave {
            Gave::Issued(coupon) | Gave::Fallback(coupon) => coupon,
            Gave::Reserved(..) => return Err(Refusal::NotConfirmed.into()),
            Gave::Revoked(coupon, _) => {
                // A roll-back that was acknowledged, or whose answer was lost, is what it was.
                let Use::Rollback { order: by } = what else { return Err(Refusal::Revoked.into()) };
                if !coupon.rolled_back.contains(&digest(by.as_bytes())) {
                    return Err(Refusal::Revoked.into());
                }
                return Ok(Some(Recorded { number: id.clone(), order, replayed: true }));
            }
            Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => {
                return Err(Refusal::UnknownCoupon.into());
            }
        };
        let next = match what {
            Use::Redeem { order: by, amount, cart } => {
                redeem(&order, coupon, by, *amount, cart, context.now)?
            }
            Use::Rollback { order: by } => roll_back(&order, coupon, by)?,
        };
        let coupon = match next {
            Next::Same => {
                return Ok(Some(Recorded { number: id.clone(), order, replayed: true }));
            }
            Next::Changed(coupon) => coupon,
        };
        let gave = match order.gave {
            Gave::Fallback(_) => Gave::Fallback(coupon),
            _ => Gave::Issued(coupon),
        };
        let next = Order { gave, ..order.clone() };
        // What is rolled back may be over, and what is redeemed final.
        let over = next.expired_at(context.now).or_else(|| next.final_at(context.now));
        let next = over.unwrap_or(next);
        let is_done = change(context, user, id, &map, &order, &next).await?;
        Ok(is_done.then(|| Recorded { number: id.clone(), order: next, replayed: false }))
    })
    .await
}

/// Makes an order another one; `false` where somebody else was first.
async fn change<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    id: &OrderNumber,
    map: &MapKey,
    order: &Order,
    next: &Order,
) -> Result<bool, Failure> {
    let mut plan = Plan::new();
    replace(&mut plan, (), map.clone(), user, id, order, next);
    Ok(context.commit(context.home(user), plan).await?.is_ok())
}

#[cfg(test)]
mod tests {
    use domain::time::UnixMillis;

    use super::*;
    use crate::template::tests::published;

    const GIVEN: i64 = 1_000_000;
    const END: i64 = GIVEN + 30 * 86_400_000;

    fn coupon() -> Coupon {
        Coupon::of(&published("spring-15", 1), UnixMillis(GIVEN))
    }

    /// A redemption at a moment, of a coupon as anybody meets it: what is over has expired.
    fn redeem_at(
        coupon: &Coupon,
        order: &str,
        amount: Option<i64>,
        now: i64,
    ) -> Result<Next, Refusal> {
        let now = UnixMillis(now);
        let given = Order::new(1, UnixMillis(GIVEN), Gave::Issued(coupon.clone()));
        let given = given.expired_at(now).unwrap_or(given);
        redeem(&given, coupon, order, amount, &Cart::default(), now)
    }

    /// A roll-back of a coupon as anybody meets it.
    fn roll_back_of(coupon: &Coupon, order: &str) -> Result<Next, Refusal> {
        let given = Order::new(1, UnixMillis(GIVEN), Gave::Issued(coupon.clone()));
        roll_back(&given, coupon, order)
    }

    #[test]
    fn a_coupon_is_redeemed_once_and_by_one_order() {
        let redeem = |coupon: &Coupon, order, amount| redeem_at(coupon, order, amount, GIVEN);
        let Ok(Next::Changed(used)) = redeem(&coupon(), "A", Some(1_500)) else {
            panic!("it was not redeemed")
        };
        assert_eq!(redeem(&used, "A", Some(1_500)), Ok(Next::Same));
        assert_eq!(redeem(&used, "A", Some(1_499)), Err(Refusal::OrderNumberReused));
        assert_eq!(redeem(&used, "B", Some(1_500)), Err(Refusal::AlreadyRedeemed));
        assert_eq!(roll_back_of(&used, "B"), Err(Refusal::AlreadyRedeemed));
        let Ok(Next::Changed(free)) = roll_back_of(&used, "A") else { panic!("not rolled back") };
        assert_eq!(roll_back_of(&free, "A"), Ok(Next::Same));
        assert_eq!(redeem(&free, "A", Some(1_500)), Err(Refusal::RolledBack));
        assert!(matches!(redeem(&free, "B", None), Ok(Next::Changed(_))));
    }

    #[test]
    fn a_redemption_has_limits() {
        let table = [
            // A clock that is behind the one that gave it.
            (GIVEN - 1, None, None),
            (GIVEN, Some(1_500), None),
            (GIVEN, Some(1_501), Some(Refusal::OverSingleCap)),
            (END - 1, None, None),
            (END, None, Some(Refusal::Expired)),
        ];
        for (now, amount, expected) in table {
            let result = redeem_at(&coupon(), "A", amount, now).err();
            assert_eq!(result, expected, "{now} {amount:?}");
        }
        let later = Coupon { valid_from: 10, ..coupon() };
        assert_eq!(redeem_at(&later, "A", None, GIVEN + 9), Err(Refusal::NotYetValid));
        assert!(redeem_at(&later, "A", None, GIVEN + 10).is_ok());
    }

    #[test]
    fn what_the_shop_says_of_its_cart_is_compared_with_the_coupon() {
        let (cny, eur) = (Currency::parse("CNY").unwrap(), Currency::parse("EUR").unwrap());
        let given = Order::new(1, UnixMillis(GIVEN), Gave::Issued(coupon()));
        for (amount, currency, expected) in [
            (None, None, None),
            (Some(1_510), Some(cny), None),
            (Some(1_509), Some(cny), Some(Refusal::BelowThreshold)),
            (Some(1_509), None, Some(Refusal::BelowThreshold)),
            (None, Some(eur), Some(Refusal::WrongCurrency)),
            (Some(0), Some(eur), Some(Refusal::WrongCurrency)),
        ] {
            let cart = Cart { amount, currency };
            let result = redeem(&given, &coupon(), "A", None, &cart, UnixMillis(GIVEN));
            assert_eq!(result.err(), expected, "{cart:?}");
        }
        // A retry is told what was recorded.
        let Ok(Next::Changed(used)) = redeem_at(&coupon(), "A", None, GIVEN) else { panic!() };
        let cart = Cart { amount: Some(0), currency: Some(eur) };
        assert_eq!(redeem(&given, &used, "A", None, &cart, UnixMillis(GIVEN)), Ok(Next::Same));
    }

    #[test]
    fn a_coupon_remembers_a_bounded_number_of_roll_backs() {
        let mut coupon = coupon();
        for number in 0..ROLLBACKS_MAX {
            let Ok(Next::Changed(next)) = roll_back_of(&coupon, &number.to_string()) else {
                panic!("{number}")
            };
            coupon = next;
        }
        assert_eq!(roll_back_of(&coupon, "one more"), Err(Refusal::TooManyRollbacks));
    }

    #[test]
    fn what_could_not_be_rolled_back_any_more_is_not_redeemed() {
        let mut coupon = coupon();
        for number in 0..ROLLBACKS_MAX {
            let order = number.to_string();
            let redeemed = redeem_at(&coupon, &order, None, GIVEN);
            let Ok(Next::Changed(redeemed)) = redeemed else { panic!("{number}: {redeemed:?}") };
            let Ok(Next::Changed(free)) = roll_back_of(&redeemed, &order) else {
                panic!("{number}")
            };
            coupon = free;
        }
        assert_eq!(redeem_at(&coupon, "A", None, GIVEN), Err(Refusal::TooManyRollbacks));
    }
}

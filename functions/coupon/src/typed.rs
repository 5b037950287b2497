//! The typed interface `hongbao:functions/coupon`: the same function without HTTP.

use domain::answers::unexpected;
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::money::Currency;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::wit::types::{self, Error};

use crate::parse::{self, Command};
use crate::{Done, render};
use coupons::issue::{Claim, Number, Recorded};
use coupons::list::{self, State};
use coupons::records::{Coupon, Gave, Order};
use coupons::redemption::{Cart, Use};
use coupons::refusal::Failure;
use coupons::template::Kind;

#[allow(missing_docs, reason = "generated; the documentation stands in wit/coupon.wit")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "coupon-component",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        with: { "hongbao:functions/types@0.1.0": edge::wit::types },
    });
}

use generated::exports::hongbao::functions::coupon as wit;

struct Component;

generated::export!(Component with_types_in generated);

impl wit::Guest for Component {
    async fn issue(claim: wit::Claim) -> Result<wit::Recorded, Error> {
        recorded(Command::Issue(read(claim)?)).await
    }

    async fn reserve(claim: wit::Claim, seconds: u32) -> Result<wit::Recorded, Error> {
        let claim = parse::held(read(claim)?, seconds.into(), "seconds")?;
        recorded(Command::Issue(claim)).await
    }

    async fn confirm(user: u64, order_number: String) -> Result<wit::Recorded, Error> {
        let number = parse::callers_number(&order_number, "order-number")?;
        recorded(Command::Confirm(UserId(user), number)).await
    }

    async fn cancel(
        user: u64,
        order_number: String,
        ordered_at: Option<i64>,
    ) -> Result<wit::Recorded, Error> {
        let number = parse::callers_number(&order_number, "order-number")?;
        let ordered_at = parse::ordered_at(ordered_at, "ordered-at")?;
        recorded(Command::Cancel(UserId(user), number, ordered_at)).await
    }

    async fn redeem(
        user: u64,
        coupon: String,
        order: String,
        amount: Option<i64>,
        cart: Option<wit::Cart>,
    ) -> Result<wit::Recorded, Error> {
        let coupon = OrderNumber::parse(&coupon, "coupon")?;
        let cart = cart.map_or(Ok(Cart::default()), of_cart)?;
        recorded(Command::Use(UserId(user), coupon, parse::redemption(order, amount, cart)?)).await
    }

    async fn roll_back(user: u64, coupon: String, order: String) -> Result<wit::Recorded, Error> {
        let coupon = OrderNumber::parse(&coupon, "coupon")?;
        let what = Use::Rollback { order: parse::shop_order(order)? };
        recorded(Command::Use(UserId(user), coupon, what)).await
    }

    async fn look_up(user: u64, order_number: String) -> Result<wit::Recorded, Error> {
        let number = OrderNumber::parse(&order_number, "order-number")?;
        recorded(Command::LookUp(UserId(user), number)).await
    }

    async fn list(
        user: u64,
        state: Option<wit::State>,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<wit::Page, Error> {
        let state = state.map(|state| match state {
            wit::State::Reserved => State::Reserved,
            wit::State::NotYetValid => State::NotYetValid,
            wit::State::Usable => State::Usable,
            wit::State::Redeemed => State::Redeemed,
            wit::State::Expired => State::Expired,
            wit::State::Revoked => State::Revoked,
        });
        let page = parse::page_of(state, cursor.as_deref(), limit as usize)?;
        match done(Command::List(UserId(user), page)).await? {
            (Done::Page(listed), now) => Ok(wit::Page {
                coupons: listed
                    .orders
                    .iter()
                    .filter_map(|(number, order)| coupon(number, order, now))
                    .collect(),
                cursor: render::cursor(&listed),
                incomplete: listed.is_incomplete,
            }),
            _ => Err(error(unexpected().into())),
        }
    }
}

fn of_cart(cart: wit::Cart) -> Result<Cart, InvalidInput> {
    let wrong = || InvalidInput::new("invalid_value", "cart.currency", "must be three letters");
    let read = |text: String| Currency::parse(&text).ok_or_else(wrong);
    Ok(Cart { amount: cart.amount, currency: cart.currency.map(read).transpose()? })
}

fn read(claim: wit::Claim) -> Result<Claim, InvalidInput> {
    let wit::Claim { user, number, ordered_at, template, segments } = claim;
    let number = match number {
        wit::OrderNumber::Given(text) => {
            Number::Given(parse::callers_number(&text, "claim.number")?)
        }
        wit::OrderNumber::Play((round, award)) => parse::play(&round, &award)?,
    };
    let ordered_at = parse::ordered_at(ordered_at, "claim.ordered-at")?;
    parse::claim_of(UserId(user), number, ordered_at, &template, segments)
}

/// Carries a command out, and tells when.
async fn done(command: Command) -> Result<(Done, UnixMillis), Error> {
    edge::log::catch_panics();
    let config = Config::load(monotonic_ns()).await?;
    let templates = crate::templates(&config);
    let store = edge::store::open(&config).await?;
    let context = crate::context(&config, store.as_ref(), &templates);
    let done = crate::perform(&context, command).await.map_err(error)?;
    Ok((done, context.now))
}

async fn recorded(command: Command) -> Result<wit::Recorded, Error> {
    match done(command).await? {
        (Done::Issued(recorded) | Done::Found(recorded), now) => {
            let Recorded { number, order, replayed } = *recorded;
            let outcome = outcome(&number, &order, now);
            Ok(wit::Recorded { order_number: number.as_str().to_owned(), outcome, replayed })
        }
        _ => Err(error(unexpected().into())),
    }
}

fn error(failure: Failure) -> Error {
    match failure {
        Failure::Invalid(error) => error.into(),
        Failure::Store(error) => error.into(),
        Failure::Refused(refusal) => Error::Refused(types::Refusal {
            code: refusal.code().to_owned(),
            detail: refusal.detail().to_owned(),
            retry_after: refusal.retry_after(),
        }),
    }
}

fn outcome(number: &OrderNumber, order: &Order, now: UnixMillis) -> wit::Outcome {
    let coupon = coupon(number, order, now);
    match (&order.gave, coupon) {
        (Gave::Issued(_), Some(coupon)) => wit::Outcome::Issued(coupon),
        (Gave::Fallback(_), Some(coupon)) => wit::Outcome::Fallback(coupon),
        (Gave::Greeting(words), _) => wit::Outcome::Greeting(words.clone()),
        (Gave::Reserved(_, until), Some(coupon)) => wit::Outcome::Reserved((coupon, *until)),
        (Gave::Cancelled, _) => wit::Outcome::Cancelled,
        (Gave::Revoked(..), Some(coupon)) => wit::Outcome::Revoked(coupon),
        // All others have a coupon.
        _ => wit::Outcome::Expired,
    }
}

/// A coupon; nothing where the order has none, or none any more.
fn coupon(number: &OrderNumber, order: &Order, now: UnixMillis) -> Option<wit::Coupon> {
    let (state, coupon) = list::state(order, now)?;
    let Coupon { template, version, kind, currency, statement, redeemed, .. } = coupon;
    Some(wit::Coupon {
        id: number.as_str().to_owned(),
        template: template.clone(),
        version: *version,
        state: match state {
            State::Reserved => wit::State::Reserved,
            State::NotYetValid => wit::State::NotYetValid,
            State::Usable => wit::State::Usable,
            State::Redeemed => wit::State::Redeemed,
            State::Expired => wit::State::Expired,
            State::Revoked => wit::State::Revoked,
        },
        kind: match kind {
            Kind::AmountOff => wit::Kind::AmountOff,
            Kind::PercentOff => wit::Kind::PercentOff,
            Kind::FixedPrice => wit::Kind::FixedPrice,
            Kind::Gift => wit::Kind::Gift,
        },
        value: coupon.value,
        threshold: coupon.threshold,
        currency: String::from_utf8_lossy(currency).into_owned(),
        issued_at: order.at,
        valid_from: order.at + coupon.valid_from,
        valid_until: order.at + coupon.valid_until,
        statement: statement.clone(),
        redeemed: redeemed.as_ref().map(|redeemed| wit::Redemption {
            order: redeemed.order.clone(),
            amount: redeemed.amount,
            at: redeemed.at,
        }),
    })
}

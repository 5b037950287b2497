//! Opening a packet of a rain: one commit in the partition of the user decides and records - the number
//! has not acted, the user may have one more and is not too fast for the scene ([`coupons::pace`]), the budget has
//! enough -, and the user has a token.
//!
//! The scene of a rain is read and cached with the rain. Where it limits a user's rate of awards, the commit
//! demands the rate behind the order number, so that a retry is told what was given, whatever the rate. An instance
//! that found the budget spent refuses for half a second from a read, without a signature.

use coupons::pace::{Step, Wait};
use domain::answers::unexpected;
use domain::ids::UserId;
use domain::order_number::{OrderNumber, Part, Play};
use domain::transaction::{CommitError, Value};
use edge::store::Binding;
use lease::{Budget, Lease, Refill, Source, Why, call_back, is_sold_out, refill};
use store::{Plan, attempts};
use wallet::context::Context;
use wallet::limits::{Counted, Reached};
use wallet::pending;
use wallet::posting;
use wallet::rain;
use wallet::token::{Envelope, Payload, Token};

use crate::Settings;
use crate::rains::Published;
use crate::refusal::{Failure, Refusal};

/// Why a packet is not opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refuses {
    /// The user cannot be given the token.
    Token(pending::Why),
    /// The user has as many as one may have.
    Limit(Reached),
    /// The user may be too fast.
    Pace,
    /// The lease has too little.
    Budget(Why),
}

/// Who opens which packet of a rain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub user: UserId,
    /// The rain.
    pub rain: String,
    /// The round.
    pub round: i32,
    /// The packet in the round.
    pub award: String,
    /// The app in which it was opened.
    pub app: i64,
}

/// What a number gave, now or earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What is in it.
    pub token: Token,
    /// The token as the client gets it.
    pub text: String,
    /// Whether it was given earlier.
    pub replayed: bool,
}

impl Claim {
    fn number(&self, rain: &rain::Rain, stage: &str) -> Result<OrderNumber, Failure> {
        let round = self.round.to_string();
        let play = Play {
            activity: Part::parse(&rain.activity, "activity")?,
            scene: Part::parse(&rain.scene, "scene")?,
            round: Part::parse(&round, "round")?,
            award: Part::parse(&self.award, "award")?,
            stage: Part::parse(stage, "stage")?,
        };
        Ok(OrderNumber::compose(self.user, &play))
    }

    /// The number makes two requests the same, but for the app.
    fn is_same(&self, token: &Token) -> bool {
        token.app_id == self.app
    }
}

/// Opens a packet: one round trip where the user's partition has enough of the budget, four where it must
/// take a lease first; one more where the scene limits how fast a user gets awards, and the user has some.
///
/// # Errors
/// A refusal, with nothing changed; or the store's.
pub async fn grant<B: Binding>(
    context: &Context<'_, B>,
    stage: &str,
    settings: &Settings,
    claim: &Claim,
) -> Result<Granted, Failure> {
    let Some(published) = settings.rains.rain(context, &claim.rain).await? else {
        return Err(Refusal::UnknownRain.into());
    };
    let number = claim.number(&published.rain, stage)?;
    let attempt = Attempt { context, stage, settings, claim, number: &number };
    let closed = published.rain.closed(claim.round, context.now).map(Refusal::Closed);
    let exhausted = published.is_exhausted.get().then_some(Refusal::BudgetExhausted);
    if let Some(refusal) = closed.or(exhausted) {
        return attempt.earlier().await?.ok_or_else(|| refusal.into());
    }
    let mode = settings.rains.mode(context).await?;
    let given = attempt.give(&published).await;
    if matches!(given, Err(Failure::Refused(Refusal::BudgetExhausted))) {
        published.is_exhausted.set(true);
    }
    let granted = given?;
    let cents = granted.token.amount.minor_units();
    if !granted.replayed && mode.is_at_once(cents) {
        // What fails here stays in the queue, and settlement posts it.
        drop(posting::post(context, claim.user).await);
    }
    Ok(granted)
}

/// One number of one user.
struct Attempt<'a, B> {
    context: &'a Context<'a, B>,
    stage: &'a str,
    settings: &'a Settings,
    claim: &'a Claim,
    number: &'a OrderNumber,
}

impl<B: Binding> Attempt<'_, B> {
    /// What the number gave earlier.
    async fn earlier(&self) -> Result<Option<Granted>, Failure> {
        let user = self.claim.user;
        let found = wallet::view::look_up(self.context, user, self.number.as_str()).await?;
        found.map(|(token, _)| self.replay(token)).transpose()
    }

    /// What the number gave earlier, for the same request. The token is signed again: the same payload
    /// gives the same token, unless the key has changed.
    fn replay(&self, token: Token) -> Result<Granted, Failure> {
        if !self.claim.is_same(&token) {
            return Err(Refusal::OrderNumberReused.into());
        }
        let text = self.sign(&Payload::from(&token))?.to_text();
        Ok(Granted { token, text, replayed: true })
    }

    fn sign(&self, payload: &Payload) -> Result<Envelope, Failure> {
        Ok(self.settings.keys.sign(payload, self.stage)?)
    }

    fn payload(&self, published: &Published, amount: i64) -> Payload {
        Payload {
            app_id: self.claim.app,
            act_id: self.claim.user.0,
            activity_id: published.rain.activity.clone(),
            scene_id: published.rain.scene.clone(),
            amount,
            out_trade_no: self.number.as_str().to_owned(),
            open_time: self.context.now.0,
            rain_id: self.claim.round,
            status: 0,
        }
    }

    async fn give(&self, published: &Published) -> Result<Granted, Failure> {
        let Self { context, claim, number, .. } = *self;
        let (user, rain) = (claim.user, &published.rain);
        let partition = context.home(user);
        let place = rain::place(context.partitions, &claim.rain);
        let budget = Budget {
            place: place.clone(),
            total: rain.budget.minor_units(),
            free: &published.free,
        };
        let mut amount = rain.amount(&published.secret, number);
        let (mut source, mut pace) = (Source::Left, None);
        attempts("open a packet", async || {
            let limit = published.rate_limit;
            let step = limit.map(|limit| limit.step(user, &rain.scene, pace.as_ref(), context.now));
            let mut step = match step.transpose()?.transpose() {
                Ok(step) => step,
                // The last attempt saw that the number has not acted.
                Err(Wait(seconds)) => {
                    self.put_back(&place, partition, source).await?;
                    return Err(Refusal::RateLimited(seconds).into());
                }
            };
            let payload = self.payload(published, amount);
            let envelope = self.sign(&payload)?;
            let draw = source.draw(&place.lease, amount, context.now);
            let mut plan = Plan::new();
            for (why, guard) in pending::demands(user, number.as_str()) {
                plan.demand(Refuses::Token(why), guard);
            }
            if let Some(limits) = &rain.limits {
                let Counted { guards, writes } =
                    limits.count(user, &claim.rain, claim.round, rain.until());
                for (reached, guard) in guards {
                    plan.demand(Refuses::Limit(reached), guard);
                }
                plan.at(context.now).write_all(writes);
            }
            // Whether nothing is left comes before the pace, which is only guessed at first.
            for (why, guard) in draw.guards {
                if why != Why::SoldOut {
                    Step::demand(step.take(), &mut plan, Refuses::Pace, context.now);
                }
                plan.demand(Refuses::Budget(why), guard);
            }
            Step::demand(step, &mut plan, Refuses::Pace, context.now);
            let (stored, now) = (envelope.to_stored(), context.now);
            plan.write_all(pending::writes(user, number.as_str(), stored, now, now));
            plan.write_all(draw.writes);
            let Err(refused) = context.commit(partition, plan).await? else {
                let token = Token::try_from(payload)?;
                return Ok(Some(Granted { token, text: envelope.to_text(), replayed: false }));
            };
            match refused.why {
                Refuses::Token(pending::Why::Known) => {
                    self.put_back(&place, partition, source).await?;
                    let token = self.seen(refused.field()?).await?;
                    return self.replay(token).map(Some);
                }
                Refuses::Limit(reached) => {
                    self.put_back(&place, partition, source).await?;
                    return Err(Refusal::Limit(reached).into());
                }
                Refuses::Pace => pace = refused.field()?.cloned(),
                Refuses::Token(pending::Why::Full) => drop(posting::post(context, user).await?),
                Refuses::Budget(Why::SoldOut) if is_sold_out(refused.field()?, now)? => {
                    return Err(Refusal::BudgetExhausted.into());
                }
                Refuses::Budget(Why::SoldOut) => source = Source::Unmarked,
                Refuses::Budget(Why::Moved) => source = Source::Left,
                Refuses::Budget(Why::Left) => {
                    let read = Lease::read(place.lease.clone());
                    let answers = context.read(partition, vec![read]).await?;
                    let lease = Lease::answered(answers.first())?;
                    let wanted = rain.amounts.least()..=amount;
                    match refill(context, &budget, partition, lease, wanted).await? {
                        // The last cents may be fewer than were drawn.
                        Refill::Ready(from, cents) => (source, amount) = (from, cents),
                        Refill::SoldOut => return Err(Refusal::BudgetExhausted.into()),
                    }
                }
            }
            Ok(None)
        })
        .await
    }

    /// A lease that was taken for nobody goes back.
    async fn put_back(
        &self,
        place: &lease::Place,
        partition: domain::partition::Partition,
        source: Source,
    ) -> Result<(), CommitError> {
        match source {
            Source::Left | Source::Unmarked => Ok(()),
            Source::Credit(..) => call_back(self.context, place, &[partition]).await,
        }
    }

    /// The token that a guard saw.
    async fn seen(&self, seen: Option<&Value>) -> Result<Token, CommitError> {
        match seen {
            Some(Value::Bytes(stored)) => Token::from_stored(stored).map_err(|_| unexpected()),
            Some(Value::Integer(sequence)) => {
                let token = posting::posted_token(self.context, self.claim.user, *sequence).await?;
                token.ok_or_else(unexpected)
            }
            _ => Err(unexpected()),
        }
    }
}

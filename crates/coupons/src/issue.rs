//! Giving coupons: one commit in the partition of the user decides everything - the order number, the
//! limit of the user, whether the user is new, the stock - and records what came of it.
//!
//! Whether the user is new is a guard of that commit. A template may demand that users without a mark are asked about
//! elsewhere while earlier payers are imported. Whether the import is complete lies elsewhere and is read before, with
//! the template: all marks of the import are there when it is declared complete, so that the guard, which looks later,
//! sees them. Where it is opened again, users are taken for new until the template is read anew, 500 ms at most.

use std::rc::Rc;

use domain::answers::unexpected;
use domain::digest::digest;
use domain::ids::UserId;
use domain::order_number::{OrderNumber, Part, Play};
use domain::paid::PaidMark;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Guard, Write};
use lease::{CREDITED, Draw, HELD, Lease, Refill, call_back, is_sold_out, refill};
use store::numbers::{self, check_ordered_at};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::end_own;
use crate::orders::{self, Known, NotNew};
use crate::pace::{Step, Wait};
use crate::records::{self, Coupon, Gave, Order, USER_FIELDS_MAX};
use crate::refusal::{Failure, Refusal};
use crate::template::Published;

/// Fallbacks of fallbacks that are followed.
pub const FALLBACKS_MAX: usize = 4;

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub user: UserId,
    /// Under which number it acts at most once.
    pub number: Number,
    /// When it was ordered, as the caller says: it is part of the number.
    pub ordered_at: Option<UnixMillis>,
    /// Of what.
    pub template: String,
    /// To which segments the user belongs, as the caller says.
    pub segments: Vec<String>,
    /// For how long the coupon is only held; for good where nothing is said.
    pub hold_ms: Option<i64>,
}

/// Under which number an operation acts at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// The caller's.
    Given(OrderNumber),
    /// A reward's, as long as this guard holds: it must still be due. Who may have it was decided when it
    /// was earned: the template is asked neither for new users nor for segments.
    Reward(OrderNumber, Guard),
    /// It follows from the play: the round, and the award in it.
    Play {
        /// The round.
        round: String,
        /// The award.
        award: String,
    },
}

/// What an order number gave, now or earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The number.
    pub number: OrderNumber,
    /// What it gave.
    pub order: Order,
    /// Whether it did so earlier.
    pub replayed: bool,
}

impl Claim {
    /// Tells the same request from another one under the same number.
    fn digest(&self) -> u64 {
        let hold = self.hold_ms.unwrap_or(-1);
        let mut text = format!("{}\n{}\n{hold}", self.template, self.segments.join("\n"));
        if let Some(at) = self.ordered_at {
            text.push_str(&format!("\n{}", at.0));
        }
        digest(text.as_bytes())
    }

    fn is_reward(&self) -> bool {
        self.is_due().is_some()
    }

    /// What a reward demands.
    fn is_due(&self) -> Option<&Guard> {
        match &self.number {
            Number::Reward(_, is_due) => Some(is_due),
            Number::Given(_) | Number::Play { .. } => None,
        }
    }

    fn admitted(&self, published: &Published, now: UnixMillis) -> Result<(), Refusal> {
        let Published { template, asks_elsewhere, .. } = published;
        if self.is_reward() {
            return template.admit(&template.segments, now);
        }
        template.admit(&self.segments, now)?;
        if *asks_elsewhere { Err(Refusal::ImportIncomplete) } else { Ok(()) }
    }

    fn number(&self, published: Option<&Published>, stage: &str) -> Result<OrderNumber, Failure> {
        match (&self.number, published) {
            (Number::Given(number) | Number::Reward(number, _), _) => Ok(number.clone()),
            (Number::Play { .. }, None) => Err(Refusal::UnknownTemplate.into()),
            (Number::Play { round, award }, Some(Published { template, .. })) => {
                let play = Play {
                    activity: Part::parse(&template.activity, "activity")?,
                    scene: Part::parse(&template.scene, "scene")?,
                    round: Part::parse(round, "round")?,
                    award: Part::parse(award, "award")?,
                    stage: Part::parse(stage, "stage")?,
                };
                Ok(OrderNumber::compose(self.user, &play))
            }
        }
    }
}

/// Gives a coupon, or what stands in its place; or what the number gave earlier.
///
/// # Errors
/// A refusal, with nothing changed; or the store's.
pub async fn issue<B: Binding>(
    context: &Context<'_, B>,
    claim: &Claim,
) -> Result<Recorded, Failure> {
    if let Some(at) = claim.ordered_at {
        check_ordered_at(at, context.now, "ordered_at")?;
    }
    let first = context.template(&claim.template).await?;
    let number = claim.number(first.as_deref(), context.stage)?;
    let (digest, is_due) = (claim.digest(), claim.is_due().cloned());
    let Claim { user, ordered_at, .. } = *claim;
    let request = Request { user, number, ordered_at, digest, is_due };
    let Some(first) = first else {
        return request.earlier_or(context, Refusal::UnknownTemplate).await;
    };
    if let Err(refusal) = claim.admitted(&first, context.now) {
        return match refusal {
            Refusal::ImportIncomplete => request.earlier_or_unknown(context).await,
            _ => request.earlier_or(context, refusal).await,
        };
    }
    let until = claim.hold_ms.map(|ms| context.now.0 + ms);
    let refusal = match take(context, &request, &first, Role::of(until)).await? {
        Ok(recorded) => return Ok(recorded),
        Err(refusal) => refusal,
    };
    // What is held for a moment has no substitute.
    if refusal != first.template.exhausted() || claim.hold_ms.is_some() {
        return Err(refusal.into());
    }
    match instead(context, &request, claim, &first).await? {
        Some(recorded) => Ok(recorded),
        None => Err(refusal.into()),
    }
}

/// The fallback, or its fallback, or the words of the last one that has some.
async fn instead<B: Binding>(
    context: &Context<'_, B>,
    request: &Request,
    claim: &Claim,
    first: &Rc<Published>,
) -> Result<Option<Recorded>, Failure> {
    let mut last = Rc::clone(first);
    for _ in 0..FALLBACKS_MAX {
        let Some(fallback) = &last.template.fallback_template else { break };
        let Some(next) = context.template(fallback).await? else { break };
        if claim.admitted(&next, context.now).is_ok()
            && let Ok(recorded) = take(context, request, &next, Role::Fallback).await?
        {
            return Ok(Some(recorded));
        }
        last = next;
    }
    let words = last.template.greeting.as_ref().or(first.template.greeting.as_ref());
    let Some(words) = words else { return Ok(None) };
    request.record(context, Gave::Greeting(words.clone())).await.map(Some)
}

/// One number of one user.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who.
    pub user: UserId,
    /// The number.
    pub number: OrderNumber,
    /// When it was ordered, as the caller says.
    pub ordered_at: Option<UnixMillis>,
    /// Of what was asked under it.
    pub digest: u64,
    /// Of a reward, which needs no new user: that it is still due.
    pub is_due: Option<Guard>,
}

impl Request {
    fn acting(&self) -> numbers::Number<'_> {
        records::number(self.user, &self.number, self.ordered_at)
    }

    /// What the number gave earlier, or a refusal.
    async fn earlier_or<B: Binding>(
        &self,
        context: &Context<'_, B>,
        refusal: Refusal,
    ) -> Result<Recorded, Failure> {
        let Known { found, is_forgotten, .. } = orders::know(context, self.acting(), &[]).await?;
        match found {
            Some(found) => self.replay(found.order),
            None if is_forgotten => Err(Refusal::TooOld.into()),
            None => Err(refusal.into()),
        }
    }

    /// What the number gave earlier; or why a user gets nothing of whom nothing may be known. A user who has paid is
    /// not new, whatever becomes of the import.
    async fn earlier_or_unknown<B: Binding>(
        &self,
        context: &Context<'_, B>,
    ) -> Result<Recorded, Failure> {
        let mark = PaidMark::of(self.user, context.partitions).read();
        let known = orders::know(context, self.acting(), &[mark]).await?;
        match (known.found, known.beside.first()) {
            (Some(found), _) => self.replay(found.order),
            (None, _) if known.is_forgotten => Err(Refusal::TooOld.into()),
            (None, Some(Answer::Contains(true))) => Err(Refusal::NotEligible.into()),
            (None, Some(Answer::Contains(false))) => Err(Refusal::ImportIncomplete.into()),
            _ => Err(unexpected().into()),
        }
    }

    /// What the number gave earlier, for the same request.
    fn replay(&self, order: Order) -> Result<Recorded, Failure> {
        if order.gave == Gave::Cancelled && order.digest == 0 {
            return Err(Refusal::Cancelled.into());
        }
        if order.digest != self.digest {
            return Err(Refusal::OrderNumberReused.into());
        }
        Ok(Recorded { number: self.number.clone(), order, replayed: true })
    }

    /// Records what needs no stock.
    async fn record<B: Binding>(
        &self,
        context: &Context<'_, B>,
        gave: Gave,
    ) -> Result<Recorded, Failure> {
        let order = Order::new(self.digest, context.now, gave).ordered_at(self.ordered_at);
        match record(context, self.user, &self.number, &order).await? {
            None => Ok(Recorded { number: self.number.clone(), order, replayed: false }),
            Some(earlier) => self.replay(earlier),
        }
    }
}

/// Records an order that needs no stock, under a number that has not acted; what it gave earlier, where
/// it has.
///
/// # Errors
/// `too_old`, `too_many_coupons`; or the store's.
pub async fn record<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
) -> Result<Option<Order>, Failure> {
    let mut pages = 0;
    attempts("record an order", async || {
        let mut plan = Plan::new();
        let acting = order.number(user, number);
        let (record, field) =
            orders::demand_new(&mut plan, acting, pages, context.partitions, Why::of);
        plan.demand(Why::Full, Guard::SizeAtMost(record.clone(), USER_FIELDS_MAX));
        plan.write(Write::Set(record, field, order.encode()));
        // Whoever collects orders finds it among the user's.
        plan.write_all(records::HOLDERS.mark(user, UnixMillis(order.at)));
        let Err(refused) = context.commit(context.home(user), plan).await? else {
            return Ok(Some(None));
        };
        match refused.why {
            Why::Pages => pages = orders::pages(refused.field()?)?,
            Why::Full if orders::make_room(context, user).await? => {}
            Why::Full => return Err(Refusal::TooManyCoupons.into()),
            Why::Refuse(refusal) => return Err(refusal.into()),
            _ => {
                let earlier = Order::decode(refused.field()?.ok_or_else(unexpected)?)?;
                return Ok(Some(Some(earlier)));
            }
        }
        Ok(None)
    })
    .await
}

/// What an order number gave.
///
/// # Errors
/// The store's.
pub async fn look_up<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Option<Order>, CommitError> {
    Ok(orders::find(context, user, number).await?.map(|found| found.order))
}

/// As what a coupon is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// As what was asked for.
    Asked,
    /// In the place of another one.
    Fallback,
    /// Held until a moment, in unix milliseconds.
    Held(i64),
}

impl Role {
    fn of(until: Option<i64>) -> Self {
        until.map_or(Self::Asked, Self::Held)
    }

    fn gave(self, coupon: Coupon) -> Gave {
        match self {
            Self::Asked => Gave::Issued(coupon),
            Self::Fallback => Gave::Fallback(coupon),
            Self::Held(until) => Gave::Reserved(coupon, until),
        }
    }
}

/// What came of asking one template: what the number gave, now or earlier; or nothing.
pub type Taken = Result<Recorded, Refusal>;

/// Where the coupon comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The stock of the template.
    Stock(lease::Source),
    /// There are as many as are asked for.
    Uncounted,
}

/// Why a guard is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The number must not have acted.
    Number,
    /// There must be as many pages of orders.
    Pages,
    /// There must be room in the user's record.
    Full,
    /// The number is forgotten, or the template refuses.
    Refuse(Refusal),
    /// The user must not be too fast.
    Pace,
    /// The stock must allow it.
    Stock(lease::Why),
}

impl Why {
    fn of(not_new: NotNew) -> Self {
        match not_new {
            NotNew::Acted => Self::Number,
            NotNew::Pages => Self::Pages,
            NotNew::Forgotten => Self::Refuse(Refusal::TooOld),
        }
    }
}

/// The commit that gives a coupon to a user who has so many pages of orders. The guard of the number comes first: a
/// replay is told before anything else is looked at.
fn give<B>(
    context: &Context<'_, B>,
    request: &Request,
    published: &Published,
    order: &Order,
    pages: u32,
    source: Source,
    mut step: Option<Step>,
) -> Plan<Why> {
    let Published { id, template, .. } = published;
    let (lease, count) = (records::lease(id), records::held_count(id));
    let limit = i64::from(template.limit_per_user) - 1;
    let refuse = Why::Refuse;
    let mut plan = Plan::new();
    let acting = request.acting();
    let (user, field) = orders::demand_new(&mut plan, acting, pages, context.partitions, Why::of);
    if let Some(is_due) = &request.is_due {
        plan.demand(refuse(Refusal::NotEligible), is_due.clone());
    } else if template.new_users_only {
        let mark = PaidMark::of(request.user, context.partitions);
        plan.demand(refuse(Refusal::NotEligible), mark.demand_new());
    }
    let within = Guard::IntegerAtMost(user.clone(), count.clone(), limit);
    plan.demand(refuse(Refusal::UserLimit), within);
    plan.demand(Why::Full, Guard::SizeAtMost(user.clone(), USER_FIELDS_MAX));
    plan.write(Write::Set(user.clone(), field, order.encode()));
    plan.write(Write::Add(user.clone(), count, 1));
    let draw = match source {
        Source::Stock(source) => source.draw(&lease, 1, UnixMillis(order.at)),
        // As if the pool had credited one more.
        Source::Uncounted => {
            let writes = vec![Write::Add(lease.clone(), CREDITED.into(), 1)];
            Draw { guards: vec![], writes }
        }
    };
    // Whether nothing is left comes before the pace, which is only guessed at first: the hurried are refused by one commit.
    for (why, guard) in draw.guards {
        if why != lease::Why::SoldOut {
            Step::demand(step.take(), &mut plan, Why::Pace, context.now);
        }
        plan.demand(Why::Stock(why), guard);
    }
    Step::demand(step, &mut plan, Why::Pace, context.now);
    plan.write_all(draw.writes);
    plan.write_all(records::HOLDERS.mark(request.user, UnixMillis(order.at)));
    plan.write_all(records::due_writes(request.user, &request.number, None, order));
    if let Gave::Reserved(_, until) = order.gave {
        let end = records::end(request.user, &request.number);
        plan.write(Write::Add(lease, HELD.into(), 1));
        plan.write(records::ENDS.add(UnixMillis(until), &end));
    }
    plan
}

/// Refuses; a lease that was taken for nobody goes back.
async fn refuse<B: Binding>(
    context: &Context<'_, B>,
    published: &Published,
    partition: Partition,
    source: Source,
    refusal: Refusal,
) -> Result<Taken, Failure> {
    if matches!(source, Source::Stock(lease::Source::Credit(..))) {
        call_back(context, &context.place(&published.id), &[partition]).await?;
    }
    Ok(Err(refusal))
}

/// Gives a coupon of one template: one round trip where the partition has one left, four where it must
/// take a lease first; one more where the scene limits how fast a user gets awards, or the user has pages of orders. Where
/// the user's limit refuses, reservations of the user that have expired are ended first, and it is tried again; where the
/// user's record is full, orders move to a page.
///
/// # Errors
/// The store's, or a number that was used for something else.
pub async fn take<B: Binding>(
    context: &Context<'_, B>,
    request: &Request,
    published: &Published,
    role: Role,
) -> Result<Taken, Failure> {
    let partition = context.home(request.user);
    let coupon = Coupon::of(published, context.now);
    let order = Order::new(request.digest, context.now, role.gave(coupon));
    let order = order.ordered_at(request.ordered_at);
    let left = Source::Stock(lease::Source::Left);
    let start = if published.template.is_counted() { left } else { Source::Uncounted };
    let (mut source, mut sold_out, mut pace, mut pages) = (start, false, None, 0);
    let earlier = attempts("issue", async || {
        let limit = published.scene.rate_limit.filter(|_| request.is_due.is_none());
        let scene = &published.template.scene;
        let step = limit.map(|limit| limit.step(request.user, scene, pace.as_ref(), context.now));
        let step = match step.transpose()?.transpose() {
            Ok(step) => step,
            // The last attempt saw that the number has not acted.
            Err(Wait(seconds)) => {
                let refusal = Refusal::RateLimited(seconds);
                let taken = refuse(context, published, partition, source, refusal).await?;
                return Ok(Some(Some(taken)));
            }
        };
        let plan = give(context, request, published, &order, pages, source, step);
        let Err(refused) = context.commit(partition, plan).await? else {
            return Ok(Some(None));
        };
        match refused.why {
            Why::Number => {
                let earlier = Order::decode(refused.field()?.ok_or_else(unexpected)?)?;
                return request.replay(earlier).map(|earlier| Some(Some(Ok(earlier))));
            }
            Why::Pages => pages = orders::pages(refused.field()?)?,
            Why::Full if orders::make_room(context, request.user).await? => {}
            Why::Full => {
                let refusal = Refusal::TooManyCoupons;
                let taken = refuse(context, published, partition, source, refusal).await?;
                return Ok(Some(Some(taken)));
            }
            Why::Refuse(refusal) => {
                if refusal == Refusal::UserLimit
                    && end_own(context, request.user, published).await?
                {
                    return Ok(None);
                }
                let taken = refuse(context, published, partition, source, refusal).await?;
                return Ok(Some(Some(taken)));
            }
            Why::Pace => pace = refused.field()?.cloned(),
            Why::Stock(lease::Why::SoldOut) if is_sold_out(refused.field()?, context.now)? => {
                return Ok(Some(Some(Err(published.template.exhausted()))));
            }
            Why::Stock(lease::Why::SoldOut) => source = Source::Stock(lease::Source::Unmarked),
            Why::Stock(lease::Why::Moved) => source = left,
            Why::Stock(lease::Why::Left) if sold_out => {
                return Ok(Some(Some(Err(published.template.exhausted()))));
            }
            Why::Stock(lease::Why::Left) => {
                // Asked for only now: it would be one more thing to read for every coupon.
                let read = Lease::read(records::lease(&published.id));
                let answers = context.read(partition, vec![read]).await?;
                let lease = Lease::answered(answers.first())?;
                match refill(context, &context.budget(published), partition, lease, 1..=1).await? {
                    Refill::Ready(from, _) => source = Source::Stock(from),
                    // Once more: another attempt with this number may have got the last one.
                    Refill::SoldOut => (source, sold_out) = (left, true),
                }
            }
        }
        Ok(None)
    })
    .await?;
    let given = || Ok(Recorded { number: request.number.clone(), order, replayed: false });
    Ok(earlier.unwrap_or_else(given))
}

//! A budget in cents, given out in amounts of any size from every partition until nothing is left: never
//! more than there is, and to the last cent that is enough for anybody.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::task::Poll;
use std::vec::IntoIter;

use binding::Binding;
use binding::memory::Memory;
use domain::answers::integers;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, MapKey, Outcome, Read, Transaction, Value, Write};
use futures::executor::block_on;
use futures::future::{join, join_all, maybe_done};
use lease::{
    Budget, CREDITED, FREE, Lease, Place, RETURNED, Refill, SOLD_OUT_UNTIL, Source, Why, World,
    call_back_all, forget_sold_out, is_low, is_sold_out, refill,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::WithSource;
use store::plan::{Plan, Refused};
use store::{Context, Timer, attempts};

/// The largest amount.
const AMOUNT_MAX: i64 = 500;
/// People at the same time.
const CLIENTS: u32 = 8;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: i64 = 1_001;
/// Generated rains.
const CASES: u32 = 64;
/// Those who ask, in a generated rain.
const ASKS_MAX: usize = 1_000;
/// Parts of a script of deliveries: with the most of them, nearly all commits of most rains.
const PARTS_MAX: usize = 300;
/// Deliveries of a part.
const DELIVERIES_MAX: usize = 100;
/// Attempts to make a failing rain smaller: some seconds.
const SHRINKS_MAX: u32 = 20_000;

/// What is lost of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Lost {
    #[default]
    Nothing,
    Request,
    Reply,
}

/// A commit's way to the store and back: how often others go on before it and after it.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    turns_before: u8,
    turns_after: u8,
    lost: Lost,
}

/// Somebody of a partition who wants so much more than the least amount.
#[derive(Clone, Copy, Debug, Default)]
struct Ask {
    partition: u8,
    above_least: i64,
}

/// A rain of red packets, on a store that delivers commits as a script says; after its end, at once.
struct Rain {
    memory: Memory,
    partitions: Partitions,
    total: i64,
    clock: Cell<i64>,
    deliveries: RefCell<IntoIter<Delivery>>,
    /// Who asks; the first one again after the last.
    asks: Vec<Ask>,
    asked: Cell<usize>,
    free: Cell<Option<i64>>,
}

/// Lets others go on.
async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Binding for Rain {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let delivery = self.deliveries.borrow_mut().next().unwrap_or_default();
        for _ in 0..delivery.turns_before {
            turn().await;
        }
        if delivery.lost == Lost::Request {
            return Err(CommitError::Unavailable("lost".into()));
        }
        let outcome = self.memory.commit(partition, transaction).await;
        for _ in 0..delivery.turns_after {
            turn().await;
        }
        if delivery.lost == Lost::Reply {
            return Err(CommitError::Unknown("lost".into()));
        }
        outcome
    }
}

thread_local! {
    /// How often somebody of this test waited for another one who calls back.
    static PAUSES: Cell<u32> = const { Cell::new(0) };
}

impl World for Rain {
    type Store = Self;

    fn context(&self) -> Context<'_, Self> {
        Context {
            store: self,
            partitions: self.partitions,
            now: UnixMillis(self.clock.get()),
            timer: Timer::begin(
                |_| {
                    PAUSES.set(PAUSES.get() + 1);
                    Box::pin(turn())
                },
                || 0,
            ),
        }
    }
}

/// Somebody in a rain whose clock is so far ahead.
struct Ahead<'a>(&'a Rain, i64);

impl World for Ahead<'_> {
    type Store = Rain;

    fn context(&self) -> Context<'_, Rain> {
        let Self(rain, ahead_ms) = *self;
        Context { now: UnixMillis(rain.clock.get() + ahead_ms), ..rain.context() }
    }
}

impl Rain {
    fn new(partitions: u32, total: i64) -> Self {
        let rain = Self {
            memory: Memory::new(),
            partitions: Partitions::new(partitions).unwrap(),
            total,
            clock: Cell::new(1_771_257_600_000),
            deliveries: RefCell::default(),
            asks: Vec::new(),
            asked: Cell::new(0),
            free: Cell::new(None),
        };
        let place = rain.place();
        let writes = vec![Write::Add(place.pool.clone(), FREE.into(), total)];
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(rain.memory.commit(place.partition, &transaction)).unwrap();
        rain
    }

    /// Writes behind everybody's back.
    fn write(&self, partition: Partition, write: Write) {
        let transaction = Transaction { writes: vec![write], ..Transaction::default() };
        block_on(self.memory.commit(partition, &transaction)).unwrap();
    }

    fn place(&self) -> Place {
        let partition = self.partitions.of_configuration("pool");
        Place { partition, pool: "p".into(), lease: "l".into() }
    }

    fn budget(&self) -> Budget<'_> {
        Budget { place: self.place(), total: self.total, free: &self.free }
    }

    /// The next who asks: the partition, and how much above the least amount.
    fn ask(&self) -> (Partition, i64) {
        let index = self.asked.replace(self.asked.get() + 1);
        let Ask { partition, above_least } =
            self.asks.get(index % self.asks.len().max(1)).copied().unwrap_or_default();
        let index = usize::from(partition) % self.partitions.count() as usize;
        (self.partitions.all().nth(index).unwrap(), above_least)
    }

    fn read(&self, partition: Partition, read: Read) -> Vec<Answer> {
        let transaction = Transaction { reads: vec![read], ..Transaction::default() };
        match block_on(self.memory.commit(partition, &transaction)) {
            Ok(Outcome::Committed(answers)) => answers,
            other => panic!("{other:?}"),
        }
    }

    fn fields<const N: usize>(
        &self,
        partition: Partition,
        record: &MapKey,
        fields: [&str; N],
    ) -> [i64; N] {
        let read = Read::Fields(record.clone(), fields.map(Into::into).to_vec());
        integers(self.read(partition, read).first()).unwrap()
    }

    fn lease(&self, partition: Partition) -> Lease {
        Lease::answered(self.read(partition, Lease::read(self.place().lease)).first()).unwrap()
    }

    /// Gives an amount to somebody of a partition; nothing where less than the least is left.
    async fn give(
        &self,
        partition: Partition,
        wanted: RangeInclusive<i64>,
    ) -> Result<Option<i64>, CommitError> {
        self.give_by(&Ahead(self, 0), partition, wanted).await
    }

    /// The same by somebody's clock.
    async fn give_by(
        &self,
        world: &Ahead<'_>,
        partition: Partition,
        wanted: RangeInclusive<i64>,
    ) -> Result<Option<i64>, CommitError> {
        let (budget, need) = (self.budget(), *wanted.end());
        let (mut source, mut units) = (Source::Left, need);
        attempts("give", async || {
            let Err(refused) = self.draw(world, partition, source, units).await? else {
                assert!(wanted.contains(&units), "{units} of {wanted:?}");
                return Ok(Some(Some(units)));
            };
            match refused.why {
                Why::SoldOut if is_sold_out(refused.field()?, world.context().now)? => {
                    return Ok(Some(None));
                }
                Why::SoldOut => source = Source::Unmarked,
                Why::Moved => (source, units) = (Source::Left, need),
                Why::Left => {
                    let read = Lease::read(budget.place.lease.clone());
                    let answers = self.context().read(partition, vec![read]).await?;
                    let lease = Lease::answered(answers.first())?;
                    match refill(world, &budget, partition, lease, wanted.clone()).await? {
                        Refill::Ready(from, count) => (source, units) = (from, count),
                        Refill::SoldOut => return Ok(Some(None)),
                    }
                }
            }
            Ok(None)
        })
        .await
    }

    /// The commit that gives; why it was refused.
    async fn draw(
        &self,
        world: &Ahead<'_>,
        partition: Partition,
        source: Source,
        units: i64,
    ) -> Result<Result<(), Refused<Why>>, CommitError> {
        let draw = source.draw(&self.place().lease, units, world.context().now);
        let mut plan = Plan::new();
        for (why, guard) in draw.guards {
            plan.demand(why, guard);
        }
        plan.write_all(draw.writes);
        plan.write(Write::Add("given".into(), "cents".into(), units));
        Ok(self.context().commit(partition, plan).await?.map(drop))
    }

    /// Gives until nothing is left, as far as one person can tell.
    async fn give_all(&self, least: i64) {
        let mut refused = 0;
        while refused < 3 {
            self.clock.set(self.clock.get() + 1);
            let (partition, above_least) = self.ask();
            let need = least + above_least % (AMOUNT_MAX - least + 1);
            if let Ok(None) = self.give(partition, least..=need).await {
                refused += 1;
                self.clock.set(self.clock.get() + MEMORY_MS / 2);
            }
        }
    }

    /// Checks the books; what was given.
    fn check(&self) -> i64 {
        let place = self.place();
        let [free] = self.fields(place.partition, &place.pool, [FREE]);
        let (mut given, mut leased, mut under_way) = (0, 0, 0);
        for partition in self.partitions.all() {
            let lease = self.lease(partition);
            let [of_partition] = self.fields(partition, &"given".into(), ["cents"]);
            assert_eq!(lease.issued(), of_partition, "{partition}: {lease:?}");
            let names = [CREDITED, RETURNED].map(|name| format!("{name}{partition}"));
            let names = [names[0].as_str(), names[1].as_str()];
            let [credited, returned] = self.fields(place.partition, &place.pool, names);
            let (arriving, leaving) = (credited - lease.credited, lease.returned - returned);
            assert!(lease.left >= 0 && arriving >= 0 && leaving >= 0, "{partition}: {lease:?}");
            given += of_partition;
            leased += lease.left;
            under_way += arriving + leaving;
        }
        assert!(free >= 0, "{free} are free");
        assert_eq!(free + leased + under_way + given, self.total);
        given
    }
}

/// A script of deliveries that loses one request and one reply in so many. In parts, so that shrinking leaves
/// out many at once.
fn deliveries(loses_one_in: Option<u32>) -> impl Strategy<Value = Vec<Vec<Delivery>>> {
    let lost = match loses_one_in {
        None => Just(Lost::Nothing).boxed(),
        Some(count) => prop_oneof![
            count - 2 => Just(Lost::Nothing),
            1 => Just(Lost::Request),
            1 => Just(Lost::Reply),
        ]
        .boxed(),
    };
    let delivery = (0_u8..3, 0_u8..3, lost)
        .prop_map(|(turns_before, turns_after, lost)| Delivery { turns_before, turns_after, lost });
    vec(vec(delivery, 0..=DELIVERIES_MAX), 0..=PARTS_MAX)
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = (any::<u8>(), 0..AMOUNT_MAX)
        .prop_map(|(partition, above_least)| Ask { partition, above_least });
    vec(ask, 0..=ASKS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: Some(Box::new(WithSource("regressions"))),
        max_shrink_iters: SHRINKS_MAX,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_budget_is_given_to_its_last_cent_and_no_further(
        partitions in prop_oneof![Just(4_u32), Just(256)],
        total in prop_oneof![0..2_000_i64, 0..100_000_i64],
        least in prop_oneof![Just(1), 1..=AMOUNT_MAX],
        asks in asks(),
        deliveries in prop_oneof![
            deliveries(None), deliveries(Some(40)), deliveries(Some(400)),
        ],
    ) {
        let mut rain = Rain::new(partitions, total);
        rain.asks = asks;
        rain.deliveries = RefCell::new(deliveries.concat().into_iter());
        block_on(join_all((0..CLIENTS).map(|_| rain.give_all(least))));
        rain.check();

        // It is quiet now, and nobody remembers anything: whatever is left anywhere can be given.
        rain.deliveries.take();
        loop {
            rain.clock.set(rain.clock.get() + MEMORY_MS);
            let (partition, _) = rain.ask();
            let units = block_on(rain.give(partition, least..=AMOUNT_MAX)).unwrap();
            let given = rain.check();
            match units {
                Some(AMOUNT_MAX) => {}
                Some(_) => prop_assert_eq!(given, total, "clipped to less than was left"),
                None => break,
            }
        }
        let given = rain.check();
        prop_assert!(total - given < least, "{} of {} were given", given, total);
        block_on(call_back_all(&rain, &rain.place())).unwrap();
        prop_assert_eq!(rain.check(), given);
        let [free] = rain.fields(rain.place().partition, &rain.place().pool, [FREE]);
        prop_assert_eq!(free, total - given);
    }
}

#[test]
fn the_last_cents_are_given_where_they_are_enough() {
    let rain = Rain::new(4, 1_000);
    let homes: Vec<_> = rain.partitions.all().collect();
    let give = |home: usize, wanted| {
        rain.clock.set(rain.clock.get() + MEMORY_MS);
        block_on(rain.give(homes[home], wanted)).unwrap()
    };
    assert_eq!(give(0, 400..=400), Some(400));
    assert_eq!(give(1, 50..=450), Some(450));
    assert_eq!(give(2, 151..=400), None, "150 are left");
    assert_eq!(give(3, 150..=400), Some(150));
    assert_eq!(give(3, 1..=400), None);
    assert_eq!(rain.check(), 1_000);
}

/// Within a term of the last calling back, what other partitions have left stays there; what the own one
/// has is given.
#[test]
fn what_a_partition_has_is_given_while_nothing_is_free() {
    let rain = Rain::new(4, 1_000);
    let homes: Vec<_> = rain.partitions.all().collect();
    let give = |home: usize, wanted| {
        rain.clock.set(rain.clock.get() + 1);
        block_on(rain.give(homes[home], wanted)).unwrap()
    };
    assert_eq!(give(1, 1_001..=1_001), None, "called back just now");
    assert_eq!(give(0, 1..=1), Some(1), "of a lease of 62");
    assert_eq!(give(2, 938..=938), Some(938));
    assert_eq!(give(3, 1..=1), None);
    assert_eq!(give(0, 62..=100), None);
    rain.clock.set(rain.clock.get() + MEMORY_MS);
    assert_eq!(give(3, 1..=1), Some(1), "called back from there");
    assert_eq!(give(3, 1..=100), Some(60));
    assert_eq!(rain.check(), 1_000);
}

/// Two of one partition: the lease that the first one took has not arrived, and is too small for the
/// second one.
#[test]
fn a_credit_that_is_too_small_arrives_and_another_one_follows() {
    let rain = Rain::new(4, 20);
    let (budget, home) = (rain.budget(), rain.partitions.all().next().unwrap());
    let ask = |need| block_on(refill(&rain, &budget, home, rain.lease(home), need..=need)).unwrap();
    assert_eq!(ask(1), Refill::Ready(Source::Credit(0, 1), 1));
    assert_eq!(ask(1), Refill::Ready(Source::Credit(0, 1), 1), "it is found");
    assert_eq!(ask(9), Refill::Ready(Source::Credit(1, 10), 9));
    let draw = |source, units| {
        let drawn = block_on(rain.draw(&Ahead(&rain, 0), home, source, units)).unwrap();
        drawn.map_err(|refused| refused.why)
    };
    assert_eq!(draw(Source::Credit(0, 1), 1), Err(Why::Moved));
    assert_eq!(draw(Source::Left, 1), Ok(()));
    assert_eq!(draw(Source::Credit(1, 10), 9), Ok(()));
    assert_eq!(rain.check(), 10);
}

/// Somebody whose clock is ten minutes ahead began to call back and died. Whoever comes next does it instead,
/// and dates it by their own clock.
#[test]
fn a_calling_back_that_was_abandoned_by_a_clock_ahead_is_done_by_the_next() {
    let rain = Rain::new(4, 1_000);
    let place = rain.place();
    let homes: Vec<_> = rain.partitions.all().collect();
    assert_eq!(block_on(rain.give(homes[0], 1..=1)).unwrap(), Some(1), "of a lease of 62");
    assert_eq!(block_on(rain.give(homes[1], 938..=938)).unwrap(), Some(938));
    let ahead = rain.clock.get() + 600_000;
    rain.write(
        place.partition,
        Write::Set(place.pool.clone(), "wave".into(), Value::Integer(ahead * 1_000)),
    );

    assert_eq!(PAUSES.get(), 0);
    assert_eq!(block_on(rain.give(homes[2], 61..=61)).unwrap(), Some(61), "called back");
    assert_eq!(PAUSES.get(), 7, "the other one may still be at it: a second");
    let counts = rain.fields(place.partition, &place.pool, ["wave", "ended"]);
    assert_eq!(counts.map(|stamp| stamp / 1_000), [rain.clock.get(); 2]);
    assert_eq!(rain.check(), 1_000);
}

/// Somebody whose clock is ten minutes ahead found that nothing is left, and said so where it found it.
#[test]
fn what_a_clock_ahead_found_sold_out_is_sold_out_for_nobody_else() {
    let rain = Rain::new(4, 1_000);
    let place = rain.place();
    let homes: Vec<_> = rain.partitions.all().collect();
    let give = |home: usize, wanted| block_on(rain.give(homes[home], wanted)).unwrap();
    let clock = rain.clock.get();
    rain.clock.set(clock + 600_000);
    assert_eq!(give(0, 1_000..=1_000), Some(1_000));
    assert_eq!(give(1, 1..=1), None);
    let mark = || rain.fields(homes[1], &place.lease, [SOLD_OUT_UNTIL]);
    assert_eq!(mark(), [clock + 601_000]);

    // What comes back to another partition is there for the others at once.
    rain.clock.set(clock);
    rain.write(homes[2], Write::Add(place.lease.clone(), "left".into(), 1));
    rain.write(homes[2], Write::Add("given".into(), "cents".into(), -1));
    assert_eq!(give(1, 1..=1), Some(1), "called back");
    assert_eq!(PAUSES.get(), 0);
    assert_eq!(mark(), [0], "it is gone");
    let counts = rain.fields(place.partition, &place.pool, ["wave", "ended"]);
    assert_eq!(counts.map(|stamp| stamp / 1_000), [clock; 2]);
    // Where nothing is left this clock says so, for a second of its own.
    assert_eq!(give(1, 1..=1), None);
    assert_eq!(mark(), [clock + 1_000]);
}

/// People of two clocks, ten minutes apart, ask at once for more than there is: everybody gets something or is told
/// that nothing is left, and nobody is kept asking.
#[test]
fn clocks_that_differ_keep_nobody_from_an_answer() {
    let mut rain = Rain::new(4, 50);
    let delivery = |index: u32| {
        let (turns_before, turns_after) = ((index % 3) as u8, (index / 3 % 3) as u8);
        Delivery { turns_before, turns_after, lost: Lost::Nothing }
    };
    let deliveries: Vec<_> = (0..100_000).map(delivery).collect();
    rain.deliveries = RefCell::new(deliveries.into_iter());
    let person = async |index: usize| {
        let home = rain.partitions.all().nth(index % 4).unwrap();
        let ahead = Ahead(&rain, [0, 600_000][index / 4 % 2]);
        let mut refused = 0;
        while refused < 5 {
            rain.clock.set(rain.clock.get() + 1);
            let given = rain.give_by(&ahead, home, 1..=1).await;
            refused += u32::from(given.expect("it is answered").is_none());
        }
    };
    block_on(join_all((0..64).map(person)));
    assert_eq!(rain.check(), 50);
}

/// The pool has more, and partitions have not forgotten yet that nothing was left.
#[test]
fn a_budget_that_was_raised_is_given_at_once() {
    let mut rain = Rain::new(4, 10);
    let place = rain.place();
    let homes: Vec<_> = rain.partitions.all().collect();
    assert_eq!(block_on(rain.give(homes[0], 10..=10)).unwrap(), Some(10));
    assert_eq!(block_on(rain.give(homes[1], 1..=1)).unwrap(), None);
    rain.total = 20;
    rain.write(place.partition, Write::Add(place.pool.clone(), FREE.into(), 10));
    assert_eq!(block_on(rain.give(homes[1], 1..=1)).unwrap(), None, "it is remembered");
    block_on(forget_sold_out(&rain, &place));
    assert_eq!(block_on(rain.give(homes[1], 1..=1)).unwrap(), Some(1));
    assert_eq!(rain.check(), 11);
}

/// Four partitions have sixteen shares: with less than a gift for each of them, what comes back goes on to the
/// pool at once.
#[test]
fn a_budget_is_low_where_not_every_share_is_worth_a_gift() {
    for (seen, total, expected) in [
        (Some(159), 1_000_000, true),
        (Some(160), 0, false),
        (Some(161), 0, false),
        (None, 159, true),
        (None, 160, false),
    ] {
        let rain = Rain::new(4, total);
        rain.free.set(seen);
        assert_eq!(is_low(&rain, &rain.budget(), 10), expected, "{seen:?} of {total}");
    }
}

/// What a calling back found counts for so long, where it did not take long.
const TERM_MS: u64 = 1_000;
/// How often everybody has a turn.
const TICK_MS: u64 = 5;
/// People who are told that nothing is left, and ask again.
const REFUSED: usize = 32;
/// How long they do so.
const ASKING_MS: u64 = 60_000;

thread_local! {
    /// The time of a slow store's world.
    static SLOW_CLOCK_MS: Cell<u64> = const { Cell::new(0) };
}

/// A store that commits one transaction after the other, each in its time.
struct Slow {
    memory: Memory,
    partitions: Partitions,
    commit_ms: u64,
    /// The one with which it fails.
    broken: Option<Partition>,
    /// When it has nothing more to do.
    idle_at: Cell<u64>,
    /// When waves began and ended.
    waves: RefCell<Vec<(u64, &'static str)>>,
}

/// All of them, each once in a turn: [`join_all`] leaves out most of many that wait by turns.
async fn all_by_turns<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(|one| Box::pin(maybe_done(one))).collect();
    poll_fn(|context| {
        let mut is_done = true;
        for one in &mut all {
            is_done &= one.as_mut().poll(context).is_ready();
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.iter_mut().filter_map(|one| one.as_mut().take_output()).collect()
}

/// Until a moment of a slow store's world.
async fn until(ms: u64) {
    while SLOW_CLOCK_MS.get() < ms {
        turn().await;
    }
}

impl Binding for Slow {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let done_at = self.idle_at.get().max(SLOW_CLOCK_MS.get()) + self.commit_ms;
        self.idle_at.set(done_at);
        until(done_at).await;
        if self.broken == Some(partition) {
            return Err(CommitError::Unavailable("broken".into()));
        }
        let outcome = self.memory.commit(partition, transaction).await;
        for name in ["wave", "ended", "failed"] {
            let is_name =
                |write: &Write| matches!(write, Write::Set(_, field, _) if *field == name.into());
            if transaction.writes.iter().any(is_name)
                && matches!(outcome, Ok(Outcome::Committed(_)))
            {
                self.waves.borrow_mut().push((done_at, name));
            }
        }
        outcome
    }

    async fn commit_some(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Vec<Result<Outcome, CommitError>> {
        all_by_turns(transactions.iter().map(|(partition, one)| self.commit(*partition, one))).await
    }
}

fn at_slow_store(store: &Slow) -> Context<'_, Slow> {
    let timer =
        Timer::begin(|ms| Box::pin(until(SLOW_CLOCK_MS.get() + ms)), || SLOW_CLOCK_MS.get());
    let now = UnixMillis(1_771_257_600_000 + SLOW_CLOCK_MS.get() as i64);
    Context { store, partitions: store.partitions, now, timer }
}

/// A sale is over, and many ask all the same. When waves began, ended and failed, and how many were told that nobody
/// knows what is left.
fn ask_slow_store(
    partitions: u32,
    commit_ms: u64,
    broken: Option<usize>,
) -> (Vec<(u64, &'static str)>, u32) {
    SLOW_CLOCK_MS.set(0);
    let partitions = Partitions::new(partitions).unwrap();
    let homes: Vec<_> = partitions.all().collect();
    let store = Slow {
        memory: Memory::new(),
        partitions,
        commit_ms,
        broken: broken.map(|index| homes[index]),
        idle_at: Cell::new(0),
        waves: RefCell::default(),
    };
    let partition = partitions.of_configuration("pool");
    let place = Place { partition, pool: "p".into(), lease: "l".into() };
    let (working, unknown) = (Cell::new(REFUSED), Cell::new(0));
    let refused = async |person: usize| {
        let mut home = homes.iter().copied().cycle().skip(person * 8);
        while SLOW_CLOCK_MS.get() < ASKING_MS {
            let (context, free) = (at_slow_store(&store), Cell::new(None));
            let home = home.next().unwrap();
            let budget = Budget { place: place.clone(), total: 0, free: &free };
            let mark = Read::Fields(place.lease.clone(), vec![SOLD_OUT_UNTIL.into()]);
            let Ok(answers) = context.read(home, vec![mark]).await else { continue };
            let [until] = integers(answers.first()).unwrap();
            if is_sold_out(Some(&Value::Integer(until)), context.now).unwrap() {
                continue;
            }
            match refill(&context, &budget, home, Lease::default(), 1..=1).await {
                Ok(found) => assert_eq!(found, Refill::SoldOut),
                Err(CommitError::Unavailable(_)) => unknown.set(unknown.get() + 1),
                Err(error) => panic!("{error}"),
            }
        }
        working.set(working.get() - 1);
    };
    let clock = async {
        while working.get() > 0 {
            SLOW_CLOCK_MS.set(SLOW_CLOCK_MS.get() + TICK_MS);
            turn().await;
        }
    };
    block_on(join(clock, all_by_turns((0..REFUSED).map(refused))));
    (store.waves.into_inner(), unknown.get())
}

/// A wave takes longer than a second. Waves begin one after the other and leave the store half of its time, however
/// many ask.
#[test]
fn waves_of_a_slow_store_do_not_make_it_slower() {
    let (waves, unknown) = ask_slow_store(256, 5, None);
    let mut begun: Vec<u64> = Vec::new();
    let mut took = 0;
    for (index, (at, name)) in waves.iter().enumerate() {
        match (index % 2, *name) {
            (0, "wave") => {
                // Whoever waits for the first one cannot know yet how long it takes.
                let is_known = begun.len() > 1;
                assert!(!is_known || at - begun[begun.len() - 1] >= 2 * took, "{waves:?}");
                begun.push(*at);
            }
            (1, "ended") => took = at - begun[begun.len() - 1],
            _ => panic!("two at once: {waves:?}"),
        }
    }
    assert!(took > TERM_MS && begun.len() > 10, "{waves:?}");
    assert_eq!(unknown, 0);
}

/// One commit takes longer than the shortest term, and a wave longer than the longest.
#[test]
fn waves_of_a_store_that_hardly_answers_are_few() {
    let (waves, unknown) = ask_slow_store(256, 50, None);
    let count = |name| waves.iter().filter(|(_, one)| *one == name).count();
    assert!(count("wave") <= 8 && count("ended") >= 3, "{waves:?}");
    assert_eq!(unknown, 0);
}

/// One partition cannot be reached, so that nobody can say that nothing is left. Waves fail one after the other.
#[test]
fn waves_that_fail_are_few_and_nobody_waits_for_them_for_ever() {
    let (waves, unknown) = ask_slow_store(256, 5, Some(77));
    let count = |name| waves.iter().filter(|(_, one)| *one == name).count();
    assert!(count("ended") == 0 && count("wave").abs_diff(count("failed")) <= 1, "{waves:?}");
    // A second of rest behind each.
    assert!((10..30).contains(&count("failed")), "{waves:?}");
    assert!(unknown > 100, "{unknown}");
    let end = waves.last().map_or(0, |(at, _)| *at);
    assert!(end < ASKING_MS + 5_000, "somebody waits too long: {end}");
}

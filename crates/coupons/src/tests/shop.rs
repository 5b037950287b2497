//! A shop on a store in memory, with two instances.

use crate::chance::{Chance, Groups, Phase};
use binding::Binding;
use binding::memory::Interrupted;
use domain::answers::fields;
use domain::due::{DueIndex, Swept};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::paid::{self, Unknown, mark_paid};
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, Field, Outcome, Range, Read, Transaction, Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;

use crate::context::{Context, Templates};
use crate::group_buy::{self, Campaign, Opening};
use crate::issue::{Claim, Number, Recorded, issue};
use crate::publish::{self, Stock};
use crate::records::{self, Coupon, USER_FIELDS_MAX};
use crate::refusal::{Failure, Refusal};
use crate::scene::Scene;
use crate::template::Template;
use crate::template::tests::template;

/// How far the one clock is ahead of the other.
pub const AHEAD_MS: i64 = 600_000;
/// A quarter of a second after a full minute.
pub const START: UnixMillis = UnixMillis(1_771_257_600_250);
pub const USER: UserId = UserId(7);
pub const CHANCE: Chance<'static> = Chance { user: USER, campaign: "spring" };

/// The store, and what each instance remembers.
#[derive(Default)]
pub struct Shop {
    pub store: Interrupted,
    ahead: Templates,
    behind: Templates,
}

impl Shop {
    /// With a template and a campaign.
    pub fn open() -> Self {
        let shop = Self::default();
        assert_eq!(shop.publish("t", &[]), Ok(1));
        shop.set_up_campaign(true, true);
        shop
    }

    fn at<'a>(&'a self, templates: &'a Templates, now: UnixMillis) -> Context<'a, Interrupted> {
        let base = store::Context {
            store: &self.store,
            partitions: Partitions::new(4).unwrap(),
            now,
            timer: store::Timer::still(),
        };
        Context { base, stage: "live", templates, lease_share: lease::SHARE }
    }

    /// The instance that is behind, so long after the start.
    pub fn behind(&self, ms: i64) -> Context<'_, Interrupted> {
        self.at(&self.behind, UnixMillis(START.0 + ms))
    }

    /// The instance that is ahead, at the same time.
    pub fn ahead(&self, ms: i64) -> Context<'_, Interrupted> {
        self.at(&self.ahead, UnixMillis(START.0 + ms + AHEAD_MS))
    }

    /// The instance that is behind, at the start.
    pub fn now(&self) -> Context<'_, Interrupted> {
        self.behind(0)
    }

    /// Publishes the usual template with some fields changed.
    pub fn publish(&self, id: &str, changes: &[(&str, serde_json::Value)]) -> Result<i64, Failure> {
        block_on(publish::publish(&self.now(), id, &changed(changes)))
    }

    /// The scene of the usual template.
    pub fn set_up_scene(&self, scene: &Scene) {
        self.set_up_scene_of("newcomer", scene);
    }

    pub fn set_up_scene_of(&self, id: &str, scene: &Scene) {
        block_on(publish::set_up_scene(&self.now(), id, scene)).unwrap();
    }

    /// The campaign of the usual template.
    pub fn set_up_campaign(&self, give_back: bool, enabled: bool) {
        let unknown_users = Unknown::New;
        let campaign = Campaign { template: "t".into(), give_back, unknown_users, enabled };
        block_on(group_buy::set_up(&self.now(), CHANCE.campaign, &campaign)).unwrap();
    }

    pub fn issue(&self, claim: &Claim) -> Result<Recorded, Failure> {
        block_on(issue(&self.now(), claim))
    }

    /// Holds a coupon of the usual template.
    pub fn hold(&self, user: UserId, number: &str, hold_ms: i64) -> Recorded {
        self.issue(&Claim { hold_ms: Some(hold_ms), ..claim(user, number) }).unwrap()
    }

    /// What became of the coupons of the usual template.
    pub fn stock(&self) -> Stock {
        self.stock_of("t")
    }

    pub fn stock_of(&self, template: &str) -> Stock {
        block_on(publish::look(&self.now(), template)).unwrap().2
    }

    pub fn read(&self, partition: Partition, read: Read) -> Answer {
        block_on(self.now().read(partition, vec![read])).unwrap().remove(0)
    }

    /// How many entries an index of a partition has.
    pub fn entries(&self, partition: Partition, index: DueIndex) -> u64 {
        match self.read(partition, Read::Count(index.key(), Range::default())) {
            Answer::Size(size) => size,
            other => panic!("{other:?}"),
        }
    }

    /// Users of the partition of [`USER`], and not that one.
    pub fn neighbours(&self) -> impl Iterator<Item = UserId> {
        let (partitions, home) = (self.now().partitions, self.now().home(USER));
        (1_000..).map(UserId).filter(move |user| partitions.locate(*user).partition == home)
    }

    /// Writes behind everybody's back.
    pub fn write(&self, partition: Partition, writes: Vec<Write>) {
        block_on(self.now().write(partition, writes)).unwrap();
    }

    /// Somebody else writes before the commit that so many others come before.
    pub fn meanwhile(&self, before: u32, partition: Partition, writes: Vec<Write>) {
        self.meanwhile_commit(before, partition, writing(writes));
    }

    /// The same of a transaction, which must hold then.
    pub fn meanwhile_commit(&self, before: u32, partition: Partition, transaction: Transaction) {
        self.store.interrupt(before, move |memory| {
            // A store in memory never waits; and an executor within an executor would.
            let outcome = memory.commit(partition, &transaction).now_or_never().unwrap();
            assert!(matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
        });
    }

    /// Whether that has happened.
    pub fn was_interrupted(&self) -> bool {
        self.store.was_interrupted()
    }

    /// The user has paid for something before.
    pub fn pay(&self, user: UserId) {
        for (partition, transaction) in mark_paid(&[user], self.now().partitions) {
            self.write(partition, transaction.writes);
        }
    }

    /// The import of earlier payers is complete, or open again; instances read that anew.
    pub fn declare_import(&self, complete: bool) {
        let home = paid::home_of_import(self.now().partitions);
        self.write(home, vec![paid::declare_import(complete)]);
        self.now().templates.forget("t");
    }

    /// The user's record has as many fields as it may have, for one more order.
    pub fn fill_record(&self, user: UserId) {
        let field = |index: u32| Field(format!("x{index}").into_bytes());
        let write = |index| Write::Set(records::user(user), field(index), Value::Integer(1));
        self.write(self.now().home(user), (0..USER_FIELDS_MAX).map(write).collect());
    }

    /// The instance behind opens a group for a minute.
    pub fn open_group(&self, user: UserId) -> (Opening, Groups) {
        let opening = opening(user, "g");
        let (group, replayed) = block_on(group_buy::open(&self.now(), &opening)).unwrap();
        assert_eq!((group.phase, replayed), (Phase::Open, false));
        let open = Groups::default().opened(group).unwrap();
        (opening, open)
    }

    /// The user's group succeeds, and its reward is due.
    pub fn earn(&self, user: UserId) {
        let (_, open) = self.open_group(user);
        let succeeded = open.ended("g", Phase::Succeeded, START).unwrap();
        let chance = Chance { user, ..CHANCE };
        self.write(self.now().home(user), chance.change(&open, &succeeded).writes);
    }

    /// What the user made of their chance.
    pub fn groups(&self, user: UserId) -> Groups {
        let answer = self.read(self.now().home(user), Chance { user, ..CHANCE }.read());
        let values = fields(Some(&answer)).unwrap();
        Groups::decode(values[0].as_ref()).unwrap()
    }

    /// Where the user's group stands.
    pub fn phase(&self, user: UserId) -> Phase {
        self.groups(user).find("g").unwrap().phase
    }
}

fn writing(writes: Vec<Write>) -> Transaction {
    Transaction { writes, ..Transaction::default() }
}

/// The usual template with some fields changed.
pub fn changed(changes: &[(&str, serde_json::Value)]) -> Template {
    template(|body| {
        for (field, value) in changes {
            body[*field] = value.clone();
        }
    })
}

pub fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "").unwrap()
}

/// A claim of the usual template, for good.
pub fn claim(user: UserId, text: &str) -> Claim {
    Claim {
        user,
        number: Number::Given(number(text)),
        ordered_at: None,
        template: "t".into(),
        segments: vec![],
        hold_ms: None,
    }
}

pub fn opening(user: UserId, group: &str) -> Opening {
    Opening { campaign: CHANCE.campaign.into(), group: group.into(), user, lasts_seconds: 60 }
}

/// The instance gives the rewards that are due everywhere; how many. Nothing is stuck.
pub fn settle(context: &Context<'_, Interrupted>) -> u64 {
    let partitions: Vec<_> = context.partitions.all().collect();
    let swept = block_on(group_buy::settle_due(context, &partitions)).unwrap();
    assert_eq!(swept, Swept { done: swept.done, ..Swept::default() });
    swept.done
}

/// The coupon that was given.
pub fn coupon(recorded: &Recorded) -> &Coupon {
    recorded.order.coupon().unwrap()
}

/// The refusal, where it is one.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> Refusal {
    match result {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The code and the field of an argument that is at fault.
pub fn invalid<T: std::fmt::Debug>(result: Result<T, Failure>) -> (&'static str, String) {
    match result {
        Err(Failure::Invalid(error)) => (error.code, error.field),
        other => panic!("{other:?}"),
    }
}

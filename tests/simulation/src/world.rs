//! What the clients of a schedule share, and a step of a client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::time::UnixMillis;
use end_to_end::app::{Ask, Reply, check};
use end_to_end::patient::{self, Patient};
use host::App;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use store::retention::Retention;
use tokio::sync::RwLock;

use crate::books::Books;
use crate::corruption;
use crate::functions::Function;
use crate::plan::{Plan, StepId};
use crate::story::Story;

/// Users, so few that they meet.
pub const USERS: [u64; 7] = [1, 2, 3, 5, 1 << 20, 99_999_999, 652_024_209_997_893_632];
/// A user who does nothing before everything is at rest.
pub const LAST: u64 = 4;
/// Requests of one schedule that fail once its clients are gone: what is late then still happens.
pub const FAILURES_MAX: u32 = 200;

/// Longer than any delay, any time-out and any reservation.
pub const LATE_MS: u64 = 40_000;
/// So many of those times until everything is at rest: a request whose client is gone waits for a few
/// time-outs one after the other, and what it reserves in the end must expire as well.
pub const LATE_ROUNDS: u32 = 6;
/// A day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What is known of whether a user has paid. Nothing at all: nobody ever said so, and the user is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paid {
    /// Somebody tried to say so, and may be heard at any moment, or never.
    Tried,
    /// It was acknowledged: the user is not new for anybody, for good.
    Acknowledged,
}

/// What a schedule did, or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Times that the store was read as a whole.
    pub checks: u64,
    /// Steps by function and action.
    pub actions: BTreeMap<String, u64>,
    /// Faults by name.
    pub faults: BTreeMap<String, u64>,
    /// States that were seen, by function and name.
    pub seen: BTreeMap<String, u64>,
}

impl Report {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.checks += other.checks;
        let maps = [
            (&mut self.actions, &other.actions),
            (&mut self.faults, &other.faults),
            (&mut self.seen, &other.seen),
        ];
        for (into, from) in maps {
            for (name, count) in from {
                *into.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// What was asked that concerns a user.
#[derive(Default)]
struct Asked {
    /// Requests that are under way.
    under_way: u32,
    /// When the last one began or ended.
    last_ms: u64,
}

/// For how many days what acted under a number is kept.
pub const NUMBERS_DAYS: u64 = Retention::LEAST.numbers_days as u64;

/// What may be kept no more.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Whether anything that is over is taken away.
    is_little: bool,
    /// The latest moment that it may be by some clock.
    now_ms: u64,
}

impl Kept {
    /// Whether what ended at a moment, or later, and is kept for so many days may be gone.
    pub fn may_be_gone(&self, ended_ms: u64, days: u64) -> bool {
        self.is_little && self.now_ms >= ended_ms + days * DAY_MS
    }
}

/// What the clients of one schedule share.
pub struct World {
    /// The app.
    pub app: App,
    /// What the seed runs.
    pub plan: Plan,
    /// The functions in play.
    pub functions: Vec<Arc<dyn Function>>,
    books: Mutex<Books>,
    report: Mutex<Report>,
    paid: Mutex<BTreeMap<u64, Paid>>,
    /// Held by whoever asks, where weeks pass; and by nobody else while they do.
    asking: RwLock<()>,
    /// What was asked, by the users whom it concerns.
    asked: Mutex<BTreeMap<u64, Asked>>,
    story: Story,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(
        app: &App,
        plan: &Plan,
        functions: Vec<Arc<dyn Function>>,
        books: Books,
        story: &Story,
    ) -> Self {
        Self {
            app: app.clone(),
            plan: plan.clone(),
            functions,
            books: Mutex::new(books),
            report: Mutex::default(),
            paid: Mutex::default(),
            asking: RwLock::default(),
            asked: Mutex::default(),
            story: story.clone(),
        }
    }

    /// The store as it was read last.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no check has failed before")
    }

    /// What happened so far.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().expect("no check has failed before")
    }

    /// Counts a state that a function was seen in.
    pub fn saw(&self, state: impl Into<String>) {
        self.saw_times(state, 1);
    }

    /// Counts a state that a function was seen in, or so many cents.
    pub fn saw_times(&self, state: impl Into<String>, times: u64) {
        *self.report().seen.entry(state.into()).or_default() += times;
    }

    /// Somebody is about to say that a user has paid.
    pub fn try_paid(&self, user: u64) {
        self.known_paid().entry(user).or_insert(Paid::Tried);
    }

    /// It was acknowledged that a user has paid.
    pub fn acknowledge_paid(&self, user: u64) {
        self.known_paid().insert(user, Paid::Acknowledged);
    }

    /// What is known of whether a user has paid.
    pub fn paid(&self, user: u64) -> Option<Paid> {
        self.known_paid().get(&user).copied()
    }

    fn known_paid(&self) -> MutexGuard<'_, BTreeMap<u64, Paid>> {
        self.paid.lock().expect("no check has failed before")
    }

    /// A line of the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        self.story.tell(line);
    }

    /// Reads the store as a whole, and checks what must hold at any moment.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self) {
        let mut books = self.books();
        books.collect(self.app.now_ms());
        books.read();
        for function in &self.functions {
            function.check(self, &books);
        }
        self.report().checks += 1;
    }

    /// Moves the time.
    pub fn advance(&self, ms: u64) {
        self.app.advance_time(ms);
        self.tell(|| format!("{ms} ms pass"));
    }

    /// Days pass while nobody asks anything, and behind what is late: a request is minutes old at the most, and what is
    /// collected was over for days.
    pub async fn pass_days(&self, days: u64) {
        let _alone = self.asking.write().await;
        for _ in 0..LATE_ROUNDS {
            self.advance(LATE_MS);
            // What was late happens while this is answered.
            patient::ask(&self.app, &check(LAST)).await;
        }
        self.advance(days * DAY_MS);
    }

    /// What may be kept no more by now.
    pub fn kept(&self) -> Kept {
        let now_ms = self.app.now_ms() + self.plan.skew_ms_max();
        Kept { is_little: self.plan.weeks, now_ms }
    }

    /// Whether what ended at a moment, or later, may be collected by now, by some clock.
    pub fn may_be_collected(&self, ended_ms: u64) -> bool {
        self.kept().may_be_gone(ended_ms, NUMBERS_DAYS)
    }

    /// Asks once; the answer may be lost, or be that the store failed. Of users of whom a record is unreadable nothing
    /// is asked.
    ///
    /// # Panics
    /// It is another failure of the server's.
    pub async fn ask(&self, who: &str, asked: &Ask) -> Option<Reply> {
        let users = corruption::users_of(asked);
        if !users.is_disjoint(&self.books().corrupted_users()) {
            return None;
        }
        let _asking = match self.plan.weeks {
            true => Some(self.asking.read().await),
            false => None,
        };
        self.tell(|| format!("{who}  {}", asked_as_text(asked)));
        self.note(&users, |asked| asked.under_way += 1);
        let reply = patient::ask(&self.app, asked).await;
        self.note(&users, |asked| asked.under_way -= 1);
        self.tell(|| match &reply {
            None => format!("{who}  -> no answer"),
            Some(reply) => format!("{who}  -> {}", answered_as_text(reply)),
        });
        let mut report = self.report();
        match &reply {
            None => report.failed += 1,
            Some(reply) => {
                report.answered += 1;
                assert!(reply.status < 500, "{reply:?}");
            }
        }
        drop(report);
        reply
    }

    /// Users of whom something is asked right now, or was in the last milliseconds.
    pub fn busy_users(&self, last_ms: u64) -> BTreeSet<u64> {
        let since_ms = self.app.now_ms().saturating_sub(last_ms);
        let asked = self.asked();
        let busy = asked.iter().filter(|(_, one)| one.under_way > 0 || one.last_ms >= since_ms);
        busy.map(|(user, _)| *user).collect()
    }

    fn note(&self, users: &BTreeSet<u64>, change: impl Fn(&mut Asked)) {
        let (mut all, now_ms) = (self.asked(), self.app.now_ms());
        for user in users {
            let asked = all.entry(*user).or_default();
            asked.last_ms = now_ms;
            change(asked);
        }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<u64, Asked>> {
        self.asked.lock().expect("no check has failed before")
    }

    /// A client who asks until there is an answer.
    pub fn patient(&self, failures_max: u32) -> Patient {
        Patient::new(&self.app, failures_max)
    }
}

fn asked_as_text(asked: &Ask) -> String {
    let body = String::from_utf8_lossy(&asked.body);
    format!("{} {} {body}", asked.method, asked.path)
}

/// The most of a body that a story shows.
const BODY_BYTES_MAX: usize = 400;

fn answered_as_text(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let shown: String = body.chars().take(BODY_BYTES_MAX).collect();
    format!("{} {shown}", reply.status)
}

/// So long before it is asked for something was ordered at the most, by a clock that is right.
const ORDERED_MS: u64 = 30 * 60_000;

/// The same with one member more in its body.
pub fn with(asked: Ask, name: &str, value: Value) -> Ask {
    let mut body = match asked.body.as_ref() {
        [] => json!({}),
        body => serde_json::from_slice(body).expect("a body of JSON"),
    };
    body[name] = value;
    asked.json(body.to_string())
}

/// The same of a number that may have a time.
pub fn timed(asked: Ask, ordered_at: Option<u64>) -> Ask {
    let Some(at) = ordered_at else { return asked };
    let at = UnixMillis(i64::try_from(at).expect("a time"));
    with(asked, "ordered_at", json!(at))
}

/// One step of a client.
pub struct Step {
    /// Shared by all.
    pub world: Arc<World>,
    /// Which it is.
    pub id: StepId,
    /// Its own randomness.
    pub random: StdRng,
}

impl Step {
    /// A name that no other step has.
    pub fn name(&self) -> String {
        format!("c{}-{}", self.id.client, self.id.step)
    }

    /// One of the users.
    pub fn user(&mut self) -> u64 {
        self.one_of(&USERS)
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.random).expect("there are some").clone()
    }

    /// Time passes until a moment, as far before it or after it as clocks are off.
    pub fn wait_until_around(&mut self, moment_ms: u64) {
        let spread = self.world.plan.skew_ms_max().max(1_000);
        let then_ms = (moment_ms + self.random.random_range(0..=2 * spread)).saturating_sub(spread);
        let ms = then_ms.saturating_sub(self.world.app.now_ms());
        if ms > 0 {
            self.world.advance(ms);
        }
    }

    /// When something was ordered that is asked for now, where weeks pass; half of the numbers have no time.
    pub fn ordered_at(&mut self) -> Option<u64> {
        if !self.world.plan.weeks || self.random.random_bool(0.5) {
            return None;
        }
        let before_ms = self.world.plan.skew_ms_max() + self.random.random_range(0..ORDERED_MS);
        Some(self.world.app.now_ms() - before_ms)
    }

    /// One attempt, or two; nothing where there was no answer.
    pub async fn ask(&mut self, asked: &Ask) -> Option<Reply> {
        let who = self.id.to_string();
        for _ in 0..self.random.random_range(1..=2) {
            if let Some(reply) = self.world.ask(&who, asked).await {
                return Some(reply);
            }
        }
        None
    }
}

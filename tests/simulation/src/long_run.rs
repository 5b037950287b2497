//! Many days of a shop, one after the other: users who come every day, campaigns and rains that begin and end, settlement by
//! the hour and collection by the day, with clocks of instances that differ. Nothing else goes wrong: what is asked is
//! whether the store stays as large as it is, and whether what was forgotten stays forgotten.
//!
//! Every day all books are checked, every record of the store must be of a kind whose life is declared, and numbers of former
//! days are asked again: they give what they gave, or `too_old`, or are refused because what they are about is over.
//! Never do they act a second time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use domain::time::UnixMillis;
use end_to_end::app::{Ask, Place, Reply, load};
use end_to_end::dump;
use end_to_end::wallet::{self, differences, packet_name};
use end_to_end::{coupon, group_buy, purchase};
use futures::StreamExt as _;
use futures::stream;
use host::{App, Faults, Time};
use http::Method;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use store::life::Shape;
use store::retention::Retention;

use crate::lives::kind_of;

/// Partitions: few, so that each has many users.
const PARTITIONS: u32 = 4;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const HOURS: u32 = 24;
/// A midnight in a time that has not come: what the server's own clock collects, it collects never.
const START_MS: u64 = 46_000 * DAY_MS;
/// How far the clocks of instances may be off.
const SKEW_MS: u64 = 10 * 60_000;
/// So long a commit may take by the virtual clock: none is given up.
const TIMEOUT_MS: u64 = 30_000;
/// Users who ask at the same time.
const AT_ONCE: usize = 16;
/// After so many days everything that is kept for a time has been there for as long: a campaign, its coupons, what is kept
/// of both.
const SETTLED_DAYS: usize = 100;
/// Numbers of former days that are asked again on a day.
const ASKED_AGAIN: usize = 60;
/// Numbers that are remembered so that they are asked again.
const REMEMBERED: usize = 20_000;
/// Calls of a schedule until it has nothing to do.
const CALLS_MAX: u32 = 64;
/// Bytes that a number which is forgotten may take, and a mark that a user has paid.
const BYTES_A_NUMBER: u64 = 9;

/// How long, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Days.
    pub days: u64,
    /// Users.
    pub users: u64,
    /// Campaigns: each has a template, a group-buy and an activity.
    pub campaigns: u64,
    /// Rains.
    pub rains: u64,
    /// What each user asks on a day, about.
    pub asks_a_day: u32,
    /// How long what is over is kept.
    pub kept: Kept,
    /// All books are checked, and the store measured, after so many days, and at the end.
    pub check_days: u64,
    /// Decides what users do.
    pub seed: u64,
}

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As short as can be configured.
    Least,
    /// So many days, or the least where that is more.
    Days(u32),
    /// As nobody configured it.
    Default,
}

impl Kept {
    fn retention(self) -> Retention {
        let least = Retention::LEAST;
        let of = |days: u32| Retention {
            numbers_days: days.max(least.numbers_days),
            entries_days: days.max(least.entries_days),
            configuration_days: days.max(least.configuration_days),
            archive_days: days.max(least.archive_days),
        };
        match self {
            Self::Least => least,
            Self::Days(days) => of(days),
            Self::Default => Retention::default(),
        }
    }
}

impl Scale {
    /// As much in so many days as there is of 30 campaigns and 1,500 rains in 400 of them.
    pub fn of_days(days: u64, users: u64) -> Self {
        let of = |count: u64| (count * days).div_ceil(400);
        Self {
            days,
            users,
            campaigns: of(30),
            rains: of(1_500),
            asks_a_day: 6,
            kept: Kept::Days(20),
            check_days: 1,
            seed: 14,
        }
    }

    /// So few days that shorter campaigns must do, and that little is kept.
    pub fn of_few_days(days: u64, users: u64) -> Self {
        let campaigns = days / 2;
        Self { campaigns, kept: Kept::Least, ..Self::of_days(days, users) }
    }
}

/// Whether the store stayed as large as it was.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Whether it did.
    pub is_constant: bool,
    /// How much larger it became, in percent.
    pub percent: u64,
    /// In words.
    pub text: String,
}

/// What the store held at the end of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The day, from 1.
    pub day: u64,
    /// Bytes of names, fields, values and members.
    pub bytes: u64,
    /// The same by kind of record.
    pub by_kind: BTreeMap<String, OfKind>,
    /// Bytes of the server's memory, with all that it needs for keys and structures, above those of an empty one.
    pub memory: u64,
    /// Bytes of sets of ids: paid marks, and hashes of numbers that are forgotten.
    pub ids_bytes: u64,
    /// How many ids those are, by the name of the set.
    pub ids: BTreeMap<String, u64>,
}

/// What the store held of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfKind {
    /// Bytes of names, fields, values and members.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Their fields, or members.
    pub fields: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The size of the store each day.
    pub sizes: Vec<Size>,
    /// Answers by action and by what was answered.
    pub answers: BTreeMap<String, u64>,
    /// The same of the last tenth of the days.
    pub last_answers: BTreeMap<String, u64>,
    /// What went, by kind.
    pub gone: BTreeMap<String, u64>,
}

impl Report {
    fn add(&mut self, gone: &BTreeMap<String, u64>) {
        for (kind, number) in gone {
            *self.gone.entry(kind.clone()).or_default() += number;
        }
    }

    /// The last days against those by which everything that is kept for a time has been there for as long: of 400 days the
    /// hundredth, of fewer the one after two thirds. The mean of ten days each, because campaigns come and go.
    pub fn growth(&self) -> Growth {
        let days = self.sizes.len();
        let first = SETTLED_DAYS.min(days * 2 / 3);
        let mean = |from: usize, until: usize| {
            let sizes = &self.sizes[from.min(until)..until];
            sizes.iter().map(|size| size.bytes).sum::<u64>() / (sizes.len() as u64).max(1)
        };
        let (before, after) =
            (mean(first.saturating_sub(10), first), mean(days.saturating_sub(10), days));
        let is_constant = after * 10 <= before * 11;
        let percent = (after.saturating_sub(before) * 100).div_ceil(before.max(1));
        let text = format!(
            "bytes: {before} to day {first}, {after} to day {days}: {:.3} times",
            after as f64 / before as f64
        );
        Growth { is_constant, percent, text }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for size in self.sizes.iter().filter(|size| size.day % 20 == 0) {
            let Size { day, bytes, memory, ids_bytes, ids, .. } = size;
            let _ = writeln!(
                text,
                "day {day}: {bytes} bytes, and {ids_bytes} of ids {ids:?}; {memory} of memory"
            );
        }
        if let Some(last) = self.sizes.last() {
            let _ = writeln!(text, "of these on day {}: bytes, records, fields", last.day);
            for (kind, OfKind { bytes, records, fields }) in &last.by_kind {
                let _ = writeln!(text, "  {bytes:>10} {records:>8} {fields:>8}  {kind}");
            }
        }
        for (title, counts) in [("answers", &self.answers), ("gone", &self.gone)] {
            let _ = writeln!(text, "{title}:");
            for (name, count) in counts {
                let _ = writeln!(text, "  {count:>10}  {name}");
            }
        }
        text
    }
}

/// A number that acted, so that it can be asked again.
struct Acted {
    action: &'static str,
    ask: Ask,
    /// What it gave.
    gave: Value,
}

/// A user's own memory.
#[derive(Default)]
struct User {
    id: u64,
    /// Coupons that may be redeemed.
    coupons: Vec<String>,
    /// Coupons that are redeemed, and by what.
    redeemed: Vec<(String, String)>,
    /// Orders that may be given back, and the time that belongs to the number, if it has one.
    purchases: Vec<(String, Option<String>)>,
    /// Withdrawals under way.
    withdrawals: Vec<String>,
    /// Cents that the user is known to have had at last.
    balance: i64,
}

/// What is going on today.
#[derive(Clone, Debug, Default)]
struct Today {
    day: u64,
    rains: Vec<String>,
    campaigns: Vec<String>,
    /// Group packets that were sent lately.
    packets: Vec<String>,
}

struct Run {
    app: App,
    place: Place,
    /// Of the empty server.
    empty_memory: u64,
    connection: Arc<Mutex<redis::Connection>>,
    scale: Scale,
    random: StdRng,
    users: Vec<User>,
    acted: Vec<Acted>,
    today: Today,
    report: Report,
}

/// Runs it.
///
/// # Panics
/// Something that is promised does not hold.
pub async fn run(scale: Scale, mut told: impl FnMut(u64, Option<&Size>)) -> Report {
    let place = Place::redis();
    let connection = Arc::new(Mutex::new(dump::open(&place.address())));
    let mut options = place
        .options()
        .variable("partitions", PARTITIONS.to_string())
        .variable("store_timeout_ms", TIMEOUT_MS.to_string());
    options.time = Time::Seeded { start_ms: START_MS };
    options.faults = Faults {
        seed: scale.seed,
        clock_skew_ms_max: SKEW_MS,
        store_clock_withheld: true,
        ..Faults::default()
    };
    // An hour without work is nothing here; how many requests an instance answers stays as it is.
    options.reuse.idle = Duration::from_millis(2 * HOUR_MS);
    let app = load(options).await;
    let _ticking = Ticking::begin(&app);
    let users = (0..scale.users).map(|index| User {
        // Some dense, some far apart.
        id: if index % 2 == 0 { index } else { 652_024_209_997_893_632 + (index << 22) },
        ..User::default()
    });
    let random = StdRng::seed_from_u64(scale.seed);
    let empty_memory = memory(&place).await;
    let mut run = Run {
        app,
        place,
        empty_memory,
        connection,
        scale,
        random,
        users: users.collect(),
        acted: Vec::new(),
        today: Today::default(),
        report: Report::default(),
    };
    run.set_up().await;
    for day in 1..=scale.days {
        run.day(day).await;
        told(day, run.report.sizes.last());
    }
    run.report
}

/// Virtual time stands still by itself, and whoever loses against another commit, or waits for a connection that is being
/// opened, waits for a millisecond of it: it goes on ten times as fast as time does.
struct Ticking(Arc<AtomicBool>);

impl Ticking {
    fn begin(app: &App) -> Self {
        let (app, goes_on) = (app.clone(), Arc::new(AtomicBool::new(true)));
        let ticking = Self(Arc::clone(&goes_on));
        thread::spawn(move || {
            while goes_on.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(100));
                app.advance_time(1);
            }
        });
        ticking
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What is called by a schedule.
#[derive(Clone, Copy)]
struct Scheduled {
    path: &'static str,
    /// The field that says whether anything is left.
    left: &'static str,
}

const SETTLEMENT: Scheduled = Scheduled { path: "/v1/settlement", left: "left" };
const COLLECTION: Scheduled = Scheduled { path: "/v1/collection", left: "has_more" };

impl Scheduled {
    /// Calls it until nothing is left; what went, by kind.
    async fn call(self, app: &App) -> BTreeMap<String, u64> {
        let Self { path, left } = self;
        let mut all = BTreeMap::new();
        for _ in 0..CALLS_MAX {
            let reply = Ask::post(path, "{}").operator().of(app).await;
            assert!((200..300).contains(&reply.status), "{path}: {reply:?}");
            let body = reply.json();
            assert_eq!(body["stuck_items"], json!([]), "{reply:?}");
            assert_eq!(body.get("interrupted"), None, "{reply:?}");
            for (kind, number) in body["gone"].as_object().into_iter().flatten() {
                let number = number.as_str().and_then(|number| number.parse().ok());
                *all.entry(kind.clone()).or_default() += number.unwrap_or(0_u64);
            }
            if body[left] == json!("0") || body[left] == json!(false) {
                return all;
            }
        }
        panic!("{path} goes on after {CALLS_MAX} calls");
    }
}

/// Asks for many things, some at the same time; answers in their order.
async fn at_once<T>(app: &App, asked: Vec<T>, ask: impl Fn(&T) -> Ask) -> Vec<(T, Reply)> {
    let asked = asked.into_iter().map(|one| (ask(&one), one));
    let answered = stream::iter(asked).map(async |(ask, one)| (one, ask.of(app).await));
    answered.buffered(AT_ONCE).collect().await
}

fn lock(connection: &Mutex<redis::Connection>) -> MutexGuard<'_, redis::Connection> {
    connection.lock().expect("no check has failed before")
}

/// What an answer says of a number: what must be the same when it is asked again.
fn essence(reply: &Reply) -> Value {
    let body = reply.json();
    let keep = ["coupon_id", "outcome", "amount", "template", "packet", "state", "uses"];
    let fields =
        keep.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone())));
    Value::Object(fields.collect())
}

/// Bytes that a server uses.
async fn memory(place: &Place) -> u64 {
    let Place::Redis(server) = place else { panic!("it runs on a server") };
    server.used_memory().await.expect("the server answers")
}

fn at(ms: u64) -> String {
    UnixMillis(i64::try_from(ms).expect("a time")).to_rfc3339()
}

impl Run {
    fn now_ms(&self) -> u64 {
        self.app.now_ms()
    }

    async fn must(&self, ask: Ask) -> Reply {
        let reply = ask.of(&self.app).await;
        assert!((200..300).contains(&reply.status), "{ask:?}: {reply:?}");
        reply
    }

    async fn set_up(&mut self) {
        let kept = json!(self.scale.kept.retention());
        self.must(Ask::new(Method::PUT, "/v1/retention").json(kept.to_string()).operator()).await;
        self.must(coupon::set_up_scene(
            "newcomer",
            &json!({"award_type": "coupon", "statement": "A gift"}),
        ))
        .await;
    }

    /// What begins on a day: about as much on each.
    async fn begin(&mut self, day: u64) {
        let from = START_MS + (day - 1) * DAY_MS;
        let of_day = |count: u64| {
            let place = |day: u64| day * count / self.scale.days;
            place(day - 1)..place(day)
        };
        let (rains, campaigns) = (of_day(self.scale.rains), of_day(self.scale.campaigns));
        self.today.rains.clear();
        for number in rains {
            let id = format!("rain-{number}");
            let mut rain = json!({
                "activity": id, "scene": "rain", "currency": "CNY",
                "budget": "200000", "single_cap": "500",
                "rounds": [{"round": 1, "from": at(from), "until": at(from + DAY_MS)}],
                "amounts": {"minimum": "10", "maximum": "100"},
            });
            // One with limits is kept for thirty days more.
            if self.scale.kept != Kept::Least {
                rain["limits"] = json!({"per_user": 3});
            }
            self.must(wallet::set_up_rain(&id, &rain)).await;
            self.today.rains.push(id);
        }
        for number in campaigns {
            let id = format!("campaign-{number}");
            let until = from + self.campaign_days() * DAY_MS;
            let template = json!({
                "activity": id, "scene": "newcomer", "kind": "percent_off", "value": "20",
                "threshold": "1000", "currency": "CNY", "stock": "100000", "limit_per_user": 500,
                "budget": "50000000", "single_cap": "500", "claim_from": at(from),
                "claim_until": at(until), "valid_for_days": 5, "rollback_days": 3,
                "low_water_percent": 0,
            });
            self.must(coupon::publish(&id, &template)).await;
            self.must(group_buy::set_up(&id, &id, true)).await;
            let mut activity = purchase::limited(&json!({"per_user": 1_000, "total": 1_000_000}));
            activity["from"] = json!(at(from));
            activity["until"] = json!(at(until));
            self.must(purchase::save(&id, "", &activity)).await;
            self.today.campaigns.push(id);
        }
        let first =
            day.saturating_sub(self.campaign_days()) * self.scale.campaigns / self.scale.days;
        self.today.campaigns.retain(|id| {
            let number = id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
            number.is_some_and(|number| number >= first)
        });
    }

    /// Campaigns overlap.
    fn campaign_days(&self) -> u64 {
        (2 * self.scale.days / self.scale.campaigns).clamp(4, 40)
    }

    async fn day(&mut self, day: u64) {
        self.today.day = day;
        self.begin(day).await;
        for hour in 0..HOURS.into() {
            self.hour(hour).await;
            self.app.advance_time(HOUR_MS);
            if hour % 6 == 0 {
                self.must(purchase::sweep()).await;
            }
        }
        self.call(SETTLEMENT).await;
        self.pay_out().await;
        self.call(COLLECTION).await;
        self.must(purchase::sweep()).await;
        self.ask_again().await;
        if day.is_multiple_of(self.scale.check_days) || day == self.scale.days {
            self.collect_by_the_server();
            self.check(day).await;
        }
    }

    /// Calls what a schedule calls, until nothing is left.
    async fn call(&mut self, scheduled: Scheduled) {
        let gone = scheduled.call(&self.app).await;
        self.report.add(&gone);
    }

    /// Once a day all withdrawals that are left are posted; some have ended by themselves.
    async fn pay_out(&mut self) {
        let users = self.users.iter_mut();
        let asks: Vec<_> = users
            .flat_map(|User { id, withdrawals, .. }| {
                withdrawals.drain(..).map(|number| wallet::post_withdrawal(*id, &number))
            })
            .collect();
        for (_, reply) in at_once(&self.app, asks, Ask::clone).await {
            let code = reply.text("code").unwrap_or_default();
            let is_ended = matches!(code.as_str(), "already_posted" | "already_voided");
            assert!(reply.status == 200 || is_ended, "{reply:?}");
        }
    }

    /// What the server itself would collect by its clock.
    fn collect_by_the_server(&mut self) {
        let now = self.now_ms();
        crate::books::collect(&mut lock(&self.connection), now);
    }

    /// An hour of everybody, beside a settlement of the hour before.
    async fn hour(&mut self, hour: u64) {
        let asks: Vec<_> = (0..self.users.len())
            .filter_map(|index| Some((index, self.draw(index, hour)?)))
            .collect();
        let (gone, answered) = tokio::join!(
            SETTLEMENT.call(&self.app),
            at_once(&self.app, asks, |(_, (_, ask))| ask.clone())
        );
        self.report.add(&gone);
        for ((index, (action, ask)), reply) in answered {
            self.learn(index, action, ask, &reply);
        }
        let is_last = self.today.packets.len();
        self.today.packets.drain(..is_last.saturating_sub(20));
    }

    /// What a user asks in this hour, if anything.
    fn draw(&mut self, index: usize, hour: u64) -> Option<(&'static str, Ask)> {
        let (day, now) = (self.today.day, self.now_ms());
        let random = &mut self.random;
        if !random.random_ratio(self.scale.asks_a_day.min(HOURS), HOURS) {
            return None;
        }
        let user = &mut self.users[index];
        let id = user.id;
        let number = format!("{day}-{hour}");
        // Half of the numbers have a time.
        let timed = |random: &mut StdRng, mut body: Value| {
            if random.random_bool(0.5) {
                body["ordered_at"] = json!(at(now - random.random_range(0..30 * 60_000)));
            }
            body
        };
        let post = |path: String, body: &Value| Ask::post(path, body.to_string());
        let campaign = self.today.campaigns.choose(random).cloned();
        Some(match random.random_range(0..100) {
            0..20 => {
                let rain = self.today.rains.choose(random)?;
                let award = random.random_range(0..4).to_string();
                ("open a rain", wallet::open_rain(id, rain, &award))
            }
            20..35 => {
                let body = json!({"order_number": format!("c-{number}"), "template": campaign?});
                ("issue", post(format!("/v1/users/{id}/coupons"), &timed(random, body)))
            }
            35..38 => {
                let body = json!({
                    "template": campaign?, "play": {"round": number, "award": "a"},
                });
                ("play", post(format!("/v1/users/{id}/coupons"), &body))
            }
            38..42 => {
                let body = json!({
                    "order_number": format!("r-{number}"), "template": campaign?,
                    "expires_in_seconds": 1_800,
                });
                ("reserve", post(format!("/v1/users/{id}/reservations"), &timed(random, body)))
            }
            42..52 => {
                let coupon = user.coupons.pop()?;
                let order = format!("o-{number}");
                let body =
                    json!({"order": order, "amount": random.random_range(0..500).to_string()});
                user.redeemed.push((coupon.clone(), order));
                ("redeem", post(format!("/v1/users/{id}/coupons/{coupon}/redeem"), &body))
            }
            52..56 => {
                let (coupon, order) = user.redeemed.pop()?;
                ("roll back", coupon::roll_back(id, &coupon, &order))
            }
            56..70 => {
                let body = json!({
                    "order_number": format!("p-{number}"),
                    "uses": [{"activity": campaign?, "uses": random.random_range(1..4)}],
                });
                ("purchase", post(format!("/v1/users/{id}/purchases"), &timed(random, body)))
            }
            70..73 => {
                let (number, ordered_at) = user.purchases.pop()?;
                let path = format!("/v1/users/{id}/purchases/{number}/give-back");
                let ask = match ordered_at {
                    Some(at) => post(path, &json!({ "ordered_at": at })),
                    None => Ask::new(Method::POST, path),
                };
                ("give back", ask)
            }
            73..78 => {
                let total = random.random_range(100..300).min(user.balance);
                if total < 10 {
                    return None;
                }
                let body = wallet::packet(id, &format!("b-{number}"), total, 5);
                ("send", wallet::send(&timed(random, body)))
            }
            78..80 => {
                let body = wallet::packet_to_pay(id, &format!("y-{number}"), 100, 3);
                ("order a packet", wallet::send(&timed(random, body)))
            }
            80..88 => {
                let packet = self.today.packets.choose(random)?;
                ("open a packet", wallet::open(packet, id))
            }
            88..92 => {
                let amount = random.random_range(1..200);
                let mut body = json!({
                    "withdrawal_number": format!("w-{number}"), "amount": amount.to_string(),
                });
                if random.random_bool(0.3) {
                    body["expires_in_seconds"] = json!(7_200);
                }
                ("withdraw", post(format!("/v1/users/{id}/withdrawals"), &timed(random, body)))
            }
            92..95 => {
                let number = user.withdrawals.pop()?;
                if random.random_bool(0.8) {
                    ("post", wallet::post_withdrawal(id, &number))
                } else {
                    ("void", wallet::void_withdrawal(id, &number))
                }
            }
            95..96 => {
                let (campaign, group) = (campaign?, format!("g-{number}"));
                ("open a group", group_buy::open_for(id, &campaign, &group, 3_600))
            }
            96..97 => {
                let paid = json!({
                    "specversion": "1.0", "id": number, "source": "/shop", "type": "order.paid",
                    "data": {"user": (id + (day << 32)).to_string(), "order": number},
                });
                ("paid", wallet::tell(&paid))
            }
            97..98 => (
                "void a number that never came",
                wallet::void_withdrawal(id, &format!("n-{number}")),
            ),
            98..99 => {
                ("cancel a number that never came", coupon::cancel(id, &format!("n-{number}")))
            }
            _ => ("view", wallet::view(id)),
        })
    }

    /// Remembers what came of it.
    fn learn(&mut self, index: usize, action: &'static str, ask: Ask, reply: &Reply) {
        let code = reply.text("code").unwrap_or_default();
        let name = format!("{action}: {} {code}", reply.status);
        let is_last = self.today.day * 10 > self.scale.days * 9;
        *self.report.answers.entry(name.clone()).or_default() += 1;
        if is_last {
            *self.report.last_answers.entry(name).or_default() += 1;
        }
        assert!(reply.status < 500, "{ask:?}: {reply:?}");
        // What is asked of something that was there before may come too late.
        let is_of_before = matches!(action, "give back" | "redeem" | "roll back" | "post" | "void");
        let is_too_old = code == "too_old" && !is_of_before;
        assert!(!is_too_old, "what is new is refused for its age: {ask:?}: {reply:?}");
        let is_done = (200..300).contains(&reply.status);
        let user = &mut self.users[index];
        let body = if is_done && reply.status != 204 { reply.json() } else { Value::Null };
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let of_ask: Value = serde_json::from_slice(&ask.body).unwrap_or(Value::Null);
        let asked = |name: &str| of_ask[name].as_str().map(str::to_owned);
        match (action, is_done) {
            ("issue" | "play", true) => user.coupons.extend(text("coupon_id")),
            ("purchase", true) => {
                let number = asked("order_number").unwrap_or_default();
                user.purchases.push((number, asked("ordered_at")));
            }
            ("withdraw", true) => user.withdrawals.extend(asked("withdrawal_number")),
            ("send", true) => {
                let number = asked("order_number").unwrap_or_default();
                self.today.packets.push(packet_name(user.id, &number));
                user.balance = 0;
            }
            ("view", true) => {
                user.balance = text("balance").and_then(|cents| cents.parse().ok()).unwrap_or(0);
            }
            _ => {}
        }
        let keeps = ["issue", "play", "reserve", "open a rain", "purchase", "send", "withdraw"];
        if is_done && keeps.contains(&action) {
            let acted = Acted { action, ask, gave: essence(reply) };
            if self.acted.len() < REMEMBERED {
                self.acted.push(acted);
            } else {
                let place = self.random.random_range(0..REMEMBERED);
                self.acted[place] = acted;
            }
        }
    }

    /// Numbers of former days never act again.
    async fn ask_again(&mut self) {
        let places: Vec<_> = (0..ASKED_AGAIN.min(self.acted.len()))
            .map(|_| self.random.random_range(0..self.acted.len()))
            .collect();
        let answered = at_once(&self.app, places, |place| self.acted[*place].ask.clone()).await;
        for (place, reply) in answered {
            let Acted { action, ask, gave } = &self.acted[place];
            let code = reply.text("code").unwrap_or_default();
            let name = format!("again: {action}: {} {code}", reply.status);
            *self.report.answers.entry(name).or_default() += 1;
            assert!(reply.status < 500, "{ask:?}: {reply:?}");
            if (200..300).contains(&reply.status) {
                let is_replayed = reply.json()["replayed"] == json!(true)
                    || reply.header("idempotent-replayed") == Some("true");
                assert!(is_replayed, "it acts twice: {ask:?}: {reply:?}, first {gave}");
                for (name, value) in essence(&reply).as_object().expect("fields") {
                    // What became of it may have changed since.
                    if name != "state" && name != "outcome" {
                        assert_eq!(Some(value), gave.get(name), "{ask:?}: {reply:?}");
                    }
                }
            }
        }
    }

    /// All books agree, and the store holds nothing whose life is not declared. Neither changes anything, so that they are
    /// read at the same time.
    async fn check(&mut self, day: u64) {
        let connection = Arc::clone(&self.connection);
        let measured = tokio::task::spawn_blocking(move || Size::of(&mut lock(&connection)));
        let (differences, measured) = tokio::join!(differences(&self.app), measured);
        assert_eq!(differences, Vec::<Value>::new(), "day {day}");
        let memory = memory(&self.place).await.saturating_sub(self.empty_memory);
        let size = Size { day, memory, ..measured.expect("the store can be measured") };
        self.report.sizes.push(size);
    }
}

impl Size {
    /// Of what lies in a store that nobody writes to.
    fn of(connection: &mut redis::Connection) -> Self {
        let (records, ids) = dump::read_at_rest(connection);
        let mut size = Self::default();
        for ((_, name), record) in &records {
            let fields = record.iter().map(|(field, value)| {
                let value = match value {
                    domain::transaction::Value::Integer(integer) => integer.to_string().len(),
                    domain::transaction::Value::Bytes(bytes) => bytes.len(),
                };
                (field.len() + value) as u64
            });
            let bytes = name.len() as u64 + fields.sum::<u64>();
            size.bytes += bytes;
            let kind = kind_of(name, &[Shape::Map, Shape::Ordered]).to_owned();
            let of_kind = size.by_kind.entry(kind).or_default();
            of_kind.bytes += bytes;
            of_kind.records += 1;
            of_kind.fields += record.len() as u64;
        }
        for (name, bytes, count) in ids {
            kind_of(&name, &[Shape::Ids]);
            size.ids_bytes += bytes;
            *size.ids.entry(name).or_default() += count;
        }
        let count: u64 = size.ids.values().sum();
        assert!(size.ids_bytes <= BYTES_A_NUMBER * count, "{size:?}");
        size
    }
}

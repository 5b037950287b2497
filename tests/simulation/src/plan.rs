//! What one seed runs. A seed draws which functions, actions and faults are in play and how often: schedules
//! that leave things out reach states that a mixture of everything hides (swarm testing: Groce, Zhang, Eide,
//! Chen and Regehr, ISSTA 2012). What is drawn does not depend on what was taken away before: a step has its
//! own randomness, and so has each host call. So a schedule can be reduced piece by piece ([`Reduction`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::{env, fmt};

use end_to_end::app::Place;
use end_to_end::patient::TIMEOUT_MS;
use host::{Call, Fault, Faults, Options, Random, Schedule, Time};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::functions::FUNCTIONS;

/// The folder of another build of the app, with a fault put into it (`cargo xtask defects`).
const APP_VARIABLE: &str = "HONGBAO_SIMULATED_APP";
/// Few, so that users meet in them.
pub const PARTITIONS: u32 = 4;
/// When schedules begin, in unix milliseconds: after whatever the server's own clock says, so that it never
/// collects by that clock what is due by the app's ([`Books::collect`](crate::books::Books::collect) does).
pub const START_MS: u64 = 4_000_000_000_000;
const CLIENTS_MAX: u64 = 6;
/// The most a client does.
const STEPS_MAX: u32 = 14;
/// How far clocks of instances may be off, where they are.
const SKEWS_MS: [u64; 3] = [1_000, 60_000, 600_000];
/// How far a fail-over moves the store's clock, where it does.
const STORE_CLOCK_OFF_MS: u64 = 10_000;
/// Under it the seeds that found something by clocks that were wrong have a store that does not tell its time, so that
/// they still do.
const STORE_CLOCK_SALT: u64 = 29;
/// Under it no weeks pass in the schedules of the seeds that found something before there was collection, so that they run
/// as they did.
const WEEKS_SALT: u64 = 12_008;
/// How often weeks pass.
const WEEKS_SHARE: f64 = 0.4;
/// A page of the store, where pages are small.
const PAGE_ENTRIES: u32 = 3;

/// Every kind of fault, by name.
pub const FAULTS: [&str; 17] = [
    "error-before",
    "lost-reply",
    "delay-before",
    "delay-after",
    "crash-before",
    "crash-after",
    "cancel",
    "duplicate",
    "duplicate-later",
    "clock-skew",
    "store-clock-withheld",
    "store-clock-jumps",
    "small-pages",
    "time-jumps",
    "garbage",
    "other-version",
    "absent",
];

/// The name of a fault at a host call.
pub fn name_of(fault: Fault) -> &'static str {
    match fault {
        Fault::ErrorBefore => "error-before",
        Fault::LostReply => "lost-reply",
        Fault::DelayBefore { .. } => "delay-before",
        Fault::DelayAfter { .. } => "delay-after",
        Fault::CrashBefore => "crash-before",
        Fault::CrashAfter => "crash-after",
        Fault::Cancel => "cancel",
        Fault::Duplicate => "duplicate",
        Fault::DuplicateLater { .. } => "duplicate-later",
    }
}

/// A step of a client: both counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId {
    /// The client.
    pub client: u64,
    /// Its step.
    pub step: u32,
}

/// What is taken away from what a seed draws. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduction {
    /// Only these functions; `None` is all that the seed draws.
    pub functions: Option<BTreeSet<String>>,
    /// Kinds of faults that do not happen.
    pub without: BTreeSet<String>,
    /// Only these steps.
    pub steps: Option<BTreeSet<StepId>>,
    /// Only these faults, by the number of the host call.
    pub faults: Option<BTreeMap<u64, Fault>>,
}

/// What a seed runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The names of the functions in play.
    pub functions: BTreeSet<&'static str>,
    /// Actions in play, by function, with their weights.
    pub weights: BTreeMap<&'static str, BTreeMap<&'static str, u32>>,
    /// The steps of the clients.
    pub steps: BTreeSet<StepId>,
    /// What goes wrong at host calls.
    pub faults: Faults,
    /// The most entries of a page of the store.
    pub page_entries_max: Option<u32>,
    /// Time jumps by days.
    pub jumps: bool,
    /// Weeks pass between what is done, little is kept, and what is over is collected.
    pub weeks: bool,
    /// How records are made unreadable, if they are.
    pub corruption: Option<&'static str>,
    /// What is left of budgets is given before the schedule settles; else after it.
    pub drains_first: bool,
}

impl Plan {
    /// What a seed draws, reduced.
    pub fn draw(seed: u64, reduction: &Reduction) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let drawn: Vec<bool> = FUNCTIONS.iter().map(|_| random.random_bool(0.5)).collect();
        let always = random.random_range(0..FUNCTIONS.len());
        let mut functions = BTreeSet::new();
        let mut weights = BTreeMap::new();
        for (index, function) in FUNCTIONS.iter().enumerate() {
            let factors = [0, 1, 1, 3];
            let actions = function.actions.iter().map(|(action, weight)| {
                (*action, weight * factors.choose(&mut random).expect("there are some"))
            });
            weights.insert(function.name, actions.collect());
            let named = reduction.functions.as_ref();
            let is_chosen = match named {
                Some(names) => names.contains(function.name),
                None => drawn[index] || index == always,
            };
            if is_chosen || function.is_always_in_play {
                functions.insert(function.name);
            }
        }
        let mut of_weeks = of_weeks(seed, 0);
        let weeks = of_weeks.random_bool(WEEKS_SHARE);
        for function in FUNCTIONS.iter().filter(|_| weeks) {
            let factors = [0, 1, 1, 3];
            let later = function.later.iter().map(|(action, weight)| {
                (*action, weight * factors.choose(&mut of_weeks).expect("there are some"))
            });
            weights.entry(function.name).or_insert_with(BTreeMap::new).extend(later);
        }
        let mut steps = BTreeSet::new();
        for client in 0..random.random_range(2..=CLIENTS_MAX) {
            steps.extend(
                (0..random.random_range(1..=STEPS_MAX)).map(|step| StepId { client, step }),
            );
        }
        if let Some(only) = &reduction.steps {
            steps.retain(|step| only.contains(step));
        }
        let goes_wrong = |kind: &str| !reduction.without.contains(kind);
        let faults = faults(seed, &mut random, reduction, &goes_wrong);
        let small = random.random_bool(0.25) && goes_wrong("small-pages");
        let jumps = random.random_bool(0.25) && goes_wrong("time-jumps");
        let corruptions = ["garbage", "other-version", "absent"];
        let corruption = *corruptions.choose(&mut random).expect("there are some");
        let is_corrupted = random.random_bool(0.5) && goes_wrong(corruption);
        Self {
            seed,
            functions,
            weights,
            steps,
            faults,
            page_entries_max: small.then_some(PAGE_ENTRIES),
            jumps,
            weeks,
            corruption: is_corrupted.then_some(corruption),
            drains_first: random.random_bool(0.5),
        }
    }

    /// Nothing goes wrong at host calls, so that a refusal is one for good.
    pub fn is_calm(&self) -> bool {
        self.faults
            == Faults {
                calls: calm().calls,
                delay_ms_max: calm().delay_ms_max,
                ..self.faults.of_clocks()
            }
    }

    /// How far two clocks may be apart.
    pub fn skew_ms_max(&self) -> u64 {
        2 * (self.faults.clock_skew_ms_max + self.faults.store_clock_off_ms_max)
    }

    /// The randomness of a step: its own, whatever other steps there are.
    pub fn random_of(&self, step: StepId) -> StdRng {
        let StepId { client, step } = step;
        let own = (client + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(step) << 32;
        StdRng::seed_from_u64(self.seed ^ own)
    }

    /// Randomness of what came with collection: its own for each purpose, so that what else a seed draws stays.
    pub fn random_of_weeks(&self, purpose: u64) -> StdRng {
        of_weeks(self.seed, purpose)
    }

    /// The function and the action of a step; nothing where the function is not in play.
    pub fn action_of(&self, random: &mut StdRng) -> Option<(&'static str, &'static str)> {
        let in_play = || {
            self.weights.iter().flat_map(|(function, actions)| {
                let is_in = self.functions.contains(function);
                let weighted = move |(action, weight): (&&'static str, &u32)| {
                    is_in.then_some((*function, *action, *weight))
                };
                actions.iter().filter_map(weighted)
            })
        };
        let sum: u32 = in_play().map(|(_, _, weight)| weight).sum();
        let mut rest = random.random_range(0..sum.max(1));
        for (function, action, weight) in in_play() {
            if rest < weight {
                return Some((function, action));
            }
            rest -= weight;
        }
        None
    }

    /// The app on Redis as the plan says.
    pub fn options(&self, place: &Place) -> Options {
        let mut options = place.options();
        if let Some(folder) = env::var_os(APP_VARIABLE) {
            options.manifests = vec![PathBuf::from(folder).join("spin.toml")];
        }
        let mut options = options
            .variable("partitions", PARTITIONS.to_string())
            .variable("store_timeout_ms", TIMEOUT_MS.to_string());
        if let Some(entries) = self.page_entries_max {
            options = options.variable("page_entries_max", entries.to_string());
        }
        options.time = Time::Seeded { start_ms: START_MS };
        options.schedule = Schedule::Seeded(self.seed);
        options.random = Random::Seeded(self.seed);
        options.faults = self.faults.clone();
        options
    }
}

fn of_weeks(seed: u64, purpose: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ WEEKS_SALT ^ purpose.rotate_right(8))
}

fn calm() -> Faults {
    Faults {
        calls: vec![Call::RedisOpen, Call::RedisExecute],
        delay_ms_max: 2 * TIMEOUT_MS,
        ..Faults::default()
    }
}

/// One seed in four has no faults at host calls; in the others each kind is in play or not.
fn faults(
    seed: u64,
    random: &mut StdRng,
    reduction: &Reduction,
    goes_wrong: &impl Fn(&str) -> bool,
) -> Faults {
    let mut faults = Faults { seed, ..calm() };
    let is_calm = random.random_bool(0.25);
    let mut chance = |name: &str, most: f64| {
        let is_in = random.random_bool(0.7);
        let chance = random.random_range(0.002..most);
        if is_in && !is_calm && goes_wrong(name) { chance } else { 0.0 }
    };
    faults.error_before = chance("error-before", 0.04);
    faults.lost_reply = chance("lost-reply", 0.05);
    faults.delay_before = chance("delay-before", 0.04);
    faults.delay_after = chance("delay-after", 0.04);
    faults.crash_before = chance("crash-before", 0.02);
    faults.crash_after = chance("crash-after", 0.02);
    faults.cancel = chance("cancel", 0.02);
    faults.duplicate = chance("duplicate", 0.02);
    faults.duplicate_later = chance("duplicate-later", 0.02);
    let skew = *SKEWS_MS.choose(random).expect("there are some");
    if random.random_bool(0.33) && goes_wrong("clock-skew") {
        faults.clock_skew_ms_max = skew;
    }
    // By randomness of its own, so that what else a seed draws stays.
    let mut of_store = StdRng::seed_from_u64(seed ^ STORE_CLOCK_SALT);
    faults.store_clock_withheld = of_store.random_bool(0.5) && goes_wrong("store-clock-withheld");
    if of_store.random_bool(0.33) && goes_wrong("store-clock-jumps") {
        faults.store_clock_off_ms_max = STORE_CLOCK_OFF_MS;
    }
    if let Some(plan) = &reduction.faults {
        let Faults { calls, delay_ms_max, .. } = calm();
        faults = Faults { plan: plan.clone(), calls, delay_ms_max, ..faults.of_clocks() };
    }
    faults
}

/// As a command line, which runs the same schedule.
impl fmt::Display for Reduction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for function in self.functions.iter().flatten() {
            write!(formatter, " --of {function}")?;
        }
        for fault in &self.without {
            write!(formatter, " --without {fault}")?;
        }
        if let Some(steps) = &self.steps {
            let steps: Vec<_> = steps.iter().map(StepId::to_string).collect();
            write!(formatter, " --steps {}", steps.join(","))?;
        }
        if let Some(faults) = &self.faults {
            let one = |(call, fault): (&u64, &Fault)| At(*call, *fault).to_string();
            let faults: Vec<_> = faults.iter().map(one).collect();
            write!(formatter, " --faults {}", faults.join(","))?;
        }
        Ok(())
    }
}

/// `client.step`
impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.client, self.step)
    }
}

impl FromStr for StepId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (client, step) = text.split_once('.')?;
            Some(Self { client: client.parse().ok()?, step: step.parse().ok()? })
        };
        parse().ok_or_else(|| format!("{text} is no step: <client>.<step>"))
    }
}

/// A fault at a host call: `call:name` or `call:name:milliseconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At(pub u64, pub Fault);

impl fmt::Display for At {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.0, name_of(self.1))?;
        match self.1 {
            Fault::DelayBefore { ms } | Fault::DelayAfter { ms } | Fault::DuplicateLater { ms } => {
                write!(formatter, ":{ms}")
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = text.split(':');
            let call = words.next()?.parse().ok()?;
            let name = words.next()?;
            let ms = words.next().map_or(Some(0), |ms| ms.parse().ok())?;
            let fault = match name {
                "error-before" => Fault::ErrorBefore,
                "lost-reply" => Fault::LostReply,
                "delay-before" => Fault::DelayBefore { ms },
                "delay-after" => Fault::DelayAfter { ms },
                "crash-before" => Fault::CrashBefore,
                "crash-after" => Fault::CrashAfter,
                "cancel" => Fault::Cancel,
                "duplicate" => Fault::Duplicate,
                "duplicate-later" => Fault::DuplicateLater { ms },
                _ => return None,
            };
            Some(Self(call, fault))
        };
        parse().ok_or_else(|| format!("{text} is no fault: <call>:<name>[:<milliseconds>]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_found_something_by_wrong_clocks_go_by_their_own() {
        for seed in [111, 148, 170, 551, 1489, 1920] {
            let Plan { faults, .. } = Plan::draw(seed, &Reduction::default());
            assert!(faults.store_clock_withheld, "{seed}");
        }
    }

    #[test]
    fn no_weeks_pass_where_a_seed_found_something_before_there_was_collection() {
        for seed in [0, 2, 3, 5, 6, 7, 8, 14, 18, 111, 135, 148, 170, 225, 551, 1489, 1920] {
            assert!(!Plan::draw(seed, &Reduction::default()).weeks, "{seed}");
        }
        let weeks = |seed: &u64| Plan::draw(*seed, &Reduction::default()).weeks;
        assert!((120..200).contains(&(0..400).filter(weeks).count()));
    }

    #[test]
    fn what_a_seed_draws_does_not_depend_on_what_is_taken_away() {
        for seed in 0..200 {
            let whole = Plan::draw(seed, &Reduction::default());
            let step = *whole.steps.first().expect("there are some");
            let reduction = Reduction {
                steps: Some([step].into()),
                without: ["lost-reply".to_owned()].into(),
                ..Reduction::default()
            };
            let part = Plan::draw(seed, &reduction);
            assert_eq!(part.steps, [step].into());
            assert_eq!((part.weights, part.functions), (whole.weights, whole.functions));
            assert_eq!(part.faults.lost_reply, 0.0);
            let faults = Faults { lost_reply: whole.faults.lost_reply, ..part.faults };
            assert_eq!(faults, whole.faults);
            assert_eq!((part.jumps, part.drains_first), (whole.jumps, whole.drains_first));
        }
    }

    #[test]
    fn steps_and_faults_are_read_as_they_are_written() {
        let step = StepId { client: 2, step: 13 };
        assert_eq!(step.to_string().parse(), Ok(step));
        for fault in host::ALL_FAULTS {
            let at = At(17, fault);
            assert_eq!(at.to_string().parse(), Ok(at));
            assert!(FAULTS.contains(&name_of(fault)));
        }
        assert!("17:nothing".parse::<At>().is_err());
        assert!("2".parse::<StepId>().is_err());
    }

    #[test]
    fn records_are_made_unreadable_in_each_way() {
        let drawn = |reduction: &Reduction| -> BTreeSet<_> {
            (0..500).filter_map(|seed| Plan::draw(seed, reduction).corruption).collect()
        };
        let all = ["absent", "garbage", "other-version"];
        assert_eq!(drawn(&Reduction::default()), BTreeSet::from(all));
        let without = BTreeSet::from(["garbage".to_owned()]);
        let others = drawn(&Reduction { without, ..Reduction::default() });
        assert_eq!(others, BTreeSet::from(["absent", "other-version"]));
    }
}

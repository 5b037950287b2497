//! One schedule: operators set up, clients act, everything comes to rest.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};

use end_to_end::app::{Place, check, not_loaded};
use end_to_end::patient::Patient;
use end_to_end::purchase;
use end_to_end::wallet::{decide_payment, quarantine, retry, settle, unapplied_payments};
use end_to_end::wallet_checks::check_books;
use futures::future::join_all;
use host::{App, TracedCall, simulate};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::books::Books;
use crate::functions::{Client, FUNCTIONS};
use crate::plan::{Plan, StepId, name_of};
use crate::story::Story;
use crate::weeks;
use crate::world::{FAILURES_MAX, LAST, LATE_MS, LATE_ROUNDS, Report, Step, World};

/// Longer than a packet can be opened, and than clocks may be apart.
const LIFE_MS: u64 = wallet::packet::LIFE_MS as u64 + 30 * 60_000;
/// Longer than something must be due before it is set aside.
const PATIENCE_MS: u64 = store::quarantine::PATIENCE_MS as u64 + 1_000;
/// Calls of settlement in the minute after which everything that is due is done.
const SETTLEMENTS_MAX: u32 = 16;

/// How a schedule failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What did not hold.
    pub message: String,
    /// Where in the source it was checked: the same place is the same failure.
    pub place: String,
    /// What happened before.
    pub story: Vec<String>,
    /// The faults that were injected.
    pub faults: Vec<TracedCall>,
}

/// Runs one schedule; what it did, or how it failed.
///
/// # Errors
/// An invariant does not hold.
///
/// # Panics
/// The app does not load.
pub fn run(place: &Place, plan: &Plan) -> Result<Report, Box<Failure>> {
    tell(place, plan).1
}

/// Runs one schedule, and tells all of it.
pub fn tell(place: &Place, plan: &Plan) -> (Vec<String>, Result<Report, Box<Failure>>) {
    let story = Story::default();
    let result = caught(|| schedule(place, plan, &story)).map_err(|(message, place)| {
        Box::new(Failure { message, place, story: story.lines(), faults: story.faults() })
    });
    (story.lines(), result)
}

thread_local! {
    /// Where the last panic of this thread was, while panics are caught.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_CAUGHT: RefCell<bool> = const { RefCell::new(false) };
}

/// What a piece of work says, or its panic: message and place. A panic that is caught is not printed.
fn caught<R>(work: impl FnOnce() -> R) -> Result<R, (String, String)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_CAUGHT.with_borrow(|is| *is) {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                default(info);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(false);
    result.map_err(|payload| (message(&*payload), PLACE.take().unwrap_or_default()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

fn schedule(place: &Place, plan: &Plan, story: &Story) -> Report {
    let books = Books::open(&place.address());
    let (plan, story) = (plan.clone(), story.clone());
    let simulated = simulate(plan.options(place), |app| async move {
        story.begin(&app);
        play(&app, &plan, books, &story).await
    });
    let simulated = simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    let mut report = simulated.result;
    for fault in simulated.trace.iter().filter_map(|call| call.fault) {
        *report.faults.entry(name_of(fault).to_owned()).or_default() += 1;
    }
    report
}

async fn play(app: &App, plan: &Plan, books: Books, story: &Story) -> Report {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut functions = BTreeMap::new();
    for entry in FUNCTIONS {
        // Drawn, whether it is in play or not, so that the others do not change.
        let function = (entry.create)(&mut random, plan);
        if plan.functions.contains(entry.name) {
            functions.insert(entry.name, function);
        }
    }
    let in_play = functions.values().cloned().collect();
    let world = Arc::new(World::new(app, plan, in_play, books, story));
    for asked in world.functions.iter().flat_map(|function| function.set_up()) {
        let reply = world.patient(FAILURES_MAX).until_answered(&asked).await;
        assert_eq!(reply.status, 200, "{asked:?}: {reply:?}");
    }
    let mut by_client: BTreeMap<u64, Vec<StepId>> = BTreeMap::new();
    for step in &plan.steps {
        by_client.entry(step.client).or_default().push(*step);
    }
    let clients = by_client.into_iter().map(|(client, steps)| {
        let own =
            functions.iter().map(|(name, function)| (*name, Arc::clone(function).client(client)));
        act(Arc::clone(&world), own.collect(), steps)
    });
    let clients = join_all(clients.collect::<Vec<_>>()).await;
    come_to_rest(&world).await;
    check_clients(&clients, &world);
    // It takes longer than all else, and most of it is the same where no weeks passed.
    if world.plan.weeks {
        weeks::collect_all(&world).await;
        check_clients(&clients, &world);
    }
    let mut report = world.report().clone();
    let kinds = [
        ("clock-skew", plan.faults.clock_skew_ms_max > 0),
        ("store-clock-withheld", plan.faults.store_clock_withheld),
        ("store-clock-jumps", plan.faults.store_clock_off_ms_max > 0),
        ("small-pages", plan.page_entries_max.is_some()),
    ];
    for (kind, _) in kinds.iter().filter(|(_, is)| *is) {
        *report.faults.entry((*kind).to_owned()).or_default() += 1;
    }
    report
}

/// What was acknowledged to clients is there.
fn check_clients(clients: &[Clients], world: &World) {
    for client in clients.iter().flat_map(BTreeMap::values) {
        client.check(&world.books());
    }
}

type Clients = BTreeMap<&'static str, Box<dyn Client>>;

/// Does one step after the other, and looks after each what is there.
async fn act(world: Arc<World>, mut clients: Clients, steps: Vec<StepId>) -> Clients {
    for id in steps {
        let mut random = world.plan.random_of(id);
        let Some((function, action)) = world.plan.action_of(&mut random) else { continue };
        let client = clients.get_mut(function).expect("it is in play");
        world.tell(|| format!("{id}  {function}: {action}"));
        *world.report().actions.entry(format!("{function}: {action}")).or_default() += 1;
        let mut step = Step { world: Arc::clone(&world), id, random };
        client.act(action, &mut step).await;
        world.check();
        for client in clients.values() {
            client.check(&world.books());
        }
    }
    clients
}

/// The faults stop, and what was late happens. Then the schedule is called for a minute: whatever is due is
/// done, what is left of budgets can be given, all of it is as it was acknowledged, and all books agree.
async fn come_to_rest(world: &World) {
    world.app.stop_faults();
    world.tell(|| "the faults stop".to_owned());
    let late = &mut world.patient(FAILURES_MAX);
    for _ in 0..LATE_ROUNDS {
        world.advance(LATE_MS);
        // What was late happens while this is answered.
        late.until_answered(&check(LAST)).await;
    }
    // What was reserved by a clock that was ahead expires so much later.
    world.advance(world.plan.skew_ms_max());
    let was_corrupted = world.books().is_corrupted();
    if was_corrupted {
        // One bad record stops only itself. What needs it is named, and set aside when it has been due for a while.
        for _ in 0..2 {
            let reply = late.until_answered(&settle()).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            world.advance(PATIENCE_MS + world.plan.skew_ms_max());
        }
    }
    world.books().repair();
    let items = late.until_answered(&quarantine("")).await.json();
    let items = items["items"].as_array().expect("a list");
    assert!(was_corrupted || items.is_empty(), "{items:?}");
    for item in items {
        let id = item["id"].as_str().expect("an id");
        let reply = late.until_answered(&retry(id)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        *world.report().seen.entry("operations: retried".into()).or_default() += 1;
    }
    // Whatever operators have not decided about yet was given back elsewhere.
    let waiting = late.until_answered(&unapplied_payments("")).await.json();
    for payment in waiting["payments"].as_array().expect("a list") {
        let id = payment["payment_id"].as_str().expect("an id");
        let reply = late.until_answered(&decide_payment(id, "drop")).await;
        assert!(
            reply.status == 204 || reply.text("code").as_deref() == Some("decided_otherwise"),
            "{reply:?}"
        );
    }
    for asked in world.functions.iter().flat_map(|function| function.calm()) {
        late.until_answered(&asked).await;
    }
    world.check();
    let asker = &mut world.patient(0);
    if world.plan.drains_first {
        drain(world, asker).await;
    }
    world.advance(LIFE_MS);
    minute_of_schedule(world, asker).await;
    let due: Vec<_> = {
        let books = world.books();
        world.functions.iter().flat_map(|function| function.due(world, &books)).collect()
    };
    assert!(due.is_empty(), "is due and was not done: {due:?}");
    if !world.plan.drains_first {
        drain(world, asker).await;
        minute_of_schedule(world, asker).await;
    }
    for function in &world.functions {
        function.rest(world, asker).await;
    }
    check_books(asker).await;
    world.check();
}

async fn drain(world: &World, asker: &mut Patient) {
    for function in &world.functions {
        world.tell(|| "what is left is given".to_owned());
        function.drain(world, asker).await;
        world.check();
    }
}

/// The calls of the schedule in a minute: settlement as long as it does something or says that something is
/// left, and the sweep of promotions.
///
/// # Panics
/// It goes on for too long.
pub(crate) async fn minute_of_schedule(world: &World, asker: &mut Patient) {
    world.tell(|| "the schedule is called".to_owned());
    let sweep = asker.until_answered(&purchase::sweep()).await;
    assert_eq!(sweep.status, 200, "{sweep:?}");
    for _ in 0..SETTLEMENTS_MAX {
        let reply = asker.until_answered(&settle()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        world.check();
        let body = reply.json();
        assert_eq!(body["stuck_items"], json!([]), "{reply:?}");
        let counts = body.as_object().expect("counts");
        if counts.values().all(|count| !count.is_string() || count == "0") {
            return;
        }
    }
    panic!("settlement goes on after {SETTLEMENTS_MAX} calls");
}

//! What is over is collected. Once everything is at rest, so much time passes that all that was kept is over: then nothing
//! is left that has an end, books agree still, and what was acknowledged is told, or is `too_old`; nothing acts again.

use end_to_end::app::{Ask, Reply};
use end_to_end::patient::Patient;
use end_to_end::wallet::{collect, retain};
use end_to_end::wallet_checks::check_books;
use serde_json::{Value, json};
use store::retention::Retention;

use crate::run::minute_of_schedule;
use crate::world::{DAY_MS, World};

/// Days that pass behind a schedule in which weeks passed. Configuration is sealed a month and a week after its end, and
/// goes a day later and two; what users have of it goes then. A coupon may have been extended, whose template is kept for a
/// year more; and short records are kept for two weeks.
const DAYS: &[u64] = &[70, 2, 2, 40, 400, 2, 2, 40, 20];
/// Calls of a collection that must do all that is due.
const CALLS_MAX: u32 = 32;

/// Little is kept from now on.
pub fn keep_little() -> Ask {
    retain(&serde_json::to_value(Retention::LEAST).expect("it is JSON"))
}

/// What went with a collection, by kind.
///
/// # Panics
/// The answer is another one.
pub fn gone(reply: &Reply) -> Vec<(String, u64)> {
    let body = reply.json();
    let kinds = body["gone"].as_object().expect("counts by kind");
    let count = |count: &Value| count.as_str().and_then(|count| count.parse().ok());
    let one = |(kind, number)| (String::clone(kind), count(number).expect("a number"));
    kinds.iter().map(one).collect()
}

/// All that is over goes, everything else stays, and whatever was acknowledged is known or too old.
///
/// # Panics
/// That does not hold.
pub async fn collect_all(world: &World) {
    let asker = &mut world.patient(0);
    for days in DAYS {
        world.advance(days * DAY_MS);
        minute_of_schedule(world, asker).await;
        collect_due(world, asker).await;
    }
    let left: Vec<_> = {
        let books = world.books();
        world.functions.iter().flat_map(|function| function.left(world, &books)).collect()
    };
    assert!(left.is_empty(), "is over and was not collected: {left:?}");
    for function in &world.functions {
        function.rest(world, asker).await;
    }
    check_books(asker).await;
    world.check();
}

async fn collect_due(world: &World, asker: &mut Patient) {
    for _ in 0..CALLS_MAX {
        let reply = asker.until_answered(&collect(&json!({}))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        world.tell(|| format!("collected: {}", reply.json()));
        world.check();
        let body = reply.json();
        assert_eq!(body["stuck_items"], json!([]), "{reply:?}");
        assert_eq!(body["set_aside_items"], json!([]), "{reply:?}");
        for (kind, number) in gone(&reply) {
            world.saw_times(format!("operations: gone {kind}"), number);
        }
        if body["has_more"] == json!(false) {
            return;
        }
    }
    panic!("collection goes on after {CALLS_MAX} calls");
}

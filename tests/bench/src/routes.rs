//! The requests that are measured.

use std::sync::atomic::{AtomicU64, Ordering};

use end_to_end::app::{self, Ask, CLOUD_EVENTS};
use end_to_end::coupon;
use serde_json::Value;

use crate::issue;

/// The user whose check is measured: an id as snowflake makes them, who never pays.
pub const USER: u64 = 652_024_209_997_893_632;
/// Users of the largest batch.
const USERS_MAX: u64 = 1_000;
/// One millisecond of snowflake ids.
const ID_STEP: u64 = 1 << 22;

/// A request and what it is answered with.
pub struct Route {
    /// As the tables show it.
    pub name: &'static str,
    /// Makes the request; where it changes something, each one changes something else.
    pub ask: fn() -> Ask,
    /// The status of the answer.
    pub status: u16,
}

/// The check, against which the others are measured.
pub const CHECK: Route = Route { name: "check", ask: || app::check(USER), status: 200 };
/// The bare component, asked with the same head.
pub const BARE: Route = Route {
    name: "bare component",
    ask: || Ask::get(format!("/bare/users/{USER}/new")),
    status: 200,
};
/// A coupon for a user who has none.
pub const ISSUE: Route = Route { name: "issue", ask: || issue::ask(next_user()), status: 201 };
/// The bare component, asked with the same request.
pub const BARE_ISSUE: Route = Route {
    name: "bare component, POST",
    ask: || Ask { path: format!("/bare/users/{USER}/new"), ..issue::ask(next_user()) },
    status: 200,
};
/// Checks of 1,000 users.
pub const CHECK_MANY: Route =
    Route { name: "check of 1,000 users", ask: || app::check_many(&users()), status: 200 };
/// An order paid by a user who was new.
pub const PAID: Route =
    Route { name: "event order.paid", ask: || app::order_paid(next_user()), status: 204 };

/// All routes of the app.
pub const ALL: [Route; 12] = [
    CHECK,
    Route {
        name: "check, unknown=ask",
        ask: || Ask::get(format!("/v1/users/{USER}/new?unknown=ask")),
        status: 200,
    },
    CHECK_MANY,
    PAID,
    Route { name: "1,000 events order.paid", ask: paid_many, status: 204 },
    Route {
        name: "mark-paid of 1,000 users",
        ask: || app::mark_paid(&each_new(next_user)),
        status: 204,
    },
    // Of one user, so that the partition has a lease.
    Route { name: "issue", ask: || issue::ask_again(USER), status: 201 },
    Route { name: "a user's coupons", ask: || coupon::list(USER), status: 200 },
    Route { name: "template and stock", ask: || coupon::look(issue::TEMPLATE), status: 200 },
    Route { name: "import", ask: || Ask::get("/v1/users/import").operator(), status: 200 },
    Route { name: "health", ask: || Ask::get("/healthz"), status: 200 },
    Route { name: "openapi.json", ask: || Ask::get("/openapi.json"), status: 200 },
];

fn users() -> Vec<u64> {
    (0..USERS_MAX).map(|index| USER + index * ID_STEP).collect()
}

fn paid_many() -> Ask {
    let events = each_new(|| app::event(next_user()));
    Ask::post("/v1/events", Value::Array(events).to_string()).header("content-type", CLOUD_EVENTS)
}

fn each_new<T>(make: impl Fn() -> T) -> Vec<T> {
    (0..USERS_MAX).map(|_| make()).collect()
}

/// Users who have never paid and will have. They come after those of the checks.
fn next_user() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(USERS_MAX);
    USER + NEXT.fetch_add(1, Ordering::Relaxed) * ID_STEP
}

//! What wallets must agree on, asked of the app by a client who asks again until there is an answer.

use serde_json::json;

use crate::app::Reply;
use crate::patient::Patient;
use crate::wallet::{cents, look_at_rain, reconcile, settle, statement, view};

/// Calls of settlement until it must have nothing to do.
const SETTLEMENTS_MAX: u32 = 16;
/// Lines of a page of a statement: as many as there can be.
const PAGE: &str = "limit=40";

/// What a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    /// Who.
    pub user: u64,
    /// Cents that can be withdrawn.
    pub balance: i64,
    /// Cents that ever came.
    pub income: i64,
    /// Cents that left.
    pub withdrawn: i64,
    /// Cents that are held.
    pub held: i64,
}

/// What a user has who never withdrew.
pub const fn has(user: u64, balance: i64, income: i64) -> Has {
    Has { user, balance, income, withdrawn: 0, held: 0 }
}

impl Has {
    /// From a view.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn of(user: u64, reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        let part = |name| cents(reply, name);
        Self {
            user,
            balance: part("balance"),
            income: part("income"),
            withdrawn: part("withdrawn"),
            held: part("held"),
        }
    }
}

/// What became of the budget of a rain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All cents.
    pub total: i64,
    /// Given.
    pub granted: i64,
    /// In the partitions.
    pub leased: i64,
    /// In the pool.
    pub remaining: i64,
}

impl Budget {
    /// Looks at a rain.
    pub async fn look(client: &mut Patient, rain: &str) -> Self {
        Self::of(&client.until_answered(&look_at_rain(rain)).await)
    }

    /// From an answer to [`look_at_rain`].
    ///
    /// # Panics
    /// It is another answer, or the parts do not add up.
    #[track_caller]
    pub fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        let budget = &reply.json()["budget"];
        let part = |name: &str| {
            let text = budget[name].as_str().unwrap_or_else(|| panic!("no {name}: {reply:?}"));
            text.parse().unwrap_or_else(|error| panic!("{name}: {error}: {reply:?}"))
        };
        let budget = Self {
            total: part("total"),
            granted: part("granted"),
            leased: part("leased"),
            remaining: part("remaining"),
        };
        let Self { total, granted, leased, remaining } = budget;
        assert_eq!(granted + leased + remaining, total, "{budget:?}");
        for part in [granted, leased, remaining] {
            assert!((0..=total).contains(&part), "{budget:?}");
        }
        budget
    }

    /// Demands that so much was given of so much.
    ///
    /// # Panics
    /// It was not.
    #[track_caller]
    pub fn check(&self, total: i64, granted: i64) {
        assert_eq!((self.total, self.granted), (total, granted), "{self:?}");
    }
}

/// What stands in a statement, page after page: kind, number, cents.
///
/// # Panics
/// A page is no page.
pub async fn lines(client: &mut Patient, user: u64) -> Vec<(String, String, i64)> {
    let mut lines = Vec::new();
    let mut query = format!("?{PAGE}");
    loop {
        let reply = client.until_answered(&statement(user, &query)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        for line in reply.json()["entries"].as_array().expect("a list") {
            let text = |name: &str| line[name].as_str().expect("a text").to_owned();
            let amount = text("amount").parse().expect("cents");
            // What is carried is a month, or before all of them.
            let number = ["order_number", "month"].iter().find_map(|name| line[name].as_str());
            lines.push((text("kind"), number.unwrap_or_default().to_owned(), amount));
        }
        let Some(cursor) = reply.text("cursor") else { return lines };
        query = format!("?{PAGE}&cursor={cursor}");
    }
}

/// Users have this, by view and by statement, in which nothing is twice.
///
/// # Panics
/// They have not.
pub async fn check_users(client: &mut Patient, expected: &[Has]) {
    for one in expected {
        let reply = client.until_answered(&view(one.user)).await;
        assert_eq!(Has::of(one.user, &reply), *one, "{reply:?}");
        let mut lines = lines(client, one.user).await;
        let sum: i64 = lines.iter().map(|line| line.2).sum();
        assert_eq!(sum, one.balance, "{lines:?}");
        let count = lines.len();
        lines.sort();
        lines.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
        assert_eq!(lines.len(), count, "{lines:?}");
    }
}

/// Settles until nothing is left to do.
///
/// # Panics
/// It goes on.
pub async fn settle_all(client: &mut Patient) {
    for _ in 0..SETTLEMENTS_MAX {
        let reply = client.until_answered(&settle()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["stuck_items"], json!([]), "{reply:?}");
        let counts =
            ["users", "tokens", "left", "sent", "paid", "closed", "reservations", "rewards"];
        if counts.iter().all(|count| cents(&reply, count) == 0) {
            assert_eq!(reply.json()["queued"], "0", "{reply:?}");
            return;
        }
    }
    panic!("settlement goes on after {SETTLEMENTS_MAX} calls");
}

/// All books agree, page after page.
///
/// # Panics
/// They do not.
pub async fn check_books(client: &mut Patient) {
    let mut query = "?scope=full".to_owned();
    loop {
        let reply = client.until_answered(&reconcile(&query)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        let differences = body["differences"].as_array().expect("a list");
        // What nobody has posted or voided is told, and is right.
        let differs = differences.iter().any(|one| one["code"] != "withdrawal_overdue");
        assert!(!differs, "{reply:?}");
        assert_eq!(cents(&reply, "unsettled"), 0, "{reply:?}");
        let Some(cursor) = reply.text("cursor") else { return };
        query = format!("?scope=full&cursor={cursor}");
    }
}

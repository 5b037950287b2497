//! Real orders: what the app answers is what the file itself says, over both stores.

use anyhow::ensure;
use domain::ids::UserId;
use end_to_end::app::{Place, check, event, order_paid, root};
use host::App;
use tokio::runtime::Runtime;
use xtask::demo::{Client, OrderPaid, Report, read_orders, replay, truth};

/// Paid orders of the file, and customers who have one; `data/README.md` counts the same.
const ORDERS: usize = 1_181;
const CUSTOMERS: usize = 852;

struct InProcess<'a> {
    runtime: &'a Runtime,
    app: App,
}

impl Client for InProcess<'_> {
    fn is_new(&mut self, user: UserId) -> anyhow::Result<bool> {
        Ok(self.runtime.block_on(check(user.0).of(&self.app)).is_new())
    }

    fn order_paid(&mut self, paid: &OrderPaid<'_>) -> anyhow::Result<()> {
        let mut event = event(paid.user.0);
        event["data"]["order"] = paid.order.into();
        event["time"] = format!("{}Z", paid.time.replace(' ', "T")).into();
        let mut ask = order_paid(paid.user.0);
        ask.body = event.to_string().into();
        let reply = self.runtime.block_on(ask.of(&self.app));
        ensure!(reply.status == 204, "{reply:?}");
        Ok(())
    }
}

#[test]
fn every_answer_agrees_with_the_orders_of_a_real_shop() {
    let (orders, _) = read_orders(&root().join("data/online-retail.csv")).expect("orders");
    let truth = truth(&orders);
    assert_eq!(orders.len(), ORDERS);
    assert_eq!(truth.iter().filter(|new| **new).count(), CUSTOMERS);
    let runtime = Runtime::new().expect("a runtime");
    for place in Place::all() {
        // Dense ids, and ids as a generator of snowflakes makes them.
        for first_user in [0, 652_024_209_997_893_632] {
            let app = runtime.block_on(place.app());
            let mut client = InProcess { runtime: &runtime, app };
            let answers = replay(&orders, UserId(first_user), &mut client, |_| ());
            let answers = answers.unwrap_or_else(|error| panic!("{}: {error:#}", place.name()));
            let report = Report::new(&orders, &truth, &answers);
            assert_eq!(report.wrong(), 0, "{} from user {first_user}\n{report}", place.name());
            assert_eq!(answers.len(), ORDERS);
        }
    }
}

//! `cargo xtask bulk` against the app: wherever a batch is interrupted, each user of the file has one
//! coupon of it afterwards, and the figures add up.

use anyhow::{bail, ensure};
use domain::ids::UserId;
use end_to_end::app::{Ask, OPERATOR, Place, load};
use end_to_end::coupon::{Stock, list, look, published, template};
use host::App;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use xtask::bulk::{Batch, Client, Tally, issue};
use xtask::users::PART_USERS_MAX;

/// A part that was answered with 503 is sent again, as the client over HTTP does.
const ATTEMPTS_MAX: usize = 8;
/// The app's address, by which a file's progress is told from another app's.
const URL: &str = "http://127.0.0.1:1";

/// A client that dies after so many parts: before the next one is sent, or with its reply.
struct Mortal<'a> {
    runtime: &'a Runtime,
    app: &'a App,
    parts_left: usize,
    reply_lost: bool,
}

impl Client for Mortal<'_> {
    fn issue(&mut self, batch: &Batch, users: &[UserId]) -> anyhow::Result<()> {
        if self.parts_left > 0 || self.reply_lost {
            let body = json!({"batch": batch.batch, "users": users});
            let path = format!("/v1/coupon-templates/{}/bulk", batch.template);
            let ask = Ask::post(path, body.to_string()).operator();
            let send = || self.runtime.block_on(ask.of(self.app));
            let mut replies = std::iter::repeat_with(send).take(ATTEMPTS_MAX);
            let reply = replies.find(|reply| reply.status != 503);
            ensure!(reply.as_ref().is_some_and(|reply| reply.status == 202), "{reply:?}");
        }
        if self.parts_left == 0 {
            bail!("the client died");
        }
        self.parts_left -= 1;
        Ok(())
    }

    fn tally(&mut self, batch: &Batch) -> anyhow::Result<Tally> {
        let path = format!("/v1/coupon-templates/{}/bulk/{}", batch.template, batch.batch);
        let reply = self.runtime.block_on(Ask::get(path).operator().of(self.app));
        ensure!(reply.status == 200, "{reply:?}");
        Ok(serde_json::from_slice(&reply.body)?)
    }
}

fn user(index: u64) -> u64 {
    652_024_209_997_893_632 + index * 4_096
}

/// Interrupts one batch after the other, each time in another way, and finishes it.
fn check_batches(place: &Place, users: u64, deaths: &[(usize, bool)]) {
    let runtime = Runtime::new().expect("a runtime");
    // On kv an instance swaps 256 times in its life, and a part of 1,000 users needs more than one
    // instance: none is kept, so that the next attempt has a new one, as after a second's rest.
    let mut options = place.options();
    options.reuse.requests = 1;
    let app = &runtime.block_on(load(options));
    let mut body = template(100_000);
    body["limit_per_user"] = json!(deaths.len());
    runtime.block_on(published(app, "t", &body));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ids.txt");
    let lines: Vec<_> = (0..users).map(|index| format!("{}\n", user(index))).collect();
    std::fs::write(&file, lines.concat()).expect("a file of ids");

    for (index, (parts_left, reply_lost)) in deaths.iter().copied().enumerate() {
        let name = format!("b{index}");
        let batch = Batch { template: "t".to_owned(), batch: name.clone() };
        let mut client = Mortal { runtime: &runtime, app, parts_left, reply_lost };
        let error = issue(&file, URL, &batch, &mut client).expect_err("it dies");
        assert!(format!("{error:#}").contains("the client died"), "{error:#}");
        client.parts_left = usize::MAX;
        assert_eq!(issue(&file, URL, &batch, &mut client).expect("the rest").users, users);
        // As after the loss of the progress file: all is sent anew, and nothing happens.
        let progress = folder.path().join(format!("ids.txt.t.{name}.progress"));
        std::fs::remove_file(progress).expect("progress is kept beside the file");
        issue(&file, URL, &batch, &mut client).expect("all anew");
        let parts = users.div_ceil(PART_USERS_MAX as u64);
        let expected = Tally { parts, users, issued: users, ..Tally::default() };
        assert_eq!(client.tally(&batch).expect("a tally"), expected, "after {parts_left} parts");
    }

    let expected: Vec<_> = (0..deaths.len()).map(|index| format!("bulk:t:b{index}")).collect();
    for index in 0..users {
        let coupons = runtime.block_on(list(user(index)).of(app)).json();
        let coupons = coupons["coupons"].as_array().expect("a list").clone();
        let mut ids: Vec<_> = coupons.iter().filter_map(|one| one["coupon"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected, "user {}", user(index));
    }
    let stock = Stock::of(&runtime.block_on(look("t").of(app)));
    assert_eq!(stock.issued as u64, users * deaths.len() as u64);
}

#[test]
fn a_batch_that_is_interrupted_anywhere_gives_each_user_one_coupon() {
    let deaths: Vec<_> = (0..3).flat_map(|parts| [(parts, false), (parts, true)]).collect();
    check_batches(&Place::redis(), 2_100, &deaths);
}

/// Once: every commit writes half of the store.
#[test]
fn so_it_does_on_kv() {
    check_batches(&Place::Kv, 1_100, &[(1, true)]);
}

/// Over HTTP, with the client of the command: who got something else is counted, and who got nothing by
/// code.
#[test]
fn the_figures_say_who_got_what() {
    let runtime = Runtime::new().expect("a runtime");
    let place = Place::redis();
    let app = &runtime.block_on(place.app());
    let server = runtime.block_on(app.serve()).expect("a free port on loopback");
    let url = format!("http://{}", server.address);
    let mut client = xtask::http::Client::new(&url, OPERATOR).expect("a client");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ids.txt");
    std::fs::write(&file, "user_id\n1\n2\n3\n4\n").expect("a file of ids");
    let mut tally = |id: &str, body: &Value| {
        runtime.block_on(published(app, id, body));
        let batch = Batch { template: id.to_owned(), batch: "b".to_owned() };
        assert!(client.tally(&batch).is_err(), "nothing was issued");
        assert_eq!(issue(&file, &url, &batch, &mut client).expect("one part").users, 4);
        client.tally(&batch).expect("a tally")
    };
    let refused = [("sold_out".to_owned(), 1)].into();
    let expected = Tally { parts: 1, users: 4, issued: 3, refused, ..Tally::default() };
    assert_eq!(tally("three", &template(3)), expected);
    runtime.block_on(published(app, "spare", &template(1)));
    let mut body = template(1);
    body["fallback_template"] = json!("spare");
    body["greeting"] = json!("Next time");
    let expected =
        Tally { parts: 1, users: 4, issued: 1, fallback: 1, greeting: 2, ..Tally::default() };
    assert_eq!(tally("one", &body), expected);
    runtime.block_on(server.stop());
}

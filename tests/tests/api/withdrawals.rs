//! Withdrawals by a table, and tokens that the store has lost: the client's copy puts them back, once.

use end_to_end::app::{Ask, Place, Reply, assert_refused, verifying_keys};
use end_to_end::wallet::{
    STAGE, cents, differences, open_rain, packet, payload, post, post_withdrawal, rain,
    rain_number, rain_set_up, restore, send, set_up_rain, settle, signed, signed_by, view,
    void_withdrawal, withdraw,
};
use end_to_end::wallet_checks::{Has, has};
use host::App;
use serde_json::json;

const USER: u64 = 7;
const OTHER: u64 = 8;
/// Keys of somebody else, under the name that ours have.
const FOREIGN: &str = "k1:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
/// The same under a name that is not listed.
const UNKNOWN: &str = "k9:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

/// A user with 3.00, on each kind of store.
async fn three(place: &Place) -> App {
    let app = place.app().await;
    rain_set_up(&app, "spring", &rain()).await;
    for award in ["x", "y", "z"] {
        let reply = open_rain(USER, "spring", award).of(&app).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    app
}

/// What an answer says in a word: the state, or the code.
fn word(reply: &Reply) -> String {
    let state = reply.text(if reply.status < 300 { "state" } else { "code" });
    let replayed = if reply.json()["replayed"] == true { " again" } else { "" };
    format!("{} {}{replayed}", reply.status, state.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals() {
    type Row = (fn() -> Ask, &'static str);
    let table: [Row; 22] = [
        (|| withdraw(USER, "a", 100), "201 pending"),
        (|| withdraw(USER, "a", 100), "201 pending again"),
        (|| withdraw(USER, "a", 101), "409 exists_with_different_amount"),
        (|| withdraw(USER, "b", 201), "409 exceeds_balance"),
        (|| open_rain(USER, "spring", "more"), "201 "),
        // The refusal stands, though there would be enough by now.
        (|| withdraw(USER, "b", 201), "409 exceeds_balance"),
        (|| withdraw(USER, "b", 200), "409 exists_with_different_amount"),
        (|| post_withdrawal(USER, "b"), "409 exceeds_balance"),
        (|| void_withdrawal(USER, "b"), "409 exceeds_balance"),
        (|| post_withdrawal(USER, "a"), "200 posted"),
        (|| post_withdrawal(USER, "a"), "409 already_posted"),
        (|| void_withdrawal(USER, "a"), "409 already_posted"),
        (|| withdraw(USER, "a", 100), "201 posted again"),
        (|| post_withdrawal(USER, "c"), "404 unknown_withdrawal"),
        (|| void_withdrawal(USER, "c"), "200 voided"),
        (|| void_withdrawal(USER, "c"), "409 already_voided"),
        (|| withdraw(USER, "c", 100), "409 already_voided"),
        (|| withdraw(USER, "d", 300), "201 pending"),
        (|| withdraw(USER, "e", 1), "409 exceeds_balance"),
        (|| void_withdrawal(USER, "d"), "200 voided"),
        (|| post_withdrawal(USER, "d"), "409 already_voided"),
        (|| withdraw(USER, "f", 300), "201 pending"),
    ];
    for place in Place::all() {
        let app = three(&place).await;
        for (number, (asked, expected)) in table.iter().enumerate() {
            let reply = asked().of(&app).await;
            reply.assert_well_formed();
            assert_eq!(word(&reply), *expected, "{number}: {reply:?}");
        }
        let reply = view(USER).of(&app).await;
        let expected = Has { withdrawn: 100, held: 300, ..has(USER, 0, 400) };
        assert_eq!(Has::of(USER, &reply), expected, "{reply:?}");
        assert_eq!(differences(&app).await, Vec::<serde_json::Value>::new());
    }
}

/// A sender who changes their mind about whose money it is has sent the first packet and not the second
/// one, which takes nothing; and settlement has nothing that it cannot finish.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_one_packet_whoever_pays() {
    for place in Place::all() {
        let app = three(&place).await;
        for (first, second, left) in [("payment", "balance", 300), ("balance", "payment", 200)] {
            let sent = |funding: &str| {
                let mut body = packet(USER, &format!("p-{first}"), 100, 1);
                body["funding"] = json!(funding);
                send(&body)
            };
            for replayed in [false, true] {
                let reply = sent(first).of(&app).await;
                assert_eq!((reply.status, &reply.json()["replayed"]), (201, &json!(replayed)));
                assert_refused(&sent(second).of(&app).await, 422, "order_number_reused");
            }
            let reply = settle().of(&app).await;
            assert_eq!((reply.status, cents(&reply, "left")), (200, 0), "{reply:?}");
            assert_eq!(cents(&view(USER).of(&app).await, "balance"), left, "{first}");
        }
        assert_eq!(differences(&app).await, Vec::<serde_json::Value>::new());
    }
}

/// Deletes what the store knows of a user's tokens that are not posted.
async fn lose(place: &Place, user: u64) {
    let Place::Redis(server) = place else { panic!("a server") };
    let keys: Vec<String> = server.command(&["KEYS", &format!("*:mmk{user}")]).await.expect("keys");
    assert_eq!(keys.len(), 1, "{keys:?}");
    server.command::<u64>(&["DEL", &keys[0]]).await.expect("the server answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_the_store_lost() {
    let place = Place::redis();
    let app = three(&place).await;
    let mut tokens = Vec::new();
    for award in ["x", "y", "z"] {
        let reply = open_rain(USER, "spring", award).of(&app).await;
        tokens.push(reply.text("token").expect("a token"));
    }
    // Two are lost after one was posted with them, and one before.
    lose(&place, USER).await;
    assert_eq!(cents(&view(USER).of(&app).await, "balance"), 0);
    let lost = differences(&app).await;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["code"], "budget_differs");

    let reply = restore(USER, &tokens[..1]).of(&app).await;
    assert_eq!((cents(&reply, "balance"), &reply.json()["restored"]), (100, &json!(1)));
    let reply = post(USER).of(&app).await;
    assert_eq!((cents(&reply, "balance"), cents(&reply, "pending")), (100, 0));
    // The posted one counts once; one that is sent twice, too.
    let all = [&tokens[..], &tokens[1..]].concat();
    for restored in [2, 0] {
        let reply = restore(USER, &all).of(&app).await;
        assert_eq!(reply.json()["restored"], restored, "{reply:?}");
        assert_eq!(Has::of(USER, &reply), has(USER, 300, 300), "{reply:?}");
    }
    let reply = settle().of(&app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = restore(USER, &all).of(&app).await;
    assert_eq!(reply.json()["restored"], 0, "{reply:?}");
    assert_eq!(Has::of(USER, &reply), has(USER, 300, 300), "{reply:?}");
    assert_eq!(cents(&reply, "pending"), 0);
    assert_eq!(differences(&app).await, Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_do_not_count() {
    let place = Place::redis();
    let app = three(&place).await;
    let good = payload(USER, &rain_number(USER, "lost"), 500);
    let right = signed(&good);
    let flipped = |index: usize| {
        let mut bytes = right.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("base64")
    };
    let table = [
        ("a flipped bit of the payload", flipped(24), "bad_signature"),
        ("a flipped bit of the signature", flipped(right.len() - 20), "bad_signature"),
        ("half of it", right[..right.len() / 2].to_owned(), "malformed_token"),
        ("no token", "x y".to_owned(), "malformed_token"),
        ("a foreign key", signed_by(FOREIGN, STAGE, &good), "bad_signature"),
        ("an unknown key", signed_by(UNKNOWN, STAGE, &good), "unknown_key"),
        ("another stage", signed_by(end_to_end::app::SIGNING_KEYS, "test", &good), "bad_signature"),
        ("another user's", signed(&payload(OTHER, "n", 500)), "foreign_token"),
    ];
    for (name, token, code) in table {
        let reply = restore(USER, &[right.clone(), token]).of(&app).await;
        assert_refused(&reply, 422, code);
        assert_eq!(reply.text("field").as_deref(), Some("tokens[1]"), "{name}: {reply:?}");
        assert_eq!(cents(&view(USER).of(&app).await, "balance"), 300, "{name}");
    }

    // The same app, with keys that have ended.
    let ended = format!("{}@2020-01-01T00:00:00Z", verifying_keys());
    let options = place.options().variable("token_verifying_keys", ended);
    let app = end_to_end::app::load(options).await;
    assert_refused(&restore(USER, &[right]).of(&app).await, 422, "key_expired");
    let reply = set_up_rain("spring", &rain()).of(&app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(cents(&view(USER).of(&app).await, "balance"), 300);
}

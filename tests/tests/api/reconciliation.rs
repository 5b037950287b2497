//! Reconciliation finds each of a list of deliberate corruptions, one for every kind of record, by its code,
//! and nothing where nobody meddled.

use binding::Binding;
use binding::redis::Redis;
use coupons::chance::{Chance, Group, Groups, Phase, REWARDS};
use coupons::records::{self as coupon, Gave, Order, Unused};
use coupons::settling::UNUSED_GONE;
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, Field, MapKey, Member, Outcome, Read, Transaction, Value, Write,
};
use end_to_end::app::{Ask, Place, Reply, assert_refused, load};
use end_to_end::coupon::{issue, list, published, reserve, template};
use end_to_end::group_buy;
use end_to_end::purchase;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{
    differences, open, open_rain, packet, packet_name, payload, post, rain_number, rain_set_up,
    rain_with, send, settle, signed_by, token_of, view, withdraw,
};
use host::App;
use purchases::order::{Purchase, State};
use purchases::records as taken;
use serde_json::json;
use store::codec::{decode, encode};
use store::quarantine;
use wallet::records;
use wallet::token::{Envelope, Token};
use wallet::withdraw::Withdrawal;

const PARTITIONS: u32 = 4;
/// Has posted entries, a withdrawal, a packet that was sent, and one token that is not posted.
const USER: u64 = 7;
/// Has opened the packet.
const OPENER: u64 = 8;

/// A store that somebody meddles with.
struct Store<'a> {
    redis: Redis<&'a NativeConnector>,
    partitions: Partitions,
}

impl Store<'_> {
    fn home(&self, user: u64) -> Partition {
        self.partitions.locate(UserId(user)).partition
    }

    fn of_packet(&self, packet: &str) -> Partition {
        records::home_of_packet(self.partitions, packet)
    }

    async fn commit(&self, partition: Partition, transaction: Transaction) -> Outcome {
        self.redis.commit(partition, &transaction).await.expect("the store commits")
    }

    /// What one field holds.
    async fn stored(&self, partition: Partition, read: Read) -> Value {
        let transaction = Transaction { reads: vec![read], ..Transaction::default() };
        let outcome = self.commit(partition, transaction).await;
        let Outcome::Committed(answers) = outcome else { panic!("{outcome:?}") };
        let Answer::Fields(values) = &answers[0] else { panic!("{answers:?}") };
        values[0].clone().expect("it is there")
    }

    /// When a reservation ends.
    async fn reserved_until(&self, user: UserId, number: &OrderNumber) -> UnixMillis {
        let read = Read::Fields(coupon::user(user), vec![coupon::order(number)]);
        let transaction = Transaction { reads: vec![read], ..Transaction::default() };
        let outcome = self.commit(self.home(user.0), transaction).await;
        let Outcome::Committed(answers) = outcome else { panic!("{outcome:?}") };
        let Answer::Fields(values) = &answers[0] else { panic!("{answers:?}") };
        let order = Order::decode(values[0].as_ref().expect("an order")).expect("an order");
        let Gave::Reserved(_, until) = order.gave else { panic!("{order:?}") };
        UnixMillis(until)
    }

    /// When a token was drawn that is not posted.
    async fn drawn(&self, user: UserId, number: &str) -> UnixMillis {
        let read = Read::Fields(records::pending(user), vec![number.into()]);
        let transaction = Transaction { reads: vec![read], ..Transaction::default() };
        let outcome = self.commit(self.home(user.0), transaction).await;
        let Outcome::Committed(answers) = outcome else { panic!("{outcome:?}") };
        let Answer::Fields(values) = &answers[0] else { panic!("{answers:?}") };
        let Some(Value::Bytes(stored)) = &values[0] else { panic!("{values:?}") };
        Token::from_stored(stored).expect("a token").open_time
    }

    /// Lets the pool know more of what coupons did not use: of the user's partition, and in all.
    async fn know_unused(&self, of_partition: i64, in_all: i64) {
        let pool = coupon::pool(TEMPLATE);
        let writes = vec![
            Write::Add(pool.clone(), lease::unused(self.home(USER)), of_partition),
            Write::Add(pool, lease::UNUSED_IN_ALL.into(), in_all),
        ];
        self.write(coupon::home_of_pool(self.partitions, TEMPLATE), writes).await;
    }

    async fn write(&self, partition: Partition, writes: Vec<Write>) {
        self.commit(partition, Transaction { writes, ..Transaction::default() }).await;
    }
}

async fn done(app: &App, asked: &Ask) -> Reply {
    let reply = asked.of(app).await;
    assert!((200..300).contains(&reply.status), "{reply:?}");
    reply
}

/// Of which `USER` has a coupon, and another one is held.
const TEMPLATE: &str = "t";

/// A little of everything.
async fn set_up(app: &App) {
    rain_set_up(app, "r", &rain_with("budget", json!("100000"))).await;
    for award in ["a", "b", "c"] {
        done(app, &open_rain(USER, "r", award)).await;
    }
    done(app, &post(USER)).await;
    done(app, &withdraw(USER, "w", 50)).await;
    done(app, &send(&packet(USER, "p", 100, 2))).await;
    done(app, &open(&packet_name(USER, "p"), OPENER)).await;
    done(app, &settle()).await;
    done(app, &open_rain(USER, "r", "d")).await;
    let mut template = template(100);
    template["limit_per_user"] = json!(2);
    published(app, TEMPLATE, &template).await;
    done(app, &issue(USER, TEMPLATE, "issued")).await;
    done(app, &reserve(USER, TEMPLATE, "reserved", 600)).await;
    // The user has as many coupons as they may, so that the reward stays due; the other one has theirs.
    done(app, &group_buy::set_up(CAMPAIGN, TEMPLATE, true)).await;
    for user in [USER, OPENER] {
        done(app, &group_buy::open(user, CAMPAIGN, "g")).await;
        done(app, &group_buy::ended("succeeded", user, CAMPAIGN, "g")).await;
        done(app, &list(user)).await;
    }
    let limits = json!({"per_user": 9, "total": "99"});
    done(app, &purchase::save(ACTIVITY, "", &purchase::limited(&limits))).await;
    done(app, &purchase::take(USER, "bought", &[(ACTIVITY, "", 2)])).await;
}

/// Whose groups earn coupons of `TEMPLATE`.
const CAMPAIGN: &str = "c";
/// Of which an order of `USER` took something.
const ACTIVITY: &str = "limited";

/// Which corruption.
const KINDS: [&str; 40] = [
    "accounts_unbalanced",
    "pool_differs",
    "budget_differs",
    "packet_differs",
    "opening_unpaid",
    "balance_differs",
    "income_differs",
    "held_differs",
    "withdrawn_differs",
    "entry_broken",
    "posted_mark_differs",
    "withdrawal_differs",
    "token_unreadable",
    "token_forged",
    "token_twice",
    "not_queued",
    "account_differs",
    "stock_differs",
    "issued_differs",
    "reserved_differs",
    "coupon_count_differs",
    "order_broken",
    "reservation_unlisted",
    "chance_differs",
    "reward_unlisted",
    "reward_missing",
    "uses_differ",
    "uses_of_all_differ",
    "hold_missing",
    "hold_left",
    "order_unlisted",
    "record_unreadable",
    "dropped",
    "payment_unapplied",
    "withdrawal_overdue",
    "unused_differs",
    "returned_differs",
    "not_home",
    "unused_ahead",
    "coupon_unlisted",
];

async fn corrupt(store: &Store<'_>, app: &App, kind: &str) {
    let (user, opener) = (UserId(USER), UserId(OPENER));
    let (home, account) = (store.home(USER), records::account(user));
    let name = packet_name(USER, "p");
    let add = |map: MapKey, field: &str, cents| Write::Add(map, field.into(), cents);
    let pending: Field = rain_number(USER, "d").as_str().into();
    match kind {
        "accounts_unbalanced" => {
            store.write(home, vec![add(records::accounts(), records::PAID_OUT, 1)]).await;
        }
        "pool_differs" => {
            let place = wallet::rain::place(store.partitions, "r");
            store.write(place.partition, vec![add(place.pool, lease::FREE, 1)]).await;
        }
        // Money was given of which nobody has a token.
        "budget_differs" => {
            store.write(home, vec![add(wallet::rain::lease("r"), lease::LEFT, -1)]).await;
        }
        "packet_differs" => {
            store.write(store.of_packet(&name), vec![add(records::parts(&name), "0", 1)]).await;
        }
        "opening_unpaid" => {
            let number: Field = wallet::packet::opening_number(&name).as_str().into();
            let writes = vec![Write::Unset(records::posted(opener), number)];
            store.write(store.home(OPENER), writes).await;
        }
        "balance_differs" => store.write(home, vec![add(account, "b", 1)]).await,
        "income_differs" => store.write(home, vec![add(account, "i", 1)]).await,
        "held_differs" => store.write(home, vec![add(account, "h", 1)]).await,
        "withdrawn_differs" => store.write(home, vec![add(account, "w", 1)]).await,
        "entry_broken" => {
            let page = records::page(user, 0);
            store.write(home, vec![Write::Unset(page, records::entry(0))]).await;
        }
        "posted_mark_differs" => {
            let number: Field = rain_number(USER, "a").as_str().into();
            store.write(home, vec![Write::Unset(records::posted(user), number)]).await;
        }
        "withdrawal_differs" => {
            let writes = vec![Write::Unset(records::withdrawals(user), "w".into())];
            store.write(home, writes).await;
        }
        "token_unreadable" => {
            let bytes = Value::Bytes(b"no token".to_vec());
            store.write(home, vec![Write::Set(records::pending(user), pending, bytes)]).await;
        }
        // Of another key, and worth more.
        "token_forged" => {
            let number = rain_number(USER, "d");
            let keys = "k1:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
            let text = signed_by(keys, "live", &payload(USER, &number, 100_000));
            let stored = Envelope::from_text(&text).expect("a token").to_stored();
            let value = Value::Bytes(stored);
            store.write(home, vec![Write::Set(records::pending(user), pending, value)]).await;
        }
        "token_twice" => {
            let reply = done(app, &open_rain(USER, "r", "a")).await;
            let token = reply.text("token").expect("a token");
            let stored = Envelope::from_text(&token).expect("a token").to_stored();
            let number = token_of(&reply).order_number;
            let field = number.as_str().into();
            let value = Value::Bytes(stored);
            store.write(home, vec![Write::Set(records::pending(user), field, value)]).await;
        }
        "not_queued" => {
            let number = rain_number(USER, "d");
            let drawn = store.drawn(user, &number).await;
            let write = records::QUEUE.remove(drawn, &due::of_user(user, &number));
            store.write(home, vec![write]).await;
        }
        // Zero in all, and wrong.
        "account_differs" => {
            let accounts = [(records::USERS, 1), (records::HELD, -1)];
            let writes = accounts.map(|(name, cents)| add(records::accounts(), name, cents));
            store.write(home, writes.to_vec()).await;
        }
        "stock_differs" => {
            let pool = coupon::home_of_pool(store.partitions, TEMPLATE);
            store.write(pool, vec![add(coupon::pool(TEMPLATE), lease::FREE, 1)]).await;
        }
        "unused_differs" => store.know_unused(0, 1).await,
        // Of a partition, and as much of it in the pool: no coupon says so.
        "returned_differs" => {
            store.write(home, vec![add(coupon::lease(TEMPLATE), lease::UNUSED, 1)]).await;
            store.know_unused(1, 1).await;
        }
        // Of coupons that are not kept any more.
        "not_home" | "unused_ahead" => {
            let fields = [lease::UNUSED, UNUSED_GONE];
            let writes = fields.map(|field| add(coupon::lease(TEMPLATE), field, 1));
            store.write(home, writes.to_vec()).await;
            if kind == "unused_ahead" {
                store.know_unused(2, 2).await;
            }
        }
        "coupon_unlisted" => {
            let number = OrderNumber::parse("issued", "").expect("a number");
            let (map, field) = (coupon::user(user), coupon::order(&number));
            let read = Read::Fields(map.clone(), vec![field.clone()]);
            let stored = store.stored(home, read).await;
            let mut order = Order::decode(&stored).expect("an order");
            let Gave::Issued(given) = &mut order.gave else { panic!("{order:?}") };
            given.unused = Unused::Due;
            store.write(home, vec![Write::Set(map, field, order.encode())]).await;
        }
        // A coupon was given that nobody has.
        "issued_differs" => {
            store.write(home, vec![add(coupon::lease(TEMPLATE), lease::LEFT, -1)]).await;
        }
        "reserved_differs" => {
            let lease = coupon::lease(TEMPLATE);
            let writes = vec![add(lease.clone(), lease::HELD, 1), add(lease, lease::LEFT, -1)];
            store.write(home, writes).await;
        }
        "coupon_count_differs" => {
            let count = coupon::held_count(TEMPLATE);
            store.write(home, vec![Write::Add(coupon::user(user), count, 1)]).await;
        }
        "order_broken" => {
            let bytes = Value::Bytes(b"no order".to_vec());
            let write = Write::Set(coupon::user(user), coupon::order(&number("issued")), bytes);
            store.write(home, vec![write]).await;
        }
        "reservation_unlisted" => {
            let number = number("reserved");
            let until = store.reserved_until(user, &number).await;
            let end = coupon::end(user, &number);
            store.write(home, vec![coupon::ENDS.remove(until, &end)]).await;
        }
        // The same group twice.
        "chance_differs" => {
            let group = Group {
                group: "g".into(),
                template: TEMPLATE.into(),
                gives_back: true,
                opened_at: UnixMillis(0),
                lasts_seconds: 1,
                phase: Phase::Open,
            };
            let mut groups = Groups::default();
            for _ in 0..2 {
                groups = groups.opened(group.clone()).expect("the chance was given back");
                groups = groups.ended("g", Phase::Failed, UnixMillis(0)).expect("a group");
            }
            let chance = Chance { user, campaign: "twice" };
            store.write(home, chance.change(&Groups::default(), &groups).writes).await;
        }
        "reward_unlisted" => {
            let chance = Chance { user, campaign: CAMPAIGN };
            let stored = store.stored(home, chance.read()).await;
            let groups = Groups::decode(Some(&stored)).expect("a chance");
            let opened_at = groups.due().expect("a reward that is due").opened_at;
            let entry = due::of_user(user, CAMPAIGN);
            store.write(home, vec![REWARDS.remove(opened_at, &entry)]).await;
        }
        "reward_missing" => {
            let order = coupon::order(&number(&format!("group:{CAMPAIGN}:g")));
            let writes = vec![Write::Unset(coupon::user(opener), order)];
            store.write(store.home(OPENER), writes).await;
        }
        "uses_differ" => {
            let count = Write::Add(taken::user(user), taken::unit_of(ACTIVITY, ""), 1);
            store.write(home, vec![count]).await;
        }
        "uses_of_all_differ" => {
            let count = Write::Add(taken::stock(ACTIVITY), taken::unit(""), 1);
            store.write(taken::stock_of(store.partitions, ACTIVITY), vec![count]).await;
        }
        "hold_missing" => {
            let hold = taken::hold(user, &number("bought"), 1);
            let writes = vec![Write::Unset(taken::holds(ACTIVITY), hold)];
            store.write(taken::stock_of(store.partitions, ACTIVITY), writes).await;
        }
        // Of an order that never was.
        "hold_left" => {
            let hold = taken::hold(user, &number("never"), 1);
            let held = encode(&taken::Hold::Held(vec![]));
            let writes = vec![
                Write::AddMember(taken::held(ACTIVITY), Member(hold.0.clone())),
                Write::Set(taken::holds(ACTIVITY), hold, held),
            ];
            store.write(taken::stock_of(store.partitions, ACTIVITY), writes).await;
        }
        "order_unlisted" => {
            let (order, field) = (taken::order(user, &number("bought")), taken::ORDER);
            let read = Read::Fields(order.clone(), vec![field.into()]);
            let stored = store.stored(home, read).await;
            let mut purchase: Purchase = decode(&stored).expect("an order");
            purchase.state = State::GivingBack;
            let write = Write::Set(order, field.into(), encode(&purchase));
            store.write(home, vec![write]).await;
        }
        // A rain that is listed, and not there.
        "record_unreadable" => {
            let home = wallet::rain::home_of_all(store.partitions);
            let listed = Write::AddMember(wallet::rain::all(), "lost autumn/rain".into());
            store.write(home, vec![listed]).await;
        }
        "dropped" => {
            let entry = due::member(UnixMillis(0), &due::of_user(user, "lost"));
            let name = quarantine::name(records::QUEUE, &entry);
            store.write(home, vec![Write::AddMember(quarantine::dropped_names(), name)]).await;
        }
        "payment_unapplied" => {
            let waiting = records::UNAPPLIED.add(UnixMillis(0), b"7.late");
            store.write(home, vec![waiting]).await;
        }
        // It has been pending since long.
        "withdrawal_overdue" => {
            let stored = store
                .stored(home, Read::Fields(records::withdrawals(user), vec!["w".into()]))
                .await;
            let withdrawal = Withdrawal::decode(&stored).expect("a withdrawal");
            let what = due::of_user(user, "w");
            let old = Withdrawal { at: 0, ..withdrawal.clone() };
            let writes = vec![
                records::WITHDRAWALS.remove(UnixMillis(withdrawal.at), &what),
                records::WITHDRAWALS.add(UnixMillis(0), &what),
                Write::Set(records::withdrawals(user), "w".into(), old.encode()),
            ];
            store.write(home, writes).await;
        }
        other => panic!("{other}"),
    }
}

fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "order_number").expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_corruption_is_found_and_nothing_else_is() {
    let server = RedisServer::start(&[]).expect("a server");
    let connector = NativeConnector::default();
    let place = Place::Redis(server);
    for (index, kind) in KINDS.into_iter().enumerate() {
        let prefix = format!("k{index}");
        let options = place.options().variable("partitions", PARTITIONS.to_string());
        let options = options.variable("key_prefix", prefix.clone());
        let app = load(options).await;
        set_up(&app).await;
        assert_eq!(differences(&app).await, Vec::<serde_json::Value>::new(), "{kind}: before");
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let redis = Redis::new(&connector, vec![place.address()], &prefix, "live", partitions);
        let store = Store { redis, partitions };
        corrupt(&store, &app, kind).await;
        let found = differences(&app).await;
        let codes: Vec<_> = found.iter().filter_map(|one| one["code"].as_str()).collect();
        println!("{kind}: {found:?}");
        assert!(codes.contains(&kind), "{kind}: {found:?}");
        for one in &found {
            assert!(!one["remedy"].as_str().expect("a remedy").is_empty(), "{one}");
            assert!(!one["place"].as_str().expect("a place").is_empty(), "{one}");
        }
        // Nothing is repaired.
        assert_eq!(differences(&app).await, found, "{kind}: again");
        // What one user has is also a part of what all have.
        let only = match kind {
            "income_differs" => vec![kind],
            "balance_differs" | "held_differs" => vec!["account_differs", kind],
            _ => continue,
        };
        assert_eq!(codes, only, "{found:?}");
    }
}

fn map_of(write: &Write) -> &MapKey {
    let Write::Set(map, ..) = write else { panic!("{write:?}") };
    map
}

/// One record that cannot be read is no fault of the configuration: who needs it is told so, and nobody else
/// notices.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_a_record_that_cannot_be_read_is_told_so_and_nobody_else_notices() {
    let server = RedisServer::start(&[]).expect("a server");
    let connector = NativeConnector::default();
    let place = Place::Redis(server);
    let user = UserId(USER);
    let garbage =
        |map: MapKey, field: Field| Write::Set(map, field, Value::Bytes(b"\xffno".to_vec()));
    let withdrawn = |user| withdraw(user, "later", 1);
    let token: Field = rain_number(USER, "d").as_str().into();
    let order = coupon::order(&number("issued"));
    // What is asked, and whether the rest is shown.
    type Asking<'a> = Vec<(Box<dyn Fn(u64) -> Ask + 'a>, bool)>;
    let table: [(&str, Write, Asking<'_>); 4] = [
        ("token", garbage(records::pending(user), token), vec![(Box::new(view), true)]),
        ("order", garbage(coupon::user(user), order), vec![(Box::new(list), true)]),
        (
            "account",
            garbage(records::account(user), "b".into()),
            vec![(Box::new(view), false), (Box::new(withdrawn), false)],
        ),
        (
            "accounts of the partition",
            garbage(records::accounts(), records::HELD.into()),
            vec![(Box::new(withdrawn), false)],
        ),
    ];
    for (index, (kind, write, asked)) in table.into_iter().enumerate() {
        let prefix = format!("u{index}");
        let options = place.options().variable("partitions", PARTITIONS.to_string());
        let app = load(options.variable("key_prefix", prefix.clone())).await;
        set_up(&app).await;
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let redis = Redis::new(&connector, vec![place.address()], &prefix, "live", partitions);
        let store = Store { redis, partitions };
        // The accounts of a partition are those of all of its users.
        let is_elsewhere = |user: &u64| store.home(*user) != store.home(USER);
        let elsewhere = (100..).find(is_elsewhere).expect("there are more partitions");
        let others = if map_of(&write) == &records::accounts() { elsewhere } else { OPENER };
        store.write(store.home(USER), vec![write]).await;
        for (ask, shows_rest) in asked {
            let reply = ask(USER).of(&app).await;
            if shows_rest {
                assert_eq!((reply.status, &reply.json()["incomplete"]), (200, &json!(true)));
            } else {
                assert_refused(&reply, 503, "record_unreadable");
            }
            let other = ask(others).of(&app).await;
            assert!(other.status < 500, "{kind}: {other:?}");
        }
        let settled = settle().of(&app).await;
        assert_eq!(settled.status, 200, "{kind}: {settled:?}");
    }
}

/// The list above has every code that there is.
#[test]
fn every_code_has_its_corruption() {
    let source = include_str!("../../../functions/settlement/src/reconcile/what.rs");
    let codes = source.lines().filter_map(|line| {
        line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\",")
    });
    // Remedies are sentences.
    let mut codes: Vec<_> = codes.filter(|code| !code.contains(' ')).collect();
    codes.sort_unstable();
    let mut kinds = KINDS.to_vec();
    kinds.sort_unstable();
    assert_eq!(codes, kinds);
}

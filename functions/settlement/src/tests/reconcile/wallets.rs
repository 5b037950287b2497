//! What reconciliation says of wallets of which something was collected, or is being: nothing; and of what is wrong with
//! them. And that settlement voids withdrawals whose time is over.

use store::retention::{Retention, Terms};
use wallet::account::Account;
use wallet::carried::Months;
use wallet::withdraw::{self, Request};
use wallet::{collect, packet, posting, records};

use super::*;

const DAY_MS: i64 = 86_400_000;
/// Everything begins so long ago.
const AGO_MS: i64 = 100 * DAY_MS;

fn ago(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 - ms)
}

fn terms() -> Terms {
    Terms { retention: Retention::LEAST, now: NOW, dry_run: false }
}

/// The user is given and posted a token of a rain.
fn earn(store: &Watched, name: &str, cents: i64, at: UnixMillis) {
    let payload = Payload {
        app_id: 0,
        act_id: USER.0,
        activity_id: "spring".to_owned(),
        scene_id: "rain".to_owned(),
        amount: cents,
        out_trade_no: name.to_owned(),
        open_time: at.0,
        rain_id: 1,
        status: 0,
    };
    let stored = keys().sign(&payload, "test").unwrap().to_stored();
    store.write(home(USER.0), pending::writes(USER, name, stored, at, at).to_vec());
    block_on(posting::post(&context(store, at), USER)).unwrap();
}

fn withdraw(store: &Watched, name: &str, request: &Request, at: UnixMillis) {
    block_on(withdraw::create(&context(store, at), USER, &number(name), request)).unwrap();
}

/// A user with three tokens, and withdrawals of which one was posted and one voided, all of long ago.
fn old() -> Watched {
    let store = Watched::default();
    let at = ago(AGO_MS);
    for (name, cents) in [("a", 100), ("b", 10), ("c", 1)] {
        earn(&store, name, cents, at);
    }
    for name in ["posted", "voided"] {
        withdraw(&store, name, &Request::of(20), at);
    }
    let context = context(&store, at);
    block_on(withdraw::post(&context, USER, &number("posted"))).unwrap();
    block_on(withdraw::void(&context, USER, &number("voided"), None)).unwrap();
    store
}

fn collect_withdrawals<B: Binding>(store: &B) {
    let partitions: Vec<_> = partitions().all().collect();
    let context = context(store, NOW);
    let (swept, _) = block_on(collect::withdrawals(&context, &partitions, &terms())).unwrap();
    assert_eq!((swept.done, swept.stuck.len()), (2, 0));
}

fn collect_user<B: Binding>(store: &B) {
    let (context, terms, live) = (context(store, NOW), terms(), BTreeSet::new());
    let collected = block_on(collect::user(&context, USER, &terms, &live)).unwrap();
    assert!(!collected.gone.is_empty());
}

fn account(store: &Watched) -> Account {
    let answers = block_on(store.context().read(home(USER.0), vec![Account::read(USER)])).unwrap();
    Account::answered(answers.first()).unwrap()
}

#[test]
fn what_is_collected_of_a_wallet_is_no_difference() {
    let store = old();
    store.check(&[]);
    // The tokens go before their withdrawals do.
    collect_user(&store);
    assert_eq!(account(&store).carried, 3);
    store.check(&[]);
    collect_withdrawals(&store);
    store.check(&[]);
    collect_user(&store);
    assert_eq!(account(&store).carried, 6);
    store.check(&[]);
    earn(&store, "d", 7, NOW);
    withdraw(&store, "w", &Request::of(5), NOW);
    store.check(&[]);
}

#[test]
fn what_is_collected_while_it_is_looked_at_is_no_difference() {
    let log = {
        let store = old();
        store.log.borrow_mut().clear();
        collect_user(&store);
        collect_withdrawals(&store);
        collect_user(&store);
        store.log.take()
    };
    for every in 1..40 {
        let store = old();
        store.every.set(every);
        store.at_once.set(1);
        store.meanwhile.replace(log.iter().cloned().collect());
        store.check(&[]);
    }
}

#[test]
fn what_is_wrong_with_what_was_collected_is_told() {
    let home = home(USER.0);
    let add = |field: &str| Write::Add(records::account(USER), field.into(), 1);
    let months = |store: &Watched| {
        let answers = block_on(store.context().read(home, vec![Months::read(USER)])).unwrap();
        Months::answered(answers.first()).unwrap()
    };
    let lost = |name: &str| Write::Unset(records::withdrawals(USER), name.into());
    // As long as nothing is collected the withdrawal is named.
    let store = old();
    store.write(home, vec![lost("posted")]);
    let differs = [("withdrawal_differs", "7/posted"), ("withdrawn_differs", "7")];
    store.check(&[&[("withdrawal_differs", "7/posted")], &differs[..]].concat());

    let store = old();
    collect_withdrawals(&store);
    for field in ["t", "v"] {
        let store = old();
        collect_withdrawals(&store);
        store.write(home, vec![add(field)]);
        store.check(&[("withdrawal_differs", "7"), ("withdrawn_differs", "7")]);
    }
    collect_user(&store);
    assert_eq!(months(&store).total().count, 6);
    let month = wallet::carried::BEFORE;
    store.write(home, vec![Write::Unset(records::months(USER), month.into())]);
    store.check(&[
        ("entry_broken", "7/carried"),
        ("balance_differs", "7"),
        ("income_differs", "7"),
        ("withdrawn_differs", "7"),
    ]);
    store.write(home, vec![Write::Set(records::months(USER), month.into(), garbage())]);
    store.check(&[("record_unreadable", "user 7")]);
}

#[test]
fn a_withdrawal_that_is_pending_for_days_is_told_unless_it_has_an_end_to_come() {
    let store = Watched::default();
    earn(&store, "a", 100, ago(AGO_MS));
    let end = |seconds| Request { expires_in_seconds: Some(seconds), ..Request::of(1) };
    withdraw(&store, "days", &Request::of(1), ago(3 * DAY_MS));
    withdraw(&store, "young", &Request::of(1), ago(3 * DAY_MS - 1));
    withdraw(&store, "ends", &end(30 * 86_400), ago(20 * DAY_MS));
    withdraw(&store, "over", &end(86_400), ago(20 * DAY_MS));
    withdraw(&store, "posted", &Request::of(1), ago(20 * DAY_MS));
    block_on(withdraw::post(&context(&store, ago(19 * DAY_MS)), USER, &number("posted"))).unwrap();
    store.check(&[("withdrawal_overdue", "7/over"), ("withdrawal_overdue", "7/days")]);

    // Settlement voids what is over.
    let settle =
        || with_books(&store, NOW, |books| block_on(settle(books, USERS_DEFAULT))).unwrap();
    let settled = settle();
    assert_eq!((settled.withdrawals, settled.left, settled.stuck), (1, 0, vec![]));
    assert_eq!(settle().withdrawals, 0);
    assert_eq!(account(&store).held, 3);
    store.check(&[("withdrawal_overdue", "7/days")]);

    // One that is listed, and lost, or cannot be read.
    let home = home(USER.0);
    let record = records::withdrawals(USER);
    store.write(home, vec![Write::Set(record.clone(), "days".into(), garbage())]);
    let unreadable = ("record_unreadable", "withdrawal 7/days");
    let (told, _) = store.all(Scope::Recent);
    assert!(told.differences.iter().any(|one| (one.what.code(), &*one.place) == unreadable));
    store.write(home, vec![Write::Unset(record, "days".into())]);
    let lost = ("withdrawal_differs", "7/days");
    let (told, _) = store.all(Scope::Recent);
    assert!(told.differences.iter().any(|one| (one.what.code(), &*one.place) == lost));
}

/// More withdrawals than one call looks at, of as many users.
#[test]
fn a_call_stops_between_withdrawals_and_the_next_one_goes_on() {
    let store = Watched::default();
    let home = partitions().all().nth(1).unwrap();
    let users: Vec<_> = users_of(home).take(2_500).map(UserId).collect();
    for some in users.chunks(500) {
        let listed =
            |user: &UserId| records::WITHDRAWALS.add(ago(AGO_MS), &due::of_user(*user, "lost"));
        store.write(home, some.iter().map(listed).collect());
    }
    let (report, _) = store.all(Scope::Full);
    let places: BTreeSet<_> = report.differences.iter().map(|one| &one.place).collect();
    assert_eq!((places.len(), report.differences.len()), (2_500, 2_500));
    let behind = due::member(ago(AGO_MS), &due::of_user(users[0], "lost"));
    let cursor = Cursor::parse(&format!("1.withdrawals.{}", encoded(&behind))).unwrap();
    assert!(store.part(Scope::Full, cursor).differences.len() < 2_500);
}

fn encoded(member: &Member) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&member.0)
}

/// Of those who opened a packet some are owed what they got, in the index or set aside, and one has lost it: that one is
/// told, whoever stands before and behind.
#[test]
fn of_many_openings_the_one_that_is_not_paid_is_told() {
    const OPENERS: u64 = 5;
    let number = number("p");
    let packet = packet::name(USER, &number);
    let home = records::home_of_packet(partitions(), &packet);
    for (aside, lost) in (0..OPENERS).flat_map(|one| (0..OPENERS).map(move |other| (one, other))) {
        let store = Watched::default();
        let context = store.context();
        let order = packet::Order {
            sender: USER.0,
            total: 500,
            count: 5,
            kind: packet::Kind::Equal,
            funding: packet::Funding::Payment,
            at: NOW.0,
            ordered_at: None,
        };
        block_on(packet::send(&context, &number, &order, None, &mut || 0)).unwrap();
        block_on(packet::pay(&context, &packet, &packet::Payment::NONE, &mut || 0)).unwrap();
        let user = |index| UserId(100 + index);
        for index in 0..OPENERS {
            block_on(packet::open(&context, &packet, user(index))).unwrap();
        }
        let owed = |index| due::of_user(user(index), &packet);
        let name = quarantine::name(records::OWED, &due::member(NOW, &owed(aside)));
        let is_aside =
            [records::OWED.remove(NOW, &owed(aside)), Write::AddMember(quarantine::names(), name)];
        store.write(home, is_aside.to_vec());
        if lost != aside {
            store.write(home, vec![records::OWED.remove(NOW, &owed(lost))]);
        }
        let (report, _) = store.all(Scope::Full);
        let of_code = report.differences.iter().filter(|one| one.what.code() == "opening_unpaid");
        let told: Vec<_> = of_code.map(|one| one.place.clone()).collect();
        let expected: Vec<_> =
            (lost != aside).then(|| format!("{packet}/{}", user(lost).0)).into_iter().collect();
        assert_eq!(told, expected, "{aside} {lost}");
    }
}

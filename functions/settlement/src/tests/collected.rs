//! What reconciliation says of coupons that lie on pages, that were collected, and of templates that are sealed.

use coupons::chance::{Chance, Phase};
use coupons::group_buy::{self, Campaign, Opening};
use coupons::orders::{Record, make_room};
use coupons::records::{self as coupon, GONE, USER_FIELDS_MAX};
use coupons::{collect, expiry};
use domain::paid::Unknown;
use domain::transaction::{Field, MapKey};
use store::retention::{Retention, Terms};

use super::*;
use crate::reconcile::{Cursor, Scope, reconcile};
use store::sealed;

const USER: UserId = UserId(7);
const DAY_MS: i64 = 86_400_000;
/// When all of it can go: a day of validity, and as long as numbers are kept.
const DUE: UnixMillis = UnixMillis(NOW.0 + 91 * DAY_MS + 1);

/// Coupons of a template, one of them on a page, one held, one earned by a group.
fn kept() -> Store {
    let (store, templates) = (Store::default(), Templates::default());
    let context = coupons(&store, &templates, NOW);
    let many = newcomers(json!({"limit_per_user": 9}));
    block_on(publish::publish(&context, "t", &many)).unwrap();
    let paged = claim("paged", None);
    block_on(issue(&context, &paged)).unwrap();
    let fill = |index: u32| Field(format!("x{index}").into_bytes());
    let fields = || (0..USER_FIELDS_MAX).map(fill);
    let set = |field| Write::Set(coupon::user(USER), field, Value::Integer(1));
    store.write(home(USER.0), fields().map(set).collect());
    assert_eq!(block_on(make_room(&context, USER)), Ok(true));
    let unset = |field| Write::Unset(coupon::user(USER), field);
    store.write(home(USER.0), fields().map(unset).collect());
    block_on(issue(&context, &claim("given", None))).unwrap();
    block_on(issue(&context, &claim("held", Some(MINUTE_MS)))).unwrap();
    earn(&context);
    let record = block_on(Record::load(&context, USER)).unwrap();
    assert_eq!((record.pages.len(), record.orders().count()), (1, 4));
    store
}

fn claim(number: &str, hold_ms: Option<i64>) -> Claim {
    let number = Number::Given(OrderNumber::parse(number, "").unwrap());
    let (template, ordered_at, segments) = ("t".to_owned(), None, Vec::new());
    Claim { user: USER, number, ordered_at, template, segments, hold_ms }
}

/// A group of the user's succeeds, and its reward is given.
fn earn(context: &coupons::context::Context<'_, Store>) {
    let (template, unknown_users) = ("t".to_owned(), Unknown::New);
    let campaign = Campaign { template, give_back: false, unknown_users, enabled: true };
    block_on(group_buy::set_up(context, "c", &campaign)).unwrap();
    let (campaign, group) = ("c".to_owned(), "g".to_owned());
    let opening = Opening { campaign, group, user: USER, lasts_seconds: 60 };
    let (group, _) = block_on(group_buy::open(context, &opening)).unwrap();
    let open = coupons::chance::Groups::default().opened(group).unwrap();
    let succeeded = open.ended("g", Phase::Succeeded, NOW).unwrap();
    let chance = Chance { user: USER, campaign: "c" };
    context.store.write(home(USER.0), chance.change(&open, &succeeded).writes);
    let swept = block_on(group_buy::settle_due(context, &[home(USER.0)])).unwrap();
    assert_eq!(swept.done, 1);
}

/// The codes and places of all differences.
fn differences(store: &Store) -> Vec<(&'static str, String)> {
    let report =
        with_books(store, NOW, |books| block_on(reconcile(books, Scope::Full, Cursor::default())));
    let report = report.unwrap();
    assert_eq!((report.unsettled, report.next), (0, None));
    report.differences.into_iter().map(|one| (one.what.code(), one.place)).collect()
}

fn collected(live: &[&str]) -> Store {
    let store = kept();
    let templates = Templates::default();
    let context = coupons(&store, &templates, DUE);
    let terms = Terms { retention: Retention::default(), now: DUE, dry_run: false };
    let live = live.iter().map(|name| (*name).to_owned()).collect();
    let campaigns = BTreeSet::from(["c".to_owned()]);
    let collected = block_on(collect::user(&context, USER, &terms, &live, &campaigns)).unwrap();
    assert_eq!((collected.gone["orders"], collected.has_more), (4, false));
    store
}

#[test]
fn what_lies_on_pages_or_was_collected_is_no_difference() {
    assert_eq!(differences(&kept()), []);
    let store = collected(&["t"]);
    assert_eq!(differences(&store), []);
    // The lease says that three were given: two, and a reward.
    assert_eq!(store.stock("t").issued, 3);
    assert_eq!(differences(&collected(&[])), []);
}

#[test]
fn what_is_wrong_with_pages_and_with_what_was_collected_is_told() {
    let add = |map: MapKey, field: &str, count| Write::Add(map, field.into(), count);
    let garbage = || Value::Bytes(b"\xffgarbage".to_vec());
    let page = coupon::page(USER, 1);
    let paged = Field::from("opaged");
    let of_lease = format!("t/{}", home(USER.0));
    let count = ("coupon_count_differs", "7/t".to_owned());
    let issued = ("issued_differs", of_lease);
    type Row = (Store, Write, Vec<(&'static str, String)>);
    let table: [Row; 6] = [
        (
            kept(),
            Write::Set(page.clone(), paged.clone(), garbage()),
            vec![("order_broken", "7/paged".to_owned()), count.clone(), issued.clone()],
        ),
        (kept(), Write::Unset(page, paged), vec![count.clone(), issued.clone()]),
        (
            kept(),
            Write::Set(coupon::user(USER), coupon::PAGES.into(), garbage()),
            vec![
                ("record_unreadable", "7".to_owned()),
                issued.clone(),
                ("reserved_differs", issued.1.clone()),
            ],
        ),
        (collected(&["t"]), add(coupon::collected(USER), "t", -1), vec![count.clone()]),
        (collected(&["t"]), add(coupon::user(USER), "nt", 1), vec![count]),
        (collected(&["t"]), add(coupon::lease("t"), GONE, 1), vec![issued]),
    ];
    for (store, write, expected) in table {
        let words = format!("{write:?}");
        store.write(home(USER.0), vec![write]);
        assert_eq!(differences(&store), expected, "{words}");
    }
}

#[test]
fn a_reward_whose_order_was_collected_is_there_and_one_that_never_was_is_missing() {
    let store = collected(&["t"]);
    let record = block_on(Record::load(&context(&store, NOW), USER)).unwrap();
    let reward = group_buy::reward_number("c", "g").unwrap();
    assert!(record.field(&"gc".into()).is_some() && !record.has(&reward));
    assert_eq!(differences(&store), []);
    let (groups, other) = (record.field(&"gc".into()).unwrap().clone(), Field::from("gother"));
    store.write(home(USER.0), vec![Write::Set(coupon::user(USER), other, groups)]);
    assert_eq!(differences(&store), [("reward_missing", "7/other/g".to_owned())]);
}

#[test]
fn coupons_of_a_template_that_is_sealed_have_no_lease() {
    let store = kept();
    let until = UnixMillis(NOW.0 + MINUTE_MS);
    let templates = Templates::default();
    let late = coupons(&store, &templates, until);
    assert_eq!(block_on(expiry::expire_due(&late, &[home(USER.0)])).unwrap().done, 1);
    let list = coupon::home_of_list(partitions());
    store.write(home(USER.0), vec![Write::Drop(coupon::lease("t"))]);
    // As long as it is not sealed something was lost.
    let lost = ("issued_differs", format!("t/{}", home(USER.0)));
    assert_eq!(differences(&store), [lost]);
    store.write(list, vec![Write::RemoveMember(coupon::templates(), "t".into())]);
    let pool = coupon::home_of_pool(partitions(), "t");
    let mark = sealed::Kind::Template.mark_used("t", partitions());
    store.write(pool, vec![Write::Drop(coupon::pool("t")), mark]);
    assert_eq!(differences(&store), []);
}

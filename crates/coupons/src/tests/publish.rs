//! Publishing templates, and the stock that is left.

use domain::due::{self, Due};
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Member, Range, Read, Value, Write};
use futures::executor::block_on;
use serde_json::json;

use super::shop::{CHANCE, START, Shop, USER, changed, claim, invalid, refused};
use crate::context::{BODY, PUBLISHED_VERSION};
use crate::group_buy;
use crate::publish::{self, Stock, publish};
use crate::records::{self, OVER};
use crate::refusal::{Failure, Refusal};
use crate::scene::Scene;
use crate::template::Template;

impl Shop {
    /// The version and the template as the pool has them.
    fn published(&self, id: &str) -> (i64, Template) {
        let (version, template, _) = block_on(publish::look(&self.now(), id)).unwrap();
        (version, template)
    }

    /// The version that everybody reads.
    fn noticed(&self, id: &str) -> Option<i64> {
        block_on(self.now().template(id)).unwrap().map(|published| published.version)
    }

    /// What a list of templates has, in its order.
    fn listed(&self, read: Read) -> Vec<Member> {
        let home = records::home_of_list(self.now().partitions);
        match self.read(home, read) {
            Answer::Page(page) => page.members,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_template_is_another_version_and_the_same_is_none() {
    let shop = Shop::default();
    let cheaper = [("threshold", json!(100))];
    assert_eq!(shop.publish("t", &[]), Ok(1));
    assert_eq!((shop.published("t"), shop.noticed("t")), ((1, changed(&[])), Some(1)));
    assert_eq!(shop.publish("t", &[]), Ok(1));
    assert_eq!(shop.publish("t", &cheaper), Ok(2));
    assert_eq!((shop.published("t"), shop.noticed("t")), ((2, changed(&cheaper)), Some(2)));
    assert_eq!(shop.publish("t", &[]), Ok(3));
    assert_eq!((shop.published("t"), shop.noticed("t")), ((3, changed(&[])), Some(3)));
    assert_eq!(shop.noticed("nowhere"), None);
    assert_eq!(refused(block_on(publish::look(&shop.now(), "nowhere"))), Refusal::UnknownTemplate);
}

#[test]
fn all_templates_are_listed_with_the_end_of_their_windows() {
    let shop = Shop::default();
    let until = changed(&[]).claim_until.0;
    let ids: Vec<_> = (0..9).map(|index| format!("t{index}")).collect();
    for id in &ids {
        shop.publish(id, &[]).unwrap();
    }
    let all = || {
        let members = shop.listed(Read::Page(records::templates(), Range::default(), 100));
        let id = |Member(id): Member| String::from_utf8(id).unwrap();
        members.into_iter().map(id).collect::<Vec<_>>()
    };
    let over = |now: i64| {
        let members = shop.listed(OVER.page(UnixMillis(now), None, 100));
        let entry = |member: &Member| {
            let Due { at, what } = due::due(member).unwrap();
            (at.0, String::from_utf8(what.to_vec()).unwrap())
        };
        members.iter().map(entry).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = ids.iter().map(|id| (until, id.clone())).collect();
    assert_eq!((all(), over(until - 1), over(until)), (ids.clone(), vec![], expected.clone()));
    // A version with another window stands there, too. The same again changes nothing.
    let later = [("claim_until", json!("2026-03-02T00:00:00Z"))];
    assert_eq!(shop.publish("t4", &later), Ok(2));
    assert_eq!(shop.publish("t4", &later), Ok(2));
    let later = until + 86_400_000;
    assert_eq!((all(), over(later - 1)), (ids, expected.clone()));
    expected.push((later, "t4".into()));
    assert_eq!(over(later), expected);
}

#[test]
fn a_stock_that_changes_counts_what_is_out() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    shop.hold(UserId(8), "n", 60_000);
    let before = shop.stock();
    assert_eq!((before.total, before.issued, before.reserved), (100, 1, 1));
    assert_eq!(before.leased + before.remaining, 98);
    for total in [150, 90] {
        shop.publish("t", &[("stock", json!(total))]).unwrap();
        let remaining = before.remaining + total - 100;
        assert_eq!(shop.stock(), Stock { total, remaining, ..before });
    }
    // What lies idle in partitions is called back where it is needed.
    assert_eq!(refused(shop.publish("t", &[("stock", json!(1))])), Refusal::StockInUse);
    assert_eq!((shop.stock().total, shop.published("t").0), (90, 3));
    assert_eq!(shop.publish("t", &[("stock", json!(2))]), Ok(4));
    let stock = Stock { total: 2, issued: 1, reserved: 1, leased: 0, remaining: 0, unused: 0 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn low_water_keeps_some_of_the_stock_that_no_partition_gets() {
    let shop = Shop::default();
    let low_water =
        |percent: u8, stock: i64| [("low_water_percent", json!(percent)), ("stock", json!(stock))];
    shop.publish("t", &low_water(10, 100)).unwrap();
    let stock = Stock { total: 100, remaining: 100, ..Stock::default() };
    assert_eq!(shop.stock(), stock);
    shop.publish("t", &low_water(20, 200)).unwrap();
    let stock = Stock { total: 200, remaining: 200, ..stock };
    assert_eq!(shop.stock(), stock);
    shop.issue(&claim(USER, "n")).unwrap();
    // 161 may be out: a sixteenth of that goes to the partition.
    assert_eq!(shop.stock(), Stock { issued: 1, leased: 9, remaining: 190, ..stock });
    // All but one of the coupons that are not given can be taken away again, whatever low water says.
    assert_eq!(shop.publish("t", &low_water(20, 1)), Ok(3));
    assert_eq!(shop.stock(), Stock { total: 1, issued: 1, ..Stock::default() });
}

#[test]
fn what_a_coupon_is_worth_is_fixed_once_one_was_given() {
    let changes = [
        ("activity", json!("summer")),
        ("scene", json!("other")),
        ("kind", json!("gift")),
        ("value", json!(1_600)),
        ("currency", json!("EUR")),
    ];
    for (field, value) in changes {
        let shop = Shop::open();
        assert_eq!(shop.publish("t", &[(field, value.clone())]), Ok(2), "{field}");
        assert_eq!(shop.publish("t", &[]), Ok(3));
        shop.issue(&claim(USER, "n")).unwrap();
        let result = shop.publish("t", &[(field, value)]);
        assert_eq!(refused(result), Refusal::FieldFixed(field));
        assert_eq!(shop.published("t"), (3, changed(&[])));
        // The rest may change.
        assert_eq!(shop.publish("t", &[("threshold", json!(1))]), Ok(4));
    }
}

#[test]
fn whether_there_is_a_stock_is_fixed_and_the_scene_decides() {
    let shop = Shop::open();
    let endless = [("scene", json!("endless")), ("stock", json!(null))];
    let counted = [("scene", json!("endless"))];
    shop.set_up_scene_of("endless", &Scene { stock: false, ..Scene::plain() });
    assert_eq!(invalid(shop.publish("u", &counted)), ("invalid_value", "stock".into()));
    assert_eq!(invalid(shop.publish("u", &endless[1..])), ("invalid_value", "stock".into()));
    assert_eq!(shop.publish("u", &endless), Ok(1));
    assert_eq!(refused(shop.publish("u", &[])), Refusal::FieldFixed("stock"));
    assert_eq!(refused(shop.publish("t", &endless)), Refusal::FieldFixed("stock"));
    let stock = Stock::default();
    assert_eq!(shop.stock_of("u"), stock);
    assert_eq!(shop.stock(), Stock { total: 100, remaining: 100, ..stock });
}

#[test]
fn a_chain_of_fallbacks_ends_after_four_at_most() {
    let shop = Shop::default();
    let to = |next: &str| [("fallback_template", json!(next))];
    let wrong = |code| (code, "fallback_template".to_owned());
    assert_eq!(invalid(shop.publish("e", &to("nowhere"))), wrong("unknown_template"));
    assert_eq!(invalid(shop.publish("e", &to("e"))), wrong("fallback_circle"));
    shop.publish("e", &[]).unwrap();
    for (id, next) in [("d", "e"), ("c", "d"), ("b", "c"), ("a", "b")] {
        assert_eq!(shop.publish(id, &to(next)), Ok(1), "{id}");
    }
    assert_eq!(invalid(shop.publish("t", &to("a"))), wrong("fallback_too_deep"));
    assert_eq!(invalid(shop.publish("d", &to("b"))), wrong("fallback_circle"));
    assert_eq!(shop.noticed("t"), None);
    assert_eq!(shop.published("d"), (1, changed(&to("e"))));
    assert_eq!(shop.publish("t", &to("b")), Ok(1));
}

#[test]
fn a_template_that_is_over_is_opened_again_and_a_new_one_is_not_over() {
    let shop = Shop::default();
    let over = [("claim_until", json!("2026-02-16T16:00:00.250Z"))];
    let open = [("claim_until", json!("2026-02-16T16:00:00.251Z"))];
    assert_eq!(invalid(shop.publish("t", &over)), ("invalid_value", "claim_until".into()));
    assert_eq!(shop.publish("t", &open), Ok(1));
    // One that is there may end.
    assert_eq!(shop.publish("t", &over), Ok(2));
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::Ended);
    assert_eq!(shop.publish("t", &[]), Ok(3));
    assert!(shop.issue(&claim(USER, "n")).is_ok());
    // Whoever looks for templates that are over finds it at each of its ends.
    let listed = shop.listed(OVER.page_of_all(None, 100));
    let moments: Vec<_> = listed.iter().map(|member| due::due(member).unwrap().at).collect();
    assert_eq!(moments, [START, UnixMillis(START.0 + 1), changed(&[]).claim_until]);
}

#[test]
fn whoever_publishes_second_makes_the_next_version() {
    let shop = Shop::open();
    let version = |version| Write::Set(records::pool("t"), PUBLISHED_VERSION.into(), version);
    // After this one read the scene and the pool.
    shop.meanwhile(2, shop.now().pool("t"), vec![version(Value::Integer(7))]);
    let cheaper = [("threshold", json!(100))];
    assert_eq!(shop.publish("t", &cheaper), Ok(8));
    assert!(shop.was_interrupted());
    assert_eq!((shop.published("t"), shop.noticed("t")), ((8, changed(&cheaper)), Some(8)));
    assert_eq!(shop.stock(), Stock { total: 100, remaining: 100, ..Stock::default() });
}

#[test]
fn the_notice_follows_the_pool_and_never_goes_back() {
    let shop = Shop::open();
    let notice = shop.now().notice("t");
    // A publication that broke off after the pool.
    shop.write(notice, vec![Write::Drop(records::notice("t"))]);
    shop.now().templates.forget("t");
    assert_eq!((shop.noticed("t"), shop.published("t").0), (None, 1));
    assert_eq!(shop.publish("t", &[]), Ok(1));
    assert_eq!(shop.noticed("t"), Some(1));

    // A later version is up before this one's notice.
    let later = Write::Set(records::notice("t"), PUBLISHED_VERSION.into(), Value::Integer(3));
    shop.meanwhile(4, notice, vec![later]);
    assert_eq!(shop.publish("t", &[("threshold", json!(100))]), Ok(2));
    assert!(shop.was_interrupted());
    assert_eq!(shop.noticed("t"), Some(3));
}

#[test]
fn a_template_that_was_published_counts_at_once_where_that_was() {
    let shop = Shop::open();
    let twice = [("limit_per_user", json!(2))];
    shop.issue(&claim(USER, "1")).unwrap();
    assert_eq!(refused(shop.issue(&claim(USER, "2"))), Refusal::UserLimit);
    assert_eq!(block_on(publish(&shop.now(), "t", &changed(&twice))), Ok(2));
    let given = shop.issue(&claim(USER, "2")).unwrap();
    assert_eq!(given.order.coupon().unwrap().version, 2);
}

#[test]
fn what_cannot_be_read_is_told_and_is_not_nothing() {
    let shop = Shop::open();
    shop.set_up_scene(&Scene::plain());
    let (foreign, newer) = (Value::Bytes(b"foreign".to_vec()), Value::Bytes(vec![2, b'{']));
    for (value, is_newer) in [(foreign, false), (newer, true), (Value::Integer(1), false)] {
        let scene = records::scene(shop.now().partitions, "newcomer");
        let campaign = shop.now().partitions.of_configuration(CHANCE.campaign);
        let records = [
            (shop.now().pool("t"), records::pool("t")),
            (shop.now().notice("t"), records::notice("t")),
            (scene.partition, scene.map),
            (campaign, "gspring".into()),
        ];
        for (partition, record) in records {
            shop.write(partition, vec![Write::Set(record, BODY.into(), value.clone())]);
        }
        shop.now().templates.clear();
        let results = [
            shop.issue(&claim(USER, "n")).map(drop),
            block_on(publish::look(&shop.now(), "t")).map(drop),
            shop.publish("t", &[]).map(drop),
            block_on(publish::look_at_scene(&shop.now(), "newcomer")).map(drop),
            block_on(publish::set_up_scene(&shop.now(), "newcomer", &Scene::plain())),
            block_on(group_buy::look(&shop.now(), CHANCE.campaign)).map(drop),
        ];
        for (index, result) in results.into_iter().enumerate() {
            let is_told = match &result {
                Err(Failure::Store(CommitError::Newer(_))) => is_newer,
                Err(Failure::Store(CommitError::Unreadable(_))) => !is_newer,
                _ => false,
            };
            assert!(is_told, "{index}: {result:?}");
        }
    }
}

//! Giving coupons: what they are worth, who gets none, and what stands in their place.

use domain::day_lists::{BUCKETS, DayLists, day};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Answer, Read, Value, Write};
use futures::executor::block_on;
use lease::{CREDITED, LEFT, SIZE, SOLD_OUT_UNTIL};
use serde_json::json;

use super::shop::{START, Shop, USER, changed, claim, coupon, invalid, number, refused};
use crate::issue::{Claim, Number, Recorded, issue, look_up};
use crate::publish::{self, Stock};
use crate::records::{self, Coupon, Gave, HOLDERS, Order, Unused};
use crate::refusal::Refusal;
use crate::reservation::cancel;
use crate::scene::{RateLimit, Scene};
use crate::template::Kind;

const OTHER: UserId = UserId(8);

fn of(template: &str, user: UserId, number: &str) -> Claim {
    Claim { template: template.into(), ..claim(user, number) }
}

fn play(round: &str) -> Claim {
    let number = Number::Play { round: round.into(), award: "first".into() };
    Claim { number, ..claim(USER, "n") }
}

/// The greeting that was given.
fn words(recorded: &Recorded) -> &str {
    match &recorded.order.gave {
        Gave::Greeting(words) => words,
        other => panic!("{other:?}"),
    }
}

/// The template of the fallback that was given.
fn fallback(recorded: &Recorded) -> &str {
    match &recorded.order.gave {
        Gave::Fallback(coupon) => &coupon.template,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_coupon_is_worth_what_its_template_says() {
    let shop = Shop::open();
    let given = shop.issue(&claim(USER, "n")).unwrap();
    let expected = Coupon {
        template: "t".into(),
        version: 1,
        kind: Kind::AmountOff,
        value: 1_500,
        threshold: 1_510,
        currency: *b"CNY",
        cap: Some(1_500),
        statement: None,
        valid_from: 0,
        valid_until: 30 * 86_400_000,
        redeemed: None,
        rolled_back: vec![],
        rollback_days: 30,
        unused: Unused::None,
    };
    assert_eq!(given.order.gave, Gave::Issued(expected));
    assert_eq!((given.number, given.replayed), (number("n"), false));
    assert_eq!((given.order.at, given.order.is_over), (START.0, false));
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(Some(given.order)));
    assert_eq!(block_on(look_up(&shop.now(), OTHER, &number("n"))), Ok(None));
    // A quarter of what each of four partitions could have: 100 / 16.
    let stock = Stock { total: 100, issued: 1, reserved: 0, leased: 5, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn the_time_of_a_coupon_counts_from_when_it_was_given() {
    let shop = Shop::open();
    let (from, until) = ("2026-02-20T00:00:00Z", "2026-02-25T00:00:00Z");
    shop.publish(
        "u",
        &[
            ("valid_from", json!(from)),
            ("valid_until", json!(until)),
            ("valid_for_days", json!(null)),
        ],
    )
    .unwrap();
    let given = shop.issue(&of("u", USER, "n")).unwrap();
    let since = |text| UnixMillis::parse_rfc3339(text).unwrap().0 - START.0;
    let times = (coupon(&given).valid_from, coupon(&given).valid_until);
    assert_eq!(times, (since(from), since(until)));
}

#[test]
fn whoever_got_a_coupon_is_on_the_list_of_the_day() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    let users: Vec<_> = (0..BUCKETS)
        .flat_map(|bucket| {
            let read = HOLDERS.users(day(START), bucket, None);
            match shop.read(shop.now().home(USER), read) {
                Answer::Page(page) => page.members,
                other => panic!("{other:?}"),
            }
        })
        .map(|member| DayLists::user_of(&member))
        .collect();
    assert_eq!(users, [Ok(USER)]);
}

#[test]
fn a_number_that_comes_again_gives_what_it_gave() {
    let shop = Shop::open();
    shop.publish("u", &[]).unwrap();
    let first = shop.issue(&claim(USER, "n")).unwrap();
    let again = Ok(Recorded { replayed: true, ..first.clone() });
    assert_eq!(shop.issue(&claim(USER, "n")), again);

    let others = [
        of("u", USER, "n"),
        of("nowhere", USER, "n"),
        Claim { segments: vec!["gold".into()], ..claim(USER, "n") },
        Claim { hold_ms: Some(1), ..claim(USER, "n") },
        Claim { hold_ms: Some(1_000), ..claim(USER, "n") },
    ];
    for other in others {
        assert_eq!(refused(shop.issue(&other)), Refusal::OrderNumberReused, "{other:?}");
    }
    // Also when nothing is given any more.
    shop.publish("t", &[("enabled", json!(false))]).unwrap();
    assert_eq!(shop.issue(&claim(USER, "n")), again);
    assert_eq!(refused(shop.issue(&claim(USER, "o"))), Refusal::Disabled);
    assert_eq!((shop.stock().issued, shop.stock_of("u").issued), (1, 0));
}

#[test]
fn a_cancelled_number_gives_nothing_any_more() {
    let shop = Shop::open();
    shop.hold(USER, "held", 60_000);
    block_on(cancel(&shop.now(), USER, &number("held"), None)).unwrap();
    let again = shop.hold(USER, "held", 60_000);
    assert_eq!((&again.order.gave, again.replayed), (&Gave::Cancelled, true));
    let other = shop.issue(&claim(USER, "held"));
    assert_eq!(refused(other), Refusal::OrderNumberReused);

    // A number that was cancelled before it came.
    block_on(cancel(&shop.now(), USER, &number("late"), None)).unwrap();
    assert_eq!(refused(shop.issue(&claim(USER, "late"))), Refusal::Cancelled);
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved), (0, 0));
}

#[test]
fn a_user_gets_no_more_than_the_limit() {
    let shop = Shop::open();
    shop.publish("t", &[("limit_per_user", json!(2))]).unwrap();
    shop.issue(&claim(USER, "1")).unwrap();
    shop.hold(USER, "2", 60_000);
    assert_eq!(refused(shop.issue(&claim(USER, "3"))), Refusal::UserLimit);
    // Others do, and so does the user for what went back.
    shop.issue(&claim(OTHER, "1")).unwrap();
    block_on(cancel(&shop.now(), USER, &number("2"), None)).unwrap();
    shop.issue(&claim(USER, "3")).unwrap();
    assert_eq!(refused(shop.issue(&claim(USER, "4"))), Refusal::UserLimit);
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved), (3, 0));
}

#[test]
fn whoever_may_not_have_one_is_told_why() {
    let shop = Shop::open();
    let paid = UserId(9);
    shop.pay(paid);
    let segments = json!(["gold"]);
    let table = [
        ("claim_from", json!("2026-02-16T16:00:00.251Z"), USER, Some(Refusal::NotStarted)),
        ("claim_from", json!("2026-02-16T16:00:00.250Z"), USER, None),
        ("claim_until", json!("2026-02-16T16:00:00.250Z"), USER, Some(Refusal::Ended)),
        ("claim_until", json!("2026-02-16T16:00:00.251Z"), USER, None),
        ("enabled", json!(false), USER, Some(Refusal::Disabled)),
        ("segments", segments, USER, Some(Refusal::NotEligible)),
        ("new_users_only", json!(true), paid, Some(Refusal::NotEligible)),
        ("new_users_only", json!(true), USER, None),
        ("new_users_only", json!(false), paid, None),
    ];
    for (index, (field, value, user, expected)) in table.into_iter().enumerate() {
        let template = format!("t{index}");
        shop.publish(&template, &[("threshold", json!(1))]).unwrap();
        shop.publish(&template, &[(field, value.clone())]).unwrap();
        let result = shop.issue(&of(&template, user, &template));
        let issued = shop.stock_of(&template).issued;
        match expected {
            Some(refusal) => {
                assert_eq!((refused(result), issued), (refusal, 0), "{field}: {value}");
            }
            None => assert_eq!((result.unwrap().replayed, issued), (false, 1), "{field}: {value}"),
        }
    }
    assert_eq!(refused(shop.issue(&of("nowhere", USER, "n"))), Refusal::UnknownTemplate);
    let golden = Claim { segments: vec!["gold".into()], ..of("t5", USER, "golden") };
    assert!(matches!(shop.issue(&golden).unwrap().order.gave, Gave::Issued(_)));
}

#[test]
fn a_full_record_takes_no_more_coupons() {
    let shop = Shop::open();
    shop.fill_record(USER);
    assert!(matches!(shop.issue(&claim(USER, "1")).unwrap().order.gave, Gave::Issued(_)));
    shop.publish("u", &[]).unwrap();
    assert_eq!(refused(shop.issue(&of("u", USER, "2"))), Refusal::TooManyCoupons);
    assert_eq!(
        refused(block_on(cancel(&shop.now(), USER, &number("3"), None))),
        Refusal::TooManyCoupons
    );
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("3"))), Ok(None));
}

#[test]
fn exactly_as_many_are_given_as_stock_budget_and_low_water_allow() {
    let table = [
        (vec![("stock", json!(7))], 7, 7, Refusal::SoldOut),
        (vec![("budget", json!(7_499))], 4, 4, Refusal::BudgetExhausted),
        (vec![("budget", json!(7_500))], 5, 5, Refusal::BudgetExhausted),
        // One more as long as at least two remain before it.
        (vec![("stock", json!(10)), ("low_water_percent", json!(20))], 10, 9, Refusal::SoldOut),
    ];
    for (changes, total, expected, refusal) in table {
        let shop = Shop::open();
        shop.publish("t", &changes).unwrap();
        let all: Vec<_> = (0..20).map(|user| shop.issue(&claim(UserId(user), "n"))).collect();
        let (given, others): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        assert_eq!(given.len() as i64, expected, "{changes:?}");
        for other in others {
            assert_eq!(refused(other), refusal, "{changes:?}");
        }
        let remaining = total - expected;
        let stock = Stock { total, issued: expected, reserved: 0, leased: 0, remaining, unused: 0 };
        assert_eq!(shop.stock(), stock, "{changes:?}");
    }
}

#[test]
fn a_template_may_demand_that_unknown_users_are_asked_about_elsewhere() {
    let shop = Shop::open();
    let (paid, earlier) = (UserId(9), UserId(10));
    shop.pay(paid);
    let given = shop.issue(&claim(earlier, "n")).unwrap();
    let new = ("new_users_only", json!(true));
    shop.publish("t", &[new.clone(), ("unknown_users", json!("ask"))]).unwrap();
    for complete in [false, true, false] {
        shop.declare_import(complete);
        let result = shop.issue(&claim(USER, "n"));
        if complete {
            assert!(!result.unwrap().replayed);
        } else if shop.stock().issued == 1 {
            assert_eq!(refused(result), Refusal::ImportIncomplete);
        } else {
            assert!(result.unwrap().replayed, "it was given while it was complete");
        }
        assert_eq!(refused(shop.issue(&claim(paid, "n"))), Refusal::NotEligible);
        let again = Recorded { replayed: true, ..given.clone() };
        assert_eq!(shop.issue(&claim(earlier, "n")), Ok(again));
        let other = Claim { template: "u".into(), ..claim(earlier, "n") };
        assert_eq!(refused(shop.issue(&other)), Refusal::OrderNumberReused);
    }
    // A mark of the import that comes after the flag was read, and before the commit.
    let late = UserId(11);
    shop.declare_import(true);
    shop.issue(&claim(UserId(12), "warm")).unwrap();
    shop.pay(late);
    assert_eq!(refused(shop.issue(&claim(late, "n"))), Refusal::NotEligible);
    // Who asks for no answer takes unknown users for new.
    shop.declare_import(false);
    shop.publish("t", &[new]).unwrap();
    shop.issue(&claim(UserId(13), "n")).unwrap();
}

#[test]
fn a_fallback_that_asks_elsewhere_does_not_stand_in() {
    let shop = Shop::open();
    let ask = [("new_users_only", json!(true)), ("unknown_users", json!("ask"))];
    shop.publish("f", &ask).unwrap();
    shop.publish("t", &[("stock", json!(0)), ("fallback_template", json!("f"))]).unwrap();
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::SoldOut);
    shop.declare_import(true);
    shop.now().templates.forget("f");
    assert_eq!(fallback(&shop.issue(&claim(USER, "n")).unwrap()), "f");
}

#[test]
fn a_fallback_stands_in_where_nothing_is_left() {
    let shop = Shop::open();
    shop.publish("f", &[("stock", json!(1)), ("value", json!(300))]).unwrap();
    let changes = [("stock", json!(1)), ("fallback_template", json!("f"))];
    shop.publish("t", &changes).unwrap();
    assert!(matches!(shop.issue(&claim(USER, "n")).unwrap().order.gave, Gave::Issued(_)));
    // Who is refused for another reason gets nothing in its place.
    assert_eq!(refused(shop.issue(&claim(USER, "again"))), Refusal::UserLimit);
    // What would only be held has no substitute.
    let held = Claim { hold_ms: Some(1_000), ..claim(OTHER, "held") };
    assert_eq!(refused(shop.issue(&held)), Refusal::SoldOut);

    let given = shop.issue(&claim(OTHER, "n")).unwrap();
    assert_eq!((fallback(&given), coupon(&given).value, given.replayed), ("f", 300, false));
    let again = Recorded { replayed: true, ..given };
    assert_eq!(shop.issue(&claim(OTHER, "n")), Ok(again));
    assert_eq!(refused(shop.issue(&claim(UserId(9), "n"))), Refusal::SoldOut);
    let all_out = Stock { total: 1, issued: 1, ..Stock::default() };
    assert_eq!((shop.stock(), shop.stock_of("f")), (all_out, all_out));
}

#[test]
fn fallbacks_are_followed_to_the_fourth_and_past_those_that_refuse() {
    let shop = Shop::open();
    let empty = |next: &str| vec![("stock", json!(0)), ("fallback_template", json!(next))];
    shop.publish("d", &[]).unwrap();
    shop.publish("c", &empty("d")).unwrap();
    let disabled = [("enabled", json!(false)), ("fallback_template", json!("c"))];
    shop.publish("b", &disabled).unwrap();
    shop.publish("a", &empty("b")).unwrap();
    shop.publish("t", &empty("a")).unwrap();
    assert_eq!(fallback(&shop.issue(&claim(USER, "n")).unwrap()), "d");
    let issued = ["t", "a", "b", "c", "d"].map(|template| shop.stock_of(template).issued);
    assert_eq!(issued, [0, 0, 0, 0, 1]);
}

#[test]
fn the_last_of_a_chain_has_the_word_where_it_has_one() {
    let shop = Shop::open();
    let empty = |field, value| [("stock", json!(0)), (field, value)];
    let mut to_f = empty("fallback_template", json!("f")).to_vec();
    to_f.push(("greeting", json!("from t")));
    shop.publish("f", &empty("greeting", json!("from f"))).unwrap();
    shop.publish("t", &to_f).unwrap();
    let greeted = shop.issue(&claim(USER, "1")).unwrap();
    assert_eq!((words(&greeted), greeted.replayed), ("from f", false));
    // A greeting is for good: no coupon comes under the number later.
    shop.publish("f", &[("stock", json!(5))]).unwrap();
    let again = shop.issue(&claim(USER, "1")).unwrap();
    assert_eq!((words(&again), again.replayed), ("from f", true));

    let shop = Shop::open();
    shop.publish("f", &[("stock", json!(0))]).unwrap();
    shop.publish("t", &to_f).unwrap();
    assert_eq!(words(&shop.issue(&claim(USER, "1")).unwrap()), "from t");
}

#[test]
fn of_two_greetings_under_one_number_the_first_is_told() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(0)), ("greeting", json!("sorry"))]).unwrap();
    // The pool is asked once; afterwards the partition knows that it is sold out.
    let greeted = shop.issue(&claim(USER, "first")).unwrap();
    let earlier = Order { gave: Gave::Greeting("earlier".into()), ..greeted.order };
    let write = Write::Set(records::user(USER), records::order(&number("n")), earlier.encode());
    // Template and scene are known. The stock refuses first.
    shop.meanwhile(1, shop.now().home(USER), vec![write]);
    let again = shop.issue(&claim(USER, "n")).unwrap();
    assert!(shop.was_interrupted());
    assert_eq!((words(&again), again.replayed), ("earlier", true));
}

#[test]
fn the_number_of_a_play_follows_from_the_play() {
    let shop = Shop::open();
    let given = shop.issue(&play("r1")).unwrap();
    let text = given.number.as_str();
    for part in ["7", "spring", "newcomer", "r1", "first", "live"] {
        assert!(text.contains(part), "{text}");
    }
    let read_again = OrderNumber::parse(text, "").unwrap();
    assert_eq!(block_on(look_up(&shop.now(), USER, &read_again)), Ok(Some(given.order.clone())));
    assert_eq!(shop.issue(&play("r1")), Ok(Recorded { replayed: true, ..given }));
    assert_eq!(refused(shop.issue(&play("r2"))), Refusal::UserLimit, "another number");
    assert_eq!(invalid(shop.issue(&play("r 1"))), ("invalid_part", "round".into()));
    let nowhere = Claim { template: "nowhere".into(), ..play("r1") };
    assert_eq!(refused(shop.issue(&nowhere)), Refusal::UnknownTemplate);
}

#[test]
fn a_scene_limits_how_fast_a_user_gets_awards() {
    let shop = Shop::open();
    let rate_limit = Some(RateLimit { awards: 2, seconds: 10 });
    shop.set_up_scene(&Scene { rate_limit, ..Scene::plain() });
    shop.publish("t", &[("limit_per_user", json!(10))]).unwrap();
    let issue_at = |ms, text| block_on(issue(&shop.behind(ms), &claim(USER, text)));
    issue_at(0, "1").unwrap();
    issue_at(1_000, "2").unwrap();
    assert_eq!(refused(issue_at(2_000, "3")), Refusal::RateLimited(8));
    assert!(issue_at(2_000, "2").unwrap().replayed, "a replay is no award");
    shop.issue(&claim(OTHER, "1")).unwrap();
    assert_eq!(refused(issue_at(9_000, "3")), Refusal::RateLimited(1));
    issue_at(10_000, "3").unwrap();
    issue_at(10_000, "4").unwrap();
    assert_eq!(refused(issue_at(10_000, "5")), Refusal::RateLimited(10));
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved), (5, 0));
    assert_eq!(stock.leased + stock.remaining, 95);
}

#[test]
fn without_a_stock_as_many_are_given_as_are_asked_for() {
    let shop = Shop::open();
    shop.set_up_scene_of("endless", &Scene { stock: false, ..Scene::plain() });
    let changes = [("scene", json!("endless")), ("stock", json!(null))];
    shop.publish("u", &changes).unwrap();
    assert!(!changed(&changes).is_counted());
    shop.issue(&of("u", USER, "n")).unwrap();
    shop.issue(&of("u", OTHER, "n")).unwrap();
    shop.issue(&Claim { hold_ms: Some(60_000), ..of("u", UserId(9), "n") }).unwrap();
    let stock = Stock { total: 3, issued: 2, reserved: 1, leased: 0, remaining: 0, unused: 0 };
    assert_eq!(shop.stock_of("u"), stock);
    let (version, template, _) = block_on(publish::look(&shop.now(), "u")).unwrap();
    assert_eq!((version, template), (1, changed(&changes)));
}

#[test]
fn a_lease_that_was_taken_for_nobody_goes_back() {
    let shop = Shop::open();
    block_on(shop.now().template("t")).unwrap();
    // After the partition had none left, its lease was read, and the pool credited some.
    let one_more = Write::Add(records::user(USER), records::held_count("t"), 1);
    shop.meanwhile(3, shop.now().home(USER), vec![one_more]);
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::UserLimit);
    assert!(shop.was_interrupted());
    assert_eq!(shop.stock(), Stock { total: 100, remaining: 100, ..Stock::default() });
}

#[test]
fn an_award_that_came_meanwhile_counts_towards_the_rate_limit() {
    let shop = Shop::open();
    let limit = RateLimit { awards: 1, seconds: 10 };
    shop.set_up_scene(&Scene { rate_limit: Some(limit), ..Scene::plain() });
    block_on(shop.now().template("t")).unwrap();
    // The user gets an award of another template of the scene, once a lease was taken for this one.
    let first = limit.step(USER, "newcomer", None, START).unwrap().unwrap();
    shop.meanwhile(3, shop.now().home(USER), first.writes.to_vec());
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::RateLimited(10));
    assert!(shop.was_interrupted());
    assert_eq!(shop.stock(), Stock { total: 100, remaining: 100, ..Stock::default() });
}

#[test]
fn a_credit_that_another_commit_brought_home_is_there_to_give() {
    let shop = Shop::open();
    block_on(shop.now().template("t")).unwrap();
    // After the pool credited six, and before the coupon is given with that credit.
    let lease = records::lease("t");
    let arrived = vec![
        Write::Set(lease.clone(), CREDITED.into(), Value::Integer(6)),
        Write::Set(lease.clone(), SIZE.into(), Value::Integer(6)),
        Write::Add(lease, LEFT.into(), 6),
    ];
    shop.meanwhile(3, shop.now().home(USER), arrived);
    assert!(!shop.issue(&claim(USER, "n")).unwrap().replayed);
    assert!(shop.was_interrupted());
    let stock = Stock { total: 100, issued: 1, reserved: 0, leased: 5, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn what_a_clock_ahead_found_sold_out_is_sold_out_for_nobody_else() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1))]).unwrap();
    let home = shop.now().home(USER);
    let other = (1..).map(UserId).find(|user| shop.now().home(*user) != home).unwrap();
    let ahead = |user: UserId| block_on(issue(&shop.ahead(0), &claim(user, "n")));
    ahead(other).unwrap();
    assert_eq!(refused(ahead(USER)), Refusal::SoldOut);
    // The other one's comes back, to its own partition.
    let back = vec![
        Write::Add(records::lease("t"), LEFT.into(), 1),
        Write::Unset(records::user(other), records::order(&number("n"))),
        Write::Add(records::user(other), records::held_count("t"), -1),
    ];
    shop.write(shop.now().home(other), back);
    let given = shop.issue(&claim(USER, "n")).unwrap();
    assert!(matches!(given.order.gave, Gave::Issued(_)));
    assert_eq!(shop.stock(), Stock { total: 1, issued: 1, ..Stock::default() });
}

#[test]
fn a_stock_that_is_raised_is_given_at_once() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1))]).unwrap();
    shop.issue(&claim(USER, "n")).unwrap();
    let mark = |user: UserId| {
        let fields = vec![SOLD_OUT_UNTIL.into()];
        shop.read(shop.now().home(user), Read::Fields(records::lease("t"), fields))
    };
    let users: Vec<_> = (8..=11).map(UserId).collect();
    for user in &users {
        assert_eq!(refused(shop.issue(&claim(*user, "n"))), Refusal::SoldOut, "{user}");
        assert_ne!(mark(*user), Answer::Fields(vec![None]), "{user}");
    }
    // Less, or as much, raises nothing.
    shop.publish("t", &[("stock", json!(1)), ("threshold", json!(1))]).unwrap();
    assert_eq!(refused(shop.issue(&claim(users[0], "n"))), Refusal::SoldOut);
    shop.publish("t", &[("stock", json!(5))]).unwrap();
    for user in &users {
        assert_eq!(mark(*user), Answer::Fields(vec![None]), "{user}");
        shop.issue(&claim(*user, "n")).unwrap();
    }
    assert_eq!(shop.stock(), Stock { total: 5, issued: 5, ..Stock::default() });
}

#[test]
fn a_coupon_costs_one_round_trip_where_its_partition_has_one_left() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    let user = shop.neighbours().next().unwrap();
    // The second commit would meet this.
    shop.meanwhile(1, shop.now().home(user), vec![]);
    shop.issue(&claim(user, "n")).unwrap();
    assert!(!shop.was_interrupted());
}

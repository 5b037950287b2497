//! Entries that are carried: they add up to the account at any moment, and what is carried counts once, whoever brings
//! its token again, before, while and after it is carried.

use std::collections::BTreeSet;

use binding::memory::{Interrupted, Memory};
use domain::due;
use domain::ids::UserId;
use domain::transaction::{Value, Write};
use store::retention::Terms;

use super::books::{
    DAY_MS, account_of, check_user, collect_user, damage, earn, give, items, map, terms,
};
use super::flows::check_balanced;
use super::requests::{STAGE, at, done, keys, number, settled};
use crate::collect;
use crate::keys::VerifyingKeys;
use crate::packet::{self, Funding, Kind, Opening, Order};
use crate::posting;
use crate::records;
use crate::statement;
use crate::view::{self, Restored};
use crate::withdraw::{self, Request};

const START_MS: i64 = 1_771_257_600_250;
const USER: UserId = UserId(7);
const OPENER: UserId = UserId(8);
/// Entries are kept for so long.
const KEPT_MS: i64 = 14 * DAY_MS;

fn restore(store: &Memory, now_ms: i64, texts: &[String]) -> Restored {
    let keys = VerifyingKeys::parse(&keys().verifying_text(), true).unwrap();
    let context = at(store, now_ms);
    done(view::restore(&context, USER, STAGE, &keys, texts)).unwrap()
}

/// Asks for a withdrawal.
fn hold(store: &Memory, now_ms: i64, amount: i64) {
    let (context, number) = (at(store, now_ms), number("w"));
    let request = Request::of(amount);
    done(withdraw::create(&context, USER, &number, &request)).unwrap();
}

fn balance(store: &Memory, user: UserId) -> i64 {
    done(view::view(&at(store, START_MS), user)).unwrap().balance
}

fn lines(store: &Memory) -> Vec<(Option<String>, i64, i64)> {
    let months = done(statement::months(&at(store, START_MS), USER)).unwrap();
    months
        .below(None)
        .map(|(month, one)| (month.map(str::to_owned), one.amount, one.count))
        .collect()
}

/// How much the user's records take: entries and numbers.
fn kept(store: &Memory) -> usize {
    let home = at(store, 0).home(USER);
    let pages =
        (0..400).step_by(40).map(|first| map(store, home, records::page(USER, first)).len());
    pages.sum::<usize>() + map(store, home, records::posted(USER)).len()
}

#[test]
fn old_entries_become_lines_of_months_and_the_account_stays() {
    let store = Memory::new();
    // February and March of 2026, ten a day.
    for index in 0..300 {
        let at = START_MS + i64::from(index) * DAY_MS / 10;
        earn(&store, USER, &format!("n{index}"), i64::from(index) + 1, at);
    }
    let before = account_of(&store, USER);
    let none = collect_user(&store, USER, START_MS + KEPT_MS - 600_000, &[]);
    assert!(none.gone.is_empty());
    assert_eq!(none.next.unwrap().0, START_MS + KEPT_MS + 1);
    for (days, carried) in [(0, 0), (1, 10), (28, 280), (40, 300)] {
        let now = START_MS + KEPT_MS + days * DAY_MS;
        collect_user(&store, USER, now, &[]);
        let account = account_of(&store, USER);
        assert_eq!(account.carried, carried, "{days}");
        assert_eq!(crate::account::Account { carried: 0, ..account }, before, "{days}");
        assert_eq!(kept(&store) as i64, 2 * (300 - carried), "{days}");
        check_user(&store, USER);
        check_balanced(&store);
    }
    let sums: [i64; 2] = [(1..=124).sum(), (125..=300).sum()];
    let named = |name: &str| Some(name.to_owned());
    let of_months = [(named("2026-03"), sums[1], 176), (named("2026-02"), sums[0], 124)];
    // The least retention of lines is as short as that of entries.
    assert_eq!(lines(&store), [of_months[0].clone(), (None, sums[0], 124)]);
    let longer = Memory::new();
    for index in 0..300 {
        let at = START_MS + i64::from(index) * DAY_MS / 10;
        earn(&longer, USER, &format!("n{index}"), i64::from(index) + 1, at);
    }
    let now = START_MS + 100 * DAY_MS;
    let mut terms = terms(now);
    terms.retention.archive_days = 1_000;
    let dry = Terms { dry_run: true, ..terms };
    let collect = |terms: &Terms| {
        done(collect::user(&at(&longer, now), USER, terms, &BTreeSet::new())).unwrap()
    };
    assert_eq!((collect(&dry).gone["entries"], account_of(&longer, USER).carried), (256, 0));
    let first = collect(&terms);
    assert_eq!((first.gone["entries"], first.has_more), (256, true));
    let second = collect(&terms);
    assert_eq!((second.gone["entries"], second.has_more), (44, false));
    assert_eq!(second.next.unwrap().0, now + 30 * DAY_MS, "the account is left");
    assert_eq!(lines(&longer), of_months);
    check_user(&longer, USER);
}

#[test]
fn a_user_of_whom_nothing_is_left_is_not_looked_at_again() {
    let store = Memory::new();
    assert_eq!(collect_user(&store, USER, START_MS, &[]).next, None);
    give(&store, USER, "a", 1, START_MS);
    assert!(collect_user(&store, USER, START_MS, &[]).next.is_some());
}

#[test]
fn a_carried_token_counts_once_whoever_brings_it() {
    let store = Memory::new();
    let first = earn(&store, USER, "a", 100, START_MS);
    let second = earn(&store, USER, "b", 10, START_MS + DAY_MS);
    let later = earn(&store, USER, "c", 1, START_MS + 2 * DAY_MS);
    let all = [first, second, later];
    let known = Restored::default();
    // Clocks are ten minutes off.
    for minutes in [-10, 10] {
        let now = START_MS + KEPT_MS + minutes * 60_000;
        assert_eq!(restore(&store, now, &all), known, "before it is carried");
    }
    let now = START_MS + KEPT_MS + DAY_MS + 1;
    assert_eq!(collect_user(&store, USER, now, &[]).gone["entries"], 2);
    for minutes in [-10, 10] {
        let restored = restore(&store, now + minutes * 60_000, &all);
        assert_eq!(restored, Restored { tokens: 0, too_old: vec![0, 1] });
        assert_eq!(balance(&store, USER), 111);
    }
    // One that was drawn later and lost comes back beside them; one that was drawn before does not.
    let lost = give(&Memory::new(), USER, "lost", 5, START_MS + DAY_MS + 1);
    let old = give(&Memory::new(), USER, "old", 7, START_MS + DAY_MS);
    let texts = [all[0].clone(), lost, old];
    assert_eq!(restore(&store, now, &texts), Restored { tokens: 1, too_old: vec![0, 2] });
    assert_eq!(balance(&store, USER), 116);
    assert_eq!(done(view::look_up(&at(&store, now), USER, "a")).unwrap(), None);
    check_user(&store, USER);
}

#[test]
fn the_first_that_may_not_go_stops_those_behind_it() {
    let now = START_MS + 100 * DAY_MS;
    let live = ["spring/rain"];
    // A rain that is not sealed.
    let store = Memory::new();
    earn(&store, USER, "a", 100, START_MS);
    let collected = collect_user(&store, USER, now, &live);
    assert!(collected.gone.is_empty());
    assert_eq!(collected.next.unwrap().0, now + 30 * DAY_MS);
    assert_eq!(collect_user(&store, USER, now, &["spring/other"]).gone["entries"], 1);

    // A withdrawal whose record is kept.
    let store = Memory::new();
    earn(&store, USER, "a", 100, START_MS);
    hold(&store, START_MS, 50);
    earn(&store, USER, "b", 10, START_MS);
    assert_eq!(collect_user(&store, USER, now, &[]).gone["entries"], 1);
    assert!(collect_user(&store, USER, now, &[]).gone.is_empty());
    check_user(&store, USER);

    // What is at fault is told once what stands before it went; nothing of it goes.
    let home = at(&store, 0).home(USER);
    let entry = |sequence, value| {
        Write::Set(records::page(USER, sequence), records::entry(sequence), value)
    };
    let unposted = |name: &str| Write::Unset(records::posted(USER), name.into());
    let garbage = || Value::Bytes(vec![0xff]);
    for fault in [entry(1, garbage()), unposted("b")] {
        let store = Memory::new();
        for name in ["a", "b", "c"] {
            earn(&store, USER, name, 1, START_MS);
        }
        damage(&store, home, vec![fault]);
        let collect = || done(collect::user(&at(&store, now), USER, &terms(now), &BTreeSet::new()));
        let first = collect().unwrap();
        assert_eq!((first.gone["entries"], first.has_more), (1, true));
        for _ in 0..2 {
            assert!(collect().unwrap_err().is_of_records());
        }
        assert_eq!(account_of(&store, USER).carried, 1);
        assert_eq!(map(&store, home, records::page(USER, 0)).len(), 2);
    }
}

/// What else happens between two commits of a collection.
type Meanwhile = fn(&Memory);

#[test]
fn whatever_comes_in_between_entries_and_account_agree() {
    let now = START_MS + KEPT_MS + 100;
    let acts: [Meanwhile; 5] = [
        |memory| {
            earn(memory, USER, "z", 1_000, START_MS + KEPT_MS);
        },
        |memory| {
            let text = give(&Memory::new(), USER, "a", 100, START_MS);
            restore(memory, START_MS + KEPT_MS, &[text]);
        },
        |memory| {
            let context = at(memory, START_MS + KEPT_MS + 600_000);
            let (terms, live) = (terms(context.now.0), BTreeSet::new());
            done(collect::user(&context, USER, &terms, &live)).unwrap();
        },
        |memory| {
            hold(memory, START_MS + KEPT_MS, 30);
        },
        |memory| {
            let context = at(memory, START_MS + KEPT_MS);
            let found = done(view::look_up(&context, USER, "b")).unwrap();
            assert!(found.is_none_or(|(token, _)| token.amount.minor_units() == 10));
        },
    ];
    for (act, meanwhile) in acts.into_iter().enumerate() {
        for commits in 0..6 {
            let store = Interrupted::default();
            for (name, cents) in [("a", 100), ("b", 10), ("c", 1)] {
                earn(store.memory(), USER, name, cents, START_MS);
            }
            store.interrupt(commits, meanwhile);
            let (terms, live) = (terms(now), BTreeSet::new());
            let collected = done(collect::user(&at(&store, now), USER, &terms, &live));
            collected.unwrap();
            if !store.was_interrupted() {
                // So many commits there are not.
                assert!(commits > 2, "{act}");
                continue;
            }
            let memory = store.memory();
            collect_user(memory, USER, now, &[]);
            check_user(memory, USER);
            check_balanced(memory);
            assert_eq!(account_of(memory, USER).carried, 3, "{act} {commits}");
            let more = match act {
                0 => 1_000,
                3 => -30,
                _ => 0,
            };
            assert_eq!(balance(memory, USER), 111 + more, "{act} {commits}");
            let text = give(&Memory::new(), USER, "a", 100, START_MS);
            assert_eq!(restore(memory, now, &[text]).too_old, [0], "{act} {commits}");
        }
    }
}

/// Somebody looks a number up, and it is carried between their commits.
#[test]
fn a_number_that_is_carried_while_it_is_looked_up_is_told_or_unknown() {
    let store = Interrupted::default();
    earn(store.memory(), USER, "a", 100, START_MS);
    store.interrupt(1, |memory| {
        let context = at(memory, START_MS + KEPT_MS + 100);
        let (terms, live) = (terms(context.now.0), BTreeSet::new());
        done(collect::user(&context, USER, &terms, &live)).unwrap();
    });
    let found = done(view::look_up(&at(&store, START_MS + KEPT_MS), USER, "a")).unwrap();
    assert!(store.was_interrupted());
    assert_eq!(found, None);
}

/// A packet of 2.00 in two parts from a balance, of which the opener took one at the start; nobody was paid yet.
fn opened(store: &Memory) -> (String, Opening) {
    earn(store, USER, "a", 200, START_MS);
    let order = Order {
        sender: USER.0,
        total: 200,
        count: 2,
        kind: Kind::Equal,
        funding: Funding::Balance,
        at: START_MS,
        ordered_at: None,
    };
    let context = at(store, START_MS);
    done(packet::send(&context, &number("p"), &order, None, &mut || 0)).unwrap();
    let packet = packet::name(USER, &number("p"));
    let (opening, _) = done(packet::open(&context, &packet, OPENER)).unwrap();
    (packet, opening)
}

#[test]
fn an_opening_is_paid_once_before_and_after_its_entry_is_carried() {
    let store = Memory::new();
    let (packet, opening) = opened(&store);
    let pay = |now_ms| {
        let context = at(&store, now_ms);
        done(packet::pay_opening(&context, &keys(), STAGE, &packet, &opening)).unwrap()
    };
    let text = pay(START_MS);
    done(posting::post(&at(&store, START_MS), OPENER)).unwrap();
    let now = START_MS + KEPT_MS + 1;
    for moment in [now - 600_000, now] {
        assert_eq!(pay(moment), text);
    }
    assert_eq!(collect_user(&store, OPENER, now, &["red-packet/opening"]).gone["entries"], 1);
    // Also where settlement finds that it is owed again.
    let home = records::home_of_packet(at(&store, 0).partitions, &packet);
    assert_eq!(items(&store, home, records::OWED).len(), 1);
    assert_eq!(settled(&at(&store, START_MS + 3_600_000))[1], 1);
    assert_eq!(pay(now + 600_000), text, "what is told stays the same");
    assert_eq!(balance(&store, OPENER), 100);
    assert!(done(view::view(&at(&store, now), OPENER)).unwrap().tokens.is_empty());
    let keys = VerifyingKeys::parse(&keys().verifying_text(), true).unwrap();
    let restored = done(view::restore(&at(&store, now), OPENER, STAGE, &keys, &[text]));
    assert_eq!(restored.unwrap(), Restored { tokens: 0, too_old: vec![0] });
    check_user(&store, OPENER);
}

#[test]
fn an_opening_that_nobody_paid_for_long_is_paid_although_later_ones_are_carried() {
    let store = Memory::new();
    let (packet, opening) = opened(&store);
    let later = START_MS + DAY_MS;
    earn(&store, OPENER, "later", 5, later);
    let now = later + KEPT_MS + 1;
    assert_eq!(collect_user(&store, OPENER, now, &[]).gone["entries"], 1);
    let [_, paid, _] = settled(&at(&store, now));
    assert_eq!(paid, 1);
    assert_eq!(balance(&store, OPENER), 105);
    let home = records::home_of_packet(at(&store, 0).partitions, &packet);
    let mark = due::of_user(OPENER, &packet);
    damage(&store, home, vec![records::OWED.add(domain::time::UnixMillis(opening.at), &mark)]);
    done(posting::post(&at(&store, now), OPENER)).unwrap();
    collect_user(&store, OPENER, now + KEPT_MS + 1, &[]);
    assert_eq!(settled(&at(&store, now + KEPT_MS + 1))[1], 1);
    assert_eq!(balance(&store, OPENER), 105);
    check_user(&store, OPENER);
}

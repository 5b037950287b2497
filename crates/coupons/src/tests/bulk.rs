//! Issuing to lists of users, and what is written down of it.

use std::collections::BTreeMap;

use domain::ids::UserId;
use domain::transaction::{CommitError, READ_FIELDS_MAX, Write};
use futures::executor::block_on;
use serde_json::json;
use store::codec::encode;

use super::shop::{Shop, claim, refused};
use crate::bulk::{Batch, Tally, issue_part, progress};
use crate::records;
use crate::refusal::{Failure, Refusal};

impl Shop {
    fn part(&self, users: impl IntoIterator<Item = u64>) -> Result<Tally, Failure> {
        let users = users.into_iter().map(UserId).collect();
        block_on(issue_part(
            &self.now(),
            "t",
            &Batch { batch: "b".into(), ordered_at: None, users },
        ))
    }

    fn progress(&self) -> Result<(u32, Tally), Failure> {
        block_on(progress(&self.now(), "t", "b"))
    }
}

fn at_limit(users: u32) -> BTreeMap<String, u32> {
    [("user_limit".to_owned(), users)].into()
}

#[test]
fn a_batch_counts_what_each_user_got() {
    let shop = Shop::open();
    let words = [("stock", json!(2)), ("greeting", json!("sorry"))];
    shop.publish("f", &words).unwrap();
    shop.publish("t", &[("stock", json!(5)), ("fallback_template", json!("f"))]).unwrap();
    // Two have as many as one user may have.
    shop.issue(&claim(UserId(8), "n")).unwrap();
    shop.issue(&claim(UserId(9), "n")).unwrap();

    let first = shop.part([1, 2, 8]).unwrap();
    let expected = Tally { users: 3, issued: 2, refused: at_limit(1), ..Tally::default() };
    assert_eq!(first, expected);
    let second = shop.part([3, 4, 5, 6, 7, 8, 9]).unwrap();
    let (issued, fallback, greeting) = (1, 2, 2);
    let expected = Tally { users: 7, issued, fallback, greeting, refused: at_limit(2) };
    assert_eq!(second, expected);
    let third = shop.part([10]).unwrap();
    assert_eq!(third, Tally { users: 1, greeting: 1, ..Tally::default() });

    let (issued, fallback, greeting) = (3, 2, 3);
    let all = Tally { users: 11, issued, fallback, greeting, refused: at_limit(3) };
    assert_eq!(shop.progress(), Ok((3, all.clone())));
    // The same parts again give nobody a second one, and count once.
    assert_eq!(shop.part([1, 2, 8]), Ok(first));
    assert_eq!(shop.part([3, 4, 5, 6, 7, 8, 9]), Ok(second));
    assert_eq!(shop.progress(), Ok((3, all)));
    assert_eq!((shop.stock().issued, shop.stock_of("f").issued), (5, 2));
}

#[test]
fn nothing_is_known_of_a_batch_that_never_was() {
    let shop = Shop::open();
    assert_eq!(refused(shop.progress()), Refusal::UnknownBatch);
    let batch = Batch { batch: "b".into(), ordered_at: None, users: vec![UserId(1)] };
    let nowhere = block_on(issue_part(&shop.now(), "nowhere", &batch));
    assert_eq!(refused(nowhere), Refusal::UnknownTemplate);
    assert_eq!(refused(shop.progress()), Refusal::UnknownBatch);
}

#[test]
fn a_batch_has_as_many_parts_as_one_read_returns_but_for_one() {
    let shop = Shop::open();
    let tally = encode(&Tally { users: 1, issued: 1, ..Tally::default() });
    let write = |index: u32| {
        let part = format!("{index}").as_str().into();
        Write::Set(records::batch("t", "b"), part, tally.clone())
    };
    let others = READ_FIELDS_MAX - 2;
    shop.write(shop.now().pool("t"), (0..others).map(write).collect());
    let last = shop.part([1]).unwrap();
    assert_eq!(last.issued, 1);
    assert_eq!(refused(shop.part([2])), Refusal::BatchFull);
    assert_eq!(shop.part([1]), Ok(last), "a part that is there is sent again");
    let all = Tally { users: others + 1, issued: others + 1, ..Tally::default() };
    assert_eq!(shop.progress(), Ok((others + 1, all)));
}

#[test]
fn of_a_part_that_broke_off_nobody_knows_who_got_one() {
    let shop = Shop::open();
    block_on(shop.now().template("t")).unwrap();
    shop.store.set_gone(true);
    let result = shop.part([1, 2]);
    assert!(matches!(result, Err(Failure::Store(CommitError::Unknown(_)))), "{result:?}");
    shop.store.set_gone(false);
    assert_eq!(shop.part([1, 2]).unwrap().issued, 2);
    assert_eq!((shop.progress().unwrap().0, shop.stock().issued), (1, 2));
}

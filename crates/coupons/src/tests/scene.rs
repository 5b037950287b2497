//! Scenes as operators set them up, one after the other or at the same time.

use domain::ids::UserId;
use futures::executor::block_on;

use super::shop::{Shop, USER, claim, coupon, refused};
use crate::publish::{look_at_scene, set_up_scene};
use crate::records;
use crate::refusal::{Failure, Refusal};
use crate::scene::Scene;

impl Shop {
    fn try_scene(&self, scene: &Scene) -> Result<(), Failure> {
        block_on(set_up_scene(&self.now(), "newcomer", scene))
    }

    fn scene(&self) -> Result<Scene, Failure> {
        block_on(look_at_scene(&self.now(), "newcomer"))
    }

    /// Another operator sets up the scene after it was read.
    fn scene_meanwhile(&self, scene: &Scene) {
        let record = records::scene(self.now().partitions, "newcomer");
        self.meanwhile(1, record.partition, vec![record.set(scene)]);
    }
}

fn saying(text: &str) -> Scene {
    Scene { statement: Some(text.into()), ..Scene::plain() }
}

#[test]
fn the_latest_scene_counts_for_coupons_from_then_on() {
    let shop = Shop::open();
    assert_eq!(refused(shop.scene()), Refusal::UnknownScene);
    assert_eq!(coupon(&shop.issue(&claim(USER, "n")).unwrap()).statement, None);
    for (user, text) in [(1, "first"), (2, "second"), (3, "second")] {
        assert_eq!(shop.try_scene(&saying(text)), Ok(()));
        assert_eq!(shop.scene(), Ok(saying(text)));
        let given = shop.issue(&claim(UserId(user), "n")).unwrap();
        assert_eq!(coupon(&given).statement.as_deref(), Some(text));
    }
}

#[test]
fn whether_a_scene_has_a_stock_is_fixed() {
    let shop = Shop::open();
    shop.try_scene(&saying("cash")).unwrap();
    let endless = Scene { stock: false, ..saying("cash") };
    assert_eq!(refused(shop.try_scene(&endless)), Refusal::FieldFixed("stock"));
    assert_eq!(shop.scene(), Ok(saying("cash")));
}

#[test]
fn of_two_operators_at_the_same_time_the_second_is_told() {
    let shop = Shop::open();
    // Where there was none, and where there was one.
    for theirs in ["theirs", "theirs again"] {
        shop.scene_meanwhile(&saying(theirs));
        assert_eq!(refused(shop.try_scene(&saying("mine"))), Refusal::PublishedMeanwhile);
        assert!(shop.was_interrupted());
        assert_eq!(shop.scene(), Ok(saying(theirs)));
    }
    // What was set up meanwhile may be what this one says.
    shop.scene_meanwhile(&saying("the same"));
    assert_eq!(shop.try_scene(&saying("the same")), Ok(()));
    assert_eq!(shop.scene(), Ok(saying("the same")));
}

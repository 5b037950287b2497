//! What operations on scenes, group-buys and sweeps promise.

use ::coupons::group_buy::Campaign;
use ::coupons::refusal::Refusal;
use ::coupons::scene::Scene;
use edge::contract::Operation as Promise;
use edge::contract::operation::Either;
use serde_json::{Value, json};

use super::{WRONG_DEFINITION, campaign, refused, scene};
use crate::parse::OpeningBody;
use crate::render::{CampaignBody, GroupBody, SceneBody, SealedCampaignBody, SweptBody};

fn scene_example() -> Value {
    json!({
        "scene": "newcomer",
        "award_type": "voucher",
        "statement": "Spring Festival gift",
        "rate_limit": {"awards": 5, "seconds": 3600},
        "compensated": true,
        "stock": true
    })
}

fn campaign_example() -> Value {
    json!({
        "campaign": "spring-groups",
        "template": "spring-15",
        "give_back": true,
        "enabled": true
    })
}

pub(super) fn set_up_scene() -> Promise {
    Promise::new(
        "setUpScene",
        "Set up a scene, which stands for one type of award; the latest one counts",
    )
    .description(
        "Takes effect within a second everywhere. A scene that nobody set up has no \
                 statement and no limit, is compensated and has a stock.",
    )
    .parameter(scene())
    .body::<Scene>(json!({
        "award_type": "voucher",
        "statement": "Spring Festival gift",
        "rate_limit": {
            "awards": 5,
            "seconds": 3600
        }
    }))
    .answers::<SceneBody<'static>>(200, "As set up.", scene_example())
    .refuses(
        "`field_fixed`: `stock` cannot change. `published_meanwhile`: somebody else \
                 set the scene up; look, and decide anew.",
        refused(&[Refusal::FieldFixed(""), Refusal::PublishedMeanwhile]),
    )
}

pub(super) fn look_at_scene() -> Promise {
    Promise::new("readScene", "A scene")
        .parameter(scene())
        .answers::<SceneBody<'static>>(200, "As set up.", scene_example())
        .refuses("Nobody set up such a scene.", refused(&[Refusal::UnknownScene]))
}

pub(super) fn set_up_campaign() -> Promise {
    Promise::new("setUpCampaign", "Set up a group-buy campaign; the latest one counts")
        .tag("group-buy")
        .parameter(campaign())
        .body::<Campaign>(json!({"template": "spring-15", "give_back": true}))
        .answers::<CampaignBody<'static>>(200, "As set up.", campaign_example())
        .malformed("The definition is wrong; `field` names where.", WRONG_DEFINITION)
        .refuses(
            "`sealed`: it was over for so long that it is closed for good; take another \
                 name.",
            refused(&[Refusal::Sealed]),
        )
}

pub(super) fn look_at_campaign() -> Promise {
    Promise::new("readCampaign", "A group-buy campaign")
        .tag("group-buy")
        .parameter(campaign())
        .answers::<Either<CampaignBody<'static>, SealedCampaignBody<'static>>>(
            200,
            "As set up. A campaign is sealed once the template of its reward is: then \
                 no group is opened any more, and a short record is told, as long as that \
                 is kept, and afterwards `unknown_campaign`.",
            campaign_example(),
        )
        .refuses("There is no such campaign.", refused(&[Refusal::UnknownCampaign]))
}

pub(super) fn open_group() -> Promise {
    Promise::new("openGroup", "Open a group, which takes the one chance of a new user")
        .tag("group-buy")
        .description(
            "The same group again tells where it stands. Events end it: \
                 `group.succeeded` earns a coupon under the order number \
                 `group:{campaign}:{group}`; after `group.failed`, `group.expired` or its \
                 time the chance is given back where the campaign says so.",
        )
        .body::<OpeningBody>(json!({
            "campaign": "spring-groups",
            "group": "g-1",
            "user": "652024209997893632",
            "expires_in_seconds": 86400
        }))
        .answers::<GroupBody<'static>>(
            201,
            "The group, and where it stands; `rewarded` once the coupon is given.",
            json!({
                "campaign": "spring-groups",
                "group": "g-1",
                "user": "652024209997893632",
                "state": "open",
                "expires_at": "2026-02-15T12:00:00Z"
            }),
        )
        .replays()
        .refuses("There is no such campaign.", refused(&[Refusal::UnknownCampaign]))
        .refuses(
            "Nothing was changed. `chance_used`: by another group of the campaign. \
                 `disabled`: the campaign is switched off. `too_many_coupons`: the user has \
                 thousands of orders that are kept, or a thousand reservations. \
                 `import_incomplete`: earlier payers are still being imported, and whether \
                 the user is new is to be asked elsewhere.",
            refused(&[
                Refusal::ChanceUsed,
                Refusal::NotEligible,
                Refusal::ImportIncomplete,
                Refusal::Disabled,
                Refusal::TooManyCoupons,
            ]),
        )
        .refuses("The number was used with another body.", refused(&[Refusal::OrderNumberReused]))
}

pub(super) fn sweep() -> Promise {
    Promise::new(
        "sweepCoupons",
        "End reservations that have expired, give rewards that are due, settle coupons",
    )
    .description(
        "Whoever needs stock ends reservations too, and whoever looks at the \
                 coupons of a user gives their rewards.",
    )
    .answers::<SweptBody>(
        200,
        "How many; where `has_more`, the next sweep does the rest.",
        json!({
            "expired": "2",
            "rewarded": "1",
            "settled": "12",
            "home": "3",
            "stuck": "0",
            "stuck_items": [],
            "set_aside": "0",
            "set_aside_items": [],
            "has_more": false
        }),
    )
}

//! What operations on activities, their drafts and sweeps promise.

use edge::contract::operation::Either;
use edge::contract::{Operation as Promise, Parameter};
use pricing::activity::Activity;
use pricing::validation::SKU_LIST_PARTS_MAX;
use schemars::JsonSchema;
use serde_json::json;

use super::{
    Alike as _, INCOMPLETE, PUBLISHED_MEANWHILE, SEALED, TOO_MANY_ACTIVITIES, activity, draft,
    example,
};
use crate::parse::{PartBody, PublishBody, RolloutBody};
use crate::refusal::Refusal;
use crate::render::{ArchivedBody, PartsBody, PublishedBody, SweptBody};

/// The number of a part.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
struct PartNumber(#[schemars(range(min = 1, max = SKU_LIST_PARTS_MAX))] u32);

pub(super) fn save() -> Promise {
    Promise::new("saveActivity", "Save an activity, to be live at once or as a draft")
        .description(
            "Takes effect everywhere within 500 ms. The same again is the same version. An \
                 activity is over when its window has ended, and that of a draft that is \
                 rolled out, and nobody has changed it since; or when it was withdrawn, or \
                 never was more than a draft. `configuration_days` later it is sealed: it \
                 goes in steps once no order holds anything of it, and nothing is ever \
                 published under its name again. A draft that is not rolled out goes \
                 likewise beside what is live.",
        )
        .parameter(activity())
        .parameter(draft())
        .body::<Activity>(example())
        .answers_version()
        .malformed(
            "The activity is wrong; `field` names where. `not_meaningful`: a benefit that \
                 cannot be given under its condition. `not_ascending`: a tier must demand \
                 more of the same than the one before. `too_large`: more than 60,000 bytes \
                 (send SKUs as a `sku_list`), or more than 65,536 with the other versions.",
            &["too_many", "invalid_part", "not_meaningful", "not_ascending", "too_large"],
        )
        .refuses_each([
            (Refusal::Incomplete(0, 0), "with a `sku_list` it must be a draft first."),
            TOO_MANY_ACTIVITIES,
            PUBLISHED_MEANWHILE,
            SEALED,
        ])
}

pub(super) fn look() -> Promise {
    Promise::new("readActivity", "An activity, or its draft")
        .parameter(activity())
        .parameter(draft())
        .answers::<Either<PublishedBody<'static>, ArchivedBody<'static>>>(
            200,
            "As it was saved. Of an activity that is sealed a short record is told, as long \
                 as that is kept, and afterwards `unknown_activity`.",
            json!({
                "activity": "second-half",
                "version": "1",
                "definition": example(),
                "draft": null,
                "rollout": {"percent": 0, "users": []},
                "retiring": 0
            }),
        )
        .refuses("There is none.", [Refusal::UnknownActivity(String::new()), Refusal::UnknownDraft])
}

pub(super) fn withdraw() -> Promise {
    Promise::new("withdrawActivity", "Take an activity, or its draft, away")
        .parameter(activity())
        .parameter(draft())
        .answers_nothing("It is gone.")
        .refuses_each([PUBLISHED_MEANWHILE])
}

pub(super) fn add_part() -> Promise {
    Promise::new("sendSkus", "Send a part of the list of SKUs of a draft")
        .description("In any order; the same again changes nothing.")
        .parameter(activity())
        .parameter(Parameter::path::<PartNumber>("part").example(1))
        .body::<PartBody>(json!({"skus": ["a", "b"]}))
        .answers::<PartsBody>(
            200,
            "Parts that are there, of how many.",
            json!({"received": "1", "parts": 3}),
        )
        .refuses(
            "`unknown_part`: the draft's list has fewer parts, or there is no list.",
            [Refusal::UnknownDraft, Refusal::UnknownPart],
        )
        .refuses_each([
            (Refusal::PartDiffers, "it was sent with other SKUs."),
            TOO_MANY_ACTIVITIES,
            PUBLISHED_MEANWHILE,
            SEALED,
        ])
}

pub(super) fn publish() -> Promise {
    Promise::new("publishDraft", "Make a draft live")
        .description("Everybody sees the whole of it or nothing. Again changes nothing.")
        .parameter(activity())
        .body::<PublishBody>(json!({"version": "1"}))
        .answers_version()
        .needs_draft()
        .refuses_each([
            (Refusal::NotTheDraft, "it is of another version."),
            INCOMPLETE,
            TOO_MANY_ACTIVITIES,
            PUBLISHED_MEANWHILE,
            SEALED,
        ])
}

pub(super) fn roll_out() -> Promise {
    Promise::new("rollOutDraft", "Say for whom a draft holds")
        .parameter(activity())
        .body::<RolloutBody>(json!({"percent": 5, "users": ["7"]}))
        .answers_version()
        .malformed(
            "The rollout is wrong; `field` names where.",
            &["too_many", "invalid_id", "invalid_part", "too_large"],
        )
        .needs_draft()
        .refuses_each([INCOMPLETE, PUBLISHED_MEANWHILE, SEALED])
}

pub(super) fn sweep() -> Promise {
    Promise::new(
        "sweepPromotions",
        "Take old versions out of the index, seal activities that are over for long, undo \
                 orders that were abandoned",
    )
    .answers::<SweptBody>(
        200,
        "Activities that were due and tried, versions that are left with them and with those \
                 that are not due yet, activities of which a step of sealing was done, and \
                 orders undone.",
        json!({
            "activities": "1",
            "retiring": "0",
            "sealing": "0",
            "orders": "0",
            "stuck": "0",
            "stuck_items": [],
            "set_aside": "0",
            "set_aside_items": [],
            "has_more": false,
            "quarantined": "0"
        }),
    )
}

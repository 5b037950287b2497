//! What operations on templates promise.

use ::coupons::refusal::Refusal;
use ::coupons::template::Template;
use edge::contract::Operation as Promise;
use edge::contract::operation::Either;
use serde_json::{Value, json};

use super::shapes::{CouponsExtended, CouponsRevoked};
use super::{WRONG_DEFINITION, batch, refused, template};
use crate::parse::{BatchBody, ExtendManyBody, RevokeManyBody};
use crate::render::{BatchBody as BatchAnswer, PublishedBody, SealedTemplateBody};

type Progress = BatchAnswer<'static>;

fn published() -> Value {
    json!({
        "template": "spring-15",
        "version": 1,
        "definition": {
            "activity": "spring",
            "scene": "newcomer",
            "kind": "amount_off",
            "value": "1500",
            "threshold": "1510",
            "currency": "CNY",
            "stock": "100",
            "limit_per_user": 1,
            "claim_from": "2026-02-01T00:00:00Z",
            "claim_until": "2026-03-01T00:00:00Z",
            "valid_for_days": 30,
            "rollback_days": 30,
            "low_water_percent": 10,
            "new_users_only": false,
            "segments": [],
            "enabled": true
        }
    })
}

/// With what became of its coupons.
fn counted() -> Value {
    let mut template = published();
    template["stock"] = json!({
        "total": "100",
        "issued": "2",
        "reserved": "0",
        "leased": "4",
        "remaining": "94"
    });
    template["amount"] = json!({
        "total": "150000",
        "issued": "3000",
        "reserved": "0",
        "leased": "6000",
        "remaining": "141000"
    });
    template
}

pub(super) fn publish() -> Promise {
    Promise::new("publishTemplate", "Publish a template: its first version, or another one")
        .description(
            "Takes effect everywhere within 500 ms. Stock and budget may change while a \
                 campaign runs, and a template that is over can be opened again by a later \
                 `claim_until`.",
        )
        .parameter(template())
        .body::<Template>(json!({
            "activity": "spring",
            "scene": "newcomer",
            "kind": "amount_off",
            "value": "1500",
            "threshold": "1510",
            "currency": "CNY",
            "stock": "100",
            "limit_per_user": 1,
            "claim_from": "2026-02-01T00:00:00Z",
            "claim_until": "2026-03-01T00:00:00Z",
            "valid_for_days": 30
        }))
        .answers::<PublishedBody<'static>>(
            200,
            "As published; the same again is the same version.",
            published(),
        )
        .malformed("The definition is wrong; `field` names where.", WRONG_DEFINITION)
        .refuses(
            "`sealed`: it was over for so long that it is closed for good; take another \
                 name. `field_fixed`: coupons were given, and `field` cannot change any \
                 more. `stock_in_use`: more are out than the new stock or budget would \
                 allow. `published_meanwhile`: somebody else published; look, and decide \
                 anew.",
            refused(&[
                Refusal::FieldFixed(""),
                Refusal::StockInUse,
                Refusal::PublishedMeanwhile,
                Refusal::Sealed,
            ]),
        )
}

pub(super) fn look_at_template() -> Promise {
    Promise::new("readTemplate", "A template, and what became of its coupons")
        .parameter(template())
        .answers::<Either<PublishedBody<'static>, SealedTemplateBody<'static>>>(
            200,
            "The parts of `stock`, and of `amount`, add up to their totals. A template \
                 nothing of which can act any more is sealed some time after that, and its \
                 definition is taken away: then a short record is told, as long as that is \
                 kept, and afterwards `unknown_template`.",
            counted(),
        )
        .refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
}

pub(super) fn issue_to_many() -> Promise {
    Promise::new("issueToMany", "Issue to the users of a list, part by part")
        .description(
            "Each user gets one coupon of a batch, however often a part is sent; after \
                 a 503 send the part again. A user's order number is \
                 `bulk:{template}:{batch}`. The same users in the same order are the same \
                 part. A user whose coupon of the batch was over long ago is counted as \
                 `too_old`.",
        )
        .parameter(template())
        .body::<BatchBody>(json!({"batch": "members-may", "users": ["1", "2"]}))
        .answers::<Progress>(
            202,
            "What became of the users of this part; all of it is committed.",
            json!({
                "batch": "members-may",
                "parts": 1,
                "users": 2,
                "issued": 1,
                "fallback": 0,
                "greeting": 0,
                "refused": {
                    "user_limit": 1
                }
            }),
        )
        .refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
        .refuses(
            "The batch has as many parts as one may have, 1,023.",
            refused(&[Refusal::BatchFull]),
        )
}

pub(super) fn batch_progress() -> Promise {
    Promise::new("readBatch", "What became of a batch so far")
        .parameter(template())
        .parameter(batch())
        .answers::<Progress>(
            200,
            "The sums of its parts.",
            json!({
                "batch": "members-may",
                "parts": 2,
                "users": 1500,
                "issued": 1490,
                "fallback": 0,
                "greeting": 0,
                "refused": {
                    "user_limit": 10
                }
            }),
        )
        .refuses("Nothing was issued under this batch.", refused(&[Refusal::UnknownBatch]))
}

pub(super) fn revoke_many() -> Promise {
    Promise::new("revokeCoupons", "Take back the coupons of a template, or of a batch")
        .description(
            "One by one, as for a single coupon. Bounded: call again with `cursor` \
                 until there is none; a call that failed is sent again as it was. Coupons \
                 that are redeemed, over or taken back are left. Without a `batch` the \
                 template must be switched off or over, for a second at least.",
        )
        .parameter(template())
        .body::<RevokeManyBody>(json!({"reason": "wrong value", "batch": "members-may"}))
        .answers::<CouponsRevoked>(
            200,
            "What this call did.",
            json!({
                "users": "1000",
                "revoked": "812",
                "reserved": "0",
                "unreadable": "0",
                "cursor": "3.20500.7.652024209997893632"
            }),
        )
        .refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
        .refuses(
            "The template still gives coupons: switch it off first.",
            refused(&[Refusal::TemplateEnabled]),
        )
}

pub(super) fn extend_many() -> Promise {
    Promise::new("extendCoupons", "Make the coupons of a template, or of a batch, valid for longer")
        .description(
            "One by one, as for a single coupon. Bounded: call again with `cursor` \
                 until there is none; a call that failed is sent again as it was. Coupons \
                 that are redeemed, over or taken back are left.",
        )
        .parameter(template())
        .body::<ExtendManyBody>(json!({"valid_until": "2026-06-01T00:00:00Z"}))
        .answers::<CouponsExtended>(
            200,
            "What this call did.",
            json!({
                "users": "1000",
                "extended": "812",
                "reserved": "0",
                "unreadable": "0",
                "cursor": "3.20500.7.652024209997893632"
            }),
        )
        .refuses("There is no such template.", refused(&[Refusal::UnknownTemplate]))
}

//! Sealing templates and group-buy campaigns that are over for good ([`store::sealed`] has the protocol).
//!
//! # When a template is over for good
//!
//! When nothing is claimed, no coupon is valid, and no redemption can be rolled back any more. That is told from what
//! cannot be undone:
//! - what the version that is published says ([`Configuration::settled_at`]), and
//! - what earlier versions said, whose coupons may be valid for longer: each version that takes the place of another one
//!   leaves the later moment in the pool ([`SETTLED`]), and never an earlier one than that of its own publishing, because
//!   copies of the one before are read for a moment longer; and
//! - until when single coupons were extended: whoever extends one raises [`LATEST`] in the pool first, and demands there
//!   that the template is not sealed ([`demand_open`]). Of which version such a coupon is, and so for how long it can be rolled
//!   back, is not known: as long as any.
//!
//! The seal demands the version and [`LATEST`] as they were seen, so that none of them can become later meanwhile. It is
//! made so many days later as operators say, and only where all units that were not given are in the pool: no partition has
//! anything left, holds anything, or is about to get or give back something. Else leases are called back, and it is looked
//! at again a day later.
//!
//! Then, a day after the seal, and each step only where the ones before it are done: the copy goes; the list entry goes into
//! the archive, once more only where all is home; each partition's lease goes, as it was seen, with nothing left and nothing
//! held. Another day later they go once more, because a partition that failed over may have forgotten that; then the batches go,
//! the pool goes and leaves its mark, and the due entry goes. Leases are never called back once the first of them may be gone:
//! what they returned would look as if it was forgotten, and be returned again.
//!
//! Rewards that become due afterwards lapse ([`crate::group_buy`]): nothing is given of the template for good.
//!
//! # When a campaign is over for good
//!
//! When the template of its reward is sealed: then no group of it can earn anything. The seal demands the campaign as it was
//! seen, takes it away, so that nobody opens a group any more, and keeps its short record. What is left of it goes once the
//! groups that were opened before are over, [`GROUPS_MS`] later: what was made of the chances of users is kept until then.

use std::collections::BTreeSet;

use domain::answers;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Guard, Member, Range, Read, Write};
use lease::{call_back_all, close_all, given_if_home};
use store::life::{Life, Shape};
use store::published::{Configuration, SETTLED, Version};
use store::retention::Terms;
use store::sealed::{self, Archived, Looked, Seal, Sealing, WAIT_MS};
use store::{Binding, Plan};

use crate::context::Context;
use crate::group_buy::{self, Campaign};
use crate::records::{self, CAMPAIGNS, TEMPLATES};
use crate::template::Template;

/// Of the pool: until when the latest coupon of the template is valid that was extended, in unix milliseconds. It only
/// grows.
pub const LATEST: &str = "latest";
/// So long after a campaign was sealed all of its groups are over: the longest lasts 31 days.
pub const GROUPS_MS: i64 = 32 * 86_400_000;
/// The longest for which a redemption can be rolled back: a year.
const ROLLBACK_MS_MAX: i64 = 365 * 86_400_000;
/// Batches that one commit takes away.
const BATCHES: u32 = 256;
/// What a due index of this module lists, in words for operators.
const TEMPLATE: &str = "a template that is over for good";
const CAMPAIGN: &str = "a campaign that is over for good";
const TEMPLATE_RECORD: &str = "the short record of a template";
const CAMPAIGN_RECORD: &str = "the short record of a campaign";

/// Kinds of records of what is sealed.
pub const LIVES: &[Life] = &[
    Life {
        name: "fs",
        shape: Shape::Ordered,
        what: "templates by the moment at which nothing of them acts any more",
        written_by: "publishing and sealing",
        acts: "until the template is gone",
        ends: "with the last step of its sealing",
    },
    Life {
        name: "fz",
        shape: Shape::Map,
        what: "what is kept of templates that were sealed",
        written_by: "sealing",
        acts: "never: it is only told",
        ends: "each record archive_days after the seal, by sealing",
    },
    Life {
        name: "fy",
        shape: Shape::Ordered,
        what: "templates that were sealed by the moment of their seal",
        written_by: "sealing",
        acts: "as long as there is a short record",
        ends: "with the short record",
    },
    Life {
        name: "b<template>",
        shape: Shape::Ordered,
        what: "the batches of a template",
        written_by: "issuing to many",
        acts: "until the template is gone",
        ends: "with the sealing of the template",
    },
    Life {
        name: "k",
        shape: Shape::Ordered,
        what: "group-buy campaigns that are not sealed",
        written_by: "setting up and sealing",
        acts: "as long as there are campaigns",
        ends: "each entry with the sealing of the campaign",
    },
    Life {
        name: "ks",
        shape: Shape::Ordered,
        what: "campaigns by the moment at which somebody looks whether they are over",
        written_by: "setting up and sealing",
        acts: "until the campaign is gone",
        ends: "with the last step of its sealing",
    },
    Life {
        name: "kz",
        shape: Shape::Map,
        what: "what is kept of campaigns that were sealed",
        written_by: "sealing",
        acts: "never: it is only told",
        ends: "each record archive_days after the seal, by sealing",
    },
    Life {
        name: "ky",
        shape: Shape::Ordered,
        what: "campaigns that were sealed by the moment of their seal",
        written_by: "sealing",
        acts: "as long as there is a short record",
        ends: "with the short record",
    },
];

/// Templates that are not sealed and gone: whatever is not among them gives nothing for good, and its name never comes
/// back.
///
/// # Errors
/// The store's.
pub async fn live<B: Binding>(context: &Context<'_, B>) -> Result<BTreeSet<String>, CommitError> {
    let home = records::home_of_list(context.partitions);
    Ok(ids(sealed::list(context, home, &records::templates()).await?))
}

/// Group-buy campaigns that are not sealed and gone.
///
/// # Errors
/// The store's.
pub async fn live_campaigns<B: Binding>(
    context: &Context<'_, B>,
) -> Result<BTreeSet<String>, CommitError> {
    let home = records::home_of_list(context.partitions);
    Ok(ids(sealed::list(context, home, &records::campaigns()).await?))
}

fn ids(members: Vec<Member>) -> BTreeSet<String> {
    members.iter().map(|Member(id)| String::from_utf8_lossy(id).into_owned()).collect()
}

/// Demands in the pool that a template is there and not sealed.
pub fn demand_open<B: Binding>(context: &Context<'_, B>, id: &str) -> [Guard; 2] {
    context.publication(id).sealing().demand_open(context.partitions)
}

/// What is kept of a template that is sealed, as long as that is kept.
///
/// # Errors
/// The store's.
pub async fn archived<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Archived>, CommitError> {
    kept(context, &context.publication(id).sealing()).await
}

/// What is kept of a campaign that is sealed, as long as that is kept.
///
/// # Errors
/// The store's.
pub async fn archived_campaign<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Archived>, CommitError> {
    kept(context, &records::sealing_of_campaign(context.partitions, id)).await
}

async fn kept<B: Binding>(
    context: &Context<'_, B>,
    place: &sealed::Place,
) -> Result<Option<Archived>, CommitError> {
    match place.look(context).await? {
        Seal::Open => Ok(None),
        Seal::Sealed(archived) => Ok(Some(*archived)),
        Seal::Gone => place.archived(context).await,
    }
}

/// Seals templates that are over, and takes away those that are sealed, and short records that were kept long enough.
///
/// # Errors
/// The store's, where it failed before anything was done or found. What cannot be read stops only itself.
pub async fn templates<B: Binding>(
    context: &Context<'_, B>,
    terms: &Terms,
) -> Result<Sealing, CommitError> {
    let lists = records::home_of_list(context.partitions);
    let look = async |id: &str| look_at_template(context, id, terms).await;
    let mut sealing = TEMPLATES.seal_due(context, lists, TEMPLATE, terms, look).await?;
    let before = async |_: &str, _: &Archived| Ok(());
    sealing.add(TEMPLATES.end(context, lists, TEMPLATE_RECORD, terms, before).await?);
    Ok(sealing)
}

/// The same with group-buy campaigns, behind their templates.
///
/// # Errors
/// As [`templates`].
pub async fn campaigns<B: Binding>(
    context: &Context<'_, B>,
    terms: &Terms,
) -> Result<Sealing, CommitError> {
    let lists = records::home_of_list(context.partitions);
    let look = async |id: &str| look_at_campaign(context, id, terms).await;
    let mut sealing = CAMPAIGNS.seal_due(context, lists, CAMPAIGN, terms, look).await?;
    let before = async |_: &str, _: &Archived| Ok(());
    sealing.add(CAMPAIGNS.end(context, lists, CAMPAIGN_RECORD, terms, before).await?);
    Ok(sealing)
}

async fn look_at_template<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    match context.publication(id).sealing().look(context).await? {
        Seal::Gone => Ok(Looked::Nothing),
        Seal::Open => seal_template(context, id, terms).await,
        Seal::Sealed(archived) if !is_quiet(&archived, WAIT_MS, terms) => Ok(Looked::Waits),
        Seal::Sealed(archived) => take_template(context, id, &archived, terms).await,
    }
}

/// Whether what was under way at a seal is over.
fn is_quiet(archived: &Archived, wait_ms: i64, terms: &Terms) -> bool {
    terms.now.0 >= archived.sealed_at.0.saturating_add(wait_ms)
}

/// When nothing of a template can act any more, by its pool; and what the pool says of coupons that were extended.
async fn settled_at<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<(Version<Template>, UnixMillis, i64)>, CommitError> {
    let found = context.publication(id).find(context, [LATEST, SETTLED]).await?;
    Ok(found.map(|(version, [latest, settled])| {
        let of_extended = if latest > 0 { latest.saturating_add(ROLLBACK_MS_MAX) } else { 0 };
        let at = version.record.settled_at().max(UnixMillis(settled.max(of_extended)));
        (version, at, latest)
    }))
}

async fn seal_template<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let gone = || CommitError::Unreadable(format!("the template {id} is listed, and not there"));
    let (version, at, latest) = settled_at(context, id).await?.ok_or_else(gone)?;
    if at > terms.configuration_until() {
        return Ok(Looked::Later(at));
    }
    let place = context.place(id);
    let mut given = given_if_home(context, &place).await?;
    if terms.dry_run {
        return Ok(given.map_or(Looked::Waits, |_| Looked::Sealed));
    }
    if given.is_none() {
        call_back_all(context, &place).await?;
        given = given_if_home(context, &place).await?;
    }
    let Some(given) = given else { return Ok(Looked::Waits) };
    let template = &version.record;
    let archived = Archived {
        activity: Some(template.activity.clone()),
        scene: Some(template.scene.clone()),
        from: Some(template.claim_from),
        until: Some(template.claim_until),
        total: template.is_counted().then(|| template.total(0)),
        given: Some(given),
        ..Archived::of(version.number, terms.now)
    };
    let unchanged = lease::demand(&records::pool(id), &LATEST.into(), latest);
    let is_sealed = context.publication(id).seal(context, &version, unchanged, &archived).await?;
    Ok(if is_sealed { Looked::Sealed } else { Looked::Waits })
}

/// Takes a template away that is sealed and quiet: all but its home on one day, and that on another one.
async fn take_template<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    archived: &Archived,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let (publication, place) = (context.publication(id), context.place(id));
    let (sealing, listed) = (publication.sealing(), Member::from(id));
    let is_listed = sealing.is_listed(context, &listed).await?;
    if terms.dry_run {
        return Ok(if is_listed { Looked::Waits } else { Looked::Gone });
    }
    publication.take_copy(context).await?;
    context.templates.forget(id);
    if is_listed {
        // No lease is gone yet.
        if given_if_home(context, &place).await?.is_none() {
            call_back_all(context, &place).await?;
            if given_if_home(context, &place).await?.is_none() {
                return Ok(Looked::Waits);
            }
        }
        sealing.move_into_archive(context, listed, archived).await?;
    }
    if !close_all(context, &place).await? || is_listed {
        return Ok(Looked::Waits);
    }
    take_batches(context, id).await?;
    let is_first = sealing.take_home(context, archived).await?;
    Ok(if is_first { Looked::Gone } else { Looked::Nothing })
}

/// Takes the batches of a template away. Nothing enters the list of one that is sealed.
async fn take_batches<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<(), CommitError> {
    let (partition, list) = (context.pool(id), records::batches(id));
    loop {
        let page = Read::Page(list.clone(), Range::default(), BATCHES);
        let answers = context.read(partition, vec![page]).await?;
        let page = answers::page(answers.first())?;
        let writes = page.members.iter().flat_map(|member| {
            let batch = records::batch(id, &String::from_utf8_lossy(&member.0));
            [Write::Drop(batch), Write::RemoveMember(list.clone(), member.clone())]
        });
        context.write(partition, writes).await?;
        if !page.has_more {
            return Ok(());
        }
    }
}

async fn look_at_campaign<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let place = records::sealing_of_campaign(context.partitions, id);
    match place.look(context).await? {
        Seal::Gone => Ok(Looked::Nothing),
        Seal::Open => seal_campaign(context, id, &place, terms).await,
        Seal::Sealed(archived) if !is_quiet(&archived, GROUPS_MS, terms) => Ok(Looked::Waits),
        Seal::Sealed(_) if terms.dry_run => Ok(Looked::Gone),
        Seal::Sealed(archived) => {
            place.move_into_archive(context, Member::from(id), &archived).await?;
            let is_first = place.take_home(context, &archived).await?;
            Ok(if is_first { Looked::Gone } else { Looked::Nothing })
        }
    }
}

async fn seal_campaign<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    place: &sealed::Place,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let record = group_buy::record(context, id);
    let seen = record.find(context).await?;
    // A name that was listed so long ago and never set up is sealed as well.
    if let Some(Campaign { template, .. }) = &seen.record
        && !context.publication(template).sealing().is_sealed(context).await?
    {
        let gone = || CommitError::Unreadable(format!("the template {template} of it is gone"));
        let (_, at, _) = settled_at(context, template).await?.ok_or_else(gone)?;
        return Ok(Looked::Later(at));
    }
    if terms.dry_run {
        return Ok(Looked::Sealed);
    }
    let template = seen.record.as_ref().map(|campaign| campaign.template.clone());
    let archived = Archived { template, ..Archived::of(1, terms.now) };
    let mut plan = Plan::new();
    plan.demand((), record.unchanged(seen.stored.as_ref()));
    place.seal(&mut plan, (), &archived, context.partitions);
    plan.write(record.unset());
    let is_sealed = context.commit(record.partition, plan).await?.is_ok();
    Ok(if is_sealed { Looked::Sealed } else { Looked::Waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_of_an_archive_is_declared() {
        for archive in [TEMPLATES, CAMPAIGNS] {
            for name in [archive.due.0, archive.records, archive.ends.0] {
                let of = LIVES.iter().filter(|life| life.matches(name));
                assert_eq!(of.count(), 1, "{name}");
            }
        }
    }
}

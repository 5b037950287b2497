//! The rule "a user opens one group a campaign": opening a group takes the user's chance, and a group
//! that succeeds is rewarded once.
//!
//! The chance lies in the user's record, so that it changes together with the paid mark and the
//! coupons of that user. More than one function needs the rule: one opens groups and gives rewards,
//! another one is told how groups end. Every change demands the exact former value, so that of two at
//! the same time one looks again, and whatever is said twice is said once.
//!
//! The first commit decides: a group that has ended stays as it is, whatever is said of it later.
//!
//! # How a group expires
//!
//! Clocks of instances differ, and a request may be older than the one that overtakes it. So that a group
//! is over for whoever asks first, and not for the next one, is no answer: `expired` is told from the
//! record only, never from a clock.
//!
//! 1. Whoever meets an open group whose time is over by their clock ([`Groups::at`]) - to tell where it
//!    stands, to end it, to open the next one - commits first that it has expired. The guard demands the
//!    exact value that was seen.
//! 2. Where that is committed, `expired` is told, and holds: a success that comes later finds a group that
//!    has ended.
//! 3. Where it is refused, somebody else was first, perhaps a success with an older clock. The refusal
//!    shows the value that is there; it is looked at anew.
//! 4. Where the store does not answer, nothing is told (503).
//!
//! A crash before the commit leaves an open group, which the next one expires; a crash after it leaves an
//! expired one, as if it had been told. A commit that arrives late meets the same guard: it changes an open
//! group whose time is over, or nothing. Until the time is over no step costs anything.
//!
//! # An end that overtakes its opening
//!
//! It is refused (422 `unknown_group`), so that its sender sends it again.

use domain::due::{DueIndex, of_user};
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, MapKey, Read, Transaction, Value, Write};
use serde::{Deserialize, Serialize};
use store::Record;
use store::codec::{decode, encode};

use crate::records;

/// Groups that a user may open for one campaign, one after the other, where each gives the chance
/// back: enough for a patient shopper, few enough that their record stays small.
pub const GROUPS_MAX: usize = 16;
/// The index of rewards that are due, in the partition of the user: since when the group is open that earned
/// it, and as [`of_user`] whose chance for which campaign it took.
pub const REWARDS: DueIndex = DueIndex("w");

/// A user's chance for a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance<'a> {
    /// Whose.
    pub user: UserId,
    /// For which campaign, a [`Part`](domain::order_number::Part).
    pub campaign: &'a str,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It may still succeed.
    Open,
    /// It has succeeded, and the reward is due.
    Succeeded,
    /// The reward was given.
    Rewarded,
    /// The reward could not be given, and is not owed.
    Lapsed,
    /// It has failed.
    Failed,
    /// Its time is over.
    Expired,
}

/// A group that took the chance. Names are [`Part`](domain::order_number::Part)s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Of which template the reward is.
    pub template: String,
    /// Whether the chance is given back where it ends without a reward.
    pub gives_back: bool,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// How long it may stay open.
    pub lasts_seconds: i64,
    /// Where it stands. An open one whose time is over is to expire before anything is told of it; see
    /// [`Groups::at`].
    pub phase: Phase,
}

/// What a user made of a chance: the last group has it, and each before gave it back. All are kept, so
/// that what comes late is told from what never was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups(Vec<Group>);

impl Record for Groups {
    const NAME: &'static str = "a group-buy chance";
}

impl Chance<'_> {
    fn record(self) -> MapKey {
        records::user(self.user)
    }

    fn field(self) -> Field {
        Field(format!("g{}", self.campaign).into_bytes())
    }

    /// What stands of it in [`REWARDS`].
    fn entry(self) -> Vec<u8> {
        of_user(self.user, self.campaign)
    }

    /// Reads what was made of it, for [`Groups::decode`].
    pub fn read(self) -> Read {
        Read::Fields(self.record(), vec![self.field()])
    }

    /// Demands that it was never taken; the refusal tells what was made of it.
    pub fn demand_untaken(self) -> Guard {
        Guard::FieldAbsent(self.record(), self.field())
    }

    /// Demands that this is what was made of it.
    pub fn demand(self, groups: &Groups) -> Guard {
        if groups.0.is_empty() {
            self.demand_untaken()
        } else {
            Guard::FieldEquals(self.record(), self.field(), encode(groups))
        }
    }

    /// Changes what was made of it, where that is still `before`. The first guard says so, and its
    /// refusal tells what is there instead. A reward that becomes due enters [`REWARDS`], and leaves them
    /// when it is given.
    pub fn change(self, before: &Groups, after: &Groups) -> Transaction {
        let guard = self.demand(before);
        let mut writes = vec![Write::Set(self.record(), self.field(), encode(after))];
        match (before.due(), after.due()) {
            (None, Some(group)) => writes.push(REWARDS.add(group.opened_at, &self.entry())),
            (Some(group), None) => writes.push(REWARDS.remove(group.opened_at, &self.entry())),
            // Nothing is opened after a success, so that no other group becomes due in its place.
            _ => {}
        }
        Transaction { guards: vec![guard], writes, ..Transaction::default() }
    }

    /// Takes an entry out of [`REWARDS`] under which no reward is due, as long as this is what was made of
    /// the chance.
    pub fn forget(self, groups: &Groups, at: UnixMillis) -> Transaction {
        Transaction {
            guards: vec![self.demand(groups)],
            writes: vec![REWARDS.remove(at, &self.entry())],
            ..Transaction::default()
        }
    }
}

/// The campaign of a field of a user's record, where it is a chance.
pub fn campaign_of(field: &Field) -> Option<&str> {
    std::str::from_utf8(&field.0).ok()?.strip_prefix('g')
}

impl Group {
    /// When it expires, if it is still open.
    pub fn expires_at(&self) -> UnixMillis {
        UnixMillis(self.opened_at.0.saturating_add(self.lasts_seconds.saturating_mul(1_000)))
    }
}

impl Groups {
    /// Reads what the store keeps; nothing is a chance that was never taken.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: Option<&Value>) -> Result<Self, CommitError> {
        value.map_or(Ok(Self::default()), decode)
    }

    /// A group that took the chance, now or earlier.
    pub fn find(&self, group: &str) -> Option<&Group> {
        self.0.iter().find(|one| one.group == group)
    }

    /// All of them, the last one last.
    pub fn all(&self) -> &[Group] {
        &self.0
    }

    /// Whether the chance was never taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The group whose reward is due.
    pub fn due(&self) -> Option<&Group> {
        self.0.last().filter(|last| last.phase == Phase::Succeeded)
    }

    /// The same at a moment: an open group whose time is over has expired. Where that is a change, it is
    /// committed before anybody is told.
    #[must_use]
    pub fn at(&self, now: UnixMillis) -> Self {
        let mut next = self.clone();
        for group in &mut next.0 {
            if group.phase == Phase::Open && now >= group.expires_at() {
                group.phase = Phase::Expired;
            }
        }
        next
    }

    /// Opens another group; nothing where the chance is used.
    #[must_use]
    pub fn opened(&self, group: Group) -> Option<Self> {
        let mut next = self.at(group.opened_at);
        if let Some(last) = next.0.last() {
            let back = last.gives_back && matches!(last.phase, Phase::Failed | Phase::Expired);
            if !back || self.0.len() >= GROUPS_MAX {
                return None;
            }
        }
        next.0.push(group);
        Some(next)
    }

    /// Ends a group as somebody says that it ended; nothing where there never was such a group.
    #[must_use]
    pub fn ended(&self, group: &str, said: Phase, now: UnixMillis) -> Option<Self> {
        let mut next = self.at(now);
        let group = next.0.iter_mut().find(|one| one.group == group)?;
        if group.phase == Phase::Open {
            group.phase = said;
        }
        Some(next)
    }

    /// The same with the reward that was due given, or lapsed.
    #[must_use]
    pub fn settled(&self, phase: Phase) -> Self {
        let mut next = self.clone();
        if let Some(last) = next.0.last_mut().filter(|last| last.phase == Phase::Succeeded) {
            last.phase = phase;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use domain::due::user_of;

    use super::*;

    const CHANCE: Chance<'static> = Chance { user: UserId(7), campaign: "spring" };
    const DURING: UnixMillis = UnixMillis(1_771_257_601_000);

    fn group(name: &str, gives_back: bool) -> Group {
        Group {
            group: name.to_owned(),
            template: "spring-15".to_owned(),
            gives_back,
            opened_at: UnixMillis(1_771_257_600_250),
            lasts_seconds: 86_400,
            phase: Phase::Open,
        }
    }

    fn open(gives_back: bool) -> Groups {
        Groups::default().opened(group("a", gives_back)).unwrap()
    }

    fn phases(groups: &Groups) -> Vec<Phase> {
        groups.0.iter().map(|group| group.phase).collect()
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        let two = open(true).ended("a", Phase::Failed, DURING).unwrap();
        let two = two.opened(group("b", false)).unwrap();
        assert_eq!(two.find("a").map(|found| found.phase), Some(Phase::Failed));
        assert_eq!(two.find("b"), Some(&group("b", false)));
        assert_eq!(two.find("c"), None);
    }

    #[test]
    fn what_is_stored_is_read_again_and_small() {
        let one = open(true);
        let two = one.ended("a", Phase::Failed, DURING).unwrap().opened(group("b", false)).unwrap();
        for groups in [
            &one,
            &two,
            &two.ended("b", Phase::Succeeded, DURING).unwrap().settled(Phase::Rewarded),
        ] {
            assert_eq!(Groups::decode(Some(&encode(groups))).as_ref(), Ok(groups));
        }
        assert_eq!(Groups::decode(None), Ok(Groups::default()));
        let ulid = Groups::default().opened(group(&"0".repeat(26), true)).unwrap();
        let Value::Bytes(bytes) = encode(&ulid) else { panic!("{ulid:?}") };
        assert!(bytes.len() <= 63, "{} bytes", bytes.len());
    }

    #[test]
    fn foreign_bytes_are_no_chance() {
        let Value::Bytes(whole) = encode(&open(true)) else { panic!("bytes") };
        let cut = Value::Bytes(whole[..whole.len() - 1].to_vec());
        for value in [Value::Integer(1), Value::Bytes(vec![]), Value::Bytes(vec![0xff]), cut] {
            let result = Groups::decode(Some(&value));
            assert!(matches!(result, Err(CommitError::Unreadable(_))), "{value:?}: {result:?}");
        }
    }

    #[test]
    fn names_are_read_again() {
        assert_eq!(campaign_of(&CHANCE.field()), Some("spring"));
        assert_eq!(campaign_of(&"nspring".into()), None);
        assert_eq!(user_of(&CHANCE.entry()), Ok((UserId(7), "spring")));
    }

    #[test]
    fn what_is_first_in_the_store_counts() {
        let said = [Phase::Succeeded, Phase::Failed, Phase::Expired];
        for first in said {
            let ended = open(true).ended("a", first, DURING).unwrap();
            assert_eq!(phases(&ended), [first]);
            for second in said {
                assert_eq!(ended.ended("a", second, DURING), Some(ended.clone()), "{second:?}");
            }
        }
        let over = open(true).0[0].expires_at();
        assert_eq!(
            phases(&open(true).ended("a", Phase::Succeeded, over).unwrap()),
            [Phase::Expired]
        );
        let late = UnixMillis(over.0 - 1);
        assert_eq!(
            phases(&open(true).ended("a", Phase::Succeeded, late).unwrap()),
            [Phase::Succeeded]
        );
        assert_eq!(open(true).ended("b", Phase::Succeeded, DURING), None);
        assert_eq!(Groups::default().ended("a", Phase::Failed, DURING), None);
    }

    #[test]
    fn only_a_group_that_ended_without_a_reward_gives_the_chance_back() {
        let after = |gives_back, said| open(gives_back).ended("a", said, DURING).unwrap();
        let table = [
            (open(true), false),
            (open(false), false),
            (after(true, Phase::Failed), true),
            (after(true, Phase::Expired), true),
            (after(true, Phase::Succeeded), false),
            (after(true, Phase::Succeeded).settled(Phase::Rewarded), false),
            (after(false, Phase::Failed), false),
            (after(false, Phase::Expired), false),
        ];
        for (groups, back) in table {
            assert_eq!(groups.opened(group("b", true)).is_some(), back, "{groups:?}");
        }
        // Its time is over, though nobody has said so.
        let mut later = group("b", true);
        later.opened_at = open(true).0[0].expires_at();
        assert_eq!(open(false).opened(later.clone()), None);
        let two = open(true).opened(later).unwrap();
        assert_eq!(phases(&two), [Phase::Expired, Phase::Open]);
        // What is said late of the first one leaves the second one alone.
        assert_eq!(two.ended("a", Phase::Failed, DURING), Some(two.clone()));
        assert_eq!(two.due(), None);
    }

    /// Two clocks, one of them ten minutes ahead.
    #[test]
    fn a_group_that_was_told_expired_never_succeeds() {
        let seen = open(true);
        let over = seen.0[0].expires_at();
        let behind = UnixMillis(over.0 - 600_000);
        assert_eq!(seen.at(UnixMillis(over.0 - 1)), seen, "nothing is to be committed before");

        // The one ahead is first: what it tells is in the store, and the other one meets it.
        let told = seen.at(over);
        assert_eq!(phases(&told), [Phase::Expired]);
        assert_eq!(told.ended("a", Phase::Succeeded, behind), Some(told.clone()));
        // The success is first: the one ahead demands what it saw, is refused, and tells what is there.
        let ended = seen.ended("a", Phase::Succeeded, behind).unwrap();
        let guards = CHANCE.change(&seen, &told).guards;
        let exact =
            |groups: &Groups| [Guard::FieldEquals(CHANCE.record(), CHANCE.field(), encode(groups))];
        assert_eq!(guards, exact(&seen));
        assert_ne!(guards, exact(&ended));
        assert_eq!(ended.at(over), ended);
    }

    #[test]
    fn chances_are_given_back_a_bounded_number_of_times() {
        let mut groups = Groups::default();
        for index in 0..GROUPS_MAX {
            let name = index.to_string();
            groups = groups.opened(group(&name, true)).unwrap();
            groups = groups.ended(&name, Phase::Failed, DURING).unwrap();
        }
        assert_eq!(groups.opened(group("more", true)), None);
    }

    #[test]
    fn a_change_demands_what_it_saw_and_keeps_the_index() {
        let (none, open) = (Groups::default(), open(true));
        let take = CHANCE.change(&none, &open);
        assert_eq!(take.guards, [CHANCE.demand_untaken()]);
        assert_eq!(take.writes, [Write::Set("c7".into(), "gspring".into(), encode(&open))]);

        let due = open.ended("a", Phase::Succeeded, DURING).unwrap();
        let succeed = CHANCE.change(&open, &due);
        let unchanged = Guard::FieldEquals("c7".into(), "gspring".into(), encode(&open));
        assert_eq!(succeed.guards, [unchanged]);
        let (opened_at, entry) = (open.0[0].opened_at, of_user(CHANCE.user, "spring"));
        assert_eq!(succeed.writes[1..], [REWARDS.add(opened_at, &entry)]);

        let reward = CHANCE.change(&due, &due.settled(Phase::Rewarded));
        assert_eq!(reward.writes[1..], [REWARDS.remove(opened_at, &entry)]);
        let fail = CHANCE.change(&open, &open.ended("a", Phase::Failed, DURING).unwrap());
        assert_eq!(fail.writes.len(), 1);

        // An entry of a group that is not due goes, as long as that is so.
        let forget = CHANCE.forget(&due, UnixMillis(1));
        assert_eq!(forget.guards, [CHANCE.demand(&due)]);
        assert_eq!(forget.writes, [REWARDS.remove(UnixMillis(1), &entry)]);
    }
}

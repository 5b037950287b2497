//! Numbers under which operations act at most once, and how they are forgotten.
//!
//! As long as what a number did is kept, whoever sends it again is told that. What is kept has an end, and from then on the
//! number must not act a second time. So the commit that takes the record away leaves a mark, in the same partition, and the
//! commit that acts demands, behind the guard of its own record, that there is none:
//!
//! - *A number with a time* (`ordered_at`, which belongs to the number: it is always sent, and always the same) raises
//!   the *watermark* of its user and family: a time up to which numbers are forgotten. It acts where its time is later.
//!   A watermark only grows, and stands at least [`KEPT_MS_MIN`] before the moment at which it is raised, so that nothing
//!   that is younger is ever refused. A time is at most [`AHEAD_MS`] in the future.
//! - *A number without a time* leaves a hash of its family, its user and itself in a set of ids of the partition: about eight
//!   bytes. Where two numbers have one hash the second is refused, and never acts twice.
//! - *A token of a rain* has the time at which it was drawn, and raises a watermark likewise. Its number follows from a
//!   play: what else could draw it again has an end of its own, and cannot be opened again afterwards.
//! - *A token of a group packet* leaves a hash: who pays one late, after whatever kept them from it, must know whether it
//!   was paid, and not only that it could have been.
//!
//! Whoever is refused is told `too_old`.
//!
//! # What can go wrong
//!
//! 1. A crash before the commit that forgets leaves the record, and it is tried again; a crash after it leaves the mark.
//!    There is no moment without both, because they are in one commit.
//! 2. Of a number that is sent while it is forgotten, the first commit decides: it meets its record, or the mark.
//! 3. A commit that forgets and comes late demands the records that it saw: it does what it would have done, or nothing.
//! 4. Two that forget at once: each demands the watermark that it saw, so that none lowers it.
//! 5. A number with a time that is sent without it later, or with another one, is another number once it is forgotten;
//!    before that it is refused, because the time is part of what was asked. A number without a time that is sent with
//!    one later meets its hash: both marks are demanded of a number with a time. A packet is named by its number without a
//!    time, so that numbers of packets leave a hash in any case, and raise no watermark.
//! 6. What forbids a number (a cancellation that came before it) is a record under the same number, and ends in the same way.
//! 7. Clocks: what is forgotten is at least days old, and clocks are minutes off at most.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, MapKey, Read, SetKey, Value, Write};
use siphasher::sip::SipHasher24;

/// So old is what is forgotten, at least.
pub const KEPT_MS_MIN: i64 = 7 * 86_400_000;
/// So far ahead may the time of a number be: clocks of callers differ.
pub const AHEAD_MS: i64 = 5 * 60_000;
/// The key of hashes. It spreads them, and is no secret: a number that collides is refused.
const HASH_KEY: [u8; 16] = *b"hongbao numbers\x01";
/// The set of hashes of a partition.
const FORGOTTEN: &str = "x";

/// Of what a number is. Numbers of different families have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Orders of coupons.
    Coupons,
    /// Orders that take uses of activities.
    Purchases,
    /// Group packets that a user sent. They are named by the user and the number alone, so that they leave a hash, whatever
    /// time comes with the number.
    Packets,
    /// Withdrawals.
    Withdrawals,
    /// Tokens of rains in a user's wallet: their time is that at which they were drawn, and they leave no hash.
    Tokens,
    /// Tokens of group packets in a user's wallet, of openings and of what came back. They have no time.
    Openings,
}

/// A number of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    /// Of what.
    pub family: Family,
    /// Whose.
    pub user: UserId,
    /// The number.
    pub number: &'a str,
    /// When the caller says that it was ordered, if they say so. It is part of the number.
    pub ordered_at: Option<UnixMillis>,
}

/// Up to when numbers of a user are forgotten, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks([i64; 6]);

/// What the commit that takes records of numbers away demands and writes beside that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgetting {
    /// Its guards.
    pub guards: Vec<Guard>,
    /// Its writes.
    pub writes: Vec<Write>,
}

impl Family {
    const ALL: [Self; 6] = [
        Self::Coupons,
        Self::Purchases,
        Self::Packets,
        Self::Withdrawals,
        Self::Tokens,
        Self::Openings,
    ];

    /// Its field among the watermarks of a user, and its part in hashes.
    fn letter(self) -> char {
        match self {
            Self::Coupons => 'c',
            Self::Purchases => 'p',
            Self::Packets => 's',
            Self::Withdrawals => 'w',
            Self::Tokens => 't',
            Self::Openings => 'o',
        }
    }

    fn field(self) -> Field {
        Field(vec![self.letter() as u8])
    }
}

/// The watermarks of a user. Nobody has any before something of theirs with a time is forgotten.
fn watermarks(user: UserId) -> MapKey {
    MapKey(format!("x{user}"))
}

/// Checks the time of a number.
///
/// # Errors
/// `invalid_value`, naming the field, where it is too far in the future.
pub fn check_ordered_at(at: UnixMillis, now: UnixMillis, field: &str) -> Result<(), InvalidInput> {
    if at.0 <= now.0.saturating_add(AHEAD_MS) {
        return Ok(());
    }
    Err(InvalidInput::new("invalid_value", field, "must be at most 5 minutes in the future"))
}

impl Number<'_> {
    /// Demands that it is not forgotten. Behind the guard that demands that it has not acted.
    pub fn demands(&self, partitions: Partitions) -> Vec<Guard> {
        let mut guards = Vec::with_capacity(2);
        if let Some(at) = self.raises() {
            let (record, field) = (watermarks(self.user), self.family.field());
            guards.push(Guard::IntegerAtMost(record, field, at.0 - 1));
        }
        if self.family != Family::Tokens {
            guards.push(Guard::IdAbsent(FORGOTTEN.into(), self.hash(partitions)));
        }
        guards
    }

    /// Its time, where that keeps it from acting once it is forgotten.
    fn raises(&self) -> Option<UnixMillis> {
        self.ordered_at.filter(|_| self.family != Family::Packets)
    }

    /// Reads whether it left a hash.
    pub fn read_forgotten(&self, partitions: Partitions) -> Read {
        Read::Contains(FORGOTTEN.into(), self.hash(partitions))
    }

    /// Its place in the set of its partition: what its user's partition does not say already.
    fn hash(&self, partitions: Partitions) -> u64 {
        let Self { family, user, number, .. } = self;
        let text = format!("{}{user}:{number}", family.letter());
        SipHasher24::new_with_key(&HASH_KEY).hash(text.as_bytes()) >> partitions.bits()
    }

    /// Whether it is so old that it may be forgotten, whatever else is kept for how long.
    pub fn may_be_forgotten(&self, now: UnixMillis) -> bool {
        self.ordered_at.is_none_or(|at| at.0 <= now.0.saturating_sub(KEPT_MS_MIN))
    }
}

impl Watermarks {
    /// Reads those of a user.
    pub fn read(user: UserId) -> Read {
        Read::Fields(watermarks(user), Family::ALL.map(Family::field).to_vec())
    }

    /// The answer to [`Self::read`].
    ///
    /// # Errors
    /// It is another one.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        domain::answers::integers(answer).map(Self)
    }

    /// The time up to which numbers of a family are forgotten; 0 where none is.
    pub fn up_to(&self, family: Family) -> UnixMillis {
        UnixMillis(self.0[family as usize])
    }

    /// Forgets some numbers of one family of the user whose watermarks these are. Nothing, where one of them is too young.
    #[must_use]
    pub fn forget<'a>(
        &self,
        numbers: impl IntoIterator<Item = Number<'a>>,
        now: UnixMillis,
        partitions: Partitions,
    ) -> Option<Forgetting> {
        let (mut forgetting, mut raised) = (Forgetting::default(), Self::default());
        let mut user = None;
        for number in numbers {
            if !number.may_be_forgotten(now) {
                return None;
            }
            user = Some(number.user);
            match number.raises() {
                Some(at) => {
                    let raised = &mut raised.0[number.family as usize];
                    *raised = at.0.max(*raised);
                }
                None => {
                    let hash = number.hash(partitions);
                    forgetting.writes.push(Write::Insert(FORGOTTEN.into(), hash));
                }
            }
        }
        for (family, (raised, seen)) in Family::ALL.into_iter().zip(raised.0.iter().zip(self.0)) {
            if let Some(user) = user.filter(|_| *raised > seen) {
                let (record, field) = (watermarks(user), family.field());
                forgetting.guards.push(Guard::IntegerAtMost(record.clone(), field.clone(), seen));
                forgetting.writes.push(Write::Set(record, field, Value::Integer(*raised)));
            }
        }
        Some(forgetting)
    }
}

/// The set of hashes, for whoever counts what the store holds.
pub fn forgotten() -> SetKey {
    FORGOTTEN.into()
}

#[cfg(test)]
mod tests {
    use binding::memory::Memory;
    use domain::partition::Partition;
    use domain::transaction::Transaction;
    use futures::executor::block_on;

    use super::*;
    use crate::Context;
    use crate::context::tests::context;
    use crate::plan::Plan;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 100 * DAY;
    const USER: UserId = UserId(652_024_209_997_893_632);

    fn number(number: &str, ordered_at: Option<i64>) -> Number<'_> {
        let ordered_at = ordered_at.map(UnixMillis);
        Number { family: Family::Coupons, user: USER, number, ordered_at }
    }

    fn home(context: &Context<'_, Memory>) -> Partition {
        context.partitions.locate(USER).partition
    }

    fn may_act(context: &Context<'_, Memory>, number: Number<'_>) -> bool {
        let mut plan = Plan::new();
        plan.demand_all((), number.demands(context.partitions));
        block_on(context.commit(home(context), plan)).unwrap().is_ok()
    }

    fn seen(context: &Context<'_, Memory>) -> Watermarks {
        let answers = block_on(context.read(home(context), vec![Watermarks::read(USER)])).unwrap();
        Watermarks::answered(answers.first()).unwrap()
    }

    fn commit(context: &Context<'_, Memory>, forgetting: Forgetting) -> bool {
        let Forgetting { guards, writes } = forgetting;
        let plan = Plan::of(Transaction { guards, writes, ..Transaction::default() }, ());
        block_on(context.commit(home(context), plan)).unwrap().is_ok()
    }

    fn forget(context: &Context<'_, Memory>, numbers: &[Number<'_>]) -> bool {
        let forgetting =
            seen(context).forget(numbers.iter().copied(), UnixMillis(NOW), context.partitions);
        forgetting.is_some_and(|forgetting| commit(context, forgetting))
    }

    #[test]
    fn a_forgotten_number_acts_no_more_and_others_do() {
        let store = Memory::new();
        let context = context(&store, 0);
        let timed = |name, at| number(name, Some(at));
        for one in [number("a", None), number("b", None), timed("t", 10 * DAY), timed("u", 1)] {
            assert!(may_act(&context, one), "{one:?}");
        }
        assert!(forget(&context, &[number("a", None), timed("t", 10 * DAY), timed("v", 9 * DAY)]));
        assert!(!may_act(&context, number("a", None)));
        assert!(!may_act(&context, timed("a", 11 * DAY)), "whatever time is sent with it later");
        assert!(may_act(&context, number("b", None)));
        for at in [1, 9 * DAY, 10 * DAY] {
            assert!(!may_act(&context, timed("x", at)), "{at}");
        }
        assert!(may_act(&context, timed("x", 10 * DAY + 1)));
        let other = Number { user: UserId(7), ..timed("x", 1) };
        let of_other = Number { family: Family::Purchases, ..number("a", None) };
        assert!(may_act(&context, other) && may_act(&context, of_other));
    }

    #[test]
    fn a_watermark_never_goes_back_and_never_comes_near() {
        let store = Memory::new();
        let context = context(&store, 0);
        let timed = |at| [number("t", Some(at))];
        let old = seen(&context);
        assert!(forget(&context, &timed(20 * DAY)));
        // Whoever saw an earlier one is refused; whoever sees the later one leaves it.
        let late = old.forget(timed(15 * DAY), UnixMillis(NOW), context.partitions).unwrap();
        assert!(!commit(&context, late));
        assert!(forget(&context, &timed(15 * DAY)));
        assert!(!may_act(&context, number("y", Some(20 * DAY))));
        let youngest = NOW - KEPT_MS_MIN;
        assert!(!forget(&context, &timed(youngest + 1)));
        assert!(forget(&context, &timed(youngest)));
        assert!(may_act(&context, number("y", Some(youngest + 1))));
    }

    #[test]
    fn a_token_has_a_time_and_leaves_no_hash() {
        let store = Memory::new();
        let context = context(&store, 0);
        let token = |at| Number { family: Family::Tokens, ..number("t", Some(at)) };
        let forgetting = seen(&context).forget([token(5)], UnixMillis(NOW), context.partitions);
        assert_eq!(forgetting.as_ref().map(|one| one.writes.len()), Some(1));
        assert_eq!(token(5).demands(context.partitions).len(), 1);
        assert!(commit(&context, forgetting.unwrap()));
        assert!(!may_act(&context, token(5)) && may_act(&context, token(6)));
    }

    #[test]
    fn a_packet_leaves_a_hash_with_a_time_too() {
        let store = Memory::new();
        let context = context(&store, 0);
        let packet = |name, at| Number { family: Family::Packets, ..number(name, at) };
        assert!(forget(&context, &[packet("p", Some(5))]));
        for at in [None, Some(4), Some(6)] {
            assert!(!may_act(&context, packet("p", at)), "{at:?}");
            assert!(may_act(&context, packet("q", at)), "{at:?}");
        }
    }

    #[test]
    fn a_time_is_at_most_five_minutes_ahead() {
        let check = |at| check_ordered_at(UnixMillis(at), UnixMillis(NOW), "ordered_at");
        assert_eq!(check(NOW + AHEAD_MS), Ok(()));
        assert_eq!(check(NOW + AHEAD_MS + 1).unwrap_err().field, "ordered_at");
    }
}

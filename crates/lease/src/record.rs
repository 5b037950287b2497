//! What a partition has of a budget, and how some of it is given. Pure.

use domain::answers::{integer, integers};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, MapKey, Read, Value, Write};

use crate::demand;
use crate::pool::TERM_MS_MAX;

/// What one partition has of a budget. Units given here are `credited - returned - left - held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Units that the pool ever gave to this partition, as far as they arrived here.
    pub credited: i64,
    /// Units that this partition ever gave back.
    pub returned: i64,
    /// Units to give.
    pub left: i64,
    /// Units held for somebody.
    pub held: i64,
    /// Units that the pool credited last at once: about as many as the next time.
    pub size: i64,
}

/// Fields of a lease; in the pool, with the name of a partition behind it.
pub const CREDITED: &str = "g";
/// See [`Lease::returned`].
pub const RETURNED: &str = "r";
/// See [`Lease::left`].
pub const LEFT: &str = "left";
/// See [`Lease::held`].
pub const HELD: &str = "held";
/// Until then nothing is left anywhere, in unix milliseconds; a field beside the lease. Whoever puts
/// units back into [`LEFT`] removes it, and so does whoever raises the budget ([`forget_sold_out`]). What it
/// says counts as [`is_sold_out`] has it.
///
/// [`forget_sold_out`]: crate::forget_sold_out
pub const SOLD_OUT_UNTIL: &str = "sold";
/// See [`Lease::size`].
pub const SIZE: &str = "size";

impl Lease {
    /// Reads the lease of a record.
    pub fn read(record: MapKey) -> Read {
        let fields = [CREDITED, RETURNED, LEFT, HELD, SIZE];
        Read::Fields(record, fields.map(Field::from).to_vec())
    }

    /// The answer to [`Lease::read`].
    ///
    /// # Errors
    /// It is another one.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let [credited, returned, left, held, size] = integers(answer)?;
        Ok(Self { credited, returned, left, held, size })
    }

    /// Units that were given here.
    pub fn issued(&self) -> i64 {
        self.credited - self.returned - self.left - self.held
    }
}

/// Whether nothing is left anywhere, by what [`SOLD_OUT_UNTIL`] holds: for ten seconds at most. A mark that says more
/// was written by a clock that is ahead of this one, and says nothing.
///
/// # Errors
/// It holds no integer.
pub fn is_sold_out(mark: Option<&Value>, now: UnixMillis) -> Result<bool, CommitError> {
    let until = integer(mark)?;
    Ok(until > now.0 && until <= now.0.saturating_add(TERM_MS_MAX))
}

/// Where the units come from that are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the partition has left.
    Left,
    /// The same, whatever [`SOLD_OUT_UNTIL`] says, which goes: it does not count ([`is_sold_out`]).
    Unmarked,
    /// What the pool has just credited, with what is left: from which count to which.
    Credit(i64, i64),
}

/// Why a guard of a [`Draw`] is there, and so what its refusal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody found that nothing is left anywhere. Where [`is_sold_out`] says so of what the guard saw, nothing
    /// can be given; else it is time for [`Source::Unmarked`].
    SoldOut,
    /// The lease must not have moved. The credit has arrived by another commit: it is in
    /// [`Source::Left`].
    Moved,
    /// So much must be left. It is time for a [`refill`](crate::refill).
    Left,
}

/// The part of a commit that takes units out of a lease. Whoever gives them, or holds them, says so in
/// the same commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Its guards, and why they are there.
    pub guards: Vec<(Why, Guard)>,
    /// Its writes.
    pub writes: Vec<Write>,
}

impl Source {
    /// Takes units out of the lease of a record.
    pub fn draw(self, record: &MapKey, units: i64, now: UnixMillis) -> Draw {
        let (mut guards, mut writes, mut kept) = (Vec::new(), Vec::new(), -units);
        match self {
            Self::Left => {
                let sold_out = SOLD_OUT_UNTIL.into();
                let guard = Guard::IntegerAtMost(record.clone(), sold_out, now.0);
                guards.push((Why::SoldOut, guard));
            }
            Self::Unmarked => writes.push(Write::Unset(record.clone(), SOLD_OUT_UNTIL.into())),
            Self::Credit(from, to) => {
                let moved = demand(record, &CREDITED.into(), from);
                guards.extend(moved.map(|guard| (Why::Moved, guard)));
                writes.push(Write::Set(record.clone(), CREDITED.into(), Value::Integer(to)));
                writes.push(Write::Set(record.clone(), SIZE.into(), Value::Integer(to - from)));
                writes.push(Write::Unset(record.clone(), SOLD_OUT_UNTIL.into()));
                kept += to - from;
            }
        }
        guards.push((Why::Left, Guard::IntegerAtLeast(record.clone(), LEFT.into(), -kept)));
        writes.push(Write::Add(record.clone(), LEFT.into(), kept));
        Draw { guards, writes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_leaves_the_lease_and_what_was_credited_enters_it() {
        let (record, now) = (MapKey::from("l"), UnixMillis(5));
        let left = Source::Left.draw(&record, 3, now);
        assert_eq!(
            left.guards,
            [
                (Why::SoldOut, Guard::IntegerAtMost(record.clone(), SOLD_OUT_UNTIL.into(), 5)),
                (Why::Left, Guard::IntegerAtLeast(record.clone(), LEFT.into(), 3)),
            ]
        );
        assert_eq!(left.writes, [Write::Add(record.clone(), LEFT.into(), -3)]);

        let unmarked = Source::Unmarked.draw(&record, 3, now);
        assert_eq!(unmarked.guards, left.guards[1..]);
        let unset = Write::Unset(record.clone(), SOLD_OUT_UNTIL.into());
        assert_eq!(unmarked.writes, [unset.clone(), left.writes[0].clone()]);

        // Of a credit of 15 three are given: what was left before may be nothing.
        let credit = Source::Credit(10, 25).draw(&record, 3, now);
        let [behind, ahead] = demand(&record, &CREDITED.into(), 10);
        assert_eq!(
            credit.guards,
            [
                (Why::Moved, behind),
                (Why::Moved, ahead),
                (Why::Left, Guard::IntegerAtLeast(record.clone(), LEFT.into(), -12)),
            ]
        );
        let set =
            |field: &str, count| Write::Set(record.clone(), field.into(), Value::Integer(count));
        let add = Write::Add(record.clone(), LEFT.into(), 12);
        assert_eq!(credit.writes, [set(CREDITED, 25), set(SIZE, 15), unset, add]);
    }

    #[test]
    fn a_mark_counts_for_ten_seconds_and_not_where_a_clock_ahead_wrote_it() {
        for (until, expected) in [
            (None, false),
            (Some(4_999), false),
            (Some(5_000), false),
            (Some(5_001), true),
            (Some(15_000), true),
            (Some(15_001), false),
            (Some(605_000), false),
        ] {
            let mark = until.map(Value::Integer);
            let result = is_sold_out(mark.as_ref(), UnixMillis(5_000));
            assert_eq!(result, Ok(expected), "{until:?}");
        }
        assert!(is_sold_out(Some(&Value::Bytes(vec![])), UnixMillis(0)).is_err());
    }
}

//! The time of a request: the store's, as far as an instance knows it.
//!
//! Clocks of machines differ, by minutes in practice, and deadlines are written by one instance and judged by
//! another. So all of them follow one clock, the store's. Guards compare arguments all the same: a wrong clock
//! begins or ends something early or late, and never changes what a commit finds in the records.
//!
//! **What is measured.** An instance reads the store's clock ([`Read::Clock`](domain::transaction::Read::Clock)) and
//! looks at its own before and behind. The store looked at its clock at some moment in between: the *offset*, the
//! store's time less the instance's own, lies within half of the round trip of what the middle says. Of all offsets
//! that are plausible the one counts that changes least ([`measured`]): an instance whose clock may be right keeps
//! its own, and one that has been corrected is not moved to and fro.
//!
//! **When.** The look at the layout, the first round trip of an instance, brings the time with it, before anything
//! asks for it: there is no time of a request without an open store ([`Store::now`](crate::store::Store::now)).
//! Whether it is to be measured again is decided when a configuration is read, each half second, from the clocks
//! that were looked at with it:
//! - after a minute, or where the round trip was too long to say much, the next commit brings the time with it, in
//!   its own round trip. Nodes of a cluster have clocks of their own, of which the one counts that has the
//!   layout: there the layout is looked at again, which is a round trip a minute;
//! - where the instance's own clock was set by more than a second, or its machine slept, the layout is
//!   looked at again before the request has a time.
//!
//! **What a late or absurd answer does.** A late one leaves much open and therefore changes little, and the next
//! configuration asks again. A lost one changes nothing; where the layout was looked at again for it, the request goes
//! on, and the next attempt is made in a minute. A time before 2020 or after 2100 is ignored and told, in the log and
//! by `/healthz`: the instance goes on with what it knew. A store without a clock (the embedded one) leaves the
//! instance its own, as does a server whose user may not ask; of that one `/healthz` warns.
//!
//! **What relies on it.** Windows (rounds, claims, activities); deadlines that are written (reservations, packets,
//! groups, validity); rate limits; moments that are shown or signed (`open_time`); due indexes; times of
//! collection. The log has no times, and time-outs and caches follow the monotonic clock.
//!
//! **What a wrong clock can do.** A wrong clock of an instance does nothing, apart from an error of one round trip,
//! and in the first minute after the store's clock jumped. A wrong clock of the store (or of the instance, where
//! the store tells none) opens or closes a window early or late by as much, and writes deadlines that are off by as
//! much. Neither makes anything be given, paid or counted twice, reopens what was told to have ended, or loses
//! money: guards decide that from the records.

use std::cell::Cell;

use domain::time::UnixMillis;
use store::Timer;

use crate::stages::monotonic_ns;

/// A store that says less has no clock that was ever set: 2020-01-01.
const STORE_MS_MIN: i64 = 1_577_836_800_000;
/// Nor one that says more: 2100-01-01.
const STORE_MS_MAX: i64 = 4_102_444_800_000;
/// Clocks of machines drift by less than a second a day.
const AGE_MS_MAX: u64 = 60_000;
/// Where half of the round trip is longer, the next one may say more.
const UNCERTAIN_MS_MAX: u64 = 250;
/// A clock that is slewed gains or loses 30 ms a minute, and a busy machine may pause between the looks at two clocks.
const STEP_MS_MAX: u64 = 1_000;
/// What an operator should know of. Clocks that are kept right by NTP are within 50 ms.
const WARNED_MS_MIN: u64 = 500;

/// What both clocks of an instance said at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time of day by its own clock, which may be set, in unix milliseconds.
    own_ms: i64,
    /// The time by the clock that only goes forward.
    monotonic_ms: u64,
}

impl Moment {
    /// Now, where the monotonic clock has just been looked at.
    pub fn at(monotonic_ns: u64) -> Self {
        Self { own_ms: own_ms(), monotonic_ms: monotonic_ns / 1_000_000 }
    }

    /// Now.
    pub fn now() -> Self {
        Self::at(monotonic_ns())
    }
}

/// By the instance's own clock.
fn own_ms() -> i64 {
    let instant = spin_sdk::wasip3::clocks::system_clock::now();
    instant.seconds.saturating_mul(1_000).saturating_add(i64::from(instant.nanoseconds / 1_000_000))
}

/// The clock of a request that begins.
pub fn timer() -> Timer {
    Timer::begin(|ms| Box::pin(pause(ms)), || monotonic_ns() / 1_000_000)
}

/// Waits, for what another request of this instance, or somebody else, is about.
pub async fn pause(ms: u64) {
    spin_sdk::wasip3::clocks::monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}

/// The offset after a measurement. `sent_ms` is the instance's own time when it asked, `round_trip_ms` how long it
/// waited, `store_ms` the answer.
///
/// # Errors
/// The answer, where it is no time of a store.
fn measured(
    offset_ms: i64,
    sent_ms: i64,
    round_trip_ms: u64,
    store_ms: i64,
) -> Result<i64, AbsurdTime> {
    if !(STORE_MS_MIN..=STORE_MS_MAX).contains(&store_ms) {
        return Err(AbsurdTime(store_ms));
    }
    // Where the store looked at its clock at once, and where it did at the very end.
    let first_ms = store_ms.saturating_sub(sent_ms);
    let last_ms = first_ms.saturating_sub_unsigned(round_trip_ms);
    Ok(offset_ms.clamp(last_ms, first_ms))
}

/// A time that no store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbsurdTime(i64);

/// What the store last said of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or that it has none.
    Nothing,
    /// Nothing any more: a server may refuse what the one before told.
    Withheld,
    /// A time.
    Time,
    /// None that can be.
    Absurd(AbsurdTime),
}

/// What an instance has to do before a request may have a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The next commit should bring the store's time with it.
    Measure,
    /// Its own clock is not what it was: the store has to be asked first.
    MeasureFirst,
}

/// How far an instance's own clock is off, and since when that is known.
#[derive(Debug)]
pub struct StoreClock {
    offset_ms: Cell<i64>,
    told: Cell<Told>,
    measured_at: Cell<Moment>,
    is_uncertain: Cell<bool>,
}

impl StoreClock {
    /// Not measured yet.
    pub fn new() -> Self {
        Self {
            offset_ms: Cell::new(0),
            told: Cell::new(Told::Nothing),
            measured_at: Cell::default(),
            is_uncertain: Cell::new(false),
        }
    }

    /// Now, by the store's clock.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(own_ms().saturating_add(self.offset_ms.get()))
    }

    /// Takes an answer to what was sent at `sent` and came at `received`. An absurd one changes no time; it is
    /// returned where it has not been told before.
    pub fn answered(
        &self,
        sent: Moment,
        received: Moment,
        store_ms: Option<i64>,
    ) -> Option<AbsurdTime> {
        let round_trip_ms = received.monotonic_ms.saturating_sub(sent.monotonic_ms);
        let before = self.told.get();
        let told = match store_ms {
            None if before == Told::Nothing => Told::Nothing,
            None => {
                self.offset_ms.set(0);
                Told::Withheld
            }
            Some(store_ms) => {
                match measured(self.offset_ms.get(), sent.own_ms, round_trip_ms, store_ms) {
                    Ok(offset_ms) => {
                        self.offset_ms.set(offset_ms);
                        Told::Time
                    }
                    Err(absurd) => Told::Absurd(absurd),
                }
            }
        };
        self.told.set(told);
        // If its own clock was set meanwhile, the next configuration shows it.
        self.measured_at.set(sent);
        self.is_uncertain.set(round_trip_ms / 2 > UNCERTAIN_MS_MAX);
        match told {
            Told::Absurd(absurd) if !matches!(before, Told::Absurd(_)) => Some(absurd),
            _ => None,
        }
    }

    /// There was no answer: what is known stays, and is measured again with the next configuration.
    pub fn unanswered(&self, at: Moment) {
        self.measured_at.set(at);
        self.is_uncertain.set(true);
    }

    /// What is due where both clocks were looked at with a configuration.
    pub fn due(&self, looked: Moment) -> Due {
        let at = self.measured_at.get();
        // A configuration from before the measurement says nothing of what came after it.
        if self.told.get() == Told::Nothing || looked.monotonic_ms <= at.monotonic_ms {
            return Due::Nothing;
        }
        let passed_ms = looked.monotonic_ms - at.monotonic_ms;
        let own_passed_ms = looked.own_ms.saturating_sub(at.own_ms);
        let passed = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        if own_passed_ms.abs_diff(passed) > STEP_MS_MAX {
            // Until the store tells, time goes on as if nobody had set the clock.
            let step_ms = own_passed_ms.saturating_sub(passed);
            self.offset_ms.set(self.offset_ms.get().saturating_sub(step_ms));
            self.measured_at.set(looked);
            self.is_uncertain.set(true);
            Due::MeasureFirst
        } else if passed_ms >= AGE_MS_MAX || self.is_uncertain.get() {
            Due::Measure
        } else {
            Due::Nothing
        }
    }

    /// What a deployment should know of the clocks.
    pub fn warning(&self) -> Option<ClockWarning> {
        match self.told.get() {
            Told::Nothing | Told::Withheld => Some(ClockWarning::Unknown),
            Told::Absurd(absurd) => Some(ClockWarning::Absurd(absurd)),
            Told::Time => {
                let offset_ms = self.offset_ms.get();
                (offset_ms.unsigned_abs() > WARNED_MS_MIN)
                    .then_some(ClockWarning::Offset { offset_ms })
            }
        }
    }
}

impl Default for StoreClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that a deployment should know of its clocks. It serves all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockWarning {
    /// The instance's clock differs from the store's, and is corrected.
    Offset {
        /// The store's time less the instance's own.
        offset_ms: i64,
    },
    /// The store says a time that cannot be, which is ignored.
    Absurd(AbsurdTime),
    /// The server does not tell its time: each instance goes by its own clock.
    Unknown,
}

impl ClockWarning {
    /// Its stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Offset { .. } => "clock_offset",
            Self::Absurd(_) => "store_clock_wrong",
            Self::Unknown => "store_clock_unknown",
        }
    }

    /// What it means, for operators.
    pub fn detail(&self) -> String {
        match self {
            Self::Offset { offset_ms } => {
                let ms = offset_ms.unsigned_abs();
                let side = if *offset_ms < 0 { "ahead of" } else { "behind" };
                format!(
                    "the clock of this instance is {ms} ms {side} the store's, which counts: set \
                     the one that is wrong"
                )
            }
            Self::Absurd(AbsurdTime(store_ms)) => format!(
                "the store says that it is {store_ms} ms after 1970, which is ignored: each \
                 instance goes by what it knew before, or by its own clock"
            ),
            Self::Unknown => "the server does not tell its time (its user may not run TIME): each \
                              instance goes by its own clock"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-16T16:00:00Z.
    const NOW_MS: i64 = 1_771_257_600_000;

    fn moment(own_ms: i64, monotonic_ms: u64) -> Moment {
        Moment { own_ms: NOW_MS + own_ms, monotonic_ms }
    }

    #[test]
    fn the_offset_changes_as_little_as_is_plausible() {
        // Offset before, round trip, the store's time less the own when it was sent; the offset then.
        let table = [
            // A clock that may be right is.
            (0, 0, 0, 0),
            (0, 100, 0, 0),
            (0, 100, 100, 0),
            (0, 100, 50, 0),
            // Beyond what the round trip explains: to the next end of it.
            (0, 100, 151, 51),
            (0, 100, -51, -51),
            (0, 0, 600_000, 600_000),
            (0, 0, -600_000, -600_000),
            (0, 4_000, 600_000, 596_000),
            // What was corrected stays where it is plausible, and else moves as little.
            (-600_000, 0, -600_000, -600_000),
            (-600_000, 300, -599_900, -600_000),
            (-600_000, 300, -599_500, -599_800),
            (596_000, 0, 600_000, 600_000),
            // A late answer leaves all open.
            (-600_000, 1_200_000, 0, -600_000),
            // A clock that was set right.
            (-600_000, 2, 1, -1),
        ];
        for (before, round_trip_ms, ahead_ms, after) in table {
            let offset = measured(before, NOW_MS, round_trip_ms, NOW_MS + ahead_ms);
            assert_eq!(offset, Ok(after), "{before}, {round_trip_ms}, {ahead_ms}");
        }
    }

    #[test]
    fn the_offset_is_never_further_off_than_the_round_trip() {
        for offset_ms in [-600_000, -1_000, -3, 0, 3, 1_000, 600_000] {
            for round_trip_ms in [0, 1, 2, 3, 99, 100, 2_000] {
                // The store may look at its clock at any moment in between.
                for at_ms in [0, round_trip_ms / 3, round_trip_ms / 2, round_trip_ms] {
                    let store_ms = NOW_MS + at_ms as i64 + offset_ms;
                    let found = measured(0, NOW_MS, round_trip_ms, store_ms).unwrap();
                    let wrong = found.abs_diff(offset_ms);
                    assert!(wrong <= round_trip_ms, "{offset_ms}, {round_trip_ms}, {at_ms}");
                    assert!(found.abs() <= offset_ms.abs(), "{offset_ms}, {round_trip_ms}");
                }
            }
        }
    }

    #[test]
    fn an_absurd_time_is_ignored_and_told_once() {
        let clock = StoreClock::new();
        let at = moment(0, 1_000);
        assert_eq!(clock.answered(at, at, Some(NOW_MS + 5_000)), None);
        let known = clock.offset_ms.get();
        assert_eq!(known, 5_000);
        for absurd in [i64::MIN, 0, STORE_MS_MIN - 1, STORE_MS_MAX + 1, i64::MAX] {
            assert_eq!(clock.answered(at, at, Some(absurd)), Some(AbsurdTime(absurd)));
            assert_eq!(clock.answered(at, at, Some(absurd)), None, "told once");
            assert_eq!(clock.offset_ms.get(), known);
            assert_eq!(clock.warning(), Some(ClockWarning::Absurd(AbsurdTime(absurd))));
            assert_eq!(clock.answered(at, at, Some(NOW_MS + 5_000)), None, "it is right again");
        }
        for sensible in [STORE_MS_MIN, STORE_MS_MAX] {
            assert!(measured(0, NOW_MS, 0, sensible).is_ok());
        }
    }

    #[test]
    fn own_times_that_cannot_be_do_no_harm() {
        for own_ms in [i64::MIN, 0, i64::MAX] {
            for round_trip_ms in [0, u64::MAX] {
                assert!(measured(0, own_ms, round_trip_ms, NOW_MS).is_ok(), "{own_ms}");
            }
        }
    }

    #[test]
    fn it_is_measured_again_after_a_minute_a_long_round_trip_or_a_step() {
        let clock = StoreClock::new();
        assert_eq!(clock.due(moment(0, 99_999)), Due::Nothing, "a store without a clock");
        let table = [
            (moment(-500, 500), Due::Nothing),
            (moment(10, 1_010), Due::Nothing),
            (moment(59_000, 60_000), Due::Nothing),
            (moment(60_010, 61_010), Due::Measure),
            (moment(59_800, 61_010), Due::Measure),
            (moment(9_000, 10_000), Due::Nothing),
            (moment(9_200, 10_000), Due::Nothing),
            (moment(10_100, 10_000), Due::MeasureFirst),
            (moment(7_900, 10_000), Due::MeasureFirst),
            (moment(609_000, 10_000), Due::MeasureFirst),
            (moment(-609_000, 90_000), Due::MeasureFirst),
        ];
        for (looked, due) in table {
            let clock = StoreClock::new();
            clock.answered(moment(0, 1_000), moment(10, 1_010), Some(NOW_MS));
            assert_eq!(clock.due(looked), due, "{looked:?}");
        }
        clock.answered(moment(0, 1_000), moment(600, 1_600), Some(NOW_MS));
        assert_eq!(clock.due(moment(1_100, 2_100)), Due::Measure, "the round trip was long");
        clock.answered(moment(0, 1_000), moment(-600_000, 1_010), Some(NOW_MS));
        assert_eq!(clock.due(moment(-599_500, 1_510)), Due::MeasureFirst, "it was set meanwhile");
        assert_eq!(clock.offset_ms.get(), 600_010, "time goes on as if nobody had set it");
        clock.unanswered(moment(-599_400, 1_610));
        assert_eq!(clock.due(moment(-599_400, 1_610)), Due::Nothing);
        assert_eq!(clock.due(moment(-598_900, 2_110)), Due::Measure);
    }

    #[test]
    fn a_store_that_stops_telling_its_time_is_asked_again_and_nothing_is_corrected_meanwhile() {
        let clock = StoreClock::new();
        clock.answered(moment(0, 0), moment(0, 0), Some(NOW_MS - 600_000));
        clock.answered(moment(60_000, 60_000), moment(60_000, 60_000), None);
        assert_eq!((clock.offset_ms.get(), clock.warning()), (0, Some(ClockWarning::Unknown)));
        assert_eq!(clock.due(moment(120_000, 120_000)), Due::Measure);
        clock.answered(moment(120_000, 120_000), moment(120_000, 120_000), Some(NOW_MS + 120_000));
        assert_eq!(clock.warning(), None);
    }

    #[test]
    fn more_than_half_a_second_is_warned_of_with_its_milliseconds() {
        let warning = |store_ms: Option<i64>| {
            let clock = StoreClock::new();
            clock.answered(moment(0, 0), moment(0, 0), store_ms.map(|ms| NOW_MS + ms));
            clock.warning()
        };
        assert_eq!(warning(Some(0)), None);
        assert_eq!((warning(Some(500)), warning(Some(-500))), (None, None));
        assert_eq!(warning(Some(-501)), Some(ClockWarning::Offset { offset_ms: -501 }));
        assert_eq!(warning(None), Some(ClockWarning::Unknown));
        let detail = warning(Some(-600_000)).map(|warning| warning.detail()).unwrap_or_default();
        assert!(detail.contains("is 600000 ms ahead of"), "{detail}");
        let detail = warning(Some(600_000)).map(|warning| warning.detail()).unwrap_or_default();
        assert!(detail.contains("is 600000 ms behind the"), "{detail}");
    }
}

//! Why a request got nothing, by code.

use edge::Problem;
use wallet::limits::Reached;
use wallet::packet;
use wallet::rain::Closed;

/// A normal answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody set up such a rain.
    UnknownRain,
    /// It gives nothing now.
    Closed(Closed),
    /// The rain's money is given.
    BudgetExhausted,
    /// The user gets awards of the rain's scene faster than they may; so many seconds until the next one.
    RateLimited(u32),
    /// The user has as many packets as one user may have.
    Limit(Reached),
    /// The number was used for another app.
    OrderNumberReused,
    /// Wallets have another currency.
    WrongCurrency,
    /// This cannot change any more.
    FieldFixed(&'static str),
    /// Another rain has this activity and scene, or had them.
    SceneTaken,
    /// More is out than that would allow.
    BudgetInUse,
    /// The counters of users would be gone before its end.
    LimitsEnd,
    /// It was over for so long that it is closed for good, with its name.
    Sealed,
    /// Somebody else published at the same time.
    PublishedMeanwhile,
    /// A group packet gave nothing.
    Packet(packet::Refusal),
}

/// Why an operation gave nothing.
pub type Failure = edge::Failure<Refusal>;

impl Refusal {
    /// Its status, code and sentence.
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::UnknownRain => (404, "unknown_rain", "nobody set up such a rain"),
            Self::Closed(Closed::Disabled) => (409, "disabled", "the rain is switched off"),
            Self::Closed(Closed::UnknownRound) => {
                (404, "unknown_round", "the rain has no such round")
            }
            Self::Closed(Closed::NotStarted) => (409, "not_started", "the round has not begun"),
            Self::Closed(Closed::Ended) => (409, "ended", "the round is over"),
            Self::BudgetExhausted => (409, "budget_exhausted", "the budget is spent"),
            Self::RateLimited(_) => {
                (429, "rate_limited", "the user gets awards of this scene too fast")
            }
            Self::Limit(Reached::User) => {
                (409, "user_limit", "the user has as many as one user may have")
            }
            Self::Limit(Reached::Round) => {
                (409, "round_limit", "the user has as many of the round as one user may have")
            }
            Self::OrderNumberReused | Self::Packet(packet::Refusal::OrderNumberReused) => {
                (422, "order_number_reused", "the number was used with another body")
            }
            Self::Packet(packet::Refusal::TooOld) => (
                422,
                "too_old",
                "it was sent too long ago to be paid for; send it under another number",
            ),
            Self::Packet(packet::Refusal::Forgotten) => {
                (422, "too_old", "it was ordered so long ago that what became of it is not kept")
            }
            Self::WrongCurrency => (409, "wrong_currency", "wallets have another currency"),
            Self::FieldFixed(_) => (409, "field_fixed", "this cannot change any more"),
            Self::SceneTaken => {
                (409, "scene_taken", "another rain has, or had, this activity and scene")
            }
            Self::BudgetInUse => (409, "budget_in_use", "more is given than that would allow"),
            Self::LimitsEnd => {
                (409, "limits_end", "users' packets are counted until 30 days after the first end")
            }
            Self::Sealed => (
                409,
                "sealed",
                "it was over for so long that it is closed for good; take another name",
            ),
            Self::PublishedMeanwhile => {
                (409, "published_meanwhile", "somebody else published at the same time")
            }
            Self::Packet(packet::Refusal::UnknownPacket) => {
                (404, "unknown_packet", "there is no such packet")
            }
            Self::Packet(packet::Refusal::Unpaid) => (409, "unpaid", "nobody has paid for it yet"),
            Self::Packet(packet::Refusal::Finished) => (409, "finished", "nothing is left in it"),
            Self::Packet(packet::Refusal::AlreadyOpened) => {
                (409, "already_opened", "the user has opened it")
            }
            Self::Packet(packet::Refusal::Expired) => (409, "expired", "its time is over"),
            Self::Packet(packet::Refusal::ExceedsBalance) => {
                (409, "exceeds_balance", "the sender has less than that")
            }
        }
    }

    /// Its stable code.
    pub fn code(self) -> &'static str {
        self.words().1
    }

    /// What it says to a person.
    pub fn detail(self) -> &'static str {
        self.words().2
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, detail) = refusal.words();
        let problem = Self::new(status, code, detail);
        match refusal {
            Refusal::RateLimited(seconds) => problem.after(seconds),
            Refusal::FieldFixed(field) => problem.about(field),
            Refusal::SceneTaken => problem.about("scene"),
            Refusal::LimitsEnd => problem.about("rounds"),
            Refusal::BudgetInUse => problem.about("budget"),
            Refusal::WrongCurrency => problem.about("currency"),
            Refusal::Packet(packet::Refusal::Forgotten) => problem.about("order_number"),
            _ => problem,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a group packet gave nothing.
pub fn of_packet(failure: packet::Failure) -> Failure {
    match failure {
        packet::Failure::Refused(refusal) => Failure::Refused(Refusal::Packet(refusal)),
        packet::Failure::Store(error) => Failure::Store(error),
    }
}

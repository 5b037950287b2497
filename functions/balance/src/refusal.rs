//! Why a request got nothing, by code.

use edge::Problem;
use wallet::token::TokenError;
use wallet::view::{RestoreError, WrongToken};
use wallet::withdraw;

/// When whoever is told `statements_limited` may ask again.
const RETRY_SECONDS: u32 = 300;

/// A normal answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number has not acted.
    UnknownOrder,
    /// Nobody asked for such a withdrawal.
    UnknownWithdrawal,
    /// A token that the client sent does not count.
    Token(WrongToken),
    /// The number was used for another amount.
    ExistsWithDifferentAmount,
    /// The number was used with another time or another end.
    OrderNumberReused,
    /// It was ordered so long ago that what became of it is not kept.
    TooOld,
    /// The user has less than that, or had when it was asked for.
    ExceedsBalance,
    /// The money left already.
    AlreadyPosted,
    /// The money came back already.
    AlreadyVoided,
    /// An operator has switched off all of a statement but its first two screens.
    StatementsLimited,
}

/// Why an operation gave nothing.
pub type Failure = edge::Failure<Refusal>;

impl Refusal {
    /// Its status, code and sentence.
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::UnknownOrder => (404, "unknown_order", "nothing is known under this number"),
            Self::UnknownWithdrawal => (404, "unknown_withdrawal", "nobody asked for it"),
            Self::Token(WrongToken { why, .. }) => {
                let detail = match why {
                    TokenError::Malformed(detail) => detail,
                    TokenError::UnknownKey => "the token was signed with an unknown key",
                    TokenError::KeyExpired => "the token was signed with a key that has ended",
                    TokenError::BadSignature => "the signature does not belong to the token",
                    TokenError::Foreign => "the token is another user's",
                };
                (422, why.code(), detail)
            }
            Self::ExistsWithDifferentAmount => (
                409,
                "exists_with_different_amount",
                "the number was used for a withdrawal of another amount",
            ),
            Self::OrderNumberReused => {
                (422, "order_number_reused", "the number was used with another body")
            }
            Self::TooOld => {
                (422, "too_old", "it was ordered so long ago that what became of it is not kept")
            }
            Self::ExceedsBalance => (
                409,
                "exceeds_balance",
                "the user had less than that; the refusal stands for this number",
            ),
            Self::AlreadyPosted => (409, "already_posted", "the money left already"),
            Self::AlreadyVoided => (409, "already_voided", "the withdrawal was voided"),
            Self::StatementsLimited => (
                503,
                "statements_limited",
                "only the first two screens of a statement are shown now; the rest comes back",
            ),
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

    /// The field at fault, where one is.
    pub fn field(self) -> Option<String> {
        match self {
            Self::Token(WrongToken { index, .. }) => Some(format!("tokens[{index}]")),
            Self::TooOld => Some("withdrawal_number".to_owned()),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, detail) = refusal.words();
        let problem = Self::new(status, code, detail);
        match refusal {
            Refusal::StatementsLimited => problem.after(RETRY_SECONDS),
            _ => match refusal.field() {
                Some(field) => problem.about(field),
                None => problem,
            },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<withdraw::Refusal> for Refusal {
    fn from(refusal: withdraw::Refusal) -> Self {
        match refusal {
            withdraw::Refusal::ExistsWithDifferentAmount => Self::ExistsWithDifferentAmount,
            withdraw::Refusal::ExceedsBalance => Self::ExceedsBalance,
            withdraw::Refusal::AlreadyPosted => Self::AlreadyPosted,
            withdraw::Refusal::AlreadyVoided => Self::AlreadyVoided,
            withdraw::Refusal::OrderNumberReused => Self::OrderNumberReused,
            withdraw::Refusal::TooOld => Self::TooOld,
            withdraw::Refusal::NotFound => Self::UnknownWithdrawal,
        }
    }
}

/// Why a withdrawal gave nothing.
pub fn of_withdrawal(failure: withdraw::Failure) -> Failure {
    match failure {
        withdraw::Failure::Refused(refusal) => Failure::Refused(refusal.into()),
        withdraw::Failure::Store(error) => Failure::Store(error),
    }
}

/// Why tokens were not put back.
pub fn of_restoring(error: RestoreError) -> Failure {
    match error {
        RestoreError::Wrong(wrong) => Failure::Refused(Refusal::Token(wrong)),
        RestoreError::Store(error) => Failure::Store(error),
    }
}

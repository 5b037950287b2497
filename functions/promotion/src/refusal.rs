//! Why a request got nothing: refusals are normal answers of the business, each with a stable code.

use edge::Problem;

/// A refusal. Nothing was changed, unless the case says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such activity; the field that names it.
    UnknownActivity(String),
    /// The activity has no draft.
    UnknownDraft,
    /// The draft is of another version by now.
    NotTheDraft,
    /// The draft has no list of SKUs, or none with so many parts.
    UnknownPart,
    /// The part was sent with other SKUs before.
    PartDiffers,
    /// So many parts of so many are there.
    Incomplete(u64, u32),
    /// The key has as many activities as one may have.
    TooManyActivities(String),
    /// Others publish for the same keys all the time.
    PublishedMeanwhile,
    /// A purchase limit is used up; the field of the use.
    LimitUsedUp(String),
    /// The activity has not begun; the field that names it.
    NotStarted(String),
    /// The activity is over; the field that names it.
    Ended(String),
    /// The activity is switched off; the field that names it.
    Disabled(String),
    /// The number was used for something else.
    OrderNumberReused,
    /// What the order took was given back.
    GivenBack,
    /// Nothing is known under this order number.
    UnknownOrder,
    /// The user's record is full.
    TooManyLimits,
    /// It was ordered so long ago that what became of it is not kept, or cannot be given back any more.
    TooOld,
    /// The activity is over for so long that it is sealed.
    Sealed,
}

impl Refusal {
    /// Its status, code and sentence.
    fn words(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::UnknownActivity(_) => (404, "unknown_activity", "there is no such activity"),
            Self::UnknownDraft => (404, "unknown_draft", "the activity has no draft"),
            Self::NotTheDraft => (409, "not_the_draft", "the draft is of another version"),
            Self::UnknownPart => (404, "unknown_part", "the draft's list has no such part"),
            Self::PartDiffers => (
                409,
                "part_differs",
                "the part was sent with other SKUs; a new list has a new name",
            ),
            Self::Incomplete(..) => (409, "incomplete", "parts of the list of SKUs are missing"),
            Self::TooManyActivities(_) => {
                (409, "too_many_activities", "a key has as many activities as one may have")
            }
            Self::PublishedMeanwhile => {
                (409, "published_meanwhile", "somebody else published at the same time")
            }
            Self::LimitUsedUp(_) => (409, "limit_used_up", "a purchase limit is used up"),
            Self::NotStarted(_) => (409, "not_started", "the activity has not begun"),
            Self::Ended(_) => (409, "ended", "the activity is over"),
            Self::Disabled(_) => (409, "disabled", "the activity is switched off"),
            Self::OrderNumberReused => {
                (422, "order_number_reused", "the number was used with another body")
            }
            Self::GivenBack => (409, "given_back", "what the order took was given back"),
            Self::UnknownOrder => (404, "unknown_order", "nothing is known under this number"),
            Self::TooManyLimits => {
                (409, "too_many_limits", "the user has used as many activities as one may")
            }
            Self::TooOld => (
                422,
                "too_old",
                "it was ordered so long ago that what became of it is not kept, or is kept for good",
            ),
            Self::Sealed => {
                (409, "sealed", "the activity is over for good; a new one has a new name")
            }
        }
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.words().1
    }

    /// What it says to a person.
    pub fn detail(&self) -> String {
        let detail = self.words().2;
        match self {
            Self::Incomplete(received, parts) => {
                format!("{detail}: {received} of {parts} are there")
            }
            Self::TooManyActivities(key) => format!("{detail}: {key:.80}"),
            _ => detail.to_owned(),
        }
    }

    /// The field at fault.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownActivity(field)
            | Self::LimitUsedUp(field)
            | Self::NotStarted(field)
            | Self::Ended(field)
            | Self::Disabled(field) => Some(field),
            Self::NotTheDraft => Some("version"),
            Self::TooOld => Some("order_number"),
            Self::Sealed => Some("activity"),
            Self::PartDiffers => Some("skus"),
            Self::UnknownPart => Some("part"),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, _) = refusal.words();
        let problem = Self::new(status, code, refusal.detail());
        match refusal.field() {
            Some(field) => problem.about(field),
            None => problem,
        }
    }
}

/// Why an operation gave nothing.
pub type Failure = edge::Failure<Refusal>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

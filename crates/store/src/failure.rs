//! Why an operation gave nothing, below HTTP.

use domain::error::InvalidInput;
use domain::transaction::CommitError;

/// Why an operation gave nothing. `R` are the function's refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<R> {
    /// An argument is at fault.
    Invalid(InvalidInput),
    /// A normal answer of the business.
    Refused(R),
    /// The store's failure: asking again is safe.
    Store(CommitError),
}

impl<R> From<InvalidInput> for Failure<R> {
    fn from(error: InvalidInput) -> Self {
        Self::Invalid(error)
    }
}

impl<R> From<CommitError> for Failure<R> {
    fn from(error: CommitError) -> Self {
        Self::Store(error)
    }
}

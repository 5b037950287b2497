//! Answer -> wire.

use edge::{Answer, Problem};

use crate::parse::MarkBody;

/// Whether a user is marked.
///
/// # Errors
/// It cannot be written as JSON.
pub fn mark(marked: bool) -> Result<Answer, Problem> {
    Answer::json(&MarkBody { marked })
}

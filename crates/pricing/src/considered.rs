//! An activity as an evaluation is given it.

use crate::activity::Activity;

/// An activity, and the lines that it selects where an index has told already.
#[derive(Clone, Debug)]
pub struct Considered<'a> {
    /// The activity.
    pub activity: &'a Activity,
    /// Whether it selects a line, one answer a line in the order of the cart. `None`: that follows
    /// from the products that it names.
    pub selected: Option<Vec<bool>>,
}

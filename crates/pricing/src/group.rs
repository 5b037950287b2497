//! The selected lines as units: by scope, those that share a key.

use std::ops::Range;

use crate::activity::Activity;
use crate::lines::Lines;

/// The units of one activity.
pub(crate) struct Units<'a> {
    /// The lines of all units, unit after unit, within a unit by id.
    pub members: Vec<u8>,
    /// The units, by key.
    pub units: Vec<Unit<'a>>,
}

/// Lines that are counted together.
pub(crate) struct Unit<'a> {
    /// What they share; for scope `activity` the activity's id.
    pub key: &'a str,
    /// Their places in `members`.
    pub range: Range<usize>,
}

/// Groups the lines that `selected` answers with yes. A line without a key of the scope's kind takes
/// no part.
pub(crate) fn group<'a>(activity: &'a Activity, selected: &[bool], lines: &Lines<'a>) -> Units<'a> {
    let is_selected = |line: &u8| selected[usize::from(*line)];
    let Some(kind) = activity.scope.kind() else {
        // At most 200 lines: an index fits.
        let members: Vec<u8> = (0..lines.len()).map(|l| l as u8).filter(is_selected).collect();
        let range = 0..members.len();
        let some = !members.is_empty();
        let units = some.then_some(Unit { key: &activity.id, range }).into_iter().collect();
        return Units { members, units };
    };
    let ranks = lines.ranks(kind);
    let members: Vec<u8> = ranks.order.iter().copied().filter(is_selected).collect();
    let rank = |line: u8| ranks.of_line[usize::from(line)];
    let mut units: Vec<Unit<'_>> = Vec::with_capacity(ranks.names.len().min(members.len()));
    let mut start = 0;
    for run in members.chunk_by(|a, b| rank(*a) == rank(*b)) {
        let key = ranks.names[usize::from(rank(run[0]))];
        units.push(Unit { key, range: start..start + run.len() });
        start += run.len();
    }
    Units { members, units }
}

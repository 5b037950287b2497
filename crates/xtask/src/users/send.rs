//! Checks a file of ids, then sends it part by part.

use std::io::BufRead;

use anyhow::bail;
use domain::ids::UserId;

use super::ids::{Line, Lines};
use super::progress::Progress;

/// Users in a request: the app takes no more.
pub const PART_USERS_MAX: usize = 1_000;

/// Bad lines that an error names; the others are only counted.
const BAD_LINES_SHOWN_MAX: usize = 10;

/// How often the check reports how far it is.
const LINES_PER_REPORT: u64 = 65_536;

/// Checks every line that is still to be sent, so that nothing is sent of a file that is wrong, and
/// returns the number of users. The reader stands where `progress` says.
///
/// # Errors
/// When a line is bad, with the numbers of the first such lines; when the file cannot be read.
pub fn check(
    reader: impl BufRead,
    progress: &Progress,
    mut report: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let mut lines = Lines::behind(reader, progress.offset, progress.line);
    let (mut users, mut bad, mut shown) = (0, 0_u64, Vec::new());
    while let Some(line) = lines.next_line()? {
        match line {
            Line::User(_) => users += 1,
            Line::Nothing => {}
            Line::Bad(text) => {
                bad += 1;
                if shown.len() < BAD_LINES_SHOWN_MAX {
                    shown.push(format!("line {}: `{text}` is no id", lines.number));
                }
            }
        }
        if lines.number.is_multiple_of(LINES_PER_REPORT) {
            report(lines.offset);
        }
    }
    if bad > 0 {
        bail!("nothing was sent: {bad} bad lines\n{}", shown.join("\n"));
    }
    Ok(users)
}

/// Gives what is still to be sent to `part`; after each part that was acknowledged, `acknowledged` gets
/// the progress, to keep it. The reader stands where `progress` says.
///
/// # Errors
/// The first error of `part` or of `acknowledged`; when the file cannot be read or a line is bad.
pub fn send(
    reader: impl BufRead,
    progress: &mut Progress,
    mut part: impl FnMut(&[UserId]) -> anyhow::Result<()>,
    mut acknowledged: impl FnMut(&Progress) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut lines = Lines::behind(reader, progress.offset, progress.line);
    let mut users = Vec::with_capacity(PART_USERS_MAX);
    loop {
        let line = lines.next_line()?;
        let end = line.is_none();
        match line {
            Some(Line::User(user)) => users.push(user),
            Some(Line::Bad(text)) => {
                bail!("line {}: `{text}` is no id; the file was changed", lines.number)
            }
            Some(Line::Nothing) | None => {}
        }
        if users.len() == PART_USERS_MAX || end {
            if !users.is_empty() {
                part(&users)?;
            }
            progress.users += users.len() as u64;
            (progress.offset, progress.line) = (lines.offset, lines.number);
            acknowledged(progress)?;
            users.clear();
        }
        if end {
            return Ok(());
        }
    }
}

//! A file of users, sent to an app part by part: what [`import`](crate::import) and
//! [`bulk`](crate::bulk) have in common.
//!
//! - [`ids`]: reads the file, line by line
//! - [`progress`]: how far it was sent, beside the file
//! - [`send`](mod@send): checks the file, then sends it part by part
//!
//! The file may have a hundred million lines: nothing here holds more than one part. What the app does
//! with a part it may do again without harm, so that sending may be stopped at any moment, by Ctrl-C or
//! by a crash, and goes on behind the last part that was acknowledged. A part that was sent and not
//! acknowledged is sent again with the same users.

pub mod ids;
pub mod progress;
pub mod send;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::ids::UserId;
use indicatif::{ProgressBar, ProgressStyle};

use progress::{Fingerprint, Progress};
pub use send::{PART_USERS_MAX, check, send};

/// A file, and where its users are to go.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// One id a line.
    pub file: PathBuf,
    /// To which app, and what for: what one has acknowledged another one has not.
    pub target: String,
    /// Where progress is kept.
    pub progress: PathBuf,
    /// More are refused before any is sent.
    pub users_max: u64,
}

impl Delivery {
    /// Sends what was not sent yet; `part` sends up to [`PART_USERS_MAX`] users, and returns when all is
    /// done with them.
    ///
    /// # Errors
    /// When a line is wrong, there are too many users, the file has changed since it was begun, or a
    /// part is not acknowledged; some of its users may be done then.
    pub fn run(
        &self,
        part: impl FnMut(&[UserId]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Progress> {
        let in_file = || self.file.display().to_string();
        let mut file = File::open(&self.file).with_context(in_file)?;
        let fingerprint = Fingerprint::of(&mut file).with_context(in_file)?;
        let mut progress = self.begin(&fingerprint)?;

        let bar = bar(fingerprint.bytes, "checking")?;
        let mut reader = BufReader::new(file);
        progress.seek(&mut reader)?;
        let users = check(&mut reader, &progress, |offset| bar.set_position(offset))
            .with_context(in_file)?;
        bar.finish_and_clear();
        let (all, most) = (progress.users + users, self.users_max);
        if all > most {
            bail!("{}: {all} users are more than {most}; divide the file", in_file());
        }
        println!("{}: {users} users to send, in parts of {PART_USERS_MAX}", in_file());

        let bar = self::bar(fingerprint.bytes, "sending")?;
        progress.seek(&mut reader)?;
        send(&mut reader, &mut progress, part, |progress| {
            bar.set_position(progress.offset);
            progress.save(&self.progress)
        })
        .with_context(|| format!("stopped; run again to go on behind line {}", progress.line))?;
        bar.finish_and_clear();
        Ok(progress)
    }

    fn begin(&self, fingerprint: &Fingerprint) -> anyhow::Result<Progress> {
        let Some(begun) = Progress::load(&self.progress)? else {
            return Ok(Progress::new(fingerprint.clone(), &self.target));
        };
        let progress = begun.belongs_to(fingerprint, &self.target, &self.progress)?;
        println!("going on behind line {}: {} users are done", progress.line, progress.users);
        Ok(progress)
    }
}

fn bar(bytes: u64, verb: &'static str) -> anyhow::Result<ProgressBar> {
    let template = "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).context("progress style")?;
    Ok(ProgressBar::new(bytes).with_style(style).with_message(verb))
}

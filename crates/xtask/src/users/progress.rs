//! How far a file was sent, kept beside it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Hashed at each end of the file. A hundred million lines are not read again only to see that they
/// are the same; a file that grew, shrank or was exported anew differs in its size or at its ends.
const HASHED_BYTES: u64 = 65_536;

/// What tells one file of ids from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-1 of its first and its last bytes, in hex. Against mistakes, not against an attacker.
    pub ends_sha1: String,
}

impl Fingerprint {
    /// Reads both ends of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: &mut (impl Read + Seek)) -> std::io::Result<Self> {
        let bytes = file.seek(SeekFrom::End(0))?;
        let mut sha1 = sha1_smol::Sha1::new();
        for start in [0, bytes.saturating_sub(HASHED_BYTES)] {
            file.seek(SeekFrom::Start(start))?;
            let mut end = Vec::new();
            file.take(HASHED_BYTES).read_to_end(&mut end)?;
            sha1.update(&end);
        }
        Ok(Self { bytes, ends_sha1: sha1.digest().to_string() })
    }
}

/// How far a file was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The app that it goes to, and what for: what one has acknowledged another one has not.
    pub target: String,
    /// The file that it comes from.
    pub file: Fingerprint,
    /// Bytes up to the end of the last line that was acknowledged.
    pub offset: u64,
    /// Number of that line, from 1.
    pub line: u64,
    /// Users that were acknowledged.
    pub users: u64,
}

impl Progress {
    /// Of a file of which nothing was sent.
    #[must_use]
    pub fn new(file: Fingerprint, target: &str) -> Self {
        Self { target: target.to_owned(), file, offset: 0, line: 0, users: 0 }
    }

    /// Reads the progress of a file of which something was sent.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| {
                format!("{}: not the progress of a file; remove it to begin anew", path.display())
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Checks that it is the progress of this file, to this target.
    ///
    /// # Errors
    /// When it is another one's.
    pub fn belongs_to(self, file: &Fingerprint, target: &str, path: &Path) -> anyhow::Result<Self> {
        let path = path.display();
        if self.file != *file {
            bail!("the file has changed since it was begun; remove {path} to begin anew");
        }
        if self.target != target {
            bail!("{path} belongs to {}; remove it to begin anew", self.target);
        }
        if self.offset > file.bytes {
            bail!("{path} says that more was sent than the file holds; remove it to begin anew");
        }
        Ok(self)
    }

    /// Moves the reader behind the last line that was acknowledged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seek(&self, reader: &mut impl Seek) -> std::io::Result<()> {
        reader.seek(SeekFrom::Start(self.offset)).map(drop)
    }

    /// Writes it atomically: whenever the power fails, either the old or the new one is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("progress.new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()?;
            std::fs::rename(&new, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Where the progress of a file is kept: `ids.txt.progress` beside `ids.txt`, with the names of what it
/// is sent for before the ending.
#[must_use]
pub fn path(file: &Path, names: &[&str]) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    for name in names.iter().chain(&["progress"]) {
        path.push(".");
        path.push(name);
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn fingerprint(bytes: &[u8]) -> Fingerprint {
        Fingerprint::of(&mut Cursor::new(bytes)).expect("fingerprint")
    }

    #[test]
    fn another_size_or_other_ends_are_another_file() {
        let mut file = vec![b'1'; 200_000];
        let original = fingerprint(&file);
        assert_eq!(fingerprint(&file), original);
        for changed in [0, 65_535, 199_999] {
            file[changed] = b'2';
            assert_ne!(fingerprint(&file), original, "byte {changed}");
            file[changed] = b'1';
        }
        file.push(b'\n');
        assert_ne!(fingerprint(&file), original);
        assert_ne!(fingerprint(b""), fingerprint(b"1"));
    }

    #[test]
    fn is_read_as_it_was_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("folder");
        let file = path(&folder.path().join("ids.txt"), &[]);
        assert_eq!(Progress::load(&file).expect("nothing"), None);
        let progress = Progress { users: 7, ..Progress::new(fingerprint(b"1"), "http://app") };
        progress.save(&file).expect("first");
        progress.save(&file).expect("over the first");
        assert_eq!(Progress::load(&file).expect("progress"), Some(progress));
        std::fs::write(&file, "{}").expect("write");
        assert!(Progress::load(&file).is_err());
    }

    #[test]
    fn another_app_is_refused() {
        let progress = Progress::new(fingerprint(b"1"), "http://staging");
        let result = progress.belongs_to(&fingerprint(b"1"), "http://live", Path::new("p"));
        assert!(result.is_err());
    }
}

//! `cargo xtask export`: what the store holds of a day, as JSON Lines, before it is collected.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::http;

/// Writes what the app's store holds of a day, a record a line.
///
/// The file is whole, or there is none: it is written beside its place and moved there at the end.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the app runs.
    #[arg(long)]
    url: String,
    /// The operator's token.
    #[arg(long, env = "HONGBAO_OPERATOR_TOKEN", hide_env_values = true)]
    token: String,
    /// The day, in UTC: `2026-11-27`.
    #[arg(long)]
    day: String,
    /// Where to write it.
    #[arg(long)]
    file: PathBuf,
}

/// The app, as an export needs it: over HTTP, or in the process of a test.
pub trait Client {
    /// A page of a day, behind a cursor: `{"records": [...], "unreadable": "0", "cursor"?}`.
    ///
    /// # Errors
    /// When the app does not give it.
    fn export(&mut self, day: &str, cursor: Option<&str>) -> anyhow::Result<Value>;
}

impl Client for http::Client {
    fn export(&mut self, day: &str, cursor: Option<&str>) -> anyhow::Result<Value> {
        http::Client::export(self, day, cursor)
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Records that cannot be read, and are not in the file.
    pub unreadable: u64,
}

/// Writes the file, and says what is in it.
///
/// # Errors
/// When the app does not answer, the file cannot be written, or a record cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut client = http::Client::new(&arguments.url, &arguments.token)?;
    let written = export(&mut client, &arguments.day, &arguments.file)?;
    println!("{} records in {}", written.records, arguments.file.display());
    if written.unreadable > 0 {
        bail!("{} records cannot be read; reconciliation names them", written.unreadable);
    }
    Ok(())
}

/// Writes a day into a file.
///
/// # Errors
/// As [`run`], but for records that cannot be read.
pub fn export(client: &mut impl Client, day: &str, path: &Path) -> anyhow::Result<Written> {
    let beside = path.with_added_extension("part");
    let file =
        File::create(&beside).with_context(|| format!("cannot write {}", beside.display()))?;
    let (mut file, mut written) = (BufWriter::new(file), Written::default());
    let mut cursor: Option<String> = None;
    loop {
        let page = client.export(day, cursor.as_deref())?;
        let records = page["records"].as_array().context("an answer without records")?;
        for record in records {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        written.records += records.len() as u64;
        let unreadable = page["unreadable"].as_str().and_then(|count| count.parse::<u64>().ok());
        written.unreadable += unreadable.context("an answer without a count")?;
        match page.get("cursor") {
            None => break,
            Some(next) => cursor = Some(next.as_str().context("a cursor is a text")?.to_owned()),
        }
    }
    let file = file.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Pages(Vec<Value>);

    impl Client for Pages {
        fn export(&mut self, day: &str, cursor: Option<&str>) -> anyhow::Result<Value> {
            assert_eq!(day, "2026-11-27");
            let index = cursor.map_or(0, |cursor| cursor.parse().expect("a number"));
            self.0.get(index).cloned().context("the app does not answer")
        }
    }

    #[test]
    fn pages_become_lines_and_the_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.jsonl");
        let page = |records: Value, unreadable: &str, cursor: Option<&str>| {
            let mut page = json!({"records": records, "unreadable": unreadable});
            if let Some(cursor) = cursor {
                page["cursor"] = json!(cursor);
            }
            page
        };
        let first = page(json!([{"kind": "entry", "user": "7"}]), "0", Some("1"));
        let mut broken = Pages(vec![first.clone()]);
        assert!(export(&mut broken, "2026-11-27", &path).is_err());
        assert!(!path.exists());
        let mut whole = Pages(vec![first, page(json!([{"kind": "packet"}]), "2", None)]);
        let written = export(&mut whole, "2026-11-27", &path).unwrap();
        assert_eq!(written, Written { records: 2, unreadable: 2 });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"kind\":\"entry\",\"user\":\"7\"}\n{\"kind\":\"packet\"}\n");
    }
}

//! A batch stops and goes on: against a client in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use anyhow::bail;
use clap::Parser;

const URL: &str = "http://127.0.0.1:1";

/// Issues so many parts, then fails for ever. Keeps the tally of a part by its users, as the app does.
#[derive(Default)]
struct Memory {
    parts_left: usize,
    /// What fails was done all the same, and only the reply was lost.
    replies_lost: bool,
    issued: BTreeSet<(String, UserId)>,
    parts: BTreeMap<Vec<UserId>, u64>,
}

impl Client for Memory {
    fn issue(&mut self, batch: &Batch, users: &[UserId]) -> anyhow::Result<()> {
        assert!(!users.is_empty() && users.len() <= PART_USERS_MAX);
        if self.parts_left > 0 || self.replies_lost {
            self.issued.extend(users.iter().map(|user| (batch.batch.clone(), *user)));
            self.parts.insert(users.to_vec(), users.len() as u64);
        }
        if self.parts_left == 0 {
            bail!("the app is away");
        }
        self.parts_left -= 1;
        Ok(())
    }

    fn tally(&mut self, _: &Batch) -> anyhow::Result<Tally> {
        let users = self.parts.values().sum();
        let parts = self.parts.len() as u64;
        Ok(Tally { parts, users, issued: users, ..Tally::default() })
    }
}

fn batch(name: &str) -> Batch {
    Batch { template: "spring-15".to_owned(), batch: name.to_owned() }
}

fn write_ids(path: &Path, ids: std::ops::Range<u64>) {
    let lines: Vec<String> = ids.map(|id| format!("{id}\n")).collect();
    std::fs::write(path, format!("user_id\n{}", lines.concat())).expect("ids");
}

#[test]
fn a_part_that_is_sent_again_is_the_same_part() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    write_ids(&file, 0..3_500);
    for parts_left in 0..4 {
        for replies_lost in [false, true] {
            let mut client = Memory { parts_left, replies_lost, ..Memory::default() };
            assert!(issue(&file, URL, &batch("may"), &mut client).is_err());
            client.parts_left = usize::MAX;
            let done = issue(&file, URL, &batch("may"), &mut client).expect("the rest");
            assert_eq!((done.users, client.issued.len()), (3_500, 3_500));
            let tally = client.tally(&batch("may")).expect("tally");
            assert_eq!((tally.parts, tally.users), (4, 3_500));
            std::fs::remove_file(progress_of(&file, "may")).expect("begin anew");
        }
    }
}

fn progress_of(file: &Path, name: &str) -> PathBuf {
    progress::path(file, &["spring-15", name])
}

#[test]
fn batches_of_one_file_have_a_progress_each() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    write_ids(&file, 0..10);
    let mut client = Memory { parts_left: usize::MAX, ..Memory::default() };
    for name in ["may", "june", "may"] {
        issue(&file, URL, &batch(name), &mut client).expect(name);
        assert!(progress_of(&file, name).exists());
    }
    assert_eq!(client.issued.len(), 20);
    let error =
        issue(&file, "http://elsewhere", &batch("may"), &mut client).expect_err("elsewhere");
    assert!(error.to_string().contains("batch may of spring-15"), "{error}");
}

#[test]
fn more_users_than_a_batch_may_have_are_refused_before_any_is_sent() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    let mut client = Memory::default();
    write_ids(&file, 0..1_023_001);
    let error = issue(&file, URL, &batch("may"), &mut client).expect_err("too many");
    assert!(error.to_string().contains("1023001 users are more than 1023000"), "{error}");
    assert!(client.issued.is_empty());
}

#[test]
fn names_that_would_leave_the_path_are_refused() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bulk: Arguments,
    }
    let parse = |name: &str| {
        let line = ["bulk", "--url", URL, "--token", "t", "--file", "f"];
        Line::try_parse_from(line.iter().chain(&["--template", "spring-15", "--batch", name]))
    };
    assert_eq!(parse("may").expect("arguments").bulk.batch.batch, "may");
    for name in ["", "../x", "May", "a b"] {
        assert!(parse(name).is_err(), "{name}");
    }
}

//! An import stops and goes on: against a client in memory, and over HTTP.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use super::*;
use crate::users::PART_USERS_MAX;
use anyhow::bail;

const URL: &str = "http://127.0.0.1:1";

/// Acknowledges so many batches, then fails for ever.
struct Memory {
    batches_left: usize,
    batches: usize,
    marked: BTreeSet<UserId>,
}

impl Memory {
    fn with_batches(batches_left: usize) -> Self {
        Self { batches_left, batches: 0, marked: BTreeSet::new() }
    }
}

impl Client for Memory {
    fn mark_paid(&mut self, users: &[UserId]) -> anyhow::Result<()> {
        assert!(!users.is_empty() && users.len() <= PART_USERS_MAX);
        // What fails may have marked some all the same.
        self.marked.extend(&users[..users.len() / 2]);
        if self.batches_left == 0 {
            bail!("the app is away");
        }
        self.batches_left -= 1;
        self.batches += 1;
        self.marked.extend(users);
        Ok(())
    }
}

fn write_ids(path: &Path, ids: std::ops::Range<u64>) {
    let lines: Vec<String> = ids.map(|id| format!("{id}\n")).collect();
    std::fs::write(path, format!("user_id\n# by hand\n{}", lines.concat())).expect("ids");
}

#[test]
fn goes_on_behind_the_last_acknowledged_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    write_ids(&file, 0..4_500);
    for acknowledged in 0..5 {
        let mut first = Memory::with_batches(acknowledged);
        assert!(import(&file, URL, &mut first).is_err());
        let kept = Progress::load(&progress::path(&file, &[])).expect("progress");
        assert_eq!(kept.map_or(0, |kept| kept.users), 1_000 * acknowledged as u64);

        let mut second = Memory::with_batches(usize::MAX);
        let done = import(&file, URL, &mut second).expect("import");
        assert_eq!((done.users, done.line), (4_500, 4_502));
        assert_eq!(second.batches, 5 - acknowledged, "batches are sent again");
        let marked: BTreeSet<_> = first.marked.union(&second.marked).copied().collect();
        assert_eq!(marked, (0..4_500).map(UserId).collect());

        let mut third = Memory::with_batches(0);
        assert_eq!(import(&file, URL, &mut third).expect("nothing to do").users, 4_500);
        std::fs::remove_file(progress::path(&file, &[])).expect("begin anew");
    }
}

#[test]
fn a_file_that_changed_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    write_ids(&file, 0..2_500);
    assert!(import(&file, URL, &mut Memory::with_batches(1)).is_err());
    write_ids(&file, 0..2_501);
    let mut client = Memory::with_batches(usize::MAX);
    let error = import(&file, URL, &mut client).expect_err("changed");
    assert!(error.to_string().contains("changed"), "{error}");
    assert_eq!(client.batches, 0);
}

#[test]
fn nothing_is_sent_of_a_file_with_bad_lines() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    std::fs::write(&file, format!("{}x1\n{}-1\n", "1\n".repeat(2_000), "2\n".repeat(10)))
        .expect("ids");
    let mut client = Memory::with_batches(usize::MAX);
    let error = format!("{:#}", import(&file, URL, &mut client).expect_err("bad lines"));
    assert!(error.contains("line 2001: `x1`") && error.contains("line 2012: `-1`"), "{error}");
    assert_eq!(client.marked, BTreeSet::new());
    assert!(!progress::path(&file, &[]).exists());
}

#[test]
fn an_empty_file_is_an_import_of_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    std::fs::write(&file, "").expect("ids");
    let done = import(&file, URL, &mut Memory::with_batches(0)).expect("import");
    assert_eq!(done.users, 0);
}

/// Over HTTP: busy once, then one batch acknowledged, then a token that is no longer good; the second
/// run sends the rest and declares the import complete.
#[test]
fn over_http_retries_stops_and_goes_on() {
    let busy = "503 Service Unavailable\r\nretry-after: 0";
    let done = "204 No Content";
    let answers = [busy, done, "401 Unauthorized", done, done, "200 OK"];
    let (url, server) = serve(&answers);
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("ids.txt");
    write_ids(&file, 0..2_100);
    let arguments = |complete| Arguments {
        url: url.clone(),
        token: "operator".to_owned(),
        file: file.clone(),
        complete,
    };
    let error = format!("{:#}", run(&arguments(true)).expect_err("unauthorized"));
    assert!(error.contains("behind line 1002") && error.contains("401"), "{error}");
    run(&arguments(true)).expect("the rest");

    let mark = "POST /v1/users/mark-paid HTTP/1.1";
    let expected = [
        (mark, 1_000, 0),
        (mark, 1_000, 0),
        (mark, 1_000, 1_000),
        (mark, 1_000, 1_000),
        (mark, 100, 2_000),
        ("PUT /v1/users/import HTTP/1.1", 0, 0),
    ];
    let requests = server.join().expect("server");
    assert_eq!(requests.len(), expected.len());
    for ((line, body), (expected_line, users, first)) in requests.iter().zip(expected) {
        assert_eq!(line, expected_line);
        let body: serde_json::Value = serde_json::from_str(body).expect("json");
        if users == 0 {
            assert_eq!(body, serde_json::json!({"complete": true}));
        } else {
            let sent = body["users"].as_array().expect("users");
            assert_eq!((sent.len(), &sent[0]), (users, &first.to_string().into()));
        }
    }
}

/// A server that gives these answers, one a connection, and returns what it was asked.
fn serve(answers: &[&str]) -> (String, thread::JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let server = thread::spawn(move || {
        answers
            .iter()
            .map(|answer| {
                let (stream, _) = listener.accept().expect("connection");
                let mut reader = BufReader::new(&stream);
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("head");
                    if line.trim().is_empty() {
                        break;
                    }
                    lines.push(line.trim().to_lowercase());
                }
                assert!(lines.contains(&"authorization: bearer operator".to_owned()));
                let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.and_then(|text| text.parse().ok()).expect("length")];
                reader.read_exact(&mut body).expect("body");
                let head =
                    format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                (&stream).write_all(head.as_bytes()).expect("answer");
                let line = lines[0].to_uppercase();
                let line = line.replace("/V1/USERS/MARK-PAID", "/v1/users/mark-paid");
                (
                    line.replace("/V1/USERS/IMPORT", "/v1/users/import"),
                    String::from_utf8(body).expect("utf-8"),
                )
            })
            .collect()
    });
    (url, server)
}

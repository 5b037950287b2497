//! Every kind of record, and the table of their lives in ARCHITECTURE.md, which is made from the declarations.

use std::fmt::Write as _;

use store::life::{Life, Shape};

/// In front of the table.
const BEGIN: &str = "<!-- lives: cargo xtask simulate --write-lives -->\n";
/// Behind it.
const END: &str = "<!-- end of lives -->";

/// Every kind of record there is.
pub fn lives() -> impl Iterator<Item = &'static Life> {
    [
        binding::layout::LIVES,
        domain::paid::LIVES,
        coupons::lives::LIVES,
        coupons::seal::LIVES,
        coupons::settling::LIVES,
        purchases::records::LIVES,
        promotion::records::LIVES,
        wallet::lives::LIVES,
        wallet::seal::LIVES,
        store::life::LIVES,
    ]
    .into_iter()
    .flatten()
}

/// The kind of a record, by its name and by what it may be: of those that match, the one with the longest beginning.
///
/// # Panics
/// No life is declared for it, or more than one.
pub fn kind_of(name: &str, shapes: &[Shape]) -> &'static str {
    let beginning = |name: &str| match name.split_once('<') {
        Some((beginning, _)) => beginning.len(),
        None => usize::MAX,
    };
    let of = lives().filter(|life| shapes.contains(&life.shape) && life.matches(name));
    let mut of: Vec<_> = of.map(|life| (beginning(life.name), life.name)).collect();
    of.sort_unstable();
    match of.as_slice() {
        [.., (other, _), (one, _)] if one == other => panic!("{name} is of more kinds: {of:?}"),
        [.., (_, one)] => one,
        [] => panic!("no life is declared for the record {name}"),
    }
}

/// The table, as Markdown.
fn table() -> String {
    let mut table =
        "| record | what | written by | acts | ends |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for Life { name, what, written_by, acts, ends, .. } in lives() {
        let _ = writeln!(table, "| `{name}` | {what} | {written_by} | {acts} | {ends} |");
    }
    table
}

/// A document with the table as it is now; nothing where it has no place for it.
pub fn written_into(document: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", table()))
}

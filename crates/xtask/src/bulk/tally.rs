//! What became of the users of a batch, and the table that says so.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// What became of the users of a batch, as the app answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// Parts that were sent.
    pub parts: u64,
    /// All.
    pub users: u64,
    /// Who have a coupon of the template.
    pub issued: u64,
    /// Who have one of a fallback.
    pub fallback: u64,
    /// Who were greeted.
    pub greeting: u64,
    /// Who got nothing, by code.
    pub refused: BTreeMap<String, u64>,
}

/// A small table.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = [
            ("users", self.users),
            ("issued", self.issued),
            ("fallback", self.fallback),
            ("greeting", self.greeting),
        ];
        let refused = self.refused.iter().map(|(code, count)| (format!("refused, {code}"), *count));
        let rows = given.map(|(name, count)| (name.to_owned(), count)).into_iter().chain(refused);
        let rows: Vec<_> = rows.collect();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let digits = self.users.to_string().len();
        for (name, count) in rows {
            writeln!(formatter, "{name:width$}  {count:>digits$}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_was_refused() {
        let text = r#"{"batch": "may", "parts": 2, "users": 1500, "issued": 1480, "fallback": 7,
                   "greeting": 0, "refused": {"sold_out": 3, "user_limit": 10}}"#;
        let tally: Tally = serde_json::from_str(text).expect("tally");
        let table = [
            "users                1500",
            "issued               1480",
            "fallback                7",
            "greeting                0",
            "refused, sold_out       3",
            "refused, user_limit    10",
        ];
        assert_eq!(tally.to_string().lines().collect::<Vec<_>>(), table);
    }
}

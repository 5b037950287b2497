//! Reads a file of ids line by line, in constant memory.

use std::io::{BufRead, Read};

use domain::ids::UserId;

/// An id has at most 20 digits; the rest is room for a comment. A longer line, its end
/// included, is refused, so that a file without line ends does not fill the memory.
const LINE_BYTES_MAX: u64 = 4_096;

/// How much of a bad line an error shows.
const LINE_SHOWN_BYTES: usize = 40;

/// How a file may begin that a spreadsheet or a Windows program wrote.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A user.
    User(UserId),
    /// A header, a comment, or nothing.
    Nothing,
    /// Something else; the beginning of it.
    Bad(String),
}

/// Reads lines, and knows where it is.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes up to the end of the last line that was read.
    pub offset: u64,
    /// Number of that line, from 1.
    pub number: u64,
    /// No line with content was seen yet: the next one may be a header.
    header_possible: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads on behind line `number`, which ends at `offset`.
    pub fn behind(reader: R, offset: u64, number: u64) -> Self {
        Self { reader, buffer: Vec::new(), offset, number, header_possible: offset == 0 }
    }

    /// The next line; nothing at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_line(&mut self) -> std::io::Result<Option<Line>> {
        let first = self.offset == 0;
        let bytes = self.read_piece()?;
        if bytes == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes > LINE_BYTES_MAX {
            let bad = Line::Bad(shown(&self.buffer));
            while !self.buffer.is_empty() && self.buffer.last() != Some(&b'\n') {
                self.read_piece()?;
            }
            return Ok(Some(bad));
        }
        Ok(Some(self.content(first)))
    }

    /// Reads up to the end of the line, or one byte more than a line may have.
    fn read_piece(&mut self) -> std::io::Result<u64> {
        self.buffer.clear();
        let mut piece = self.reader.by_ref().take(LINE_BYTES_MAX + 1);
        let bytes = piece.read_until(b'\n', &mut self.buffer)? as u64;
        self.offset += bytes;
        Ok(bytes)
    }

    fn content(&mut self, first: bool) -> Line {
        let bytes = if first {
            self.buffer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.buffer)
        } else {
            &self.buffer
        };
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() || bytes.starts_with(b"#") {
            return Line::Nothing;
        }
        let header_possible = std::mem::take(&mut self.header_possible);
        match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
            Some(user) => Line::User(user),
            None if header_possible && is_header(bytes) => Line::Nothing,
            None => Line::Bad(shown(bytes)),
        }
    }
}

/// A name such as `user_id` or `"Customer ID"`: no digit in it, so that a wrong first id is not taken
/// for one.
fn is_header(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphabetic() || b"_- \"'".contains(byte))
}

fn shown(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(LINE_SHOWN_BYTES)];
    String::from_utf8_lossy(shown).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Vec<Line>, u64) {
        let mut lines = Lines::behind(text, 0, 0);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().expect("line") {
            found.push(line);
        }
        assert_eq!(lines.number, found.len() as u64);
        (found, lines.offset)
    }

    fn bad(text: &str) -> Line {
        Line::Bad(text.to_owned())
    }

    #[test]
    fn reads_ids_and_leaves_out_header_comments_and_blank_lines() {
        let text = b"\xef\xbb\xbf# export of May\r\nuser_id\r\n\n 0 \n18446744073709551615\n#x\n7";
        let (lines, offset) = read(text);
        let user = |id| Line::User(UserId(id));
        let nothing = || Line::Nothing;
        let expected =
            [nothing(), nothing(), nothing(), user(0), user(u64::MAX), nothing(), user(7)];
        assert_eq!(lines, expected);
        assert_eq!(offset, text.len() as u64);
    }

    #[test]
    fn everything_else_is_bad() {
        let table: &[(&[u8], &str)] = &[
            (b"-1", "-1"),
            (b"1.5", "1.5"),
            (b"007", "007"),
            (b"18446744073709551616", "18446744073709551616"),
            (b"user7", "user7"),
            (b"1,2", "1,2"),
            (b"1 # mine", "1 # mine"),
            (b"\xff", "\u{fffd}"),
        ];
        for (text, shown) in table {
            assert_eq!(read(text).0, [bad(shown)], "{shown}");
        }
    }

    #[test]
    fn a_name_is_a_header_only_before_the_first_id() {
        assert_eq!(read(b"1\nuser\n").0, [Line::User(UserId(1)), bad("user")]);
        assert_eq!(read(b"user\nuser\n").0, [Line::Nothing, bad("user")]);
        let mut resumed = Lines::behind(&b"user\n"[..], 5, 1);
        assert_eq!(resumed.next_line().expect("line"), Some(bad("user")));
    }

    #[test]
    fn a_line_without_end_is_bad_and_the_next_one_is_read() {
        for length in [4_096, 4_097, 4_098, 8_194, 8_195, 100_000] {
            let mut text = vec![b'1'; length];
            text.extend(b"\n5\n");
            let (lines, offset) = read(&text);
            assert_eq!(lines, [bad(&"1".repeat(40)), Line::User(UserId(5))], "{length}");
            assert_eq!(offset, text.len() as u64, "{length}");
        }
    }
}

//! Payments for packets that came too late: a page of them over all partitions, and what an operator decides.

use domain::time::UnixMillis;
use domain::transaction::CommitError;
use edge::store::Binding;
use wallet::context::Context;
use wallet::packet::late::{self, Late};
use wallet::packet::sender_of;

/// Payments of a page.
const PAGE: usize = 100;
/// Partitions that a call looks at: most of them have none.
const PARTITIONS_MAX: usize = 64;

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: usize,
    after: Option<Late>,
}

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let partition = parts.next()?.parse().ok()?;
        let after = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(sent), Some(packet)) => {
                sender_of(packet)?;
                let sent = UnixMillis(sent.parse().ok()?);
                Some(Late { packet: packet.to_owned(), sent })
            }
            (Some(_), None) => return None,
        };
        Some(Self { partition, after })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        let Self { partition, after } = self;
        match after {
            None => partition.to_string(),
            Some(Late { packet, sent }) => format!("{partition}.{}.{packet}", sent.0),
        }
    }
}

/// Payments that wait, and where the listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Those of the oldest packets of each partition first.
    pub late: Vec<Late>,
    /// Nothing where there are no more.
    pub next: Option<Cursor>,
}

/// A page: one round trip a partition.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    cursor: Cursor,
) -> Result<Listed, CommitError> {
    let mut listed = Listed { late: Vec::new(), next: None };
    let Cursor { partition: first, mut after } = cursor;
    let partitions = context.partitions.all().enumerate().skip(first);
    for (looked, (index, partition)) in partitions.enumerate() {
        if looked == PARTITIONS_MAX || listed.late.len() == PAGE {
            listed.next = Some(Cursor { partition: index, after: None });
            break;
        }
        let most = u32::try_from(PAGE - listed.late.len()).unwrap_or(u32::MAX);
        let (late, has_more) = late::list(context, partition, after.take().as_ref(), most).await?;
        listed.late.extend(late);
        if has_more {
            let after = listed.late.last().cloned();
            listed.next = Some(Cursor { partition: index, after });
            break;
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        let after = Late { packet: "7.p.1:a".into(), sent: UnixMillis(-5) };
        for after in [None, Some(after)] {
            let cursor = Cursor { partition: 3, after };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for wrong in ["", "x", "3.5", "3.x.7.p", "3.5.p", "-1"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}

//! The cart's lines in the order of their ids, their keys as small numbers.
//!
//! Activities compare and group lines by key, many activities the same keys. Each kind of key is
//! sorted once a cart; after that a line's key is its rank, and the lines of one key stand together.

use domain::error::InvalidInput;

use crate::activity::KeyKind;
use crate::cart::{Cart, LINES_MAX, Line};
use crate::considered::Considered;

/// The rank of a key that is not known. Real ranks are below [`LINES_MAX`].
pub(crate) const UNKNOWN: u8 = u8::MAX;
const _: () = assert!(LINES_MAX < UNKNOWN as usize);

/// The lines of a cart, by id. Elsewhere a line is its index here.
pub(crate) struct Lines<'a> {
    /// The lines.
    pub by_id: Vec<&'a Line<'a>>,
    /// Of each its place in the cart.
    places: Vec<usize>,
    ranks: [Ranks<'a>; KeyKind::COUNT],
}

/// The keys of one kind. All empty where no activity needs the kind.
#[derive(Default)]
pub(crate) struct Ranks<'a> {
    /// The known keys, sorted; a key's place is its rank.
    pub names: Vec<&'a str>,
    /// Of each line the rank of its key, or [`UNKNOWN`].
    pub of_line: Vec<u8>,
    /// The lines whose key is known, by rank, lines of one rank by id.
    pub order: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Sorts the lines of a cart, and the keys that these activities ask for.
    ///
    /// # Errors
    /// `duplicate_line`: two lines have one id.
    pub fn of<'b>(
        cart: &'a Cart<'_>,
        considered: impl Iterator<Item = &'b Considered<'a>>,
    ) -> Result<Self, InvalidInput>
    where
        'a: 'b,
    {
        let mut order: Vec<usize> = (0..cart.lines.len()).collect();
        order.sort_unstable_by(|a, b| (&cart.lines[*a].line, a).cmp(&(&cart.lines[*b].line, b)));
        if let Some(pair) =
            order.windows(2).find(|p| cart.lines[p[0]].line == cart.lines[p[1]].line)
        {
            let detail = "another line has this id";
            let field = format!("lines[{}].line", pair[1]);
            return Err(InvalidInput::new("duplicate_line", field, detail));
        }
        let by_id: Vec<&Line<'_>> = order.iter().map(|index| &cart.lines[*index]).collect();
        let mut needed = [false; KeyKind::COUNT];
        for Considered { activity, selected } in considered {
            if let Some(kind) = activity.scope.kind() {
                needed[kind as usize] = true;
            }
            if selected.is_some() {
                continue;
            }
            let products = &activity.dimensions.products;
            for selector in products.include.iter().chain(&products.exclude) {
                for (kind, keys) in selector.lists() {
                    needed[kind as usize] |= !keys.is_empty();
                }
            }
        }
        let mut ranks: [Ranks<'_>; KeyKind::COUNT] = Default::default();
        for kind in KeyKind::ALL.into_iter().filter(|kind| needed[*kind as usize]) {
            ranks[kind as usize] = Ranks::of(&by_id, kind);
        }
        Ok(Self { by_id, places: order, ranks })
    }

    /// What was said of each line of the cart, in the order of the ids.
    pub fn in_order(&self, of_cart: &[bool]) -> Vec<bool> {
        self.places.iter().map(|place| of_cart.get(*place).is_some_and(|one| *one)).collect()
    }

    /// The keys of a kind that an activity asks for.
    pub fn ranks(&self, kind: KeyKind) -> &Ranks<'a> {
        &self.ranks[kind as usize]
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl<'a> Ranks<'a> {
    fn of(lines: &[&'a Line<'a>], kind: KeyKind) -> Self {
        let mut order = sorted(lines.iter().map(|line| line.key(kind)));
        let key = |index: u8| lines[usize::from(index)].key(kind);
        // The empty key is before all others.
        let unknown = order.iter().take_while(|index| key(**index).is_empty()).count();
        order.drain(..unknown);
        let mut names: Vec<&str> = Vec::new();
        let mut of_line = vec![UNKNOWN; lines.len()];
        for index in &order {
            if names.last() != Some(&key(*index)) {
                names.push(key(*index));
            }
            of_line[usize::from(*index)] = (names.len() - 1) as u8;
        }
        Self { names, of_line, order }
    }
}

/// A key for sorting: comparing numbers is several times cheaper than comparing texts.
struct SortKey<'a> {
    /// The first bytes behind what all keys have in common (in many shops the ids differ at the end
    /// only), as a number in the order of the bytes; zeros where there are fewer.
    head: u64,
    /// The bytes behind the common ones.
    tail: &'a [u8],
    index: u8,
}

/// The indices of at most 200 keys in the order of the keys; those of equal keys ascend.
fn sorted<'a>(keys: impl Iterator<Item = &'a str> + Clone) -> Vec<u8> {
    const HEAD_BYTES: usize = size_of::<u64>();
    let first = keys.clone().next().unwrap_or_default().as_bytes();
    let common = keys.clone().fold(first.len(), |common, key| {
        let pairs = first[..common].iter().zip(key.as_bytes());
        pairs.take_while(|(a, b)| a == b).count()
    });
    let sort_key = |(index, key): (usize, &'a str)| {
        let tail = &key.as_bytes()[common..];
        let mut head = [0; HEAD_BYTES];
        let length = tail.len().min(HEAD_BYTES);
        head[..length].copy_from_slice(&tail[..length]);
        // At most 200 lines: an index fits.
        SortKey { head: u64::from_be_bytes(head), tail, index: index as u8 }
    };
    let mut sort_keys: Vec<SortKey<'_>> = keys.enumerate().map(sort_key).collect();
    sort_keys.sort_unstable_by(|a, b| {
        let short = a.tail.len().max(b.tail.len()) <= HEAD_BYTES;
        let tails = || if short { a.tail.len().cmp(&b.tail.len()) } else { a.tail.cmp(b.tail) };
        a.head.cmp(&b.head).then_with(tails).then(a.index.cmp(&b.index))
    });
    sort_keys.into_iter().map(|key| key.index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_sorted_as_texts_are(
            // Few letters, one of them zero, so that keys share beginnings and ends of all lengths.
            prefix in "[ab]{0,12}", tails in prop::collection::vec("[a\u{0}é]{0,10}", 0..30)
        ) {
            let keys: Vec<String> = tails.iter().map(|tail| format!("{prefix}{tail}")).collect();
            let mut expected: Vec<u8> = (0..keys.len() as u8).collect();
            expected.sort_by_key(|index| &keys[usize::from(*index)]);
            prop_assert_eq!(sorted(keys.iter().map(String::as_str)), expected);
        }
    }
}

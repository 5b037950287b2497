//! The cart's lines in the order of their ids, their keys as small numbers.
//!
//! Activities compare and group lines by key, many activities the same keys. Each kind of key is
//! sorted once a cart; after that a line's key is its rank, and the lines of one key stand together.

use domain::error::InvalidInput;

use crate::activity::{Activity, KeyKind};
use crate::cart::{Cart, LINES_MAX, Line};

/// The rank of a key that is not known. Real ranks are below [`LINES_MAX`].
pub(crate) const UNKNOWN: u8 = u8::MAX;
const _: () = assert!(LINES_MAX < UNKNOWN as usize);

/// The lines of a cart, by id. Elsewhere a line is its index here.
pub(crate) struct Lines<'a> {
    /// The lines.
    pub by_id: Vec<&'a Line<'a>>,
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
    pub fn of(cart: &'a Cart<'_>, activities: &[&Activity]) -> Result<Self, InvalidInput> {
        let mut order: Vec<usize> = (0..cart.lines.len()).collect();
        order.sort_unstable_by(|a, b| (&cart.lines[*a].line, a).cmp(&(&cart.lines[*b].line, b)));
        if let Some(pair) =
            order.windows(2).find(|p| cart.lines[p[0]].line == cart.lines[p[1]].line)
        {
            let detail = "another line has this id";
            let field = format!("lines[{}].line", pair[1]);
            return Err(InvalidInput::new("duplicate_line", field, detail));
        }
        let by_id: Vec<&Line<'_>> = order.into_iter().map(|index| &cart.lines[index]).collect();
        let mut needed = [false; KeyKind::COUNT];
        for activity in activities {
            if let Some(kind) = activity.scope.kind() {
                needed[kind as usize] = true;
            }
            let products = &activity.dimensions.products;
            for selector in products.include.iter().chain(&products.exclude) {
                for (kind, keys) in selector.lists() {
                    needed[kind as usize] |= !keys.is_empty();
                }
            }
        }
        let mut ranks: [Ranks<'_>; KeyKind::COUNT] = Default::default();
        let kinds = [KeyKind::Sku, KeyKind::Spu, KeyKind::Shop, KeyKind::Brand, KeyKind::Category];
        for kind in kinds.into_iter().filter(|kind| needed[*kind as usize]) {
            ranks[kind as usize] = Ranks::of(&by_id, kind);
        }
        Ok(Self { by_id, ranks })
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
        let known = (0..lines.len()).filter(|index| !lines[*index].key(kind).is_empty());
        // At most 200 lines: an index fits.
        let mut order: Vec<u8> = known.map(|index| index as u8).collect();
        let key = |index: u8| lines[usize::from(index)].key(kind);
        order.sort_unstable_by(|a, b| key(*a).cmp(key(*b)).then(a.cmp(b)));
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

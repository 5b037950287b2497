//! Records made unreadable, past the app: garbage, another version, or not there although another record
//! names it. At most one a schedule; what it was is kept, so that books still add up and it can be repaired.
//!
//! It belongs to users, whose numbers stand in its name. Whatever else is asked for must go on as if nothing had
//! happened. Of what concerns its users nothing is known until it is repaired: nobody asks for it.

use std::collections::BTreeSet;

use domain::transaction::Value;
use end_to_end::app::Ask;
use end_to_end::dump::{self, Records};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use crate::world::USERS;

/// What no codec reads.
const GARBAGE: &[u8] = b"\xff\xfe garbage";

/// One field that was made unreadable.
#[derive(Clone, Debug)]
pub struct Corruption {
    partition: String,
    name: String,
    field: Vec<u8>,
    was: Value,
    /// What stands there now; nothing where it was taken away.
    is: Option<Vec<u8>>,
    /// Whose it is.
    users: BTreeSet<u64>,
}

/// The users whose numbers stand in a text.
fn users_in(text: &[u8]) -> BTreeSet<u64> {
    let numbers = text.split(|byte| !byte.is_ascii_digit());
    let numbers = numbers.filter_map(|one| std::str::from_utf8(one).ok()?.parse().ok());
    numbers.filter(|number| USERS.contains(number)).collect()
}

/// The users who may notice something of a request.
pub fn users_of(asked: &Ask) -> BTreeSet<u64> {
    let path = asked.path.strip_prefix("/v1/").unwrap_or(&asked.path);
    &users_in(path.as_bytes()) | &users_in(&asked.body)
}

/// The users to whom a field of a record belongs.
fn owners(name: &str, field: &[u8]) -> BTreeSet<u64> {
    let mut users = &users_in(name.as_bytes()) | &users_in(field);
    if let Ok(number) = <[u8; 8]>::try_from(field) {
        let user = u64::from_be_bytes(number);
        users.extend(USERS.contains(&user).then_some(user));
    }
    users
}

/// What the names of records of configuration or layout begin with: whoever breaks those breaks everything.
/// The layout; pools, notices, scenes, campaigns and lists of coupons; index, heads, definitions, lists and holds of
/// promotions; pools, notices, claims and the mode of posting of wallets.
const SHARED: [&str; 16] =
    ["layout", "p", "t", "s", "g", "f", "ai", "ah", "ad", "al", "am", "ax", "mf", "mg", "ms", "mz"];

fn is_shared(name: &str) -> bool {
    SHARED.iter().any(|start| name.starts_with(start))
}

impl Corruption {
    /// Draws one of the values of a store that are encoded and belong to users, but none of these, of whom something is
    /// under way; nothing where there is none.
    pub fn draw(
        kind: &str,
        records: &Records,
        busy: &BTreeSet<u64>,
        random: &mut StdRng,
    ) -> Option<Self> {
        let values = records.iter().filter(|((_, name), _)| !is_shared(name)).flat_map(
            |((partition, name), record)| {
                record.iter().filter_map(move |(field, value)| {
                    let encoded = matches!(value, Value::Bytes(bytes) if !bytes.is_empty());
                    let users = owners(name, field);
                    let may_be = encoded && !users.is_empty() && users.is_disjoint(busy);
                    may_be.then_some((partition, name, field, value, users))
                })
            },
        );
        let (partition, name, field, value, users) = values.choose(random)?;
        let Value::Bytes(bytes) = value else { return None };
        let is = match kind {
            "garbage" => Some(GARBAGE.to_vec()),
            "other-version" => {
                let mut bytes = bytes.clone();
                bytes[0] = bytes[0].wrapping_add(1);
                Some(bytes)
            }
            _ => None,
        };
        let (partition, name) = (partition.clone(), name.clone());
        Some(Self { partition, name, field: field.clone(), was: value.clone(), is, users })
    }

    /// Whose it is.
    pub fn users(&self) -> &BTreeSet<u64> {
        &self.users
    }

    fn write(&self, connection: &mut redis::Connection, value: Option<&[u8]>) {
        dump::write(connection, &self.partition, &self.name, &self.field, value);
    }

    /// Does it.
    pub fn plant(&self, connection: &mut redis::Connection) {
        self.write(connection, self.is.as_deref());
    }

    /// Undoes it, unless somebody has written something else since.
    pub fn repair(&self, connection: &mut redis::Connection) {
        if dump::bytes_of(connection, &self.partition, &self.name, &self.field) != self.is {
            return;
        }
        if let Value::Bytes(was) = &self.was {
            self.write(connection, Some(was));
        }
    }

    /// Shows what was there, as long as nobody has changed what is.
    pub fn overlay(&self, records: &mut Records) {
        let place = (self.partition.clone(), self.name.clone());
        let record = records.entry(place).or_default();
        let is = self.is.clone().map(Value::Bytes);
        if record.get(&self.field) == is.as_ref() {
            record.insert(self.field.clone(), self.was.clone());
        }
    }
}

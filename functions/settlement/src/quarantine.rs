//! What is set aside, for operators: a list, and what they do with an item. The rules are [`store::quarantine`]'s.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::partition::Partitions;
use domain::transaction::Member;
use edge::Problem;
use store::listing::Place;

/// Items of one page, at most, and where nothing is said.
pub const PAGE_MAX: usize = 100;
/// Bytes of the reason for which an item is dropped, or a payment decided.
pub const REASON_BYTES_MAX: usize = 400;
/// Between a partition and a name.
const SEPARATOR: char = '.';

/// The id of a place, which is a cursor as well.
pub fn id(place: &Place) -> String {
    format!("{}{SEPARATOR}{}", place.partition, URL_SAFE_NO_PAD.encode(&place.member.0))
}

/// The place of an id.
pub fn place(partitions: Partitions, id: &str) -> Option<Place> {
    let (partition, name) = id.split_once(SEPARATOR)?;
    let mut all = partitions.all().chain(partitions.of_configurations());
    let partition = all.find(|one| one.to_string() == partition)?;
    Some(Place { member: Member(URL_SAFE_NO_PAD.decode(name).ok()?), partition })
}

/// Nothing is set aside under this id.
pub fn unknown() -> Problem {
    Problem::new(404, "unknown_item", "nothing is set aside under this id (any more)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_place_again() {
        let partitions = Partitions::new(4).unwrap();
        for partition in partitions.all().chain(partitions.of_configurations()) {
            let own = Place { member: Member(vec![0, 0xff, b'.']), partition };
            assert_eq!(place(partitions, &id(&own)), Some(own));
        }
        for wrong in ["", "1", "9.YQ", "1.%", "x1.YQ", "1.YQ=="] {
            assert_eq!(place(partitions, wrong), None, "{wrong}");
        }
    }
}

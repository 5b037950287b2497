//! What must hold of accounts that are no user's, and of rains, at any moment.

use std::collections::BTreeMap;

use end_to_end::dump::{Record, integer};
use lease::{CREDITED, FREE, LEFT, RETURNED};
use store::codec::decode;
use store::published::BODY;
use store::sealed::SEALED;
use wallet::rain::{self, Rain, Stored};
use wallet::records;
use wallet::token::Token;

use super::books::{Wallet, Wallets, cents, sum, text};
use super::packets::Found;
use crate::books::Books;

/// Each partition balances: the accounts that are no user's are what users and packets say. What a rain gave that is sealed
/// may have moved to one account for all of those.
///
/// # Panics
/// It does not.
pub fn check_accounts(
    books: &Books,
    wallets: &Wallets,
    packets: &BTreeMap<String, Found>,
    is_sealed: impl Fn(&str) -> bool,
) {
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let accounts = books.record(&home, "ma");
        assert_eq!(sum(accounts), 0, "{partition}: {accounts:?}");
        let (mut expected, mut of_users) = (BTreeMap::<&str, i64>::new(), [0; 3]);
        for (_, wallet) in wallets.iter().filter(|(user, _)| books.home(**user) == home) {
            for (source, cents) in wallet.sources() {
                let is_moved = !accounts.contains_key(source.as_bytes()) && is_sealed(source);
                let account = if is_moved { records::SEALED } else { source };
                *expected.entry(account).or_default() -= cents;
            }
            let of_user = wallet.sums();
            of_users.iter_mut().zip(of_user).for_each(|(sum, cents)| *sum += cents);
        }
        // A payment comes in where its packet lives, once for each.
        for (name, found) in packets {
            let is_here = records::home_of_packet(books.partitions(), name) == partition;
            if is_here && found.is_paid_in() {
                *expected.entry(records::PAID_IN).or_default() -= found.order.total;
                *expected.entry(records::PACKETS).or_default() += found.order.total;
            }
        }
        let names = [records::USERS, records::HELD, records::PAID_OUT];
        let mut accounts: BTreeMap<_, _> =
            accounts.keys().map(|name| (text(name), integer(accounts, &text(name)))).collect();
        let own = names.map(|name| accounts.remove(name).unwrap_or(0));
        assert_eq!(own, of_users, "{partition}: {accounts:?}");
        accounts.retain(|_, cents| *cents != 0);
        expected.retain(|_, cents| *cents != 0);
        let accounts = accounts.iter().map(|(name, cents)| (name.as_str(), *cents));
        assert_eq!(
            accounts.collect::<BTreeMap<_, _>>(),
            expected,
            "{partition}: funds and entries"
        );
    }
}

/// Whether a rain is there and not sealed.
pub fn is_open(books: &Books, id: &str) -> bool {
    published(books, id).is_some()
}

/// A rain that was set up, until it is sealed.
fn published(books: &Books, id: &str) -> Option<(Rain, Record)> {
    let place = rain::place(books.partitions(), id);
    let pool = books.record(&place.partition.to_string(), &place.pool.0);
    if pool.contains_key(SEALED.as_bytes()) {
        return None;
    }
    let body = pool.get(BODY.as_bytes())?;
    Some((decode::<Stored>(body).expect("a rain").rain, pool.clone()))
}

/// Cents of a rain that partitions have left.
pub fn leased(books: &Books, id: &str) -> i64 {
    let lease = rain::place(books.partitions(), id).lease.0;
    let left = |home: String| books.integer(&home, &lease, LEFT);
    books.partitions().all().map(|partition| left(partition.to_string())).sum()
}

/// The budget of a rain is in its pool, under way, in leases or in tokens.
///
/// # Panics
/// It is not.
pub fn check_rain(books: &Books, id: &str, wallets: &Wallets) {
    let Some((rain, pool)) = published(books, id) else { return };
    let place = rain::place(books.partitions(), id);
    let (mut out, mut given) = (0, 0);
    for partition in books.partitions().all() {
        let home = partition.to_string();
        let lease = books.record(&home, &place.lease.0);
        let of_pool = |field: &str| integer(&pool, &format!("{field}{partition}"));
        let (credited, returned) = (of_pool(CREDITED), of_pool(RETURNED));
        let (arrived, back) = (integer(lease, CREDITED), integer(lease, RETURNED));
        assert!(arrived <= credited && returned <= back, "{id} {partition}: {lease:?}");
        let left = integer(lease, LEFT);
        let issued = arrived - back - left;
        assert!(left >= 0 && issued >= 0, "{id} {partition}: {lease:?}");
        let is_of = |token: &&Token| {
            token.activity == rain.activity
                && token.scene == rain.scene
                && books.home(token.user.0) == home
        };
        let tokens = wallets.values().flat_map(Wallet::tokens).filter(is_of);
        assert_eq!(tokens.map(cents).sum::<i64>(), issued, "{id} {partition}: {lease:?}");
        out += credited - returned;
        given += issued;
    }
    let budget = rain.budget.minor_units();
    assert_eq!(out + integer(&pool, FREE), budget, "{id}: {pool:?}");
    assert!(given <= budget, "{id}: {given} of {budget}");
}

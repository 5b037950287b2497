//! The store as a whole, read in one step past the app, and what must hold of it at any moment.

use coupons::records::{Gave, Order};
use coupons::template::Template;
use domain::ids::UserId;
use domain::money::Amount;
use domain::partition::Partitions;
use domain::transaction::Value;
use lease::{CREDITED, FREE, HELD, LEFT, RETURNED};

use crate::dump::{self, Record, Records, integer};

/// The records of a store.
pub struct Books {
    connection: redis::Connection,
    partitions: Partitions,
    /// By partition and name.
    records: Records,
}

/// What is known of a template from its records.
struct Known {
    template: Template,
    limit: i64,
    free: i64,
}

impl Books {
    /// The books of a server's store.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub fn open(address: &str, partitions: u32) -> Self {
        let connection = dump::open(address);
        let partitions = Partitions::new(partitions).expect("a power of two");
        Self { connection, partitions, records: Records::new() }
    }

    /// Reads everything.
    ///
    /// # Panics
    /// The server does not answer, or holds what is not ours.
    pub fn read(&mut self) {
        self.records = dump::read(&mut self.connection);
    }

    /// What a number of a user gave.
    ///
    /// # Panics
    /// The record cannot be read.
    pub fn order(&self, user: u64, number: &str) -> Option<Order> {
        let partition = self.partitions.locate(UserId(user)).partition.to_string();
        let record = self.records.get(&(partition, format!("c{user}")))?;
        let value = record.get(format!("o{number}").as_bytes())?;
        Some(Order::decode(value).expect("an order"))
    }

    /// How many coupons of a template may be out.
    ///
    /// # Panics
    /// There is no such template.
    pub fn leasable(&self, id: &str) -> i64 {
        self.template(id).expect("it was published").template.leasable()
    }

    fn pool(&self, id: &str) -> String {
        self.partitions.of_configuration(&format!("pool:{id}")).to_string()
    }

    fn template(&self, id: &str) -> Option<Known> {
        let record = self.records.get(&(self.pool(id), format!("p{id}")))?;
        let Some(Value::Bytes(body)) = record.get(&b"body"[..]) else { return None };
        let template: Template = serde_json::from_slice(body).expect("a template");
        let limit = i64::from(template.limit_per_user);
        Some(Known { template, limit, free: integer(record, FREE) })
    }

    /// Checks what must hold at any moment.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self) {
        for id in super::TEMPLATES {
            self.check_template(id);
        }
    }

    fn check_template(&self, id: &str) {
        let Some(Known { template, limit, free }) = self.template(id) else { return };
        let pool = &self.records[&(self.pool(id), format!("p{id}"))];
        let (mut given, mut held) = (0, 0);
        let mut out = 0;
        for partition in self.partitions.all() {
            let empty = Record::new();
            let key = (partition.to_string(), format!("l{id}"));
            let lease = self.records.get(&key).unwrap_or(&empty);
            let of_pool = |field: &str| integer(pool, &format!("{field}{partition}"));
            let of_lease = |field: &str| integer(lease, field);
            let (credited, returned) = (of_pool(CREDITED), of_pool(RETURNED));
            let (arrived, sent) = (of_lease(CREDITED), of_lease(RETURNED));
            assert!(arrived <= credited, "{id} {partition}: more arrived than was credited");
            assert!(returned <= sent, "{id} {partition}: more came back than was sent");
            let (left, holds) = (of_lease(LEFT), of_lease(HELD));
            let issued = arrived - sent - left - holds;
            assert!(left >= 0 && holds >= 0 && issued >= 0, "{id} {partition}: {lease:?}");
            given += issued;
            held += holds;
            out += credited - returned;
        }
        // Given, held, in leases, under way and in the pool: together the total.
        assert_eq!(out, template.leasable() - free, "{id}: {pool:?}");
        assert!(given + held <= template.leasable().max(out), "{id}: {given} given, {held} held");

        let (mut coupons, mut reservations, mut amount) = (0, 0, 0);
        for ((_, name), record) in &self.records {
            if !name.starts_with('c') {
                continue;
            }
            let (mut of_user, count) = (0, integer(record, &format!("n{id}")));
            for (field, value) in record {
                if !field.starts_with(b"o") {
                    continue;
                }
                let order = Order::decode(value).expect("an order");
                let Some(coupon) = order.coupon().filter(|coupon| coupon.template == id) else {
                    continue;
                };
                of_user += 1;
                amount += coupon.cap.expect("the most that it costs");
                match order.gave {
                    Gave::Reserved(..) => reservations += 1,
                    _ => coupons += 1,
                }
            }
            assert_eq!(of_user, count, "{id}: {name} has {record:?}");
            assert!(count <= limit, "{id}: {name} has {count} of {limit}");
        }
        assert_eq!((coupons, reservations), (given, held), "{id}: records and counts");
        let face = template.face().expect("the most that one costs");
        assert_eq!(amount, face * (given + held), "{id}: records and amounts");
        let budget = template.budget.map(Amount::minor_units);
        assert!(budget.is_none_or(|budget| amount <= budget), "{id}: {amount} of {budget:?}");
    }
}

//! Events -> transactions. Pure.

use coupons::chance::{Chance, Groups};
use domain::paid::mark_paid;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Transaction, Value};
use edge::Problem;
use store::Plan;

use crate::parse::{Ended, Event, Paid};

/// One transaction a partition that marks who paid. Handling an event twice is handling it once, so
/// that a batch of which only a part was committed is simply sent again.
pub fn marks(events: &[Event], partitions: Partitions) -> Vec<(Partition, Transaction)> {
    let user = |event: &Event| match event {
        Event::OrderPaid { user, .. } => Some(*user),
        Event::GroupEnded(_) | Event::PacketPaid(_) => None,
    };
    mark_paid(&events.iter().filter_map(user).collect::<Vec<_>>(), partitions)
}

/// Packets that were paid for, each once.
pub fn packets(events: &[Event]) -> Vec<&Paid> {
    let mut packets: Vec<&Paid> = Vec::new();
    for event in events {
        let Event::PacketPaid(paid) = event else { continue };
        // At most 1,000 events: a set would be more code than it saves time.
        if packets.iter().all(|known| known.packet != paid.packet) {
            packets.push(paid);
        }
    }
    packets
}

/// The problem of a packet that nobody has sent. Whoever says so is to say it again, because a payment
/// that overtakes the sending must not be lost.
pub fn unknown_packet(paid: &Paid) -> Problem {
    let detail = "there is no such packet; send the event again once it is sent";
    Problem::new(422, "unknown_packet", detail).about(paid.field.as_str())
}

/// The problem of a packet that was sent too long ago. The payment is listed for operators: to say it again
/// changes nothing.
pub fn too_old(paid: &Paid) -> Problem {
    let detail = "the packet was sent too long ago; an operator decides about the payment, do not send it again";
    Problem::new(422, "too_old", detail).about(paid.field.as_str())
}

/// What events say of the groups of one chance, in their order.
#[derive(Debug)]
pub struct Step<'a> {
    chance: Chance<'a>,
    said: Vec<&'a Ended>,
}

/// One step a chance.
pub fn steps(events: &[Event]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for event in events {
        let Event::GroupEnded(ended) = event else { continue };
        let chance = Chance { user: ended.user, campaign: &ended.campaign };
        // At most 1,000 events: a map would be more code than it saves time.
        match steps.iter_mut().find(|step| step.chance == chance) {
            Some(step) => step.said.push(ended),
            None => steps.push(Step { chance, said: vec![ended] }),
        }
    }
    steps
}

impl Step<'_> {
    /// Where to commit it.
    pub fn partition(&self, partitions: Partitions) -> Partition {
        partitions.locate(self.chance.user).partition
    }

    /// Looks at the chance: the refusal tells what was made of it, as the refusal of every later attempt does.
    pub fn look(&self) -> Plan<()> {
        let mut plan = Plan::new();
        plan.demand((), self.chance.demand_untaken());
        plan
    }

    /// What is to be committed where this was made of the chance, if there is anything left to change.
    ///
    /// # Errors
    /// 422 `unknown_group`: nobody has opened it. Whoever says so is to say it again, because an end
    /// that overtakes the opening must not be lost.
    pub fn after(
        &self,
        seen: Option<&Value>,
        now: UnixMillis,
    ) -> Result<Option<Plan<()>>, Problem> {
        let before = Groups::decode(seen)?;
        let mut after = before.clone();
        for ended in &self.said {
            after = after.ended(&ended.group, ended.phase, now).ok_or_else(|| {
                let detail = "there is no such group; send the event again once it is open";
                Problem::new(422, "unknown_group", detail).about(ended.field.as_str())
            })?;
        }
        Ok((after != before).then(|| Plan::of(self.chance.change(&before, &after), ())))
    }
}

#[cfg(test)]
mod tests {
    use coupons::chance::{Group, Phase};
    use domain::ids::UserId;
    use domain::transaction::Write;

    use super::*;

    #[test]
    fn a_batch_is_one_transaction_a_partition() {
        let partitions = Partitions::new(4).unwrap();
        let event = |id| Event::OrderPaid { user: UserId(id), order: format!("A-{id}") };
        let events: Vec<_> = (0..100).map(event).collect();
        let transactions = marks(&events, partitions);
        assert_eq!(transactions.len(), 4);
        let writes: usize = transactions.iter().map(|(_, each)| each.writes.len()).sum();
        assert_eq!(writes, 100);
        assert!(steps(&events).is_empty());
    }

    fn ended(user: u64, group: &str, phase: Phase) -> Event {
        Event::GroupEnded(Ended {
            phase,
            campaign: "spring".into(),
            group: group.into(),
            user: UserId(user),
            field: format!("data.{group}"),
        })
    }

    /// What a change leaves behind.
    fn written(transaction: &Transaction) -> Value {
        let Some(Write::Set(_, _, value)) = transaction.writes.first() else {
            panic!("{transaction:?}")
        };
        value.clone()
    }

    #[test]
    fn what_is_said_first_of_a_group_counts_in_a_batch_too() {
        let now = UnixMillis(1_000);
        let events = [
            ended(7, "a", Phase::Succeeded),
            ended(8, "b", Phase::Failed),
            ended(7, "a", Phase::Failed),
        ];
        let steps = steps(&events);
        assert_eq!(steps.iter().map(|step| step.said.len()).collect::<Vec<_>>(), [2, 1]);
        let open = Group {
            group: "a".into(),
            template: "t".into(),
            gives_back: true,
            opened_at: now,
            lasts_seconds: 1,
            phase: Phase::Open,
        };
        let groups = Groups::default().opened(open).unwrap();
        let value = written(&steps[0].chance.change(&Groups::default(), &groups));
        let (change, _) = steps[0].after(Some(&value), now).unwrap().unwrap().into_parts();
        let value = written(&change);
        assert_eq!(
            Groups::decode(Some(&value)).unwrap().find("a").unwrap().phase,
            Phase::Succeeded
        );
        // Another attempt finds its own effect.
        assert_eq!(steps[0].after(Some(&value), now), Ok(None));
    }

    #[test]
    fn packets_are_paid_once_a_batch_and_the_first_is_named() {
        let paid = |packet: &str, index: usize| {
            let field = format!("[{index}].data.packet");
            Event::PacketPaid(Paid { packet: packet.into(), field })
        };
        let events = [paid("7.a", 0), ended(7, "a", Phase::Failed), paid("7.b", 2), paid("7.a", 3)];
        let packets = packets(&events);
        let fields: Vec<_> = packets.iter().map(|paid| unknown_packet(paid).field).collect();
        assert_eq!(fields, [Some("[0].data.packet".into()), Some("[2].data.packet".into())]);
        let too_old = too_old(packets[1]);
        assert_eq!((too_old.status, too_old.code), (422, "too_old"));
        assert_eq!(too_old.field.as_deref(), Some("[2].data.packet"));
        assert_eq!(steps(&events).len(), 1);
        assert!(marks(&events, Partitions::new(4).unwrap()).is_empty());
    }

    #[test]
    fn a_group_that_nobody_opened_is_named() {
        let events = [ended(7, "a", Phase::Succeeded)];
        let problem = steps(&events)[0].after(None, UnixMillis(1));
        let problem = problem.unwrap_err();
        assert_eq!((problem.status, problem.code), (422, "unknown_group"));
        assert_eq!(problem.field.as_deref(), Some("data.a"));
    }
}

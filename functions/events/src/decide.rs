//! Events -> transactions. Pure.

use coupons::chance::{Chance, Groups};
use domain::paid::mark_paid;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Transaction, Value};
use edge::Problem;
use store::Plan;
use wallet::packet::{Told, Why};

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

/// Payments for packets, each once.
pub fn payments(events: &[Event]) -> Vec<&Paid> {
    let mut payments: Vec<&Paid> = Vec::new();
    for event in events {
        let Event::PacketPaid(paid) = event else { continue };
        let is_same = |known: &&Paid| known.packet == paid.packet && known.payment == paid.payment;
        // At most 1,000 events: a set would be more code than it saves time.
        if !payments.iter().any(is_same) {
            payments.push(paid);
        }
    }
    payments
}

/// The problem of a group that nobody has opened.
pub fn unknown_group(field: &str) -> Problem {
    let detail = "there is no such group; send the event again once it is open";
    Problem::new(422, "unknown_group", detail).about(field)
}

/// The problem of a packet that nobody has sent. Whoever says so is to say it again, because a payment
/// that overtakes the sending must not be lost.
pub fn unknown_packet(paid: &Paid) -> Problem {
    let detail = "there is no such packet; send the event again once it is sent";
    Problem::new(422, "unknown_packet", detail).about(paid.field.as_str())
}

/// The problem of a payment about which an operator decided so long ago that nothing is kept of it.
pub fn forgotten(paid: &Paid) -> Problem {
    let detail = "it was told so long ago that what became of it is not kept; do not send it again";
    Problem::new(422, "too_old", detail).about(paid.field.as_str())
}

/// The problem of a payment for which there is no use, because of the packet: it is listed for operators, and to say
/// it again changes nothing. Nothing where there is one.
pub fn unapplied(paid: &Paid, told: Told) -> Option<Problem> {
    let (code, detail) = match told {
        Told::Applied => return None,
        Told::Unapplied(Why::TooOld | Why::Forgotten) => {
            ("too_old", "the packet was sent too long ago")
        }
        Told::Unapplied(Why::AlreadyPaid) => {
            ("already_paid", "the packet has another payment, or needs none")
        }
        Told::Unapplied(Why::MayBeTheSame) => (
            "may_be_the_same",
            "the packet has a payment of which no number is known, which may be this one",
        ),
    };
    let detail = format!("{detail}; an operator decides about the payment, do not send it again");
    Some(Problem::new(422, code, detail).about(paid.field.as_str()))
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

    /// The path of the first of its groups in the request.
    pub fn field(&self) -> &str {
        self.said.first().map_or("", |ended| &ended.field)
    }

    /// Looks at the chance: the refusal tells what was made of it, as the refusal of every later attempt does.
    pub fn look(&self) -> Plan<()> {
        let mut plan = Plan::new();
        plan.demand((), self.chance.demand_untaken());
        plan
    }

    /// What is to be committed where this was made of the chance, if there is anything left to change. And the problem
    /// of the first group that nobody has opened, 422 `unknown_group`: whoever says that it ended is to say it again,
    /// because an end that overtakes the opening must not be lost. The others end.
    ///
    /// # Errors
    /// What was made of the chance cannot be read.
    pub fn after(
        &self,
        seen: Option<&Value>,
        now: UnixMillis,
    ) -> Result<(Option<Plan<()>>, Option<Problem>), CommitError> {
        let before = Groups::decode(seen)?;
        let (mut after, mut unknown) = (before.clone(), None);
        for ended in &self.said {
            match after.ended(&ended.group, ended.phase, now) {
                Some(next) => after = next,
                None => {
                    unknown.get_or_insert_with(|| unknown_group(&ended.field));
                }
            }
        }
        let plan = (after != before).then(|| Plan::of(self.chance.change(&before, &after), ()));
        Ok((plan, unknown))
    }
}

#[cfg(test)]
mod tests {
    use coupons::chance::{Group, Phase};
    use domain::ids::UserId;
    use domain::transaction::Write;
    use wallet::packet::Payment;

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

    fn opened(group: &str, at: UnixMillis) -> Groups {
        let group = Group {
            group: group.into(),
            template: "t".into(),
            gives_back: true,
            opened_at: at,
            lasts_seconds: 1,
            phase: Phase::Open,
        };
        Groups::default().opened(group).unwrap()
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
        let groups = opened("a", now);
        let value = written(&steps[0].chance.change(&Groups::default(), &groups));
        let (change, unknown) = steps[0].after(Some(&value), now).unwrap();
        assert_eq!(unknown, None);
        let (change, _) = change.unwrap().into_parts();
        let value = written(&change);
        assert_eq!(
            Groups::decode(Some(&value)).unwrap().find("a").unwrap().phase,
            Phase::Succeeded
        );
        // Another attempt finds its own effect.
        assert_eq!(steps[0].after(Some(&value), now), Ok((None, None)));
    }

    #[test]
    fn payments_count_once_a_batch_and_the_first_is_named() {
        let paid = |packet: &str, payment: &Payment, index: usize| {
            let field = format!("[{index}].data.packet");
            Event::PacketPaid(Paid { packet: packet.into(), payment: payment.clone(), field })
        };
        let (none, one) = (Payment::NONE, Payment::parse("T-1", "").unwrap());
        let events = [
            paid("7.a", &none, 0),
            ended(7, "a", Phase::Failed),
            paid("7.b", &none, 2),
            paid("7.a", &none, 3),
            paid("7.a", &one, 4),
            paid("7.a", &one, 5),
        ];
        let payments = payments(&events);
        let fields: Vec<_> = payments.iter().map(|paid| unknown_packet(paid).field).collect();
        let expected = [0, 2, 4].map(|index| Some(format!("[{index}].data.packet")));
        assert_eq!(fields, expected);
        for (why, code) in [
            (Why::TooOld, "too_old"),
            (Why::Forgotten, "too_old"),
            (Why::AlreadyPaid, "already_paid"),
            (Why::MayBeTheSame, "may_be_the_same"),
        ] {
            let problem = unapplied(payments[1], Told::Unapplied(why)).unwrap();
            assert_eq!((problem.status, problem.code), (422, code));
            assert_eq!(problem.field.as_deref(), Some("[2].data.packet"));
        }
        assert!(unapplied(payments[1], Told::Applied).is_none());
        let problem = forgotten(payments[1]);
        assert_eq!((problem.status, problem.code), (422, "too_old"));
        assert_eq!(problem.field.as_deref(), Some("[2].data.packet"));
        assert_eq!(steps(&events).len(), 1);
        assert!(marks(&events, Partitions::new(4).unwrap()).is_empty());
    }

    #[test]
    fn a_group_that_nobody_opened_is_named_and_the_others_end() {
        let events = [ended(7, "b", Phase::Succeeded), ended(7, "a", Phase::Succeeded)];
        let steps = steps(&events);
        let (change, problem) = steps[0].after(None, UnixMillis(1)).unwrap();
        let problem = problem.unwrap();
        assert_eq!((problem.status, problem.code), (422, "unknown_group"));
        assert_eq!(problem.field.as_deref(), Some("data.b"));
        assert_eq!(change, None);
        let open = opened("a", UnixMillis(1));
        let value = written(&steps[0].chance.change(&Groups::default(), &open));
        let (change, problem) = steps[0].after(Some(&value), UnixMillis(1)).unwrap();
        assert!(change.is_some());
        assert_eq!(problem.unwrap().field.as_deref(), Some("data.b"));
    }
}

//! Years of random requests, crashes and collections: each number acts at most once, no money is made or lost, and the
//! books of everybody agree all the time.

use std::collections::BTreeSet;

use binding::Binding;
use binding::memory::Memory;
use domain::ids::UserId;
use domain::transaction::CommitError;

use super::books::{Crashing, DAY_MS, check_user, give, terms};
use super::flows::{account, check_balanced};
use super::requests::{STAGE, at, done, keys, number};
use crate::collect;
use crate::context::Context;
use crate::keys::VerifyingKeys;
use crate::packet::unapplied::{self, Decision};
use crate::packet::{self, Funding, Kind, Order, Payment, settle};
use crate::posting;
use crate::records;
use crate::view;
use crate::withdraw::{self, Request, expire_due};

const START_MS: i64 = 1_771_257_600_250;
const USERS: [UserId; 3] = [UserId(7), UserId(8), UserId(9)];
const STEPS: u32 = 200;

/// A generator of random numbers (xorshift), so that a seed says what happens.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn user(&mut self) -> UserId {
        USERS[self.below(3) as usize]
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Told {
    /// Tokens that users hold.
    texts: Vec<(UserId, String)>,
    /// Withdrawals and packets that acted now, and not earlier.
    acted: BTreeSet<String>,
    /// Cents that rains gave.
    given: i64,
}

impl Told {
    fn acts(&mut self, name: String) {
        assert!(self.acted.insert(name.clone()), "{name} acted twice");
    }
}

/// Carries something random out; it may fail, because the instance crashes.
async fn act<B: Binding>(
    context: &Context<'_, B>,
    random: &mut Random,
    told: &mut Told,
) -> Result<(), CommitError> {
    let (user, which) = (random.user(), random.below(6));
    let partitions: Vec<_> = context.partitions.all().collect();
    let packet = packet::name(user, &number(&format!("p{which}")));
    match random.below(12) {
        0 | 1 => {
            let request = Request {
                expires_in_seconds: (which % 2 == 0).then_some(86_400),
                ..Request::of(10 + which as i64)
            };
            let name = format!("w{which}");
            match withdraw::create(context, user, &number(&name), &request).await {
                Ok((_, false)) => told.acts(format!("{user}/{name}")),
                Ok((_, true)) | Err(withdraw::Failure::Refused(_)) => {}
                Err(withdraw::Failure::Store(error)) => return Err(error),
            }
        }
        2 => {
            let name = number(&format!("w{which}"));
            let ended = match random.below(2) {
                0 => withdraw::post(context, user, &name).await,
                _ => withdraw::void(context, user, &name, None).await,
            };
            if let Err(withdraw::Failure::Store(error)) = ended {
                return Err(error);
            }
        }
        3 | 4 => {
            let funding = if which % 2 == 0 { Funding::Balance } else { Funding::Payment };
            let order = Order {
                sender: user.0,
                total: 20,
                count: 2,
                kind: Kind::Equal,
                funding,
                at: context.now.0,
                ordered_at: None,
            };
            let name = number(&format!("p{which}"));
            match packet::send(context, &name, &order, None, &mut || 0).await {
                Ok((_, false)) => told.acts(packet),
                Ok((_, true)) | Err(packet::Failure::Refused(_)) => {}
                Err(packet::Failure::Store(error)) => return Err(error),
            }
        }
        5 => {
            let payment = Payment::parse(&format!("T-{}", random.below(2)), "").unwrap();
            let paid = packet::pay(context, &packet, &payment, &mut || 0).await;
            if let Err(packet::Failure::Store(error)) = paid {
                return Err(error);
            }
        }
        6 => match packet::open(context, &packet, random.user()).await {
            Ok((opening, _)) => {
                packet::pay_opening(context, &keys(), STAGE, &packet, &opening).await?;
            }
            Err(packet::Failure::Refused(_)) => {}
            Err(packet::Failure::Store(error)) => return Err(error),
        },
        7 | 8 => {
            for partition in &partitions {
                let settled = settle(context, &keys(), STAGE, *partition, &mut || 0).await;
                for one in [settled.sent, settled.paid, settled.closed] {
                    assert_eq!(one?.stuck, []);
                }
            }
            assert_eq!(expire_due(context, &partitions).await?.stuck, []);
            for user in USERS {
                posting::post(context, user).await?;
            }
        }
        9 => {
            let live = BTreeSet::new();
            collect::user(context, user, &terms(context.now.0), &live).await?;
            let terms = terms(context.now.0);
            let (swept, _) = collect::withdrawals(context, &partitions, &terms).await?;
            assert_eq!((swept.stuck, swept.set_aside), (vec![], vec![]));
            let (swept, _) = collect::packets(context, &partitions, &terms).await?;
            assert_eq!((swept.stuck, swept.set_aside), (vec![], vec![]));
        }
        10 => {
            let (waiting, _) = unapplied::list(context, None, 1).await?;
            let decision = if which % 2 == 0 { Decision::Credit } else { Decision::Drop };
            for one in waiting {
                drop(unapplied::decide(context, &one.place, decision, Some("so")).await?);
            }
        }
        _ => {
            let of_user = told.texts.iter().filter(|(of, _)| *of == user);
            let texts: Vec<_> = of_user.map(|(_, text)| text.clone()).rev().take(20).collect();
            let keys = VerifyingKeys::parse(&keys().verifying_text(), true).unwrap();
            match view::restore(context, user, STAGE, &keys, &texts).await {
                Ok(restored) => assert_eq!(restored.tokens, 0, "nothing was lost"),
                Err(view::RestoreError::Store(error)) => return Err(error),
                Err(view::RestoreError::Wrong(wrong)) => panic!("{wrong:?}"),
            }
        }
    }
    Ok(())
}

/// What users have, hold and took, and what is in packets, is what rains and payments gave.
fn check(store: &Memory, told: &Told) {
    USERS.into_iter().for_each(|user| check_user(store, user));
    check_balanced(store);
    let pending: i64 = USERS
        .into_iter()
        .map(|user| done(view::view(&at(store, START_MS), user)).unwrap().pending)
        .sum();
    let names = [records::USERS, records::HELD, records::PAID_OUT, records::PAID_IN];
    let sum: i64 = names.map(|name| account(store, name)).iter().sum();
    let packets = account(store, records::PACKETS);
    assert_eq!(sum + packets, told.given);
    // What is owed to somebody has a token, which is not posted yet.
    assert!(packets >= 0 && pending <= packets, "{packets} in packets, {pending} pending");
}

#[test]
fn over_years_each_number_acts_once_and_no_money_is_made_or_lost() {
    for seed in 1..=6 {
        let (store, mut random, mut told) = (Memory::new(), Random(seed), Told::default());
        let mut now = START_MS;
        for step in 0..STEPS {
            now += random.below(4).pow(3) as i64 * DAY_MS / 20 * (1 + random.below(8) as i64);
            // Clocks are ten minutes off.
            let clock = now + (random.below(3) as i64 - 1) * 600_000;
            if random.below(4) == 0 {
                let user = random.user();
                let text = give(&store, user, &format!("n{step}"), 25, clock);
                told.given += 25;
                done(posting::post(&at(&store, clock), user)).unwrap();
                told.texts.push((user, text));
            }
            let commits = if random.below(4) == 0 { random.below(12) as u32 } else { u32::MAX };
            let crashing = Crashing { memory: &store, commits: commits.into() };
            let acted = done(act(&at(&crashing, clock), &mut random, &mut told));
            assert!(acted.is_ok() || commits < 12, "seed {seed}, step {step}: {acted:?}");
            if step % 10 == 0 {
                check(&store, &told);
            }
        }
        // In the end everything that is over is gone.
        for _ in 0..12 {
            now += 50 * DAY_MS;
            let context = at(&store, now);
            let partitions: Vec<_> = context.partitions.all().collect();
            for partition in &partitions {
                drop(done(settle(&context, &keys(), STAGE, *partition, &mut || 0)));
            }
            done(expire_due(&context, &partitions)).unwrap();
            while let Some(one) = done(unapplied::list(&context, None, 1)).unwrap().0.pop() {
                let decided = unapplied::decide(&context, &one.place, Decision::Drop, Some("so"));
                done(decided).unwrap().unwrap();
            }
            for user in USERS {
                done(posting::post(&context, user)).unwrap();
            }
            done(collect::withdrawals(&context, &partitions, &terms(now))).unwrap();
            done(collect::packets(&context, &partitions, &terms(now))).unwrap();
            for user in USERS {
                let live = BTreeSet::new();
                while done(collect::user(&context, user, &terms(now), &live)).unwrap().has_more {}
            }
            check(&store, &told);
        }
        assert_eq!(account(&store, records::PACKETS), 0, "seed {seed}");
    }
}

//! Rains: rounds in which users open packets of a campaign's money. Pure.
//!
//! The amount of a packet follows from its order number and a secret of the rain (SipHash-2-4, 128 bits). So the
//! same number gives the same amount, whatever was lost, and nobody else can tell what a number gives. The budget
//! is leased in cents. The last packet may be smaller than was drawn, and a rest below the smallest amount stays
//! unspent.

use std::marker::PhantomData;

use domain::answers::unexpected;
use domain::due::DueIndex;
use domain::error::InvalidInput;
use domain::money::{Amount, Currency};
use domain::order_number::{OrderNumber, Part};
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, MapKey, Member, OrderedKey};
use lease::Place;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use store::codec::Form;
use store::published::{Configuration, Publication};
use store::sealed::{Archive, Kind};
use store::{Record, Versioned};

use crate::limits::{KEPT_MS, Limits};
use crate::packet;
use crate::records;

/// Rounds of one rain: one every ten minutes for a week.
pub const ROUNDS_MAX: usize = 1_000;
/// Amounts that a table may list.
pub const CHOICES_MAX: usize = 100;
/// Weights of a table: together they stay far from overflow.
const WEIGHT_MAX: u32 = 1_000_000;
/// Cents of one packet of a rain: as much as anybody gives away at once.
const AMOUNT_MAX: i64 = 10_000_000_000;

/// So long after its end a rain may be given further rounds for which users' packets count, and the counters are there.
const SETTLED_MS: i64 = KEPT_MS + 86_400_000;

/// What the amounts of a rain follow from, beside order numbers.
pub type Secret = [u8; 16];

/// A rain, as the store keeps it: what operators wrote, and what nobody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// What operators wrote.
    pub rain: Rain,
    /// What amounts follow from, beside order numbers. Every version of a rain has the same one.
    pub secret: Secret,
}

impl Record for Stored {
    const NAME: &'static str = "a rain";
    const FORM: Form = Form::Json;
}

impl Configuration for Stored {
    fn listed(&self, id: &str) -> Member {
        listed(id, &self.rain)
    }

    fn over_at(&self) -> UnixMillis {
        self.rain.until()
    }

    fn settled_at(&self) -> UnixMillis {
        UnixMillis(self.rain.until().0.saturating_add(SETTLED_MS))
    }
}

/// The rain to which an activity and a scene belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub String);

impl Record for Owner {
    const NAME: &'static str = "the rain of a scene";
}

/// A rain, as operators write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rain {
    /// The activity it belongs to. With the scene it is this rain's alone.
    pub activity: String,
    /// The scene, which stands for one type of award.
    pub scene: String,
    /// Of all amounts.
    pub currency: Currency,
    /// Cents that the packets may cost together.
    pub budget: Amount,
    /// Cents that one packet may cost.
    pub single_cap: Amount,
    /// When packets can be opened.
    pub rounds: Vec<Round>,
    /// What is in them.
    pub amounts: Amounts,
    /// How many of them one user gets; as many as there are where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Whether it gives packets at all.
    #[serde(default = "enabled_default")]
    pub enabled: bool,
}

fn enabled_default() -> bool {
    true
}

/// A round of a rain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Its number, from 1 on; tokens carry it.
    pub round: i32,
    /// From when on packets can be opened.
    pub from: UnixMillis,
    /// Until when, that moment not included.
    pub until: UnixMillis,
}

/// How much is in a packet: `{"fixed"}`, `{"minimum", "maximum"}` or `{"choices"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AmountsBody", into = "AmountsBody")]
pub enum Amounts {
    /// Always as many cents.
    Fixed(Amount),
    /// Any number of cents between two, all as likely.
    Between {
        /// At least.
        minimum: Amount,
        /// At most.
        maximum: Amount,
    },
    /// Amounts of a table, each as likely as its weight says.
    Choices(Vec<Choice>),
}

/// As operators write it. (An enumeration without a tag would not say which field is wrong.)
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountsBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fixed: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minimum: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maximum: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<Choice>>,
}

impl TryFrom<AmountsBody> for Amounts {
    type Error = &'static str;

    fn try_from(body: AmountsBody) -> Result<Self, Self::Error> {
        match body {
            AmountsBody { fixed: Some(amount), minimum: None, maximum: None, choices: None } => {
                Ok(Self::Fixed(amount))
            }
            AmountsBody {
                fixed: None,
                minimum: Some(minimum),
                maximum: Some(maximum),
                choices: None,
            } => Ok(Self::Between { minimum, maximum }),
            AmountsBody { fixed: None, minimum: None, maximum: None, choices: Some(choices) } => {
                Ok(Self::Choices(choices))
            }
            _ => Err("must have fixed, or minimum and maximum, or choices"),
        }
    }
}

impl From<Amounts> for AmountsBody {
    fn from(amounts: Amounts) -> Self {
        let none = Self { fixed: None, minimum: None, maximum: None, choices: None };
        match amounts {
            Amounts::Fixed(amount) => Self { fixed: Some(amount), ..none },
            Amounts::Between { minimum, maximum } => {
                Self { minimum: Some(minimum), maximum: Some(maximum), ..none }
            }
            Amounts::Choices(choices) => Self { choices: Some(choices), ..none },
        }
    }
}

/// A row of a table of amounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Cents.
    pub amount: Amount,
    /// How likely, next to the others.
    pub weight: u32,
}

/// Why a rain gives nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is switched off.
    Disabled,
    /// It has no such round.
    UnknownRound,
    /// The round has not begun.
    NotStarted,
    /// The round is over.
    Ended,
}

impl Amounts {
    /// The smallest amount: with less nothing can be given.
    pub fn least(&self) -> i64 {
        match self {
            Self::Fixed(amount) => amount.minor_units(),
            Self::Between { minimum, .. } => minimum.minor_units(),
            Self::Choices(choices) => {
                choices.iter().map(|choice| choice.amount.minor_units()).min().unwrap_or(0)
            }
        }
    }

    /// The largest amount.
    pub fn most(&self) -> i64 {
        match self {
            Self::Fixed(amount) => amount.minor_units(),
            Self::Between { maximum, .. } => maximum.minor_units(),
            Self::Choices(choices) => {
                choices.iter().map(|choice| choice.amount.minor_units()).max().unwrap_or(0)
            }
        }
    }

    /// The amount that a random number stands for.
    pub fn draw(&self, random: u64) -> i64 {
        match self {
            Self::Fixed(amount) => amount.minor_units(),
            Self::Between { minimum, maximum } => {
                let span = maximum.minor_units() - minimum.minor_units() + 1;
                minimum.minor_units() + (random % span.unsigned_abs()) as i64
            }
            Self::Choices(choices) => {
                let weights: u64 = choices.iter().map(|choice| u64::from(choice.weight)).sum();
                let mut rest = random % weights.max(1);
                for choice in choices {
                    match rest.checked_sub(choice.weight.into()) {
                        Some(further) => rest = further,
                        None => return choice.amount.minor_units(),
                    }
                }
                self.least()
            }
        }
    }

    /// The path of an amount that is not right, and what is wrong with it.
    fn validate(&self, cap: i64) -> Result<(), InvalidInput> {
        let wrong = |field: String, detail: &str| Err(invalid(field, detail));
        let in_range = |field: String, amount: Amount| match amount.minor_units() {
            1..=AMOUNT_MAX if amount.minor_units() <= cap => Ok(()),
            1..=AMOUNT_MAX => Err(InvalidInput::new(
                "over_single_cap",
                field,
                "must be at most what one packet may cost",
            )),
            _ => wrong(field, "must be 1 to 10000000000"),
        };
        match self {
            Self::Fixed(amount) => in_range("amounts.fixed".into(), *amount),
            Self::Between { minimum, maximum } => {
                in_range("amounts.minimum".into(), *minimum)?;
                in_range("amounts.maximum".into(), *maximum)?;
                if minimum > maximum {
                    return wrong("amounts.maximum".into(), "must be at least the minimum");
                }
                Ok(())
            }
            Self::Choices(choices) => {
                if choices.is_empty() || choices.len() > CHOICES_MAX {
                    return wrong("amounts.choices".into(), "must have 1 to 100 amounts");
                }
                for (index, choice) in choices.iter().enumerate() {
                    in_range(format!("amounts.choices[{index}].amount"), choice.amount)?;
                    if !(1..=WEIGHT_MAX).contains(&choice.weight) {
                        let field = format!("amounts.choices[{index}].weight");
                        return wrong(field, "must be 1 to 1000000");
                    }
                }
                Ok(())
            }
        }
    }
}

impl Rain {
    /// Checks what can be told of a rain alone.
    ///
    /// # Errors
    /// `invalid_value`, `invalid_part`, `over_single_cap`, `reserved_activity`; naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        Part::parse(&self.activity, "activity")?;
        Part::parse(&self.scene, "scene")?;
        if self.activity == packet::ACTIVITY {
            let detail = "group packets have this activity";
            return Err(InvalidInput::new("reserved_activity", "activity", detail));
        }
        if self.budget.minor_units() < 0 {
            return Err(invalid("budget", "must be at least 0"));
        }
        if self.single_cap.minor_units() < 1 {
            return Err(invalid("single_cap", "must be at least 1"));
        }
        if self.rounds.is_empty() || self.rounds.len() > ROUNDS_MAX {
            return Err(invalid("rounds", "must have 1 to 1000 rounds"));
        }
        for (index, Round { round, from, until }) in self.rounds.iter().enumerate() {
            let wrong =
                |name: &str, detail| Err(invalid(format!("rounds[{index}].{name}"), detail));
            if *round < 1 {
                return wrong("round", "must be at least 1");
            }
            if self.rounds[..index].iter().any(|other| other.round == *round) {
                return wrong("round", "is there already");
            }
            if from >= until {
                return wrong("until", "must be after from");
            }
        }
        self.amounts.validate(self.single_cap.minor_units())?;
        self.limits.as_ref().map_or(Ok(()), Limits::validate)
    }

    /// Why a round gives nothing at a moment, if so.
    pub fn closed(&self, round: i32, now: UnixMillis) -> Option<Closed> {
        if !self.enabled {
            return Some(Closed::Disabled);
        }
        match self.rounds.iter().find(|one| one.round == round) {
            None => Some(Closed::UnknownRound),
            Some(one) if now < one.from => Some(Closed::NotStarted),
            Some(one) if now >= one.until => Some(Closed::Ended),
            Some(_) => None,
        }
    }

    /// What a number gives: it follows from the number and the rain's secret, so that asking again after whatever was
    /// lost gives the same, and nobody who does not know the secret can tell which numbers give much.
    pub fn amount(&self, secret: &Secret, number: &OrderNumber) -> i64 {
        let random = SipHasher24::new_with_key(secret).hash(number.as_str().as_bytes());
        self.amounts.draw(random)
    }

    /// When its last round is over.
    pub fn until(&self) -> UnixMillis {
        self.rounds.iter().map(|round| round.until).max().unwrap_or(UnixMillis(i64::MAX))
    }

    /// The field that cannot change any more between two versions.
    pub fn fixed_field(&self, next: &Self) -> Option<&'static str> {
        if self.activity != next.activity {
            Some("activity")
        } else if self.scene != next.scene {
            Some("scene")
        } else if self.currency != next.currency {
            Some("currency")
        } else {
            None
        }
    }
}

fn invalid(field: impl Into<String>, detail: &str) -> InvalidInput {
    InvalidInput::new("invalid_value", field, detail)
}

/// The pool: what was published, and cents that no partition has.
pub fn pool(rain: &str) -> MapKey {
    MapKey(format!("mf{rain}"))
}

/// The copy that everybody reads.
pub fn notice(rain: &str) -> MapKey {
    MapKey(format!("mg{rain}"))
}

/// A partition's lease of the budget.
pub fn lease(rain: &str) -> MapKey {
    MapKey(format!("mb{rain}"))
}

/// Where it is known whose an activity and a scene are.
pub fn owner(partitions: Partitions, activity: &str, scene: &str) -> Versioned<Owner> {
    let home = partitions.of_configuration(&format!("rain-of:{activity}/{scene}"));
    Versioned::new(home, MapKey(format!("ms{activity}/{scene}")), "rain")
}

/// All rains there are, by their names, with the activity and the scene of each, which never change: so whoever
/// checks books knows all funds by the list alone.
pub fn all() -> OrderedKey {
    "mi".into()
}

/// The member of a rain in [`all`]. Names are parts, which have no space.
pub fn listed(id: &str, rain: &Rain) -> Member {
    Member(format!("{id} {}/{}", rain.activity, rain.scene).into_bytes())
}

/// A rain of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// The account of its fund.
    pub fund: String,
}

/// The rain of a member of [`all`].
///
/// # Errors
/// It is none.
pub fn listed_of(member: &Member) -> Result<Listed, CommitError> {
    let text = std::str::from_utf8(&member.0).map_err(|_| unexpected())?;
    let (id, of) = text.split_once(' ').ok_or_else(unexpected)?;
    let (activity, scene) = of.split_once('/').ok_or_else(unexpected)?;
    Ok(Listed { id: id.to_owned(), fund: records::fund(activity, scene) })
}

/// Rains whose leases are to be taken back: when each gives nothing any more ([`Rain::until`]), and which. An
/// entry of an earlier end may stay when a rain is published again; whoever meets it looks at the rain.
pub const OVER: DueIndex = DueIndex("mh");

/// Where rains are sealed, beside [`all`].
pub const ARCHIVE: Archive =
    Archive { kind: Kind::Rain, due: DueIndex("mis"), records: "miz", ends: DueIndex("miy") };

/// Where the lists lie.
pub fn home_of_all(partitions: Partitions) -> Partition {
    partitions.of_configuration("rains")
}

/// Where a rain is published: its pool decides, and the notice is the copy.
pub fn publication(partitions: Partitions, rain: &str) -> Publication<Stored> {
    let Place { partition, pool, .. } = place(partitions, rain);
    Publication {
        id: rain.to_owned(),
        home: (partition, pool),
        copy: (partitions.of_configuration(&format!("rain:{rain}")), notice(rain)),
        lists: home_of_all(partitions),
        list: all(),
        over: OVER,
        archive: ARCHIVE,
        kind: PhantomData,
    }
}

/// Where the budget lies.
pub fn place(partitions: Partitions, rain: &str) -> Place {
    Place {
        partition: partitions.of_configuration(&format!("rain-pool:{rain}")),
        pool: pool(rain),
        lease: lease(rain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(cents: i64) -> Amount {
        Amount::new(cents).unwrap()
    }

    fn rain() -> Rain {
        Rain {
            activity: "spring".into(),
            scene: "rain".into(),
            currency: Currency::parse("CNY").unwrap(),
            budget: cents(100_000),
            single_cap: cents(500),
            rounds: vec![Round { round: 1, from: UnixMillis(10), until: UnixMillis(20) }],
            amounts: Amounts::Between { minimum: cents(1), maximum: cents(500) },
            limits: None,
            enabled: true,
        }
    }

    #[test]
    fn wrong_rains_name_the_field() {
        assert_eq!(rain().validate(), Ok(()));
        let choices =
            |amount, weight| Amounts::Choices(vec![Choice { amount: cents(amount), weight }]);
        type Change<'a> = &'a dyn Fn(&mut Rain);
        let none = Limits { per_user: None, per_round: None };
        let table: [(Change<'_>, &str, &str); 14] = [
            (&|rain| rain.activity = "A".into(), "invalid_part", "activity"),
            (&|rain| rain.activity = "red-packet".into(), "reserved_activity", "activity"),
            (&|rain| rain.budget = cents(-1), "invalid_value", "budget"),
            (&|rain| rain.single_cap = cents(0), "invalid_value", "single_cap"),
            (&|rain| rain.rounds.clear(), "invalid_value", "rounds"),
            (&|rain| rain.rounds[0].round = 0, "invalid_value", "rounds[0].round"),
            (&|rain| rain.rounds.push(rain.rounds[0].clone()), "invalid_value", "rounds[1].round"),
            (&|rain| rain.rounds[0].until = UnixMillis(10), "invalid_value", "rounds[0].until"),
            (&|rain| rain.single_cap = cents(499), "over_single_cap", "amounts.maximum"),
            (&|rain| rain.amounts = Amounts::Fixed(cents(0)), "invalid_value", "amounts.fixed"),
            (&|rain| rain.limits = Some(none), "invalid_value", "limits"),
            (&|rain| rain.amounts = Amounts::Choices(vec![]), "invalid_value", "amounts.choices"),
            (
                &|rain| rain.amounts = choices(501, 1),
                "over_single_cap",
                "amounts.choices[0].amount",
            ),
            (&|rain| rain.amounts = choices(5, 0), "invalid_value", "amounts.choices[0].weight"),
        ];
        for (change, code, field) in table {
            let mut wrong = rain();
            change(&mut wrong);
            let error = wrong.validate().unwrap_err();
            assert_eq!((error.code, error.field.as_str()), (code, field));
        }
    }

    #[test]
    fn amounts_follow_from_each_byte_of_the_secret() {
        let number = OrderNumber::parse("7_a", "n").unwrap();
        let wide = Amounts::Between { minimum: cents(1), maximum: cents(10_000_000_000) };
        let rain = Rain { amounts: wide, ..rain() };
        let amount = |secret: &Secret| rain.amount(secret, &number);
        assert_eq!(amount(&[7; 16]), amount(&[7; 16]));
        for place in 0..16 {
            let mut other = [7; 16];
            other[place] ^= 1;
            assert_ne!(amount(&other), amount(&[7; 16]), "{place}");
        }
    }

    #[test]
    fn a_rain_of_the_list_tells_its_fund() {
        let listed = listed_of(&listed("r-1", &rain())).unwrap();
        assert_eq!((listed.id.as_str(), listed.fund.as_str()), ("r-1", "fund:spring/rain"));
        for wrong in ["r", "r spring"] {
            assert!(listed_of(&wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rain_has_at_most_a_thousand_rounds() {
        let with = |count: i32| {
            let round = |round| Round { round, from: UnixMillis(10), until: UnixMillis(20) };
            Rain { rounds: (1..=count).map(round).collect(), ..rain() }.validate()
        };
        assert_eq!(with(1_000), Ok(()));
        for count in [1_001, 1_002] {
            assert_eq!(with(count).unwrap_err().field, "rounds", "{count}");
        }
    }

    #[test]
    fn amounts_are_read_and_written_as_operators_write_them() {
        let read = serde_json::from_str::<Amounts>;
        for text in [
            r#"{"fixed":"5"}"#,
            r#"{"minimum":"1","maximum":"9"}"#,
            r#"{"choices":[{"amount":"5","weight":1}]}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        for text in ["{}", r#"{"fixed":5,"minimum":1}"#, r#"{"minimum":1}"#, r#"{"other":1}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_round_is_open_from_its_beginning_to_before_its_end() {
        let closed = |round, now| rain().closed(round, UnixMillis(now));
        assert_eq!(closed(1, 9), Some(Closed::NotStarted));
        assert_eq!((closed(1, 10), closed(1, 19)), (None, None));
        assert_eq!(closed(1, 20), Some(Closed::Ended));
        assert_eq!(closed(2, 10), Some(Closed::UnknownRound));
    }

    #[test]
    fn amounts_lie_in_their_bounds_and_follow_the_weights() {
        let number = |index: u64| OrderNumber::parse(&format!("{index}_a"), "n").unwrap();
        let mut seen = [0_u32; 501];
        for index in 0..100_000 {
            seen[rain().amount(&[7; 16], &number(index)) as usize] += 1;
        }
        assert_eq!(seen[0], 0);
        // 200 each on average; six standard deviations are 85.
        assert!(seen[1..].iter().all(|count| (115..285).contains(count)), "{seen:?}");
        let one = Choice { amount: cents(100), weight: 9 };
        let two = Choice { amount: cents(900), weight: 1 };
        let table = Amounts::Choices(vec![one, two]);
        let high = (0..100_000).filter(|random| table.draw(*random) == 900).count();
        assert_eq!((high, table.least(), table.most()), (10_000, 100, 900));
        assert_eq!(Amounts::Fixed(cents(5)).draw(u64::MAX), 5);
    }
}

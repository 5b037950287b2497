//! Runs schedules of the simulation: one seed, whose story is told, or many.

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use end_to_end::app::{Place, root};
use indicatif::{ProgressBar, ProgressStyle};
use simulation::functions::FUNCTIONS;
use simulation::lives;
use simulation::long_run::{self, Kept, Scale};
use simulation::many::run_all;
use simulation::plan::{At, FAULTS, Plan, Reduction, StepId};
use simulation::run::tell;
use simulation::shrink::shrink;

/// Schedules after which the progress is told where there is no terminal.
const TOLD_EVERY: u64 = 1_000;
/// Fewer are few.
const FEW_DAYS: u64 = 200;
/// Days after which it is told.
const DAYS_TOLD_EVERY: u64 = 10;

/// Runs schedules of users, operators and faults on the real components, each from one seed. After every step
/// the whole store is checked. A seed that fails is shrunk and printed, and fails again.
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Arguments {
    /// Writes the table of the lives of all records into ARCHITECTURE.md, and runs nothing.
    #[arg(long)]
    write_lives: bool,
    /// Only these functions; else each seed draws some.
    #[arg(long)]
    of: Vec<String>,
    /// Runs one seed and tells its story.
    #[arg(long, conflicts_with_all = ["from", "count"])]
    seed: Option<u64>,
    /// Runs so many days of a shop instead, and says how large the store is on each.
    #[arg(long, conflicts_with_all = ["from", "count", "seed", "of"])]
    days: Option<u64>,
    /// With so many users who come every day.
    #[arg(long, default_value_t = 200, requires = "days")]
    users: u64,
    /// What each of them asks on a day, at most 24 times.
    #[arg(long, default_value_t = 6, requires = "days", value_parser = clap::value_parser!(u32).range(1..=24))]
    asks_a_day: u32,
    /// Checks all books after so many days, and at the end.
    #[arg(long, default_value_t = 1, requires = "days", value_parser = clap::value_parser!(u64).range(1..))]
    check_days: u64,
    /// Keeps what is over for as long as an app does that nobody configured; the store grows for as long then.
    #[arg(long, requires = "days")]
    default_retention: bool,
    /// The first seed of many.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// How many at the same time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Goes on after a seed that fails, and lists all of them.
    #[arg(long)]
    keep_going: bool,
    /// Does not make a seed small that fails.
    #[arg(long)]
    no_shrink: bool,
    /// Faults that do not happen, by name.
    #[arg(long)]
    without: Vec<String>,
    /// Only these steps, as a shrunk schedule lists them: `client.step,...`.
    #[arg(long, value_delimiter = ',')]
    steps: Option<Vec<StepId>>,
    /// Only these faults, as a shrunk schedule lists them: `call:name[:milliseconds],...`.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    faults: Option<Vec<At>>,
}

impl Arguments {
    fn reduction(&self) -> Result<Reduction> {
        let names: BTreeSet<_> = self.of.iter().map(|name| function_of(name).to_owned()).collect();
        for name in &names {
            if !FUNCTIONS.iter().any(|function| function.name == name) {
                let known: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
                bail!("--of {name}: there are {}", known.join(", "));
            }
        }
        for fault in &self.without {
            if !FAULTS.contains(&fault.as_str()) {
                bail!("{fault} is no fault: there are {}", FAULTS.join(", "));
            }
        }
        let faults = self.faults.as_ref();
        Ok(Reduction {
            functions: (!names.is_empty()).then_some(names),
            without: self.without.iter().cloned().collect(),
            steps: self.steps.as_ref().map(|steps| steps.iter().copied().collect()),
            faults: faults.map(|faults| faults.iter().map(|at| (at.0, at.1)).collect()),
        })
    }
}

/// Functions that are simulated together go by the name of what they have in common.
fn function_of(name: &str) -> &str {
    match name {
        "red-packet" | "balance" => "wallet",
        "settlement" => "operations",
        "events" => "new-user",
        name => name,
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.write_lives {
        let path = root().join("ARCHITECTURE.md");
        let document = fs::read_to_string(&path)?;
        let written = lives::written_into(&document).context("it has no place for the table")?;
        fs::write(path, written)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(days) = arguments.days {
        return many_days(days, &arguments);
    }
    let reduction = arguments.reduction()?;
    match arguments.seed {
        Some(seed) => Ok(one(seed, &reduction)),
        None => Ok(many(&arguments, &reduction)),
    }
}

/// Tells the story of a seed; of one that fails, the story of what is left when it is shrunk.
fn one(seed: u64, reduction: &Reduction) -> ExitCode {
    let place = Place::redis();
    let plan = Plan::draw(seed, reduction);
    println!("functions: {:?}", plan.functions);
    println!("faults: {:?}", plan.faults);
    println!("pages of {:?} entries, jumps {}", plan.page_entries_max, plan.jumps);
    let (lines, result) = tell(&place, &plan);
    println!("{}", lines.join("\n"));
    match result {
        Ok(report) => {
            println!("\nall of it holds: {report:#?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("\n{}\n  checked at {}\n", failure.message, failure.place);
            print_shrunk(&place, seed, reduction);
            ExitCode::FAILURE
        }
    }
}

fn print_shrunk(place: &Place, seed: u64, reduction: &Reduction) {
    match shrink(place, seed, reduction) {
        Ok(shrunk) => println!("== seed {seed}, shrunk\n{}", shrunk.text(seed)),
        Err(error) => println!("== seed {seed}: {error}, a second time"),
    }
}

/// Many days: 30 campaigns and 1,500 rains in 400 of them. In few of them less is kept, so that the store is as large as
/// it gets in the middle of them.
fn many_days(days: u64, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { users, asks_a_day, check_days, default_retention, .. } = *arguments;
    let of = if days < FEW_DAYS { Scale::of_few_days } else { Scale::of_days };
    let mut scale = Scale { asks_a_day, check_days, ..of(days, users) };
    if default_retention {
        scale.kept = Kept::Default;
    }
    let bar = ProgressBar::new(days);
    let style = ProgressStyle::with_template("{pos} of {len} days, {elapsed}, {eta} left");
    bar.set_style(style.expect("a template"));
    bar.enable_steady_tick(Duration::from_secs(1));
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(long_run::run(scale, |day, size| {
        bar.inc(1);
        if bar.is_hidden() && day.is_multiple_of(DAYS_TOLD_EVERY) {
            let bytes = size.map_or(0, |size| size.bytes);
            println!("day {day} after {:.0?}: {bytes} bytes", bar.elapsed());
        }
    }));
    bar.abandon();
    print!("{}", report.text());
    println!("in {:.0?}", bar.elapsed());
    let grown = report.growth();
    println!("{}", grown.text);
    Ok(if grown.is_constant || default_retention { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn many(arguments: &Arguments, reduction: &Reduction) -> ExitCode {
    let bar = ProgressBar::new(arguments.count);
    let style = ProgressStyle::with_template("{pos} of {len} schedules, {elapsed}, {eta} left");
    bar.set_style(style.expect("a template"));
    bar.enable_steady_tick(Duration::from_secs(1));
    let seeds: Vec<_> =
        (0..arguments.count).map(|number| arguments.from.wrapping_add(number)).collect();
    let done = run_all(&seeds, arguments.threads, reduction, arguments.keep_going, |_| {
        bar.inc(1);
        // A bar is drawn on a terminal only.
        if bar.is_hidden() && bar.position().is_multiple_of(TOLD_EVERY) {
            println!(
                "{} of {} schedules after {:.0?}",
                bar.position(),
                arguments.count,
                bar.elapsed()
            );
        }
    });
    bar.abandon();
    println!("{}in {:.0?}", done.text(), bar.elapsed());
    let Some((seed, _)) = done.failed.first() else { return ExitCode::SUCCESS };
    if arguments.no_shrink {
        return ExitCode::FAILURE;
    }
    print_shrunk(&Place::redis(), *seed, reduction);
    ExitCode::FAILURE
}

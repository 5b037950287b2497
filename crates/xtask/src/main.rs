//! `cargo xtask <command>`; the library says what the commands do.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{
    bench, build, bulk, ci, defects, demo, evaluate, export, generate, import, mutants, setup,
    simulate, test, up,
};

#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "Everything that is done with this repository"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Up(up::Arguments),
    Demo(demo::Arguments),
    Evaluate(evaluate::Arguments),
    Import(import::Arguments),
    Bulk(bulk::Arguments),
    Export(export::Arguments),
    Generate(generate::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Simulate(simulate::Arguments),
    Defects(defects::Arguments),
    Mutants(mutants::Arguments),
    Ci(ci::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Bulk(arguments) => bulk::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Defects(arguments) => defects::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Ci(arguments) => ci::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the backtrace: what went wrong is outside this program.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask simulate`: schedules of the simulation, one seed again or many.

use std::process::Command;

use crate::setup::need::Need;
use crate::{build, native, process, setup, workspace};

/// The simulator's binary.
pub const NAME: &str = "simulate";

/// Sets up, builds the components and runs schedules of the simulation.
///
/// All arguments are the simulator's own: `cargo xtask simulate --help` shows them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Passed on to the simulator.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    simulate: Vec<String>,
}

/// Runs the schedules.
///
/// # Errors
/// When something cannot be provided or built, or an invariant does not hold.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::tool(Need::Redis)?;
    build::build(&workspace::components()?)?;
    process::run(Command::new(native::program(NAME)?).args(&arguments.simulate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    enum Command {
        Simulate(Arguments),
    }

    #[test]
    fn every_argument_is_the_simulators() {
        for line in ["", "--of coupon --of wallet --seed 7", "--help", "-h x -- y"] {
            let given: Vec<_> = line.split_whitespace().collect();
            let command = ["xtask", "simulate"].iter().chain(&given);
            let Command::Simulate(arguments) = Command::try_parse_from(command).expect(line);
            assert_eq!(arguments.simulate, given);
        }
    }
}

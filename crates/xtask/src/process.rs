//! Running other programs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Shows the command, runs it with its output on ours, and waits. It reads nothing from us: CI has
/// no stdin, and a program that asks a question there must fail instead of waiting.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    announce(command);
    let line = display(command);
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Shows the command that is about to run.
pub fn announce(command: &Command) {
    eprintln!("> {}", display(command));
}

/// What the command writes to its standard output.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = display(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` writes no text"))
}

/// What the command writes, or nothing where it is not there or fails: to find out what this
/// machine has.
#[must_use]
pub fn probe(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is found.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The command as one would type it, with what it changes in the environment.
fn display(command: &Command) -> String {
    let changed = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.display(), value.display()))
    });
    let program = PathBuf::from(command.get_program());
    // Cargo calls itself by its full path; nobody types that.
    let cargo = std::env::var_os("CARGO").is_some_and(|cargo| cargo == program.as_os_str());
    let program = if cargo { "cargo".to_owned() } else { program.display().to_string() };
    let arguments = command.get_args().map(|argument| argument.display().to_string());
    changed.chain([program]).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_environment_program_and_arguments() {
        let mut command = Command::new("/usr/bin/cargo");
        command.env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO").args(["build", "--release"]);
        assert_eq!(display(&command), "RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --release");
    }

    #[test]
    fn fails_when_the_program_fails_or_is_missing() {
        assert!(run(&mut Command::new("true")).is_ok());
        assert!(run(&mut Command::new("false")).is_err());
        assert!(run(&mut Command::new("no-such-program-here")).is_err());
        assert_eq!(probe("no-such-program-here", &[]), None);
    }
}

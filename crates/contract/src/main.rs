//! `contract [--check]`, in the folder of the repository: `cargo xtask generate` calls it.

use std::path::Path;

use anyhow::{Context, bail};
use contract::COMMAND;

fn main() -> anyhow::Result<()> {
    let repository = Path::new(".");
    match std::env::args().nth(1).as_deref() {
        Some("--check") => {
            let outdated = contract::outdated(repository)?;
            if !outdated.is_empty() {
                bail!("not as the contracts say: {}; run `{COMMAND}`", outdated.join(", "));
            }
        }
        Some(other) => bail!("{other:?} is no argument"),
        None => {
            for file in contract::files(repository)? {
                std::fs::write(repository.join(file.path), &file.text)
                    .with_context(|| format!("cannot write {}", file.path))?;
                println!("{:>9} bytes  {}", file.text.len(), file.path);
            }
        }
    }
    Ok(())
}

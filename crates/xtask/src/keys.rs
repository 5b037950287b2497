//! The keys of tokens for `cargo xtask up`: those that are given, or one for development.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wallet::keys::SigningKeys;

/// The variables of seeds, of public keys, and whether keys may be for development.
pub const SIGNING: &str = "token_signing_keys";
const VERIFYING: &str = "token_verifying_keys";
const DEVELOPMENT: &str = "development";

/// Where the key for development lies, so that tokens survive a restart.
const FILE: &str = "development-token-key";
/// Its id: keys whose id begins with `dev-` are refused in production.
const ID: &str = "dev-1";

/// Whether it is the key for development.
#[must_use]
pub fn is_for_development(signing_keys: &str) -> bool {
    signing_keys.starts_with(ID)
}

/// Adds what is missing: a key for development where no keys are given, public keys where seeds are.
///
/// # Errors
/// Keys that are none, public keys without seeds, or a file that cannot be made.
pub fn complete(variables: &mut Vec<(String, String)>, state: &Path) -> anyhow::Result<()> {
    let value = |name: &str| {
        // The last one counts, as in any list of settings.
        let found = variables.iter().rev().find(|(found, _)| found == name);
        found.map(|(_, value)| value.clone())
    };
    let (signing, verifying) = (value(SIGNING), value(VERIFYING));
    let development = value(DEVELOPMENT);
    let mut add = |name: &str, value: String| variables.push((name.to_owned(), value));
    match (signing, verifying) {
        (None, Some(_)) => bail!("{VERIFYING} without {SIGNING}: give both, or neither"),
        (Some(_), Some(_)) => {}
        (Some(signing), None) => {
            add(VERIFYING, public(&signing, development.as_deref() == Some("true"))?);
        }
        (None, None) => {
            if development.is_some_and(|development| development != "true") {
                bail!("without {DEVELOPMENT}=true give {SIGNING}");
            }
            let signing = development_key(state)?;
            let path = state.join(FILE);
            let verifying = public(&signing, true)
                .with_context(|| format!("{}: delete it for another key", path.display()))?;
            add(SIGNING, signing);
            add(VERIFYING, verifying);
            add(DEVELOPMENT, "true".to_owned());
        }
    }
    Ok(())
}

fn public(signing: &str, development: bool) -> anyhow::Result<String> {
    // What is wrong is told by position: no error holds key material.
    let keys = SigningKeys::parse(signing, development).context(SIGNING)?;
    Ok(keys.verifying_text())
}

/// The key for development: made once, then read.
fn development_key(state: &Path) -> anyhow::Result<String> {
    let path = state.join(FILE);
    std::fs::create_dir_all(state).with_context(|| state.display().to_string())?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => {
            let key = format!("{ID}:{}", URL_SAFE_NO_PAD.encode(random_seed()?));
            file.write_all(key.as_bytes()).with_context(|| path.display().to_string())?;
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string());
            Ok(text?.trim().to_owned())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn random_seed() -> anyhow::Result<[u8; 32]> {
    const SOURCE: &str = "/dev/urandom";
    let mut seed = [0; 32];
    File::open(SOURCE).and_then(|mut source| source.read_exact(&mut seed)).context(SOURCE)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "k1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    fn completed(given: &[(&str, &str)], state: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut variables = given.iter().map(own).collect();
        complete(&mut variables, state)?;
        Ok(variables)
    }

    #[test]
    fn without_keys_one_for_development_is_made_once() {
        let state = tempfile::tempdir().unwrap();
        let inside = state.path().join("not-there-yet");
        let first = completed(&[], &inside).unwrap();
        assert_eq!(first, completed(&[], &inside).unwrap());
        let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [SIGNING, VERIFYING, DEVELOPMENT]);
        assert!(is_for_development(&first[0].1));
        let keys = SigningKeys::parse(&first[0].1, true).unwrap();
        assert_eq!((keys.verifying_text(), "true"), (first[1].1.clone(), &*first[2].1));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(first[0].1, completed(&[], other.path()).unwrap()[0].1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = inside.join(FILE).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn given_keys_stay_and_public_ones_follow_from_them() {
        let state = tempfile::tempdir().unwrap();
        let public = SigningKeys::parse(SEED, false).unwrap().verifying_text();
        let both = [(SIGNING, SEED), (VERIFYING, "k0:another")];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        assert_eq!(
            completed(&both, state.path()).unwrap(),
            both.iter().map(own).collect::<Vec<_>>()
        );
        let derived = completed(&[(SIGNING, SEED)], state.path()).unwrap();
        assert_eq!(derived[1..], [(VERIFYING.to_owned(), public)]);
        assert!(!is_for_development(&derived[0].1));
        assert!(!state.path().join(FILE).exists());
    }

    #[test]
    fn wrong_keys_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let development = SEED.replace("k1", "dev-1");
        let table: [&[(&str, &str)]; 4] = [
            &[(VERIFYING, "k1:x")],
            &[(SIGNING, "k1:x")],
            &[(SIGNING, &development)],
            &[(DEVELOPMENT, "false")],
        ];
        for given in table {
            assert!(completed(given, state.path()).is_err(), "{given:?}");
        }
        assert!(completed(&[(SIGNING, &development), (DEVELOPMENT, "true")], state.path()).is_ok());
        std::fs::write(state.path().join(FILE), "cut off").unwrap();
        let error = completed(&[], state.path()).unwrap_err();
        assert!(format!("{error:#}").contains("delete it"), "{error:#}");
    }
}

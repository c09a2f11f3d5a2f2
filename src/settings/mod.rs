//! The agent's settings, in three types so that nothing half-checked travels through the code:
//! [`Fragment`]s (one file, the environment, the flags: known keys, nothing else checked) are merged into [`Inputs`]
//! (every key has a value), which are validated into [`Settings`] (durations, addresses, paths). Nothing later
//! checks again.

mod fragment;
mod inputs;
mod location;
mod source;
#[cfg(test)]
mod tests;
mod validated;

use std::ffi::OsString;
use std::path::Path;

pub use fragment::{ENVIRONMENT_PREFIX, Fragment};
pub use inputs::Inputs;
pub use source::{Location, Source};
pub use validated::{Extra, Install, Lifecycle, OnFailure, OnMissing, Settings};

use crate::cause::Cause;
use crate::files::{self, ReadError, Root};
use crate::secret::Secrets;

/// Where the settings file lies, under the root.
pub const SETTINGS_FILE: &str = "/etc/boot-agent/agent.toml";

/// The most bytes that the settings file may have.
const LARGEST: usize = 1 << 20;

/// Reads every fragment, merges and validates them: flags before environment before file before defaults.
///
/// `config` is the file that `--config` names (which must then exist); otherwise [`SETTINGS_FILE`] is read if it is
/// there.
///
/// # Errors
/// A cause of class config whose kind starts with `settings.`; `host.file` if the file cannot be read,
/// `host.unsafe_file` if others may write it.
pub fn load(
    root: &Root,
    config: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    flags: Fragment,
    secrets: &Secrets,
) -> Result<Settings, Cause> {
    let file = read(root, config, secrets)?;
    if let Some(file) = &file {
        file.refuse_unknown()?;
    }
    let fragments = file.into_iter().chain([Fragment::from_environment(environment)?, flags]).collect();
    let inputs = Inputs::merge(fragments)?;
    secrets.register_text(&toml::to_string(&inputs).unwrap_or_default());
    Settings::new(inputs)
}

/// As [`load`], for a boot, which has to report what is wrong with the settings and needs some for that: with the first
/// fault come those that are valid by themselves, and the default of each other.
///
/// # Errors
/// `settings.defaults`.
pub fn load_usable<E: Iterator<Item = (OsString, OsString)>>(
    root: &Root,
    config: Option<&Path>,
    environment: impl Fn() -> E,
    flags: Fragment,
    secrets: &Secrets,
) -> Result<(Settings, Option<Cause>), Cause> {
    let fault = match load(root, config, environment(), flags.clone(), secrets) {
        Ok(settings) => return Ok((settings, None)),
        Err(cause) => cause,
    };
    let file = read(root, config, secrets).ok().flatten();
    let variables =
        environment().filter_map(|variable| Fragment::from_environment([variable].into_iter()).ok());
    let mut usable = Vec::new();
    for single in file.into_iter().chain(variables).chain([flags]).flat_map(|fragment| fragment.singles()) {
        usable.push(single);
        if validated(usable.clone()).is_err() {
            usable.pop();
        }
    }
    Ok((validated(usable)?, Some(fault)))
}

fn read(root: &Root, config: Option<&Path>, secrets: &Secrets) -> Result<Option<Fragment>, Cause> {
    let path = config.map_or_else(|| root.path(SETTINGS_FILE), Path::to_path_buf);
    match files::read_trusted(&path, LARGEST) {
        Ok(text) => {
            // Before anything complains about it.
            secrets.register_text(&String::from_utf8_lossy(&text));
            Fragment::from_toml(&text, &path.display().to_string()).map(Some)
        }
        Err(ReadError::NotFound) if config.is_none() => Ok(None),
        Err(error) => Err(error.cause(&path)),
    }
}

fn validated(fragments: Vec<Fragment>) -> Result<Settings, Cause> {
    Settings::new(Inputs::merge(fragments)?)
}

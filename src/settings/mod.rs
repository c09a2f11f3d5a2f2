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
use std::fs;
use std::io;
use std::path::Path;

pub use fragment::{ENVIRONMENT_PREFIX, Fragment};
pub use inputs::Inputs;
pub use source::{Location, Source};
pub use validated::{Extra, Install, Lifecycle, OnFailure, OnMissing, Settings};

use crate::cause::Cause;
use crate::files::{self, Root};
use crate::secret::Secrets;

/// Where the settings file lies, under the root.
pub const SETTINGS_FILE: &str = "/etc/boot-agent/agent.toml";

/// Reads every fragment, merges and validates them: flags before environment before file before defaults.
///
/// `config` is the file that `--config` names (which must then exist); otherwise [`SETTINGS_FILE`] is read if it is
/// there.
///
/// # Errors
/// A cause of class config whose kind starts with `settings.`; `host.file` if the file cannot be read.
pub fn load(
    root: &Root,
    config: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    flags: Fragment,
    secrets: &Secrets,
) -> Result<Settings, Cause> {
    let path = config.map_or_else(|| root.path(SETTINGS_FILE), Path::to_path_buf);
    let file = match fs::read_to_string(&path) {
        Ok(text) => {
            // Before anything complains about it.
            secrets.register_text(&text);
            Some(Fragment::from_toml(&text, &path.display().to_string())?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.is_none() => None,
        Err(error) => return Err(files::failed("read", &path, &error)),
    };
    let mut fragments: Vec<Fragment> = file.into_iter().collect();
    fragments.push(Fragment::from_environment(environment)?);
    fragments.push(flags);
    let inputs = Inputs::merge(fragments)?;
    secrets.register_text(&toml::to_string(&inputs).unwrap_or_default());
    Settings::new(inputs)
}

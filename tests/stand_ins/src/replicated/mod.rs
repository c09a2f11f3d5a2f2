//! What runs inside the containers that the installer's stand-in starts: the command line of Replicated, and the app.
//!
//! All of it follows one directory that the installer mounts, so that a test says what the app does by writing files
//! there, before the install or while it runs.

use std::io;
use std::path::{Path, PathBuf};

use timeline::{Moment, Timeline};

pub mod commands;
pub mod frontend;
pub mod timeline;

/// The directory of the files that say what the app does.
#[derive(Clone, Debug)]
pub struct Script(PathBuf);

impl Script {
    /// As the installer mounts it.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// A file's text, if the file is there.
    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    /// What the timeline says of this moment; `None` while no app is installed.
    ///
    /// # Errors
    /// When the timeline or the time of the install cannot be read.
    pub fn now(&self) -> io::Result<Option<Moment>> {
        let Some(installed) = self.text("installed") else {
            return Ok(None);
        };
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let elapsed = seconds(&uptime)? - seconds(&installed)?;
        let timeline: Timeline = match self.text("timeline") {
            Some(written) => {
                written.parse().map_err(|error: String| io::Error::new(io::ErrorKind::InvalidData, error))?
            }
            None => Timeline::default(),
        };
        Ok(timeline.at(elapsed))
    }
}

/// The first word of `/proc/uptime`, which is the same inside and outside of a container.
fn seconds(uptime: &str) -> io::Result<f64> {
    let word = uptime.split_whitespace().next().unwrap_or_default();
    word.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("not an uptime: {uptime}")))
}

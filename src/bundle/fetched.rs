//! The fetched, unvalidated bundle.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file_name::FileName;
use super::package::Package;
use crate::cause::Cause;

/// One of the four files that every bundle has, in the order in which they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum BundleFile {
    /// The app's settings, imported by Replicated at its first start.
    #[serde(rename = "settings.conf")]
    Settings,
    /// Replicated's unattended-install configuration.
    #[serde(rename = "replicated.conf")]
    Replicated,
    /// The licence.
    #[serde(rename = "license.rli")]
    License,
    /// Shell assignments that the app sources, among them the database addresses.
    #[serde(rename = "circle-installation-customizations")]
    Customizations,
}

impl BundleFile {
    /// All four.
    pub const ALL: [BundleFile; 4] =
        [BundleFile::Settings, BundleFile::Replicated, BundleFile::License, BundleFile::Customizations];

    /// The object's name at the source, also used in messages.
    pub fn name(self) -> &'static str {
        match self {
            BundleFile::Settings => "settings.conf",
            BundleFile::Replicated => "replicated.conf",
            BundleFile::License => "license.rli",
            BundleFile::Customizations => "circle-installation-customizations",
        }
    }

    /// Its path on the box.
    pub fn installed_path(self) -> &'static str {
        match self {
            BundleFile::Settings => "/etc/settings.conf",
            BundleFile::Replicated => "/etc/replicated.conf",
            BundleFile::License => "/etc/license.rli",
            BundleFile::Customizations => "/etc/circle-installation-customizations",
        }
    }
}

impl fmt::Display for BundleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A further file that the box needs before the app's first start, e.g. encryption keys.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Absolute path on the box.
    pub path: PathBuf,
    /// Permission bits; `None` for the bundle's own 0640.
    pub mode: Option<u32>,
    /// The bytes to place.
    pub content: Vec<u8>,
}

impl fmt::Debug for ExtraFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtraFile")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .field("bytes", &self.content.len())
            .finish()
    }
}

/// One file to put on the box.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Placement<'b> {
    /// Absolute path on the box.
    pub path: &'b Path,
    /// The bytes, exactly as they came.
    pub content: &'b [u8],
    /// Permission bits, if not the bundle's own 0640.
    pub mode: Option<u32>,
}

impl fmt::Debug for Placement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placement({}, {} bytes)", self.path.display(), self.content.len())
    }
}

/// What came from a source. `Debug` shows sizes, never content.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes of each file that was there.
    pub files: BTreeMap<BundleFile, Vec<u8>>,
    /// The extra files.
    pub extra: Vec<ExtraFile>,
    /// The airgap packages, which are too large to be fetched; `None` if it is not known which there are.
    pub packages: Option<Vec<Package>>,
    /// Of the four, what is known about those that did not come.
    pub lacking: BTreeMap<BundleFile, Lacking>,
    /// Where it came from, as a person would type it in a command: a directory, or an address that begins with `s3://`;
    /// empty if commands are to name the files alone.
    pub place: String,
}

/// What is known about a missing one of the four files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Why it was not read, though something is there.
    pub cause: Option<Cause>,
    /// The name of a file that is there and may be the one meant.
    pub near: Option<String>,
    /// What that file holds; empty if it was not read.
    pub content: Vec<u8>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: BTreeMap<_, _> =
            self.files.iter().map(|(file, bytes)| (file.name(), bytes.len())).collect();
        f.debug_struct("Fetched").field("bytes", &sizes).field("extra", &self.extra).finish()
    }
}

impl Fetched {
    /// What one of the four is called, here and in commands.
    pub(super) fn name(&self, file: BundleFile) -> FileName {
        self.named(file.name())
    }

    /// What a file beside the four is called.
    pub(super) fn named(&self, name: &str) -> FileName {
        if self.place.is_empty() { name.into() } else { FileName::below(&self.place, name) }
    }

    /// Where each of the four goes that came.
    pub fn four(&self) -> impl Iterator<Item = Placement<'_>> {
        self.files.iter().map(|(file, content)| Placement {
            path: Path::new(file.installed_path()),
            content,
            mode: None,
        })
    }

    /// Where each extra file goes.
    pub fn others(&self) -> impl Iterator<Item = Placement<'_>> {
        self.extra.iter().map(|extra| Placement {
            path: &extra.path,
            content: &extra.content,
            mode: extra.mode,
        })
    }

    /// Where everything goes: the extra files, then the four.
    pub fn installed_paths(&self) -> impl Iterator<Item = PathBuf> {
        let four = BundleFile::ALL.iter().map(|file| PathBuf::from(file.installed_path()));
        self.extra.iter().map(|extra| extra.path.clone()).chain(four)
    }
}

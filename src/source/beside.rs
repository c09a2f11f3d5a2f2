//! What a source has besides the four files, and the limits of everything in it.

use crate::bundle::{ExtraFile, Package};
use crate::settings::Extra;

/// Size limit of each of the four files, in bytes; real ones have a few kilobytes.
pub(super) const FILE_LIMIT: usize = 1 << 20;

/// Size limit of an extra file, in bytes.
pub(super) const EXTRA_LIMIT: usize = 16 << 20;

/// Limit on the number of files in one extra directory tree.
pub(super) const TREE_LIMIT: usize = 1000;

/// What lies beside the four files.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The extra files, those of trees included.
    pub(crate) extra: Vec<ExtraFile>,
    /// The airgap packages, which are not fetched; `None` where the source cannot be listed.
    pub(crate) packages: Option<Vec<Package>>,
}

/// The airgap packages among the names and sizes of what lies at the top of a source.
pub(super) fn packages(listed: &[(String, u64)], extra: &[Extra]) -> Vec<Package> {
    let is_extra = |name: &str| extra.iter().any(|entry| entry.object == name);
    let packages = listed.iter().filter(|(name, _)| name.ends_with(Package::ENDING) && !is_extra(name));
    let packages = packages.map(|(name, size)| {
        let sums = format!("{name}{}", Package::SUMS);
        let has_sums = listed.iter().any(|(other, _)| *other == sums);
        Package { name: name.clone(), size: *size, has_sums }
    });
    packages.collect()
}

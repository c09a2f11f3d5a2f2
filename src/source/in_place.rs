//! The bundle in place on this box.

use std::fs;
use std::path::{Path, PathBuf};

use super::beside::{EXTRA_LIMIT, FILE_LIMIT};
use super::trees;
use crate::bundle::{BundleFile, ExtraFile, Fetched};
use crate::cause::Cause;
use crate::files::{self, ReadError, Root};
use crate::settings::Extra;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct InPlace {
    /// What is there and can be read.
    pub(crate) fetched: Fetched,
    /// Of the four, those that are absent.
    pub(crate) absent: Vec<BundleFile>,
    /// What is there and cannot be read, by its path on the box; a directory that cannot be listed stands for what is in
    /// it.
    pub(crate) unread: Vec<(PathBuf, Cause)>,
}

/// Reads all of it that can be read.
pub(crate) fn in_place(root: &Root, extra: &[Extra]) -> InPlace {
    let mut found = InPlace::default();
    for file in BundleFile::ALL {
        let path = Path::new(file.installed_path());
        match files::read_bounded(&root.path(path), FILE_LIMIT) {
            Ok(content) => drop(found.fetched.files.insert(file, content)),
            Err(ReadError::NotFound) => found.absent.push(file),
            Err(error) => found.unread.push((path.to_path_buf(), error.cause(&root.path(path)))),
        }
    }
    let (places, unlisted) = placed(root, extra);
    found.unread.extend(unlisted);
    for (path, mode) in places {
        match read(&root.path(&path)) {
            Ok(content) => found.fetched.extra.push(ExtraFile { path, mode: Some(mode), content }),
            Err(ReadError::NotFound) => {}
            Err(error) => {
                let cause = error.cause(&root.path(&path));
                found.unread.push((path, cause));
            }
        }
    }
    found
}

/// The bundle installed on this box. Missing files are left out.
///
/// # Errors
/// The first of what is there and cannot be read: `host.file`, `host.permission`; `source.too_many` (config).
pub(crate) fn installed(root: &Root, extra: &[Extra]) -> Result<Fetched, Cause> {
    let InPlace { fetched, unread, .. } = in_place(root, extra);
    match unread.into_iter().next() {
        Some((_, cause)) => Err(cause),
        None => Ok(fetched),
    }
}

/// A path on the box, with the permission bits that it should have.
type Place = (PathBuf, u32);

/// Where extra files of a bundle lie on this box: those of the settings, there or not, and what the trees hold; and the
/// trees that cannot be listed.
pub(crate) fn placed(root: &Root, extra: &[Extra]) -> (Vec<Place>, Vec<(PathBuf, Cause)>) {
    let single = extra.iter().filter(|entry| !entry.is_tree);
    let mut places: Vec<Place> = single.map(|entry| (entry.path.clone(), entry.mode)).collect();
    let mut unlisted = Vec::new();
    let on_box = |path: &Path| Path::new("/").join(path.strip_prefix(root.directory()).unwrap_or(path));
    for tree in trees::all(extra) {
        match trees::walk(&root.path(&tree.path)) {
            Ok(found) => places.extend(found.iter().map(|path| (on_box(path), tree.mode))),
            Err(cause) => unlisted.push((tree.path, cause)),
        }
    }
    (places, unlisted)
}

/// One extra file. What a link leads to was not placed by a boot.
fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    match fs::symlink_metadata(path)?.is_symlink() {
        true => Err(ReadError::NotRegular("a symbolic link")),
        false => files::read_bounded(path, EXTRA_LIMIT),
    }
}

//! The directory trees of a bundle: which there are, and what is in them.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::beside::TREE_LIMIT;
use crate::bundle;
use crate::cause::Cause;
use crate::files;
use crate::kind::Kind;
use crate::settings::Extra;

/// A directory tree of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// Relative to the source, with a slash at the end.
    pub(super) object: String,
    /// Its path on the box.
    pub(super) path: PathBuf,
    /// The permission bits of its files.
    pub(super) mode: u32,
}

/// The additional trees of 2.x: the services' configuration, and the keys for encrypted data.
const UNASKED: [(&str, &str); 2] =
    [("circleconfig/", bundle::CIRCLECONFIG), ("circleci-encryption-keys/", bundle::ENCRYPTION_KEYS)];

/// The permission bits of the files of [`UNASKED`].
const OWN_MODE: u32 = 0o640;

/// The trees that the settings name.
pub(super) fn configured(extra: &[Extra]) -> Vec<Tree> {
    let trees = extra.iter().filter(|entry| entry.is_tree);
    trees
        .map(|entry| Tree {
            object: entry.object.clone(),
            // Without the slash at its end, which would make of a link the directory that it leads to.
            path: entry.path.components().collect(),
            mode: entry.mode,
        })
        .collect()
}

/// The trees that the settings do not list explicitly.
pub(super) fn unasked(extra: &[Extra]) -> Vec<Tree> {
    let is_configured = |object: &str, path: &str| {
        extra.iter().any(|entry| entry.is_tree && (entry.object == object || entry.path == Path::new(path)))
    };
    let unasked = UNASKED.into_iter().filter(|(object, path)| !is_configured(object, path));
    unasked
        .map(|(object, path)| Tree { object: object.to_owned(), path: PathBuf::from(path), mode: OWN_MODE })
        .collect()
}

/// All of them.
pub(super) fn all(extra: &[Extra]) -> Vec<Tree> {
    let mut trees = configured(extra);
    trees.extend(unasked(extra));
    trees
}

/// The path below a directory; rejects a key that would escape it.
pub(super) fn inside(directory: &Path, below: &str) -> Result<PathBuf, Cause> {
    let relative = Path::new(below);
    if relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(directory.join(relative));
    }
    Err(Cause::config(
        Kind::SourceUnsafeKey,
        format!("An object's key points outside {}.", directory.display()),
        "Remove the object from the source.",
    )
    .with("object", below))
}

/// What is in a directory tree and is no directory, in the order of the names; a tree that does not exist has nothing in
/// it. A symbolic link is listed and not followed: it may lead anywhere, and round in a circle.
pub(super) fn walk(directory: &Path) -> Result<Vec<PathBuf>, Cause> {
    match fs::symlink_metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(vec![directory.to_path_buf()]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(files::failed("read", directory, &error)),
    }
    let mut found = Vec::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        let unreadable = |error: io::Error| files::failed("read", &directory, &error);
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let is_directory = entry.file_type().map_err(unreadable)?.is_dir();
            if is_directory { left.push(entry.path()) } else { found.push(entry.path()) }
        }
        if found.len() + left.len() > TREE_LIMIT {
            return Err(Cause::config(
                Kind::SourceTooMany,
                format!("{} holds more than {TREE_LIMIT} files.", directory.display()),
                "Check that this is the intended directory.",
            ));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_listed_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("b")).unwrap();
        fs::create_dir(directory.path().join("elsewhere")).unwrap();
        fs::write(directory.path().join("elsewhere/secret"), "s").unwrap();
        fs::write(tree.join("b/file"), "f").unwrap();
        symlink("../elsewhere", tree.join("a")).unwrap();
        symlink("..", tree.join("b/circle")).unwrap();
        assert_eq!(walk(&tree).unwrap(), ["a", "b/circle", "b/file"].map(|name| tree.join(name)));
        symlink("elsewhere", directory.path().join("link")).unwrap();
        assert_eq!(walk(&directory.path().join("link")).unwrap(), [directory.path().join("link")]);
        assert_eq!(walk(&directory.path().join("absent")).unwrap(), [""; 0].map(PathBuf::from));
    }
}

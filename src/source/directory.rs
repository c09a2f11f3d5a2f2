//! A bundle in a directory of this machine.

use std::fs;
use std::path::Path;

use super::beside::{Beside, EXTRA_LIMIT, FILE_LIMIT, packages};
use super::trees;
use crate::bundle::{BundleFile, ExtraFile, Fetched, Package};
use crate::cause::Cause;
use crate::files::{self, ReadError};
use crate::kind::Kind;
use crate::settings::Extra;

pub(super) fn fetch(directory: &Path, extra: &[Extra]) -> Result<Fetched, Cause> {
    let mut causes = Vec::new();
    let files = BundleFile::ALL
        .into_iter()
        .map(|file| (file, or_note(read(&directory.join(file.name()), FILE_LIMIT), &mut causes)))
        .collect();
    let extra_files = extra_of(directory, extra, &mut causes)?;
    let packages = Some(packages_in(directory, extra));
    finished(Fetched { files, extra: extra_files, packages, ..Fetched::default() }, causes)
}

pub(super) fn beside(directory: &Path, extra: &[Extra]) -> Result<Beside, Cause> {
    let mut causes = Vec::new();
    let extra_files = extra_of(directory, extra, &mut causes)?;
    finished(Beside { extra: extra_files, packages: Some(packages_in(directory, extra)) }, causes)
}

fn finished<T>(read: T, causes: Vec<Cause>) -> Result<T, Cause> {
    if causes.is_empty() { Ok(read) } else { Err(Cause::together(causes)) }
}

fn extra_of(directory: &Path, extra: &[Extra], causes: &mut Vec<Cause>) -> Result<Vec<ExtraFile>, Cause> {
    let mut found = Vec::new();
    for entry in extra.iter().filter(|entry| !entry.is_tree) {
        let content = or_note(read(&directory.join(&entry.object), EXTRA_LIMIT), causes);
        found.push(ExtraFile { path: entry.path.clone(), mode: Some(entry.mode), content });
    }
    for tree in trees::all(extra) {
        // Without the slash, which would make of a link the directory that it leads to.
        let from = directory.join(tree.object.trim_end_matches('/'));
        for path in trees::walk(&from)? {
            let below = path.strip_prefix(&from).unwrap_or(&path).to_string_lossy().into_owned();
            let content = or_note(read_in_tree(&path), causes);
            let path = trees::inside(&tree.path, &below)?;
            found.push(ExtraFile { path, mode: Some(tree.mode), content });
        }
    }
    Ok(found)
}

/// The file's content, or `None` after adding its cause to the others.
fn or_note(read: Result<Vec<u8>, Cause>, causes: &mut Vec<Cause>) -> Vec<u8> {
    read.unwrap_or_else(|cause| {
        causes.push(cause);
        Vec::new()
    })
}

/// One file of a source.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Cause> {
    files::read_bounded(path, limit).map_err(|error| unreadable(path, &error))
}

fn read_in_tree(path: &Path) -> Result<Vec<u8>, Cause> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(unreadable(path, &ReadError::NotRegular("a symbolic link, which is not followed here")));
    }
    read(path, EXTRA_LIMIT)
}

/// Why a file of the source was not read.
fn unreadable(path: &Path, error: &ReadError) -> Cause {
    let shown = path.display();
    match error {
        ReadError::NotFound => Cause::config(
            Kind::SourceNoSuchFile,
            format!("{shown} does not exist."),
            "Put the file into the source, or correct the source.",
        ),
        ReadError::NotRegular(what) => Cause::config(
            Kind::SourceNotAFile,
            format!("{shown} is {what}, not a file."),
            "Put the file itself in its place.",
        ),
        ReadError::TooLarge { size, limit } => Cause::config(
            Kind::SourceTooLarge,
            format!("{shown} is too large for this file of a bundle."),
            "Check that this is the intended file.",
        )
        .with("size", format!("{size} bytes, at most {limit}")),
        ReadError::Io(_) | ReadError::Unsafe(_) => error.cause(path),
    }
}

fn packages_in(directory: &Path, extra: &[Extra]) -> Vec<Package> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let metadata = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
        Some((entry.file_name().into_string().ok()?, metadata.len()))
    });
    let mut listed: Vec<(String, u64)> = files.collect();
    listed.sort();
    packages(&listed, extra)
}

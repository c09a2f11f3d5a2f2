//! The airgap package on its way to its place: streamed to a file beside it, checked while it goes by, and renamed. Nothing
//! of it is held in memory, and what a killed boot has fetched is not fetched again.

mod origin;
mod part;

pub(crate) use origin::Origin;
pub(crate) use part::{Part, PartFile, existing_directory};

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::BinaryBytes;
use nix::sys::statvfs::statvfs;

use crate::bundle::Package;
use crate::cause::Cause;
use crate::digest::{Digester, Expected, Mismatch};
use crate::files;
use crate::kind::Kind;

/// A package as its source has it.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// The object's name.
    pub(crate) name: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// What another content of the same name would not have.
    pub(crate) version: String,
    /// The digests that are known of it.
    pub(crate) expected: Vec<Expected>,
}

impl Described {
    /// The digests, for people.
    pub(crate) fn digests(&self) -> String {
        let names: Vec<String> = self.expected.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            "no checksum is known".to_owned()
        } else {
            format!("{} verified", names.join(" and "))
        }
    }
}

/// Ends work on another thread when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is at the path where the package is to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Free,
    /// A file of this size in bytes.
    File(u64),
}

/// Looks at it.
///
/// # Errors
/// `host.file` where it is no regular file, or cannot be looked at.
pub(crate) fn look(path: &Path) -> Result<Place, Cause> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Place::File(metadata.len())),
        Ok(_) => Err(Cause::host(
            Kind::HostFile,
            format!("{} exists and is not a regular file.", path.display()),
            format!("Remove it: ls -ld {}", path.display()),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Place::Free),
        Err(error) => Err(files::failed("look at", path, &error)),
    }
}

/// Whether the file in place is the package. Without a known digest its size has to do.
///
/// # Errors
/// `host.file`.
pub(crate) async fn is_in_place(path: &Path, described: &Described) -> Result<bool, Cause> {
    if look(path)? != Place::File(described.size) {
        return Ok(false);
    }
    let (path, expected, stop) = (path.to_path_buf(), described.expected.clone(), Stop::default());
    let stopped = stop.flag();
    let digest = move || {
        let mut digester = Digester::new(&expected);
        let read = part::feed(&path, &mut digester, &stopped);
        read.map_err(|error| files::failed("read", &path, &error)).map(|_| digester.finish().is_ok())
    };
    let known = part::on_a_thread(digest).await;
    drop(stop);
    known
}

/// Makes sure that there is room for `bytes` more at `path`.
///
/// # Errors
/// `airgap.no_space` (config), `host.file`.
pub(crate) fn require_space(path: &Path, bytes: u64) -> Result<(), Cause> {
    let directory = existing_directory(path);
    let stat = statvfs(directory).map_err(|errno| files::failed("look at", directory, &errno.into()))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if free >= bytes { Ok(()) } else { Err(no_space(path, Some(bytes), free)) }
}

/// A replacement of this box would have as little room, so that this is for a person to change.
fn no_space(path: &Path, needed: Option<u64>, free: u64) -> Cause {
    let directory = existing_directory(path);
    let needs = needed.map_or_else(String::new, |bytes| format!(": it needs {} more", BinaryBytes(bytes)));
    let cause = Cause::config(
        Kind::AirgapNoSpace,
        format!(
            "The airgap package does not fit on the disk of {}{needs}; {} are free.",
            directory.display(),
            BinaryBytes(free)
        ),
        "Give the instances a larger volume in the launch template, or set LicenseBootstrapAirgapPackagePath to a path on a larger one.",
    );
    let cause = match needed {
        Some(bytes) => cause.with("needed", format!("{bytes} bytes")),
        None => cause,
    };
    cause.with("free", format!("{free} bytes")).with("path", path.display())
}

/// The cause for what could not be written.
pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Cause {
    match error.kind() {
        std::io::ErrorKind::StorageFull => {
            let directory = existing_directory(path);
            let free = statvfs(directory).map_or(0, |stat| stat.blocks_available() * stat.fragment_size());
            no_space(path, None, free)
        }
        _ => files::failed("write", path, error),
    }
}

/// The cause for a package that arrived whole and is another one than its digest says.
pub(crate) fn differs(package: &Package, mismatch: &Mismatch) -> Cause {
    let cause = match mismatch.expected {
        Expected::Sha256(_) => Cause::config(
            Kind::AirgapSha256,
            format!(
                "The airgap package {} does not match the SHA-256 in {}{}.",
                package.name,
                package.name,
                Package::SUMS
            ),
            "Upload the package and its .sha256 file again; sha256sum shows which one is wrong.",
        ),
        _ => Cause::external(
            Kind::AirgapChecksum,
            format!(
                "The download of the airgap package {} is corrupt: its checksum differs from the uploaded object's.",
                package.name
            ),
            "Wait; if it persists, check the proxy in between, and upload the package again.",
        ),
    };
    cause.with("checksum", mismatch)
}

/// The cause for a path at which there is no package, and none in the bundle.
pub(crate) fn missing(path: &Path) -> Cause {
    Cause::config(
        Kind::AirgapMissing,
        format!(
            "LicenseBootstrapAirgapPackagePath is {}, but there is no package at that path or in the bundle.",
            path.display()
        ),
        "Upload the package to the source under a name that ends in .airgap, or bake it into the AMI.",
    )
}

//! The tarball: packed, verified by reading it back, and only then written.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::redact::Redactor;
use crate::cause::Cause;
use crate::files::{self, Access, Prepared};
use crate::kind::Kind;

/// Only the creator can read the bundle, and decides whom to give it to.
const MODE: u32 = 0o600;

/// The path of a bundle, where nothing exists yet.
#[derive(Debug)]
pub(crate) struct ArchivePath(PathBuf);

impl ArchivePath {
    /// A path given on the command line is on this machine, whatever `--root` is.
    ///
    /// # Errors
    /// `usage.file_exists` if something is there, since an earlier bundle may be all that is left of a fault;
    /// `usage.no_directory`; `host.file`. All are found before anything is asked.
    pub(crate) fn new(path: &Path) -> Result<Self, Cause> {
        let path = std::path::absolute(path).map_err(|error| files::failed("find", path, &error))?;
        let target = ArchivePath(path);
        target.must_be_free()?;
        let directory = target.0.parent().unwrap_or(Path::new("/"));
        if !directory.is_dir() {
            return Err(Cause::config(
                Kind::UsageNoDirectory,
                format!("The directory {} for the support bundle does not exist.", directory.display()),
                "Create it, or choose another path.",
            ));
        }
        Ok(target)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn must_be_free(&self) -> Result<(), Cause> {
        match fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(files::failed("write", &self.0, &error)),
            Ok(_) => Err(Cause::config(
                Kind::UsageFileExists,
                format!("{} already exists and was not overwritten.", self.0.display()),
                "Choose another path, or remove the file.",
            )),
        }
    }

    /// Writes the file atomically and durably, readable only by its owner.
    ///
    /// # Errors
    /// `host.file`, `usage.file_exists`.
    pub(super) fn write(&self, content: &[u8]) -> Result<(), Cause> {
        let failed = |error: io::Error| files::failed("write", &self.0, &error);
        let access = Access { mode: MODE, owner: None };
        let prepared = Prepared::write(self.0.clone(), content, access).map_err(failed)?;
        self.must_be_free()?;
        prepared.commit().map_err(failed)
    }
}

/// One file of the tarball.
pub(super) struct Entry<'e> {
    pub(super) name: &'e str,
    pub(super) text: &'e str,
    /// Whether it is this program's own words.
    pub(super) is_own: bool,
}

/// Packs the entries below `directory`, reads the result again byte by byte, and compresses it when no known secret is
/// in it.
///
/// # Errors
/// `support.unclean` (see [`Redactor::verify`]); `support.archive` if it cannot be packed, or is read back otherwise than
/// it was packed.
pub(super) fn packed(
    directory: &str,
    entries: &[Entry<'_>],
    redactor: &Redactor<'_>,
) -> Result<Vec<u8>, Cause> {
    let plain = tar(directory, entries).map_err(|error| not_packed(&error))?;
    let count = verified(&plain, entries, redactor)?;
    if count != entries.len() {
        return Err(not_packed(&io::Error::other(format!("{count} of {} files are in it", entries.len()))));
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&plain).and_then(|()| gzip.finish()).map_err(|error| not_packed(&error))
}

fn tar(directory: &str, entries: &[Entry<'_>]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.text.len() as u64);
        header.set_mode(MODE);
        header.set_mtime(now);
        builder.append_data(&mut header, format!("{directory}/{}", entry.name), entry.text.as_bytes())?;
    }
    builder.into_inner()
}

/// Checks every name and every byte of every file in the tarball.
fn verified(plain: &[u8], entries: &[Entry<'_>], redactor: &Redactor<'_>) -> Result<usize, Cause> {
    let mut archive = tar::Archive::new(plain);
    let mut count = 0;
    let found = archive.entries().map_err(|error| not_packed(&error))?;
    for (entry, packed) in found.zip(entries) {
        let mut entry = entry.map_err(|error| not_packed(&error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        redactor.verify("a name", &name, true)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| not_packed(&error))?;
        redactor.verify(&name, &String::from_utf8_lossy(&content), packed.is_own)?;
        count += 1;
    }
    Ok(count)
}

fn not_packed(error: &io::Error) -> Cause {
    Cause::host(
        Kind::SupportArchive,
        "The support bundle could not be compressed.",
        "Check this box's memory: free -m.",
    )
    .with("error", error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::patterns::PatternSet;
    use super::*;
    use crate::secret::Secrets;

    #[test]
    fn a_secret_that_was_not_scrubbed_is_found_in_the_packed_bytes() {
        let secrets = Secrets::default();
        secrets.register("archive-canary");
        let redactor = Redactor { secrets: &secrets, net: PatternSet::new().unwrap() };
        for (name, text) in [("a", "x archive-canary x"), ("b/archive-canary.log", "")] {
            let cause = packed("bundle", &[Entry { name, text, is_own: false }], &redactor).unwrap_err();
            assert_eq!(cause.kind, Kind::SupportUnclean);
            assert!(!format!("{cause:?}").contains("canary"), "{cause:?}");
        }
        assert!(packed("bundle", &[Entry { name: "a", text: "clean", is_own: false }], &redactor).is_ok());
    }

    #[test]
    fn nothing_is_overwritten_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.tar.gz");
        let target = ArchivePath::new(&path).unwrap();
        target.write(b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(ArchivePath::new(&path).unwrap_err().kind, Kind::UsageFileExists);
        assert_eq!(target.write(b"two").unwrap_err().kind, Kind::UsageFileExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let missing = directory.path().join("missing/bundle.tar.gz");
        assert_eq!(ArchivePath::new(&missing).unwrap_err().kind, Kind::UsageNoDirectory);
    }
}

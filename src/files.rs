//! The files of the box: where they are below `--root`, and how they are replaced.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

use crate::cause::Cause;
use crate::kind::Kind;

/// How many files are synced concurrently, each on its own thread.
const SYNCED_AT_ONCE: usize = 32;

/// The directory below which every path is that the agent reads or writes, `/` unless `--root` is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// A root at `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Root(directory.into())
    }

    /// Maps the absolute path `path` of the box. Like `systemctl --root`, this does not resolve symbolic links.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether this is the running system.
    pub fn is_system(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The ID of a group in the box's `/etc/group`; `None` if it does not exist.
    ///
    /// # Errors
    /// When `/etc/group` exists and cannot be read.
    pub fn group_id(&self, name: &str) -> io::Result<Option<u32>> {
        let text = match read_text(&self.path("/etc/group")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(text.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            fields.nth(1)?.parse().ok()
        }))
    }
}

impl Default for Root {
    fn default() -> Self {
        Root::new("/")
    }
}

/// The permissions and owner of a file to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, e.g. `0o640`.
    pub mode: u32,
    /// Owner and group, numeric; `None` leaves them to the process.
    pub owner: Option<(u32, u32)>,
}

impl Access {
    /// Whether a file has them.
    pub fn is_of(&self, metadata: &fs::Metadata) -> bool {
        metadata.mode() & 0o7777 == self.mode
            && self.owner.is_none_or(|owner| owner == (metadata.uid(), metadata.gid()))
    }
}

/// A file whose new content is on disk next to it but not yet renamed over it.
#[derive(Debug)]
#[must_use = "the file does not change until it is committed"]
pub struct Prepared {
    temporary: PathBuf,
    target: PathBuf,
    stands: Stands,
}

/// Where the contents of a [`Prepared`] file stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// The new one beside the target.
    Beside,
    /// The new one in place, the old one beside it.
    Exchanged,
    /// The new one in place, where there was none.
    InPlace,
}

impl Prepared {
    /// Writes `content` next to `target` and makes it durable, so that [`Prepared::commit`] only has to rename it.
    ///
    /// Missing directories are created. The temporary file's name is fixed (`.NAME.boot-agent-new`): a file left by a
    /// killed run is overwritten by the next, and nothing accumulates. Two writers of one target must be kept apart by
    /// a lock.
    ///
    /// # Errors
    /// The I/O error.
    pub fn write(target: PathBuf, content: &[u8], access: Access) -> io::Result<Self> {
        let (prepared, file) = Self::unsynced(target, content, access)?;
        file.sync_all()?;
        Ok(prepared)
    }

    fn unsynced(target: PathBuf, content: &[u8], access: Access) -> io::Result<(Self, File)> {
        let directory = parent(&target);
        fs::create_dir_all(directory)?;
        refuse_directory(&target)?;
        let temporary = remove_leftover(&target)?;
        let prepared = Prepared { temporary, target, stands: Stands::Beside };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&prepared.temporary)?;
        file.write_all(content)?;
        if let Some((user, group)) = access.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.set_permissions(fs::Permissions::from_mode(access.mode))?;
        Ok((prepared, file))
    }

    /// Puts the new content in place. The target is always either the old or the new file, even after a power failure.
    ///
    /// # Errors
    /// The I/O error; the target is then unchanged, or changed but possibly not yet durable.
    pub fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)?;
        self.stands = Stands::InPlace;
        File::open(parent(&self.target))?.sync_all()
    }

    /// Puts the new content in place, so that it can be taken back.
    fn exchange(&mut self) -> io::Result<()> {
        refuse_directory(&self.target)?;
        let exchanged =
            renameat2(AT_FDCWD, &self.temporary, AT_FDCWD, &self.target, RenameFlags::RENAME_EXCHANGE);
        self.stands = match exchanged.map_err(io::Error::from) {
            Ok(()) => Stands::Exchanged,
            // Nothing to keep, or a file system that cannot exchange.
            Err(_) => {
                fs::rename(&self.temporary, &self.target)?;
                Stands::InPlace
            }
        };
        Ok(())
    }

    /// Takes back what [`Prepared::exchange`] did; a file that was not there before is removed.
    fn take_back(&mut self) -> io::Result<()> {
        match self.stands {
            Stands::Beside => {}
            Stands::Exchanged => fs::rename(&self.temporary, &self.target)?,
            Stands::InPlace => fs::remove_file(&self.target)?,
        }
        // Nothing is left beside the target.
        self.stands = Stands::InPlace;
        Ok(())
    }
}

fn refuse_directory(target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(()),
    }
}

/// Removes what a killed run may have left beside `target`; returns where that is.
///
/// # Errors
/// The I/O error.
pub fn remove_leftover(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = parent(target).join(format!(".{}.boot-agent-new", name.to_string_lossy()));
    match fs::remove_file(&temporary) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(error)
        }
        _ => Ok(temporary),
    }
}

/// Prepares several files like [`Prepared::write`] and syncs them concurrently: a journaling file system then needs one
/// commit instead of one for each file.
///
/// # Errors
/// `host.file`; nothing is left behind then.
pub fn prepare_all(files: &[(PathBuf, &[u8], Access)]) -> Result<Vec<Prepared>, Cause> {
    let mut prepared = Vec::with_capacity(files.len());
    for group in files.chunks(SYNCED_AT_ONCE) {
        let mut unsynced = Vec::with_capacity(group.len());
        for (path, content, access) in group {
            let (ready, file) = Prepared::unsynced(path.clone(), content, *access)
                .map_err(|error| failed("write", path, &error))?;
            prepared.push(ready);
            unsynced.push((path.as_path(), file));
        }
        sync_together(&unsynced)?;
    }
    Ok(prepared)
}

fn sync_together(files: &[(&Path, File)]) -> Result<(), Cause> {
    let sync = |(path, file): &(&Path, File)| file.sync_all().map_err(|error| failed("write", path, &error));
    thread::scope(|scope| {
        let syncs: Vec<_> = files.iter().map(|file| scope.spawn(move || sync(file))).collect();
        // All are awaited, even if the first one fails.
        let ended: Vec<_> = syncs.into_iter().map(|sync| sync.join()).collect();
        ended.into_iter().try_for_each(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Puts several files in place in order, each like [`Prepared::commit`], and syncs each directory once.
///
/// # Errors
/// `host.file`; everything is then as it was, unless the cause says what could not be taken back.
pub fn commit_all(mut files: Vec<Prepared>) -> Result<(), Cause> {
    let mut directories = BTreeSet::new();
    for index in 0..files.len() {
        directories.insert(parent(&files[index].target).to_path_buf());
        let Err(error) = files[index].exchange() else { continue };
        let mut cause = failed("replace", &files[index].target, &error);
        for file in files[..index].iter_mut().rev() {
            if let Err(error) = file.take_back() {
                cause = cause.with("not taken back", format!("{}: {error}", file.target.display()));
            }
        }
        return Err(cause);
    }
    // Whatever happens from here on, the new files stand; the old ones go with the values.
    let mut opened = Vec::with_capacity(directories.len());
    for directory in &directories {
        let file = File::open(directory).map_err(|error| failed("open", directory, &error))?;
        opened.push((directory.as_path(), file));
    }
    opened.chunks(SYNCED_AT_ONCE).try_for_each(sync_together)
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.stands != Stands::InPlace {
            // The original failure is what matters, and the next run overwrites the file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Does `work` on a thread of its own, so that a disk that does not answer stops nobody but it.
pub async fn off_task<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Cancelled, which happens only when the whole program ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Replaces one file atomically; see [`Prepared`] for what that guarantees.
///
/// # Errors
/// The I/O error.
pub fn replace(target: PathBuf, content: &[u8], access: Access) -> io::Result<()> {
    Prepared::write(target, content, access)?.commit()
}

/// The most bytes of a file for which nothing says how long it may be.
const LARGEST_TEXT: usize = 4 * 1024 * 1024;

/// As [`fs::read_to_string`], for a regular file of at most 4 MiB; see [`read_bounded`].
///
/// # Errors
/// What the file system said, or that it is no such file.
pub fn read_text(path: &Path) -> io::Result<String> {
    let content = read_bounded(path, LARGEST_TEXT).map_err(|error| match error {
        ReadError::NotFound => io::ErrorKind::NotFound.into(),
        ReadError::Io(error) => error,
        other => io::Error::other(other.cause(path).sentence),
    })?;
    String::from_utf8(content).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

/// Why [`read_bounded`] did not read a file.
#[derive(Debug)]
pub enum ReadError {
    /// The path does not exist, or is a dangling symbolic link.
    NotFound,
    /// Not a regular file; the type, with an article: "a directory".
    NotRegular(&'static str),
    /// The file is larger than the limit.
    TooLarge {
        /// Its size in bytes as the file system gives it, which may be out of date.
        size: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// Others than root and this user may write it, or own it; says how.
    Unsafe(String),
    /// Any other I/O error.
    Io(io::Error),
}

impl ReadError {
    /// The cause for a file of this box: `host.file`, `host.unsafe_file` or `host.permission`.
    pub fn cause(&self, path: &Path) -> Cause {
        let path_shown = path.display();
        match self {
            ReadError::NotFound => failed("read", path, &io::ErrorKind::NotFound.into()),
            ReadError::Io(error) => failed("read", path, error),
            ReadError::NotRegular(what) => Cause::host(
                Kind::HostFile,
                format!("{path_shown} is {what}, not a regular file."),
                format!("Replace it with a regular file: ls -ld {path_shown}"),
            ),
            ReadError::Unsafe(how) => Cause::host(
                Kind::HostUnsafeFile,
                format!("{path_shown} is not trusted, because other users could have written it: {how}."),
                format!("Check its content, then run: chown root: {path_shown} && chmod go-w {path_shown}"),
            ),
            ReadError::TooLarge { size, limit } => Cause::host(
                Kind::HostFile,
                format!("{path_shown} is larger than {limit} bytes."),
                format!("Check that it is the right file: ls -l {path_shown}"),
            )
            .with("size", format!("{size} bytes")),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A component of the path is a file: the path does not exist.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotFound,
            _ => ReadError::Io(error),
        }
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// Follows symbolic links. Never opens a directory, FIFO, socket or device, so it neither blocks nor reads without end,
/// even if the file is swapped for one of them in between.
///
/// # Errors
/// [`ReadError`].
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    read(path, limit, |_| Ok(()))
}

fn read(
    path: &Path,
    limit: usize,
    accept: impl FnOnce(&fs::Metadata) -> Result<(), ReadError>,
) -> Result<Vec<u8>, ReadError> {
    regular(&fs::metadata(path)?)?;
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    accept(&metadata)?;
    let too_large = |size: u64| ReadError::TooLarge { size, limit };
    if metadata.len() > limit as u64 {
        return Err(too_large(metadata.len()));
    }
    let mut content = Vec::with_capacity(metadata.len() as usize);
    // One extra byte detects a file that is still growing, or one in /proc whose reported size is 0.
    file.take(limit as u64 + 1).read_to_end(&mut content)?;
    if content.len() > limit { Err(too_large(content.len() as u64)) } else { Ok(content) }
}

/// As [`read_bounded`], for a file that decides what root does on this box: it must belong to root or to the user of this
/// process, and nobody else may write it.
///
/// # Errors
/// [`ReadError`].
pub fn read_trusted(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    read(path, limit, |metadata| {
        if metadata.mode() & 0o002 != 0 {
            return Err(ReadError::Unsafe(format!("its mode is {:04o}", metadata.mode() & 0o7777)));
        }
        match metadata.uid() {
            0 => Ok(()),
            owner if owner == nix::unistd::geteuid().as_raw() => Ok(()),
            owner => Err(ReadError::Unsafe(format!("it belongs to the user with the id {owner}"))),
        }
    })
}

fn regular(metadata: &fs::Metadata) -> Result<(), ReadError> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe (FIFO)"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        "a special file"
    };
    Err(ReadError::NotRegular(what))
}

/// The cause for a file that cannot be written or read on this box: `host.file`, or `host.permission` where this user
/// may not.
pub fn failed(doing: &str, path: &Path, error: &io::Error) -> Cause {
    let next_step = match error.kind() {
        io::ErrorKind::PermissionDenied => "Run this as root.".to_owned(),
        io::ErrorKind::StorageFull => "Free disk space: df -h shows which file system is full.".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => {
            "Remount the file system read-write, and look at dmesg for why it is not.".to_owned()
        }
        _ => format!("Look at {} and its directory: ls -la, df -h, dmesg.", path.display()),
    };
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::HostPermission,
        _ => Kind::HostFile,
    };
    Cause::host(kind, format!("Cannot {doing} {}.", path.display()), next_step).with("error", error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

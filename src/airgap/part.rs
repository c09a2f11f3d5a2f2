//! The part of a package that has arrived: a file beside its place, written and checked by a thread of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Described, Stop, unwritable};
use crate::cause::Cause;
use crate::digest::{Digester, Mismatch, hex};
use crate::files::{self, Access};
use crate::kind::Kind;

/// How the names of such files end.
const ENDING: &str = ".boot-agent-part";

/// How many chunks wait for the disk, at most. A chunk from the network has some 16 kB, one from a file 1 MiB.
const QUEUED: usize = 4;

/// After how many bytes they are made durable: it bounds what the kernel holds in memory, and what a power cut takes.
const SYNC_EVERY: u64 = 64 << 20;

/// Where the part of one package lies until it is whole.
#[derive(Debug, Clone)]
pub(crate) struct PartFile {
    path: PathBuf,
    target: PathBuf,
}

impl PartFile {
    /// For a package at `target`. The name tells the contents of one name apart, so that nobody goes on with another's.
    pub(crate) fn new(target: &Path, described: &Described) -> Self {
        let sum = hex(&Sha256::digest(format!("{} {}", described.version, described.size)));
        let version: String = sum.chars().take(16).collect();
        let path = target.with_file_name(format!("{}{version}{ENDING}", Self::prefix(target)));
        PartFile { path, target: target.to_path_buf() }
    }

    fn prefix(target: &Path) -> String {
        format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy())
    }

    /// How many bytes are there, of a package with a digest: without one, nobody knows whether they are right.
    pub(crate) fn arrived(&self, described: &Described) -> u64 {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() && !described.expected.is_empty() => {
                metadata.len().min(described.size)
            }
            _ => 0,
        }
    }

    /// Removes what is there of other packages at this place, which nobody will go on with.
    pub(crate) fn remove_others(&self) {
        let prefix = Self::prefix(&self.target);
        let entries = self.path.parent().and_then(|directory| fs::read_dir(directory).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix) && name.ends_with(ENDING) && entry.path() != self.path {
                // What cannot be removed shows when there is no room.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes it.
    pub(crate) fn remove(&self) {
        // The next attempt truncates what is left.
        let _ = fs::remove_file(&self.path);
    }
}

/// A part that grows.
pub(crate) struct Part {
    file: PartFile,
    chunks: Option<mpsc::Sender<Bytes>>,
    writer: JoinHandle<io::Result<(File, Digester)>>,
    /// How many bytes have been handed to it, with those that were there.
    pub(crate) length: u64,
    _stop: Stop,
}

impl Part {
    /// Opens the part, cut to `length` bytes, which are read again for their digest.
    ///
    /// # Errors
    /// `airgap.no_space` (config), `host.file`.
    pub(crate) async fn open(file: &PartFile, described: &Described, length: u64) -> Result<Self, Cause> {
        let stop = Stop::default();
        let (place, expected, stopped) = (file.clone(), described.expected.clone(), stop.flag());
        let opened = on_a_thread(move || {
            let mut digester = Digester::new(&expected);
            open(&place.path, length, &mut digester, &stopped)
                .map(|opened| (opened, digester))
                .map_err(|error| unwritable(&place.target, &error))
        });
        let (opened, digester) = opened.await?;
        let (chunks, queue) = mpsc::channel(QUEUED);
        let writer = tokio::task::spawn_blocking(move || write(opened, digester, queue));
        Ok(Part { file: file.clone(), chunks: Some(chunks), writer, length, _stop: stop })
    }

    /// Adds what comes next.
    ///
    /// # Errors
    /// As for [`Part::open`].
    pub(crate) async fn push(&mut self, chunk: Bytes) -> Result<(), Cause> {
        let length = chunk.len() as u64;
        let sent = match &self.chunks {
            Some(chunks) => chunks.send(chunk).await.is_ok(),
            None => false,
        };
        if sent {
            self.length += length;
            return Ok(());
        }
        // The writer has ended, and says why.
        self.written().await.map(|_| ())
    }

    async fn written(&mut self) -> Result<(File, Digester), Cause> {
        self.chunks = None;
        let written = (&mut self.writer).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        written.map_err(|error| unwritable(&self.file.target, &error))
    }

    /// Makes durable what has been written, for whoever goes on with it.
    ///
    /// # Errors
    /// As for [`Part::open`].
    pub(crate) async fn close(mut self) -> Result<(), Cause> {
        self.written().await.map(|_| ())
    }

    /// Puts the package in place, if it is the one that it should be. At any moment there is a whole one or none.
    ///
    /// # Errors
    /// As for [`Part::open`].
    pub(crate) async fn finish(mut self, access: Access) -> Result<Result<(), Mismatch>, Cause> {
        let (opened, digester) = self.written().await?;
        if let Err(mismatch) = digester.finish() {
            self.file.remove();
            return Ok(Err(mismatch));
        }
        let place = self.file.clone();
        let put = move || {
            let put = || {
                if let Some((user, group)) = access.owner {
                    fchown(&opened, Some(user), Some(group))?;
                }
                opened.set_permissions(fs::Permissions::from_mode(access.mode))?;
                opened.sync_all()?;
                fs::rename(&place.path, &place.target)?;
                File::open(existing_directory(&place.target))?.sync_all()
            };
            put().map_err(|error| files::failed("place", &place.target, &error))
        };
        on_a_thread(put).await.map(Ok)
    }
}

fn open(path: &Path, length: u64, digester: &mut Digester, stopped: &AtomicBool) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let mut file = options.open(path)?;
    file.set_len(length)?;
    if length > 0 {
        feed(path, digester, stopped)?;
    }
    file.seek(SeekFrom::Start(length))?;
    Ok(file)
}

fn write(
    mut file: File,
    mut digester: Digester,
    mut queue: mpsc::Receiver<Bytes>,
) -> io::Result<(File, Digester)> {
    let mut unsynced = 0;
    while let Some(chunk) = queue.blocking_recv() {
        file.write_all(&chunk)?;
        digester.update(&chunk);
        unsynced += chunk.len() as u64;
        if unsynced >= SYNC_EVERY {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    file.sync_data()?;
    Ok((file, digester))
}

/// Adds a whole file to a digest. Ends early, with an error, when it is stopped.
pub(super) fn feed(path: &Path, digester: &mut Digester, stopped: &AtomicBool) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        if stopped.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => digester.update(&buffer[..count]),
        }
    }
}

/// Does what may wait for the disk off the task that keeps the boot alive.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Cause> + Send + 'static,
) -> Result<T, Cause> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(Cause::host(
            Kind::HostFile,
            "Reading or writing the airgap package failed.",
            "Report this as a bug.",
        )
        .with_error(&panic))
    })
}

/// The nearest directory above `path` that is there.
pub(crate) fn existing_directory(path: &Path) -> &Path {
    path.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("/"))
}

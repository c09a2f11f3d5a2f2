//! Where the airgap package is read from.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use bytes::Bytes;

use super::Described;
use super::part::on_a_thread;
use crate::aws::s3::{Body, S3};
use crate::bundle::Package;
use crate::cause::Cause;
use crate::digest::{Expected, sha256_of};
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::settings::Source;
use crate::source;

/// How many bytes of a file are read at once.
const CHUNK: usize = 1 << 20;

/// One package at one source.
pub(crate) struct Origin<'o> {
    pub(crate) root: &'o Root,
    pub(crate) source: &'o Source,
    pub(crate) s3: &'o S3,
    pub(crate) package: &'o Package,
}

/// The package's bytes as they come.
pub(crate) enum Reader {
    S3(Body),
    File(PathBuf, Option<File>),
}

impl Origin<'_> {
    /// What the source says of the package.
    ///
    /// # Errors
    /// Those of [`S3::head`] and [`source::fetch_named`]; `airgap.sha256_file` (config).
    pub(crate) async fn describe(&self) -> Result<Described, Cause> {
        let name = &self.package.name;
        let mut described = match self.source {
            Source::S3(location) => {
                let head = self.s3.head(&location.bucket, &location.key(name)).await?;
                Described { name: name.clone(), size: head.size, version: head.etag, expected: head.expected }
            }
            Source::Directory(directory) => {
                let path = self.root.path(directory).join(name);
                let metadata =
                    std::fs::metadata(&path).map_err(|error| files::failed("read", &path, &error))?;
                let version = format!("{}.{}", metadata.mtime(), metadata.mtime_nsec());
                Described { name: name.clone(), size: metadata.len(), version, expected: Vec::new() }
            }
        };
        if self.package.has_sums {
            let file = format!("{name}{}", Package::SUMS);
            let content = source::fetch_named(self.root, self.source, &file, Some(self.s3)).await?;
            let sum = sha256_of(&String::from_utf8_lossy(&content), name).ok_or_else(|| {
                Cause::config(
                    Kind::AirgapSha256File,
                    format!("{file} contains no SHA-256 of {name}."),
                    format!("Recreate it: sha256sum {name} > {file}"),
                )
            })?;
            described.expected.push(Expected::Sha256(sum));
        }
        Ok(described)
    }

    /// The bytes from `from` on, and where they begin indeed.
    ///
    /// # Errors
    /// Those of [`S3::stream`]; `host.file`.
    pub(crate) async fn read(&self, described: &Described, from: u64) -> Result<(Reader, u64), Cause> {
        match self.source {
            Source::S3(location) => {
                let key = location.key(&self.package.name);
                let body = self.s3.stream(&location.bucket, &key, &described.version, from).await?;
                let from = body.from;
                Ok((Reader::S3(body), from))
            }
            Source::Directory(directory) => {
                let path = self.root.path(directory).join(&self.package.name);
                let open = || {
                    let mut file = File::open(&path)?;
                    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(from))?;
                    Ok(file)
                };
                let file = open().map_err(|error| files::failed("read", &path, &error))?;
                Ok((Reader::File(path, Some(file)), from))
            }
        }
    }
}

impl Reader {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Those of [`Body::next`]; `host.file`.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Reader::S3(body) => body.next().await,
            Reader::File(path, slot) => {
                let Some(mut file) = slot.take() else { return Ok(None) };
                let shown = path.clone();
                let read = move || {
                    let mut buffer = vec![0; CHUNK];
                    let count =
                        file.read(&mut buffer).map_err(|error| files::failed("read", &shown, &error))?;
                    buffer.truncate(count);
                    Ok((file, buffer))
                };
                let (file, buffer) = on_a_thread(read).await?;
                *slot = Some(file);
                Ok((!buffer.is_empty()).then(|| Bytes::from(buffer)))
            }
        }
    }
}

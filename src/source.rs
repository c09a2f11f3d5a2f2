//! A bundle's objects, all at once, from where they lie into memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::aws::s3::{S3, Wanted};
use crate::bundle::{BundleFile, ExtraFile, Fetched};
use crate::cause::Cause;
use crate::files::{self, ReadError, Root};
use crate::settings::{Extra, Location, Source};

/// The most bytes that one of the four files may have; the real ones have a few kilobytes.
const FILE_LIMIT: usize = 1 << 20;

/// The most bytes that an extra file may have.
const EXTRA_LIMIT: usize = 16 << 20;

/// The most files that one extra directory tree may have.
const TREE_LIMIT: usize = 1000;

/// Fetches everything the bundle consists of, in one attempt. When several objects are bad, the cause names them all.
///
/// # Errors
/// Those of [`S3::get`] and [`S3::list`]; `source.no_such_file` (config) and `host.file` for a directory.
pub(crate) async fn fetch(
    root: &Root,
    source: &Source,
    extra: &[Extra],
    s3: Option<&S3>,
    warn: impl FnMut(Cause),
) -> Result<Fetched, Cause> {
    match (source, s3) {
        (Source::S3(location), Some(s3)) => {
            let fetched = from_s3(s3, location, extra).await;
            s3.take_warnings().into_iter().for_each(warn);
            fetched
        }
        (Source::Directory(path), _) => from_directory(&root.path(path), extra),
        (Source::S3(location), None) => Err(no_region(location)),
    }
}

/// One of the four, in one attempt.
///
/// # Errors
/// As for [`fetch`], about this one object.
pub(crate) async fn fetch_file(
    root: &Root,
    source: &Source,
    file: BundleFile,
    s3: Option<&S3>,
) -> Result<Vec<u8>, Cause> {
    match (source, s3) {
        (Source::S3(location), Some(s3)) => {
            let object = s3.get(&location.bucket, &location.key(file.name()), FILE_LIMIT).await?;
            Ok(object.body.to_vec())
        }
        (Source::Directory(path), _) => read_limited(&root.path(path).join(file.name()), FILE_LIMIT),
        (Source::S3(location), None) => Err(no_region(location)),
    }
}

/// The extra files alone, in one attempt.
///
/// # Errors
/// As for [`fetch`].
pub(crate) async fn fetch_extra(
    root: &Root,
    source: &Source,
    extra: &[Extra],
    s3: Option<&S3>,
) -> Result<Vec<ExtraFile>, Cause> {
    match (source, s3) {
        (Source::S3(location), Some(s3)) => {
            let parts = parts(s3, location, extra).await?;
            let wanted: Vec<Wanted> = parts.iter().map(Part::wanted).collect();
            let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
            Ok(as_extra(parts, objects.into_iter().map(|object| object.body.to_vec())))
        }
        (Source::Directory(path), _) => {
            let mut causes = Vec::new();
            let read = extra_of_directory(&root.path(path), extra, &mut causes)?;
            if causes.is_empty() { Ok(read) } else { Err(Cause::together(causes)) }
        }
        (Source::S3(location), None) => Err(no_region(location)),
    }
}

fn no_region(location: &Location) -> Cause {
    Cause::config(
        "aws.no_region",
        format!("{location} cannot be asked for without a region."),
        "Set AWS_REGION.",
    )
}

/// The bundle as it is in place on this box. A file that is absent is left out.
///
/// # Errors
/// `host.file`, `host.permission`.
pub(crate) fn installed(root: &Root, extra: &[Extra]) -> Result<Fetched, Cause> {
    let read = |path: &Path, limit: usize| {
        let path = root.path(path);
        match files::read_bounded(&path, limit) {
            Ok(content) => Ok(Some(content)),
            Err(ReadError::NotFound) => Ok(None),
            Err(error) => Err(error.cause(&path)),
        }
    };
    let mut present = Fetched::default();
    for file in BundleFile::ALL {
        if let Some(content) = read(Path::new(file.installed_path()), FILE_LIMIT)? {
            present.files.insert(file, content);
        }
    }
    for entry in extra {
        let places = if entry.is_tree { tree(&root.path(&entry.path))? } else { vec![entry.path.clone()] };
        for place in places {
            let path = Path::new("/").join(place.strip_prefix(root.directory()).unwrap_or(&place));
            if let Some(content) = read(&path, EXTRA_LIMIT)? {
                present.extra.push(ExtraFile { path, mode: Some(entry.mode), content });
            }
        }
    }
    Ok(present)
}

/// Where an extra file comes from and goes to.
struct Part {
    from: String,
    to: PathBuf,
    mode: u32,
}

impl Part {
    fn wanted(&self) -> Wanted {
        Wanted { key: self.from.clone(), limit: EXTRA_LIMIT }
    }
}

async fn from_s3(s3: &S3, location: &Location, extra: &[Extra]) -> Result<Fetched, Cause> {
    let parts = parts(s3, location, extra).await?;
    let four = BundleFile::ALL.map(|file| Wanted { key: location.key(file.name()), limit: FILE_LIMIT });
    let wanted: Vec<Wanted> = four.into_iter().chain(parts.iter().map(Part::wanted)).collect();
    let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
    let mut bodies = objects.into_iter().map(|object| object.body.to_vec());
    let files = BundleFile::ALL.into_iter().zip(&mut bodies).collect();
    Ok(Fetched { files, extra: as_extra(parts, bodies) })
}

/// The extra files one by one, each tree listed.
async fn parts(s3: &S3, location: &Location, extra: &[Extra]) -> Result<Vec<Part>, Cause> {
    let mut parts = Vec::new();
    for entry in extra {
        if !entry.is_tree {
            parts.push(Part { from: location.key(&entry.object), to: entry.path.clone(), mode: entry.mode });
            continue;
        }
        let prefix = location.key(&entry.object);
        for listed in s3.list(&location.bucket, &prefix, TREE_LIMIT).await? {
            // A "directory" made in the console is an empty object whose key ends in a slash.
            if listed.key.ends_with('/') {
                continue;
            }
            let below = listed.key.strip_prefix(&prefix).unwrap_or(&listed.key);
            parts.push(Part { from: listed.key.clone(), to: inside(&entry.path, below)?, mode: entry.mode });
        }
    }
    Ok(parts)
}

fn as_extra(parts: Vec<Part>, bodies: impl Iterator<Item = Vec<u8>>) -> Vec<ExtraFile> {
    let placed = parts.into_iter().zip(bodies);
    placed.map(|(part, content)| ExtraFile { path: part.to, mode: Some(part.mode), content }).collect()
}

fn from_directory(directory: &Path, extra: &[Extra]) -> Result<Fetched, Cause> {
    let mut causes = Vec::new();
    let files = BundleFile::ALL
        .into_iter()
        .map(|file| (file, read_or_note(&directory.join(file.name()), FILE_LIMIT, &mut causes)))
        .collect();
    let extra = extra_of_directory(directory, extra, &mut causes)?;
    if causes.is_empty() { Ok(Fetched { files, extra }) } else { Err(Cause::together(causes)) }
}

fn extra_of_directory(
    directory: &Path,
    extra: &[Extra],
    causes: &mut Vec<Cause>,
) -> Result<Vec<ExtraFile>, Cause> {
    let mut extras = Vec::new();
    for entry in extra {
        let from = directory.join(&entry.object);
        if entry.is_tree {
            for path in tree(&from)? {
                let below = path.strip_prefix(&from).unwrap_or(&path).to_string_lossy().into_owned();
                let content = read_or_note(&path, EXTRA_LIMIT, causes);
                extras.push(ExtraFile {
                    path: inside(&entry.path, &below)?,
                    mode: Some(entry.mode),
                    content,
                });
            }
        } else {
            let content = read_or_note(&from, EXTRA_LIMIT, causes);
            extras.push(ExtraFile { path: entry.path.clone(), mode: Some(entry.mode), content });
        }
    }
    Ok(extras)
}

/// What the file holds, or nothing and its cause among the others.
fn read_or_note(path: &Path, limit: usize, causes: &mut Vec<Cause>) -> Vec<u8> {
    read_limited(path, limit).unwrap_or_else(|cause| {
        causes.push(cause);
        Vec::new()
    })
}

/// The path below a directory, refusing a key that would lead out of it.
fn inside(directory: &Path, below: &str) -> Result<PathBuf, Cause> {
    let relative = Path::new(below);
    if relative.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Ok(directory.join(relative));
    }
    Err(Cause::config(
        "source.unsafe_key",
        format!("An object's name leads out of {}.", directory.display()),
        "Remove the object from the source.",
    )
    .with("object", below))
}

fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, Cause> {
    files::read_bounded(path, limit).map_err(|error| unreadable(path, &error))
}

/// Why a file of a source was not read, in the source's terms.
fn unreadable(path: &Path, error: &ReadError) -> Cause {
    let shown = path.display();
    match error {
        ReadError::NotFound => Cause::config(
            "source.no_such_file",
            format!("{shown} does not exist."),
            "Put the file into the source, or correct the source.",
        ),
        ReadError::NotRegular(what) => Cause::config(
            "source.not_a_file",
            format!("{shown} is {what}, not a file."),
            "Put the file itself in its place.",
        ),
        ReadError::TooLarge { size, limit } => Cause::config(
            "source.too_large",
            format!("{shown} is too large for this file of a bundle."),
            "Check that it is the right file.",
        )
        .with("size", format!("{size} bytes, at most {limit}")),
        ReadError::Io(error) => files::failed("read", path, error),
    }
}

/// The files of a directory tree, in the order of their names; a tree that does not exist has none.
fn tree(directory: &Path) -> Result<Vec<PathBuf>, Cause> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(files::failed("read", &directory, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| files::failed("read", &directory, &error))?.path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
        if found.len() > TREE_LIMIT {
            return Err(Cause::config(
                "source.too_many",
                format!("{} holds more than {TREE_LIMIT} files.", directory.display()),
                "Check that it is the directory it should be.",
            ));
        }
    }
    found.sort();
    Ok(found)
}

/// What to say of a fetched bundle.
pub(crate) fn described(fetched: &Fetched, source: &Source) -> String {
    let bytes: usize = fetched.files.values().map(Vec::len).sum::<usize>()
        + fetched.extra.iter().map(|extra| extra.content.len()).sum::<usize>();
    let count = fetched.files.len() + fetched.extra.len();
    format!("{count} files, {bytes} bytes from {source}")
}

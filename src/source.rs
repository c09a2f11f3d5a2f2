//! A bundle's objects, all at once, from where they lie into memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::join;

use crate::aws::s3::{ObjectRequest, S3};
use crate::bundle::{self, BundleFile, ExtraFile, Fetched};
use crate::cause::Cause;
use crate::files::{self, ReadError, Root};
use crate::kind::Kind;
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
            let learnt = s3.take_warnings();
            let (fetched, warnings) = match fetched {
                Ok((fetched, warnings)) => (Ok(fetched), warnings),
                Err(cause) => (Err(cause), Vec::new()),
            };
            learnt.into_iter().chain(warnings).for_each(warn);
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
    fetch_named(root, source, file.name(), s3).await
}

/// A file that lies beside the four, in one attempt, of at most their size.
///
/// # Errors
/// As for [`fetch`], about this one object.
pub(crate) async fn fetch_named(
    root: &Root,
    source: &Source,
    name: &str,
    s3: Option<&S3>,
) -> Result<Vec<u8>, Cause> {
    match (source, s3) {
        (Source::S3(location), Some(s3)) => {
            let object = s3.get(&location.bucket, &location.key(name), FILE_LIMIT).await?;
            Ok(object.body.to_vec())
        }
        (Source::Directory(path), _) => read_limited(&root.path(path).join(name), FILE_LIMIT),
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
            let (single, trees): (Vec<&Extra>, Vec<&Extra>) = extra.iter().partition(|entry| !entry.is_tree);
            let parts: Vec<Part> = single.into_iter().map(|entry| Part::single(location, entry)).collect();
            let wanted: Vec<ObjectRequest> = parts.iter().map(Part::wanted).collect();
            let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
            let mut files = as_extra(parts, objects.into_iter().map(|object| object.body.to_vec()));
            files.extend(trees_of_s3(s3, location, &trees).await?.0);
            Ok(files)
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
        Kind::AwsNoRegion,
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
    let mut places: Vec<(PathBuf, u32)> =
        extra.iter().filter(|entry| !entry.is_tree).map(|entry| (entry.path.clone(), entry.mode)).collect();
    for (directory, mode) in installed_trees(extra) {
        places.extend(placed_in(root, &directory)?.into_iter().map(|path| (path, mode)));
    }
    for (path, mode) in places {
        if let Some(content) = read(&path, EXTRA_LIMIT)? {
            present.extra.push(ExtraFile { path, mode: Some(mode), content });
        }
    }
    Ok(present)
}

/// The directories of this box that hold trees of the bundle, with the permission bits of their files.
pub(crate) fn installed_trees(extra: &[Extra]) -> Vec<(PathBuf, u32)> {
    let configured = extra.iter().filter(|entry| entry.is_tree);
    let configured = configured.map(|entry| (entry.path.clone(), entry.mode));
    let unasked = unasked(extra.iter()).into_iter().map(|tree| (PathBuf::from(tree.path), OWN_MODE));
    configured.chain(unasked).collect()
}

/// The files below a directory of this box, as paths of the box.
///
/// # Errors
/// `host.file`, `host.permission`; `source.too_many` (config).
pub(crate) fn placed_in(root: &Root, directory: &Path) -> Result<Vec<PathBuf>, Cause> {
    let found = tree(&root.path(directory))?;
    let on_box = |path: PathBuf| Path::new("/").join(path.strip_prefix(root.directory()).unwrap_or(&path));
    Ok(found.into_iter().map(on_box).collect())
}

/// A directory tree that is part of any bundle that has it.
#[derive(Debug, Clone, Copy)]
struct Tree {
    /// Relative to the source, with a slash at the end.
    object: &'static str,
    path: &'static str,
}

/// What 2.x keeps beside the four: the services' configuration, and keys without which what is stored cannot be read.
const UNASKED: [Tree; 2] = [
    Tree { object: "circleconfig/", path: bundle::CIRCLECONFIG },
    Tree { object: "circleci-encryption-keys/", path: bundle::ENCRYPTION_KEYS },
];

/// How the names of [`UNASKED`] begin.
const COMMON_START: &str = "circlec";

/// The permission bits of the files of [`UNASKED`].
const OWN_MODE: u32 = 0o640;

/// The trees that the settings do not name themselves.
fn unasked<'e>(configured: impl Iterator<Item = &'e Extra> + Clone) -> Vec<Tree> {
    let is_configured = |tree: &Tree| {
        configured.clone().any(|entry| entry.object == tree.object || entry.path == Path::new(tree.path))
    };
    UNASKED.into_iter().filter(|tree| !is_configured(tree)).collect()
}

/// Where an extra file comes from and goes to.
struct Part {
    from: String,
    to: PathBuf,
    mode: u32,
}

impl Part {
    fn single(location: &Location, entry: &Extra) -> Self {
        Part { from: location.key(&entry.object), to: entry.path.clone(), mode: entry.mode }
    }

    /// `None` for a "directory" made in the console: an empty object whose key ends in a slash.
    fn in_tree(prefix: &str, key: &str, path: &Path, mode: u32) -> Result<Option<Self>, Cause> {
        if key.ends_with('/') {
            return Ok(None);
        }
        let below = key.strip_prefix(prefix).unwrap_or(key);
        Ok(Some(Part { from: key.to_owned(), to: inside(path, below)?, mode }))
    }

    fn wanted(&self) -> ObjectRequest {
        ObjectRequest { key: self.from.clone(), limit: EXTRA_LIMIT }
    }
}

async fn from_s3(s3: &S3, location: &Location, extra: &[Extra]) -> Result<(Fetched, Vec<Cause>), Cause> {
    let (single, trees): (Vec<&Extra>, Vec<&Extra>) = extra.iter().partition(|entry| !entry.is_tree);
    let parts: Vec<Part> = single.into_iter().map(|entry| Part::single(location, entry)).collect();
    let four =
        BundleFile::ALL.map(|file| ObjectRequest { key: location.key(file.name()), limit: FILE_LIMIT });
    let wanted: Vec<ObjectRequest> = four.into_iter().chain(parts.iter().map(Part::wanted)).collect();
    // The trees have to be listed first, which the files of known names need not wait for.
    let known = s3.fetch_all(&location.bucket, &wanted);
    let (known, trees) = join(known, trees_of_s3(s3, location, &trees)).await;
    let (objects, (in_trees, warnings)) = match (known, trees) {
        (Ok(objects), Ok(trees)) => (objects, trees),
        (Ok(_), Err(cause)) => return Err(cause),
        (Err(causes), _) => return Err(Cause::together(causes)),
    };
    let mut bodies = objects.into_iter().map(|object| object.body.to_vec());
    let files = BundleFile::ALL.into_iter().zip(&mut bodies).collect();
    let mut extra = as_extra(parts, bodies);
    extra.extend(in_trees);
    Ok((Fetched { files, extra, ..Fetched::default() }, warnings))
}

/// The files of the trees, those of the settings and those that a bundle has unasked.
async fn trees_of_s3(
    s3: &S3,
    location: &Location,
    configured: &[&Extra],
) -> Result<(Vec<ExtraFile>, Vec<Cause>), Cause> {
    let mut parts = Vec::new();
    for entry in configured {
        let prefix = location.key(&entry.object);
        for listed in s3.list(&location.bucket, &prefix, TREE_LIMIT).await? {
            parts.extend(Part::in_tree(&prefix, &listed.key, &entry.path, entry.mode)?);
        }
    }
    let mut warnings = Vec::new();
    let trees: Vec<Tree> = unasked(configured.iter().copied());
    match listed_unasked(s3, location, &trees).await {
        Ok(keys) => {
            for (tree, key) in keys {
                let prefix = location.key(tree.object);
                parts.extend(Part::in_tree(&prefix, &key, Path::new(tree.path), OWN_MODE)?);
            }
        }
        // Bundles without these directories do well without the permission.
        Err(cause) if cause.kind == Kind::S3AccessDenied => warnings.push(not_listed(&trees, &cause)),
        Err(cause) => return Err(cause),
    }
    let wanted: Vec<ObjectRequest> = parts.iter().map(Part::wanted).collect();
    let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
    Ok((as_extra(parts, objects.into_iter().map(|object| object.body.to_vec())), warnings))
}

/// The objects of these trees, each with its tree: by one request, since all their names begin alike.
async fn listed_unasked<'t>(
    s3: &S3,
    location: &Location,
    trees: &'t [Tree],
) -> Result<Vec<(&'t Tree, String)>, Cause> {
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let listed = match s3.list(&location.bucket, &location.key(COMMON_START), TREE_LIMIT).await {
        // Much else begins like them.
        Err(cause) if cause.kind == Kind::S3TooMany => {
            let mut all = Vec::new();
            for tree in trees {
                all.extend(s3.list(&location.bucket, &location.key(tree.object), TREE_LIMIT).await?);
            }
            all
        }
        listed => listed?,
    };
    let of_tree = |key: &str| trees.iter().find(|tree| key.starts_with(&location.key(tree.object)));
    Ok(listed.into_iter().filter_map(|listed| Some((of_tree(&listed.key)?, listed.key))).collect())
}

fn not_listed(trees: &[Tree], denied: &Cause) -> Cause {
    let names: Vec<&str> = trees.iter().map(|tree| tree.object).collect();
    let cause = Cause::config(
        Kind::SourceNotListed,
        format!("S3 denied listing the source, so {} would not be found there.", names.join(" and ")),
        "Allow s3:ListBucket on the bucket, if the bundle has these directories.",
    );
    cause.with("S3", &denied.sentence)
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
    if causes.is_empty() {
        Ok(Fetched { files, extra, ..Fetched::default() })
    } else {
        Err(Cause::together(causes))
    }
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
            read_tree(&from, &entry.path, entry.mode, &mut extras, causes)?;
        } else {
            let content = read_or_note(&from, EXTRA_LIMIT, causes);
            extras.push(ExtraFile { path: entry.path.clone(), mode: Some(entry.mode), content });
        }
    }
    for tree in unasked(extra.iter()) {
        read_tree(&directory.join(tree.object), Path::new(tree.path), OWN_MODE, &mut extras, causes)?;
    }
    Ok(extras)
}

fn read_tree(
    from: &Path,
    to: &Path,
    mode: u32,
    extras: &mut Vec<ExtraFile>,
    causes: &mut Vec<Cause>,
) -> Result<(), Cause> {
    for path in tree(from)? {
        let below = path.strip_prefix(from).unwrap_or(&path).to_string_lossy().into_owned();
        let content = read_or_note(&path, EXTRA_LIMIT, causes);
        extras.push(ExtraFile { path: inside(to, &below)?, mode: Some(mode), content });
    }
    Ok(())
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
        Kind::SourceUnsafeKey,
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
            "Check that it is the right file.",
        )
        .with("size", format!("{size} bytes, at most {limit}")),
        ReadError::Io(_) | ReadError::Unsafe(_) => error.cause(path),
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
                Kind::SourceTooMany,
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

//! Where a bundle comes from: its objects from where they lie into memory, all at once; and the bundle in place on this
//! box.

mod beside;
mod directory;
mod in_place;
mod s3;
mod trees;

pub(crate) use beside::Beside;
use beside::FILE_LIMIT;
pub(crate) use in_place::{InPlace, in_place, installed, placed};

use crate::aws::s3::S3;
use crate::bundle::{BundleFile, Fetched};
use crate::cause::Cause;
use crate::files::Root;
use crate::kind::Kind;
use crate::settings::{Extra, Location, Source};

/// Fetches the whole bundle, in one attempt. If several objects fail, the cause names them all.
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
            let fetched = s3::fetch(s3, location, extra).await;
            let learnt = s3.take_warnings();
            let (fetched, warnings) = match fetched {
                Ok((fetched, warnings)) => (Ok(fetched), warnings),
                Err(cause) => (Err(cause), Vec::new()),
            };
            learnt.into_iter().chain(warnings).for_each(warn);
            fetched
        }
        (Source::Directory(path), _) => directory::fetch(&root.path(path), extra),
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

/// A file next to the four, in one attempt, with the same size limit.
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
        (Source::Directory(path), _) => directory::read(&root.path(path).join(name), FILE_LIMIT),
        (Source::S3(location), None) => Err(no_region(location)),
    }
}

/// What lies beside the four, in one attempt.
///
/// # Errors
/// As for [`fetch`].
pub(crate) async fn fetch_beside(
    root: &Root,
    source: &Source,
    extra: &[Extra],
    s3: Option<&S3>,
) -> Result<Beside, Cause> {
    match (source, s3) {
        (Source::S3(location), Some(s3)) => s3::beside(s3, location, extra).await,
        (Source::Directory(path), _) => directory::beside(&root.path(path), extra),
        (Source::S3(location), None) => Err(no_region(location)),
    }
}

fn no_region(location: &Location) -> Cause {
    Cause::config(
        Kind::AwsNoRegion,
        format!("{location} cannot be fetched without a region."),
        "Set AWS_REGION.",
    )
}

/// What to say of a fetched bundle.
pub(crate) fn described(fetched: &Fetched, source: &Source) -> String {
    let bytes: usize = fetched.files.values().map(Vec::len).sum::<usize>()
        + fetched.extra.iter().map(|extra| extra.content.len()).sum::<usize>();
    let count = fetched.files.len() + fetched.extra.len();
    format!("{count} files, {bytes} bytes from {source}")
}

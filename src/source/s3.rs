//! A bundle in S3.

use std::path::PathBuf;

use futures_util::future::join;

use super::beside::{Beside, EXTRA_LIMIT, FILE_LIMIT, TREE_LIMIT, packages};
use super::trees::{self, Tree};
use crate::aws::s3::{Listed, ObjectRequest, S3};
use crate::bundle::{BundleFile, ExtraFile, Fetched, Package};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::settings::{Extra, Location};

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
    fn in_tree(location: &Location, tree: &Tree, key: &str) -> Result<Option<Self>, Cause> {
        if key.ends_with('/') {
            return Ok(None);
        }
        let below = key.strip_prefix(&location.key(&tree.object)).unwrap_or(key);
        Ok(Some(Part { from: key.to_owned(), to: trees::inside(&tree.path, below)?, mode: tree.mode }))
    }

    fn wanted(&self) -> ObjectRequest {
        ObjectRequest { key: self.from.clone(), limit: EXTRA_LIMIT }
    }
}

/// All of it, with warnings.
pub(super) async fn fetch(
    s3: &S3,
    location: &Location,
    extra: &[Extra],
) -> Result<(Fetched, Vec<Cause>), Cause> {
    let parts = single(location, extra);
    let four =
        BundleFile::ALL.map(|file| ObjectRequest { key: location.key(file.name()), limit: FILE_LIMIT });
    let wanted: Vec<ObjectRequest> = four.into_iter().chain(parts.iter().map(Part::wanted)).collect();
    // What is in the trees has to be listed first, which the files of known names need not wait for.
    let known = s3.fetch_all(&location.bucket, &wanted);
    let (known, found) = join(known, found(s3, location, extra)).await;
    let (objects, (in_trees, packages, warnings)) = match (known, found) {
        (Ok(objects), Ok(found)) => (objects, found),
        (Ok(_), Err(cause)) => return Err(cause),
        (Err(causes), _) => return Err(Cause::together(causes)),
    };
    let mut bodies = objects.into_iter().map(|object| object.body.to_vec());
    let files = BundleFile::ALL.into_iter().zip(&mut bodies).collect();
    let mut extra = as_extra(parts, bodies);
    extra.extend(in_trees);
    Ok((Fetched { files, extra, packages, ..Fetched::default() }, warnings))
}

/// What lies beside the four.
pub(super) async fn beside(s3: &S3, location: &Location, extra: &[Extra]) -> Result<Beside, Cause> {
    let parts = single(location, extra);
    let wanted: Vec<ObjectRequest> = parts.iter().map(Part::wanted).collect();
    let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
    let mut files = as_extra(parts, objects.into_iter().map(|object| object.body.to_vec()));
    let (in_trees, packages, _) = found(s3, location, extra).await?;
    files.extend(in_trees);
    Ok(Beside { extra: files, packages })
}

fn single(location: &Location, extra: &[Extra]) -> Vec<Part> {
    extra.iter().filter(|entry| !entry.is_tree).map(|entry| Part::single(location, entry)).collect()
}

type Found = (Vec<ExtraFile>, Option<Vec<Package>>, Vec<Cause>);

/// What only a listing shows: the files of the trees, and the airgap packages, which are not fetched.
async fn found(s3: &S3, location: &Location, extra: &[Extra]) -> Result<Found, Cause> {
    let mut parts = Vec::new();
    let unasked = trees::unasked(extra);
    for tree in trees::configured(extra) {
        for listed in s3.list(&location.bucket, &location.key(&tree.object), TREE_LIMIT).await? {
            parts.extend(Part::in_tree(location, &tree, &listed.key)?);
        }
    }
    let (mut packages_found, mut warnings) = (None, Vec::new());
    match listing(s3, location, &unasked).await {
        Ok((listed, has_top)) => {
            for Listed { key, .. } in &listed {
                if let Some(tree) = unasked.iter().find(|tree| key.starts_with(&location.key(&tree.object))) {
                    parts.extend(Part::in_tree(location, tree, key)?);
                }
            }
            packages_found = has_top.then(|| {
                let below = listed.iter().filter_map(|listed| {
                    let name = listed.key.strip_prefix(&location.key(""))?;
                    (!name.contains('/')).then(|| (name.to_owned(), listed.size))
                });
                packages(&below.collect::<Vec<_>>(), extra)
            });
        }
        // Bundles without these directories work without the permission.
        Err(cause) if cause.kind == Kind::S3AccessDenied => warnings.push(not_listed(&unasked, &cause)),
        Err(cause) => return Err(cause),
    }
    let wanted: Vec<ObjectRequest> = parts.iter().map(Part::wanted).collect();
    let objects = s3.fetch_all(&location.bucket, &wanted).await.map_err(Cause::together)?;
    let files = as_extra(parts, objects.into_iter().map(|object| object.body.to_vec()));
    Ok((files, packages_found, warnings))
}

/// What lies below the source, as far as a bundle may have it unasked, and whether the names at its top are among it: by
/// one request, unless much lies there that is none of the bundle's.
async fn listing(s3: &S3, location: &Location, trees: &[Tree]) -> Result<(Vec<Listed>, bool), Cause> {
    let is_too_much = |cause: &Cause| cause.kind == Kind::S3TooMany;
    match s3.list(&location.bucket, &location.key(""), TREE_LIMIT).await {
        Err(cause) if is_too_much(&cause) => {}
        listed => return Ok((listed?, true)),
    }
    let (mut listed, has_top) = match s3.list_top(&location.bucket, &location.key(""), TREE_LIMIT).await {
        Err(cause) if is_too_much(&cause) => (Vec::new(), false),
        listed => (listed?, true),
    };
    for tree in trees {
        listed.extend(s3.list(&location.bucket, &location.key(&tree.object), TREE_LIMIT).await?);
    }
    Ok((listed, has_top))
}

fn not_listed(trees: &[Tree], denied: &Cause) -> Cause {
    let mut names: Vec<&str> = trees.iter().map(|tree| tree.object.as_str()).collect();
    names.push("an airgap package");
    let last = names.pop().unwrap_or_default();
    let names = match names.as_slice() {
        [] => last.to_owned(),
        names => format!("{} and {last}", names.join(", ")),
    };
    let cause = Cause::config(
        Kind::SourceNotListed,
        format!("S3 denied listing the source, so {names} cannot be found there."),
        "Allow s3:ListBucket on the bucket, if the bundle has any of these.",
    );
    cause.with("S3", &denied.sentence)
}

fn as_extra(parts: Vec<Part>, bodies: impl Iterator<Item = Vec<u8>>) -> Vec<ExtraFile> {
    let placed = parts.into_iter().zip(bodies);
    placed.map(|(part, content)| ExtraFile { path: part.to, mode: Some(part.mode), content }).collect()
}

//! The source of the bundle, object by object and as a whole.

use futures_util::future::join_all;

use super::super::answer::Outcome;
use super::super::facts::{Stopped, no_source, of_object};
use super::super::inquiry::Inquiry;
use super::bundle::verdict;
use crate::bundle::BundleFile;
use crate::cause::Cause;
use crate::settings::Source;

pub(super) async fn settings(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    object(inquiry, BundleFile::Settings).await
}

pub(super) async fn replicated(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    object(inquiry, BundleFile::Replicated).await
}

pub(super) async fn license(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    object(inquiry, BundleFile::License).await
}

pub(super) async fn customizations(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    object(inquiry, BundleFile::Customizations).await
}

async fn object(inquiry: &Inquiry<'_>, file: BundleFile) -> Result<Outcome, Stopped> {
    let from = inquiry.facts.source().ok_or_else(no_source)?;
    inquiry.need(inquiry.facts.s3(&from)).await?;
    let content = inquiry.facts.object(file).await?;
    Ok(Outcome::good(format!("{} bytes from {from}", content.len())))
}

pub(super) async fn extra(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let from = inquiry.facts.source().ok_or_else(no_source)?;
    inquiry.need(inquiry.facts.s3(&from)).await?;
    let fetched = &inquiry.facts.beside().await?.extra;
    if fetched.is_empty() {
        return Ok(Outcome::not_asked("the bundle has no extra files"));
    }
    let bytes: usize = fetched.iter().map(|extra| extra.content.len()).sum();
    Ok(Outcome::good(format!("{} files, {bytes} bytes from {from}", fetched.len())))
}

/// The bucket's region, as discovered while fetching its objects.
pub(super) async fn region(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let Source::S3(location) = facts.source().ok_or_else(no_source)? else {
        return Ok(Outcome::not_asked("the source is a directory"));
    };
    let from = Source::S3(location.clone());
    let Some(s3) = inquiry.need(facts.s3(&from)).await? else {
        return Ok(Outcome::not_asked("the source is a directory"));
    };
    let objects = inquiry.need(async { Ok(join_all(BundleFile::ALL.map(|file| facts.object(file))).await) });
    let objects = objects.await?;
    let warnings = s3.take_warnings();
    if !warnings.is_empty() {
        return Ok(Outcome::Warning { cause: Cause::together(warnings) });
    }
    // One fetched object is enough; if all failed, the first says why.
    let mut failed = objects.into_iter();
    match failed.find(Result::is_ok).or_else(|| failed.next()) {
        Some(Ok(_)) => {
            let aws = inquiry.need(facts.aws()).await?;
            Ok(Outcome::good(format!("{} is in {}", location.bucket, aws.region())))
        }
        _ => Ok(Outcome::waits_for(of_object(BundleFile::Settings))),
    }
}

pub(super) async fn valid(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let look = inquiry.need(inquiry.facts.at_source()).await?;
    Ok(verdict(&look.validation.findings, "an instance that boots from it installs nothing"))
}

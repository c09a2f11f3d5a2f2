//! Objects too large for memory: what S3 says of one without sending it, and its bytes as they come.

use std::time::Duration;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use aws_smithy_checksums::ChecksumAlgorithm;
use bytes::Bytes;

use super::failure::{self, Failure, Request};
use super::{S3, elsewhere, object};
use crate::cause::{self, Cause};
use crate::digest::Expected;

/// How long the next bytes of an object may take.
const STALL: Duration = Duration::from_secs(30);

/// What S3 says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub size: u64,
    /// Its ETag, which another content does not have; empty if the server gives none.
    pub etag: String,
    /// The digests that are known of it.
    pub expected: Vec<Expected>,
}

impl S3 {
    /// Asks for the size and the digests of one object.
    ///
    /// # Errors
    /// As for [`S3::get`] without those about the body.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Head, Cause> {
        let request = Request { action: "s3:GetObject", bucket, key };
        self.following(&request, async |region| {
            let head = async |part| {
                let call = self.client.head_object().bucket(bucket).key(key);
                let call = call.checksum_mode(ChecksumMode::Enabled).set_part_number(part);
                call.customize().config_override(elsewhere(region)).send().await
            };
            let answer = head(None).await.map_err(|error| Failure::of(&request, &error))?;
            let mut known = known(&answer);
            // Only an object in parts without a checksum of its own is worth another question, and does without its answer.
            if known.expected.is_empty()
                && let Some(parts) = number_of_parts(&known.etag, &answer)
                && let Ok(first) = head(Some(1)).await
                && let Some(size) = first.content_length.and_then(|size| u64::try_from(size).ok())
                && size > 0
                && known.size.div_ceil(size) == parts
            {
                known.expected.push(Expected::Parts { size, etag: known.etag.clone() });
            }
            Ok(known)
        })
        .await
    }

    /// The bytes of an object from `from` on, as long as it is the one with this ETag.
    ///
    /// # Errors
    /// As for [`S3::get`]; `s3.changed` (external).
    pub async fn stream(&self, bucket: &str, key: &str, etag: &str, from: u64) -> Result<Body, Cause> {
        let request = Request { action: "s3:GetObject", bucket, key };
        self.following(&request, async |region| {
            let range = (from > 0).then(|| format!("bytes={from}-"));
            let etag = (!etag.is_empty()).then(|| format!("\"{etag}\""));
            let call = self.client.get_object().bucket(bucket).key(key);
            let call = call.set_range(range).set_if_match(etag);
            let answer = call.customize().config_override(elsewhere(region)).send().await;
            let answer = answer.map_err(|error| Failure::of(&request, &error))?;
            let starts = format!("bytes {from}-");
            let is_range = answer.content_range.as_deref().is_some_and(|range| range.starts_with(&starts));
            Ok(Body {
                from: if is_range { from } else { 0 },
                stream: answer.body,
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })
        })
        .await
    }
}

/// An object's bytes as they come.
#[derive(Debug)]
pub struct Body {
    /// Where in the object they begin. 0 also where the server does not know ranges.
    pub from: u64,
    stream: ByteStream,
    bucket: String,
    key: String,
}

impl Body {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `s3.body_cut`, `s3.unreachable` (external).
    pub async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        let request = Request { action: "s3:GetObject", bucket: &self.bucket, key: &self.key };
        match tokio::time::timeout(STALL, self.stream.next()).await {
            Ok(chunk) => {
                chunk.transpose().map_err(|error| failure::body_cut(&request, None, &cause::chain(&error)))
            }
            Err(_) => Err(failure::stalled(&request, STALL)),
        }
    }
}

fn known(answer: &HeadObjectOutput) -> Head {
    let etag = answer.e_tag.as_deref().unwrap_or_default().trim_matches('"').to_owned();
    let mut expected = Vec::new();
    // A composite checksum is one over the checksums of the parts.
    let is_whole =
        |value: &&str| !value.contains('-') && answer.checksum_type != Some(ChecksumType::Composite);
    let checksums = [
        (ChecksumAlgorithm::Sha256, answer.checksum_sha256()),
        (ChecksumAlgorithm::Crc64Nvme, answer.checksum_crc64_nvme()),
        (ChecksumAlgorithm::Crc32c, answer.checksum_crc32_c()),
        (ChecksumAlgorithm::Crc32, answer.checksum_crc32()),
        (ChecksumAlgorithm::Sha1, answer.checksum_sha1()),
    ];
    for (algorithm, value) in checksums {
        expected.extend(value.filter(is_whole).map(|value| Expected::S3(algorithm, value.to_owned())));
    }
    if object::is_md5(&etag, answer.server_side_encryption.as_ref()) {
        expected.push(Expected::Md5(etag.clone()));
    }
    let size = answer.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    Head { size, etag, expected }
}

/// Of how many parts the ETag is made, if it is the MD5 of their MD5s.
fn number_of_parts(etag: &str, answer: &HeadObjectOutput) -> Option<u64> {
    let (sum, parts) = etag.split_once('-')?;
    object::is_md5(sum, answer.server_side_encryption.as_ref()).then(|| parts.parse().ok())?
}

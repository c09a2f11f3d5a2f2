//! Reads and verifies an object's body, with a size limit.

use std::time::Duration;

use aws_sdk_s3::operation::RequestId as _;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_checksums::body::validate;
use bytes::BytesMut;
use md5::{Digest, Md5};

use super::Object;
use super::failure::{self, Request};
use crate::aws::failure::find;
use crate::cause::{self, Cause};
use crate::digest::hex;

/// The base timeout for a body, and the minimum speed beyond it: a tenth of what the smallest instance gets from S3.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
const SLOWEST_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// Reads the body. The SDK verifies S3's own checksum, if the object has one, while reading; this function verifies the
/// MD5 in the ETag (unless the object was a multipart upload or is encrypted with a KMS key).
pub(super) async fn read(
    request: &Request<'_>,
    answer: GetObjectOutput,
    limit: usize,
) -> Result<Object, Cause> {
    let length = answer.content_length.and_then(|length| u64::try_from(length).ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(failure::too_large(request, length, limit));
    }
    let request_id = answer.request_id().map(str::to_owned);
    let etag = answer.e_tag.as_deref().map(|etag| etag.trim_matches('"').to_owned());
    let md5 = etag.clone().filter(|etag| is_md5(etag, answer.server_side_encryption.as_ref()));
    let version = answer.version_id.filter(|version| version != "null");
    let mut stream = answer.body;
    let mut body = BytesMut::with_capacity(length.unwrap_or(0) as usize);
    let expected = length.unwrap_or(limit as u64);
    let allowed = BODY_TIMEOUT + Duration::from_secs(expected / SLOWEST_BYTES_PER_SECOND);
    let reading = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| match find::<validate::Error>(&error) {
                Some(mismatch) => failure::checksum(request, &mismatch.to_string()),
                None => failure::body_cut(request, length, &cause::chain(&error)),
            })?;
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                return Err(failure::too_large(request, None, limit));
            }
        }
        Ok(())
    };
    let read = match tokio::time::timeout(allowed, reading).await {
        Ok(read) => read,
        Err(_) => Err(failure::too_slow(request, allowed)),
    };
    let read = read.and_then(|()| {
        if length.is_some_and(|length| length != body.len() as u64) {
            return Err(failure::body_cut(request, length, "the body ended early"));
        }
        match md5 {
            Some(md5) if hex(&Md5::digest(&body)) != md5 => Err(failure::checksum(
                request,
                &format!("the ETag is {md5}, which is not the MD5 of the body"),
            )),
            _ => Ok(()),
        }
    });
    match read {
        Ok(()) => Ok(Object { key: request.key.to_owned(), body: body.freeze(), etag, version }),
        Err(cause) => Err(match request_id {
            Some(id) => cause.with("received", format!("{} bytes", body.len())).with("request id", id),
            None => cause.with("received", format!("{} bytes", body.len())),
        }),
    }
}

/// The ETag is the body's MD5 if the object was uploaded in one part and is either not encrypted or encrypted by S3
/// itself.
pub(super) fn is_md5(etag: &str, encryption: Option<&ServerSideEncryption>) -> bool {
    matches!(encryption, None | Some(ServerSideEncryption::Aes256))
        && etag.len() == 32
        && etag.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_etag_is_an_md5() {
        let md5 = hex(&Md5::digest(b"abc"));
        assert_eq!(md5, "900150983cd24fb0d6963f7d28e17f72");
        assert!(is_md5(&md5, None) && is_md5(&md5, Some(&ServerSideEncryption::Aes256)));
        assert!(!is_md5(&md5, Some(&ServerSideEncryption::AwsKms)));
        assert!(!is_md5(&format!("{md5}-2"), None));
    }
}

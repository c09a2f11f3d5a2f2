//! The S3 client: fetches objects into memory with verified checksums, lists prefixes, uploads reports.

mod failure;
mod large;
mod object;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Aws;
use crate::cause::Cause;
use failure::{Failure, Request};
pub use large::{Body, Head};

/// How many objects are fetched concurrently. A bundle has four and perhaps some extra files; more connections would
/// only cost more TLS handshakes.
const PARALLEL: usize = 16;

/// Upload timeout: a report has at most some megabytes, and nothing depends on it.
const PUT_TIMEOUT: Duration = Duration::from_secs(30);

/// A complete, verified object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its content.
    pub body: Bytes,
    /// The ETag, without quotes.
    pub etag: Option<String>,
    /// Its version, in a versioned bucket.
    pub version: Option<String>,
}

/// An object to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRequest {
    /// Its key.
    pub key: String,
    /// Its size limit in bytes.
    pub limit: usize,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// How many keys are asked for at a time.
const PAGE: i32 = 100;

/// The S3 client. Every call is one attempt; a redirect to the bucket's region is followed once and remembered. Clones
/// share what was learned about regions.
///
/// All calls fail with: `s3.access_denied`, `s3.kms_denied`, `s3.no_such_bucket`, `s3.wrong_region`, `s3.refused`
/// (config), `s3.invalid_credentials` (config; external when they have expired), `s3.clock_skew` (host; may pass, since
/// chrony sets the clock shortly after boot), `s3.tls`, `s3.slow_down`, `s3.unreachable`, `s3.unavailable` (external),
/// and those of [`Aws::find_credentials`] and [`crate::dns::Resolver::addresses`].
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    aws: Aws,
    learnt: Arc<Mutex<Learnt>>,
}

#[derive(Debug, Default)]
struct Learnt {
    regions: HashMap<String, String>,
    warnings: Vec<Cause>,
}

impl S3 {
    /// Creates the client.
    ///
    /// At a custom endpoint (`AWS_ENDPOINT_URL_S3`), path-style addressing is used, as by the AWS CLI: virtual-host
    /// names rarely exist there.
    pub fn new(aws: &Aws) -> Self {
        let sdk = &aws.sdk;
        let key = ServiceConfigKey::builder()
            .service_id("S3")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let own = key.ok().and_then(|key| sdk.service_config().and_then(|it| it.load_config(key)));
        let endpoint = own.or_else(|| sdk.endpoint_url().map(str::to_owned));
        let foreign = endpoint.as_deref().is_some_and(|url| !is_amazon(url));
        let client = Client::from_conf(Builder::from(sdk).force_path_style(foreign).build());
        S3 { client, aws: aws.clone(), learnt: Arc::default() }
    }

    /// Fetches all objects concurrently and returns them in the given order. If some fail, returns all causes, merging
    /// the objects that failed in the same way.
    ///
    /// # Errors
    /// As for [`S3::get`].
    pub async fn fetch_all(&self, bucket: &str, wanted: &[ObjectRequest]) -> Result<Vec<Object>, Vec<Cause>> {
        self.aws.find_credentials().await.map_err(|cause| vec![cause])?;
        let fetches = wanted.iter().map(|it| self.get(bucket, &it.key, it.limit));
        let answers: Vec<_> = stream::iter(fetches).buffered(PARALLEL).collect().await;
        let mut objects = Vec::with_capacity(wanted.len());
        let mut causes = Vec::new();
        for answer in answers {
            match answer {
                Ok(object) => objects.push(object),
                Err(cause) => join(&mut causes, cause),
            }
        }
        if causes.is_empty() { Ok(objects) } else { Err(causes) }
    }

    /// Fetches one object of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`S3`]; and `s3.no_such_key`, `s3.too_large`, `s3.archived` (config), `s3.body_cut`, `s3.checksum` (external).
    pub async fn get(&self, bucket: &str, key: &str, limit: usize) -> Result<Object, Cause> {
        let request = Request { action: "s3:GetObject", bucket, key };
        self.following(&request, async |region| {
            let call = self.client.get_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
            let answer = call.customize().config_override(elsewhere(region)).send().await;
            let answer = answer.map_err(|error| Failure::of(&request, &error))?;
            Ok(object::read(&request, answer, limit).await?)
        })
        .await
    }

    /// Lists the objects below `prefix` (which ends in `/`, or is empty), sorted by key, at most `most`.
    ///
    /// # Errors
    /// See [`S3`]; and `s3.too_many` (config) if there are more than `most`.
    pub async fn list(&self, bucket: &str, prefix: &str, most: usize) -> Result<Vec<Listed>, Cause> {
        self.list_by(bucket, prefix, None, most).await
    }

    /// The same without what has a further `/` in its key after `prefix`.
    ///
    /// # Errors
    /// As for [`S3::list`].
    pub async fn list_top(&self, bucket: &str, prefix: &str, most: usize) -> Result<Vec<Listed>, Cause> {
        self.list_by(bucket, prefix, Some("/"), most).await
    }

    async fn list_by(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        most: usize,
    ) -> Result<Vec<Listed>, Cause> {
        let request = Request { action: "s3:ListBucket", bucket, key: prefix };
        self.following(&request, async |region| {
            let mut listed = Vec::new();
            let mut token = None;
            loop {
                let call = self.client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(PAGE);
                let call = call.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token);
                let answer = call.customize().config_override(elsewhere(region)).send().await;
                let answer = answer.map_err(|error| Failure::of(&request, &error))?;
                for it in answer.contents.unwrap_or_default() {
                    let (Some(key), Some(size)) = (it.key, it.size.and_then(|size| u64::try_from(size).ok()))
                    else {
                        continue;
                    };
                    listed.push(Listed { key, size });
                }
                if listed.len() > most {
                    return Err(Failure::from(failure::too_many(&request, most)));
                }
                token = answer.next_continuation_token;
                if token.is_none() {
                    return Ok(listed);
                }
            }
        })
        .await
    }

    /// Uploads one object, within 30 seconds.
    ///
    /// # Errors
    /// See [`S3`].
    pub async fn put(&self, bucket: &str, key: &str, body: Bytes, content_type: &str) -> Result<(), Cause> {
        let request = Request { action: "s3:PutObject", bucket, key };
        let putting = self.following(&request, async |region| {
            let call = self.client.put_object().bucket(bucket).key(key).content_type(content_type);
            let call = call.body(ByteStream::from(body.clone()));
            let answer = call.customize().config_override(elsewhere(region)).send().await;
            answer.map(|_| ()).map_err(|error| Failure::of(&request, &error))
        });
        match tokio::time::timeout(PUT_TIMEOUT, putting).await {
            Ok(answer) => answer,
            Err(_) => Err(failure::too_slow(&request, PUT_TIMEOUT)),
        }
    }

    /// Warnings about successful requests, each once: `s3.wrong_region`. Removes what it returns.
    pub fn take_warnings(&self) -> Vec<Cause> {
        std::mem::take(&mut self.learnt.lock().unwrap_or_else(PoisonError::into_inner).warnings)
    }

    /// Runs the request in the bucket's known region, and once more where S3 redirects.
    async fn following<T>(
        &self,
        request: &Request<'_>,
        attempt: impl AsyncFn(Option<&str>) -> Result<T, Failure>,
    ) -> Result<T, Cause> {
        let known =
            self.learnt.lock().unwrap_or_else(PoisonError::into_inner).regions.get(request.bucket).cloned();
        let failure = match attempt(known.as_deref()).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        self.aws.forget_if_expired(&failure.cause);
        let tried = known.as_deref().unwrap_or_else(|| self.aws.region()).to_owned();
        let Some(actual) = failure.moved_to.filter(|actual| *actual != tried) else {
            return Err(failure.cause);
        };
        let done = attempt(Some(&actual)).await.map_err(|failure| failure.cause)?;
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.regions.insert(request.bucket.to_owned(), actual.clone()).as_deref()
            != Some(actual.as_str())
        {
            learnt.warnings.push(failure::followed(request.bucket, &tried, &actual));
        }
        Ok(done)
    }
}

fn elsewhere(region: Option<&str>) -> Builder {
    match region {
        Some(region) => Builder::new().region(Region::new(region.to_owned())),
        None => Builder::new(),
    }
}

fn is_amazon(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|domain| host.ends_with(domain))
    })
}

/// Adds a cause, or its objects to an equal cause.
fn join(causes: &mut Vec<Cause>, cause: Cause) {
    let same = causes.iter_mut().find(|it| it.kind == cause.kind && it.sentence == cause.sentence);
    match same {
        Some(known) => known.evidence.extend(cause.evidence.into_iter().filter(|it| it.name == "object")),
        None => causes.push(cause),
    }
}

impl Failure {
    fn of<E>(request: &Request<'_>, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        failure::of(request, error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

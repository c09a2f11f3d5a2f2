//! The AWS clients: IMDS, S3, Auto Scaling.
//!
//! Each function makes one attempt; the class of its [`Cause`] says whether to retry. The SDK's own retries are off, so
//! that there is only one place that waits, knows the deadline and shows the cause.

pub mod autoscaling;
pub mod clock;
mod credentials;
pub mod ec2;
mod failure;
pub mod imds;
pub mod s3;

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::cause::Cause;
use crate::dns;
use crate::http::{Http, REQUEST_TIMEOUT};
use crate::kind::Kind;
use crate::secret::Secrets;

use credentials::Chain;
use imds::Imds;

/// The region to try first if none is configured; S3 redirects if the bucket is elsewhere.
pub const SOME_REGION: &str = "us-east-1";

/// Timeout of one request including name resolution and reading the response: [`REQUEST_TIMEOUT`] plus resolution. The
/// last second lets the connector's more precise error come first.
const ATTEMPT_TIMEOUT: Duration =
    dns::LIMIT.saturating_add(REQUEST_TIMEOUT).saturating_add(Duration::from_secs(1));

/// What all AWS clients share: region, credentials, connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    sdk: SdkConfig,
    credentials: Chain,
}

impl Aws {
    /// Creates the shared configuration for `region`; sends no requests.
    ///
    /// Endpoints and credentials come from where the AWS SDK looks: the environment, the profile files, a web identity
    /// token, and finally the instance role through `imds` (unless it is `None` or `AWS_EC2_METADATA_DISABLED=true`).
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub async fn new(
        http: &Http,
        region: &str,
        imds: Option<Imds>,
        secrets: &Secrets,
    ) -> Result<Self, Cause> {
        let client = http.for_sdk()?;
        let region = Region::new(region.to_owned());
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(ATTEMPT_TIMEOUT)
            .build();
        let credentials = Chain::new(client.clone(), region.clone(), timeouts.clone(), imds, secrets.clone());
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .http_client(client)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            // The chain caches its result, so that failures can be reported before requests are sent.
            .identity_cache(IdentityCache::no_cache())
            // A wrong clock is reported, not corrected for: it would affect what is installed next.
            .disable_clock_skew_correction(true)
            .load()
            .await;
        Ok(Aws { sdk, credentials })
    }

    /// The region that was given to [`Aws::new`].
    pub fn region(&self) -> &str {
        self.sdk.region().map_or("", Region::as_ref)
    }

    /// Finds the credentials if necessary, and registers them as secrets. Every request does so itself; done first, a
    /// failure is a single cause, and later requests do not wait for each other.
    ///
    /// # Errors
    /// `aws.no_credentials` (external: at launch, the role's credentials appear with a delay),
    /// `aws.credentials_invalid` (config), `aws.role_unusable` (config), and those of [`Imds::item`].
    pub async fn find_credentials(&self) -> Result<(), Cause> {
        self.credentials.find().await.map(|_| ())
    }

    /// Makes the next request look for new credentials, after a service reported these as expired.
    fn forget_if_expired(&self, cause: &Cause) {
        if matches!(cause.kind, Kind::S3InvalidCredentials | Kind::AutoscalingInvalidCredentials) {
            self.credentials.forget();
        }
    }
}

/// The region from the environment (`AWS_REGION`, `AWS_DEFAULT_REGION`), which takes precedence over the instance's.
pub fn region(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_region() {
        assert_eq!(
            region(|name| (name == "AWS_DEFAULT_REGION").then(|| "eu-west-1".to_owned())).as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(region(|_| Some(String::new())), None);
    }
}

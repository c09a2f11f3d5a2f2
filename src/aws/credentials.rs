//! The credentials chain. Credentials are registered as secrets as soon as they are found.
//!
//! The SDK's own chain is not used for the instance role: its IMDS client has its own retries and token, and reduces
//! every failure to one message.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::failure;
use super::imds::Imds;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::Secrets;

/// How long before they expire credentials are replaced. The metadata service has new ones five minutes before.
const MARGIN: Duration = Duration::from_secs(120);

/// Environment, profile files, web identity, instance role: the first that has credentials. Clones share the result.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    /// The providers, in order, each with a description of where it looks.
    providers: Vec<(&'static str, SharedCredentialsProvider)>,
    /// The fallback if none of them has credentials.
    imds: Option<Imds>,
    /// Where they are made known.
    secrets: Secrets,
    found: Mutex<Option<Credentials>>,
}

impl Chain {
    pub(super) fn new(
        client: SharedHttpClient,
        region: Region,
        timeouts: TimeoutConfig,
        imds: Option<Imds>,
        secrets: Secrets,
    ) -> Self {
        let provider = ProviderConfig::without_region()
            .with_region(Some(region))
            .with_http_client(client)
            .with_retry_config(RetryConfig::disabled())
            .with_timeout_config(timeouts);
        let disabled =
            std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|it| it.eq_ignore_ascii_case("true"));
        let environment = EnvironmentVariableCredentialsProvider::new();
        let profile = ProfileFileCredentialsProvider::builder().configure(&provider).build();
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&provider).build();
        let parts = Parts {
            providers: vec![
                ("the environment", SharedCredentialsProvider::new(environment)),
                ("the profile files", SharedCredentialsProvider::new(profile)),
                ("the web identity token", SharedCredentialsProvider::new(web_identity)),
            ],
            imds: imds.filter(|_| !disabled),
            secrets,
            found: Mutex::new(None),
        };
        Chain { parts: Arc::new(parts) }
    }

    /// The cached credentials, unless they are about to expire.
    pub(super) async fn find(&self) -> Result<Credentials, Cause> {
        let mut found = self.parts.found.lock().await;
        if let Some(credentials) = found.as_ref().filter(|held| is_fresh(held)) {
            return Ok(credentials.clone());
        }
        let credentials = self.parts.look().await?;
        self.parts.secrets.register(credentials.secret_access_key());
        if let Some(token) = credentials.session_token() {
            self.parts.secrets.register(token);
        }
        *found = Some(credentials.clone());
        Ok(credentials)
    }

    /// Drops the cached credentials, since a service reported them as expired.
    pub(super) fn forget(&self) {
        // The holder of the lock is already refreshing them.
        if let Ok(mut found) = self.parts.found.try_lock() {
            *found = None;
        }
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.find().await.map_err(CredentialsError::provider_error) })
    }
}

fn is_fresh(credentials: &Credentials) -> bool {
    credentials.expiry().is_none_or(|end| end > SystemTime::now() + MARGIN)
}

impl Parts {
    async fn look(&self) -> Result<Credentials, Cause> {
        for (place, provider) in &self.providers {
            match provider.provide_credentials().await {
                Ok(credentials) => return Ok(credentials),
                Err(CredentialsError::CredentialsNotLoaded(_)) => {}
                Err(error) => return Err(invalid(place, &error)),
            }
        }
        match &self.imds {
            Some(imds) => of_instance(imds).await.map_err(|cause| match cause.kind {
                Kind::ImdsNotEc2 => nowhere("and this is not an EC2 instance", Some(&cause)),
                Kind::ImdsUnreachable => silent(cause),
                _ => cause,
            }),
            None => Err(nowhere("and no instance role is asked for", None)),
        }
    }
}

/// The document below `iam/security-credentials/`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: String,
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<jiff::Timestamp>,
}

async fn of_instance(imds: &Imds) -> Result<Credentials, Cause> {
    let listing = imds.item("iam/security-credentials/").await?;
    let role = listing.as_deref().and_then(|text| text.lines().next()).map(str::trim).unwrap_or_default();
    if role.is_empty() || !role.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)) {
        return Err(no_role());
    }
    let Some(text) = imds.item(&format!("iam/security-credentials/{role}")).await? else {
        return Err(no_role().with("role", role));
    };
    // Neither the text nor the parser's message may become evidence: they may contain a key.
    let document: Document = serde_json::from_str(&text).map_err(|error| {
        unusable(
            role,
            &format!("not a valid credentials document (line {}, column {})", error.line(), error.column()),
        )
    })?;
    match document {
        Document {
            code, access_key_id: Some(id), secret_access_key: Some(key), token, expiration, ..
        } if code == "Success" => {
            Ok(Credentials::new(id, key, token, expiration.map(SystemTime::from), "instance role"))
        }
        Document { code, message, .. } => {
            Err(unusable(role, &format!("{code}: {}", message.as_deref().unwrap_or("no message"))))
        }
    }
}

fn no_role() -> Cause {
    Cause::external(
        Kind::AwsNoCredentials,
        "The metadata service has no credentials for this instance.",
        "If the instance was just launched, wait; otherwise add an instance profile to its launch template.",
    )
}

fn nowhere(elsewhere: &str, because: Option<&Cause>) -> Cause {
    let mut cause = Cause::config(
        Kind::AwsNoCredentials,
        format!("No AWS credentials: none in the environment or the profile files (~/.aws), {elsewhere}."),
        "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    );
    if let Some(because) = because {
        cause.evidence.clone_from(&because.evidence);
    }
    cause
}

/// On an instance the metadata service is what is wrong; on a machine that nobody knows to be one, it may be the place.
fn silent(because: Cause) -> Cause {
    let mut cause = Cause::external(
        because.kind,
        format!(
            "No AWS credentials: none in the environment or the profile files (~/.aws), and for those of an instance role: {}",
            lower_first(&because.sentence)
        ),
        format!("On an EC2 instance: {} Elsewhere: set AWS_PROFILE.", because.next_step),
    );
    cause.evidence = because.evidence;
    cause
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn unusable(role: &str, said: &str) -> Cause {
    Cause::config(
        Kind::AwsRoleUnusable,
        "The metadata service cannot provide credentials for this instance's role.",
        "Check the role's trust policy: it must allow ec2.amazonaws.com to assume the role.",
    )
    .with("role", role)
    .with("answer", said)
}

fn invalid(place: &str, error: &CredentialsError) -> Cause {
    if let Some(cause) = failure::cause_within(error) {
        return cause;
    }
    Cause::config(
        Kind::AwsCredentialsInvalid,
        format!("The AWS credentials from {place} are invalid."),
        "Correct them, or remove them to use the instance's role.",
    )
    .with_error(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::aws::imds::tests::Server;
    use crate::cause::Class;

    async fn role_gives(document: &'static str) -> Server {
        Server::start(move |head| match head.split(' ').nth(1).unwrap() {
            "/latest/api/token" => (200, "token".to_owned()),
            "/latest/meta-data/iam/security-credentials/" if document == "no role" => (404, String::new()),
            "/latest/meta-data/iam/security-credentials/" => (200, "services-box\n".to_owned()),
            "/latest/meta-data/iam/security-credentials/services-box" => (200, document.to_owned()),
            _ => (500, String::new()),
        })
        .await
    }

    fn chain(given: Option<Credentials>, imds: Option<Imds>) -> Chain {
        let providers =
            given.into_iter().map(|it| ("the test", SharedCredentialsProvider::new(it))).collect();
        Chain {
            parts: Arc::new(Parts { providers, imds, secrets: Secrets::default(), found: Mutex::new(None) }),
        }
    }

    #[tokio::test]
    async fn the_role_is_asked_once_and_its_secrets_are_known() {
        let server = role_gives(
            r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"role/secret+canary","Token":"role-token-canary",
                "Expiration":"2999-01-01T00:00:00Z","Type":"AWS-HMAC"}"#,
        )
        .await;
        let chain = chain(None, Some(server.imds()));
        let credentials = chain.find().await.unwrap();
        assert_eq!(credentials.access_key_id(), "ASIA1");
        assert!(credentials.expiry().is_some());
        let secrets = &chain.parts.secrets;
        assert!(secrets.is_in("role/secret+canary") && secrets.is_in("role-token-canary"));
        chain.find().await.unwrap();
        assert_eq!(server.count("GET "), 2);
        chain.forget();
        chain.find().await.unwrap();
        assert_eq!(server.count("GET "), 4);
    }

    #[tokio::test]
    async fn credentials_about_to_end_are_replaced() {
        let server = role_gives(
            r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"bcdefg","Expiration":"2020-01-01T00:00:00Z"}"#,
        )
        .await;
        let chain = chain(None, Some(server.imds()));
        chain.find().await.unwrap();
        chain.find().await.unwrap();
        assert_eq!(server.count("GET "), 4);
    }

    #[tokio::test]
    async fn what_is_given_goes_before_the_role() {
        let given = Credentials::new("AKIA1", "given-secret-canary", None, None, "test");
        let chain = chain(Some(given), None);
        let credentials = chain.find().await.unwrap();
        assert_eq!(credentials.access_key_id(), "AKIA1");
        assert!(chain.parts.secrets.is_in("given-secret-canary"));
    }

    #[tokio::test]
    async fn what_the_role_lacks_is_named_without_its_text() {
        for (document, kind, class) in [
            ("no role", Kind::AwsNoCredentials, Class::External),
            (
                r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"no"}"#,
                Kind::AwsRoleUnusable,
                Class::Config,
            ),
            (
                r#"{"Code":"Success","SecretAccessKey":"unread-canary","Token":7}"#,
                Kind::AwsRoleUnusable,
                Class::Config,
            ),
            (r#"{"Code":"unread-canary"#, Kind::AwsRoleUnusable, Class::Config),
        ] {
            let server = role_gives(document).await;
            let cause = chain(None, Some(server.imds())).find().await.unwrap_err();
            assert_eq!((cause.kind, cause.class), (kind, class), "{document}");
            assert!(!format!("{cause:?}").contains("canary"), "{cause:?}");
        }
        assert_eq!(chain(None, None).find().await.unwrap_err().class, Class::Config);
    }
}

//! HTTP, done one way everywhere: rustls with ring, this program's own resolver, one set of trusted roots.
//!
//! There are two kinds of client, and which one is used is decided by where a request goes. [`Http::direct`] never uses a
//! proxy: the metadata service and the app's health URLs are on this machine, and a proxy would answer for its own.
//! [`Http::outgoing`] honours `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.

mod connector;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::load_certs_from_paths;

use crate::cause::Cause;
use crate::dns::{self, Resolver};
use crate::files::Root;
use crate::kind::Kind;
use connector::SdkConnector;

/// How long connecting may take once the name is resolved, over all its addresses. Within a region it takes milliseconds;
/// three seconds allow for a lost SYN (repeated after one second), and a black hole is still named quickly.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request of the SDK may take from connecting to the first byte of its answer, not counting the lookup of
/// the name. Auto Scaling answers within a second, S3 within a tenth; what takes longer is better sent again on a new
/// connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where distributions keep all trusted roots in one file: Debian and Ubuntu, Amazon Linux and its family, SUSE, Alpine.
/// The directories of single certificates beside them hold the same ones, and reading those takes ten times as long.
const ROOT_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Makes HTTP clients. Cheap to clone; all clones share the trusted roots, which are read when first needed.
#[derive(Debug, Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    names: Resolver,
    trust: OnceLock<Arc<Trust>>,
    sdk: OnceLock<SharedHttpConnector>,
}

/// The roots that a server's certificate must lead to.
#[derive(Debug)]
struct Trust {
    store: RootCertStore,
}

impl Http {
    /// Names are resolved, and the box's trusted roots looked for, under `root`.
    pub fn new(root: Root) -> Self {
        let names = Resolver::new(root.clone());
        Http { inner: Arc::new(Inner { root, names, trust: OnceLock::new(), sdk: OnceLock::new() }) }
    }

    /// The resolver that the clients use.
    pub fn names(&self) -> &Resolver {
        &self.inner.names
    }

    /// The root of the box that the requests are made for.
    pub fn root(&self) -> &Root {
        &self.inner.root
    }

    /// Does what the first [`Http::outgoing`] or [`Http::for_sdk`] would do: reads the trusted roots, once. That takes some
    /// milliseconds of computing, so that whoever has something to wait for does well to call this on another thread
    /// meanwhile.
    ///
    /// # Errors
    /// `http.ca_bundle` (config): `AWS_CA_BUNDLE` names a file that holds no certificate; `http.setup` (host).
    pub fn load_trust(&self) -> Result<(), Cause> {
        self.connector().map(|_| ())
    }

    /// A client that uses no proxy, follows no redirect and trusts no certificate: for plain HTTP to this machine.
    /// Each request needs a timeout of its own.
    ///
    /// # Errors
    /// `http.setup` (host): the client cannot be made.
    pub fn direct(&self) -> Result<reqwest::ClientBuilder, Cause> {
        let tls = tls_with(RootCertStore::empty())?;
        Ok(self.client(tls).no_proxy().redirect(reqwest::redirect::Policy::none()))
    }

    /// A client for the outside world: proxies as the environment says, certificates verified. Each request needs a
    /// timeout of its own.
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub fn outgoing(&self) -> Result<reqwest::ClientBuilder, Cause> {
        let tls = tls_with(self.trust()?.store.clone())?;
        Ok(self.client(tls))
    }

    /// The client for the AWS SDK: as [`Http::outgoing`], and one pool of connections for every service.
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub fn for_sdk(&self) -> Result<SharedHttpClient, Cause> {
        let connector = self.connector()?;
        Ok(http_client_fn(move |_, _| connector.clone()))
    }

    fn connector(&self) -> Result<SharedHttpConnector, Cause> {
        if let Some(connector) = self.inner.sdk.get() {
            return Ok(connector.clone());
        }
        let trust = self.trust()?;
        let connector = SdkConnector::new(self.inner.names.clone(), tls_with(trust.store.clone())?);
        Ok(self.inner.sdk.get_or_init(|| SharedHttpConnector::new(connector)).clone())
    }

    fn client(&self, tls: ClientConfig) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.inner.names.clone())
            // reqwest counts resolving the name as a part of connecting.
            .connect_timeout(dns::LIMIT + CONNECT_TIMEOUT)
            .user_agent(concat!("boot-agent/", env!("CARGO_PKG_VERSION")))
    }

    fn trust(&self) -> Result<Arc<Trust>, Cause> {
        if let Some(trust) = self.inner.trust.get() {
            return Ok(trust.clone());
        }
        let trust = Arc::new(Trust::load(&self.inner.root, |name| std::env::var_os(name))?);
        Ok(self.inner.trust.get_or_init(|| trust).clone())
    }
}

/// Finishes a builder of [`Http`].
///
/// # Errors
/// `http.setup` (host), when the client cannot be made.
pub fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Cause> {
    builder.build().map_err(|error| unusable_setup(&error))
}

fn tls_with(store: RootCertStore) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable_setup(&error))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

fn unusable_setup(error: &(dyn std::error::Error + 'static)) -> Cause {
    Cause::host(Kind::HttpSetup, "The HTTP client cannot be set up.", "Report this as a bug.")
        .with_error(error)
}

impl Trust {
    /// What `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the distribution's file, else (a box with no roots at all, or
    /// an image that holds only this binary) Mozilla's as of this build; and what `AWS_CA_BUNDLE` adds.
    fn load(root: &Root, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, Cause> {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        let (file, directories) = (set("SSL_CERT_FILE").map(PathBuf::from), set("SSL_CERT_DIR"));
        let mut found = Vec::new();
        if file.is_some() || directories.is_some() {
            found.extend(load_certs_from_paths(file.as_deref(), None).certs);
            for directory in directories.iter().flat_map(std::env::split_paths) {
                found.extend(load_certs_from_paths(None, Some(&directory)).certs);
            }
        } else if let Some(file) = ROOT_FILES.iter().map(|file| root.path(file)).find(|file| file.is_file()) {
            found.extend(load_certs_from_paths(Some(&file), None).certs);
        }
        if found.is_empty() {
            found = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        }
        if let Some(file) = set("AWS_CA_BUNDLE") {
            found.extend(bundle(Path::new(&file))?);
        }
        let mut store = RootCertStore::empty();
        let mut known = HashSet::new();
        // Distributions ship roots that webpki rejects (X.509 version 1, for one); no server needs them.
        found.retain(|it| known.insert(it.clone()));
        store.add_parsable_certificates(found);
        Ok(Trust { store })
    }
}

fn bundle(file: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let unusable = |said: String| {
        Cause::config(
            Kind::HttpCaBundle,
            "The file that AWS_CA_BUNDLE names holds no certificates.",
            "Correct or unset AWS_CA_BUNDLE.",
        )
        .with("file", file.display())
        .with("error", said)
    };
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable("no PEM block CERTIFICATE in it".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(error.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_box_without_roots_trusts_mozillas() {
        let directory = tempfile::tempdir().unwrap();
        let trust = Trust::load(&Root::new(directory.path()), |_| None).unwrap();
        assert!(trust.store.len() > 100, "{}", trust.store.len());
    }

    #[test]
    fn the_roots_of_the_box_are_taken_and_bad_ones_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("etc/ssl/certs/ca-certificates.crt");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let one = webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].clone();
        let pem =
            |base64: &str| format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, pem(&STANDARD.encode(&one)) + &pem("AAAA")).unwrap();
        let trust = Trust::load(&Root::new(directory.path()), |_| None).unwrap();
        let mut expected = RootCertStore::empty();
        expected.add(one).unwrap();
        assert_eq!(trust.store.roots, expected.roots);

        let elsewhere = tempfile::tempdir().unwrap();
        let named = Trust::load(&Root::new(elsewhere.path()), |name| {
            matches!(name, "SSL_CERT_FILE" | "AWS_CA_BUNDLE").then(|| file.clone().into())
        });
        assert_eq!(named.unwrap().store.roots, expected.roots);
    }

    #[test]
    fn a_bundle_without_certificates_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        for content in [None, Some("<html>")] {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            assert_eq!(bundle(&file).unwrap_err().kind, Kind::HttpCaBundle);
        }
    }

    #[test]
    fn every_client_can_be_built() {
        let http = Http::new(Root::default());
        build(http.direct().unwrap()).unwrap();
        build(http.outgoing().unwrap()).unwrap();
        http.for_sdk().unwrap();
    }
}

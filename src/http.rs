//! HTTP clients: rustls with ring, the agent's own resolver, one set of trusted roots.
//!
//! There are two kinds of client. [`Http::direct`] never uses a proxy: the metadata service and the app's health URLs
//! are on this machine, where a proxy would answer for itself. [`Http::outgoing`] honours `HTTP_PROXY`, `HTTPS_PROXY`
//! and `NO_PROXY`.

mod connector;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::load_certs_from_paths;

use crate::cause::Cause;
use crate::dns::{self, Resolver};
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::trust;
use connector::SdkConnector;

/// Connect timeout after name resolution, across all addresses. Within a region, connecting takes milliseconds; three
/// seconds tolerate one lost SYN (retransmitted after one second) and still detect a black hole quickly.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// SDK request timeout from connecting to the first response byte, excluding name resolution. Auto Scaling responds
/// within a second, S3 within 100 ms; a slower request is better retried on a new connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of certificates that are read from one file. All of Mozilla's have a quarter of a megabyte.
const LARGEST_BUNDLE: usize = 8 * 1024 * 1024;

/// Creates HTTP clients. Cheap to clone; all clones share the trusted roots, which are loaded on first use.
#[derive(Debug, Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    names: Resolver,
    has_ca_bundle: bool,
    /// The trusted roots as they were last loaded, and the SDK's connector that uses them.
    trust: RwLock<Option<(Arc<Trust>, SharedHttpConnector)>>,
}

/// The trusted roots.
#[derive(Debug)]
struct Trust {
    store: RootCertStore,
}

impl Http {
    /// Resolver files and trusted roots are read below `root`.
    pub fn new(root: Root) -> Self {
        let names = Resolver::new(root.clone());
        let inner = Inner { root, names, has_ca_bundle: true, trust: RwLock::default() };
        Http { inner: Arc::new(inner) }
    }

    /// The same without what `AWS_CA_BUNDLE` adds to the trusted roots.
    pub fn without_ca_bundle(&self) -> Self {
        let (root, names) = (self.inner.root.clone(), self.inner.names.clone());
        let inner = Inner { root, names, has_ca_bundle: false, trust: RwLock::default() };
        Http { inner: Arc::new(inner) }
    }

    /// The resolver that the clients use.
    pub fn names(&self) -> &Resolver {
        &self.inner.names
    }

    /// The root of the box that the requests are made for.
    pub fn root(&self) -> &Root {
        &self.inner.root
    }

    /// Loads the trusted roots once, as the first [`Http::outgoing`] or [`Http::for_sdk`] would. This takes some
    /// milliseconds of CPU time; call it on another thread while waiting for something else.
    ///
    /// # Errors
    /// `http.ca_bundle` (config): the `AWS_CA_BUNDLE` file contains no certificate; `http.setup` (host).
    pub fn load_trust(&self) -> Result<(), Cause> {
        self.loaded().map(|_| ())
    }

    /// A client without proxy, redirects or TLS, for plain HTTP to this machine. Each request needs its own timeout.
    ///
    /// # Errors
    /// `http.setup` (host): the client cannot be created.
    pub fn direct(&self) -> Result<reqwest::ClientBuilder, Cause> {
        let tls = tls_with(RootCertStore::empty())?;
        Ok(self.client(tls).no_proxy().redirect(reqwest::redirect::Policy::none()))
    }

    /// A client for other hosts: proxies from the environment, certificates verified. Each request needs its own
    /// timeout.
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub fn outgoing(&self) -> Result<reqwest::ClientBuilder, Cause> {
        let tls = tls_with(self.loaded()?.0.store.clone())?;
        Ok(self.client(tls))
    }

    /// The client for the AWS SDK: like [`Http::outgoing`], with one connection pool for all services.
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub fn for_sdk(&self) -> Result<SharedHttpClient, Cause> {
        let (_, first) = self.loaded()?;
        let http = self.clone();
        // Asked anew for each request, so that what is trusted by then counts.
        Ok(http_client_fn(move |_, _| {
            http.loaded().map_or_else(|_| first.clone(), |(_, connector)| connector)
        }))
    }

    /// Reads the trusted roots again, for the clients of the SDK as well: the box's store has changed.
    ///
    /// # Errors
    /// As for [`Http::load_trust`].
    pub fn reload_trust(&self) -> Result<(), Cause> {
        let loaded = self.load()?;
        *self.inner.trust.write().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        Ok(())
    }

    fn loaded(&self) -> Result<(Arc<Trust>, SharedHttpConnector), Cause> {
        if let Some(known) = &*self.inner.trust.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(known.clone());
        }
        // Locked while they are read: who comes meanwhile would need as long to read them a second time.
        let mut trust = self.inner.trust.write().unwrap_or_else(PoisonError::into_inner);
        match &*trust {
            Some(known) => Ok(known.clone()),
            None => Ok(trust.insert(self.load()?).clone()),
        }
    }

    fn load(&self) -> Result<(Arc<Trust>, SharedHttpConnector), Cause> {
        let trust = Arc::new(Trust::load(&self.inner.root, |name| match name {
            "AWS_CA_BUNDLE" if !self.inner.has_ca_bundle => None,
            name => std::env::var_os(name),
        })?);
        let connector = SdkConnector::new(self.inner.names.clone(), tls_with(trust.store.clone())?);
        Ok((trust, SharedHttpConnector::new(connector)))
    }

    fn client(&self, tls: ClientConfig) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.inner.names.clone())
            // reqwest's connect timeout includes name resolution.
            .connect_timeout(dns::LIMIT + CONNECT_TIMEOUT)
            .user_agent(concat!("boot-agent/", env!("CARGO_PKG_VERSION")))
    }
}

/// Finishes a builder of [`Http`].
///
/// # Errors
/// `http.setup` (host): the client cannot be created.
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
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the distribution's file, else (on a box without roots, or in an image
    /// with only this binary) the Mozilla roots compiled in; plus `AWS_CA_BUNDLE`.
    fn load(root: &Root, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, Cause> {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        let (file, directories) = (set("SSL_CERT_FILE").map(PathBuf::from), set("SSL_CERT_DIR"));
        let mut found = Vec::new();
        if file.is_some() || directories.is_some() {
            found.extend(load_certs_from_paths(file.as_deref(), None).certs);
            for directory in directories.iter().flat_map(std::env::split_paths) {
                found.extend(load_certs_from_paths(None, Some(&directory)).certs);
            }
        } else if let Some(file) =
            trust::STORES.iter().map(|file| root.path(file)).find(|file| file.is_file())
        {
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
        // Distributions ship roots that webpki rejects (e.g. X.509 version 1); no server needs them.
        found.retain(|it| known.insert(it.clone()));
        store.add_parsable_certificates(found);
        Ok(Trust { store })
    }
}

fn bundle(file: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let unusable = |said: String| {
        Cause::config(
            Kind::HttpCaBundle,
            "The file named by AWS_CA_BUNDLE contains no certificates.",
            "Correct or unset AWS_CA_BUNDLE.",
        )
        .with("file", file.display())
        .with("error", said)
    };
    let content = match files::read_bounded(file, LARGEST_BUNDLE) {
        Ok(content) => content,
        Err(error) => return Err(unusable(error.cause(file).sentence)),
    };
    match CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable("it contains no PEM CERTIFICATE block".to_owned()))
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
    fn a_store_that_has_changed_is_read_again_for_every_clone() {
        let directory = tempfile::tempdir().unwrap();
        let http = Http::new(Root::new(directory.path()));
        let (first, _) = http.loaded().unwrap();
        assert!(Arc::ptr_eq(&first, &http.loaded().unwrap().0), "not before it is told to");
        http.clone().reload_trust().unwrap();
        assert!(!Arc::ptr_eq(&first, &http.loaded().unwrap().0));
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

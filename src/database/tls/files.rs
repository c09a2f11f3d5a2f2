//! Reads the certificate and key files from the URI.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslFiletype;
use openssl::x509::X509;
use openssl::x509::store::{File as FileLookup, X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;

use super::terms::{Authorities, ClientCertificate, Terms};
use crate::cause::Cause;
use crate::database::uri::Password;
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::trust;

/// Size limit of a certificate file, in bytes; a distribution's store has some 200 kB.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The trusted certificates; never empty.
///
/// # Errors
/// `tls.ca_file`, saying what the file is instead, or `tls.no_authorities`.
pub(super) fn authorities(terms: &Terms, root: &Root) -> Result<Vec<X509>, Cause> {
    let setting = terms.authorities_setting();
    let path = match &terms.authorities {
        Authorities::File(path) => path.clone(),
        Authorities::System => {
            let found = trust::STORES.iter().find(|store| root.path(store).exists());
            PathBuf::from(found.ok_or_else(|| {
                Cause::host(
                    Kind::TlsNoAuthorities,
                    "This machine has no CA certificates, so no certificate can be verified.",
                    format!("Install the ca-certificates package, or set {setting} to the database's CA certificate."),
                )
            })?)
        }
    };
    let file = root.path(&path);
    let unusable = |what: &str, next_step: String, error: &dyn std::fmt::Display| {
        let sentence = format!("The CA file {} {what}.", path.display());
        Cause::config(Kind::TlsCaFile, sentence, next_step).with("file", path.display()).with("error", error)
    };
    let put_it_there = || {
        format!(
            "Put the CA's certificate in PEM format there (an extra file of the bundle), or correct {setting}."
        )
    };
    let content = read(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unusable("does not exist", put_it_there(), &error),
        io::ErrorKind::PermissionDenied => unusable(
            "cannot be read by this user",
            format!("Run this as root, or: chmod a+r {}", path.display()),
            &error,
        ),
        _ => unusable("cannot be read", put_it_there(), &error),
    })?;
    let certificates = X509::stack_from_pem(&content).map_err(|error| {
        unusable(
            "contains a certificate that cannot be decoded: it is damaged or truncated",
            put_it_there(),
            &error,
        )
    })?;
    if certificates.is_empty() {
        let (what, next_step) = not_pem(&content, &path);
        return Err(unusable(
            what,
            next_step.unwrap_or_else(put_it_there),
            &"it contains no PEM certificate",
        ));
    }
    Ok(certificates)
}

/// Makes a store refuse what `list` revokes. As in libpq, a file that is not there or holds no list changes nothing.
pub(super) fn add_revocation_list(store: &mut X509StoreBuilder, list: &Path) -> Result<(), ErrorStack> {
    if !list.is_file() {
        return Ok(());
    }
    let lookup = store.add_lookup(X509Lookup::<FileLookup>::file())?;
    if lookup.load_crl_file(list, SslFiletype::PEM).is_ok() {
        store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    }
    Ok(())
}

/// What a file without PEM certificates is, and how to convert it.
fn not_pem(content: &[u8], path: &Path) -> (&'static str, Option<String>) {
    let text = String::from_utf8_lossy(content);
    let beginning = text.trim_start().to_ascii_lowercase();
    if text.trim().is_empty() {
        ("is empty", None)
    } else if X509::from_der(content).is_ok() {
        let path = path.display();
        let command = format!("openssl x509 -inform der -in {path} -out {path}.pem");
        ("is in DER format, not PEM", Some(format!("Convert it, and use the new file: {command}")))
    } else if text.contains("PRIVATE KEY-----") {
        ("contains a private key and no certificate", None)
    } else if text.contains("-----BEGIN PKCS7-----") {
        let command = format!("openssl pkcs7 -print_certs -in {0} -out {0}.pem", path.display());
        ("is a PKCS #7 bundle, not PEM certificates", Some(format!("Convert it: {command}")))
    } else if text.contains("-----BEGIN CERTIFICATE REQUEST-----") {
        ("contains a certificate request and no certificate", None)
    } else if beginning.starts_with("<!doctype html") || beginning.starts_with("<html") {
        ("is an HTML page", None)
    } else if beginning.starts_with("<?xml") {
        ("is an XML document, such as an error page of S3", None)
    } else {
        ("contains no PEM certificate", None)
    }
}

/// The client's certificates, its own first, and its key.
///
/// # Errors
/// `tls.client_certificate`, or what keeps a file from being read.
pub(super) fn identity(
    identity: &ClientCertificate,
    root: &Root,
) -> Result<(Vec<X509>, PKey<Private>), Cause> {
    let read = |path: &Path| {
        let file = root.path(path);
        read(&file).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => files::failed("read", &file, &error),
            io::ErrorKind::NotFound => client_certificate(path, "does not exist", &error),
            _ => client_certificate(path, "cannot be read", &error),
        })
    };
    let certificate = read(&identity.certificate)?;
    let chain = X509::stack_from_pem(&certificate)
        .map_err(|error| client_certificate(&identity.certificate, "is not in PEM format", &error))?;
    if chain.is_empty() {
        let what = "contains no PEM certificate";
        return Err(client_certificate(&identity.certificate, what, &"no certificate found"));
    }
    let key_text = read(&identity.key)?;
    if identity.key_must_be_private
        && let Ok(metadata) = std::fs::metadata(root.path(&identity.key))
    {
        // libpq: u=rw at most for one's own key, u=rw,g=r for root's.
        let too_open = if metadata.uid() == 0 { 0o027 } else { 0o077 };
        if metadata.mode() & too_open != 0 {
            let mode = format!("mode {:o}", metadata.mode() & 0o777);
            return Err(client_certificate(
                &identity.key,
                "is readable by other users, which libpq rejects",
                &mode,
            ));
        }
    }
    // A callback, since without one OpenSSL would prompt on the terminal for the passphrase of an encrypted key.
    let passphrase = identity.key_password.as_ref().map(Password::expose).unwrap_or_default();
    let key = PKey::private_key_from_pem_passphrase(&key_text, passphrase.as_bytes())
        .map_err(|error| client_certificate(&identity.key, "contains no readable private key", &error))?;
    Ok((chain, key))
}

/// What is wrong with a file of the client's certificate.
pub(super) fn client_certificate(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Cause {
    Cause::config(
        Kind::TlsClientCertificate,
        format!("The client certificate file {} {what}.", path.display()),
        "Correct the file, its mode or its passphrase, or the URI's settings for the client certificate.",
    )
    .with("file", path.display())
    .with("error", error)
}

/// Reads a regular file with a size limit: a pipe would block, and a device would never end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let unfit = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if !std::fs::metadata(path)?.is_file() {
        return Err(unfit("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(unfit("it is larger than 4 MiB"));
    }
    Ok(content)
}

//! What is known about a certificate chain that OpenSSL rejected.

use std::net::IpAddr;

use openssl::nid::Nid;
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

use super::verdict::{ADDRESS_MISMATCH, HOSTNAME_MISMATCH};

/// Words that do not occur in the name of a root.
const INTERMEDIATE: [&str; 6] = ["intermediate", "issuing", "inter ca", "sub ca", "subca", "subordinate"];

/// OpenSSL's verification error about a certificate.
#[derive(Debug, Clone, Default)]
pub(super) struct Objection {
    pub(super) code: i32,
    pub(super) words: &'static str,
    /// 0 for the server's own certificate, 1 for its issuer's, and so on.
    pub(super) depth: u32,
    pub(super) subject: String,
    pub(super) issuer: String,
    /// The names that the certificate is for, empty if it has none but its subject's.
    pub(super) names: String,
    pub(super) valid: String,
    pub(super) issuer_is: Issuer,
}

/// What is known of the issuer of a certificate whose issuer's certificate is neither sent nor trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Issuer {
    /// A root or an intermediate; unknown which.
    #[default]
    Unknown,
    /// Not a root, so the server should have sent its certificate.
    Intermediate,
    /// A trusted certificate has the same name but a different key.
    Namesake,
    /// The certificate itself is trusted, and is an intermediate.
    OfTrusted,
}

impl Objection {
    /// The error in OpenSSL's callback. `trusted` are the subjects of the trusted certificates.
    pub(super) fn new(context: &X509StoreContextRef, trusted: &[String]) -> Self {
        let error = context.error();
        let objection = Objection {
            code: error.as_raw(),
            words: error.error_string(),
            depth: context.error_depth(),
            ..Objection::default()
        };
        let Some(certificate) = context.current_cert() else { return objection };
        Objection {
            subject: distinguished(certificate.subject_name()),
            issuer: distinguished(certificate.issuer_name()),
            names: names(certificate).join(", "),
            valid: format!("{} to {}", certificate.not_before(), certificate.not_after()),
            issuer_is: issuer(certificate, trusted),
            ..objection
        }
    }
}

fn issuer(certificate: &X509Ref, trusted: &[String]) -> Issuer {
    let name = distinguished(certificate.issuer_name());
    let own = distinguished(certificate.subject_name());
    if own != name && trusted.contains(&own) {
        return Issuer::OfTrusted;
    }
    if trusted.contains(&name) {
        return Issuer::Namesake;
    }
    // The extension names the certificate of the issuer by who issued *that*: another, unless it is a root.
    let issued_by_another = certificate
        .authority_issuer()
        .into_iter()
        .flatten()
        .filter_map(|general| general.directory_name().map(distinguished))
        .any(|issuers_issuer| issuers_issuer != name);
    // CAs publish URLs for intermediates, not for roots.
    let published = certificate
        .authority_info()
        .is_some_and(|access| access.iter().any(|one| one.method().nid() == Nid::AD_CA_ISSUERS));
    let lower = name.to_ascii_lowercase();
    if issued_by_another || published || INTERMEDIATE.iter().any(|word| lower.contains(word)) {
        Issuer::Intermediate
    } else {
        Issuer::Unknown
    }
}

/// The names and addresses that a certificate is for, beside its subject.
fn names(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names().into_iter().flatten();
    alternatives
        .filter_map(|name| {
            let address = name.ipaddress().and_then(|bytes| match bytes.len() {
                4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            });
            name.dnsname().map(str::to_owned).or(address)
        })
        .collect()
}

/// Whether OpenSSL's objection is that a certificate is for another name, and libpq takes it all the same: libpq also
/// looks for an address among the certificate's names, and in its common name where it has no other, and has no opinion on
/// how many labels follow a wildcard.
pub(super) fn is_good_for_libpq(context: &X509StoreContextRef, host: &str) -> bool {
    let is_mismatch = [ADDRESS_MISMATCH, HOSTNAME_MISMATCH].contains(&context.error().as_raw());
    let Some(certificate) = context.current_cert().filter(|_| is_mismatch) else { return false };
    let matches = |name: &str| match name.strip_prefix("*.") {
        _ if name.eq_ignore_ascii_case(host) => true,
        Some(domain) => host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && rest.eq_ignore_ascii_case(domain) && host.parse::<IpAddr>().is_err()
        }),
        None => false,
    };
    let names = names(certificate);
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        return common.filter_map(|name| name.data().to_string().ok()).any(|name| matches(&name));
    }
    names.iter().any(|name| matches(name))
}

/// A name as `CN=…, O=…`.
pub(super) fn distinguished(name: &X509NameRef) -> String {
    let entries = name.entries().map(|entry| {
        let key = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string();
        format!("{key}={}", value.as_deref().unwrap_or("?"))
    });
    entries.collect::<Vec<_>>().join(", ")
}

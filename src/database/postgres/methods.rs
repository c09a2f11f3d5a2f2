//! Authentication methods: requested by the server, failed, or allowed by the URI.

use super::super::uri::{PostgresUri, Server};
use crate::cause::Cause;
use crate::kind::Kind;

/// A login method that the server requires but neither the agent nor the app supports.
pub(super) fn unsupported(server: &Server, heard: &[u8]) -> Cause {
    let code =
        heard.get(5..9).and_then(|bytes| bytes.first_chunk::<4>()).map(|code| u32::from_be_bytes(*code));
    let method = match code {
        Some(2) => "Kerberos 5",
        Some(6) => "SCM credentials",
        Some(7 | 8) => "GSSAPI (Kerberos)",
        Some(9) => "SSPI",
        Some(10) => "a SASL mechanism other than SCRAM-SHA-256",
        _ => "a method other than SCRAM-SHA-256, MD5 and a plain password",
    };
    Cause::config(
        Kind::PostgresAuthMethod,
        format!("{server} requires this user to log in by {method}, which the app does not support."),
        "In pg_hba.conf, give this user an entry with the method scram-sha-256 (or md5).",
    )
    .with("requested method", method)
}

/// A login by a method that `require_auth` does not allow, as libpq handles it.
pub(super) fn by_require_auth(uri: &PostgresUri, server: &Server, heard: &[u8]) -> Option<Cause> {
    let required = uri.require_auth.as_deref()?;
    let used = match asked_for(heard)? {
        0 => "none",
        3 => "password",
        5 => "md5",
        10 => "scram-sha-256",
        _ => return None,
    };
    let negated = required.starts_with('!');
    let is_named = required.split(',').any(|method| method.trim_start_matches('!') == used);
    (is_named == negated).then(|| {
        Cause::config(
            Kind::PostgresRequireAuth,
            format!(
                "The URI has require_auth={required}, but {server} logs this user in by the method {used}."
            ),
            "Correct require_auth in the URI, or the method of the user's entry in pg_hba.conf.",
        )
    })
}

/// The code of the first authentication request.
fn asked_for(heard: &[u8]) -> Option<u32> {
    let bytes = heard.get(5..9).filter(|_| heard.first() == Some(&b'R'))?;
    bytes.first_chunk::<4>().map(|code| u32::from_be_bytes(*code))
}

/// A login that failed by a method other than PostgreSQL's own passwords.
pub(super) fn failed(server: &Server, user: &str, said: &str) -> Cause {
    const METHODS: [&str; 10] =
        ["certificate", "Peer", "Ident", "LDAP", "RADIUS", "PAM", "GSSAPI", "SSPI", "BSD", "OAuth"];
    let method = METHODS.iter().find(|method| said.starts_with(&format!("{method} authentication")));
    let next_step = match method {
        Some(&"certificate") => {
            "Use a client certificate whose common name is the user's name, or give this user a scram-sha-256 entry in pg_hba.conf."
        }
        Some(&"LDAP") => {
            "Correct user and password in the URI. If they are right: PostgreSQL's log says whether the LDAP server of the pg_hba.conf entry (ldapserver) could be reached, and what it said. Or give this user a scram-sha-256 entry."
        }
        Some(&"RADIUS") => {
            "Correct user and password in the URI. If they are right: PostgreSQL's log says whether the RADIUS server of the pg_hba.conf entry (radiusservers, radiussecrets) answered. Or give this user a scram-sha-256 entry."
        }
        Some(&"PAM") => {
            "Correct user and password in the URI. If they are right: check the PAM service of the pg_hba.conf entry (pamservice, by default /etc/pam.d/postgresql) on the database server, and its auth log. Or give this user a scram-sha-256 entry."
        }
        Some(&("Peer" | "Ident")) => {
            "The method asks for the name of the operating system's user and ignores the password: give this user an entry with scram-sha-256 (or md5) above it in pg_hba.conf."
        }
        _ => "In pg_hba.conf, give this user an entry with the method scram-sha-256 (or md5).",
    };
    let by = method.map_or_else(
        || "the method of its pg_hba.conf entry".to_owned(),
        |one| format!("{one} authentication"),
    );
    Cause::config(Kind::PostgresAuthRejected, format!("{server} rejects {user} by {by}."), next_step)
}

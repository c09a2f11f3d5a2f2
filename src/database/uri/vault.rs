//! The address of the app's Vault: five variables instead of a URI.

use std::fmt;
use std::net::IpAddr;

use super::address::{Host, Password, Product, Server, UriError};
use crate::cause::Cause;

/// Vault as `VAULT__SCHEME`, `VAULT__HOST`, `VAULT__PORT`, `VAULT__CLIENT_TOKEN` and `VAULT__TRANSIT_MOUNT` address it.
#[derive(Clone, PartialEq, Eq)]
pub struct VaultUri {
    /// The server, or the load balancer in front of several.
    pub server: Server,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The client token.
    pub token: Password,
    /// The path of the transit secrets engine, without slashes at its ends.
    pub mount: String,
    /// What works and is likely not what was meant.
    pub warnings: Vec<Cause>,
    shown: String,
}

impl fmt::Debug for VaultUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VaultUri({})", self.shown)
    }
}

impl VaultUri {
    /// Puts the parts together.
    ///
    /// # Errors
    /// A token or mount that cannot stand in an HTTP request.
    pub fn new(tls: bool, host: &str, port: u16, token: &str, mount: &str) -> Result<Self, UriError> {
        let error = |sentence: &str, next_step: &str| UriError {
            database: Product::Vault,
            column: None,
            sentence: sentence.to_owned(),
            next_step: next_step.to_owned(),
        };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(error(
                "VAULT__CLIENT_TOKEN contains characters that no Vault token has.",
                "Set it to the client_token that `vault token create` printed.",
            ));
        }
        let mount = mount.trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if mount.is_empty() || !mount.bytes().all(is_plain) {
            return Err(error(
                "VAULT__TRANSIT_MOUNT is not the path of a secrets engine.",
                "Set it to the path in the output of `vault secrets list`, e.g. transit.",
            ));
        }
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let host = address.map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
        let server = Server { host, address: None, port };
        let scheme = if tls { "https" } else { "http" };
        Ok(VaultUri {
            shown: format!("{scheme}://{server}, transit at {mount}/"),
            server,
            tls,
            token: Password::from(token.to_owned()),
            mount: mount.to_owned(),
            warnings: Vec::new(),
        })
    }

    /// The address without the token.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

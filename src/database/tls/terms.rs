//! TLS requirements of a URI.

use std::path::PathBuf;

use openssl::ssl::SslVersion;

use crate::database::uri::{Password, Product};

/// How much of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Verify {
    Nothing,
    /// It was issued by a known authority.
    Chain,
    /// And it carries the server's name.
    Name,
}

/// Which authorities are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Authorities {
    System,
    File(PathBuf),
}

/// The client's own certificate, as paths of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ClientCertificate {
    pub(in super::super) certificate: PathBuf,
    pub(in super::super) key: PathBuf,
    pub(in super::super) key_password: Option<Password>,
    /// libpq refuses a key that others can read; the MongoDB drivers do not look.
    pub(in super::super) key_must_be_private: bool,
}

/// TLS requirements of a URI, common to all products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Terms {
    pub(in super::super) kind: Product,
    pub(in super::super) verify: Verify,
    pub(in super::super) authorities: Authorities,
    pub(in super::super) identity: Option<ClientCertificate>,
    /// A list of revoked certificates; libpq ignores one that is not there.
    pub(in super::super) revocation_list: Option<PathBuf>,
    pub(in super::super) send_name: bool,
    pub(in super::super) least: Option<SslVersion>,
    pub(in super::super) most: Option<SslVersion>,
    /// The application protocol to announce, length first; empty for none.
    pub(in super::super) protocol: &'static [u8],
}

impl Terms {
    /// Terms that every TLS server meets, to find out whether a server speaks TLS.
    pub(in super::super) fn anything(kind: Product) -> Self {
        Terms {
            kind,
            verify: Verify::Nothing,
            authorities: Authorities::System,
            identity: None,
            revocation_list: None,
            send_name: true,
            least: None,
            most: None,
            protocol: &[],
        }
    }

    /// The setting for the trusted CA, for next steps.
    pub(super) fn authorities_setting(&self) -> &'static str {
        match self.kind {
            Product::Postgres => "sslrootcert",
            Product::Mongo => "tlsCAFile",
            Product::Vault => "the system's trust store",
        }
    }
}

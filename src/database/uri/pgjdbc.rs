//! Parameters that PostgreSQL's JDBC driver supports and libpq does not.
//!
//! App releases 2.x use that driver, 1.x use libpq, which rejects a URI with unknown parameters. So one of these is a
//! warning: it depends on the release.

use crate::cause::Cause;
use crate::kind::Kind;

/// The effect of a driver parameter on a login.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Nothing that a login would show.
    None,
    /// The same as one of libpq's.
    Same(&'static str),
    /// As libpq's, true and false for on and off.
    Ssl,
    /// `target_session_attrs`, in words of its own.
    Target,
    /// A setting of the session.
    Session(&'static str),
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    effect: Effect,
}

const fn plain(name: &'static str) -> Parameter {
    Parameter { name, effect: Effect::None }
}

const fn with(name: &'static str, effect: Effect) -> Parameter {
    Parameter { name, effect }
}

/// The driver's own, up to 42.7; those that libpq has under the same name are libpq's.
const PARAMETERS: &[Parameter] = &[
    with("ApplicationName", Effect::Same("application_name")),
    plain("PGDBNAME"),
    plain("PGHOST"),
    plain("PGPORT"),
    plain("adaptiveFetch"),
    plain("adaptiveFetchMaximum"),
    plain("adaptiveFetchMinimum"),
    plain("allowEncodingChanges"),
    plain("assumeMinServerVersion"),
    plain("authenticationPluginClassName"),
    plain("autosave"),
    plain("binaryTransfer"),
    plain("binaryTransferDisable"),
    plain("binaryTransferEnable"),
    plain("cancelSignalTimeout"),
    with("channelBinding", Effect::Same("channel_binding")),
    plain("charSet"),
    plain("cleanupSavepoints"),
    plain("compatible"),
    with("connectTimeout", Effect::Same("connect_timeout")),
    with("currentSchema", Effect::Session("search_path")),
    plain("databaseMetadataCacheFields"),
    plain("databaseMetadataCacheFieldsMiB"),
    plain("defaultRowFetchSize"),
    plain("disableColumnSanitiser"),
    plain("escapeSyntaxCallMode"),
    plain("groupStartupParameters"),
    with("gssEncMode", Effect::Same("gssencmode")),
    plain("gssResponseTimeout"),
    plain("gssUseDefaultCreds"),
    plain("hideUnprivilegedObjects"),
    plain("hostRecheckSeconds"),
    plain("jaasApplicationName"),
    plain("jaasLogin"),
    plain("kerberosServerName"),
    plain("loadBalanceHosts"),
    plain("localSocketAddress"),
    plain("logServerErrorDetail"),
    plain("logUnclosedConnections"),
    plain("loggerFile"),
    plain("loggerLevel"),
    plain("loginTimeout"),
    plain("logLevel"),
    plain("maxResultBuffer"),
    plain("maxSendBufferSize"),
    plain("pemKeyAlgorithm"),
    plain("preferQueryMode"),
    plain("prepareThreshold"),
    plain("preparedStatementCacheQueries"),
    plain("preparedStatementCacheSizeMiB"),
    plain("protocolVersion"),
    plain("queryTimeout"),
    plain("quoteReturningIdentifiers"),
    plain("reWriteBatchedInserts"),
    plain("readOnly"),
    plain("readOnlyMode"),
    plain("receiveBufferSize"),
    with("requireAuth", Effect::Same("require_auth")),
    plain("sendBufferSize"),
    plain("socketFactory"),
    plain("socketFactoryArg"),
    plain("socketTimeout"),
    with("ssl", Effect::Ssl),
    with("sslNegotiation", Effect::Same("sslnegotiation")),
    plain("sslResponseTimeout"),
    plain("sslfactory"),
    plain("sslfactoryarg"),
    plain("sslhostnameverifier"),
    plain("sslpasswordcallback"),
    plain("sspiServiceClass"),
    plain("stringtype"),
    with("targetServerType", Effect::Target),
    plain("tcpKeepAlive"),
    plain("tcpNoDelay"),
    plain("unknownLength"),
    plain("useSpnego"),
    plain("xmlFactoryFactory"),
];

/// The parameter of this name, which the driver writes exactly so.
pub(super) fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name == name)
}

/// Every name, for whoever looks for a near one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().map(|parameter| parameter.name)
}

impl Parameter {
    /// What has the same effect in libpq; `None` for what has none on a login, and for a value that the driver refuses.
    pub(super) fn for_libpq(self, value: &str) -> Option<(&'static str, String)> {
        match self.effect {
            Effect::None => None,
            Effect::Same(name) => (!value.is_empty()).then(|| (name, value.to_owned())),
            // The driver takes ssl= and ssl=true for TLS; "true" is libpq's own and never comes here.
            Effect::Ssl if value.is_empty() => Some(("sslmode", "require".to_owned())),
            Effect::Ssl => None,
            Effect::Target => {
                let word = match value.to_ascii_lowercase().as_str() {
                    "primary" | "master" => "read-write",
                    "secondary" | "slave" => "standby",
                    "prefersecondary" | "preferslave" => "prefer-standby",
                    _ => return None,
                };
                Some(("target_session_attrs", word.to_owned()))
            }
            Effect::Session(setting) => {
                let escaped = value.replace('\\', "\\\\").replace(' ', "\\ ");
                (!value.is_empty()).then(|| ("options", format!("-c {setting}={escaped}")))
            }
        }
    }
}

/// What is said of a URI that has these.
pub(super) fn warning(names: &[&str]) -> Cause {
    let parameters = match names {
        [one] => format!("the parameter {one}"),
        _ => format!("the parameters {}", names.join(", ")),
    };
    Cause::config(
        Kind::PostgresUriJdbcParameter,
        format!(
            "The PostgreSQL URI has {parameters}, which only the JDBC driver supports; libpq rejects such a URI."
        ),
        "Keep them only for release 2.x of the app, which uses the JDBC driver; for 1.x, remove them.",
    )
}

//! The messages of poolers and proxies, and what they mean.

/// What a pooler's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Password,
    /// The pooler has no such user, or no credentials for it.
    User,
    Method,
    Database,
    DatabaseClosed,
    TooMany,
    Parameter,
    TlsRequired,
    /// Nothing answers behind it.
    ServerDown,
    /// The server behind it refuses the pooler.
    ServerRefuses,
    /// The server behind it has no such database.
    ServerDatabase,
    /// The server behind it has no free connection slots.
    ServerFull,
    /// The server behind it is starting up or recovering.
    ServerStarting,
    /// Every connection to the server behind it is in use.
    Waiting,
    ShuttingDown,
    AdminConsole,
    Misconfigured,
}

/// Messages of PgBouncer, Odyssey, PgCat, Supavisor and RDS Proxy, in lower case; the first match decides. The first
/// ones are PostgreSQL's own, relayed by poolers.
const WORDS: [(&str, Meaning); 52] = [
    ("password authentication failed for user", Meaning::ServerRefuses),
    ("no pg_hba.conf entry", Meaning::ServerRefuses),
    ("pg_hba.conf rejects", Meaning::ServerRefuses),
    ("role \"", Meaning::ServerRefuses),
    ("database \"", Meaning::ServerDatabase),
    ("too many clients already", Meaning::ServerFull),
    ("remaining connection slots", Meaning::ServerFull),
    ("the database system is", Meaning::ServerStarting),
    ("server login failed", Meaning::ServerRefuses),
    ("server login has been failing", Meaning::ServerRefuses),
    ("client_login_timeout (server down)", Meaning::ServerDown),
    ("server_login_retry", Meaning::ServerDown),
    ("cannot connect to server", Meaning::ServerDown),
    ("server_connect_timeout", Meaning::ServerDown),
    ("server dns lookup failed", Meaning::ServerDown),
    ("failed to connect to remote server", Meaning::ServerDown),
    ("could not connect to the database", Meaning::ServerDown),
    ("all servers are down", Meaning::ServerDown),
    ("no servers", Meaning::ServerDown),
    ("client_login_timeout", Meaning::ServerDown),
    ("query_wait_timeout", Meaning::Waiting),
    ("timed-out waiting to acquire", Meaning::Waiting),
    ("connection pool has been exhausted", Meaning::Waiting),
    ("could not get connection from the pool", Meaning::Waiting),
    ("unable to check out", Meaning::Waiting),
    ("no such database", Meaning::Database),
    ("no pool configured", Meaning::Database),
    ("database does not exist", Meaning::Database),
    ("does not allow connections", Meaning::DatabaseClosed),
    ("database removed", Meaning::DatabaseClosed),
    ("no more connections allowed", Meaning::TooMany),
    ("too many", Meaning::TooMany),
    ("max clients reached", Meaning::TooMany),
    ("max_client_conn", Meaning::TooMany),
    ("unsupported startup parameter", Meaning::Parameter),
    ("ssl required", Meaning::TlsRequired),
    ("ssl is required", Meaning::TlsRequired),
    ("requires tls", Meaning::TlsRequired),
    ("no such user", Meaning::User),
    ("has no credentials for the role", Meaning::User),
    ("tenant or user not found", Meaning::User),
    ("user not found", Meaning::User),
    ("is wrong", Meaning::Password),
    ("password authentication failed", Meaning::Password),
    ("sasl authentication failed", Meaning::Password),
    ("auth failed", Meaning::Password),
    ("invalid password", Meaning::Password),
    ("authentication failed", Meaning::Method),
    ("login rejected", Meaning::Method),
    ("shutting down", Meaning::ShuttingDown),
    ("not allowed", Meaning::AdminConsole),
    ("bouncer config error", Meaning::Misconfigured),
];

/// What is meant, if the words are known.
pub(super) fn meaning(said: &str) -> Option<Meaning> {
    let lower = said.to_ascii_lowercase();
    if lower.ends_with("is disabled") {
        return Some(Meaning::DatabaseClosed);
    }
    WORDS.iter().find(|(words, _)| lower.contains(words)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean() {
        for (said, expected) in [
            ("no such database: circle", Meaning::Database),
            ("no such user: circle", Meaning::User),
            ("password authentication failed", Meaning::Password),
            ("SASL authentication failed", Meaning::Password),
            ("certificate authentication failed", Meaning::Method),
            ("no more connections allowed (max_client_conn)", Meaning::TooMany),
            ("unsupported startup parameter: options", Meaning::Parameter),
            ("query_wait_timeout", Meaning::Waiting),
            ("client_login_timeout (server down)", Meaning::ServerDown),
            (
                "server login failed: FATAL: password authentication failed for user \"circle\"",
                Meaning::ServerRefuses,
            ),
            ("server login has been failing, try again later (server_login_retry)", Meaning::ServerRefuses),
            ("database \"circle\" is disabled", Meaning::DatabaseClosed),
            ("database \"circle\" does not exist", Meaning::ServerDatabase),
            ("password authentication failed for user \"circle\"", Meaning::ServerRefuses),
            ("sorry, too many clients already", Meaning::ServerFull),
            ("SSL required", Meaning::TlsRequired),
            ("This RDS Proxy requires TLS connections", Meaning::TlsRequired),
            (
                "This RDS proxy has no credentials for the role circle. Check the credentials for this role and try again.",
                Meaning::User,
            ),
            ("The password that was provided for the role circle is wrong.", Meaning::Password),
            ("Timed-out waiting to acquire database connection", Meaning::Waiting),
            ("odyssey: c1a2: failed to connect to remote server s3b4", Meaning::ServerDown),
        ] {
            assert_eq!(meaning(said), Some(expected), "{said}");
        }
        assert_eq!(meaning("something else"), None);
    }
}

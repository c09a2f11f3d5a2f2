//! Why the app does not start, by its own last lines.
//!
//! The app is Clojure on a JVM, with JVM exceptions and the drivers' messages. This reports what the app saw: the
//! database checks are more precise, and come first.

use crate::cause::{Cause, Class};
use crate::kind::Kind;

/// How many lines before the last match may belong to the same problem: the reason is often logged before the failure.
const SAME_TROUBLE: usize = 60;

/// One known problem. A line matches if it contains all words of one of the alternatives, case-insensitively.
struct Known {
    kind: Kind,
    class: Class,
    words: &'static [&'static [&'static str]],
    sentence: &'static str,
    next_step: &'static str,
}

/// Most specific first: of two matches about the same problem, the first is reported.
const KNOWN: &[Known] = &[
    Known {
        kind: Kind::AppMongodbLogin,
        class: Class::External,
        words: &[
            &["Exception authenticating MongoCredential"],
            &["MongoSecurityException"],
            &["mongo", "Authentication failed"],
            &["mongo", "auth failed"],
        ],
        sentence: "According to the app's log, MongoDB rejects its login.",
        next_step: "Probe the database: agent probe --only mongodb",
    },
    Known {
        kind: Kind::AppPostgresLogin,
        class: Class::External,
        words: &[
            &["password authentication failed"],
            &["no pg_hba.conf entry"],
            &["PSQLException", "role", "does not exist"],
        ],
        sentence: "According to the app's log, PostgreSQL rejects its login.",
        next_step: "Probe the database: agent probe --only postgres",
    },
    Known {
        kind: Kind::AppNoDatabase,
        class: Class::External,
        words: &[&["PSQLException", "database", "does not exist"], &["FATAL", "database", "does not exist"]],
        sentence: "According to the app's log, its PostgreSQL database does not exist.",
        next_step: "Probe the database: agent probe --only postgres",
    },
    Known {
        kind: Kind::AppDatabasePermission,
        class: Class::External,
        words: &[
            &["permission denied for"],
            &["not authorized on"],
            &["cannot execute", "in a read-only transaction"],
            &["MongoNotPrimaryException"],
            &["not master"],
        ],
        sentence: "According to the app's log, a database is read-only.",
        next_step: "Probe the databases: agent probe --only mongodb --only postgres",
    },
    Known {
        kind: Kind::AppUnknownHost,
        class: Class::External,
        words: &[
            &["UnknownHostException"],
            &["Name or service not known"],
            &["Temporary failure in name resolution"],
        ],
        sentence: "According to the app's log, a host name does not resolve.",
        next_step: "Probe DNS and the databases: agent probe --only host.dns --only mongodb --only postgres",
    },
    Known {
        kind: Kind::AppTls,
        class: Class::External,
        words: &[
            &["SSLHandshakeException"],
            &["PKIX path building failed"],
            &["SSLException"],
            &["unable to find valid certification path"],
        ],
        sentence: "According to the app's log, a TLS connection cannot be established.",
        next_step: "Probe the databases: agent probe --only mongodb --only postgres; their CA certificate belongs in /usr/local/share/ca-certificates.",
    },
    Known {
        kind: Kind::AppConnectionRefused,
        class: Class::External,
        words: &[&["Connection refused"]],
        sentence: "According to the app's log, a connection was refused.",
        next_step: "Probe the databases: agent probe --only mongodb --only postgres",
    },
    Known {
        kind: Kind::AppTooManyConnections,
        class: Class::External,
        words: &[&["too many clients already"], &["remaining connection slots are reserved"]],
        sentence: "According to the app's log, PostgreSQL has no free connections.",
        next_step: "Raise max_connections on the server, or close idle connections: select * from pg_stat_activity",
    },
    Known {
        kind: Kind::AppMongodbTimeout,
        class: Class::External,
        words: &[
            &["MongoTimeoutException"],
            &["MongoSocketOpenException"],
            &["MongoServerSelectionException"],
        ],
        sentence: "According to the app's log, it cannot reach any MongoDB server.",
        next_step: "Probe the database: agent probe --only mongodb",
    },
    Known {
        kind: Kind::AppDatabaseTimeout,
        class: Class::External,
        words: &[&["connect timed out"], &["SocketTimeoutException"], &["The connection attempt failed"]],
        sentence: "According to the app's log, a connection timed out.",
        next_step: "Probe the databases: agent probe --only mongodb --only postgres",
    },
    Known {
        kind: Kind::AppLicense,
        class: Class::Config,
        words: &[
            &["license", "expired"],
            &["license", "invalid"],
            &["license", "not valid"],
            &["licence", "expired"],
        ],
        sentence: "According to the app's log, the license is invalid or has expired.",
        next_step: "Get a new license.rli from CircleCI, upload it to the source, and sync the license in Replicated's console.",
    },
    Known {
        kind: Kind::AppDiskFull,
        class: Class::Host,
        words: &[&["No space left on device"], &["ENOSPC"]],
        sentence: "According to the app's log, a disk is full.",
        next_step: "See what is using it: agent probe --only docker.disk --only docker.inodes; docker system df",
    },
    Known {
        kind: Kind::AppOutOfMemory,
        class: Class::Host,
        words: &[&["OutOfMemoryError"], &["Cannot allocate memory"], &["insufficient memory for the Java"]],
        sentence: "According to the app's log, it ran out of memory.",
        next_step: "See what is left: agent probe --only host.memory; use a larger instance type, or raise the app's heap.",
    },
];

impl Known {
    fn is_in(&self, line: &str) -> bool {
        self.words.iter().any(|all| all.iter().all(|word| line.contains(&word.to_lowercase())))
    }
}

/// The cause in the last lines that match a known problem.
pub(super) fn known_cause(lines: &[String]) -> Option<Cause> {
    let lower: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    let last = lower.iter().rposition(|line| KNOWN.iter().any(|known| known.is_in(line)))?;
    let first = last.saturating_sub(SAME_TROUBLE);
    KNOWN.iter().find_map(|known| {
        let nth = (first..=last).rev().find(|nth| known.is_in(&lower[*nth]))?;
        let cause = Cause::new(known.class, known.kind, known.sentence, known.next_step);
        Some(cause.with("line", lines[nth].trim()))
    })
}

/// The cause for an app that is not ready and whose log matches nothing.
pub(super) fn unknown_cause() -> Cause {
    Cause::host(
        Kind::AppLog,
        "The app is not ready, and its last log lines match no known cause.",
        "Read the log: docker logs --tail 100 frontend",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Option<Kind> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        known_cause(&lines).map(|cause| cause.kind)
    }

    #[test]
    fn each_trouble_is_known_by_the_words_of_its_driver() {
        for (line, expected) in [
            (
                "com.mongodb.MongoTimeoutException: Timed out after 30000 ms while waiting for a server that matches \
                 ReadPreferenceServerSelector{readPreference=primary}. Client view of cluster state is {type=UNKNOWN, \
                 servers=[{address=10.0.3.7:27017, type=UNKNOWN, state=CONNECTING}]",
                Kind::AppMongodbTimeout,
            ),
            (
                "com.mongodb.MongoTimeoutException: Timed out after 30000 ms … exception={com.mongodb.MongoSocketException: \
                 mongo.internal}, caused by {java.net.UnknownHostException: mongo.internal: Name or service not known}}]",
                Kind::AppUnknownHost,
            ),
            (
                "com.mongodb.MongoSecurityException: Exception authenticating MongoCredential{mechanism=null, \
                 userName='circle', source='circle_ghe', password=<hidden>, mechanismProperties={}}",
                Kind::AppMongodbLogin,
            ),
            (
                "org.postgresql.util.PSQLException: FATAL: password authentication failed for user \"circle\"",
                Kind::AppPostgresLogin,
            ),
            (
                "org.postgresql.util.PSQLException: FATAL: no pg_hba.conf entry for host \"10.0.1.23\", user \"circle\"",
                Kind::AppPostgresLogin,
            ),
            (
                "org.postgresql.util.PSQLException: FATAL: database \"circle\" does not exist",
                Kind::AppNoDatabase,
            ),
            (
                "org.postgresql.util.PSQLException: Connection to 10.0.3.8:5432 refused. … Caused by: \
                 java.net.ConnectException: Connection refused (Connection refused)",
                Kind::AppConnectionRefused,
            ),
            (
                "org.postgresql.util.PSQLException: ERROR: cannot execute INSERT in a read-only transaction",
                Kind::AppDatabasePermission,
            ),
            (
                "com.mongodb.MongoCommandException: Command failed with error 13: 'not authorized on circle_ghe to execute'",
                Kind::AppDatabasePermission,
            ),
            (
                "javax.net.ssl.SSLHandshakeException: sun.security.validator.ValidatorException: PKIX path building failed",
                Kind::AppTls,
            ),
            ("FATAL: sorry, too many clients already", Kind::AppTooManyConnections),
            ("ERROR circle.license: License has expired on 2019-03-01", Kind::AppLicense),
            ("java.io.IOException: No space left on device", Kind::AppDiskFull),
            ("java.lang.OutOfMemoryError: Java heap space", Kind::AppOutOfMemory),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
        assert_eq!(
            kind("INFO circle.http: listening on port 80\nINFO  circle.db.mongo: connected to circle_ghe"),
            None
        );
    }

    #[test]
    fn the_reason_above_the_line_that_gives_up_is_told() {
        let trace = "\tat com.mongodb.connection.BaseCluster.selectServer(BaseCluster.java:82)\n".repeat(30);
        let text = format!(
            "INFO starting\njava.net.UnknownHostException: mongo.internal\n{trace}com.mongodb.MongoTimeoutException: Timed out\n"
        );
        assert_eq!(kind(&text), Some(Kind::AppUnknownHost));
    }

    #[test]
    fn an_earlier_trouble_does_not_hide_the_last_one() {
        let between = "INFO circle.http: GET / 200\n".repeat(SAME_TROUBLE + 1);
        let text =
            format!("java.net.UnknownHostException: mongo\n{between}java.lang.OutOfMemoryError: heap\n");
        assert_eq!(kind(&text), Some(Kind::AppOutOfMemory));
    }
}

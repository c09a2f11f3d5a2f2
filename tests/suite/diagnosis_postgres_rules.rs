//! What `pg_hba.conf` lets in, and by which way of logging in.

use boot_agent::cause::Class::Config;
use boot_agent::database::ladder::Rung;

use super::diagnosis::{Node, PASSWORD, WRONG, shows};
use super::diagnosis_postgres::{allow, at, server, uri};
use super::harness::certificates::Authority;

#[test]
fn what_pg_hba_conf_says() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    let node = Node::new("");
    let uri = uri(&postgres);
    allow(&postgres, "hostssl all all 127.0.0.1/32 scram-sha-256");
    node.holds(&uri);
    // libpq tries the other way by itself for this one.
    node.holds(&format!("{uri}?sslmode=allow"));
    let plain = format!("{uri}?sslmode=disable");
    node.breaks(&plain, Rung::Auth, "postgres.tls_required", Config, "sslmode=require");
    // The way that was not taken is no business of a healthy login.
    allow(&postgres, "hostnossl all all 127.0.0.1/32 scram-sha-256");
    for mode in ["prefer", "allow"] {
        let found = node.holds(&format!("{uri}?sslmode={mode}"));
        assert_eq!(found.warnings(), [], "{found:?}");
    }
    let encrypted = format!("{uri}?sslmode=require");
    node.breaks(&encrypted, Rung::Auth, "postgres.no_pg_hba_entry", Config, "subnet");
    // Where one way ends at the rules and the other at the password, the password is what is wrong.
    for (rules, way) in [("hostnossl", "over TLS"), ("hostssl", "without TLS")] {
        allow(&postgres, &format!("{rules} all all 127.0.0.1/32 scram-sha-256"));
        for mode in ["prefer", "allow"] {
            let wrong = format!("{}?sslmode={mode}", uri.replace(PASSWORD, WRONG));
            let cause = node.breaks(&wrong, Rung::Auth, "postgres.password_rejected", Config, "password");
            if (mode == "prefer") == (rules == "hostnossl") {
                shows(&cause, way, "pg_hba.conf");
            }
        }
    }
    allow(&postgres, "host all all 127.0.0.2/32 scram-sha-256");
    for (mode, other_way) in
        [("prefer", "without TLS"), ("disable", ""), ("require", ""), ("allow", "over TLS")]
    {
        let uri = format!("{uri}?sslmode={mode}");
        let cause = node.breaks(&uri, Rung::Auth, "postgres.no_pg_hba_entry", Config, "subnet");
        shows(&cause, "SQLSTATE", "28000");
        if !other_way.is_empty() {
            shows(&cause, other_way, "no pg_hba.conf entry");
        }
    }
    allow(&postgres, "host all all 127.0.0.1/32 reject");
    node.breaks(&uri, Rung::Auth, "postgres.pg_hba_reject", Config, "above the reject entry");
    // Where nobody asks for a password, an unknown role is called so.
    allow(&postgres, "host all all 127.0.0.1/32 trust");
    let ghost = uri.replace("circle:", "ghost:");
    node.breaks(&ghost, Rung::Auth, "postgres.no_role", Config, "CREATE ROLE");
    node.holds(&uri.replace(&format!(":{PASSWORD}"), ""));
    // What this program cannot do is said of the program, not of the password.
    allow(&postgres, "host all all 127.0.0.1/32 gss");
    let cause = node.breaks(&uri, Rung::Auth, "postgres.auth_method", Config, "scram-sha-256");
    assert!(cause.sentence.contains("GSSAPI"), "{cause:?}");
    for (method, words) in
        [("ident", "Ident authentication"), ("ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=cn", "LDAP")]
    {
        allow(&postgres, &format!("host all all 127.0.0.1/32 {method}"));
        let cause = node.breaks(&uri, Rung::Auth, "postgres.auth_rejected", Config, "scram-sha-256");
        assert!(cause.sentence.contains(words), "{cause:?}");
    }
    // The box's own user is another than the one of the URI.
    allow(&postgres, "local all all peer");
    node.link("/socket", postgres.socket_directory().as_path());
    let socket = at(&format!("%2Fsocket:{}", postgres.port()));
    let cause = node.breaks(&socket, Rung::Auth, "postgres.auth_rejected", Config, "scram-sha-256");
    assert!(cause.sentence.contains("Peer authentication"), "{cause:?}");
    // Channel binding needs TLS, and a password by SCRAM.
    for rule in ["trust", "password", "scram-sha-256"] {
        allow(&postgres, &format!("host all all 127.0.0.1/32 {rule}"));
        let bound = format!("{uri}?channel_binding=require&sslmode=disable");
        node.breaks(&bound, Rung::Auth, "postgres.channel_binding", Config, "channel_binding=prefer");
    }
    node.holds(&format!("{uri}?channel_binding=require&sslmode=require"));
    for (required, good) in [
        ("scram-sha-256", true),
        ("md5,scram-sha-256", true),
        ("!password", true),
        ("md5", false),
        ("!scram-sha-256", false),
    ] {
        let uri = format!("{uri}?require_auth={required}");
        match good {
            true => drop(node.holds(&uri)),
            false => drop(node.breaks(&uri, Rung::Auth, "postgres.require_auth", Config, "require_auth")),
        }
    }
}

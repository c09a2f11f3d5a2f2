//! Options of a MongoDB connection string that contradict each other or the hosts.

use super::address::{Product, UriError};
use super::mongo::Seeds;
use super::options::Options;
use super::scan::{error, error_at};

const KIND: Product = Product::Mongo;

/// What options say about the shape of the deployment must agree with the hosts.
pub(super) fn topology(seeds: &Seeds, options: &Options) -> Result<(), UriError> {
    let is_srv = matches!(seeds, Seeds::Srv { .. });
    let several = matches!(seeds, Seeds::Servers(servers) if servers.len() > 1);
    let direct = options.truth("directConnection") == Some(true);
    let balanced = options.truth("loadBalanced") == Some(true);
    let set = options.has("replicaSet");
    let limited = options.number("srvMaxHosts").is_some_and(|number| number > 0);
    let rules: [(bool, &str, &str, &'static str); 9] = [
        (
            direct && several,
            "directConnection",
            "several hosts with directConnection=true",
            "directConnection",
        ),
        (direct && is_srv, "directConnection", "mongodb+srv with directConnection=true", "directConnection"),
        (balanced && several, "loadBalanced", "several hosts with loadBalanced=true", "loadBalanced"),
        (balanced && set, "loadBalanced", "replicaSet with loadBalanced=true", "one of the two"),
        (
            balanced && direct,
            "loadBalanced",
            "directConnection=true with loadBalanced=true",
            "one of the two",
        ),
        (limited && set, "srvMaxHosts", "srvMaxHosts with replicaSet", "srvMaxHosts"),
        (limited && balanced, "srvMaxHosts", "srvMaxHosts with loadBalanced=true", "srvMaxHosts"),
        (
            !is_srv && options.has("srvMaxHosts"),
            "srvMaxHosts",
            "srvMaxHosts with a scheme other than mongodb+srv",
            "srvMaxHosts",
        ),
        (
            !is_srv && options.has("srvServiceName"),
            "srvServiceName",
            "srvServiceName with a scheme other than mongodb+srv",
            "srvServiceName",
        ),
    ];
    first_conflict(options, &rules)
}

/// Options that exclude each other.
pub(super) fn together(options: &Options) -> Result<(), UriError> {
    let truth = |name| options.truth(name) == Some(true);
    let primary = options.text("readPreference").is_none_or(|mode| mode.eq_ignore_ascii_case("primary"));
    let stale = options.number("maxStalenessSeconds").is_some_and(|number| number > 0);
    let pools = match (options.number("minPoolSize"), options.number("maxPoolSize")) {
        (Some(least), Some(most)) => most > 0 && least > most,
        _ => false,
    };
    let insecure = options.has("tlsInsecure");
    let revocation = options.has("tlsDisableCertificateRevocationCheck");
    let ocsp = options.has("tlsDisableOCSPEndpointCheck");
    let any_certificate = options.has("tlsAllowInvalidCertificates");
    let rules: [(bool, &str, &str, &'static str); 11] = [
        (
            insecure && any_certificate,
            "tlsInsecure",
            "tlsInsecure with tlsAllowInvalidCertificates",
            "one of the two",
        ),
        (
            insecure && options.has("tlsAllowInvalidHostnames"),
            "tlsInsecure",
            "tlsInsecure with tlsAllowInvalidHostnames",
            "one of the two",
        ),
        (insecure && ocsp, "tlsInsecure", "tlsInsecure with tlsDisableOCSPEndpointCheck", "one of the two"),
        (
            insecure && revocation,
            "tlsInsecure",
            "tlsInsecure with tlsDisableCertificateRevocationCheck",
            "one of the two",
        ),
        (
            any_certificate && ocsp,
            "tlsAllowInvalidCertificates",
            "tlsAllowInvalidCertificates with tlsDisableOCSPEndpointCheck",
            "one of the two",
        ),
        (
            any_certificate && revocation,
            "tlsAllowInvalidCertificates",
            "tlsAllowInvalidCertificates with tlsDisableCertificateRevocationCheck",
            "one of the two",
        ),
        (
            ocsp && revocation,
            "tlsDisableOCSPEndpointCheck",
            "tlsDisableOCSPEndpointCheck with tlsDisableCertificateRevocationCheck",
            "one of the two",
        ),
        (
            options.text("w") == Some("0") && truth("journal"),
            "journal",
            "w=0 with journal=true",
            "one of the two",
        ),
        (pools, "minPoolSize", "a minPoolSize above maxPoolSize", "one of the two"),
        (
            primary && options.all("readPreferenceTags").any(|tags| !tags.is_empty()),
            "readPreferenceTags",
            "readPreferenceTags with readPreference=primary",
            "readPreferenceTags, or use another readPreference",
        ),
        (
            primary && stale,
            "maxStalenessSeconds",
            "maxStalenessSeconds with readPreference=primary",
            "maxStalenessSeconds, or use another readPreference",
        ),
    ];
    first_conflict(options, &rules)
}

fn first_conflict(options: &Options, rules: &[(bool, &str, &str, &'static str)]) -> Result<(), UriError> {
    for (broken, at, what, remove) in rules {
        if *broken {
            let what = format!("combines {what}");
            let next_step = format!("Remove {remove}.");
            return Err(match options.place(at) {
                Some(offset) => error_at(KIND, offset, what, next_step),
                None => error(KIND, what, next_step),
            });
        }
    }
    Ok(())
}

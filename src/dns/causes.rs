//! What is wrong with a name, or with who was asked for it.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;

use super::stub::{AliasEnd, Answered, Attempt, Negative};
use super::wire::{Unanswered, code_name};
use crate::cause::Cause;
use crate::kind::Kind;

/// The cause for a name that was not found. `attempts` are the questions that came to nothing.
pub(super) fn negative(name: &str, negative: Negative, attempts: &[Attempt]) -> Cause {
    match negative {
        Negative::NotFound(answered) => no_such_name(name, &answered),
        Negative::NoData(answered) => no_address(name, &answered),
        Negative::Error(answered, code) => {
            server_failure(name, &[]).with("DNS server", format!("{}: {}", answered.server, code_name(code)))
        }
        Negative::Unanswered(failed) => match failed.code {
            None => silent(name, attempts),
            Some(_) => server_failure(name, attempts),
        },
        Negative::BadName(error) => Cause::config(
            Kind::DnsBadName,
            format!("{name:?} is not a valid host name."),
            "Correct the host name.",
        )
        .with("error", error),
    }
}

fn no_such_name(name: &str, answered: &Answered) -> Cause {
    let aliases = answered.aliases();
    if let [_, .., target] = aliases.as_slice() {
        return dangling(name, &aliases, target).with("DNS server", answered.server);
    }
    absent(name).with("asked for", shown(&answered.name)).with("DNS server", answered.server)
}

/// The cause for a name that neither `/etc/hosts` nor DNS has.
pub(super) fn absent(name: &str) -> Cause {
    Cause::config(
        Kind::DnsNoSuchName,
        format!("The name {name} does not exist."),
        "Correct the host name, or create its DNS record.",
    )
    .with("name", name)
}

pub(super) fn no_address(name: &str, answered: &Answered) -> Cause {
    Cause::config(
        Kind::DnsNoAddress,
        format!("The name {name} exists but has no IPv4 or IPv6 address."),
        "Create an A record for it, or correct the host name.",
    )
    .with("name", name)
    .with("asked for", shown(&answered.name))
    .with("DNS server", answered.server)
}

fn dangling(name: &str, aliases: &[Name], target: &Name) -> Cause {
    Cause::config(
        Kind::DnsDanglingAlias,
        format!("{name} is an alias (CNAME) of {}, which does not exist.", shown(target)),
        "Correct the CNAME record, or create the record that it points to.",
    )
    .with("name", name)
    .with("aliases", chain(aliases))
}

/// The cause for an alias that leads to no address.
pub(super) fn alias(name: &str, end: AliasEnd, server: IpAddr) -> Cause {
    let cause = match &end {
        AliasEnd::Dangling(aliases) => match aliases.last() {
            Some(target) => dangling(name, aliases, target),
            None => absent(name),
        },
        AliasEnd::Loop(aliases) => Cause::config(
            Kind::DnsCnameLoop,
            format!("{name} is an alias (CNAME) that loops back to itself."),
            "Correct the CNAME records: one of them must point to a name with an address.",
        )
        .with("name", name)
        .with("aliases", chain(aliases)),
        AliasEnd::NotFollowed(aliases) => Cause::config(
            Kind::DnsAliasNotFollowed,
            format!(
                "DNS server {server} returns the alias (CNAME) of {name} without its address: it is not a recursive resolver."
            ),
            "Use a recursive resolver in /etc/resolv.conf, such as the VPC's.",
        )
        .with("name", name)
        .with("aliases", chain(aliases)),
        AliasEnd::Empty(aliases) | AliasEnd::Unknown(aliases) => Cause::config(
            Kind::DnsNoAddress,
            format!(
                "{name} is an alias (CNAME) of {}, which has no IPv4 or IPv6 address.",
                aliases.last().map(shown).unwrap_or_default()
            ),
            "Correct the CNAME record, or create an A record for the name that it points to.",
        )
        .with("name", name)
        .with("aliases", chain(aliases)),
    };
    cause.with("DNS server", server)
}

/// The cause for a question that no server answered in time.
pub(super) fn silent(name: &str, attempts: &[Attempt]) -> Cause {
    let cause = Cause::external(
        Kind::DnsTimeout,
        format!("No DNS server responded to the query for {name}."),
        "Check the name servers in /etc/resolv.conf, and that UDP and TCP port 53 to them are open.",
    );
    with_attempts(cause.with("name", name), attempts)
}

/// The same cause, unless what did not respond is the server that is asked where resolv.conf names none.
pub(super) fn or_no_server(silent: Cause, names_servers: bool) -> Cause {
    if names_servers || silent.kind != Kind::DnsTimeout {
        return silent;
    }
    let mut cause = Cause::host(
        Kind::DnsNoServer,
        "/etc/resolv.conf names no DNS server, and none listens on this machine.",
        "See why DHCP gave none (networkctl status; resolvectl status), and write nameserver lines to /etc/resolv.conf.",
    );
    cause.evidence = silent.evidence;
    cause
}

/// The cause for a question that took longer than [`super::LIMIT`] with all servers and domains of the search list.
pub(super) fn out_of_time(name: &str, attempts: &[Attempt], limit: Duration) -> Cause {
    silent(name, attempts).with("stopped after", format!("{} s", limit.as_secs()))
}

fn server_failure(name: &str, attempts: &[Attempt]) -> Cause {
    let cause = Cause::external(
        Kind::DnsServerFailure,
        format!("DNS could not resolve {name}: the server returned an error."),
        "Check the name servers in /etc/resolv.conf, and this name's zone.",
    );
    with_attempts(cause.with("name", name), attempts)
}

/// The cause for one server that was asked by itself.
pub(super) fn of_server(name: &str, server: IpAddr, error: Unanswered) -> Cause {
    let is_silent = matches!(error, Unanswered::Silent(_) | Unanswered::Network(_));
    let attempts = [Attempt { server, error }];
    if is_silent { silent(name, &attempts) } else { server_failure(name, &attempts) }
}

/// What each server said, each thing once.
fn with_attempts(mut cause: Cause, attempts: &[Attempt]) -> Cause {
    let mut known = Vec::new();
    for Attempt { server, error } in attempts {
        let said = match error {
            Unanswered::Failed(ResponseCode::Refused) => {
                format!("{server}: REFUSED (it does not serve this client)")
            }
            error => format!("{server}: {error}"),
        };
        if !known.contains(&said) {
            cause = cause.with("DNS server", &said);
            known.push(said);
        }
    }
    cause
}

fn chain(aliases: &[Name]) -> String {
    aliases.iter().map(shown).collect::<Vec<_>>().join(" → ")
}

fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

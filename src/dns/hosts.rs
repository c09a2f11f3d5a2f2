//! `/etc/hosts` and the `hosts:` line of `/etc/nsswitch.conf`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where names are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `/etc/hosts`.
    Files,
    /// The servers of `/etc/resolv.conf`.
    Dns,
}

/// What a lookup came to, in the terms of nsswitch.conf(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    NotFound,
    Unavailable,
    TryAgain,
}

/// One place of the `hosts:` line, and after which failures the next one is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) service: Service,
    pub(super) returns_on: Vec<Status>,
}

impl Source {
    fn new(service: Service) -> Self {
        Source { service, returns_on: Vec::new() }
    }
}

/// The sources in their order, from the text of `/etc/nsswitch.conf`; `files dns` where it has no `hosts:` line, or
/// none that names either.
///
/// `resolve` (systemd-resolved) stands for both: it reads `/etc/hosts` and asks the same servers. Other services are
/// plug-ins of the C library, which a static program cannot load, and are skipped with their actions: `myhostname`,
/// `mymachines`, `mdns4_minimal`, `nis`, `db`, `wins`.
pub(super) fn sources(nsswitch: &str) -> Vec<Source> {
    let hosts = nsswitch.lines().rev().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim_start();
        line.strip_prefix("hosts").map(str::trim_start)?.strip_prefix(':')
    });
    let mut sources: Vec<Source> = Vec::new();
    let mut rest = hosts.unwrap_or_default();
    // An action belongs to the service before it, also where that one is skipped.
    let mut previous: Option<usize> = None;
    loop {
        rest = rest.trim_start();
        if let Some(actions) = rest.strip_prefix('[') {
            let (inner, after) = actions.split_once(']').unwrap_or((actions, ""));
            if let Some(source) = previous.and_then(|index| sources.get_mut(index)) {
                act(source, inner);
            }
            rest = after;
            continue;
        }
        let end = rest.find([' ', '\t', '[']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        rest = after;
        let services: &[Service] = match word {
            "files" => &[Service::Files],
            "dns" => &[Service::Dns],
            "resolve" => &[Service::Files, Service::Dns],
            _ => &[],
        };
        previous = None;
        for service in services {
            if !sources.iter().any(|source| source.service == *service) {
                sources.push(Source::new(*service));
                previous = Some(sources.len() - 1);
            }
        }
    }
    if sources.is_empty() {
        sources = vec![Source::new(Service::Files), Source::new(Service::Dns)];
    }
    sources
}

/// Applies `[STATUS=action …]`, `!` meaning every other status.
fn act(source: &mut Source, actions: &str) {
    for action in actions.split_whitespace() {
        let Some((status, verb)) = action.split_once('=') else { continue };
        let (negated, status) = match status.strip_prefix('!') {
            Some(status) => (true, status),
            None => (false, status),
        };
        let named = match status.to_ascii_lowercase().as_str() {
            "notfound" => Some(Status::NotFound),
            "unavail" => Some(Status::Unavailable),
            "tryagain" => Some(Status::TryAgain),
            _ => None,
        };
        for status in [Status::NotFound, Status::Unavailable, Status::TryAgain] {
            if (named == Some(status)) != negated {
                source.returns_on.retain(|known| *known != status);
                if verb.eq_ignore_ascii_case("return") {
                    source.returns_on.push(status);
                }
            }
        }
    }
}

/// Every address that `/etc/hosts` has for `name`, IPv4 first. Names match whatever their case, and literally otherwise:
/// `db.` is not `db`.
pub(super) fn listed(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// `localhost` needs neither file nor server (RFC 6761).
pub(super) fn special(name: &str) -> Option<Vec<IpAddr>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(line: &str) -> String {
        let names = sources(line).into_iter().map(|source| {
            let service = if source.service == Service::Files { "files" } else { "dns" };
            format!("{service}{:?}", source.returns_on)
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_hosts_line_gives_the_order() {
        for (line, expected) in [
            ("", "files[] dns[]"),
            ("passwd: files\nhosts: files dns\n", "files[] dns[]"),
            ("hosts:dns files", "dns[] files[]"),
            ("hosts:  dns [!UNAVAIL=return] files", "dns[NotFound, TryAgain] files[]"),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname", "files[] dns[]"),
            ("hosts: files[NOTFOUND=return] dns", "files[NotFound] dns[]"),
            ("hosts: resolve [!UNAVAIL=return] files myhostname dns", "files[] dns[NotFound, TryAgain]"),
            ("hosts: files # dns", "files[]"),
            ("hosts: myhostname", "files[] dns[]"),
            ("#hosts: dns", "files[] dns[]"),
        ] {
            assert_eq!(order(line), expected, "{line}");
        }
    }

    #[test]
    fn all_lines_of_a_name_count() {
        let hosts = "127.0.0.1 localhost\n# 10.9.9.9 db\nfd00::1 DB db.internal # db2\n10.0.0.1\tdb\nx db\n10.0.0.1 db\n";
        let listed = |name| listed(hosts, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listed("db"), ["10.0.0.1", "fd00::1"]);
        assert_eq!(listed("Db.Internal"), ["fd00::1"]);
        assert_eq!(listed("db2"), [""; 0]);
        assert_eq!(listed("db."), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>(), line in "hosts: [a-z \\[\\]!=]{0,60}") {
            listed(&text, "db");
            prop_assert!(!sources(&text).is_empty());
            prop_assert!(!sources(&line).is_empty());
        }
    }
}

//! `/etc/resolv.conf`, read as glibc's `res_init` reads it (resolv.conf(5)).
//!
//! Not honoured: `sortlist`, `trust-ad`, `no-check-names` and the options about reloading, which change no answer here;
//! and the environment's `LOCALDOMAIN` and `RES_OPTIONS`, which are of one process and say nothing about the app's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The most name servers that are asked (`MAXNS`); further ones are ignored.
const MOST_SERVERS: usize = 3;

/// Where name servers listen.
const PORT: u16 = 53;

/// The ways in which names are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// In the order in which to ask them; at least one and at most three.
    pub(super) servers: Vec<SocketAddr>,
    /// Whether the file names any of them; without, the one on this machine is asked.
    pub(super) names_servers: bool,
    /// Domains that are appended to a name, in this order.
    pub(super) search: Vec<String>,
    /// A name with at least so many dots is first asked for as it is.
    pub(super) ndots: usize,
    /// How long the first server is given, in seconds; see [`ResolvConf::wait`].
    pub(super) timeout: u64,
    /// How often the whole list of servers is gone through.
    pub(super) attempts: u32,
    /// Whether each question begins at another server.
    pub(super) rotate: bool,
    /// Whether TCP is used from the start.
    pub(super) use_vc: bool,
    /// Whether larger answers over UDP are allowed for (EDNS0).
    pub(super) edns0: bool,
    /// Whether the questions for IPv4 and IPv6 are asked one after the other.
    pub(super) single_request: bool,
    /// Whether a name without a dot is never asked for as it is.
    pub(super) no_tld_query: bool,
}

impl Default for ResolvConf {
    /// What holds without the file: the server on this machine is asked.
    fn default() -> Self {
        ResolvConf {
            servers: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)],
            names_servers: false,
            search: Vec::new(),
            ndots: 1,
            timeout: 5,
            attempts: 2,
            rotate: false,
            use_vc: false,
            edns0: false,
            single_request: false,
            no_tld_query: false,
        }
    }
}

impl ResolvConf {
    /// Reads the file's `text`. `host_name` is this machine's, whose domain is searched when the file names none.
    ///
    /// Like glibc, this never fails: a line that it does not understand is skipped.
    pub(super) fn parse(text: &str, host_name: &str) -> Self {
        let mut conf = ResolvConf::default();
        let mut servers = Vec::new();
        let mut search: Option<Vec<String>> = None;
        for line in text.split('\n') {
            let Some((keyword, rest)) = line.split_once([' ', '\t']) else { continue };
            let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
            match keyword {
                "nameserver" => servers.extend(words.next().and_then(server)),
                // The last of `domain` and `search` holds; an empty one is skipped.
                "domain" => search = words.next().map(|word| vec![word.to_owned()]).or(search),
                "search" => {
                    let list: Vec<String> = words.map(str::to_owned).collect();
                    search = if list.is_empty() { search } else { Some(list) };
                }
                "options" => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        servers.truncate(MOST_SERVERS);
        if !servers.is_empty() {
            conf.servers = servers;
            conf.names_servers = true;
        }
        let own_domain = || host_name.trim().split_once('.').map(|(_, domain)| vec![domain.to_owned()]);
        conf.search = search.or_else(own_domain).unwrap_or_default();
        conf
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        // As `atoi` has it: what is no number is 0.
        let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = value[..digits].parse::<u32>().unwrap_or(if digits == 0 { 0 } else { u32::MAX });
        match name {
            "ndots" => self.ndots = usize::try_from(number.min(15)).unwrap_or(15),
            "timeout" => self.timeout = u64::from(number.min(30)),
            // With 0 glibc asks nobody at all; that is never meant.
            "attempts" => self.attempts = number.clamp(1, 5),
            "rotate" => self.rotate = true,
            "use-vc" => self.use_vc = true,
            "edns0" => self.edns0 = true,
            "single-request" | "single-request-reopen" => self.single_request = true,
            "no-tld-query" | "no_tld_query" => self.no_tld_query = true,
            _ => {}
        }
    }

    /// How long the server at `position` of one round is given. Later ones share a growing wait: of three servers with
    /// the default of 5 s they are given 5, 3 and 6 s.
    pub(super) fn wait(&self, position: usize) -> Duration {
        let whole = self.timeout << position.min(MOST_SERVERS);
        let share = if position == 0 { whole } else { whole / self.servers.len().max(1) as u64 };
        Duration::from_secs(share.max(1))
    }
}

/// An address with an optional scope (`fe80::1%eth0`, `fe80::1%2`).
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, scope) = word.split_once('%')?;
    let index =
        || std::fs::read_to_string(format!("/sys/class/net/{scope}/ifindex")).ok()?.trim().parse().ok();
    let scope_id = scope.parse().ok().or_else(|| if scope.contains('/') { None } else { index() })?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope_id).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(text: &str) -> Vec<String> {
        ResolvConf::parse(text, "").servers.iter().map(|it| it.ip().to_string()).collect()
    }

    #[test]
    fn the_first_three_servers_count() {
        let many = "nameserver 10.0.0.1\nnameserver\t10.0.0.2 # x\nnameserver nonsense\nnameserver fd00::3\nnameserver 10.0.0.4\n";
        assert_eq!(servers(many), ["10.0.0.1", "10.0.0.2", "fd00::3"]);
        for none in [
            "",
            "nameserver\n",
            "nameserver",
            "#nameserver 10.0.0.1\n",
            " nameserver 10.0.0.1\n",
            "search a\n",
        ] {
            assert_eq!(servers(none), ["127.0.0.1"], "{none:?}");
        }
        assert_eq!(ResolvConf::parse("nameserver fe80::1%7\n", "").servers[0].to_string(), "[fe80::1%7]:53");
    }

    #[test]
    fn the_last_of_domain_and_search_holds() {
        let search = |text| ResolvConf::parse(text, "box.own.internal\n").search;
        assert_eq!(search(""), ["own.internal"]);
        assert_eq!(search("domain a.b c.d\n"), ["a.b"]);
        assert_eq!(search("domain a.b\nsearch c.d  e.f\t.\n"), ["c.d", "e.f", "."]);
        assert_eq!(search("search c.d\ndomain a.b\nsearch \n"), ["a.b"]);
        assert_eq!(ResolvConf::parse("", "box").search, [""; 0]);
    }

    #[test]
    fn options_have_the_limits_of_the_manual() {
        let conf = |options: &str| ResolvConf::parse(&format!("options {options}\n"), "");
        let odd = conf("ndots:99 timeout:99 attempts:99 rotate edns0 use-vc single-request no-tld-query");
        assert_eq!((odd.ndots, odd.timeout, odd.attempts), (15, 30, 5));
        assert!(odd.rotate && odd.edns0 && odd.use_vc && odd.single_request && odd.no_tld_query);
        let none = conf("ndots:x timeout: attempts:0 unknown");
        assert_eq!((none.ndots, none.timeout, none.attempts), (0, 0, 1));
        assert_eq!(conf("timeout:3x").timeout, 3);
    }

    #[test]
    fn each_server_is_given_what_glibc_gives_it() {
        let waits = |servers: usize, options: &str| {
            let text = "nameserver 10.0.0.1\n".repeat(servers) + "options " + options;
            let conf = ResolvConf::parse(&text, "");
            (0..servers).map(|position| conf.wait(position).as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1, "rotate"), [5]);
        assert_eq!(waits(2, "rotate"), [5, 5]);
        assert_eq!(waits(3, "rotate"), [5, 3, 6]);
        assert_eq!(waits(3, "timeout:0"), [1, 1, 1]);
        assert_eq!(waits(3, "timeout:1"), [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>(), name in any::<String>()) {
            let conf = ResolvConf::parse(&text, &name);
            prop_assert!((1..=3).contains(&conf.servers.len()));
            prop_assert!(conf.wait(2) >= Duration::from_secs(1));
        }
    }
}

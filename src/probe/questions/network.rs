//! Whether this machine has a network at all: interface, link, address, route.
//!
//! What is asked is the kernel: connecting a UDP socket looks up a route and sends nothing. Only where there is none is it
//! looked for why.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::super::answer::Outcome;
use super::super::facts::{Stopped, environment};
use super::super::inquiry::Inquiry;
use crate::aws::ec2::Hardware;
use crate::aws::imds;
use crate::cause::Cause;
use crate::files::Root;
use crate::kind::Kind;

/// Interfaces that lead to nothing but this machine and its containers.
const INTERNAL: [&str; 7] = ["lo", "docker", "br-", "veth", "virbr", "dummy", "ifb"];

/// The flag of a route that refuses what it matches.
const REJECT: u32 = 0x200;

pub(super) async fn network(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let ground = inquiry.facts.ground;
    let state = State::read(ground.root);
    let servers = ground.http.names().servers()?.into_iter().filter(|server| !server.is_loopback());
    let metadata = imds::address(environment);
    let mut routed = Vec::new();
    let mut unrouted = Vec::new();
    for address in servers.chain(metadata) {
        match route(address).await {
            Ok(source) => routed.push(format!("{address} from {source}")),
            // Outside EC2 nobody needs a route to the metadata service, unless it is the whole network that is missing.
            Err(_) if metadata == Some(address) && !needs_metadata(ground.root) && !state.is_broken() => {}
            Err(error) => unrouted.push((address, error)),
        }
    }
    Ok(match unrouted.is_empty() {
        false => Outcome::Failed { cause: state.cause(&unrouted) },
        true if routed.is_empty() => Outcome::not_asked("no address is known that it must reach"),
        true => Outcome::good(format!("has a route to {}", routed.join(", "))),
    })
}

fn needs_metadata(root: &Root) -> bool {
    environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").is_some() || Hardware::read(root).is_ec2() == Some(true)
}

/// The address that this machine would send from.
async fn route(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(SocketAddr::new(to, 53)).await?;
    Ok(socket.local_addr()?.ip())
}

/// What the kernel says of its interfaces and routes; empty where `/proc` and `/sys` cannot be seen.
#[derive(Debug, Default)]
struct State {
    is_seen: bool,
    /// Each with whether it has a link.
    interfaces: Vec<(String, bool)>,
    addresses: Vec<String>,
    has_default_route: bool,
}

impl State {
    fn read(root: &Root) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.path(path)).unwrap_or_default();
        let Ok(entries) = std::fs::read_dir(root.path("/sys/class/net")) else { return State::default() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !INTERNAL.iter().any(|internal| name.starts_with(internal)));
        names.sort();
        let has_link = |name: &str| {
            let of = |file: &str| text(&format!("/sys/class/net/{name}/{file}"));
            // A virtual interface says "unknown" and has a carrier.
            of("operstate").trim() == "up" || of("carrier").trim() == "1"
        };
        State {
            is_seen: true,
            interfaces: names.into_iter().map(|name| (name.clone(), has_link(&name))).collect(),
            addresses: addresses(&text("/proc/net/fib_trie"), &text("/proc/net/if_inet6")),
            has_default_route: has_default(&text("/proc/net/route"))
                || has_default6(&text("/proc/net/ipv6_route")),
        }
    }

    fn is_broken(&self) -> bool {
        self.is_seen && (self.addresses.is_empty() || !self.has_default_route)
    }

    /// Why there is no route to these.
    fn cause(&self, unrouted: &[(IpAddr, io::Error)]) -> Cause {
        let names = self.interfaces.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let first = self.interfaces.first().map_or("eth0", |(name, _)| name.as_str());
        let logs = "journalctl -u systemd-networkd -u NetworkManager -u networking";
        let cause = if self.is_seen && self.interfaces.is_empty() {
            Cause::host(
                Kind::HostNoInterface,
                "This machine has no network interface.",
                "Check that a network interface is attached to the instance, and its driver: dmesg | grep -iE 'ena|eth|ixgbevf'.",
            )
        } else if self.is_seen && !self.interfaces.iter().any(|(_, has_link)| *has_link) {
            Cause::host(
                Kind::HostNoLink,
                format!("No network interface of this machine is up ({names})."),
                format!("Bring it up: ip link set {first} up; see why it is down: {logs}"),
            )
        } else if self.is_seen && self.addresses.is_empty() {
            Cause::host(
                Kind::HostNoAddress,
                format!("No network interface of this machine has an IP address ({names})."),
                format!("See why DHCP gave none: networkctl status {first}; {logs}"),
            )
        } else if self.is_seen && !self.has_default_route {
            Cause::host(
                Kind::HostNoRoute,
                "This machine has no default route: it reaches nothing outside its own subnets.",
                format!("See what DHCP gave: ip route; networkctl status {first}; {logs}"),
            )
        } else {
            let (address, _) = &unrouted[0];
            Cause::host(
                Kind::HostNoRoute,
                format!("This machine has no route to {address}."),
                format!("See its routes: ip route get {address}; ip route; ip -6 route."),
            )
        };
        let cause = match self.addresses.as_slice() {
            [] => cause,
            addresses => cause.with("addresses", addresses.join(", ")),
        };
        unrouted
            .iter()
            .fold(cause, |cause, (address, error)| cause.with("no route to", format!("{address}: {error}")))
    }
}

/// The addresses of this machine, without those of the loopback and those that a host gives itself.
fn addresses(fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in fib_trie.lines() {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.contains("host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    found.sort();
    found.dedup();
    let six = if_inet6.lines().filter_map(|line| {
        let bits = u128::from_str_radix(line.get(..32)?, 16).ok()?;
        // The fourth field is the scope: 00 is global.
        (line.split_whitespace().nth(3)? == "00").then(|| Ipv6Addr::from_bits(bits).to_string())
    });
    found.iter().map(Ipv4Addr::to_string).chain(six).collect()
}

fn has_default(route: &str) -> bool {
    route.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_zero = |at: usize| fields.get(at) == Some(&"00000000");
        let flags = fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
        is_zero(1) && is_zero(7) && flags & REJECT == 0
    })
}

fn has_default6(route: &str) -> bool {
    route.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = fields.get(8).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(REJECT);
        fields.get(1) == Some(&"00")
            && fields.first().is_some_and(|to| to.bytes().all(|byte| byte == b'0'))
            && fields.get(9).is_some_and(|name| *name != "lo")
            && flags & REJECT == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.1.0/24 2 0 2\n        |-- 10.0.1.0\n           /24 link UNICAST\n        |-- 10.0.1.17\n           /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 169.254.7.1\n        /32 host LOCAL\n";
    const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\nfe80000000000000000000fffe000001 02 40 20 80     eth0\nfd000000000000000000000000000005 02 40 00 80     eth0\n";
    const HEADER: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(addresses(FIB_TRIE, IF_INET6), ["10.0.1.17", "fd00::5"]);
        assert_eq!(addresses("", ""), [""; 0]);
        let subnet = "eth0\t0001000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let default = "eth0\t00000000\t0101000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        assert!(!has_default(&format!("{HEADER}{subnet}")));
        assert!(has_default(&format!("{HEADER}{subnet}{default}")));
        let zeros = "0".repeat(32);
        let six = |flags: &str, name: &str| {
            format!("{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 {flags} {name}\n")
        };
        // What a kernel without a route has.
        assert!(!has_default6(&six("00200200", "lo")));
        assert!(has_default6(&six("00450003", "eth0")));
    }

    fn kind(state: &State) -> Kind {
        let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
        state.cause(&[(IpAddr::from([10, 0, 0, 2]), error)]).kind
    }

    #[test]
    fn the_lowest_fault_is_told() {
        let link = |has_link| vec![("eth0".to_owned(), has_link)];
        let addresses = vec!["10.0.1.17".to_owned()];
        let mut state = State { is_seen: true, ..State::default() };
        assert_eq!(kind(&state), Kind::HostNoInterface);
        state.interfaces = link(false);
        assert_eq!(kind(&state), Kind::HostNoLink);
        state.interfaces = link(true);
        assert_eq!(kind(&state), Kind::HostNoAddress);
        state.addresses = addresses;
        assert_eq!(kind(&state), Kind::HostNoRoute);
        assert!(state.is_broken());
        state.has_default_route = true;
        assert!(!state.is_broken());
        assert_eq!(kind(&state), Kind::HostNoRoute);
        assert_eq!(kind(&State::default()), Kind::HostNoRoute);
    }
}

//! Why no connection could be opened.

use std::io;
use std::time::Duration;

use super::Place;
use crate::cause::Cause;
use crate::database::uri::{Host, Product, Server};
use crate::kind::Kind;

/// What connection errors say about the network, most informative first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectFailure {
    Forbidden,
    Refused,
    Absent,
    Reset,
    Timeout,
    Unreachable,
    Other,
}

fn connect_failure(error: &io::Error) -> ConnectFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
        io::ErrorKind::NotFound => ConnectFailure::Absent,
        io::ErrorKind::TimedOut => ConnectFailure::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectFailure::Unreachable,
        io::ErrorKind::AddrNotAvailable => ConnectFailure::Unreachable,
        io::ErrorKind::ConnectionReset => ConnectFailure::Reset,
        // A blackhole route.
        io::ErrorKind::InvalidInput => ConnectFailure::Unreachable,
        io::ErrorKind::PermissionDenied => ConnectFailure::Forbidden,
        _ => ConnectFailure::Other,
    }
}

/// An attempt that opened no connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) place: Place,
    pub(super) error: io::Error,
    pub(super) took: Duration,
}

impl Failure {
    /// An attempt that had not finished when the race ended.
    pub(super) fn unfinished(place: Place, took: Duration) -> Self {
        Failure { place, error: io::ErrorKind::TimedOut.into(), took }
    }

    /// Whether to warn about this although another address of the server, `used`, accepted. Servers often listen on one
    /// address family only, and a refusal costs a client no time, unlike an address that drops packets.
    pub(super) fn matters_beside(&self, used: &Place) -> bool {
        let same_family = match (&self.place, used) {
            (Place::Network(one), Place::Network(other)) => one.is_ipv4() == other.is_ipv4(),
            _ => true,
        };
        same_family || connect_failure(&self.error) == ConnectFailure::Timeout
    }
}

fn is_ipv6(place: &Place) -> bool {
    matches!(place, Place::Network(address) if address.is_ipv6())
}

/// The cause for a server none of whose addresses accepted.
pub(super) fn server(kind: Product, server: &Server, failures: &[Failure]) -> Cause {
    failed(kind, server, &server.to_string(), failures)
}

/// The cause for one address of a server with others; the working one is `used`.
pub(super) fn address(kind: Product, server: &Server, failure: &Failure, used: &Place) -> Cause {
    let subject = format!("{}, an address of {server},", failure.place);
    failed(kind, server, &subject, std::slice::from_ref(failure)).with("connected to", used)
}

fn failed(kind: Product, server: &Server, subject: &str, failures: &[Failure]) -> Cause {
    let on_socket = matches!(server.host, Host::Socket(_));
    let most_telling =
        failures.iter().map(|failure| connect_failure(&failure.error)).min().unwrap_or(ConnectFailure::Other);
    let listens = match kind {
        Product::Postgres => "listen_addresses in postgresql.conf",
        Product::Mongo => "net.bindIp in mongod.conf",
        Product::Vault => "listener \"tcp\" in Vault's configuration",
    };
    let port = server.port;
    let product = kind.name();
    let cause = match most_telling {
        ConnectFailure::Refused | ConnectFailure::Absent if on_socket => Cause::external(
            Kind::TcpRefused,
            format!("No {product} server is listening on the Unix socket {server}."),
            format!("Start {product} on this machine, or put the database host into the URI."),
        ),
        ConnectFailure::Forbidden if on_socket => Cause::host(
            Kind::TcpForbidden,
            format!("Permission denied on the Unix socket {server}."),
            "Run this as root, or as the user that owns the socket.",
        ),
        ConnectFailure::Refused | ConnectFailure::Absent => Cause::external(
            Kind::TcpRefused,
            format!(
                "{subject} refused the connection: nothing is listening on port {port}, or a firewall rejects it."
            ),
            format!(
                "Start {product} there, and make it listen on this address, not only on localhost ({listens})."
            ),
        ),
        ConnectFailure::Timeout => Cause::external(
            Kind::TcpTimeout,
            format!("{subject} does not respond: the connection attempt timed out."),
            format!(
                "Allow port {port} from this instance in the database's security group, and check network ACLs and routes."
            ),
        ),
        ConnectFailure::Reset => Cause::external(
            Kind::TcpReset,
            format!("{subject} accepts the connection and resets it at once."),
            format!(
                "Look for a proxy or load balancer there with no live {product} behind it, and at the server's log."
            ),
        ),
        ConnectFailure::Unreachable if failures.iter().all(|failure| is_ipv6(&failure.place)) => {
            Cause::external(
                Kind::TcpUnreachable,
                format!("{subject} has IPv6 addresses only, and this machine has no IPv6 route to them."),
                "Give the name an A record, or this machine's subnet IPv6; ip -6 route shows what it has.",
            )
        }
        ConnectFailure::Unreachable => Cause::external(
            Kind::TcpUnreachable,
            format!("{subject} is unreachable: there is no route to it, or no such host."),
            "Check the subnet's route table (peering, VPN) and that the address is right.",
        ),
        ConnectFailure::Forbidden => Cause::host(
            Kind::TcpForbidden,
            format!("A firewall rule on this machine blocks connections to {subject}")
                .trim_end_matches(',')
                .to_owned()
                + ".",
            "Check this machine's rules: nft list ruleset, iptables -S.",
        ),
        ConnectFailure::Other => Cause::external(
            Kind::TcpFailed,
            format!("The connection to {subject} failed."),
            format!("Check that {product} is running there, and check the network in between."),
        ),
    };
    let is_own = |failure: &&Failure| match (&failure.place, &server.host) {
        (Place::Network(address), Host::Name(_)) => {
            address.ip().is_loopback() || address.ip().is_unspecified()
        }
        _ => false,
    };
    let cause = match failures.iter().find(is_own) {
        Some(failure) => cause
            .with("name", format!("{server} resolves to {}, which is this machine itself", failure.place)),
        None => cause,
    };
    failures.iter().fold(cause, |cause, failure| {
        let Failure { place, error, took } = failure;
        let said = match connect_failure(error) {
            ConnectFailure::Timeout => format!("no response in {} ms", took.as_millis()),
            _ => format!("{error}, after {} ms", took.as_millis()),
        };
        cause.with("address", format!("{place}: {said}"))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    fn db() -> Server {
        Server { host: Host::Name("db.internal".into()), address: None, port: 5432 }
    }

    fn failure(address: impl Into<IpAddr>, error: io::ErrorKind) -> Failure {
        let place = Place::Network(SocketAddr::new(address.into(), 5432));
        Failure { place, error: error.into(), took: Duration::from_millis(3) }
    }

    fn cause(error: io::ErrorKind) -> Cause {
        let second = failure([10, 0, 0, 2], io::ErrorKind::NetworkUnreachable);
        server(Product::Postgres, &db(), &[failure([10, 0, 0, 1], error), second])
    }

    #[test]
    fn the_most_telling_address_decides() {
        assert_eq!(cause(io::ErrorKind::ConnectionRefused).kind, Kind::TcpRefused);
        assert_eq!(cause(io::ErrorKind::TimedOut).kind, Kind::TcpTimeout);
        assert_eq!(cause(io::ErrorKind::HostUnreachable).kind, Kind::TcpUnreachable);
        assert_eq!(cause(io::ErrorKind::PermissionDenied).class, crate::cause::Class::Host);
        assert_eq!(cause(io::ErrorKind::TimedOut).evidence[0].value, "10.0.0.1:5432: no response in 3 ms");
    }

    #[test]
    fn a_server_on_one_family_only_is_healthy_and_one_that_swallows_packets_is_not() {
        let used = failure([10, 0, 0, 1], io::ErrorKind::Other).place;
        let v6 = |error| failure([0xfd00, 0, 0, 0, 0, 0, 0, 1], error);
        assert!(!v6(io::ErrorKind::ConnectionRefused).matters_beside(&used));
        assert!(!v6(io::ErrorKind::NetworkUnreachable).matters_beside(&used));
        assert!(v6(io::ErrorKind::TimedOut).matters_beside(&used));
        assert!(failure([10, 0, 0, 2], io::ErrorKind::ConnectionRefused).matters_beside(&used));
        let cause = address(Product::Mongo, &db(), &v6(io::ErrorKind::TimedOut), &used);
        assert_eq!(
            cause.sentence,
            "[fd00::1]:5432, an address of db.internal:5432, does not respond: the connection attempt timed out."
        );
    }
}

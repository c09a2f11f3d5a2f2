//! Names to addresses, by this program's own resolver.
//!
//! A static binary must not depend on the box's NSS libraries, so `/etc/resolv.conf` and `/etc/hosts` are read here and
//! the questions asked by hickory. Both files are read anew for each question and nothing is cached: at boot, DHCP may
//! write them late, and a failover changes what a name means.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver};

use crate::cause::Cause;
use crate::files::Root;

/// How long one question may take over all servers and attempts. The resolver's own default (two attempts of five
/// seconds per server) would hide a dead server behind other timeouts; this one has to be below
/// [`CONNECT_TIMEOUT`](crate::http::CONNECT_TIMEOUT), within which a client resolves and connects, or a dead DNS server
/// would be reported as a service that cannot be reached.
const QUESTION_DEADLINE: Duration = Duration::from_millis(2500);

/// How long one server is given for one attempt, of which there are two.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1200);

/// Resolves names with the resolver files under a [`Root`].
#[derive(Debug, Clone)]
pub struct Names {
    root: Root,
}

/// One `SRV` record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The host that offers the service, without a trailing dot.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What one DNS server came to.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its address.
    pub server: IpAddr,
    /// How long its answer took, or was waited for.
    pub took: Duration,
    /// Whether it answered.
    pub answer: Result<(), Cause>,
}

impl Names {
    /// A resolver that reads `/etc/resolv.conf` and `/etc/hosts` under `root`.
    pub fn new(root: Root) -> Self {
        Names { root }
    }

    /// Every address of `host`, in the order in which to try them; never empty.
    ///
    /// A literal address (with or without brackets) is returned as it is.
    ///
    /// # Errors
    /// `dns.no_such_name` (config), `dns.timeout` and `dns.server_failure` (external), `dns.no_server` (host).
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Cause> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let listed = self.listed(host);
        if !listed.is_empty() {
            return Ok(listed);
        }
        let (resolver, servers) = self.resolver(host)?;
        let lookup = answer(host, &servers, resolver.lookup_ip(host)).await?;
        let addresses: Vec<IpAddr> = lookup.iter().collect();
        if addresses.is_empty() { Err(no_such_name(host, &servers)) } else { Ok(addresses) }
    }

    /// The `SRV` records of `name`, in the server's order.
    ///
    /// # Errors
    /// As for [`Names::addresses`].
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, Cause> {
        let (resolver, servers) = self.resolver(name)?;
        let lookup = answer(name, &servers, resolver.lookup(name, RecordType::SRV)).await?;
        let services = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => {
                Some(Service { host: srv.target.to_utf8().trim_end_matches('.').to_owned(), port: srv.port })
            }
            _ => None,
        });
        Ok(services.collect())
    }

    /// The `TXT` records of `name`, each with its parts joined. A name without any is an empty list, not an error.
    ///
    /// # Errors
    /// As for [`Names::addresses`], except that an absent record is no error.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, Cause> {
        let (resolver, servers) = self.resolver(name)?;
        let lookup = match answer(name, &servers, resolver.lookup(name, RecordType::TXT)).await {
            Ok(lookup) => lookup,
            Err(cause) if cause.kind == "dns.no_such_name" => return Ok(Vec::new()),
            Err(cause) => return Err(cause),
        };
        let texts = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Asks each DNS server of `/etc/resolv.conf` by itself for the address of `name`, all at the same time. That a name
    /// does not exist is an answer.
    ///
    /// # Errors
    /// `dns.no_server` (host). What one server comes to is in its [`Asked`]: `dns.timeout`, `dns.server_failure`.
    pub async fn ask_each_server(&self, name: &str) -> Result<Vec<Asked>, Cause> {
        let (config, options) = self.configuration()?;
        let asked = config.name_servers().iter().map(|server| {
            let alone = ResolverConfig::from_name_servers(vec![server.clone()]);
            let options = options.clone();
            async move {
                let (resolver, shown) = self.resolver_of(alone, options, name)?;
                let started = Instant::now();
                // The dot keeps the search list out of it.
                let question = resolver.lookup(format!("{name}."), RecordType::A);
                let answer = match answer(name, &shown, question).await {
                    Err(cause) if cause.kind != "dns.no_such_name" => Err(cause),
                    _ => Ok(()),
                };
                Ok(Asked { server: server.ip, took: started.elapsed(), answer })
            }
        });
        try_join_all(asked).await
    }

    fn resolver(&self, name: &str) -> Result<(Resolver<TokioRuntimeProvider>, String), Cause> {
        let (config, options) = self.configuration()?;
        self.resolver_of(config, options, name)
    }

    fn resolver_of(
        &self,
        config: ResolverConfig,
        mut options: ResolverOpts,
        name: &str,
    ) -> Result<(Resolver<TokioRuntimeProvider>, String), Cause> {
        options.timeout = ATTEMPT_TIMEOUT;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // IPv4 first: security groups of such boxes are usually written for it alone.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let servers =
            config.name_servers().iter().map(|server| server.ip.to_string()).collect::<Vec<_>>().join(", ");
        let builder =
            Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let mut resolver = builder.build().map_err(|error| {
            Cause::host(
                "dns.no_server",
                format!("The resolver cannot be set up, so {name} cannot be resolved."),
                "Look at /etc/resolv.conf.",
            )
            .with_error(&error)
        })?;
        resolver.set_hosts(Arc::new(self.hosts()));
        Ok((resolver, servers))
    }

    fn configuration(&self) -> Result<(ResolverConfig, ResolverOpts), Cause> {
        let path = self.root.path("/etc/resolv.conf");
        match std::fs::read(&path) {
            Ok(text) => parse_resolv_conf(&text).map_err(|error| {
                Cause::host(
                    "dns.no_server",
                    "/etc/resolv.conf cannot be understood.",
                    "Correct /etc/resolv.conf.",
                )
                .with("file", path.display())
                .with_error(&error)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What libc does without the file (resolv.conf(5)): ask the server on this machine.
                let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
                Ok((ResolverConfig::from_name_servers(vec![local]), Default::default()))
            }
            Err(error) => Err(Cause::host(
                "dns.no_server",
                "/etc/resolv.conf cannot be read.",
                "Make /etc/resolv.conf readable.",
            )
            .with("file", path.display())
            .with_error(&error)),
        }
    }

    /// The addresses in `/etc/hosts`. When there are any, DNS is not asked, as with libc: hickory by itself would go on
    /// to ask for the family that the file does not have, and wait for a dead server.
    fn listed(&self, host: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_utf8(host) else { return Vec::new() };
        let hosts = self.hosts();
        let families = [RecordType::A, RecordType::AAAA].into_iter();
        let found =
            families.filter_map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)));
        found
            .flat_map(|lookup| {
                lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn hosts(&self) -> Hosts {
        let mut hosts = Hosts::default();
        if let Ok(file) = std::fs::File::open(self.root.path("/etc/hosts")) {
            // A line that cannot be read is skipped by libc as well; the names it would give are then asked of DNS.
            let _ = hosts.read_hosts_conf(file);
        }
        hosts
    }
}

async fn answer<T>(
    name: &str,
    servers: &str,
    question: impl Future<Output = Result<T, NetError>>,
) -> Result<T, Cause> {
    let outcome = tokio::time::timeout(QUESTION_DEADLINE, question).await;
    match outcome {
        Ok(Ok(lookup)) => Ok(lookup),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Err(no_such_name(name, servers)),
            code => Err(server_failure(name, servers, &code.to_string())),
        },
        Ok(Err(NetError::Dns(DnsError::ResponseCode(code)))) => {
            Err(server_failure(name, servers, &code.to_string()))
        }
        Ok(Err(NetError::Timeout | NetError::NoConnections)) | Err(_) => Err(silent(name, servers)),
        Ok(Err(NetError::Io(error))) => Err(silent(name, servers).with("error", error)),
        Ok(Err(error)) => Err(server_failure(name, servers, &error.to_string())),
    }
}

fn no_such_name(name: &str, servers: &str) -> Cause {
    Cause::config(
        "dns.no_such_name",
        format!("The name {name} does not exist."),
        "Correct the host name, or create its DNS record.",
    )
    .with("name", name)
    .with("DNS server", servers)
}

fn silent(name: &str, servers: &str) -> Cause {
    Cause::external(
        "dns.timeout",
        format!("No DNS server answered when asked for {name}."),
        "Check the DNS servers in /etc/resolv.conf and that UDP and TCP port 53 to them are open.",
    )
    .with("name", name)
    .with("DNS server", servers)
}

fn server_failure(name: &str, servers: &str, said: &str) -> Cause {
    Cause::external(
        "dns.server_failure",
        format!("The DNS server could not answer for {name}."),
        "Check the DNS servers in /etc/resolv.conf and the zone of this name.",
    )
    .with("name", name)
    .with("DNS server", servers)
    .with("answer", said)
}

impl aws_smithy_runtime_api::client::dns::ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> aws_smithy_runtime_api::client::dns::DnsFuture<'a> {
        use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDnsError};
        DnsFuture::new(async move { self.addresses(name).await.map_err(ResolveDnsError::new) })
    }
}

impl reqwest::dns::Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as reqwest::dns::Addrs)
        })
    }
}

//! Resolves names as this box's C library would.
//!
//! A static binary must not load the box's NSS libraries, so `/etc/nsswitch.conf`, `/etc/hosts` and `/etc/resolv.conf`
//! are read here, and DNS is queried by the agent's own [stub resolver](stub), which follows glibc's rules: it resolves
//! a name as the app does. Files are read for each query and nothing is cached: at boot, DHCP may write them late, and
//! a failover changes addresses.

mod causes;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hosts;
mod resolv_conf;
mod stub;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};
use tokio::time::timeout;

use crate::cause::Cause;
use crate::files::{ReadError, Root, read_bounded};
use crate::kind::Kind;
use hosts::{Service as Place, Status};
use resolv_conf::ResolvConf;
use stub::{ADDRESSES, AliasEnd, Answered, Negative, Stub};

/// Time limit for one name, across all servers, attempts and search domains. It equals glibc's defaults for two
/// servers, or for two attempts at one server.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Time limit for following an alias without an address.
const ALIAS_LIMIT: Duration = Duration::from_secs(2);

/// Size limit of a resolver file, in bytes. Block lists in `/etc/hosts` can have some megabytes.
const LONGEST_FILE: usize = 16 * 1024 * 1024;

/// Resolves names with the resolver files under a [`Root`].
#[derive(Debug, Clone)]
pub struct Resolver {
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

/// The result of querying one DNS server.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its address.
    pub server: IpAddr,
    /// How long its response took, or the timeout.
    pub took: Duration,
    /// Its response.
    pub answer: Result<(), Cause>,
}

impl Resolver {
    /// A resolver that reads `/etc/nsswitch.conf`, `/etc/hosts` and `/etc/resolv.conf` under `root`.
    pub fn new(root: Root) -> Self {
        Resolver { root }
    }

    /// All addresses of `host`, in the order in which to try them; never empty. Takes at most [`LIMIT`].
    ///
    /// A literal address (with or without brackets) is returned as it is.
    ///
    /// # Errors
    /// `dns.no_such_name`, `dns.no_address`, `dns.dangling_alias`, `dns.cname_loop`, `dns.alias_not_followed`,
    /// `dns.bad_name` (config); `dns.timeout`, `dns.server_failure` (external); `dns.no_server` (host).
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Cause> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let mut failure = None;
        for source in hosts::sources(&self.read("/etc/nsswitch.conf")?.unwrap_or_default()) {
            let status = match source.service {
                Place::Files => {
                    let listed = hosts::listed(&self.read("/etc/hosts")?.unwrap_or_default(), host);
                    if !listed.is_empty() {
                        return Ok(listed);
                    }
                    Status::NotFound
                }
                Place::Dns => {
                    if let Some(addresses) = hosts::special(host) {
                        return Ok(addresses);
                    }
                    match self.ask_dns(host).await {
                        Ok(addresses) => return Ok(addresses),
                        Err((status, cause)) => {
                            failure = Some(cause);
                            status
                        }
                    }
                }
            };
            if source.returns_on.contains(&status) {
                break;
            }
        }
        Err(failure.unwrap_or_else(|| {
            causes::absent(host).with("not in", "/etc/hosts, and /etc/nsswitch.conf has no other source")
        }))
    }

    async fn ask_dns(&self, host: &str) -> Result<Vec<IpAddr>, (Status, Cause)> {
        let mut stub = self.stub().map_err(|cause| (Status::Unavailable, cause))?;
        let Ok(answer) = timeout(LIMIT, stub.search(host, &ADDRESSES)).await else {
            return Err((Status::Unavailable, causes::out_of_time(host, &stub.attempts, LIMIT)));
        };
        match answer {
            Ok(answered) => {
                let addresses = answered.addresses();
                if !addresses.is_empty() {
                    return Ok(addresses);
                }
                Err((Status::NotFound, no_address(host, &answered, &mut stub).await))
            }
            Err(Negative::Unanswered(failed)) if failed.code == Some(ResponseCode::ServFail) => {
                let cause = causes::negative(host, Negative::Unanswered(failed), &stub.attempts);
                Err((Status::Unavailable, looping(host, &mut stub).await.unwrap_or(cause)))
            }
            Err(negative) => {
                let status = match &negative {
                    Negative::Unanswered(_) => Status::Unavailable,
                    Negative::Error(..) => Status::TryAgain,
                    _ => Status::NotFound,
                };
                let cause = causes::negative(host, negative, &stub.attempts);
                Err((status, causes::or_no_server(cause, stub.names_servers())))
            }
        }
    }

    /// The `SRV` records of `name`, in the server's order; empty if the name has only records of other types. The
    /// search list is not applied, as in drivers. Takes at most [`LIMIT`].
    ///
    /// # Errors
    /// As for [`Resolver::addresses`].
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, Cause> {
        let Some(answered) = self.records(name, RecordType::SRV).await? else { return Ok(Vec::new()) };
        let services = answered.records().filter_map(|record| match record {
            RData::SRV(srv) => {
                Some(Service { host: srv.target.to_utf8().trim_end_matches('.').to_owned(), port: srv.port })
            }
            _ => None,
        });
        Ok(services.collect())
    }

    /// The `TXT` records of `name`, each with its parts joined. Empty, not an error, if there are none. Takes at most
    /// [`LIMIT`].
    ///
    /// # Errors
    /// As for [`Resolver::addresses`], except that an absent record is no error.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, Cause> {
        let answered = match self.records(name, RecordType::TXT).await {
            Ok(Some(answered)) => answered,
            Ok(None) => return Ok(Vec::new()),
            Err(cause) if cause.kind == Kind::DnsNoSuchName => return Ok(Vec::new()),
            Err(cause) => return Err(cause),
        };
        let texts = answered.records().filter_map(|record| match record {
            RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// `None` when the name has no record of that kind.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Option<Answered>, Cause> {
        let mut stub = self.stub()?;
        let Ok(answer) = timeout(LIMIT, stub.absolute(name, &[kind])).await else {
            return Err(causes::out_of_time(name, &stub.attempts, LIMIT));
        };
        match answer {
            Ok(answered) => Ok(Some(answered)),
            Err(Negative::NoData(_)) => Ok(None),
            Err(negative) => {
                let cause = causes::negative(name, negative, &stub.attempts);
                Err(causes::or_no_server(cause, stub.names_servers()))
            }
        }
    }

    /// Queries each DNS server in `/etc/resolv.conf` separately for the address of `name`, concurrently, each with the
    /// timeout from resolv.conf (5 s by default). NXDOMAIN counts as a response.
    ///
    /// # Errors
    /// `dns.no_server` (host). Each server's own result is in its [`Asked`]: `dns.timeout`, `dns.server_failure`.
    pub async fn ask_each_server(&self, name: &str) -> Result<Vec<Asked>, Cause> {
        let conf = self.configuration()?;
        let asked = stub::ask_each(&conf, name).await;
        let asked = asked.map_err(|negative| causes::negative(name, negative, &[]))?;
        let asked = asked.into_iter().map(|(server, took, answer)| {
            let answer = answer.map_err(|error| {
                causes::or_no_server(causes::of_server(name, server, error), conf.names_servers)
            });
            Asked { server, took, answer }
        });
        Ok(asked.collect())
    }

    /// The servers that would be asked, in the order of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// `dns.no_server` (host), when resolv.conf cannot be read.
    pub fn servers(&self) -> Result<Vec<IpAddr>, Cause> {
        Ok(self.configuration()?.servers.iter().map(SocketAddr::ip).collect())
    }

    fn stub(&self) -> Result<Stub, Cause> {
        self.configuration().map(Stub::new)
    }

    fn configuration(&self) -> Result<ResolvConf, Cause> {
        let Some(text) = self.read("/etc/resolv.conf")? else { return Ok(ResolvConf::default()) };
        let host_name = self.read("/proc/sys/kernel/hostname").ok().flatten().unwrap_or_default();
        Ok(ResolvConf::parse(&text, &host_name))
    }

    /// One of the resolver's files; `None` if it does not exist.
    fn read(&self, path: &str) -> Result<Option<String>, Cause> {
        let path = self.root.path(path);
        match read_bounded(&path, LONGEST_FILE) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(ReadError::NotFound) => Ok(None),
            Err(error) => {
                let reason = error.cause(&path);
                let cause = Cause::host(
                    Kind::DnsNoServer,
                    format!("{} cannot be read, so DNS names cannot be resolved.", path.display()),
                    &reason.next_step,
                );
                Err(cause.with("because", &reason.sentence))
            }
        }
    }
}

/// Why an existing name has no address.
async fn no_address(host: &str, answered: &Answered, stub: &mut Stub) -> Cause {
    let aliases = answered.aliases();
    if aliases.len() < 2 {
        return causes::no_address(host, answered);
    }
    let leads_back = aliases.split_last().is_some_and(|(last, others)| others.contains(last));
    let end = if leads_back {
        AliasEnd::Loop(aliases)
    } else {
        let followed = timeout(ALIAS_LIMIT, stub.follow(aliases.clone(), &ADDRESSES)).await;
        followed.unwrap_or(AliasEnd::Unknown(aliases))
    };
    causes::alias(host, end, answered.server)
}

/// Resolvers return `SERVFAIL` for alias loops; following the aliases one by one shows the loop.
async fn looping(host: &str, stub: &mut Stub) -> Option<Cause> {
    let name = stub::name(host).ok()?;
    let followed = timeout(ALIAS_LIMIT, stub.follow(vec![name], &[RecordType::CNAME])).await.ok()?;
    let AliasEnd::Loop(aliases) = followed else { return None };
    Some(causes::alias(host, AliasEnd::Loop(aliases), stub.first_server()?))
}

impl aws_smithy_runtime_api::client::dns::ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> aws_smithy_runtime_api::client::dns::DnsFuture<'a> {
        use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDnsError};
        DnsFuture::new(async move { self.addresses(name).await.map_err(ResolveDnsError::new) })
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as reqwest::dns::Addrs)
        })
    }
}

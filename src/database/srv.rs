//! `mongodb+srv`: finds the servers of a replica set by `SRV` records.

use tokio::time::Instant;

use super::rung::{LadderProbe, Progress, Rung};
use super::uri::mongo::Seeds;
use super::uri::{Host, MongoUri, Server};
use crate::cause::Cause;
use crate::kind::Kind;

impl LadderProbe {
    /// The servers of a connection string; for `mongodb+srv` those of its `SRV` records, with the `TXT` record applied.
    pub(super) async fn seeds(&self, uri: &mut MongoUri, progress: &mut Progress) -> Option<Vec<Server>> {
        let started = Instant::now();
        let (name, service, at_most) = match &uri.seeds {
            Seeds::Servers(servers) => return Some(servers.clone()),
            Seeds::Srv { name, service, at_most } => (name.clone(), service.clone(), *at_most),
        };
        let outcome = self.service_records(uri, &name, &service).await;
        progress.prolong(started.elapsed());
        match outcome {
            Ok(mut servers) => {
                servers.truncate(if at_most == 0 { servers.len() } else { at_most });
                Some(servers)
            }
            Err(cause) => {
                progress.failed(Rung::Dns, cause, started.elapsed());
                None
            }
        }
    }

    async fn service_records(
        &self,
        uri: &mut MongoUri,
        name: &str,
        service: &str,
    ) -> Result<Vec<Server>, Cause> {
        let record = format!("_{service}._tcp.{name}");
        let (services, texts) = tokio::join!(self.names.services(&record), self.names.texts(name));
        let services = services?;
        // RFC 2782: the root as the target says that nobody offers the service.
        if services.iter().any(|service| service.host.is_empty()) {
            return Err(Cause::config(
                Kind::DnsNoSuchName,
                format!(
                    "The SRV record {record} says that no server offers the service (its target is the root)."
                ),
                "Correct the SRV records, or list the servers in a mongodb:// URI.",
            )
            .with("record", record));
        }
        // Drivers accept only servers in the name's own domain, as a protection against forged records.
        let domain = match name.matches('.').count() {
            0 | 1 => name,
            _ => name.split_once('.').map_or(name, |(_, domain)| domain),
        };
        let suffix = format!(".{}", domain.to_ascii_lowercase());
        if let Some(foreign) =
            services.iter().find(|service| !service.host.to_ascii_lowercase().ends_with(&suffix))
        {
            return Err(Cause::config(
                Kind::MongoSrvForeign,
                format!(
                    "The SRV record of {name} points to a server outside {domain}, which every driver rejects."
                ),
                "Correct the SRV records, or list the servers in a mongodb:// URI.",
            )
            .with("record", record)
            .with("server", &foreign.host));
        }
        if services.is_empty() {
            return Err(Cause::config(
                Kind::DnsNoSuchName,
                format!("The name {record} has no SRV record."),
                "Correct the name in the URI, or use mongodb:// with the servers' names.",
            )
            .with("name", record));
        }
        let texts = texts?;
        if texts.len() > 1 {
            return Err(Cause::config(
                Kind::MongoUri,
                format!("The name {name} has more than one TXT record, which every driver rejects."),
                "Keep only one TXT record.",
            ));
        }
        for text in texts {
            uri.apply_txt(&text)?;
        }
        let servers = services.into_iter();
        Ok(servers
            .map(|service| Server { host: Host::Name(service.host), address: None, port: service.port })
            .collect())
    }
}

//! A stub resolver that asks as glibc's `res_nsearch` does, so that it answers what the app on this box gets.
//!
//! The servers are asked in the order of resolv.conf. An answer ends the question, also one that says that there is no
//! such name (`NXDOMAIN`) or nothing of that kind (no data): another server is asked only when one does not answer in
//! its time, cannot be reached, or answers `SERVFAIL`, `NOTIMP` or `REFUSED`. A and AAAA are asked for at the same time;
//! one of them answered is an answer.
//!
//! A name is completed by the search list: with at least `ndots` dots it is asked for as it is first, else last. "No
//! such name", no data and `SERVFAIL` go on to the next domain of the list, any other failure ends it. Of several
//! failures the one of the name as it was given counts, if that was asked first; else no data before `SERVFAIL` before
//! whatever came last.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::resolv_conf::ResolvConf;
use super::wire::{self, Manner, Unanswered};
use crate::race::{Grace, race};

/// How long the other address family is waited for once one has addresses. Some middleboxes drop questions for IPv6;
/// glibc waits for them three times over.
const FAMILY_GRACE: Duration = Duration::from_secs(1);

/// The most aliases that are followed.
const MOST_ALIASES: usize = 16;

/// The kinds of record that give a name its addresses.
pub(super) const ADDRESSES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) server: IpAddr,
    /// The name that was asked for, absolute.
    pub(super) name: Name,
    messages: Vec<Message>,
}

/// Why a name was not found.
#[derive(Debug)]
pub(super) enum Negative {
    /// It does not exist (`NXDOMAIN`).
    NotFound(Answered),
    /// It has no record of the kind that was asked for.
    NoData(Answered),
    /// A server answered with an error that is none of its own.
    Error(Answered, ResponseCode),
    /// No server answered.
    Unanswered(Failed),
    /// It is no domain name.
    BadName(String),
}

/// No server gave an answer.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// The code of the last response, if any server responded.
    pub(super) code: Option<ResponseCode>,
    /// Whether not one question got out of this machine or was accepted by the other.
    is_refused: bool,
}

/// One question that came to nothing.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) server: IpAddr,
    pub(super) error: Unanswered,
}

/// Asks questions, and keeps what came to nothing.
#[derive(Debug)]
pub(super) struct Stub {
    conf: ResolvConf,
    pub(super) attempts: Vec<Attempt>,
}

impl Stub {
    pub(super) fn new(conf: ResolvConf) -> Self {
        Stub { conf, attempts: Vec::new() }
    }

    /// Whether resolv.conf names any server.
    pub(super) fn names_servers(&self) -> bool {
        self.conf.names_servers
    }

    /// The server that resolv.conf names first.
    pub(super) fn first_server(&self) -> Option<IpAddr> {
        self.conf.servers.first().map(SocketAddr::ip)
    }

    /// Asks for `host`, completed by the search list.
    pub(super) async fn search(&mut self, host: &str, kinds: &[RecordType]) -> Result<Answered, Negative> {
        let host = ascii(host).map_err(Negative::BadName)?;
        let dots = host.matches('.').count();
        let is_absolute = host.ends_with('.');
        let mut as_given = None;
        if dots >= self.conf.ndots || is_absolute {
            match self.absolute(&host, kinds).await {
                Err(negative) if !is_absolute => as_given = Some(negative),
                end => return end,
            }
        }
        let domains = self.conf.search.clone();
        let (mut no_data, mut failed, mut last) = (None, None, None);
        let mut root_was_searched = false;
        for domain in &domains {
            let domain = domain.trim_start_matches('.');
            root_was_searched |= domain.is_empty();
            match self.absolute(&format!("{host}.{domain}"), kinds).await {
                Ok(answered) => return Ok(answered),
                Err(Negative::Unanswered(all)) if all.is_refused => return Err(Negative::Unanswered(all)),
                Err(negative @ Negative::NoData(_)) => no_data = no_data.or(Some(negative)),
                Err(negative @ (Negative::NotFound(_) | Negative::BadName(_))) => last = Some(negative),
                Err(Negative::Unanswered(all)) if all.code == Some(ResponseCode::ServFail) => {
                    failed = failed.or(Some(Negative::Unanswered(all)));
                }
                Err(negative) => {
                    last = Some(negative);
                    break;
                }
            }
        }
        let may_ask_as_given = dots > 0 || domains.is_empty() || !self.conf.no_tld_query;
        if may_ask_as_given && as_given.is_none() && !root_was_searched {
            match self.absolute(&host, kinds).await {
                Ok(answered) => return Ok(answered),
                Err(negative) => last = Some(negative),
            }
        }
        let worst = as_given.or(no_data).or(failed).or(last);
        Err(worst.unwrap_or_else(|| Negative::Unanswered(Failed::default())))
    }

    /// Asks for `host` as it is.
    pub(super) async fn absolute(&mut self, host: &str, kinds: &[RecordType]) -> Result<Answered, Negative> {
        let name = ascii(host).and_then(|host| name(&host)).map_err(Negative::BadName)?;
        self.query(name, kinds).await
    }

    async fn query(&mut self, name: Name, kinds: &[RecordType]) -> Result<Answered, Negative> {
        let answered = self.ask_in_order(name, kinds).await.map_err(Negative::Unanswered)?;
        let is_found = |message: &&Message| {
            message.metadata.response_code == ResponseCode::NoError && !message.answers.is_empty()
        };
        if answered.messages.iter().any(|message| is_found(&message)) {
            return Ok(answered);
        }
        let codes = answered.messages.iter().map(|message| message.metadata.response_code);
        match codes.clone().find(|code| *code != ResponseCode::NoError) {
            None => Err(Negative::NoData(answered)),
            Some(ResponseCode::NXDomain) => Err(Negative::NotFound(answered)),
            Some(code) => Err(Negative::Error(answered, code)),
        }
    }

    async fn ask_in_order(&mut self, name: Name, kinds: &[RecordType]) -> Result<Answered, Failed> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let servers = self.conf.servers.clone();
        let first = if self.conf.rotate { TURN.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut failed = Failed { code: None, is_refused: true };
        // TCP repeats what is lost by itself.
        let rounds = if self.conf.use_vc { 1 } else { self.conf.attempts };
        for _ in 0..rounds {
            for (position, server) in
                servers.iter().cycle().skip(first % servers.len().max(1)).take(servers.len()).enumerate()
            {
                let manner = Manner {
                    wait: self.conf.wait(position),
                    use_tcp: self.conf.use_vc,
                    edns0: self.conf.edns0,
                };
                match ask_kinds(*server, &name, kinds, manner, self.conf.single_request).await {
                    Ok(messages) => return Ok(Answered { server: server.ip(), name, messages }),
                    Err(error) => {
                        match &error {
                            Unanswered::Failed(code) => failed.code = Some(*code),
                            Unanswered::Referral => failed.code = Some(ResponseCode::NoError),
                            _ => {}
                        }
                        failed.is_refused &= matches!(error, Unanswered::Network(_));
                        self.attempts.push(Attempt { server: server.ip(), error });
                    }
                }
            }
        }
        Err(failed)
    }

    /// Follows an alias whose end the server did not tell, for whoever asks why.
    pub(super) async fn follow(&mut self, mut chain: Vec<Name>, kinds: &[RecordType]) -> AliasEnd {
        while chain.len() <= MOST_ALIASES {
            let Some(last) = chain.last().cloned() else { break };
            let answered = match self.query(last, kinds).await {
                Ok(answered) => answered,
                Err(Negative::NotFound(answered)) => {
                    chain.extend(answered.aliases().into_iter().skip(1));
                    return AliasEnd::Dangling(chain);
                }
                Err(Negative::NoData(_)) => return AliasEnd::Empty(chain),
                Err(_) => return AliasEnd::Unknown(chain),
            };
            let further = answered.aliases();
            let is_end = further.len() < 2;
            for name in further.into_iter().skip(1) {
                let is_known = chain.contains(&name);
                chain.push(name);
                if is_known {
                    return AliasEnd::Loop(chain);
                }
            }
            if !answered.addresses().is_empty() {
                return AliasEnd::NotFollowed(chain);
            }
            if is_end {
                return AliasEnd::Empty(chain);
            }
        }
        AliasEnd::Loop(chain)
    }
}

/// Where a chain of aliases, which begins with the name that was asked for, leads.
#[derive(Debug)]
pub(super) enum AliasEnd {
    /// Back into itself.
    Loop(Vec<Name>),
    /// To a name that does not exist.
    Dangling(Vec<Name>),
    /// To a name without addresses.
    Empty(Vec<Name>),
    /// To a name with addresses, which the server did not tell by itself as a resolver must.
    NotFollowed(Vec<Name>),
    /// Nobody answered.
    Unknown(Vec<Name>),
}

impl Answered {
    /// The name that was asked for, and the aliases that it leads over to the name that counts. An alias that leads
    /// back is the last.
    pub(super) fn aliases(&self) -> Vec<Name> {
        let mut chain = vec![self.name.clone()];
        loop {
            let records = self.messages.iter().flat_map(|message| &message.answers);
            let next = records
                .filter(|record| chain.last().is_some_and(|last| last.eq_ignore_root(&record.name)))
                .find_map(|record| match &record.data {
                    RData::CNAME(alias) => Some(alias.0.clone()),
                    _ => None,
                });
            let Some(next) = next else { return chain };
            let leads_back = chain.contains(&next);
            chain.push(next);
            if leads_back || chain.len() > MOST_ALIASES {
                return chain;
            }
        }
    }

    /// The records of the name, or of the one that it is an alias of.
    pub(super) fn records(&self) -> impl Iterator<Item = &RData> {
        let chain = self.aliases();
        let records = self.messages.iter().flat_map(|message| &message.answers);
        records
            .filter(move |record| chain.iter().any(|name| name.eq_ignore_root(&record.name)))
            .map(|record| &record.data)
    }

    /// The addresses among the records, IPv4 first: security groups of such boxes are usually written for it alone.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.records().filter_map(RData::ip_addr).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
    }
}

/// Asks one server for all `kinds`; what it answers to one of them is an answer.
async fn ask_kinds(
    server: SocketAddr,
    name: &Name,
    kinds: &[RecordType],
    manner: Manner,
    one_by_one: bool,
) -> Result<Vec<Message>, Unanswered> {
    let mut outcomes = Vec::new();
    if one_by_one {
        for kind in kinds {
            outcomes.push(wire::ask(server, name, *kind, manner).await);
        }
    } else {
        let questions = kinds.iter().map(|kind| wire::ask(server, name, *kind, manner));
        let has_records =
            |outcome: &Result<Message, _>| outcome.as_ref().is_ok_and(|it| !it.answers.is_empty());
        outcomes.extend(race(questions, has_records, &Grace::new(FAMILY_GRACE)).await.into_iter().flatten());
    }
    let mut messages = Vec::new();
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(message) => messages.push(message),
            Err(error) => errors.push(error),
        }
    }
    match errors.pop() {
        Some(error) if messages.is_empty() => Err(error),
        _ => Ok(messages),
    }
}

/// Asks each server by itself, all at the same time, for the address of `host` as it is. Each is asked again halfway
/// through its time, since one packet may be lost.
pub(super) async fn ask_each(
    conf: &ResolvConf,
    host: &str,
) -> Result<Vec<(IpAddr, Duration, Result<(), Unanswered>)>, Negative> {
    let name = name(host).map_err(Negative::BadName)?;
    let wait = conf.wait(0);
    let asked = conf.servers.iter().map(|server| {
        let name = &name;
        async move {
            let started = tokio::time::Instant::now();
            let ask = |after: Duration| async move {
                tokio::time::sleep(after).await;
                let manner = Manner { wait: wait - after, use_tcp: conf.use_vc, edns0: conf.edns0 };
                wire::ask(*server, name, RecordType::A, manner).await
            };
            let is_silent = |outcome: &Result<_, _>| matches!(outcome, Err(Unanswered::Silent(_)));
            let outcomes = race(
                [ask(Duration::ZERO), ask(wait / 2)],
                |outcome| !is_silent(outcome),
                &Grace::new(Duration::ZERO),
            )
            .await;
            let outcome = outcomes.into_iter().flatten().min_by_key(is_silent);
            let outcome = outcome.unwrap_or(Err(Unanswered::Silent(wait)));
            let outcome = match outcome {
                Err(Unanswered::Silent(_)) => Err(Unanswered::Silent(wait)),
                outcome => outcome.map(|_| ()),
            };
            (server.ip(), started.elapsed(), outcome)
        }
    });
    Ok(futures_util::future::join_all(asked).await)
}

/// The name as it goes over the wire. What is not ASCII is encoded (IDNA).
fn ascii(host: &str) -> Result<String, String> {
    if host.is_ascii() {
        return Ok(host.to_owned());
    }
    let name = Name::from_utf8(host).map_err(|error| error.to_string())?;
    Ok(name.to_ascii())
}

/// `host` as an absolute name.
pub(super) fn name(host: &str) -> Result<Name, String> {
    let relative = host.strip_suffix('.').unwrap_or(host);
    let labels = relative.split('.').map(str::as_bytes);
    let name = Name::from_labels(labels).map_err(|error| error.to_string())?;
    if name.is_root() { Err("it is empty".to_owned()) } else { Ok(name) }
}

//! DNS servers on addresses of the loopback of their own, since resolv.conf knows no ports. They answer over UDP and
//! TCP, each in its [`Manner`].

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How a server answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// As a resolver that knows a zone and nothing else. A zone has lines `NAME ADDRESS` and `NAME CNAME TARGET`.
    Knows(&'static str),
    /// The same, so many milliseconds late.
    Late(u64, &'static str),
    /// The same, but of an alias it says only what it is an alias of.
    AliasOnly(&'static str),
    /// The same, but over UDP every answer is cut off.
    Truncates(&'static str),
    /// The same, but questions for IPv6 are dropped.
    DropsIpv6(&'static str),
    /// The same, but questions for IPv6 are answered with this code.
    FailsIpv6(ResponseCode, &'static str),
    /// The same, but a question with EDNS0 is answered with FORMERR.
    WithoutEdns(&'static str),
    /// The same, after a forged answer with another id and one to another question.
    Forged(&'static str),
    /// Every question with this code.
    Says(ResponseCode),
    /// Every question with a referral to nobody.
    Refers,
    /// No question.
    Silent,
}

/// A server that answers as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: Ipv4Addr,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(manner: Manner) -> Self {
        let (udp, address) = bind();
        let tcp = TcpListener::bind((address, 53)).unwrap();
        let server = Server { address, asked: Arc::default() };
        let (asked, asked_by_tcp) = (server.asked.clone(), server.asked.clone());
        thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut packet) {
                let Ok(question) = Message::from_vec(&packet[..length]) else { continue };
                asked.fetch_add(1, Ordering::SeqCst);
                let udp = udp.try_clone().unwrap();
                thread::spawn(move || {
                    for answer in answers(manner, &question, true) {
                        let _ = udp.send_to(&answer.to_vec().unwrap(), client);
                    }
                });
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let asked = asked_by_tcp.clone();
                thread::spawn(move || serve(stream, manner, &asked));
            }
        });
        server
    }

    /// How many questions have arrived.
    pub(crate) fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, manner: Manner, asked: &AtomicUsize) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut packet).is_err() {
            return;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(&packet).unwrap();
        for answer in answers(manner, &question, false) {
            let bytes = answer.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &bytes].concat());
        }
    }
}

fn answers(manner: Manner, question: &Message, by_udp: bool) -> Vec<Message> {
    let Some(query) = question.queries.first() else { return Vec::new() };
    let is_ipv6 = query.query_type() == RecordType::AAAA;
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    match manner {
        Manner::Silent => return Vec::new(),
        Manner::DropsIpv6(_) if is_ipv6 => return Vec::new(),
        Manner::Says(code) => answer.metadata.response_code = code,
        Manner::FailsIpv6(code, _) if is_ipv6 => answer.metadata.response_code = code,
        Manner::WithoutEdns(_) if question.edns.is_some() => {
            answer.metadata.response_code = ResponseCode::FormErr;
        }
        Manner::Refers => answer.metadata.recursion_available = false,
        Manner::Truncates(_) if by_udp => answer.metadata.truncation = true,
        Manner::Late(milliseconds, zone) => {
            thread::sleep(Duration::from_millis(milliseconds));
            resolve(zone, query, &mut answer, true);
        }
        Manner::AliasOnly(zone) => resolve(zone, query, &mut answer, false),
        Manner::Forged(zone) => {
            let mut other_id = answer.clone();
            other_id.metadata.id ^= 1;
            let mut other_name = answer.clone();
            let name = Name::from_ascii("bank.internal.").unwrap();
            other_name.queries = vec![Query::query(name, query.query_type())];
            for forged in [&mut other_id, &mut other_name] {
                let owner = query.name().clone();
                forged.add_answer(Record::from_rdata(owner, 1, RData::A(A::new(6, 6, 6, 6))));
            }
            let request = Message::new(answer.metadata.id, MessageType::Query, answer.metadata.op_code);
            resolve(zone, query, &mut answer, true);
            return vec![other_id, other_name, request, answer];
        }
        Manner::Knows(zone)
        | Manner::Truncates(zone)
        | Manner::DropsIpv6(zone)
        | Manner::FailsIpv6(_, zone)
        | Manner::WithoutEdns(zone) => resolve(zone, query, &mut answer, true),
    }
    vec![answer]
}

/// Adds what `zone` has, following aliases where `follows`.
fn resolve(zone: &str, query: &Query, answer: &mut Message, follows: bool) {
    let mut name = query.name().clone();
    for _ in 0..10 {
        let mut exists = false;
        let mut target = None;
        for line in zone.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let owner = Name::from_ascii(format!("{}.", words[0])).unwrap();
            if owner != name {
                continue;
            }
            exists = true;
            let data = match words[1..] {
                ["CNAME", alias] => {
                    let alias = Name::from_ascii(format!("{alias}.")).unwrap();
                    target = Some(alias.clone());
                    RData::CNAME(CNAME(alias))
                }
                [address] => match address.parse() {
                    Ok(std::net::IpAddr::V4(address)) => RData::A(A(address)),
                    Ok(std::net::IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
                    // Some other record.
                    Err(_) => continue,
                },
                _ => panic!("{line}"),
            };
            if data.record_type() == query.query_type() || data.record_type() == RecordType::CNAME {
                answer.add_answer(Record::from_rdata(owner, 1, data));
            }
        }
        match target {
            Some(target) if follows && query.query_type() != RecordType::CNAME => name = target,
            Some(_) => return,
            None => {
                if !exists {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                return;
            }
        }
    }
    // What BIND and Unbound make of an alias that leads back to itself.
    answer.answers.clear();
    answer.metadata.response_code = ResponseCode::ServFail;
}

/// Where the server that all tests share answers: it knows no name, and says so.
pub(crate) fn server() -> Ipv4Addr {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(Manner::Knows(""))).address
}

/// An address on which nobody listens.
pub(crate) fn nobody() -> Ipv4Addr {
    bind().1
}

/// Two test programs at once meet on the loopback, where they are not enclosed.
fn bind() -> (UdpSocket, Ipv4Addr) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    for _ in 0..200 {
        let address = Ipv4Addr::new(127, 0, 53, NEXT.fetch_add(1, Ordering::Relaxed));
        if let Ok(socket) = UdpSocket::bind((address, 53)) {
            return (socket, address);
        }
    }
    panic!("port 53 cannot be had on the loopback");
}

//! The box itself: names, time, memory.

use std::io;

use indicatif::BinaryBytes;

use super::super::answer::Outcome;
use super::super::facts::{Stopped, environment};
use super::super::inquiry::Inquiry;
use crate::aws::{self, clock};
use crate::cause::{Cause, Class};
use crate::dns::Asked;
use crate::files;
use crate::kind::Kind;

/// A name that every DNS server has a response for, even one that knows no other names: NXDOMAIN is a response too.
const HARMLESS_NAME: &str = "amazonaws.com";

/// Below this share of its memory, in percent, a box begins to live off its page cache: databases' drivers and the JVMs
/// of the app pause, and the next container that starts may find nothing.
const LITTLE_MEMORY: u64 = 10;

/// Below this share the kernel is about to kill, or reads every page of code from disk again and again.
const NO_MEMORY: u64 = 3;

pub(super) async fn dns(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let asked = inquiry.facts.ground.http.names().ask_each_server(HARMLESS_NAME).await?;
    Ok(judge_dns(&asked))
}

/// A server that returns an error for this name is up, which is all that matters here.
fn judge_dns(asked: &[Asked]) -> Outcome {
    let is_silent = |it: &&Asked| {
        it.answer.as_ref().is_err_and(|cause| [Kind::DnsTimeout, Kind::DnsNoServer].contains(&cause.kind))
    };
    let silent: Vec<&Asked> = asked.iter().filter(is_silent).collect();
    let said: Vec<String> = asked
        .iter()
        .map(|it| match &it.answer {
            Err(_) if is_silent(&it) => format!("{} does not respond", it.server),
            _ => format!("{} in {} ms", it.server, it.took.as_millis()),
        })
        .collect();
    let with_all = |cause: Cause| said.iter().fold(cause, |cause, said| cause.with("server", said));
    match silent.as_slice() {
        [] => Outcome::good(format!("answered by {}", said.join(", "))),
        [first, ..] if silent.len() == asked.len() => match &first.answer {
            Err(cause) => Outcome::Failed { cause: with_all(cause.clone()) },
            Ok(()) => Outcome::good(said.join(", ")),
        },
        [first, ..] => {
            let is_first = asked.first().is_some_and(|it| it.server == first.server);
            let consequence = match is_first {
                true => "It is the first one, so every query waits for it before the next server is tried.",
                false => "Queries that the others fail to answer wait for it.",
            };
            let cause = Cause::external(
                Kind::DnsServerSilent,
                format!("The DNS server {} does not respond. {consequence}", first.server),
                "Correct /etc/resolv.conf (the VPC's DHCP options), or open UDP and TCP port 53 to that server.",
            );
            Outcome::Warning { cause: with_all(cause) }
        }
    }
}

pub(super) async fn clock(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let given = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(environment);
    let region = aws::region(environment).unwrap_or_else(|| aws::SOME_REGION.to_owned());
    let endpoint = given.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com/"));
    let imds = facts.imds().ok();
    let Some(reading) = clock::read(facts.ground.http, &endpoint, imds.as_ref()).await? else {
        return Ok(Outcome::not_asked("neither S3 nor the metadata service reports the time"));
    };
    Ok(match reading.judge() {
        clock::ClockState::Right(detail) => Outcome::good(detail),
        clock::ClockState::Off(cause) => Outcome::Warning { cause },
        clock::ClockState::Wrong(cause) => Outcome::Failed { cause },
    })
}

pub(super) async fn memory(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let read = |path: &str| {
        let path = inquiry.facts.ground.root.path(path);
        match files::read_text(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::failed("read", &path, &error)),
        }
    };
    let Some(text) = read("/proc/meminfo")? else {
        return Ok(Outcome::not_asked("/proc/meminfo does not exist"));
    };
    // In containers and on old kernels, the second file may be missing.
    let killed = read("/proc/vmstat").ok().flatten().and_then(|text| field(&text, "oom_kill"));
    let (Some(total), Some(available)) = (field(&text, "MemTotal:"), field(&text, "MemAvailable:")) else {
        return Ok(Outcome::not_asked("/proc/meminfo does not report the available memory"));
    };
    Ok(judge_memory(total * 1024, available * 1024, killed))
}

/// The number after `name` in the files of `/proc`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

/// `killed` is how many processes the kernel has killed for want of memory since it started.
fn judge_memory(total: u64, available: u64, killed: Option<u64>) -> Outcome {
    let left = format!("{} of {} available", BinaryBytes(available), BinaryBytes(total));
    let percent = available.saturating_mul(100) / total.max(1);
    let killed = killed.unwrap_or_default();
    let cause = |kind, sentence: &str| {
        let next_step = "See what uses it: ps aux --sort=-rss | head; or use a larger instance type.";
        let cause = Cause::new(Class::Host, kind, sentence, next_step).with("memory", &left);
        if killed == 0 { cause } else { cause.with("killed since boot", killed) }
    };
    match percent {
        0..NO_MEMORY => Outcome::Failed { cause: cause(Kind::HostNoMemory, "This box is out of memory.") },
        NO_MEMORY..LITTLE_MEMORY => {
            Outcome::Warning { cause: cause(Kind::HostLittleMemory, "Memory is low.") }
        }
        _ if killed > 0 => Outcome::Warning {
            cause: cause(
                Kind::HostOomKill,
                "The kernel has killed processes because this box ran out of memory.",
            )
            .with("which", "dmesg --ctime | grep -i 'out of memory'"),
        },
        _ => Outcome::good(left),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn kind(outcome: &Outcome) -> (bool, &str) {
        (outcome.is_failed(), outcome.cause().map_or("good", |cause| cause.kind.as_str()))
    }

    #[test]
    fn memory_is_judged_by_its_share() {
        assert_eq!(kind(&judge_memory(32 * GIB, 8 * GIB, Some(0))), (false, "good"));
        assert_eq!(kind(&judge_memory(32 * GIB, 8 * GIB, None)), (false, "good"));
        assert_eq!(kind(&judge_memory(32 * GIB, 8 * GIB, Some(3))), (false, "host.oom_kill"));
        assert_eq!(kind(&judge_memory(32 * GIB, 2 * GIB, None)), (false, "host.little_memory"));
        assert_eq!(kind(&judge_memory(32 * GIB, GIB / 2, Some(1))), (true, "host.no_memory"));
    }

    #[test]
    fn the_fields_of_proc_are_found_by_their_whole_name() {
        let text = "MemTotal:       16315104 kB\nMemFree:  12 kB\nMemAvailable:    9000000 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(9_000_000));
        assert_eq!(field("oom_kill_disable 1\noom_kill 4\n", "oom_kill"), Some(4));
        assert_eq!(field(text, "oom_kill"), None);
    }

    fn server(last: u8, answer: Result<(), Cause>) -> Asked {
        Asked { server: IpAddr::from([10, 0, 0, last]), took: Duration::from_millis(3), answer }
    }

    #[test]
    fn one_dead_server_of_two_is_a_warning_and_all_are_a_failure() {
        let dead = || Err(Cause::external(Kind::DnsTimeout, "No DNS server answered.", "x"));
        let ill = || Err(Cause::external(Kind::DnsServerFailure, "It could not.", "x"));
        assert_eq!(kind(&judge_dns(&[server(1, Ok(())), server(2, ill())])), (false, "good"));
        assert_eq!(kind(&judge_dns(&[server(1, dead()), server(2, Ok(()))])), (false, "dns.server_silent"));
        assert_eq!(kind(&judge_dns(&[server(1, dead()), server(2, dead())])), (true, "dns.timeout"));
    }
}

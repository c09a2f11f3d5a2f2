use super::*;
use crate::cause::Class::{self, Config, External, Host};

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn judged(exit: ProcessExit, running: &[&str], lines: &[&str]) -> Cause {
    let ended = Ended { exit, running: strings(running) };
    failed(&ended, Duration::from_secs(600), &strings(lines))
}

#[test]
fn each_exit_code_is_explained_by_the_words_before_it() {
    for (code, line, class, kind, word) in [
        (1, "Error: unknown parameter \"no-such\"", Config, Kind::InstallerExit, "no-such"),
        (6, "useradd: group '999' does not exist", Config, Kind::InstallerExit, "group"),
        (
            127,
            "Docker is not installed. Please install Docker before proceeding.",
            Config,
            Kind::InstallerExit,
            "dockerd",
        ),
        (127, "install.sh: line 7: netstat: command not found", Config, Kind::InstallerExit, "netstat"),
        (
            127,
            "/tmp/tmp.1replicated/operator_install.sh: line 1: Not: command not found",
            External,
            Kind::InstallerOperator,
            "not a script",
        ),
        (
            2,
            "/tmp/x/operator_install.sh: line 1: syntax error near unexpected token `<'",
            External,
            Kind::InstallerOperator,
            "not a script",
        ),
        (
            1,
            "/tmp/x/operator_install.sh: line 1: !DOCTYPE: No such file or directory",
            External,
            Kind::InstallerOperator,
            "not a script",
        ),
        (125, "unknown shorthand flag: 'f' in -f", Config, Kind::InstallerExit, "skip-pull"),
        (1, "boom", Host, Kind::InstallerExit, "exit code 1"),
    ] {
        let cause = judged(ProcessExit::Code(code), &[], &["first", line]);
        assert_eq!((cause.kind, cause.class), (kind, class), "{line}");
        assert!(cause.sentence.contains(word), "{cause}");
        assert_eq!(cause.evidence.last().unwrap().value, line);
    }
    let cause = judged(ProcessExit::Signal(9), &[], &["boom"]);
    assert_eq!((cause.kind, cause.class), (Kind::InstallerExit, Host));
}

#[test]
fn the_network_and_somebody_elses_server_are_external() {
    for line in [
        "curl: (6) Could not resolve host: get.replicated.com",
        "curl: (7) Failed to connect to get.replicated.com port 443: Connection refused",
        "curl: (28) Operation timed out after 0 milliseconds",
        "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to get.replicated.com:443",
        "curl: (52) Empty reply from server",
        "curl: (56) Recv failure: Connection reset by peer",
        "curl: (22) The requested URL returned error: 503 Service Unavailable",
        "Error response from daemon: Get \"https://quay.io/v2/\": dial tcp: lookup quay.io on 10.0.0.2:53: no such host",
        "Error response from daemon: Get \"https://quay.io/v2/\": dial tcp 1.2.3.4:443: connect: network is unreachable",
        "Error response from daemon: Get \"https://quay.io/v2/\": context deadline exceeded",
        "Error response from daemon: Get \"https://quay.io/v2/\": net/http: TLS handshake timeout",
        "Error response from daemon: Get \"https://quay.io/v2/\": dial tcp 1.2.3.4:443: i/o timeout",
        "error pulling image configuration: received unexpected HTTP status: 502 Bad Gateway",
        "Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
        "Error response from daemon: Get \"https://quay.io/v2/\": EOF",
        "Err:1 http://archive.ubuntu.com/ubuntu jammy InRelease Temporary failure resolving 'archive.ubuntu.com'",
    ] {
        let cause = judged(ProcessExit::Code(1), &[], &["Pulling", line]);
        assert_eq!((cause.kind, cause.class), (Kind::InstallerNetwork, External), "{line}");
    }
    let cause = judged(ProcessExit::Code(4), &[], &["wget -qO- https://get.replicated.com/operator?x"]);
    assert_eq!(cause.kind, Kind::InstallerNetwork);
}

#[test]
fn what_only_looks_like_the_network_is_not() {
    for (line, class) in [
        ("curl: (60) SSL certificate problem: unable to get local issuer certificate", Config),
        ("curl: (22) The requested URL returned error: 404", Config),
        ("curl: (23) Failed writing body (0 != 1369)", Host),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            Host,
        ),
        ("error during connect: dial unix /var/run/docker.sock: connect: connection refused", Host),
    ] {
        assert_eq!(judged(ProcessExit::Code(1), &[], &[line]).class, class, "{line}");
    }
    // A question that was not answered long before the end is no reason.
    let mut lines = vec!["curl: (28) Connection timed out"];
    lines.extend(["one", "two", "three", "four", "boom"]);
    assert_eq!(judged(ProcessExit::Code(1), &[], &lines).class, Host);
}

#[test]
fn what_had_not_ended_at_the_deadline_is_named() {
    for (running, class, word) in [
        (
            "curl -sSL https://get.replicated.com/operator?x=1",
            External,
            "for https://get.replicated.com/operator?x=1 ",
        ),
        ("/usr/bin/wget -qO- http://10.0.0.1/operator", External, "for http://10.0.0.1/operator "),
        ("docker pull quay.io/replicated/replicated:stable-2.38.6", External, "the image quay.io/replicated"),
        ("sleep 300", Class::Host, "600 s"),
    ] {
        let cause = judged(ProcessExit::Deadline, &["tee log", running], &["Pulling"]);
        assert_eq!((cause.kind, cause.class), (Kind::InstallerDeadline, class), "{running}");
        assert!(cause.sentence.contains(word), "{cause}");
        assert!(
            cause.evidence.iter().any(|fact| fact.name == "still running" && fact.value == running),
            "{cause:?}"
        );
    }
    let asked =
        judged(ProcessExit::Deadline, &["curl http://x"], &["Enter desired number (0-1): Enter desired"]);
    assert_eq!(asked.class, Config);
}

#[test]
fn a_line_that_is_said_again_and_again_is_quoted_once() {
    let mut lines = vec!["first".to_owned(); 3];
    lines.extend(vec!["waiting".to_owned(); 40]);
    let cause = quoting(Cause::host(Kind::InstallerExit, "A.", "B."), &lines);
    let quoted: Vec<&str> = cause.evidence.iter().map(|fact| fact.value.as_str()).collect();
    assert_eq!(quoted, ["first", "waiting"]);
}

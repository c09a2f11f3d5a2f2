//! Vault on the ladder: every state of a node, of a token and of the transit engine, each with its own cause.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use stand_ins::vault::{self, Config, Handle, Node, Token};

use super::check::{Draft, findings};
use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::certificates::Authority;
use super::harness::parts;
use super::probe_checks::{check, report};
use super::scene::{SOON, Scene};

const TOKEN: &str = "5f2c1d7e-token-of-the-test";
const RUNGS: [&str; 7] = ["uri", "dns", "tcp", "tls", "health", "token", "transit"];

fn settings(scheme: &str, host: &str, port: u16, token: &str) -> String {
    format!(
        "export VAULT__SCHEME='{scheme}'\nexport VAULT__HOST='{host}'\nexport VAULT__PORT={port}\n\
         export VAULT__CLIENT_TOKEN='{token}'\nexport VAULT__TRANSIT_MOUNT=transit\n"
    )
}

fn started(change: impl FnOnce(&mut Config)) -> Handle {
    let mut config = Config::with_token(TOKEN, Token::default());
    change(&mut config);
    vault::start(config).unwrap()
}

/// A box with Vault's address in place.
struct Node2x {
    world: CommandContext,
}

impl Node2x {
    fn new(shared: &str) -> Self {
        let world = CommandContext::new();
        world.write("/etc/circleconfig/shared/vault", shared);
        world.write("/etc/circle-installation-customizations", "# made by the test\n");
        Self { world }
    }

    fn at(address: SocketAddr) -> Self {
        Self::new(&settings("http", "127.0.0.1", address.port(), TOKEN))
    }

    fn probe(&self) -> Probed {
        let finished =
            Agent::new(&self.world).args(["probe", "--output", "json", "--only", "vault"]).run(SOON);
        assert!(!format!("{finished}").contains(TOKEN), "the token in {finished}");
        Probed { report: report(&finished), finished }
    }
}

struct Probed {
    report: Value,
    finished: Finished,
}

impl Probed {
    fn outcome(&self, rung: &str) -> &str {
        check(&self.report, &format!("vault.main.{rung}"))["outcome"].as_str().unwrap()
    }

    /// Asserts that this rung is the first to break, with this kind and class; gives the cause.
    #[track_caller]
    fn breaks(&self, rung: &str, kind: &str, class: &str) -> Value {
        let at = RUNGS.iter().position(|known| *known == rung).unwrap();
        for (index, name) in RUNGS.iter().enumerate() {
            let expected = if index < at {
                "good"
            } else if index == at {
                "failed"
            } else {
                "skipped"
            };
            assert_eq!(self.outcome(name), expected, "{name}: {}", self.finished);
        }
        let cause = check(&self.report, &format!("vault.main.{rung}"))["cause"].clone();
        assert_eq!((cause["kind"].as_str(), cause["class"].as_str()), (Some(kind), Some(class)), "{cause:#}");
        cause
    }

    #[track_caller]
    fn is_good(&self) {
        for name in RUNGS {
            assert_eq!(self.outcome(name), "good", "{name}: {}", self.finished);
        }
    }

    fn advice(&self) -> Value {
        check(&self.report, "vault.main.advice").clone()
    }
}

#[test]
fn a_vault_that_serves_the_app_is_good_in_old_and_new_releases() {
    for version in ["0.7.0", "1.15.2"] {
        let vault = started(|config| config.version = version.into());
        let probed = Node2x::at(vault.address()).probe();
        probed.is_good();
        assert_eq!(probed.advice()["outcome"], "good", "{}", probed.finished);
        assert!(format!("{}", probed.finished).contains(version), "{}", probed.finished);
        // Nothing but Vault is shown the token, and nothing is written.
        for (method, path, with_token) in vault.calls() {
            assert_eq!(with_token, path != "/v1/sys/health", "{method} {path}");
            assert!(method == "GET" || path == "/v1/sys/capabilities-self", "{method} {path}");
        }
    }
}

#[test]
fn each_state_of_a_node_has_its_own_cause() {
    let rows = [
        (Node::Sealed, "vault.sealed", "external"),
        (Node::Uninitialized, "vault.not_initialized", "external"),
        (Node::DrSecondary, "vault.dr_secondary", "external"),
        (Node::Foreign(200, "<html>Welcome to nginx!</html>".into()), "vault.not_vault", "config"),
        (Node::Foreign(404, "not found".into()), "vault.not_vault", "config"),
        (
            Node::Foreign(503, "<html>503 Service Temporarily Unavailable</html>".into()),
            "vault.unavailable",
            "external",
        ),
    ];
    let vault = started(|_| {});
    let node = Node2x::at(vault.address());
    for (state, kind, class) in rows {
        vault.change(|config| config.node = state);
        node.probe().breaks("health", kind, class);
    }
    assert!(vault.calls().iter().all(|(_, _, with_token)| !with_token), "{:?}", vault.calls());
    for state in [Node::Standby, Node::PerformanceStandby] {
        vault.change(|config| config.node = state);
        node.probe().is_good();
    }
    vault.change(|config| config.node = Node::Redirecting("http://10.1.2.3:8200".into()));
    let cause = node.probe().breaks("token", "vault.standby", "external");
    assert!(cause.to_string().contains("http://10.1.2.3:8200"), "{cause:#}");
    vault.change(|config| config.node = Node::Orphaned);
    node.probe().breaks("token", "vault.no_active_node", "external");
}

#[test]
fn each_fault_of_a_token_and_of_the_engine_has_its_own_cause() {
    let vault = started(|_| {});
    let node = Node2x::at(vault.address());
    let with = |change: &dyn Fn(&mut Token)| {
        let mut token = Token::default();
        change(&mut token);
        vault.change(|config| config.tokens = BTreeMap::from([(TOKEN.to_owned(), token)]));
        node.probe()
    };
    for (kind, change) in [
        ("vault.token_not_renewable", &(|token: &mut Token| token.renewable = false) as &dyn Fn(&mut Token)),
        ("vault.token_expiring", &|token| token.ttl = 300),
        ("vault.token_max_ttl", &|token| token.explicit_max_ttl = 900_000),
        ("vault.token_not_periodic", &|token| token.period = 0),
        ("vault.token_uses", &|token| token.uses = Some(50)),
    ] {
        let probed = with(change);
        probed.is_good();
        assert_eq!(probed.advice()["cause"]["kind"], kind, "{}", probed.finished);
    }
    with(&|token| token.uses = Some(0)).breaks("token", "vault.token_rejected", "config");
    let cause = with(&|token| {
        token.capabilities.insert("transit/".into(), vec!["read".into()]);
    });
    let cause = cause.breaks("transit", "vault.no_capability", "config");
    assert!(cause.to_string().contains("transit/encrypt/"), "{cause:#}");
    // Who may list the mounts hears what there is.
    let list = |token: &mut Token| {
        token.capabilities.insert("sys/mounts".into(), vec!["read".into()]);
    };
    with(&list).is_good();
    vault.change(|config| config.mounts = BTreeMap::from([("keys/".into(), "transit".into())]));
    let cause = with(&list).breaks("transit", "vault.no_transit", "config");
    assert!(cause.to_string().contains("keys/"), "{cause:#}");
    vault.change(|config| config.mounts = BTreeMap::from([("transit/".into(), "generic".into())]));
    with(&list).breaks("transit", "vault.not_transit", "config");
    vault.change(|config| config.tokens = BTreeMap::new());
    node.probe().breaks("token", "vault.token_rejected", "config");
}

#[test]
fn tls_is_judged_as_for_databases() {
    let authority = Authority::new();
    let right = authority.issue("vault", &["IP:127.0.0.1"], 30);
    let pair = (right.certificate.clone(), right.key.clone());
    let https = started(|config| config.tls = Some(pair.clone()));
    let terminator = started(|config| {
        config.tls = Some(pair.clone());
        config.tells_plain_http = false;
    });
    let address = https.address();
    let node = Node2x::new(&settings("https", "127.0.0.1", address.port(), TOKEN));
    let stranger = Authority::new();
    node.world.write("/etc/ssl/certs/ca-certificates.crt", std::fs::read(stranger.certificate()).unwrap());
    let cause = node.probe().breaks("tls", "tls.unknown_ca", "config");
    assert!(cause["next_step"].as_str().unwrap().contains("ca-certificates"), "{cause:#}");
    let trusted = std::fs::read_to_string(authority.certificate()).unwrap();
    node.world.write("/etc/ssl/certs/ca-certificates.crt", trusted);
    node.probe().is_good();
    // The scheme of the one, the port of the other.
    let plain = started(|_| {});
    let node = Node2x::new(&settings("https", "127.0.0.1", plain.address().port(), TOKEN));
    node.world.write(
        "/etc/ssl/certs/ca-certificates.crt",
        std::fs::read_to_string(authority.certificate()).unwrap(),
    );
    let cause = node.probe().breaks("tls", "tls.not_tls", "config");
    assert!(cause["next_step"].as_str().unwrap().contains("VAULT__SCHEME"), "{cause:#}");
    for address in [address, terminator.address()] {
        let probed = Node2x::at(address).probe();
        probed.breaks("tls", "vault.tls_required", "config");
    }
    assert!(terminator.calls().is_empty(), "{:?}", terminator.calls());
}

#[test]
fn silence_and_closed_ports_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node2x::at(listener.local_addr().unwrap());
    node.probe().breaks("health", "vault.silent", "external");
    let closed = SocketAddr::from(([127, 0, 0, 1], parts::free_port()));
    Node2x::at(closed).probe().breaks("tcp", "tcp.refused", "external");
}

#[test]
fn mistakes_in_its_settings_are_found_where_they_are() {
    let good = settings("https", "vault.example.com", 8200, "token-of-the-check");
    let rows: [(&str, &str, &[&str]); 6] = [
        ("'https'", "'HTTPS'", &["error circleconfig.value circleconfig/shared/vault:1:8"]),
        (
            "'vault.example.com'",
            "'https://vault.example.com'",
            &["error circleconfig.value circleconfig/shared/vault:2:8"],
        ),
        ("8200", "http", &["error circleconfig.value circleconfig/shared/vault:3:8"]),
        ("'token-of-the-check'", "''", &["error circleconfig.missing circleconfig/shared/vault:4:8"]),
        ("'token-of-the-check'", "'token of the check'", &["error vault.uri circleconfig/shared/vault:4:8"]),
        (
            "export VAULT__HOST='vault.example.com'\n",
            "",
            &["error circleconfig.missing circleconfig/shared/vault"],
        ),
    ];
    for (from, to, expected) in [("", "", &[][..])].into_iter().chain(rows) {
        let directory = Draft::good().directory();
        let shared = directory.path().join("circleconfig/shared");
        std::fs::create_dir_all(&shared).unwrap();
        std::fs::write(shared.join("vault"), good.replacen(from, to, 1)).unwrap();
        let run = Agent::new(&CommandContext::new())
            .args(["--output", "json", "check"])
            .arg(directory.path().display())
            .run(SOON);
        let found = findings(&run);
        assert_eq!(found.len(), expected.len(), "{to}: {run}");
        assert!(
            found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)),
            "{to}: {run}"
        );
        assert!(!format!("{run}").contains("of-the-check"), "{run}");
    }
}

#[test]
fn a_boot_waits_for_a_sealed_vault() {
    let vault = started(|config| config.node = Node::Sealed);
    let scene = Scene::new();
    scene.put("circleconfig/shared/vault", settings("http", "127.0.0.1", vault.address().port(), TOKEN));
    let running = scene.boot().spawn();
    let asked = std::time::Instant::now();
    let is_waiting = || {
        let record = "/var/lib/boot-agent/boot.json";
        scene.world.exists(record) && scene.world.read(record).contains("vault.sealed")
    };
    while !is_waiting() {
        assert!(asked.elapsed() < SOON, "the boot does not say that it waits for Vault");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    vault.change(|config| config.node = Node::Active);
    let booted = running.finish(SOON);
    booted.assert_code(0);
    assert!(scene.record()["stages"].to_string().contains("vault.main answer"), "{booted}");
    assert!(!format!("{booted}{:#}", scene.record()).contains(TOKEN), "{booted}");
}

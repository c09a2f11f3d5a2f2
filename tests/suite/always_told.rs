//! A boot that cannot even begin: whatever is wrong with its settings, its request, its command line or the disk, the group
//! is told, and the cause is in the log, on the console and in the record.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use stand_ins::autoscaling::{self, Stage};
use stand_ins::imds::Fault;

use super::front::Front;
use super::harness::agent::{Agent, Finished};
use super::harness::shell;
use super::scene::INSTANCE;

const WITHIN: Duration = Duration::from_secs(60);
const SETTINGS: &str = "/etc/boot-agent/agent.toml";
const REQUEST: &str = "/var/lib/boot-agent/order.json";
const RECORD: &str = "/var/lib/boot-agent/boot.json";

/// What is wrong, how it comes to be so, and the kind and class of the cause.
type Case = (&'static str, fn(&Front), &'static str, &'static str);

/// Faults of the settings, which every boot of this box reads.
const SETTINGS_FAULTS: [Case; 12] = [
    ("no TOML", |front| front.settings("on_failure = "), "settings.syntax", "config"),
    ("not UTF-8", |front| front.world.write(SETTINGS, [b'#', 0xff, 0xfe]), "settings.syntax", "config"),
    ("an unknown key", |front| front.settings("on_failur = \"hold\""), "settings.unknown_key", "config"),
    ("another type", |front| front.settings("[databases]\nwait = 3600"), "settings.type", "config"),
    ("no duration", |front| front.settings("deadline = \"soon\""), "settings.invalid", "config"),
    ("no choice", |front| front.settings("on_failure = \"explode\""), "settings.invalid", "config"),
    (
        "an extra file of the agent's own",
        |front| {
            front.settings("[[extra]]\nobject = \"x\"\npath = \"/etc/boot-agent/agent.toml\"");
        },
        "settings.invalid",
        "config",
    ),
    ("a directory", |front| fs::create_dir(front.world.path(SETTINGS)).unwrap(), "host.file", "host"),
    ("a FIFO", |front| mkfifo(&front.world.path(SETTINGS), Mode::S_IRWXU).unwrap(), "host.file", "host"),
    ("/dev/zero", |front| symlink("/dev/zero", front.world.path(SETTINGS)).unwrap(), "host.file", "host"),
    (
        "a link to itself",
        |front| symlink("agent.toml", front.world.path(SETTINGS)).unwrap(),
        "host.file",
        "host",
    ),
    ("more than a megabyte", |front| front.settings(&"# x\n".repeat(300_000)), "host.file", "host"),
];

/// Faults of the request that user-data left.
const REQUEST_FAULTS: [Case; 4] = [
    ("torn", |front| front.world.write(REQUEST, "{\"version\": 1, \"sou"), "order.unreadable", "host"),
    (
        "of a newer agent",
        |front| {
            front.world.write(REQUEST, "{\"version\": 9, \"source\": \"s3://bucket/x\"}");
        },
        "order.unreadable",
        "host",
    ),
    (
        "a directory",
        |front| fs::create_dir_all(front.world.path(REQUEST)).unwrap(),
        "order.unreadable",
        "host",
    ),
    (
        "a FIFO",
        |front| {
            fs::create_dir_all(front.world.path("/var/lib/boot-agent")).unwrap();
            mkfifo(&front.world.path(REQUEST), Mode::S_IRWXU).unwrap();
        },
        "order.unreadable",
        "host",
    ),
];

/// That the group, the log, the console and the record know.
#[track_caller]
fn everybody_knows(front: &Front, finished: &Finished, what: &str, kind: &str, class: &str) {
    assert!(finished.says(kind), "{what}: not in the log\n{finished}");
    assert_eq!(front.completions(), ["ABANDON"], "{what}\n{finished}");
    let console = front.world.read("/dev/console");
    assert!(console.contains(kind) && console.contains(INSTANCE), "{what}: {console:?}");
    let record = front.record();
    let cause = &record["cause"];
    assert_eq!((&cause["kind"], &cause["class"]), (&kind.into(), &class.into()), "{what}");
    assert_eq!(record["outcome"], "abandoned", "{what}");
    assert!(front.nothing_is_placed(), "{what}");
}

#[test]
fn a_fault_of_the_settings_is_told() {
    for (what, spoil, kind, class) in SETTINGS_FAULTS {
        let front = Front::new();
        front.world.write("/dev/console", "");
        spoil(&front);
        let finished = front.boot().run(WITHIN);
        everybody_knows(&front, &finished, what, kind, class);
    }
}

#[test]
fn a_fault_of_the_request_is_told() {
    for (what, spoil, kind, class) in REQUEST_FAULTS {
        for arguments in [&["boot"][..], &["boot", "--unit"]] {
            let front = Front::new();
            front.world.write("/dev/console", "");
            spoil(&front);
            let finished = Agent::new(&front.world).args(arguments).run(WITHIN);
            everybody_knows(&front, &finished, what, kind, class);
        }
    }
}

/// As user-data runs it: nobody is at a terminal.
#[test]
fn a_fault_of_the_command_line_is_told() {
    for (arguments, variable, kind) in [
        (&["boot", "s3:/bucket/x"][..], None, "source.invalid"),
        (&["boot"], None, "source.missing"),
        (&["boot", "s3://bucket/x", "s3://another/x"], None, "source.invalid"),
        (&["boot", "--deadline", "soon", "s3://bucket/x"], None, "settings.invalid"),
        (&["boot", "--forse", "s3://bucket/x"], None, "usage.invalid"),
        (&["boot", "s3://bucket/x"], Some(("BOOT_AGENT_DEADLIN", "1h")), "settings.unknown_key"),
        (&["boot", "s3://bucket/x", "--config", "/nowhere/agent.toml"], None, "host.file"),
        (&["boot", "SOURCE"], Some(("DOCKER_HOST", "ssh://engine")), "docker.address"),
        (&["boot", "s3://bucket/x"], Some(("AWS_CA_BUNDLE", "/nowhere/ca.pem")), "http.ca_bundle"),
    ] {
        let front = Front::new();
        let arguments = arguments.iter().map(|it| it.replace("SOURCE", &front.source())).collect::<Vec<_>>();
        let mut agent = Agent::new(&front.world).args(&arguments);
        if let Some((name, value)) = variable {
            agent = agent.env(name, value);
        }
        let finished = agent.run(WITHIN);
        assert!(finished.says(kind), "{arguments:?}\n{finished}");
        assert_eq!(front.completions(), ["ABANDON"], "{arguments:?}\n{finished}");
        assert_eq!(front.record()["cause"]["kind"], kind, "{arguments:?}");
    }
}

/// Whoever types it sees it, and is not to lose the instance by a slip.
#[test]
fn a_slip_at_a_terminal_ends_no_instance() {
    let front = Front::new();
    let output = shell::run(&mut on_a_terminal(&front, "boot s3:/bucket/x"));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("source.invalid"), "{shown}");
    assert_eq!(front.completions(), Vec::<String>::new());
    assert!(!front.world.exists(RECORD));
}

fn on_a_terminal(front: &Front, arguments: &str) -> Command {
    let line = format!("{} --root {} {arguments}", env!("CARGO_BIN_EXE_agent"), front.world.root().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear();
    script.envs(front.world.environment()).env("PATH", std::env::var("PATH").unwrap());
    script
}

/// What can still be read of the settings is heeded: here what a failed boot is to do.
#[test]
fn the_settings_that_can_be_read_hold() {
    let front = Front::new();
    front.settings("on_failure = \"hold\"\nsource = \"s3:/wrong\"");
    let mut boot = front.boot().spawn();
    boot.wait_for_line("held: the lifecycle action is being kept alive", WITHIN);
    let finished = boot.kill();
    assert!(finished.says("source.invalid"), "{finished}");
    assert_eq!(front.record()["outcome"], "held");
    assert_eq!(front.completions(), Vec::<String>::new());
}

/// Somebody has logged in and is at work; a slip of theirs in the settings is not what ends the instance.
#[test]
fn an_instance_that_is_held_stays_held() {
    let front = Front::new();
    front.settings("on_failure = \"hold\"");
    let mut boot = front.boot_from("file:///nowhere").spawn();
    boot.wait_for_line("held: the lifecycle action is being kept alive", WITHIN);
    front.settings("on_failure = hold");
    let mut again = front.boot().spawn();
    again.wait_for_line("held: the lifecycle action is being kept alive", WITHIN);
    assert!(again.kill().says("settings.syntax"));
    boot.kill();
    assert_eq!(front.completions(), Vec::<String>::new());
}

/// A box in service is no worse for a slip in its settings.
#[test]
fn an_instance_in_service_is_told_nothing() {
    let front = Front::new();
    front.auto_scaling.place(INSTANCE, Stage::InService, false);
    front.settings("on_failure = ");
    front.boot().run(WITHIN).assert_code(2).assert_says("settings.syntax");
    assert_eq!(front.completions(), Vec::<String>::new());
}

/// On a machine that is no instance there is nobody to tell, and nothing is written.
#[test]
fn a_machine_that_is_no_instance_is_left_alone() {
    let front = Front::new();
    front.settings("on_failure = ");
    let before = front.world.files();
    let run = front.boot().env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1").run(WITHIN);
    run.assert_code(2).assert_says("settings.syntax");
    assert_eq!(front.world.files(), before);
}

/// The deadline may pass before it is known whom to tell.
#[test]
fn a_deadline_before_the_group_is_known_is_told() {
    let front = Front::new();
    front.auto_scaling.inject(autoscaling::Fault::Throttle("DescribeAutoScalingInstances".into(), 3));
    let finished = front.boot().args(["--deadline", "1ms"]).run(WITHIN);
    finished.assert_code(3).assert_says("boot.deadline");
    assert_eq!(front.completions(), ["ABANDON"], "{finished}");
}

/// The metadata service may be late when the unit starts with the machine.
#[test]
fn a_late_metadata_service_is_waited_for() {
    let front = Front::new();
    front.imds.inject(Fault::SilentFor(Duration::from_secs(4)));
    front.settings("on_failure = ");
    front.boot_from("s3://bucket/x").arg("--unit").run(WITHIN);
    assert_eq!(front.completions(), ["ABANDON"]);
}

/// What is open to everybody, or belongs to somebody else, is not what decides how root boots this box.
#[test]
fn files_that_others_may_write_are_refused() {
    for path in [SETTINGS, "/etc/boot-agent/images.lock"] {
        for (mode, owner) in [(0o646, 0), (0o640, 12_345)] {
            let front = Front::new();
            front.world.write(path, "version = 2\n".repeat(usize::from(path != SETTINGS)));
            fs::set_permissions(front.world.path(path), fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(front.world.path(path), Some(owner), None).unwrap();
            let finished = front.boot().run(WITHIN);
            assert!(finished.says("host.unsafe_file"), "{path} {mode:o} {owner}\n{finished}");
            assert_eq!(front.completions(), ["ABANDON"], "{path} {mode:o} {owner}\n{finished}");
        }
    }
}

/// The directories that a boot writes to, each in a state in which it cannot.
#[test]
fn a_disk_that_takes_nothing_is_told() {
    let read_only = |path: &std::path::Path| {
        shell::must(Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(path));
    };
    for (what, directories) in [
        ("/run", &["/run"][..]),
        ("/var/lib", &["/var/lib"]),
        ("both", &["/run", "/var/lib"]),
        ("/etc", &["/etc/boot-agent", "/run", "/var/lib"]),
    ] {
        let front = Front::new();
        front.world.write("/dev/console", "");
        for directory in directories {
            read_only(&front.world.path(directory));
        }
        // With /run alone the boot goes on without its lock, to the fault of the bundle.
        let finished = front.boot_from("file:///nowhere").run(WITHIN);
        for directory in directories {
            shell::run(Command::new("umount").arg("--lazy").arg(front.world.path(directory)));
        }
        assert_eq!(front.completions(), ["ABANDON"], "{what}\n{finished}");
        assert!(front.world.read("/dev/console").contains(INSTANCE), "{what}");
    }
    for (what, path) in [("/run", "/run"), ("/var", "/var"), ("the record", "/var/lib/boot-agent")] {
        let front = Front::new();
        let _ = fs::remove_dir_all(front.world.path(path));
        front.world.write(path, "a file where a directory should be");
        let finished = front.boot_from("file:///nowhere").run(WITHIN);
        assert_eq!(front.completions(), ["ABANDON"], "{what}\n{finished}");
    }
}

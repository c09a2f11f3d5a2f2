//! A boot that is stopped or killed, anywhere, is resumed by booting again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use stand_ins::{autoscaling, imds, s3_faults};

use super::harness::agent::{Agent, Running};
use super::harness::parts;
use super::scene::{self, INSTALLER, PLACED, SOON, Scene};

const COMPLETE: &str = "CompleteLifecycleAction";

/// How soon a boot that is told to stop must have ended, on a machine that is busy with everything else too; none of what
/// it waits for would end by itself within that time.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(40);

pub(crate) const LATE: &str = "0 starting started true 503\n";
pub(crate) const READY: &str = "0 started started false 200\n";

/// A stage in which a boot stands still until it is let go.
struct Standstill {
    stage: &'static str,
    /// Said once the boot stands still, or when it is about to.
    says: &'static str,
    hinder: fn(&Scene, &s3_faults::Handle),
    let_go: fn(&Scene, &s3_faults::Handle),
    /// How often the installer has been run after a stop, a kill and a good boot.
    installs: usize,
}

/// Stops a boot in the stage, kills the next one there, lets the third one go.
fn interrupt(standstill: &Standstill) {
    let scene = Scene::new();
    let s3 = s3_faults::start(s3_faults::Config::before(&scene.s3.url())).unwrap();
    (standstill.hinder)(&scene, &s3);
    let stands_still = || -> Running {
        let mut running = scene.boot().env("AWS_ENDPOINT_URL_S3", s3.url()).spawn();
        running.wait_for_line(standstill.says, SOON);
        wait_for_record(&scene, standstill.stage);
        running
    };

    let stopped = stands_still();
    stopped.signal(Signal::SIGTERM);
    let finished = stopped.finish(AT_ONCE);
    finished.assert_code(1).assert_says("stopped by a signal");
    assert_eq!(scene.record()["outcome"], "interrupted");
    assert_eq!(scene.stage(standstill.stage), "interrupted");
    assert_nothing_completed(&scene);
    assert_files_whole(&scene);
    assert_eq!(installer_processes(&scene), Vec::<String>::new());

    let killed = stands_still();
    // The record follows what is said within a fraction of a second.
    scene.wait_for_stage(standstill.stage, "running", AT_ONCE);
    killed.kill();
    assert_eq!(scene.record()["outcome"], "running");
    assert_eq!(scene.stage(standstill.stage), "running");
    assert_nothing_completed(&scene);
    assert_files_whole(&scene);

    (standstill.let_go)(&scene, &s3);
    scene.boots().assert_code(0);
    assert_in_service(&scene);
    assert_eq!(scene.installer_runs(), standstill.installs);
}

/// What people look at is on disk a moment after it was said.
fn wait_for_record(scene: &Scene, stage: &str) {
    let deadline = Instant::now() + SOON;
    while !scene.world.exists("/var/lib/boot-agent/boot.json") || scene.stage(stage) != "running" {
        assert!(Instant::now() < deadline, "the record does not show {stage} running");
        after(5);
    }
}

fn assert_nothing_completed(scene: &Scene) {
    let calls = scene.auto_scaling.calls_of(COMPLETE);
    assert!(calls.iter().all(|call| call.status != Some(200)), "{calls:#?}");
    assert!(calls.iter().all(|call| call.parameter("LifecycleActionResult") == "CONTINUE"), "{calls:#?}");
    assert_eq!(scene.state(), "Pending:Wait");
}

/// Each of the four is absent or what the source holds now.
fn assert_files_whole(scene: &Scene) {
    for path in PLACED {
        if scene.world.exists(path) {
            assert_eq!(scene.world.read(path), at_the_source(scene, path), "{path}");
        }
    }
}

fn at_the_source(scene: &Scene, path: &str) -> String {
    let name = path.trim_start_matches("/etc/");
    format!("{}\n", scene.s3.get(&scene.bucket, &format!("services-box/{name}")))
}

pub(crate) fn assert_in_service(scene: &Scene) {
    assert_eq!(scene.completions().last().map(String::as_str), Some("CONTINUE"));
    assert_eq!(scene.state(), "InService");
    assert_eq!(scene.record()["outcome"], "in_service");
    for path in PLACED {
        assert_eq!(scene.world.read(path), at_the_source(scene, path), "{path}");
        assert_eq!(scene.world.mode(path), 0o640, "{path}");
    }
    assert_eq!(leftovers(scene), Vec::<PathBuf>::new());
    assert_eq!(installer_processes(scene), Vec::<String>::new());
}

/// Files that a placement did not finish.
fn leftovers(scene: &Scene) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = scene.world.files().into_keys().collect();
    found.retain(|path| path.to_string_lossy().contains("boot-agent-new"));
    found
}

/// Command lines of this scene's installer and of what it started on this machine.
fn installer_processes(scene: &Scene) -> Vec<String> {
    let installer = scene.world.path(INSTALLER).display().to_string();
    let mark = format!("BOOT_AGENT_RUNS={installer}");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        // A process that ends meanwhile reads as nothing.
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let (command, environment) = (read("cmdline"), read("environ"));
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&installer) || String::from_utf8_lossy(&environment).contains(&mark) {
            found.push(command);
        }
    }
    found
}

/// Nothing listens where the bundle says that PostgreSQL is.
pub(crate) fn without_postgres(scene: &Scene) -> String {
    let nobody = format!("postgres://circle:secret@127.0.0.1:{}/circle", parts::free_port());
    let (mongo, _) = scene::databases();
    let customizations = scene::customizations(|database| mongo.uri(database), &nobody);
    scene.put("circle-installation-customizations", &customizations);
    customizations
}

fn good_databases(scene: &Scene) {
    let [.., (name, content)] = scene::good_bundle();
    scene.put(name, content);
}

#[test]
fn interrupted_in_identity() {
    interrupt(&Standstill {
        stage: "identity",
        says: "identity   started",
        hinder: |scene, _| scene.imds.inject(imds::Fault::Dead),
        let_go: |scene, _| scene.imds.cure(),
        installs: 1,
    });
}

#[test]
fn interrupted_in_lifecycle() {
    interrupt(&Standstill {
        stage: "lifecycle",
        says: "lifecycle  started",
        hinder: |scene, _| scene.auto_scaling.inject(autoscaling::Fault::Silent("*".into())),
        let_go: |scene, _| scene.auto_scaling.cure(),
        installs: 1,
    });
}

#[test]
fn interrupted_in_fetch() {
    interrupt(&Standstill {
        stage: "fetch",
        says: "fetch      started",
        hinder: |_, s3| s3.rule(s3_faults::Rule::key("license.rli", s3_faults::Fault::Silent)),
        let_go: |_, s3| s3.cure(),
        installs: 1,
    });
}

#[test]
fn interrupted_in_databases() {
    interrupt(&Standstill {
        stage: "databases",
        says: "databases  waiting",
        hinder: |scene, _| {
            without_postgres(scene);
        },
        let_go: |scene, _| good_databases(scene),
        installs: 1,
    });
}

#[test]
fn interrupted_in_images() {
    interrupt(&Standstill {
        stage: "images",
        says: "images     started",
        hinder: |scene, _| scene.engine.pause(),
        let_go: |scene, _| scene.engine.resume(),
        installs: 1,
    });
}

#[test]
fn interrupted_in_install() {
    interrupt(&Standstill {
        stage: "install",
        says: "Unpacking, which takes a while",
        hinder: |scene, _| scene.stand_in("mode", "slow 120\n"),
        let_go: |scene, _| scene.stand_in("mode", ""),
        installs: 3,
    });
}

#[test]
fn interrupted_in_ready() {
    interrupt(&Standstill {
        stage: "ready",
        says: "ready      waiting",
        hinder: |scene, _| scene.stand_in("timeline", LATE),
        let_go: |scene, _| scene.stand_in("timeline", READY),
        installs: 1,
    });
}

#[test]
fn interrupted_in_report() {
    interrupt(&Standstill {
        stage: "report",
        says: "report     waiting",
        hinder: |scene, _| scene.auto_scaling.inject(autoscaling::Fault::Throttle(COMPLETE.into(), 1000)),
        let_go: |scene, _| scene.auto_scaling.cure(),
        installs: 1,
    });
}

#[test]
fn killed_while_the_installer_starts_containers() {
    let scene = Scene::new();
    for line in ["| replicated started", "| replicated-ui started", "| frontend started"] {
        let mut running = scene.boot().arg("--force").spawn();
        running.wait_for_line(line, SOON);
        running.kill();
        assert_files_whole(&scene);
        assert_nothing_completed(&scene);
    }
    scene.boots().assert_code(0);
    assert_in_service(&scene);
    assert!((3..=4).contains(&scene.installer_runs()), "{}", scene.installer_runs());
}

/// Two bundles of which no file is like the other's, in directories of the box.
struct TwoBundles {
    files: [Vec<(&'static str, String)>; 2],
}

impl TwoBundles {
    /// Both name a database that is not there, so that no boot gets further than to wait for it.
    fn write(scene: &Scene) -> Self {
        let customizations = without_postgres(scene);
        let files = ["one", "two"].map(|which| {
            let file = |name: &'static str, text: String| {
                scene.world.write(&format!("/bundles/{which}/{name}"), &text);
                (name, text)
            };
            // Long enough for a write to be cut in two.
            let padding = format!("# {which}\n").repeat(20_000);
            vec![
                file("settings.conf", scene::SETTINGS.replace("circleci.example.com", which)),
                file(
                    "replicated.conf",
                    scene::REPLICATED.replace("debug", if which == "one" { "info" } else { "warn" }),
                ),
                file("license.rli", padding.clone()),
                file("circle-installation-customizations", format!("{customizations}{padding}")),
            ]
        });
        TwoBundles { files }
    }

    fn source(which: usize) -> String {
        format!("file:///bundles/{}", ["one", "two"][which % 2])
    }

    /// Each of the four is absent, or wholly of one bundle or the other, and never readable for the world.
    fn assert_whole(&self, scene: &Scene) {
        for (index, (name, one)) in self.files[0].iter().enumerate() {
            let path = format!("/etc/{name}");
            if scene.world.exists(&path) {
                let text = scene.world.read(&path);
                let two = &self.files[1][index].1;
                assert!(text == *one || text == *two, "{path} is torn: {} bytes", text.len());
                assert_eq!(scene.world.mode(&path), 0o640);
            }
        }
        if scene.world.exists("/var/lib/boot-agent/boot.json") {
            scene.record();
        }
    }
}

/// Boots either bundle in turn and ends each boot with `signal`, when `moment` has come.
fn end_at_moments(signal: Signal, count: usize, moment: impl Fn(&mut Running, usize)) {
    let scene = Scene::new();
    let bundles = TwoBundles::write(&scene);
    for turn in 0..count {
        let mut running = Agent::new(&scene.world).args(["boot", &TwoBundles::source(turn)]).spawn();
        moment(&mut running, turn);
        running.signal(signal);
        let finished = running.finish(AT_ONCE);
        // Before it listens, a SIGTERM ends the program as it ends any other.
        assert!(finished.code.is_none() || finished.code == Some(1), "{finished}");
        if finished.code == Some(1) {
            assert_eq!(scene.record()["outcome"], "interrupted", "{finished}");
        }
        bundles.assert_whole(&scene);
        assert_nothing_completed(&scene);
    }
    good_databases(&scene);
    scene.boots().assert_code(0);
    assert_in_service(&scene);
    assert_eq!(scene.installer_runs(), 1);
}

fn after(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn killed_in_validate_and_place() {
    end_at_moments(Signal::SIGKILL, 16, |running, turn| {
        let line =
            ["fetch      done", "validate   started", "validate   done", "place      started"][turn % 4];
        running.wait_for_line(line, SOON);
        after(turn as u64 / 4 * 2);
    });
}

#[test]
fn stopped_in_validate_and_place() {
    end_at_moments(Signal::SIGTERM, 12, |running, turn| {
        let line =
            ["fetch      done", "validate   started", "validate   done", "place      started"][turn % 4];
        running.wait_for_line(line, SOON);
        after(turn as u64 / 4 * 2);
    });
}

#[test]
#[ignore = "slow: 40 s"]
fn killed_at_any_moment() {
    end_at_moments(Signal::SIGKILL, 60, |_, turn| after(turn as u64 * 12));
}

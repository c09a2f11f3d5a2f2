//! The airgap package: streamed to its place with its checksum, gone on with after an interruption, and refused where it
//! does not fit or contradicts the rest.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use stand_ins::s3_faults::{self, Config, Fault, Rule};

use super::check::{Draft, REP, findings};
use super::front::Front;
use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::{s3, shell};
use super::scene::{REPLICATED, SOON, STAND_IN, Scene};

const NAME: &str = "app.airgap";
const PLACE: &str = "/var/lib/replicated/app.airgap";

const MIB: usize = 1 << 20;

/// `replicated.conf` that names a package.
fn with_path() -> String {
    REPLICATED.replacen('{', &format!("{{\n  \"LicenseBootstrapAirgapPackagePath\": \"{PLACE}\","), 1)
}

/// Bytes of which no part looks like another.
fn package(bytes: usize) -> Vec<u8> {
    let block = |number: usize| Sha256::digest(number.to_le_bytes()).to_vec();
    (0..bytes.div_ceil(32)).flat_map(block).take(bytes).collect()
}

fn sums(content: &[u8]) -> String {
    format!(
        "{}  {NAME}\n",
        Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    )
}

/// The first half of a boot, with a package behind a proxy that does what it is told.
fn front(content: &[u8]) -> (Front<'static>, s3_faults::Handle) {
    let front = Front::new();
    let faults = s3_faults::start(Config::before(&front.s3.url())).unwrap();
    let front = front.at(&faults.url());
    put(&front, "replicated.conf", with_path());
    put(&front, NAME, content);
    (front, faults)
}

fn put(front: &Front<'_>, name: &str, content: impl AsRef<[u8]>) {
    front.s3.put(&front.bucket, &format!("services-box/{name}"), content);
}

/// A boot that is killed when a part of the package has arrived; the source is well again after it.
fn is_killed_after_a_part(front: &Front<'_>, faults: &s3_faults::Handle) {
    faults.rule(Rule::key(NAME, Fault::CutShort(3 * MIB)).times(1));
    faults.rule(Rule::key(NAME, Fault::CutShort(0)));
    let mut boot = front.boot().spawn();
    boot.wait_for_line("s3.body_cut", SOON);
    boot.kill();
    faults.cure();
}

/// A boot until the package is in place.
fn boots_until_placed(front: &Front<'_>) -> Finished {
    let mut boot = front.boot().spawn();
    boot.wait_for_line("airgap     done", SOON);
    boot.kill()
}

fn fails(front: &Front<'_>, kind: &str) -> Finished {
    let finished = front.boots();
    finished.assert_says(kind).assert_says("airgap     FAILED");
    assert_eq!(front.record()["cause"]["kind"], kind, "{finished}");
    assert!(!front.world.exists(PLACE), "{finished}");
    finished
}

fn parts(front: &Front<'_>) -> Vec<PathBuf> {
    let directory = front.world.path("/var/lib/replicated");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().ends_with("boot-agent-part")).collect()
}

/// The ranges that were asked for of the package, and nothing for each request of all of it.
fn ranges(faults: &s3_faults::Handle) -> Vec<String> {
    let calls = faults.calls();
    let of_package = calls.iter().filter(|call| call.method == "GET" && call.path.ends_with(NAME));
    of_package.map(|call| call.range.clone().unwrap_or_default()).collect()
}

#[test]
fn a_package_is_in_place_before_the_installer_is_told_airgap() {
    let scene = Scene::new();
    let content = package(3 * MIB);
    scene.put("replicated.conf", with_path());
    scene.put(NAME, &content);
    let dry = scene.boot().arg("--dry-run").run(SOON);
    dry.assert_code(0).assert_says(&format!("would stream {NAME} (3.00 MiB) to {PLACE}"));
    dry.assert_says("skip-pull airgap");
    assert!(!scene.world.exists(PLACE));

    let booted = scene.boots();
    booted.assert_code(0);
    assert_eq!(fs::read(scene.world.path(PLACE)).unwrap(), content);
    assert_eq!(scene.world.mode(PLACE), 0o640);
    let runs = scene.world.read(&format!("{STAND_IN}/runs"));
    assert!(runs.trim_end().ends_with(" skip-pull airgap"), "{runs}");
    assert_eq!(scene.completions(), ["CONTINUE"]);

    scene.put(NAME, package(MIB));
    scene.boots().assert_code(0);
    assert_eq!(scene.stage("airgap"), "skipped", "Replicated has read it");
    assert_eq!(fs::read(scene.world.path(PLACE)).unwrap(), content);
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_was() {
    let content = package(8 * MIB);
    let (front, faults) = front(&content);
    faults.rule(Rule::key(NAME, Fault::CutShort(3 * MIB)).times(1));
    boots_until_placed(&front).assert_says("s3.body_cut").assert_says("ETag verified");
    assert_eq!(fs::read(front.world.path(PLACE)).unwrap(), content);
    let asked = ranges(&faults);
    assert_eq!((asked.len(), asked[0].as_str()), (2, ""), "{asked:?}");
    let from: usize = asked[1].trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!(from > MIB && from <= 3 * MIB, "{asked:?}");
    assert_eq!(parts(&front), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_boot_has_fetched_is_not_fetched_again() {
    let content = package(8 * MIB);
    let (front, faults) = front(&content);
    is_killed_after_a_part(&front, &faults);
    assert!(!front.world.exists(PLACE));
    assert_eq!(parts(&front).len(), 1);
    let arrived = fs::metadata(&parts(&front)[0]).unwrap().len();

    faults.forget_calls();
    boots_until_placed(&front).assert_says("are here already");
    assert_eq!(ranges(&faults), [format!("bytes={arrived}-")]);
    assert_eq!(fs::read(front.world.path(PLACE)).unwrap(), content);
    assert_eq!(parts(&front), Vec::<PathBuf>::new());

    faults.forget_calls();
    let mut boot = front.boot().spawn();
    boot.wait_for_line("airgap     skipped", SOON);
    boot.kill();
    assert_eq!(ranges(&faults), [""; 0], "a package that is in place is not fetched");
}

/// The part of another content of the same name is none of this one, and takes room.
#[test]
fn another_package_begins_anew() {
    let (front, faults) = front(&package(8 * MIB));
    is_killed_after_a_part(&front, &faults);
    faults.forget_calls();
    let content = package(5 * MIB);
    put(&front, NAME, &content);
    boots_until_placed(&front);
    assert_eq!(ranges(&faults), [""]);
    assert_eq!(fs::read(front.world.path(PLACE)).unwrap(), content);
    assert_eq!(parts(&front), Vec::<PathBuf>::new());
}

/// A power cut may leave other bytes than had arrived: the checksum tells, and the transfer begins anew.
#[test]
fn a_part_that_is_not_what_had_arrived_is_fetched_again() {
    let content = package(8 * MIB);
    let (front, faults) = front(&content);
    is_killed_after_a_part(&front, &faults);
    let part = &parts(&front)[0];
    let mut torn = fs::read(part).unwrap();
    torn[MIB..2 * MIB].fill(0);
    fs::write(part, torn).unwrap();
    boots_until_placed(&front).assert_says("airgap.checksum");
    assert_eq!(fs::read(front.world.path(PLACE)).unwrap(), content);
}

#[test]
fn a_checksum_that_differs_is_never_placed() {
    let content = package(2 * MIB);
    let (front, faults) = front(&content);
    front.settings("[fetch]\nwait = \"1s\"");
    faults.rule(Rule::key(NAME, Fault::Corrupted));
    fails(&front, "airgap.checksum").assert_code(3);
    assert_eq!(parts(&front), Vec::<PathBuf>::new());

    let with_sums = |sums: &str| {
        let (front, _) = super::airgap::front(&content);
        put(&front, &format!("{NAME}.sha256"), sums);
        front.at(&s3::moto().url())
    };
    let finished = fails(&with_sums(&sums(&package(MIB))), "airgap.sha256");
    finished.assert_code(1).assert_says(sums(&content).split(' ').next().unwrap());
    fails(&with_sums("not a sum\n"), "airgap.sha256_file");
    let front = with_sums(&sums(&content));
    boots_until_placed(&front).assert_says("ETag and SHA-256 verified");
    assert_eq!(fs::read(front.world.path(PLACE)).unwrap(), content);
}

/// A small file system at a directory.
struct Small(PathBuf);

impl Small {
    fn at(world: &CommandContext, directory: &str, size: &str) -> Self {
        let path = world.path(directory);
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        shell::must(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path));
        Small(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        shell::run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

#[test]
fn a_package_that_does_not_fit_says_what_it_needs() {
    let (front, faults) = front(&package(3 * MIB));
    let _small = Small::at(&front.world, "/var/lib/replicated", "2m");
    let finished = fails(&front, "airgap.no_space");
    finished.assert_code(1).assert_says("needs 3.00 MiB more").assert_says("2.00 MiB are free");
    assert_eq!(front.record()["cause"]["class"], "config");
    assert_eq!(ranges(&faults), [""; 0], "nothing is fetched that does not fit");
}

#[test]
fn memory_does_not_grow_with_the_package() {
    let front = Front::new();
    for (name, content) in super::front::bundle() {
        front.world.write(&format!("/srv/bundle/{name}"), content);
    }
    front.world.write("/srv/bundle/replicated.conf", with_path());
    let file = fs::File::create(front.world.path(&format!("/srv/bundle/{NAME}"))).unwrap();
    file.set_len(400 << 20).unwrap();
    let mut boot = front.boot_from("file:///srv/bundle").spawn();
    boot.wait_for_line("airgap     done", Duration::from_secs(120));
    let status = fs::read_to_string(format!("/proc/{}/status", boot.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    boot.kill().assert_says("has no checksum file");
    assert!(peak < 64 * 1024, "{peak} kB");
    assert_eq!(fs::metadata(front.world.path(PLACE)).unwrap().len(), 400 << 20);
}

/// A boot that is told to stop does so although gigabytes are under way.
#[test]
fn a_transfer_stops_when_the_boot_is_told_to() {
    let (front, faults) = front(&package(3 * MIB));
    faults.rule(Rule::key(NAME, Fault::Silent));
    let mut boot = front.boot().spawn();
    boot.wait_for_line("airgap     started", SOON);
    let asked = Instant::now();
    boot.signal(nix::sys::signal::Signal::SIGTERM);
    boot.finish(SOON).assert_says("stopped by a signal");
    assert!(asked.elapsed() < SOON);
}

#[test]
fn a_path_without_a_package_is_served_by_the_image_or_fails() {
    let without_package = || {
        let front = Front::new();
        put(&front, "replicated.conf", with_path());
        front
    };
    fails(&without_package(), "airgap.missing").assert_code(1);
    let front = without_package();
    front.world.write(PLACE, "baked into the image");
    let mut boot = front.boot().spawn();
    boot.wait_for_line("is in the image", SOON);
    boot.kill().assert_says("airgap.not_in_bundle");
    assert_eq!(front.world.read(PLACE), "baked into the image");
}

#[test]
fn what_contradicts_is_a_finding() {
    const PATH: &str = "\"LicenseBootstrapAirgapPackagePath\": \"/opt/app.airgap\"";
    let world = CommandContext::new();
    for (path, packages, arguments, expected) in [
        (Some(PATH), &["app.airgap"][..], "", &[][..]),
        (Some(PATH), &["other.airgap"], "", &[]),
        (Some(PATH), &["app.airgap", "other.airgap"], "", &[]),
        (Some(PATH), &["one.airgap", "two.airgap"], "", &["error airgap.several_packages replicated.conf:"]),
        (Some(PATH), &[], "", &["warning airgap.not_in_bundle replicated.conf:"]),
        (None, &["app.airgap"], "", &["warning airgap.unused replicated.conf"]),
        (None, &[], "airgap", &["error airgap.no_path replicated.conf"]),
        (Some(PATH), &["app.airgap"], "airgap", &[]),
        (
            Some("\"LicenseBootstrapAirgapPackagePath\": \"/etc/settings.conf\""),
            &["app.airgap"],
            "",
            &["error replicated_conf.path replicated.conf:"],
        ),
    ] {
        let mut draft = Draft::good();
        if let Some(path) = path {
            draft.apply(&super::check::Change::Add(REP, path));
        }
        let directory = draft.directory();
        for name in packages {
            fs::write(directory.path().join(name), "a package").unwrap();
        }
        let words = format!("no-docker {arguments}");
        let run = Agent::new(&world)
            .env("BOOT_AGENT_INSTALL_ARGUMENTS", words.trim())
            .args(["--output", "json", "check"])
            .arg(directory.path().display())
            .run(SOON);
        let found = findings(&run);
        let matches = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
        assert!(matches, "{path:?} {packages:?} {arguments}: expected {expected:?}, got {found:?}");
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let shown = json.get("airgap_package").map(|package| package["path"].as_str().unwrap().to_owned());
        assert_eq!(
            shown.is_some(),
            path.is_some() && !packages.is_empty() && !expected.iter().any(|it| it.contains("several"))
        );
    }
}

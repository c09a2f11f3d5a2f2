//! The image as Packer makes it: the packaged Packer 1.6.6, the template for AWS, and a real build of the local source.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::bake::{installer, push, wanted};
use super::harness::engine::{self, EngineLease};
use super::harness::registry::Registry;
use super::harness::vendor::Vendor;
use super::harness::{parts, s3, shell};

/// The image that the template's local source ends in.
const IMAGE: &str = "boot-agent/services-box:latest";

/// Packer in this project's directory, with nothing of a person's own: no plugins, no AWS account, no calls home.
fn packer(home: &Path) -> Command {
    let mut command = Command::new("/usr/bin/packer");
    command.env_clear().envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("CHECKPOINT_DISABLE", "1")]);
    command.env("HOME", home).env("PACKER_CACHE_DIR", home.join("cache")).env("TMPDIR", home);
    command.current_dir(parts::source(""));
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "slow: needs Packer"]
fn template_is_valid_for_aws_and_without() {
    let home = parts::directory("packer");
    let agent = format!("agent={}", env!("CARGO_BIN_EXE_agent"));
    let own = parts::source("packer");
    let validate = |from: &Path, template: &str, more: &[&str]| {
        let mut command = packer(home.path());
        command.current_dir(from).args(["validate", "-var", &agent]).args(more).arg(template);
        shell::run(&mut command)
    };
    // From the project's directory, and from its own.
    for (from, template) in [(parts::source(""), "packer"), (own.clone(), ".")] {
        for only in ["amazon-ebs.services-box", "docker.local"] {
            let output = validate(&from, template, &["-only", only]);
            assert!(output.status.success(), "{only} {template}: {}", said(&output));
        }
    }
    for more in [
        &["distribution=ubuntu-24.04"][..],
        &["distribution=debian-12", "docker_version=20.10.24+dfsg1-1"],
        &["distribution=amazon-linux-2023", "volume_type=gp2"],
        &["instance_profile=builder", "ssh_interface=session_manager", r#"security_group_ids=["sg-1"]"#],
        &[
            r#"copy_to_regions=["eu-west-1"]"#,
            "kms_key_id=alias/here",
            r#"kms_key_ids={"eu-west-1"="alias/there"}"#,
        ],
    ] {
        let mut words = vec!["-only", "amazon-ebs.services-box"];
        words.extend(more.iter().flat_map(|variable| ["-var", variable]));
        let output = validate(&own, ".", &words);
        assert!(output.status.success(), "{more:?}: {}", said(&output));
    }
    let unknown = validate(&own, ".", &["-var", "distribution=slackware"]);
    assert!(!unknown.status.success() && said(&unknown).contains("distribution"), "{}", said(&unknown));
    // It is this program that looks: a mistake is found.
    let copy = home.path().join("broken");
    fs::create_dir(&copy).unwrap();
    for file in ["services-box.pkr.hcl", "variables.pkr.hcl"] {
        let text = fs::read_to_string(parts::source("packer").join(file)).unwrap();
        fs::write(copy.join(file), text.replace("ami_regions", "ami_rejions")).unwrap();
    }
    let broken = shell::run(packer(home.path()).args(["validate", "-var", &agent]).arg(&copy));
    assert!(!broken.status.success() && said(&broken).contains("ami_rejions"), "{}", said(&broken));
}

/// `prepare.sh` on a machine without an engine, whose programs are only what `has` names; what it had them do.
fn prepared(has: &[&str], variables: &[(&str, &str)]) -> (bool, Vec<String>) {
    let home = parts::directory("prepare");
    let log = home.path().join("log");
    for name in has {
        let path = home.path().join(name);
        fs::write(&path, format!("#!/bin/bash\necho {name} \"$@\" >>{}\n", log.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = parts::source("packer/scripts/prepare.sh");
    // Where this machine has an engine of its own, its socket is not seen; nor is its systemd.
    let inside = format!(
        "mount -t tmpfs tmpfs /run && PATH={} exec /bin/bash {}",
        home.path().display(),
        script.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &inside]).envs(variables.iter().copied());
    let succeeded = shell::run(&mut command).status.success();
    (succeeded, fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect())
}

#[test]
fn prepare_installs_what_is_missing_by_the_distributions_own_means() {
    let apt = ["apt-get", "apt-mark", "cloud-init", "systemctl", "getent"];
    let (succeeded, did) = prepared(&apt, &[]);
    assert!(succeeded);
    assert_eq!(did[0], "cloud-init status --wait", "its own first update may hold the lock");
    assert!(did[2].ends_with("install --no-install-recommends procps docker.io"), "{did:?}");
    assert!(!did.iter().any(|line| line.starts_with("apt-mark")), "{did:?}");

    let version = [("DOCKER_VERSION", "20.10.24"), ("DOCKER_PACKAGE", "docker-ce")];
    let (succeeded, did) = prepared(&[&apt[..], &["ps"]].concat(), &version);
    assert!(succeeded);
    assert!(did[2].ends_with("install --no-install-recommends docker-ce=20.10.24"), "{did:?}");
    assert!(did.contains(&"apt-mark hold docker-ce".to_owned()), "{did:?}");

    let (succeeded, did) = prepared(&["dnf", "systemctl", "getent", "ps"], &[]);
    assert!(succeeded);
    assert_eq!(did[0], "dnf --quiet --assumeyes --setopt=install_weak_deps=False install docker");

    // All is there, or nothing to install it with.
    let (succeeded, did) = prepared(&["ps", "systemctl", "dockerd", "getent"], &[]);
    assert!(succeeded && did == ["getent group docker"], "{did:?}");
    assert!(!prepared(&["systemctl", "getent"], &[]).0);
}

/// A Debian with systemd and cloud-init, as an image to start from.
fn import_base(engine: &EngineLease) {
    let root = parts::part("machine-root");
    let import = "tar -C \"$0\" --exclude=./usr/lib/python3 --exclude=./usr/share -c . | /usr/bin/docker import - base:12";
    shell::must(Command::new("sh").args(["-c", import]).arg(root).env("DOCKER_HOST", engine.docker_host()));
}

/// What `script` says and comes to in a container of the image, with the engine at hand.
fn in_image(engine: &EngineLease, script: &str) -> Output {
    let socket = format!("{}:/var/run/docker.sock", engine.socket().display());
    engine.try_docker(&["run", "--rm", "--network=none", "--volume", &socket, IMAGE, "bash", "-c", script])
}

#[test]
#[ignore = "slow: 60 s"]
fn local_build_ends_in_an_image_that_is_fit_to_ship() {
    let (engine, registry, vendor) = (engine::lease(), Registry::start(), Vendor::start());
    vendor.serve(installer(&vendor));
    let reference = push(&engine, &registry, "circleci/frontend:2.19");
    import_base(&engine);
    let home = parts::directory("packer");
    fs::write(home.path().join("images.toml"), wanted(&vendor, std::slice::from_ref(&reference))).unwrap();
    let variables = [
        format!("agent={}", env!("CARGO_BIN_EXE_agent")),
        format!("images_toml={}", home.path().join("images.toml").display()),
        "local_image=base:12".to_owned(),
        format!("local_socket={}", engine.socket().display()),
    ];
    let mut build = packer(home.path());
    build.env("DOCKER_HOST", engine.docker_host()).args(["build", "-color=false", "-only=docker.local"]);
    for variable in &variables {
        build.args(["-var", variable]);
    }
    // In the template's own directory.
    let built = shell::must(build.current_dir(parts::source("packer")).arg("."));
    for words in ["4 images locked, the installer pinned, the unit enabled", "ready to ship"] {
        assert!(built.contains(words), "{built}");
    }

    let verified = in_image(&engine, "agent bake --verify --output json");
    assert!(verified.status.success(), "{}", said(&verified));
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let passed = |check: &Value| check["outcome"] == "passed";
    assert!(answer["checks"].as_array().unwrap().iter().all(passed), "{answer:#}");

    let lock = in_image(&engine, "cat /etc/boot-agent/images.lock");
    assert!(said(&lock).contains(&format!("reference = \"{reference}\"")), "{}", said(&lock));
    let spoilt = in_image(&engine, "touch /x; echo left >/etc/default/replicated; agent bake --verify");
    assert_eq!(spoilt.status.code(), Some(1), "{}", said(&spoilt));
    assert!(said(&spoilt).contains("/etc/default/replicated is in the image"), "{}", said(&spoilt));
}

/// Real awscli against moto, which has some images from its start.
#[test]
#[ignore = "slow: needs jq and awscli"]
fn finished_image_is_marked_for_imdsv2_in_every_region() {
    let home = parts::directory("packer");
    let log = home.path().join("asked");
    let wrapper = home.path().join("aws");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >>{}\nexec /usr/bin/aws --endpoint-url {} \"$@\"\n",
        log.display(),
        s3::moto().url()
    );
    fs::write(&wrapper, text).unwrap();
    shell::must(Command::new("chmod").args(["+x"]).arg(&wrapper));
    let run = |region_and_image: &str| {
        let manifest = format!(
            r#"{{"builds": [{{"packer_run_uuid": "old", "artifact_id": "eu-west-1:ami-0"}},
                {{"packer_run_uuid": "new", "artifact_id": "{region_and_image}"}}], "last_run_uuid": "new"}}"#
        );
        let file = home.path().join("manifest.json");
        fs::write(&file, manifest).unwrap();
        let mut command = Command::new(parts::source("packer/scripts/require-imdsv2.sh"));
        command.arg(file).env("PATH", format!("{}:/usr/bin:/bin", home.path().display()));
        command.envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")]);
        shell::run(&mut command)
    };
    let marked = run("us-east-1:ami-03cf127a,us-east-1:ami-760aaa0f");
    assert!(marked.status.success(), "{}", said(&marked));
    let asked = fs::read_to_string(&log).unwrap();
    assert_eq!(asked.lines().count(), 2, "{asked}");
    let last = "--region us-east-1 ec2 modify-image-attribute --image-id ami-760aaa0f --attribute imdsSupport --value v2.0";
    assert_eq!(asked.lines().last(), Some(last));
    assert!(!run("us-east-1:ami-00000000").status.success(), "an image that is not there is a failure");
}

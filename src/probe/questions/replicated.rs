//! Replicated's own parts: units, containers, version, status.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use crate::cause::Cause;
use crate::docker::engine::{Container, LocalImage};
use crate::docker::lock::{self, Lock};
use crate::kind::Kind;
use crate::replicated::daemon::DAEMON;
use crate::replicated::{installer, pins};

/// What systemd starts on such a box.
const UNITS: [&str; 5] = [
    "docker.service",
    "replicated.service",
    "replicated-ui.service",
    "replicated-operator.service",
    "boot-agent.service",
];

/// How long systemctl may take; it asks over a socket of this box.
const SYSTEMCTL: Duration = Duration::from_secs(5);

/// How many of the last lines of a container that does not run are shown.
const LOG_LINES: usize = 10;

pub(super) async fn containers(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let engine = inquiry.need(inquiry.facts.engine()).await?;
    let containers = inquiry.need(inquiry.facts.containers()).await?;
    let expected = pins::expected_containers(&inquiry.facts.ground.settings.install.arguments);
    let Err(mut cause) = installer::running(containers, &expected) else {
        return Ok(Outcome::good(format!("{} run", expected.join(", "))));
    };
    let is_down =
        |name: &&str| containers.iter().any(|container| container.name == **name && !container.is_running());
    if let Some(name) = expected.iter().find(|name| is_down(name))
        && let Ok(lines) = engine.logs(name, LOG_LINES).await
        && !lines.is_empty()
    {
        inquiry.need(inquiry.facts.secrets()).await?;
        cause = cause.with("its last lines", lines.join("\n"));
    }
    Ok(Outcome::Failed { cause })
}

/// Whether the running images are the baked ones, as a boot verifies before it reports success.
pub(super) async fn locked_images(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let containers = inquiry.need(inquiry.facts.containers()).await?;
    // A lock that cannot be read is the failure of images.lock.
    let lock = Lock::read(&inquiry.facts.ground.root.path(lock::FILE)).ok().flatten();
    let Some(lock) = lock else { return Ok(Outcome::not_asked("no image lock")) };
    let expected = pins::expected_containers(&inquiry.facts.ground.settings.install.arguments);
    let known: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    if !expected.iter().any(|name| known.contains(name)) {
        return Ok(Outcome::waits_for("replicated.containers"));
    }
    Ok(match pins::as_locked(containers, &lock, &expected) {
        Ok(()) => Outcome::good("each container runs the locked image"),
        Err(cause) => Outcome::Failed { cause },
    })
}

pub(super) async fn version(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let containers = inquiry.need(inquiry.facts.containers()).await?;
    let Some(daemon) = containers.iter().find(|container| container.name == DAEMON) else {
        return Ok(Outcome::waits_for("replicated.containers"));
    };
    let images = inquiry.need(inquiry.facts.images()).await?;
    let root = inquiry.facts.ground.root;
    // A lock that cannot be read is the failure of images.lock.
    let lock = Lock::read(&root.path(lock::FILE)).ok().flatten();
    let pinned_by_url = match &inquiry.facts.ground.settings.install.url {
        Some(url) => url.query_pairs().any(|(name, _)| name == "replicated_tag"),
        None => true,
    };
    Ok(judge_version(daemon, images, lock.as_ref(), pinned_by_url))
}

fn judge_version(
    daemon: &Container,
    images: &[LocalImage],
    lock: Option<&Lock>,
    pinned_by_url: bool,
) -> Outcome {
    let of_daemon = |image: &&LocalImage| image.id == daemon.image || image.tags.contains(&daemon.image);
    let image = images.iter().find(of_daemon);
    let tags = image.map(|image| image.tags.as_slice()).unwrap_or_default();
    let version = std::iter::once(&daemon.image)
        .chain(tags)
        .find_map(|tag| tag.rsplit_once(':')?.1.strip_prefix("stable-"))
        .unwrap_or("of a version that its image does not reveal");
    if lock.is_some() || pinned_by_url {
        // Whether it is the locked one is a question of its own.
        return Outcome::good(version);
    }
    let cause = Cause::config(
        Kind::ReplicatedUnpinned,
        format!(
            "The Replicated daemon ({version}) is not pinned: the next instance may get a different version."
        ),
        "Add ?replicated_tag=VERSION to install.url, or bake the installer and its images into the AMI.",
    );
    Outcome::Warning { cause: cause.with("image", &daemon.image) }
}

/// Its components can flap while everything works, so this is only a warning.
pub(super) async fn system(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    inquiry.need(inquiry.facts.engine()).await?;
    let parts = match inquiry.facts.parts().await {
        Err(Stopped::Missing { cause, .. })
            if matches!(cause.kind, Kind::ReplicatedContainerDown | Kind::ReplicatedContainerMissing) =>
        {
            return Ok(Outcome::waits_for("replicated.containers"));
        }
        parts => parts?,
    };
    if parts.is_empty() {
        return Ok(Outcome::not_asked("this release of Replicated does not report it"));
    }
    let said: Vec<String> = parts.iter().map(|part| format!("{} {}", part.name, part.status)).collect();
    let Some(first) = parts.iter().find(|part| part.status != "ready") else {
        return Ok(Outcome::good(said.join(", ")));
    };
    let cause = Cause::host(
        Kind::ReplicatedNotReady,
        format!("Replicated's component {} is {}.", first.name, first.status),
        "Check again in a minute, since it can flap; then: docker logs --tail 50 replicated.",
    );
    Ok(Outcome::Warning { cause: cause.with("status", said.join(", ")) })
}

pub(super) async fn units(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let root = inquiry.facts.ground.root;
    if !root.is_system() || !root.path("/run/systemd/system").exists() {
        return Ok(Outcome::not_asked("this box does not run systemd"));
    }
    let asked = Command::new("systemctl")
        .args(["show", "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts"])
        .args(UNITS)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = match tokio::time::timeout(SYSTEMCTL, asked).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(Err(error)) => return Ok(Outcome::not_asked(format!("systemctl cannot be run: {error}"))),
        Err(_) => return Ok(Outcome::not_asked("systemctl does not respond")),
    };
    Ok(judge_units(&parse_units(&said)))
}

/// One unit as `systemctl show` describes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    id: String,
    load: String,
    active: String,
    sub: String,
    result: String,
    restarts: String,
}

fn parse_units(said: &str) -> Vec<Unit> {
    said.split("\n\n")
        .map(|block| {
            let mut unit = Unit::default();
            for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
                let field = match name {
                    "Id" => &mut unit.id,
                    "LoadState" => &mut unit.load,
                    "ActiveState" => &mut unit.active,
                    "SubState" => &mut unit.sub,
                    "Result" => &mut unit.result,
                    "NRestarts" => &mut unit.restarts,
                    _ => continue,
                };
                value.clone_into(field);
            }
            unit
        })
        .filter(|unit| !unit.id.is_empty())
        .collect()
}

/// A missing unit is not a failure: user-data may start the agent, and Docker's unit may have another name.
fn judge_units(units: &[Unit]) -> Outcome {
    let known: Vec<&Unit> = units.iter().filter(|unit| unit.load != "not-found").collect();
    let is_bad = |unit: &&&Unit| unit.active == "failed" || unit.sub == "auto-restart";
    let bad: Vec<&&Unit> = known.iter().filter(is_bad).collect();
    let Some(first) = bad.first() else {
        let said: Vec<String> = known.iter().map(|unit| format!("{} {}", unit.id, unit.active)).collect();
        return match said.as_slice() {
            [] => Outcome::not_asked("none of the units is installed"),
            said => Outcome::good(said.join(", ")),
        };
    };
    let name = &first.id;
    let cause = Cause::host(
        Kind::ReplicatedUnitFailed,
        format!("systemd could not keep {name} running."),
        format!("See why: systemctl status {name}; journalctl -u {name} -n 50."),
    );
    let cause = bad.iter().fold(cause, |cause, unit| {
        let Unit { id, active, sub, result, restarts, .. } = unit;
        cause.with("unit", format!("{id}: {active} ({sub}), {result}, restarted {restarts} times"))
    });
    Outcome::Failed { cause }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(outcome: &Outcome) -> &str {
        outcome.cause().map_or("good", |cause| cause.kind.as_str())
    }

    #[test]
    fn units_are_read_as_systemctl_shows_them() {
        let said = "Id=docker.service\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n\n\
                    Id=replicated.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n\
                    Result=exit-code\nNRestarts=7\n\n\
                    Id=boot-agent.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n";
        let mut units = parse_units(said);
        let outcome = judge_units(&units);
        assert_eq!(kind(&outcome), "replicated.unit_failed");
        let cause = outcome.cause().unwrap();
        assert!(cause.sentence.contains("replicated.service"), "{cause}");
        assert!(cause.evidence[0].value.contains("exit-code, restarted 7 times"), "{cause:?}");
        units.remove(1);
        assert_eq!(judge_units(&units), Outcome::good("docker.service active"));
    }

    fn locked(id: char) -> Lock {
        let id = id.to_string().repeat(64);
        let text = format!(
            "version = 1\n[[image]]\nreference = \"quay.io/replicated/replicated:stable-2.38.6\"\nid = \"sha256:{id}\"\n"
        );
        Lock::parse(&text).unwrap()
    }

    #[test]
    fn a_daemon_is_pinned_by_the_lock_or_by_the_installers_url() {
        let daemon = Container {
            id: "c".to_owned(),
            name: DAEMON.to_owned(),
            image: "quay.io/replicated/replicated:current".to_owned(),
            image_id: String::new(),
            state: "running".to_owned(),
            status: "Up".to_owned(),
            labels: Default::default(),
            health: None,
            exit_code: None,
        };
        let image = LocalImage {
            id: format!("sha256:{}", "a".repeat(64)),
            tags: vec![daemon.image.clone(), "quay.io/replicated/replicated:stable-2.38.6".to_owned()],
            repo_digests: Vec::new(),
            size: 1,
        };
        let images = [image];
        let judged =
            |lock: Option<Lock>, pinned: bool| judge_version(&daemon, &images, lock.as_ref(), pinned);
        assert_eq!(judged(Some(locked('a')), false), Outcome::good("2.38.6"));
        assert_eq!(judged(None, true), Outcome::good("2.38.6"));
        assert_eq!(kind(&judged(None, false)), "replicated.unpinned");
    }
}

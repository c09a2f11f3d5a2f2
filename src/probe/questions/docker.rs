//! The Docker engine, where it stores, and the images that were baked.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use super::space::Space;
use crate::cause::Cause;
use crate::docker::engine::Info;
use crate::docker::images::Plan;
use crate::docker::lock::{self, Lock};
use crate::kind::Kind;

/// The oldest supported engine: the one that Replicated's installer would install.
const OLDEST: (u64, u64) = (17, 12);

/// Storage drivers that copy whole files or whole images, were removed from newer engines, or are known to lose data.
const POOR_DRIVERS: [(&str, &str); 4] = [
    ("aufs", "newer kernels and engines do not support it"),
    ("devicemapper", "newer engines do not support it"),
    ("overlay", "it runs out of inodes, and newer engines do not support it"),
    ("vfs", "it copies the whole image for every container"),
];

pub(super) async fn engine(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let engine = inquiry.facts.engine().await?;
    let info = inquiry.facts.info().await?;
    Ok(judge_engine(info, &engine.address()))
}

fn judge_engine(info: &Info, address: &str) -> Outcome {
    if is_too_old(&info.version) {
        let cause = Cause::config(
            Kind::DockerTooOld,
            format!("The Docker engine is version {}, which is too old.", info.version),
            format!("Bake an AMI with Docker {}.{} or later.", OLDEST.0, OLDEST.1),
        );
        return Outcome::Warning { cause };
    }
    // Its other warnings, such as missing swap limits, apply to most boxes and are harmless.
    let is_open = |warning: &&String| warning.contains("without encryption") || warning.contains("insecure");
    if let Some(warning) = info.warnings.iter().find(is_open) {
        let cause = Cause::config(
            Kind::DockerOpenApi,
            "The Docker engine accepts unauthenticated commands from the network.",
            "Remove the tcp:// address from the engine's hosts (/etc/docker/daemon.json, its unit).",
        );
        return Outcome::Warning { cause: cause.with("warning", warning) };
    }
    Outcome::good(format!("{} responds at {address}", info.version))
}

/// Whether it is older than [`OLDEST`]; a version of another form is not judged.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+', '~']).map(|part| part.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

pub(super) async fn storage(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    Ok(judge_storage(inquiry.need(inquiry.facts.info()).await?))
}

fn judge_storage(info: &Info) -> Outcome {
    let driver = info.storage_driver.as_str();
    let next_step = "Bake an AMI whose engine uses overlay2: \"storage-driver\" in /etc/docker/daemon.json.";
    let in_a_loop = info.storage_status.iter().find(|(name, _)| name.contains("loop file"));
    let sentence = if let Some((name, file)) = in_a_loop {
        let sentence =
            "The Docker engine stores its data in a loopback file, which is slow and can lose data.";
        let cause = Cause::config(Kind::DockerStorageLoopback, sentence, next_step).with("driver", driver);
        return Outcome::Warning { cause: cause.with("file", format!("{name}: {file}")) };
    } else if let Some((_, why)) = POOR_DRIVERS.iter().find(|(name, _)| *name == driver) {
        format!("The Docker engine uses the storage driver {driver}: {why}.")
    } else {
        return Outcome::good(driver);
    };
    Outcome::Warning { cause: Cause::config(Kind::DockerStorageDriver, sentence, next_step) }
}

pub(super) async fn disk(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let (place, space) = space(inquiry).await?;
    Ok(space.judge_bytes(&place))
}

pub(super) async fn inodes(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let (place, space) = space(inquiry).await?;
    Ok(space.judge_inodes(&place))
}

/// The engine's directory, and the room there.
async fn space(inquiry: &Inquiry<'_>) -> Result<(PathBuf, Space), Stopped> {
    let engine = inquiry.need(inquiry.facts.engine()).await?;
    let info = inquiry.need(inquiry.facts.info()).await?;
    if !engine.is_local() {
        return Err(Stopped::NotAsked("the Docker engine runs on another machine".to_owned()));
    }
    let place = info.root_directory.clone();
    // A hung file system must not block the other checks.
    let looked = tokio::task::spawn_blocking({
        let place = place.clone();
        move || Space::at(&place)
    });
    match looked.await {
        Ok(space) => Ok((place, space?)),
        Err(_) => Err(Stopped::NotAsked("the check was cancelled".to_owned())),
    }
}

pub(super) async fn images(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let Some(lock) = Lock::read(&inquiry.facts.ground.root.path(lock::FILE))? else {
        return Ok(Outcome::not_asked("this box has no image lock"));
    };
    let images = inquiry.need(inquiry.facts.images()).await?;
    let address = match lock.images.iter().any(|image| image.alias.is_some()) {
        true => inquiry.need(inquiry.facts.address()).await?,
        false => Ipv4Addr::UNSPECIFIED,
    };
    Plan::make(&lock, images, address).judge()?;
    Ok(Outcome::good(format!("{} locked images are present with their IDs and tags", lock.images.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, driver: &str) -> Info {
        Info {
            version: version.to_owned(),
            storage_driver: driver.to_owned(),
            storage_status: Vec::new(),
            root_directory: "/var/lib/docker".into(),
            warnings: Vec::new(),
        }
    }

    fn kind(outcome: &Outcome) -> &str {
        outcome.cause().map_or("good", |cause| cause.kind.as_str())
    }

    #[test]
    fn an_engine_is_judged_by_its_age_and_its_open_doors() {
        for (version, expected) in [
            ("1.13.1", "docker.too_old"),
            ("17.06.2-ce", "docker.too_old"),
            ("17.12.1-ce", "good"),
            ("20.10.24+dfsg1", "good"),
            ("dev", "good"),
        ] {
            assert_eq!(kind(&judge_engine(&info(version, "overlay2"), "unix://x")), expected, "{version}");
        }
        let mut open = info("20.10.24", "overlay2");
        open.warnings = vec!["WARNING: No swap limit support".to_owned()];
        assert_eq!(kind(&judge_engine(&open, "unix://x")), "good");
        open.warnings
            .push("WARNING: API is accessible on http://0.0.0.0:2375 without encryption.".to_owned());
        assert_eq!(kind(&judge_engine(&open, "unix://x")), "docker.open_api");
    }

    #[test]
    fn poor_storage_is_named() {
        for (driver, expected) in [
            ("overlay2", "good"),
            ("btrfs", "good"),
            ("overlay", "docker.storage_driver"),
            ("vfs", "docker.storage_driver"),
            ("aufs", "docker.storage_driver"),
            ("devicemapper", "docker.storage_driver"),
        ] {
            assert_eq!(kind(&judge_storage(&info("20.10.24", driver))), expected, "{driver}");
        }
        let mut looped = info("1.13.1", "devicemapper");
        let file = "/var/lib/docker/devicemapper/devicemapper/data";
        looped.storage_status = vec![("Data loop file".to_owned(), file.to_owned())];
        assert_eq!(kind(&judge_storage(&looped)), "docker.storage_loopback");
    }
}

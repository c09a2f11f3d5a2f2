//! The airgap package, of a bundle that has one: streamed from the source to where Replicated looks for it.

use std::path::Path;
use std::time::Instant;

use indicatif::BinaryBytes;

use crate::airgap::{self, Described, Origin, Part, PartFile, Place};
use crate::aws::Aws;
use crate::aws::s3::S3;
use crate::bundle::{Bundle, Package};
use crate::cause::{Cause, Class};
use crate::command::Achieved;
use crate::files::Access;
use crate::kind::Kind;
use crate::placement;
use crate::settings::Source;
use crate::wait;

use super::run::Stage;

/// How many bytes an attempt must bring so that the next one is given the whole limit again.
const HEADWAY: u64 = 1 << 20;

/// How often the progress is told.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// Brings the package to its place, unless it is there. An interrupted transfer is gone on with, by this boot or by the
/// next one.
pub(super) async fn place(
    stage: &Stage<'_>,
    source: &Source,
    bundle: &Bundle,
    path: &Path,
    aws: &Aws,
) -> Result<Achieved<()>, Cause> {
    let run = stage.run;
    let target = run.root.path(path);
    let is_installed = run.record().instance.is_some_and(|instance| instance.installed_at.is_some());
    if is_installed && !run.force {
        return Ok(Achieved::skipped((), "Replicated is installed and has read the package"));
    }
    let Some(package) = bundle.package()? else {
        return match airgap::look(&target)? {
            Place::File(size) if size > 0 => Ok(Achieved::skipped(
                (),
                format!("{} is in the image, {}", path.display(), BinaryBytes(size)),
            )),
            _ => Err(airgap::missing(path)),
        };
    };
    let s3 = S3::new(aws);
    let origin = Origin { root: &run.root, source, s3: &s3, package };
    let limit = run.settings.fetch_wait;
    let described = stage.until(limit, wait::is_external, async || origin.describe().await).await?;
    if described.size == 0 {
        return Err(empty(package));
    }
    if airgap::is_in_place(&target, &described).await? {
        return Ok(Achieved::skipped((), format!("{} is in place, {}", path.display(), described.digests())));
    }
    let part = PartFile::new(&target, &described);
    let arrived = part.arrived(&described);
    if stage.is_dry_run() {
        airgap::require_space(&target, described.size - arrived)?;
        let left =
            if arrived > 0 { format!(", of which {} are here", BinaryBytes(arrived)) } else { String::new() };
        let what = format!("{} ({}{left})", package.name, BinaryBytes(described.size));
        return Ok(Achieved::done((), format!("would stream {what} to {}", path.display())));
    }
    part.remove_others();
    airgap::require_space(&target, described.size - arrived)?;
    if described.expected.is_empty() {
        stage.warn(unverified(package));
    }
    let transfer =
        Transfer { stage, origin: &origin, target: &target, access: placement::access(&run.root, None)? };
    let started = Instant::now();
    transfer.run().await.map(|described| {
        let took = crate::console::human(started.elapsed());
        let what = format!("{} ({})", package.name, BinaryBytes(described.size));
        Achieved::done(
            (),
            format!("streamed {what} to {} in {took}, {}", path.display(), described.digests()),
        )
    })
}

fn empty(package: &Package) -> Cause {
    Cause::config(
        Kind::AirgapEmpty,
        format!("The airgap package {} is empty.", package.name),
        "Upload the package again.",
    )
}

fn unverified(package: &Package) -> Cause {
    Cause::config(
        Kind::AirgapUnverified,
        format!("The airgap package {} has no checksum file, so only its size is verified.", package.name),
        format!("Upload one next to it: sha256sum {0} > {0}{1}", package.name, Package::SUMS),
    )
}

/// How far an attempt came.
enum Came {
    Whole(Described),
    /// It was interrupted after some headway.
    Further,
}

struct Transfer<'t> {
    stage: &'t Stage<'t>,
    origin: &'t Origin<'t>,
    target: &'t Path,
    access: Access,
}

impl Transfer<'_> {
    /// Attempts go on where the one before ended. The time for waiting begins again with each that brought something.
    async fn run(&self) -> Result<Described, Cause> {
        let limit = self.stage.run.settings.fetch_wait;
        let worth_waiting = |cause: &Cause| cause.class == Class::External;
        loop {
            let attempt = async || self.attempt().await;
            if let Came::Whole(described) = self.stage.until(limit, worth_waiting, attempt).await? {
                return Ok(described);
            }
        }
    }

    async fn attempt(&self) -> Result<Came, Cause> {
        let package = self.origin.package;
        // What is there now need not be what was there before.
        let described = self.origin.describe().await?;
        let described = &described;
        let file = PartFile::new(self.target, described);
        file.remove_others();
        let arrived = file.arrived(described);
        let (mut reader, from) = match arrived < described.size {
            true => {
                let (reader, from) = self.origin.read(described, arrived).await?;
                (Some(reader), from)
            }
            false => (None, arrived),
        };
        if from > 0 {
            self.tell(described, from, None);
        }
        let mut part = Part::open(&file, described, from).await?;
        let (started, mut told) = (Instant::now(), Instant::now());
        let interrupted = loop {
            let Some(reader) = &mut reader else { break None };
            match reader.next().await {
                Ok(None) if part.length == described.size => break None,
                Ok(None) => break Some(cut(package, described, part.length)),
                Ok(Some(chunk)) => part.push(chunk).await?,
                Err(cause) => break Some(cause),
            }
            if part.length > described.size {
                break None;
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let seconds = started.elapsed().as_secs_f64();
                self.tell(described, part.length, Some((part.length - from) as f64 / seconds));
            }
        };
        if let Some(cause) = interrupted {
            let headway = part.length - from;
            part.close().await?;
            if headway < HEADWAY {
                return Err(cause);
            }
            self.stage.waiting(&cause);
            return Ok(Came::Further);
        }
        if part.length != described.size {
            drop(part);
            file.remove();
            return Err(changed(package));
        }
        match part.finish(self.access).await? {
            Ok(()) => Ok(Came::Whole(described.clone())),
            // What a power cut has left need not be what had arrived.
            Err(mismatch) if from > 0 => {
                self.stage.waiting(&airgap::differs(package, &mismatch));
                Ok(Came::Further)
            }
            Err(mismatch) => Err(airgap::differs(package, &mismatch)),
        }
    }

    fn tell(&self, described: &Described, done: u64, rate: Option<f64>) {
        let rate = match rate {
            Some(rate) => format!(", {}/s", BinaryBytes(rate as u64)),
            None => " are here already".to_owned(),
        };
        let (name, all) = (&described.name, BinaryBytes(described.size));
        let text = format!("{name}: {} of {all}{rate}", BinaryBytes(done));
        self.stage.progress(text, Some((done, described.size)));
    }
}

fn cut(package: &Package, described: &Described, length: u64) -> Cause {
    Cause::external(
        Kind::AirgapCut,
        format!("The download of the airgap package {} was cut short.", package.name),
        "Wait; if it persists, check the proxy or VPC endpoint in between.",
    )
    .with("arrived", format!("{length} of {} bytes", described.size))
}

fn changed(package: &Package) -> Cause {
    Cause::external(
        Kind::AirgapChanged,
        format!("The airgap package {} changed during the download.", package.name),
        "Wait: the download restarts from the beginning.",
    )
}

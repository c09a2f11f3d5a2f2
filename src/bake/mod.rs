//! `agent bake`: run by Packer to build an image whose instances all boot the same way.
//!
//! [`bake`] is the whole procedure, top to bottom. The lock is written only when everything that it describes exists,
//! files are replaced atomically, and pulled images are kept: an interrupted bake resumes when re-run.

mod hygiene;
mod install;
mod plan;
mod pull;
mod release;
mod step;
mod verify;

use std::fs::{File, TryLockError};

use crate::cause::Cause;
use crate::cli;
use crate::command::Achieved;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::{Event, Level, Verbosity, text};
use crate::docker::engine::Engine;
use crate::docker::lock::Lock;
use crate::files::{self, Root};
use crate::kind::Kind;

use hygiene::Hygiene;
use plan::BakePlan;
use step::Step;

/// `images.toml` as [`crate::fuzz`] tries it.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = BakePlan::parse(&crate::fuzz::text(bytes));
}

pub(crate) async fn run(world: CommandContext, flags: &cli::Bake) -> Result<CommandOutput, Cause> {
    let engine = Engine::connect(&world.root, std::env::var("DOCKER_HOST").ok().as_deref())?;
    let printed = if flags.verify {
        Ok(verify::verify(&world, &engine).await)
    } else {
        bake(&world, &engine, flags.clean).await
    };
    world.console.emit(Event::Over);
    printed.map(|mut printed| {
        if world.console.verbosity() == Verbosity::Quiet && printed.exit == Exit::Good {
            printed.text.clear();
        }
        printed
    })
}

async fn bake(world: &CommandContext, engine: &Engine, clean: bool) -> Result<CommandOutput, Cause> {
    let CommandContext { root, settings, console, .. } = world;
    let mut wanted = BakePlan::read(&root.path(plan::FILE))?;
    let _alone = alone(root)?;

    // The installer first: it takes a second, and a wrong version should not cost an hour of pulls.
    let installer =
        Step::run(console, "installer", async |step| install::fetch(step, world, &wanted).await).await?;
    let needed = installer.as_ref().map(|installer| installer.release.images()).unwrap_or_default();
    let images = Step::run(console, "images", async |step| {
        for image in wanted.add(needed) {
            step.note(Level::Info, format!("{image}: added, because the installer starts it"), None);
        }
        pull::pull(step, engine, &wanted.images, settings.images_wait).await
    })
    .await?;
    let lock = Lock::new(installer.as_ref().map(|installer| installer.locked.clone()), images);
    Step::run(console, "lock", async |step| install::write(step, root, &lock, installer.as_ref())).await?;
    Step::run(console, "settings", async |_| install::settings(root)).await?;
    Step::run(console, "unit", async |_| install::enable_unit(root).await).await?;
    let mut hygiene = Step::run(console, "hygiene", async |_| {
        let containers = engine.containers().await?;
        let mut found = hygiene::scan(root, settings, Some(&containers))?;
        if clean {
            hygiene::refuse_box_in_use(&containers)?;
            found.clean(engine).await?;
        }
        let detail = found.summary();
        Ok(Achieved::done(found, detail))
    })
    .await?;
    hygiene.scrub(&world.secrets);
    Ok(printed(&lock, &hygiene))
}

/// One bake at a time. `images.toml` itself is locked, so that no lock file remains in the image.
fn alone(root: &Root) -> Result<File, Cause> {
    let path = root.path(plan::FILE);
    let file = File::open(&path).map_err(|error| files::failed("read", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Cause::host(
            Kind::BakeOtherRuns,
            "Another agent bake is running on this machine.",
            "Wait for it to finish; pgrep -a agent shows it.",
        )),
        Err(TryLockError::Error(error)) => Err(files::failed("lock", &path, &error)),
    }
}

fn printed(lock: &Lock, hygiene: &Hygiene) -> CommandOutput {
    let is_clean = !hygiene.has_errors();
    let mut said = hygiene.text();
    let installer = if lock.installer.is_some() { "the installer pinned" } else { "no installer pinned" };
    let baked = format!("baked: {} images locked, {installer}, the unit enabled", lock.images.len());
    said.push_str(&if is_clean {
        format!("{} {baked}\n", text::green("✓"))
    } else {
        format!(
            "{} {baked}; not ready to ship: remove the leftovers from another instance (agent bake --clean)\n",
            text::red("✗")
        )
    });
    let json = serde_json::json!({
        "version": 1,
        "lock": lock,
        "hygiene": hygiene.json(),
        "clean": is_clean,
    });
    CommandOutput { text: said, json, exit: if is_clean { Exit::Good } else { Exit::Failed } }
}

//! Registers all secrets of this box before anything is written.

use std::fs;
use std::io;
use std::path::Path;

use futures_util::future::join_all;
use tokio::time::{Duration, timeout};

use super::super::facts::{Facts, ProbeContext, Stopped};
use super::section::on_a_thread;
use crate::bundle::{self, BundleFile, Fetched};
use crate::docker;
use crate::files::Root;
use crate::replicated::answers;
use crate::secret::Secrets;
use crate::settings::Extra;
use crate::source::{self, InPlace};

/// How long the source may take; the probe has just waited for it as well.
const SOURCE: Duration = Duration::from_secs(10);

/// How long reading the box's own files may take.
const ON_BOX: Duration = Duration::from_secs(10);

/// What may not be known.
#[derive(Debug, Default)]
pub(super) struct UnknownSecrets {
    /// Files in place whose secrets are not known, since they cannot be read: what other programs say on this box may
    /// carry them.
    pub(super) unread: Vec<String>,
    /// The files of the bundle that are not in place although others are: Replicated removes its settings once it has
    /// imported them, if it is told to.
    gone: Vec<&'static str>,
    /// Further places that could not be looked at, each in one sentence.
    pub(super) elsewhere: Vec<String>,
}

/// Learns all that can be learnt.
pub(super) async fn learn(ground: &ProbeContext<'_>) -> UnknownSecrets {
    let (root, extra) = (ground.root.clone(), ground.settings.extra.clone());
    let secrets = ground.secrets.clone();
    let (on_box, at_source) =
        tokio::join!(on_a_thread(ON_BOX, move || Ok(of_box(&root, &extra, &secrets))), of_source(ground));
    let mut doubts = on_box.unwrap_or_else(|why| UnknownSecrets {
        unread: vec![format!("the bundle in place ({why})")],
        ..UnknownSecrets::default()
    });
    if at_source.is_some() {
        let gone =
            doubts.gone.iter().map(|path| format!("{path} (no longer on this box, and not at the source)"));
        doubts.unread.extend(gone);
    }
    doubts.elsewhere.extend(at_source);
    doubts
}

/// The bundle in place, Replicated's token, the logins of registries.
fn of_box(root: &Root, extra: &[Extra], secrets: &Secrets) -> UnknownSecrets {
    let mut doubts = UnknownSecrets::default();
    bundle::register_secrets(&installed(root, extra, &mut doubts), secrets);
    answers::register_daemon_token(root, secrets);
    for path in answers::FILES {
        if let Err(error) = fs::File::open(root.path(path)) {
            doubts.unread_unless_absent(Path::new(path), &error);
        }
    }
    if let Err(cause) = docker::register_logins(root, secrets) {
        doubts
            .elsewhere
            .push(format!("The registry logins of this box could not be read: {}", cause.sentence));
    }
    doubts
}

/// The bundle at the source, which may not be the one in place: every object of it that can be had.
async fn of_source(ground: &ProbeContext<'_>) -> Option<String> {
    let facts = Facts::new(ground);
    let fetching = async {
        let objects = join_all(BundleFile::ALL.map(async |file| (file, facts.object(file).await)));
        tokio::join!(objects, facts.beside())
    };
    let Ok((objects, beside)) = timeout(SOURCE, fetching).await else {
        return Some(format!("The source did not respond within {} s.", SOURCE.as_secs()));
    };
    let mut fetched = Fetched::default();
    let mut doubt = None;
    for (file, object) in objects {
        match object {
            Ok(content) => drop(fetched.files.insert(file, content.to_vec())),
            Err(stopped) => doubt = doubt.or(not_fetched(stopped)),
        }
    }
    match beside {
        Ok(beside) => fetched.extra = beside.extra.clone(),
        Err(stopped) => doubt = doubt.or(not_fetched(stopped)),
    }
    bundle::register_secrets(&fetched, ground.secrets);
    doubt
}

/// What to say of it, unless there is no source at all.
fn not_fetched(stopped: Stopped) -> Option<String> {
    match stopped {
        Stopped::Failed(cause) | Stopped::Missing { cause, .. } => {
            Some(format!("The source could not be fetched completely: {}", cause.sentence))
        }
        Stopped::NotAsked(_) => None,
    }
}

impl UnknownSecrets {
    fn unread_unless_absent(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unread.push(format!("{} ({error})", path.display()));
        }
    }
}

/// The bundle in place, as far as it can be read.
fn installed(root: &Root, extra: &[Extra], doubts: &mut UnknownSecrets) -> Fetched {
    let InPlace { fetched, absent, unread } = source::in_place(root, extra);
    if !fetched.files.is_empty() {
        // Otherwise nothing was ever placed.
        doubts.gone.extend(absent.into_iter().map(BundleFile::installed_path));
    }
    doubts.unread.extend(unread.into_iter().map(|(path, cause)| {
        let why = cause.evidence.iter().find(|item| item.name == "error");
        format!("{} ({})", path.display(), why.map_or(&cause.sentence, |item| &item.value))
    }));
    fetched
}

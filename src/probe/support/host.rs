//! What files and the kernel say of this box.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::facts::ProbeContext;
use super::section::{Found, Section, on_a_thread};
use crate::bundle::BundleFile;
use crate::digest::hex;
use crate::files::Root;
use crate::record;
use crate::source;

/// How long reading one file may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How many bytes of the beginning of a file are collected.
const LARGEST: u64 = 1 << 20;

/// A file below this size, in bytes, is sent without its SHA-256: whoever has the sum of a few words can guess the words.
const SHORTEST_HASHED: u64 = 512;

/// Files that are taken whole: name in the bundle, path on the box.
const FILES: &[(&str, &str)] = &[
    ("boot.json", record::RECORD_FILE),
    ("settings/images.toml", "/etc/boot-agent/images.toml"),
    ("settings/images.lock", "/etc/boot-agent/images.lock"),
    ("host/resolv.conf", "/etc/resolv.conf"),
    ("host/hosts", "/etc/hosts"),
    ("host/os-release", "/etc/os-release"),
    ("host/meminfo", "/proc/meminfo"),
    ("host/uptime", "/proc/uptime"),
    ("host/loadavg", "/proc/loadavg"),
    ("host/kernel", "/proc/version"),
];

/// The paths whose file systems are of interest; the same one under several paths is told once.
const PATHS: &[&str] =
    &["/", "/boot", "/tmp", "/run", "/var", "/var/lib/docker", "/var/lib/replicated", "/data"];

/// Each file of [`FILES`], and the settings.
pub(super) async fn files(root: &Root, settings_file: &Path) -> Vec<Section> {
    let listed = FILES.iter().map(|(name, path)| (*name, root.path(path), (*path).to_owned()));
    let settings = ("settings/agent.toml", settings_file.to_path_buf(), settings_file.display().to_string());
    let taken = listed.chain([settings]).map(async |(name, path, source)| {
        Section::new(name, source, on_a_thread(LIMIT, move || whole(&path)).await)
    });
    futures_util::future::join_all(taken).await
}

fn whole(path: &Path) -> Result<Found, String> {
    let read = || -> io::Result<(Vec<u8>, bool)> {
        let mut content = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
        let is_cut = content.len() as u64 > LARGEST;
        if is_cut {
            // Half a line could be half a secret.
            let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            content.truncate(end);
        }
        Ok((content, is_cut))
    };
    let (content, is_cut) = read().map_err(|error| because(&error))?;
    let why = is_cut.then(|| format!("the first {LARGEST} bytes"));
    Ok(Found::text(String::from_utf8_lossy(&content)).cut(why))
}

fn because(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "not readable by this user; run the agent as root".to_owned(),
        _ => error.to_string(),
    }
}

/// Space and inodes of the file systems, as `df` has them.
pub(super) async fn disk(root: &Root, engine_root: Option<PathBuf>) -> Section {
    let mut paths: Vec<(String, PathBuf)> =
        PATHS.iter().map(|path| ((*path).to_owned(), root.path(path))).collect();
    // The engine's own word is about this machine, wherever the box's root lies.
    paths.extend(engine_root.map(|path| (path.display().to_string(), path)));
    let found = on_a_thread(LIMIT, move || Ok(Found::text(table_of_file_systems(&paths)))).await;
    Section::new("host/disk.txt", "statvfs", found)
}

fn table_of_file_systems(paths: &[(String, PathBuf)]) -> String {
    const MIB: u64 = 1 << 20;
    let mut seen = Vec::new();
    let mut table = format!(
        "{:<24} {:>12} {:>12} {:>5} {:>12} {:>12}\n",
        "path", "MiB", "MiB free", "used", "inodes", "inodes free"
    );
    for (name, path) in paths {
        let Ok(metadata) = fs::metadata(path) else { continue };
        if seen.contains(&metadata.dev()) {
            continue;
        }
        seen.push(metadata.dev());
        let Ok(found) = statvfs(path) else { continue };
        let (all, free) = (found.blocks(), found.blocks_available());
        let used = 100 - (free * 100).checked_div(all).unwrap_or(100);
        let in_mib = |blocks: u64| blocks.saturating_mul(found.fragment_size()) / MIB;
        let _ = writeln!(
            table,
            "{name:<24} {:>12} {:>12} {used:>4}% {:>12} {:>12}",
            in_mib(all),
            in_mib(free),
            found.files(),
            found.files_available()
        );
    }
    table
}

/// Names, sizes, modes and checksums of the installed bundle, never its content.
pub(super) async fn bundle_in_place(ground: &ProbeContext<'_>) -> Section {
    let (root, extra) = (ground.root.clone(), ground.settings.extra.clone());
    let found = on_a_thread(LIMIT, move || {
        let four = BundleFile::ALL.iter().map(|file| PathBuf::from(file.installed_path()));
        let paths = four.chain(source::placed(&root, &extra).0.into_iter().map(|(path, _)| path));
        let files: Vec<Value> = paths.map(|path| described(&root, &path)).collect();
        Ok(Found::json(json!({ "version": 1, "files": files })))
    });
    Section::new("bundle-in-place.json", "the bundle's files, without their contents", found.await)
}

fn described(root: &Root, path: &Path) -> Value {
    let real = root.path(path);
    let mut value = json!({ "path": path.display().to_string() });
    let metadata = match fs::symlink_metadata(&real) {
        Ok(metadata) => metadata,
        Err(error) => {
            value["error"] = because(&error).into();
            return value;
        }
    };
    value["bytes"] = metadata.len().into();
    value["mode"] = format!("{:04o}", metadata.permissions().mode() & 0o7777).into();
    value["owner"] = format!("{}:{}", metadata.uid(), metadata.gid()).into();
    value["changed_at"] =
        Timestamp::from_second(metadata.mtime()).map(|time| time.to_string()).unwrap_or_default().into();
    if !metadata.is_file() {
        value["kind"] = "not a file".into();
    } else if metadata.len() < SHORTEST_HASHED {
        value["sha256"] = Value::Null;
        value["why_no_sha256"] = "a file this short could be guessed from its checksum".into();
    } else {
        match sha256(&real) {
            Ok(sum) => value["sha256"] = sum.into(),
            Err(error) => value["error"] = because(&error).into(),
        }
    }
    value
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

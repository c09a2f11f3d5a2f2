//! Where the set-up put things, where a test may put its own, and which ports are free.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// A path below the directory that `tests/setup/parts.sh` fills.
pub(crate) fn part(path: &str) -> PathBuf {
    // Cargo's directory for tests lies in the target directory, one level deeper where a target is named.
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
    let mut found = above.map(|directory| directory.join("test-parts").join(path));
    found
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{path} is missing: run tests/setup/parts.sh"))
}

/// A path in this project's sources.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The stand-ins' program, for what runs outside this process: a container, a shell script.
pub(crate) fn stand_ins() -> PathBuf {
    // Cargo tells a test the programs of its own package alone; those of the workspace lie in one directory.
    let program = Path::new(env!("CARGO_BIN_EXE_agent")).with_file_name("stand-ins");
    assert!(program.exists(), "{} is missing: run cargo build --workspace --bins", program.display());
    program
}

/// A directory that goes when the value does. Its name begins as `tests/setup/sweep.sh` expects; it can be
/// entered by every user, since some servers run as one of their own.
pub(crate) fn directory(what: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix(&format!("boot-agent-{what}-"))
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// A port of the loopback on which nothing listens. It lies below the kernel's range for outgoing connections, and no
/// other test of this process is given it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    // Two test programs at once begin at different places.
    let offset = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free on the loopback");
}

//! What stands between the installer and the network on a box with an image lock.
//!
//! The installer fetches the operator's script with curl or wget and runs it as root. On a locked box both programs are
//! shadowed for the length of a run: the operator's URL is answered with the pinned file, the metadata service is passed
//! through, and everything else is refused and written down. So the boot needs no internet, and no script runs that the
//! lock does not name.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::cause::Cause;
use crate::files::{self, Root};

/// Where the guard lies, as long as the installer runs. Not below /run, which some distributions mount noexec.
const DIRECTORY: &str = "/var/lib/boot-agent/installer";

/// The name under which the installer looks for the operator's script in its working directory when it is told `airgap`.
const OPERATOR: &str = "operator_install.sh";

/// Each program that is shadowed, with the options that name a proxy, a referer or a header and not what is fetched, and
/// those that name the file to write.
const PROGRAMS: [(&str, &str, &str); 2] = [
    ("curl", "-x|--proxy|-e|--referer|-H|--header|-A|--user-agent", "-o|--output"),
    ("wget", "-e|--execute|--header|--referer|-U|--user-agent", "-O|--output-document"),
];

/// The metadata service by its usual address, for editions that ask it for the public address.
const METADATA: &str = "http://169.254.169.254/";

/// How many refused URLs are told.
const TOLD: usize = 5;

/// The most of the list of refused URLs that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// The operator's script, verified against the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The URL from which the installer fetches it.
    pub url: String,
    /// The script.
    pub content: Vec<u8>,
}

/// The guard's files. They go when the value does.
#[derive(Debug)]
pub struct FetchGuard {
    directory: PathBuf,
}

impl FetchGuard {
    /// Writes the guard. `metadata` is the endpoint of the metadata service, which is passed through.
    ///
    /// # Errors
    /// `host.file`.
    pub fn write(root: &Root, operator: Option<&Operator>, metadata: &str) -> Result<Self, Cause> {
        let guard = FetchGuard { directory: root.path(DIRECTORY) };
        guard.fill(operator, metadata).map_err(|error| files::failed("write", &guard.directory, &error))?;
        Ok(guard)
    }

    fn fill(&self, operator: Option<&Operator>, metadata: &str) -> io::Result<()> {
        // What a killed boot has left behind.
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.programs())?;
        if let Some(operator) = operator {
            fs::write(self.directory.join(OPERATOR), &operator.content)?;
        }
        for (program, not_fetched, output) in PROGRAMS {
            let shadow = self.programs().join(program);
            let url = operator.map_or("", |operator| operator.url.as_str());
            fs::write(&shadow, self.script(program, url, metadata, not_fetched, output))?;
            fs::set_permissions(&shadow, Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn script(&self, program: &str, url: &str, metadata: &str, not_fetched: &str, output: &str) -> String {
        let real = found_in_path(program).unwrap_or_else(|| PathBuf::from("false"));
        let metadata = format!("{}/", metadata.trim_end_matches('/'));
        include_str!("fetch_guard.sh")
            .replace("@PROGRAM@", program)
            .replace("@NOT_FETCHED@", not_fetched)
            .replace("@OUTPUT@", output)
            .replace("@METADATA@", &format!("{}*|{}*", quoted(METADATA), quoted(&metadata)))
            .replace("@REAL@", &quoted(&real.display().to_string()))
            .replace("@SCRIPT@", &quoted(&self.directory.join(OPERATOR).display().to_string()))
            .replace("@REFUSED@", &quoted(&self.refusals().display().to_string()))
            // Last: it may look like one of the others.
            .replace("@URL@", &quoted(url))
    }

    /// The directory of the shadowed programs, to be first in the installer's PATH.
    pub fn programs(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The installer's working directory, where it finds the operator's script if it is told `airgap`.
    pub fn working_directory(&self) -> &Path {
        &self.directory
    }

    /// The first URLs that were refused, each once.
    pub fn refused(&self) -> Vec<String> {
        let listed = files::read_bounded(&self.refusals(), LARGEST).unwrap_or_default();
        let mut urls: Vec<String> = Vec::new();
        for url in String::from_utf8_lossy(&listed).lines() {
            if urls.len() < TOLD && !urls.iter().any(|known| known == url) {
                urls.push(url.to_owned());
            }
        }
        urls
    }

    fn refusals(&self) -> PathBuf {
        self.directory.join("refused")
    }
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        // Best effort: the next guard takes its place.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn found_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    const URL: &str = "https://get.example/operator?replicated_operator_tag=2.38.6";

    fn guard() -> (tempfile::TempDir, FetchGuard) {
        let directory = tempfile::tempdir().unwrap();
        let operator = Operator { url: URL.to_owned(), content: b"echo it's the operator\n".to_vec() };
        let guard =
            FetchGuard::write(&Root::new(directory.path()), Some(&operator), "http://127.0.0.1:9/").unwrap();
        (directory, guard)
    }

    fn run(guard: &FetchGuard, command: &str) -> Output {
        let path = format!("{}:{}", guard.programs().display(), std::env::var("PATH").unwrap());
        let shell = Command::new("sh").args(["-c", command]).env("PATH", path).output();
        shell.unwrap()
    }

    #[test]
    fn the_operators_url_is_answered_with_the_pinned_script() {
        let (directory, guard) = guard();
        for command in [
            format!("curl -sSL '{URL}'"),
            format!("curl -sSL -x http://10.0.0.9:3128 '{URL}'"),
            format!("wget -qO- '{URL}'"),
        ] {
            let output = run(&guard, &command);
            assert!(output.status.success(), "{command}");
            assert_eq!(output.stdout, b"echo it's the operator\n", "{command}");
        }
        let file = directory.path().join("fetched");
        for program in ["curl -o", "wget -q -O"] {
            assert!(run(&guard, &format!("{program} {} '{URL}'", file.display())).status.success());
            assert_eq!(fs::read(&file).unwrap(), b"echo it's the operator\n");
            fs::remove_file(&file).unwrap();
        }
        assert_eq!(guard.refused(), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_refused_and_told() {
        let (directory, guard) = guard();
        for url in [
            "https://get.example/operator?replicated_operator_tag=2.38.7",
            "http://127.0.0.1:8/x",
            "get.example/x",
        ] {
            let output = run(&guard, &format!("curl -sSL '{url}'"));
            assert!(!output.status.success() && output.stdout.is_empty(), "{url}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("refused to fetch") && said.contains(url), "{said}");
            assert!(guard.refused().iter().any(|refused| refused.contains(url)), "{:?}", guard.refused());
        }
        let kept = guard.directory.clone();
        drop(guard);
        assert!(!kept.exists() && directory.path().exists());
    }

    #[test]
    fn the_metadata_service_is_passed_through() {
        let (_directory, guard) = guard();
        let output = run(&guard, "curl -sS --max-time 5 http://127.0.0.1:9/latest/meta-data/public-ipv4");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("curl: (7)"),
            "curl itself has been run: {output:?}"
        );
        assert_eq!(guard.refused(), Vec::<String>::new());
    }

    #[test]
    fn any_text_is_one_word() {
        let word = "a'b \"$(c)\" `d` \\ *";
        let output =
            Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output().unwrap();
        assert_eq!(output.stdout, word.as_bytes());
    }
}

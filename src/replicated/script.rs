//! The installer as a file that was checked before a byte of it is run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256 as Hasher};

use super::edition::Edition;
use crate::cause::{Cause, chain};
use crate::digest::hex;
use crate::docker::lock::Sha256;
use crate::files::{self, Access, ReadError, Root};
use crate::kind::Kind;

/// Where the installer lies that was pinned when the box was baked.
pub const PINNED: &str = "/usr/local/lib/boot-agent/replicated-install.sh";

/// Where the operator's script lies that was pinned with it.
pub const PINNED_OPERATOR: &str = "/usr/local/lib/boot-agent/replicated-operator.sh";

/// Where an installer is put that was fetched during a boot.
pub const FETCHED: &str = "/var/lib/boot-agent/replicated-install.sh";

/// The largest installer that is taken, in bytes; the real one has about 150 thousand.
const LARGEST: usize = 4 * 1024 * 1024;

/// How long fetching it may take as a whole.
const FETCH: Duration = Duration::from_secs(60);

/// How much of a server's refusal is quoted, in characters.
const QUOTED: usize = 200;

/// An installer that may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 of what was checked, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Takes the installer from a file.
///
/// # Errors
/// Those of [`read`].
pub fn from_file(path: &Path, expected: Option<&Sha256>) -> Result<Script, Cause> {
    let (_, sha256) = read(path, expected)?;
    Ok(Script { path: path.to_owned(), sha256 })
}

/// Reads a script of Replicated's from a file; returns it with its SHA-256.
///
/// # Errors
/// `installer.missing`, `installer.not_a_script`, `installer.checksum` (config); `host.file`.
pub fn read(path: &Path, expected: Option<&Sha256>) -> Result<(Vec<u8>, String), Cause> {
    let place = path.display().to_string();
    let content = match files::read_trusted(path, LARGEST) {
        Ok(content) => content,
        Err(ReadError::TooLarge { .. }) => return Err(not_a_script(&place, "it is larger than 4 MiB")),
        Err(ReadError::NotFound) => {
            return Err(Cause::config(
                Kind::InstallerMissing,
                "The Replicated installer is not on this box.",
                "Bake the AMI again with agent bake, or set install.url.",
            )
            .with("file", place));
        }
        Err(error) => return Err(error.cause(path)),
    };
    let sha256 = check(&content, expected, &place)?;
    Ok((content, sha256))
}

/// Fetches the installer from an URL into a file that only root can read, never into a shell.
///
/// Plain HTTP is refused, unless the checksum is given or the server is this machine: what comes is run as root.
///
/// # Errors
/// `installer.download` (external; config if the server refuses the request itself), `installer.not_a_script`,
/// `installer.not_the_installer`, `installer.checksum` (config), `host.file`.
pub async fn from_url(
    root: &Root,
    url: &str,
    expected: Option<&Sha256>,
    client: &reqwest::Client,
) -> Result<Script, Cause> {
    let (content, sha256) = download(url, expected, client).await?;
    if expected.is_none() {
        // A checksum says more than the look of it.
        Edition::read(&content, url)?;
    }
    let path = root.path(FETCHED);
    files::replace(path.clone(), &content, Access { mode: 0o700, owner: None })
        .map_err(|error| files::failed("write", &path, &error))?;
    Ok(Script { path, sha256 })
}

/// Fetches the installer from an URL into memory, with the checks of [`from_url`]; returns it with its SHA-256.
///
/// # Errors
/// As for [`from_url`], but for `host.file`.
pub async fn download(
    url: &str,
    expected: Option<&Sha256>,
    client: &reqwest::Client,
) -> Result<(Vec<u8>, String), Cause> {
    let fetching = tokio::time::timeout(FETCH, fetch(url, expected.is_some(), client));
    let content = fetching.await.unwrap_or_else(|_| {
        Err(Cause::external(
            Kind::InstallerDownload,
            format!("The Replicated installer could not be downloaded within {} s.", FETCH.as_secs()),
            "Make the URL reachable (route, NAT, proxy), or bake the installer into the AMI.",
        )
        .with_url("url", url))
    })?;
    let sha256 = check(&content, expected, url)?;
    Ok((content, sha256))
}

async fn fetch(url: &str, has_checksum: bool, client: &reqwest::Client) -> Result<Vec<u8>, Cause> {
    let refused = |sentence: String| {
        Cause::config(
            Kind::InstallerDownload,
            sentence,
            "Correct install.url; the server's response is in the evidence.",
        )
        .with_url("url", url)
    };
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| refused(format!("The installer's URL is malformed: {error}.")))?;
    require_safe(&parsed, has_checksum).map_err(&refused)?;
    let unreachable = |error: &reqwest::Error| {
        Cause::external(
            Kind::InstallerDownload,
            "The Replicated installer cannot be downloaded.",
            "Make the URL reachable (route, NAT, proxy), or bake the installer into the AMI.",
        )
        .with_url("url", url)
        .with("error", chain(error))
    };
    let mut response = client.get(parsed).send().await.map_err(|error| unreachable(&error))?;
    require_safe(response.url(), has_checksum).map_err(&refused)?;
    let status = response.status();
    let mut content = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        content.extend_from_slice(&piece);
        if content.len() > LARGEST {
            return Err(not_a_script(url, "it is larger than 4 MiB"));
        }
    }
    if status.is_success() {
        return Ok(content);
    }
    let said = String::from_utf8_lossy(&content);
    let cause = if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        Cause::external(
            Kind::InstallerDownload,
            format!("The server of the Replicated installer returned {status}."),
            "Wait, or bake the installer into the AMI.",
        )
        .with_url("url", url)
    } else {
        refused(format!("The server of the Replicated installer rejected the request: {status}."))
    };
    Err(cause.with("status", status).with_quote("answer", &said, QUOTED))
}

fn require_safe(url: &reqwest::Url, has_checksum: bool) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    let this_machine = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if has_checksum || this_machine => Ok(()),
        "http" => {
            Err("The installer's URL is plain HTTP and no checksum is set: anyone on the network path could change what runs as root."
                .to_owned())
        }
        other => Err(format!("The installer's URL has the scheme {other}; expected https.")),
    }
}

/// The SHA-256 of the content, if it is a script, and the expected one.
fn check(content: &[u8], expected: Option<&Sha256>, place: &str) -> Result<String, Cause> {
    let sha256 = hex(&Hasher::digest(content));
    if content.len() > LARGEST {
        return Err(not_a_script(place, "it is larger than 4 MiB"));
    }
    if !content.starts_with(b"#!") {
        let start = content.trim_ascii_start();
        let why = if content.is_empty() {
            "it is empty"
        } else if start.starts_with(b"<") {
            "it is an HTML or XML page"
        } else {
            "it does not start with #!"
        };
        let start = String::from_utf8_lossy(start);
        return Err(not_a_script(place, why).with_quote("it begins", &start, QUOTED));
    }
    if let Some(expected) = expected
        && expected.as_str() != sha256
    {
        return Err(Cause::config(
            Kind::InstallerChecksum,
            "The Replicated installer is not the pinned one: its SHA-256 differs.",
            "Find out what changed it, then rebake the AMI or correct the checksum.",
        )
        .with("script", place)
        .with("expected SHA-256", expected.as_str())
        .with("found SHA-256", sha256));
    }
    Ok(sha256)
}

fn not_a_script(place: &str, why: &str) -> Cause {
    Cause::config(
        Kind::InstallerNotAScript,
        format!("The Replicated installer is not a shell script: {why}. It was not run."),
        "Correct install.url (for an unknown version in its query, the server returns plain text), or bake again.",
    )
    .with("script", place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SCRIPT: &str = "#!/bin/bash\necho installed\n";

    fn sum(text: &str) -> Sha256 {
        hex(&Hasher::digest(text)).try_into().unwrap()
    }

    /// A server on the loopback that gives one answer, whatever it is asked.
    async fn serve(answer: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/docker", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        url
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    async fn fetched(status: &str, body: &str, expected: Option<&Sha256>) -> (Result<Script, Cause>, bool) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let outcome = from_url(&root, &serve(answer).await, expected, &client()).await;
        let written = root.path(FETCHED);
        if let Ok(script) = &outcome {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::read_to_string(&script.path).unwrap(), body);
            assert_eq!(std::fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o700);
        }
        (outcome, written.exists())
    }

    #[tokio::test]
    async fn a_script_is_fetched_into_a_file_of_its_own() {
        let (script, _) = fetched("200 OK", SCRIPT, Some(&sum(SCRIPT))).await;
        assert_eq!(script.unwrap().sha256, sum(SCRIPT).as_str());
    }

    #[tokio::test]
    async fn nothing_that_is_not_the_script_reaches_the_disk() {
        for (status, body, kind) in [
            ("400 Bad Request", "Replicated version 9.9.9 not found", Kind::InstallerDownload),
            ("503 Service Unavailable", "busy", Kind::InstallerDownload),
            ("200 OK", "<!DOCTYPE html><html>", Kind::InstallerNotAScript),
            ("200 OK", "<?xml version=\"1.0\"?><Error/>", Kind::InstallerNotAScript),
            ("200 OK", "", Kind::InstallerNotAScript),
            ("200 OK", "#!/bin/sh\nrm -rf /tmp/x\n", Kind::InstallerChecksum),
        ] {
            let (outcome, written) = fetched(status, body, Some(&sum(SCRIPT))).await;
            assert_eq!(outcome.unwrap_err().kind, kind, "{status} {body}");
            assert!(!written);
        }
        let (outcome, _) = fetched("400 Bad Request", "Replicated version 9.9.9 not found", None).await;
        let cause = outcome.unwrap_err();
        assert_eq!(cause.class, crate::cause::Class::Config);
        assert!(format!("{cause:?}").contains("version 9.9.9 not found"), "{cause:?}");
    }

    #[tokio::test]
    async fn a_body_cut_short_or_too_large_is_not_taken() {
        let root = Root::new("/nonexistent");
        let short = serve(format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{SCRIPT}")).await;
        assert_eq!(from_url(&root, &short, None, &client()).await.unwrap_err().kind, Kind::InstallerDownload);
        let large = format!("#!{}", " ".repeat(LARGEST + 1));
        let large = serve(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}")).await;
        assert_eq!(
            from_url(&root, &large, None, &client()).await.unwrap_err().kind,
            Kind::InstallerNotAScript
        );
    }

    #[tokio::test]
    async fn plain_http_needs_a_checksum_and_nothing_is_asked_without() {
        let root = Root::new("/nonexistent");
        for url in ["http://get.replicated.com/docker", "ftp://127.0.0.1/docker", "get.replicated.com"] {
            let cause = from_url(&root, url, None, &client()).await.unwrap_err();
            assert_eq!(
                (cause.kind, cause.class),
                (Kind::InstallerDownload, crate::cause::Class::Config),
                "{url}"
            );
        }
    }

    #[test]
    fn a_file_is_checked_like_a_download() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("install.sh");
        assert_eq!(from_file(&file, None).unwrap_err().kind, Kind::InstallerMissing);
        std::fs::write(&file, SCRIPT).unwrap();
        assert_eq!(from_file(&file, Some(&sum(SCRIPT))).unwrap().path, file);
        assert_eq!(from_file(&file, Some(&sum("other"))).unwrap_err().kind, Kind::InstallerChecksum);
        std::fs::write(&file, "Bad request").unwrap();
        assert_eq!(from_file(&file, None).unwrap_err().kind, Kind::InstallerNotAScript);
    }
}

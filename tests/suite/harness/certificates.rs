//! Certificates for servers under test, made by `openssl` and forgotten with the directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{parts, shell};

/// A certificate authority of one's own.
pub(crate) struct Authority {
    directory: TempDir,
}

/// One certificate and its key, both PEM.
pub(crate) struct Certificate {
    /// The certificate alone.
    pub(crate) certificate: PathBuf,
    /// The key alone.
    pub(crate) key: PathBuf,
    /// Key and certificate in one file, as MongoDB wants them.
    pub(crate) both: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = parts::directory("authority");
        let (key, certificate) = (directory.path().join("ca.key"), directory.path().join("ca.pem"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
        command.args(["-subj", "/CN=test authority", "-keyout"]).arg(key);
        shell::must(command.arg("-out").arg(certificate));
        Self { directory }
    }

    /// The authority's own certificate, which a client trusts.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate `name` for `subjects` as OpenSSL writes them (`DNS:localhost`, `IP:127.0.0.1`), good for `days`;
    /// with 0 it is expired at once, to the second.
    pub(crate) fn issue(&self, name: &str, subjects: &[&str], days: u32) -> Certificate {
        let [key, request, extensions, certificate, both] =
            ["key", "csr", "ext", "pem", "both.pem"].map(|ending| self.path(&format!("{name}.{ending}")));
        fs::write(&extensions, format!("subjectAltName={}\n", subjects.join(","))).unwrap();
        let mut command = Command::new("openssl");
        // RSA, since the oldest ciphers in question know nothing else.
        command.args(["req", "-newkey", "rsa:2048", "-nodes", "-subj"]);
        command.arg(format!("/O=boot-agent/CN={name}"));
        shell::must(command.arg("-keyout").arg(&key).arg("-out").arg(&request));
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-CAcreateserial", "-days", &days.to_string()]);
        command.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.path("ca.key"));
        command.arg("-in").arg(&request).arg("-extfile").arg(&extensions);
        shell::must(command.arg("-out").arg(&certificate));
        let text = [&key, &certificate].map(|file: &PathBuf| fs::read_to_string(file).unwrap());
        fs::write(&both, text.concat()).unwrap();
        Certificate { certificate, key, both }
    }
}

/// Gives `path` to `user`, readable by nobody else, as servers demand of a key.
pub(crate) fn give(path: &Path, user: &str) {
    shell::must(Command::new("chown").arg(format!("{user}:")).arg(path));
    shell::must(Command::new("chmod").arg("0600").arg(path));
}

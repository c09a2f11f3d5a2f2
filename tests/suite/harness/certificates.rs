//! Certificates for servers under test, made by `openssl` and forgotten with the directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

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
        Self::named("test authority")
    }

    /// A root of this common name.
    pub(crate) fn named(name: &str) -> Self {
        let directory = parts::directory("authority");
        let (key, certificate) = (directory.path().join("ca.key"), directory.path().join("ca.pem"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
        command.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(key);
        shell::must(command.arg("-out").arg(certificate));
        Self { directory }
    }

    /// An authority whose certificate this one has signed.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let directory = parts::directory("authority");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("ca.ext"), "basicConstraints=critical,CA:TRUE\n").unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={name}"), "-keyout"]);
        shell::must(command.arg(at("ca.key")).arg("-out").arg(at("ca.csr")));
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-days", "30", "-CAcreateserial", "-in"]).arg(at("ca.csr"));
        command.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.path("ca.key"));
        shell::must(command.arg("-extfile").arg(at("ca.ext")).arg("-out").arg(at("ca.pem")));
        Self { directory }
    }

    /// Its own certificate as that of a server.
    pub(crate) fn as_server(&self) -> Certificate {
        let both = self.path("ca.both.pem");
        let text = [self.path("ca.key"), self.certificate()].map(|file| fs::read_to_string(file).unwrap());
        fs::write(&both, text.concat()).unwrap();
        Certificate { certificate: self.certificate(), key: self.path("ca.key"), both }
    }

    /// The authority's own certificate, which a client trusts.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate `name` for `subjects` as OpenSSL writes them (`DNS:localhost`, `IP:127.0.0.1`), good for `days`.
    pub(crate) fn issue(&self, name: &str, subjects: &[&str], days: u64) -> Certificate {
        self.issue_until(name, subjects, days * 86_400)
    }

    /// The same, good for `seconds`.
    pub(crate) fn issue_until(&self, name: &str, subjects: &[&str], seconds: u64) -> Certificate {
        let now = SystemTime::now();
        self.issue_between(name, subjects, now - Duration::from_secs(60), now + Duration::from_secs(seconds))
    }

    /// The same, that was good until yesterday.
    pub(crate) fn issue_expired(&self, name: &str, subjects: &[&str]) -> Certificate {
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        self.issue_between(name, subjects, yesterday - Duration::from_secs(86_400), yesterday)
    }

    fn issue_between(&self, name: &str, subjects: &[&str], from: SystemTime, to: SystemTime) -> Certificate {
        let request = self.request(name, subjects);
        let [from, to] = [from, to].map(|time| {
            let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let mut command = Command::new("date");
            shell::must(command.args(["--utc", "--date", &format!("@{seconds}"), "+%Y%m%d%H%M%SZ"]))
        });
        fs::write(self.path("index.txt"), "").unwrap();
        let configuration = self.path("ca.cnf");
        let directory = self.directory.path().display();
        fs::write(
            &configuration,
            format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\ndefault_md=sha256\n\
                 rand_serial=yes\npolicy=p\n[p]\norganizationName=optional\ncommonName=supplied\n"
            ),
        )
        .unwrap();
        let mut command = Command::new("openssl");
        command.args(["ca", "-batch", "-notext", "-startdate", &from, "-enddate", &to]);
        command.arg("-config").arg(configuration);
        command.arg("-cert").arg(self.certificate()).arg("-keyfile").arg(self.path("ca.key"));
        command.arg("-in").arg(&request.request).arg("-extfile").arg(&request.extensions);
        shell::must(command.arg("-out").arg(self.path(&format!("{name}.pem"))));
        self.issued(name)
    }

    /// The list of its revoked certificates, with one of that name on it.
    pub(crate) fn revoke(&self, name: Option<&str>) -> PathBuf {
        let configuration = self.path("crl.cnf");
        let database = self.path("crl.txt");
        fs::write(&database, "").unwrap();
        let text = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\ndefault_md=sha256\ndefault_crl_days=30\n",
            database.display()
        );
        fs::write(&configuration, text).unwrap();
        let run = |arguments: &[&str], file: &Path| {
            let mut command = Command::new("openssl");
            command.arg("ca").arg("-config").arg(&configuration);
            command.arg("-cert").arg(self.certificate()).arg("-keyfile").arg(self.path("ca.key"));
            shell::must(command.args(arguments).arg(file));
        };
        if let Some(name) = name {
            run(&["-revoke"], &self.path(&format!("{name}.pem")));
        }
        let list = self.path(&format!("{}.crl", name.unwrap_or("empty")));
        run(&["-gencrl", "-out"], &list);
        list
    }

    /// A key and the request for its certificate.
    fn request(&self, name: &str, subjects: &[&str]) -> Request {
        let [key, request, extensions] =
            ["key", "csr", "ext"].map(|ending| self.path(&format!("{name}.{ending}")));
        fs::write(&extensions, format!("subjectAltName={}\n", subjects.join(","))).unwrap();
        let mut command = Command::new("openssl");
        // RSA, since the oldest ciphers in question know nothing else.
        command.args(["req", "-newkey", "rsa:2048", "-nodes", "-subj"]);
        // An organization of its own: MongoDB takes a client of the server's for a member of its cluster.
        command.arg(format!("/O=boot-agent {name}/CN={name}"));
        shell::must(command.arg("-keyout").arg(key).arg("-out").arg(&request));
        Request { request, extensions }
    }

    fn issued(&self, name: &str) -> Certificate {
        let [key, certificate, both] =
            ["key", "pem", "both.pem"].map(|ending| self.path(&format!("{name}.{ending}")));
        let text = [&key, &certificate].map(|file: &PathBuf| fs::read_to_string(file).unwrap());
        fs::write(&both, text.concat()).unwrap();
        Certificate { certificate, key, both }
    }
}

impl Certificate {
    /// The same with the certificate of `authority` after its own, as a server should send it.
    pub(crate) fn chained(&self, authority: &Authority) -> Certificate {
        let certificate = self.certificate.with_extension("chain.pem");
        let both = self.key.with_extension("chain.both.pem");
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let chain = read(&self.certificate) + &read(&authority.certificate());
        fs::write(&both, read(&self.key) + &chain).unwrap();
        fs::write(&certificate, chain).unwrap();
        Certificate { certificate, key: self.key.clone(), both }
    }

    /// The key, encrypted with `password`, in a file of its own beside it; readable by its owner alone.
    pub(crate) fn encrypted_key(&self, password: &str) -> PathBuf {
        let encrypted = self.key.with_extension("encrypted.key");
        let mut command = Command::new("openssl");
        command.args(["rsa", "-aes256", "-passout", &format!("pass:{password}"), "-in"]).arg(&self.key);
        shell::must(command.arg("-out").arg(&encrypted));
        shell::must(Command::new("chmod").arg("0600").arg(&encrypted));
        encrypted
    }
}

/// What a certificate is asked for with.
struct Request {
    request: PathBuf,
    extensions: PathBuf,
}

/// Gives `path` to `user`, readable by nobody else, as servers demand of a key.
pub(crate) fn give(path: &Path, user: &str) {
    shell::must(Command::new("chown").arg(format!("{user}:")).arg(path));
    shell::must(Command::new("chmod").arg("0600").arg(path));
}

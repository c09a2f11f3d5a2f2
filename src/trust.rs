//! The box's store of trusted certificate authorities: where it lies, and what rebuilds it after an authority was added.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openssl::x509::X509;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cause::Cause;
use crate::files::{self, Root};
use crate::kind::Kind;

/// Where distributions keep all trusted roots in one file: Debian and Ubuntu, Amazon Linux and its family, SUSE,
/// Alpine. The directories of individual certificates next to them have the same content but take ten times as long to
/// read.
pub(crate) const STORES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The largest store that is read, in bytes; a distribution's has some 200 kB.
const LARGEST: usize = 4 << 20;

/// How long rebuilding may take; it takes a second or two.
const LIMIT: Duration = Duration::from_secs(120);

/// How much of what the program said is shown, in characters.
const SHOWN: usize = 1000;

/// How a family of distributions adds authorities.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    /// Where their certificates are put.
    anchors: &'static str,
    /// How the names of these files must end.
    ending: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    package: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        anchors: "/usr/local/share/ca-certificates",
        ending: ".crt",
        program: "/usr/sbin/update-ca-certificates",
        arguments: &[],
        package: "ca-certificates",
    },
    Family {
        anchors: "/etc/pki/ca-trust/source/anchors",
        ending: "",
        program: "/usr/bin/update-ca-trust",
        arguments: &["extract"],
        package: "ca-certificates",
    },
];

/// Under another root, the program of Debian's family is told where everything lies. That of the other one knows no such
/// options.
const DEBIAN_PLACES: [(&str, &str); 5] = [
    ("--certsconf", "/etc/ca-certificates.conf"),
    ("--certsdir", "/usr/share/ca-certificates"),
    ("--localcertsdir", "/usr/local/share/ca-certificates"),
    ("--etccertsdir", "/etc/ssl/certs"),
    ("--hooksdir", "/etc/ca-certificates/update.d"),
];

/// The family of this box; Debian's, where the box has neither program.
fn of_box(root: &Root) -> &'static Family {
    let [debian, redhat] = &FAMILIES;
    if root.path(redhat.program).exists() && !root.path(debian.program).exists() { redhat } else { debian }
}

fn of_path(path: &Path) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| path.starts_with(family.anchors))
}

/// Whether a file at this path is a certificate authority to be trusted by the box.
pub(crate) fn is_anchor(path: &Path) -> bool {
    of_path(path).is_some()
}

/// What to do so that this box trusts an authority; `name` is what its certificate's file may be called.
pub(crate) fn next_step(root: &Root, name: &str) -> String {
    let anchors = of_box(root).anchors;
    format!(
        "Add the CA's certificate to the bundle: [[extra]] with object = \"ca/{name}.crt\", path = \"{anchors}/{name}.crt\" in agent.toml. A boot then rebuilds the trust store."
    )
}

/// What is wrong with a file that is to be a trusted authority: nothing reads it there, or it is no certificate.
pub(crate) fn flaw(path: &Path, content: &[u8]) -> Option<Cause> {
    let family = of_path(path)?;
    let shown = path.display();
    if !path.to_string_lossy().ends_with(family.ending) {
        return Some(Cause::config(
            Kind::TrustFileName,
            format!(
                "{shown} has no effect: {} reads only files whose names end in {}.",
                family.program, family.ending
            ),
            format!("Write path = \"{}{}\" in agent.toml.", path.with_extension("").display(), family.ending),
        ));
    }
    if !certificates(content).is_empty() {
        return None;
    }
    let next_step = match X509::from_der(content) {
        Ok(_) => "Convert it: openssl x509 -inform der -in FILE -out FILE.crt",
        Err(_) => "Put the CA's certificate there: a block that begins with -----BEGIN CERTIFICATE-----",
    };
    let sentence = format!("{shown} is no certificate in PEM form, so it adds no certificate authority.");
    Some(Cause::config(Kind::TrustNotACertificate, sentence, next_step))
}

/// The certificates in a text, in DER form; what cannot be read is left out.
fn certificates(content: &[u8]) -> HashSet<Vec<u8>> {
    let read = X509::stack_from_pem(content).unwrap_or_default();
    read.iter().filter_map(|certificate| certificate.to_der().ok()).collect()
}

/// Those of `anchors`, files with their content, that the box does not trust yet. The files need not be in place.
///
/// # Errors
/// `trust.other_distribution` (config); `host.file` where the store cannot be read.
pub(crate) fn untrusted(root: &Root, anchors: &[(PathBuf, Vec<u8>)]) -> Result<Vec<PathBuf>, Cause> {
    let family = of_box(root);
    if let Some((path, _)) = anchors.iter().find(|(path, _)| of_path(path).is_some_and(|it| it != family)) {
        return Err(Cause::config(
            Kind::TrustOtherDistribution,
            format!("{} has no effect on this distribution, which reads {}.", path.display(), family.anchors),
            format!(
                "Write path = \"{}/{}\" in agent.toml.",
                family.anchors,
                path.file_name().unwrap_or_default().to_string_lossy()
            ),
        ));
    }
    let trusted = match STORES.iter().map(|store| root.path(store)).find(|store| store.exists()) {
        Some(store) => {
            certificates(&files::read_bounded(&store, LARGEST).map_err(|error| error.cause(&store))?)
        }
        None => HashSet::new(),
    };
    let untrusted = anchors.iter().filter(|(_, content)| !certificates(content).is_subset(&trusted));
    Ok(untrusted.map(|(path, _)| path.clone()).collect())
}

/// The command that rebuilds the store of this box, for people.
pub(crate) fn command(root: &Root) -> String {
    let Family { program, arguments, .. } = of_box(root);
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    [&[&*name], *arguments].concat().join(" ")
}

/// Rebuilds the store from what lies in the directory for it.
///
/// # Errors
/// `trust.no_program` (config), `trust.rebuild_failed` (host).
pub(crate) async fn rebuild(root: &Root) -> Result<(), Cause> {
    let family = of_box(root);
    let program = root.path(family.program);
    if !program.exists() {
        return Err(Cause::config(
            Kind::TrustNoProgram,
            format!(
                "{} is not installed, so the CA of the bundle cannot be added to the trust store.",
                family.program
            ),
            format!("Install the package {} in the AMI.", family.package),
        ));
    }
    let mut command = Command::new(&program);
    command.args(family.arguments);
    if !root.is_system() && of_box(root).anchors == FAMILIES[0].anchors {
        for (option, path) in DEBIAN_PLACES {
            command.arg(option).arg(root.path(path));
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let failed = |how: String| {
        Cause::host(
            Kind::TrustRebuildFailed,
            format!("The trust store was not rebuilt: {} {how}.", family.program),
            format!("Run it by hand and read what it says: {}", self::command(root)),
        )
    };
    let output = match timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed("could not be started".to_owned()).with("error", error)),
        Err(_) => return Err(failed(format!("did not end within {} s", LIMIT.as_secs()))),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(failed(format!("ended with {}", output.status)).with_ending("its last words", &said, SHOWN))
}

/// The cause for authorities that the store lacks although it was rebuilt.
pub(crate) fn not_added(root: &Root, paths: &[PathBuf]) -> Cause {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Cause::host(
        Kind::TrustNotAdded,
        format!("{} is not in the trust store after {}.", paths.join(", "), command(root)),
        format!("Run it by hand and read what it says: {} --verbose", command(root)),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_family_follows_the_program_that_the_box_has() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        assert_eq!(command(&root), "update-ca-certificates");
        std::fs::create_dir_all(root.path("/usr/bin")).unwrap();
        std::fs::write(root.path("/usr/bin/update-ca-trust"), "").unwrap();
        assert_eq!(command(&root), "update-ca-trust extract");
        assert!(next_step(&root, "vault").contains("/etc/pki/ca-trust/source/anchors/vault.crt"));
        let elsewhere = vec![(PathBuf::from("/usr/local/share/ca-certificates/a.crt"), Vec::new())];
        assert_eq!(untrusted(&root, &elsewhere).unwrap_err().kind, Kind::TrustOtherDistribution);
    }

    #[test]
    fn an_authority_must_be_a_certificate_under_a_name_that_is_read() {
        let kind = |path: &str, content: &[u8]| flaw(Path::new(path), content).map(|cause| cause.kind);
        let der = webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].to_vec();
        let pem = X509::from_der(&der).unwrap().to_pem().unwrap();
        assert_eq!(kind("/usr/local/share/ca-certificates/a/b.crt", &pem), None);
        assert_eq!(kind("/usr/local/share/ca-certificates/b.pem", &pem), Some(Kind::TrustFileName));
        assert_eq!(kind("/usr/local/share/ca-certificates/b.crt", &der), Some(Kind::TrustNotACertificate));
        assert_eq!(kind("/etc/pki/ca-trust/source/anchors/b.pem", &pem), None);
        assert_eq!(
            kind("/etc/pki/ca-trust/source/anchors/b.pem", b"<html>"),
            Some(Kind::TrustNotACertificate)
        );
        assert_eq!(kind("/etc/ssl/b.pem", b"<html>"), None);
    }
}

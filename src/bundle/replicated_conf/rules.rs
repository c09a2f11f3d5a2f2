//! What the keys of `replicated.conf` demand of each other, of the bundle, and of the way they are written.

use std::collections::BTreeSet;

use openssl::pkey::PKey;
use openssl::x509::X509;

use super::Conf;
use crate::bundle::BundleFile;
use crate::bundle::finding::Diagnostics;
use crate::bundle::host;
use crate::bundle::json::{Member, Node, same_key};
use crate::bundle::text::is_open_in_json;
use crate::cause::Cause;
use crate::kind::Kind;

/// `present` names every key of the file, also those whose values are wrong and have been reported.
pub(super) fn check(conf: &mut Conf<'_, '_, '_>, present: &BTreeSet<&str>) {
    channel(conf);
    password(conf, present);
    release(conf);
    unattended(conf, present);
    placed_file(conf, "LicenseFileLocation", BundleFile::License);
    placed_file(conf, "ImportSettingsFrom", BundleFile::Settings);
    addresses(conf);
    tls(conf, present);
}

fn channel(conf: &mut Conf<'_, '_, '_>) {
    if let Some(at) = conf.at("Channel") {
        let sentence = "Channel has no effect: Replicated has ignored it since 2018, and the license determines the channel.";
        let next_step = "Delete it; to pin the app's release, add \"ReleaseSequence\" with its number.";
        conf.notes.warning(at, Cause::config(Kind::ReplicatedConfChannel, sentence, next_step));
    }
}

fn required(key: &str, because: &str, next_step: &str) -> Cause {
    Cause::config(Kind::ReplicatedConfRequired, format!("{key} is missing: {because}"), next_step)
}

fn password(conf: &mut Conf<'_, '_, '_>, present: &BTreeSet<&str>) {
    const PASSWORD: &str = "DaemonAuthenticationPassword";
    if conf.text("DaemonAuthenticationType") == Some("password") {
        if !present.contains(PASSWORD) {
            let because = "DaemonAuthenticationType is \"password\".";
            let next_step = format!("Add \"{PASSWORD}\" with the console password.");
            conf.notes.error(conf.at("DaemonAuthenticationType"), required(PASSWORD, because, &next_step));
        }
    } else if let Some(at) = conf.at(PASSWORD)
        && (conf.has("DaemonAuthenticationType") || !present.contains("DaemonAuthenticationType"))
    {
        let cause = Cause::config(
            Kind::ReplicatedConfUnused,
            format!("{PASSWORD} has no effect unless DaemonAuthenticationType is \"password\"."),
            "Write \"DaemonAuthenticationType\": \"password\"",
        );
        conf.notes.warning(at, cause);
    }
}

fn release(conf: &mut Conf<'_, '_, '_>) {
    if let (Some(at), true) = (conf.at("ReleaseSequence"), conf.has("LicenseBootstrapAirgapPackagePath")) {
        let sentence = "ReleaseSequence and LicenseBootstrapAirgapPackagePath are mutually exclusive: the package is one release.";
        conf.notes.error(at, Cause::config(Kind::ReplicatedConfExcluded, sentence, "Delete one of the two."));
    }
}

/// Keys without which Replicated's console waits for a person, and nobody is watching.
fn unattended(conf: &mut Conf<'_, '_, '_>, present: &BTreeSet<&str>) {
    let waits = |what: &str| {
        format!("Replicated then waits in its console for {what}, so an unattended boot stalls.")
    };
    for (key, what, example) in [
        ("LicenseFileLocation", "the licence", "\"/etc/license.rli\""),
        ("ImportSettingsFrom", "the app's settings", "\"/etc/settings.conf\""),
    ] {
        if !present.contains(key) {
            conf.notes.error(None, required(key, &waits(what), &format!("Add \"{key}\": {example}")));
        }
    }
    for (key, what, example) in [
        ("DaemonAuthenticationType", "a choice of authentication", "\"password\""),
        ("TlsBootstrapType", "a certificate", "\"self-signed\""),
        ("BypassPreflightChecks", "a confirmation of the preflight results", "true"),
    ] {
        if !present.contains(key) {
            conf.notes.warning(None, required(key, &waits(what), &format!("Add \"{key}\": {example}")));
        }
    }
}

fn placed_file(conf: &mut Conf<'_, '_, '_>, key: &str, file: BundleFile) {
    let (Some(path), Some(at)) = (conf.text(key), conf.at(key)) else { return };
    if path == file.installed_path() || is_open_in_json(path) {
        return;
    }
    let other = BundleFile::ALL.iter().find(|other| other.installed_path() == path);
    let sentence = match other {
        Some(other) => format!("{key} is {path}, which is {other}."),
        None if conf.places(path) => return,
        None => format!("{key} is {path}, which the bundle does not install."),
    };
    let next_step = format!("Write \"{key}\": \"{}\"", file.installed_path());
    conf.notes.error(at, Cause::config(Kind::ReplicatedConfPath, sentence, next_step));
}

fn addresses(conf: &mut Conf<'_, '_, '_>) {
    if let Some(at) = conf.at("LocalAddress") {
        let sentence = "LocalAddress pins one box's address; its replacement has a different one.";
        let next_step = "Delete LocalAddress: the agent passes each box's own address to the installer.";
        conf.notes.warning(at, Cause::config(Kind::ReplicatedConfFixedAddress, sentence, next_step));
    }
    if let (Some(proxy), Some(at)) = (conf.text("HttpProxy"), conf.at("HttpProxy"))
        && !is_open_in_json(proxy)
        && !proxy.starts_with("http://")
        && !proxy.starts_with("https://")
    {
        let sentence = "HttpProxy is not an http:// or https:// URL.";
        let next_step = "Write \"HttpProxy\": \"http://proxy.example.com:3128\"";
        conf.notes.error(at, Cause::config(Kind::ReplicatedConfValue, sentence, next_step));
    }
}

fn tls(conf: &mut Conf<'_, '_, '_>, present: &BTreeSet<&str>) {
    if let (Some(host), Some(at)) = (conf.text("TlsBootstrapHostname"), conf.at("TlsBootstrapHostname"))
        && !is_open_in_json(host)
        && let Some(flaw) = host::flaw(host)
    {
        let sentence = format!("TlsBootstrapHostname {flaw}: {host:?}.");
        let next_step = "Write only the host name, as in \"TlsBootstrapHostname\": \"circleci.example.com\"";
        conf.notes.error(at, Cause::config(Kind::ReplicatedConfValue, sentence, next_step));
    }
    let kind = conf.text("TlsBootstrapType");
    let needs: &[&str] = match kind {
        Some("server-path") => &["TlsBootstrapHostname", "TlsBootstrapCert", "TlsBootstrapKey"],
        Some("key-cert") => &["TlsBootstrapCert", "TlsBootstrapKey"],
        _ => &[],
    };
    // One finding for all: of several of one kind at one place only the first would be kept.
    let lacking: Vec<&str> = needs.iter().copied().filter(|key| !present.contains(key)).collect();
    if !lacking.is_empty() {
        let (keys, are) = (lacking.join(", "), if lacking.len() == 1 { "is" } else { "are" });
        let sentence = format!("{keys} {are} missing: TlsBootstrapType is \"{}\".", kind.unwrap_or_default());
        let next_step = format!("Add {keys}, or write \"TlsBootstrapType\": \"self-signed\"");
        conf.notes.error(
            conf.at("TlsBootstrapType"),
            Cause::config(Kind::ReplicatedConfRequired, sentence, next_step),
        );
    }
    match kind {
        Some("server-path") => server_path(conf),
        Some("key-cert") => key_cert(conf),
        _ if present.contains("TlsBootstrapType") && kind.is_none() => {}
        _ => unused_certificate(conf),
    }
}

fn server_path(conf: &mut Conf<'_, '_, '_>) {
    for key in ["TlsBootstrapCert", "TlsBootstrapKey"] {
        let (Some(path), Some(at)) = (conf.text(key), conf.at(key)) else { continue };
        if is_open_in_json(path) {
            continue;
        }
        if !path.starts_with('/') {
            let sentence =
                format!("{key} must be an absolute path, because TlsBootstrapType is \"server-path\".");
            let next_step =
                format!("Set \"{key}\" to a path on the box, or set \"TlsBootstrapType\": \"key-cert\"");
            conf.notes.error(at, Cause::config(Kind::ReplicatedConfTls, sentence, next_step));
        } else if !conf.places(path) {
            let sentence =
                format!("{key} is {path}, which the bundle does not install, so it must be in the AMI.");
            let next_step = "Make sure that the AMI contains it, or add it to the bundle's extra files.";
            conf.notes.warning(at, Cause::config(Kind::ReplicatedConfPath, sentence, next_step));
        }
    }
}

fn key_cert(conf: &mut Conf<'_, '_, '_>) {
    let pem = |conf: &mut Conf<'_, '_, '_>, key: &str, what: &str, good: bool| {
        if let Some(at) = conf.at(key).filter(|_| !good) {
            let sentence =
                format!("{key} is not a PEM {what}, which TlsBootstrapType \"key-cert\" requires.");
            let next_step = format!(
                "Write the file's content with each line break as \\n, as printed by: jq -Rs . {}.pem",
                if what == "certificate" { "cert" } else { "key" }
            );
            conf.notes.error(at, Cause::config(Kind::ReplicatedConfTls, sentence, next_step));
        }
    };
    let (Some(cert), Some(key)) = (conf.text("TlsBootstrapCert"), conf.text("TlsBootstrapKey")) else {
        return;
    };
    if is_open_in_json(cert) || is_open_in_json(key) {
        return;
    }
    let certificate = X509::from_pem(cert.as_bytes()).ok();
    // Without a callback OpenSSL would ask the terminal for the passphrase of an encrypted key.
    let private = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0)).ok();
    pem(conf, "TlsBootstrapCert", "certificate", certificate.is_some());
    pem(conf, "TlsBootstrapKey", "unencrypted private key", private.is_some());
    if let (Some(certificate), Some(private)) = (certificate, private)
        && let Ok(public) = certificate.public_key()
        && !public.public_eq(&private)
    {
        let sentence = "TlsBootstrapKey does not match TlsBootstrapCert.";
        let next_step = "Use a matching key and certificate; the server's own certificate comes first.";
        conf.notes
            .error(conf.at("TlsBootstrapKey"), Cause::config(Kind::ReplicatedConfTls, sentence, next_step));
    }
}

fn unused_certificate(conf: &mut Conf<'_, '_, '_>) {
    for key in ["TlsBootstrapCert", "TlsBootstrapKey"] {
        if let Some(at) = conf.at(key) {
            let sentence =
                format!("{key} has no effect without TlsBootstrapType \"server-path\" or \"key-cert\".");
            let next_step = format!("Set \"TlsBootstrapType\" to one of them, or delete {key}.");
            conf.notes.warning(at, Cause::config(Kind::ReplicatedConfUnused, sentence, next_step));
        }
    }
}

/// The installer does not read JSON: it greps `"KEY":\s*"[^"]*`, line by line, over the whole file. What that finds must
/// be what the file says.
pub(super) fn found_by_grep(notes: &mut Diagnostics<'_>, text: &str, members: &[Member], key: &str) {
    let member = members.iter().rfind(|member| same_key(key, &member.key));
    let said = member.and_then(|member| match &member.value.node {
        Node::String(value) => Some(value.as_str()),
        _ => None,
    });
    let found: Vec<(usize, &str)> = grep(text, key);
    let values: Vec<&str> = found.iter().map(|(_, value)| *value).collect();
    if values == Vec::from_iter(said) || (said.is_none() && values.is_empty()) {
        return;
    }
    let at = member.map_or_else(|| found.first().map(|(at, _)| *at), |member| Some(member.at));
    let sentence = match (said, values.as_slice()) {
        (Some(_), []) => format!("The installer reads {key} with grep and does not find it in this form."),
        (Some(_), [_]) => format!(
            "The installer reads {key} with grep and does not decode JSON escapes, so it sees a different value."
        ),
        _ => format!("The installer reads {key} with grep and matches text that is not this key."),
    };
    let next_step = format!("Write it once, on one line, without a backslash: \"{key}\": \"value\"");
    notes.error(at, Cause::config(Kind::ReplicatedConfNotPlain, sentence, next_step));
}

/// What `grep -o "\"KEY\":\s*\"[^\"]*" | sed "s/\"KEY\":\s*\"//"` prints, with where it was found.
fn grep<'t>(text: &'t str, key: &str) -> Vec<(usize, &'t str)> {
    let name = format!("\"{key}\":");
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let mut at = 0;
        while let Some(hit) = content[at..].find(&name) {
            let hit = at + hit;
            let rest = content[hit + name.len()..].trim_start();
            at = hit + name.len();
            if let Some(value) = rest.strip_prefix('"') {
                let value = value.split('"').next().unwrap_or(value);
                found.push((start + hit, value));
                at = content.len() - rest.len() + 1 + value.len();
            }
        }
        start += line.len();
    }
    found
}

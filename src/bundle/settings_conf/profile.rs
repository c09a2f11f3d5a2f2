//! The settings that a services box with external databases needs.
//!
//! An error is what the app does not start without, or starts without being of use to anybody:
//! - `license_agreement`: Replicated holds the app back until somebody agrees.
//! - `hostname`: every address that the app hands out, and GitHub's way back to it, is made of it.
//! - `secret_passphrase`: the app encrypts with it, and has no default.
//! - `ghe_client_id`, `ghe_client_secret`: nobody can log in.
//! - `s3_bucket` and `aws_region` with `storage_backend_s3`, `ghe_domain` with GitHub Enterprise: no storage, no GitHub.
//!
//! The rest has a default with which the app starts, though perhaps not as meant: a warning.

use super::Settings;
use crate::bundle::host;
use crate::bundle::text::is_open_in_json;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;

/// The settings that are looked at here, by which the file is recognised.
pub(super) const KEYS: [&str; 12] = [
    "hostname",
    "secret_passphrase",
    "ghe_type",
    "ghe_domain",
    "ghe_client_id",
    "ghe_client_secret",
    "storage_backend",
    "aws_region",
    "s3_bucket",
    "sqs_queue_url",
    "allow_cluster",
    "license_agreement",
];

const TYPES: [&str; 2] = ["github_type_public", "github_type_enterprise"];
const S3: &str = "storage_backend_s3";

pub(super) fn check(settings: &mut Settings<'_, '_, '_>) {
    agreement(settings);
    settings.need("secret_passphrase", "the app encrypts its data with it, and there is no default");
    settings.need("ghe_client_id", "without GitHub's OAuth application, nobody can log in");
    settings.need("ghe_client_secret", "without GitHub's OAuth application, nobody can log in");
    if settings.need("hostname", "the app builds all its URLs from it") {
        host(settings, "hostname");
    }
    github(settings);
    storage(settings);
    if settings.want("allow_cluster", "the app then runs builds on this box only", "1") {
        one_of(settings, "allow_cluster", &["0", "1"]);
    }
    white_space(settings);
}

impl Settings<'_, '_, '_> {
    /// The value of a setting that can be looked into: there, not empty, no placeholder.
    fn usable(&self, key: &str) -> Option<(usize, String)> {
        let setting = self.given.get(key)?;
        let value = setting.value?;
        (!value.trim().is_empty() && !is_open_in_json(value)).then(|| (setting.at, value.to_owned()))
    }

    /// Whether the setting is usable; notes an error if it is missing or empty.
    fn need(&mut self, key: &str, because: &str) -> bool {
        if let Some((at, cause)) = self.lack(key, because, "…") {
            self.notes.error(at, cause);
        }
        self.usable(key).is_some()
    }

    /// Whether the setting is usable; notes a warning if it is missing or empty.
    fn want(&mut self, key: &str, because: &str, example: &str) -> bool {
        if let Some((at, cause)) = self.lack(key, because, example) {
            self.notes.warning(at, cause);
        }
        self.usable(key).is_some()
    }

    fn lack(&self, key: &str, because: &str, example: &str) -> Option<(Option<usize>, Cause)> {
        let write = format!("\"{key}\": {{\"value\": \"{example}\"}}");
        match self.given.get(key) {
            None => {
                let slip = closest(key, self.given.keys().copied());
                let next_step = match slip {
                    Some(slip) => format!("Rename {slip:?}, which is set, to {key:?}."),
                    None => format!("Add {write}"),
                };
                let sentence = format!("{key} is missing: {because}.");
                Some((None, Cause::config(Kind::SettingsConfMissing, sentence, next_step)))
            }
            Some(setting) if setting.value.is_some_and(|value| value.trim().is_empty()) => {
                let sentence = format!("{key} is empty: {because}.");
                Some((
                    Some(setting.at),
                    Cause::config(Kind::SettingsConfEmpty, sentence, format!("Write {write}")),
                ))
            }
            Some(_) => None,
        }
    }
}

fn agreement(settings: &mut Settings<'_, '_, '_>) {
    const AGREE: &str = "license_agreement_agree";
    let next_step =
        format!("Read the agreement, then write \"license_agreement\": {{\"value\": \"{AGREE}\"}}");
    match settings.given.get("license_agreement") {
        Some(setting) if setting.value.is_none_or(|value| value == AGREE) => {}
        Some(setting) if setting.value.is_some_and(is_open_in_json) => {}
        Some(setting) => {
            let sentence = "license_agreement is not \"license_agreement_agree\": the app never starts.";
            settings
                .notes
                .error(setting.at, Cause::config(Kind::SettingsConfLicenseAgreement, sentence, next_step));
        }
        None => {
            let sentence = "license_agreement is missing: the app never starts.";
            settings
                .notes
                .error(None, Cause::config(Kind::SettingsConfLicenseAgreement, sentence, next_step));
        }
    }
}

/// Notes an error about a value.
fn wrong(settings: &mut Settings<'_, '_, '_>, at: usize, sentence: String, next_step: impl AsRef<str>) {
    settings.notes.error(at, Cause::config(Kind::SettingsConfValue, sentence, next_step));
}

fn one_of(settings: &mut Settings<'_, '_, '_>, key: &str, choices: &[&str]) {
    let Some((at, value)) = settings.usable(key) else { return };
    if !choices.contains(&value.as_str()) {
        let next_step = match closest(&value, choices.iter().copied()) {
            Some(meant) => format!("Did you mean \"{meant}\"?"),
            None => format!("Write one of: {}.", choices.join(", ")),
        };
        wrong(
            settings,
            at,
            format!("{key} is {value:?}; it must be one of: {}.", choices.join(", ")),
            next_step,
        );
    }
}

fn host(settings: &mut Settings<'_, '_, '_>, key: &str) {
    let Some((at, value)) = settings.usable(key) else { return };
    if let Some(flaw) = host::flaw(value.trim()) {
        let next_step =
            format!("Write only the host name: \"{key}\": {{\"value\": \"circleci.example.com\"}}");
        wrong(settings, at, format!("{key} {flaw}: {value:?}."), next_step);
    }
}

fn github(settings: &mut Settings<'_, '_, '_>) {
    settings.want("ghe_type", "the app then uses github.com", TYPES[0]);
    one_of(settings, "ghe_type", &TYPES);
    if settings.usable("ghe_type").is_some_and(|(_, value)| value == TYPES[1])
        && settings.need("ghe_domain", "ghe_type is github_type_enterprise")
    {
        host(settings, "ghe_domain");
    }
}

fn storage(settings: &mut Settings<'_, '_, '_>) {
    if settings.want(
        "storage_backend",
        "artifacts and caches are then stored on this box, and are lost with it",
        S3,
    ) {
        let (at, backend) = settings.usable("storage_backend").unwrap_or_default();
        if backend != S3 {
            let next_step = match closest(&backend, [S3]) {
                Some(meant) => format!("Did you mean \"{meant}\"?"),
                None => format!("Write \"storage_backend\": {{\"value\": \"{S3}\"}} to keep them in S3."),
            };
            let sentence =
                format!("storage_backend is {backend:?}: artifacts and caches are lost with this box.");
            settings.notes.warning(at, Cause::config(Kind::SettingsConfValue, sentence, next_step));
        } else {
            settings.need("s3_bucket", "storage_backend is storage_backend_s3");
            settings.need("aws_region", "storage_backend is storage_backend_s3");
            settings.want(
                "sqs_queue_url",
                "the app learns from this queue when builders are terminated",
                "https://sqs.…",
            );
        }
    }
    if let Some((at, bucket)) = settings.usable("s3_bucket")
        && (bucket.contains('/') || bucket.contains(':') || bucket.trim().contains(char::is_whitespace))
    {
        let next_step = "Write only the bucket name: \"s3_bucket\": {\"value\": \"my-bucket\"}";
        wrong(settings, at, format!("s3_bucket is {bucket:?}; it must be a bucket name."), next_step);
    }
    let region = settings.usable("aws_region");
    if let Some((at, region)) = &region
        && !is_region(region.trim())
    {
        let next_step = "Write the region code, as in \"aws_region\": {\"value\": \"us-east-1\"}";
        wrong(settings, *at, format!("aws_region is {region:?}, which is not a region code."), next_step);
    }
    queue(settings, region.map(|(_, region)| region));
}

fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts
        .next()
        .is_some_and(|last| (1..=2).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    number && words.len() >= 2 && words.iter().all(is_word)
}

/// The queue's region stands in its address; a queue elsewhere works only if the app is told, which it cannot be.
fn queue(settings: &mut Settings<'_, '_, '_>, region: Option<String>) {
    let Some((at, url)) = settings.usable("sqs_queue_url") else { return };
    let rest = url.trim().strip_prefix("https://").or_else(|| url.trim().strip_prefix("http://"));
    let Some((host, path)) = rest.and_then(|rest| rest.split_once('/')) else {
        let next_step = "Write the queue URL, as printed by: aws sqs get-queue-url --queue-name NAME";
        return wrong(
            settings,
            at,
            format!("sqs_queue_url is {url:?}; it must be the queue's https:// URL."),
            next_step,
        );
    };
    if host.is_empty() || path.is_empty() {
        let next_step = "Write the full queue URL, as printed by: aws sqs get-queue-url --queue-name NAME";
        return wrong(
            settings,
            at,
            format!("sqs_queue_url is {url:?}; the account or the queue name is missing."),
            next_step,
        );
    }
    let (Some(of_queue), Some(region)) = (region_of_queue(host), region) else { return };
    if of_queue != region.trim() {
        let sentence = format!("sqs_queue_url is in {of_queue}, but aws_region is {}.", region.trim());
        let next_step = "Use a queue in the region of aws_region, or correct aws_region.";
        settings.notes.warning(at, Cause::config(Kind::SettingsConfRegion, sentence, next_step));
    }
}

/// `sqs.REGION.amazonaws.com`, and the old `REGION.queue.amazonaws.com` and `queue.amazonaws.com`.
fn region_of_queue(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    match host {
        "queue" => Some("us-east-1"),
        _ => host.strip_prefix("sqs.").or_else(|| host.strip_suffix(".queue")),
    }
}

fn white_space(settings: &mut Settings<'_, '_, '_>) {
    let checked = [
        "hostname",
        "secret_passphrase",
        "ghe_client_id",
        "ghe_client_secret",
        "ghe_domain",
        "s3_bucket",
        "aws_region",
        "sqs_queue_url",
    ];
    for key in checked {
        let Some((at, value)) = settings.usable(key) else { continue };
        if value.trim() != value {
            let sentence =
                format!("The value of {key} begins or ends with whitespace, which becomes part of it.");
            let next_step = "Delete the whitespace inside the quotes.";
            settings.notes.warning(at, Cause::config(Kind::SettingsConfValue, sentence, next_step));
        }
    }
}

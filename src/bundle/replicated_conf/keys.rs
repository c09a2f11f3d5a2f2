//! The keys of `replicated.conf` and what each may hold.

use crate::bundle::json::same_key;

/// What a value must be.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Bool,
    Number,
    Text,
    OneOf(&'static [&'static str]),
    Path,
    /// Anything: Replicated no longer looks at it.
    Ignored,
}

const KEYS: [(&str, Shape); 29] = [
    ("BypassPreflightChecks", Shape::Bool),
    ("ForceUseImportedSettings", Shape::Bool),
    ("RemoveImportSettingsFrom", Shape::Bool),
    ("DaemonAuthenticationType", Shape::OneOf(&["anonymous", "password"])),
    ("DaemonAuthenticationPassword", Shape::Text),
    ("DaemonToken", Shape::Text),
    ("LicenseBootstrapChannelID", Shape::Text),
    ("DockerHubUsername", Shape::Text),
    ("DockerHubPassword", Shape::Text),
    ("ImportSettingsFrom", Shape::Path),
    ("LicenseFileLocation", Shape::Path),
    ("LicenseBootstrapAirgapPackagePath", Shape::Path),
    ("LogLevel", Shape::OneOf(&["debug", "info", "warn", "error"])),
    ("ReleaseSequence", Shape::Number),
    ("TlsBootstrapType", Shape::OneOf(&["server-path", "self-signed", "key-cert"])),
    ("TlsBootstrapHostname", Shape::Text),
    ("TlsBootstrapCert", Shape::Text),
    ("TlsBootstrapKey", Shape::Text),
    ("LocalAddress", Shape::Text),
    ("HttpProxy", Shape::Text),
    ("SnapshotsStore", Shape::Text),
    ("SnapshotsPath", Shape::Text),
    ("SnapshotsS3Bucket", Shape::Text),
    ("SnapshotsS3Prefix", Shape::Text),
    ("SnapshotsS3Endpoint", Shape::Text),
    ("SnapshotsAWSRegion", Shape::Text),
    ("SnapshotsAWSKeyID", Shape::Text),
    ("SnapshotsAWSSecretKey", Shape::Text),
    ("Channel", Shape::Ignored),
];

/// The known key that Replicated takes this one for, whatever its case.
pub(super) fn known(key: &str) -> Option<(&'static str, Shape)> {
    KEYS.iter().find(|(name, _)| same_key(name, key)).copied()
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// There are more `Snapshots…` keys than this list has, and the set grows with Replicated's releases.
pub(super) fn is_of_open_family(key: &str) -> bool {
    key.starts_with("Snapshots")
}

/// Whether an empty value is the same to Replicated as no value. The others must be there to be of use, and an empty one
/// is a template that was not filled in.
pub(super) fn may_be_empty(key: &str) -> bool {
    is_of_open_family(key)
        || matches!(
            key,
            "LocalAddress"
                | "HttpProxy"
                | "Channel"
                | "LicenseBootstrapChannelID"
                | "DockerHubUsername"
                | "DockerHubPassword"
                | "DaemonToken"
        )
}

//! What the metadata service knows, as a tree of items, and how it lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::Instance;
use super::faults::Faults;

/// The versions that are served, as real instances list them (shortened to those that somebody asks for).
const VERSIONS: [&str; 7] =
    ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2020-10-27", "2021-03-23", "latest"];

/// Items by their path from the version on, e.g. `meta-data/instance-id`.
#[derive(Debug)]
pub(super) struct Items {
    fixed: BTreeMap<String, Vec<u8>>,
    credentials: Option<Credentials>,
    key_name: Option<String>,
}

#[derive(Debug)]
struct Credentials {
    path: String,
    access_key: String,
    secret_key: String,
    token: String,
}

impl Items {
    pub(super) fn of(instance: &Instance) -> Self {
        let mut items = Self { fixed: BTreeMap::new(), credentials: None, key_name: None };
        let hostname =
            format!("ip-{}.{}.compute.internal", instance.local_ipv4.replace('.', "-"), instance.region);
        for (name, value) in [
            ("ami-id", "ami-0b1c2d3e4f5a6b7c8"),
            ("ami-launch-index", "0"),
            ("block-device-mapping/ami", "/dev/xvda"),
            ("block-device-mapping/root", "/dev/xvda"),
            ("hostname", &hostname),
            ("instance-action", "none"),
            ("instance-id", &instance.id),
            ("instance-life-cycle", "on-demand"),
            ("instance-type", "m5.2xlarge"),
            ("local-hostname", &hostname),
            ("local-ipv4", &instance.local_ipv4),
            ("placement/availability-zone", &instance.availability_zone),
            ("placement/region", &instance.region),
            ("profile", "default-hvm"),
            ("reservation-id", "r-0f1e2d3c4b5a69788"),
            ("security-groups", "services-box"),
            ("services/domain", "amazonaws.com"),
            ("services/partition", "aws"),
        ] {
            items.set(name, value);
        }
        if let Some(state) = &instance.lifecycle_state {
            items.set("autoscaling/target-lifecycle-state", state.as_str());
        }
        if let Some(key) = &instance.public_key {
            items.set("public-keys/0/openssh-key", key.as_str());
            items.key_name = Some("services-box".into());
        }
        if let Some(user_data) = &instance.user_data {
            items.set("user-data", user_data.clone());
        }
        items.set("dynamic/instance-identity/document", identity(instance));
        if let Some(role) = &instance.role {
            items.credentials = Some(Credentials {
                path: format!("meta-data/iam/security-credentials/{role}"),
                access_key: instance.access_key.clone(),
                secret_key: instance.secret_key.clone(),
                token: instance.session_token.clone(),
            });
            let arn = format!("arn:aws:iam::{}:instance-profile/{role}", instance.account);
            let info = json!({ "Code": "Success", "InstanceProfileArn": arn, "InstanceProfileId": "AIPA0000000000EXAMPLE" });
            items.set("iam/info", info.to_string());
        }
        items
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.fixed.insert(full(name), value.into());
    }

    pub(super) fn remove(&mut self, name: &str) {
        let path = full(name);
        let below = format!("{path}/");
        self.fixed.retain(|item, _| *item != path && !item.starts_with(&below));
        if self.credentials.as_ref().is_some_and(|held| held.path == path || held.path.starts_with(&below)) {
            self.credentials = None;
        }
    }

    /// The answer to a GET of this URL path; `None` is 404.
    pub(super) fn get(&self, path: &str, faults: &Faults, now: Instant) -> Option<Vec<u8>> {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Some(VERSIONS.join("\n").into_bytes());
        }
        let (version, item) = path.split_once('/').unwrap_or((path, ""));
        if !VERSIONS.contains(&version) {
            return None;
        }
        let item = item.trim_end_matches('/');
        if faults.hides(item, now) {
            return None;
        }
        self.value(item).or_else(|| self.listing(item, faults, now))
    }

    fn value(&self, item: &str) -> Option<Vec<u8>> {
        if let Some(value) = self.fixed.get(item) {
            return Some(value.clone());
        }
        self.credentials.as_ref().filter(|held| held.path == item).map(Credentials::document)
    }

    fn listing(&self, directory: &str, faults: &Faults, now: Instant) -> Option<Vec<u8>> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let credentials = self.credentials.iter().map(|held| &held.path);
        let names: BTreeSet<String> = self
            .fixed
            .keys()
            .chain(credentials)
            .filter(|item| !faults.hides(item, now))
            .filter_map(|item| item.strip_prefix(&prefix))
            .map(|rest| self.name(directory, rest))
            .collect();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join("\n").into_bytes())
    }

    /// A directory ends in `/`; a public key is listed as `0=NAME`, although its directory is `0/`.
    fn name(&self, directory: &str, rest: &str) -> String {
        match (rest.split_once('/'), &self.key_name) {
            (Some((index, _)), Some(key)) if directory == "meta-data/public-keys" => format!("{index}={key}"),
            // Both are directories, yet the real service lists them so at the top.
            (Some((first @ ("meta-data" | "dynamic"), _)), _) if directory.is_empty() => first.to_owned(),
            (Some((first, _)), _) => format!("{first}/"),
            (None, _) => rest.to_owned(),
        }
    }
}

impl Credentials {
    fn document(&self) -> Vec<u8> {
        let now = Timestamp::now();
        let expiration = now.checked_add(6.hours()).unwrap_or(Timestamp::MAX);
        let document = json!({
            "Code": "Success",
            "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "Type": "AWS-HMAC",
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.token,
            "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        format!("{document:#}").into_bytes()
    }
}

fn full(name: &str) -> String {
    let name = name.trim_matches('/');
    match name.split('/').next() {
        Some("meta-data" | "dynamic" | "user-data") => name.to_owned(),
        _ => format!("meta-data/{name}"),
    }
}

fn identity(instance: &Instance) -> String {
    let document = json!({
        "accountId": instance.account,
        "architecture": "x86_64",
        "availabilityZone": instance.availability_zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": "ami-0b1c2d3e4f5a6b7c8",
        "instanceId": instance.id,
        "instanceType": "m5.2xlarge",
        "kernelId": null,
        "pendingTime": "2024-05-01T10:00:00Z",
        "privateIp": instance.local_ipv4,
        "ramdiskId": null,
        "region": instance.region,
        "version": "2017-09-30",
    });
    format!("{document:#}")
}

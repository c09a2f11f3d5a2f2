//! The merged settings: every key has a value, in the words in which it was written.

use serde::{Deserialize, Serialize};

use super::fragment::Fragment;
use crate::cause::Cause;
use crate::kind::Kind;

/// Every setting, merged from all fragments over the defaults. `packer/agent.toml` documents each key; a test proves
/// that it shows these defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // One description per key: packer/agent.toml.
pub struct Inputs {
    pub source: String,
    pub deadline: String,
    pub on_failure: String,
    pub identity: Identity,
    pub lifecycle: Lifecycle,
    pub fetch: Fetch,
    pub extra: Vec<Extra>,
    pub databases: Databases,
    pub images: Images,
    pub install: Install,
    pub app: App,
    pub report: Report,
}

macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr),+ $(,)? }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(missing_docs)] // One description per key: packer/agent.toml.
        pub struct $name { $(pub $key: $type),+ }
        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default),+ }
            }
        }
    };
}

section!(Identity { wait: String = "2m".into() });
section!(Lifecycle {
    group: String = String::new(),
    hook: String = String::new(),
    wait: String = "10m".into(),
});
section!(Fetch { wait: String = "10m".into() });
section!(Databases { wait: String = "1h".into() });
section!(Images { on_missing: String = "pull".into(), wait: String = "30m".into() });
section!(Install {
    url: String = String::new(),
    sha256: String = String::new(),
    arguments: Vec<String> = ["no-proxy", "no-docker", "no-public-address", "skip-preflights"].map(String::from).to_vec(),
    deadline: String = "15m".into(),
    wait: String = "1h".into(),
});
section!(App {
    wait: String = "45m".into(),
    steady: String = "5s".into(),
    stalled_after: String = "1m".into(),
    health_urls: Vec<String> = Vec::new(),
});
section!(Report { upload: String = String::new() });

/// One `[[extra]]` file or directory tree of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // One description per key: packer/agent.toml.
pub struct Extra {
    pub object: String,
    pub path: String,
    #[serde(default = "default_mode")]
    pub mode: String,
}

fn default_mode() -> String {
    "0640".into()
}

impl Default for Inputs {
    fn default() -> Self {
        Inputs {
            source: String::new(),
            deadline: "2h".into(),
            on_failure: "abandon".into(),
            identity: Identity::default(),
            lifecycle: Lifecycle::default(),
            fetch: Fetch::default(),
            extra: Vec::new(),
            databases: Databases::default(),
            images: Images::default(),
            install: Install::default(),
            app: App::default(),
            report: Report::default(),
        }
    }
}

impl Inputs {
    /// Merges fragments over the defaults; a later fragment wins.
    ///
    /// # Errors
    /// `settings.type`, naming the fragment, when a value is not of its key's type.
    pub fn merge(fragments: Vec<Fragment>) -> Result<Self, Cause> {
        let mut merged = toml::Table::new();
        for fragment in fragments {
            fragment.check_types()?;
            overlay(&mut merged, fragment.into_table());
        }
        merged.try_into().map_err(|error: toml::de::Error| {
            // Each fragment was checked alone, so only their combination can bring us here.
            Cause::config(Kind::SettingsType, "The settings contradict each other.", "Correct agent.toml.")
                .with_error(&error)
        })
    }
}

fn overlay(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => overlay(old, new),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

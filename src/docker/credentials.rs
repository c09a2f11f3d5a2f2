//! The registry logins that `docker login` stored on the box.

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::json;

use super::reference::Reference;
use crate::cause::Cause;
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::secret::Secrets;

/// Where the docker command of root keeps its logins.
const FILE: &str = "/root/.docker/config.json";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    auths: HashMap<String, Login>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The value of `X-Registry-Auth` for the registry of `reference`; `None` without a login for it.
///
/// Credential helpers are not asked: they are programs of
/// their own, and a box that nobody watches has none.
///
/// # Errors
/// `registry.credentials` if the file is there and not what `docker login` writes; `host.file` if it cannot be read.
pub(super) fn header(root: &Root, reference: &Reference) -> Result<Option<String>, Cause> {
    let logins = completed(read(root)?)?;
    let registry = reference.registry();
    let login = logins.iter().find(|(key, _)| host(key) == registry);
    Ok(login.and_then(|(key, login)| login.header(key)))
}

/// Registers every secret of the file, as far as it can be understood.
///
/// # Errors
/// As for [`header`].
pub fn register_logins(root: &Root, secrets: &Secrets) -> Result<(), Cause> {
    let mut logins = read(root)?;
    for login in logins.values_mut() {
        // A login that cannot be decoded is a secret as it stands.
        login.auth.iter().for_each(|auth| secrets.register(auth));
        let _ = login.complete();
        [&login.password, &login.identitytoken].into_iter().flatten().for_each(|it| secrets.register(it));
    }
    completed(logins).map(drop)
}

fn completed(mut logins: HashMap<String, Login>) -> Result<HashMap<String, Login>, Cause> {
    for login in logins.values_mut() {
        login.complete().map_err(|why| not_understood(&why))?;
    }
    Ok(logins)
}

fn not_understood(why: &str) -> Cause {
    Cause::config(
        Kind::RegistryCredentials,
        format!("The registry logins in {FILE} cannot be parsed."),
        "Log in again with docker login, or remove the file.",
    )
    .with("error", why)
}

fn read(root: &Root) -> Result<HashMap<String, Login>, Cause> {
    let path = root.path(FILE);
    let text = match files::read_text(&path) {
        Ok(text) => text,
        // Like the docker command, go on without a login where the file cannot be seen at all.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(HashMap::new());
        }
        Err(error) => return Err(files::failed("read", &path, &error)),
    };
    let config: Config = serde_json::from_str(&text).map_err(|error| {
        // serde_json quotes a value of the wrong type, which may be a password.
        not_understood(&format!("line {}, column {}", error.line(), error.column()))
    })?;
    Ok(config.auths)
}

/// The registry that a key of `auths` means: a host, or an URL whose path is the API's.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host }
}

impl Login {
    fn complete(&mut self) -> Result<(), String> {
        if let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) {
            let decoded = STANDARD.decode(auth.trim()).map_err(|_| "auth is not base64".to_owned())?;
            let decoded = String::from_utf8(decoded).map_err(|_| "auth is not UTF-8".to_owned())?;
            let (user, password) = decoded.split_once(':').ok_or("auth is not user:password")?;
            self.username = Some(user.to_owned());
            self.password = Some(password.trim_end_matches('\0').to_owned());
        }
        Ok(())
    }

    fn header(&self, server: &str) -> Option<String> {
        let content = match (&self.identitytoken, &self.username, &self.password) {
            (Some(token), ..) if !token.is_empty() => {
                json!({"identitytoken": token, "serveraddress": server})
            }
            (_, Some(user), Some(password)) => {
                json!({"username": user, "password": password, "serveraddress": server})
            }
            _ => return None,
        };
        Some(URL_SAFE.encode(content.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with_file(content: &str) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        std::fs::create_dir_all(root.path("/root/.docker")).unwrap();
        std::fs::write(root.path(FILE), content).unwrap();
        (directory, root)
    }

    fn asked(content: &str, image: &str) -> Result<Option<serde_json::Value>, Cause> {
        let (_directory, root) = with_file(content);
        let header = header(&root, &image.parse().unwrap())?;
        Ok(header.map(|header| serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap()))
    }

    #[test]
    fn the_login_of_the_right_registry_is_taken_and_its_password_known() {
        let auth = STANDARD.encode("robot:registry-canary>>?");
        let file = format!(
            r#"{{"auths": {{"quay.io": {{"auth": "{auth}"}}, "https://index.docker.io/v1/": {{"identitytoken": "hub-canary"}}}}}}"#
        );
        let quay = asked(&file, "quay.io/replicated/replicated:1").unwrap().unwrap();
        assert_eq!(quay["username"], "robot");
        assert_eq!(quay["password"], "registry-canary>>?");
        assert_eq!(asked(&file, "busybox").unwrap().unwrap()["identitytoken"], "hub-canary");
        assert_eq!(asked(&file, "10.0.0.1:5000/a").unwrap(), None);
        let (_directory, root) = with_file(&file);
        let secrets = Secrets::default();
        register_logins(&root, &secrets).unwrap();
        let known = ["x registry-canary>>? x", "hub-canary", &auth];
        assert!(known.iter().all(|text| secrets.is_in(text)));
    }

    #[test]
    fn a_file_that_is_not_understood_is_a_cause_that_does_not_quote_it() {
        for file in
            ["{", r#"{"auths": {"quay.io": {"auth": ["leak-me"]}}}"#, r#"{"auths": {"q": {"auth": "?"}}}"#]
        {
            let cause = asked(file, "quay.io/a").unwrap_err();
            assert_eq!(cause.kind, Kind::RegistryCredentials);
            assert!(!format!("{cause:?}").contains("leak-me"));
        }
        assert_eq!(asked(r#"{"credsStore": "pass"}"#, "quay.io/a").unwrap(), None);
    }
}

//! Whether the app's services answer on their health URLs.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cause::{Cause, chain};
use crate::docker::engine::Container;
use crate::kind::Kind;
use crate::secret::url;

/// How long one URL may take. The services answer in milliseconds; one that does not is not in service.
const ANSWER: Duration = Duration::from_secs(5);

/// How much of an answer is read and quoted, in bytes.
const QUOTED: usize = 200;

/// How much of it is read, in bytes: it is quoted when it has been scrubbed whole.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The services of CircleCI that have a health URL: name (of the container, and part of the image's name) and URL.
const SERVICES: &[(&str, &str)] = &[
    (FRONTEND, "http://127.0.0.1:80/health-check"),
    ("api-service", "http://127.0.0.1:8082/status"),
    ("workflows-conductor", "http://127.0.0.1:9999/healthcheck"),
    ("federations", "http://127.0.0.1:8090/status"),
    ("permissions", "http://127.0.0.1:3013/status"),
    ("contexts", "http://127.0.0.1:3011/status"),
    ("domain", "http://127.0.0.1:3014/status"),
    ("cron", "http://127.0.0.1:4261/status"),
];

/// The service that every installation has, so that its absence is a failure and no reason not to ask.
const FRONTEND: &str = "frontend";

/// One URL to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The service, or the URL itself where it was given by the settings.
    pub name: String,
    /// What is asked.
    pub url: String,
}

/// Every service that has a health URL.
pub fn service_names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, _)| *name)
}

/// What to ask when the settings name no URLs: the frontend always, and each other service whose container runs.
pub fn known_targets(containers: &[Container]) -> Vec<Target> {
    let runs = |service: &str| {
        containers.iter().any(|container| container.is_running() && container_is(container, service))
    };
    let known = SERVICES.iter().filter(|(service, _)| *service == FRONTEND || runs(service));
    known.map(|(service, url)| Target { name: (*service).to_owned(), url: (*url).to_owned() }).collect()
}

/// Exactly these URLs, as the settings give them.
pub fn given_targets(urls: &[String]) -> Vec<Target> {
    urls.iter().map(|url| Target { name: url::shown(url), url: url.clone() }).collect()
}

/// The container of the frontend, by its name or, on older installations with hashed names, by its image.
pub fn frontend(containers: &[Container]) -> Option<&Container> {
    let mut found: Vec<&Container> =
        containers.iter().filter(|container| container_is(container, FRONTEND)).collect();
    // An earlier container may still lie there, ended.
    found.sort_by_key(|container| !container.is_running());
    found.first().copied()
}

fn container_is(container: &Container, service: &str) -> bool {
    let path = container.image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let image = last.split(':').next().unwrap_or_default();
    container.name == service || image == service || image.strip_prefix("circleci-") == Some(service)
}

/// Asks all targets at once. `client` must go through no proxy: the services are on this machine.
///
/// The results are in the order of the targets. A cause is `app.health` (host): whatever is not answered with a status
/// of 200 to 299 within 5 seconds. Redirects are not followed where the client does not.
pub async fn ask(client: &reqwest::Client, targets: &[Target]) -> Vec<Result<(), Cause>> {
    join_all(targets.iter().map(|target| ask_one(client, target))).await
}

/// Asks one target, as [`ask`] does.
///
/// # Errors
/// `app.health` (host).
pub async fn ask_one(client: &reqwest::Client, target: &Target) -> Result<(), Cause> {
    let next_step = if target.name == FRONTEND {
        "Check the app's log: docker logs --tail 50 frontend.".to_owned()
    } else {
        format!("Query it by hand: curl -v {}; and check its container's log.", url::shown(&target.url))
    };
    let failed =
        |sentence: String| Cause::host(Kind::AppHealth, sentence, &next_step).with_url("url", &target.url);
    let asked = async {
        let mut response = client.get(&target.url).send().await?;
        let mut body = Vec::new();
        while body.len() < LONGEST_ANSWER {
            match response.chunk().await? {
                Some(piece) => body.extend_from_slice(&piece),
                None => break,
            }
        }
        Ok::<_, reqwest::Error>((response.status(), body))
    };
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok((status, _))) if status.is_success() => Ok(()),
        Ok(Ok((status, body))) => {
            let text = String::from_utf8_lossy(&body);
            let cause = failed(format!("The health check of {} returned {status}.", target.name));
            Err(cause.with("status", status.as_u16()).with_quote("answer", &text, QUOTED))
        }
        Ok(Err(error)) if error.is_connect() => {
            Err(failed(format!("{} is not accepting connections yet.", target.name))
                .with("error", chain(&error)))
        }
        Ok(Err(error)) => {
            Err(failed(format!("The health check of {} failed.", target.name)).with("error", chain(&error)))
        }
        Err(_) => Err(failed(format!(
            "The health check of {} timed out after {} s.",
            target.name,
            ANSWER.as_secs()
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Barrier;

    fn container(name: &str, image: &str, state: &str) -> Container {
        Container {
            id: String::new(),
            name: name.to_owned(),
            image: image.to_owned(),
            image_id: String::new(),
            state: state.to_owned(),
            status: String::new(),
            labels: Default::default(),
            health: None,
            exit_code: None,
        }
    }

    fn names(containers: &[Container]) -> Vec<String> {
        known_targets(containers).into_iter().map(|target| target.name).collect()
    }

    #[test]
    fn the_frontend_is_always_asked_and_the_others_if_they_run() {
        assert_eq!(names(&[]), ["frontend"]);
        let containers = [
            container("contexts", "10.0.0.7:9874/x:1", "running"),
            container("9f86d081884c", "10.0.0.7:9874/circleci-permissions:2.19", "running"),
            container("cron", "x", "exited"),
            container("domain-service-old", "domains:1", "running"),
        ];
        assert_eq!(names(&containers), ["frontend", "permissions", "contexts"]);
    }

    #[test]
    fn the_frontend_is_found_by_name_or_image_and_the_running_one_first() {
        let containers = [
            container("a1", "10.0.0.7:9874/circleci-frontend:2", "exited"),
            container("b2", "10.0.0.7:9874/circleci-frontend@sha256:00", "running"),
        ];
        assert_eq!(frontend(&containers).unwrap().name, "b2");
        assert_eq!(frontend(&containers[..1]).unwrap().name, "a1");
        assert_eq!(frontend(&[container("frontend-proxy", "x", "running")]), None);
    }

    /// A service that gives the answer to whoever asks, or none at all, once `all` have been asked.
    async fn serve(answer: Option<&'static str>, all: &Arc<Barrier>) -> String {
        let all = Arc::clone(all);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/status", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                all.wait().await;
                if let Some(answer) = answer {
                    let _ = stream.write_all(answer.as_bytes()).await;
                } else {
                    kept.push(stream);
                }
            }
        });
        url
    }

    fn is_silent(result: &Result<(), Cause>) -> bool {
        result.as_ref().is_err_and(|cause| cause.sentence.contains("timed out"))
    }

    #[tokio::test]
    async fn all_are_asked_at_once_and_each_failure_says_what_was_answered() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut results = Vec::new();
        // A machine may be too busy to ask all four while the first still waits, but not each time.
        for _ in 0..9 {
            // Asked one after the other, the first would never answer.
            let all = Arc::new(Barrier::new(4));
            let urls = [
                serve(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), &all).await,
                serve(Some("HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\ndatabase gone\nstack"), &all).await,
                serve(None, &all).await,
                serve(None, &all).await,
                format!("http://{}/", closed.local_addr().unwrap()),
            ];
            results = ask(&client, &given_targets(&urls)).await;
            if results[..2].iter().all(|result| !is_silent(result)) {
                break;
            }
        }
        assert!(results[0].is_ok());
        let cause = results[1].as_ref().unwrap_err();
        assert_eq!(cause.kind, Kind::AppHealth);
        assert_eq!(
            cause.evidence[1..].iter().map(|fact| fact.value.as_str()).collect::<Vec<_>>(),
            ["500", "database gone\nstack"]
        );
        let word = |nth: usize| results[nth].as_ref().unwrap_err().sentence.clone();
        assert!(is_silent(&results[2]) && is_silent(&results[3]));
        assert!(word(4).contains("is not accepting connections"));
    }
}

//! The Auto Scaling Query API with the lifecycle actions that other stand-ins lack.
//!
//! Every call must carry a Signature Version 4 header; its signature is not verified, which a real server does.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::record::{Recorded, Recorder};
use crate::server::{Server, lock};
use crate::sigv4::Scope;
use answers::Refusal;
use faults::{Faults, Verdict};
use machine::{Find, Machine};

mod answers;
mod faults;
mod machine;

pub use faults::Fault;
pub use machine::{Hook, Outcome, Pacing, Stage, Transition};

/// Where a running server takes its orders, as `PUT`: the body holds one fault in a line and replaces those in
/// force; an empty body cures everything.
pub const FAULTS_PATH: &str = "/stand-in/faults";

/// Where a running server tells an instance's lifecycle state, as `GET`, followed by the instance id; 404 when gone.
pub const STATE_PATH: &str = "/stand-in/state/";

/// How to start it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where calls are recorded as JSON lines.
    pub record: Option<PathBuf>,
    /// Faults in force from the start.
    pub faults: Vec<Fault>,
    /// The one group; without it, no instance is in any group.
    pub group: Option<String>,
    /// Its hooks.
    pub hooks: Vec<Hook>,
    /// The instance that the group launches at the start.
    pub instance: String,
    /// Whether it is launched into the warm pool.
    pub warmed: bool,
    /// How long states last in which nobody is waited for.
    pub pacing: Pacing,
    /// The region of the ARNs.
    pub region: String,
}

impl Default for Config {
    /// A group `services-box` with a launch hook `services-box-launch` of 3600 seconds, and one instance.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            record: None,
            faults: Vec::new(),
            group: Some("services-box".into()),
            hooks: vec![Hook::launching("services-box-launch")],
            instance: "i-0a1b2c3d4e5f60718".into(),
            warmed: false,
            pacing: Pacing::default(),
            region: "us-east-1".into(),
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// As in the API, e.g. `CompleteLifecycleAction`.
    pub action: String,
    /// All others of the form; lists as `InstanceIds.member.1`.
    pub parameters: BTreeMap<String, String>,
    /// The region it was signed for; nothing when it carried no Signature Version 4 header.
    pub region: Option<String>,
    /// What was answered; nothing, when it is left without an answer.
    pub status: Option<u16>,
    /// The error code of the answer.
    pub code: Option<String>,
}

impl Call {
    /// A parameter, or nothing in its place.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// A running API; dropping it stops it.
pub struct Handle {
    server: Server,
    shared: Arc<Shared>,
}

impl Handle {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Adds a fault to those in force.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.api).faults.inject(fault);
    }

    /// Removes every fault.
    pub fn cure(&self) {
        lock(&self.shared.api).faults.cure();
    }

    /// The lifecycle state as the API names it, now; `None` when the group has no such instance.
    #[must_use]
    pub fn state(&self, instance: &str) -> Option<String> {
        lock(&self.shared.api).state(instance)
    }

    /// Puts an instance of the group in a stage, with the actions that belong to it newly started.
    pub fn place(&self, instance: &str, stage: Stage, warmed: bool) {
        lock(&self.shared.api).machine.place(instance, stage, warmed, Instant::now());
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded<Call>> {
        self.shared.calls.calls()
    }

    /// The calls of one action, in order.
    #[must_use]
    pub fn calls_of(&self, action: &str) -> Vec<Recorded<Call>> {
        let mut calls = self.calls();
        calls.retain(|call| call.action == action);
        calls
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.shared.calls.clear();
    }

    /// Waits until the calls satisfy the question; false when the deadline passed first.
    pub fn wait_for(&self, deadline: Duration, question: impl Fn(&[Recorded<Call>]) -> bool) -> bool {
        self.shared.calls.wait_for(deadline, question)
    }
}

struct Shared {
    api: Mutex<Api>,
    calls: Recorder<Call>,
}

struct Api {
    machine: Machine,
    faults: Faults,
    group: Option<String>,
    instance: String,
    region: String,
    requests: u64,
}

/// Starts the API on a thread of its own, and launches the instance.
///
/// # Errors
/// When the address cannot be bound or the record cannot be opened.
pub fn start(config: Config) -> io::Result<Handle> {
    let mut machine = Machine::new(config.hooks, config.pacing);
    if let Some(group) = &config.group {
        let zone = format!("{}a", config.region);
        machine.launch(&config.instance, group, &zone, config.warmed, Instant::now());
    }
    let mut faults = Faults::default();
    for fault in config.faults {
        faults.inject(fault);
    }
    let Config { group, instance, region, .. } = config;
    let api = Mutex::new(Api { machine, faults, group, instance, region, requests: 0 });
    let shared = Arc::new(Shared { api, calls: Recorder::new(config.record.as_deref())? });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    Ok(Handle { server: Server::start(config.listen, None, router)?, shared })
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if uri.path() == FAULTS_PATH {
        return control(&shared, &body);
    }
    if let Some(instance) = uri.path().strip_prefix(STATE_PATH) {
        let state = lock(&shared.api).state(instance);
        return state.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response);
    }
    let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let action = parameters.remove("Action").unwrap_or_default();
    let region = Scope::of(&headers).map(|scope| scope.region);
    let decided = lock(&shared.api).decide(&action, &parameters, region.as_deref());
    let (status, code, response) = match decided {
        Some((Ok(result), id)) => (Some(200), None, Some(answers::success(&action, &result, &id))),
        Some((Err(refusal), id)) => {
            (Some(refusal.status.as_u16()), Some(refusal.code.into()), Some(refusal.render(&id)))
        }
        None => (None, None, None),
    };
    shared.calls.add(Call { action, parameters, region, status, code });
    match response {
        Some(response) => response,
        None => pending().await,
    }
}

fn control(shared: &Shared, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.map(str::parse::<Fault>).collect::<Result<Vec<_>, _>>() {
        Ok(faults) => {
            let api = &mut lock(&shared.api);
            api.faults.cure();
            faults.into_iter().for_each(|fault| api.faults.inject(fault));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(sentence) => (StatusCode::BAD_REQUEST, sentence).into_response(),
    }
}

type Parameters = BTreeMap<String, String>;

impl Api {
    fn state(&mut self, instance: &str) -> Option<String> {
        self.machine.members(Instant::now()).find(|member| member.id == instance).map(machine::Member::state)
    }

    /// The inside of the result, or the refusal, and the request's id; `None` leaves it without an answer.
    fn decide(
        &mut self,
        action: &str,
        of: &Parameters,
        signed: Option<&str>,
    ) -> Option<(Result<String, Refusal>, String)> {
        self.requests += 1;
        let id = format!("5fdbb4fa-0000-4000-8000-{:012}", self.requests);
        if signed.is_none() {
            return Some((Err(Refusal::unsigned()), id));
        }
        let caller = format!("arn:aws:sts::{}:assumed-role/services-box/{}", answers::ACCOUNT, self.instance);
        match self.faults.judge(action, &caller, &self.region) {
            Verdict::Serve => Some((self.perform(action, of), id)),
            Verdict::Silent => None,
            Verdict::Refuse(refusal) => Some((Err(refusal), id)),
        }
    }

    fn perform(&mut self, action: &str, of: &Parameters) -> Result<String, Refusal> {
        let now = Instant::now();
        match action {
            "DescribeAutoScalingInstances" => {
                let asked = members(of, "InstanceIds");
                let known = self
                    .machine
                    .members(now)
                    .filter(|member| asked.is_empty() || asked.contains(&&*member.id));
                Ok(answers::list("AutoScalingInstances", known.map(answers::instance)))
            }
            "DescribeAutoScalingGroups" => {
                let asked = members(of, "AutoScalingGroupNames");
                let known =
                    self.group.as_ref().filter(|name| asked.is_empty() || asked.contains(&name.as_str()));
                let instances: Vec<_> = self.machine.members(now).collect();
                Ok(answers::list(
                    "AutoScalingGroups",
                    known.map(|name| answers::group(name, &self.region, &instances)),
                ))
            }
            "DescribeLifecycleHooks" => {
                let group = self.named_group(of)?;
                let asked = members(of, "LifecycleHookNames");
                let known =
                    self.machine.hooks.iter().filter(|hook| asked.is_empty() || asked.contains(&&*hook.name));
                Ok(answers::list("LifecycleHooks", known.map(|hook| answers::hook(&group, hook))))
            }
            "RecordLifecycleActionHeartbeat" => {
                let find = self.find(of, now)?;
                let (instance, token) = (find.instance, find.token);
                self.machine.heartbeat(&find, now).map_err(|_| Refusal::not_active(instance, token))?;
                Ok(String::new())
            }
            "CompleteLifecycleAction" => {
                let written = required(of, "LifecycleActionResult")?;
                let outcome = Outcome::parse(written).ok_or_else(|| {
                    Refusal::validation(format!(
                        "LifecycleActionResult must be either CONTINUE or ABANDON, not {written}"
                    ))
                })?;
                let find = self.find(of, now)?;
                let (instance, token) = (find.instance, find.token);
                self.machine
                    .complete(&find, outcome, now)
                    .map_err(|_| Refusal::not_active(instance, token))?;
                Ok(String::new())
            }
            "SetInstanceHealth" => {
                let instance = required(of, "InstanceId")?;
                if self.machine.set_health(instance, required(of, "HealthStatus")?, now) {
                    return Ok(String::new());
                }
                let sentence =
                    format!("Instance Id not found - No managed instance found for instance ID: {instance}");
                Err(Refusal::validation(sentence))
            }
            _ => Err(Refusal::unknown_action(action)),
        }
    }

    fn named_group(&self, of: &Parameters) -> Result<String, Refusal> {
        let name = required(of, "AutoScalingGroupName")?;
        self.group.clone().filter(|group| group == name).ok_or_else(|| {
            Refusal::validation(format!(
                "AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
            ))
        })
    }

    /// The action meant; a call that runs into the propagation race is told what a call too late is told.
    fn find<'a>(&mut self, of: &'a Parameters, now: Instant) -> Result<Find<'a>, Refusal> {
        self.named_group(of)?;
        let hook = required(of, "LifecycleHookName")?;
        let instance = of.get("InstanceId").map(String::as_str);
        let token = of.get("LifecycleActionToken").map(String::as_str);
        if instance.is_none() && token.is_none() {
            let sentence = "Either InstanceId or LifecycleActionToken must be specified";
            return Err(Refusal::validation(sentence));
        }
        let waiting = instance.and_then(|id| self.machine.waiting_since(id, now));
        if waiting.is_some_and(|since| self.faults.races(since, now)) {
            return Err(Refusal::not_active(instance, token));
        }
        Ok(Find { instance, hook, token })
    }
}

fn required<'a>(of: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    of.get(name).map(String::as_str).ok_or_else(|| Refusal::missing(name))
}

fn members<'a>(of: &'a Parameters, list: &str) -> Vec<&'a str> {
    let prefix = format!("{list}.member.");
    of.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, value)| value.as_str()).collect()
}

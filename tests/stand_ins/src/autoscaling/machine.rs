//! The life of an instance in a group, as Auto Scaling's documentation of lifecycle hooks draws it.
//!
//! Pure: time is an argument, and every question first moves the machine to that time.

use std::time::{Duration, Instant};

/// The most that heartbeats can stretch an action, as AWS has it: 48 hours, or a hundred heartbeat timeouts.
const LONGEST_ACTION: Duration = Duration::from_secs(48 * 3600);

/// What an action ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Continue,
    /// At launch: terminate the instance.
    Abandon,
}

impl Outcome {
    /// As the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Continue, Self::Abandon].into_iter().find(|outcome| outcome.name() == text)
    }
}

/// When a hook fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminating,
}

impl Transition {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }
}

/// A lifecycle hook.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub transition: Transition,
    /// How long an action waits for a heartbeat or its end. The API shows whole seconds.
    pub heartbeat_timeout: Duration,
    /// How long an action lives at most; `None` is AWS's rule, min(48 h, 100 × heartbeat timeout).
    pub global_timeout: Option<Duration>,
    /// What a timeout means.
    pub default_result: Outcome,
}

impl Hook {
    /// A launch hook with AWS's defaults: 3600 seconds, ABANDON.
    #[must_use]
    pub fn launching(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            transition: Transition::Launching,
            heartbeat_timeout: Duration::from_secs(3600),
            global_timeout: None,
            default_result: Outcome::Abandon,
        }
    }

    /// A termination hook with AWS's defaults.
    #[must_use]
    pub fn terminating(name: &str) -> Self {
        Self { transition: Transition::Terminating, ..Self::launching(name) }
    }

    /// The same hook with this heartbeat timeout.
    #[must_use]
    pub fn timeout(mut self, heartbeat: Duration) -> Self {
        self.heartbeat_timeout = heartbeat;
        self
    }

    pub(super) fn limit(&self) -> Duration {
        self.global_timeout.unwrap_or_else(|| LONGEST_ACTION.min(self.heartbeat_timeout.saturating_mul(100)))
    }
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Being launched; no action is active yet.
    Pending,
    /// A launch action is active.
    PendingWait,
    /// The launch actions are complete.
    PendingProceed,
    /// Serving; for an instance of the warm pool, `Stopped`.
    InService,
    /// Going away; no action is active.
    Terminating,
    /// A termination action is active.
    TerminatingWait,
    /// The termination actions are complete.
    TerminatingProceed,
    /// Gone: no longer described.
    Terminated,
}

/// How long the states last in which nobody is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacing {
    /// `Pending`, before the launch hooks fire.
    pub pending: Duration,
    /// `Pending:Proceed`, before `InService`.
    pub proceed: Duration,
    /// `Terminating` without a hook, and `Terminating:Proceed`, before the instance is gone; `None`: for ever.
    pub terminating: Option<Duration>,
}

#[derive(Debug)]
struct Action {
    hook: Hook,
    token: String,
    deadline: Instant,
    limit: Instant,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) availability_zone: String,
    pub(super) health: String,
    warmed: bool,
    stage: Stage,
    since: Instant,
    actions: Vec<Action>,
}

/// Every instance, with the hooks and the pace of its group.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) hooks: Vec<Hook>,
    pacing: Pacing,
    members: Vec<Member>,
    issued: u64,
}

/// There is no such active action.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotActive;

impl Machine {
    pub(super) fn new(hooks: Vec<Hook>, pacing: Pacing) -> Self {
        Self { hooks, pacing, members: Vec::new(), issued: 0 }
    }

    pub(super) fn launch(
        &mut self,
        id: &str,
        group: &str,
        availability_zone: &str,
        warmed: bool,
        now: Instant,
    ) {
        self.members.retain(|member| member.id != id);
        self.members.push(Member {
            id: id.to_owned(),
            group: group.to_owned(),
            availability_zone: availability_zone.to_owned(),
            health: "Healthy".into(),
            warmed,
            stage: Stage::Pending,
            since: now,
            actions: Vec::new(),
        });
        self.advance(now);
    }

    /// Puts an instance in a stage, with the actions that belong to it newly started.
    pub(super) fn place(&mut self, id: &str, stage: Stage, warmed: bool, now: Instant) {
        let hooks = self.hooks.clone();
        let issued = &mut self.issued;
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.warmed = warmed;
            member.enter(stage, now, &hooks, issued);
        }
    }

    /// Those that are still described.
    pub(super) fn members(&mut self, now: Instant) -> impl Iterator<Item = &Member> {
        self.advance(now);
        self.members.iter().filter(|member| member.stage != Stage::Terminated)
    }

    pub(super) fn set_health(&mut self, id: &str, health: &str, now: Instant) -> bool {
        self.advance(now);
        match self.members.iter_mut().find(|member| member.id == id && member.stage != Stage::Terminated) {
            Some(member) => {
                member.health = health.to_owned();
                true
            }
            None => false,
        }
    }

    /// When the instance came to wait; `None` when it does not wait.
    pub(super) fn waiting_since(&mut self, id: &str, now: Instant) -> Option<Instant> {
        self.advance(now);
        self.members
            .iter()
            .find(|member| member.id == id && !member.actions.is_empty())
            .map(|member| member.since)
    }

    pub(super) fn heartbeat(&mut self, find: &Find<'_>, now: Instant) -> Result<(), NotActive> {
        self.advance(now);
        let member = find.member(&mut self.members).ok_or(NotActive)?;
        let action = member.actions.iter_mut().find(|action| find.fits(action)).ok_or(NotActive)?;
        action.deadline = (now + action.hook.heartbeat_timeout).min(action.limit);
        Ok(())
    }

    pub(super) fn complete(
        &mut self,
        find: &Find<'_>,
        outcome: Outcome,
        now: Instant,
    ) -> Result<(), NotActive> {
        self.advance(now);
        let hooks = self.hooks.clone();
        let member = find.member(&mut self.members).ok_or(NotActive)?;
        let index = member.actions.iter().position(|action| find.fits(action)).ok_or(NotActive)?;
        member.end(index, outcome, now, &hooks, &mut self.issued);
        self.advance(now);
        Ok(())
    }

    fn advance(&mut self, now: Instant) {
        for member in &mut self.members {
            while member.step(now, &self.hooks, self.pacing, &mut self.issued) {}
        }
    }
}

/// Which action a call means: the hook by name, the instance by id, and the token where one is given.
pub(super) struct Find<'a> {
    pub(super) instance: Option<&'a str>,
    pub(super) hook: &'a str,
    pub(super) token: Option<&'a str>,
}

impl Find<'_> {
    fn member<'m>(&self, members: &'m mut [Member]) -> Option<&'m mut Member> {
        members.iter_mut().find(|member| {
            self.instance.is_none_or(|id| id == member.id)
                && member.actions.iter().any(|action| self.fits(action))
        })
    }

    fn fits(&self, action: &Action) -> bool {
        action.hook.name == self.hook && self.token.is_none_or(|token| token == action.token)
    }
}

impl Member {
    /// As the API writes it.
    pub(super) fn state(&self) -> String {
        let stage = match self.stage {
            Stage::Pending => "Pending",
            Stage::PendingWait => "Pending:Wait",
            Stage::PendingProceed => "Pending:Proceed",
            Stage::InService if self.warmed => "Stopped",
            Stage::InService => "InService",
            Stage::Terminating => "Terminating",
            Stage::TerminatingWait => "Terminating:Wait",
            Stage::TerminatingProceed => "Terminating:Proceed",
            Stage::Terminated => "Terminated",
        };
        if self.warmed { format!("Warmed:{stage}") } else { stage.to_owned() }
    }

    fn enter(&mut self, stage: Stage, at: Instant, hooks: &[Hook], issued: &mut u64) {
        let transition = match stage {
            Stage::PendingWait => Some(Transition::Launching),
            Stage::TerminatingWait => Some(Transition::Terminating),
            _ => None,
        };
        let fired = hooks.iter().filter(|hook| Some(hook.transition) == transition);
        self.actions = fired
            .map(|hook| {
                *issued += 1;
                Action {
                    hook: hook.clone(),
                    token: format!("00000000-0000-4000-8000-{issued:012}"),
                    deadline: at + hook.heartbeat_timeout.min(hook.limit()),
                    limit: at + hook.limit(),
                }
            })
            .collect();
        self.stage = stage;
        self.since = at;
    }

    /// One change at most; true when there was one, so that the next is looked for.
    fn step(&mut self, now: Instant, hooks: &[Hook], pacing: Pacing, issued: &mut u64) -> bool {
        let after = |time: Duration| self.since + time;
        let gone = |since: Instant| pacing.terminating.map(|time| (since + time, Stage::Terminated));
        let has = |transition| hooks.iter().any(|hook| hook.transition == transition);
        let next = match self.stage {
            Stage::Pending if has(Transition::Launching) => Some((after(pacing.pending), Stage::PendingWait)),
            Stage::Pending => Some((after(pacing.pending), Stage::InService)),
            Stage::PendingProceed => Some((after(pacing.proceed), Stage::InService)),
            Stage::Terminating if has(Transition::Terminating) => Some((self.since, Stage::TerminatingWait)),
            Stage::Terminating | Stage::TerminatingProceed => gone(self.since),
            Stage::PendingWait | Stage::TerminatingWait => return self.expire(now, hooks, issued),
            Stage::InService | Stage::Terminated => None,
        };
        match next {
            Some((at, stage)) if at <= now => {
                self.enter(stage, at, hooks, issued);
                true
            }
            _ => false,
        }
    }

    /// Ends the action that timed out first.
    fn expire(&mut self, now: Instant, hooks: &[Hook], issued: &mut u64) -> bool {
        let late = self.actions.iter().enumerate().filter(|(_, action)| action.deadline <= now);
        match late.min_by_key(|(_, action)| action.deadline) {
            Some((index, action)) => {
                let (outcome, at) = (action.hook.default_result, action.deadline);
                self.end(index, outcome, at, hooks, issued);
                true
            }
            None => false,
        }
    }

    /// One ABANDON ends a launch whatever the other hooks say; otherwise all of them are waited for.
    fn end(&mut self, index: usize, outcome: Outcome, at: Instant, hooks: &[Hook], issued: &mut u64) {
        self.actions.remove(index);
        match (self.stage, outcome) {
            (Stage::PendingWait, Outcome::Abandon) => self.enter(Stage::Terminating, at, hooks, issued),
            (Stage::PendingWait, Outcome::Continue) if self.actions.is_empty() => {
                self.enter(Stage::PendingProceed, at, hooks, issued);
            }
            (Stage::TerminatingWait, _) if self.actions.is_empty() => {
                self.enter(Stage::TerminatingProceed, at, hooks, issued);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

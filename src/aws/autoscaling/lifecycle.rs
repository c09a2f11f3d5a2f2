//! The lifecycle states of an instance in an Auto Scaling group, and what they mean for a boot.

use std::fmt;

/// A lifecycle state. Warm pools have `Warmed:*`; unknown states are kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is AWS's own word")]
pub enum LifecycleState {
    Pending,
    PendingWait,
    PendingProceed,
    InService,
    EnteringStandby,
    Standby,
    Detaching,
    Detached,
    Terminating,
    TerminatingWait,
    TerminatingProceed,
    Terminated,
    WarmedPending,
    WarmedPendingWait,
    WarmedPendingProceed,
    WarmedTerminating,
    WarmedTerminatingWait,
    WarmedTerminatingProceed,
    WarmedTerminated,
    WarmedStopped,
    WarmedRunning,
    WarmedHibernated,
    Other(String),
}

use LifecycleState::*;

const WORDS: [(&str, LifecycleState); 22] = [
    ("Pending", Pending),
    ("Pending:Wait", PendingWait),
    ("Pending:Proceed", PendingProceed),
    ("InService", InService),
    ("EnteringStandby", EnteringStandby),
    ("Standby", Standby),
    ("Detaching", Detaching),
    ("Detached", Detached),
    ("Terminating", Terminating),
    ("Terminating:Wait", TerminatingWait),
    ("Terminating:Proceed", TerminatingProceed),
    ("Terminated", Terminated),
    ("Warmed:Pending", WarmedPending),
    ("Warmed:Pending:Wait", WarmedPendingWait),
    ("Warmed:Pending:Proceed", WarmedPendingProceed),
    ("Warmed:Terminating", WarmedTerminating),
    ("Warmed:Terminating:Wait", WarmedTerminatingWait),
    ("Warmed:Terminating:Proceed", WarmedTerminatingProceed),
    ("Warmed:Terminated", WarmedTerminated),
    ("Warmed:Stopped", WarmedStopped),
    ("Warmed:Running", WarmedRunning),
    ("Warmed:Hibernated", WarmedHibernated),
];

impl LifecycleState {
    /// Whether the group is waiting, or about to wait, for a launch hook. In `Pending`, the instance is running but has
    /// not yet reached `Pending:Wait`.
    pub fn awaits_completion(&self) -> bool {
        matches!(self, Pending | PendingWait | WarmedPending | WarmedPendingWait)
    }

    /// Whether the launch hook has been completed: with CONTINUE, or because it expired with that default.
    pub fn is_past_launch(&self) -> bool {
        matches!(
            self,
            PendingProceed
                | InService
                | EnteringStandby
                | Standby
                | Detaching
                | Detached
                | WarmedPendingProceed
                | WarmedStopped
                | WarmedRunning
                | WarmedHibernated
        )
    }

    /// Whether the group is terminating this instance, as after a hook that expired with ABANDON. A boot cannot change
    /// that.
    pub fn is_leaving(&self) -> bool {
        matches!(
            self,
            Terminating
                | TerminatingWait
                | TerminatingProceed
                | Terminated
                | WarmedTerminating
                | WarmedTerminatingWait
                | WarmedTerminatingProceed
                | WarmedTerminated
        ) || matches!(self, Other(text) if text.contains("Terminat"))
    }
}

impl From<&str> for LifecycleState {
    fn from(text: &str) -> Self {
        let known = WORDS.into_iter().find(|(word, _)| *word == text);
        known.map_or_else(|| Other(text.to_owned()), |(_, state)| state)
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Other(text) => f.write_str(text),
            known => f.write_str(WORDS.iter().find(|(_, state)| state == known).map_or("", |(word, _)| word)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_aws_comes_back_as_it_was() {
        for (word, state) in WORDS {
            assert_eq!(LifecycleState::from(word), state);
            assert_eq!(state.to_string(), word);
        }
        assert_eq!(LifecycleState::from("Terminating:Retained").to_string(), "Terminating:Retained");
    }

    #[test]
    fn every_known_state_means_one_thing_for_a_boot() {
        for (word, state) in WORDS {
            let meanings = [state.awaits_completion(), state.is_past_launch(), state.is_leaving()];
            assert_eq!(meanings.iter().filter(|it| **it).count(), 1, "{word}");
        }
        assert!(LifecycleState::from("Terminating:Retained").is_leaving());
        assert!(!LifecycleState::from("Quarantined").awaits_completion());
    }
}

//! Replicated and the app that it runs.

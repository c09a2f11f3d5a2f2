//! What the installer, the daemon and the app say, as [`crate::fuzz`] tries it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::app::AppStatus;
use super::edition::{Edition, OperatorEdition};
use super::output::Lines;
use super::process::{Ended, ProcessExit};
use super::{app, explain, health};
use crate::fuzz::{answered, http, text};

pub(crate) fn app_status(bytes: &[u8]) {
    let text = text(bytes);
    if let Some(apps) = app::parse_status(&text) {
        assert!(app::ready(&apps).is_ok() || !apps.iter().all(AppStatus::is_ready) || apps.is_empty());
    }
    app::parse_system(&text);
    for mut app in app::parse_old_list(&text) {
        app::take_old_status(&mut app, &text);
    }
}

pub(crate) fn installer_script(bytes: &[u8]) {
    if let Ok(installer) = Edition::read(bytes, "here") {
        installer.images();
        installer.unknown(&["no-docker".to_owned(), "a b".to_owned()]);
    }
    let _ = OperatorEdition::read(bytes, "here");
}

/// The first byte is the exit code, the rest what was said before it.
pub(crate) fn installer_output(bytes: &[u8]) {
    let (code, said) = bytes.split_first().unwrap_or((&1, &[]));
    let mut longest = 0;
    let mut on_line = |line: &str| longest = longest.max(line.len());
    let mut lines = Lines::new(crate::secret::Secrets::default(), &mut on_line);
    // In pieces, as a pipe gives them.
    for piece in said.chunks(37) {
        lines.take(piece);
    }
    let last = lines.finish();
    assert!(longest <= 64 * 1024, "a line of {longest} bytes");
    explain::declined_for_docker(&last);
    for exit in [ProcessExit::Code(i32::from(*code)), ProcessExit::Signal(9), ProcessExit::Deadline] {
        let ended = Ended { exit, running: last.clone() };
        let cause = explain::failed(&ended, Duration::from_secs(600), &last);
        assert!(!cause.sentence.is_empty() && !cause.next_step.is_empty());
    }
}

pub(crate) fn health_answer(bytes: &[u8]) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    answered(&http(bytes), async |address| {
        let target = health::given_targets(&[format!("http://{address}/")]);
        health::ask(&client, &target).await;
    });
}

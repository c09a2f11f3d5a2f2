//! What name resolution reads, as [`crate::fuzz`] tries it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};

use super::{hosts as read, resolv_conf as configuration, wire};
use crate::fuzz::text;

pub(crate) fn resolv_conf(bytes: &[u8]) {
    let conf = configuration::ResolvConf::parse(&text(bytes), "box.internal");
    for position in 0..4 {
        assert!(conf.wait(position) >= Duration::from_secs(1));
    }
}

/// The bytes as `/etc/hosts` and as `/etc/nsswitch.conf`.
pub(crate) fn hosts(bytes: &[u8]) {
    let text = text(bytes);
    read::sources(&text);
    read::listed(&text, "db.internal");
}

/// An answer with the question's own id, which a stranger has to guess.
pub(crate) fn answer(bytes: &[u8]) {
    let question = wire::question(&Name::from_ascii("db.internal.").unwrap(), RecordType::A, true);
    let packet = [&question.metadata.id.to_be_bytes()[..], bytes].concat();
    if let Some(Err(error)) = wire::answer_to(&question, &packet) {
        assert!(!error.to_string().is_empty());
    }
}

//! What MongoDB answers, as [`crate::fuzz`] tries it.

use super::bson::Document;
use super::hello;
use super::wire::Wire;
use crate::fuzz::answered;

/// What is read is written as it was read.
pub(crate) fn bson(bytes: &[u8]) {
    if let Ok(document) = Document::decode(bytes) {
        let again = Document::decode(&document.encode());
        assert_eq!(again.map(|again| again.encode()).ok(), Some(document.encode()));
    }
}

/// Two answers: to the greeting, and to a command.
pub(crate) fn answer(bytes: &[u8]) {
    answered(bytes, async |address| {
        let Ok(stream) = tokio::net::TcpStream::connect(address).await else { return };
        let mut wire = Wire::new(Box::new(stream));
        let _ = hello::ask(&mut wire).await;
        let _ = wire.command("admin", Document::new().with("connectionStatus", 1)).await;
    });
}

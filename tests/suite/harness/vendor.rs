//! The server that gives out the Replicated installer and the operator's script: by version, and plain text where it knows
//! none of that version. Every other path is answered with a script that prints an error, and HTTP 200.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use super::parts;

/// The one version that it knows.
pub(crate) const VERSION: &str = "2.38.6";

/// What every path is answered with that it does not know.
pub(crate) const CATCH_ALL: &str = "#! /bin/sh\n\necho \"404: page not found\"\nexit 1\n";

/// The stand-in of the operator's script.
pub(crate) fn operator_script() -> String {
    fs::read_to_string(parts::source("tests/stand_ins/replicated-operator.sh")).unwrap()
}

/// It lives as long as the test program.
pub(crate) struct Vendor {
    origin: String,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    body: Arc<Mutex<Vec<u8>>>,
    operator: Arc<Mutex<Vec<u8>>>,
}

impl Vendor {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let body = Arc::new(Mutex::new(b"#!/bin/bash\necho an installer\n".to_vec()));
        let operator = Arc::new(Mutex::new(operator_script().into_bytes()));
        let vendor = Self {
            origin: origin.clone(),
            url: format!("{origin}/docker"),
            asked: asked.clone(),
            body: body.clone(),
            operator: operator.clone(),
        };
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let target = request.split_whitespace().nth(1).unwrap_or_default().to_owned();
                let unknown = target
                    .split(['?', '&'])
                    .filter_map(|pair| pair.split_once('='))
                    .find(|(_, version)| *version != VERSION);
                let (status, content) = match (unknown, target.split('?').next().unwrap_or_default()) {
                    (Some((_, version)), _) => {
                        ("400 Bad Request", format!("Replicated version {version} not found").into_bytes())
                    }
                    (None, "/docker") => ("200 OK", body.lock().unwrap().clone()),
                    (None, "/operator") => ("200 OK", operator.lock().unwrap().clone()),
                    (None, _) => ("200 OK", CATCH_ALL.into()),
                };
                asked.lock().unwrap().push(format!("{origin}{target}"));
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    content.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
            }
        });
        vendor
    }

    /// The server, without a path.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the operator's script is fetched.
    pub(crate) fn operator_url(&self) -> String {
        format!("{}/operator?replicated_operator_tag={VERSION}", self.origin)
    }

    /// Where the installer is fetched, without a query.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it gives from now on for the version that it knows, and for none.
    pub(crate) fn serve(&self, body: impl AsRef<[u8]>) {
        *self.body.lock().unwrap() = body.as_ref().to_vec();
    }

    /// What it gives from now on as the operator's script.
    pub(crate) fn serve_operator(&self, body: impl AsRef<[u8]>) {
        *self.operator.lock().unwrap() = body.as_ref().to_vec();
    }

    /// What was asked for, as whole URLs.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

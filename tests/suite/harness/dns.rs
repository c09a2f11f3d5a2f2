//! A DNS server that knows no names and says so: on an address of the loopback of its own, since resolv.conf knows no
//! ports.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// Where the one that all tests share answers, as long as the process lives.
pub(crate) fn server() -> Ipv4Addr {
    static SHARED: OnceLock<Ipv4Addr> = OnceLock::new();
    *SHARED.get_or_init(|| {
        let (socket, address) = bind();
        thread::spawn(move || answer(&socket));
        address
    })
}

/// An address on which nobody listens.
pub(crate) fn nobody() -> Ipv4Addr {
    bind().1
}

/// Two test programs at once meet on the loopback, where they are not enclosed.
fn bind() -> (UdpSocket, Ipv4Addr) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    for _ in 0..200 {
        let address = Ipv4Addr::new(127, 0, 53, NEXT.fetch_add(1, Ordering::Relaxed));
        if let Ok(socket) = UdpSocket::bind((address, 53)) {
            return (socket, address);
        }
    }
    panic!("port 53 cannot be had on the loopback");
}

/// The question comes back with the answer that there is no such name.
fn answer(socket: &UdpSocket) {
    let mut packet = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut packet) {
        let mut said = packet[..length].to_vec();
        if length < 12 {
            continue;
        }
        // A response; recursion is there; NXDOMAIN. Nothing after the question, so no further section.
        said[2] |= 0x80;
        said[3] = 0x83;
        said[6..12].fill(0);
        said.truncate(12 + question(&packet[12..length]));
        let _ = socket.send_to(&said, client);
    }
}

/// How long the first question is: labels, an empty one, type and class.
fn question(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes.get(at).filter(|length| **length != 0) {
        at += usize::from(*length) + 1;
    }
    (at + 5).min(bytes.len())
}

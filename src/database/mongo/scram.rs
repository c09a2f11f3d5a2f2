//! SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677) as MongoDB has them: SHA-1 digests the password with the user's
//! name first. The server has to prove itself as well, or a stranger could pretend that the login worked.

use crate::digest::hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::memcmp;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// The minimum iteration count of RFC 7677; fewer would let a hostile server guess the password from the proof.
const FEWEST_ITERATIONS: usize = 4096;

/// The maximum iteration count. MongoDB's defaults are 10,000 and 15,000.
const MOST_ITERATIONS: usize = 200_000;

/// Which digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Sha1,
    Sha256,
}

impl Mechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mechanism::Sha1 => "SCRAM-SHA-1",
            Mechanism::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn digest(self) -> MessageDigest {
        match self {
            Mechanism::Sha1 => MessageDigest::sha1(),
            Mechanism::Sha256 => MessageDigest::sha256(),
        }
    }
}

/// Why an exchange ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server's message violates the protocol; how.
    Server(&'static str),
    /// The server could not prove that it knows the password.
    Impostor,
    /// The password contains characters that SCRAM-SHA-256 does not allow.
    Password,
    /// OpenSSL failed.
    Crypto(ErrorStack),
}

impl From<ErrorStack> for Fault {
    fn from(error: ErrorStack) -> Self {
        Fault::Crypto(error)
    }
}

/// One login, from the first message on.
pub(super) struct Exchange {
    mechanism: Mechanism,
    password: Vec<u8>,
    nonce: String,
    first_bare: String,
}

/// The second message, and the expected response.
pub(super) struct Proof {
    pub(super) message: String,
    expected: Vec<u8>,
}

impl Exchange {
    pub(super) fn new(mechanism: Mechanism, user: &str, password: &str) -> Result<Self, Fault> {
        let mut random = [0; 24];
        openssl::rand::rand_bytes(&mut random)?;
        Self::with_nonce(mechanism, user, password, STANDARD.encode(random))
    }

    fn with_nonce(mechanism: Mechanism, user: &str, password: &str, nonce: String) -> Result<Self, Fault> {
        let password = match mechanism {
            Mechanism::Sha1 => {
                let digested = hash(MessageDigest::md5(), format!("{user}:mongo:{password}").as_bytes())?;
                hex(&digested).into_bytes()
            }
            Mechanism::Sha256 => {
                stringprep::saslprep(password).map_err(|_| Fault::Password)?.into_owned().into_bytes()
            }
        };
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Ok(Exchange { mechanism, password, first_bare: format!("n={name},r={nonce}"), nonce })
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// The answer to the server's first message.
    pub(super) fn prove(&self, server_first: &str) -> Result<Proof, Fault> {
        let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=").ok_or(Fault::Server("no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() <= self.nonce.len() {
            return Err(Fault::Server("a nonce that does not continue the client's"));
        }
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or(Fault::Server("no salt"))?;
        let iterations = field("i=").and_then(|count| count.parse::<usize>().ok());
        let iterations = iterations
            .filter(|count| (FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(count))
            .ok_or(Fault::Server("an iteration count outside 4096 to 200000"))?;

        let digest = self.mechanism.digest();
        let mut salted = vec![0; digest.size()];
        pbkdf2_hmac(&self.password, &salt, iterations, digest, &mut salted)?;
        let client_key = self.keyed(&salted, b"Client Key")?;
        let stored_key = hash(digest, &client_key)?;
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = self.keyed(&stored_key, signed.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        let server_key = self.keyed(&salted, b"Server Key")?;
        Ok(Proof {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            expected: self.keyed(&server_key, signed.as_bytes())?,
        })
    }

    fn keyed(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(self.mechanism.digest(), &key)?;
        signer.sign_oneshot_to_vec(message)
    }
}

impl Proof {
    /// Whether the server's last message proves that it knows the password.
    pub(super) fn verify(&self, server_final: &str) -> Result<(), Fault> {
        let signature = server_final.split(',').find_map(|field| field.strip_prefix("v="));
        let signature = signature.and_then(|text| STANDARD.decode(text).ok()).ok_or(Fault::Impostor)?;
        let same = signature.len() == self.expected.len() && memcmp::eq(&signature, &self.expected);
        if same { Ok(()) } else { Err(Fault::Impostor) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The exchanges of the drivers' authentication specification.
    #[test]
    fn the_specifications_exchanges_come_out() {
        let sha1 = Exchange::with_nonce(Mechanism::Sha1, "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL".into())
            .unwrap();
        assert_eq!(sha1.first(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let proof = sha1
            .prove("r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000")
            .unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,p=MC2T8BvbmWRckDw8oWl5IVghwCY="
        );
        proof.verify("v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=").unwrap();
        assert!(matches!(proof.verify("v=VMWeI25JD1yNYZRMpZ4VHvhZ9e0="), Err(Fault::Impostor)));
        assert!(matches!(proof.verify("e=other-error"), Err(Fault::Impostor)));

        let sha256 =
            Exchange::with_nonce(Mechanism::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO".into()).unwrap();
        let proof = sha256
            .prove("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
            .unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn a_server_that_cheats_is_refused() {
        let exchange = Exchange::with_nonce(Mechanism::Sha256, "u", "p", "abc".into()).unwrap();
        for message in [
            "r=xyz123,s=AAAA,i=4096",
            "r=abc,s=AAAA,i=4096",
            "r=abcd,s=AAAA,i=1",
            "r=abcd,s=AAAA,i=2000000000",
            "r=abcd,i=4096",
            "",
        ] {
            assert!(matches!(exchange.prove(message), Err(Fault::Server(_))), "{message}");
        }
    }

    #[test]
    fn a_name_with_commas_is_escaped() {
        let exchange = Exchange::with_nonce(Mechanism::Sha1, "a,b=c", "p", "n".into()).unwrap();
        assert_eq!(exchange.first(), "n,,n=a=2Cb=3Dc,r=n");
    }
}

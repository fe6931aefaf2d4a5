//! Which secret a hook carries, told without telling the secret.

use secrecy::{ExposeSecret, SecretString};

use crate::send::gogs::hmac_sha256;

/// So often a guess at the secret has to be hashed before it can be compared: some tens of
/// milliseconds.
const ROUNDS: u32 = 100_000;

/// So many hexadecimal digits of the hash are shown: enough to tell a handful of secrets apart,
/// and too few to recognise one by.
const DIGITS: usize = 5;

/// A fingerprint of a source's secret: five hexadecimal digits, the same on every machine. The
/// name of the source goes into it, so that it does not show where a secret is used twice.
pub fn mark(secret: &SecretString, source: &str) -> String {
    let salt = format!("gogs-relay hook {source}");
    let hash = pbkdf2(secret.expose_secret().as_bytes(), salt.as_bytes(), ROUNDS);
    let mut digits = hex::encode(hash);
    digits.truncate(DIGITS);
    digits
}

/// PBKDF2 with HMAC-SHA256, its first block (RFC 8018, section 5.2).
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let first = [salt, &1_u32.to_be_bytes()].concat();
    let mut link = hmac_sha256(password, &first);
    let mut block = link;
    for _ in 1..rounds {
        link = hmac_sha256(password, &link);
        for (byte, other) in block.iter_mut().zip(link) {
            *byte ^= other;
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_standards_own() {
        // RFC 7914, section 11.
        let once = hex::encode(pbkdf2(b"passwd", b"salt", 1));
        assert_eq!(
            once,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
        let often = hex::encode(pbkdf2(b"Password", b"NaCl", 80_000));
        assert_eq!(
            often,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        );
    }

    #[test]
    fn a_mark_depends_on_the_secret_and_the_source() {
        let of = |secret: &str, source| mark(&SecretString::from(secret), source);
        assert_eq!(of("one", "gogs"), of("one", "gogs"));
        assert_ne!(of("one", "gogs"), of("two", "gogs"));
        assert_ne!(of("one", "gogs"), of("one", "other"));
        assert_eq!(of("one", "gogs").len(), DIGITS);
    }
}

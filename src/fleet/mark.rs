//! Which secret a hook carries, told without telling the secret.

use std::num::NonZeroU32;

use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use secrecy::{ExposeSecret, SecretString};

/// So often a guess at the secret has to be hashed before it can be compared: some tens of
/// milliseconds.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// So many hexadecimal digits of the hash are shown: enough to tell a handful of secrets apart,
/// and too few to recognise one by.
const DIGITS: usize = 5;

/// A fingerprint of a source's secret: five hexadecimal digits, the same on every machine. The
/// name of the source goes into it, so that it does not show where a secret is used twice.
pub fn mark(secret: &SecretString, source: &str) -> String {
    let salt = format!("gogs-relay hook {source}");
    let mut hash = [0; 32];
    let secret = secret.expose_secret().as_bytes();
    pbkdf2::derive(
        PBKDF2_HMAC_SHA256,
        ROUNDS,
        salt.as_bytes(),
        secret,
        &mut hash,
    );
    let mut digits = hex::encode(hash);
    digits.truncate(DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_depends_on_the_secret_and_the_source() {
        let of = |secret: &str, source| mark(&SecretString::from(secret), source);
        assert_eq!(of("one", "gogs"), of("one", "gogs"));
        assert_ne!(of("one", "gogs"), of("two", "gogs"));
        assert_ne!(of("one", "gogs"), of("one", "other"));
        // It stands in hooks, so it must stay the same in every version.
        assert_eq!(of("one", "gogs"), "a963c");
    }
}

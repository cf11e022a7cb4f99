//! Tokens: 256 random bits that are shown once. Only their hash is kept.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Role;
use crate::config::target::Selector;

/// How every token begins, so that those who look for leaked secrets know one.
const PREFIX: &str = "sqr_";
const RANDOM_BYTES: usize = 32;

/// A token as its bearer has it. It can be written out once, on purpose; nothing else shows it.
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub fn random() -> Result<Secret, String> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| format!("there are no random numbers: {error}"))?;
        Ok(Secret(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text that the bearer sends.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is known of a token: all but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What logs call its bearer; no other has it.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The streams that its bearer may post to; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// The patterns that its bearer may change, `*` standing for any characters; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// The SHA-256 of the token, in hexadecimal.
    pub sha256: String,
    /// When it was made, in epoch milliseconds.
    pub created: i64,
    /// From when on it is of no use, in epoch milliseconds; never where there is none.
    #[serde(default)]
    pub expires: Option<i64>,
}

/// The hash under which a token is kept.
pub fn hash_of(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Token {
    /// Whether a hash is that of this token; takes as long whether it is or not.
    pub fn is_of(&self, hash: &str) -> bool {
        self.sha256.as_bytes().ct_eq(hash.as_bytes()).into()
    }

    /// Whether it has expired.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Who acts: the bearer of a token, or anybody where no tokens are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    streams: Vec<String>,
    patterns: Vec<String>,
}

impl Actor {
    /// Whether it may change only some patterns.
    pub fn is_limited_to_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Anybody, where no tokens are needed: they may do everything.
    pub fn anonymous() -> Actor {
        Actor { name: "anonymous".to_owned(), role: Role::Admin, streams: Vec::new(), patterns: Vec::new() }
    }

    /// The bearer of a token.
    pub fn of(token: &Token) -> Actor {
        let Token { name, role, streams, patterns, .. } = token.clone();
        Actor { name, role, streams, patterns }
    }

    /// Whether they may post to a stream, as far as the scope of their token goes.
    pub fn may_post_to(&self, stream: &str) -> bool {
        self.streams.is_empty() || self.streams.iter().any(|name| name == stream)
    }

    /// Whether they may change a pattern, as far as the scope of their token goes.
    pub fn may_change(&self, pattern: &str) -> bool {
        let selects = |glob: &String| Selector::Name(glob.clone()).selects(pattern, &BTreeMap::new());
        self.patterns.is_empty() || self.patterns.iter().any(selects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits_and_is_never_shown_by_accident() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        let bits = one.expose().strip_prefix("sqr_").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(bits).unwrap().len(), 32);
        assert_eq!(format!("{one:?}"), "***");
        // From the standard's own examples.
        assert_eq!(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_scope_narrows_and_its_absence_does_not() {
        let mut actor = Actor::anonymous();
        assert!(actor.may_change("any") && actor.may_post_to("any"));
        actor.patterns = vec!["card_*".into(), "one".into()];
        actor.streams = vec!["events".into()];
        assert!(actor.may_change("card_x") && actor.may_change("one") && !actor.may_change("other"));
        assert!(actor.may_post_to("events") && !actor.may_post_to("event"));
    }
}

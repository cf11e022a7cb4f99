//! Secrets: only ever referred to in settings, read when the service starts, and never shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// All of a file but the line break at its end.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

impl SecretSource {
    /// Reads the secret; `variable` gives the value of a variable of the environment. What cannot be read, and why, is
    /// told without a byte of it.
    pub fn resolve(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Secret, String> {
        let text = match self {
            SecretSource::File(path) => {
                let shown = path.display();
                let text = fs::read(path)
                    .map_err(|e| format!("cannot read the secret in the file `{shown}`: {e}"))?;
                let text = String::from_utf8(text)
                    .map_err(|_| format!("the secret in the file `{shown}` is not text in UTF-8"))?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                line.strip_suffix('\r').unwrap_or(line).to_owned()
            }
            SecretSource::Env(name) => variable(name)
                .ok_or_else(|| format!("the variable `{name}`, which should hold a secret, is not set"))?,
        };
        if text.is_empty() {
            return Err(match self {
                SecretSource::File(path) => {
                    format!("the file `{}`, which should hold a secret, is empty", path.display())
                }
                SecretSource::Env(name) => {
                    format!("the variable `{name}`, which should hold a secret, is empty")
                }
            });
        }
        Ok(Secret(text))
    }
}

/// A secret. Whatever shows it shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for what signs or compares with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

//! Roles: what the bearer of a token may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but tokens.
    Viewer,
    /// Reads, and changes patterns.
    Editor,
    /// Posts events and heartbeats, and nothing else.
    Ingest,
    /// Everything.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Editor, Role::Ingest, Role::Admin];

    /// Whether it is enough where at least `least` is needed.
    pub fn suffices(self, least: Role) -> bool {
        self == least || self == Role::Admin || (self, least) == (Role::Editor, Role::Viewer)
    }

    fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Ingest => "ingest",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let role = Role::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| "the roles are viewer, editor, ingest and admin".to_owned())
    }
}

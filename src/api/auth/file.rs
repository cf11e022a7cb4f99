//! The file of tokens: what the command line changes, and the service reads again whenever it has changed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::token::{Actor, Token, hash_of};

/// The version of the layout.
const VERSION: u32 = 1;

/// What stands in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tokens: Vec<Token>,
}

/// Why tokens could not be read or changed.
#[derive(Debug)]
pub enum TokensError {
    /// The file could not be read or written.
    Io(PathBuf, io::Error),
    /// What stands in it is not what should; why.
    Content(PathBuf, String),
    /// A token of this name is there.
    Exists(String),
    /// No token of this name is there.
    Missing(String),
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokensError::Io(path, error) => write!(f, "the tokens in `{}`: {error}", path.display()),
            TokensError::Content(path, why) => {
                write!(f, "the file of tokens `{}` cannot be used: {why}", path.display())
            }
            TokensError::Exists(name) => {
                write!(f, "there is a token `{name}` already: take another name, or remove it first")
            }
            TokensError::Missing(name) => write!(f, "there is no token `{name}`"),
        }
    }
}

impl std::error::Error for TokensError {}

/// A file of tokens, as the command line uses it.
#[derive(Debug, Clone)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The file at a path; it need not be there.
    pub fn at(path: PathBuf) -> TokenFile {
        TokenFile(path)
    }

    /// Its tokens; none where there is no file.
    pub fn read(&self) -> Result<Vec<Token>, TokensError> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TokensError::Io(self.0.clone(), error)),
        };
        let wrong = |why: String| TokensError::Content(self.0.clone(), why);
        let content: Content = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if content.version != VERSION {
            let found = content.version;
            return Err(wrong(format!("its version is {found}, this program reads {VERSION}")));
        }
        Ok(content.tokens)
    }

    /// Adds a token.
    pub fn add(&self, token: Token) -> Result<(), TokensError> {
        self.change(|tokens| match tokens.iter().any(|known| known.name == token.name) {
            true => Err(TokensError::Exists(token.name.clone())),
            false => {
                tokens.push(token);
                Ok(())
            }
        })
    }

    /// Removes a token.
    pub fn remove(&self, name: &str) -> Result<(), TokensError> {
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            if tokens.len() < before { Ok(()) } else { Err(TokensError::Missing(name.to_owned())) }
        })
    }

    /// Changes the tokens, one process at a time. The file is at any moment the one before or the one after.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Token>) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let io = |error| TokensError::Io(self.0.clone(), error);
        let dir = self.0.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(io)?;
        let private =
            |path: &Path| File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        let lock = private(&self.0.with_extension("lock")).map_err(io)?;
        lock.lock().map_err(io)?;
        let mut tokens = self.read()?;
        change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Content { version: VERSION, tokens })
            .map_err(|error| TokensError::Content(self.0.clone(), error.to_string()))?;
        let new = self.0.with_extension("new");
        let replace = || {
            // One that was left behind by a crash may have other rights.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = private(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.0)?;
            File::open(dir)?.sync_all()
        };
        replace().map_err(io)
    }
}

/// Which file was read: another one, or one that was written to, differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The tokens as the service knows them: looks at each request whether the file has changed.
pub struct Tokens {
    file: TokenFile,
    read: RwLock<Arc<Read>>,
}

struct Read {
    stamp: Option<Stamp>,
    /// Or why nobody is let in.
    tokens: Result<Vec<Token>, String>,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such token, or no longer.
    NoSuchToken,
    /// It has expired.
    Expired,
    /// The file of tokens cannot be used; why.
    Unreadable(String),
}

impl Tokens {
    /// The tokens of a file, which need not be there yet.
    pub fn of(file: TokenFile) -> Tokens {
        let read = RwLock::new(Arc::new(file.look()));
        Tokens { file, read }
    }

    /// Why the file cannot be used, where it cannot.
    pub fn problem(&self) -> Option<String> {
        self.current().tokens.as_ref().err().cloned()
    }

    /// Whose token this is.
    pub fn bearer(&self, secret: &str, now: i64) -> Result<Actor, Unknown> {
        let read = self.current();
        let tokens = read.tokens.as_ref().map_err(|why| Unknown::Unreadable(why.clone()))?;
        let hash = hash_of(secret);
        // All are looked at, so that time tells nothing.
        let found =
            tokens.iter().fold(None, |found, token| if token.is_of(&hash) { Some(token) } else { found });
        match found {
            None => Err(Unknown::NoSuchToken),
            Some(token) if token.has_expired(now) => Err(Unknown::Expired),
            Some(token) => Ok(Actor::of(token)),
        }
    }

    fn current(&self) -> Arc<Read> {
        let known = Arc::clone(&self.read.read().unwrap_or_else(PoisonError::into_inner));
        if self.file.stamp() == known.stamp {
            return known;
        }
        let read = Arc::new(self.file.look());
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        read
    }
}

impl TokenFile {
    fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.0).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Reads the file. The stamp is taken before: what changes meanwhile is read again.
    fn look(&self) -> Read {
        let stamp = self.stamp();
        Read { stamp, tokens: self.read().map_err(|error| error.to_string()) }
    }
}

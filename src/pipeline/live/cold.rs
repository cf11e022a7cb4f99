//! Keys that have no room in memory: each shard has files for them below the data directory, of which nothing is needed
//! after a stop. Checkpoints hold these keys as they hold all others.

use std::fs;
use std::io;
use std::path::Path;

use tracing::{info, warn};

use crate::engine::{self, Engine};
use crate::state::{Error, Spill};

/// The size of a file.
const FILE_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Files {
    spill: Spill,
    /// Whether the last record had no room.
    is_full: bool,
}

impl engine::Spill for Files {
    fn put(&mut self, record: &[u8]) -> Result<u32, String> {
        let put = self.spill.put(record).map_err(|error| error.to_string());
        match &put {
            Err(error) if !self.is_full => {
                warn!(%error, "keys have no room outside: more state is held than data.state_memory");
            }
            Ok(_) if self.is_full => info!("keys have room outside again"),
            _ => {}
        }
        self.is_full = put.is_err();
        put
    }

    fn get(&mut self, place: u32, into: &mut Vec<u8>) -> Result<(), String> {
        self.spill.get(place, into).map_err(|error| error.to_string())
    }

    fn remove(&mut self, place: u32) {
        self.spill.remove(place);
    }

    fn sparse(&mut self) -> Result<Vec<u32>, String> {
        self.spill.sparse().map_err(|error| error.to_string())
    }
}

/// Lets engines hold so many bytes together, if there is a limit. What an earlier process had outside is deleted.
pub(super) fn limit(dir: &Path, bytes: Option<u64>, engines: &mut [Engine]) -> Result<(), Error> {
    let dir = dir.join("cold");
    if let Err(error) = fs::remove_dir_all(&dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(%error, "`{}` cannot be removed", dir.display());
    }
    let Some(bytes) = bytes else { return Ok(()) };
    let share = usize::try_from(bytes).unwrap_or(usize::MAX) / engines.len().max(1);
    for (number, engine) in engines.iter_mut().enumerate() {
        let spill = Spill::open(&dir.join(number.to_string()), FILE_BYTES)?;
        engine.spill(Box::new(Files { spill, is_full: false }), share);
    }
    Ok(())
}

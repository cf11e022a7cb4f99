//! The store on sled: which directory is current, which checkpoints there are, and which one is being written.

use super::cache::Cache;
use super::checkpoint::{Block, Chain, Checkpoint, Tally};
use super::error::Error;
use super::generation::{Generation, Side};
use super::manifest::Manifest;
use super::merge::{Loaded, merge};
use super::open::{Found, Opened, open, set_aside};
use super::writer::Build;
use super::{Entry, StateStore, Writer, disk, record};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// How the store behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// A full checkpoint is due when those after the last one have more bytes than it times this.
    pub full_after_ratio: f64,
    /// It is not due below this number of bytes, which are not worth changing the directory for.
    pub full_after_bytes_min: u64,
    /// It is due after this number of checkpoints in any case.
    pub full_after_checkpoints: usize,
    /// It is due after this number of checkpoints where all of them together have fewer bytes than `full_after_bytes_min`:
    /// the events since the last full one are kept for a start that finds the newest directory damaged.
    pub small_after_checkpoints: usize,
    /// Bytes of chunks that [`StateStore::get`] keeps unpacked.
    pub cache_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            full_after_ratio: 1.0,
            full_after_bytes_min: 4 << 20,
            full_after_checkpoints: 100,
            small_after_checkpoints: 10,
            cache_bytes_max: 16 << 20,
        }
    }
}

/// A store in a directory.
pub struct SledStore {
    root: PathBuf,
    options: Options,
    state: Mutex<State>,
    /// The chain of the newest checkpoint, apart from `state` because look-ups must not wait for a writer.
    chain: RwLock<Arc<Chain>>,
    cache: Mutex<Cache>,
}

struct State {
    current: Option<Arc<Generation>>,
    /// The other directory, if it is open.
    fallback: Option<Arc<Generation>>,
    fallback_chain: Vec<Manifest>,
    next_number: u64,
    /// Below this nothing is a candidate.
    floor: u64,
    damaged: bool,
    writing: bool,
}

impl SledStore {
    /// Opens the store in a directory, or makes it.
    pub fn open(root: &Path, options: Options) -> Result<(Self, Opened), Error> {
        let (found, opened) = open(root)?;
        let Found { current, chain, fallback, fallback_chain, next_number, damaged } = found;
        let state = State {
            current,
            fallback,
            fallback_chain: manifests(&fallback_chain),
            next_number,
            floor: 0,
            damaged,
            writing: false,
        };
        let store = Self {
            root: root.to_owned(),
            options,
            state: Mutex::new(state),
            chain: RwLock::new(Arc::new(chain)),
            cache: Mutex::new(Cache::new(options.cache_bytes_max)),
        };
        Ok((store, opened))
    }

    /// Bytes of memory that the index of the newest checkpoint takes.
    #[must_use]
    pub fn index_memory(&self) -> usize {
        self.newest_chain()
            .iter()
            .flat_map(|checkpoint| &checkpoint.runs)
            .map(super::index::Run::memory)
            .sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest_chain(&self) -> Arc<Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_chain(&self, chain: Chain) {
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chain);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block that begins at a chunk, from the cache if it is there.
    fn block(&self, checkpoint: &Checkpoint, chunk: u32) -> Result<Option<Arc<Block>>, Error> {
        let place = (checkpoint.manifest.number, chunk);
        if let Some(block) = self.cache().get(place) {
            return Ok(Some(block));
        }
        let block = checkpoint.block(chunk, &mut Tally::default())?.map(Arc::new);
        if let Some(block) = &block {
            self.cache().put(place, block.clone());
        }
        Ok(block)
    }

    /// The chain that leads to a checkpoint.
    fn chain_to(&self, number: u64) -> Result<Chain, Error> {
        let cut = |chain: &Chain| -> Option<Chain> {
            let last = chain.iter().position(|checkpoint| checkpoint.manifest.number == number)?;
            Some(chain[..=last].to_vec())
        };
        if let Some(chain) = cut(&self.newest_chain()) {
            return Ok(chain);
        }
        let mut state = self.state();
        if !state.fallback_chain.iter().any(|manifest| manifest.number == number) {
            return Err(Error::Unknown { number });
        }
        let generation = match (&state.fallback, &state.current) {
            (Some(generation), _) => generation.clone(),
            (None, Some(current)) => Generation::open(&self.root, current.side.other())?,
            (None, None) => return Err(Error::Unknown { number }),
        };
        state.fallback = Some(generation.clone());
        let (chain, problems) = super::checkpoint::newest_chain(&generation)?;
        let lost = || Error::damaged(&generation.path, problems.join("; "));
        cut(&chain).ok_or_else(lost)
    }

    /// Makes a checkpoint that has been committed the newest one.
    fn publish(&self, checkpoint: Checkpoint) -> Result<Manifest, Error> {
        let mut state = self.state();
        let manifest = checkpoint.manifest.clone();
        let mut chain = Chain::clone(&self.newest_chain());
        if manifest.is_full() {
            state.fallback_chain = manifests(&chain);
            state.fallback = None;
            let former = state.current.replace(checkpoint.generation.clone());
            chain.clear();
            self.set_chain(vec![Arc::new(checkpoint)]);
            self.cache().clear();
            if state.damaged
                && let Some(former) = former
            {
                let side = former.side;
                drop(former);
                state.damaged = false;
                state.fallback_chain.clear();
                // The checkpoint exists already; that a damaged directory is still in its place harms nothing.
                let _in_place = set_aside(&self.root, side, state.next_number);
            }
        } else {
            chain.push(Arc::new(checkpoint));
            self.set_chain(chain);
        }
        Ok(manifest)
    }
}

impl StateStore for SledStore {
    fn candidates(&self) -> Vec<Manifest> {
        let state = self.state();
        let mut all = manifests(&self.newest_chain());
        all.splice(0..0, state.fallback_chain.iter().cloned());
        all.retain(|manifest| manifest.number >= state.floor);
        all.reverse();
        all
    }

    fn load(&self, number: u64, take: &mut dyn FnMut(Entry<'_>)) -> Result<Loaded, Error> {
        merge(&self.chain_to(number)?, take)
    }

    fn resume(&self, number: Option<u64>) -> Result<(), Error> {
        let chain = self.newest_chain();
        if number == chain.last().map(|checkpoint| checkpoint.manifest.number) {
            return Ok(());
        }
        let resumed = number.map_or(Ok(Chain::new()), |number| self.chain_to(number))?;
        let mut state = self.state();
        if state.writing {
            return Err(Error::Busy);
        }
        self.cache().clear();
        let next_number = state.next_number;
        let same = |one: &Arc<Checkpoint>, current: &Arc<Generation>| Arc::ptr_eq(&one.generation, current);
        match (resumed.last(), state.current.clone()) {
            (Some(newest), Some(current)) if same(newest, &current) => {
                // The witness first: it must never name what is not there.
                let bytes = newest.manifest.to_bytes(&self.root)?;
                disk::replace(&current.side.witness(&self.root), &bytes)?;
                current.set_next_number(next_number)?;
                for left in &chain[resumed.len()..] {
                    current.remove(left.manifest.number)?;
                }
                current.sync()?;
                state.damaged = true;
            }
            (newest, current) => {
                // A directory of its own, or nothing: what was current has newer checkpoints, and must not be found again.
                let fallback = state.fallback.take();
                state.fallback_chain.clear();
                state.damaged = false;
                state.current = newest.map(|newest| newest.generation.clone());
                self.set_chain(Chain::new());
                let (keep, sides) = (state.current.as_ref().map(|generation| generation.side), Side::BOTH);
                drop((chain, current, fallback));
                for side in sides.into_iter().filter(|side| Some(*side) != keep) {
                    if side.dir(&self.root).exists() {
                        set_aside(&self.root, side, next_number)?;
                    }
                }
                if let (Some(current), Some(newest)) = (&state.current, newest) {
                    // The former current directory's numbers are in the name that it has now, and here.
                    current.set_next_number(next_number)?;
                    current.sync()?;
                    let bytes = newest.manifest.to_bytes(&self.root)?;
                    disk::replace(&current.side.witness(&self.root), &bytes)?;
                }
            }
        }
        self.set_chain(resumed);
        Ok(())
    }

    fn chain(&self) -> Vec<Manifest> {
        manifests(&self.newest_chain())
    }

    fn get(&self, pattern: u64, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let hash = record::hash(pattern, key);
        for checkpoint in self.newest_chain().iter().rev() {
            let found =
                checkpoint.find((pattern, key), hash, |checkpoint, chunk| self.block(checkpoint, chunk))?;
            if let Some(value) = found {
                return Ok(value);
            }
        }
        Ok(None)
    }

    fn wants_full(&self) -> bool {
        let chain = self.newest_chain();
        let Some((full, rest)) = chain.split_first() else { return true };
        let changes: u64 = rest.iter().map(|checkpoint| checkpoint.manifest.bytes).sum();
        let enough = (full.manifest.bytes as f64 * self.options.full_after_ratio) as u64;
        let is_small = full.manifest.bytes + changes < self.options.full_after_bytes_min;
        changes > enough.max(self.options.full_after_bytes_min)
            || rest.len() >= self.options.full_after_checkpoints
            || is_small && rest.len() >= self.options.small_after_checkpoints
            || self.state().damaged
    }

    fn begin(&self, full: bool) -> Result<Box<dyn Writer + '_>, Error> {
        let mut state = self.state();
        if state.writing {
            return Err(Error::Busy);
        }
        let parent = self.newest_chain().last().map(|checkpoint| checkpoint.manifest.number);
        let number = state.next_number;
        let (generation, parent) = match (&state.current, parent) {
            (_, None) | (None, _) if !full => return Err(Error::NoBase),
            (Some(current), parent) if !full => (current.clone(), parent),
            (current, _) => {
                let side = current.as_ref().map_or(Side::A, |current| current.side.other());
                state.fallback = None;
                state.fallback_chain.clear();
                (Generation::create(&self.root, side, number)?, None)
            }
        };
        let build = Build::new(generation.clone(), generation.side.witness(&self.root), number, parent)?;
        state.next_number = number + 1;
        state.writing = true;
        Ok(Box::new(SledWriter { store: self, build, number, committed: false }))
    }

    fn compact(&self) -> Result<Manifest, Error> {
        let chain = self.newest_chain();
        let meta = chain.last().ok_or(Error::NoBase)?.manifest.meta.clone();
        let mut writer = self.begin(true)?;
        let mut failed = None;
        merge(&chain, &mut |entry| {
            if failed.is_none() {
                failed = writer.put(entry).err();
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => writer.commit(meta),
        }
    }

    fn prune(&self, below: u64) -> Result<(), Error> {
        let mut state = self.state();
        state.floor = state.floor.max(below);
        let gone = state.fallback_chain.last().is_some_and(|newest| newest.number < below);
        if gone && let Some(current) = &state.current {
            let side = current.side.other();
            state.fallback = None;
            state.fallback_chain.clear();
            disk::remove_file(&side.witness(&self.root))?;
            disk::remove_dir(&side.dir(&self.root))?;
        }
        Ok(())
    }
}

fn manifests(chain: &Chain) -> Vec<Manifest> {
    chain.iter().map(|checkpoint| checkpoint.manifest.clone()).collect()
}

/// A checkpoint of this store that is being written.
struct SledWriter<'a> {
    store: &'a SledStore,
    build: Build,
    number: u64,
    committed: bool,
}

impl Writer for SledWriter<'_> {
    fn number(&self) -> u64 {
        self.number
    }

    fn put(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        self.build.put(entry)
    }

    fn commit(mut self: Box<Self>, meta: serde_json::Value) -> Result<Manifest, Error> {
        let checkpoint = self.build.commit(meta)?;
        self.committed = true;
        self.store.publish(checkpoint)
    }

    fn abort(self: Box<Self>) {}
}

impl Drop for SledWriter<'_> {
    fn drop(&mut self) {
        if !self.committed {
            // What stays has no manifest and does not count; the next error of sled will be seen by whoever writes next.
            let _left_behind = self.build.abort();
        }
        self.store.state().writing = false;
    }
}

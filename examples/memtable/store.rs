//! [`Store`]: keys and values; a log, a memtable in front of it, and sorted tables behind it.
//!
//! Invariant: every change is in the log, or in a table that is durable; and in memory changes have
//! the order that they have in the log.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stratalog::{Log, Lsn, Options};

use crate::table::{Map, Table, decode, encode};

/// Small, so that there is something to truncate.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;
/// A memtable of so many keys is flushed.
const FLUSH_KEYS: usize = 300;

pub(crate) struct Store {
    dir: PathBuf,
    log: Log,
    state: Mutex<State>,
    /// How many changes were found in the log when it was opened.
    pub(crate) replayed: usize,
}

#[derive(Default)]
struct State {
    memtable: Map,
    /// What is being flushed.
    frozen: Option<Arc<Map>>,
    /// The oldest first.
    tables: Vec<Table>,
}

impl Store {
    /// Opens the store: reads the tables, and what the log holds behind them.
    pub(crate) fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(dir)?;
        let tables = Table::read_all(dir)?;
        let log = Options::new().segment_bytes(SEGMENT_BYTES).open(dir.join("wal"))?;
        let flushed = tables.last().map_or(log.head(), |table| table.end);
        let mut state = State { tables, ..State::default() };
        let mut replayed = 0;
        // The head may lie below: the process died between a flush and the truncation. If it lay
        // above, changes were lost, and this would be `Error::Truncated`.
        for record in log.snapshot().iter_from(flushed)? {
            let record = record?;
            let (key, value) =
                decode(record.payload()).ok_or_else(|| format!("no change at {}", record.lsn()))?;
            state.memtable.insert(key, value);
            replayed += 1;
        }
        Ok(Self { dir: dir.to_owned(), log, state: Mutex::new(state), replayed })
    }

    /// Sets a key, or deletes it if there is no value. The change is durable when this returns.
    pub(crate) fn write(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Box<dyn Error>> {
        let record = encode(key, value)?;
        let lsn = {
            let mut state = self.state();
            // Under one lock, so that of two changes of a key the later one wins here and in a replay.
            let lsn = self.log.append_buffered(&record)?;
            state.memtable.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            lsn
        };
        // Without the lock: all who wait here share a sync. Until then others may read what is not
        // durable. If it fails the log is poisoned, and the store has to be opened again.
        self.log.sync_to(lsn)?;
        self.flush_if_full()
    }

    /// Reads a key: the newest that is said of it counts.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.state();
        let tables = state.tables.iter().rev().map(|table| &table.map);
        let mut newest_first =
            std::iter::once(&state.memtable).chain(state.frozen.as_deref()).chain(tables);
        newest_first.find_map(|map| map.get(key)).cloned().flatten()
    }

    /// Everything that there is, merged and sorted.
    pub(crate) fn scan(&self) -> Map {
        let state = self.state();
        let tables = state.tables.iter().map(|table| &table.map);
        let oldest_first = tables.chain(state.frozen.as_deref()).chain([&state.memtable]);
        let mut all = Map::new();
        for map in oldest_first {
            all.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        all.retain(|_, value| value.is_some());
        all
    }

    fn flush_if_full(&self) -> Result<(), Box<dyn Error>> {
        let (frozen, end) = {
            let mut state = self.state();
            if state.memtable.len() < FLUSH_KEYS || state.frozen.is_some() {
                return Ok(());
            }
            let frozen = Arc::new(std::mem::take(&mut state.memtable));
            state.frozen = Some(Arc::clone(&frozen));
            // Nobody appends while we have the lock: what lies below is in `frozen` or in a table.
            (frozen, self.log.tail())
        };
        // The order is all that matters here. The process may die, or the power fail, between any two:
        // 1. The log up to `end`. Else a table could hold what the log has lost, and name a place
        //    in the log that does not exist.
        self.log.sync()?;
        assert!(end <= self.log.durable(), "a table is never ahead of the log");
        // 2. The table: bytes, name, and the name's durability.
        Table::write(&self.dir, end, &frozen)?;
        // 3. Only now may the log forget.
        self.log.truncate_before(end)?;

        let mut state = self.state();
        state.frozen = None;
        state.tables.push(Table { end, map: Arc::unwrap_or_clone(frozen) });
        Ok(())
    }

    /// How many tables there are.
    pub(crate) fn tables(&self) -> usize {
        self.state().tables.len()
    }

    /// Where the log begins.
    pub(crate) fn head(&self) -> Lsn {
        self.log.head()
    }

    /// The segments of the log, in KiB.
    pub(crate) fn log_kib(&self) -> u64 {
        self.log.stats().bytes >> 10
    }

    pub(crate) fn close(self) -> Result<(), Box<dyn Error>> {
        Ok(self.log.close()?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has left nothing half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

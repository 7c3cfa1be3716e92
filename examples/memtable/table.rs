//! [`Table`]: a sorted file of what was in the memtable when it was flushed.
//!
//! Invariant: a table has its name only when all its bytes are durable, and the name says up to where
//! the log is in the tables: `00000000000000123456.table`. So nothing else has to be kept in step
//! with it, neither `Log::set_app_state` nor a list of tables.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use stratalog::Lsn;
use stratalog::storage::{FileStorage, Storage};

/// Keys and their values; `None` is a deletion, which hides what older tables say.
pub(crate) type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A change, as it stands in the log and in tables: `u32 length of the key | key | 1 and the value`,
/// or `0` for a deletion.
pub(crate) fn encode(key: &[u8], value: Option<&[u8]>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = u32::try_from(key.len())?.to_le_bytes().to_vec();
    bytes.extend_from_slice(key);
    bytes.push(u8::from(value.is_some()));
    bytes.extend_from_slice(value.unwrap_or_default());
    Ok(bytes)
}

pub(crate) fn decode(bytes: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*len).try_into().ok()?)?;
    let (kind, value) = rest.split_first()?;
    Some((key.to_vec(), (*kind == 1).then(|| value.to_vec())))
}

pub(crate) struct Table {
    /// What the log holds below is here, or in older tables.
    pub(crate) end: Lsn,
    /// In memory, for the sake of brevity; an engine would look into blocks of the file.
    pub(crate) map: Map,
}

impl Table {
    /// Writes a table; it is durable when this returns.
    pub(crate) fn write(dir: &Path, end: Lsn, map: &Map) -> Result<(), Box<dyn Error>> {
        let mut bytes = Vec::new();
        for (key, value) in map {
            let entry = encode(key, value.as_deref())?;
            bytes.extend_from_slice(&u32::try_from(entry.len())?.to_le_bytes());
            bytes.extend_from_slice(&entry);
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());

        let name = format!("{:020}.table", end.get());
        let temporary = dir.join("new.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?; // the bytes, before they have their name
        fs::rename(&temporary, dir.join(name))?;
        FileStorage::new(dir).sync_directory()?; // the name
        Ok(())
    }

    /// Reads all tables, the oldest first.
    pub(crate) fn read_all(dir: &Path) -> Result<Vec<Self>, Box<dyn Error>> {
        let mut tables = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "table") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let map = read(&fs::read(&path)?);
                let map = map.ok_or_else(|| format!("{} is damaged", path.display()))?;
                tables.push(Self { end: stem.parse()?, map });
            }
        }
        tables.sort_by_key(|table| table.end);
        // A name that is seen need not be durable: the process may have died before it synced that.
        FileStorage::new(dir).sync_directory()?;
        Ok(tables)
    }
}

fn read(bytes: &[u8]) -> Option<Map> {
    let (mut rest, checksum) = bytes.split_last_chunk()?;
    if crc32c::crc32c(rest) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut map = Map::new();
    while let Some((len, more)) = rest.split_first_chunk() {
        let (entry, more) = more.split_at_checked(u32::from_le_bytes(*len).try_into().ok()?)?;
        let (key, value) = decode(entry)?;
        map.insert(key, value);
        rest = more;
    }
    Some(map)
}

//! [`Tap`]: a storage around another that tells a [`Watch`] of every call, before and after, and lets
//! it fail the call.
//!
//! Invariant: a call that is let through does exactly what the storage beneath does.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use stratalog::storage::{Access, LockKind, Region, Storage, StorageFile, StorageLock};

/// A call to a storage or to a file of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Names,
    CreateDirectory,
    Create,
    Open,
    Rename,
    Remove,
    SyncDirectory,
    Lock,
    Read,
    Write,
    Sync,
    Map,
    Discard,
}

impl Call {
    /// Whether the call changes what is on the disk, or what of it is durable.
    pub(crate) fn changes(self) -> bool {
        let changing = [Self::Create, Self::Rename, Self::Remove, Self::SyncDirectory];
        changing.contains(&self) || [Self::Write, Self::Sync, Self::Discard].contains(&self)
    }
}

/// One call, with what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) call: Call,
    /// The file, by the name that it has now.
    pub(crate) name: String,
    /// The new name, for a rename.
    pub(crate) to: String,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Go,
    Fail(ErrorKind),
    /// Only so many bytes are to be written.
    Short(usize),
    Panic,
}

/// Who is told of calls.
pub(crate) trait Watch: fmt::Debug + Send + Sync + 'static {
    fn before(&self, _event: &Event) -> Verdict {
        Verdict::Go
    }

    /// Called when the call is done.
    fn after(&self, _event: &Event, _ok: bool) {}
}

/// The name of an open file, which follows renames.
type Name = Arc<Mutex<String>>;

#[derive(Clone, Debug)]
pub(crate) struct Tap {
    inner: Arc<dyn Storage>,
    watch: Arc<dyn Watch>,
    names: Arc<Mutex<BTreeMap<String, Name>>>,
}

impl Tap {
    pub(crate) fn new(inner: impl Storage, watch: Arc<dyn Watch>) -> Self {
        Self { inner: Arc::new(inner), watch, names: Arc::default() }
    }

    fn call<T>(
        &self,
        call: Call,
        name: &str,
        to: &str,
        run: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let (name, to) = (name.to_owned(), to.to_owned());
        let event = Event { call, name, to, offset: 0, len: 0 };
        tell(&*self.watch, &event, |_| run())
    }

    fn file(&self, name: &str, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let mut names = self.names.lock().unwrap();
        let shared =
            names.entry(name.to_owned()).or_insert_with(|| Arc::new(Mutex::new(name.to_owned())));
        Arc::new(TapFile { inner, watch: Arc::clone(&self.watch), name: Arc::clone(shared) })
    }
}

fn tell<T>(
    watch: &dyn Watch,
    event: &Event,
    run: impl FnOnce(Option<usize>) -> io::Result<T>,
) -> io::Result<T> {
    let result = match watch.before(event) {
        Verdict::Go => run(None),
        Verdict::Short(bytes) => run(Some(bytes)),
        Verdict::Fail(kind) => Err(io::Error::new(kind, "injected")),
        Verdict::Panic => panic!("injected"),
    };
    watch.after(event, result.is_ok());
    result
}

impl Storage for Tap {
    fn names(&self) -> io::Result<Vec<String>> {
        self.call(Call::Names, "", "", || self.inner.names())
    }

    fn create_directory(&self) -> io::Result<()> {
        self.call(Call::CreateDirectory, "", "", || self.inner.create_directory())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let made = self.call(Call::Create, name, "", || self.inner.create(name, bytes))?;
        Ok(self.file(name, made))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let opened = self.call(Call::Open, name, "", || self.inner.open(name, access))?;
        Ok(self.file(name, opened))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, from, to, || {
            self.inner.rename(from, to)?;
            let mut names = self.names.lock().unwrap();
            names.remove(to);
            if let Some(name) = names.remove(from) {
                to.clone_into(&mut name.lock().unwrap());
                names.insert(to.to_owned(), name);
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, name, "", || {
            self.inner.remove(name)?;
            self.names.lock().unwrap().remove(name);
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call(Call::SyncDirectory, "", "", || self.inner.sync_directory())
    }

    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.call(Call::Lock, name, "", || self.inner.lock(name, kind))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

#[derive(Debug)]
struct TapFile {
    inner: Arc<dyn StorageFile>,
    watch: Arc<dyn Watch>,
    name: Name,
}

impl TapFile {
    fn event(&self, call: Call, offset: u64, len: u64) -> Event {
        let name = self.name.lock().unwrap().clone();
        Event { call, name, to: String::new(), offset, len }
    }
}

impl StorageFile for TapFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let event = self.event(Call::Read, offset, buffer.len() as u64);
        tell(&*self.watch, &event, |_| self.inner.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let event = self.event(Call::Write, offset, bytes.len() as u64);
        tell(&*self.watch, &event, |short| {
            let most = short.unwrap_or(bytes.len()).min(bytes.len());
            self.inner.write_at(&bytes[..most], offset)
        })
    }

    fn sync(&self) -> io::Result<()> {
        tell(&*self.watch, &self.event(Call::Sync, 0, 0), |_| self.inner.sync())
    }

    fn map(&self) -> io::Result<Option<Region>> {
        tell(&*self.watch, &self.event(Call::Map, 0, 0), |_| self.inner.map())
    }

    fn wants_zero_fill(&self) -> bool {
        self.inner.wants_zero_fill()
    }

    fn drop_cached(&self, offset: u64, bytes: u64) {
        self.inner.drop_cached(offset, bytes);
    }

    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let event = self.event(Call::Discard, offset, bytes);
        tell(&*self.watch, &event, |_| self.inner.discard(offset, bytes))
    }
}

//! [`Server`]: devices in memory as files, over FUSE, for loop devices to stand on.
//!
//! Invariant: one thread serves all requests, one after the other, so the order in which a device is
//! written down is the order in which it was told. The descriptor of the connection is in a table
//! that only that thread has: if the process is killed, the connection ends, and whatever waits for
//! a device is told EIO instead of waiting for ever.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};

use crate::device::Device;
use crate::os;

/// Nothing about a file may be cached: the next one may bear its number.
const NO_TIME: Duration = Duration::ZERO;

type Table = Arc<Mutex<BTreeMap<u64, Arc<Device>>>>;

/// All devices that are there now. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Server {
    directory: PathBuf,
    devices: Table,
    next: Arc<AtomicU64>,
}

/// A device as a file. It is gone when this is dropped.
pub(crate) struct Served {
    pub(crate) device: Arc<Device>,
    pub(crate) path: PathBuf,
    number: u64,
    server: Server,
}

impl Server {
    /// Mounts an empty server on `directory`. It is served until the directory is unmounted.
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let devices = Table::default();
        let files = Files { devices: Arc::clone(&devices) };
        let (sender, receiver) = mpsc::channel();
        let mountpoint = directory.to_path_buf();
        let serve = move || {
            // It has little to do each time, and a file system waits for it each time.
            os::raise_priority();
            let mut config = Config::default();
            config.mount_options = vec![MountOption::FSName("stratalog-power".into())];
            let session =
                os::unshare_descriptors().and_then(|()| Session::new(files, mountpoint, &config));
            match session {
                Ok(session) => {
                    let _ = sender.send(Ok(()));
                    // Ends with the mount.
                    let _ = session.run();
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        };
        thread::Builder::new().name("serve".into()).spawn(serve)?;
        receiver.recv().map_err(io::Error::other)??;
        let next = Arc::new(AtomicU64::new(u64::from(INodeNo::ROOT) + 1));
        Ok(Self { directory: directory.to_path_buf(), devices, next })
    }

    pub(crate) fn serve(&self, device: Device) -> Served {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let device = Arc::new(device);
        self.lock().insert(number, Arc::clone(&device));
        let path = self.directory.join(number.to_string());
        Served { device, path, number, server: self.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.lock().remove(&self.number);
    }
}

struct Files {
    devices: Table,
}

impl Files {
    fn device(&self, file: INodeNo) -> Option<Arc<Device>> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.get(&u64::from(file)).cloned()
    }

    fn attributes(&self, file: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match self.device(file) {
            Some(device) => (FileType::RegularFile, 0o600, device.bytes()),
            None if file == INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            None => return None,
        };
        Some(FileAttr {
            ino: file,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A write of a device comes in one piece, as a disk would get it.
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse().ok());
        match number.and_then(|number| self.attributes(INodeNo(number))) {
            Some(attributes) => reply.entry(&NO_TIME, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, file: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(file) {
            Some(attributes) => reply.attr(&NO_TIME, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, _file: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Past the page cache: the device is in memory already, and each request counts.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        file: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.device(file) {
            Some(device) => reply.data(&device.read(offset, size as usize)),
            None => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _request: &Request,
        file: INodeNo,
        _handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.device(file) {
            Some(device) if device.write(offset, bytes) => reply.written(bytes.len() as u32),
            _ => reply.error(Errno::EIO),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _file: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // The end of a descriptor, which is nothing to a disk.
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        file: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        match self.device(file) {
            Some(device) => {
                device.flush();
                reply.ok();
            }
            None => reply.error(Errno::EIO),
        }
    }
}

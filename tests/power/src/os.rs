//! The system calls that std has no safe interface for: loop devices, mounts, the shutdown of a file
//! system, signals.
//!
//! Invariant: every function here is safe to call with any arguments; what can go wrong is an error.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// Shut down without writing the file system's journal first.
const NO_LOG_FLUSH: u32 = 2;

/// `struct loop_info64` of the kernel.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of the kernel.
#[repr(C)]
struct LoopConfig {
    descriptor: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::other)
}

/// Attaches a loop device to a file. It detaches itself once nothing has it open or mounted.
pub(crate) fn attach_loop(backing: &File) -> io::Result<(File, PathBuf)> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..1000 {
        // SAFETY: the descriptor is open, and the call takes no memory.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        // SAFETY: integers and arrays of them, for which zeros are valid.
        let mut config: LoopConfig = unsafe { MaybeUninit::zeroed().assume_init() };
        config.descriptor = backing.as_raw_fd().cast_unsigned();
        config.info.flags = LO_FLAGS_AUTOCLEAR;
        // SAFETY: both descriptors are open; `config` has the layout that the call reads.
        match check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }) {
            Ok(_) => return Ok((device, path)),
            // Somebody else was quicker, or the device is still being detached.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no loop device becomes free"))
}

pub(crate) fn mount(device: &Path, target: &Path, kind: &str, options: &str) -> io::Result<()> {
    let device = c_string(device.as_os_str().as_bytes())?;
    let target = c_string(target.as_os_str().as_bytes())?;
    let (kind, options) = (c_string(kind.as_bytes())?, c_string(options.as_bytes())?);
    let flags = libc::MS_NOATIME;
    // SAFETY: four strings that end with zero and outlive the call.
    check(unsafe {
        libc::mount(device.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })?;
    Ok(())
}

/// Unmounts; `lazily`: takes the name away now, and the rest when nothing uses it any more.
pub(crate) fn unmount(target: &Path, lazily: bool) -> io::Result<()> {
    let target = c_string(target.as_os_str().as_bytes())?;
    let flags = if lazily { libc::MNT_DETACH } else { 0 };
    // SAFETY: a string that ends with zero and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })?;
    Ok(())
}

/// Shuts a mounted file system down as a power cut would: from now on nothing is written.
pub(crate) fn shut_down(directory: &File) -> io::Result<()> {
    let how = NO_LOG_FLUSH;
    // SAFETY: the descriptor is open, and the call reads one number of 4 bytes.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), SHUTDOWN, &raw const how) })?;
    Ok(())
}

/// Writes all of the file system that the directory is on.
pub(crate) fn sync_file_system(directory: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::syncfs(directory.as_raw_fd()) })?;
    Ok(())
}

/// Gives this thread, and those that it starts, a table of descriptors of its own.
pub(crate) fn unshare_descriptors() -> io::Result<()> {
    // SAFETY: the call takes a number; descriptors stay open in both tables.
    check(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    Ok(())
}

/// Lets this thread go first, where that is allowed.
pub(crate) fn raise_priority() {
    // SAFETY: the call takes numbers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

fn ending_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the set was filled above.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: filled by the first call.
    unsafe { set.assume_init() }
}

/// Keeps the signals that end a process for [`wait_for_signal`]. To be called before any thread is
/// started, as threads inherit it.
pub(crate) fn hold_signals() {
    let set = ending_signals();
    // SAFETY: a valid set, and no place for the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
}

/// Waits for a signal that would end the process.
pub(crate) fn wait_for_signal() {
    let set = ending_signals();
    let mut signal = 0;
    // SAFETY: a valid set, and a place for the number.
    unsafe { libc::sigwait(&raw const set, &raw mut signal) };
}

//! What only directories of a file system have: parents, kinds of files, blocks, full disks.

use super::*;

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

fn storage() -> (tempfile::TempDir, FileStorage) {
    let directory = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(directory.path());
    (directory, storage)
}

#[test]
fn a_missing_directory_is_not_found_and_nothing_makes_it_by_the_way() {
    let (directory, _) = storage();
    let path = directory.path().join("missing");
    let storage = FileStorage::new(&path);
    assert_eq!(error_kind(storage.names()), io::ErrorKind::NotFound);
    for kind in [LockKind::Exclusive, LockKind::Shared] {
        assert_eq!(error_kind(storage.lock("LOCK", kind)), io::ErrorKind::NotFound);
    }
    assert_eq!(error_kind(storage.create("f", 1)), io::ErrorKind::NotFound);
    assert_eq!(error_kind(storage.open("f", Access::Read)), io::ErrorKind::NotFound);
    assert!(!path.exists());
}

#[test]
fn a_path_that_is_a_file_is_no_directory_and_is_left_alone() {
    let (directory, _) = storage();
    let path = directory.path().join("file");
    fs::write(&path, b"mine").unwrap();
    for storage in [FileStorage::new(&path), FileStorage::new(path.join("below"))] {
        assert_eq!(error_kind(storage.names()), io::ErrorKind::NotADirectory);
        assert_eq!(error_kind(storage.create_directory()), io::ErrorKind::NotADirectory);
    }
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_directory_is_made_with_its_parents_once() {
    let (directory, _) = storage();
    let path = directory.path().join("a/b/c");
    let storage = FileStorage::new(&path);
    storage.create_directory().unwrap();
    storage.create("f", 1).unwrap();
    storage.create_directory().unwrap();
    storage.sync_directory().unwrap();
    assert_eq!(storage.names().unwrap(), ["f"]);
    assert_eq!(storage.path("f"), path.join("f"));
}

#[test]
fn names_are_of_files_and_directories_alike() {
    let (directory, storage) = storage();
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("file"), b"").unwrap();
    let mut names = storage.names().unwrap();
    names.sort();
    assert_eq!(names, ["file", "sub"]);
    assert_eq!(error_kind(storage.open("sub", Access::Read)), io::ErrorKind::IsADirectory);
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let (directory, _) = storage();
    let storage = FileStorage::new(directory.path().join("in"));
    storage.create_directory().unwrap();
    fs::write(directory.path().join("out"), b"mine").unwrap();
    let absolute = directory.path().join("out");
    for name in ["../out", "", ".", "..", "a/b", "./a", "a/", "/", absolute.to_str().unwrap()] {
        let refused = io::ErrorKind::InvalidFilename;
        assert_eq!(error_kind(storage.create(name, 1)), refused, "{name}");
        assert_eq!(error_kind(storage.open(name, Access::Read)), refused, "{name}");
        assert_eq!(error_kind(storage.remove(name)), refused, "{name}");
        assert_eq!(error_kind(storage.rename(name, "x")), refused, "{name}");
        assert_eq!(error_kind(storage.rename("x", name)), refused, "{name}");
        assert_eq!(error_kind(storage.lock(name, LockKind::Shared)), refused, "{name}");
    }
    assert_eq!(fs::read(directory.path().join("out")).unwrap(), b"mine");
}

#[test]
fn a_lock_keeps_what_is_in_its_file() {
    let (directory, storage) = storage();
    fs::write(directory.path().join("LOCK"), b"kept").unwrap();
    drop(storage.lock("LOCK", LockKind::Exclusive).unwrap().unwrap());
    assert_eq!(fs::read(directory.path().join("LOCK")).unwrap(), b"kept");
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_that_is_no_text_is_listed_all_the_same() {
        let (directory, storage) = storage();
        // Not every file system takes such a name.
        if fs::write(directory.path().join(OsStr::from_bytes(b"a\xFFb")), b"").is_ok() {
            assert_eq!(storage.names().unwrap(), ["a\u{FFFD}b"]);
        }
    }

    #[test]
    fn a_symlinked_directory_is_as_good_as_another() {
        let (directory, _) = storage();
        fs::create_dir(directory.path().join("real")).unwrap();
        symlink("real", directory.path().join("link")).unwrap();
        let storage = FileStorage::new(directory.path().join("link"));
        storage.create_directory().unwrap();
        storage.create("f", 1).unwrap();
        storage.sync_directory().unwrap();
        assert!(directory.path().join("real/f").exists());
        assert_eq!(storage.names().unwrap(), ["f"]);
    }

    #[test]
    fn a_pipe_does_not_make_open_wait() {
        let (directory, storage) = storage();
        let made = Command::new("mkfifo").arg(directory.path().join("pipe")).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no mkfifo here");
            return;
        }
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::spawn(move || answer.send(error_kind(storage.open("pipe", Access::Read))));
        let kind = answered.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(kind, Ok(io::ErrorKind::InvalidInput));
    }

    #[test]
    fn a_new_file_has_all_its_blocks() {
        let (directory, storage) = storage();
        for bytes in [1, 4096, 1_000_003] {
            storage.create(&bytes.to_string(), bytes).unwrap();
            let facts = fs::metadata(directory.path().join(bytes.to_string())).unwrap();
            assert_eq!(facts.len(), bytes);
            assert!(facts.blocks() * 512 >= bytes, "{} blocks for {bytes}", facts.blocks());
        }
    }

    #[test]
    fn whoever_may_only_read_can_share_a_lock_but_not_have_it_alone() {
        let (directory, storage) = storage();
        let path = directory.path().join("READERS");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        if OpenOptions::new().write(true).open(&path).is_ok() {
            eprintln!("skipped: this user may write everything");
            return;
        }
        assert!(storage.lock("READERS", LockKind::Shared).unwrap().is_some());
        let alone = storage.lock("READERS", LockKind::Exclusive);
        assert_eq!(error_kind(alone), io::ErrorKind::PermissionDenied);
    }
}

#[cfg(target_os = "linux")]
mod linux;

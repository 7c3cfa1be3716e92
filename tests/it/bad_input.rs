//! Whatever a caller can get wrong: options, sizes, directories, openers.
//!
//! Invariant: a refusal comes before anything is touched, says in one line what was expected, and
//! leaves the log as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stratalog::storage::{FileStorage, MemoryStorage};
use stratalog::{Error, Log, NotALog, Options, RecoveryPolicy};

use super::common::{ROOM, TINY, filled, records, tiny};

/// All files below a directory, with their bytes.
fn listing(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = fs::read(entry.path()).unwrap_or_else(|_| b"a directory".to_vec());
        files.insert(name, bytes);
    }
    files
}

fn assert_one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}

#[test]
fn an_option_out_of_its_range_is_refused_before_anything_is_touched() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("log");
    let refused = |option: &str, options: &mut Options| {
        let error = options.open(&directory).unwrap_err();
        assert_one_line(&error);
        let Error::InvalidOptions { option: named, .. } = error else { panic!("{error:?}") };
        assert_eq!(named, option);
        assert!(!directory.exists(), "{option}");
        let disk = MemoryStorage::new();
        assert!(options.open_with(disk.clone()).is_err());
        assert_eq!(disk.image().names().count(), 0, "{option}");
    };
    for bytes in [0, 1, 4096, TINY - 4096, TINY + 1, TINY + 8, (1 << 30) + 4096, u64::MAX] {
        refused("segment_bytes", Options::new().segment_bytes(bytes));
    }
    for bytes in [0, 1, 2048, 4095, 4097, 6144, (256 << 20) + 1, 512 << 20, usize::MAX] {
        refused("write_buffer_bytes", Options::new().write_buffer_bytes(bytes));
    }
    for delay in [Duration::from_millis(1001), Duration::MAX] {
        refused("commit_delay", Options::new().commit_delay(delay));
    }
}

#[test]
fn options_at_the_ends_of_their_ranges_are_taken() {
    for (segment, ring) in [(TINY, 4096), (TINY + 4096, 1 << 20), (1 << 20, 8192)] {
        let mut options = Options::new();
        options.segment_bytes(segment).write_buffer_bytes(ring).commit_delay(Duration::ZERO);
        let log = options.open_with(MemoryStorage::new()).unwrap();
        assert_eq!(log.max_record_bytes(), stratalog::format::max_record_bytes(segment));
        log.append_durable(&filled(1, log.max_record_bytes() as usize)).unwrap();
    }
}

#[test]
fn the_largest_record_fits_and_one_byte_more_does_not() {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    let max = log.max_record_bytes() as usize;
    let mut expected = Vec::new();
    for round in 0..3 {
        let largest = filled(round, max);
        expected.push((log.append(&largest).unwrap(), largest.clone()));
        let too_large = filled(round, max + 1);
        let tail = log.tail();
        let refusals = [
            log.append(&too_large).unwrap_err(),
            log.append_durable(&too_large).unwrap_err(),
            log.append_buffered(&too_large).unwrap_err(),
            log.append_with(max + 1, |_| panic!("it is refused before")).unwrap_err(),
            log.append_with(usize::MAX, |_| panic!("it is refused before")).unwrap_err(),
        ];
        for refusal in refusals {
            assert_one_line(&refusal);
            assert!(matches!(refusal, Error::RecordTooLarge { .. }), "{refusal:?}");
        }
        assert_eq!(log.tail(), tail);
        expected.push((log.append_buffered(&largest).unwrap(), largest.clone()));
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&largest);
        expected.push((log.append_with(max, fill).unwrap(), largest.clone()));
    }
    log.sync().unwrap();
    assert_eq!(records(&log), expected);
}

#[test]
fn the_largest_batch_fits_and_eight_bytes_more_do_not() {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    // Ten frames that take all the room together.
    let mut batch = vec![filled(1, 784); 9];
    batch.push(filled(2, ROOM as usize - 9 * 800 - 16));
    for _ in 0..2 {
        let range = log.append_batch(&batch).unwrap();
        assert_eq!(range.end.get() - range.start.get(), ROOM);
        let mut too_large = batch.clone();
        too_large[0].push(0);
        let tail = log.tail();
        let refusal = log.append_batch(&too_large).unwrap_err();
        assert_one_line(&refusal);
        let Error::RecordTooLarge { len, max, .. } = refusal else { panic!("{refusal:?}") };
        assert_eq!((len, max), (ROOM + 8, ROOM));
        assert!(log.append_batch(&[[0_u8; 0]; 100_000]).is_err());
        assert_eq!(log.tail(), tail);
    }
    assert!(
        records(&log).into_iter().map(|(_, payload)| payload).eq([batch.clone(), batch].concat())
    );
}

#[test]
fn empty_records_are_records_and_an_empty_batch_is_nothing() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let none: [&[u8]; 0] = [];
    let tail = log.tail();
    let range = log.append_batch(&none).unwrap();
    assert_eq!([range.start, range.end], [tail; 2]);
    let mut expected = Vec::new();
    for _ in 0..700 {
        expected.push((log.append(b"").unwrap(), Vec::new()));
        expected.push((log.append_with(0, |bytes| assert!(bytes.is_empty())).unwrap(), Vec::new()));
    }
    let tail = log.tail();
    assert_eq!(log.append_batch(&none).unwrap(), tail..tail);
    assert_eq!(log.tail(), tail);
    log.close().unwrap();
    assert_eq!(records(&tiny().open_with(disk).unwrap()), expected);
}

#[test]
fn an_empty_log_is_empty_each_time_it_is_opened() {
    let disk = MemoryStorage::new();
    for round in 0..4 {
        let log = tiny().open_with(disk.clone()).unwrap();
        assert_eq!(log.recovery().created, round == 0);
        assert_eq!([log.durable(), log.committed(), log.tail()], [log.head(); 3]);
        assert_eq!(log.snapshot().iter().count(), 0);
        assert!(log.snapshot().last().unwrap().is_none());
        assert!(log.snapshot().get(log.head()).is_err());
        log.roll().unwrap();
        log.sync().unwrap();
        log.commit().unwrap();
        if round % 2 == 0 {
            log.close().unwrap();
        }
    }
}

#[test]
fn a_directory_that_is_not_there_is_made_with_its_parents() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b/c");
    let refusal = tiny().create(false).open(&directory).unwrap_err();
    assert!(matches!(refusal, Error::NotALog { found: NotALog::Nothing, .. }), "{refusal:?}");
    assert_one_line(&refusal);
    assert!(!parent.path().join("a").exists());
    let log = tiny().open(&directory).unwrap();
    assert!(log.recovery().created);
    log.append(b"there").unwrap();
    log.close().unwrap();
    assert_eq!(records(&tiny().create(false).open(&directory).unwrap()).len(), 1);
}

#[test]
fn an_empty_directory_is_no_log_unless_one_is_to_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = tiny().create(false).open(directory.path()).unwrap_err();
    assert!(matches!(refusal, Error::NotALog { found: NotALog::Nothing, .. }), "{refusal:?}");
    assert!(listing(directory.path()).is_empty());
    assert!(tiny().open(directory.path()).unwrap().recovery().created);
}

#[test]
fn saving_what_is_left_of_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = tiny().recovery(RecoveryPolicy::SkipCorrupt).open(directory.path()).unwrap_err();
    assert!(matches!(refusal, Error::NotALog { found: NotALog::Nothing, .. }), "{refusal:?}");
    assert!(!directory.path().join("control").exists());
}

#[test]
fn a_file_is_not_a_log_and_stays_what_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "precious").unwrap();
    for path in [file.clone(), file.join("log"), file.join("deep/log")] {
        let refusal = tiny().open(&path).unwrap_err();
        assert!(matches!(refusal, Error::NotALog { found: NotALog::File, .. }), "{refusal:?}");
        assert_one_line(&refusal);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
    assert_eq!(listing(parent.path()).len(), 1);
}

#[test]
fn a_directory_of_other_files_is_not_a_log_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "0.seg", "control.bak", "1.seg.tmp"] {
        let path = directory.path().join(name);
        fs::write(&path, "precious").unwrap();
        if name == "control.bak" {
            continue;
        }
        let before = listing(directory.path());
        let refusal = tiny().open(directory.path()).unwrap_err();
        assert!(
            matches!(refusal, Error::NotALog { found: NotALog::OtherFiles, .. }),
            "{refusal:?}"
        );
        assert_one_line(&refusal);
        assert!(refusal.to_string().contains(directory.path().to_str().unwrap()));
        assert_eq!(listing(directory.path()), before);
    }
}

#[test]
fn a_control_file_of_something_else_is_not_a_log_and_stays_as_it_is() {
    for bytes in [0, 1, 4096, 8192, 100_000] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("control"), vec![b'x'; bytes]).unwrap();
        let before = listing(directory.path());
        let refusal = tiny().open(directory.path()).unwrap_err();
        assert!(matches!(refusal, Error::NotALog { .. }), "{refusal:?}");
        assert_eq!(listing(directory.path()), before);
    }
}

#[test]
fn a_directory_that_can_not_be_written_is_an_error_that_names_it() {
    let parent = tempfile::tempdir().unwrap();
    let mut permissions = fs::metadata(parent.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(parent.path(), permissions).unwrap();
    if fs::write(parent.path().join("probe"), "").is_ok() {
        println!("skipped: permissions do not bind this user");
        return;
    }
    let error = tiny().open(parent.path().join("log")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}

/// The child of the test below: tells whether it could open the log.
#[test]
fn child_that_opens_a_log_that_may_be_open() {
    let Ok(directory) = std::env::var("STRATALOG_LOCK_CHILD") else { return };
    match tiny().open(directory) {
        Ok(log) => println!("opened with {} records", records(&log).len()),
        Err(Error::Locked { path, .. }) => println!("locked by {}", path.display()),
        Err(error) => println!("{error:?}"),
    }
}

fn opened_elsewhere(directory: &Path) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bad_input::child_that_opens_a_log_that_may_be_open", "--nocapture"])
        .env("STRATALOG_LOCK_CHILD", directory)
        .output()
        .unwrap();
    String::from_utf8(child.stdout).unwrap()
}

#[test]
fn a_second_opener_is_locked_out_until_the_first_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let log = tiny().open(directory.path()).unwrap();
    log.append(b"one").unwrap();
    let before = listing(directory.path());
    let refusal = tiny().open(directory.path()).unwrap_err();
    let Error::Locked { path, .. } = &refusal else { panic!("{refusal:?}") };
    assert_eq!(path, &directory.path().join("LOCK"));
    assert_one_line(&refusal);
    let told = opened_elsewhere(directory.path());
    assert!(told.contains("locked by"), "{told}");
    assert_eq!(listing(directory.path()), before, "a refused opener changes nothing");
    log.append(b"two").unwrap();
    let clone = log.clone();
    log.close().unwrap();
    assert!(matches!(clone.append(b"three"), Err(Error::Closed)));
    assert!(matches!(clone.sync(), Err(Error::Closed) | Ok(_)));
    assert!(matches!(clone.clone().close(), Err(Error::Closed)));
    let told = opened_elsewhere(directory.path());
    assert!(told.contains("opened with 2 records"), "{told}");

    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    assert!(matches!(tiny().open_with(disk.clone()), Err(Error::Locked { .. })));
    drop(log);
    drop(tiny().open_with(disk).unwrap());
}

/// A closed log with a foreign file beside it.
fn with_a_foreign_file() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = tiny().open(directory.path()).unwrap();
    log.append(b"one").unwrap();
    log.close().unwrap();
    fs::write(directory.path().join("notes.txt"), "precious").unwrap();
    directory
}

#[test]
fn a_foreign_file_beside_the_log_is_left_and_reported() {
    let directory = with_a_foreign_file();
    let before = listing(directory.path());
    let refusal = tiny().recovery(RecoveryPolicy::Strict).open(directory.path()).unwrap_err();
    let Error::ForeignFile { path, .. } = &refusal else { panic!("{refusal:?}") };
    assert_eq!(path, &directory.path().join("notes.txt"));
    assert_one_line(&refusal);
    assert_eq!(listing(directory.path()), before);

    let log = tiny().open(directory.path()).unwrap();
    assert_eq!(log.recovery().foreign, [directory.path().join("notes.txt")]);
    assert_eq!(records(&log).len(), 1);
    drop(log);
    assert_eq!(fs::read(directory.path().join("notes.txt")).unwrap(), b"precious");
}

#[test]
fn a_file_whose_name_has_two_lines_is_named_on_one() {
    let directory = with_a_foreign_file();
    let (old, new) = (directory.path().join("notes.txt"), directory.path().join("two\nlines"));
    fs::rename(old, &new).unwrap();
    let refusal = tiny().recovery(RecoveryPolicy::Strict).open(directory.path()).unwrap_err();
    assert_one_line(&refusal);
    assert!(refusal.to_string().contains("two\\nlines"), "{refusal}");
    let Error::ForeignFile { path, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(path, new);
    let report = tiny().open(directory.path()).unwrap().recovery().to_string();
    assert!(report.lines().any(|line| line.ends_with("two\\nlines")), "{report}");
}

fn strictly(storage: FileStorage) -> stratalog::Result<Log> {
    tiny().recovery(RecoveryPolicy::Strict).open_with(storage)
}

#[test]
fn a_strict_opener_takes_a_closed_log_and_refuses_a_torn_one() {
    let directory = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(directory.path());
    let log = strictly(storage.clone()).unwrap();
    log.append_durable(b"one").unwrap();
    log.close().unwrap();
    let log = strictly(storage.clone()).unwrap();
    let torn = log.append(&filled(1, 1000)).unwrap();
    // A copy of the directory is what a crash leaves behind; its last record is then torn.
    let crashed = tempfile::tempdir().unwrap();
    for (name, bytes) in listing(directory.path()) {
        fs::write(crashed.path().join(name), bytes).unwrap();
    }
    drop(log);
    let segment = crashed.path().join(stratalog::format::segment_name(0));
    let mut bytes = fs::read(&segment).unwrap();
    bytes[torn.get() as usize + 500] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let before = listing(crashed.path());
    let refusal = strictly(FileStorage::new(crashed.path())).unwrap_err();
    let Error::TornTail { path, lsn, .. } = &refusal else { panic!("{refusal:?}") };
    assert_eq!((path, *lsn), (&segment, torn));
    assert_one_line(&refusal);
    assert_eq!(listing(crashed.path()), before);
    let log = tiny().open(crashed.path()).unwrap();
    assert_eq!(log.recovery().cut.as_ref().unwrap().lsn, torn);
    assert_eq!(records(&log).len(), 1);
}

//! `stratalog get`.

use crate::tool::{run, small_log};

#[test]
fn a_record_is_shown_in_each_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("wal");
    let log = small_log(&dir);
    let lsn = log.append(b"one \xff\n").expect("appended").to_string();
    let dir = dir.to_str().expect("a path in UTF-8");

    // Beside the writer.
    let hex = run(["get", dir, &lsn]).fine();
    assert_eq!(
        hex,
        format!("lsn {lsn}, 6 bytes\n  00000000  {:<49} |one ..|\n", "6f 6e 65 20 ff 0a ")
    );
    assert_eq!(run(["get", dir, &lsn, "--format", "text"]).fine(), format!("{lsn} one \\xff\\n\n"));
    let json = run(["get", dir, &lsn, "--json"]).fine();
    assert_eq!(
        json,
        format!("{{\"bytes\":6,\"hex\":\"6f6e6520ff0a\",\"lsn\":{lsn},\"next_lsn\":4168}}\n")
    );

    let line = run(["get", dir, "8"]).refused();
    assert_eq!(line, "lsn 8 was truncated: the log begins at lsn 4096");
}

//! The names of a log's files, and [`classify`], which tells them from other people's.
//!
//! Invariant: a name is ours only if this crate would have written it so, to the letter. Whatever
//! else lies in the directory is left alone.

/// The file whose lock is held by the one writer.
pub const LOCK_NAME: &str = "LOCK";
/// The file whose lock is shared by processes that read.
pub const READERS_NAME: &str = "READERS";
/// The control file.
pub const CONTROL_NAME: &str = "control";
/// What is added to the name of a file that is being made.
pub const TEMPORARY_SUFFIX: &str = ".tmp";
/// What is added to the name of a file that recovery set aside.
pub const SET_ASIDE_SUFFIX: &str = ".bak";
/// What is added to the name of a segment that was dropped while someone read it.
pub const DROPPED_SUFFIX: &str = ".drop";

const SEGMENT_SUFFIX: &str = ".seg";
const SEGMENT_DIGITS: usize = 20;

/// What a file in a log's directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// [`LOCK_NAME`].
    Lock,
    /// [`READERS_NAME`].
    Readers,
    /// [`CONTROL_NAME`].
    Control,
    /// A segment, with its base address.
    Segment(u64),
    /// A control file or segment that was not finished.
    Temporary,
    /// A control file or segment that recovery set aside.
    SetAside,
    /// A control file or segment that was dropped while someone read it.
    Dropped,
    /// Not one of ours.
    Foreign,
}

/// Returns the name of the segment with this base: 20 digits and `.seg`.
pub fn segment_name(base: u64) -> String {
    format!("{base:020}{SEGMENT_SUFFIX}")
}

/// Returns the name of a sealed segment in an archive: 20 digits, `-`, its trailer's checksum as 8
/// hexadecimal digits, and `.seg`. So a segment that was cut, and what it was before, differ.
pub fn archived_name(base: u64, checksum: u32) -> String {
    format!("{base:020}-{checksum:08x}{SEGMENT_SUFFIX}")
}

/// Returns the base and the trailer's checksum that the name of an archived segment says; `None` for
/// any other name.
pub fn archived(name: &str) -> Option<(u64, u32)> {
    let (base, checksum) = name.strip_suffix(SEGMENT_SUFFIX)?.split_once('-')?;
    let parsed = (base.parse().ok()?, u32::from_str_radix(checksum, 16).ok()?);
    // Only what is written so, to the letter.
    (archived_name(parsed.0, parsed.1) == name && parsed.0.is_multiple_of(8)).then_some(parsed)
}

/// Tells what a file is by its name. Segments have exactly 20 digits, and a base that fits in 64 bits
/// and is a multiple of 8; suffixes count only after a control file's or a segment's name.
pub fn classify(name: &str) -> FileKind {
    let ours = |stem: &str| stem == CONTROL_NAME || segment_base(stem).is_some();
    let suffixed = |suffix| name.strip_suffix(suffix).is_some_and(ours);
    match name {
        LOCK_NAME => FileKind::Lock,
        READERS_NAME => FileKind::Readers,
        CONTROL_NAME => FileKind::Control,
        _ if suffixed(TEMPORARY_SUFFIX) => FileKind::Temporary,
        _ if suffixed(SET_ASIDE_SUFFIX) => FileKind::SetAside,
        _ if suffixed(DROPPED_SUFFIX) => FileKind::Dropped,
        _ => segment_base(name).map_or(FileKind::Foreign, FileKind::Segment),
    }
}

fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    // `parse` alone would take a sign and any number of digits.
    if digits.len() != SEGMENT_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|base: &u64| base.is_multiple_of(8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_segment_is_known_by_the_name_it_was_given(base in 0..=u64::MAX / 8) {
            let name = segment_name(base * 8);
            prop_assert_eq!(classify(&name), FileKind::Segment(base * 8));
            prop_assert_eq!(classify(&format!("{name}.tmp")), FileKind::Temporary);
            prop_assert_eq!(classify(&format!("{name}.bak")), FileKind::SetAside);
            prop_assert_eq!(classify(&format!("{name}.drop")), FileKind::Dropped);
        }

        #[test]
        fn names_sort_as_their_segments_do(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(segment_name(a).cmp(&segment_name(b)), a.cmp(&b));
        }

        #[test]
        fn only_the_name_itself_is_a_segments(name in "\\PC{0,30}|[0-9+]{18,22}(\\.seg)?") {
            if let FileKind::Segment(base) = classify(&name) {
                prop_assert_eq!(segment_name(base), name);
            }
        }
    }

    #[test]
    fn an_archived_segment_is_known_by_its_name_and_is_no_file_of_a_log() {
        let name = archived_name(67_108_864, 0x1a2b_3c4d);
        assert_eq!(name, "00000000000067108864-1a2b3c4d.seg");
        assert_eq!(archived(&name), Some((67_108_864, 0x1a2b_3c4d)));
        assert_eq!(archived(&archived_name(0, 0)), Some((0, 0)));
        assert_eq!(classify(&name), FileKind::Foreign);
        for other in [
            "00000000000067108864.seg",
            "00000000000067108864-1A2b3c4d.seg",
            "00000000000067108864-1a2b3c4.seg",
            "00000000000067108864-+a2b3c4d.seg",
            "+0000000000067108864-1a2b3c4d.seg",
            "00000000000067108865-1a2b3c4d.seg",
            "00000000000067108864-1a2b3c4d.seg.tmp",
        ] {
            assert_eq!(archived(other), None, "{other}");
        }
    }

    #[test]
    fn the_files_of_a_log_are_known() {
        assert_eq!(segment_name(67_108_864), "00000000000067108864.seg");
        for (name, kind) in [
            ("LOCK", FileKind::Lock),
            ("READERS", FileKind::Readers),
            ("control", FileKind::Control),
            ("control.tmp", FileKind::Temporary),
            ("control.bak", FileKind::SetAside),
            ("00000000000000000000.seg", FileKind::Segment(0)),
            ("18446744073709551608.seg", FileKind::Segment(u64::MAX - 7)),
        ] {
            assert_eq!(classify(name), kind, "{name}");
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for name in [
            "",
            ".",
            ".seg",
            ".tmp",
            "lock",
            "LOCK.tmp",
            "READERS.bak",
            "Control",
            "control ",
            "control.tmp.tmp",
            "control.tmp.bak",
            "data.tmp",
            "notes.bak",
            "0000000000000000000.seg",
            "000000000000000000000.seg",
            "+0000000000000000000.seg",
            "-0000000000000000000.seg",
            "0000000000000000000a.seg",
            "00000000000000000000.SEG",
            "00000000000000000000.seg.tmp.drop",
            "00000000000000000000.seg.old",
            "00000000000000000000",
            "00000000000000000001.seg",
            "00000000000000000004.seg.tmp",
            "18446744073709551616.seg",
            "99999999999999999999.seg",
            "0000000000000000000\u{0660}.seg",
        ] {
            assert_eq!(classify(name), FileKind::Foreign, "{name:?}");
        }
    }
}

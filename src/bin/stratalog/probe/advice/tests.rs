//! Disks that are not at hand, and what is said of them.

use super::*;
use crate::probe::place::{Device, Mount};
use crate::probe::platform::Space;

/// A good local disk: ext4 on flash.
fn flash() -> Findings {
    let mount = Mount {
        point: "/".to_owned(),
        file_system: "ext4".to_owned(),
        source: "/dev/nvme0n1p1".to_owned(),
        options: vec!["rw".to_owned(), "relatime".to_owned()],
    };
    let device = Device { physical_sector_bytes: Some(4096), ..Device::default() };
    let space = Space { free_bytes: 100 << 30, bytes: 200 << 30, block_bytes: 4096 };
    Findings {
        place: Place {
            path: "/data".into(),
            mount: Some(mount),
            device: Some(device),
            space: Some(space),
        },
        sync_p50_ns: 200_000,
        sync_p99_ns: 900_000,
        direct_p50_ns: Some(30_000),
        growing_p50_ns: Some(500_000),
        preallocated_p50_ns: Some(420_000),
        sizes: vec![(512, 190_000), (4096, 200_000), (16384, 230_000), (65536, 400_000)],
        fill: Duration::from_millis(20),
        preallocation: Preallocation::Blocks(FILE_BYTES),
        directory_sync: Ok(()),
        locks: Ok(()),
        log: Ok(()),
    }
}

fn on(file_system: &str, options: &[&str]) -> Findings {
    let mut findings = flash();
    let mount = findings.place.mount.as_mut().expect("a mount");
    mount.file_system = file_system.to_owned();
    mount.options = options.iter().map(|option| (*option).to_owned()).collect();
    findings
}

/// What is said that is more than a hint.
fn objections(findings: &Findings) -> Vec<(Level, &'static str)> {
    let advice = advise(findings);
    let above = advice.iter().filter(|one| one.level > Level::Hint);
    above.map(|one| (one.level, one.about)).collect()
}

fn text(findings: &Findings, about: &str) -> String {
    let advice = advise(findings);
    advice.into_iter().find(|one| one.about == about).expect(about).text
}

#[test]
fn a_good_disk_gets_no_objection_and_learns_what_to_expect() {
    let findings = flash();
    assert_eq!(objections(&findings), []);
    assert_eq!(verdict(&advise(&findings)), Level::Hint);
    let expected = "One thread reaches about 5,000 durable appends a second (200.0 us each, one in a \
                    hundred 900.0 us). Threads that wait at the same time share a sync, and 16.0 KiB \
                    cost hardly more than 512 B: more threads, append_batch, or on_durable with many \
                    records under way reach far more.";
    assert_eq!(text(&findings, "throughput"), expected);
    let zeros = text(&findings, "zero_filling");
    assert!(
        zeros.contains("a growing file takes 2.5 times as long, a preallocated one 2.1"),
        "{zeros}"
    );
    let segment = text(&findings, "segment_bytes");
    let expected = "Leave segment_bytes at 64.0 MiB: preparing one takes about 160.0 ms. Who appends \
                    more than 400.0 MiB a second for long waits for segments, unless dropped ones \
                    can be used again.";
    assert_eq!(segment, expected);
}

#[test]
fn what_a_log_takes_for_granted_and_does_not_hold_makes_the_place_unfit() {
    let failed = || Err("Operation not supported".to_owned());
    for (about, findings) in [
        ("locks", Findings { locks: failed(), ..flash() }),
        ("directory", Findings { directory_sync: failed(), ..flash() }),
        ("log", Findings { log: failed(), ..flash() }),
        ("file_system", on("tmpfs", &[])),
        ("file_system", on("nfs4", &[])),
        ("file_system", on("overlay", &["volatile"])),
        ("mount_options", on("xfs", &["rw", "nobarrier"])),
        ("mount_options", on("ext4", &["barrier=0"])),
    ] {
        assert_eq!(objections(&findings), [(Level::Unfit, about)], "{about}");
        assert_eq!(verdict(&advise(&findings)), Level::Unfit);
    }
}

#[test]
fn what_only_the_owner_of_the_machine_can_know_is_a_doubt() {
    let mut sectors = flash();
    sectors.place.device.as_mut().expect("a device").physical_sector_bytes = Some(16384);
    for (about, findings) in [
        ("file_system", on("overlay", &[])),
        ("file_system", on("fuse.sshfs", &[])),
        ("file_system", on("vfat", &[])),
        ("sectors", sectors),
        ("preallocation", Findings { preallocation: Preallocation::Blocks(4096), ..flash() }),
        ("fast_sync", Findings { sync_p50_ns: 3_000, direct_p50_ns: None, ..flash() }),
        ("fast_sync", Findings { sync_p50_ns: 40_000, direct_p50_ns: Some(90_000), ..flash() }),
    ] {
        assert_eq!(objections(&findings), [(Level::Doubt, about)], "{about}");
    }
}

#[test]
fn syncs_are_fast_in_memory_and_that_is_no_surprise() {
    let findings = Findings { sync_p50_ns: 300, ..on("tmpfs", &[]) };
    assert_eq!(objections(&findings), [(Level::Unfit, "file_system")]);
}

#[test]
fn a_small_or_slow_disk_gets_smaller_segments() {
    let mut small = flash();
    small.place.space = Some(Space { free_bytes: 100 << 20, bytes: 1 << 30, block_bytes: 4096 });
    assert!(
        text(&small, "segment_bytes").starts_with("Set segment_bytes(4194304), which is 4.0 MiB")
    );
    let slow = Findings { fill: Duration::from_secs(2), ..flash() };
    assert!(
        text(&slow, "segment_bytes").starts_with("Set segment_bytes(16777216), which is 16.0 MiB")
    );
    let none = Space { free_bytes: 0, bytes: 1 << 30, block_bytes: 4096 };
    let mut full = flash();
    full.place.space = Some(none);
    assert!(text(&full, "segment_bytes").starts_with("Set segment_bytes(16384)"));
}

#[test]
fn what_is_not_known_is_not_talked_of() {
    let findings = Findings {
        place: Place::default(),
        direct_p50_ns: None,
        growing_p50_ns: None,
        preallocated_p50_ns: None,
        sizes: Vec::new(),
        preallocation: Preallocation::None,
        ..flash()
    };
    let about: Vec<&str> = advise(&findings).iter().map(|one| one.about).collect();
    assert_eq!(about, ["preallocation", "throughput", "segment_bytes", "commit_delay"]);
}

#[test]
fn where_blocks_are_written_anew_nothing_is_said_of_zeros_that_are_not_written() {
    let findings = on("btrfs", &[]);
    assert_eq!(objections(&findings), []);
    assert_eq!(text(&findings, "segment_bytes"), "Leave segment_bytes at 64.0 MiB.");
    assert!(text(&findings, "preallocation").contains("every block to a new place"));
    assert!(advise(&findings).iter().all(|one| one.about != "zero_filling"));
}

#[test]
fn where_no_log_should_be_no_options_are_given() {
    let advice = advise(&on("tmpfs", &[]));
    assert!(advice.iter().all(|one| one.level > Level::Hint), "{advice:?}");
}

#[test]
fn what_is_worst_comes_first() {
    let mut findings = on("overlay", &[]);
    findings.locks = Err("no".to_owned());
    assert_eq!(objections(&findings), [(Level::Unfit, "locks"), (Level::Doubt, "file_system")]);
    let advice = advise(&findings);
    assert!(advice.is_sorted_by_key(|one| std::cmp::Reverse(one.level)));
}

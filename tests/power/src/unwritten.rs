//! [`round`]: the first write of preallocated blocks fails, the log is opened again, the power goes.
//!
//! Invariant: what the second opening hands out is there after the cut. ext4 makes that hard: it
//! leaves the blocks marked as never written, writes their pages again without clearing the mark, and
//! calls that synced; after a restart they read as zeros.

use stratalog::{Error, Options};

use crate::check::{Broken, Checker, contents, open};
use crate::common::{Random, Tag};
use crate::cut::{Cut, Cutter, Manner};
use crate::device::Failing;
use crate::extents::extents;
use crate::pages::Pages;
use crate::workload::log_directory;

/// Returns in a few words what was done.
pub(crate) fn round(checker: &mut Checker<'_>, empty: &Pages, seed: u64) -> Result<String, Broken> {
    let told = |error: std::io::Error| format!("{}: {error}", checker.kind);
    let mount_options = checker.kind.options()[0];
    let mounted = checker.place.mount(checker.kind, empty.clone(), mount_options).map_err(told)?;
    let mut random = Random::new(seed);
    let mut options = Options::new();
    // Without a thread that fills ahead the batch comes to blocks that were never written.
    options.segment_bytes(1 << 20).background(false);
    let log = open(&mounted, &options)?;
    let part = |part| Tag { writer: 1, call: 0, part, parts: 8 }.payload(40_000);
    let batch: Vec<_> = (0..8).map(part).collect();
    let kept = log.append_durable(&Tag::single(0, 0).payload(100)).map_err(text)?;
    log.append_batch(&batch).map_err(text)?;
    let device = mounted.device();
    let ranges = extents(&mounted, &log_directory(&mounted), &[".seg"]);
    // That has synced the file system. What is written again and extended after it is not written.
    let more: Vec<_> = (0..8).map(|part| Tag { writer: 1, call: 1, part, parts: 8 }).collect();
    let more: Vec<_> = more.into_iter().map(|tag| tag.payload(40_000)).collect();
    log.append_batch(&more).map_err(text)?;
    device.fail(Failing { ranges, writes: 1 + random.below(2) });
    let synced = log.sync();
    let failed = device.heal();
    if !matches!(synced, Err(Error::Io { .. })) || failed == 0 {
        return Err(format!("{failed} writes failed, and a sync said {synced:?}").into());
    }
    drop(log);
    let log = open(&mounted, &options)?;
    let opened = mounted.device().stamp();
    let found = contents(&log)?;
    drop(log);
    let recording = mounted.unmount().map_err(told)?;
    let cut = Cut { at: opened, manner: Manner::Nothing, seed };
    let image = Cutter::new(&recording, &[]).image(&cut);
    let mounted = checker.place.mount(checker.kind, image.clone(), mount_options).map_err(told)?;
    checker.count.cuts += 1;
    let broken = |what: String| Broken { what: format!("{cut}: {what}"), image: Some(image) };
    let again = open(&mounted, &options).and_then(|log| contents(&log));
    mounted.unmount().map_err(told)?;
    match again {
        Ok(again) if again == found && found.first().is_some_and(|first| first.0 == kept) => {
            Ok(format!("{failed} first writes failed, {} records handed out and kept", found.len()))
        }
        Ok(again) => Err(broken(format!("{} of {} records are there", again.len(), found.len()))),
        Err(what) => Err(broken(what)),
    }
}

fn text(error: Error) -> String {
    format!("before the disk fails: {error}")
}

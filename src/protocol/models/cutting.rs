//! Models of cutting: what appenders, leaders and those who wait make of it.
//!
//! Invariant: an append comes before the cut or after it; nobody is told that what was cut away is
//! durable; nobody waits for ever.

use super::*;

/// Where the log goes on after a cut.
const FRESH: u64 = frames_start(16384);

impl Log {
    /// Cuts the log at its start, as far as the protocol is concerned. False if it is empty.
    pub(super) fn cut(&self) -> Result<bool, Stopped> {
        let cut = {
            let _alone = self.disk.truncation.lock();
            self.cut_alone()
        };
        self.protocol.tell_of_cut();
        cut.map_err(|stopped| self.disk.hear(stopped))
    }

    fn cut_alone(&self) -> Result<bool, Stopped> {
        let cutting = self.protocol.begin_cut(&self.disk)?;
        if cutting.tail() == START {
            return cutting.abandon(&self.disk).map(|()| false);
        }
        let mut state = self.disk.state.lock();
        assert!(state.written_to >= cutting.tail(), "all that was claimed is written");
        (state.written_to, state.synced_to) = (FRESH, FRESH);
        let extent =
            Extent { base: 16384, end: FRESH + 4096, previous_base: 0, previous_end: START };
        state.spares = vec![extent];
        drop(state);
        cutting.finish(&self.disk, &(START..FRESH)).map(|()| true)
    }
}

/// Runs a cut beside `other`, which appended up to the address that it returns.
fn beside_a_cut(other: impl Fn(&Arc<Log>) -> u64 + Send + Sync + Copy + 'static) {
    model(move || {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, move |log| other(log));
        let has_cut = log.cut().unwrap();
        let end = thread.join().unwrap();
        assert_eq!(log.protocol.tail(), if has_cut { FRESH } else { end });
        assert_eq!(log.protocol.commit_waiters.count() + log.protocol.sync_waiters.count(), 0);
        // The log goes on.
        log.durable(&[9; 8]).unwrap();
    });
}

#[test]
fn an_append_comes_before_a_cut_or_after_it() {
    beside_a_cut(|log| log.append(&[1; 8]).unwrap().1);
}

#[test]
fn what_is_buffered_comes_before_a_cut_or_after_it() {
    beside_a_cut(|log| log.buffered(&[1; 8]).unwrap().1);
}

#[test]
fn what_is_written_beside_the_ring_comes_before_a_cut_or_after_it() {
    beside_a_cut(|log| log.direct(120).unwrap() + 120);
}

#[test]
fn who_waits_for_what_is_cut_away_is_not_told_that_it_is_durable() {
    beside_a_cut(|log| {
        let (_, end) = log.stage(&[1; 8]).unwrap();
        match log.sync_until(end) {
            Ok(_) => {}
            Err(stopped) => assert!(stopped == Stopped::Cut(end) && end < FRESH),
        }
        end
    });
}

fn a_listener_hears_of_a_cut(listen: fn(&Arc<Told>, &Arc<Log>, u64)) {
    model(move || {
        let log = Log::new(1024, 128, DiskState::default());
        let told = Told::new();
        let (_, end) = log.stage(&[1; 8]).unwrap();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || listen(&tell, &other, end));
        log.cut().unwrap();
        told.keep(&log, 1);
        thread.join().unwrap();
        assert_eq!(told.all(), [Err(Stopped::Cut(end))]);
        assert_eq!(log.protocol.sync_waiters.count(), 0);
    });
}

#[test]
fn a_future_hears_of_a_cut() {
    a_listener_hears_of_a_cut(|told, log, end| told.future(log, end));
}

#[test]
fn a_callback_hears_of_a_cut() {
    a_listener_hears_of_a_cut(Told::callback);
}

/// Runs `other` beside leaders that are at work until the log is poisoned.
fn beside_leaders(other: impl Fn(&Log) -> Option<Stopped> + Send + Sync + Copy + 'static) {
    model(move || {
        let log = Log::new(1024, 128, DiskState::default());
        assert!(log.protocol.commit_lead.signal() && log.protocol.sync_lead.signal());
        let thread = spawn(&log, move |log| other(log));
        log.protocol.poison();
        assert_eq!(thread.join().unwrap(), Some(Stopped::Poisoned));
        let state = log.disk.state.lock();
        assert_eq!((state.written_to, state.synced_to), (START, START));
    });
}

#[test]
fn a_cut_does_not_begin_before_the_leaders_have_left() {
    beside_leaders(|log| log.protocol.begin_cut(&log.disk).map(drop).err());
}

#[test]
fn what_is_written_beside_the_ring_is_not_written_before_the_leader_has_left() {
    beside_leaders(|log| log.direct(120).err());
}

#[test]
fn a_cut_and_a_failure_leave_nobody_waiting() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_sync: true, ..DiskState::default() });
        let thread = spawn(&log, |log| log.durable(&[1; 8]));
        let cut = log.cut();
        match (cut, thread.join().unwrap()) {
            (Ok(true), Err(Stopped::Cut(_))) | (Ok(false), Err(Stopped::Failed)) => {}
            (Err(Stopped::Failed), Err(Stopped::Poisoned)) => {}
            (Err(Stopped::Poisoned | Stopped::Failed), Err(Stopped::Failed)) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn closing_waits_for_a_cut_or_comes_before_it() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        log.buffered(&[1; 8]).unwrap();
        let thread = spawn(&log, |log| log.cut());
        log.protocol.close();
        log.disk.await_cut();
        let tail = log.protocol.tail();
        log.protocol.sync_until(&log.disk, tail).unwrap();
        match thread.join().unwrap() {
            Ok(_) => assert_eq!(tail, FRESH),
            Err(stopped) => assert_eq!((stopped, tail), (Stopped::Closed, START + 24)),
        }
        assert_eq!(log.append(&[2; 8]), Err(Stopped::Closed));
    });
}

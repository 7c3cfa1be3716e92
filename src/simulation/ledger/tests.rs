//! Each clause of the ledger refuses what breaks it.

use std::panic::catch_unwind;
use std::sync::Arc;

use super::*;

/// Two records and a batch of two, of 8 bytes each, from address 4144 on: the first durable, the
/// second committed, the batch in the buffer. Each call took two events.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.open(&shown(&[], 4144), (0, 1));
    let payloads = |numbers: &[u8]| numbers.iter().map(|n| Arc::from([*n; 8])).collect();
    ledger.enter(&[
        Note::Appended { began: 2, told: 4, at: 4144, payloads: payloads(&[1]) },
        Note::Durable { told: 4, below: 4145 },
        Note::Appended { began: 4, told: 6, at: 4168, payloads: payloads(&[2]) },
        Note::Committed { told: 6, below: 4192 },
        Note::Appended { began: 6, told: 8, at: 4192, payloads: payloads(&[3, 4]) },
    ]);
    ledger
}

/// What a log shows that holds these numbers, and goes on at `tail`.
fn shown(numbers: &[u8], tail: u64) -> Shown {
    let record = |n: &u8| (4144 + 24 * u64::from(*n - 1), vec![*n; 8]);
    let found = numbers.iter().map(record).collect();
    let (head, app_state) = (4144, Vec::new());
    Shown { found, head, app_state, durable: tail, committed: tail, tail, clean: false }
}

/// Why the ledger refuses a log that shows this after a crash.
fn refusal(crash: Crash, shown: &Shown) -> Option<String> {
    let mut next = ledger().after(crash);
    let shown = shown.clone();
    let panic = catch_unwind(move || next.open(&shown, (0, 1))).err()?;
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Some(text.or(panic.downcast_ref::<String>().cloned()).unwrap())
}

fn power(event: u64) -> Crash {
    Crash::Power { event, seed: 0 }
}

#[track_caller]
fn refused(crash: Crash, shown: &Shown, why: &str) {
    let said = refusal(crash, shown).expect("a refusal");
    assert!(said.contains(why), "{said}");
}

#[test]
fn every_prefix_that_keeps_what_was_promised_is_fine() {
    for found in [&[1][..], &[1, 2], &[1, 2, 3, 4]] {
        assert_eq!(refusal(power(8), &shown(found, 20480)), None);
    }
    assert_eq!(refusal(power(3), &shown(&[], 4144)), None);
}

#[test]
fn a_record_that_was_promised_must_be_there() {
    refused(power(8), &shown(&[], 20480), "lost: 4144");
    refused(power(4), &shown(&[], 20480), "lost: 4144");
    assert_eq!(refusal(power(6), &shown(&[1], 20480)), None);
    refused(Crash::Process { event: 6 }, &shown(&[1], 20480), "lost: 4168");
    assert_eq!(refusal(Crash::Process { event: 5 }, &shown(&[1], 20480)), None);
}

#[test]
fn nothing_else_may_be_there() {
    refused(power(8), &shown(&[1, 2, 3, 4, 5], 20480), "nobody appended");
    refused(power(8), &shown(&[1, 3, 4], 20480), "missing or unknown");
    refused(power(4), &shown(&[1, 2], 20480), "nobody appended");
    let mut changed = shown(&[1, 2], 20480);
    changed.found[1].1[7] ^= 1;
    refused(power(8), &changed, "at 4168: appended 8 bytes");
}

#[test]
fn a_batch_is_whole_or_not_there() {
    refused(power(8), &shown(&[1, 2, 3], 20480), "inside a batch");
}

#[test]
fn an_address_is_given_once() {
    refused(power(8), &shown(&[1], 4200), "goes on at 4200, below 4240");
    assert_eq!(refusal(power(7), &shown(&[1], 4200)), None, "nobody had heard of it");
    let mut next = ledger().after(power(8));
    next.open(&shown(&[1], 20480), (0, 1));
    let note = Note::Appended { began: 1, told: 2, at: 4240, payloads: vec![Arc::from([1])] };
    assert!(catch_unwind(move || next.enter(&[note])).is_err());
}

#[test]
fn watermarks_are_equal_and_a_closed_log_is_clean() {
    let uneven = Shown { durable: 4144, ..shown(&[1], 20480) };
    refused(power(8), &uneven, "equal");
    let mut closed = ledger();
    closed.enter(&[Note::Durable { told: 9, below: 4240 }, Note::Closed { told: 9 }]);
    let mut next = closed.after(power(9));
    let whole = shown(&[1, 2, 3, 4], 4240);
    assert!(catch_unwind(move || next.open(&whole, (0, 1))).is_err());
    closed.after(power(9)).open(&Shown { clean: true, ..shown(&[1, 2, 3, 4], 4240) }, (0, 1));
}

#[test]
fn what_an_opened_log_shows_is_promised() {
    let mut next = ledger().after(power(8));
    next.open(&shown(&[1, 2], 20480), (0, 5));
    let mut after = next.after(power(5));
    assert!(catch_unwind(move || after.open(&shown(&[1], 20480), (0, 1))).is_err());
    // While it was being opened: all of it, as nothing of it was in a cache only.
    let mut during = next.after(power(3));
    assert!(catch_unwind(move || during.open(&shown(&[1], 20480), (0, 1))).is_err());

    // After an end of the process it was; what had been synced stays.
    let mut next = ledger().after(Crash::Process { event: 6 });
    next.open(&shown(&[1, 2], 20480), (6, 9));
    next.after(power(8)).open(&shown(&[1], 20480), (0, 1));
    let mut after = next.after(power(9));
    assert!(catch_unwind(move || after.open(&shown(&[1], 20480), (0, 1))).is_err());
}

#[test]
fn a_reader_sees_whole_batches_and_all_that_was_committed() {
    let read = |numbers, committed| {
        let note =
            Note::Read { began: 8, told: 8, committed, head: 4144, found: shown(numbers, 0).found };
        catch_unwind(move || ledger().check_reads(&[note])).is_ok()
    };
    assert!(read(&[1, 2], 4192) && read(&[1, 2, 3, 4], 4192));
    assert!(!read(&[1], 4192) && !read(&[1, 2, 3], 4192) && !read(&[2], 4144));
    // What a reader has seen was committed.
    let mut ledger = ledger();
    ledger.check_reads(&[Note::Read {
        began: 8,
        told: 8,
        committed: 0,
        head: 4144,
        found: shown(&[1, 2, 3, 4], 0).found,
    }]);
    let mut next = ledger.after(Crash::Process { event: 8 });
    assert!(catch_unwind(move || next.open(&shown(&[1, 2], 20480), (0, 1))).is_err());
}

#[test]
fn a_head_is_one_that_a_truncation_made_and_never_goes_back() {
    let mut ledger = ledger();
    ledger.enter(&[
        Note::Truncated { began: 8, told: 10, head: 4168 },
        Note::Truncated { began: 10, told: 14, head: 4192 },
    ]);
    let finds = |event, head, numbers: &[u8]| {
        let mut next = ledger.after(power(event));
        let shown = Shown { head, ..shown(numbers, 20480) };
        catch_unwind(move || next.open(&shown, (0, 1))).is_ok()
    };
    assert!(finds(8, 4144, &[1, 2]) && !finds(8, 4168, &[2]));
    assert!(finds(9, 4144, &[1, 2]) && finds(9, 4168, &[2]) && !finds(9, 4192, &[3, 4]));
    assert!(!finds(12, 4144, &[1, 2]) && finds(12, 4168, &[2]) && finds(12, 4192, &[3, 4]));
    assert!(!finds(14, 4168, &[2]) && finds(14, 4192, &[3, 4]));
    assert!(!finds(14, 4192, &[2, 3, 4]), "what was dropped is there");
}

#[test]
fn the_state_of_the_application_is_the_last_that_was_set() {
    let mut ledger = ledger();
    let state = |began, told, byte| Note::State { began, told, bytes: vec![byte] };
    ledger.enter(&[state(8, 10, 1), state(10, 14, 2)]);
    let finds = |event, app_state: &[u8]| {
        let mut next = ledger.after(power(event));
        let shown = Shown { app_state: app_state.to_vec(), ..shown(&[1, 2], 20480) };
        catch_unwind(move || next.open(&shown, (0, 1))).is_ok()
    };
    assert!(finds(8, &[]) && !finds(8, &[1]));
    assert!(finds(9, &[]) && finds(9, &[1]) && !finds(9, &[2]));
    assert!(!finds(12, &[]) && finds(12, &[1]) && finds(12, &[2]));
    assert!(!finds(14, &[1]) && finds(14, &[2]));
}

#[test]
fn a_follower_sees_all_from_where_it_began() {
    let followed = |numbers, from, kept| {
        let note = Note::Followed { began: 8, told: 8, from, kept, found: shown(numbers, 0).found };
        catch_unwind(move || ledger().check_reads(&[note])).is_ok()
    };
    // It may stop where it likes, unless it came to an end.
    assert!(followed(&[2, 3], 4168, 0) && followed(&[2], 4168, 4192) && followed(&[], 4168, 4168));
    assert!(!followed(&[2], 4144, 0) && !followed(&[2, 4], 4168, 0));
    assert!(!followed(&[2], 4168, 4193) && !followed(&[2, 3, 4, 5], 4168, 0));
    // What it has seen was committed.
    let mut ledger = ledger();
    ledger.check_reads(&[Note::Followed {
        began: 8,
        told: 8,
        from: 4192,
        kept: 0,
        found: shown(&[3, 4], 0).found,
    }]);
    let mut next = ledger.after(Crash::Process { event: 8 });
    assert!(catch_unwind(move || next.open(&shown(&[1, 2], 20480), (0, 1))).is_err());
}

#[test]
fn a_follower_sees_what_a_cut_leaves_or_what_was_there_before() {
    let followed = |(began, told), numbers, kept| {
        let mut ledger = ledger();
        ledger.enter(&[Note::Cut { began: 8, told: 10, gone: 4168..4192 }]);
        let found = shown(numbers, 0).found;
        let note = Note::Followed { began, told, from: 4144, kept, found };
        catch_unwind(move || ledger.check_reads(&[note])).is_ok()
    };
    for kept in [0, 4193] {
        assert!(followed((6, 7), &[1, 2, 3], kept) && !followed((6, 7), &[1, 3], kept));
        assert!(followed((6, 8), &[1, 2, 3], kept) && followed((6, 8), &[1, 3], kept));
        assert!(followed((10, 12), &[1, 2, 3], kept) && followed((10, 12), &[1, 3], kept));
        assert!(!followed((11, 12), &[1, 2, 3], kept) && followed((11, 12), &[1, 3], kept));
        assert!(!followed((9, 9), &[2, 3], kept) && !followed((9, 9), &[1, 4], kept));
    }
    // One that was told of the cut has come to no end.
    assert!(followed((9, 9), &[1, 2], 0) && !followed((9, 9), &[1, 2], 4193));
}

#[test]
fn of_cuts_that_had_begun_none_was_made_that_ends_above_where_the_log_goes_on() {
    let mut ledger = ledger();
    ledger.enter(&[
        Note::Durable { told: 9, below: 4240 },
        // One is under way, and the other waits for it.
        Note::Cut { began: 9, told: 30, gone: 4192..36864 },
        Note::Cut { began: 9, told: 20, gone: 4192..20480 },
    ]);
    for _ in 0..2 {
        ledger = ledger.after(power(10));
        ledger.open(&shown(&[1, 2], 20480), (0, 5));
    }
}

#[test]
fn what_a_cut_in_the_cache_has_hidden_may_come_back_until_the_log_is_open() {
    let mut ledger = ledger();
    ledger.enter(&[Note::Cut { began: 9, told: 20, gone: 4192..20480 }]);
    let mut next = ledger.after(Crash::Process { event: 10 });
    next.open(&shown(&[1, 2], 20480), (0, 5));
    next.after(power(3)).open(&shown(&[1, 2, 3, 4], 20480), (0, 5));
    let mut after = next.after(power(5));
    assert!(catch_unwind(move || after.open(&shown(&[1, 2, 3, 4], 20480), (0, 5))).is_err());
}

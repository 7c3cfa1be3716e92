//! Accounts whose balances are nowhere but in the log: at each start all events are replayed, here
//! two million of them, from one thread and from several. Run it with
//!
//! ```text
//! cargo run --release --example accounts [DIRECTORY]
//! ```
//!
//! Invariant: it exits with 0 only if every replay gives the balances that the writer had, to the
//! cent, and no money was made or lost in any segment.

use std::env;
use std::error::Error;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Iter, Log, Options};

/// Odd, so that segments would end between the two events of a transfer if batches could be torn.
const ACCOUNTS: u32 = 49_999;
const OPENING_CENTS: u32 = 100_000;
const TRANSFERS: u32 = 1_000_000;
const TRANSFERS_PER_BATCH: u32 = 32;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What happened to an account. It was checked before it was appended; a replay only adds up.
#[derive(Clone, Copy, Debug)]
enum Event {
    Opened,
    Sent,
    Received,
}

/// A record: `u32 event | u32 account | u32 cents`, little endian.
fn encode(event: Event, account: u32, cents: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (to, from) in bytes.chunks_exact_mut(4).zip([event as u32, account, cents]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    bytes
}

fn decode(payload: &[u8]) -> Option<(Event, u32, u32)> {
    let (event, rest) = payload.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let cents = u32::from_le_bytes(rest.try_into().ok()?);
    let event = match u32::from_le_bytes(*event) {
        0 => Event::Opened,
        1 => Event::Sent,
        2 => Event::Received,
        _ => return None,
    };
    Some((event, u32::from_le_bytes(*account), cents))
}

/// The state, or a part of it: what the events of some segments did to the accounts. Effects are
/// added, so their order does not matter, and parts that were found apart can be merged. State that
/// depends on the order, such as the last address of a customer, would be merged by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// For each account, in cents. Below 0 only in a part.
    balances: Vec<i64>,
    opened: u64,
    events: u64,
}

impl State {
    fn new() -> Self {
        Self { balances: vec![0; ACCOUNTS as usize], opened: 0, events: 0 }
    }

    fn apply(&mut self, event: Event, account: u32, cents: u32) -> Option<()> {
        let balance = self.balances.get_mut(account as usize)?;
        match event {
            Event::Opened => {
                *balance += i64::from(cents);
                self.opened += 1;
            }
            Event::Sent => *balance -= i64::from(cents),
            Event::Received => *balance += i64::from(cents),
        }
        self.events += 1;
        Some(())
    }

    fn replay(&mut self, records: Iter<'_>) -> Outcome<()> {
        for record in records {
            let record = record?;
            // The payload lies in the mapped file, and is not copied.
            decode(record.payload())
                .and_then(|(event, account, cents)| self.apply(event, account, cents))
                .ok_or_else(|| format!("no event of ours at lsn {}", record.lsn()))?;
        }
        Ok(())
    }

    fn merge(mut self, other: &Self) -> Self {
        for (balance, more) in self.balances.iter_mut().zip(&other.balances) {
            *balance += more;
        }
        self.opened += other.opened;
        self.events += other.events;
        self
    }

    fn money(&self) -> i64 {
        self.balances.iter().sum()
    }

    /// The only money that there is came with the opening of accounts. A transfer is one batch with
    /// other transfers, and a batch never spans segments: so this holds for any of these.
    fn check_money(&self) {
        assert_eq!(
            self.money(),
            i64::from(OPENING_CENTS) * self.opened.cast_signed(),
            "money is conserved"
        );
    }
}

fn main() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let dir = env::args_os().nth(1).map_or(temporary.path().join("wal"), PathBuf::from);
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }
    let seed: u64 = env::var("STRATALOG_SEED").map_or(Ok(1), |seed| seed.parse())?;
    println!("seed {seed} (STRATALOG_SEED=.. takes another)");
    println!("{ACCOUNTS} accounts, {TRANSFERS} transfers of two events each\n");

    let began = Instant::now();
    let log = Options::new().segment_bytes(8 << 20).open(&dir)?;
    let written = write(&log, seed)?;
    log.close()?;
    tell("written, synced, closed", &written, began.elapsed());

    let log = Options::new().create(false).open(&dir)?;
    let mut state = State::new();
    let began = Instant::now();
    state.replay(log.snapshot().iter())?;
    tell("replay, one thread", &state, began.elapsed());
    assert!(state == written, "the writer had other balances");

    let threads = thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 8);
    let began = Instant::now();
    let state = replay_in_parallel(&log, threads)?;
    tell(&format!("replay, {threads} threads"), &state, began.elapsed());
    assert!(state == written, "the writer had other balances");
    assert!(state.balances.iter().all(|balance| *balance >= 0), "nobody can owe anything");
    assert_eq!(state.events, u64::from(ACCOUNTS + 2 * TRANSFERS));
    state.check_money();

    let (segments, cents) = (log.snapshot().segments().count(), state.money());
    println!("\n{}.{:02} in all, also by each of {segments} segments", cents / 100, cents % 100);
    log.close()?;
    println!("\nAll checks held.");
    Ok(())
}

/// Opens accounts and moves money between them at random; returns what came of it.
fn write(log: &Log, seed: u64) -> Outcome<State> {
    let mut state = State::new();
    let mut random = seed;
    let mut batch = Vec::new();
    let happen = |state: &mut State, batch: &mut Vec<_>, event, account, cents| {
        batch.push(encode(event, account, cents));
        state.apply(event, account, cents).ok_or("no such account")
    };
    for account in 0..ACCOUNTS {
        happen(&mut state, &mut batch, Event::Opened, account, OPENING_CENTS)?;
    }
    log.append_batch(&batch)?;
    batch.clear();
    for transfer in 1..=TRANSFERS {
        let from = below(&mut random, ACCOUNTS);
        let to = below(&mut random, ACCOUNTS);
        // Decided here, once: nobody can send more than they own. What is in the log has happened.
        let owned = state.balances.get(from as usize).copied().unwrap_or_default();
        let cents = below(&mut random, OPENING_CENTS).min(u32::try_from(owned)?);
        happen(&mut state, &mut batch, Event::Sent, from, cents)?;
        happen(&mut state, &mut batch, Event::Received, to, cents)?;
        if transfer.is_multiple_of(TRANSFERS_PER_BATCH) || transfer == TRANSFERS {
            // All or nothing: after a crash no money is between two accounts.
            log.append_batch(&batch)?;
            batch.clear();
        }
    }
    // Only now could the customers be told; a real engine would do so more often.
    log.sync()?;
    Ok(state)
}

/// Each thread takes the next segment that nobody has taken, and adds up what it finds.
fn replay_in_parallel(log: &Log, threads: usize) -> Outcome<State> {
    let snapshot = log.snapshot();
    let segments: Vec<_> = snapshot.segments().collect();
    let taken = AtomicUsize::new(0);
    let work = || {
        let mut state = State::new();
        while let Some(segment) = segments.get(taken.fetch_add(1, Ordering::Relaxed)) {
            state.replay(segment.iter())?;
            state.check_money();
        }
        Outcome::Ok(state)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_fold(State::new(), |state, thread| -> Outcome<State> {
            Ok(state.merge(&thread.join().map_err(|_| "a check failed")??))
        })
    })
}

/// A random number below `bound`, by a linear congruence (Knuth's MMIX), of which the upper half is good.
fn below(state: &mut u64, bound: u32) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let upper = u32::try_from(*state >> 32).unwrap_or_default();
    upper % bound
}

fn tell(work: &str, state: &State, took: Duration) {
    let per_second = |count: u64| u128::from(count) * 1_000 / took.as_micros().max(1);
    let (events, payload) = (per_second(state.events), per_second(state.events * 12) / 1_000);
    println!("{work:24} {:>6} ms {events:>8} K events/s {payload:>6} MB/s", took.as_millis());
}

//! A replica: a second process that takes over what is durable in a log into a log of its own. It is
//! killed six times, goes on where it was, and ends up with the same records. Run it with
//!
//! ```text
//! cargo run --release --example replica [DIRECTORY]
//! ```
//!
//! Invariant: it exits with 0 only if the replica has every record of the source once, in order, with
//! its address, though the source has dropped most of them by then.
//!
//! The two talk through pipes, as they would through a network. The replica says where it is; the
//! source sends groups of records from there on; the replica answers each when it has it durably.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use stratalog::{FollowOptions, Follower, Hold, Log, Lsn, Options, Record};

const RECORDS: u64 = 10_000;
const GROUP: usize = 64;
const KILLS: u64 = 6;
/// It is killed after at most so many groups: it never has everything before the last kill.
const MAX_GROUPS: u64 = RECORDS / KILLS / GROUP as u64;
/// The last record, so that it is known when all is done.
const END: &[u8] = b"the end";
/// Where a replica is that has nothing. No record has this address.
const NOWHERE: Lsn = Lsn::new(0);
/// The first argument of the process that is the replica.
const REPLICA: &str = "--replica";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [replica, dir] = arguments.as_slice()
        && replica == REPLICA
    {
        return run_replica(Path::new(dir));
    }
    let temporary = tempfile::tempdir()?;
    let dir = arguments.first().map_or(temporary.path().to_owned(), PathBuf::from);
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }
    let seed = env::var("STRATALOG_SEED").map_or(Ok(1), |seed| seed.parse())?;
    println!("seed {seed} (STRATALOG_SEED=.. takes another)\n");

    let source = open(&dir.join("source"))?;
    let first = source.head();
    // What the replica has not acknowledged stays, also while there is no replica running.
    let hold = source.hold_named(first, "replica")?;
    let expected = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&source));
        let sent = send_all(&source, &hold, &dir.join("replica"), seed);
        let written = writer.join().map_err(|_| "the writer panicked")?;
        sent.and(written)
    })?;

    let replica = open(&dir.join("replica"))?;
    let snapshot = replica.snapshot();
    let mut found = Vec::new();
    for record in &snapshot {
        let (lsn, _, payload) = decode(record?.payload()).ok_or("no record of ours")?;
        found.push((lsn, payload.to_vec()));
    }
    let head = source.truncate_before(source.durable())?;
    println!("\nthe source has dropped all below lsn {head}, the replica has {}", found.len());
    assert!(head > first && source.segments().first().is_some_and(|it| it.base > 0), "truncated");
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the same records, at the same addresses, in the same order");
    replica.close()?;
    source.close()?;
    println!("\nAll checks held.");
    Ok(())
}

fn open(dir: &Path) -> Outcome<Log> {
    Ok(Options::new().segment_bytes(64 << 10).open(dir)?)
}

/// The source's own work: appends, syncs, rolls, and drops all that it may. Returns what it wrote.
fn write(source: &Log) -> Outcome<Vec<(Lsn, Vec<u8>)>> {
    let mut written = Vec::new();
    let mut append = |payload: &[u8]| -> Outcome<()> {
        written.push((source.append(payload)?, payload.to_vec()));
        Ok(())
    };
    for number in 0..RECORDS {
        append(format!("record {number}").as_bytes())?;
        if number % 8 == 0 {
            source.sync()?;
        }
        if number % 500 == 0 {
            source.roll()?;
            source.truncate_before(source.durable())?; // down to the hold at most
        }
    }
    append(END)?;
    source.sync()?;
    Ok(written)
}

/// A record as the replica keeps it: `u64 address in the source | u64 where that goes on | payload`.
///
/// The position is part of the data, so one is never there without the other. Kept apart it would be
/// written before the data, and a crash in between would leave a gap; or after it, and that would
/// make a duplicate.
fn encode(record: &Record) -> Vec<u8> {
    let addresses = [record.lsn(), record.next_lsn()].map(|lsn| lsn.get().to_le_bytes());
    [addresses.as_flattened(), record.payload()].concat()
}

fn decode(bytes: &[u8]) -> Option<(Lsn, Lsn, &[u8])> {
    let (lsn, rest) = bytes.split_first_chunk()?;
    let (next, payload) = rest.split_first_chunk()?;
    let [lsn, next] = [lsn, next].map(|lsn| Lsn::new(u64::from_le_bytes(*lsn)));
    Some((lsn, next, payload))
}

/// Starts a replica, as often as it takes until it has everything.
fn send_all(source: &Log, hold: &Hold, dir: &Path, seed: u64) -> Outcome<()> {
    let mut random = seed;
    println!("replica  goes on at lsn  source begins at  records sent  then");
    for start in 0.. {
        let mut replica = Replica::start(dir)?;
        // It may have more than it came to acknowledge, but never less: what it has acknowledged may
        // be gone here, and following from below would be `Error::Truncated`.
        let position = replica.hear()?.ok_or("the replica did not start")?;
        let from = if position == NOWHERE { hold.lsn() } else { position };
        assert!(from >= hold.lsn(), "the replica has what it has acknowledged");
        // Only what is durable: else power loss here would leave a replica that is ahead of its
        // source. So it is followed in this process; others see what is committed.
        let durable_only = FollowOptions::new().durable_only(true);
        let mut follower = source.follow_with(from, durable_only)?;
        let kill_at = (start < KILLS).then(|| 1 + next(&mut random) % MAX_GROUPS);
        let (mut sent, mut fate) = (0, "is killed");
        for number in 1.. {
            let group = gather(&mut follower)?;
            assert!(follower.position() <= source.durable(), "the source can't lose what it sends");
            sent += group.len();
            replica.send(&group)?;
            if kill_at == Some(number) {
                // Before, while or after it appends, or after it has acknowledged.
                thread::sleep(Duration::from_micros(next(&mut random) % 500));
                replica.child.kill()?; // SIGKILL
            }
            let Some(acknowledged) = replica.hear()? else {
                assert_eq!(kill_at, Some(number), "the replica ended by itself");
                break;
            };
            hold.advance(acknowledged)?; // the source may drop what lies below
            if group.last().is_some_and(|last| last.ends_with(END)) {
                fate = "has everything";
                break;
            }
            if kill_at == Some(number) {
                break;
            }
        }
        println!("{start:7}  {from:>15}  {:>16}  {sent:12}  {fate}", source.head());
        if fate != "is killed" {
            assert!(start >= KILLS, "it was killed {start} times");
            return replica.end();
        }
    }
    Ok(())
}

/// Waits for a record, and takes with it what is there already.
fn gather(follower: &mut Follower) -> Outcome<Vec<Vec<u8>>> {
    let mut group = vec![encode(&follower.next()?)];
    while group.len() < GROUP {
        match follower.try_next()? {
            Some(record) => group.push(encode(&record)),
            None => break,
        }
    }
    Ok(group)
}

/// The replica as the source sees it. It is killed when this is dropped.
struct Replica {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Replica {
    fn start(dir: &Path) -> Outcome<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(REPLICA).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output })
    }

    /// Sends a group: `u32 count`, and for each record `u32 length | bytes`.
    fn send(&mut self, group: &[Vec<u8>]) -> Outcome<()> {
        let mut bytes = u32::try_from(group.len())?.to_le_bytes().to_vec();
        for record in group {
            bytes.extend_from_slice(&u32::try_from(record.len())?.to_le_bytes());
            bytes.extend_from_slice(record);
        }
        Ok(self.input.as_mut().ok_or("no input")?.write_all(&bytes)?)
    }

    /// Where it is; `None` if it is no more.
    fn hear(&mut self) -> Outcome<Option<Lsn>> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        // The last line may be cut short.
        line.strip_suffix('\n').map(|line| Ok(line.parse()?)).transpose()
    }

    /// Hangs up, and waits until it has closed its log.
    fn end(mut self) -> Outcome<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        assert!(status.success(), "the replica ended with {status}");
        Ok(())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the replica does.
fn run_replica(dir: &Path) -> Outcome<()> {
    let log = open(dir)?;
    let mut position = NOWHERE;
    if let Some(last) = log.snapshot().last()? {
        position = decode(last.payload()).ok_or("no record of ours")?.1;
    }
    println!("{position}");
    let mut source = io::stdin().lock();
    while let Some(group) = receive(&mut source)? {
        let appended = log.append_batch(&group)?;
        log.sync()?;
        assert!(appended.end <= log.durable(), "the source may drop it now");
        let last = group.last().and_then(|last| decode(last));
        println!("{}", last.ok_or("an empty group")?.1);
    }
    Ok(log.close()?)
}

/// Receives a group; `None` if the source has hung up.
fn receive(source: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    if source.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut group = Vec::new();
    for _ in 0..number(source)? {
        let mut record = vec![0; number(source)?.try_into().map_err(io::Error::other)?];
        source.read_exact(&mut record)?;
        group.push(record);
    }
    Ok(Some(group))
}

fn number(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// The next random number, by a linear congruence (Knuth's MMIX), of which the upper half is good.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 32
}

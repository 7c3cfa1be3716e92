//! A memtable with a log in front of it, as an LSM tree has one: put, delete, flush to sorted files,
//! truncate the log. A child process writes and is killed, six times over; what it acknowledged is
//! looked for each time. Run it with
//!
//! ```text
//! cargo run --release --example memtable [DIRECTORY]
//! ```
//!
//! Invariant: it exits with 0 only if every acknowledged change was there after every kill, and
//! nothing but the one change of each thread that may have been under way.
//!
//! [`store`] is the engine, [`table`] a sorted file; the rest is here.

mod store;
mod table;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;

use store::{SEGMENT_BYTES, Store};

const ROUNDS: u64 = 6;
const THREADS: usize = 4;
/// Each thread has keys of its own, so that it is known in which order they change.
const KEYS_PER_THREAD: u64 = 250;
/// The first argument of the process that writes.
const WRITER: &str = "--writer";

/// How many changes each thread has made.
type Counts = [u64; THREADS];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [writer, dir, seed, done @ ..] = arguments.as_slice()
        && writer == WRITER
    {
        let done: Result<Vec<u64>, _> = done.iter().map(|count| count.parse()).collect();
        return write_until_killed(Path::new(dir), seed.parse()?, &done?);
    }
    let temporary = tempfile::tempdir()?;
    let dir = arguments.first().map_or(temporary.path().join("store"), PathBuf::from);
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }
    let seed = env::var("STRATALOG_SEED").map_or(Ok(1), |seed| seed.parse())?;
    println!(
        "seed {seed} (STRATALOG_SEED=.. takes another); {THREADS} threads write until killed\n"
    );
    println!("round  acknowledged  under way  replayed  tables  log KiB");

    let mut done: Counts = [0; THREADS];
    for round in 0..ROUNDS {
        let before: u64 = done.iter().sum();
        let changes = 1 + random(seed, round, 0) % 2500;
        run_and_kill(&dir, seed, changes, &mut done)?;
        let acknowledged = done.iter().sum::<u64>() - before;

        let store = Store::open(&dir)?;
        let more = check(&store, seed, &mut done);
        let (replayed, tables, kib) = (store.replayed, store.tables(), store.log_kib());
        println!("{round:5}  {acknowledged:12}  {more:9}  {replayed:8}  {tables:6}  {kib:7}");
        store.close()?;
    }

    let store = Store::open(&dir)?;
    let changes: u64 = done.iter().sum();
    assert_eq!(check(&store, seed, &mut done), 0, "nothing wrote meanwhile");
    assert!(store.tables() > 1, "it was flushed");
    assert!(store.head().get() > SEGMENT_BYTES, "the log was truncated");
    println!("\n{changes} changes, {} keys left, {} tables", store.scan().len(), store.tables());
    store.close()?;
    println!("\nAll checks held.");
    Ok(())
}

/// The change with this number that a thread makes: a key, and its value or none.
fn change(seed: u64, thread: usize, number: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let random = random(seed, thread as u64 + 1, number);
    let key = format!("{thread}/{:03}", random % KEYS_PER_THREAD);
    let is_deletion = (random >> 32).is_multiple_of(8);
    (key.into_bytes(), (!is_deletion).then(|| format!("change {number}").into_bytes()))
}

/// Ends this process together with the thread that holds it, however that ends.
struct EndsAll;

impl Drop for EndsAll {
    fn drop(&mut self) {
        process::exit(1);
    }
}

/// What the child does: changes, each of which it acknowledges by a line when it is durable.
fn write_until_killed(dir: &Path, seed: u64, done: &[u64]) -> Result<(), Box<dyn Error>> {
    let store = &Store::open(dir)?;
    let write = |thread, done| -> Result<(), Box<dyn Error>> {
        for number in done.. {
            let (key, value) = change(seed, thread, number);
            store.write(&key, value.as_deref())?;
            writeln!(std::io::stdout().lock(), "{thread}")?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        for (thread, done) in done.iter().enumerate() {
            scope.spawn(move || {
                let _ends = EndsAll;
                if let Err(error) = write(thread, *done) {
                    eprintln!("writer: {error}");
                }
            });
        }
    });
    Ok(())
}

/// Ends the child whatever happens.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the child, kills it after so many acknowledgements, and adds up what it acknowledged.
fn run_and_kill(dir: &Path, seed: u64, kill: u64, done: &mut Counts) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(WRITER).arg(dir).arg(seed.to_string());
    command.args(done.map(|count| count.to_string())).stdout(Stdio::piped());
    let mut child = Guard(command.spawn()?);
    let mut lines = BufReader::new(child.0.stdout.take().ok_or("no output")?);
    let (mut line, mut heard) = (String::new(), 0);
    // Also after the kill: what was acknowledged before counts. The last line may be cut short.
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        let thread: usize = line.trim_end().parse()?;
        *done.get_mut(thread).ok_or("no such thread")? += 1;
        heard += 1;
        if heard == kill {
            child.0.kill()?; // SIGKILL
        }
        line.clear();
    }
    assert!(heard >= kill, "the child ended by itself: {}", child.0.wait()?);
    Ok(())
}

/// Looks for all changes that were acknowledged. Of each thread the next one may be there as well: it
/// was under way. Returns how many of these are, and counts them as done.
fn check(store: &Store, seed: u64, done: &mut Counts) -> u64 {
    let (mut all, mut more) = (BTreeMap::new(), 0);
    for (thread, done) in done.iter_mut().enumerate() {
        let mut expected: BTreeMap<_, _> = (0..*done).map(|it| change(seed, thread, it)).collect();
        let (key, value) = change(seed, thread, *done);
        let found = store.get(&key);
        if found != expected.get(&key).cloned().flatten() {
            assert_eq!(found, value, "thread {thread} wrote {}", String::from_utf8_lossy(&key));
            expected.insert(key, value);
            *done += 1;
            more += 1;
        }
        for (key, value) in &expected {
            let key_name = String::from_utf8_lossy(key);
            assert_eq!(store.get(key), *value, "thread {thread} made {done} changes: {key_name}");
        }
        all.extend(expected.into_iter().filter(|(_, value)| value.is_some()));
    }
    assert_eq!(store.scan(), all, "a scan shows the same as reading key by key");
    more
}

/// Random numbers that follow from a seed, by splitmix64 (Steele, Lea, Flood 2014).
fn random(seed: u64, stream: u64, number: u64) -> u64 {
    let mixed =
        (seed ^ stream.rotate_left(40)).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

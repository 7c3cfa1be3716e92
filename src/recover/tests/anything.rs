//! Whatever is done to the files: opening ends, refuses or opens, and opens again.

use super::images::{BYTES, Writer, open_as};
use crate::RecoveryPolicy;
use crate::format::segment_name;
use crate::storage::Image;

const CUT: RecoveryPolicy = RecoveryPolicy::CutTornTail;

/// A small generator: the seed of a failure is printed, and gives the same again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn logs() -> Vec<Writer> {
    let killed = Writer::new().segment().records(6, 40).sync().batch(3, 25).roll().records(3, 50);
    let sealed = killed.clone().roll().seal(0).seal(BYTES).sync().batch(4, 30).spare();
    let head = sealed.records[10].0;
    let headed = sealed.clone().control(|state| state.head = head);
    let end = killed.records[5].0;
    let cut = killed.clone().spare().cut(0, end);
    vec![killed.clone(), killed.close(), sealed.clone(), sealed.close(), headed, cut]
}

/// Does one thing to one or two files.
fn damage(image: &mut Image, random: &mut Random) {
    let names: Vec<String> = image.names().map(str::to_owned).collect();
    let [name, other] = [(); 2].map(|()| names[random.below(names.len())].clone());
    let bytes = image.get(&name).unwrap().to_vec();
    let mut changed = bytes.clone();
    match random.below(8) {
        0 => drop(image.remove(&name)),
        1 => {
            let swapped = image.insert(other, bytes).unwrap();
            image.insert(name, swapped);
        }
        2 => drop(image.insert(segment_name(BYTES * random.below(6) as u64), bytes)),
        3 => {
            changed.truncate(random.below(bytes.len() + 1));
            image.insert(name, changed);
        }
        kind if !bytes.is_empty() => {
            let from = random.below(bytes.len());
            let most = if kind == 4 { bytes.len() - from } else { 64.min(bytes.len() - from) };
            let range = from..from + random.below(most) + 1;
            let value = u8::try_from(random.below(256)).unwrap();
            changed[range].iter_mut().for_each(|byte| *byte = if kind < 6 { 0 } else { value });
            image.insert(name, changed);
        }
        _ => {}
    }
}

#[test]
fn whatever_is_done_to_the_files_opening_neither_panics_nor_ends_in_between() {
    let logs = logs();
    for seed in 1..4000_u64 {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let writer = &logs[random.below(logs.len())];
        let mut image = writer.image.clone();
        for _ in 0..=random.below(3) {
            damage(&mut image, &mut random);
        }
        for policy in [RecoveryPolicy::Strict, CUT, RecoveryPolicy::SkipCorrupt] {
            let Ok(opened) = open_as(&image, policy) else { continue };
            let opened = opened.checked();
            let again = open_as(&opened.image(), policy);
            // The frames of a closed log, and what lies behind them, are looked at once it is not
            // closed any more.
            if opened.recovered.report.clean {
                continue;
            }
            let again = again.unwrap_or_else(|error| panic!("{policy:?} {error}")).checked();
            assert!(again.recovered.tail >= opened.recovered.tail);
            assert_eq!(again.recovered.head, opened.recovered.head);
            let ends = [&opened, &again].map(|opened| opened.recovered.report.end);
            assert_eq!(ends[0], ends[1], "the same is kept");
        }
    }
}

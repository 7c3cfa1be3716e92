//! [`Crash`]: what one power cut leaves of what no sync had covered.
//!
//! Invariant: every choice follows from the seed. Each sector ends as it was durable, as any write
//! since left it, or torn between two of these; nothing else.
//!
//! A choice for each sector by itself would hardly ever keep everything, or lose everything but one.
//! So the seed first picks a [`Character`], and nine seeds in a row have all of them.

use super::disk::{Disk, Version};
use crate::random::Random;

/// What kind of power cut it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// Nothing is written that no sync asked for.
    Nothing,
    Everything,
    /// All data, no names.
    OnlyData,
    /// All names, no data.
    OnlyNames,
    /// The sectors of the newest write, and either all names or none.
    OnlyNewest,
    /// A disk that writes in order, up to an event, which is torn.
    InOrder,
    /// All but one sector or name.
    AllButOne,
    /// Each file as a whole or not at all; names in order up to some point.
    WholeFiles,
    /// Each sector and each name for itself.
    Random,
}

/// In the order of seeds.
const CHARACTERS: [Character; 9] = [
    Character::Nothing,
    Character::Everything,
    Character::OnlyData,
    Character::OnlyNames,
    Character::OnlyNewest,
    Character::InOrder,
    Character::AllButOne,
    Character::WholeFiles,
    Character::Random,
];

/// Which sectors of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    All,
    None,
    /// Each is looked at by itself.
    Each,
}

pub(super) struct Crash {
    character: Character,
    random: Random,
    /// The event that the character is about: the newest write, or where order ends.
    event: u64,
    /// How many sectors and names are still to come before the one that is left out.
    left_out: usize,
    /// Of a hundred sectors, how many stay as they were durable.
    old_percent: usize,
    /// How names go, where the character has it drawn.
    names: NameChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameChoice {
    All,
    None,
    /// Those of events up to `Crash::event`.
    InOrder,
    Each,
}

impl Crash {
    pub(super) fn new(disk: &Disk, seed: u64, event: u64) -> Self {
        let count = CHARACTERS.len() as u64;
        let index = usize::try_from(seed % count).unwrap_or_default();
        let character = CHARACTERS.get(index).copied().unwrap_or(Character::Random);
        // The same seed is to differ from event to event.
        let mut random = Random::new(seed ^ event.rotate_left(32));
        random.next();
        let mut loose: Vec<u64> = disk.loose().collect();
        loose.sort_unstable();
        let left_out = random.index(loose.len().max(1));
        let drawn = loose.get(random.index(loose.len().max(1))).copied().unwrap_or(0);
        let event = match character {
            Character::OnlyNewest => disk.loose_writes().max().unwrap_or(0),
            _ => drawn,
        };
        let coin = random.coin();
        let names = match character {
            Character::Everything | Character::OnlyNames | Character::AllButOne => NameChoice::All,
            Character::OnlyNewest if coin => NameChoice::All,
            Character::Nothing | Character::OnlyData | Character::OnlyNewest => NameChoice::None,
            Character::Random if coin => NameChoice::Each,
            Character::InOrder | Character::WholeFiles | Character::Random => NameChoice::InOrder,
        };
        let old_percent = [5, 50, 95].get(random.index(3)).copied().unwrap_or(50);
        Self { character, random, event, left_out, old_percent, names }
    }

    /// Whether a change of a name is there afterwards.
    pub(super) fn keeps_name(&mut self, event: u64) -> bool {
        match self.names {
            NameChoice::All => self.character != Character::AllButOne || !self.is_left_out(),
            NameChoice::None => false,
            NameChoice::InOrder => event <= self.event,
            NameChoice::Each => self.random.coin(),
        }
    }

    /// Draws what a file as a whole comes to.
    pub(super) fn of_file(&mut self) -> Choice {
        match self.character {
            Character::Nothing | Character::OnlyNames => Choice::None,
            Character::WholeFiles if self.random.coin() => Choice::None,
            Character::Everything | Character::OnlyData | Character::WholeFiles => Choice::All,
            _ => Choice::Each,
        }
    }

    /// The size of a file of `len` bytes that no sync ever covered.
    pub(super) fn size(&mut self, choice: Choice, len: usize) -> usize {
        match (choice, self.character) {
            (Choice::All, _) | (_, Character::AllButOne) => len,
            (Choice::None, Character::Nothing) => 0,
            _ => match self.random.index(3) {
                0 => 0,
                1 => self.random.index(len.max(1)),
                _ => len,
            },
        }
    }

    /// Makes of a durable sector what the power cut leaves of it.
    pub(super) fn sector(&mut self, choice: Choice, durable: &mut [u8], versions: &[Version]) {
        let Some(newest) = versions.last() else { return };
        match (choice, self.character) {
            (Choice::None, _) => {}
            (Choice::All, _) => durable.copy_from_slice(&newest.bytes),
            (_, Character::OnlyNewest) => {
                if newest.event == self.event {
                    durable.copy_from_slice(&newest.bytes);
                }
            }
            (_, Character::AllButOne) => {
                if self.is_left_out_of(versions.len()) {
                    self.tear(durable, versions, 50);
                } else {
                    durable.copy_from_slice(&newest.bytes);
                }
            }
            (_, Character::InOrder) => self.write_in_order(durable, versions),
            _ => self.tear(durable, versions, self.old_percent),
        }
    }

    /// Writes everything before the event that the cut is in, and of that one a part.
    fn write_in_order(&mut self, durable: &mut [u8], versions: &[Version]) {
        let before = versions.partition_point(|version| version.event < self.event);
        if let Some(last) = before.checked_sub(1).and_then(|last| versions.get(last)) {
            durable.copy_from_slice(&last.bytes);
        }
        let torn = versions.get(before).filter(|version| version.event == self.event);
        self.tear(durable, torn.map(std::slice::from_ref).unwrap_or_default(), 33);
    }

    /// Leaves the sector as it is in so many of a hundred cases; else writes any version, or tears
    /// it between two.
    fn tear(&mut self, durable: &mut [u8], versions: &[Version], old_percent: usize) {
        if versions.is_empty() || self.random.index(100) < old_percent {
            return;
        }
        let write = |sector: &mut [u8], version: Option<&Version>| {
            if let Some(version) = version {
                sector.copy_from_slice(&version.bytes);
            }
        };
        let newer =
            if self.random.coin() { versions.len() - 1 } else { self.random.index(versions.len()) };
        if self.random.coin() {
            write(durable, versions.get(newer));
            return;
        }
        // What is overwritten was durable, or written back in between.
        let older = self.random.index(newer + 1);
        write(durable, older.checked_sub(1).and_then(|older| versions.get(older)));
        let Some(newer) = versions.get(newer) else { return };
        let differs = |(old, new): (&u8, &u8)| old != new;
        let mut pairs = durable.iter().zip(newer.bytes.iter());
        let Some(first) = pairs.clone().position(differs) else { return };
        let last = pairs.rposition(differs).unwrap_or(first);
        let cut = first + self.random.index(last - first + 1);
        let range = if self.random.coin() { 0..cut } else { cut..durable.len() };
        if let (Some(target), Some(source)) =
            (durable.get_mut(range.clone()), newer.bytes.get(range))
        {
            target.copy_from_slice(source);
        }
    }

    fn is_left_out(&mut self) -> bool {
        self.is_left_out_of(1)
    }

    /// Counts `loose` of what [`Disk::loose`] lists; whether the one that is left out is in it.
    fn is_left_out_of(&mut self, loose: usize) -> bool {
        let before = self.left_out;
        self.left_out = before.wrapping_sub(loose);
        before < loose
    }
}

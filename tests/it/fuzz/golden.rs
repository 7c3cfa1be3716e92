//! Golden logs: disks that an earlier build of the library left behind, kept as they were.
//!
//! Invariant: they are never written again unless the format changes its version; so that they open
//! and hold the same records shows that the format is the same.
//!
//! A disk is kept as its files one after the other, each by its name, its length and what of it is
//! not zero:
//!
//! ```text
//! file = u8 length of the name | name | u32 length of the file | { run } | 0 u16
//! run  = u16 length | u32 offset | bytes
//! ```

use stratalog::storage::Image;

use super::input::Input;

/// A kept disk by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    bytes: &'static [u8],
}

macro_rules! golden {
    ($($name:literal)*) => {
        [$(Golden { name: $name, bytes: include_bytes!(concat!("golden/", $name, ".disk")) }),*]
    };
}

pub(crate) const ALL: [Golden; 7] =
    golden!["closed" "crashed" "rolled" "cut" "cutting" "torn-batch" "longer"];

impl Golden {
    pub(crate) fn image(&self) -> Image {
        unpack(self.bytes)
    }
}

/// The disk that an input begins with: one of them, or an empty one.
pub(crate) fn picked(input: &mut Input<'_>) -> Image {
    ALL.get(input.below(ALL.len() + 1)).map(Golden::image).unwrap_or_default()
}

/// Files of at most so many bytes are unpacked.
const FILE_MAX: usize = 1 << 20;

pub(crate) fn unpack(bytes: &[u8]) -> Image {
    let mut input = Input::new(bytes);
    let mut image = Image::new();
    while !input.is_empty() {
        let len = usize::from(input.byte());
        let name = String::from_utf8(input.take(len).to_vec()).unwrap();
        let mut file = vec![0; long(&mut input).min(FILE_MAX)];
        loop {
            let len = input.short();
            if len == 0 {
                break;
            }
            let offset = long(&mut input);
            file[offset..offset + len].copy_from_slice(input.take(len));
        }
        image.insert(name, file);
    }
    image
}

fn long(input: &mut Input<'_>) -> usize {
    input.short() | input.short() << 16
}

/// Runs of zeros that are longer than this are left out.
const GAP: usize = 8;

/// What [`unpack`] reads.
#[cfg(test)]
pub(crate) fn pack(image: &Image) -> Vec<u8> {
    let mut packed = Vec::new();
    for name in image.names() {
        let file = image.get(name).unwrap();
        packed.push(name.len() as u8);
        packed.extend_from_slice(name.as_bytes());
        packed.extend_from_slice(&(file.len() as u32).to_le_bytes());
        let mut at = 0;
        while let Some(more) = file[at..].iter().position(|byte| *byte != 0) {
            let from = at + more;
            let mut to = from + 1;
            while let Some(next) = file[to..].iter().take(GAP).position(|byte| *byte != 0) {
                to += next + 1;
            }
            packed.extend_from_slice(&((to - from) as u16).to_le_bytes());
            packed.extend_from_slice(&(from as u32).to_le_bytes());
            packed.extend_from_slice(&file[from..to]);
            at = to;
        }
        packed.extend_from_slice(&[0, 0]);
    }
    packed
}

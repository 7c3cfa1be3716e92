//! What reading and closing a control file keep to.

use super::*;
use crate::format::LogId;
use crate::storage::MemoryStorage;

fn state() -> ControlState {
    ControlState {
        id: LogId::new([7; 16]),
        head: 4096,
        next_base: 0,
        newest: None,
        durable_end: 4096,
        cut: None,
        clean: false,
        app_state: Vec::new(),
    }
}

#[test]
fn what_is_closed_is_not_changed_any_more() {
    let storage = MemoryStorage::new();
    let control = Control::create(&storage, state()).unwrap();
    control.update(|state| state.head = 8192).unwrap();
    control.close();
    let before = storage.image();
    let refused = control.update(|state| state.head = 16_384);
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    assert_eq!(control.state().head, 8192);
    assert_eq!(storage.image(), before);
}

/// A file that gives a few bytes at a time, and fails each other call.
#[derive(Debug)]
struct Halting {
    bytes: Vec<u8>,
    kind: ErrorKind,
    fails: Mutex<bool>,
}

impl StorageFile for Halting {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut fails = self.fails.lock();
        *fails = !*fails;
        if *fails {
            return Err(self.kind.into());
        }
        let left = &self.bytes[usize::try_from(offset).unwrap()..];
        let count = buffer.len().min(left.len()).min(1000);
        buffer[..count].copy_from_slice(&left[..count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        unreachable!("it is only read")
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("it is only read")
    }
}

#[test]
fn slots_are_read_in_spite_of_interruptions_and_of_nothing_else() {
    let bytes = [state().encode(2), state().encode(3)].concat();
    let read = |kind| {
        let fails = Mutex::new(false);
        read_slots(&Halting { bytes: bytes.clone(), kind, fails })
    };
    let [first, second] = read(ErrorKind::Interrupted).unwrap();
    assert_eq!([first.unwrap().0, second.unwrap().0], [2, 3]);
    assert_eq!(read(ErrorKind::PermissionDenied).unwrap_err().kind(), ErrorKind::PermissionDenied);
}

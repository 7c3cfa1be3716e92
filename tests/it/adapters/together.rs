//! All encodings of one type, and records of no type, in one log.
//!
//! Invariant: each record is read in one way only.

use stratalog::adapters::{self, Typed};
use stratalog::{Error, Lsn, Record};

use super::{everywhere, readings};

macro_rules! one_of_many {
    ($type:ident, $name:literal) => {
        #[derive(
            serde::Serialize,
            serde::Deserialize,
            rkyv::Archive,
            rkyv::Serialize,
            rkyv::Deserialize,
            zerocopy::TryFromBytes,
            zerocopy::IntoBytes,
            zerocopy::Immutable,
            zerocopy::KnownLayout,
        )]
        #[repr(C)]
        struct $type {
            a: u64,
            b: u64,
        }

        impl Typed for $type {
            const TYPE: &'static str = $name;
        }

        impl $type {
            fn append_all(log: &stratalog::Log) -> Vec<Lsn> {
                let value = Self { a: 1, b: 2 };
                let payloads = [
                    adapters::serde::encode(&value).unwrap(),
                    adapters::zerocopy::encode(&value),
                    adapters::zerocopy::encode_slice(std::slice::from_ref(&value)),
                    adapters::rkyv::encode(&value).unwrap().to_vec(),
                ];
                payloads.iter().map(|payload| log.append(payload).unwrap()).collect()
            }

            /// What of a value, read in each way.
            fn read_all(record: Record<'_>) -> Vec<Result<u64, Error>> {
                vec![
                    record.decode::<Self>().map(|it| it.a * 10 + it.b),
                    record.get_ref::<Self>().map(|it| it.a * 10 + it.b),
                    record.get_slice::<Self>().map(|it| it[0].a * 10 + it[0].b),
                    record.access::<Self>().map(|it| it.a * 10 + it.b),
                ]
            }
        }
    };
}

one_of_many!(First, "first");
one_of_many!(Second, "second");

#[test]
fn a_record_is_read_as_the_type_and_by_the_encoding_that_it_was_appended_by_and_no_other() {
    everywhere(|log| {
        let mut lsns = First::append_all(log);
        lsns.extend(Second::append_all(log));
        for payload in [&b""[..], b"short", b"8 bytes.", &[0; 24], &[0xff; 32]] {
            lsns.push(log.append(payload).unwrap());
        }
        for snapshot in readings(log) {
            for (index, lsn) in lsns.iter().enumerate() {
                let record = snapshot.get(*lsn).unwrap();
                let read = [First::read_all(record), Second::read_all(record)].concat();
                assert_eq!(read.len(), 8);
                for (way, result) in read.iter().enumerate() {
                    match result {
                        Ok(value) => assert!(way == index && *value == 12, "{index} by {way}"),
                        Err(Error::NotOfType { lsn: named, expected, .. }) => {
                            assert!(way != index && named == lsn);
                            assert_eq!(*expected, if way < 4 { "first" } else { "second" });
                        }
                        Err(other) => panic!("{index} by {way}: {other:?}"),
                    }
                }
            }
        }
    });
}

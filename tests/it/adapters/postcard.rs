//! Feature `serde`.
//!
//! Invariant: see the module above.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use stratalog::adapters::Typed;
use stratalog::adapters::serde::encode;
use stratalog::{Error, Lsn, WrongType};

use super::super::common::{ROOM, TINY, tiny};
use super::{everywhere, readings, reason, with_record};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Event {
    Opened { name: String, limits: Option<(u64, i32)> },
    Moved(BTreeMap<String, i64>),
    Seen(Vec<u8>, f64, char),
    Closed,
}

impl Typed for Event {
    const TYPE: &'static str = "event";
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Deposit<'a> {
    account: &'a str,
    cents: u64,
}

impl Typed for Deposit<'_> {
    const TYPE: &'static str = "deposit";
}

fn event() -> impl Strategy<Value = Event> {
    let limits = prop::option::of(any::<(u64, i32)>());
    let moved = prop::collection::btree_map(".{0,9}", any::<i64>(), 0..5);
    prop_oneof![
        (".{0,40}", limits).prop_map(|(name, limits)| Event::Opened { name, limits }),
        moved.prop_map(Event::Moved),
        (any::<Vec<u8>>(), -1e9..1e9, any::<char>()).prop_map(|(a, b, c)| Event::Seen(a, b, c)),
        Just(Event::Closed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back_as_they_were_appended(events in prop::collection::vec(event(), 0..30)) {
        everywhere(|log| {
            for (index, event) in events.iter().enumerate() {
                match index % 3 {
                    0 => drop(log.append_typed(event).unwrap()),
                    1 => drop(log.append_typed_durable(event).unwrap()),
                    _ => drop(log.append_batch(&[encode(event).unwrap()]).unwrap()),
                }
            }
            for snapshot in readings(log) {
                let read: Vec<Event> =
                    snapshot.iter().map(|record| record.unwrap().decode().unwrap()).collect();
                assert_eq!(read, events);
            }
        });
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(event in event(), bytes: Vec<u8>, flip: prop::sample::Index) {
        let tag = encode(&event).unwrap()[..8].to_vec();
        let mut flipped = encode(&event).unwrap();
        let bit = flip.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        for payload in [bytes.clone(), [tag, bytes].concat(), flipped] {
            with_record(&payload, |record| match record.decode::<Event>() {
                // Whatever it is, it is a whole value.
                Ok(value) => drop(encode(&value).unwrap()),
                Err(Error::NotOfType { lsn, .. }) => assert_eq!(lsn, record.lsn()),
                Err(other) => panic!("{other:?}"),
            });
        }
    }

    #[test]
    fn every_shorter_and_longer_payload_is_refused(event in event(), more in 1_u8..20) {
        let payload = encode(&event).unwrap();
        for len in 0..payload.len() {
            let found = with_record(&payload[..len], |record| reason(record.decode::<Event>()));
            let expected =
                if len < 8 { WrongType::NoTag { found: len as u64 } } else { WrongType::Invalid };
            assert_eq!(found, expected, "{len} of {} bytes", payload.len());
        }
        let longer = [payload, vec![0; more.into()]].concat();
        let found = with_record(&longer, |record| reason(record.decode::<Event>()));
        assert_eq!(found, WrongType::Trailing { found: more.into() });
    }
}

#[test]
fn the_bytes_of_a_record_stay_what_they_are() {
    let payload = encode(&Deposit { account: "ann", cents: 300 }).unwrap();
    let tag = 0x725c_fc85_ac22_0b31_u64.to_le_bytes();
    assert_eq!(payload, [&tag[..], &[3], b"ann", &[0xac, 0x02]].concat());
}

#[test]
fn a_decoded_value_may_borrow_the_payload() {
    everywhere(|log| {
        log.append_typed(&Deposit { account: "ann", cents: 300 }).unwrap();
        for snapshot in readings(log) {
            let record = snapshot.last().unwrap().unwrap();
            let deposit: Deposit<'_> = record.decode().unwrap();
            assert_eq!(deposit, Deposit { account: "ann", cents: 300 });
            assert!(record.payload().as_ptr_range().contains(&deposit.account.as_ptr()));
        }
    });
}

#[test]
fn a_durable_value_survives_and_others_wait_for_a_sync() {
    let log = tiny().open_with(stratalog::storage::MemoryStorage::new()).unwrap();
    let lsn = log.append_typed(&Event::Closed).unwrap();
    assert!(log.durable() <= lsn && lsn < log.committed());
    let lsn = log.append_typed_durable(&Event::Closed).unwrap();
    assert!(lsn < log.durable());
}

/// Says that it can't be written.
struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("nothing to say"))
    }
}

impl Typed for Mute {
    const TYPE: &'static str = "mu\nte";
}

#[test]
fn what_cannot_be_encoded_or_is_too_large_appends_nothing() {
    everywhere(|log| {
        let before = log.tail();
        for result in [log.append_typed(&Mute), log.append_typed_durable(&Mute)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::NotEncodable { type_name: "mu\nte", .. }), "{error:?}");
            assert_eq!(error.to_string(), "the value of type mu\\nte has no encoding");
        }
        let large = Event::Seen(vec![0; TINY as usize], 0.0, 'a');
        let error = log.append_typed(&large).unwrap_err();
        assert!(matches!(error, Error::RecordTooLarge { .. }), "{error:?}");
        assert_eq!(log.tail(), before);
        // The tag is part of the record.
        let largest = Event::Seen(vec![7; ROOM as usize - 16 - 8 - 1 - 2 - 8 - 2], 0.0, 'a');
        let lsn = log.append_typed(&largest).unwrap();
        assert_eq!(log.snapshot().get(lsn).unwrap().payload().len() as u64, ROOM - 16);
        assert_eq!(log.snapshot().get(lsn).unwrap().decode::<Event>().unwrap(), largest);
    });
}

#[test]
fn the_error_says_in_one_line_where_and_what_was_expected() {
    let error = with_record(b"12345678", |record| {
        assert_ne!(record.lsn(), Lsn::new(0));
        (record.decode::<Event>().unwrap_err().to_string(), record.lsn())
    });
    let (text, lsn) = error;
    let expected = format!("lsn {lsn}: not a record of type event: expected tag ");
    assert!(text.starts_with(&expected) && text.ends_with(", found 3837363534333231"), "{text}");
}

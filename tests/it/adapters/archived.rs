//! Feature `rkyv`.
//!
//! Invariant: an archive that was appended is read at every address; no other bytes do harm.

use std::rc::Rc;

use proptest::prelude::*;
use rkyv::{Archive, Deserialize, Serialize};
use stratalog::adapters::Typed;
use stratalog::adapters::rkyv::encode;
use stratalog::{Error, WrongType};

use super::super::common::TINY;
use super::{everywhere, readings, reason, with_record};

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[rkyv(compare(PartialEq), derive(Debug))]
struct Order {
    customer: String,
    items: Vec<(u32, u64)>,
    note: Option<Box<str>>,
    kind: Kind,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[rkyv(compare(PartialEq), derive(Debug))]
enum Kind {
    Once,
    Until(i64),
}

impl Typed for Order {
    const TYPE: &'static str = "order";
}

/// Its parts lie behind a pointer, where its type does not show that they want 16 bytes.
#[derive(Archive, Serialize, Deserialize)]
struct Wide(Vec<u128>);

impl Typed for Wide {
    const TYPE: &'static str = "wide";
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
struct Shared(Rc<String>, Rc<String>);

impl Typed for Shared {
    const TYPE: &'static str = "shared";
}

fn order() -> impl Strategy<Value = Order> {
    let items = prop::collection::vec(any::<(u32, u64)>(), 0..20);
    let note = prop::option::of(".{0,20}").prop_map(|note| note.map(String::into_boxed_str));
    let kind = prop_oneof![Just(Kind::Once), any::<i64>().prop_map(Kind::Until)];
    (".{0,20}", items, note, kind).prop_map(|(customer, items, note, kind)| Order {
        customer,
        items,
        note,
        kind,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn archives_are_read_where_they_lie(orders in prop::collection::vec(order(), 0..40)) {
        everywhere(|log| {
            for order in &orders {
                log.append_archived(order).unwrap();
                log.append_batch(&[encode(order).unwrap()]).unwrap();
            }
            for snapshot in readings(log) {
                let mut records = snapshot.iter().map(|record| record.unwrap());
                for order in orders.iter().flat_map(|order| [order, order]) {
                    let record = records.next().unwrap();
                    let archived = record.access::<Order>().unwrap();
                    assert_eq!(archived, order);
                    let address: *const rkyv::Archived<Order> = archived;
                    assert!(record.payload().as_ptr_range().contains(&address.cast()));
                    assert_eq!(&record.unarchive::<Order>().unwrap(), order);
                }
                assert!(records.next().is_none());
            }
        });
    }

    #[test]
    fn any_bytes_are_an_archive_or_an_error(
        order in order(), bytes: Vec<u8>, flip: prop::sample::Index, len: prop::sample::Index,
    ) {
        let payload = encode(&order).unwrap().to_vec();
        let tag = &payload[..8];
        let mut flipped = payload.clone();
        let bit = flip.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let shorter = payload[..len.index(payload.len())].to_vec();
        let longer = [&payload, &bytes[..]].concat();
        for payload in [bytes.clone(), [tag, &bytes].concat(), flipped, shorter, longer] {
            with_record(&payload, |record| match record.unarchive::<Order>() {
                // Whatever it is, it is a whole value.
                Ok(value) => drop(encode(&value).unwrap()),
                Err(Error::NotOfType { lsn, .. }) => assert_eq!(lsn, record.lsn()),
                Err(other) => panic!("{other:?}"),
            });
        }
    }
}

#[test]
fn too_few_bytes_are_no_archive() {
    let order =
        Order { customer: "a customer".into(), items: vec![], note: None, kind: Kind::Once };
    let payload = encode(&order).unwrap();
    for len in 0..8 {
        let found = with_record(&payload[..len], |record| reason(record.access::<Order>()));
        assert_eq!(found, WrongType::NoTag { found: len as u64 });
    }
    for len in 8..8 + size_of::<rkyv::Archived<Order>>() {
        let found = with_record(&payload[..len], |record| reason(record.access::<Order>()));
        assert_eq!(found, WrongType::Invalid);
    }
}

#[test]
fn what_wants_more_than_8_bytes_is_refused_when_it_is_appended() {
    everywhere(|log| {
        // Twice, at addresses that are a multiple of 16 and that are not.
        for _ in 0..2 {
            let before = log.tail();
            let error = log.append_archived(&Wide(vec![1, 2])).unwrap_err();
            assert!(matches!(error, Error::NotEncodable { type_name: "wide", .. }), "{error:?}");
            assert_eq!(log.tail(), before);
            log.append(b"12345678").unwrap();
        }
        // It is the type that is refused, not what happens to be in it.
        let error = log.append_archived(&Wide(vec![])).unwrap_err();
        assert!(matches!(error, Error::NotEncodable { .. }), "{error:?}");
    });
}

#[test]
fn shared_pointers_are_shared_again() {
    everywhere(|log| {
        let text = Rc::new(String::from("text"));
        let lsn = log.append_archived(&Shared(Rc::clone(&text), text)).unwrap();
        for snapshot in readings(log) {
            let Shared(a, b) = snapshot.get(lsn).unwrap().unarchive().unwrap();
            assert!(Rc::ptr_eq(&a, &b) && *a == "text");
        }
    });
}

#[test]
fn an_archive_too_large_for_a_segment_appends_nothing() {
    everywhere(|log| {
        let before = log.tail();
        let items = vec![(1, 2); TINY as usize / 16];
        let order = Order { customer: String::new(), items, note: None, kind: Kind::Until(3) };
        let error = log.append_archived(&order).unwrap_err();
        assert!(matches!(error, Error::RecordTooLarge { .. }), "{error:?}");
        assert_eq!(log.tail(), before);
    });
}

//! Tests of control slots, and of all combinations of two of them.

use proptest::prelude::*;

use super::*;

fn state() -> ControlState {
    ControlState {
        id: LogId::new(*b"an id of a log!!"),
        head: 4144,
        next_base: 1 << 27,
        newest: Some(1 << 26),
        durable_end: 5000,
        cut: Some(CutMark { segment: 0, end: 4800, fresh: 1 << 27 }),
        clean: true,
        app_state: b"a vote".to_vec(),
    }
}

fn address() -> impl Strategy<Value = u64> {
    (0..u64::MAX / 8).prop_map(|units| units * 8)
}

fn states() -> impl Strategy<Value = ControlState> {
    let cut = proptest::array::uniform3(0..1_u64 << 60).prop_map(|mut at| {
        at.sort_unstable();
        let [segment, end, fresh] = [at[0] * 8, at[1] * 8 + 8, at[2] * 8 + 8];
        CutMark { segment, end, fresh }
    });
    (
        any::<[u8; 16]>(),
        [address(), address(), address()],
        proptest::option::of(address()),
        proptest::option::of(cut),
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), 0..=APP_STATE_MAX),
    )
        .prop_map(|(id, [head, next_base, durable_end], newest, cut, clean, app_state)| {
            ControlState {
                id: LogId::new(id),
                head,
                next_base,
                newest,
                durable_end,
                cut,
                clean,
                app_state,
            }
        })
}

proptest! {
    #[test]
    fn a_slot_is_decoded_as_it_was_encoded(state in states(), sequence in any::<u64>()) {
        let slot = state.encode(sequence);
        prop_assert_eq!(slot.len() as u64, BLOCK_BYTES);
        prop_assert_eq!(ControlState::decode(&slot), Ok((sequence, state)));
    }

    #[test]
    fn a_torn_slot_is_refused(old in states(), new in states(), sectors in 1..8_usize) {
        let (old, new) = (old.encode(1), new.encode(2));
        let at = sectors * 512;
        let torn = [&new[..at], &old[at..]].concat();
        if torn != new {
            prop_assert!(ControlState::decode(&torn).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_of_a_slot_is_refused() {
    let mut slot = state().encode(7);
    for bit in 0..slot.len() * 8 {
        slot[bit / 8] ^= 1 << (bit % 8);
        let refused = ControlState::decode(&slot).unwrap_err();
        assert!(!matches!(refused, Defect::Version { .. }), "bit {bit}");
        slot[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(ControlState::decode(&slot), Ok((7, state())));
}

#[test]
fn the_application_may_keep_up_to_its_limit() {
    for len in [0, 1, APP_STATE_MAX] {
        let state = ControlState { app_state: vec![0xA5; len], ..state() };
        assert_eq!(ControlState::decode(&state.encode(1)), Ok((1, state)));
    }
}

#[test]
#[should_panic(expected = "too long")]
fn a_state_beyond_the_limit_is_not_cut_off_silently() {
    ControlState { app_state: vec![0; APP_STATE_MAX + 1], ..state() }.encode(1);
}

#[test]
fn a_field_out_of_its_range_is_refused_under_a_right_checksum() {
    let set = |at, value| ControlState::decode(&block::with_field(state().encode(1), at, value, 0));
    // head, next_base, newest, durable_end, the cut's three, flags with the length, the filler
    for at in [40, 48, 56, 64, 72, 80, 88] {
        assert_eq!(set(at, 4), Err(Defect::Malformed), "{at}");
    }
    for at in [72, 80, 88] {
        assert_eq!(set(at, u64::MAX), Err(Defect::Malformed), "half a cut at {at}");
    }
    assert_eq!(set(80, 0), Err(Defect::Malformed));
    assert_eq!(set(88, 4792), Err(Defect::Malformed));
    assert_eq!(set(96, 2), Err(Defect::Malformed));
    assert_eq!(set(96, 1025 << 32), Err(Defect::Length { max: 1024, found: 1025 }));
    assert_eq!(set(96, u64::MAX << 32), Err(Defect::Length { max: 1024, found: 0xFFFF_FFFF }));
    assert_eq!(set(4088, 1), Err(Defect::Malformed));
    assert_eq!(set(96, 0), Err(Defect::Malformed), "bytes behind the state");
}

#[test]
fn zeros_and_other_sizes_are_refused() {
    assert_eq!(ControlState::decode(&[0; 4096]), Err(Defect::Malformed));
    assert_eq!(ControlState::decode(&state().encode(1)[..4095]), Err(Defect::Malformed));
    assert_eq!(ControlState::decode(&[]), Err(Defect::Malformed));
}

#[test]
fn the_higher_sequence_of_the_valid_slots_wins() {
    let valid = |sequence| Ok((sequence, state()));
    let damaged = || Err(Defect::Checksum { expected: 1, found: 2 });
    for (slots, slot, sequence, both_valid) in [
        ([valid(1), valid(2)], 1, 2, true),
        ([valid(3), valid(2)], 0, 3, true),
        ([valid(2), valid(2)], 0, 2, true),
        ([valid(1), damaged()], 0, 1, false),
        ([damaged(), valid(1)], 1, 1, false),
    ] {
        assert_eq!(winner(slots), Ok(Winner { slot, sequence, state: state(), both_valid }));
    }
    assert_eq!(winner([damaged(), Err(Defect::Malformed)]).unwrap_err(), damaged().unwrap_err());
}

#[test]
fn a_newer_slot_is_never_passed_over_for_an_older_one() {
    let bytes = block::with_version(state().encode(9), 2, 0);
    let newer = || ControlState::decode(&bytes);
    let older = || Ok((8, state()));
    let damaged = || Err(Defect::Malformed);
    assert_eq!(newer(), Err(Defect::Version { found: 2 }));
    for slots in
        [[newer(), older()], [older(), newer()], [newer(), damaged()], [damaged(), newer()]]
    {
        assert_eq!(winner(slots), Err(Defect::Version { found: 2 }));
    }
}

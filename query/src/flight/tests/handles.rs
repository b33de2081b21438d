//! Handles say what was sealed into them, and nothing else is taken for one.

use bytes::Bytes;
use uuid::Uuid;

use crate::flight::handle::{HandleKey, State};

fn state() -> State {
    State {
        sql: "SELECT ? -- ü".to_owned(),
        namespace: "gold".to_owned(),
        parameters: Bytes::from_static(&[1, 2, 3]),
        ..State::default()
    }
}

#[test]
fn what_is_sealed_is_opened() {
    let key = HandleKey::new([1; 32]);
    assert_eq!(key.open(&key.seal(&state())).unwrap(), state());
    assert_eq!(state().query_id(), None);
    let id = Uuid::from_u128(42);
    let ticket = key.open(&key.seal(&state().as_ticket(id))).unwrap();
    assert_eq!((ticket.query_id(), ticket.sql), (Some(id), state().sql));
}

#[test]
fn one_changed_bit_is_refused() {
    let key = HandleKey::new([1; 32]);
    let handle = key.seal(&state());
    for bit in 0..handle.len() * 8 {
        let mut forged = handle.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(&forged).is_err(), "bit {bit}");
    }
    for length in 0..handle.len() {
        assert!(key.open(&handle[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn another_key_opens_nothing_and_no_key_is_printed() {
    let handle = HandleKey::new([1; 32]).seal(&state());
    assert!(HandleKey::new([2; 32]).open(&handle).is_err());
    assert!(!format!("{:?}", HandleKey::new([65; 32])).contains("65"));
}

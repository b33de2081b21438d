//! The winner is that of the events one after the other, in whatever order they are taken.

use proptest::prelude::*;

use super::*;

/// What orders an event, and where it is.
type Said = (Option<u8>, Place);

fn event(place: Place) -> Event {
    Event { batch: 0, row: place.2 as u32, deletes: false, place }
}

/// The events one after the other: the place of the winner, and whether the table's row can stand in its way.
fn replayed(mut events: Vec<Said>) -> (Place, Option<u8>) {
    events.sort_by_key(|(_, place)| *place);
    let mut state: (Option<u8>, Place) = (None, (0, 0, -1));
    let mut free = false;
    for (order, place) in events {
        free |= order.is_none();
        if order.is_none() || state.0.is_none() || order >= state.0 {
            state = (order, place);
        }
    }
    (state.1, state.0.filter(|_| !free))
}

fn events() -> impl Strategy<Value = Vec<Said>> {
    let said = (prop::option::weighted(0.7, 0..6_u8), 0..3_i32);
    prop::collection::vec(said, 1..14).prop_map(|said| {
        let placed = said.into_iter().zip(0..);
        placed.map(|((order, partition), offset)| (order, (0, partition, offset))).collect()
    })
}

proptest! {
    #[test]
    fn any_order_of_taking_comes_to_what_the_places_say(
        (events, taken) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let mut latest = Latest::default();
        for (order, place) in taken {
            latest.add(event(place), order.as_ref().map(std::slice::from_ref));
        }
        let winner = latest.winner().map(|event| event.place);
        let (place, order) = replayed(events);
        prop_assert_eq!((winner, latest.order()), (Some(place), order.as_ref().map(std::slice::from_ref)));
    }
}

#[test]
fn rising_values_leave_one_event() {
    let mut latest = Latest::default();
    for offset in 0..100 {
        latest.add(event((0, 0, offset)), Some(&[offset as u8]));
    }
    assert_eq!(latest.events().count(), 1);
}

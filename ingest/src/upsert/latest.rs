//! The events of one key in a commit, as far as they still matter.
//!
//! Events are taken in any order, because several threads decode them. What counts is what comes of them one after
//! the other in the order of their places: an event without a value to order by takes over from whatever was there,
//! one with a value from all but a greater value. So the winner is the greatest one after the last event without a
//! value, and where there is none, that event itself.
//!
//! An event without a value may still come and outdate the greatest one. So those that would be the greatest then are
//! kept too: later ones with ever smaller values. In topics whose values rise, which is the rule, there are none.

use super::keys::Bytes;

/// Topic, partition, offset. Between partitions this order is fixed and means nothing.
pub(super) type Place = (u32, i32, i64);

/// An event in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) batch: u32,
    pub(super) row: u32,
    /// Whether it deletes the row of its key.
    pub(super) deletes: bool,
    pub(super) place: Place,
}

/// The events of one key that matter.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// The last one without a value to order by.
    base: Option<Event>,
    /// Ones after it with a value: the later, the smaller.
    ranked: Vec<(Bytes, Event)>,
}

impl Latest {
    /// Takes an event and what orders it, if anything does.
    pub(super) fn add(&mut self, event: Event, order: Option<&[u8]>) {
        let overtaken = self.base.as_ref().is_some_and(|base| base.place > event.place);
        let Some(order) = order else {
            if !overtaken {
                self.ranked.retain(|(_, known)| known.place > event.place);
                self.base = Some(event);
            }
            return;
        };
        let later = |known: &Event| known.place > event.place;
        if overtaken || self.ranked.iter().any(|(value, known)| later(known) && **value >= *order) {
            return;
        }
        self.ranked.retain(|(value, known)| later(known) || **value > *order);
        let at = self.ranked.partition_point(|(_, known)| !later(known));
        self.ranked.insert(at, (order.into(), event));
    }

    /// The event that says what becomes of the row. None only before the first event.
    pub(super) fn winner(&self) -> Option<&Event> {
        self.ranked.first().map(|(_, event)| event).or(self.base.as_ref())
    }

    /// What a row of the table must not exceed to be taken over from; `None` when it is in any case.
    pub(super) fn order(&self) -> Option<&[u8]> {
        let first = self.ranked.first().filter(|_| self.base.is_none());
        first.map(|(order, _)| &**order)
    }

    /// The events, to be counted or moved.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.base.iter().chain(self.ranked.iter().map(|(_, event)| event))
    }

    /// The events, to be moved.
    pub(super) fn events_mut(&mut self) -> impl Iterator<Item = &mut Event> {
        self.base.iter_mut().chain(self.ranked.iter_mut().map(|(_, event)| event))
    }

    /// Bytes held beside the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let ranked = self.ranked.iter().map(|(order, _)| order.len()).sum::<usize>();
        ranked + self.ranked.capacity() * size_of::<(Bytes, Event)>()
    }
}

#[cfg(test)]
mod tests;

//! Chance, from the seed alone.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a fault does to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing happens, and an error says so.
    Before,
    /// It happens, and an error is returned all the same.
    After,
    /// It happens later than the answer, which is an error.
    Late,
    /// A read gives only a part.
    Short,
}

/// The dice of one life.
#[derive(Debug)]
pub(super) struct Dice {
    generator: Mutex<StdRng>,
    /// Faults per thousand operations of the store and of the catalog.
    rates: Mutex<(u32, u32)>,
    thrown: Mutex<u64>,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut generator = StdRng::seed_from_u64(seed);
        // Calm lives too: they show that the judge does not depend on faults.
        let rates = match seed % 4 {
            0 => (0, 150),
            1 => (20, 0),
            _ => (generator.random_range(0..40), generator.random_range(0..300)),
        };
        Self { generator: Mutex::new(generator), rates: Mutex::new(rates), thrown: Mutex::new(0) }
    }

    /// A number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.generator.lock().unwrap().random_range(0..end)
    }

    /// How long an operation takes: most are quick, a few are slow.
    pub(super) fn delay(&self) -> Duration {
        let slow = self.below(20) == 0;
        Duration::from_micros(self.below(if slow { 3_000_000 } else { 2_000 }))
    }

    /// The fault of an operation of the store, if it has one.
    pub(super) fn of_store(&self, read: bool) -> Option<Fault> {
        let rate = self.rates.lock().unwrap().0;
        let kinds = if read { [Fault::Before, Fault::Short] } else { [Fault::Before, Fault::After] };
        self.fault(rate, &kinds)
    }

    /// The fault of an operation of the catalog, if it has one.
    pub(super) fn of_catalog(&self, read: bool) -> Option<Fault> {
        let rate = self.rates.lock().unwrap().1;
        let kinds: &[Fault] =
            if read { &[Fault::Before] } else { &[Fault::Before, Fault::After, Fault::Late] };
        self.fault(rate, kinds)
    }

    fn fault(&self, rate: u32, kinds: &[Fault]) -> Option<Fault> {
        if self.below(1_000) >= u64::from(rate) {
            return None;
        }
        *self.thrown.lock().unwrap() += 1;
        Some(kinds[self.below(kinds.len() as u64) as usize])
    }

    /// From now on nothing fails; how often something did.
    pub(super) fn end_faults(&self) -> u64 {
        *self.rates.lock().unwrap() = (0, 0);
        *self.thrown.lock().unwrap()
    }
}

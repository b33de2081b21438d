//! Few take much, many take little: ranks drawn with probability proportional to 1 / (rank + 1).
//!
//! An alias table (Vose) makes each draw one table look-up. Only division and addition of floats are
//! used to build it, so the same size gives the same table on every machine.

/// A distribution over the ranks `0..n`.
#[derive(Debug)]
pub(super) struct Zipf {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Out of 2^32, the share of draws that keep the slot's own rank.
    keep: u32,
    alias: u32,
}

impl Zipf {
    /// Over `n` ranks, at least one.
    pub(super) fn new(n: u32) -> Self {
        let n = n.max(1);
        let weight = |rank: u32| 1.0 / (f64::from(rank) + 1.0);
        let total: f64 = (0..n).map(weight).sum();
        let mut scaled: Vec<f64> = (0..n).map(|rank| weight(rank) * f64::from(n) / total).collect();
        let mut slots: Vec<Slot> = (0..n).map(|rank| Slot { keep: u32::MAX, alias: rank }).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|rank| scaled[*rank as usize] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            let share = scaled[poor as usize];
            slots[poor as usize] = Slot { keep: (share * f64::from(u32::MAX)) as u32, alias: rich };
            scaled[rich as usize] -= 1.0 - share;
            if scaled[rich as usize] < 1.0 { small.push(rich) } else { large.push(rich) }
        }
        Self { slots }
    }

    /// The rank that 64 random bits stand for.
    pub(super) fn pick(&self, bits: u64) -> u32 {
        let slot = (((bits >> 32) * self.slots.len() as u64) >> 32) as u32;
        let chosen = self.slots[slot as usize];
        if bits as u32 <= chosen.keep { slot } else { chosen.alias }
    }
}

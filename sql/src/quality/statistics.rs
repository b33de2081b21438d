//! The statistics of a comparison, as functions of counts.
//!
//! | values | statistic | 0 | 1 or more |
//! |---|---|---|---|
//! | numbers, times | Kolmogorov–Smirnov: the greatest distance between both cumulative distributions | equal | apart |
//! | categories | population stability index: sum of (p − q) · ln(p / q) over the values | equal | unlike |

/// A share of nothing: what is not there at all would make the index infinite.
const SHARE_MIN: f64 = 1e-4;

/// The Kolmogorov–Smirnov distance of two samples, fed with their values in rising order.
#[derive(Clone, Copy, Debug)]
pub(super) struct KolmogorovSmirnov {
    totals: [f64; 2],
    below: [f64; 2],
    distance: f64,
}

impl KolmogorovSmirnov {
    /// For samples of these sizes.
    pub(super) fn new(totals: [u64; 2]) -> Self {
        Self { totals: totals.map(|total| total as f64), below: [0.0; 2], distance: 0.0 }
    }

    /// The next value, and how often each sample has it.
    pub(super) fn see(&mut self, counts: [u64; 2]) {
        for (below, count) in self.below.iter_mut().zip(counts) {
            *below += count as f64;
        }
        let [a, b] = [0, 1].map(|side| self.below[side] / self.totals[side].max(1.0));
        self.distance = self.distance.max((a - b).abs());
    }

    /// The distance, and how likely at least so much would be if both came from one distribution.
    pub(super) fn finish(self) -> Option<(f64, f64)> {
        let [a, b] = self.totals;
        if a < 1.0 || b < 1.0 {
            return None;
        }
        let root = (a * b / (a + b)).sqrt();
        Some((self.distance, tail((root + 0.12 + 0.11 / root) * self.distance)))
    }
}

/// Kolmogorov's tail: 2 · Σ (−1)^(k−1) · exp(−2 k² x²).
fn tail(x: f64) -> f64 {
    if x < 0.2 {
        return 1.0; // The sum converges slowly where it is 1 to twelve digits.
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * x * x).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The population stability index of counts by value, in the same order on both sides.
pub(super) fn stability_index(counts: &[[u64; 2]]) -> Option<f64> {
    let total = |side: usize| counts.iter().map(|pair| pair[side]).sum::<u64>() as f64;
    let totals = [total(0), total(1)];
    if totals.contains(&0.0) {
        return None;
    }
    let parts = counts.iter().map(|pair| {
        let [p, q] = [0, 1].map(|side| (pair[side] as f64 / totals[side]).max(SHARE_MIN));
        (p - q) * (p / q).ln()
    });
    Some(parts.sum())
}

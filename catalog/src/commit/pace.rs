//! How long to wait between attempts: exponential, with jitter, bounded in total.
//!
//! The jitter is drawn from the commit's token, so two writers that lost to each other do not meet again
//! in step, and a run can be replayed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);
/// All attempts and waits of one commit.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// The waits of one commit.
pub(super) struct Pace {
    generator: StdRng,
    started: Instant,
    attempts: u32,
}

impl Pace {
    pub(super) fn new(token: Uuid) -> Self {
        let (high, low) = token.as_u64_pair();
        Self { generator: StdRng::seed_from_u64(high ^ low), started: Instant::now(), attempts: 0 }
    }

    /// How often was waited.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits for the next attempt; `false` when the time is up.
    pub(super) async fn wait(&mut self) -> bool {
        match self.next_delay(self.started.elapsed()) {
            Some(delay) => {
                tokio::time::sleep(delay).await;
                true
            }
            None => false,
        }
    }

    /// Between half and all of 20 ms, 40 ms, … 2 s; `None` when that would pass the limit.
    fn next_delay(&mut self, elapsed: Duration) -> Option<Duration> {
        let longest = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts += 1;
        let delay = longest.mul_f64(self.generator.random_range(0.5..=1.0));
        (elapsed + delay <= LIMIT).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_differ_by_token() {
        let delays = |token| {
            let mut pace = Pace::new(Uuid::from_u128(token));
            (0..12).map(|_| pace.next_delay(Duration::ZERO).unwrap()).collect::<Vec<_>>()
        };
        let first = delays(1);
        for (n, delay) in first.iter().enumerate() {
            let longest = Duration::from_millis(20 << n).min(LONGEST);
            assert!(*delay >= longest / 2 && *delay <= longest, "{n}: {delay:?}");
        }
        assert_eq!(first, delays(1));
        assert_ne!(first, delays(2));
    }

    #[test]
    fn waiting_ends_in_time() {
        let mut pace = Pace::new(Uuid::from_u128(1));
        let mut elapsed = Duration::ZERO;
        while let Some(delay) = pace.next_delay(elapsed) {
            elapsed += delay;
        }
        assert!(elapsed <= LIMIT && elapsed > LIMIT - LONGEST, "{elapsed:?}");
    }
}

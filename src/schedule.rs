//! Work that comes back in turns, for `sluice run` and for commands that go on until told to stop.
//!
//! A turn that takes longer than the period delays those after it; none is made up for. Whether a turn under way may
//! be cut short is for the work to say (`CancellationToken::run_until_cancelled`).

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The turns of some work, until told to stop.
pub(crate) struct Schedule<'a> {
    turns: Interval,
    stop: &'a CancellationToken,
}

impl<'a> Schedule<'a> {
    /// A turn at once, and one `every` period after it.
    pub(crate) fn new(every: Duration, stop: &'a CancellationToken) -> Self {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { turns, stop }
    }

    /// Waits for the next turn; `false` when it is time to stop instead.
    pub(crate) async fn turn(&mut self) -> bool {
        self.stop.run_until_cancelled(self.turns.tick()).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_turn_comes_at_once_a_late_one_delays_the_others_and_a_stop_ends_them() {
        let (every, stop) = (Duration::from_secs(10), CancellationToken::new());
        let mut schedule = Schedule::new(every, &stop);
        let start = tokio::time::Instant::now();
        let mut turns = Vec::new();
        while schedule.turn().await {
            turns.push(start.elapsed().as_secs());
            match turns.len() {
                2 => tokio::time::sleep(Duration::from_secs(25)).await,
                5 => stop.cancel(),
                _ => {}
            }
        }
        assert_eq!(turns, [0, 10, 35, 45, 55]);
    }
}

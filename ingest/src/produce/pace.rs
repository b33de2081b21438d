//! How fast events are sent: their own time, sped up, or as fast as the broker takes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The speed of a producer or a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many seconds of event time in one second; 1 is real time.
    Times(f64),
    /// As fast as the broker takes them.
    Max,
}

impl Speed {
    /// How long after the start of sending an event is due that happened `event_time` after the first.
    pub(crate) fn due(self, event_time: Duration) -> Duration {
        match self {
            Self::Times(times) => event_time.div_f64(times),
            Self::Max => Duration::ZERO,
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    /// Reads `10x`, `10` or `max`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.trim_end_matches('x').parse().ok();
        // Beyond these limits the due time of an event would not fit in a duration.
        let times = times.filter(|times| (1e-6..=1e12).contains(times));
        times.map(Self::Times).ok_or_else(|| format!("`{text}` is not a speed\n  use 1x, 10x, 100x or max"))
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::Max => f.write_str("max"),
        }
    }
}

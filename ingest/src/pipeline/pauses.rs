//! Landing that pauses when most messages are bad, and goes on.
//!
//! ```text
//! settings -> run -> too many dead letters -> pause -> settings again -> run
//!                      (nothing landed)        | ends after a while, or when the settings became others
//! ```
//!
//! The same messages are read again after each pause, so nothing is lost or skipped: landing goes on by itself when the
//! share of bad messages is no longer too large, or when the topics file or the limit was changed to take them.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_catalog::Lake;
use tokio_util::sync::CancellationToken;

use super::{DeadLetterLimit, IngestSettings, Report, run};
use crate::error::Error;
use crate::progress::{PauseReason, Progress};

/// How often the settings are looked at during a pause.
const LOOK: Duration = Duration::from_secs(2);

/// Lands as [`run`] does, but too many dead letters pause it instead of ending it. `settings` is asked at the start and
/// during pauses.
///
/// # Errors
/// As [`run`], but for [`Error::TooManyDeadLetters`]; and what `settings` says at the start. What it says during a pause
/// is logged, and it is asked again.
pub async fn run_with_pauses<E: From<Error> + Display>(
    lake: Lake,
    mut settings: impl FnMut() -> Result<IngestSettings, E>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Report, E> {
    let began = Instant::now();
    let mut current = settings()?;
    loop {
        let landing = run(lake.clone(), current.clone(), Arc::clone(&progress), stop.clone()).await;
        let flood = match landing {
            Err(error @ Error::TooManyDeadLetters { .. }) => error,
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(Report::of(&progress, began)),
        };
        let pause = current.dead_letter_limit.unwrap_or_default().pause;
        tracing::warn!(
            "landing pauses: {flood}. It goes on when the topics file or ingest.dead_letters changes, and is tried \
             again in {pause:?}"
        );
        progress.set_paused(PauseReason::DeadLetterShare, true);
        let until = Instant::now() + pause;
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))) => {}
                () = stop.cancelled() => break,
            }
            match settings() {
                Ok(new) if differ(&new, &current) || Instant::now() >= until => {
                    current = new;
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("landing stays paused, because the settings cannot be read: {error}");
                    // It is worth no more than a look now and then.
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        progress.set_paused(PauseReason::DeadLetterShare, false);
        if stop.is_cancelled() {
            return Ok(Report::of(&progress, began));
        }
        tracing::warn!("landing goes on");
        progress.add_restart();
    }
}

/// Whether the settings differ in what decides about dead letters.
fn differ(new: &IngestSettings, old: &IngestSettings) -> bool {
    let limits = |settings: &IngestSettings| -> Option<DeadLetterLimit> { settings.dead_letter_limit };
    limits(new) != limits(old)
        || new.max_message_bytes != old.max_message_bytes
        // Topics are plain data, and this is rare: their text tells whether they are the same.
        || format!("{:?}", new.topics) != format!("{:?}", old.topics)
}

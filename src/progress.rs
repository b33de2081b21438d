//! Progress on standard error: a live line on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the live line changes, and how often a plain line is written.
const LIVE_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows what `line` says until `done` is cancelled; then the line is removed.
pub(crate) async fn show(done: CancellationToken, line: impl Fn(Duration) -> String) {
    let live = std::io::stderr().is_terminal();
    let spinner = if live { live_line() } else { ProgressBar::hidden() };
    let started = Instant::now();
    let mut ticks = interval(if live { LIVE_INTERVAL } else { PLAIN_INTERVAL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            _ = ticks.tick() => {
                let text = line(started.elapsed());
                if live { spinner.set_message(text) } else { eprintln!("{text}") }
            }
        }
    }
    spinner.finish_and_clear();
}

fn live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(LIVE_INTERVAL);
    spinner
}

/// A bar of bytes with rate and remaining time; hidden when standard error is no terminal.
pub(crate) fn byte_bar(name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template =
        "{prefix:<8} [{bar:30}] {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  eta {eta}  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(name.to_owned())
}

/// Events per second, for people.
pub(crate) fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// Cancels `token` once `duration` has passed.
pub(crate) fn cancel_after(token: CancellationToken, duration: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        token.cancel();
    });
}

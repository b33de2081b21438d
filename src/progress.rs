//! Progress on standard error: live lines on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often live lines change, and how often a plain line is written.
const LIVE_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The live lines that are on the terminal; what else is written there goes above them.
static LIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Shows what `line` says until `done` is cancelled; then the line is removed.
pub(crate) async fn show(done: CancellationToken, line: impl Fn(Duration) -> String) {
    show_lines(done, |elapsed| vec![line(elapsed)], &line).await;
}

/// Shows on a terminal what `live` says, line by line, until `done` is cancelled; elsewhere what `plain` says.
pub(crate) async fn show_lines(
    done: CancellationToken,
    mut live: impl FnMut(Duration) -> Vec<String>,
    plain: impl Fn(Duration) -> String,
) {
    let mut lines = io::stderr().is_terminal().then(Lines::new);
    let started = Instant::now();
    let mut ticks = interval(if lines.is_some() { LIVE_INTERVAL } else { PLAIN_INTERVAL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = ticks.tick() => match &mut lines {
                Some(lines) => lines.set(live(started.elapsed())),
                None => eprintln!("{}", plain(started.elapsed())),
            }
        }
    }
}

/// Live lines, the first with a sign of life. They are removed when this is dropped.
struct Lines {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Lines {
    fn new() -> Self {
        let all = MultiProgress::new();
        *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(all.clone());
        Self { all, lines: Vec::new() }
    }

    fn set(&mut self, texts: Vec<String>) {
        while self.lines.len() > texts.len()
            && let Some(line) = self.lines.pop()
        {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        for (number, text) in texts.into_iter().enumerate() {
            if number == self.lines.len() {
                let template = if number == 0 { "{spinner} {wide_msg}" } else { "  {wide_msg}" };
                let style = ProgressStyle::with_template(template);
                let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                self.lines.push(self.all.add(ProgressBar::new_spinner().with_style(style)));
            }
            self.lines[number].set_message(text);
            self.lines[number].tick();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.set(Vec::new());
        *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Standard error, whose live lines stay below what is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AboveLines;

impl Write for AboveLines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match live {
            Some(live) => live.suspend(|| io::stderr().write(text)),
            None => io::stderr().write(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A bar of bytes with rate and remaining time; hidden when standard error is no terminal.
pub(crate) fn byte_bar(name: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
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

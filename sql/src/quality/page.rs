//! Profiles and comparisons as pages of their own: HTML with its style and its plots (SVG) inside, nothing to fetch.
//!
//! Every text that comes from data is escaped; there is no script.

use std::fmt::Write;

use super::compare::{Comparison, Shift, Verdict};
use super::profile::{Bar, ColumnProfile, Profile};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:0;overflow-wrap:anywhere}.lead,.kind{color:#5b6b7b}\
.facts{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:1.25rem 0}.facts b{display:block;font-size:1.35rem}\
.column{display:grid;grid-template-columns:minmax(16rem,1fr) 2fr;gap:1rem;border-top:1px solid #dde4ea;padding:1rem 0}\
dl{display:grid;grid-template-columns:auto 1fr;gap:0 1rem;margin:.5rem 0}dt{color:#5b6b7b}dd{margin:0;\
overflow-wrap:anywhere}svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#5b6b7b}\
.a{fill:#2f6fab}.b{fill:#d97b29}.same{color:#27713d}.shifted{color:#a15c00}.changed{color:#b3261e}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-top:1px solid #dde4ea}\
@media(max-width:45rem){.column{grid-template-columns:1fr}}";

const WIDTH: f64 = 640.0;

/// The page of a profile.
pub fn profile_page(profile: &Profile) -> String {
    let mut body =
        format!("<p class=lead>Profile</p><h1>{}</h1><div class=facts>", escaped(&profile.subject));
    fact(&mut body, "rows", &grouped(profile.rows));
    fact(&mut body, "duplicates", &profile.duplicates.map_or_else(|| "not counted".to_owned(), grouped));
    let age = profile.freshness.seconds.map_or_else(|| "unknown".to_owned(), age);
    fact(&mut body, "since the last rows came", &age);
    let usual = match profile.volume.usual {
        None => "too few commits to say",
        Some(true) => "as usual",
        Some(false) => "unusual",
    };
    fact(&mut body, "rows of the last commit", usual);
    body.push_str("</div>");
    if profile.volume.commits.len() > 1 {
        let bars = profile
            .volume
            .commits
            .iter()
            .map(|(at, rows)| Bar { label: at.format("%Y-%m-%d %H:%M").to_string(), rows: *rows });
        let bars: Vec<Bar> = bars.collect();
        let _ = write!(body, "<h2>Rows by commit</h2>{}", columns_plot(&bars, None));
    }
    for column in &profile.columns {
        body.push_str(&column_section(column, profile.rows));
    }
    notes(&mut body, &profile.notes);
    page(&format!("Profile of {}", profile.subject), &body)
}

/// The page of a comparison.
pub fn comparison_page(comparison: &Comparison) -> String {
    let (a, b) = (escaped(&comparison.a), escaped(&comparison.b));
    let verdict = word(comparison.verdict);
    let mut body = format!(
        "<p class=lead>Comparison</p><h1>{a} <span class=kind>against</span> {b}</h1><div class=facts>"
    );
    fact(&mut body, "verdict", &format!("<span class={verdict}>{verdict}</span>"));
    fact(&mut body, "rows of the first", &grouped(comparison.rows[0]));
    fact(&mut body, "rows of the second", &grouped(comparison.rows[1]));
    body.push_str("</div>");
    if !comparison.differences.is_empty() {
        body.push_str("<h2>Columns that differ</h2><table><tr><th>column<th>first<th>second");
        for column in &comparison.differences {
            let shown = |kind: &Option<String>| escaped(kind.as_deref().unwrap_or("not there"));
            let (name, a, b) = (escaped(&column.column), shown(&column.a), shown(&column.b));
            let _ = write!(body, "<tr><td>{name}<td>{a}<td>{b}");
        }
        body.push_str("</table>");
    }
    body.push_str("<h2>Columns of both</h2><p class=kind>Blue is the first, orange the second.</p>");
    for shift in &comparison.columns {
        body.push_str(&shift_section(shift));
    }
    notes(&mut body, &comparison.notes);
    page(&format!("{} against {}", comparison.a, comparison.b), &body)
}

fn column_section(column: &ColumnProfile, rows: u64) -> String {
    let mut facts = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(facts, "<dt>{name}<dd>{}", escaped(&value));
        }
    };
    let share = if rows == 0 { 0.0 } else { 100.0 * column.nulls as f64 / rows as f64 };
    add("nulls", Some(format!("{} ({share:.1} %)", grouped(column.nulls))));
    add("distinct", column.distinct.map(grouped));
    add("least", column.min.clone().map(cut));
    add("greatest", column.max.clone().map(cut));
    add("mean", column.mean.map(short));
    add("deviation", column.deviation.map(short));
    let quantiles = column.quantiles.map(|quantiles| quantiles.map(short).join(" · "));
    add("5 % · 50 % · 95 %", quantiles);
    // Bins have an order of their own and stand upright; categories are read line by line.
    let is_binned = column.mean.is_some() || column.kind.starts_with("Timestamp") || column.kind == "Date32";
    let plot = match is_binned {
        true => columns_plot(&column.bars, column.max.as_deref()),
        false => lines_plot(&column.bars, None),
    };
    format!(
        "<section class=column><div><h2>{}</h2><span class=kind>{}</span><dl>{facts}</dl></div><div>{plot}</div></section>",
        escaped(&column.name),
        escaped(&column.kind)
    )
}

fn shift_section(shift: &Shift) -> String {
    let verdict = word(shift.verdict);
    let mut facts = String::new();
    if let (Some(statistic), Some(value)) = (shift.statistic, shift.value) {
        let _ = write!(facts, "<dt>{statistic}<dd>{value:.4}");
    }
    if let Some(p_value) = shift.p_value {
        let _ = write!(facts, "<dt>p<dd>{}", short(p_value));
    }
    let [a, b] = shift.null_share.map(|share| format!("{:.1} %", share * 100.0));
    let _ = write!(facts, "<dt>nulls<dd>{a} · {b}");
    let plot = lines_plot(&shift.bars[0], Some(&shift.bars[1]));
    format!(
        "<section class=column><div><h2>{}</h2><span class={verdict}>{verdict}</span><dl>{facts}</dl></div>\
         <div>{plot}</div></section>",
        escaped(&shift.column)
    )
}

/// Upright bars in their order, with the label of the first, and where the last one ends, if not the last label.
fn columns_plot(bars: &[Bar], end: Option<&str>) -> String {
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return String::new() };
    let (height, floor) = (120.0, 104.0);
    let highest = bars.iter().map(|bar| bar.rows).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / bars.len() as f64;
    let mut svg = format!("<svg viewBox='0 0 {WIDTH} {height}' role=img>");
    for (at, bar) in bars.iter().enumerate() {
        let tall = (floor - 14.0) * bar.rows as f64 / highest;
        let (x, y) = (at as f64 * step, floor - tall);
        let _ = write!(
            svg,
            "<rect class=a x='{x:.1}' y='{y:.1}' width='{:.1}' height='{tall:.1}'><title>{}: {}</title></rect>",
            step * 0.86,
            escaped(&bar.label),
            grouped(bar.rows)
        );
    }
    let _ = write!(
        svg,
        "<text x=0 y=10>{}</text><text x=0 y={}>{}</text><text x={WIDTH} y={} text-anchor=end>{}</text></svg>",
        grouped(highest as u64),
        height - 2.0,
        escaped(&first.label),
        height - 2.0,
        escaped(end.unwrap_or(&last.label))
    );
    svg
}

/// One line a value, with the share of its side; with a second side, two bars a line.
fn lines_plot(bars: &[Bar], other: Option<&[Bar]>) -> String {
    if bars.is_empty() {
        return String::new();
    }
    let share = |bars: &[Bar], at: usize| {
        let highest = bars.iter().map(|bar| bar.rows).max().unwrap_or(0).max(1) as f64;
        bars.get(at).map_or((0, 0.0), |bar| (bar.rows, bar.rows as f64 / highest))
    };
    let (label_width, line) = (190.0, if other.is_some() { 26.0 } else { 18.0 });
    let room = WIDTH - label_width - 90.0;
    let mut svg = format!("<svg viewBox='0 0 {WIDTH} {}' role=img>", bars.len() as f64 * line);
    for (at, bar) in bars.iter().enumerate() {
        let y = at as f64 * line;
        let label = escaped(&cut_to(&bar.label, 28));
        let _ = write!(svg, "<text x={} y={} text-anchor=end>{label}</text>", label_width - 8.0, y + 12.0);
        for (side, (class, bars)) in [("a", Some(bars)), ("b", other)]
            .into_iter()
            .filter_map(|(class, bars)| Some((class, bars?)))
            .enumerate()
        {
            let (rows, share) = share(bars, at);
            let (top, wide) = (y + 3.0 + side as f64 * 11.0, (room * share).max(0.5));
            let _ = write!(
                svg,
                "<rect class={class} x={label_width} y={top} width='{wide:.1}' height=10 />\
                 <text x='{:.1}' y={}>{}</text>",
                label_width + wide + 6.0,
                top + 9.0,
                grouped(rows)
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn fact(body: &mut String, name: &str, value: &str) {
    let _ = write!(body, "<div><b>{value}</b>{name}</div>");
}

fn notes(body: &mut String, notes: &[&str]) {
    for note in notes {
        let _ = write!(body, "<p class=kind>{}</p>", escaped(note));
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{}</title><style>{STYLE}</style><body>{body}</body></html>\n",
        escaped(title)
    )
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "same",
        Verdict::Shifted => "shifted",
        Verdict::Changed => "changed",
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn cut(text: String) -> String {
    cut_to(&text, 120)
}

fn cut_to(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with five digits that count.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-4..1e15).contains(&size) => format!("{number:.4e}"),
        size if size >= 10_000.0 => format!("{number:.0}"),
        size => {
            let digits = (4 - size.log10().floor() as i32).clamp(0, 9) as usize;
            let text = format!("{number:.digits$}");
            let text =
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            text.to_owned()
        }
    }
}

fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

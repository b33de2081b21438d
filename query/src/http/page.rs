//! `/`: where a person lands. What runs, how to connect, what else there is.

use axum::extract::State;
use axum::response::Html;

use super::Site;

const PAGE: &str = include_str!("page.html");

pub(crate) async fn show(State(site): State<Site>) -> Html<String> {
    Html(render(&site.flight.to_string()))
}

/// The page for a Flight SQL server at `flight`; an address holds nothing that HTML would take for markup.
fn render(flight: &str) -> String {
    PAGE.replace("{{flight}}", flight).replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

//! Drafts as JSON, written by hand into a reused buffer: building a tree per event would cost more than
//! all the rest of the producer. No text written here holds a character that JSON escapes.

use super::shop::{Action, Body, CATEGORIES, COUNTRIES, DEVICES, Draft, FACETS, METHODS, Sale, WAREHOUSES};

const ADJECTIVES: [&str; 4] = ["cheap", "best", "new", "used"];

/// Writes messages of one run.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Eight hexadecimal digits that tell the ids of one run from those of others.
    run: [u8; 8],
    /// The key of the last message written: the person's id, for a stock change the item's.
    pub(super) key: Vec<u8>,
    /// The last message written.
    pub(super) payload: Vec<u8>,
}

impl Encoder {
    /// `run` names the run in every id; its low 32 bits count.
    pub(super) fn new(run: u64) -> Self {
        let mut digits = [0; 8];
        hexadecimal(run, &mut digits);
        Self { run: digits, key: Vec::with_capacity(16), payload: Vec::with_capacity(512) }
    }

    /// Replaces key and payload by those of `draft`.
    pub(super) fn write(&mut self, draft: &Draft) {
        self.key.clear();
        match draft.body {
            Body::Stock { item, .. } => padded(&mut self.key, "i", item.into(), 6),
            _ => padded(&mut self.key, "u", draft.user.into(), 7),
        }
        self.payload.clear();
        self.payload.extend_from_slice(b"{\"event_id\":\"");
        self.id("e", draft.number);
        match draft.body {
            Body::Event { action, item, session, device, category } => {
                self.head(name(action), draft.at);
                self.event(action, item, session, (device, category));
            }
            Body::Payment { sale, country, currency, method } => {
                self.head("payment", draft.at);
                self.payment(sale, country, currency, method);
            }
            Body::Order { sale, currency } => {
                self.head("order", draft.at);
                self.order(sale, currency);
            }
            Body::Stock { warehouse, change, .. } => {
                self.head("stock_change", draft.at);
                self.stock(warehouse, change);
            }
        }
        self.payload.push(b'}');
    }

    /// Ends the event's id and writes the fields that every event has.
    fn head(&mut self, event_type: &str, at: i64) {
        self.text("\",\"event_type\":\"");
        self.text(event_type);
        self.text("\",\"timestamp\":");
        number(&mut self.payload, at);
    }

    fn event(&mut self, action: Action, item: u32, session: u32, (device, category): (u8, u8)) {
        let category = CATEGORIES[usize::from(category)];
        self.keyed(",\"user_id\":\"");
        match action {
            Action::Search { word } => {
                self.text("\",\"query\":\"");
                self.text(ADJECTIVES[usize::from(word)]);
                self.text(" ");
                self.text(category);
            }
            Action::Filter { facet } => {
                self.text("\",\"query\":\"");
                self.text(FACETS[usize::from(facet)]);
            }
            _ => {
                self.text("\",\"item_id\":\"");
                self.item(item);
            }
        }
        self.text("\",\"category\":\"");
        self.text(category);
        self.text("\",\"session_id\":\"s");
        self.payload.extend_from_slice(&self.run);
        self.text("-");
        self.payload.extend_from_slice(&self.key[1..]);
        self.text("-");
        number(&mut self.payload, session.into());
        self.text("\",\"device_type\":\"");
        self.text(DEVICES[usize::from(device)]);
        self.text("\"");
        match action {
            Action::Transaction(sale) => {
                self.text(",\"price\":");
                money(&mut self.payload, sale.cents.into());
                self.text(",\"quantity\":");
                number(&mut self.payload, sale.quantity.into());
                self.text(",\"transaction_id\":\"");
                self.id("t", sale.number);
                self.text("\"");
            }
            Action::Review { rating } => {
                self.text(",\"rating\":");
                number(&mut self.payload, rating.into());
            }
            _ => {}
        }
    }

    fn payment(&mut self, sale: Sale, country: u8, currency: u8, method: u8) {
        self.text(",\"payment_id\":\"");
        self.id("p", sale.number);
        self.text("\",\"transaction_id\":\"");
        self.id("t", sale.number);
        self.keyed("\",\"customer_id\":\"");
        self.amount(sale, currency);
        self.text(",\"payment_country\":\"");
        self.text(COUNTRIES[usize::from(country)].0);
        self.text("\",\"payment_method\":\"");
        self.text(METHODS[usize::from(method)]);
        self.text("\"");
    }

    fn order(&mut self, sale: Sale, currency: u8) {
        self.text(",\"order_id\":\"");
        self.id("o", sale.number);
        self.text("\",\"transaction_id\":\"");
        self.id("t", sale.number);
        self.keyed("\",\"customer_id\":\"");
        self.text("\",\"item_id\":\"");
        self.item(sale.item);
        self.text("\",\"quantity\":");
        number(&mut self.payload, sale.quantity.into());
        self.text(",\"status\":\"created");
        self.amount(sale, currency);
    }

    fn stock(&mut self, warehouse: u8, change: i32) {
        self.keyed(",\"item_id\":\"");
        self.text("\",\"warehouse\":\"");
        self.text(WAREHOUSES[usize::from(warehouse)]);
        self.text("\",\"quantity\":");
        number(&mut self.payload, change.into());
        self.text(",\"reason\":\"");
        self.text(if change < 0 { "sale" } else { "delivery" });
        self.text("\"");
    }

    /// Ends a text field and writes amount and currency.
    fn amount(&mut self, sale: Sale, currency: u8) {
        self.text("\",\"amount\":");
        money(&mut self.payload, u64::from(sale.cents) * u64::from(sale.quantity));
        self.text(",\"currency\":\"");
        self.text(COUNTRIES[usize::from(currency)].1);
        self.text("\"");
    }

    /// A field whose value is the message's key.
    fn keyed(&mut self, field: &str) {
        self.text(field);
        self.payload.extend_from_slice(&self.key);
    }

    fn item(&mut self, item: u32) {
        padded(&mut self.payload, "i", item.into(), 6);
    }

    fn id(&mut self, kind: &str, count: u64) {
        self.text(kind);
        self.payload.extend_from_slice(&self.run);
        padded(&mut self.payload, "-", count, 10);
    }

    fn text(&mut self, text: &str) {
        self.payload.extend_from_slice(text.as_bytes());
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::View => "view",
        Action::AddToCart => "addtocart",
        Action::Transaction(_) => "transaction",
        Action::Search { .. } => "search",
        Action::Filter { .. } => "filter",
        Action::Review { .. } => "review",
    }
}

fn number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A number with leading zeros up to `width` digits; a longer one is written whole.
fn padded(out: &mut Vec<u8>, prefix: &str, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(&b"00000000000"[..width.saturating_sub(digits.len())]);
    out.extend_from_slice(digits);
}

/// Cents as units with two decimals.
fn money(out: &mut Vec<u8>, cents: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(cents / 100).as_bytes());
    padded(out, ".", cents % 100, 2);
}

fn hexadecimal(number: u64, digits: &mut [u8; 8]) {
    for (at, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (28 - 4 * at)) as usize & 15];
    }
}

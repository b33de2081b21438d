//! The shop: people who look, put into the cart, buy, search, filter and review, as a function of a seed.
//!
//! ```text
//! seed, start -> Shop -> Draft -> encode.rs -> key and JSON
//! ```
//!
//! Each step is one event of a person (50 % view, 20 addtocart, 10 transaction, 10 search, 10 - 3 filter,
//! 3 review). A transaction is followed by its order, its payment and its stock change; a warehouse that
//! runs dry is refilled first, so the stock of an item is the sum of its changes and never below zero.
//!
//! Invariants: the same settings give the same drafts on every machine (no clock, no hash seeds, no float
//! functions whose last bit varies); numbers are never reused; event times never go back in `user-events`.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::zipf::Zipf;

/// The streams of the shop, in the order of [`Stream::ALL`]; each is a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    UserEvents,
    Payments,
    Orders,
    Inventory,
}

impl Stream {
    pub(super) const ALL: [Self; 4] = [Self::UserEvents, Self::Payments, Self::Orders, Self::Inventory];

    pub(super) const fn topic(self) -> &'static str {
        match self {
            Self::UserEvents => "user-events",
            Self::Payments => "payments",
            Self::Orders => "orders",
            Self::Inventory => "inventory",
        }
    }
}

pub(super) const CATEGORIES: [&str; 12] = [
    "electronics",
    "computers",
    "phones",
    "books",
    "toys",
    "garden",
    "sports",
    "beauty",
    "kitchen",
    "fashion",
    "groceries",
    "furniture",
];
pub(super) const DEVICES: [&str; 4] = ["mobile", "desktop", "tablet", "tv"];
pub(super) const METHODS: [&str; 4] = ["card", "paypal", "transfer", "voucher"];
pub(super) const WAREHOUSES: [&str; 3] = ["north", "south", "west"];
pub(super) const FACETS: [&str; 6] =
    ["price<50", "price<200", "in_stock", "rating>=4", "free_delivery", "new_arrivals"];
/// Countries and the currency their people pay in.
pub(super) const COUNTRIES: [(&str, &str); 8] = [
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("GB", "GBP"),
    ("ES", "EUR"),
    ("IT", "EUR"),
    ("NL", "EUR"),
    ("PL", "PLN"),
    ("US", "USD"),
];

/// One purchase in this many is like those of a thief.
const FRAUD_ONE_IN: u32 = 64;
const RESTOCK: i32 = 500;

/// What one message says, before it is written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// Counts all drafts of the shop; names the event.
    pub(super) number: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) at: i64,
    pub(super) user: u32,
    pub(super) body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Event { action: Action, item: u32, session: u32, device: u8, category: u8 },
    Payment { sale: Sale, country: u8, currency: u8, method: u8 },
    Order { sale: Sale, currency: u8 },
    Stock { item: u32, warehouse: u8, change: i32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    View,
    AddToCart,
    Transaction(Sale),
    Search { word: u8 },
    Filter { facet: u8 },
    Review { rating: u8 },
}

/// A purchase: its number, what was bought, how much of it, the price of one piece in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sale {
    pub(super) number: u64,
    pub(super) item: u32,
    pub(super) quantity: u32,
    pub(super) cents: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Person {
    sessions: u32,
    /// Events until the present session ends.
    left: u8,
    device: u8,
    /// The category this session is about.
    category: u8,
    seen: Option<u32>,
    cart: Option<u32>,
}

/// What the shop is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShopSize {
    pub(super) users: u32,
    pub(super) items: u32,
    /// Events of people per second of event time.
    pub(super) rate: f64,
}

/// An endless sequence of drafts.
#[derive(Debug)]
pub(super) struct Shop {
    rng: ChaCha8Rng,
    size: ShopSize,
    start: i64,
    users: Zipf,
    items: Zipf,
    people: Vec<Person>,
    stock: Vec<[i32; WAREHOUSES.len()]>,
    steps: u64,
    drafts: u64,
    sales: u64,
    /// A person whose next purchases follow in a row, and how many.
    spree: Option<(u32, u8)>,
    /// Drafts that follow from the last step.
    pending: VecDeque<Draft>,
}

impl Shop {
    pub(super) fn new(seed: u64, start: i64, size: ShopSize) -> Self {
        let size =
            ShopSize { users: size.users.max(1), items: size.items.max(CATEGORIES.len() as u32), ..size };
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            size,
            start,
            users: Zipf::new(size.users),
            items: Zipf::new(size.items),
            people: vec![Person::default(); size.users as usize],
            stock: vec![[0; WAREHOUSES.len()]; size.items as usize],
            steps: 0,
            drafts: 0,
            sales: 0,
            spree: None,
            pending: VecDeque::new(),
        }
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Draft {
        if let Some(draft) = self.pending.pop_front() {
            return draft;
        }
        self.steps += 1;
        let at = self.now();
        match self.below(100) {
            0..50 => self.view(at),
            50..70 => self.add_to_cart(at),
            70..80 => self.transaction(at),
            80..90 => {
                let word = self.below(4) as u8;
                self.browse(at, Action::Search { word })
            }
            90..97 => {
                let facet = self.below(FACETS.len() as u32) as u8;
                self.browse(at, Action::Filter { facet })
            }
            _ => self.review(at),
        }
    }

    /// The time of the last step; what follows from a sale is dated up to 1.2 seconds later.
    pub(super) fn now(&self) -> i64 {
        self.start + (self.steps.saturating_sub(1) as f64 * 1000.0 / self.size.rate) as i64
    }

    /// A person, whose session goes on or begins.
    fn visitor(&mut self) -> u32 {
        let user = self.users.pick(self.rng.next_u64());
        let bits = self.rng.next_u32();
        let person = &mut self.people[user as usize];
        if person.left == 0 {
            person.sessions += 1;
            person.left = 3 + (bits % 18) as u8;
            person.device = [0, 0, 0, 0, 0, 1, 1, 1, 2, 3][((bits >> 8) % 10) as usize];
            person.category = ((bits >> 16) % CATEGORIES.len() as u32) as u8;
            (person.seen, person.cart) = (None, None);
        }
        person.left -= 1;
        user
    }

    /// An item, mostly of the category that the session is about.
    fn item_for(&mut self, user: u32) -> u32 {
        let bits = self.rng.next_u64();
        let item = self.items.pick(bits);
        let width = CATEGORIES.len() as u32;
        let focused = item - item % width + u32::from(self.people[user as usize].category);
        if bits & 3 != 0 && focused < self.size.items { focused } else { item }
    }

    fn view(&mut self, at: i64) -> Draft {
        let user = self.visitor();
        let item = self.item_for(user);
        self.people[user as usize].seen = Some(item);
        self.event(at, user, Action::View, item)
    }

    fn add_to_cart(&mut self, at: i64) -> Draft {
        let user = self.visitor();
        let item = match self.people[user as usize].seen {
            Some(seen) => seen,
            None => self.item_for(user),
        };
        self.people[user as usize].cart = Some(item);
        self.event(at, user, Action::AddToCart, item)
    }

    fn browse(&mut self, at: i64, action: Action) -> Draft {
        let user = self.visitor();
        let item = u32::from(self.people[user as usize].category);
        self.event(at, user, action, item)
    }

    fn review(&mut self, at: i64) -> Draft {
        let user = self.visitor();
        let item = self.item_for(user);
        let rating = [5, 5, 5, 5, 5, 4, 4, 4, 3, 3, 2, 1][self.below(12) as usize];
        self.event(at, user, Action::Review { rating }, item)
    }

    fn transaction(&mut self, at: i64) -> Draft {
        let user = match self.spree {
            Some((user, left)) => {
                self.spree = (left > 1).then_some((user, left - 1));
                user
            }
            None => self.visitor(),
        };
        let item = match self.people[user as usize].cart.take() {
            Some(item) => item,
            None => self.item_for(user),
        };
        let mut quantity = [1, 1, 1, 1, 1, 1, 1, 2, 2, 3][self.below(10) as usize];
        let home = country_of(user);
        let mut country = home;
        if self.below(FRAUD_ONE_IN) == 0 {
            match self.below(3) {
                0 => {
                    country =
                        (home + 1 + self.below(COUNTRIES.len() as u32 - 1) as u8) % COUNTRIES.len() as u8
                }
                1 => quantity = 10 + self.below(15),
                _ => self.spree = Some((user, 4)),
            }
        }
        let sale = Sale { number: self.sales, item, quantity, cents: cents_of(item) };
        self.sales += 1;
        let draft = self.event(at, user, Action::Transaction(sale), item);
        self.follow(at, user, sale, (country, home));
        draft
    }

    /// Order, payment and stock change of a sale, some hundred milliseconds after it.
    fn follow(&mut self, at: i64, user: u32, sale: Sale, (country, home): (u8, u8)) {
        let method = [0, 0, 0, 0, 0, 0, 1, 1, 2, 3][self.below(10) as usize];
        let warehouse = self.below(WAREHOUSES.len() as u32) as u8;
        let (item, change) = (sale.item, -(sale.quantity as i32));
        let order = self.draft(at + 50, user, Body::Order { sale, currency: home });
        let delay = 200 + i64::from(self.below(1000));
        let payment = self.draft(at + delay, user, Body::Payment { sale, country, currency: home, method });
        self.pending.extend([order, payment]);
        let stock = &mut self.stock[item as usize][usize::from(warehouse)];
        let refill = *stock + change < 0;
        *stock += change + if refill { RESTOCK } else { 0 };
        if refill {
            let delivery = self.draft(at, user, Body::Stock { item, warehouse, change: RESTOCK });
            self.pending.push_back(delivery);
        }
        let taken = self.draft(at + 100, user, Body::Stock { item, warehouse, change });
        self.pending.push_back(taken);
    }

    fn event(&mut self, at: i64, user: u32, action: Action, item: u32) -> Draft {
        let Person { sessions: session, device, .. } = self.people[user as usize];
        let category = (item % CATEGORIES.len() as u32) as u8;
        self.draft(at, user, Body::Event { action, item, session, device, category })
    }

    fn draft(&mut self, at: i64, user: u32, body: Body) -> Draft {
        let number = self.drafts;
        self.drafts += 1;
        Draft { number, at, user, body }
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.rng.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

impl Draft {
    pub(super) fn stream(&self) -> Stream {
        match self.body {
            Body::Event { .. } => Stream::UserEvents,
            Body::Payment { .. } => Stream::Payments,
            Body::Order { .. } => Stream::Orders,
            Body::Stock { .. } => Stream::Inventory,
        }
    }
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
pub(super) fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where a person lives.
fn country_of(user: u32) -> u8 {
    [0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7][(scatter(u64::from(user)) % 12) as usize]
}

/// The price of an item in cents: 4.99 to 949.99, most of them small.
fn cents_of(item: u32) -> u32 {
    let bits = scatter(u64::from(item) | 1 << 40);
    let units = 5 + (bits % 91) as u32;
    let scale = [1, 1, 1, 1, 2, 2, 4, 10][((bits >> 32) % 8) as usize];
    units * scale * 100 - 1
}

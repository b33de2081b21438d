//! Which properties of a table are Sluice's own state: its progress, and what it committed last.
//!
//! They change with the rows, in the same commit, and by nobody else: written by hand they would make rows land
//! twice or never. Settings for maintenance have the same prefix, and belong to the user.

const PREFIX: &str = "sluice.";
const SETTINGS: &str = "sluice.maintain.";

/// Whether the property is state.
pub(crate) fn is_state(property: &str) -> bool {
    property.starts_with(PREFIX) && !property.starts_with(SETTINGS)
}

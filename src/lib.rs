//! boot-agent: takes a CircleCI Enterprise services box from a blank instance to in service, and says what is broken
//! when it cannot.
//!
//! Rooms on one floor use only rooms of the floors below; the README draws the house.

// Ground floor.
pub mod cause;
pub mod files;
pub mod names;
pub mod secret;

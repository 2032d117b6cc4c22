//! The vocabulary every other module speaks: pure values, no I/O, no clock, no globals.

pub mod calendar;
pub mod duration;
pub mod forecast;
pub mod limits;
pub mod list;
pub mod mask;
pub mod metric;
pub mod name;
pub mod outage;
pub mod outcome;
pub mod pattern;
pub mod perfdata;
pub mod quantity;
pub mod range;
pub mod report;
pub mod secret;
pub mod standing;
pub mod state;
pub mod text;
pub mod uuid;

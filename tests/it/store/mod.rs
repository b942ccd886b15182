//! The store: golden rows, commands, damage, faults, the check.

mod backup;
mod check;
mod clones;
mod contained;
mod cross_checks;
mod crossed;
mod damage;
mod damage_trust;
mod derived;
mod faults;
mod golden;
mod latched;
mod lost_tables;
mod mend;
mod pairs;
mod rotting;
mod standings;
mod summed_rows;
mod supervision;
mod trust_commands;
mod trust_rows;
mod trust_tables;

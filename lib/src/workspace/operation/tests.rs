//! Operations begun in one repository go on in another, with the real Git on both sides.

mod forged;
mod hostile;
mod lab;
mod mutated;
mod others;
mod rebasing;
mod stops;
mod torn;

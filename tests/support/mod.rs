//! What the integration tests share. Each test binary compiles all of it and uses a part, hence the `allow`.
#![allow(dead_code, unused_imports)]

pub mod agents;
pub mod chains;
pub mod clones;
pub mod faults;
pub mod forge;
pub mod forged;
pub mod many;
pub mod mark;
pub mod model;
pub mod sandbox;
pub mod servers;

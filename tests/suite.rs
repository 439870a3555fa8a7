//! The product as its users run it: real binaries, real Git, homes of its own. One binary, so that linking happens once.

mod support;

mod damaged;
mod hostile;
mod manual;
mod readme;
mod recipients;
mod roundtrip;
mod secrets;

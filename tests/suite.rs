//! The product as its users run it: real binaries, real Git, homes of its own. One binary, so that linking happens once.

mod support;

mod byhand;
mod capture;
mod chain_crash;
mod chain_races;
mod chain_remotes;
mod chains;
mod codex;
mod commands;
mod crash;
mod damaged;
mod doctor;
mod hostile;
mod hostile_chains;
mod init;
mod interrupted;
mod listing;
mod manual;
mod model;
mod names;
mod on_demand;
mod packs;
mod places;
mod plain_git;
mod port;
mod races;
mod readers;
mod readme;
mod recipients;
mod repositories;
mod rewound;
mod roundtrip;
mod scale;
mod secrets;
mod workspace;

//! What Git says to `git-remote-session`, which answers as if it had nothing.

#![no_main]
#![allow(dead_code)]

#[path = "../../git-remote-session/protocol.rs"]
mod protocol;

use protocol::{Answer, Error, Push, Pushed, Remote, Wanted, serve};

struct Empty;

impl Remote for Empty {
    type Error = Error;

    fn capabilities(&self) -> Vec<String> {
        vec!["fetch".to_owned(), "push".to_owned()]
    }

    fn option(&mut self, name: &str, value: &str) -> Answer {
        if name.len() % 2 == 0 { Answer::Error(value.to_owned()) } else { Answer::Unsupported }
    }

    fn list(&mut self, _: bool) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn fetch(&mut self, _: &[Wanted]) -> Result<(), Error> {
        Ok(())
    }

    fn import(&mut self, _: &[String]) -> Result<(), Error> {
        Ok(())
    }

    fn push(&mut self, pushes: &[Push]) -> Result<Vec<Pushed>, Error> {
        Ok(pushes.iter().map(|push| Pushed { to: push.to.clone(), verdict: Err(push.to.clone()) }).collect())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = serve(&mut Empty, &mut &bytes[..], &mut std::io::sink());
});

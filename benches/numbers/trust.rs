//! What signatures cost: a long chain, made and read again.

use std::fs;
use std::time::Instant;

use samesession::seal::{GIT_NAMESPACE, NAMESPACE, SigningKey, verify};

use super::Bench;
use super::measure::{median, millis, run};
use super::transcripts::grow;

const LONG: usize = 1_000;

impl Bench {
    pub fn trust(&mut self) {
        // A record as it is, and the head of its commit.
        let (record, commit) = (vec![b'x'; 2_500], vec![b'x'; 300]);
        let key = SigningKey::generate("bench").expect("a key");
        let ours = median(|| {
            let begun = Instant::now();
            for n in 0..LONG {
                for (namespace, text) in [(NAMESPACE, &record), (GIT_NAMESPACE, &commit)] {
                    let text = [&n.to_be_bytes()[..], text].concat();
                    let signature = key.sign(namespace, &text).expect("signed");
                    verify(namespace, &text, signature.as_bytes()).expect("it holds");
                }
            }
            begun.elapsed()
        });
        self.row("1,000 records and commits signed and verified; ratio to 1 s", millis(ours), None, ours.as_secs_f64(), 1.0);

        let home = self.home("trust");
        let id = "eeeeeeee-0007-4000-8000-000000000001";
        let session = self.session(&home, id, 10_000);
        self.repository(&home);
        for n in 0..LONG {
            grow(&session, id, "/bench", 500, n as u64);
            run(&mut self.ours(&home, &["checkpoint", id, "-q"]));
        }
        let read = || {
            // What was verified once is remembered.
            let _ = fs::remove_file(home.join("project/.git/samesession/glances.age"));
            run(&mut self.ours(&home, &["log", id]))
        };
        let ours = median(read);
        self.row("log of a chain of 1,000, each verified and opened; ratio to 1 s", millis(ours), None, ours.as_secs_f64(), 1.0);
        fs::remove_dir_all(home).expect("it was made");
    }
}

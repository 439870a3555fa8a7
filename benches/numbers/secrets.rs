//! How fast everything that travels is searched for secrets.

use std::time::Instant;

use samesession::policy::secrets::Stream;

use super::Bench;
use super::transcripts::transcript;

impl Bench {
    pub fn secrets(&mut self) {
        let path = self.dir.path().join("searched.jsonl");
        transcript(&path, "X", "/home/dev/src/p", 100_000_000);
        let text = std::fs::read(&path).expect("it was written");
        let search = || {
            let (mut stream, mut found) = (Stream::default(), Vec::new());
            text.chunks(256 << 10).for_each(|piece| stream.push(piece, &mut found));
            stream.finish(&mut found);
            found.len()
        };
        let found = search();
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(search(), found);
                begun.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let rate = text.len() as f64 / 1e6 / times[2];
        let ours = format!("{rate:.0} MB/s");
        self.row(&format!("secrets in a transcript of 100 MB ({found} findings); ratio of 200 MB/s to it"), ours, None, 200.0 / rate, 1.0);
        std::fs::remove_file(path).expect("it was written");
    }
}

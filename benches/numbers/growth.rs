//! How time and bytes grow with a session: straight, or something is wrong.

use std::fs;

use super::Bench;
use super::measure::{bytes_below, millis, peak_kib, run};

impl Bench {
    pub fn growth(&mut self) {
        let sizes: &[usize] = if self.smoke { &[1, 10, 100] } else { &[1, 10, 100, 1000] };
        let mut table = Vec::new();
        for &megabytes in sizes {
            let home = self.home("growth");
            let id = "ffffffff-0001-4000-8000-000000000001";
            let session = self.session(&home, id, megabytes * 1_000_000);
            self.repository(&home);
            let first = run(&mut self.ours(&home, &["checkpoint", id, "-q"]));
            let stored = bytes_below(&home.join("project/.git/objects"));
            let (next, new) = self.step(&home, &session, id, 1);
            self.repository(&home);
            let peak = peak_kib(&mut self.ours(&home, &["checkpoint", id, "-q"]));
            let share = stored as f64 / (megabytes as f64 * 1e6);
            if self.smoke {
                self.row(&format!("objects of {megabytes} MB, bytes; ratio to {megabytes} MB"), stored.to_string(), None, share, 0.2);
                self.count(&format!("new objects of {megabytes} MB and 20 KB more, bytes"), new, 32 << 10);
            } else {
                table.push(format!("{megabytes:>8} {:>14} {stored:>14} {:>14} {new:>14} {peak:>14}", millis(first), millis(next)));
            }
            fs::remove_dir_all(home).expect("it was made");
        }
        if !table.is_empty() {
            println!("{:>8} {:>14} {:>14} {:>14} {:>14} {:>14}", "MB", "first", "bytes", "20 KB more", "new bytes", "peak KiB");
            table.iter().for_each(|line| println!("{line}"));
        }
    }
}

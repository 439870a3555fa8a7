//! Container A: a capsule as one file.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::measure::{millis, peak_kib, run, side_by_side};
use super::{Bench, copy_device, installed};

impl Bench {
    pub fn memory(&mut self) {
        let megabytes = if self.smoke { 200 } else { 500 };
        let (home, other) = (self.home("big"), self.home("big2"));
        let id = "cccccccc-0001-4000-8000-000000000001";
        let session = self.session(&home, id, megabytes * 1_000_000);
        let capsule = self.dir.path().join("big.capsule");
        let capsule_arg = capsule.to_str().expect("UTF-8").to_owned();
        let bound = 96.0 * 1024.0;
        let peak = peak_kib(&mut self.ours(&home, &["checkpoint", id, "-q", "-o", &capsule_arg]));
        self.row(&format!("peak memory, checkpoint of {megabytes} MB, KiB"), peak.to_string(), None, peak as f64, bound);
        copy_device(&home, &other);
        let peak = peak_kib(&mut self.ours(&other, &["restore", "-q", &capsule_arg]));
        self.row(&format!("peak memory, restore of {megabytes} MB, KiB"), peak.to_string(), None, peak as f64, bound);
        for path in [session, capsule] {
            fs::remove_file(path).expect("it was made");
        }
        fs::remove_dir_all(other).expect("it was made");
    }

    pub fn sealing(&mut self) {
        if !installed(&["age", "zstd"]) {
            println!("SKIPPED: age and zstd are not installed, sealing was not compared");
            return;
        }
        let home = self.home("seal");
        let id = "bbbbbbbb-0001-4000-8000-000000000001";
        let session = self.session(&home, id, 100_000_000);
        let identity = home.join(".config/samesession/device/identity.txt");
        let recipient = self.recipient(&home);
        let (capsule, reference) = (self.dir.path().join("ours.capsule"), self.dir.path().join("reference.age"));
        let capsule_arg = capsule.to_str().expect("UTF-8").to_owned();
        let pipe = format!("zstd -q -3 -T0 < '{}' | age -r {recipient} > '{}'", session.display(), reference.display());
        let args = ["checkpoint", id, "-qf", "-o", &capsule_arg];
        let against = |ours: fn(&Bench, &Path, &[&str]) -> Command| {
            side_by_side(|| run(&mut ours(self, &home, &args)), || run(Command::new("sh").args(["-c", &pipe])))
        };
        let ((ours, theirs), unsearched) = (against(Bench::ours), against(Bench::unsearched));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row("checkpoint --output of 100 MB / zstd -3 -T0 | age", millis(ours), Some(millis(theirs)), ratio, 1.2);
        let ratio = unsearched.0.as_secs_f64() / unsearched.1.as_secs_f64();
        self.note("the same, without the search for secrets", millis(unsearched.0), millis(unsearched.1), ratio);
        let size = |path: &Path| fs::metadata(path).expect("it was written").len();
        let (a, b) = (size(&capsule), size(&reference));
        self.row("its size, bytes", a.to_string(), Some(b.to_string()), a as f64 / b as f64, 1.25);

        let out = self.dir.path().join("out.jsonl");
        let pipe = format!("age -d -i '{}' '{}' | zstd -q -d > '{}'", identity.display(), reference.display(), out.display());
        let other = self.home("seal2");
        let (ours, theirs) = side_by_side(
            || {
                let _ = fs::remove_dir_all(&other);
                copy_device(&home, &other);
                run(&mut self.ours(&other, &["restore", "-q", &capsule_arg]))
            },
            || {
                let _ = fs::remove_file(&out);
                run(Command::new("sh").args(["-c", &pipe]))
            },
        );
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row("restore of 100 MB, synced / age -d | zstd -d, not synced", millis(ours), Some(millis(theirs)), ratio, 1.5);
    }
}

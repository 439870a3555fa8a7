//! Repositories with more chains than a test could wait for: checkpoints made by the library, from one real one.

use std::collections::BTreeMap;
use std::ffi::OsString;

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::keys;
use samesession::flow::ledger::Ledger;
use samesession::id::{NativeId, SessionId};
use samesession::store::draft::Draft;
use samesession::store::pack::PackWriter;
use samesession::store::refs::{self, Change, Known};

use super::chains::id;
use super::sandbox::Machine;

impl Machine {
    /// The library's view of this machine.
    fn as_env(&self) -> Env {
        let vars: BTreeMap<OsString, OsString> = [("HOME", self.home.clone().into()), ("PATH", super::sandbox::path())]
            .map(|(name, value): (&str, OsString)| (name.into(), value))
            .into_iter()
            .chain([("GIT_CONFIG_NOSYSTEM".into(), "1".into())])
            .collect();
        Env::new(vars, self.cwd.clone(), self.name.clone()).expect("an environment")
    }

    /// True chains of one checkpoint each, of the sessions `id(n)`: what the `first` session holds under other names.
    pub fn multiply(&self, first: usize, range: std::ops::Range<usize>) {
        let env = self.as_env();
        let device = Device::load(&env).expect("readable").expect("a device");
        let identities = keys::identities(&env, Some(&device), &[], None, &age::NoCallbacks).expect("keys");
        let ledger = Ledger::open(&env, Some(&device), &identities).expect("a repository");
        let sid = |n: usize| SessionId::derive("claude", &NativeId::parse(&id(n)).expect("an id"));
        let known = ledger.sync(&sid(first), &mut Vec::new()).expect("a chain");
        let checkpoint = ledger.checkpoint(&sid(first), &known.local.expect("a chain")).expect("a checkpoint");
        let opened = ledger.opened(&checkpoint).expect("ours");
        let tree = opened.tree(&ledger.store).expect("a tree");
        let mut pack = PackWriter::new(&ledger.store.repo.objects, ledger.store.repo.hash).expect("a pack");
        let mut changes: Vec<Change> = Vec::new();
        for n in range {
            let mut draft = Draft::again(&opened, &tree);
            draft.record.sid = sid(n).to_string();
            draft.record.summary.native_id = id(n);
            pack.next_checkpoint();
            let tip = draft.write(&ledger.store, &tree, device.signing(), &mut pack).expect("written");
            changes.extend(Known::default().advance(&sid(n), tip));
        }
        pack.finish().expect("a pack").keep();
        refs::update(&ledger.store, "multiplied", &changes).expect("named");
    }
}

//! A work tree into a model and the files that go with it.
//!
//! What must stay true: the repository is as it was, byte for byte: refs, reflogs, index, stash, objects, files.

//! Whether two repositories are clones of the same one: by root commits and addresses, never by path.

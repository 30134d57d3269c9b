//! Configuration of log pipelines: files to a tree with spans, and the tree to typed values.
